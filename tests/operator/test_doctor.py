"""`doctor`: what is wrong with a deployment is found before its users find it, and said with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.cam import allowed_by
from tests.cloud.faceid import COMPARE
from tests.cloud.function import DAILY
from tests.cloud.scf import bundle
from tests.support.harness import BUCKET, STATE
from tests.support.operator import Operator
from tests.support.project import PROJECT


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(PROJECT, tmp_path_factory.mktemp("code") / "code")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(state_bucket=STATE) as running:
        yield running


@pytest.fixture
def operator(cloud: Cloud, code: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operator:
    """Somebody who has deployed the function as serverless.yml does, and whose own settings are its."""
    cloud.deploy(code, timeout=90, reconcile=DAILY)
    for name, value in {**cloud.environment(), "TENCENTCLOUD_REGION": cloud.region}.items():
        monkeypatch.setenv(name, value)
    return Operator(cloud, monkeypatch, tmp_path)


def redeployed(cloud: Cloud, **changes: Any) -> None:
    """Deploy the function anew, with other fields."""
    function = cloud.scf.function("livepair")
    assert function is not None
    cloud.scf.deploy(replace(function, **changes))


def failures(operator: Operator) -> dict[str, dict[str, str]]:
    """The checks that fail, by name; others are made all the same."""
    told = operator.json("doctor", status=1)
    assert len(told["checks"]) > 8
    found = {check["name"]: check for check in told["checks"] if check["status"] == "fail"}
    assert told["failed"] >= len(found) > 0
    return found


def test_a_sound_deployment_has_no_faults(cloud: Cloud, operator: Operator) -> None:
    """Nothing fails, nothing warns, nothing is billed, and no probe is left behind."""
    cloud.cos.bucket(BUCKET).put("uploads/42/live.gz", samples.live(), silent=True)
    cloud.cos.bucket(BUCKET).put("uploads/notes.txt", b"x", silent=True)
    cloud.cos.bucket(BUCKET).put("elsewhere/43.gz", b"x", silent=True)
    told = operator.json("doctor")
    assert [check for check in told["checks"] if check["status"] not in ("ok", "info")] == []
    found = [check["found"] for check in told["checks"]]
    assert "uploads/42/live.gz: live" in found
    assert "uploads/notes.txt: matches no template" in found
    assert "elsewhere/43.gz: matches no template" in found
    assert not any(call.executed for call in cloud.faceid.calls)
    assert cloud.cos.bucket(STATE).keys("") == []
    assert "No check failed." in operator.fine("doctor")


def test_its_message_is_a_signed_test(cloud: Cloud, operator: Operator) -> None:
    """A consumer verifies it like any other; --no-webhook sends none."""
    operator.fine("doctor", "--no-webhook")
    assert cloud.consumer.attempts == []
    operator.fine("doctor")
    (attempt,) = cloud.consumer.attempts
    assert attempt.verified
    (message,) = cloud.consumer.messages.values()
    assert message["type"] == "webhook.test"
    assert message["id"] == attempt.id


def lifecycle(prefix: str, days: int) -> Callable[[Cloud], None]:
    """A rule that deletes what lies under a prefix of the state bucket after so many days."""

    def put(cloud: Cloud) -> None:
        rule = {
            "ID": "old",
            "Filter": {"Prefix": prefix},
            "Status": "Enabled",
            "Expiration": {"Days": str(days)},
        }
        cloud.uploader.put_bucket_lifecycle(Bucket=STATE, LifecycleConfiguration={"Rule": [rule]})

    return put


def versioned(bucket: str, status: Any) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        cloud.cos.bucket(bucket).versioning = status

    return change


PREFIX = f"livepair/{BUCKET}"


@pytest.mark.parametrize(
    ("name", "says", "breaks"),
    [
        ("versions (state)", "use a STATE_BUCKET", versioned(STATE, "Enabled")),
        ("versions (state)", "suspending is not enough", versioned(STATE, "Suspended")),
        ("create-only PUT", "never had versioning", versioned(STATE, "Suspended")),
        ("lifecycle of agenda/", "no lifecycle rule", lifecycle(f"{PREFIX}/agenda/", 30)),
        ("lifecycle of dead/", "no lifecycle rule", lifecycle("livepair/", 30)),
        ("lifecycle of records", "as long as the uploads", lifecycle(f"{PREFIX}/records/", 30)),
        ("lifecycle of claims", "as long as the uploads", lifecycle(f"{PREFIX}/cl", 30)),
        ("lifecycle of settled", "as long as the uploads", lifecycle(f"{PREFIX}/settled/", 30)),
        ("runtime", "Python3.10", lambda cloud: redeployed(cloud, runtime="Python3.7")),
        ("time limit", "set 90 s", lambda cloud: redeployed(cloud, timeout=3)),
        ("time limit", "set 90 s", lambda cloud: redeployed(cloud, timeout=24)),
        ("role", "handler/policy.json", lambda cloud: redeployed(cloud, role="")),
        ("deployed settings", "deploy again", lambda cloud: redeployed(cloud, environment={})),
        ("sweep timer", "0 * * * * * *", lambda cloud: cloud.scf.remove_trigger("livepair-sweep")),
        ("reconcile timer", "argument reconcile", lambda cloud: redeployed(cloud, reconcile=None)),
        ("triggers", "enable them", lambda cloud: cloud.scf.switch_trigger("livepair-sweep", False)),
        ("COS trigger", "no suffix", lambda cloud: redeployed(cloud, suffix=".gz")),
        ("COS trigger", "ObjectCreated:*", lambda cloud: redeployed(cloud, events="cos:ObjectCreated:Put")),
        ("COS trigger", "a prefix that both", lambda cloud: redeployed(cloud, prefix="uploads/live/")),
        ("COS trigger", f"of {BUCKET}", lambda cloud: redeployed(cloud, bucket=STATE)),
        (
            "API",
            "FACEID_ENDPOINT=faceid.intl",
            lambda cloud: cloud.faceid.refuse_host("faceid.tencentcloudapi.com"),
        ),
        ("API", "check the credentials", lambda cloud: cloud.faceid.refuse_host("faceid*")),
        ("webhook", "secret differs", lambda cloud: cloud.consumer.secrets.__setitem__(0, "whsec_b3RoZXI=")),
        ("webhook", "answer 2xx", lambda cloud: cloud.consumer.answer(500)),
        ("webhook", "can be reached", lambda cloud: cloud.consumer.cut()),
    ],
)
def test_what_is_wrong_is_found(
    cloud: Cloud, operator: Operator, name: str, says: str, breaks: Callable[[Cloud], object]
) -> None:
    """And said with what to do about it; the rest is checked all the same."""
    breaks(cloud)
    found = failures(operator)
    assert name in found
    assert says in found[name]["do"]


def put_late(cloud: Cloud) -> None:
    cloud.cos.bucket(STATE).head_lag = 5


def changed(cloud: Cloud, **settings: str) -> None:
    """Deploy the function anew, with other settings."""
    redeployed(cloud, environment={**cloud.environment(), **settings})


@pytest.mark.parametrize(
    ("name", "found", "do", "doubtful"),
    [
        ("read after write", "HEAD did not show a finished PUT at once", "pairs wait for sweeps", put_late),
        ("versions (uploads)", "stay as old versions", "`forget`", versioned(BUCKET, "Suspended")),
        ("time limit", "80 s leave", "set 90 s", lambda cloud: redeployed(cloud, timeout=80)),
        (
            "deployed settings",
            "differ from these here: min_similarity, api_rate",
            "deploy again",
            lambda cloud: changed(cloud, MIN_SIMILARITY="80", API_RATE="7"),
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(
    cloud: Cloud, operator: Operator, name: str, found: str, do: str, doubtful: Callable[[Cloud], object]
) -> None:
    """It says what comes of it and what to do; and no check fails for it."""
    doubtful(cloud)
    (check,) = (each for each in operator.json("doctor")["checks"] if each["status"] == "warn")
    assert check["name"] == name
    assert found in check["found"]
    assert do in check["do"]


@pytest.mark.parametrize(
    ("action", "name", "do"),
    [
        ("GetFunction", "function", "allow scf:GetFunction and scf:ListTriggers"),
        ("ListTriggers", "triggers", "allow scf:ListTriggers"),
    ],
)
def test_what_the_platform_does_not_tell_is_a_warning(
    cloud: Cloud, operator: Operator, action: str, name: str, do: str
) -> None:
    """An operator without that permission can look in the console; what else is told is checked."""
    operator.use(cloud.temporary_credentials(allowed=lambda operation: operation.name != action))
    (check,) = (each for each in operator.json("doctor")["checks"] if each["status"] == "warn")
    assert check["name"] == name
    assert do in check["do"]


def test_a_function_that_is_not_there_is_named(operator: Operator) -> None:
    """By the name that serverless.yml gives it."""
    text = (PROJECT / "serverless.yml").read_text().replace("  name: livepair", "  name: elsewhere")
    (operator.folder / "serverless.yml").write_text(text)
    found = failures(operator)
    assert found["function"]["found"] == "elsewhere is not deployed in ap-singapore"


def test_wrong_settings_are_each_a_line(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """All faults of the settings at once; nothing else is asked then."""
    monkeypatch.setenv("LIVE_KEY", "uploads/live.gz")
    monkeypatch.setenv("API_RATE", "many")
    told = operator.json("doctor", status=1)
    assert [check["name"] for check in told["checks"]] == ["settings", "settings"]


@pytest.mark.parametrize(
    ("action", "group"),
    [
        ("PutObject", "state bucket"),
        ("GetObject", "state bucket"),
        ("DeleteObject", "state bucket"),
        ("GetBucketVersioning", "versions"),
        ("GetBucketLifecycle", "lifecycle rules"),
        ("DetectReflectLivenessAndCompare", "API"),
    ],
)
def test_a_missing_permission_is_named_and_hides_nothing_else(
    cloud: Cloud, operator: Operator, action: str, group: str
) -> None:
    """Each permission is tried; one that is refused fails its own checks and no others."""
    operator.use(cloud.temporary_credentials(allowed=lambda operation: operation.name != action))
    failed = failures(operator)
    assert set(failed) == {group}
    assert action in str(failed[group])
    assert bool(cloud.cos.bucket(STATE).keys("")) == (action == "DeleteObject")


def test_a_probe_leaves_no_version_behind(cloud: Cloud, operator: Operator) -> None:
    """Nor a delete marker."""
    cloud.cos.bucket(STATE).versioning = "Enabled"
    failures(operator)
    assert list(cloud.cos.bucket(STATE).all_versions("")) == []


def test_a_rule_for_some_uploads_keeps_the_others_for_ever(cloud: Cloud, operator: Operator) -> None:
    """So claims may not go, although that rule is the shorter one; and a rule for tags reaches neither."""
    rules = [("uploads/tmp/", 1, {}), ("", 2, {"Tag": {"Key": "old", "Value": "yes"}})]
    told = [
        {
            "ID": prefix or "all",
            "Filter": {"And": {"Prefix": prefix, **tag}} if tag else {"Prefix": prefix},
            "Status": "Enabled",
            "Expiration": {"Days": str(days)},
        }
        for prefix, days, tag in rules
    ]
    cloud.uploader.put_bucket_lifecycle(Bucket=BUCKET, LifecycleConfiguration={"Rule": told})
    lifecycle(f"{PREFIX}/claims/", 30)(cloud)
    assert "judged" in failures(operator)["lifecycle of claims"]["found"]


def test_an_archived_upload_is_no_missing_permission(cloud: Cloud, operator: Operator) -> None:
    """It is a warning, and the roles of the newest keys are told all the same."""
    bucket = cloud.cos.bucket(BUCKET)
    bucket.put("uploads/42/live.gz", samples.live(), silent=True)
    bucket.archive("uploads/42/live.gz")
    told = operator.json("doctor")
    assert "restore it" in str(told["checks"])
    assert "uploads/42/live.gz: live" in str(told["checks"])


def test_it_needs_no_more_than_an_operators_policy(cloud: Cloud, operator: Operator) -> None:
    """What it asks for beside the function's own permissions is reading configuration."""
    actions = ["HeadObject", "GetObject", "PutObject", "DeleteObject", "GetBucket", "GetBucketVersioning"]
    asked = [f"name/cos:{action}" for action in (*actions, "GetBucketLifecycle")]
    asked += ["scf:GetFunction", "scf:ListTriggers", f"faceid:{COMPARE}"]
    policy = {
        "version": "2.0",
        "statement": [{"effect": "allow", "action": asked, "resource": "*"}],
    }
    operator.use(cloud.temporary_credentials(allowed=allowed_by(policy)))
    operator.fine("doctor")


def test_uploads_of_other_templates_are_noticed(cloud: Cloud, operator: Operator) -> None:
    """An application whose keys match nothing would wait for outcomes for ever."""
    cloud.cos.bucket(BUCKET).put("uploads/2026/11/22/live.gz", samples.live(), silent=True)
    assert "make the templates and the keys" in failures(operator)["templates"]["do"]


def test_a_dead_network_is_one_line_for_each_check(operator: Operator, cloud: Cloud) -> None:
    """No traceback, and no check left out."""
    cloud.faults.add("*", then=faults.cut_before(), times=None)
    found = failures(operator)
    assert {"state bucket", "bucket of uploads", "versions", "lifecycle rules", "API"} <= set(found)
