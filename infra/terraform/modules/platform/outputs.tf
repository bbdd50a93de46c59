output "registry" {
  description = "Where images go."
  value       = module.delivery.registry
}

output "artifacts_bucket" {
  description = "Bucket of manifests and bundles."
  value       = module.delivery.artifacts_bucket
}

output "dataflow_bucket" {
  description = "Bucket of the Flex Template and of the job's files."
  value       = module.ingestion.bucket
}

output "subscription" {
  description = "Subscription that ingestion reads."
  value       = module.pubsub.subscription
}

output "undeliverable_topic" {
  description = "Topic of what no table takes."
  value       = module.pubsub.undeliverable_topic
}

output "policy_tags" {
  description = "Policy tags, by class of column."
  value       = module.warehouse.policy_tags
}

output "sql_connection_name" {
  description = "Connection name of the survey database."
  value       = module.database.connection_name
}

output "composer_bundle_prefix" {
  description = "Where Composer takes DAGs from."
  value       = module.orchestration.bundle_prefix
}

output "airflow" {
  description = "Address of Airflow's web server."
  value       = module.orchestration.web_server
}

output "dashboard" {
  description = "Address of the dashboard; none until its image is given."
  value       = one(module.dashboard[*].address)
}

output "service_accounts" {
  description = "Addresses of the workloads' accounts."
  value       = module.identities.emails
}

output "worker_subnetwork" {
  description = "Subnetwork of the ingestion job's workers."
  value       = module.network.worker_subnetwork_id
}

output "alerts" {
  description = "The alerts; docs/runbooks/ has a page for each."
  value       = module.monitoring.alerts
}
