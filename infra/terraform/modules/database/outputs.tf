output "connection_name" {
  description = "Connection name of the instance, as connectors take it."
  value       = google_sql_database_instance.pbmpostgre.connection_name
}

output "private_address" {
  description = "Private address of the instance."
  value       = google_sql_database_instance.pbmpostgre.private_ip_address
}
