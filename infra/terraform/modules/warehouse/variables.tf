variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of the datasets and of the taxonomy."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the datasets."
  type        = string
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}

variable "days_kept" {
  description = "Days after which a partition of a table goes; see docs/privacy.md."
  type        = map(number)
}

variable "survey_connection_is_made" {
  description = "Whether the connection to Cloud SQL was made by hand; see docs/deployment.md."
  type        = bool
  default     = false
}

variable "is_synthetic" {
  description = "Whether all patients of this environment are synthetic: never in production."
  type        = bool
}
