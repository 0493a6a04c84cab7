# Everything that handler/cli/README.md describes, as one module. Never applied by us: the tests hold it against the
# provider's schema, serverless.yml and the policies, and nobody has run it against a live account.
terraform {
  required_version = ">= 1.9"
  required_providers {
    tencentcloud = {
      source  = "tencentcloudstack/tencentcloud"
      version = ">= 1.83.16" # the first with tencentcloud_scf_trigger and tencentcloud_cls_dashboard
    }
  }
}
