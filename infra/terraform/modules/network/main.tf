# A network with private addresses only. Workers reach Google's APIs by Private Google Access.
resource "google_compute_network" "platform" {
  project                 = var.project_id
  name                    = "pbm-${var.environment}"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "workers" {
  project                  = var.project_id
  name                     = "pbm-${var.environment}-workers"
  region                   = var.region
  network                  = google_compute_network.platform.id
  ip_cidr_range            = var.worker_range
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Dataflow's workers shuffle among themselves: https://cloud.google.com/dataflow/docs/guides/routes-firewall
resource "google_compute_firewall" "dataflow_workers" {
  project       = var.project_id
  name          = "pbm-${var.environment}-dataflow"
  network       = google_compute_network.platform.id
  direction     = "INGRESS"
  source_tags   = ["dataflow"]
  target_tags   = ["dataflow"]
  source_ranges = []

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}

# Cloud SQL's private address lies in this range.
resource "google_compute_global_address" "services" {
  project       = var.project_id
  name          = "pbm-${var.environment}-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.platform.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.platform.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}

# why: the ingestion job's workers get addresses in this subnetwork
resource "google_compute_subnetwork_iam_member" "dataflow" {
  project    = var.project_id
  region     = var.region
  subnetwork = google_compute_subnetwork.workers.name
  role       = "roles/compute.networkUser"
  member     = var.members.dataflow
}
