"""`doctor`: what is wrong with a deployment is found before its users find it, and said with what to do."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handler.cli.deployment import BACKEND
from handler.cli.doctor import backend as probes
from handler.cli.doctor.trouble import KEYS, NETWORK
from tests.cloud import Cloud, Credentials, faults, samples
from tests.cloud.cam import allowed_by
from tests.cloud.cls_api import Topic
from tests.cloud.faceid import COMPARE
from tests.cloud.function import DAILY
from tests.cloud.scf import bundle
from tests.cloud.scf_api import PARAMETERS as SCF
from tests.cloud.scf_api import zipped
from tests.support import cls
from tests.support.harness import BUCKET, STATE, Livepair
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
    """Somebody who has deployed the function as serverless.yml does, and whose own settings are its.

    Both buckets have lifecycle rules: for uploads, and for what of the state may go.
    """
    cloud.deploy(code, timeout=90, reconcile=DAILY)
    put_rules(cloud, BUCKET, rule("uploads/", 30))
    put_rules(cloud, STATE, *RULES)
    for name, value in {**cloud.environment(), "TENCENTCLOUD_REGION": cloud.region}.items():
        monkeypatch.setenv(name, value)
    return Operator(cloud, monkeypatch, tmp_path)


PREFIX = f"livepair/{BUCKET}"


def rule(prefix: str, days: int, **changes: Any) -> dict[str, Any]:
    """A lifecycle rule that deletes what lies under a prefix after so many days."""
    return {
        "ID": prefix or "all",
        "Filter": {"Prefix": prefix},
        "Status": "Enabled",
        "Expiration": {"Days": str(days)},
        **changes,
    }


RULES = [rule(f"{PREFIX}/{kind}/", 90) for kind in ("claims", "records", "settled", "best-frames")]


def put_rules(cloud: Cloud, bucket: str, *rules: dict[str, Any]) -> None:
    cloud.uploader.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rule": list(rules)})


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


def test_state_in_the_bucket_of_uploads_fails(
    cloud: Cloud, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write all of one bucket may then write state."""
    monkeypatch.setenv("STATE_BUCKET", BUCKET)
    assert "a bucket of its own" in failures(operator)["state bucket"]["do"]


def test_a_secret_that_records_were_not_sealed_with_fails(
    cloud: Cloud, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the function finds records that it cannot read."""
    livepair = Livepair(cloud, monkeypatch, **cloud.environment())
    livepair.pair()
    told = operator.json("doctor", "--no-webhook")
    assert [each["status"] for each in told["checks"] if each["name"] == "seals"] == ["ok"]
    monkeypatch.setenv(
        "STATE_SECRET", "whsec_" + base64.b64encode(b"a fake secret of another function").decode()
    )
    assert "behind the new one in STATE_SECRET" in failures(operator)["seals"]["do"]


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
    """A rule more, that deletes what lies under a prefix of the state bucket after so many days."""
    return lambda cloud: put_rules(cloud, STATE, *RULES, rule(prefix, days, ID="old"))


def tells(**fields: Any) -> Callable[[Cloud], None]:
    """GetFunction tells of the function what these say."""

    def change(cloud: Cloud) -> None:
        cloud.scf_api.told["livepair"] = fields

    return change


def without_functions(code: str) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        cloud.scf_api.no_functions[cloud.region] = code

    return change


def in_arrears(state: str) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.faceid.refuse_host("faceid*", f"UnauthorizedOperation.{state}")


def versioned(bucket: str, status: Any) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        cloud.cos.bucket(bucket).versioning = status

    return change


@pytest.mark.parametrize(
    ("name", "says", "breaks"),
    [
        ("versions (state)", "use a STATE_BUCKET", versioned(STATE, "Enabled")),
        ("versions (state)", "suspending is not enough", versioned(STATE, "Suspended")),
        ("create-only PUT", "never had versioning", versioned(STATE, "Suspended")),
        ("versions (uploads)", "use a BUCKET that never had", versioned(BUCKET, "Enabled")),
        ("versions (uploads)", "suspending is not enough", versioned(BUCKET, "Suspended")),
        ("lifecycle of agenda/", "no lifecycle rule", lifecycle(f"{PREFIX}/agenda/", 30)),
        ("lifecycle of dead/", "no lifecycle rule", lifecycle("livepair/", 30)),
        ("lifecycle of records", "as long as the uploads", lifecycle(f"{PREFIX}/records/", 20)),
        ("lifecycle of claims", "as long as the uploads", lifecycle(f"{PREFIX}/cl", 20)),
        ("lifecycle of settled", "as long as the uploads", lifecycle(f"{PREFIX}/settled/", 20)),
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
        ("API", "check TENCENT_SECRET_ID", lambda cloud: cloud.faceid.refuse_host("faceid*")),
        ("API", "activate eKYC (Face ID) in", in_arrears("Nonactivated")),
        ("API", "wait until eKYC is", in_arrears("Activating")),
        ("API", "in the console again", in_arrears("ActivateError")),
        ("API", "settle what the account owes", in_arrears("Arrears")),
        ("API", "about its billing", in_arrears("ChargeStatusException")),
        ("API", "verify their identity", in_arrears("NonAuthorize")),
        ("function", "deploy it again", tells(Status="CreateFailed")),
        ("function's account", "owes", tells(AvailableStatus="InsufficientBalance")),
        ("public network", "access on", tells(PublicNetConfig={"PublicNetStatus": "DISABLE"})),
        ("asynchronous execution", "switch it off", lambda cloud: redeployed(cloud, async_run=True)),
        ("function", "ap-singapore or ap-hongkong", without_functions("UnsupportedRegion")),
        (
            "function",
            "ap-singapore or ap-hongkong",
            without_functions("UnsupportedOperation.NotSupportRegion"),
        ),
        ("function", "ap-singapore or ap-hongkong", without_functions("UnsupportedOperation.Region")),
        ("function", "ap-singapore or ap-hongkong", without_functions("UnauthorizedOperation.Region")),
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


def for_ever(cloud: Cloud) -> None:
    """No rule for uploads, and so none for what keeps them from being judged again."""
    put_rules(cloud, BUCKET, rule("tmp/", 9))
    put_rules(cloud, STATE, RULES[-1])


def queue(cloud: Cloud) -> None:
    """Somebody else uses up the API's calls."""
    cloud.faceid.limits[COMPARE] = 0


def changed(cloud: Cloud, **settings: str) -> None:
    """Deploy the function anew, with other settings."""
    redeployed(cloud, environment={**cloud.environment(), **settings})


@pytest.mark.parametrize(
    ("name", "found", "do", "doubtful"),
    [
        ("read after write", "HEAD did not show a finished PUT at once", "pairs wait for sweeps", put_late),
        ("time limit", "80 s leave", "set 90 s", lambda cloud: redeployed(cloud, timeout=80)),
        ("API", "RequestLimitExceeded", "try again later", queue),
        ("function", "Updating", "wait until", tells(Status="Updating")),
        ("retries", "tried 0 times", "2 retries", lambda cloud: redeployed(cloud, retries=0)),
        ("retries", "kept 60 s", "21600 s", lambda cloud: redeployed(cloud, event_seconds=60)),
        ("reservation", "2 instances", "reserve more", lambda cloud: redeployed(cloud, reserved_memory=512)),
        ("lifecycle of uploads/", "for ever", "add a rule", for_ever),
        (
            "lifecycle of best-frames",
            "for ever",
            "add a rule",
            lambda cloud: put_rules(cloud, STATE, *RULES[:-1]),
        ),
        (
            "lifecycle of uploads/",
            "archived after 7 days",
            "archive later",
            lambda cloud: put_rules(
                cloud, BUCKET, rule("", 30, Transition={"Days": "7", "StorageClass": "ARCHIVE"})
            ),
        ),
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
        ("GetFunction", "function", "allow scf:GetFunction, scf:ListTriggers"),
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


@pytest.mark.parametrize(
    "told_as",
    [
        "ResourceNotFound.Function",
        "ResourceNotFound.FunctionName",
        "ResourceNotFound.Namespace",
        "InvalidParameterValue.FunctionName",
    ],
)
def test_a_function_that_is_not_there_is_named(cloud: Cloud, operator: Operator, told_as: str) -> None:
    """By the name that serverless.yml gives it, whichever of its codes the platform says it with."""
    cloud.scf_api.not_found = told_as
    text = (PROJECT / "serverless.yml").read_text().replace("  name: livepair", "  name: elsewhere")
    (operator.folder / "serverless.yml").write_text(text)
    found = failures(operator)
    assert found["function"]["found"] == "elsewhere is not deployed in ap-singapore"


def test_wrong_settings_are_each_a_line(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """All faults of the settings at once, region and credentials too; nothing else is asked then."""
    monkeypatch.setenv("LIVE_KEY", "uploads/live.gz")
    monkeypatch.setenv("API_RATE", "many")
    for name in ("REGION", "TENCENTCLOUD_REGION", "BUCKET"):
        monkeypatch.delenv(name, raising=False)
    operator.use(Credentials("", "", None))
    told = operator.json("doctor", status=1)
    assert {check["name"] for check in told["checks"]} == {"settings"}
    found = " ".join(check["found"] for check in told["checks"])
    assert all(name in found for name in ("LIVE_KEY", "API_RATE", "BUCKET", "REGION", "TENCENT_SECRET_ID"))
    assert len(told["checks"]) == 5
    (keys,) = (check for check in told["checks"] if "TENCENT_SECRET_ID" in check["found"])
    assert "function is deployed" not in keys["do"]  # it never sees them


# --- whose fault it is ----------------------------------------------------------------------------------


def advice(operator: Operator) -> dict[str, set[str]]:
    """What to do, by the check that fails."""
    found: dict[str, set[str]] = {}
    for check in operator.json("doctor", "--no-webhook", status=1)["checks"]:
        if check["status"] == "fail" or check["name"] == "function":
            found.setdefault(check["name"], set()).add(check["do"])
    return found


SECTIONS = {"state bucket", "bucket of uploads", "versions", "lifecycle rules", "API", "function"}


@pytest.mark.parametrize("which", ["secret", "id", "ended"])
def test_bad_keys_are_told_from_a_missing_permission(cloud: Cloud, operator: Operator, which: str) -> None:
    """A wrong secret, an unknown id, temporary keys that have ended: no policy mends them."""
    good = cloud.credentials
    operator.use(
        {
            "secret": Credentials(good.secret_id, "fake-wrong"),
            "id": Credentials("AKIDlocalcloudnobody", "fake-nobody"),
            "ended": cloud.temporary_credentials(seconds=-1),
        }[which]
    )
    found = advice(operator)
    assert set(found) == SECTIONS
    assert {do for each in found.values() for do in each} == {KEYS}


def test_a_cloud_out_of_reach_is_told_from_a_wrong_bucket(cloud: Cloud, operator: Operator) -> None:
    """The network is to blame, not BUCKET; and an answer that never came has no request id."""
    cloud.faults.add("*", then=faults.cut_before(), times=None)
    found = advice(operator)
    assert set(found) == SECTIONS
    assert {do for each in found.values() for do in each} == {NETWORK}
    assert "None" not in str(operator.json("doctor", "--no-webhook", status=1))


def test_a_bucket_that_is_not_there_keeps_nothing_for_ever(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is to blame; of the other bucket everything is checked all the same."""
    monkeypatch.setenv("BUCKET", "elsewhere-1250000000")
    told = operator.json("doctor", status=1)
    failed = {check["name"]: check for check in told["checks"] if check["status"] == "fail"}
    for name in ("bucket of uploads", "versions", "lifecycle rules"):
        assert "NoSuchBucket" in failed[name]["found"]
        assert "mend BUCKET" in failed[name]["do"]
    (kept,) = (check["found"] for check in told["checks"] if check["name"] == "kept for")
    assert "uploads/" not in kept
    assert "versions (state)" in {check["name"] for check in told["checks"] if check["status"] == "ok"}


def test_the_api_is_asked_with_a_call_that_lacks_nothing(cloud: Cloud, operator: Operator) -> None:
    """Links to objects that are not there, at both hosts: it ends with DownLoadError, unbilled."""
    told = operator.json("doctor")
    assert [check["status"] for check in told["checks"] if check["name"] == "API"] == ["ok", "ok"]
    assert [call.code for call in cloud.faceid.calls] == ["FailedOperation.DownLoadError"] * 2
    assert not any(call.executed or call.billed for call in cloud.faceid.calls)
    assert cloud.cos.bucket(BUCKET).keys() == []
    assert "q-signature" not in str(told)


# --- the backend's keys ---------------------------------------------------------------------------------

LIVE, IMAGE = f"{BUCKET}/uploads/*/live.gz", f"{BUCKET}/uploads/*/image.jpg"


def as_backend(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *allowed: tuple[str, str]) -> None:
    """Give doctor keys of a backend that may do these actions on these resources."""
    region, appid = cloud.region, cloud.appid
    statements = [
        {
            "effect": "allow",
            "action": f"name/cos:{action}",
            "resource": f"qcs::cos:{region}:uid/{appid}:{path}",
        }
        for action, path in allowed
    ]
    credentials = cloud.temporary_credentials(allowed=allowed_by({"version": "2.0", "statement": statements}))
    values = (credentials.secret_id, credentials.secret_key, credentials.token)
    for name, value in zip(BACKEND, values, strict=True):
        monkeypatch.setenv(name, value or "")


@pytest.mark.parametrize(
    ("allowed", "failed"),
    [
        ([("PutObject", LIVE), ("PutObject", IMAGE)], set()),
        ([("PutObject", IMAGE)], {"backend writes"}),
        ([("PutObject", f"{BUCKET}/uploads/*")], {"backend writes elsewhere"}),
        ([("PutObject", "*")], {"backend writes elsewhere"}),
        ([("PutObject", LIVE), ("PutObject", IMAGE), ("GetObject", LIVE)], {"backend reads"}),
        ([("GetObject", "*")], {"backend writes", "backend reads"}),
    ],
)
def test_the_backends_keys_may_write_uploads_and_nothing_else(
    cloud: Cloud,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    allowed: list[tuple[str, str]],
    failed: set[str],
) -> None:
    """Where they are given: a star in the middle matches and does not widen. Nothing is written by trying."""
    as_backend(cloud, monkeypatch, *allowed)
    events = len(cloud.scf.invocations)
    told = operator.json("doctor", status=1 if failed else 0)
    assert {check["name"] for check in told["checks"] if check["status"] == "fail"} == failed
    assert cloud.cos.bucket(BUCKET).keys() == []
    assert cloud.cos.bucket(STATE).keys() == []
    cloud.scf.wait_idle()
    assert len(cloud.scf.invocations) == events


def test_links_that_may_do_more_than_create_are_a_warning(
    cloud: Cloud, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds a link may send any header that was not signed, if no condition forbids its signer."""
    as_backend(cloud, monkeypatch, ("PutObject", LIVE), ("PutObject", IMAGE))
    (check,) = (each for each in operator.json("doctor")["checks"] if each["status"] == "warn")
    assert check["name"] == "backend's conditions"
    assert all(what in check["found"] for what in ("replace", "archive", "publish"))
    assert cloud.cos.bucket(BUCKET).keys() == []


def test_a_probe_that_cos_takes_is_removed(
    cloud: Cloud, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A COS that does not look at the sum stores it; then it is taken off with the operator's own keys."""
    monkeypatch.setattr(probes, "WRONG_MD5", base64.b64encode(hashlib.md5(b"x").digest()).decode())
    as_backend(cloud, monkeypatch, ("PutObject", "*"))
    assert set(failures(operator)) == {"backend writes elsewhere"}
    removed = [logged for logged in cloud.log if logged.operation == "DeleteObject" and logged.status == 204]
    # Two uploads, one of them again under each of three conditions, one key beside, one record, doctor's own.
    assert len(removed) == 8
    assert cloud.cos.bucket(BUCKET).keys() == []
    assert cloud.cos.bucket(STATE).keys() == []


def test_backend_keys_that_are_wrong_tell_nothing_of_a_policy(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused everything, which must not pass for keys that may do nothing else."""
    for name, value in zip(BACKEND, ("AKIDlocalcloudnobody", "fake-nobody", ""), strict=True):
        monkeypatch.setenv(name, value)
    assert set(failures(operator)) == {"backend"}


# --- the deployed code ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archive", "status", "found"),
    [
        ("none", "info", "no livepair.zip here"),
        ("same", "ok", "is livepair.zip"),
        ("rezipped", "ok", "has the files of livepair.zip"),
        ("other", "warn", "differs from livepair.zip in handler/log.py"),
    ],
)
def test_the_deployed_code_is_compared_with_the_bundle_here(
    operator: Operator, code: Path, tmp_path: Path, archive: str, status: str, found: str
) -> None:
    """By its sum, and where a tool made a zip of its own, file by file."""
    if archive != "none":
        data = zipped(code)
        if archive != "same":
            data = rezipped(data, {"handler/log.py": b"# another"} if archive == "other" else {})
        (tmp_path / "livepair.zip").write_bytes(data)
    (check,) = (each for each in operator.json("doctor")["checks"] if each["name"] == "deployed code")
    assert check["status"] == status
    assert found in check["found"]


@pytest.mark.parametrize("archive", ["no zip", "cut", "broken inside"])
def test_a_bundle_here_that_is_no_zip_is_one_line(
    operator: Operator, code: Path, tmp_path: Path, archive: str
) -> None:
    """What a build that was stopped or a bad copy left: `make bundle` mends it, all other checks are made."""
    data = zipped(code)
    left = {"no zip": b"x", "cut": data[:-100], "broken inside": data[:100] + bytes(100) + data[200:]}
    (tmp_path / "livepair.zip").write_bytes(left[archive])
    checks = operator.json("doctor")["checks"]
    (check,) = (each for each in checks if each["name"] == "deployed code")
    assert (check["status"], "make bundle" in check["do"]) == ("warn", True)
    assert "webhook" in {each["name"] for each in checks}


def rezipped(data: bytes, changes: dict[str, bytes]) -> bytes:
    """The same files, or changed ones, as another tool zips them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name, changes.get(name, old.read(name)))
    return made.getvalue()


# --- permissions ----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("action", "group", "still"),
    [
        ("GetObject", "bucket of uploads", "upload"),
        ("GetBucketVersioning", "versions", "versions (state)"),
        ("GetBucketLifecycle", "lifecycle rules", "kept for"),
    ],
)
def test_what_one_bucket_refuses_is_asked_of_the_other(
    cloud: Cloud, operator: Operator, action: str, group: str, still: str
) -> None:
    """A permission that lacks for the uploads alone costs its own check, and none beside it."""
    cloud.cos.bucket(BUCKET).put("uploads/42/live.gz", samples.live(), silent=True)
    operator.use(
        cloud.temporary_credentials(
            allowed=lambda operation: (operation.name, operation.bucket) != (action, BUCKET)
        )
    )
    assert set(failures(operator)) == {group}
    assert still in {check["name"] for check in operator.json("doctor", status=1)["checks"]}


def test_a_probe_leaves_no_version_behind(cloud: Cloud, operator: Operator) -> None:
    """Nor a delete marker."""
    cloud.cos.bucket(STATE).versioning = "Enabled"
    failures(operator)
    assert list(cloud.cos.bucket(STATE).all_versions("")) == []


def test_a_rule_for_some_uploads_keeps_the_others_for_ever(cloud: Cloud, operator: Operator) -> None:
    """So claims may not go, although that rule is the shorter one; and a rule for tags reaches neither."""
    tagged = {"And": {"Prefix": "", "Tag": {"Key": "old", "Value": "yes"}}}
    put_rules(cloud, BUCKET, rule("uploads/tmp/", 1), rule("", 2, Filter=tagged))
    lifecycle(f"{PREFIX}/claims/", 20)(cloud)
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
    asked += [f"scf:{action}" for action in SCF] + [f"faceid:{COMPARE}"]
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


# --- whether it is watched ----------------------------------------------------------------------------


def watched_by(cloud: Cloud) -> Topic:
    """The function's log topic, indexed and with all alarms of deploy/alarms.json, as Terraform makes it."""
    wanted = cls.read()
    queries = {alarm["name"]: f"{alarm['search']} | select count(*) as n" for alarm in wanted["alarms"]}
    cloud.scf_api.told["livepair"] = {"ClsTopicId": "topic"}
    topic = cloud.cls_api.topics["topic"] = Topic(dict(wanted["fields"]), queries)
    return topic


def of_watching(operator: Operator) -> dict[str, dict[str, str]]:
    told = operator.json("doctor", "--no-webhook")["checks"]
    return {check["name"]: check for check in told if check["name"] in ("log topic", "log index", "alarms")}


def test_a_watched_function_has_its_topic_index_and_alarms(cloud: Cloud, operator: Operator) -> None:
    """Compared with deploy/alarms.json."""
    watched_by(cloud)
    found = of_watching(operator)
    assert {check["status"] for check in found.values()} == {"ok"}
    assert len(found) == 3


def test_a_field_without_index_and_an_alarm_that_is_missing_are_named(
    cloud: Cloud, operator: Operator
) -> None:
    """A search in a field without index finds nothing, and nobody hears of it."""
    topic = watched_by(cloud)
    topic.fields["oldest_s"] = "text"
    del topic.fields["event"], topic.alarms["it falls behind"]
    found = of_watching(operator)
    assert found["log index"]["status"] == "warn"
    assert found["log index"]["found"].endswith("event, oldest_s")
    assert found["alarms"]["found"].endswith("without: it falls behind")


def test_which_log_topic_is_meant_is_said_where_nobody_chose_one(operator: Operator) -> None:
    """And where its name stands."""
    (check,) = of_watching(operator).values()
    assert (check["name"], check["status"]) == ("log topic", "info")
    assert "CLS_TOPIC" in check["do"]


def test_without_permission_for_logs_it_says_which(cloud: Cloud, operator: Operator) -> None:
    """It is no failure: somebody else may look after the alarms."""
    watched_by(cloud)
    operator.use(cloud.temporary_credentials(allowed=lambda operation: operation.service != "cls"))
    found = of_watching(operator)
    assert found["alarms"]["do"] == "allow cls:DescribeAlarms"
    assert found["log index"]["do"] == "allow cls:DescribeIndex"
