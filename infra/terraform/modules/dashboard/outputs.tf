output "address" {
  description = "Address of the dashboard."
  value       = google_cloud_run_v2_service.dashboard.uri
}
