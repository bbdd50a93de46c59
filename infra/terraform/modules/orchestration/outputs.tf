output "bundle_prefix" {
  description = "Where DAGs go, as gs://BUCKET/dags."
  value       = google_composer_environment.airflow.config[0].dag_gcs_prefix
}

output "web_server" {
  description = "Address of Airflow's web server."
  value       = google_composer_environment.airflow.config[0].airflow_uri
}
