# Workers follow what is owed, not how busy they are: a worker that waits for its partners uses no CPU. Due jobs and the age
# of the oldest come from PostgreSQL, which the relay that works asks every five seconds (docs/observability.md). Where they
# are missing, nothing is scaled in: target tracking takes no data for no word.

locals {
  scaled = toset(concat(["api"], local.job_consumers))
}

resource "aws_appautoscaling_target" "service" {
  for_each           = local.scaled
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.service[each.key].name}"
  min_capacity       = local.tasks[each.key].min
  max_capacity       = local.tasks[each.key].max
}

resource "aws_appautoscaling_policy" "requests" {
  name               = "${var.name}-requests-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.service["api"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.requests_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.main.arn_suffix}/${aws_lb_target_group.api.arn_suffix}"
    }
  }
}

resource "aws_appautoscaling_policy" "due_work" {
  for_each           = toset(local.job_consumers)
  name               = "${var.name}-${each.key}-due-jobs-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.service[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.due_jobs_per_task
    scale_out_cooldown = 60
    # A wave that comes back finds its workers still there.
    scale_in_cooldown = 600
    customized_metric_specification {
      metrics {
        id          = "due"
        return_data = false
        metric_stat {
          stat = "Maximum"
          metric {
            namespace   = local.namespace
            metric_name = "orderly_jobs"
            dimensions {
              name  = "consumer"
              value = each.key
            }
            dimensions {
              name  = "state"
              value = "due"
            }
          }
        }
      }
      metrics {
        id          = "running"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.main.name
            }
            dimensions {
              name  = "ServiceName"
              value = each.key
            }
          }
        }
      }
      metrics {
        id          = "due_per_task"
        expression  = "due / running"
        return_data = true
      }
    }
  }
}

# Few jobs may still be old: they are slow, or their worker is.
resource "aws_appautoscaling_policy" "oldest" {
  for_each           = toset(local.job_consumers)
  name               = "${var.name}-${each.key}-oldest-due-job"
  policy_type        = "StepScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.service[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 120
    step_adjustment {
      metric_interval_lower_bound = "0"
      metric_interval_upper_bound = "60"
      scaling_adjustment          = 1
    }
    step_adjustment {
      metric_interval_lower_bound = "60"
      scaling_adjustment          = 2
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "oldest" {
  for_each            = toset(local.job_consumers)
  alarm_name          = "${var.name}-scale-out-${each.key}"
  alarm_description   = "The oldest due job of ${each.key} has waited for 15 seconds: another task"
  namespace           = local.namespace
  metric_name         = "orderly_job_oldest_due_seconds"
  dimensions          = { consumer = each.key }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 15
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_appautoscaling_policy.oldest[each.key].arn]
}
