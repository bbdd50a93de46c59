# The whole platform in one project and one region.
data "google_project" "current" {
  project_id = var.project_id
}

module "services" {
  source = "../services"

  project_id = var.project_id
}

module "identities" {
  source = "../identities"

  project_id = var.project_id
  depends_on = [module.services]
}

module "encryption" {
  source = "../encryption"

  project_id  = var.project_id
  region      = var.region
  environment = var.environment
  depends_on  = [module.services]
}

module "network" {
  source = "../network"

  project_id   = var.project_id
  region       = var.region
  environment  = var.environment
  worker_range = var.worker_range
  members      = module.identities.members
  depends_on   = [module.services]
}

module "secrets" {
  source = "../secrets"

  project_id = var.project_id
  region     = var.region
  kms_key    = module.encryption.keys.secrets
  members    = module.identities.members
}

module "pubsub" {
  source = "../pubsub"

  project_id   = var.project_id
  region       = var.region
  kms_key      = module.encryption.keys.pubsub
  members      = module.identities.members
  is_synthetic = var.is_synthetic
}

module "warehouse" {
  source = "../warehouse"

  project_id                = var.project_id
  region                    = var.region
  environment               = var.environment
  kms_key                   = module.encryption.keys.bigquery
  members                   = module.identities.members
  days_kept                 = var.days_kept
  is_synthetic              = var.is_synthetic
  survey_connection_is_made = var.survey_connection_is_made
}

module "database" {
  source = "../database"

  project_id        = var.project_id
  region            = var.region
  network_id        = module.network.network_id
  kms_key           = module.encryption.keys.sql
  tier              = var.sql_tier
  availability_type = var.sql_availability_type
  emails            = module.identities.emails
  members           = module.identities.members
}

module "ingestion" {
  source = "../ingestion"

  project_id    = var.project_id
  region        = var.region
  environment   = var.environment
  kms_key       = module.encryption.keys.storage
  log_bucket    = module.delivery.log_bucket
  members       = module.identities.members
  account_names = module.identities.names
}

module "orchestration" {
  source = "../orchestration"

  project_id            = var.project_id
  region                = var.region
  environment           = var.environment
  network_id            = module.network.network_id
  subnetwork_id         = module.network.worker_subnetwork_id
  kms_key               = module.encryption.keys.composer
  web_server_ranges     = var.web_server_ranges
  dataflow_bucket       = "${var.project_id}-pbm-dataflow-${var.environment}"
  undeliverable_topic   = module.pubsub.undeliverable_topic
  pseudonym_key_version = var.pseudonym_key_version
  emails                = module.identities.emails
  members               = module.identities.members
  account_names         = module.identities.names
}

module "dashboard" {
  source = "../dashboard"
  count  = var.dashboard_image == null ? 0 : 1

  project_id    = var.project_id
  region        = var.region
  image         = var.dashboard_image
  kms_key       = module.encryption.keys.registry
  network_id    = module.network.network_id
  subnetwork_id = module.network.worker_subnetwork_id
  oidc_secret   = module.secrets.ids["dashboard-oidc"]
  viewers       = var.dashboard_viewers
  emails        = module.identities.emails
  members       = module.identities.members
  account_names = module.identities.names
}

module "delivery" {
  source = "../delivery"

  project_id             = var.project_id
  region                 = var.region
  environment            = var.environment
  kms_keys               = module.encryption.keys
  repository             = var.repository
  is_synthetic           = var.is_synthetic
  approval_required      = var.environment == "production"
  dataflow_bucket        = "${var.project_id}-pbm-dataflow-${var.environment}"
  composer_bundle_prefix = module.orchestration.bundle_prefix
  members                = module.identities.members
  account_names          = module.identities.names
}

module "monitoring" {
  source = "../monitoring"

  project_id      = var.project_id
  project_number  = data.google_project.current.number
  environment     = var.environment
  on_call_email   = var.on_call_email
  billing_account = var.billing_account
  monthly_budget  = var.monthly_budget
  depends_on      = [module.services]
}
