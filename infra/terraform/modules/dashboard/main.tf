# The dashboard on Cloud Run, behind Identity-Aware Proxy, and not reachable around it.
resource "google_cloud_run_v2_service" "dashboard" {
  provider = google-beta

  project              = var.project_id
  name                 = "pbm-dashboard"
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_ALL"
  iap_enabled          = true
  invoker_iam_disabled = false
  deletion_protection  = true

  template {
    service_account                  = var.emails.dashboard
    max_instance_request_concurrency = 40
    timeout                          = "3600s"
    session_affinity                 = true
    encryption_key                   = var.kms_key

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = var.network_id
        subnetwork = var.subnetwork_id
      }
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits = {
          cpu    = "2"
          memory = "2Gi"
        }
      }

      env {
        name  = "GOOGLE_CLOUD_PROJECT"
        value = var.project_id
      }

      env {
        name  = "PBM_WAREHOUSE"
        value = "bigquery"
      }

      env {
        name  = "PBM_BIGQUERY_LOCATION"
        value = var.region
      }

      volume_mounts {
        name       = "oidc"
        mount_path = "/secrets"
      }

      startup_probe {
        initial_delay_seconds = 5
        period_seconds        = 5
        failure_threshold     = 12

        http_get {
          path = "/_stcore/health"
        }
      }

      liveness_probe {
        period_seconds = 30

        http_get {
          path = "/_stcore/health"
        }
      }
    }

    volumes {
      name = "oidc"

      secret {
        secret = var.oidc_secret

        items {
          version = "latest"
          path    = "secrets.toml"
        }
      }
    }
  }
}

data "google_project" "current" {
  project_id = var.project_id
}

# why: only Identity-Aware Proxy calls the service, on behalf of people whom it has let in
resource "google_cloud_run_v2_service_iam_member" "iap" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.dashboard.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

# why: these groups may look at the dashboard
resource "google_iap_web_cloud_run_service_iam_member" "viewers" {
  for_each = toset(var.viewers)

  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.dashboard.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

# why: the dashboard runs queries; a job belongs to a project, what it reads is bound to datasets
resource "google_project_iam_member" "dashboard_jobs" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = var.members.dashboard
}

# why: Looker Studio runs queries as this account
resource "google_project_iam_member" "looker_jobs" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = var.members.looker
}

# why: Cloud Build puts a new image into service
resource "google_cloud_run_v2_service_iam_member" "ci" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.dashboard.name
  role     = "roles/run.developer"
  member   = var.members.ci
}

# why: Cloud Build starts the service as the dashboard's account
resource "google_service_account_iam_member" "ci_as_dashboard" {
  service_account_id = var.account_names.dashboard
  role               = "roles/iam.serviceAccountUser"
  member             = var.members.ci
}
