output "enabled" {
  description = "The APIs, once they are on: what needs them depends on this."
  value       = [for api in google_project_service.api : api.service]
}
