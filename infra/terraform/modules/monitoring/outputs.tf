output "alerts" {
  description = "The alerts, each of which has a runbook of its name."
  value       = keys(google_monitoring_alert_policy.alert)
}
