# Images, logs of access to buckets, and the triggers of Cloud Build.
resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "pbm"
  format        = "DOCKER"
  description   = "Images of the ingestion job and of the dashboard"
  kms_key_name  = var.kms_keys.registry

  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-last"
    action = "KEEP"

    most_recent_versions {
      keep_count = 20
    }
  }
}

resource "google_storage_bucket" "logs" {
  # checkov:skip=CKV_GCP_62:it holds the access logs, and logging access to it would never end
  project                     = var.project_id
  name                        = "${var.project_id}-pbm-logs-${var.environment}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  encryption {
    default_kms_key_name = var.kms_keys.storage
  }

  versioning {
    enabled = true
  }

  retention_policy {
    retention_period = 31536000
  }

  lifecycle_rule {
    condition {
      age = 400
    }

    action {
      type = "Delete"
    }
  }
}

# What a build leaves for the next one: dbt's manifest of the last delivery, and Composer's bundles.
resource "google_storage_bucket" "artifacts" {
  project                     = var.project_id
  name                        = "${var.project_id}-pbm-artifacts-${var.environment}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  encryption {
    default_kms_key_name = var.kms_keys.storage
  }

  versioning {
    enabled = true
  }

  logging {
    log_bucket = google_storage_bucket.logs.name
  }
}

locals {
  # each is a file of infra/cloudbuild/; a pull request is tested, the main branch is delivered. What
  # a pull request runs has read the warehouse only where its patients are synthetic.
  triggers = {
    for name, trigger in {
      test     = { file = "test.yaml", on_pull_request = true, reads_data = false }
      dbt-slim = { file = "dbt-slim.yaml", on_pull_request = true, reads_data = true }
      plan     = { file = "terraform-plan.yaml", on_pull_request = true, reads_data = false }
      images   = { file = "images.yaml", on_pull_request = false, reads_data = false }
      composer = { file = "composer.yaml", on_pull_request = false, reads_data = false }
    } : name => trigger if var.is_synthetic || !trigger.reads_data
  }
}

resource "google_cloudbuild_trigger" "build" {
  for_each = local.triggers

  project         = var.project_id
  location        = var.region
  name            = "pbm-${var.environment}-${each.key}"
  filename        = "infra/cloudbuild/${each.value.file}"
  service_account = var.account_names.ci

  repository_event_config {
    repository = var.repository

    dynamic "pull_request" {
      for_each = each.value.on_pull_request ? ["^main$"] : []

      content {
        branch          = pull_request.value
        comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
      }
    }

    dynamic "push" {
      for_each = each.value.on_pull_request ? [] : ["^main$"]

      content {
        branch = push.value
      }
    }
  }

  # nobody delivers to production without a second person
  approval_config {
    approval_required = var.approval_required && !each.value.on_pull_request
  }

  substitutions = {
    _REGION      = var.region
    _ENVIRONMENT = var.environment
    _REGISTRY    = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
    _ARTIFACTS   = google_storage_bucket.artifacts.name
    _DATAFLOW    = var.dataflow_bucket
    _COMPOSER    = var.composer_bundle_prefix
  }
}

# why: Cloud Build pushes images
resource "google_artifact_registry_repository_iam_member" "ci" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = var.members.ci
}

# why: workers and the template's launcher pull their image
resource "google_artifact_registry_repository_iam_member" "dataflow" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = var.members.dataflow
}

# why: Cloud Build keeps manifests and bundles
resource "google_storage_bucket_iam_member" "ci_artifacts" {
  bucket = google_storage_bucket.artifacts.name
  role   = "roles/storage.objectAdmin"
  member = var.members.ci
}

# why: builds with an account of their own write their logs; the role exists on projects only
resource "google_project_iam_member" "ci_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = var.members.ci
}

# why: dbt's slim build of a pull request makes datasets of its own, and owns what it makes
resource "google_project_iam_member" "ci_datasets" {
  count = var.is_synthetic ? 1 : 0

  project = var.project_id
  role    = "roles/bigquery.user"
  member  = var.members.ci
}
