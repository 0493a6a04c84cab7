output "next" {
  description = "What to do now."
  value       = <<-EOT
    1. .venv/bin/python -m handler doctor, then verify --smoke: see handler/cli/README.md, "First checks".
    2. Give your backend's keys backend_policy, and those of who operates operator_policy.
    3. Log lines: topic ${tencentcloud_cls_topic.this.id}, dashboard ${var.name}, ${length(local.alarms)} alarms.
  EOT
}

output "function" {
  value = tencentcloud_scf_function.this.name
}

output "addresses" {
  description = "The fixed addresses that requests to the webhook come from, where fixed_ip is set."
  value       = tencentcloud_scf_function.this.eips
}

output "backend_policy" {
  description = "For the keys that place images and sign links; its keys and sizes are those of the defaults."
  value       = local.policies["policy.backend"]
}

output "operator_policy" {
  description = "For the keys that `python -m handler` uses."
  value       = local.policies["policy.operator"]
}
