"""The three ways to a pair, and what is left on the agenda when a visit does not get to the end."""

from __future__ import annotations

from typing import Any

import pytest

from handler.edges.bucket import Changed
from handler.edges.webhook import Delivery
from handler.flow.finish import tell_now
from handler.flow.steps import Cause, Tell
from handler.flow.visit import put_off, walk_past, work_off
from handler.rules.agenda import AT_NEXT_SWEEP, Deliver, Entry, Look, TakeOver, Task, delivery, kind_of
from handler.rules.outcome import Answer
from handler.rules.records import Record
from handler.rules.uploads import Seen, Stored
from tests.support.scene import Killed, Scene, forbidden, kill, unavailable
from tests.support.values import (
    BUCKET,
    HOUR,
    IMAGE,
    LIVE,
    MINUTE,
    NOON,
    PAIR,
    SECOND,
    VERIFICATION,
    settings,
)

# --- an upload's event --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["other/42/live.gz", "uploads/42/other", "livepair/agenda/x"])
def test_an_event_of_what_is_no_upload_is_ignored(key: str) -> None:
    """Nothing is looked at; the log says so."""
    scene = Scene(LIVE_KEY="uploads/{id}/live.gz,livepai/{id}")
    assert scene.event(keys=(key,)) == []
    assert scene.logged == [
        {
            "event": "ignored",
            "level": "INFO",
            "reason": "the key matches no template, or is state",
            "key": key,
        }
    ]


def test_state_is_never_an_upload_whatever_the_templates_say() -> None:
    """An event of it is ignored before it is matched."""
    scene = Scene()
    scene.settings = scene.settings._replace(state_prefix="uploads/42/")
    assert scene.event() == []
    assert scene.logged[0]["event"] == "ignored"


@pytest.mark.parametrize("spelled", ["uploads/4%32/image.jpg", "elsewhere/x", "livepair/x"])
def test_of_two_spellings_of_a_key_the_one_that_is_there_counts(spelled: str) -> None:
    """The event does not say which of them is percent-encoded."""
    scene = Scene()
    assert scene.event(keys=(spelled, IMAGE.key)) == ["matched"]
    assert not any(each["event"] == "ignored" for each in scene.logged)


def test_once_an_upload_is_found_its_other_spelling_is_not_looked_for() -> None:
    """It names no object."""
    scene = Scene()
    assert scene.event(keys=(IMAGE.key, "uploads/4%32/image.jpg")) == ["matched"]
    assert len([each for each in scene.logged if each["event"] == "pair"]) == 1


def test_an_upload_that_is_not_shown_yet_is_come_back_for() -> None:
    """Whatever else became of its pair: an older upload may be shown in its place."""
    scene = Scene()
    assert scene.event(at=NOON + 5 * SECOND) == ["matched"]
    assert scene.agenda == ["1202Z/look"]
    scene.uploads.stored[IMAGE.key] = IMAGE._replace(md5="c" * 32, etag='"c3"', uploaded_at=NOON + 5 * SECOND)
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert scene.agenda == []
    assert len(scene.api.calls) == 2


def test_an_upload_of_the_same_second_that_is_not_shown_yet_is_come_back_for() -> None:
    """The verdict over the one that it replaced does not take its look off the agenda."""
    scene = Scene()
    assert scene.event(etag='"c3"') == ["matched"]
    assert scene.agenda == ["1201Z/look"]
    scene.uploads.stored[IMAGE.key] = IMAGE._replace(md5="c" * 32, etag='"c3"')
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.agenda == []
    assert len(scene.api.calls) == 2


def test_an_upload_that_never_shows_is_given_up_at_the_pair_timeout() -> None:
    """It was deleted; no look comes after the last."""
    scene = Scene(PAIR_TIMEOUT="90")
    assert scene.event(at=NOON + 5 * SECOND) == ["matched"]
    assert scene.agenda == ["1202Z/look"]
    assert scene.sweep(2 * MINUTE) == []
    assert scene.agenda == []


def test_an_event_without_a_time_counts_from_now() -> None:
    """The bucket's Last-Modified takes its place where COS shows the upload."""
    scene = Scene()
    scene.uploads.stored.clear()
    assert scene.event(at=None) == []
    assert scene.agenda == ["1201Z/look"]


# --- half a pair --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "missing"), [("live", IMAGE), ("image", LIVE)])
def test_half_a_pair_is_looked_at_until_its_timeout(role: Any, missing: Stored) -> None:
    """In growing steps; then it is told as incomplete, once."""
    scene = Scene()
    scene.uploads.stored.pop(missing.key)
    assert scene.event(role) == []
    assert scene.line["waits_for"] == ("image" if role == "live" else "live")
    (task,) = scene.tasks
    assert isinstance(task, Look)
    assert task.role == role
    for after, entry in ((MINUTE, "1201Z"), (5 * MINUTE, "1205Z"), (20 * MINUTE, "1220Z"), (HOUR, "1300Z")):
        assert scene.agenda == [f"{entry}/look"]
        outcomes = scene.sweep(NOON + after - scene.clock.now())
        assert outcomes == (["incomplete"] if after == HOUR else [])
    (record,) = scene.ledger.records("42")
    (stored,) = scene.uploads.stored.values()
    assert record.decided_at == stored.uploaded_at + HOUR
    assert scene.api.calls == []
    assert scene.agenda == []


def test_a_run_that_the_operator_asked_for_is_looked_for_until_the_pair_is_whole() -> None:
    """Its looks go on naming it."""
    scene = Scene()
    scene.uploads.stored.pop(IMAGE.key)
    scene.ledger.put_on(Entry(NOON, Look(BUCKET, LIVE.key, "live", run=3)))
    assert scene.sweep() == []
    (task,) = scene.tasks
    assert isinstance(task, Look)
    assert task.run == 3


def test_what_is_left_of_a_pair_that_was_told_waits_for_nobody() -> None:
    """Its other half was deleted since."""
    scene = Scene(DELETE_UPLOADS="live", PAIR_TIMEOUT="60")
    scene.event()
    scene.clock.waited += 3600
    assert scene.walk(IMAGE) == []
    assert len(scene.ledger.records("42")) == 1
    assert scene.agenda == []


def test_a_pair_of_which_nothing_is_left_is_left_alone() -> None:
    """A walk, or an entry, comes too late."""
    scene = Scene()
    scene.ledger.put_on(Entry(NOON, Look(BUCKET, LIVE.key)))
    scene.uploads.stored.clear()
    assert scene.sweep(MINUTE) == scene.walk() == []
    assert scene.ledger.records("42") == []


def test_a_multipart_upload_is_read_through_for_its_md5() -> None:
    """Its ETag is none."""
    scene = Scene()
    scene.uploads.stored[LIVE.key] = LIVE._replace(md5=None, etag='"x-2"')
    assert scene.event() == ["matched"]
    assert scene.api.calls[0][0].md5 == "d" * 32


def test_while_an_upload_is_read_through_there_is_an_entry_for_it() -> None:
    """It can take long: the entry brings the pair back should the instance die, and goes once it is read."""
    scene = Scene()
    scene.uploads.stored[LIVE.key] = LIVE._replace(md5=None, etag='"x-2"')
    scene.uploads.reading = kill
    with pytest.raises(Killed):
        scene.event()
    assert scene.tasks == [Look(BUCKET, LIVE.key, uploaded_at=LIVE.uploaded_at, step=AT_NEXT_SWEEP)]
    assert scene.agenda == ["1201Z/look"]
    scene.uploads.reading = lambda: None
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.agenda == []


def test_an_entry_stays_that_is_its_own_guard() -> None:
    """A sweep within its minute puts the same entry there: until its work is done it does not go."""
    scene = Scene()
    live = LIVE._replace(md5=None, etag='"x-2"')
    scene.uploads.stored = {LIVE.key: live, IMAGE.key: IMAGE._replace(md5=None, etag='"y-2"')}
    look = Look(BUCKET, LIVE.key, uploaded_at=LIVE.uploaded_at, step=AT_NEXT_SWEEP)
    key = scene.ledger.put_on(Entry(NOON + MINUTE, look))
    there: list[bool] = []
    scene.uploads.reading = lambda: there.append(key in scene.state.objects)
    assert work_off(scene.services(), key, look, None) == ["matched"]
    assert there[:2] == [True, True]
    assert scene.agenda == []


def test_what_is_too_large_is_not_read_through() -> None:
    """It is rejected by its size."""
    scene = Scene(MAX_LIVE_BYTES="10")
    scene.uploads.stored[LIVE.key] = LIVE._replace(md5=None, etag='"x-2"')
    scene.uploads.unread[LIVE.key] = forbidden(LIVE.key)
    assert scene.event() == ["rejected"]


def test_what_is_rejected_is_rejected_once() -> None:
    """A repeat tells nothing, and a walk finds it settled."""
    scene = Scene(MAX_LIVE_BYTES="10")
    assert scene.event() == ["rejected"]
    assert scene.event() == scene.walk() == []
    assert len(scene.consumer.posts) == 1
    assert scene.agenda == []


def test_after_incomplete_a_later_upload_starts_another_run() -> None:
    """Of the same half."""
    scene = Scene(PAIR_TIMEOUT="60")
    scene.uploads.stored.pop(IMAGE.key)
    scene.event("live")
    assert scene.sweep(MINUTE) == ["incomplete"]
    again = LIVE._replace(uploaded_at=NOON + HOUR)
    scene.uploads.stored[LIVE.key] = again
    scene.clock.waited += 3540
    assert scene.event("live", at=again.uploaded_at) == []
    assert scene.sweep(MINUTE) == ["incomplete"]
    assert sorted(record.verification.run for record in scene.ledger.records("42")) == [1, 2]


def test_uploads_that_are_replaced_all_the_time_are_left_to_the_next_sweep() -> None:
    """Three times under our hands are enough."""
    scene = Scene()
    scene.uploads.stored[LIVE.key] = LIVE._replace(md5=None, etag='"x-2"')
    scene.uploads.unread[LIVE.key] = Changed("read", BUCKET, LIVE.key, 412, "PreconditionFailed")
    assert scene.event() == []
    assert scene.tasks == [Look(BUCKET, LIVE.key, uploaded_at=LIVE.uploaded_at, step=AT_NEXT_SWEEP)]
    assert scene.line["replaced"] is True
    scene.uploads.unread.clear()
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.agenda == []


def test_half_a_pair_that_is_replaced_all_the_time_is_left_to_the_next_sweep() -> None:
    """It has its outcome then."""
    scene = Scene(PAIR_TIMEOUT="60")
    scene.uploads.stored = {LIVE.key: LIVE._replace(md5=None, etag='"x-2"')}
    scene.uploads.unread[LIVE.key] = Changed("read", BUCKET, LIVE.key, 412, "PreconditionFailed")
    scene.event("live", etag=None)
    assert scene.sweep(MINUTE) == []
    assert scene.agenda == ["1202Z/look"]
    scene.uploads.unread.clear()
    assert scene.sweep(MINUTE) == ["incomplete"]


# --- an agenda entry ----------------------------------------------------------------------------------


def test_where_no_entry_led_here_nothing_has_failed_before() -> None:
    """So patience begins with this failure."""
    assert Cause().failures == 0
    assert Cause(task=Look(BUCKET, LIVE.key, failures=4)).failures == 4


@pytest.mark.parametrize(
    "task",
    [
        Look("other-1250000000", LIVE.key),
        Look(BUCKET, "elsewhere/42"),
        TakeOver("other-1250000000", LIVE.key, VERIFICATION, 1),
    ],
)
def test_an_entry_of_other_settings_is_put_off(task: Task) -> None:
    """As it is, and further each time, so that it stands in nobody's way; the log says which it is."""
    scene = Scene()
    key = scene.ledger.put_on(Entry(NOON, task))
    assert scene.sweep(MINUTE) == []
    assert scene.tasks == [task._replace(failures=1)]
    assert scene.agenda == [f"1202Z/{kind_of(task)}"]
    assert scene.logged == [
        {
            "event": "left_alone",
            "level": "WARNING",
            "reason": "an agenda entry of other settings",
            "agenda_key": key,
        }
    ]
    assert scene.sweep(MINUTE) == []
    assert scene.tasks == [task._replace(failures=2)]
    assert scene.agenda == [f"1204Z/{kind_of(task)}"]


def test_an_entry_whose_key_has_no_certain_partner_is_put_off() -> None:
    """These settings would not have put it there."""
    scene = Scene(LIVE_KEY="uploads/{a}-{b}.gz", IMAGE_KEY="uploads/{b}-{a}.jpg")
    task = Look(BUCKET, "uploads/a-b-c.gz")
    scene.ledger.put_on(Entry(NOON, task))
    assert scene.sweep(MINUTE) == []
    assert scene.tasks == [task._replace(failures=1)]


def test_a_walk_past_what_has_no_certain_partner_says_so() -> None:
    """And goes on."""
    scene = Scene(LIVE_KEY="uploads/{a}-{b}.gz", IMAGE_KEY="uploads/{b}-{a}.jpg")
    assert scene.walk(LIVE._replace(key="uploads/a-b-c.gz")) == []
    (line,) = scene.logged
    assert (line["event"], line["level"], line["key"]) == ("ambiguous_key", "ERROR", "uploads/a-b-c.gz")
    assert "two readings" in line["error"]
    assert scene.walk(LIVE._replace(key="elsewhere")) == []


def test_what_is_put_off_within_its_minute_stays_there() -> None:
    """Its new name is its old one, so it is not taken off."""
    scene = Scene()
    task = Look("other-1250000000", LIVE.key)
    key = scene.ledger.put_on(Entry(NOON + MINUTE, task))
    put_off(scene.services(), key, task)
    assert scene.tasks == [task._replace(failures=1)]
    assert scene.agenda == ["1201Z/look"]


@pytest.mark.parametrize(("kind", "attempt"), [(TakeOver, 2), (Deliver, 1)])
def test_a_record_is_told_even_if_its_uploads_have_changed_since(kind: Any, attempt: int) -> None:
    """Its entry names the verification, and the attempt or a claim: then it is the attempt that is due."""
    scene = Scene()
    record = told_elsewhere(scene)
    key = scene.ledger.put_on(Entry(NOON, kind(BUCKET, LIVE.key, record.verification, 1)))
    scene.uploads.stored.clear()
    assert scene.sweep(MINUTE) == ["matched"]
    assert key not in scene.state.objects
    assert scene.line["delivery"] == scene.record().attempts == attempt


def test_a_record_is_told_whatever_the_templates_are() -> None:
    """Its record holds all that is needed for that. What was judged is deleted once they derive it again."""
    scene = Scene(DELETE_UPLOADS="both")
    record = told_elsewhere(scene, delete=("live", "image"))
    scene.settings = settings(LIVE_KEY="new/{id}.gz", IMAGE_KEY="new/{id}.jpg", DELETE_UPLOADS="both")
    scene.ledger.put_on(Entry(NOON, delivery(record, 1)))
    assert scene.sweep(MINUTE) == ["matched"]
    assert (scene.uploads.deletes, scene.agenda) == ([], [])
    assert scene.logged[0]["event"] == "left_alone"
    scene.settings = settings(DELETE_UPLOADS="both")
    assert scene.walk() == []
    assert scene.sweep(MINUTE) == ["matched"]
    assert sorted(scene.uploads.deletes) == sorted([LIVE.key, IMAGE.key])
    assert len(scene.consumer.posts) == 1
    assert scene.record().settled
    assert scene.agenda == []


def told_elsewhere(scene: Scene, **changes: Any) -> Record:
    """A record that another instance wrote, and died before it could tell it."""
    other = Scene()
    other.event()
    record = other.record()._replace(delivered_at=None, attempts=0, sealed=None, **changes)
    scene.ledger.mark(record)
    return scene.record()


# --- what COS keeps from being done ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [unavailable, lambda key: Changed("read", BUCKET, key, 412, "x")])
def test_trouble_with_an_upload_is_the_next_sweeps(error: Any) -> None:
    """As the log says."""
    scene = Scene()
    scene.uploads.refuses[LIVE.key] = error(LIVE.key)
    assert scene.event() == []
    assert scene.agenda == ["1201Z/look"]
    assert scene.tasks == [Look(BUCKET, IMAGE.key, "image", IMAGE.uploaded_at, failures=1)]
    assert (scene.line["level"], scene.line["error"]) == ("ERROR", str(error(LIVE.key)))
    scene.uploads.refuses.clear()
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.agenda == []


def test_trouble_on_a_walk_is_the_next_sweeps() -> None:
    """And so on, later each time, for as long as it lasts; each entry says which upload it is for."""
    scene = Scene()
    scene.uploads.refuses[IMAGE.key] = unavailable(IMAGE.key)
    assert scene.walk() == []
    look = Look(BUCKET, LIVE.key, "live", LIVE.uploaded_at, failures=1)
    assert scene.tasks == [look]
    scene.state.objects.clear()
    scene.ledger.put_on(Entry(NOON, look._replace(role=None)))
    assert scene.sweep() == []
    assert scene.tasks == [look._replace(failures=2)]


def test_a_walk_counts_the_looks_at_what_is_refused_from_the_upload() -> None:
    """Not from when it came past."""
    scene = Scene()
    scene.clock.waited += 1800
    scene.uploads.refuses[IMAGE.key] = forbidden(IMAGE.key)
    assert scene.walk() == []
    assert scene.agenda == ["1300Z/look"]


def test_trouble_with_the_state_is_the_next_sweeps() -> None:
    """A permission that lacks for it is no outcome of an upload's."""
    scene = Scene()
    key = scene.ledger.claim_key(scene.verification(), 1)
    scene.state.refuses[key] = forbidden(key)
    assert scene.event() == []
    assert "1202Z/look" in scene.agenda
    scene.state.refuses.clear()
    assert scene.sweep(3 * MINUTE) == ["matched"]


def test_trouble_with_an_entry_puts_that_entry_off() -> None:
    """It goes on naming its verification."""
    scene = Scene()
    scene.api.answers = [Answer("RequestLimitExceeded", "", executed=False)]
    scene.event()
    assert scene.agenda == ["1201Z/take_over"]
    scene.uploads.refuses[LIVE.key] = unavailable(LIVE.key)
    assert scene.sweep(MINUTE) == []
    assert scene.agenda == ["1203Z/take_over"]


def test_state_that_cannot_be_read_is_left_to_whoever_reads_the_log() -> None:
    """Judging again could bill again."""
    scene = Scene()
    key = scene.ledger.record_key(scene.verification())
    scene.state.objects[key] = b"{"
    assert scene.walk() == []
    assert key in scene.line["error"]
    assert scene.agenda == []
    assert scene.api.calls == []


@pytest.mark.parametrize("key", [LIVE.key, IMAGE.key])
def test_an_upload_that_may_not_be_looked_at_is_tried_for_a_day_and_told(key: str) -> None:
    """Every hour at last; a permission that is given within the day heals it."""
    scene = Scene()
    scene.uploads.refuses[key] = forbidden(key)
    assert scene.event() == []
    assert scene.agenda == ["1201Z/look"]
    for _ in range(25):
        assert scene.sweep(HOUR) == [] or scene.clock.now() >= NOON + 24 * HOUR
    (record,) = scene.ledger.records("42")
    assert (record.outcome, record.code) == ("failed", "Livepair.UploadUnreadable")
    assert record.decided_at == IMAGE.uploaded_at + 24 * HOUR
    assert "req-9" in record.body
    assert len(scene.consumer.posts) == 1
    assert scene.verification(seen=Seen(PAIR, BUCKET, None, None)) == record.verification


def test_an_operators_retry_of_what_may_still_not_be_looked_at_is_told_as_another_run() -> None:
    """The run that was asked for has its outcome, too."""
    scene = Scene()
    scene.uploads.refuses[LIVE.key] = forbidden(LIVE.key)
    scene.event()
    for _ in range(25):
        scene.sweep(HOUR)
    scene.ledger.put_on(Entry(scene.clock.now(), Look(BUCKET, IMAGE.key, "image", IMAGE.uploaded_at, run=2)))
    assert scene.sweep(HOUR) == ["failed"]
    assert sorted(record.verification.run for record in scene.ledger.records("42")) == [1, 2]


def test_what_may_be_looked_at_within_the_day_is_judged() -> None:
    """Nothing was told before."""
    scene = Scene()
    scene.uploads.refuses[IMAGE.key] = forbidden(IMAGE.key)
    scene.event()
    for _ in range(20):
        assert scene.sweep(HOUR) == []
    scene.uploads.refuses.clear()
    assert scene.sweep(2 * HOUR) == ["matched"]
    assert len(scene.ledger.records("42")) == 1


def test_where_not_even_the_agenda_can_be_written_the_platform_tries_again() -> None:
    """So the event is raised, and its line says why."""
    scene = Scene()
    scene.uploads.stored.pop(LIVE.key)

    def refuse(key: str) -> None:
        raise unavailable(key)

    scene.state.after_write = refuse
    with pytest.raises(type(unavailable("x"))):
        scene.event()
    assert scene.line["level"] == "ERROR"
    assert "SlowDown" in scene.line["error"]


def test_an_error_of_others_is_named_and_not_quoted() -> None:
    """Its text may hold a link."""
    scene = Scene()

    def fail() -> None:
        raise RuntimeError("https://secret")

    scene.api.during = fail
    with pytest.raises(RuntimeError):
        scene.event()
    assert scene.line["error"] == "RuntimeError"


# --- an image that serves many --------------------------------------------------------------------------

FACE = IMAGE._replace(key="faces/ann.jpg")


def shared() -> Scene:
    """Two live packages of one user that wait for their image."""
    scene = Scene(LIVE_KEY="uploads/{user}/{id}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    scene.uploads.stored.clear()
    for number in (1, 2):
        live = LIVE._replace(key=f"uploads/ann/{number}/live.gz", md5=str(number) * 32)
        scene.uploads.stored[live.key] = live
        assert scene.event("live", keys=(live.key,)) == []
    return scene


def test_a_shared_image_serves_who_waits_for_it() -> None:
    """Each is judged with it, and no mark is left."""
    scene = shared()
    marks = [scene.ledger.task(mark) for mark in scene.ledger.marks(FACE.key)]
    assert marks == [Look(BUCKET, f"uploads/ann/{number}/live.gz", "live") for number in (1, 2)]
    scene.uploads.stored[FACE.key] = FACE
    assert scene.event(keys=(FACE.key,)) == ["matched", "matched"]
    assert scene.ledger.marks(FACE.key) == []
    assert scene.agenda == []


def test_a_shared_image_that_is_shown_as_it_was_before_is_come_back_for() -> None:
    """Those who wait are served with what is there; whoever waits then is served later."""
    scene = shared()
    scene.uploads.stored[FACE.key] = FACE
    assert scene.event(keys=(FACE.key,), at=NOON + 5 * SECOND) == ["matched", "matched"]
    assert scene.agenda == ["1202Z/look"]


def test_what_a_sweep_finds_to_tell_is_handed_over() -> None:
    """Also where one image leads to many: whoever found it need not wait for the consumer."""
    scene = shared()
    scene.uploads.stored[FACE.key] = FACE
    key = scene.ledger.put_on(Entry(NOON, Look(BUCKET, FACE.key, "image", NOON)))
    handed: list[Tell] = []
    look = scene.ledger.task(key)
    assert look is not None
    assert work_off(scene.services(), key, look, handed.append) == []
    assert [step.record.outcome for step in handed] == ["matched", "matched"]
    assert [step.attempt for step in handed] == [1, 1]
    assert scene.consumer.posts == []
    assert [each["decided"] for each in scene.logged if "decided" in each] == ["matched", "matched"]
    scene.consumer.answers = [Delivery(False, 500), Delivery(True, 200)]
    assert tell_now(scene.services(), handed[0]) == ["matched"]
    assert len(scene.consumer.posts) == 1  # nobody waits for a second attempt


def test_a_record_that_an_entry_leads_to_is_handed_over() -> None:
    """And what a walk decides."""
    scene = Scene()
    record = told_elsewhere(scene)
    handed: list[Tell] = []
    task = Deliver(BUCKET, LIVE.key, record.verification, 4)
    key = scene.ledger.put_on(Entry(NOON, task))
    assert work_off(scene.services(), key, task, handed.append) == []
    assert handed == [Tell(record, 4, (key,), guarded=False)]
    scene = Scene()
    handed.clear()
    assert walk_past(scene.services(), LIVE, frozenset(), handed.append) == []
    assert [step.record.outcome for step in handed] == ["matched"]
    assert scene.consumer.posts == []


def test_a_shared_image_that_nobody_waits_for_waits_for_nobody() -> None:
    """One request tells."""
    scene = Scene(LIVE_KEY="uploads/{user}/{id}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    scene.uploads.stored = {FACE.key: FACE}
    assert scene.event(keys=(FACE.key,)) == []
    assert scene.agenda == []


def test_a_shared_image_that_is_not_shown_yet_is_come_back_for() -> None:
    """Those who wait for it stay where they are."""
    scene = shared()
    assert scene.event(keys=(FACE.key,)) == []
    assert len(scene.ledger.marks(FACE.key)) == 2
    assert "1201Z/look" in scene.agenda
    scene.uploads.stored[FACE.key] = FACE
    assert sorted(scene.sweep(MINUTE)) == ["matched", "matched"]


def test_a_shared_image_that_may_not_be_looked_at_is_looked_at_again() -> None:
    """It has no outcome of its own."""
    scene = shared()
    for key in [key for key in scene.state.objects if "/agenda/" in key]:
        del scene.state.objects[key]
    scene.uploads.refuses[FACE.key] = forbidden(FACE.key)
    assert scene.event(keys=(FACE.key,)) == []
    assert scene.agenda == ["1201Z/look"]
    for _ in range(30):
        scene.sweep(HOUR)
    assert scene.agenda == []
    assert scene.ledger.records("ann") == []


def test_a_shared_image_serves_as_many_as_there_is_time_for() -> None:
    """A sweep goes on with the others."""
    scene = shared()
    scene.uploads.stored[FACE.key] = FACE

    def dawdle() -> None:
        scene.clock.waited += 30

    scene.api.during = dawdle
    assert scene.event(keys=(FACE.key,), seconds=45) == ["matched"]
    assert len(scene.ledger.marks(FACE.key)) == 1
    scene.api.during = lambda: None
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert scene.agenda == []


def test_a_mark_that_is_none_is_removed() -> None:
    """Of other settings, or of another kind."""
    scene = shared()
    scene.uploads.stored[FACE.key] = FACE
    scene.ledger.mark_waiting(FACE.key, "ann/0", Look(BUCKET, "elsewhere"))
    scene.ledger.mark_waiting(FACE.key, "ann/3", Look(BUCKET, FACE.key))
    scene.state.objects[scene.ledger.mark_key(FACE.key, "ann/4")] = scene.state.objects[
        scene.ledger.put_on(Entry(NOON + HOUR, Deliver(BUCKET, LIVE.key, VERIFICATION, 1)))
    ]
    assert scene.event(keys=(FACE.key,)) == ["matched", "matched"]
    assert scene.ledger.marks(FACE.key) == []


def test_a_mark_that_cannot_be_read_is_named_and_taken_off() -> None:
    """Those after it are served, and its own pair has its looks."""
    scene = shared()
    scene.uploads.stored[FACE.key] = FACE
    mark = scene.ledger.marks(FACE.key)[0]
    scene.state.objects[mark] = b"{"
    assert scene.event(keys=(FACE.key,)) == ["matched"]
    (corrupt,) = [each for each in scene.logged if each["event"] == "corrupt_state"]
    assert (corrupt["level"], corrupt["key"]) == ("ERROR", mark)
    assert mark in corrupt["error"]
    assert scene.ledger.marks(FACE.key) == []
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert scene.agenda == []
