output "registry" {
  description = "Where images go."
  value       = module.platform.registry
}

output "artifacts_bucket" {
  description = "Bucket of manifests and bundles."
  value       = module.platform.artifacts_bucket
}

output "dataflow_bucket" {
  description = "Bucket of the Flex Template and of the job's files."
  value       = module.platform.dataflow_bucket
}

output "subscription" {
  description = "Subscription that ingestion reads."
  value       = module.platform.subscription
}

output "undeliverable_topic" {
  description = "Topic of what no table takes."
  value       = module.platform.undeliverable_topic
}

output "policy_tags" {
  description = "Policy tags, by class of column."
  value       = module.platform.policy_tags
}

output "sql_connection_name" {
  description = "Connection name of the survey database."
  value       = module.platform.sql_connection_name
}

output "composer_bundle_prefix" {
  description = "Where Composer takes DAGs from."
  value       = module.platform.composer_bundle_prefix
}

output "airflow" {
  description = "Address of Airflow's web server."
  value       = module.platform.airflow
}

output "dashboard" {
  description = "Address of the dashboard; none until its image is given."
  value       = module.platform.dashboard
}

output "service_accounts" {
  description = "Addresses of the workloads' accounts."
  value       = module.platform.service_accounts
}

output "worker_subnetwork" {
  description = "Subnetwork of the ingestion job's workers."
  value       = module.platform.worker_subnetwork
}

output "alerts" {
  description = "The alerts; docs/runbooks/ has a page for each."
  value       = module.platform.alerts
}
