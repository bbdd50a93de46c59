variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "kms_keys" {
  description = "Keys, by store."
  type        = map(string)
}

variable "repository" {
  description = "Cloud Build's connection to the repository: projects/…/connections/…/repositories/…."
  type        = string
}

variable "approval_required" {
  description = "Whether a second person approves a delivery."
  type        = bool
}

variable "dataflow_bucket" {
  description = "Bucket of the Flex Template."
  type        = string
}

variable "composer_bundle_prefix" {
  description = "Where Composer takes DAGs from, as gs://BUCKET/dags."
  type        = string
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}

variable "account_names" {
  description = "Resource names of the workloads' accounts."
  type        = map(string)
}

variable "is_synthetic" {
  description = "Whether all patients of this environment are synthetic: never in production."
  type        = bool
}
