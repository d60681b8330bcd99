#!/usr/bin/env bash
# A release: what the migration needs, the migration and its end, and only then the services. Stops at what fails; the
# services then stay as they were. What is given is passed on to terraform apply: ./deploy.sh -var image=…
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

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
echo "The migration runs as $task; its log is $(migration log_group)."
aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task"
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
aws ecs wait services-stable --cluster "$cluster" --services $(names)
for service in $(names); do
  wanted=$(python3 -c "import json, sys; print(json.load(sys.stdin)['$service'])" <<<"$services")
  runs=$(aws ecs describe-services --cluster "$cluster" --services "$service" --query 'services[0].taskDefinition' --output text)
  if [ "$runs" != "$wanted" ]; then
    echo "$service did not come up and was taken back to $runs; its log is /$cluster/$service." >&2
    exit 1
  fi
done
echo "The release runs."
