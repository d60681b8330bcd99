# What the collectors bring to CloudWatch: of the metrics of docs/observability.md those that an alarm, the scaling or the
# dashboard asks for, under their names. Each costs by the month.

locals {
  namespace = var.name

  # Metric: the sets of its labels that are told apart. `service` is the name of the service.
  published = {
    orderly_orders_accepted_total               = ["service"]
    orderly_order_duration_seconds              = ["outcome"]
    orderly_events_published_total              = ["service"]
    orderly_jobs                                = ["consumer", "state"]
    orderly_job_oldest_due_seconds              = ["consumer"]
    orderly_jobs_stalled                        = ["consumer"]
    orderly_dead_letters_open                   = ["consumer"]
    orderly_dead_letters_total                  = ["consumer"]
    orderly_takeovers_total                     = ["consumer"]
    orderly_step_duration_seconds               = ["consumer"]
    orderly_breaker_open                        = ["dependency"]
    orderly_unpublished_oldest_seconds          = ["service"]
    orderly_unread_oldest_seconds               = ["reader"]
    orderly_database_oldest_transaction_seconds = ["service"]
    orderly_database_waiting                    = ["service"]
    orderly_database_size_bytes                 = ["service"]
  }

  collector = { for service, command in local.commands : service => yamlencode({
    receivers = merge(
      {
        otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } }
      },
      service == "sandbox" ? {} : {
        prometheus = { config = { scrape_configs = [{
          job_name        = "orderly"
          scrape_interval = "15s"
          authorization   = { credentials = "$${env:METRICS_TOKEN}" }
          static_configs  = [{ targets = ["127.0.0.1:${local.port}"] }]
          metric_relabel_configs = [{
            source_labels = ["__name__"]
            regex         = "(${join("|", keys(local.published))})(_bucket|_sum|_count)?"
            action        = "keep"
          }]
        }] } }
      },
    )
    processors = {
      batch    = {}
      resource = { attributes = [{ key = "service", value = service, action = "upsert" }] }
    }
    exporters = {
      awsxray = { region = var.region }
      awsemf = {
        region                           = var.region
        namespace                        = local.namespace
        log_group_name                   = aws_cloudwatch_log_group.metrics.name
        log_stream_name                  = "${service}-{TaskId}"
        dimension_rollup_option          = "NoDimensionRollup"
        resource_to_telemetry_conversion = { enabled = true }
        metric_declarations = [for name, labels in local.published : {
          dimensions            = [labels]
          metric_name_selectors = ["^${name}$"]
        }]
      }
    }
    service = {
      pipelines = merge(
        { traces = { receivers = ["otlp"], processors = ["batch"], exporters = ["awsxray"] } },
        service == "sandbox" ? {} : {
          metrics = { receivers = ["prometheus"], processors = ["resource", "batch"], exporters = ["awsemf"] }
        },
      )
    }
  }) }
}

resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/${var.name}/metrics"
  retention_in_days = 7
  kms_key_id        = aws_kms_key.main.arn
}
