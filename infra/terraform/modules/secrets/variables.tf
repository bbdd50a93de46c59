variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the secrets."
  type        = string
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}
