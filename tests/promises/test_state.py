"""Broken state is stepped around, time that runs out is respected, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from handler.edges.bucket import CosError
from handler.rules.events import EventError
from handler.rules.settings import SettingsError
from tests.cloud import faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.support.harness import BUCKET, IMAGE, LIVE, RECONCILE, STATE, SWEEP, Livepair, SkippingClock, lines

GARBAGE = [b"", b"\xff\xfe", b'{"version": 1}', b'{"version": 99}', b'"text"']


# --- broken state -------------------------------------------------------------------------------------


def judged_before(livepair: Livepair) -> str:
    """The verification of the sample pair, whose state is then wiped out as if it had never been."""
    livepair.pair()
    which: str = livepair.data["verification_id"]
    bucket = livepair.bucket
    for key in bucket.keys("livepair/"):
        bucket.delete(key)
    livepair.cloud.consumer.forget()
    livepair.forget()
    return which


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_broken_agenda_entry_is_stepped_over(
    livepair: Livepair, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported and removed, and the others have their turn."""
    livepair.throttled_pairs(2)
    bucket = livepair.bucket
    for name in ("0", "look-0", "deliver-0", "take_over-zz", "reconcile-1"):
        bucket.put(f"livepair/agenda/20200101T0000Z/{name}", garbage)
    bucket.put("livepair/agenda/", garbage)
    bucket.put("livepair/agenda/nonsense", garbage)
    assert livepair.sweep(3) == ["matched", "matched"]
    assert livepair.state("agenda/") == ["agenda/nonsense"]
    assert len(lines(capsys, "corrupt_state")) >= 5


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param({"uploaded_at": "9999-12-31T23:59:59.000+00:00"}),
        {"uploaded_at": "9999-12-31T23:59:59.000-23:59"},
        {"uploaded_at": "0001-01-01T00:00:00.000+23:59"},
        {"step": float("inf")},
        {"run": 10**30},
        {"key": "uploads/" + "x" * 2000 + "/live.gz"},
        pytest.param({"key": "uploads/\ud800/live.gz"}),
        {"key": ""},
        {"kind": "deliver", "verification": {"verification": "../../x", "run": 1, "pair": "../.."}},
        {"kind": "take_over", "verification": {"verification": "", "run": -1, "pair": ""}, "n": -5},
        {"kind": "reconcile", "key": "\uffff", "since": "9999-12-31T23:59:59.000+00:00"},
    ],
)
def test_a_strange_agenda_entry_is_stepped_over(livepair: Livepair, strange: dict[str, Any]) -> None:
    """Whoever wrote it: it holds nobody else up, and it does not make every sweep fail for ever."""
    livepair.throttled_pairs(1)
    (due,) = livepair.state("agenda/")
    entry = {**livepair.stored(due), "kind": "look", "verification": None, **strange}
    livepair.put("livepair/agenda/20200101T0000Z/look-0", json.dumps(entry).encode())
    with contextlib.suppress(Exception):
        livepair.sweep(3)
    assert [message["data"]["pair"] for message in livepair.messages] == [{"id": "0"}]
    livepair.sweep(3)
    livepair.sweep(600)


def test_an_agenda_entry_of_other_settings_is_put_off(livepair: Livepair) -> None:
    """Another function's, or one from before LIVE_KEY was changed: not ours, and in nobody's way."""
    livepair.put("uploads/1/live.gz", samples.live())
    livepair.run()
    (entry,) = livepair.state("agenda/")
    livepair.configure(LIVE_KEY="other/{id}/live.gz", IMAGE_KEY="other/{id}/image.jpg")
    assert livepair.sweep(90) == []
    (put_off,) = livepair.state("agenda/")
    assert put_off > entry
    assert put_off.rpartition("/")[2] == entry.rpartition("/")[2]
    livepair.configure(LIVE_KEY="uploads/{id}/live.gz", IMAGE_KEY="uploads/{id}/image.jpg")
    assert livepair.sweep(2) == ["incomplete"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_broken_claim_is_stepped_over(livepair: Livepair, garbage: bytes) -> None:
    """It counts as one whose instance died: a sweep takes over, and the call that it may have made counts."""
    which = judged_before(livepair)
    livepair.restart()
    livepair.put(f"livepair/claims/42/{which}/1", garbage)
    assert livepair.pair() == []
    assert livepair.finish() == ["matched"]
    assert livepair.data["api"]["calls"] == 2
    assert len(livepair.asked) == 1


def test_a_broken_claim_is_stepped_over_by_a_warm_instance(livepair: Livepair) -> None:
    """Which creates its claim before it reads one."""
    which = judged_before(livepair)
    livepair.put(f"livepair/claims/42/{which}/1", b"{")
    livepair.put_pair()
    livepair.drop()
    livepair.run()
    for _ in range(4):
        livepair.sweep(30)
    assert livepair.data["outcome"] == "matched"


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_broken_record_costs_no_call_and_stops_nobody(
    livepair: Livepair, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judging again could bill again, so it is reported with its key; the other pairs go on."""
    livepair.pair()
    (record,) = livepair.state("records/")
    livepair.put(f"livepair/{record}", garbage)
    livepair.restart()
    livepair.pair()
    assert len(livepair.asked) == 1
    assert any(record in line.get("error", "") for line in lines(capsys, "pair"))
    livepair.put("uploads/other/image.jpg", samples.image())
    livepair.put("uploads/other/live.gz", samples.live(seed=3))
    assert livepair.run() == ["matched"]
    livepair.cloud.clock.advance(3600)
    assert livepair.sweep() == livepair.reconcile() == []
    assert len(livepair.asked) == 2
    assert livepair.state("agenda/") == []


def test_a_broken_record_does_not_stop_a_sweep(livepair: Livepair) -> None:
    """Its delivery is due, and so are others."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    (record,) = livepair.state("records/")
    livepair.put(f"livepair/{record}", b"{")
    livepair.throttled_pairs(2)
    assert livepair.sweep(7) == ["matched", "matched"]
    assert livepair.state("agenda/") == []


def test_a_broken_note_of_the_last_walk_is_stepped_over(livepair: Livepair) -> None:
    """The walk then begins with everything, like the first."""
    livepair.put_pair()
    livepair.drop(2)
    livepair.put("livepair/reconciled.json", b"{")
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]


def test_a_note_of_a_walk_that_is_still_to_come_is_stepped_over(livepair: Livepair) -> None:
    """Whoever forged it keeps no lost upload from being found."""
    livepair.put_pair()
    livepair.drop(2)
    note = {"version": 1, "began_at": "2999-01-01T00:00:00+00:00"}
    livepair.put("livepair/reconciled.json", json.dumps(note).encode())
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]
    assert livepair.stored("reconciled.json")["began_at"] < "2999"


def test_one_entry_that_fails_does_not_hold_up_the_others(livepair: Livepair) -> None:
    """COS fails for one pair: the others are judged, the invocation fails, the pair stays on the agenda."""
    livepair.throttled_pairs(3)
    fault = livepair.cloud.faults.add(
        "*", service="cos", key="livepair/*/1/*", then=faults.refuse(503, "ServiceUnavailable"), times=None
    )
    with pytest.raises(CosError):
        livepair.due()
    assert len(livepair.messages) == 2
    livepair.cloud.faults.remove(fault)
    livepair.finish()
    assert len(livepair.messages) == len(livepair.asked) == 3


class YieldingClock(SkippingClock):
    """Lets the other threads go first whenever it is read."""

    def elapsed(self) -> float:
        self.sleep(0.003)
        return super().elapsed()


def test_lanes_share_the_last_entry_of_a_sweep(configured: Callable[..., Livepair]) -> None:
    """Sweeps with more entries than lanes: none fails."""
    livepair = configured(PAIR_TIMEOUT="60", API_RATE="1")
    livepair.clock = YieldingClock(livepair.cloud.clock)
    livepair.restart()
    for sweep in range(4):
        for number in range(7):
            livepair.put(f"uploads/{sweep}-{number}/live.gz", samples.live())
        livepair.run()
        assert livepair.sweep(3) == ["incomplete"] * 7


# --- time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "seconds", "least"),
    [("presigned", 3, 26), ("presigned", 25.9, 26), ("upload_url", 26, 46), ("upload_url", 45.9, 46)],
)
def test_a_time_limit_without_time_for_a_call_is_refused(
    configured: Callable[..., Livepair], passed: str, seconds: float, least: int
) -> None:
    """Whatever wakes the function; the error says which number to set."""
    livepair = configured(PASS_RESOURCES=passed)
    livepair.put_pair()
    for event in (*livepair.events, SWEEP):
        with pytest.raises(SettingsError, match=f"set {least} s or more"):
            livepair.handle(event, seconds)
    assert livepair.asked == []


@pytest.mark.parametrize(("passed", "seconds"), [("presigned", 26), ("presigned", 30), ("upload_url", 46)])
def test_the_least_time_limit_is_enough_for_all_work(
    configured: Callable[..., Livepair], passed: str, seconds: float
) -> None:
    """Events judge, sweeps judge what was throttled, and a walk finds what was lost."""
    livepair = configured(PASS_RESOURCES=passed)
    livepair.put_pair(name="event")
    assert [outcome for event in livepair.events for outcome in livepair.handle(event, seconds)["outcomes"]]
    livepair.events.clear()
    livepair.throttled_pairs(1)
    livepair.cloud.clock.advance(120)
    assert livepair.handle(SWEEP, seconds)["outcomes"] == ["matched"]
    livepair.put_pair(name="lost")
    livepair.events.clear()
    livepair.cloud.clock.advance(1200)
    assert livepair.handle(RECONCILE, seconds)["outcomes"] == ["matched"]
    assert {message["data"]["api"]["calls"] for message in livepair.messages} == {1}


@pytest.mark.parametrize("at", ["HeadObject", "PutObject"])
def test_no_call_starts_when_the_time_has_run_out(livepair: Livepair, at: str) -> None:
    """COS was slow before the claim, or after it: the claim is given back, no call is counted."""
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    livepair.cloud.faults.add(at, then=faults.run_after(lambda: livepair.clock.lose(70)))
    assert livepair.run() == []
    assert livepair.asked == []
    assert livepair.finish() == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_a_sweep_without_time_leaves_the_agenda_as_it_is(livepair: Livepair) -> None:
    """The next one has more."""
    livepair.throttled_pairs(1)
    before = livepair.state("agenda/")
    livepair.cloud.clock.advance(120)
    livepair.cloud.faults.add("GetBucket", then=faults.run_after(lambda: livepair.clock.lose(70)))
    assert livepair.handle(SWEEP) == {"outcomes": []}
    assert livepair.asked == []
    assert livepair.state("agenda/") == before
    assert livepair.finish() == ["matched"]


def test_a_low_rate_does_not_outlast_the_invocation(configured: Callable[..., Livepair]) -> None:
    """API_RATE 0.02, one call in 50 s: a pair whose turn comes too late is left to another sweep."""
    livepair = configured(API_RATE="0.02")
    livepair.throttled_pairs(3)
    for _ in range(12):
        livepair.sweep(2)
    assert len(livepair.messages) == 3
    assert {message["data"]["api"]["calls"] for message in livepair.messages} == {1}


# --- what is left behind ------------------------------------------------------------------------------


def test_no_settled_pair_stays_on_the_agenda(livepair: Livepair) -> None:
    """Every outcome, events twice and in both orders, a webhook that fails: gone after a few sweeps."""
    livepair.cloud.consumer.answer(500, times=3)
    kinds: list[dict[str, Any]] = [
        {},
        {"sim": 1.0},
        {"result": "FailedOperation.LivessDetectFake"},
        {"error": "FailedOperation.ActionLightDark"},
        {"error": "FailedOperation.BrandNew"},
    ]
    for number, live in enumerate(kinds):
        livepair.put_pair(samples.live(seed=number, **live), name=number)
    livepair.cloud.faceid.script(Answer(error="FailedOperation.LivessSystemError"))
    livepair.events += [*reversed(livepair.events), *livepair.events]
    livepair.run()
    livepair.finish()
    assert len(livepair.messages) == len(kinds)
    livepair.forget()
    assert livepair.sweep(600) == []
    assert len(livepair.requests()) == 1


def test_everything_is_kept_under_the_state_prefix(configured: Callable[..., Livepair]) -> None:
    """Claims, records, agenda, frames, dead letters and the walk's note, and nothing beside them."""
    livepair = configured(STATE_PREFIX="private/state.v1/")
    livepair.cloud.consumer.answer(410)
    livepair.pair()
    livepair.put("uploads/half/live.gz", samples.live())
    livepair.run()
    livepair.cloud.clock.advance(1200)
    livepair.reconcile()
    keys = set(livepair.bucket.keys())
    state = {key for key in keys if key.startswith("private/state.v1/")}
    assert keys - state == {LIVE, IMAGE, "uploads/half/live.gz"}
    assert {key.split("/")[2] for key in state} == {
        "agenda",
        "best-frames",
        "claims",
        "create-only",
        "dead",
        "reconciled.json",
        "records",
    }


def test_a_state_bucket_of_its_own_holds_all_state(configured: Callable[..., Livepair]) -> None:
    """Under the bucket's name, so that functions sharing it never meet; the uploads' bucket is only read."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), times=2)
    livepair.pair()
    livepair.put("uploads/half/live.gz", samples.live())
    livepair.run()
    livepair.sweep(3)
    livepair.cloud.clock.advance(1200)
    livepair.reconcile()
    state = livepair.cloud.cos.bucket(STATE).keys()
    assert len(livepair.messages) == 1
    assert [key for key in state if not key.startswith(f"livepair/{BUCKET}/")] == []
    assert livepair.bucket.keys() == [IMAGE, LIVE, "uploads/half/live.gz"]
    assert livepair.data["best_frame"]["bucket"] == STATE
    written = [logged for logged in livepair.requests("PutObject") if logged.bucket == BUCKET]
    assert written == []


def test_two_functions_with_one_state_bucket_never_meet(configured: Callable[..., Livepair]) -> None:
    """Each has its uploads' bucket: the same keys and bytes end in two outcomes, each told by its own.

    Neither asks for anything of the other's, whatever it is woken by: uploads, a sweep or a walk.
    """
    buckets = (BUCKET, "others-1250000000")
    livepair = configured(STATE_BUCKET=STATE)
    livepair.cloud.cos.create_bucket(buckets[1], livepair.cloud.region)
    fault = livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), times=None)
    for bucket in buckets:
        for key, data in ((IMAGE, samples.image()), (LIVE, samples.live())):
            livepair.cloud.cos.bucket(bucket).put(key, data)
    events = {name: [each for each in livepair.events if _is_of(each, name)] for name in buckets}
    asked: dict[str, set[str]] = {}
    for bucket, other in (buckets, buckets[::-1]):
        livepair.configure(BUCKET=bucket, STATE_BUCKET=STATE)
        livepair.forget()
        assert [livepair.handle(event) for event in events[bucket]] == [{"outcomes": []}] * 2
        asked[bucket] = {f"{each.bucket}/{each.key}" for each in livepair.requests()}
        with pytest.raises(EventError, match=other):
            livepair.handle(events[other][0])
    livepair.cloud.faults.remove(fault)
    livepair.cloud.clock.advance(1200)
    for bucket in buckets:
        livepair.configure(BUCKET=bucket, STATE_BUCKET=STATE)
        livepair.forget()
        assert livepair.handle(SWEEP) == {"outcomes": ["matched"]}
        assert livepair.handle(RECONCILE) == {"outcomes": []}
        asked[bucket] |= {f"{each.bucket}/{each.key}" for each in livepair.requests()}
    told = [message["data"]["live"] for message in livepair.messages]
    assert [(live["bucket"], live["key"]) for live in told] == [(bucket, LIVE) for bucket in buckets]
    assert [each for each in asked[BUCKET] if buckets[1] in each] == []
    assert [each for each in asked[buckets[1]] if BUCKET in each] == []


def _is_of(event: dict[str, Any], bucket: str) -> bool:
    """Whether an event tells of an upload to the bucket."""
    told = event["Records"][0]["cos"]["cosBucket"]
    return f"{told['name']}-{told['appid']}" == bucket
