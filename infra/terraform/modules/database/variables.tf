variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "network_id" {
  description = "Network in which the instance has its private address."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the instance and its backups."
  type        = string
}

variable "tier" {
  description = "Machine type."
  type        = string
}

variable "availability_type" {
  description = "ZONAL or REGIONAL."
  type        = string
}

variable "emails" {
  description = "Addresses of the workloads' accounts."
  type        = map(string)
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}
