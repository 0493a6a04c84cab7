"""How `doctor` reads triggers and lifecycle rules: pure, without a deployment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handler.cli.doctor.lifecycle import Deletion, Place, days_kept, deletions_of
from handler.cli.doctor.triggers import Uploads, checked, read, tells_of_all

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


@pytest.mark.parametrize(
    ("told", "deletions"),
    [
        (rule("uploads/", "30"), [Deletion("uploads/", 30)]),
        (rule("", "1"), [Deletion("", 1)]),
        (rule("", "1", Filter={"And": {"Prefix": "a/"}}), [Deletion("a/", 1)]),
        (rule("", "1", Filter=None, Prefix="old/"), [Deletion("old/", 1)]),
        (rule("", "1", Status="Disabled"), []),
        (rule("", "1", Filter={"And": {"Prefix": "a/", "Tag": {"Key": "k", "Value": "v"}}}), []),
        (rule("", "1", Expiration=None), []),
        (rule("", "1", Expiration={"Date": "2027-01-01T00:00:00Z"}), []),
    ],
)
def test_a_lifecycle_rule_deletes_what_it_reaches(told: dict[str, Any], deletions: list[Deletion]) -> None:
    """Uploads and state carry no tags, so a rule for tags deletes nothing of them."""
    assert deletions_of([told]) == deletions


UPLOADS = Place("uploads/", "uploads/", is_state=False)
CLAIMS = Place("claims", "livepair/claims/", is_state=True)


@pytest.mark.parametrize(
    ("place", "deletions", "days"),
    [
        (UPLOADS, [], None),
        (UPLOADS, [Deletion("", 9), Deletion("up", 5)], 5),
        (UPLOADS, [Deletion("uploads/tmp/", 1)], None),
        (UPLOADS, [Deletion("elsewhere/", 1)], None),
        (CLAIMS, [Deletion("livepair/", 30)], 30),
        (CLAIMS, [Deletion("livepair/claims/ada/", 7)], 7),
        (CLAIMS, [Deletion("livepair/records/", 7)], None),
    ],
)
def test_a_place_is_kept_as_long_as_its_rules_leave_it(
    place: Place, deletions: list[Deletion], days: int | None
) -> None:
    """A rule for some uploads keeps the others; a rule for some claims leaves some uploads unprotected."""
    assert days_kept(place, deletions) == days
