"""How `doctor` reads triggers and lifecycle rules: pure, without a deployment."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from handler.cli.doctor.code import files_of, is_sum_of
from handler.cli.doctor.lifecycle import Effect, Kept, Place, effects_of, kept_by
from handler.cli.doctor.lifecycle import checked as kept_checked
from handler.cli.doctor.running import EXPECTED, running
from handler.cli.doctor.triggers import Uploads, checked, read, tells_of_all
from handler.cli.doctor.trouble import about_api

BUCKET = "faces-1250000000"
HOST = f"{BUCKET}.cos.ap-singapore.myqcloud.com"
CREATED = "cos:ObjectCreated:*"


def cos_trigger(description: Any, name: str = HOST) -> dict[str, Any]:
    """A COS trigger as ListTriggers tells of it."""
    text = description if isinstance(description, str) else json.dumps(description)
    return {"Type": "cos", "TriggerName": name, "TriggerDesc": text, "Enable": 1}


@pytest.mark.parametrize(
    ("trigger", "tells"),
    [
        (cos_trigger({"event": CREATED, "filter": {"Prefix": "uploads/", "Suffix": ""}}), True),
        (cos_trigger({"event": CREATED, "filter": {"prefix": "up"}}), True),
        (cos_trigger({"events": [CREATED, "cos:ObjectRemove:*"]}), True),
        (cos_trigger({"event": CREATED, "filter": None}, name="uploads"), True),
        (cos_trigger({"event": CREATED, "filter": {"Prefix": "uploads/live/"}}), False),
        (cos_trigger({"event": CREATED, "filter": {"prefix": "", "suffix": ".gz"}}), False),
        (cos_trigger({"event": "cos:ObjectCreated:Put"}), False),
        (cos_trigger({"event": CREATED}, name=HOST.replace("faces", "others")), False),
        (cos_trigger("no JSON"), False),
        (cos_trigger("[]"), False),
    ],
)
def test_a_cos_trigger_tells_of_all_uploads_or_not(trigger: dict[str, Any], tells: bool) -> None:
    """However the platform spells it: all creations, the bucket of uploads, no narrower prefix, no suffix."""
    assert tells_of_all(read(trigger), BUCKET, "uploads/") is tells


@pytest.mark.parametrize(
    ("enable", "on"), [(1, True), ("1", True), ("OPEN", True), (0, False), ("CLOSE", False), (None, False)]
)
def test_a_trigger_is_on_or_off(enable: object, on: bool) -> None:
    """The platform tells it in several ways; what it does not tell is off."""
    assert read({"Type": "timer", "Enable": enable}).enabled is on


@pytest.mark.parametrize("description", ["0 * * * * * *", '{"cron": "0 * * * * * *"}'])
def test_a_timer_tells_when_it_fires_and_what_for(description: str) -> None:
    """Its description is the cron itself, or holds it."""
    timer = read({"Type": "timer", "TriggerDesc": description, "CustomArgument": " reconcile "})
    assert (timer.cron, timer.reconciles) == ("0 * * * * * *", True)


def timer(cron: str, argument: str = "", enable: int = 1) -> dict[str, Any]:
    """A timer as ListTriggers tells of it."""
    return {"Type": "timer", "TriggerDesc": cron, "CustomArgument": argument, "Enable": enable}


def parts(*names: str) -> list[dict[str, Any]]:
    """Timers of sweeps in parts."""
    return [timer("0 * * * * * *", f"sweep {name}") for name in names]


LIVE = cos_trigger({"event": CREATED, "filter": {"Prefix": "live/"}})
IMAGES = cos_trigger({"event": CREATED, "filter": {"Prefix": "images/"}})
MINUTE, DAY = timer("0 * * * * * *"), timer("30 17 3 * * * *", "reconcile")


@pytest.mark.parametrize(
    ("triggers", "wrong"),
    [
        ([LIVE, IMAGES, MINUTE, DAY], []),
        ([LIVE, MINUTE, DAY], [("COS trigger", "fail")]),
        ([LIVE, IMAGES, timer("0 */5 * * * * *"), DAY], [("sweep timer", "warn")]),
        ([LIVE, IMAGES, timer("0 0 * * * * *"), MINUTE, DAY], []),
        ([LIVE, IMAGES, *parts("1/2", "2/2"), DAY], []),
        ([LIVE, IMAGES, *parts("1/3", "3/3"), DAY], [("sweep timer", "fail")]),
        ([LIVE, IMAGES, *parts("1/2", "3/2"), DAY], [("sweep timer", "fail")]),
        ([LIVE, IMAGES, MINUTE, *parts("1/2"), DAY], []),
        ([LIVE, IMAGES, MINUTE], [("reconcile timer", "fail")]),
        (
            [LIVE, IMAGES, timer("0 * * * * * *", enable=0), DAY],
            [("triggers", "fail"), ("sweep timer", "fail")],
        ),
        ([], [("COS trigger", "fail"), ("sweep timer", "fail"), ("reconcile timer", "fail")]),
    ],
)
def test_triggers_wake_the_function_for_uploads_each_minute_and_each_day(
    triggers: list[dict[str, Any]], wrong: list[tuple[str, str]]
) -> None:
    """Each template may have a trigger of its own; what is switched off wakes nobody; all faults at once."""
    checks = list(checked(Uploads(BUCKET, ("live/", "images/")), [read(each) for each in triggers]))
    assert [(check.name, check.status) for check in checks if check.status != "ok"] == wrong
    assert all(check.do for check in checks if check.status != "ok")


def rule(prefix: str, days: object, **changes: Any) -> dict[str, Any]:
    """A lifecycle rule as COS tells of it."""
    return {
        "Filter": {"Prefix": prefix},
        "Status": "Enabled",
        "Expiration": {"Days": days},
        **changes,
    }


def deletes(prefix: str, days: int, date: str = "") -> Effect:
    return Effect("delete", prefix, days, date)


def archives(prefix: str, days: int, date: str = "") -> Effect:
    return Effect("archive", prefix, days, date)


DATE = "2027-01-01T00:00:00+08:00"


@pytest.mark.parametrize(
    ("told", "effects"),
    [
        (rule("uploads/", "30"), [deletes("uploads/", 30)]),
        (rule("", "1"), [deletes("", 1)]),
        (rule("", "1", Filter={"And": {"Prefix": "a/"}}), [deletes("a/", 1)]),
        (rule("", "1", Filter=None, Prefix="old/"), [deletes("old/", 1)]),
        (rule("", "1", Status="Disabled"), []),
        (rule("", "1", Filter={"And": {"Prefix": "a/", "Tag": {"Key": "k", "Value": "v"}}}), []),
        (rule("", "1", Expiration=None), []),
        (rule("", "1", Expiration={"ExpiredObjectDeleteMarker": "true"}), []),
        (rule("a/", "1", Expiration={"Date": DATE}), [deletes("a/", 0, DATE)]),
        (
            rule("a/", "9", Transition={"Days": "0", "StorageClass": "ARCHIVE"}),
            [deletes("a/", 9), archives("a/", 0)],
        ),
        (rule("", "1", Expiration=None, Transition=[{"Days": "3", "StorageClass": "STANDARD_IA"}]), []),
        (
            rule(
                "",
                "1",
                Expiration=None,
                Transition=[
                    {"Days": "3", "StorageClass": "MAZ_STANDARD_IA"},
                    {"Date": DATE, "StorageClass": "DEEP_ARCHIVE"},
                ],
            ),
            [archives("", 0, DATE)],
        ),
    ],
)
def test_a_lifecycle_rule_does_something_to_what_it_reaches(
    told: dict[str, Any], effects: list[Effect]
) -> None:
    """It deletes or archives, by age or on a date. Uploads and state carry no tags, so none is for them."""
    assert effects_of([told]) == effects


UPLOADS = Place("uploads/", "uploads/", is_state=False)
CLAIMS = Place("claims", "livepair/claims/", is_state=True)
AGENDA = Place("agenda", "livepair/agenda/", is_state=True)
FRAMES = Place("best-frames", "livepair/best-frames/", is_state=True)


@pytest.mark.parametrize(
    ("place", "effects", "first"),
    [
        (UPLOADS, [], None),
        (UPLOADS, [deletes("", 9), deletes("up", 5)], deletes("up", 5)),
        (UPLOADS, [deletes("uploads/tmp/", 1)], None),
        (UPLOADS, [deletes("elsewhere/", 1)], None),
        (UPLOADS, [deletes("", 9), deletes("", 0, DATE)], deletes("", 9)),
        (CLAIMS, [deletes("", 9), deletes("", 0, DATE)], deletes("", 0, DATE)),
        (CLAIMS, [deletes("livepair/", 30)], deletes("livepair/", 30)),
        (CLAIMS, [deletes("livepair/claims/ada/", 7)], deletes("livepair/claims/ada/", 7)),
        (CLAIMS, [deletes("livepair/records/", 7)], None),
    ],
)
def test_a_place_is_kept_as_long_as_its_rules_leave_it(
    place: Place, effects: list[Effect], first: Effect | None
) -> None:
    """A rule for some uploads keeps the others; a rule for some claims leaves some uploads unprotected."""
    assert kept_by(place, [*effects, archives("", 3)]) == Kept(first, archives("", 3))


SOUND = {
    UPLOADS: Kept(deletes("uploads/", 30), None),
    CLAIMS: Kept(deletes("", 90), None),
    AGENDA: Kept(None, None),
    FRAMES: Kept(deletes("", 90), None),
}


@pytest.mark.parametrize(
    ("changed", "many", "found"),
    [
        ({}, False, None),
        ({UPLOADS: Kept(None, None), CLAIMS: Kept(None, None)}, False, ("uploads/", "warn", "for ever")),
        ({FRAMES: Kept(None, None)}, False, ("best-frames", "warn", "for ever")),
        ({CLAIMS: Kept(None, None)}, False, None),
        ({UPLOADS: Kept(deletes("", 0, DATE), None)}, False, ("claims", "fail", "after 90 days, before")),
        ({CLAIMS: Kept(deletes("", 29), None)}, False, ("claims", "fail", "after 29 days, before")),
        ({CLAIMS: Kept(deletes("", 30), None)}, False, None),
        ({CLAIMS: Kept(deletes("", 0, DATE), None)}, False, ("claims", "fail", "on 2027-01-01, whatever")),
        ({AGENDA: Kept(deletes("", 0, DATE), None)}, False, ("agenda/", "fail", "on 2027-01-01")),
        ({CLAIMS: Kept(deletes("", 90), archives("", 60))}, False, ("claims", "fail", "not read it")),
        ({AGENDA: Kept(None, archives("", 60))}, False, ("agenda", "fail", "not read it")),
        ({FRAMES: Kept(deletes("", 90), archives("", 60))}, False, None),
        ({UPLOADS: Kept(deletes("", 30), archives("", 2))}, False, ("uploads/", "warn", "after 2 days")),
        ({UPLOADS: Kept(deletes("", 30), archives("", 2))}, True, ("uploads/", "fail", "comes later finds")),
    ],
)
def test_what_is_wrong_with_how_long_things_are_kept(
    changed: dict[Place, Kept], many: bool, found: tuple[str, str, str] | None
) -> None:
    """Claims that go first, what waits and goes, archives that nobody reads, faces that stay for ever."""
    checks = list(kept_checked({**SOUND, **changed}, many))
    if found is None:
        assert checks == []
        return
    (check,) = checks
    name, status, words = found
    assert (check.name, check.status) == (f"lifecycle of {name}", status)
    assert words in check.found
    assert check.do


# --- the function and its code --------------------------------------------------------------------------


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row.name)
def test_a_field_that_is_not_told_is_not_checked(row: Any) -> None:
    """The API may tell null for each of them; only another value than the good one is a fault."""
    fields: dict[str, Any] = dict.fromkeys(row.path[:1])
    assert [check for check in running(fields) if check.name == row.name] == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Status": "Active"}, "ok"),
        ({}, "ok"),
        ({"Status": "Updating"}, "warn"),
        ({"Status": "UpdateFailed", "StatusReasons": [{"ErrorMessage": "no such bucket"}]}, "fail"),
    ],
)
def test_a_status_that_passes_is_a_warning(fields: dict[str, Any], status: str) -> None:
    """One that ends with Failed does not pass by itself."""
    (check,) = (each for each in running(fields) if each.name == "function")
    assert check.status == status
    assert ("no such bucket" in check.found) == (status == "fail")


def test_a_sum_counts_as_hex_and_as_base64() -> None:
    """No page says in which of the two the platform tells a code's SHA-256."""
    # of the three letters abc (FIPS 180-2, appendix B.1)
    assert is_sum_of("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", b"abc")
    assert is_sum_of("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", b"abc")
    assert not is_sum_of("", b"abc")
    assert not is_sum_of("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", b"abd")


def test_the_same_files_zipped_otherwise_are_the_same_files() -> None:
    """Folders, times and compression do not count; a byte of a file does."""

    def made(method: int, *files: tuple[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in files:
                archive.writestr(name, data)
        return buffer.getvalue()

    one = made(zipfile.ZIP_STORED, ("index.py", b"x"))
    assert files_of(one) == files_of(made(zipfile.ZIP_DEFLATED, ("handler/", b""), ("index.py", b"x")))
    assert files_of(one) != files_of(made(zipfile.ZIP_STORED, ("index.py", b"y")))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AuthFailure.SignatureFailure", "TENCENT_SECRET_ID"),
        ("AuthFailure.SecretIdNotFound", "TENCENT_SECRET_ID"),
        ("AuthFailure.TokenFailure", "TENCENT_SECRET_ID"),
        ("AuthFailure.UnauthorizedOperation", "allow scf:GetFunction"),
        ("UnauthorizedOperation", "allow scf:GetFunction"),
        ("UnauthorizedOperation.CAM", "allow scf:GetFunction"),
        ("UnauthorizedOperation.Region", ""),
        ("ClientNetworkError", "network"),
        ("RequestLimitExceeded.UinLimitExceeded", "later"),
        ("InternalError.System", "later"),
        ("BrandNew", ""),
    ],
)
def test_each_refusal_of_an_api_has_its_own_advice(code: str, says: str) -> None:
    """A bad key is not mended by a policy, nor a policy by a key, nor either by the network."""
    advice = about_api(code, "scf:GetFunction")
    assert says in advice
    assert bool(says) == bool(advice)
