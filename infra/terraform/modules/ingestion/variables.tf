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

variable "kms_key" {
  description = "Key that encrypts the bucket."
  type        = string
}

variable "log_bucket" {
  description = "Bucket of access logs."
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
