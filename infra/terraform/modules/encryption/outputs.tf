output "keys" {
  description = "The keys' resource names, by store; there once the store's agent may use its key."
  value       = { for name, key in google_kms_crypto_key.store : name => key.id }
  depends_on  = [google_kms_crypto_key_iam_member.agent]
}
