output "registry" {
  description = "Where images go."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "log_bucket" {
  description = "Bucket of access logs."
  value       = google_storage_bucket.logs.name
}

output "artifacts_bucket" {
  description = "Bucket of manifests and bundles."
  value       = google_storage_bucket.artifacts.name
}
