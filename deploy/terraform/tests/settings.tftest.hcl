# Against a provider with the schema of AWS and nothing behind it (npm run test:deploy): what follows from other
# settings, and which are refused. Every ARN here is invented.

variables {
  image                   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/orderly:0.1.0"
  domain_name             = "orders.example.com"
  certificate_arn         = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
  database_owner_password = "owner-password"
  database_app_password   = "app-password"
  operator_token          = "operator-token-0123"
  metrics_token           = "metrics-token-0123"
  kafka_password          = "kafka-password"
}

override_data {
  target = data.aws_availability_zones.available
  values = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
}

run "kafka" {
  command = apply
  variables {
    bus   = "kafka"
    zones = 3
  }
  assert {
    condition     = length(aws_sqs_queue.consumer) == 0 && one(aws_msk_cluster.main).number_of_broker_nodes == 3
    error_message = "With Kafka there are three brokers, and no queues."
  }
  assert {
    condition     = alltrue([for policy in values(aws_iam_role_policy.task) : !strcontains(policy.policy, "sqs:")])
    error_message = "With Kafka nobody has rights on queues."
  }
}

run "partners_and_settings" {
  command = apply
  variables {
    partners_url = "https://partners.example.com"
    settings     = { ORDER_WORKER_MAX_RETRIES = "5" }
    tasks        = { payment = { min = 4, max = 20 } }
  }
  assert {
    condition     = !contains(keys(aws_ecs_service.service), "sandbox") && aws_appautoscaling_target.service["payment"].max_capacity == 20
    error_message = "Where there are partners there is no sandbox; tasks are as many as said."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.service["payment"].container_definitions)[0].environment, { name = "ORDER_WORKER_MAX_RETRIES", value = "5" })
    error_message = "Settings reach the services."
  }
}

run "refuses_latest" {
  command = plan
  variables {
    image = "orderly:latest"
  }
  expect_failures = [var.image]
}

run "refuses_kafka_in_two_zones" {
  command = plan
  variables {
    bus = "kafka"
  }
  expect_failures = [var.bus]
}

run "refuses_no_tasks" {
  command = plan
  variables {
    tasks = { api = { min = 0, max = 2 } }
  }
  expect_failures = [var.tasks]
}
