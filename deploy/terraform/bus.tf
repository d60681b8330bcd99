# What carries the events: a queue per consumer on SQS, or Kafka. A message is a hint, and may be lost.

resource "aws_sqs_queue" "consumer" {
  for_each = toset(var.bus == "sqs" ? local.consumers : [])
  name     = "${var.name}-${each.key}.fifo"

  # As src/io/sqs/queues.ts would make it: in order per order, and as fast as there are orders.
  fifo_queue                 = true
  deduplication_scope        = "messageGroup"
  fifo_throughput_limit      = "perMessageGroupId"
  visibility_timeout_seconds = 10
  message_retention_seconds  = 345600
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = 5
  })
}

# What five readers took and did not acknowledge. Nothing is lost with it: the job is in the database.
resource "aws_sqs_queue" "dead" {
  for_each                  = toset(var.bus == "sqs" ? local.consumers : [])
  name                      = "${var.name}-${each.key}-dead.fifo"
  fifo_queue                = true
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each  = aws_sqs_queue.dead
  queue_url = each.value.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:${data.aws_partition.current.partition}:sqs:${var.region}:${data.aws_caller_identity.current.account_id}:${var.name}-${each.key}.fifo"]
  })
}

resource "aws_security_group" "kafka" {
  count       = var.bus == "kafka" ? 1 : 0
  name        = "${var.name}-kafka"
  description = "Kafka"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "kafka_from_tasks" {
  count                        = var.bus == "kafka" ? 1 : 0
  security_group_id            = aws_security_group.kafka[0].id
  description                  = "From tasks, by TLS with SCRAM"
  referenced_security_group_id = aws_security_group.tasks.id
  from_port                    = 9096
  to_port                      = 9096
  ip_protocol                  = "tcp"
}

resource "aws_msk_configuration" "main" {
  count          = var.bus == "kafka" ? 1 : 0
  name           = var.name
  kafka_versions = [var.kafka.version]
  # The relay makes its topics itself, with three copies.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
  PROPERTIES
}

resource "aws_msk_cluster" "main" {
  count                  = var.bus == "kafka" ? 1 : 0
  cluster_name           = var.name
  kafka_version          = var.kafka.version
  number_of_broker_nodes = var.zones

  broker_node_group_info {
    instance_type   = var.kafka.instance_type
    client_subnets  = [for subnet in aws_subnet.data : subnet.id]
    security_groups = [aws_security_group.kafka[0].id]
    storage_info {
      ebs_storage_info {
        volume_size = var.kafka.storage_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.main[0].arn
    revision = aws_msk_configuration.main[0].latest_revision
  }

  client_authentication {
    sasl {
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.main.arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.kafka[0].name
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "kafka" {
  count             = var.bus == "kafka" ? 1 : 0
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

# MSK reads users from secrets whose names begin like this.
resource "aws_secretsmanager_secret" "kafka" {
  count       = var.bus == "kafka" ? 1 : 0
  name        = "AmazonMSK_${var.name}"
  description = "User and password on Kafka"
  kms_key_id  = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "kafka" {
  count                    = var.bus == "kafka" ? 1 : 0
  secret_id                = aws_secretsmanager_secret.kafka[0].id
  secret_string_wo         = jsonencode({ username = "orderly", password = var.kafka_password })
  secret_string_wo_version = var.secrets_version
}

resource "aws_msk_scram_secret_association" "main" {
  count           = var.bus == "kafka" ? 1 : 0
  cluster_arn     = aws_msk_cluster.main[0].arn
  secret_arn_list = [aws_secretsmanager_secret.kafka[0].arn]
  depends_on      = [aws_secretsmanager_secret_version.kafka]
}
