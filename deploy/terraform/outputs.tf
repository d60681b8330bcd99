output "balancer" {
  description = "The name that domain_name must point to."
  value       = aws_lb.main.dns_name
}

output "database" {
  description = "Where PostgreSQL is, from within the VPC."
  value       = aws_db_instance.main.address
}

# What deploy.sh needs to run the migration.
output "migration" {
  value = {
    cluster         = aws_ecs_cluster.main.name
    task_definition = aws_ecs_task_definition.migrate.arn
    subnets         = [for subnet in aws_subnet.private : subnet.id]
    security_group  = aws_security_group.tasks.id
    log_group       = aws_cloudwatch_log_group.migrate.name
  }
}

# What each service is to run.
output "services" {
  value = { for name, definition in aws_ecs_task_definition.service : name => definition.arn }
}
