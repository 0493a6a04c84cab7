"""Who calls the API: every pair is judged once, whatever is repeated, lost, replaced or left half done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from handler.edges.bucket import CosError
from tests.cloud import faults, samples
from tests.cloud.faceid import COMPARE, UPLOAD_URL, Answer
from tests.cloud.faults import Action, Gate
from tests.support.harness import IMAGE, LIVE, Livepair, beside

CLAIMS, RECORDS = "livepair/claims/*", "livepair/records/*"


def told_once(livepair: Livepair, calls: int = 1) -> None:
    """Check that there is one message, byte for byte the stored one, with so many calls in it."""
    assert livepair.data["outcome"] == "matched"
    assert livepair.data["api"]["calls"] == calls
    assert {attempt.body.decode() for attempt in livepair.cloud.consumer.attempts} == {
        livepair.record()["body"]
    }
    assert livepair.cloud.consumer.conflicts == []


# --- answers of the state bucket that are lost --------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.server_error_after_effect(), faults.cut_after()])
@pytest.mark.parametrize("key", [CLAIMS, RECORDS, "livepair/agenda/*", "livepair/best-frames/*"])
def test_a_write_whose_answer_was_lost_is_a_write(livepair: Livepair, key: str, fault: Action) -> None:
    """Whoever wrote a claim or a record finds it there, and is not told that another was first."""
    livepair.cloud.faults.add("PutObject", key=key, then=fault)
    assert livepair.pair() == ["matched"]
    assert len(livepair.asked) == 1
    told_once(livepair)
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize("fault", [faults.refuse(503, "ServiceUnavailable"), faults.cut_before()])
@pytest.mark.parametrize("key", [CLAIMS, RECORDS])
def test_a_write_that_failed_is_made_again(livepair: Livepair, key: str, fault: Action) -> None:
    """The verdict is not asked for again: the record is tried in the time there is, the claim by a sweep."""
    livepair.cloud.faults.add("PutObject", key=key, then=fault, times=2)
    assert [*livepair.pair(), *livepair.finish()] == ["matched"]
    assert len(livepair.asked) == 1
    told_once(livepair)


def test_nothing_is_told_that_is_not_recorded(livepair: Livepair) -> None:
    """No record can be written for a whole invocation: the verdict is lost, asked for again, and counted."""
    fault = livepair.cloud.faults.add(
        "PutObject", key=RECORDS, then=faults.refuse(503, "ServiceUnavailable"), times=None
    )
    assert livepair.pair() == []
    assert livepair.cloud.consumer.attempts == []
    assert len(livepair.asked) == 1
    livepair.cloud.faults.remove(fault)
    assert livepair.finish() == ["matched"]
    told_once(livepair, calls=2)


def test_a_state_bucket_that_is_down_fails_the_invocation(livepair: Livepair) -> None:
    """So that the platform tries again: not even the agenda could be written."""
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    fault = livepair.cloud.faults.add(
        "PutObject", key="livepair/*", then=faults.refuse(503, "ServiceUnavailable"), times=None
    )
    (event,) = livepair.events
    with pytest.raises(CosError, match="could not write"):
        livepair.run()
    assert livepair.asked == []
    livepair.cloud.faults.remove(fault)
    assert livepair.handle(event) == {"outcomes": ["matched"]}
    told_once(livepair)


# --- repeated events and leases -----------------------------------------------------------------------


def calling(livepair: Livepair, gate: Gate) -> tuple[list[dict[str, Any]], Future[dict[str, Any]]]:
    """Have an instance wait for the API's answer. Returns both events and what will come of it."""
    livepair.put_pair()
    events = list(livepair.events)
    livepair.events.clear()
    livepair.cloud.faults.add(COMPARE, then=faults.hold_answer(gate))
    future = beside(livepair, events[1])
    gate.wait_reached()
    livepair.restart()
    return events, future


def test_repeated_events_cost_no_call_while_another_instance_calls(livepair: Livepair, gate: Gate) -> None:
    """Both events, twice each, on a cold instance and on a warm one."""
    events, future = calling(livepair, gate)
    for event in [*events, *events]:
        assert livepair.handle(event) == {"outcomes": []}
    assert livepair.sweep(0) == []
    assert len(livepair.asked) == 1
    gate.release()
    assert future.result() == {"outcomes": ["matched"]}
    assert livepair.finish() == []
    told_once(livepair)


def test_an_expired_lease_is_taken_over_by_a_sweep_alone(livepair: Livepair, gate: Gate) -> None:
    """Events do not, the sweep does; the lost call counts. The first record is told, whoever wakes late."""
    events, future = calling(livepair, gate)
    livepair.cloud.clock.advance(200)
    for event in [*events, *events]:
        assert livepair.handle(event) == {"outcomes": []}
    assert len(livepair.asked) == 1
    assert livepair.due() == ["matched"]
    assert len(livepair.asked) == 2
    gate.release()
    assert future.result()["outcomes"] in ([], ["matched"])
    assert livepair.finish() == []
    assert len(livepair.asked) == 2
    told_once(livepair, calls=2)


def test_a_lease_that_runs_is_not_taken_over_by_sweeps(livepair: Livepair, gate: Gate) -> None:
    """Nor by reconcile: its owner is still calling."""
    _, future = calling(livepair, gate)
    assert livepair.sweep(0.9) == []
    assert livepair.reconcile() == []
    assert len(livepair.asked) == 1
    gate.release()
    future.result()
    told_once(livepair)


def test_repeated_events_do_not_skip_a_back_off(livepair: Livepair) -> None:
    """A claim given back says when the next try is allowed; events before that burn no try."""
    livepair.put_pair(samples.live(error="FailedOperation.LivessSystemError"))
    events = list(livepair.events)
    livepair.run()
    for asked in (2, 3, 4, 5):
        assert len(livepair.asked) == asked
        for event in [*events, *events]:
            assert livepair.handle(event) == {"outcomes": []}
        livepair.restart()
        assert livepair.handle(events[0]) == {"outcomes": []}
        assert len(livepair.asked) == asked
        livepair.due()


def lose_every_verdict(livepair: Livepair) -> None:
    """Let no invocation live long enough to record its verdict, until nobody asks any more."""

    def die() -> None:
        livepair.clock.lose(90)

    record = livepair.cloud.faults.add("PutObject", key=RECORDS, then=faults.run_before(die), times=None)
    refused = livepair.cloud.faults.add(
        "PutObject", key=RECORDS, then=faults.refuse(503, "ServiceUnavailable"), times=None
    )
    livepair.put_pair()
    for event in list(livepair.events):
        with contextlib.suppress(CosError):
            livepair.handle(event)
    livepair.events.clear()
    for _ in range(12):
        with contextlib.suppress(CosError):
            livepair.sweep(2)
    livepair.cloud.faults.remove(record)
    livepair.cloud.faults.remove(refused)


def test_a_pair_whose_instances_all_die_ends_failed(livepair: Livepair) -> None:
    """Seven calls without a record, and no eighth: `Livepair.AnswerLost`."""
    lose_every_verdict(livepair)
    assert len(livepair.asked) == 7
    assert livepair.finish() == ["failed"]
    assert livepair.data["reason"]["code"] == "Livepair.AnswerLost"
    assert len(livepair.asked) == 7


def test_no_more_calls_are_counted_than_were_made(livepair: Livepair) -> None:
    """Once the API is no longer asked, a lease that ran out is no call."""
    lose_every_verdict(livepair)
    livepair.finish()
    assert livepair.data["api"]["calls"] == len(livepair.asked)


# --- replaced uploads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [LIVE, IMAGE])
def test_an_upload_replaced_before_the_verdict_starts_another_verification(
    livepair: Livepair, key: str
) -> None:
    """The API reports the MD5; the new bytes are judged at once, nothing is told of those that are gone."""
    new = samples.live(seed=2) if key == LIVE else samples.image(seed=2)
    bucket = livepair.bucket

    def replace() -> None:
        bucket.put(key, new)

    livepair.cloud.faults.add(COMPARE, then=faults.run_before(replace))
    assert livepair.pair() == ["matched"]
    told_once(livepair)
    half = livepair.data["live" if key == LIVE else "image"]
    assert half["md5"] == bucket.get(key).md5
    assert livepair.finish() == []
    assert len(livepair.asked) == 2


def test_an_upload_deleted_before_the_verdict_is_a_missing_half(livepair: Livepair) -> None:
    """The pair waits for its partner again."""
    bucket = livepair.bucket
    livepair.cloud.faults.add(COMPARE, then=faults.run_before(lambda: bucket.delete(LIVE)))
    assert livepair.pair() == []
    assert set(livepair.finish()) == {"incomplete"}
    assert livepair.data["live"] is None


def test_the_first_bytes_put_back_start_again(livepair: Livepair) -> None:
    """Their claim was given back, so nothing has to run out first."""
    bucket = livepair.bucket
    livepair.cloud.faults.add(COMPARE, then=faults.run_before(lambda: _put(bucket, samples.live(seed=2))))
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(3)
    livepair.put(LIVE, samples.live())
    assert livepair.run() == ["matched"]
    assert len(livepair.messages) == 2
    assert len(livepair.asked) == 3


def test_the_first_bytes_put_back_start_again_with_the_relay_too(
    configured: Callable[..., Livepair],
) -> None:
    """Replaced while it was passed through: no call was made for them, and none is counted."""
    livepair = configured(PASS_RESOURCES="upload_url")
    bucket = livepair.bucket
    livepair.cloud.faults.add(UPLOAD_URL, then=faults.run_before(lambda: _put(bucket, samples.live(seed=2))))
    assert livepair.pair() == ["matched"]
    assert livepair.data["live"]["md5"] == bucket.get(LIVE).md5 == livepair.calls[0].params["LiveDataMd5"]
    livepair.cloud.clock.advance(3)
    livepair.put(LIVE, samples.live())
    assert livepair.run() == ["matched"]
    assert [message["data"]["api"]["calls"] for message in livepair.messages] == [1, 1]


def _put(bucket: Any, live: bytes) -> None:
    bucket.put(LIVE, live)


def test_a_verdict_that_was_given_is_told_whatever_replaced_its_uploads(livepair: Livepair) -> None:
    """The new bytes have their own message."""
    bucket = livepair.bucket
    livepair.cloud.faults.add(
        COMPARE, then=faults.run_after(lambda: _put(bucket, samples.live(seed=2, sim=5.0)))
    )
    livepair.put_pair()
    assert livepair.run() == ["matched", "mismatched"]
    assert len(livepair.asked) == 2


# --- runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "live", [samples.live(), samples.live(sim=3.0), samples.live(result="FailedOperation.LivessDetectFake")]
)
def test_the_same_bytes_uploaded_again_are_the_same_verification(livepair: Livepair, live: bytes) -> None:
    """Nothing is called or told again, neither by their events nor by sweeps or reconcile."""
    livepair.pair(live)
    livepair.cloud.clock.advance(3600)
    assert livepair.pair(live) == []
    livepair.restart()
    livepair.cloud.clock.advance(3600)
    assert livepair.pair(live) == []
    assert livepair.sweep(20) == livepair.reconcile() == []
    assert len(livepair.asked) == len(livepair.cloud.consumer.attempts) == 1
    assert livepair.state("agenda/") == []


def test_after_failed_the_same_bytes_are_judged_again(livepair: Livepair) -> None:
    """As run 2, with an id, a record and a message of its own; run 3 only after another failure."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.put_pair()
    events = list(livepair.events)
    assert livepair.run() == ["failed"]
    assert [livepair.handle(event)["outcomes"] for event in events] == [[], []]
    livepair.cloud.clock.advance(60)
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]
    first, second = livepair.messages
    assert [first["data"]["run"], second["data"]["run"]] == [1, 2]
    assert first["id"] != second["id"]
    assert len(livepair.state("records/")) == 2
    livepair.cloud.clock.advance(60)
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    assert len(livepair.asked) == 2


@pytest.mark.parametrize("fault", [faults.refuse(503, "ServiceUnavailable"), faults.cut_before()])
def test_after_failed_another_run_starts_also_where_its_claim_was_refused(
    livepair: Livepair, fault: Action
) -> None:
    """What is read back then is the claim of the one that failed; its record calls for another run."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    livepair.cloud.clock.advance(60)
    livepair.put(LIVE, samples.live())
    livepair.cloud.faults.add("PutObject", key=CLAIMS, then=fault)
    assert livepair.run() == ["matched"]
    assert [message["data"]["run"] for message in livepair.messages] == [1, 2]


def test_after_incomplete_the_same_half_waits_again(livepair: Livepair) -> None:
    """Uploaded again it is run 2: incomplete again without a partner, each told once."""
    for _ in range(2):
        livepair.put(LIVE, samples.live())
        assert livepair.run() == []
        assert livepair.finish() == ["incomplete"]
    assert [message["data"]["run"] for message in livepair.messages] == [1, 2]
    assert livepair.sweep(600) == livepair.reconcile() == []
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]
    assert livepair.messages[2]["data"]["run"] == 1
