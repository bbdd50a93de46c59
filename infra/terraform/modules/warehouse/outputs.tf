output "policy_tags" {
  description = "The policy tags' resource names, by class of column."
  value       = { for name, tag in google_data_catalog_policy_tag.class : name => tag.name }
}
