# One function. `make deploy` fills the variables in from .env; by hand: export TF_VAR_region=… and so on.
terraform {
  required_providers {
    tencentcloud = {
      source = "tencentcloudstack/tencentcloud"
    }
  }
  # The state holds the webhook's secret in the clear. Keep it where only who deploys can read it, for example:
  # backend "cos" {
  #   region  = "ap-singapore"
  #   bucket  = "terraform-1250000000" # not one of livepair's
  #   encrypt = true
  # }
}

provider "tencentcloud" {
  region = var.region # keys: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY
}

variable "region" { type = string }
variable "bucket" { type = string }
variable "state_bucket" { type = string }
variable "webhook_url" { type = string }
variable "bundle" { type = string }
variable "webhook_secret" {
  type      = string
  sensitive = true
}
variable "state_secret" {
  type      = string
  sensitive = true
  default   = ""
}
variable "alarm_receivers" {
  type    = list(number)
  default = []
}

module "livepair" {
  source          = "../.."
  region          = var.region
  bucket          = var.bucket
  state_bucket    = var.state_bucket
  webhook_url     = var.webhook_url
  webhook_secret  = var.webhook_secret
  state_secret    = var.state_secret
  bundle          = var.bundle
  alarm_receivers = var.alarm_receivers
}

output "next" {
  value = module.livepair.next
}
