# The canonical form of an event (infra/contract/). It is not attached to the topic: a topic with a
# schema refuses what silver can still read, and such a message would be nowhere.
resource "google_pubsub_schema" "order_event" {
  project    = var.project_id
  name       = "order-event"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/../../../contract/order_event.proto")
}

resource "google_pubsub_topic" "orders" {
  project                    = var.project_id
  name                       = "orders-topic"
  kms_key_name               = var.kms_key
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  dynamic "schema_settings" {
    for_each = var.attach_schema ? [google_pubsub_schema.order_event.id] : []

    content {
      schema   = schema_settings.value
      encoding = "JSON"
    }
  }
}

# What Pub/Sub could not deliver, and rows that not even the dead letters' table takes.
resource "google_pubsub_topic" "undeliverable" {
  project                    = var.project_id
  name                       = "orders-undeliverable"
  kms_key_name               = var.kms_key
  message_retention_duration = "604800s"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_subscription" "orders" {
  project                    = var.project_id
  name                       = "orders-topic-sub"
  topic                      = google_pubsub_topic.orders.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.undeliverable.id
    max_delivery_attempts = 100
  }
}

resource "google_pubsub_subscription" "undeliverable" {
  project                    = var.project_id
  name                       = "orders-undeliverable-sub"
  topic                      = google_pubsub_topic.undeliverable.id
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

data "google_project" "current" {
  project_id = var.project_id
}

locals {
  agent = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# why: sources send order events
resource "google_pubsub_topic_iam_member" "publisher" {
  project = var.project_id
  topic   = google_pubsub_topic.orders.name
  role    = "roles/pubsub.publisher"
  member  = var.members.publisher
}

# why: the ingestion job reads the events
resource "google_pubsub_subscription_iam_member" "dataflow" {
  project      = var.project_id
  subscription = google_pubsub_subscription.orders.name
  role         = "roles/pubsub.subscriber"
  member       = var.members.dataflow
}

# why: the job looks at the subscription and its topic before it reads
resource "google_pubsub_subscription_iam_member" "dataflow_viewer" {
  project      = var.project_id
  subscription = google_pubsub_subscription.orders.name
  role         = "roles/pubsub.viewer"
  member       = var.members.dataflow
}

# why: the job publishes what no table takes
resource "google_pubsub_topic_iam_member" "dataflow_undeliverable" {
  project = var.project_id
  topic   = google_pubsub_topic.undeliverable.name
  role    = "roles/pubsub.publisher"
  member  = var.members.dataflow
}

# why: the daily DAG publishes generated orders where it is told to (staging only)
resource "google_pubsub_topic_iam_member" "composer" {
  count = var.is_synthetic ? 1 : 0

  project = var.project_id
  topic   = google_pubsub_topic.orders.name
  role    = "roles/pubsub.publisher"
  member  = var.members.composer
}

# why: Pub/Sub itself moves what it could not deliver
resource "google_pubsub_topic_iam_member" "agent_undeliverable" {
  project = var.project_id
  topic   = google_pubsub_topic.undeliverable.name
  role    = "roles/pubsub.publisher"
  member  = local.agent
}

# why: Pub/Sub itself acknowledges what it has moved
resource "google_pubsub_subscription_iam_member" "agent" {
  project      = var.project_id
  subscription = google_pubsub_subscription.orders.name
  role         = "roles/pubsub.subscriber"
  member       = local.agent
}
