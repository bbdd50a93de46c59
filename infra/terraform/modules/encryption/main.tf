# One key for each kind of store, rotated every 90 days, so that access to one opens no other.
resource "google_kms_key_ring" "platform" {
  project  = var.project_id
  name     = "pbm-${var.environment}"
  location = var.region
}

resource "google_kms_crypto_key" "store" {
  for_each = toset(["bigquery", "pubsub", "storage", "sql", "secrets", "composer", "registry"])

  name            = each.value
  key_ring        = google_kms_key_ring.platform.id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"

  lifecycle {
    prevent_destroy = true
  }
}

# Google's agents use the key of their store on behalf of the workloads.
resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = toset([
    "artifactregistry.googleapis.com",
    "composer.googleapis.com",
    "pubsub.googleapis.com",
    "secretmanager.googleapis.com",
    "sqladmin.googleapis.com",
  ])

  project = var.project_id
  service = each.value
}

data "google_bigquery_default_service_account" "agent" {
  project = var.project_id
}

data "google_storage_project_service_account" "agent" {
  project = var.project_id
}

locals {
  agents = {
    bigquery = "serviceAccount:${data.google_bigquery_default_service_account.agent.email}"
    pubsub   = google_project_service_identity.agent["pubsub.googleapis.com"].member
    storage  = "serviceAccount:${data.google_storage_project_service_account.agent.email_address}"
    sql      = google_project_service_identity.agent["sqladmin.googleapis.com"].member
    secrets  = google_project_service_identity.agent["secretmanager.googleapis.com"].member
    composer = google_project_service_identity.agent["composer.googleapis.com"].member
    registry = google_project_service_identity.agent["artifactregistry.googleapis.com"].member
  }
}

# why: Google's agent of each store encrypts with that store's key, and with no other
resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.agents

  crypto_key_id = google_kms_crypto_key.store[each.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
