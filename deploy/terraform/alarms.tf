# The alerts of deploy/prometheus/orderly.rules.yml for CloudWatch, under their names: each has its page in docs/runbook.md.

locals {
  consumers_of = { for name in local.job_consumers : name => { consumer = name } }

  # What each one asks for: the largest of its series, against its threshold, for so many minutes.
  simple_alarms = {
    OrderlyOrdersStalled = {
      metric = "orderly_jobs_stalled", statistic = "Maximum", threshold = 0, minutes = 5, page = "orders-make-no-progress"
      series = [for name in ["payment", "fulfillment", "compensation"] : { consumer = name }]
      says   = "Orders have waited for a consumer for more than ten minutes"
    }
    OrderlyJobsWait = {
      metric = "orderly_job_oldest_due_seconds", statistic = "Maximum", threshold = 60, minutes = 2, page = "jobs-wait"
      series = [for name in local.job_consumers : { consumer = name }]
      says   = "A job has been due for a minute, and nobody takes it"
    }
    OrderlyDeadLetters = {
      metric = "orderly_dead_letters_total", statistic = "Sum", threshold = 0, minutes = 1, page = "dead-letters"
      series = [for name in local.job_consumers : { consumer = name }]
      says   = "A consumer gave up; what it gave up waits for a person"
    }
    OrderlyEventsUnpublished = {
      metric = "orderly_unpublished_oldest_seconds", statistic = "Maximum", threshold = 60, minutes = 2, page = "events-are-not-published"
      series = [{ service = "relay" }]
      says   = "The oldest event that the bus does not have is a minute old"
    }
    OrderlyReaderBehind = {
      metric = "orderly_unread_oldest_seconds", statistic = "Maximum", threshold = 300, minutes = 5, page = "search-or-analytics-is-behind"
      series = [for name in local.projections : { reader = name }]
      says   = "Search or analytics is five minutes behind"
    }
    OrderlyBreakerOpen = {
      metric = "orderly_breaker_open", statistic = "Maximum", threshold = 0, minutes = 5, page = "a-partner-is-away"
      series = [for name in ["payments", "carrier", "mail", "search"] : { dependency = name }]
      says   = "A partner has been away for five minutes; its orders wait uncharged"
    }
    OrderlyHorizonHeld = {
      metric = "orderly_database_oldest_transaction_seconds", statistic = "Maximum", threshold = 900, minutes = 5, page = "a-transaction-stays-open"
      series = [{ service = "relay" }]
      says   = "A transaction has been open for a quarter of an hour; deleted rows pile up behind it"
    }
    OrderlyPoolExhausted = {
      metric = "orderly_database_waiting", statistic = "Average", threshold = 0.5, minutes = 3, page = "connections-are-used-up"
      series = [for name in concat(["api", "relay"], local.consumers) : { service = name }]
      says   = "A process has had requests waiting for a connection for minutes"
    }
  }

  # The month's allowance is one failure in a thousand. CloudWatch sums up over a day at most, the rules over three.
  burn_windows = {
    OrderlyRequestsFailFast   = { factor = 14.4, long = 3600, short = 300 }
    OrderlyRequestsFail       = { factor = 6, long = 21600, short = 1800 }
    OrderlyRequestsFailSlowly = { factor = 1, long = 86400, short = 21600 }
  }
  burns = merge([for name, window in local.burn_windows : {
    "${name}-long"  = { factor = window.factor, period = window.long }
    "${name}-short" = { factor = window.factor, period = window.short }
  }]...)
  pages = "docs/runbook.md#"
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  for_each            = local.simple_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.says}: ${local.pages}${each.value.page}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  dynamic "metric_query" {
    for_each = { for index, series in each.value.series : "m${index}" => series }
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = local.namespace
        metric_name = each.value.metric
        dimensions  = metric_query.value
        stat        = each.value.statistic
        period      = 60
      }
    }
  }
  metric_query {
    id          = "largest"
    expression  = "MAX(METRICS())"
    label       = each.key
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "burn" {
  for_each            = local.burns
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "One half of an alarm: the share of requests that fail"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.factor * 0.001
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"

  dynamic "metric_query" {
    for_each = { failed = "HTTPCode_Target_5XX_Count", all = "RequestCount" }
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = aws_lb.main.arn_suffix, TargetGroup = aws_lb_target_group.api.arn_suffix }
        stat        = "Sum"
        period      = each.value.period
      }
    }
  }
  metric_query {
    id          = "share"
    expression  = "FILL(failed, 0) / all"
    label       = "share of requests that fail"
    return_data = true
  }
}

resource "aws_cloudwatch_composite_alarm" "burn" {
  for_each          = local.burn_windows
  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "Requests fail so often that the month's allowance goes too soon: ${local.pages}requests-fail"
  alarm_rule        = join(" AND ", [for half in ["long", "short"] : "ALARM(\"${aws_cloudwatch_metric_alarm.burn["${each.key}-${half}"].alarm_name}\")"])
  alarm_actions     = var.alarm_topic_arns
  ok_actions        = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "orders_do_not_end" {
  alarm_name          = "${var.name}-OrderlyOrdersDoNotEnd"
  alarm_description   = "Orders are accepted, and none has been processed or has failed for ten minutes: ${local.pages}orders-do-not-end"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  metric_query {
    id          = "accepted"
    return_data = false
    metric {
      namespace   = local.namespace
      metric_name = "orderly_orders_accepted_total"
      dimensions  = { service = "api" }
      stat        = "Sum"
      period      = 600
    }
  }
  dynamic "metric_query" {
    for_each = { processed = "PROCESSED", failed = "FAILED", canceled = "CANCELED" }
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = local.namespace
        metric_name = "orderly_order_duration_seconds"
        dimensions  = { outcome = metric_query.value }
        stat        = "SampleCount"
        period      = 600
      }
    }
  }
  # What clients cancel is no sign that anything works.
  metric_query {
    id          = "stuck"
    expression  = "IF(FILL(processed, 0) + FILL(failed, 0) > 0, 0, FILL(accepted, 0) - FILL(canceled, 0))"
    label       = "orders that do not end"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "takeovers" {
  alarm_name          = "${var.name}-OrderlyTakeovers"
  alarm_description   = "Five jobs a minute are taken over: workers die or freeze: ${local.pages}workers-die"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 25
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  dynamic "metric_query" {
    for_each = local.consumers_of
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = local.namespace
        metric_name = "orderly_takeovers_total"
        dimensions  = metric_query.value
        stat        = "Sum"
        period      = 300
      }
    }
  }
  metric_query {
    id          = "all"
    expression  = "SUM(METRICS())"
    label       = "takeovers in five minutes"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "down" {
  for_each            = local.commands
  alarm_name          = "${var.name}-OrderlyDown-${each.key}"
  alarm_description   = "${each.key} has fewer tasks than it should: ${local.pages}a-process-does-not-answer"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  dynamic "metric_query" {
    for_each = { desired = "DesiredTaskCount", running = "RunningTaskCount" }
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = "ECS/ContainerInsights"
        metric_name = metric_query.value
        dimensions  = { ClusterName = aws_ecs_cluster.main.name, ServiceName = each.key }
        stat        = "Average"
        period      = 60
      }
    }
  }
  metric_query {
    id          = "missing"
    expression  = "desired - running"
    label       = "tasks that are missing"
    return_data = true
  }
}

# No word of the gauges is the fault itself. The time at which they were updated stays, but what the database has not
# told for a minute is absent (docs/observability.md).
resource "aws_cloudwatch_metric_alarm" "blind" {
  alarm_name          = "${var.name}-OrderlyBlind"
  alarm_description   = "Nobody tells how much is owed: no relay asks the database: ${local.pages}nobody-asks-the-database"
  namespace           = local.namespace
  metric_name         = "orderly_jobs"
  dimensions          = { consumer = local.job_consumers[0], state = "due" }
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 4
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "disk_full" {
  alarm_name          = "${var.name}-OrderlyDiskFull"
  alarm_description   = "The database has less than a tenth of its first size left: ${local.pages}a-disk-fills-up"
  namespace           = "AWS/RDS"
  metric_name         = "FreeStorageSpace"
  dimensions          = { DBInstanceIdentifier = aws_db_instance.main.identifier }
  statistic           = "Minimum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = var.database.allocated_storage * pow(1024, 3) / 10
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "kafka_disk_full" {
  for_each            = toset(var.bus == "kafka" ? [for broker in range(var.zones) : tostring(broker + 1)] : [])
  alarm_name          = "${var.name}-OrderlyDiskFull-kafka-${each.key}"
  alarm_description   = "Broker ${each.key} of Kafka has a tenth of its disk left: ${local.pages}a-disk-fills-up"
  namespace           = "AWS/Kafka"
  metric_name         = "KafkaDataLogsDiskUsed"
  dimensions          = { "Cluster Name" = aws_msk_cluster.main[0].cluster_name, "Broker ID" = each.key }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 90
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

# Of the surroundings here, and so without an alert of Prometheus: the database is the first to be full (docs/scale.md).
resource "aws_cloudwatch_metric_alarm" "database_busy" {
  alarm_name          = "${var.name}-DatabaseBusy"
  alarm_description   = "The database's processor is used up: a larger class, before orders wait"
  namespace           = "AWS/RDS"
  metric_name         = "CPUUtilization"
  dimensions          = { DBInstanceIdentifier = aws_db_instance.main.identifier }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
