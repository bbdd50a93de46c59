# One service account for each workload, and a key for none of them: workloads run as their account.
locals {
  workloads = {
    publisher = "Sends order events to the topic"
    dataflow  = "Runs the ingestion job's workers"
    composer  = "Runs Airflow"
    dbt       = "Builds silver and gold"
    dashboard = "Serves the dashboard"
    looker    = "Reads marts and survey views for Looker Studio"
    ci        = "Tests, builds images, and delivers"
    privacy   = "Erases patients and changes the key of their pseudonyms"
  }
}

resource "google_service_account" "workload" {
  for_each = local.workloads

  project      = var.project_id
  account_id   = "pbm-${each.key}"
  display_name = "PBM ${each.key}"
  description  = each.value
}
