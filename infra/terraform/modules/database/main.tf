# Surveys, in PostgreSQL with a private address, IAM logins, and TLS with client certificates or
# Google's connectors only.
resource "google_sql_database_instance" "pbmpostgre" {
  # checkov:skip=CKV_GCP_109:log_min_error_statement is panic, so that no statement with identifiers is logged
  # checkov:skip=CKV_GCP_6:it looks for require_ssl, which ssl_mode = ENCRYPTED_ONLY has replaced
  project             = var.project_id
  name                = "pbmpostgre"
  region              = var.region
  database_version    = "POSTGRES_18"
  encryption_key_name = var.kms_key
  deletion_protection = true

  settings {
    tier                        = var.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.availability_type
    disk_type                   = "PD_SSD"
    disk_autoresize             = true
    deletion_protection_enabled = true
    connector_enforcement       = "NOT_REQUIRED"

    ip_configuration {
      ipv4_enabled                                  = false
      private_network                               = var.network_id
      enable_private_path_for_google_cloud_services = true
      ssl_mode                                      = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
      start_time                     = "07:00"

      backup_retention_settings {
        retained_backups = 14
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 8
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      record_application_tags = true
      record_client_address   = false
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    # a failing statement may hold a patient's identifiers
    database_flags {
      name  = "log_min_error_statement"
      value = "panic"
    }

    database_flags {
      name  = "log_min_messages"
      value = "error"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_hostname"
      value = "on"
    }

    database_flags {
      name  = "log_statement"
      value = "ddl"
    }

    database_flags {
      name  = "log_duration"
      value = "on"
    }
  }
}

resource "google_sql_database" "pbmpostgre" {
  project  = var.project_id
  instance = google_sql_database_instance.pbmpostgre.name
  name     = "pbmpostgre"
}

# Logins without passwords. What each may read is granted by pbm/grants.sql (docs/security.md).
resource "google_sql_user" "workload" {
  for_each = toset(["composer", "dbt"])

  project  = var.project_id
  instance = google_sql_database_instance.pbmpostgre.name
  name     = trimsuffix(var.emails[each.value], ".gserviceaccount.com")
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"
}

# why: Airflow inserts survey answers; the condition narrows a role that exists on projects only
resource "google_project_iam_member" "composer_client" {
  project = var.project_id
  role    = "roles/cloudsql.client"
  member  = var.members.composer

  condition {
    title      = "only pbmpostgre"
    expression = "resource.name == \"projects/${var.project_id}/instances/pbmpostgre\""
  }
}

# why: Airflow logs in by IAM, without a password
resource "google_project_iam_member" "composer_login" {
  project = var.project_id
  role    = "roles/cloudsql.instanceUser"
  member  = var.members.composer

  condition {
    title      = "only pbmpostgre"
    expression = "resource.name == \"projects/${var.project_id}/instances/pbmpostgre\""
  }
}

# why: dbt builds the reporting views of target cloudsql
resource "google_project_iam_member" "dbt_client" {
  project = var.project_id
  role    = "roles/cloudsql.client"
  member  = var.members.dbt

  condition {
    title      = "only pbmpostgre"
    expression = "resource.name == \"projects/${var.project_id}/instances/pbmpostgre\""
  }
}

# why: dbt logs in by IAM, without a password
resource "google_project_iam_member" "dbt_login" {
  project = var.project_id
  role    = "roles/cloudsql.instanceUser"
  member  = var.members.dbt

  condition {
    title      = "only pbmpostgre"
    expression = "resource.name == \"projects/${var.project_id}/instances/pbmpostgre\""
  }
}
