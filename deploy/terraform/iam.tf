# Two roles per service: what ECS needs to start it, and what it may do itself. Neither has more than its part.

locals {
  assumed_by = { for service in ["ecs-tasks", "vpc-flow-logs", "monitoring.rds"] : service => {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "${service}.amazonaws.com" }
    }]
  } }

  roles = concat(keys(local.commands), ["migrate"])

  # Which secrets a task is given.
  secrets_of = { for role in local.roles : role =>
    role == "sandbox" ? [] :
    role == "migrate" ? [local.secret_arns.owner, local.secret_arns.app] :
    concat(
      [local.secret_arns.app, local.secret_arns.operators, local.secret_arns.metrics],
      var.bus == "kafka" ? [aws_secretsmanager_secret.kafka[0].arn] : [],
      # Without the key and version that may follow the ARN.
      [for arn in values(var.secret_settings) : join(":", slice(split(":", arn), 0, 7))],
    )
  }

  # The relay publishes to every queue; a worker takes from its own. All of them look how much waits.
  queue_arns = [for queue in aws_sqs_queue.consumer : queue.arn]
  queue_statements = { for role in local.roles : role => var.bus != "sqs" || contains(["api", "sandbox", "migrate"], role) ? [] : concat(
    [{ Effect = "Allow", Action = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"], Resource = local.queue_arns }],
    role == "relay" ? [{ Effect = "Allow", Action = ["sqs:SendMessage"], Resource = local.queue_arns }] : [
      { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage"], Resource = [aws_sqs_queue.consumer[role].arn] },
    ],
  ) }

  # Of the collector: metrics go as lines of a log that CloudWatch reads.
  collector_statements = [
    {
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:DescribeLogGroups"]
      Resource = [aws_cloudwatch_log_group.metrics.arn, "${aws_cloudwatch_log_group.metrics.arn}:*"]
    },
    # X-Ray knows no resources in these.
    { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], Resource = ["*"] },
  ]
}

resource "aws_iam_role" "execution" {
  for_each           = toset(local.roles)
  name               = "${var.name}-${each.key}-execution"
  assume_role_policy = jsonencode(local.assumed_by["ecs-tasks"])
}

resource "aws_iam_role_policy" "execution" {
  for_each = toset(local.roles)
  name     = "start"
  role     = aws_iam_role.execution[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        # The token to sign in with is nobody's; what it opens are the images of this account.
        { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
        {
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
          Resource = ["arn:${data.aws_partition.current.partition}:ecr:${var.region}:${data.aws_caller_identity.current.account_id}:repository/*"]
        },
        {
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["arn:${data.aws_partition.current.partition}:logs:${var.region}:${data.aws_caller_identity.current.account_id}:log-group:/${var.name}/${each.key}:*"]
        },
      ],
      length(local.secrets_of[each.key]) == 0 ? [] : [
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = local.secrets_of[each.key] },
        { Effect = "Allow", Action = ["kms:Decrypt"], Resource = [aws_kms_key.main.arn] },
      ],
    )
  })
}

resource "aws_iam_role" "task" {
  for_each           = toset(local.roles)
  name               = "${var.name}-${each.key}"
  assume_role_policy = jsonencode(local.assumed_by["ecs-tasks"])
}

resource "aws_iam_role_policy" "task" {
  for_each = { for role in local.roles : role => role if role != "migrate" }
  name     = "work"
  role     = aws_iam_role.task[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.queue_statements[each.key], local.collector_statements)
  })
}
