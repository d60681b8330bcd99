# The one-off task before each release (deploy.sh runs it): the users of the database and their rights as docs/security.md
# has them, the schema, and then what is only ever added to is closed to changes. May be repeated at any time.

resource "aws_cloudwatch_log_group" "migrate" {
  name              = "/${var.name}/migrate"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

locals {
  users_script = file("${path.module}/database-users.js")
  owner_url    = "postgres://orderly_owner@${local.database_address}"
  users_container = merge(local.container, {
    image            = var.image
    essential        = false
    entryPoint       = ["node", "--input-type=module", "--eval", local.users_script, "--"]
    environment      = [{ name = "DATABASE_URL", value = local.owner_url }]
    logConfiguration = local.logging["migrate"]
    secrets = [
      { name = "PGPASSWORD", valueFrom = aws_secretsmanager_secret.owner.arn },
      { name = "APP_PASSWORD", valueFrom = aws_secretsmanager_secret.app.arn },
    ]
  })
}

resource "aws_ecs_task_definition" "migrate" {
  family                   = "${var.name}-migrate"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = aws_iam_role.execution["migrate"].arn
  task_role_arn            = aws_iam_role.task["migrate"].arn

  container_definitions = jsonencode([
    merge(local.users_container, { name = "users", command = ["before"] }),
    merge(local.container, {
      name             = "migrate"
      image            = var.image
      command          = ["migrate"]
      essential        = false
      environment      = [{ name = "DATABASE_URL", value = local.owner_url }]
      secrets          = [{ name = "PGPASSWORD", valueFrom = aws_secretsmanager_secret.owner.arn }]
      dependsOn        = [{ containerName = "users", condition = "SUCCESS" }]
      logConfiguration = local.logging["migrate"]
    }),
    # Its exit code is that of the task.
    merge(local.users_container, {
      name      = "rights"
      command   = ["after"]
      essential = true
      dependsOn = [{ containerName = "migrate", condition = "SUCCESS" }]
    }),
  ])
}
