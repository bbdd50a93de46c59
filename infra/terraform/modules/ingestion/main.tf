# Where the Flex Template and the ingestion job keep their files.
resource "google_storage_bucket" "dataflow" {
  project                     = var.project_id
  name                        = "${var.project_id}-pbm-dataflow-${var.environment}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  encryption {
    default_kms_key_name = var.kms_key
  }

  versioning {
    enabled = true
  }

  # staged files of jobs that ended long ago
  lifecycle_rule {
    condition {
      age            = 30
      matches_prefix = ["staging/", "temp/"]
    }

    action {
      type = "Delete"
    }
  }

  logging {
    log_bucket = var.log_bucket
  }
}

# why: the job stages and reads its files
resource "google_storage_bucket_iam_member" "dataflow" {
  bucket = google_storage_bucket.dataflow.name
  role   = "roles/storage.objectAdmin"
  member = var.members.dataflow
}

# why: Airflow reads the template's specification when it launches the job
resource "google_storage_bucket_iam_member" "composer" {
  bucket = google_storage_bucket.dataflow.name
  role   = "roles/storage.objectViewer"
  member = var.members.composer
}

# why: Cloud Build puts the template's specification there
resource "google_storage_bucket_iam_member" "ci" {
  bucket = google_storage_bucket.dataflow.name
  role   = "roles/storage.objectAdmin"
  member = var.members.ci
}

# why: a worker registers with the service and reports its work; the role exists on projects only
resource "google_project_iam_member" "dataflow_worker" {
  project = var.project_id
  role    = "roles/dataflow.worker"
  member  = var.members.dataflow
}

# why: Airflow looks the job up and launches it; Dataflow has no resource to bind to before a job runs
resource "google_project_iam_member" "composer_dataflow" {
  # checkov:skip=CKV_GCP_49:jobs come and go, so that Google binds this role to projects only
  project = var.project_id
  role    = "roles/dataflow.developer"
  member  = var.members.composer
}

# why: Airflow starts the job as the workers' account
resource "google_service_account_iam_member" "composer_as_dataflow" {
  service_account_id = var.account_names.dataflow
  role               = "roles/iam.serviceAccountUser"
  member             = var.members.composer
}
