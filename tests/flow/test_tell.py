"""Recorded once, told until it is taken or given up, and settled."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from handler.edges.bucket import Unavailable
from handler.edges.webhook import POST_SECONDS, Delivery
from handler.flow.finish import tell_now
from handler.flow.steps import Tell
from handler.flow.tell import LEAST_SECONDS
from handler.rules.agenda import Deliver, Entry, delivery, kind_of
from handler.rules.outcome import Answer, verification
from handler.rules.records import Record
from handler.rules.schedule import LONGEST_RETRY_AFTER, MOST_DELIVERIES, deliveries
from handler.state import codec
from tests.support.scene import Killed, Scene, kill, unavailable
from tests.support.shelf import sealed
from tests.support.values import HOUR, IMAGE, LIVE, MINUTE, NOON, SECOND, SEEN, message, record

DOWN, GONE = Delivery(False, 500, "answered 500"), Delivery(False, 410, "answered 410", gone=True)
OK = Delivery(True, 200)
SETTLED_AT = NOON + timedelta(milliseconds=50)

TIMES = [each.at for each in deliveries(verification(SEEN, 1).message_id, SETTLED_AT)]
"""When the attempts of the scene's message are due: its first is made as soon as its claim has settled."""


def due(attempt: int, at: datetime | None = None) -> str:
    """The entry of an attempt as the scene names it; by the schedule, unless another time is given."""
    name = Entry(at or TIMES[attempt - 1], delivery(record(), attempt)).name
    return name.partition("-")[0].removeprefix("20261122T")


def on_agenda(scene: Scene, attempt: int) -> str:
    """Leave nothing on the agenda but an attempt of the scene's record, due now. Returns its key."""
    scene.ledger.take_off(scene.state.keys("livepair/agenda/"))
    return scene.ledger.put_on(Entry(scene.clock.now(), delivery(scene.record(), attempt)))


def next_due(scene: Scene) -> datetime:
    """When the only entry on the agenda is due."""
    (key,) = scene.state.keys("livepair/agenda/")
    at = scene.ledger.minute_of(key)
    assert at is not None
    return at


def untold(scene: Scene) -> None:
    """A record whose instance died before it could tell it, and whose entry is lost."""
    scene.consumer.answers = [DOWN]
    scene.event()
    scene.ledger.take_off(scene.state.keys("livepair/agenda/"))
    scene.ledger.mark(scene.record()._replace(attempts=0))
    scene.consumer.posts.clear()
    scene.consumer.answers = [OK]


# --- the message --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "given"), [(58, 15.0), (30, 15.0), (22, 22 - 0.05 - 1 - 8.0)])
def test_a_message_is_posted_as_it_was_recorded(seconds: float, given: float) -> None:
    """Signed now, in fifteen seconds at the most, and with a second left for what comes after."""
    scene = Scene()

    def take() -> None:
        scene.clock.waited += 8.0 if seconds == 22 else 0

    scene.api.during = take
    assert scene.event(seconds=seconds) == ["matched"]
    record = scene.record()
    ((message_id, body, now, allowed),) = scene.consumer.posts
    assert (message_id, body) == (record.verification.message_id, record.body)
    assert now == scene.clock.now()
    assert allowed == pytest.approx(given)
    assert record.attempts == 1
    assert record.delivered_at == scene.clock.now()
    assert scene.line["outcome"] == "matched"
    assert (scene.line["delivery"], scene.line["webhook_status"]) == (1, 200)


def test_an_event_makes_the_second_attempt_itself() -> None:
    """About five seconds later, at the time that derives from its message."""
    scene = Scene()
    scene.consumer.answers = [DOWN, OK]
    assert scene.event() == ["matched"]
    assert [post[2] for post in scene.consumer.posts] == TIMES[:2]
    assert scene.record().attempts == 2
    assert scene.agenda == []


def test_an_event_makes_no_third_attempt() -> None:
    """However soon the consumer asks for it: the agenda has it, at the schedule's time."""
    scene = Scene()
    scene.consumer.answers = [DOWN._replace(retry_after=SECOND)]
    scene.event(seconds=900.0)
    assert len(scene.consumer.posts) == 2
    assert scene.agenda == [due(3)]


def test_an_attempt_whose_time_went_by_is_left_out() -> None:
    """A consumer that is slow to refuse gets no burst."""
    scene = Scene()
    scene.consumer.answers = [DOWN]
    scene.consumer.during = lambda: scene.clock.sleep(POST_SECONDS)
    scene.event()
    assert len(scene.consumer.posts) == 1
    assert scene.agenda == [due(3)]
    (task,) = scene.tasks
    assert isinstance(task, Deliver)
    assert task.last is not None
    assert task == delivery(scene.record(), 3, task.last)


def test_the_next_attempts_entry_tells_what_came_of_the_last() -> None:
    """Also where an instance dies in an attempt: then it tells of the one before."""
    scene = Scene()
    scene.consumer.answers = [DOWN]
    scene.event()
    (before,) = scene.tasks
    assert isinstance(before, Deliver)
    assert before.last is not None
    assert (before.attempt, before.last[0], before.last[2]) == (3, 2, "answered 500")
    scene.consumer.during = kill
    with contextlib.suppress(Killed):
        scene.sweep(5 * MINUTE)
    (task,) = scene.tasks
    assert task == before._replace(attempt=4)
    scene.consumer.during = lambda: None
    scene.consumer.answers = [Delivery(False, None, "no answer in time")]
    scene.sweep(HOUR)
    (task,) = scene.tasks
    assert isinstance(task, Deliver)
    assert task.last is not None
    assert (task.attempt, task.last[0], task.last[2]) == (5, 4, "no answer in time")


def test_a_sweep_makes_one_attempt() -> None:
    """Nobody waits for its answer, and others wait for their turn."""
    scene = Scene(PAIR_TIMEOUT="60")
    scene.uploads.stored.pop(IMAGE.key)
    scene.event("live")
    scene.consumer.answers = [DOWN, OK]
    assert scene.sweep(MINUTE) == ["incomplete"]
    assert len(scene.consumer.posts) == 1
    assert scene.sweep(MINUTE) == ["incomplete"]
    assert len(scene.consumer.posts) == 2


def test_later_attempts_are_the_agendas() -> None:
    """Each in its time, and each with identical bytes."""
    scene = Scene()
    scene.consumer.answers = [DOWN]
    assert scene.event() == ["matched"]
    assert len(scene.consumer.posts) == 2
    assert scene.agenda == [due(3)]
    assert scene.line["webhook_error"] == "answered 500"
    assert not scene.record().told
    assert scene.sweep(6 * MINUTE) == ["matched"]
    assert len(scene.consumer.posts) == 3
    assert scene.line["delivery"] == 3
    assert scene.agenda == [due(4)]
    assert len({post[:2] for post in scene.consumer.posts}) == 1
    scene.consumer.answers = [OK]
    assert scene.sweep(40 * MINUTE) == ["matched"]
    assert scene.record().attempts == 4
    assert scene.agenda == []


@pytest.mark.parametrize("asked", [timedelta(0), 11 * SECOND, HOUR])
def test_the_second_attempt_comes_whatever_the_consumer_asks_for(asked: timedelta) -> None:
    """It mends what was a moment's trouble, and somebody waits for the answer."""
    scene = Scene()
    scene.consumer.answers = [DOWN._replace(retry_after=asked), OK]
    scene.event()
    assert [post[2] for post in scene.consumer.posts] == TIMES[:2]


@pytest.mark.parametrize(
    ("asked", "at"), [(SECOND, TIMES[2]), (40 * MINUTE, TIMES[1] + 40 * MINUTE), (9 * HOUR, TIMES[1] + HOUR)]
)
def test_a_consumer_may_put_later_attempts_off(asked: timedelta, at: datetime) -> None:
    """By an hour at the most, and never forward."""
    scene = Scene()
    scene.consumer.answers = [DOWN, DOWN._replace(retry_after=asked)]
    scene.event()
    assert scene.agenda == [due(3, at)]


@pytest.mark.parametrize(("spare", "posts"), [(0.01, 2), (-0.01, 1)])
def test_an_event_waits_only_with_time_left_for_the_attempt(spare: float, posts: int) -> None:
    """The pause, the post and the mark; else the agenda has it."""
    scene = Scene()
    scene.consumer.answers = [DOWN, OK]
    needed = (TIMES[1] - NOON).total_seconds() + POST_SECONDS + LEAST_SECONDS
    scene.event(seconds=needed + spare)
    assert len(scene.consumer.posts) == posts
    assert scene.agenda == ([] if posts == 2 else [due(2)])


@pytest.mark.parametrize(("left", "posts"), [(2.0, 1), (1.9, 0)])
def test_no_delivery_begins_with_less_than_two_seconds_left(left: float, posts: int) -> None:
    """It is the next sweep's, as the attempt that it would have been."""
    scene = Scene()

    def dawdle() -> None:
        scene.clock.waited = 58 - left

    scene.api.during = dawdle
    scene.event()
    assert len(scene.consumer.posts) == posts
    if not posts:
        assert scene.agenda == ["1201Z/deliver"]
        assert scene.sweep(MINUTE) == ["matched"]
        assert scene.record().attempts == 1


def test_a_consumer_that_is_gone_is_not_asked_again() -> None:
    """410 gives the message up: it is noted for the operator and logged as an error."""
    scene = Scene(DELETE_UPLOADS="both")
    scene.consumer.answers = [GONE]
    assert scene.event() == ["matched"]
    record = scene.record()
    assert (record.attempts, record.delivered_at) == (1, None)
    assert record.dead_at == SETTLED_AT
    note = scene.state.objects[scene.ledger.dead_key(record.verification)]
    assert b'"error": "answered 410"' in note
    assert b'"at": "2026-11-22T12:00:00.050+00:00"' in note
    (dead,) = [each for each in scene.logged if each["event"] == "dead"]
    assert dead == {
        "event": "dead",
        "level": "ERROR",
        "verification": record.verification.id,
        "error": "answered 410",
    }
    assert scene.uploads.deletes == []
    assert scene.agenda == []


def test_a_message_is_given_up_after_its_days() -> None:
    """Though nothing was said about why."""
    scene = Scene()
    scene.consumer.answers = [Delivery(False, None)]
    scene.event()
    tell_now(scene.services(), Tell(scene.record(), MOST_DELIVERIES))
    assert scene.record().dead_at is not None
    assert scene.record().attempts == 10
    assert b'"error": "no answer"' in scene.state.objects[scene.ledger.dead_key(scene.verification())]


def test_what_is_settled_is_told_no_second_time() -> None:
    """Its entry comes off the agenda, and that is all."""
    scene = Scene()
    scene.event()
    key = scene.ledger.put_on(Entry(NOON, delivery(scene.record(), 1)))
    assert scene.sweep(MINUTE) == []
    assert key not in scene.state.objects
    assert len(scene.consumer.posts) == 1


# --- an attempt that ends its instance ------------------------------------------------------------------


def test_before_an_attempt_the_next_takes_its_place_on_the_agenda() -> None:
    """So one that kills its instance counts as well, and none of them is made for ever."""
    scene = Scene()
    untold(scene)
    scene.consumer.during = kill
    on_agenda(scene, 1)
    for posts, (wait, following) in enumerate(((MINUTE, 3), (5 * MINUTE, 4), (HOUR, 5)), 1):
        with pytest.raises(Killed):
            scene.sweep(wait)
        assert len(scene.consumer.posts) == posts
        assert scene.tasks == [delivery(scene.record(), following)]


@pytest.mark.parametrize("walks", [False, True])
def test_a_message_that_kills_every_instance_ends_in_dead(walks: bool) -> None:
    """Its first one too, an upload event's; and never are there two chains of attempts for it.

    A walk that comes past meanwhile leaves it to the agenda.
    """
    scene = Scene()
    scene.consumer.during = kill
    with pytest.raises(Killed):
        scene.event()
    for _ in range(MOST_DELIVERIES + 2):
        if scene.record().told:
            break
        (task,) = scene.tasks
        wait = max(timedelta(0), next_due(scene) - scene.clock.now())
        if walks:
            scene.clock.waited += (wait / 2).total_seconds()
            assert scene.walk() == []
            assert scene.tasks == [task]
            wait = wait / 2
        with contextlib.suppress(Killed):
            scene.sweep(wait)
    assert scene.record().dead_at is not None
    assert scene.ledger.dead_key(scene.verification()) in scene.state.objects
    assert scene.agenda == []
    assert 2 < len(scene.consumer.posts) <= MOST_DELIVERIES
    assert scene.walk() == []
    assert scene.agenda == []


def test_a_message_that_another_sweep_got_through_is_not_given_up() -> None:
    """Both made the last attempt; the one that failed finds that the message was taken."""
    scene = Scene()
    untold(scene)
    on_agenda(scene, 10)
    delivered = scene.record()._replace(delivered_at=NOON, attempts=10)
    scene.consumer.answers = [DOWN]
    scene.consumer.during = lambda: scene.ledger.mark(delivered)
    scene.sweep(100 * HOUR)
    assert scene.record() == delivered
    assert scene.ledger.dead_key(scene.verification()) not in scene.state.objects


def test_after_the_last_attempt_there_is_an_entry_that_finds_that_it_is_over() -> None:
    """An hour later, the longest that a consumer could ask for; it posts nothing."""
    scene = Scene()
    untold(scene)
    scene.clock.waited = (TIMES[-1] - NOON).total_seconds()
    on_agenda(scene, MOST_DELIVERIES)
    scene.consumer.during = kill
    with pytest.raises(Killed):
        scene.sweep(MINUTE)
    assert scene.tasks == [delivery(scene.record(), MOST_DELIVERIES + 1)]
    assert not scene.record().told
    assert scene.sweep(LONGEST_RETRY_AFTER) == []
    assert scene.sweep(MINUTE) == ["matched"]
    assert len(scene.consumer.posts) == 1
    assert scene.record().dead_at is not None
    note = scene.state.objects[scene.ledger.dead_key(scene.verification())]
    assert b'"error": "no answer was recorded"' in note
    assert scene.agenda == []


def test_nothing_is_posted_before_the_next_attempt_is_on_the_agenda() -> None:
    """Nor does the entry that is worked off go before."""
    scene = Scene()
    untold(scene)
    key = on_agenda(scene, 1)

    def refuse(written: str) -> None:
        del scene.state.objects[written]
        raise unavailable(written)

    scene.state.after_write = refuse
    with pytest.raises(Unavailable):
        scene.sweep(MINUTE)
    assert scene.consumer.posts == []
    assert key in scene.state.objects


def test_what_is_taken_leaves_nothing_on_the_agenda() -> None:
    """The entry of the next attempt goes as well."""
    scene = Scene()
    untold(scene)
    on_agenda(scene, 1)
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.record().attempts == 1
    assert scene.agenda == []


def test_what_is_taken_and_cannot_be_noted_is_told_again() -> None:
    """By the next attempt's entry, and no other: a consumer gets a message twice rather than never."""
    scene = Scene()
    untold(scene)
    on_agenda(scene, 1)

    def refuse(written: str) -> None:
        if "/records/" in written:
            raise unavailable(written)

    data = scene.state.objects[scene.ledger.record_key(scene.verification())]
    scene.state.after_write = refuse
    assert scene.sweep(MINUTE) == ["matched"]
    assert "SlowDown" in scene.line["error"]
    assert scene.tasks == [delivery(scene.record(), 3)]
    scene.state.objects[scene.ledger.record_key(scene.verification())] = data
    scene.state.after_write = lambda key: None
    assert scene.sweep(6 * MINUTE) == ["matched"]
    assert len({post[:2] for post in scene.consumer.posts}) == 1
    assert len(scene.consumer.posts) == 2
    assert scene.agenda == []


# --- what is deleted ----------------------------------------------------------------------------------


def test_uploads_are_deleted_once_their_message_has_arrived() -> None:
    """Both where the settings say so, and the record says that they are."""
    scene = Scene(DELETE_UPLOADS="both")
    scene.consumer.answers = [DOWN, DOWN, OK]
    scene.event()
    assert scene.uploads.deletes == []
    assert scene.sweep(10 * MINUTE) == ["matched"]
    assert sorted(scene.uploads.deletes) == sorted([LIVE.key, IMAGE.key])
    assert scene.record().deleted
    assert scene.agenda == []


@pytest.mark.parametrize("change", [{"etag": '"x"'}, {"size": 1}])
def test_what_was_replaced_since_is_not_deleted(change: dict[str, Any]) -> None:
    """It is another upload, with an outcome of its own to come."""
    scene = Scene(DELETE_UPLOADS="both")

    def replace() -> None:
        scene.uploads.stored[LIVE.key] = LIVE._replace(**change)

    scene.api.during = replace
    scene.event()
    assert scene.uploads.deletes == [IMAGE.key]
    assert scene.record().deleted


def test_what_is_gone_already_is_no_fault() -> None:
    """Nor is it deleted again."""
    scene = Scene(DELETE_UPLOADS="both")
    scene.api.during = lambda: scene.uploads.stored.pop(LIVE.key)
    scene.event()
    assert scene.uploads.deletes == [IMAGE.key]


def test_of_both_uploads_it_is_noted_that_they_are_settled_before_any_is_deleted() -> None:
    """So nobody takes what is left, or not deleted yet, for half a pair."""
    scene = Scene(DELETE_UPLOADS="both")
    noted: list[int] = []
    scene.uploads.deleting = lambda: noted.append(len(scene.state.keys("livepair/settled/42/")))
    scene.event()
    assert noted == [2, 2]
    assert sorted(scene.uploads.deletes) == sorted([LIVE.key, IMAGE.key])


def test_the_half_that_stays_waits_for_nobody() -> None:
    """Also while LIST does not show the record yet."""
    scene = Scene(DELETE_UPLOADS="live", PAIR_TIMEOUT="60")
    scene.event()
    assert scene.uploads.deletes == [LIVE.key]
    del scene.state.objects[scene.ledger.record_key(scene.verification())]
    scene.clock.waited += 3600
    assert scene.walk(IMAGE) == []
    assert scene.ledger.records("42") == []
    assert scene.agenda == []


def test_older_alternatives_go_with_what_was_judged() -> None:
    """A newer one is an upload of its own."""
    scene = Scene(DELETE_UPLOADS="both", IMAGE_KEY="uploads/{id}/image.jpg,uploads/{id}/image.png")
    older = IMAGE._replace(key="uploads/42/image.png", uploaded_at=IMAGE.uploaded_at - SECOND)
    scene.uploads.stored[older.key] = older
    scene.event()
    assert sorted(scene.uploads.deletes) == sorted([LIVE.key, IMAGE.key, older.key])
    scene = Scene(DELETE_UPLOADS="both", IMAGE_KEY="uploads/{id}/image.jpg,uploads/{id}/image.png")
    newer = older._replace(uploaded_at=IMAGE.uploaded_at + SECOND)
    scene.api.during = lambda: scene.uploads.stored.update({newer.key: newer})
    scene.event()
    assert sorted(scene.uploads.deletes) == sorted([LIVE.key, IMAGE.key])


def test_a_deletion_that_fails_is_made_up_for() -> None:
    """By its claim's entry, then as a delivery, later each time; the message is not posted again for it."""
    scene = Scene(DELETE_UPLOADS="live")
    scene.api.during = lambda: scene.uploads.refuses.update({LIVE.key: unavailable(LIVE.key)})
    assert scene.event() == ["matched"]
    assert "SlowDown" in scene.line["error"]
    assert scene.line["level"] == "ERROR"
    assert [kind_of(task) for task in scene.tasks] == ["take_over"]
    for failures in (1, 2):
        scene.sweep(2 * MINUTE)
        (task,) = scene.tasks
        assert (kind_of(task), task.failures) == ("deliver", failures)
    scene.uploads.refuses.clear()
    scene.sweep(3 * MINUTE)
    assert scene.uploads.deletes == [LIVE.key]
    assert len(scene.consumer.posts) == 1
    assert scene.sweep(2 * MINUTE) == []
    assert scene.agenda == []


def test_a_deletion_that_was_handed_over_and_fails_comes_back_a_minute_later() -> None:
    """It has failed once then."""
    scene = Scene(DELETE_UPLOADS="live")

    def refuse() -> None:
        raise unavailable(LIVE.key)

    scene.uploads.deleting = refuse
    scene.event()
    for key in scene.state.keys("livepair/agenda/"):
        del scene.state.objects[key]
    tell_now(scene.services(), Tell(scene.record(), 1))
    assert scene.tasks == [delivery(scene.record(), 1)._replace(failures=1)]
    assert len(scene.consumer.posts) == 1


# --- the record ---------------------------------------------------------------------------------------


def test_a_record_that_cannot_be_written_is_tried_until_the_time_is_over() -> None:
    """Then the agenda has it, and the call counts as lost."""
    scene = Scene()
    key = scene.ledger.record_key(scene.verification())

    def lose(written: str) -> None:
        if written == key:
            raise Unavailable("write", scene.state.name, key, 503, "SlowDown")

    def refuse() -> None:
        scene.state.refuses[key] = Unavailable("read", scene.state.name, key, 503, "SlowDown")
        scene.state.after_write = lose

    scene.api.during = refuse
    assert scene.event() == []
    assert 56 < scene.clock.waited <= 58
    assert scene.consumer.posts == []
    assert "SlowDown" in scene.line["error"]
    scene.state.refuses.clear()
    scene.state.after_write = lambda key: None
    scene.api.during = lambda: None
    assert scene.sweep(3 * MINUTE) == ["matched"]


def test_a_record_that_could_not_be_written_at_first_is_written_and_told() -> None:
    """A second later, by the same instance."""
    scene = Scene()
    key = scene.ledger.record_key(scene.verification())
    failed: list[int] = []

    def lose(written: str) -> None:
        if written == key and len(failed) < 2:
            failed.append(1)
            scene.state.objects.pop(key)
            raise Unavailable("write", scene.state.name, key, 503, "SlowDown")

    scene.state.after_write = lose
    assert scene.event() == ["matched"]
    assert scene.clock.waited == pytest.approx(0.05 + 2 * (0.05 + 1.0))
    assert len(scene.api.calls) == 1


def test_an_outcome_without_a_call_is_on_the_agenda_before_it_is_recorded() -> None:
    """No claim's entry would bring it back. Once it is told, that entry is gone."""
    scene = Scene(MAX_LIVE_BYTES="10")
    image = scene.uploads.stored.pop(IMAGE.key)
    scene.event("live")
    (look,) = scene.state.keys("livepair/agenda/")
    scene.uploads.stored[IMAGE.key] = image
    seen: list[Sequence[str]] = []

    def watch(written: str) -> None:
        if "/records/" in written:
            seen.append(scene.state.keys("livepair/agenda/"))

    scene.state.after_write = watch
    assert scene.event() == ["rejected"]
    guard = f"livepair/agenda/20261122T1201Z/deliver-{scene.verification().id}-1-20261122T115955Z-42"
    assert seen[0] == [guard, look]
    assert scene.record().code == "Livepair.LiveTooLarge"
    assert scene.agenda == []
    assert scene.api.calls == []


def test_of_two_who_decide_without_a_claim_both_tell_the_same() -> None:
    """What is stored in the end, byte for byte."""
    scene = Scene(MAX_LIVE_BYTES="10")
    other: list[Record] = []

    def overwrite(written: str) -> None:
        if "/records/" in written:
            first = scene.record()._replace(nonce="other", sealed=None)
            other.append(sealed(first._replace(body=message(first))))
            scene.state.objects[written] = codec.dump_record(other[0])

    scene.state.after_write = overwrite
    assert scene.event() == ["rejected"]
    assert [post[1] for post in scene.consumer.posts] == [other[0].body]


# --- records that stand -------------------------------------------------------------------------------


def test_an_event_leaves_a_record_to_the_agenda() -> None:
    """Whoever decided it has left its delivery there."""
    scene = Scene()
    untold(scene)
    assert scene.event() == []
    assert scene.agenda == []


def test_a_walk_sees_that_a_record_is_told() -> None:
    """At the time when it was decided, so that whoever finds it puts the same entry there."""
    scene = Scene()
    untold(scene)
    assert scene.walk() == []
    assert scene.state.keys("livepair/agenda/")[0].endswith(
        f"/deliver-{scene.verification().id}-1-20261122T120000Z-42"
    )
    assert (scene.line["untold"], scene.line["again_for"]) == ("matched", "deliver")
    assert scene.agenda == ["1201Z/deliver"]
    assert scene.walk(IMAGE) == []
    assert "untold" not in scene.line
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert scene.record().told


def test_a_walk_leaves_a_pair_that_is_settled() -> None:
    """It clears what may be left of its looks."""
    scene = Scene()
    image = scene.uploads.stored.pop(IMAGE.key)
    scene.event("live")
    scene.uploads.stored[IMAGE.key] = image
    look = next(iter(key for key in scene.state.objects if "/agenda/" in key))
    data = scene.state.objects[look]
    scene.event()
    scene.state.objects[look] = data
    assert scene.walk() == []
    assert scene.agenda == []
    assert len(scene.consumer.posts) == 1


def test_a_record_that_came_after_it_was_looked_for_is_told() -> None:
    """By whoever works off the entry that would bring it back: that entry is about to come off."""
    scene = Scene()
    scene.api.answers = [Answer("RequestLimitExceeded", "", executed=False)]
    scene.event()
    untold = Scene()
    untold.consumer.answers = [DOWN]
    untold.event()
    record_key = scene.ledger.record_key(scene.verification())

    def late(key: str) -> None:
        if key == record_key and scene.state.reads.count(key) == before + 2:
            scene.state.objects[key] = untold.state.objects[key]

    before = scene.state.reads.count(record_key)
    scene.state.before_read = late
    assert scene.sweep(MINUTE) == []
    assert scene.agenda == ["1201Z/deliver"]
    assert scene.sweep(HOUR) == ["matched"]
