# Against a provider with the schema of AWS and nothing behind it (npm run test:deploy): what is made of the settings, what is
# refused. Every ARN here is invented.

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

run "as_it_comes" {
  command = apply

  assert {
    condition     = length(aws_subnet.private) == 2 && length(distinct([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.cidr_block])) == 6
    error_message = "Three kinds of subnets in each of two zones, and no two share addresses."
  }
  assert {
    condition     = aws_db_instance.main.multi_az && aws_db_instance.main.storage_encrypted && !aws_db_instance.main.publicly_accessible && aws_db_instance.main.deletion_protection && aws_db_instance.main.backup_retention_period >= 7
    error_message = "The database survives a zone, is encrypted, private, kept and backed up."
  }
  assert {
    condition     = contains([for one in aws_db_parameter_group.main.parameter : "${one.name}=${one.value}"], "rds.force_ssl=1")
    error_message = "The database lets nobody in without TLS."
  }
  assert {
    condition     = alltrue([for service in values(aws_ecs_service.service) : one(service.deployment_circuit_breaker).rollback && !one(service.network_configuration).assign_public_ip])
    error_message = "A release that fails goes back, and no task has a public address."
  }
  assert {
    condition     = alltrue([for name, queue in aws_sqs_queue.consumer : jsondecode(queue.redrive_policy).deadLetterTargetArn == aws_sqs_queue.dead[name].arn])
    error_message = "What nobody takes goes to the dead-letter queue of the same consumer."
  }
  assert {
    condition     = aws_lb.main.internal && aws_lb_listener.https.protocol == "HTTPS" && [for rule in aws_vpc_security_group_ingress_rule.clients : rule.cidr_ipv4] == [var.vpc_cidr]
    error_message = "Nobody outside of the VPC reaches the API unless it is said."
  }
  assert {
    condition = alltrue(flatten([for service, task in aws_ecs_task_definition.service : [for container in jsondecode(task.container_definitions) :
      (container.readonlyRootFilesystem || service == "sandbox") && container.linuxParameters.capabilities.drop == ["ALL"] && container.logConfiguration.options.mode == "non-blocking"
    ]]))
    error_message = "Every container has a read-only root and no capability, and its log holds up nothing."
  }
  assert {
    condition = alltrue(flatten([for task in concat(values(aws_ecs_task_definition.service), [aws_ecs_task_definition.migrate]) : [for container in jsondecode(task.container_definitions) :
      [for variable in lookup(container, "environment", []) : !strcontains(variable.value, "password") && !strcontains(variable.value, "token-0123")]
    ]]))
    error_message = "No secret is in an environment that anybody can read."
  }
  assert {
    condition = alltrue([for role, policy in aws_iam_role_policy.task : !anytrue([for statement in jsondecode(policy.policy).Statement :
      contains(statement.Action, "sqs:SendMessage") && role != "relay" || anytrue([for action in statement.Action : endswith(action, "*")])
    ])])
    error_message = "The relay alone publishes, and nobody is given a family of rights."
  }
  assert {
    condition = alltrue([for consumer in ["payment", "search"] : one([for statement in jsondecode(aws_iam_role_policy.task[consumer].policy).Statement :
    statement.Resource if contains(statement.Action, "sqs:ReceiveMessage")]) == [aws_sqs_queue.consumer[consumer].arn]])
    error_message = "A worker takes from its own queue."
  }
  assert {
    condition     = [for role, policy in aws_iam_role_policy.execution : role if strcontains(policy.policy, jsonencode(aws_secretsmanager_secret.owner.arn))] == ["migrate"]
    error_message = "Who migrates alone is given the owner's password."
  }
  assert {
    condition     = toset(keys(aws_appautoscaling_policy.due_work)) == toset(["payment", "fulfillment", "compensation", "notification"]) && alltrue([for alarm in values(aws_cloudwatch_metric_alarm.oldest) : alarm.treat_missing_data == "ignore"])
    error_message = "Workers follow what is due, and no word of it moves nothing."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.blind.metric_name == "orderly_jobs" && aws_cloudwatch_metric_alarm.blind.treat_missing_data == "breaching"
    error_message = "That nobody asks the database is told by what is then absent: the time of the last answer stays."
  }
  assert {
    condition     = alltrue([for task in values(aws_ecs_task_definition.service) : jsondecode(task.container_definitions)[1].restartPolicy.enabled])
    error_message = "A collector that dies is started again: without the relay's, nothing scales."
  }
  assert {
    condition     = alltrue([for alarm in values(aws_cloudwatch_metric_alarm.simple) : length(alarm.metric_query) <= 10])
    error_message = "An alarm of CloudWatch takes ten metrics and expressions."
  }
}
