# The production environment: one project, one region. Values are in terraform.tfvars, which is made from
# terraform.tfvars.example and not committed.
module "platform" {
  source = "../../modules/platform"

  environment               = "production"
  project_id                = var.project_id
  region                    = var.region
  web_server_ranges         = var.web_server_ranges
  repository                = var.repository
  on_call_email             = var.on_call_email
  billing_account           = var.billing_account
  monthly_budget            = var.monthly_budget
  dashboard_image           = var.dashboard_image
  dashboard_viewers         = var.dashboard_viewers
  pseudonym_key_version     = var.pseudonym_key_version
  survey_connection_is_made = var.survey_connection_is_made

}
