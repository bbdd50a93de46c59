variable "project_id" {
  description = "Project of the platform."
  type        = string
}
