variable "project_id" {
  description = "Project of the platform; an environment has one of its own."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "web_server_ranges" {
  description = "Addresses from which operators reach Airflow's web server, as CIDR ranges."
  type        = list(string)
}

variable "survey_connection_is_made" {
  description = "Whether BigQuery's connection to Cloud SQL was made by hand; see docs/deployment.md."
  type        = bool
  default     = false
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

variable "pseudonym_key_version" {
  description = "Version of the secret with the key of the pseudonyms that ingestion uses."
  type        = number
  default     = 1
}
