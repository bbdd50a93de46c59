# Datasets, the tables that ingestion writes, and the policy tags of their columns. What a column
# tells about a patient is said in the dbt project; `pbm privacy write` makes bigquery.json of it.
locals {
  privacy  = jsondecode(file("${path.module}/../../../privacy/bigquery.json"))
  contract = jsondecode(file("${path.module}/../../../contract/bronze_bigquery.json"))

  datasets = {
    pbm_bronze  = "Messages as received, and those that were not accepted"
    pbm_speed   = "Live counts of the stream"
    pbm_ops     = "Whose messages are not kept, what was erased, and versions of the key"
    pbm_seeds   = "Lists that change by a commit"
    pbm_silver  = "Clean events and orders, without direct identifiers"
    pbm_gold    = "The star schema and the daily marts"
    pbm_serving = "Batch and speed joined"
  }
}

resource "google_data_catalog_taxonomy" "privacy" {
  project                = var.project_id
  region                 = var.region
  display_name           = "pbm-privacy-${var.environment}"
  description            = "What a column tells about a patient"
  activated_policy_types = ["FINE_GRAINED_ACCESS_CONTROL"]
}

resource "google_data_catalog_policy_tag" "class" {
  for_each = local.privacy.policy_tags

  taxonomy     = google_data_catalog_taxonomy.privacy.id
  display_name = each.key
  description  = each.value.description
}

# How a column is shown to whoever may see it masked. A direct identifier is never shown at all.
resource "google_bigquery_datapolicy_data_policy" "masked" {
  for_each = { for name, tag in local.privacy.policy_tags : name => tag if tag.masking != null }

  project          = var.project_id
  location         = var.region
  data_policy_id   = "pbm_${var.environment}_${each.key}"
  data_policy_type = "DATA_MASKING_POLICY"
  policy_tag       = google_data_catalog_policy_tag.class[each.key].name

  data_masking_policy {
    predefined_expression = each.value.masking
  }
}

resource "google_bigquery_dataset" "layer" {
  for_each = local.datasets

  project                    = var.project_id
  dataset_id                 = each.key
  location                   = var.region
  description                = each.value
  delete_contents_on_destroy = false
  max_time_travel_hours      = 168

  default_encryption_configuration {
    kms_key_name = var.kms_key
  }

  # the defaults would let every reader of the project read all of it
  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  lifecycle {
    # members are given below, one by one
    ignore_changes = [access]
  }
}

resource "google_bigquery_table" "written_by_ingestion" {
  for_each = local.contract

  project                  = var.project_id
  dataset_id               = google_bigquery_dataset.layer[split(".", each.key)[0]].dataset_id
  table_id                 = split(".", each.key)[1]
  description              = each.value.description
  deletion_protection      = true
  require_partition_filter = false
  clustering               = each.value.clustering

  time_partitioning {
    type          = "DAY"
    field         = each.value.partitioned_by
    expiration_ms = lookup(var.days_kept, each.key, null) == null ? null : var.days_kept[each.key] * 86400000
  }

  encryption_configuration {
    kms_key_name = var.kms_key
  }

  schema = jsonencode([
    for column in each.value.schema : merge(column, {
      for name in ["policyTags"] : name => {
        names = [google_data_catalog_policy_tag.class[local.privacy.columns[each.key][column.name]].name]
      } if contains(keys(lookup(local.privacy.columns, each.key, {})), column.name)
    })
  ])
}

# why: the ingestion job appends messages and dead letters
resource "google_bigquery_dataset_iam_member" "dataflow_bronze" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_bronze"].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.members.dataflow
}

# why: the ingestion job appends live panes
resource "google_bigquery_dataset_iam_member" "dataflow_speed" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_speed"].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.members.dataflow
}

# why: the ingestion job reads whose messages are not kept
resource "google_bigquery_dataset_iam_member" "dataflow_ops" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_ops"].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.dataflow
}

# why: a patient is erased from every layer, and bronze gets new pseudonyms when the key changes
resource "google_bigquery_dataset_iam_member" "privacy" {
  for_each = toset(["pbm_bronze", "pbm_speed", "pbm_ops", "pbm_silver", "pbm_gold", "pbm_serving"])

  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer[each.value].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.members.privacy
}

# why: who erases reads messages and pseudonyms as they are, to find the patient's
resource "google_data_catalog_policy_tag_iam_member" "privacy" {
  for_each = google_data_catalog_policy_tag.class

  policy_tag = each.value.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.members.privacy
}

# why: erasing and changing the key are queries; a job belongs to a project
resource "google_project_iam_member" "privacy_jobs" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = var.members.privacy
}

# why: an erasure waits for the jobs of others that may have read the patient before
resource "google_project_iam_member" "privacy_sees_jobs" {
  project = var.project_id
  role    = "roles/bigquery.resourceViewer"
  member  = var.members.privacy
}

# why: dbt reads messages to make silver
resource "google_bigquery_dataset_iam_member" "dbt_bronze" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_bronze"].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.dbt
}

# why: dbt reads live panes for reconciliation and serving
resource "google_bigquery_dataset_iam_member" "dbt_speed" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_speed"].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.dbt
}

# why: dbt makes the tables and views of seeds, silver, gold and serving
resource "google_bigquery_dataset_iam_member" "dbt_made" {
  for_each = toset(["pbm_seeds", "pbm_silver", "pbm_gold", "pbm_serving"])

  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer[each.value].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.members.dbt
}

# why: dbt reads survey answers through the connection. The connection itself holds a password, which
# must not be in Terraform's state: a person makes it (docs/deployment.md), and says that it is there.
resource "google_bigquery_connection_iam_member" "dbt_surveys" {
  count = var.survey_connection_is_made ? 1 : 0

  project       = var.project_id
  location      = var.region
  connection_id = "pbmpostgre"
  role          = "roles/bigquery.connectionUser"
  member        = var.members.dbt
}

# why: dbt reads payloads and pseudonyms as they are, to parse the one and join by the other
resource "google_data_catalog_policy_tag_iam_member" "dbt" {
  for_each = google_data_catalog_policy_tag.class

  policy_tag = each.value.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.members.dbt
}

# why: Beam's sink looks at the table that it writes, tags included
resource "google_data_catalog_policy_tag_iam_member" "dataflow" {
  for_each = google_data_catalog_policy_tag.class

  policy_tag = each.value.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.members.dataflow
}

# why: the dashboard reads gold, serving and live counts, and neither bronze nor silver
resource "google_bigquery_dataset_iam_member" "dashboard" {
  for_each = toset(["pbm_gold", "pbm_serving", "pbm_speed"])

  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer[each.value].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.dashboard
}

# why: the dashboard shows orders by number, and states on a map
resource "google_data_catalog_policy_tag_iam_member" "dashboard" {
  for_each = toset(["sensitive", "quasi_identifier"])

  policy_tag = google_data_catalog_policy_tag.class[each.value].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.members.dashboard
}

# why: Looker Studio reads the marts
resource "google_bigquery_dataset_iam_member" "looker" {
  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer["pbm_gold"].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.looker
}

# why: what Looker Studio shows of patients and orders is masked
resource "google_bigquery_datapolicy_data_policy_iam_member" "looker" {
  for_each = google_bigquery_datapolicy_data_policy.masked

  project        = var.project_id
  location       = var.region
  data_policy_id = each.value.data_policy_id
  role           = "roles/bigquerydatapolicy.maskedReader"
  member         = var.members.looker
}

# why: a pull request's slim build reads what it does not build itself (staging only, synthetic)
resource "google_bigquery_dataset_iam_member" "ci" {
  for_each = { for name, what in local.datasets : name => what if var.is_synthetic }

  project    = var.project_id
  dataset_id = google_bigquery_dataset.layer[each.key].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.members.ci
}

# why: it parses payloads, as dbt does (staging only, synthetic)
resource "google_data_catalog_policy_tag_iam_member" "ci" {
  for_each = { for name, tag in google_data_catalog_policy_tag.class : name => tag if var.is_synthetic }

  policy_tag = each.value.name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.members.ci
}
