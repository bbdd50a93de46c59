output "network_id" {
  description = "The network; there once Cloud SQL can have an address in it."
  value       = google_compute_network.platform.id
  depends_on  = [google_service_networking_connection.services]
}

output "worker_subnetwork_id" {
  description = "The subnetwork of workers."
  value       = google_compute_subnetwork.workers.id
}
