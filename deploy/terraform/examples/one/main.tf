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
  default   = null
}

# What is left out has the module's default. `make deploy` takes these from serverless.yml.
variable "name" {
  type    = string
  default = null
}
variable "settings" {
  type    = map(string)
  default = null
}
variable "live_key" {
  type    = string
  default = null
}
variable "image_key" {
  type    = string
  default = null
}
variable "upload_prefix" {
  type    = string
  default = null
}
variable "state_prefix" {
  type    = string
  default = null
}
variable "memory" {
  type    = number
  default = null
}
variable "timeout" {
  type    = number
  default = null
}
variable "fixed_ip" {
  type    = bool
  default = null
}
variable "alarm_receivers" {
  type    = list(number)
  default = null
}

module "livepair" {
  source          = "../.."
  name            = var.name
  region          = var.region
  bucket          = var.bucket
  state_bucket    = var.state_bucket
  webhook_url     = var.webhook_url
  webhook_secret  = var.webhook_secret
  state_secret    = var.state_secret
  settings        = var.settings
  live_key        = var.live_key
  image_key       = var.image_key
  upload_prefix   = var.upload_prefix
  state_prefix    = var.state_prefix
  memory          = var.memory
  timeout         = var.timeout
  fixed_ip        = var.fixed_ip
  bundle          = var.bundle
  alarm_receivers = var.alarm_receivers
}

output "next" {
  value = module.livepair.next
}
