output "bucket" {
  description = "Bucket of the template and of the job's files."
  value       = google_storage_bucket.dataflow.name
}
