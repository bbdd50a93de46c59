variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "image" {
  description = "Image of the dashboard, with its digest."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the deployed image."
  type        = string
}

variable "network_id" {
  description = "Network of the service."
  type        = string
}

variable "subnetwork_id" {
  description = "Subnetwork of the service."
  type        = string
}

variable "oidc_secret" {
  description = "Secret with Streamlit's sign-in settings."
  type        = string
}

variable "viewers" {
  description = "Groups who may look, as group:ADDRESS."
  type        = list(string)

  validation {
    condition     = alltrue([for viewer in var.viewers : startswith(viewer, "group:")])
    error_message = "Give groups, as group:ADDRESS."
  }
}

variable "min_instances" {
  description = "Instances that are always there."
  type        = number
  default     = 1
}

variable "max_instances" {
  description = "Instances that there may be."
  type        = number
  default     = 5
}

variable "emails" {
  description = "Addresses of the workloads' accounts."
  type        = map(string)
}

variable "members" {
  description = "Workloads as members of a policy."
  type        = map(string)
}

variable "account_names" {
  description = "Resource names of the workloads' accounts."
  type        = map(string)
}
