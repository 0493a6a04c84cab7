# What is worked out from the variables alone; main.tf says where it goes.
locals {
  appid = regex("[0-9]+$", var.bucket)
  state = "${var.state_prefix}${var.bucket}/"

  environment = merge(var.settings, {
    BUCKET         = var.bucket
    STATE_BUCKET   = var.state_bucket
    STATE_PREFIX   = var.state_prefix
    LIVE_KEY       = var.live_key
    IMAGE_KEY      = var.image_key
    WEBHOOK_URL    = var.webhook_url
    WEBHOOK_SECRET = var.webhook_secret
  }, nonsensitive(var.state_secret == "") ? {} : { STATE_SECRET = var.state_secret })

  # Each policy of handler/ with your names in place of its own.
  policies = { for name in ["policy", "policy.upload_url", "policy.delete_uploads", "policy.backend", "policy.operator"] :
    name => jsonencode(jsondecode(replace(replace(replace(replace(replace(replace(
      file("${path.module}/../../handler/${name}.json"),
      "faces-state-1250000000/livepair/faces-1250000000/", "${var.state_bucket}/${local.state}"),
      "faces-state-1250000000", var.state_bucket),
      "faces-1250000000/uploads/", "${var.bucket}/${var.upload_prefix}"),
      "faces-1250000000", var.bucket),
      "1250000000", local.appid),
    "ap-singapore", var.region)))
  }
  of_role = toset(concat(["policy"],
    lookup(var.settings, "PASS_RESOURCES", "presigned") == "upload_url" ? ["policy.upload_url"] : [],
    lookup(var.settings, "DELETE_UPLOADS", "none") == "none" ? [] : ["policy.delete_uploads"],
  ))
  trust = jsonencode({
    version = "2.0"
    statement = [{
      effect    = "allow"
      action    = "name/sts:AssumeRole"
      principal = { service = ["scf.qcloud.com"] }
    }]
  })

  # Never agenda/, dead/ or the whole prefix: livepair would forget what it still has to do.
  state_rules = { for kind in ["claims", "records", "settled", "best-frames"] : kind => "${local.state}${kind}/" }

  cos_trigger = {
    name = "${var.bucket}.cos.${var.region}.myqcloud.com"
    desc = jsonencode({ event = "cos:ObjectCreated:*", filter = { Prefix = var.upload_prefix, Suffix = "" } })
  }
  timers = {
    sweep     = "0 * * * * * *"   # what is due: retries, redeliveries, pairs that wait
    reconcile = "30 17 3 * * * *" # uploads that no event told of
  }

  watch  = jsondecode(file("${path.module}/../alarms.json"))
  levels = { warning = 0, critical = 2 }
  alarms = { for alarm in local.watch.alarms : alarm.name => {
    queries = [for search in compact([alarm.search, try(alarm.of, "")]) :
    "${search} | select ${search == alarm.search ? alarm.value : "count(*)"} as n"]
    condition = can(alarm.of) ? format("$1.n*100 %s %g*$2.n && $2.n >= %d", alarm.fires,
      lookup(var.alarm_thresholds, alarm.name, alarm.threshold), alarm.of_least) : format("$1.n %s %g", alarm.fires,
    lookup(var.alarm_thresholds, alarm.name, alarm.threshold))
    window  = alarm.window
    level   = local.levels[alarm.level]
    message = replace("${alarm.means}. Then: ${alarm.do}", "`", "")
  } if length(var.alarm_receivers) > 0 }

  tokenizer  = "@&?|#()='\",;:<>[]{}/ \n\t\r\\"
  region_ids = { ap-hongkong = 5, ap-singapore = 9, ap-bangkok = 23 } # CLS's own numbers
}
