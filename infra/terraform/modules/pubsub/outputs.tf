output "subscription" {
  description = "Full name of the subscription that ingestion reads."
  value       = google_pubsub_subscription.orders.id
}

output "undeliverable_topic" {
  description = "Full name of the topic of what no table takes."
  value       = google_pubsub_topic.undeliverable.id
}
