# Two functions, as for two applications or for staging and production. Each has buckets, role, logs and alarms of its
# own. They share the account's calls per second, so these are split.
terraform {
  required_providers {
    tencentcloud = {
      source = "tencentcloudstack/tencentcloud"
    }
  }
}

provider "tencentcloud" {
  region = "ap-singapore"
}

variable "bundle" { type = string }
variable "webhook_secrets" {
  description = "By function: whoever has the one's cannot sign the other's messages."
  type        = map(string)
  sensitive   = true
}

locals {
  functions = {
    production = { webhook_url = "https://example.com/livepair", api_rate = 4, reserved_memory = 20480 }
    staging    = { webhook_url = "https://staging.example.com/livepair", api_rate = 1, reserved_memory = 2560 }
  }
}

module "livepair" {
  source          = "../.."
  for_each        = local.functions
  name            = "livepair-${each.key}"
  region          = "ap-singapore"
  bucket          = "faces-${each.key}-1250000000"
  state_bucket    = "faces-state-${each.key}-1250000000"
  webhook_url     = each.value.webhook_url
  webhook_secret  = var.webhook_secrets[each.key]
  reserved_memory = each.value.reserved_memory
  settings        = { API_RATE = tostring(each.value.api_rate) }
  bundle          = var.bundle
}

output "next" {
  value = { for name, made in module.livepair : name => made.next }
}
