# Managed Service for Apache Airflow (Composer 3): nodes, web server and database without a public
# address.
resource "google_composer_environment" "airflow" {
  project = var.project_id
  name    = "pbm-${var.environment}"
  region  = var.region

  config {
    enable_private_environment = true
    enable_private_builds_only = true
    environment_size           = var.environment_size

    software_config {
      image_version = "composer-3-airflow-3.3.1"

      airflow_config_overrides = {
        secrets-backend                     = "airflow.providers.google.cloud.secrets.secret_manager.CloudSecretManagerBackend"
        secrets-backend_kwargs              = jsonencode({ project_id = var.project_id, connections_prefix = "pbm-airflow-connection", variables_prefix = "pbm-airflow-variable" })
        core-dags_are_paused_at_creation    = "True"
        core-max_active_runs_per_dag        = "1"
        core-hide_sensitive_var_conn_fields = "True"
        webserver-expose_config             = "False"
      }

      env_variables = {
        PBM_DBT_TARGET                      = "prod"
        PBM_DATAFLOW_TEMPLATE               = "gs://${var.dataflow_bucket}/templates/pbm-orders.json"
        PBM_DATAFLOW_PSEUDONYM_KEY_SECRET   = "projects/${var.project_id}/secrets/pbm-pseudonym-key/versions/${var.pseudonym_key_version}"
        PBM_PSEUDONYM_KEY_VERSION           = var.pseudonym_key_version
        PBM_DATAFLOW_SUPPRESSION_KEY_SECRET = "projects/${var.project_id}/secrets/pbm-suppression-key/versions/1"
        PBM_DATAFLOW_UNDELIVERABLE_TOPIC    = var.undeliverable_topic
        PBM_DATAFLOW_REGION                 = var.region
        PBM_DATAFLOW_SERVICE_ACCOUNT        = var.emails.dataflow
        PBM_DATAFLOW_SUBNETWORK             = var.subnetwork_id
        PBM_BIGQUERY_LOCATION               = var.region
        PBM_CLOUDSQL_CONNECTION             = "${var.project_id}.${var.region}.pbmpostgre"
      }
    }

    node_config {
      network         = var.network_id
      subnetwork      = var.subnetwork_id
      service_account = var.emails.composer
    }

    encryption_config {
      kms_key_name = var.kms_key
    }

    # none but these addresses reach the web server, on top of signing in
    web_server_network_access_control {
      dynamic "allowed_ip_range" {
        for_each = var.web_server_ranges

        content {
          value       = allowed_ip_range.value
          description = "operators"
        }
      }
    }

    workloads_config {
      scheduler {
        cpu        = 1
        memory_gb  = 4
        storage_gb = 2
        count      = 1
      }

      dag_processor {
        cpu        = 1
        memory_gb  = 4
        storage_gb = 2
        count      = 1
      }

      web_server {
        cpu        = 1
        memory_gb  = 2
        storage_gb = 1
      }

      worker {
        cpu        = 2
        memory_gb  = 8
        storage_gb = 10
        min_count  = 1
        max_count  = var.max_workers
      }
    }
  }

  depends_on = [google_project_iam_member.composer_worker]
}

# why: Airflow's components run as this account; the role exists on projects only
resource "google_project_iam_member" "composer_worker" {
  # checkov:skip=CKV_GCP_49:Composer asks for this role on the project, and for no other there
  project = var.project_id
  role    = "roles/composer.worker"
  member  = var.members.composer
}

# why: dbt's tasks run queries; a job belongs to a project, what it reads is bound to datasets
resource "google_project_iam_member" "dbt_jobs" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = var.members.dbt
}

# why: Airflow runs dbt as dbt's own account, by short-lived tokens
resource "google_service_account_iam_member" "composer_as_dbt" {
  service_account_id = var.account_names.dbt
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = var.members.composer
}

# why: Cloud Build puts the bundle of DAGs and dbt project into the environment's bucket
resource "google_storage_bucket_iam_member" "ci_bundle" {
  bucket = split("/", trimprefix(google_composer_environment.airflow.config[0].dag_gcs_prefix, "gs://"))[0]
  role   = "roles/storage.objectAdmin"
  member = var.members.ci
}
