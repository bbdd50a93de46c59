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

variable "worker_range" {
  description = "Private addresses of workers, as a CIDR range."
  type        = string
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}
