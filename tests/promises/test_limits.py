"""One holder of one link cannot buy verdicts without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.cloud.faults import Gate
from tests.support.harness import IMAGE, LIVE, Livepair, beside, lines

Configured = Callable[..., Livepair]

CLAIMS = "livepair/claims/*"


@pytest.fixture(autouse=True)
def fast(cloud: Cloud) -> None:
    """The account allows as many calls a second as a test makes."""
    cloud.faceid.limits[COMPARE] = 1000


def upload(livepair: Livepair, number: int, key: str = LIVE) -> dict[str, Any]:
    """Put another recording to the same key. Returns its event, which waits no longer."""
    livepair.put(key, samples.live(seed=number))
    return livepair.events.pop()


def codes(livepair: Livepair) -> list[str | None]:
    """The code of each message, None where it matched, in order."""
    return [(message["data"]["reason"] or {}).get("code") for message in livepair.messages]


def test_one_link_buys_no_more_verdicts_than_allowed(configured: Configured, capsys: Any) -> None:
    """Ten by itself. Each further recording has its own outcome: for a human, and without a call."""
    livepair = configured()
    livepair.put(IMAGE, samples.image())
    livepair.run()
    capsys.readouterr()
    for number in range(25):
        livepair.handle(upload(livepair, number))
    assert len(livepair.calls) == 10
    assert codes(livepair) == [None] * 10 + ["Livepair.TooManyVerdicts"] * 15
    last = livepair.messages[-1]["data"]
    assert (last["outcome"], last["api"]) == ("rejected", None)
    assert (last["reason"]["category"], last["reason"]["advice"]) == ("spoof", "review")
    told = lines(capsys, "pair")
    assert [line["verdicts"] for line in told] == [*range(1, 11), *[10] * 15]
    assert sum(line.get("billed", 0) for line in told) == 10
    assert livepair.sweep_on() == []
    assert livepair.state("agenda/") == []


def test_a_recording_beyond_the_limit_is_told_once(configured: Configured) -> None:
    """However often its event comes, and also where it is uploaded anew."""
    livepair = configured(MAX_VERDICTS="1")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.handle(upload(livepair, 1))
    event = upload(livepair, 2)
    for _ in range(3):
        livepair.handle(event)
    livepair.cloud.clock.advance(60)
    livepair.handle(upload(livepair, 2))
    assert codes(livepair) == [None, "Livepair.TooManyVerdicts"]
    assert len(livepair.calls) == 1


def test_calls_that_are_under_way_count(configured: Configured, gate: Gate) -> None:
    """Nobody waits for the first verdict to buy the fourth."""
    livepair = configured(MAX_VERDICTS="3")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.cloud.faults.add(COMPARE, then=faults.hold_answer(gate), times=None)
    futures = []
    for number in range(3):
        futures.append(beside(livepair, upload(livepair, number)))
        gate.wait_reached()
    for number in range(3, 8):
        assert livepair.handle(upload(livepair, number)) == {"outcomes": ["rejected"]}
    gate.release()
    assert [future.result() for future in futures] == [{"outcomes": ["matched"]}] * 3
    assert len(livepair.asked) == 3


def test_uploads_that_are_claimed_at_the_same_moment_do_not_exceed_the_limit(
    configured: Configured, gate: Gate
) -> None:
    """All write before they count, so each that comes later sees those before it."""
    livepair = configured(MAX_VERDICTS="3")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.cloud.faults.add("PutObject", key=CLAIMS, then=faults.hold(gate), times=6)
    futures = []
    for number in range(6):
        futures.append(beside(livepair, upload(livepair, number)))
        gate.wait_reached()
    gate.release()
    outcomes = [future.result()["outcomes"] for future in futures]
    assert len(outcomes) == 6
    assert len(livepair.asked) <= 3
    assert livepair.finish() == []
    assert len(livepair.messages) == 6


def test_what_list_shows_late_is_judged_and_then_the_limit_holds(configured: Configured) -> None:
    """The limit is as sharp as LIST is fresh: COS promises no time."""
    livepair = configured(MAX_VERDICTS="2")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.bucket.list_lag = 30.0
    for number in range(4):
        livepair.handle(upload(livepair, number))
    assert len(livepair.calls) == 4
    livepair.cloud.clock.advance(31)
    for number in range(4, 8):
        livepair.handle(upload(livepair, number))
    assert len(livepair.calls) == 4


def test_without_a_limit_nothing_is_listed(configured: Configured) -> None:
    """MAX_VERDICTS=0: any number, and the request is saved."""
    livepair = configured(MAX_VERDICTS="0")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    for number in range(12):
        livepair.handle(upload(livepair, number))
    assert len(livepair.calls) == 12
    assert livepair.requests("GetBucket") == []


def test_a_pair_is_one_live_key_where_one_image_serves_many(configured: Configured) -> None:
    """Each attempt has its own verdicts: whoever makes the links decides how many attempts there are."""
    livepair = configured(
        LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg", MAX_VERDICTS="2"
    )
    livepair.put("faces/ann.jpg", samples.image())
    livepair.run()
    for attempt in ("1", "2"):
        for number in range(3):
            livepair.handle(upload(livepair, number, f"uploads/ann/{attempt}/live.gz"))
    assert len(livepair.calls) == 4
    assert codes(livepair) == [None, None, "Livepair.TooManyVerdicts"] * 2


def test_another_pairs_verdicts_do_not_count(configured: Configured) -> None:
    """Also where its name begins alike."""
    livepair = configured(MAX_VERDICTS="1")
    for name in ("4", "42", "421"):
        livepair.put_pair(name=name)
    assert livepair.run() == ["matched"] * 3


def test_outcomes_without_a_call_do_not_count(configured: Configured) -> None:
    """What is empty, too large or incomplete was never sent."""
    livepair = configured(MAX_VERDICTS="1", MAX_LIVE_BYTES="1000")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    assert livepair.finish() == ["incomplete"]
    for data in (b"", b"x" * 1001, b"x" * 1002):
        livepair.put(LIVE, data)
        assert livepair.run() == ["rejected"]
    livepair.put(LIVE, samples.live())
    assert livepair.run() == ["matched"]


@pytest.mark.parametrize(("error", "times"), [("RequestLimitExceeded", 80), ("InternalError", 4)])
def test_tries_of_one_recording_count_once_and_are_not_held_up(
    configured: Configured, error: str, times: int
) -> None:
    """Given back and claimed again: it was let through, whatever was uploaded in between."""
    livepair = configured(MAX_VERDICTS="1")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.cloud.faceid.script(*[Answer(error=error)] * times)
    assert livepair.handle(upload(livepair, 1)) == {"outcomes": []}
    assert livepair.finish() == ["matched"]
    assert livepair.handle(upload(livepair, 2)) == {"outcomes": ["rejected"]}
    assert codes(livepair) == [None, "Livepair.TooManyVerdicts"]


def test_a_spoof_counts_though_nobody_bills_it(configured: Configured) -> None:
    """Thirty-seven tries at fooling the liveness check are what the limit is for."""
    livepair = configured(MAX_VERDICTS="2")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    for number in range(4):
        livepair.put(LIVE, samples.live(seed=number, result="FailedOperation.LivessDetectFake"))
        livepair.run()
    assert codes(livepair) == ["FailedOperation.LivessDetectFake"] * 2 + ["Livepair.TooManyVerdicts"] * 2
    assert len(livepair.calls) == 2


def test_what_is_erased_is_not_counted(configured: Configured) -> None:
    """Once the claims are gone, by `forget` or a lifecycle rule, the pair begins anew."""
    livepair = configured(MAX_VERDICTS="1")
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    for key in livepair.state("claims/"):
        livepair.bucket.delete(f"livepair/{key}", silent=True)
    livepair.handle(upload(livepair, 2))
    assert codes(livepair) == [None, None]
