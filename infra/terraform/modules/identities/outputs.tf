output "emails" {
  description = "The accounts' addresses, by workload."
  value       = { for name, account in google_service_account.workload : name => account.email }
}

output "names" {
  description = "The accounts' resource names, by workload."
  value       = { for name, account in google_service_account.workload : name => account.name }
}

output "members" {
  description = "The accounts as members of a policy, by workload."
  value       = { for name, account in google_service_account.workload : name => account.member }
}
