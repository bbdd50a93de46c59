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

variable "environment_size" {
  description = "Size of Airflow's own services, as Composer names it."
  type        = string
  default     = "ENVIRONMENT_SIZE_SMALL"
}

variable "max_workers" {
  description = "How many workers there may be."
  type        = number
  default     = 3
}

variable "network_id" {
  description = "Network of the nodes."
  type        = string
}

variable "subnetwork_id" {
  description = "Subnetwork of the nodes."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts the environment."
  type        = string
}

variable "web_server_ranges" {
  description = "Addresses from which operators reach the web server, as CIDR ranges."
  type        = list(string)

  validation {
    condition     = alltrue([for range in var.web_server_ranges : tonumber(split("/", range)[1]) >= 16])
    error_message = "A range must be /16 or smaller: the web server is not for everybody."
  }
}

variable "dataflow_bucket" {
  description = "Bucket of the Flex Template."
  type        = string
}

variable "undeliverable_topic" {
  description = "Full name of the topic of what no table takes."
  type        = string
}

variable "pseudonym_key_version" {
  description = "Version of the secret with the key of the pseudonyms."
  type        = number
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
