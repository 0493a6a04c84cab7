"""The policies to paste: the function's role and the backend can do their work with them, and nothing else.

On the local cloud whatever a policy does not allow is refused. That real CAM judges in the same way is not
tested; where its documentation leaves room, the policies take the narrower reading that allows the work.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from qcloud_cos import CosServiceError
from rich.console import Console

from tests import demo
from tests.cloud import Cloud, Credentials, cam, samples
from tests.cloud.cos_sign import Account
from tests.cloud.cos_store import Versioning
from tests.cloud.faults import Operation
from tests.support import deployed
from tests.support.harness import IMAGE, LIVE, Livepair

BUCKET, STATE, REGION = "faces-1250000000", "faces-state-1250000000", "ap-singapore"
ROLE, RELAY, DELETE, BACKEND, READER = (
    deployed.policy(f"policy{name}") for name in ("", ".upload_url", ".delete_uploads", ".backend", ".reader")
)
"""For the default keys: what the role needs always, and for a setting; the backend; and who only reads."""


def policy(bucket: str = BUCKET, texts: tuple[str, ...] = (ROLE, RELAY, DELETE)) -> dict[str, Any]:
    """The role's policies together, their placeholders replaced as a reader of the README does."""
    found = [json.loads(text.replace(BUCKET, bucket)) for text in texts]
    return {"version": "2.0", "statement": [statement for each in found for statement in each["statement"]]}


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


ACTIONS = list(cam.actions(policy()))


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
        bucket: Role(policy(bucket, (ROLE, RELAY) if bucket == demo.RELAY else (ROLE,)))
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


@pytest.mark.parametrize("text", [ROLE, DELETE, BACKEND], ids=["role", "delete", "backend"])
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
    wanted = json.loads(text)["statement"][0]["action"][-1].rpartition(":")[2]
    sent = {"cos:x-cos-forbid-overwrite": "true", "cos:content-length": "5"}
    for bucket, region in (
        ("my-1301234567", "ap-bangkok"),
        ("my-1301234567", REGION),
        (BUCKET, "ap-bangkok"),
    ):
        key = "uploads/" if wanted == "GetBucket" else LIVE
        is_theirs = (bucket, region) == ("my-1301234567", "ap-bangkok")
        assert allowed(Operation("cos", wanted, bucket, key, region, sent)) is is_theirs


def test_without_their_settings_two_policies_are_not_needed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting uploads and the relay: a role that is not meant to delete cannot."""
    livepair = Livepair(cloud, monkeypatch)
    role = livepair.allowed = Role(policy(texts=(ROLE,)))
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(3600)
    livepair.reconcile()
    livepair.finish()
    assert role.refused == []
    for name in ("DeleteObject", "DeleteMultipleObjects"):
        assert not role(Operation("cos", name, BUCKET, LIVE, REGION))
    assert not role(Operation("faceid", "CreateUploadUrl"))


# The application's backend


@pytest.fixture
def device(cloud: Cloud) -> Iterator[requests.Session]:
    """A person's device: it has a link and no credentials."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": cloud.url}
        yield session


ONE_PUT = {"x-cos-forbid-overwrite": "true"}


def backend(cloud: Cloud, policy: str = BACKEND) -> Any:
    """A client of COS with the backend's keys."""
    found = Credentials("AKIDlocalcloudbackend", "fake-secret-key-backend")
    cloud.accounts[found.secret_id] = Account(found.secret_key, allowed=cam.allowed_by(json.loads(policy)))
    return cloud.client(found)


def link(client: Any, headers: dict[str, str], key: str = LIVE) -> str:
    made: str = client.get_presigned_url(BUCKET, key, "PUT", Expired=600, Headers=dict(headers))
    return made


def test_the_backend_can_place_an_image_and_make_a_link_for_a_live_package(
    cloud: Cloud, device: requests.Session
) -> None:
    """As the README does it; the device uploads by the link with no credentials of its own."""
    client = backend(cloud)
    client.put_object(Bucket=BUCKET, Key=IMAGE, Body=samples.image(), Metadata=dict(ONE_PUT))
    put = device.put(link(client, ONE_PUT), data=samples.live(), headers=ONE_PUT, timeout=30)
    assert put.status_code == 200
    assert cloud.cos.bucket(BUCKET).keys() == [IMAGE, LIVE]


def test_a_link_is_good_for_one_put(cloud: Cloud, device: requests.Session) -> None:
    """Its holder buys one verdict: no second recording, and no way around the header that is signed in."""
    made, first = link(backend(cloud), ONE_PUT), samples.live()
    for headers in ({}, {"x-cos-forbid-overwrite": "false"}):
        assert device.put(made, data=first, headers=headers, timeout=30).status_code == 403
    assert device.put(made, data=first, headers=ONE_PUT, timeout=30).status_code == 200
    for seed in range(3):
        again = device.put(made, data=samples.live(seed=seed), headers=ONE_PUT, timeout=30)
        assert (again.status_code, "FileAlreadyExists" in again.text) == (409, True)
    assert cloud.cos.bucket(BUCKET).get(LIVE).data == first


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_where_versions_were_kept_a_link_is_good_for_many(
    cloud: Cloud, device: requests.Session, versioning: Versioning
) -> None:
    """Which is why `doctor` fails there: nothing that the link or the policy can say stops it."""
    cloud.cos.bucket(BUCKET).versioning = versioning
    made = link(backend(cloud), ONE_PUT)
    for seed in range(3):
        sent = device.put(made, data=samples.live(seed=seed), headers=ONE_PUT, timeout=30)
        assert sent.status_code == 200


NARROW = re.sub(r'("cos:content-length": )\d+', r"\g<1>1000", BACKEND)
"""The backend's policy with sizes that a test can send."""

CONDITIONS = [
    ("string_equal", "cos:x-cos-forbid-overwrite", {}, 900),
    ("numeric_less_than_equal", "cos:content-length", ONE_PUT, 1001),
    ("string_equal_if_exist", "cos:x-cos-storage-class", {**ONE_PUT, "x-cos-storage-class": "ARCHIVE"}, 900),
    ("string_equal_if_exist", "cos:x-cos-acl", {**ONE_PUT, "x-cos-acl": "public-read"}, 900),
]


def test_every_condition_of_the_backends_policy_has_its_attack() -> None:
    """None is there in vain, and the statements that write differ in their key and size alone."""
    live, *others = json.loads(BACKEND)["statement"][:3]
    found = [(operator, key) for operator, keys in live["condition"].items() for key in keys]
    assert found == [each[:2] for each in CONDITIONS]
    for other, key in zip(others, ("uploads/*/image.jpg", "device-data/*"), strict=True):
        live["condition"]["numeric_less_than_equal"] = other["condition"]["numeric_less_than_equal"]
        assert json.loads(json.dumps(live).replace("uploads/*/live.gz", key)) == other


@pytest.mark.parametrize(("operator", "key", "headers", "size"), CONDITIONS, ids=[e[1] for e in CONDITIONS])
def test_a_link_can_do_no_more_than_the_conditions_of_its_signer(
    cloud: Cloud, device: requests.Session, operator: str, key: str, headers: dict[str, str], size: int
) -> None:
    """Even one that somebody signed carelessly, without any header; each condition stops what it is for."""

    def put(policy: str, headers: dict[str, str], size: int) -> int:
        made = link(backend(cloud, policy), {})
        status: int = device.put(made, data=b"x" * size, headers=headers, timeout=30).status_code
        cloud.cos.bucket(BUCKET).delete(LIVE)
        return status

    assert put(NARROW, ONE_PUT, 1000) == 200
    assert put(NARROW, headers, size) == 403
    without = json.loads(NARROW)
    for statement in without["statement"][:3]:
        del statement["condition"][operator][key]
    assert put(json.dumps(without), headers, size) == 200


def test_a_link_reads_only_for_a_signer_who_may_read(cloud: Cloud, device: requests.Session) -> None:
    """So keys that can read never sign links: a PUT with a copy source brings another person's face."""
    strangers = "uploads/other/image.jpg"
    cloud.upload(strangers, samples.image())
    headers = {**ONE_PUT, "x-cos-copy-source": f"{cloud.cos.bucket(BUCKET).host}/{strangers}"}
    assert device.put(link(backend(cloud), ONE_PUT), headers=headers, timeout=30).status_code == 403
    assert LIVE not in cloud.cos.bucket(BUCKET)
    able = json.loads(BACKEND)
    able["statement"].append({**able["statement"][0], "action": ["name/cos:GetObject"]})
    able["statement"][-1].update(resource=["*"], condition={})
    careless = link(backend(cloud, json.dumps(able)), ONE_PUT)
    assert device.put(careless, headers=headers, timeout=30).status_code == 200
    assert cloud.cos.bucket(BUCKET).get(LIVE).data == samples.image()


@pytest.mark.parametrize("more", ["acl", "tagging", "partNumber=1&uploadId=1", "versionId=1"])
def test_a_link_does_nothing_but_put_the_object(cloud: Cloud, device: requests.Session, more: str) -> None:
    """Parameters that are added to it are not signed, and ask for what the policy does not name."""
    cloud.upload(LIVE, samples.live())
    made = f"{link(backend(cloud), ONE_PUT)}&{more}"
    assert device.put(made, data=b"x", headers=ONE_PUT, timeout=30).status_code in (403, 409)
    assert cloud.cos.bucket(BUCKET).get(LIVE).data == samples.live()


def test_what_the_backend_reads_is_nobodys_face(cloud: Cloud, device: requests.Session) -> None:
    """Its keys read DeviceData, so a link could bring some to its key: base64 of JSON is no recording."""
    client = backend(cloud)
    data = base64.b64encode(samples.device_data().encode())
    client.put_object(Bucket=BUCKET, Key="device-data/42", Body=data, Metadata=dict(ONE_PUT))
    with pytest.raises(CosServiceError):  # the device data of an attempt stays what it was
        client.put_object(Bucket=BUCKET, Key="device-data/42", Body=b"x", Metadata=dict(ONE_PUT))
    headers = {**ONE_PUT, "x-cos-copy-source": f"{cloud.cos.bucket(BUCKET).host}/device-data/42"}
    assert device.put(link(client, ONE_PUT), headers=headers, timeout=30).status_code == 200
    assert not cloud.cos.bucket(BUCKET).get(LIVE).data.startswith(b"\x1f\x8b")


def test_the_backend_can_do_nothing_else(cloud: Cloud) -> None:
    """It reads no upload, lists and deletes nothing, and writes neither other keys nor state."""
    cloud.upload(LIVE, samples.live())
    client = backend(cloud)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (client.get_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.head_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.delete_object, {"Bucket": BUCKET, "Key": LIVE}),
        (client.list_objects, {"Bucket": BUCKET, "Prefix": "uploads/"}),
    ]
    more = {"Body": b"x", "Metadata": ONE_PUT}
    calls += [
        (client.put_object, {"Bucket": bucket, "Key": key, **more})
        for bucket, key in (
            (BUCKET, "uploads/42/other"),
            (BUCKET, "livepair/records/x.json"),
            (STATE, f"livepair/{BUCKET}/records/x"),
        )
    ]
    for call, more in calls:
        with pytest.raises(CosServiceError) as caught:
            call(**more)
        assert caught.value.get_status_code() == 403
    assert cloud.cos.bucket(BUCKET).keys() == [LIVE]
    assert cloud.cos.bucket(STATE).keys() == []
