# One service on Fargate per role, and per consumer of src/flow/subscriptions.ts. Each task has a collector beside it, which
# brings its metrics to CloudWatch and its traces to X-Ray.

locals {
  port = 3000

  # Work by jobs, which any number of tasks share.
  job_consumers = ["payment", "fulfillment", "compensation", "notification"]
  # Those read behind a cursor that one process at a time holds: a second task stands by, a third is of no use.
  projections = ["search", "analytics"]
  consumers   = concat(local.job_consumers, local.projections)
  has_sandbox = var.partners_url == null

  commands = merge(
    { api = ["api"], relay = ["relay"] },
    { for consumer in local.consumers : consumer => ["worker", consumer] },
    local.has_sandbox ? { sandbox = ["sandbox"] } : {},
  )

  default_tasks = merge(
    { for consumer in local.job_consumers : consumer => { min = 2, max = 10, cpu = 512, memory = 1024 } },
    { for consumer in local.projections : consumer => { min = 1, max = 1, cpu = 256, memory = 1024 } },
    {
      api     = { min = 2, max = 10, cpu = 512, memory = 1024 }
      relay   = { min = 2, max = 2, cpu = 512, memory = 1024 }
      sandbox = { min = 1, max = 1, cpu = 256, memory = 512 }
    },
  )
  tasks = { for service, command in local.commands : service => merge(
    local.default_tasks[service],
    { for name, value in try(var.tasks[service], {}) : name => value if value != null },
  ) }

  # Seconds: ECS has taken the task out of the balancer and nobody is sent any more; then work ends, and then ECS would kill.
  drain_s    = 25
  shutdown_s = 60
  stop_s     = 90

  database_address = "${aws_db_instance.main.address}:5432/orderly?sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"

  environment = merge(
    {
      DATABASE_URL                = "postgres://orderly_app@${local.database_address}"
      BUS                         = var.bus
      AWS_REGION                  = var.region
      SQS_QUEUE_PREFIX            = "${var.name}-"
      PARTNERS_URL                = local.has_sandbox ? "http://sandbox.${var.name}.internal:${local.port}" : var.partners_url
      SHUTDOWN_TIMEOUT_MS         = tostring(local.shutdown_s * 1000)
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    },
    var.bus != "kafka" ? {} : {
      KAFKA_BROKERS        = aws_msk_cluster.main[0].bootstrap_brokers_sasl_scram
      KAFKA_SSL            = "true"
      KAFKA_SASL_MECHANISM = "SCRAM-SHA-512"
      KAFKA_SASL_USERNAME  = "orderly"
    },
    var.elasticsearch_url == null ? {} : {
      SEARCH            = "elasticsearch"
      ELASTICSEARCH_URL = var.elasticsearch_url
    },
    var.settings,
  )
  # What a role has besides, or instead.
  environments = merge(
    { for service, command in local.commands : service => local.environment },
    {
      api = merge(local.environment, {
        ALLOWED_HOSTS     = var.domain_name
        SHUTDOWN_DRAIN_MS = tostring(local.drain_s * 1000)
      }, var.settings)
      sandbox = { OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318" }
    },
  )

  # PGPASSWORD is read by the driver, where DATABASE_URL has none.
  secrets = merge(
    {
      PGPASSWORD     = aws_secretsmanager_secret.app.arn
      OPERATOR_TOKEN = aws_secretsmanager_secret.operators.arn
    },
    var.bus == "kafka" ? { KAFKA_SASL_PASSWORD = "${aws_secretsmanager_secret.kafka[0].arn}:password::" } : {},
    var.secret_settings,
  )
}

resource "aws_ecs_cluster" "main" {
  name = var.name
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "service" {
  for_each          = local.commands
  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_ecs_task_definition" "service" {
  for_each                 = local.commands
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(local.tasks[each.key].cpu)
  memory                   = tostring(local.tasks[each.key].memory)
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  task_role_arn            = aws_iam_role.task[each.key].arn

  container_definitions = jsonencode([
    merge(local.container, {
      name = "orderly"
      # Its ledger is in the container, and goes with it.
      readonlyRootFilesystem = each.key != "sandbox"
      image                  = var.image
      command                = each.value
      environment            = [for name, value in local.environments[each.key] : { name = name, value = value }]
      secrets                = each.key == "sandbox" ? [] : [for name, from in local.secrets : { name = name, valueFrom = from }]
      portMappings           = [{ containerPort = local.port, protocol = "tcp" }]
      # /healthz: whether it lives. A role without its database lives, and waits for it.
      healthCheck = {
        command     = ["CMD", "node", "-e", "fetch('http://127.0.0.1:${local.port}/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      logConfiguration = local.logging[each.key]
    }),
    merge(local.container, {
      name             = "collector"
      image            = var.collector_image
      essential        = false
      restartPolicy    = { enabled = true, restartAttemptPeriod = 60 }
      user             = null
      environment      = [{ name = "AOT_CONFIG_CONTENT", value = local.collector[each.key] }]
      secrets          = each.key == "sandbox" ? [] : [{ name = "METRICS_TOKEN", valueFrom = aws_secretsmanager_secret.metrics.arn }]
      logConfiguration = local.logging[each.key]
    }),
  ])
}

locals {
  container = {
    essential              = true
    user                   = "1000:1000"
    readonlyRootFilesystem = true
    stopTimeout            = local.stop_s
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
  }
  logging = { for service in concat(keys(local.commands), ["migrate"]) : service => {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = "/${var.name}/${service}"
      "awslogs-region"        = var.region
      "awslogs-stream-prefix" = "task"
      # A log that is slow holds up no work: what does not fit is dropped.
      mode              = "non-blocking"
      "max-buffer-size" = "8m"
    }
  } }
}

resource "aws_ecs_service" "service" {
  for_each                           = local.commands
  name                               = each.key
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.service[each.key].arn
  desired_count                      = local.tasks[each.key].min
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  enable_execute_command             = false
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = each.key == "api" ? 60 : null

  # A release that does not come up goes back to the one before.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = [for subnet in aws_subnet.private : subnet.id]
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = each.key == "api" ? [aws_lb_target_group.api.arn] : []
    content {
      target_group_arn = load_balancer.value
      container_name   = "orderly"
      container_port   = local.port
    }
  }

  dynamic "service_registries" {
    for_each = each.key == "sandbox" ? [aws_service_discovery_service.sandbox[0].arn] : []
    content {
      registry_arn = service_registries.value
    }
  }

  # It is the scaling's.
  lifecycle {
    ignore_changes = [desired_count]
  }
  # What a task needs from its first moment on, and until its last.
  depends_on = [
    aws_lb_listener.https, aws_route.out, aws_route_table_association.private, aws_iam_role_policy.execution, aws_iam_role_policy.task,
    aws_secretsmanager_secret_version.app, aws_secretsmanager_secret_version.operators, aws_secretsmanager_secret_version.metrics,
    aws_msk_scram_secret_association.main, aws_vpc_security_group_ingress_rule.database_from_tasks,
  ]
}

resource "aws_service_discovery_private_dns_namespace" "main" {
  count = local.has_sandbox ? 1 : 0
  name  = "${var.name}.internal"
  vpc   = aws_vpc.main.id
}

resource "aws_service_discovery_service" "sandbox" {
  count = local.has_sandbox ? 1 : 0
  name  = "sandbox"
  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.main[0].id
    routing_policy = "MULTIVALUE"
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
