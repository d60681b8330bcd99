# Passwords and tokens: written once, never in the state, and each readable by those alone that need it.

locals {
  secret_arns = {
    owner     = aws_secretsmanager_secret.owner.arn
    app       = aws_secretsmanager_secret.app.arn
    operators = aws_secretsmanager_secret.operators.arn
    metrics   = aws_secretsmanager_secret.metrics.arn
  }
}

resource "aws_secretsmanager_secret" "owner" {
  name        = "${var.name}/database-owner"
  description = "Password of orderly_owner, who migrates"
  kms_key_id  = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "owner" {
  secret_id                = aws_secretsmanager_secret.owner.id
  secret_string_wo         = var.database_owner_password
  secret_string_wo_version = var.secrets_version
}

resource "aws_secretsmanager_secret" "app" {
  name        = "${var.name}/database-app"
  description = "Password of orderly_app, who works"
  kms_key_id  = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "app" {
  secret_id                = aws_secretsmanager_secret.app.id
  secret_string_wo         = var.database_app_password
  secret_string_wo_version = var.secrets_version
}

# The collector's token is one of them, under the name metrics.
resource "aws_secretsmanager_secret" "operators" {
  name        = "${var.name}/operators"
  description = "OPERATOR_TOKEN: what operators show"
  kms_key_id  = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "operators" {
  secret_id                = aws_secretsmanager_secret.operators.id
  secret_string_wo         = "${can(regex("=", var.operator_token)) ? "" : "operator="}${var.operator_token},metrics=${var.metrics_token}"
  secret_string_wo_version = var.secrets_version
}

resource "aws_secretsmanager_secret" "metrics" {
  name        = "${var.name}/metrics"
  description = "What the collector shows for the metrics"
  kms_key_id  = aws_kms_key.main.arn
}

resource "aws_secretsmanager_secret_version" "metrics" {
  secret_id                = aws_secretsmanager_secret.metrics.id
  secret_string_wo         = var.metrics_token
  secret_string_wo_version = var.secrets_version
}
