"""`doctor --retention`: the longest that a face can live, and where nothing ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handler.cli.doctor.lifecycle import Place
from handler.cli.doctor.retention import LATE, Stay, in_all, parts, stays
from tests.cloud import samples
from tests.support.harness import BUCKET, STATE, Livepair
from tests.support.operator import Operator

UPLOADS = Place("uploads/", "uploads/", False)


def rule(prefix: str, days: int | None = None, **more: Any) -> dict[str, Any]:
    expiration = {} if days is None else {"Expiration": {"Days": str(days)}}
    return {"ID": prefix or "all", "Filter": {"Prefix": prefix}, "Status": "Enabled", **expiration, **more}


OLD: dict[str, Any] = {"NoncurrentVersionExpiration": {"NoncurrentDays": "5"}}
PARTS: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "1"}}


@pytest.mark.parametrize(
    ("rules", "versions", "days"),
    [
        ([rule("uploads/", 30)], False, [32]),
        ([rule("", 30)], False, [32]),
        ([rule("uploads/", 30), rule("", 7)], False, [9]),
        ([], False, [None]),
        ([rule("uploads/live/", 30)], False, [None]),
        ([rule("uploads/", 30, Status="Disabled")], False, [None]),
        ([rule("uploads/", 30, Filter={"And": {"Prefix": "uploads/", "Tag": {"Key": "a"}}})], False, [None]),
        ([rule("uploads/", Expiration={"Date": "2026-12-01T00:00:00+08:00"})], False, [None]),
        ([rule("uploads/", 30)], True, [32, None]),
        ([rule("uploads/", 30, **OLD)], True, [32, 7]),
        ([rule("uploads/", 30), rule("", **OLD), rule("uploads/x", **OLD)], True, [32, 7]),
    ],
)
def test_rules_end_what_they_reach(
    rules: list[dict[str, Any]], versions: bool, days: list[int | None]
) -> None:
    """All of a place, enabled, without a tag, and after days; old versions by a rule of their own."""
    assert LATE == 2
    assert [each.days for each in stays(UPLOADS, rules, versions=versions)] == days


def test_a_rule_for_some_best_frames_leaves_the_others() -> None:
    """Of state that livepair needs a part counts; of faces the rest does."""
    place = Place("best-frames/", "livepair/best-frames/", True)
    (stay,) = stays(place, [rule("livepair/best-frames/a", 30)], versions=False)
    assert stay.days is None


@pytest.mark.parametrize(
    ("rules", "days"),
    [([rule("uploads/", 30)], None), ([rule("uploads/", 30, **PARTS)], 3), ([rule("", **PARTS)], 3)],
)
def test_parts_of_no_object_end_by_a_rule_of_their_own(rules: list[dict[str, Any]], days: int | None) -> None:
    """Expiration does not reach what was begun and never completed."""
    assert parts("uploads/", rules).days == days


@pytest.mark.parametrize(
    ("uploads", "frames", "found"),
    [
        ([Stay("a/", 32, "")], [], "32 days from its upload"),
        ([Stay("a/", 32, ""), Stay("b/", 9, "")], [Stay("f/", 92, "")], "125 days from its upload: 32 "),
        ([Stay("a/", 32, ""), Stay("old versions of a/", 7, "")], [Stay("f/", 10, "")], "50 days"),
        ([Stay("a/", 32, ""), Stay("unfinished uploads to a/", 40, "")], [Stay("f/", 10, "")], "51 days"),
        ([Stay("a/", None, "")], [Stay("f/", 92, "")], "for ever, by a/"),
        ([Stay("a/", 3, "")], [Stay("f/", None, "")], "for ever, by f/"),
    ],
)
def test_the_places_of_a_face_add_up(uploads: list[Stay], frames: list[Stay], found: str) -> None:
    """Upload, a day to be decided, best frame, each with its old versions; the longest way counts."""
    check = in_all(uploads, frames)
    assert check.found.startswith(found)
    assert check.status == ("warn" if "for ever" in found else "ok")


def put_rules(livepair: Livepair, bucket: str, *rules: dict[str, Any]) -> None:
    livepair.cloud.uploader.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rule": list(rules)})


def test_it_adds_up_what_the_buckets_say(configured: Callable[..., Livepair], operator: Operator) -> None:
    """One line for each place, and their sum; nothing else of doctor is done."""
    livepair = configured(STATE_BUCKET=STATE)
    put_rules(livepair, BUCKET, rule("uploads/", 30, **PARTS))
    put_rules(livepair, STATE, rule(f"livepair/{BUCKET}/best-frames/", 90))
    told = operator.json("doctor", "--retention")
    found = {check["name"]: (check["status"], check["found"]) for check in told["checks"]}
    assert found["uploads/"] == ("ok", "32 days, then a lifecycle rule deletes it (30 days)")
    assert found["best-frames/"] == ("ok", "92 days, then a lifecycle rule deletes it (90 days)")
    assert found["a face lives at most"][1].startswith("125 days")
    assert livepair.cloud.consumer.attempts == []
    assert "125 days" in operator.fine("doctor", "--retention")


def test_it_warns_where_nothing_ends_a_face(livepair: Livepair, operator: Operator) -> None:
    """And names every such place in the sum. A warning is no failure."""
    told = operator.json("doctor", "--retention")
    warned = [check["name"] for check in told["checks"] if check["status"] == "warn"]
    assert warned == ["uploads/", "unfinished uploads to uploads/", "best-frames/", "a face lives at most"]


def test_best_frames_that_are_still_there_count(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """KEEP_BEST_FRAME=false keeps none anew, and deletes none."""
    livepair = configured()
    livepair.pair(samples.live())
    livepair.configure(KEEP_BEST_FRAME="false")
    assert "best-frames/" in [check["name"] for check in operator.json("doctor", "--retention")["checks"]]
    (frame,) = livepair.state("best-frames/")
    livepair.bucket.delete(f"livepair/{frame}")
    assert "best-frames/" not in [check["name"] for check in operator.json("doctor", "--retention")["checks"]]
