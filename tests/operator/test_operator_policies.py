"""The policies of who operates and of who deploys: their work is done with them, and each action is needed.

The local cloud refuses whatever the operator's policy does not allow. As with the role's policy, nobody has
tested that the real CAM judges so. What deploying asks for is no part of the local cloud: its actions are
held against what the tools ask for by their source and pages, kept here as tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud, cam, samples
from tests.cloud.faults import Operation
from tests.cloud.function import DAILY
from tests.cloud.scf_api import zipped
from tests.operator.test_doctor import RULES, put_rules, rule
from tests.support import deployed
from tests.support.harness import BUCKET, STATE, Livepair
from tests.support.operator import Operator
from tests.support.project import PROJECT

OPERATOR, DEPLOY = (deployed.policy(f"policy.{name}") for name in ("operator", "deploy"))
PLACEHOLDERS = {"faces-state-1250000000": STATE}
"""The harness's state bucket is called otherwise than the policies'."""


def filled(text: str) -> dict[str, Any]:
    for placeholder, name in PLACEHOLDERS.items():
        text = text.replace(placeholder, name)
    found: dict[str, Any] = json.loads(text)
    return found


class Asked:
    """What keys asked for, by operation, and what they were refused."""

    def __init__(self, policy: dict[str, Any]) -> None:
        self._allowed = cam.allowed_by(policy)
        self.operations: list[Operation] = []
        self.refused: list[Operation] = []

    def __call__(self, operation: Operation) -> bool:
        self.operations.append(operation)
        if not self._allowed(operation):
            self.refused.append(operation)
            return False
        return True


# --- who operates -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, code: Path) -> Iterator[Asked]:
    """All that an operator does, with the policy's permissions and no other: every command there is."""
    folder = tmp_path_factory.mktemp("operator")
    with Cloud(state_bucket=STATE) as cloud, pytest.MonkeyPatch.context() as monkeypatch:
        cloud.deploy(code, timeout=90, reconcile=DAILY)
        put_rules(cloud, BUCKET, rule("uploads/", 30))
        put_rules(cloud, STATE, *RULES)
        cloud.scf_api.told["livepair"] = {"ClsTopicId": "topic"}
        livepair = Livepair(cloud, monkeypatch, STATE_BUCKET=STATE)
        operator = Operator(cloud, monkeypatch, folder)
        (folder / "livepair.zip").write_bytes(zipped(code))
        asked = Asked(filled(OPERATOR))
        operator.use(cloud.temporary_credentials(allowed=asked))

        cloud.uploader.create_multipart_upload(Bucket=BUCKET, Key="uploads/42/live.gz")
        livepair.put_pair(samples.live(error="FailedOperation.SomethingNew"), name="42")
        cloud.scf.wait_idle()
        operator.fine("doctor", "--no-webhook")
        operator.fine("list")
        (message,) = livepair.messages
        verification = message["data"]["verification_id"]
        operator.fine("show", verification)
        operator.fine("redeliver", verification)
        operator.fine("retry", verification)
        operator.fine("reconcile")
        operator.fine("links", "43")
        operator.fine("verify", "--smoke")
        # It may end with status 1: an instance could be at work on the pair. What it asks for is the same.
        operator("forget", verification, "--yes")
        yield asked


def test_an_operator_can_do_everything_with_their_policy(asked: Asked) -> None:
    """doctor, list, show, redeliver, retry, reconcile, links, verify and forget are refused nothing."""
    assert asked.refused == []


@pytest.mark.parametrize(("number", "action"), list(cam.actions(json.loads(OPERATOR))))
def test_each_action_of_the_operators_policy_is_needed(asked: Asked, number: int, action: str) -> None:
    """Without it something of the same day's work is refused."""
    without = filled(OPERATOR)
    without["statement"][number]["action"].remove(action)
    if not without["statement"][number]["action"]:
        del without["statement"][number]
    allowed = cam.allowed_by(without)
    assert not all(map(allowed, asked.operations))


@pytest.mark.parametrize(
    ("name", "bucket", "key"),
    [
        ("PutObject", BUCKET, "elsewhere/42"),
        ("GetObject", BUCKET, "elsewhere/42"),
        ("PutObject", STATE, "livepair/other-1250000000/records/42/x.json"),
        ("GetObject", STATE, "livepair/other-1250000000/records/42/x.json"),
        ("PutBucketLifecycle", BUCKET, ""),
        ("PutBucketVersioning", STATE, ""),
        ("GetBucket", "other-1250000000", ""),
    ],
)
def test_an_operator_can_do_nothing_else(name: str, bucket: str, key: str) -> None:
    """No other function's uploads and state, no bucket's configuration."""
    assert not cam.allowed_by(filled(OPERATOR))(Operation("cos", name, bucket, key, "ap-singapore"))


# --- who deploys --------------------------------------------------------------------------------------

_SCF_OWN = (
    "GetFunction CreateFunction UpdateFunctionCode UpdateFunctionConfiguration ListTriggers CreateTrigger"
)

PROVIDER = {
    "scf_function": f"scf: {_SCF_OWN} DeleteFunction DeleteTrigger cam: PassRole",
    "scf_trigger": "scf: CreateTrigger UpdateTrigger DeleteTrigger ListTriggers",
    "scf_function_event_invoke_config": "scf: GetFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig",
    "scf_reserved_concurrency_config": "scf: GetReservedConcurrencyConfig PutReservedConcurrencyConfig"
    " DeleteReservedConcurrencyConfig",
    "cls_logset": "cls: CreateLogset DescribeLogsets ModifyLogset DeleteLogset"
    " tag: DescribeResourceTagsByResourceIds",
    "cls_topic": "cls: CreateTopic DescribeTopics ModifyTopic DeleteTopic",
    "cls_index": "cls: CreateIndex DescribeIndex ModifyIndex DeleteIndex",
    "cls_alarm": "cls: CreateAlarm DescribeAlarms ModifyAlarm DeleteAlarm",
    "cls_alarm_notice": "cls: CreateAlarmNotice DescribeAlarmNotices ModifyAlarmNotice DeleteAlarmNotice",
    "cls_dashboard": "cls: CreateDashboard DescribeDashboards ModifyDashboard DeleteDashboard",
    "cam_role": "cam: CreateRole DescribeRoleList UpdateAssumeRolePolicy UpdateRoleDescription DeleteRole",
    "cam_policy": "cam: CreatePolicy GetPolicy UpdatePolicy DeletePolicy",
    "cam_role_policy_attachment": "cam: AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies",
    "cos_bucket": "cos: HeadBucket PutBucket DeleteBucket PutBucketLifecycle DeleteBucketLifecycle"
    " PutBucketACL GetBucketACL GetBucketLifecycle GetBucketVersioning GetBucketCORS GetBucketWebsite"
    " GetBucketLogging GetBucketTagging GetBucketEncryption GetBucketReplication GetBucketOrigin"
    " GetBucketDomain GetBucketAccelerate GetBucketIntelligentTiering GetBucketObjectLockConfiguration",
}
"""What each resource of deploy/terraform asks for. Source: tencentcloud/services of the provider, v1.83.25;
names of COS's actions: product 436, page 31923."""

FRAMEWORK = "sls: * cam: PassRole"
"""What the Serverless Cloud Framework asks for with the deployer's keys (product 1040, page 36819); all else
it does with its own role SLS_QcsRole."""


def actions_of(text: str) -> set[str]:
    found, service = set(), ""
    for word in text.split():
        if word.endswith(":"):
            service = word
        else:
            found.add(f"{service}{word}")
    return found


def test_the_deployers_policy_names_what_the_tools_ask_for_and_nothing_else() -> None:
    """Every action is asked for by a resource of the module or by the framework."""
    wanted = set().union(*map(actions_of, [*PROVIDER.values(), FRAMEWORK]))
    named = {action.removeprefix("name/") for _, action in cam.actions(json.loads(DEPLOY))}
    assert named == wanted
    cam.allowed_by(json.loads(DEPLOY))


def test_the_table_is_of_the_resources_that_the_module_makes() -> None:
    """None missing, none too many."""
    text = (PROJECT / "deploy" / "terraform" / "main.tf").read_text(encoding="utf-8")
    assert set(re.findall(r'^resource "tencentcloud_(\w+)"', text, re.MULTILINE)) == set(PROVIDER)


def test_who_deploys_reads_no_face_and_no_record() -> None:
    """Deploying asks for buckets, never for what lies in them."""
    named = {action for _, action in cam.actions(json.loads(DEPLOY))}
    assert not [action for action in named if re.search(r"cos:\w+Object\b|faceid:", action)]
