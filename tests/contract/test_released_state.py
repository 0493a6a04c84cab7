"""State as a contract: what a released version left in the bucket is read, and goes on as it should.

Each test runs twice: with the state as it was written, and with fields in it that nobody knows, as a later
version may leave them when it is rolled back. tests/released/record.py says how each scene came about.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import COMPARE
from tests.released.record import SCENES
from tests.support.harness import BUCKET, IMAGE, LIVE, Livepair
from tests.support.operator import Operator
from tests.support.released_state import STATE_1, move_to, put_back, read_scene

Old = Callable[[str], Livepair]


@pytest.fixture(params=[False, True], ids=["as-written", "with-unknown-fields"])
def old(request: pytest.FixtureRequest, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Old:
    """The function, new and cold, in a world that an old one left. The uploads' events wait as repeats."""

    def make(name: str) -> Livepair:
        scene = read_scene(name)
        livepair = Livepair(cloud, monkeypatch, **scene["settings"])
        put_back(livepair, scene, with_unknown=request.param)
        return livepair

    return make


def posted(livepair: Livepair) -> list[str]:
    """The bodies that were posted, attempt by attempt; all of them genuine."""
    attempts = livepair.cloud.consumer.attempts
    assert all(attempt.verified for attempt in attempts)
    return [attempt.body.decode() for attempt in attempts]


def last_claim(livepair: Livepair) -> dict[str, Any]:
    return livepair.stored(max(livepair.state("claims/")))


def task(livepair: Livepair) -> dict[str, Any]:
    """The one entry on the agenda."""
    (key,) = livepair.state("agenda/")
    return livepair.stored(key)


def assert_waits(livepair: Livepair, *promised: float) -> None:
    """Between the requests for a verdict so many minutes pass at least, and up to two more for the sweep.

    Turns of one sweep, which come within seconds, are one.
    """
    at = [logged.at for logged in livepair.asked]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    waits = [gap / timedelta(minutes=1) for gap in gaps if gap > timedelta(seconds=3)]
    assert len(waits) == len(promised)
    assert [wait for wait, least in zip(waits, promised, strict=True) if not least <= wait <= least + 2] == []


def assert_next_try_is_awaited(livepair: Livepair) -> None:
    """Neither repeated events nor sweeps ask the API before the old claim allows it; a sweep then does."""
    retry_at = datetime.fromisoformat(last_claim(livepair)["retry_at"])
    move_to(livepair.cloud.clock, retry_at - timedelta(seconds=10))
    assert livepair.run() == livepair.sweep(0) == []
    assert livepair.asked == []
    livepair.due()
    assert {logged.at >= retry_at for logged in livepair.asked} == {True}


def test_every_scene_is_there() -> None:
    """A scene that nobody kept holds nothing."""
    assert {path.stem for path in STATE_1.iterdir()} == set(SCENES)


# --- records ------------------------------------------------------------------------------------------

OUTCOMES = ("matched", "mismatched", "rejected", "failed", "incomplete")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_was_told_is_told_no_more(old: Old, outcome: str) -> None:
    """Its events come again, and a walk comes by: no call and no message."""
    livepair = old(f"told-{outcome}")
    assert livepair.record()["outcome"] == outcome
    assert livepair.run() == livepair.sweep(60) == livepair.reconcile() == []
    assert livepair.finish() == posted(livepair) == []
    assert livepair.asked == []


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_same_bytes_uploaded_later_start_a_run_only_after_no_verdict(old: Old, outcome: str) -> None:
    """After `failed` and `incomplete`; what was judged stays judged."""
    livepair = old(f"told-{outcome}")
    livepair.events.clear()
    livepair.cloud.clock.advance(60)
    again = livepair.cloud.cos.bucket(BUCKET).get(LIVE).data
    livepair.put(LIVE, again)
    livepair.run()
    livepair.finish()
    runs = [message["data"]["run"] for message in livepair.messages]
    assert runs == ([2] if outcome in ("failed", "incomplete") else [])


@pytest.mark.parametrize("found_by", ["agenda", "walk"])
def test_what_was_recorded_and_not_told_is_told_in_its_old_words(old: Old, found_by: str) -> None:
    """Without another call, at the end of its lease or, that entry lost, after a walk."""
    livepair = old("untold")
    body = livepair.record()["body"]
    if found_by == "walk":
        (entry,) = livepair.state("agenda/")
        livepair.cloud.cos.bucket(BUCKET).delete(f"livepair/{entry}")
        livepair.cloud.clock.advance(3600)
        livepair.reconcile()
    assert livepair.finish() == ["matched"]
    assert posted(livepair) == [body]
    assert livepair.record()["delivered_at"]
    assert livepair.asked == []


def test_a_delivery_that_came_before_its_record_brings_it_about(old: Old) -> None:
    """Where an outcome needs no call its delivery is on the agenda first."""
    livepair = old("about-to-tell")
    assert livepair.state("records/") == []
    assert livepair.finish() == ["incomplete"]
    assert posted(livepair) == [livepair.record()["body"]]


def test_a_dead_letter_is_delivered_again(
    old: Old, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`redeliver --dead` finds its note; the message is the old one."""
    livepair = old("dead")
    body = livepair.record()["body"]
    assert livepair.run() == livepair.sweep(600) == posted(livepair) == []
    Operator(cloud, monkeypatch, tmp_path).fine("redeliver", "--dead", "--yes")
    assert livepair.state("dead/") == []
    assert livepair.finish() == ["matched"]
    assert posted(livepair) == [body]


def test_what_was_to_be_deleted_is_deleted(old: Old) -> None:
    """The message had been delivered, so it is not posted again."""
    livepair = old("to-delete")
    livepair.finish()
    uploads = livepair.cloud.cos.bucket(BUCKET)
    assert (LIVE in uploads, IMAGE in uploads) == (False, False)
    assert livepair.record()["deleted"]
    assert posted(livepair) == []
    assert livepair.asked == []


# --- claims, and the entries that take them over ------------------------------------------------------


def test_a_running_lease_is_respected_and_an_abandoned_one_taken_over(old: Old) -> None:
    """Nobody else calls while it runs; after it claim 2 does, and the call that may have been made counts."""
    livepair = old("called")
    assert livepair.run() == livepair.sweep(1) == []
    assert livepair.asked == []
    assert livepair.finish() == ["matched"]
    assert last_claim(livepair)["n"] == 2
    assert livepair.data["api"]["calls"] == 2
    assert len(livepair.asked) == 1


def test_an_instance_that_died_counts_with_the_old_tries(old: Old) -> None:
    """It was the last try there was: its answer is lost, and the API is not asked again."""
    livepair = old("called-for-the-last-time")
    assert livepair.finish() == ["failed"]
    assert livepair.data["reason"]["code"] == "Livepair.AnswerLost"
    assert livepair.data["api"]["calls"] == last_claim(livepair)["calls"] == 8
    assert livepair.asked == []


def test_a_transient_failure_has_the_tries_that_are_left(old: Old) -> None:
    """Three were made before: 10, 20 and 30 minutes are still to be waited. The eighth call is the last."""
    livepair = old("trouble")
    assert_next_try_is_awaited(livepair)
    assert livepair.finish() == ["failed"]
    assert_waits(livepair, 10, 20, 30)
    assert livepair.data["api"]["calls"] == 8


def test_a_throttled_pair_waits_on_until_its_day_is_over(old: Old) -> None:
    """The fourth wait is 2 minutes; a day after the first try of all it is told, and no call was executed."""
    livepair = old("throttled")
    first = datetime.fromisoformat(last_claim(livepair)["first_try_at"])
    livepair.cloud.faceid.limits[COMPARE] = 0
    assert_next_try_is_awaited(livepair)
    livepair.due()
    assert_waits(livepair, 2)
    move_to(livepair.cloud.clock, first + timedelta(hours=24))
    assert livepair.finish() == ["failed"]
    assert livepair.data["reason"]["code"] == "RequestLimitExceeded"
    assert livepair.data["api"]["calls"] == 0


def test_a_wrong_configuration_waits_on_and_heals(old: Old) -> None:
    """Two tries were made before: the third wait is 5 minutes. Then the account is in order."""
    livepair = old("ours")
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "ResourceUnavailable.InArrears"))
    assert_next_try_is_awaited(livepair)
    assert livepair.due() == ["matched"]
    assert_waits(livepair, 5)
    assert livepair.data["api"]["calls"] == 4


def test_a_wrong_configuration_fails_a_day_after_its_first_try(old: Old) -> None:
    """The first try of all, which the old version made."""
    livepair = old("ours")
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "ResourceUnavailable.InArrears"))
    first = datetime.fromisoformat(last_claim(livepair)["first_try_at"])
    move_to(livepair.cloud.clock, first + timedelta(hours=24))
    assert livepair.due() == ["failed"]
    assert len(livepair.asked) == 1


def test_a_verdict_without_similarity_is_asked_for_once_more_in_all(old: Old) -> None:
    """Each may be billed. Once before and once now, then it is told."""
    livepair = old("no-similarity")
    assert_next_try_is_awaited(livepair)
    assert livepair.data["reason"]["code"] == "Livepair.NoSimilarity"
    assert livepair.data["api"]["calls"] == 4
    assert livepair.finish() == []
    assert len(livepair.asked) == 1


def test_a_claim_that_was_given_back_untried_is_taken_again(old: Old) -> None:
    """No time had been left for a call, so none is counted."""
    livepair = old("no-time")
    assert livepair.finish() == ["matched"]
    assert last_claim(livepair)["n"] == 2
    assert livepair.data["api"]["calls"] == len(livepair.asked) == 1


# --- the rest of the agenda, and what waits or was walked ---------------------------------------------


def test_looks_go_on_to_the_end(old: Old) -> None:
    """The second look was next; the image never comes, and an hour after the upload that is told."""
    livepair = old("look")
    uploaded_at = livepair.cloud.cos.bucket(BUCKET).get(LIVE).written.replace(microsecond=0)
    assert [livepair.due(), livepair.due()] == [[], []]
    assert task(livepair)["step"] == 3
    assert livepair.due() == ["incomplete"]
    assert timedelta(hours=1) <= livepair.cloud.clock.now() - uploaded_at < timedelta(minutes=62)
    assert livepair.finish() == []


def test_a_look_finds_an_image_whose_event_was_lost(old: Old) -> None:
    """As it would have before."""
    livepair = old("look")
    livepair.put(IMAGE, samples.image())
    livepair.events.clear()
    assert livepair.due() == ["matched"]
    assert livepair.finish() == []


def test_a_look_at_the_next_sweep_is_made(old: Old) -> None:
    """COS had failed while the events were handled."""
    livepair = old("look-at-once")
    assert livepair.finish() == ["matched"]
    assert len(livepair.asked) == 1


def test_a_run_that_the_operator_asked_for_starts(old: Old) -> None:
    """Once, with the run's number in the message."""
    livepair = old("look-for-a-run")
    assert livepair.finish() == ["failed"]
    assert livepair.data["run"] == 2
    assert len(livepair.asked) == 1


def test_a_delivery_goes_on_with_its_number(old: Old) -> None:
    """The second attempt fails, so the third comes when the schedule says, which counts from the decision."""
    livepair = old("deliver")
    body, decided_at = livepair.record()["body"], datetime.fromisoformat(livepair.record()["decided_at"])
    livepair.cloud.consumer.answer(500)
    assert livepair.due() == ["matched"]
    assert task(livepair)["attempt"] == 3
    livepair.finish()
    _, third = (attempt.at for attempt in livepair.cloud.consumer.attempts)
    assert timedelta(minutes=4.5) <= third - decided_at <= timedelta(minutes=7)
    assert posted(livepair) == [body] * 2
    assert livepair.record()["attempts"] == 3
    assert livepair.asked == []


def lost_pairs(cloud: Cloud, *names: str) -> None:
    """Whole pairs that no event told of; before a scene they are years older than it."""
    for name in names:
        cloud.cos.bucket(BUCKET).put(f"uploads/{name}/image.jpg", samples.image())
        cloud.cos.bucket(BUCKET).put(f"uploads/{name}/live.gz", samples.live())


def pairs_told(livepair: Livepair) -> list[str]:
    return sorted(message["data"]["pair"]["id"] for message in livepair.messages)


def test_the_first_walk_goes_over_everything(old: Old, cloud: Cloud) -> None:
    """The old version had begun it, and looked at nothing yet."""
    lost_pairs(cloud, "ancient")
    livepair = old("walk-begun")
    began_at = task(livepair)["uploaded_at"]
    livepair.finish()
    assert pairs_told(livepair) == ["1", "2", "3", "ancient"]
    assert livepair.stored("reconciled.json")["began_at"] == began_at


def test_a_walk_goes_on_after_its_key_and_keeps_its_since(old: Old, cloud: Cloud) -> None:
    """Neither pair 0, which comes before the key, nor one that is older than `since` is looked at."""
    lost_pairs(cloud, "ancient")
    move_to(cloud.clock, datetime(2100, 1, 1, tzinfo=timezone.utc))
    lost_pairs(cloud, "0")
    livepair = old("walk-under-way")
    began_at = task(livepair)["uploaded_at"]
    livepair.finish()
    assert pairs_told(livepair) == ["2", "3"]
    assert livepair.stored("reconciled.json")["began_at"] == began_at


def test_a_walk_begins_a_day_before_the_last_one(old: Old, cloud: Cloud) -> None:
    """The note of the last walk is the old version's."""
    lost_pairs(cloud, "ancient")
    livepair = old("walked")
    lost_pairs(cloud, "new")
    livepair.cloud.clock.advance(3600)
    livepair.reconcile()
    assert pairs_told(livepair) == ["new"]


def test_a_waiting_live_package_is_served_by_a_late_image(old: Old) -> None:
    """The mark leads the image's event to each that waits, and is gone then."""
    livepair = old("waiting")
    livepair.events.clear()
    livepair.put("faces/ann.jpg", samples.image())
    assert livepair.run() == ["matched", "matched"]
    assert livepair.state("waiting/") == []
    assert livepair.finish() == []


def test_an_image_that_was_being_served_is_served_to_the_end(old: Old) -> None:
    """Its own look leads to the live package that still waits; the other's claim is taken over."""
    livepair = old("serving")
    livepair.finish()
    data = [message["data"] for message in livepair.messages]
    calls = {each["pair"]["attempt"]: each["api"]["calls"] for each in data}
    assert calls == {"1": 2, "2": 1}
    assert livepair.state("waiting/") == []
