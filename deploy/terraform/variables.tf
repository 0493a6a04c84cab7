variable "name" {
  description = "Of the function, its role, its policies and its logs."
  type        = string
  default     = "livepair"
  nullable    = false
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,38}[A-Za-z0-9]$", var.name))
    error_message = "A name begins with a letter, ends with a letter or digit, and has 2 to 40 characters."
  }
}

variable "region" {
  description = "Of the buckets, the function and the API."
  type        = string
  validation {
    condition     = contains(["ap-bangkok", "ap-hongkong", "ap-singapore"], var.region)
    error_message = "The API is in ap-bangkok, ap-hongkong and ap-singapore only."
  }
}

variable "bucket" {
  description = "Of the uploads, name-appid. The module makes it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]*-[0-9]{8,}$", var.bucket))
    error_message = "A bucket is called name-appid, like faces-1250000000."
  }
}

variable "state_bucket" {
  description = "Of claims, records, agenda and best frames, name-appid: another one. The module makes it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]*-[0-9]{8,}$", var.state_bucket)) && var.state_bucket != var.bucket
    error_message = "A state bucket is called name-appid, and is not the bucket of the uploads."
  }
}

variable "webhook_url" {
  description = "Where outcomes are posted."
  type        = string
  validation {
    condition     = startswith(var.webhook_url, "https://")
    error_message = "The webhook's address begins with https://."
  }
}

variable "webhook_secret" {
  description = "whsec_ and base64; several, separated by spaces, while rotating. It ends up in Terraform's state."
  type        = string
  sensitive   = true
  validation {
    condition     = alltrue([for each in split(" ", var.webhook_secret) : can(regex("^whsec_[A-Za-z0-9+/]{32,86}={0,2}$", each))])
    error_message = "A secret is whsec_ and the base64 of 24 to 64 bytes; echo whsec_$(head -c 32 /dev/urandom | base64) makes one."
  }
}

variable "state_secret" {
  description = "Seals the records; empty: derived from webhook_secret. It ends up in Terraform's state."
  type        = string
  sensitive   = true
  default     = ""
  nullable    = false
}

variable "upload_prefix" {
  description = "The trigger's prefix: what the keys of all uploads begin with, and no state does."
  type        = string
  default     = "uploads/"
  nullable    = false
  validation {
    condition     = can(regex("^[^{}*]+/$", var.upload_prefix)) && !startswith(var.state_prefix, var.upload_prefix)
    error_message = "The prefix is fixed, ends with / and covers no state: else writing state wakes the function."
  }
}

variable "live_key" {
  description = "Key template of the live package; alternatives separated by commas."
  type        = string
  default     = "uploads/{id}/live.gz"
  nullable    = false
  validation {
    condition     = alltrue([for each in split(",", var.live_key) : startswith(trimspace(each), var.upload_prefix)])
    error_message = "Every template begins with upload_prefix: else no trigger tells of its uploads."
  }
}

variable "image_key" {
  description = "Key template of the image; alternatives separated by commas."
  type        = string
  default     = "uploads/{id}/image.jpg"
  nullable    = false
  validation {
    condition     = alltrue([for each in split(",", var.image_key) : startswith(trimspace(each), var.upload_prefix)])
    error_message = "Every template begins with upload_prefix: else no trigger tells of its uploads."
  }
}

variable "state_prefix" {
  description = "What the keys of state begin with; it is followed by the name of the uploads' bucket."
  type        = string
  default     = "livepair/"
  nullable    = false
  validation {
    condition     = can(regex("^[^{}*]+/$", var.state_prefix))
    error_message = "The prefix is fixed and ends with /."
  }
}

variable "settings" {
  description = "All other settings of the function by their names, as texts; what is left out has its default."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition = length(setsubtract(keys(var.settings), [
      "MIN_SIMILARITY", "PAIR_TIMEOUT", "PASS_RESOURCES", "KEEP_BEST_FRAME", "DELETE_UPLOADS", "MAX_LIVE_BYTES",
      "MAX_IMAGE_BYTES", "MAX_VERDICTS", "PASS_METADATA", "API_RATE", "FACEID_ENDPOINT", "LOG_LEVEL",
    ])) == 0
    error_message = "One of these is no setting, or has a variable of its own (BUCKET, LIVE_KEY, WEBHOOK_URL, …)."
  }
}

variable "memory" {
  description = "MB of an instance."
  type        = number
  default     = 256
  nullable    = false
  validation {
    condition     = var.memory >= 128 && var.memory <= 3072 && var.memory % 128 == 0
    error_message = "Memory is 128 to 3072 MB, in steps of 128."
  }
}

variable "timeout" {
  description = "Seconds of an invocation. A claim lasts 75, and an attempt to tell takes up to 15."
  type        = number
  default     = 90
  nullable    = false
  validation {
    condition     = var.timeout >= 90 && var.timeout <= 900
    error_message = "The timeout is 90 to 900 s: with less, calls end half way."
  }
}

variable "reserved_memory" {
  description = "MB for all instances together: whoever can upload cannot cost you more. 20480 are 80 instances of 256."
  type        = number
  default     = 20480
  nullable    = false
  validation {
    condition     = var.reserved_memory >= 4 * var.memory && var.reserved_memory % 128 == 0
    error_message = "Reserve at least four instances, in steps of 128 MB."
  }
}

variable "fixed_ip" {
  description = "Whether requests to the webhook come from a fixed address, for consumers behind firewalls."
  type        = bool
  default     = false
  nullable    = false
}

variable "keep_uploads_days" {
  description = "After so many days uploads are deleted."
  type        = number
  default     = 30
  nullable    = false
  validation {
    condition     = var.keep_uploads_days >= 1 && var.keep_uploads_days <= var.keep_state_days
    error_message = "Uploads go no later than state: an upload that outlives its record is judged and billed again."
  }
}

variable "keep_state_days" {
  description = "After so many days claims, records, marks and best frames are deleted."
  type        = number
  default     = 90
  nullable    = false
}

variable "keep_logs_days" {
  description = "After so many days log lines are deleted."
  type        = number
  default     = 30
  nullable    = false
}

variable "alarm_receivers" {
  description = "Numbers (UIN) of the CAM users whom alarms are mailed to; none: no alarm is made."
  type        = list(number)
  default     = []
  nullable    = false
}

variable "alarm_thresholds" {
  description = "Thresholds of your own by the alarm's name, like { \"billed calls an hour\" = 5000 }."
  type        = map(number)
  default     = {}
  nullable    = false
  validation {
    condition     = length(setsubtract(keys(var.alarm_thresholds), jsondecode(file("${path.module}/../alarms.json")).alarms[*].name)) == 0
    error_message = "deploy/alarms.json has no alarm of one of these names."
  }
}

variable "bundle" {
  description = "Path of the zip that `make bundle` built, the first 12 digits of its SHA-256 in its name."
  type        = string
  validation {
    condition     = strcontains(basename(var.bundle), substr(filesha256(var.bundle), 0, 12))
    error_message = "Terraform sees other code by its name only: cp livepair.zip livepair-$(sha256sum livepair.zip | cut -c1-12).zip"
  }
}
