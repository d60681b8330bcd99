variable "name" {
  description = "What the names of everything here begin with."
  type        = string
  default     = "orderly"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "Use 2 to 20 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "Where all of it runs."
  type        = string
  default     = "eu-central-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-\\d$", var.region))
    error_message = "Name a region such as eu-central-1."
  }
}

variable "image" {
  description = "The image of Orderly, by version or digest: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/orderly:1.2.3."
  type        = string
  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[\\w.-]+)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name a version or a digest, and not latest: what runs must be what was tried."
  }
}

variable "domain_name" {
  description = "The name under which clients reach the API; it must be one that the certificate has."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]+[a-z0-9]$", var.domain_name))
    error_message = "Name a host such as orders.example.com."
  }
}

variable "certificate_arn" {
  description = "The certificate of the load balancer, in Certificate Manager of the same region."
  type        = string
  validation {
    condition     = can(regex("^arn:[\\w-]+:acm:", var.certificate_arn))
    error_message = "Give the ARN of a certificate: arn:aws:acm:…"
  }
}

variable "public" {
  description = "Whether the load balancer is on the internet. Orderly asks clients for nothing: put a gateway in front first."
  type        = bool
  default     = false
}

variable "client_cidr_blocks" {
  description = "Who may reach the load balancer. Empty: the VPC alone."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for block in var.client_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "Give blocks such as 203.0.113.0/24."
  }
}

variable "access_logs_bucket" {
  description = "A bucket that takes the access logs of the load balancer. Null: there are none."
  type        = string
  default     = null
}

variable "vpc_cidr" {
  description = "The addresses of the VPC; a /16 leaves room for a /20 per kind of subnet and zone."
  type        = string
  default     = "10.40.0.0/16"
  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 8))
    error_message = "Give a block that can be cut into sixteen, such as 10.40.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones: 2 or 3. Kafka wants 3."
  type        = number
  default     = 2
  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "Use 2 or 3 zones."
  }
}

variable "nat_gateways" {
  description = "1, or one per zone: with 1 a failing zone takes the way out from all of them."
  type        = number
  default     = 1
  validation {
    condition     = var.nat_gateways == 1 || var.nat_gateways == var.zones
    error_message = "Use 1, or as many as there are zones."
  }
}

variable "tasks" {
  description = "How many tasks each service has, and what one is given (1024 CPU units are a core; MiB)."
  type = map(object({
    min    = number
    max    = number
    cpu    = optional(number)
    memory = optional(number)
  }))
  default = {}
  validation {
    condition     = alltrue([for one in values(var.tasks) : one.min >= 1 && one.max >= one.min])
    error_message = "min is at least 1, and max at least min."
  }
  validation {
    condition     = length(setsubtract(keys(var.tasks), keys(local.default_tasks))) == 0
    error_message = "Name services that there are: api, relay, sandbox, or a consumer such as payment."
  }
}

variable "due_jobs_per_task" {
  description = "How many due jobs a task is to have waiting, before there is another one."
  type        = number
  default     = 100
  validation {
    condition     = var.due_jobs_per_task >= 1
    error_message = "Use 1 or more."
  }
}

variable "requests_per_task" {
  description = "How many requests a minute an API task is to have, before there is another one."
  type        = number
  default     = 15000
  validation {
    condition     = var.requests_per_task >= 1
    error_message = "Use 1 or more."
  }
}

variable "database" {
  description = "PostgreSQL: class, size, and whether it may be lost."
  type = object({
    instance_class        = optional(string, "db.m7g.large")
    engine_version        = optional(string, "18")
    allocated_storage     = optional(number, 100)
    max_allocated_storage = optional(number, 1000)
    multi_az              = optional(bool, true)
    backup_days           = optional(number, 14)
    deletion_protection   = optional(bool, true)
  })
  default = {}
  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "Backups are kept for 1 to 35 days."
  }
  validation {
    condition     = var.database.allocated_storage >= 20 && var.database.max_allocated_storage > var.database.allocated_storage
    error_message = "Use at least 20 GB, and more for max_allocated_storage."
  }
}

# Made once by `openssl rand -hex 24`, and given by TF_VAR_…: none of them is in the state. They are read again only when
# `secrets_version` grows.
variable "database_owner_password" {
  description = "Of orderly_owner, who migrates."
  type        = string
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = can(regex("^[!#-.0-?A-~]{12,128}$", var.database_owner_password))
    error_message = "Use 12 to 128 visible characters without / @ and double quotes, such as openssl rand -hex 24 makes."
  }
}

variable "database_app_password" {
  description = "Of orderly_app, who works."
  type        = string
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = can(regex("^[!-~]{12,128}$", var.database_app_password))
    error_message = "Use 12 to 128 visible characters, such as openssl rand -hex 24 makes."
  }
}

variable "operator_token" {
  description = "What operators show; a token or name=token,… as docs/security.md has it."
  type        = string
  sensitive   = true
  ephemeral   = true
  # As the product reads it, which does not start with others.
  validation {
    condition     = alltrue([for one in split(",", var.operator_token) : can(regex("^([\\w-]{1,32}=)?[!-+.-~-]{16,512}$", trimspace(one)))])
    error_message = "Use tokens of 16 to 512 visible characters without commas: one, or name=token,name=token."
  }
}

variable "metrics_token" {
  description = "What the collector shows for the metrics."
  type        = string
  sensitive   = true
  ephemeral   = true
  validation {
    condition     = can(regex("^[!-+.-~-]{16,512}$", var.metrics_token))
    error_message = "Use 16 to 512 visible characters without commas, such as openssl rand -hex 24 makes."
  }
}

variable "kafka_password" {
  description = "Of the user orderly on MSK; needed where bus is kafka."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
  validation {
    condition     = var.bus != "kafka" || var.kafka_password != null
    error_message = "Give a password for Kafka: TF_VAR_kafka_password."
  }
}

variable "secrets_version" {
  description = "Grows by one when a password or token is to be written anew."
  type        = number
  default     = 1
  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "Use a whole number from 1 on."
  }
}

variable "bus" {
  description = "What carries the events: sqs, or kafka with MSK."
  type        = string
  default     = "sqs"
  validation {
    condition     = contains(["sqs", "kafka"], var.bus)
    error_message = "Use sqs or kafka."
  }
  validation {
    condition     = var.bus != "kafka" || var.zones == 3
    error_message = "Kafka keeps three copies: set zones = 3."
  }
}

variable "kafka" {
  description = "MSK, where bus is kafka."
  type = object({
    version       = optional(string, "4.0.x.kraft")
    instance_type = optional(string, "kafka.m7g.large")
    storage_gib   = optional(number, 100)
  })
  default = {}
}

variable "partners_url" {
  description = "Where payment provider, carrier and mail answer. Null: a sandbox plays them, for trials; it forgets with its task."
  type        = string
  default     = null
  validation {
    condition     = var.partners_url == null || can(regex("^https?://", var.partners_url))
    error_message = "Give a URL that begins with https:// or http://."
  }
}

variable "elasticsearch_url" {
  description = "Elasticsearch for the search; where it has a password, by secret_settings instead. Null: PostgreSQL searches."
  type        = string
  default     = null
  validation {
    condition     = var.elasticsearch_url == null || can(regex("^https?://[^@]+$", var.elasticsearch_url))
    error_message = "Give a URL without a password; one that has it belongs into secret_settings: ELASTICSEARCH_URL."
  }
}

variable "egress_ports" {
  description = "Ports beside 443 by which tasks reach partners, mail and search: [465, 9243]."
  type        = list(number)
  default     = []
  validation {
    condition     = alltrue([for port in var.egress_ports : port >= 1 && port <= 65535])
    error_message = "Ports are from 1 to 65535."
  }
}

variable "settings" {
  description = "Further settings of docs/settings.md, for every service: { ORDER_WORKER_MAX_RETRIES = \"5\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = !anytrue([for value in values(var.settings) : can(regex("://[^/]*:[^/]*@", value))])
    error_message = "A URL with a password belongs into secret_settings: everybody who sees tasks reads these."
  }
}

variable "secret_settings" {
  description = "The same for values that are secrets, by their ARNs in Secrets Manager: { SMTP_URL = \"arn:aws:secretsmanager:…\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for arn in values(var.secret_settings) : can(regex("^arn:[\\w-]+:secretsmanager:[^:]+:[^:]+:secret:[^:]+", arn))])
    error_message = "Give ARNs of secrets, under the key of this stack or of AWS."
  }
}

variable "collector_image" {
  description = "The collector beside each task: it brings metrics to CloudWatch and traces to X-Ray."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.48.0"
}

variable "alarm_topic_arns" {
  description = "Who is told of alarms: SNS topics."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, … days."
  }
}
