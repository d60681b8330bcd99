# One page: orders, what is owed, who is behind, the database.

locals {
  searched = { for title, one in {
    "Orders accepted, a minute"          = { metrics = ["orderly_orders_accepted_total"], statistic = "Sum" }
    "Events published, a minute"         = { metrics = ["orderly_events_published_total"], statistic = "Sum" }
    "Orders by end, a minute"            = { metrics = ["orderly_order_duration_seconds"], statistic = "SampleCount" }
    "Time to the end, seconds"           = { metrics = ["orderly_order_duration_seconds"], statistic = "Average" }
    "Due jobs"                           = { metrics = ["orderly_jobs"], statistic = "Maximum", of = "state=\"due\"" }
    "Age of the oldest due job, seconds" = { metrics = ["orderly_job_oldest_due_seconds"], statistic = "Maximum" }
    "Dead letters that wait"             = { metrics = ["orderly_dead_letters_open"], statistic = "Maximum" }
    "Readers behind, seconds"            = { metrics = ["orderly_unread_oldest_seconds", "orderly_unpublished_oldest_seconds"], statistic = "Maximum" }
    "Partners that are away"             = { metrics = ["orderly_breaker_open"], statistic = "Maximum" }
    "Size of the database, bytes"        = { metrics = ["orderly_database_size_bytes"], statistic = "Maximum" }
    "Steps, seconds"                     = { metrics = ["orderly_step_duration_seconds"], statistic = "Average" }
    } : title => [for metric in one.metrics : [{
      expression = "SEARCH('{${local.namespace},${join(",", local.published[metric])}} MetricName=\"${metric}\" ${try(one.of, "")}', '${one.statistic}', 60)"
      id         = replace(metric, "orderly_", "q_")
  }]] }

  plain = {
    "Requests and those that failed" = [
      ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", aws_lb.main.arn_suffix, { stat = "Sum" }],
      ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", aws_lb.main.arn_suffix, { stat = "Sum" }],
    ]
    "Processor of the database, percent" = [["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", aws_db_instance.main.identifier]]
    "Tasks"                              = [for service in keys(local.commands) : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", aws_ecs_cluster.main.name, "ServiceName", service]]
  }
  widgets = merge(local.searched, local.plain)
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for index, title in keys(local.widgets) : {
    type       = "metric"
    x          = (index % 3) * 8
    y          = floor(index / 3) * 6
    width      = 8
    height     = 6
    properties = { title = title, region = var.region, view = "timeSeries", period = 60, metrics = local.widgets[title] }
  }] })
}
