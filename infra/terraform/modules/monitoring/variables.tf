variable "project_id" {
  description = "Project of the platform."
  type        = string
}

variable "project_number" {
  description = "Number of the project."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "on_call_email" {
  description = "Address of whoever is on call."
  type        = string
}

variable "billing_account" {
  description = "Billing account of the project."
  type        = string
}

variable "monthly_budget" {
  description = "What a month is meant to cost, in US dollars."
  type        = number
}
