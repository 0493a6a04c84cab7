"""The policies to paste: the function's role and the backend can do their work with them, and nothing else.

On the local cloud whatever a policy does not allow is refused. That real CAM judges in the same way is not
tested; where its documentation leaves room, the policies take the narrower reading that allows the work.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from qcloud_cos import CosServiceError
from rich.console import Console

from handler.rules.settings import load_settings
from tests import demo
from tests.cloud import Cloud, Credentials, cam, samples
from tests.cloud.cos_sign import Account
from tests.cloud.faults import Operation
from tests.support.harness import IMAGE, LIVE, Livepair
from tests.support.project import PROJECT

BUCKET, STATE, REGION = "faces-1250000000", "faces-state-1250000000", "ap-singapore"
ROLE = (PROJECT / "handler" / "policy.json").read_text()
BACKEND = (PROJECT / "handler" / "policy.backend.json").read_text()

ALWAYS, RELAY, DELETE = (0, 1, 2), (3,), (4,)
"""Which statements of the role's policy are needed always, and which for a setting only."""


def policy(bucket: str = BUCKET, statements: tuple[int, ...] = ALWAYS + RELAY + DELETE) -> dict[str, Any]:
    """The role's policy, its placeholders replaced as a reader of the README does."""
    found: dict[str, Any] = json.loads(ROLE.replace(BUCKET, bucket))
    found["statement"] = [found["statement"][number] for number in statements]
    return found


class Role:
    """What a role may do by its policy, and what it was refused."""

    def __init__(self, allowed: dict[str, Any]) -> None:
        self._allowed = cam.allowed_by(allowed)
        self.refused: list[Operation] = []

    def __call__(self, operation: Operation) -> bool:
        allowed = self._allowed(operation)
        if not allowed:
            self.refused.append(operation)
        return allowed


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A local cloud with a bucket for state, as `serverless.yml` deploys it."""
    with Cloud(bucket=BUCKET, state_bucket=STATE) as running:
        yield running


def everything(livepair: Livepair) -> None:
    """All that the function does in a bucket and with the API; each step is checked.

    A best frame; a consumer that is down until the outcome is given up; uploads that no event told of; the
    relay; uploads that are deleted once judged.
    """
    uploads = livepair.bucket
    livepair.cloud.consumer.answer(500, times=None)
    assert livepair.pair() == ["matched"]
    assert len(livepair.state("best-frames/")) == 1
    livepair.finish()
    assert len(livepair.state("dead/")) == 1
    livepair.cloud.consumer.behave()

    livepair.put("uploads/lost/image.jpg", samples.image())
    livepair.put("uploads/lost/live.gz", samples.live(seed=1))
    livepair.drop(2)
    livepair.cloud.clock.advance(3600)
    livepair.reconcile()
    livepair.finish()
    told = {message["data"]["pair"]["id"]: message["data"]["outcome"] for message in livepair.messages}
    assert told["lost"] == "matched"

    livepair.configure(DELETE_UPLOADS="both", PASS_RESOURCES="upload_url")
    livepair.put("uploads/gone/image.jpg", samples.image())
    livepair.put("uploads/gone/live.gz", samples.live(seed=2))
    assert livepair.run() == ["matched"]
    assert uploads.keys("uploads/gone/") == []
    livepair.finish()


def test_the_role_can_do_all_of_the_functions_work(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """And asks for nothing that its policy does not name."""
    livepair = Livepair(cloud, monkeypatch)
    role = livepair.allowed = Role(policy())
    everything(livepair)
    assert role.refused == []


ACTIONS = list(cam.actions(json.loads(ROLE)))


@pytest.mark.parametrize(("number", "action"), ACTIONS, ids=[f"{n}-{a.split(':')[1]}" for n, a in ACTIONS])
def test_no_action_is_there_in_vain(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, number: int, action: str
) -> None:
    """Without any one of them the work fails, and for no other reason."""
    less = copy.deepcopy(policy())
    less["statement"][number]["action"].remove(action)
    if not less["statement"][number]["action"]:
        del less["statement"][number]
    livepair = Livepair(cloud, monkeypatch)
    role = livepair.allowed = Role(less)
    with pytest.raises(Exception):  # noqa: B017, PT011 # whatever notices first
        everything(livepair)
    assert {operation.name for operation in role.refused} == {action.partition(":")[2]}


def test_the_demo_runs_with_the_policy_on_every_role() -> None:
    """Three functions that share a state bucket, each with the statements that its settings need."""
    roles = {
        bucket: Role(policy(bucket, ALWAYS + (RELAY if bucket == demo.RELAY else ())))
        for bucket in demo.FUNCTIONS
    }
    deployed = {bucket: demo.Deployment(STATE, role) for bucket, role in roles.items()}
    printed = io.StringIO()
    assert demo.play(Console(file=printed, width=200), deployed) == 0, printed.getvalue()
    assert [operation for role in roles.values() for operation in role.refused] == []


FORBIDDEN = [
    ("PutObject", BUCKET, "uploads/42/live.gz"),
    ("PutObjectCopy", BUCKET, "uploads/42/live.gz"),
    ("PutObject", BUCKET, "livepair/faces-1250000000/records/42/x.json"),
    ("InitiateMultipartUpload", BUCKET, "uploads/42/live.gz"),
    ("AbortMultipartUpload", BUCKET, "uploads/42/live.gz"),
    ("DeleteObject", BUCKET, "other/42/live.gz"),
    ("GetObject", BUCKET, "other/42/live.gz"),
    ("GetBucket", BUCKET, ""),
    ("GetBucketObjectVersions", BUCKET, "uploads/"),
    ("PutBucketLifecycle", BUCKET, ""),
    ("PutBucketVersioning", STATE, ""),
    ("PutObject", STATE, "livepair/other-1250000000/records/42/x.json"),
    ("GetObject", STATE, "livepair/other-1250000000/records/42/x.json"),
    ("GetBucket", STATE, "livepair/"),
    ("GetObject", "other-1250000000", "uploads/42/live.gz"),
]


@pytest.mark.parametrize(("name", "bucket", "key"), FORBIDDEN)
def test_the_role_can_do_nothing_else(name: str, bucket: str, key: str) -> None:
    """It overwrites no upload, reads and forges no other function's state, and changes no bucket."""
    allowed = cam.allowed_by(policy())
    assert not allowed(Operation("cos", name, bucket, key, REGION))


@pytest.mark.parametrize("text", [ROLE, BACKEND], ids=["role", "backend"])
def test_filled_in_with_other_names_a_policy_is_for_these(text: str) -> None:
    """Four words are replaced, and no placeholder stays behind."""
    names = {
        STATE: "st-1301234567",
        BUCKET: "my-1301234567",
        "1250000000": "1301234567",
        REGION: "ap-bangkok",
    }
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    assert not any(placeholder in text for placeholder in names)
    allowed = cam.allowed_by(json.loads(text))
    wanted = "GetObject" if "GetObject" in text else "PutObject"
    assert allowed(Operation("cos", wanted, "my-1301234567", LIVE, "ap-bangkok"))
    assert not allowed(Operation("cos", wanted, "my-1301234567", LIVE, REGION))
    assert not allowed(Operation("cos", wanted, BUCKET, LIVE, "ap-bangkok"))


def test_without_their_settings_two_statements_are_not_needed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting uploads and the relay: a role that is not meant to delete cannot."""
    livepair = Livepair(cloud, monkeypatch)
    role = livepair.allowed = Role(policy(statements=ALWAYS))
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(3600)
    livepair.reconcile()
    livepair.finish()
    assert role.refused == []
    for name in ("DeleteObject", "DeleteMultipleObjects"):
        assert not role(Operation("cos", name, BUCKET, LIVE, REGION))
    assert not role(Operation("faceid", "CreateUploadUrl"))


def test_the_policy_fits_the_settings_that_are_deployed() -> None:
    """Its state prefix is the one that the function makes of the default and a STATE_BUCKET."""
    settings = load_settings(
        {
            "BUCKET": BUCKET,
            "STATE_BUCKET": STATE,
            "WEBHOOK_URL": "https://example.com/webhook",
            "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
        }
    )
    assert f":{STATE}/{settings.state_prefix}*" in ROLE
    for template in (*settings.templates.live, *settings.templates.image):
        assert f":{BUCKET}/{template.prefix}*" in ROLE


# The application's backend


def backend(cloud: Cloud) -> Credentials:
    found = Credentials("AKIDlocalcloudbackend", "fake-secret-key-backend")
    cloud.accounts[found.secret_id] = Account(found.secret_key, allowed=cam.allowed_by(json.loads(BACKEND)))
    return found


def test_the_backend_can_place_an_image_and_make_a_link_for_a_live_package(cloud: Cloud) -> None:
    """As the README does it; the device uploads by the link with no credentials of its own."""
    client = cloud.client(backend(cloud))
    client.put_object(Bucket=BUCKET, Key=IMAGE, Body=samples.image())
    link = client.get_presigned_url(BUCKET, LIVE, "PUT", Expired=600)
    device = requests.Session()
    device.proxies = {"http": cloud.url}
    with device:
        assert device.put(link, data=samples.live(), timeout=30).status_code == 200
    assert cloud.cos.bucket(BUCKET).keys() == [IMAGE, LIVE]


def test_the_backend_can_do_nothing_else(cloud: Cloud) -> None:
    """It reads, lists and deletes nothing, and writes neither other keys nor state."""
    cloud.upload(LIVE, samples.live())
    client = cloud.client(backend(cloud))
    calls: list[tuple[Any, dict[str, Any]]] = [
        (client.get_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.head_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.delete_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.list_objects, {"Bucket": BUCKET, "Prefix": "uploads/"}),
        (client.put_object, {"Bucket": BUCKET, "Key": "uploads/42/other", "Body": b"x"}),
        (client.put_object, {"Bucket": BUCKET, "Key": "livepair/records/x.json", "Body": b"x"}),
        (client.put_object, {"Bucket": STATE, "Key": f"livepair/{BUCKET}/records/x", "Body": b"x"}),
    ]
    for call, more in calls:
        with pytest.raises(CosServiceError) as caught:
            call(**more)
        assert caught.value.get_status_code() == 403
    assert cloud.cos.bucket(BUCKET).keys() == [LIVE]
    assert cloud.cos.bucket(STATE).keys() == []
