variable "project_id" {
  description = "Project of the platform; an environment has one of its own."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "Give staging or production."
  }
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "worker_range" {
  description = "Private addresses of workers, as a CIDR range."
  type        = string
  default     = "10.10.0.0/20"
}

variable "web_server_ranges" {
  description = "Addresses from which operators reach Airflow's web server, as CIDR ranges."
  type        = list(string)
}

variable "days_kept" {
  description = "Days after which a partition of a table goes; see docs/privacy.md."
  type        = map(number)
  default = {
    "pbm_bronze.raw_orders"         = 2555
    "pbm_bronze.dead_letter_orders" = 90
    "pbm_speed.live_order_metrics"  = 90
    # the list must outlive every message that may come again, and the rest is proof
    "pbm_ops.suppressed_subjects" = null
    "pbm_ops.erasures"            = null
    "pbm_ops.pseudonym_keys"      = null
  }
}

variable "is_synthetic" {
  description = "Whether all patients are synthetic, and Airflow generates orders: never in production."
  type        = bool
  default     = false
}

variable "survey_connection_is_made" {
  description = "Whether BigQuery's connection to Cloud SQL was made by hand; see docs/deployment.md."
  type        = bool
  default     = false
}

variable "pseudonym_key_version" {
  description = "Version of the secret with the key of the pseudonyms that ingestion uses."
  type        = number
  default     = 1
}

variable "sql_tier" {
  description = "Machine type of the survey database."
  type        = string
  default     = "db-custom-2-7680"
}

variable "sql_availability_type" {
  description = "ZONAL or REGIONAL."
  type        = string
  default     = "REGIONAL"
}

variable "dashboard_image" {
  description = "Image of the dashboard with its digest; null until the first one is built."
  type        = string
  default     = null

  validation {
    condition     = var.dashboard_image == null || can(regex("@sha256:[0-9a-f]{64}$", var.dashboard_image))
    error_message = "Name the image by its digest: …@sha256:…."
  }
}

variable "dashboard_viewers" {
  description = "Groups who may look at the dashboard, as group:ADDRESS."
  type        = list(string)
  default     = []
}

variable "repository" {
  description = "Cloud Build's connection to the repository: projects/…/connections/…/repositories/…."
  type        = string
}

variable "on_call_email" {
  description = "Address of whoever is on call."
  type        = string
}

variable "billing_account" {
  description = "Billing account of the project."
  type        = string
}

variable "monthly_budget" {
  description = "What a month is meant to cost, in US dollars."
  type        = number
}
