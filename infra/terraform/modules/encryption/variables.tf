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
