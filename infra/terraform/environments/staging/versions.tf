terraform {
  required_version = "~> 1.9"

  # the bucket is named when Terraform is initialised: docs/deployment.md
  backend "gcs" {
    prefix = "pbm"
  }

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }

    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 6.50"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

provider "google-beta" {
  project = var.project_id
  region  = var.region
}
