# Alerts: each names its runbook in docs/runbooks/. Whoever is on call gets the runbook's words with
# the alert. A budget tells when the month costs more than was meant.
resource "google_monitoring_notification_channel" "on_call" {
  project      = var.project_id
  display_name = "PBM on call"
  type         = "email"

  labels = {
    email_address = var.on_call_email
  }
}

locals {
  # metric, resource and filter of each alert; the alert fires while the value is above the threshold
  alerts = {
    stream_lag = {
      title     = "Events wait for ingestion"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"orders-topic-sub\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = 300
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      severity  = "CRITICAL"
    }
    job_watermark = {
      title     = "The ingestion job falls behind or stands still"
      filter    = "resource.type = \"dataflow_job\" AND metric.type = \"dataflow.googleapis.com/job/data_watermark_age\""
      threshold = 600
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      severity  = "CRITICAL"
    }
    dead_letters = {
      title     = "Messages are refused"
      filter    = "resource.type = \"dataflow_job\" AND metric.type = \"dataflow.googleapis.com/job/user_counter\" AND metric.labels.metric_name = starts_with(\"dead_letters.\")"
      threshold = 50
      duration  = "0s"
      aligner   = "ALIGN_DELTA"
      severity  = "WARNING"
    }
    undeliverable = {
      title     = "Messages reached no table"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"orders-undeliverable-sub\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      threshold = 0
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      severity  = "CRITICAL"
    }
    freshness = {
      title     = "A DAG failed: silver, gold or surveys are not fresh"
      filter    = "resource.type = \"cloud_composer_workflow\" AND metric.type = \"composer.googleapis.com/workflow/run_count\" AND metric.labels.state = \"failed\""
      threshold = 0
      duration  = "0s"
      aligner   = "ALIGN_DELTA"
      severity  = "ERROR"
    }
    no_events = {
      title     = "No source sends events"
      filter    = "resource.type = \"pubsub_topic\" AND resource.labels.topic_id = \"orders-topic\" AND metric.type = \"pubsub.googleapis.com/topic/send_request_count\""
      threshold = 1
      duration  = "3600s"
      aligner   = "ALIGN_DELTA"
      severity  = "ERROR"
    }
    survey_database = {
      title     = "The survey database's disk is nearly full"
      filter    = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/disk/utilization\""
      threshold = 0.85
      duration  = "600s"
      aligner   = "ALIGN_MEAN"
      severity  = "WARNING"
    }
    dashboard_errors = {
      title     = "The dashboard answers with errors"
      filter    = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"pbm-dashboard\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      threshold = 5
      duration  = "0s"
      aligner   = "ALIGN_DELTA"
      severity  = "WARNING"
    }
  }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project               = var.project_id
  display_name          = "pbm ${each.key}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [google_monitoring_notification_channel.on_call.id]

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = each.key == "no_events" ? "COMPARISON_LT" : "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = each.value.aligner
      }

      # silence is what this one is about
      evaluation_missing_data = each.key == "no_events" ? "EVALUATION_MISSING_DATA_ACTIVE" : null
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = file("${path.module}/../../../../docs/runbooks/${each.key}.md")
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_billing_budget" "month" {
  billing_account = var.billing_account
  display_name    = "pbm-${var.environment}"

  budget_filter {
    projects = ["projects/${var.project_number}"]
  }

  amount {
    specified_amount {
      currency_code = "USD"
      units         = tostring(var.monthly_budget)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }

  threshold_rules {
    threshold_percent = 0.9
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [google_monitoring_notification_channel.on_call.id]
  }
}
