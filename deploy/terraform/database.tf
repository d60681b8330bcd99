# PostgreSQL: every process works on it (docs/decisions/0006-one-database-for-all-processes.md).

resource "aws_db_subnet_group" "main" {
  name       = var.name
  subnet_ids = [for subnet in aws_subnet.data : subnet.id]
}

resource "aws_db_parameter_group" "main" {
  name_prefix = "${var.name}-"
  family      = "postgres${split(".", var.database.engine_version)[0]}"
  description = "What Orderly relies on"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  # An acknowledged order survives the server: fsync and full_page_writes cannot be switched off on RDS, this one can.
  parameter {
    name  = "synchronous_commit"
    value = "on"
  }
  # Rows of jobs live for seconds: the table is tidied long before a fifth of it is dead.
  parameter {
    name  = "autovacuum_naptime"
    value = "15"
  }
  parameter {
    name  = "autovacuum_vacuum_cost_limit"
    value = "2000"
  }
  # A transaction that somebody forgot would hold up the tidying.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "60000"
  }
  parameter {
    name  = "log_lock_waits"
    value = "1"
  }
  # Slow statements are told by this and by Performance Insights: a log of them would have the values as well, and with them
  # addresses of customers.
  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "main" {
  identifier                          = var.name
  engine                              = "postgres"
  engine_version                      = var.database.engine_version
  instance_class                      = var.database.instance_class
  db_name                             = "orderly"
  username                            = "orderly_owner"
  password_wo                         = var.database_owner_password
  password_wo_version                 = var.secrets_version
  storage_type                        = "gp3"
  allocated_storage                   = var.database.allocated_storage
  max_allocated_storage               = var.database.max_allocated_storage
  storage_encrypted                   = true
  kms_key_id                          = aws_kms_key.main.arn
  multi_az                            = var.database.multi_az
  db_subnet_group_name                = aws_db_subnet_group.main.name
  parameter_group_name                = aws_db_parameter_group.main.name
  vpc_security_group_ids              = [aws_security_group.database.id]
  publicly_accessible                 = false
  ca_cert_identifier                  = "rds-ca-rsa2048-g1"
  backup_retention_period             = var.database.backup_days
  backup_window                       = "02:00-03:00"
  maintenance_window                  = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot               = true
  deletion_protection                 = var.database.deletion_protection
  skip_final_snapshot                 = false
  final_snapshot_identifier           = "${var.name}-final"
  auto_minor_version_upgrade          = true
  allow_major_version_upgrade         = false
  apply_immediately                   = false
  performance_insights_enabled        = true
  performance_insights_kms_key_id     = aws_kms_key.main.arn
  monitoring_interval                 = 60
  monitoring_role_arn                 = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports     = ["postgresql", "upgrade"]
  iam_database_authentication_enabled = false
  depends_on                          = [aws_cloudwatch_log_group.database]
}

# RDS would make them itself, to be kept for good.
resource "aws_cloudwatch_log_group" "database" {
  for_each          = toset(["postgresql", "upgrade"])
  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-database-monitoring"
  assume_role_policy = jsonencode(local.assumed_by["monitoring.rds"])
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
