variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of all resources; messages are stored nowhere else."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the messages."
  type        = string
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}

variable "attach_schema" {
  description = "Whether the topic refuses what is not in the canonical form."
  type        = bool
  default     = false
}

variable "is_synthetic" {
  description = "Whether Airflow publishes synthetic orders here."
  type        = bool
  default     = false
}
