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

run "secrets_and_ports_of_others" {
  command = apply
  variables {
    settings        = { MAIL_FROM = "orders@example.com", ALLOWED_HOSTS = "orders.example.com,shop.example.com" }
    secret_settings = { SMTP_URL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mail-AbCdEf:url::" }
    egress_ports    = [465]
  }
  assert {
    condition     = contains([for secret in jsondecode(aws_ecs_task_definition.service["notification"].container_definitions)[0].secrets : "${secret.name}=${secret.valueFrom}"], "SMTP_URL=arn:aws:secretsmanager:eu-central-1:123456789012:secret:mail-AbCdEf:url::")
    error_message = "A setting that is a secret comes from Secrets Manager."
  }
  assert {
    condition     = [for role, policy in aws_iam_role_policy.execution : role if !strcontains(policy.policy, "secret:mail-AbCdEf\"")] == ["migrate", "sandbox"]
    error_message = "Whoever is given a secret may read it, and nobody else."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_egress_rule.tasks_elsewhere : rule.from_port] == [465]
    error_message = "Tasks reach out by the ports that are said."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.service["api"].container_definitions)[0].environment, { name = "ALLOWED_HOSTS", value = "orders.example.com,shop.example.com" })
    error_message = "What is set wins over what the API has by itself."
  }
}

run "refuses_passwords_in_settings" {
  command = plan
  variables {
    settings          = { SMTP_URL = "smtps://user:password@mail.example.com:465" }
    elasticsearch_url = "https://user:password@search.example.com"
  }
  expect_failures = [var.settings, var.elasticsearch_url]
}

run "refuses_a_token_that_the_product_refuses" {
  command = plan
  variables {
    operator_token = "ann=short"
  }
  expect_failures = [var.operator_token]
}

run "refuses_tasks_of_a_service_that_is_not_there" {
  command = plan
  variables {
    tasks = { payments = { min = 2, max = 4 } }
  }
  expect_failures = [var.tasks]
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
