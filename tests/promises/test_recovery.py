"""Nothing is lost and nothing is told twice: late, lost and repeated events, stale reads, deleted uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cloud import faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.support.harness import IMAGE, LIVE, STATE, Livepair


def test_a_clock_that_is_a_moment_behind_does_not_cost_a_minute(livepair: Livepair) -> None:
    """The timer fires at second 0; an instance whose clock shows second 59 does what is due all the same."""
    clock = livepair.cloud.clock
    clock.advance((90 - clock.now().second) % 60)
    livepair.throttled_pairs(1)
    clock.advance(59 - clock.now().second)
    assert livepair.sweep(0) == ["matched"]


# --- COS shows what it stored late --------------------------------------------------------------------


def test_uploads_that_are_seen_late_are_looked_for_again(configured: Callable[..., Livepair]) -> None:
    """HEAD lags behind by half a minute: neither event finds its object, a sweep finds both."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.bucket.head_lag = 30
    assert livepair.pair() == []
    assert [livepair.sweep(2), livepair.sweep(2)] in ([["matched"], []], [[], ["matched"]])
    assert len(livepair.asked) == 1


def test_an_upload_that_replaces_another_is_seen_late(configured: Callable[..., Livepair]) -> None:
    """Its event finds the old bytes, which are settled; the new ones are found a minute later."""
    livepair = configured(STATE_BUCKET=STATE)
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(600)
    livepair.bucket.head_lag = 30
    livepair.put(LIVE, samples.live(seed=2, sim=1.0))
    assert livepair.run() == []
    assert [*livepair.sweep(2), *livepair.sweep(1)] == ["mismatched"]
    assert len(livepair.asked) == 2


def test_a_claim_that_is_seen_late_does_not_hold_a_pair_up(configured: Callable[..., Livepair]) -> None:
    """The state bucket's GET lags by a second: no promise hangs on reading what was just written."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.cloud.cos.bucket(STATE).head_lag = 1
    livepair.pair()
    for _ in range(12):
        livepair.sweep(5)
    assert livepair.data["outcome"] == "matched"


def test_an_agenda_that_is_listed_late_loses_nothing(livepair: Livepair) -> None:
    """LIST lags by two minutes: a throttled pair and half a pair are found by later sweeps."""
    livepair.bucket.list_lag = 120
    livepair.throttled_pairs(1)
    livepair.put(IMAGE, samples.image())
    livepair.run()
    outcomes = [outcome for _ in range(40) for outcome in livepair.sweep(2)]
    assert sorted(outcomes) == ["incomplete", "matched"]
    assert len(livepair.messages) == 2


# --- lost events and reconcile ------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0, 1])
def test_one_lost_event_is_made_up_for_by_the_other_half(livepair: Livepair, lost: int) -> None:
    """Whichever it is, no later than a sweep."""
    livepair.put_pair()
    del livepair.events[lost]
    assert livepair.run() == ["matched"]
    assert len(livepair.asked) == 1


def test_a_lost_event_of_the_later_half_is_made_up_for_by_a_look(livepair: Livepair) -> None:
    """The first half looks for its partner again after a minute."""
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    livepair.put(IMAGE, samples.image())
    livepair.drop()
    assert livepair.due() == ["matched"]
    assert livepair.state("agenda/") == []


def test_reconcile_finds_what_no_event_told(livepair: Livepair) -> None:
    """Once it is ten minutes old; younger uploads are left to their events."""
    livepair.put_pair()
    livepair.drop(2)
    assert livepair.sweep(5) == livepair.reconcile() == []
    assert livepair.requests("HeadObject") == []
    livepair.cloud.clock.advance(400)
    assert livepair.reconcile() == ["matched"]
    assert livepair.state("agenda/") == []


def test_reconcile_finds_half_a_pair(livepair: Livepair) -> None:
    """It ends incomplete at once where PAIR_TIMEOUT is over."""
    livepair.put(LIVE, samples.live())
    livepair.drop()
    livepair.cloud.clock.advance(7200)
    assert livepair.reconcile() == ["incomplete"]
    assert livepair.state("agenda/") == []


def test_reconcile_covers_the_time_in_which_the_function_could_not_run(livepair: Livepair) -> None:
    """Three days of lost events, and no walk since before them."""
    assert livepair.reconcile() == []
    livepair.cloud.clock.advance(3600)
    livepair.put_pair()
    livepair.drop(2)
    livepair.cloud.clock.advance(3 * 86_400)
    assert livepair.reconcile() == ["matched"]


def test_reconcile_does_not_walk_through_history(livepair: Livepair) -> None:
    """What is older than a day before the last finished walk costs no request of its own."""
    livepair.pair()
    livepair.cloud.clock.advance(2 * 86_400)
    livepair.reconcile()
    livepair.cloud.clock.advance(3600)
    livepair.forget()
    livepair.reconcile()
    assert livepair.requests("HeadObject") == []


def test_a_walk_that_runs_out_of_time_is_taken_up_by_a_sweep(livepair: Livepair) -> None:
    """Its place is on the agenda; the next walk begins where this one did."""
    for number in range(3):
        livepair.put_pair(samples.live(seed=number), name=number)
    livepair.drop(6)
    livepair.cloud.clock.advance(3600)
    livepair.cloud.faults.add(COMPARE, then=faults.run_after(lambda: livepair.clock.lose(65)), times=2)
    assert livepair.reconcile() == ["matched"]
    assert len(livepair.state("agenda/")) == 1
    livepair.finish()
    assert len(livepair.asked) == 3
    assert len(livepair.messages) == 3


SETTLED: list[dict[str, Any]] = [
    {},
    {"sim": 1.0},
    {"result": "FailedOperation.LivessDetectFake"},
    {"error": "FailedOperation.BrandNew"},
]


@pytest.mark.parametrize("delete", ["none", "live", "both"])
@pytest.mark.parametrize("live", SETTLED)
def test_reconcile_leaves_what_is_settled(
    configured: Callable[..., Livepair], live: dict[str, Any], delete: str
) -> None:
    """No call, no post, nothing on the agenda, whether the uploads are still there or were deleted."""
    livepair = configured(DELETE_UPLOADS=delete)
    livepair.pair(samples.live(**live))
    livepair.run()
    livepair.finish()
    livepair.cloud.clock.advance(7200)
    for _ in range(2):
        assert livepair.reconcile() == []
    assert len(livepair.asked) == len(livepair.cloud.consumer.attempts) == 1
    assert livepair.state("agenda/") == []


def test_reconcile_leaves_what_is_incomplete(livepair: Livepair) -> None:
    """It was told."""
    livepair.put(IMAGE, samples.image())
    livepair.run()
    assert livepair.finish() == ["incomplete"]
    livepair.cloud.clock.advance(7200)
    assert livepair.reconcile() == livepair.reconcile() == []
    assert len(livepair.cloud.consumer.attempts) == 1


def test_reconcile_tells_what_was_decided_and_lost_its_agenda(livepair: Livepair) -> None:
    """The agenda is a hint; the record is the truth."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    for key in livepair.state("agenda/"):
        livepair.bucket.delete(f"livepair/{key}")
    assert livepair.sweep(600) == []
    assert livepair.reconcile() == []
    assert livepair.sweep() == ["matched"]
    assert livepair.record()["delivered_at"] is not None


# --- deleting uploads ---------------------------------------------------------------------------------


def left(livepair: Livepair) -> set[str]:
    """The uploads that are still there."""
    return set(livepair.bucket.keys("uploads/"))


@pytest.mark.parametrize(
    ("setting", "live", "kept"),
    [
        ("none", {}, {LIVE, IMAGE}),
        ("live", {}, {IMAGE}),
        ("both", {}, set()),
        ("both", {"sim": 1.0}, set()),
        ("live", {"result": "FailedOperation.LivessDetectFake"}, {IMAGE}),
        ("both", {"result": "FailedOperation.LivessDetectFake"}, set()),
        ("both", {"error": "FailedOperation.ActionLightDark"}, {IMAGE}),
        ("both", {"error": "FailedOperation.BrandNew"}, {LIVE, IMAGE}),
        ("live", {"error": "FailedOperation.BrandNew"}, {LIVE, IMAGE}),
    ],
)
def test_uploads_are_deleted_as_the_setting_says(
    configured: Callable[..., Livepair], setting: str, live: dict[str, Any], kept: set[str]
) -> None:
    """Once the outcome is delivered. The image stays where the person is to try again, both on failure."""
    livepair = configured(DELETE_UPLOADS=setting)
    livepair.pair(samples.live(**live))
    assert left(livepair) == kept
    livepair.run()
    livepair.finish()
    assert len(livepair.messages) == 1


def test_a_shared_image_is_never_deleted(configured: Callable[..., Livepair]) -> None:
    """The next attempt needs it."""
    livepair = configured(
        DELETE_UPLOADS="both", LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="uploads/{user}.jpg"
    )
    livepair.put("uploads/u.jpg", samples.image())
    livepair.put("uploads/u/1/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    assert left(livepair) == {"uploads/u.jpg"}


def test_incomplete_deletes_nothing(configured: Callable[..., Livepair]) -> None:
    """The partner may come yet."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert livepair.finish() == ["incomplete"]
    assert left(livepair) == {LIVE}


def test_nothing_is_deleted_that_was_not_delivered(configured: Callable[..., Livepair]) -> None:
    """The consumer is down, then gone: the uploads may be all there is."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.cloud.consumer.answer(500, times=2)
    livepair.cloud.consumer.answer(410)
    livepair.pair()
    assert left(livepair) == {LIVE, IMAGE}
    livepair.finish()
    assert left(livepair) == {LIVE, IMAGE}


def test_a_late_delivery_deletes_too(configured: Callable[..., Livepair]) -> None:
    """A sweep delivers, and then deletes."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    livepair.finish()
    assert left(livepair) == set()


def test_an_upload_that_replaced_what_was_judged_is_not_deleted(
    configured: Callable[..., Livepair],
) -> None:
    """It has not been judged yet."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    livepair.put(LIVE, samples.live(seed=2))
    livepair.drop()
    livepair.finish()
    assert left(livepair) == {LIVE}


def test_a_late_event_of_a_deleted_upload_is_no_new_pair(configured: Callable[..., Livepair]) -> None:
    """Neither half is told to be missing after it was judged."""
    livepair = configured(DELETE_UPLOADS="live")
    livepair.put_pair()
    events = list(livepair.events)
    livepair.run()
    for event in events:
        livepair.handle(event)
    livepair.finish()
    assert [message["data"]["outcome"] for message in livepair.messages] == ["matched"]


def test_an_application_may_delete_a_judged_upload_itself(livepair: Livepair) -> None:
    """The other half has had its outcome, and is not told to be incomplete by the next walk."""
    livepair.pair()
    livepair.bucket.delete(LIVE)
    livepair.run()
    livepair.cloud.clock.advance(7200)
    livepair.reconcile()
    assert [message["data"]["outcome"] for message in livepair.messages] == ["matched"]


def test_the_same_image_uploaded_for_another_attempt_is_not_dropped(
    configured: Callable[..., Livepair],
) -> None:
    """Its live package never comes: that is incomplete, and not what was told of the last attempt."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.pair()
    livepair.run()
    livepair.cloud.clock.advance(600)
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.finish()
    assert [message["data"]["outcome"] for message in livepair.messages] == ["matched", "incomplete"]


def test_an_alternative_that_is_put_first_tells_nothing_twice(configured: Callable[..., Livepair]) -> None:
    """The missing half's key is part of a verification's id; a walk after the change finds what was told."""
    livepair = configured()
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert livepair.finish() == ["incomplete"]
    livepair.configure(IMAGE_KEY="uploads/{id}/face.png, uploads/{id}/image.jpg")
    livepair.cloud.clock.advance(1200)
    assert livepair.reconcile() == []
    assert livepair.finish() == []
    livepair.put("uploads/42/face.png", samples.image())
    assert livepair.run() == ["matched"]
    assert [message["data"]["outcome"] for message in livepair.messages] == ["incomplete", "matched"]


def test_a_new_image_that_serves_many_judges_nothing_again(configured: Callable[..., Livepair]) -> None:
    """Not even what failed: uploading the live package again does."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.put("faces/ada.jpg", samples.image())
    livepair.put("uploads/ada/1/live.gz", samples.live())
    assert livepair.run() == ["failed"]
    livepair.cloud.clock.advance(60)
    livepair.put("faces/ada.jpg", samples.image())
    assert livepair.run() == []
    assert livepair.finish() == []
    livepair.put("uploads/ada/1/live.gz", samples.live())
    assert livepair.run() == ["matched"]


def test_what_was_decided_is_told_under_other_templates(livepair: Livepair) -> None:
    """A verdict that was given and not told yet needs no template: its record holds everything."""
    livepair.cloud.consumer.answer(500, times=2)
    assert livepair.pair() == ["matched"]
    livepair.configure(LIVE_KEY="other/{id}/live.gz", IMAGE_KEY="other/{id}/image.jpg")
    assert livepair.finish() == ["matched"]
    assert len(livepair.cloud.consumer.accepted) == 1
