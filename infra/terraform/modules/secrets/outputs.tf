output "ids" {
  description = "The secrets' ids, by what they are for."
  value       = { for name, secret in google_secret_manager_secret.named : name => secret.secret_id }
}
