# Names only. Values are added by a person (docs/deployment.md), so that none is in Terraform's state.
resource "google_secret_manager_secret" "named" {
  for_each = toset(["pseudonym-key", "suppression-key", "dashboard-oidc"])

  project   = var.project_id
  secret_id = "pbm-${each.value}"

  replication {
    user_managed {
      replicas {
        location = var.region

        customer_managed_encryption {
          kms_key_name = var.kms_key
        }
      }
    }
  }
}

# why: each worker fetches the key of the pseudonyms; the job holds the secret's name only
resource "google_secret_manager_secret_iam_member" "dataflow_pseudonym_key" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.named["pseudonym-key"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members.dataflow
}

# why: each worker recognises erased patients by it, and leaves out what names them
resource "google_secret_manager_secret_iam_member" "dataflow_suppression_key" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.named["suppression-key"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members.dataflow
}

# why: who erases a patient finds the rows by the pseudonym
resource "google_secret_manager_secret_iam_member" "privacy_pseudonym_key" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.named["pseudonym-key"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members.privacy
}

# why: who erases a patient puts the patient and the orders on the list
resource "google_secret_manager_secret_iam_member" "privacy_suppression_key" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.named["suppression-key"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members.privacy
}

# why: the dashboard signs people in with it (st.login, OIDC)
resource "google_secret_manager_secret_iam_member" "dashboard_oidc" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.named["dashboard-oidc"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members.dashboard
}
