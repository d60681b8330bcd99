#!/usr/bin/env bash
# A release: what the migration needs, the migration and its end, and only then the services. Stops at what fails; the
# services then stay as they were. What is given is passed on to terraform apply: ./deploy.sh -var image=…
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
terraform() { command "${TERRAFORM:-terraform}" "$@"; }
# `aws ecs wait` gives up with 255 after ten minutes; a migration of large tables, or a rollback, may take longer.
wait_for() {
  local tries=$1
  shift
  until aws ecs wait "$@"; do
    [ $? = 255 ] && [ $((tries -= 1)) -gt 0 ] || return 1
  done
}

# Its targets bring what they rely on: network, database, secrets, roles.
terraform apply -input=false -auto-approve "$@" \
  -target=aws_ecs_task_definition.migrate -target=aws_cloudwatch_log_group.migrate \
  -target=aws_secretsmanager_secret_version.owner -target=aws_secretsmanager_secret_version.app \
  -target=aws_iam_role_policy.execution -target=aws_route.out -target=aws_route_table_association.private \
  -target=aws_vpc_security_group_egress_rule.tasks_in_vpc -target=aws_vpc_security_group_egress_rule.tasks_out \
  -target=aws_vpc_security_group_ingress_rule.database_from_tasks -target=aws_ecs_cluster.main -target=aws_route.internet \
  -target=aws_route_table_association.public

migration() { terraform output -json migration | python3 -c "import json, sys; value = json.load(sys.stdin)['$1']; print(value if isinstance(value, str) else ','.join(value))"; }
cluster=$(migration cluster)
task=$(aws ecs run-task --cluster "$cluster" --launch-type FARGATE --task-definition "$(migration task_definition)" \
  --network-configuration "awsvpcConfiguration={subnets=[$(migration subnets)],securityGroups=[$(migration security_group)],assignPublicIp=DISABLED}" \
  --query 'tasks[0].taskArn' --output text)
if [ "$task" = None ]; then
  echo "ECS did not start the migration: no service was changed." >&2
  exit 1
fi
echo "The migration runs as $task; its log is $(migration log_group)."
if ! wait_for 18 tasks-stopped --cluster "$cluster" --tasks "$task"; then
  echo "The end of the migration was not seen within three hours; it may run on, and no service was changed." >&2
  exit 1
fi
code=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --query "tasks[0].containers[?name=='rights'].exitCode | [0]" --output text)
if [ "$code" != 0 ]; then
  echo "The migration did not end well (exit code $code): nothing else was changed." >&2
  exit 1
fi

terraform apply -input=false -auto-approve "$@"

# Steady is also what the circuit breaker has taken back: what runs must be what was asked for.
services=$(terraform output -json services)
names() { python3 -c "import json, sys; print(*json.load(sys.stdin))" <<<"$services"; }
# shellcheck disable=SC2046
if ! wait_for 3 services-stable --cluster "$cluster" --services $(names); then
  echo "The services are not steady after half an hour: aws ecs describe-services says why." >&2
  exit 1
fi
for service in $(names); do
  wanted=$(python3 -c "import json, sys; print(json.load(sys.stdin)['$service'])" <<<"$services")
  runs=$(aws ecs describe-services --cluster "$cluster" --services "$service" --query 'services[0].taskDefinition' --output text)
  if [ "$runs" != "$wanted" ]; then
    echo "$service did not come up and was taken back to $runs; its log is /$cluster/$service." >&2
    exit 1
  fi
done
echo "The release runs."
