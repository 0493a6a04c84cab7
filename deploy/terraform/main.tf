resource "tencentcloud_cos_bucket" "uploads" {
  bucket = var.bucket
  acl    = "private"
  lifecycle_rules {
    id            = "uploads"
    filter_prefix = var.upload_prefix
    expiration {
      days = var.keep_uploads_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "tencentcloud_cos_bucket" "state" {
  bucket = var.state_bucket
  acl    = "private"
  dynamic "lifecycle_rules" {
    for_each = local.state_rules
    content {
      id            = lifecycle_rules.key
      filter_prefix = lifecycle_rules.value
      expiration {
        days = var.keep_state_days
      }
    }
  }
}

resource "tencentcloud_cam_role" "this" {
  name        = var.name
  description = "What the function livepair may do."
  document    = local.trust
}

resource "tencentcloud_cam_policy" "this" {
  for_each = local.of_role
  name     = "${var.name}-${each.key}"
  document = local.policies[each.key]
}

resource "tencentcloud_cam_role_policy_attachment" "this" {
  for_each  = local.of_role
  role_id   = tencentcloud_cam_role.this.id
  policy_id = tencentcloud_cam_policy.this[each.key].id
}

resource "tencentcloud_cls_logset" "this" {
  logset_name = var.name
}

resource "tencentcloud_cls_topic" "this" {
  logset_id  = tencentcloud_cls_logset.this.id
  topic_name = var.name
  period     = var.keep_logs_days
}

resource "tencentcloud_cls_index" "this" {
  topic_id = tencentcloud_cls_topic.this.id
  status   = true
  rule {
    full_text {
      case_sensitive = true
      contain_z_h    = false
      tokenizer      = local.tokenizer
    }
    key_value {
      case_sensitive = true
      dynamic "key_values" {
        for_each = local.watch.fields
        content {
          key = key_values.key
          value {
            type      = key_values.value
            tokenizer = key_values.value == "text" ? local.tokenizer : null
            sql_flag  = true
          }
        }
      }
    }
  }
}

resource "tencentcloud_scf_function" "this" {
  name              = var.name
  description       = "Pairs uploads in COS, has their liveness judged and posts the outcome to a webhook."
  func_type         = "Event"
  runtime           = "Python3.10"
  handler           = "index.main_handler"
  zip_file          = var.bundle
  mem_size          = var.memory
  timeout           = var.timeout
  role              = tencentcloud_cam_role.this.name
  environment       = local.environment
  enable_public_net = true
  enable_eip_config = var.fixed_ip
  async_run_enable  = "FALSE" # the other mode tries nothing again
  cls_logset_id     = tencentcloud_cls_logset.this.id
  cls_topic_id      = tencentcloud_cls_topic.this.id
  depends_on = [
    tencentcloud_cam_role_policy_attachment.this, # so that the first invocation may already do what it needs to
    tencentcloud_cls_index.this,
  ]
}

resource "tencentcloud_scf_function_event_invoke_config" "this" {
  function_name = tencentcloud_scf_function.this.name
  namespace     = "default"
  async_trigger_config {
    msg_ttl = 21600
    retry_config {
      retry_num = 2
    }
  }
}

resource "tencentcloud_scf_reserved_concurrency_config" "this" {
  function_name            = tencentcloud_scf_function.this.name
  namespace                = "default"
  reserved_concurrency_mem = var.reserved_memory
}

resource "tencentcloud_scf_trigger" "uploads" {
  function_name = tencentcloud_scf_function.this.name
  namespace     = "default"
  type          = "cos"
  trigger_name  = local.cos_trigger.name
  trigger_desc  = local.cos_trigger.desc
  qualifier     = "$DEFAULT"
  enable        = "OPEN"
  depends_on    = [tencentcloud_cos_bucket.uploads, tencentcloud_cos_bucket.state]
}

resource "tencentcloud_scf_trigger" "timer" {
  for_each        = local.timers
  function_name   = tencentcloud_scf_function.this.name
  namespace       = "default"
  type            = "timer"
  trigger_name    = "livepair-${each.key}"
  trigger_desc    = each.value
  custom_argument = each.key
  qualifier       = "$DEFAULT"
  enable          = "OPEN"
  depends_on      = [tencentcloud_cos_bucket.state]
}

resource "tencentcloud_cls_alarm_notice" "this" {
  count = length(var.alarm_receivers) > 0 ? 1 : 0
  name  = var.name
  type  = "All"
  notice_receivers {
    receiver_type     = "Uin"
    receiver_ids      = var.alarm_receivers
    receiver_channels = ["Email"]
  }
}

resource "tencentcloud_cls_alarm" "this" {
  for_each         = local.alarms
  name             = "${var.name}: ${each.key}"
  alarm_notice_ids = [tencentcloud_cls_alarm_notice.this[0].id]
  alarm_level      = each.value.level
  condition        = each.value.condition
  trigger_count    = 1
  alarm_period     = 60
  message_template = each.value.message
  status           = true
  dynamic "alarm_targets" {
    for_each = each.value.queries
    content {
      logset_id         = tencentcloud_cls_logset.this.id
      topic_id          = tencentcloud_cls_topic.this.id
      number            = alarm_targets.key + 1
      query             = alarm_targets.value
      syntax_rule       = 1
      start_time_offset = -each.value.window
      end_time_offset   = 0
    }
  }
  monitor_time {
    type = "Period"
    time = min(each.value.window, 15)
  }
}

resource "tencentcloud_cls_dashboard" "this" {
  dashboard_name = var.name
  data = jsonencode({ panels = [for number, chart in local.watch.charts : {
    id      = "chart-${number}"
    title   = chart.title
    type    = chart.type
    gridPos = { x = number % 2 * 12, y = floor(number / 2) * 8, w = 12, h = 8 }
    target = {
      RegionId  = local.region_ids[var.region]
      LogsetId  = tencentcloud_cls_logset.this.id
      TopicId   = tencentcloud_cls_topic.this.id
      Query     = "${chart.search} | select ${chart.select}"
      ChartAxis = { xAxisKey = chart.x, yAxisKey = chart.y, aggregateKey = chart.by }
    }
  }] })
}
