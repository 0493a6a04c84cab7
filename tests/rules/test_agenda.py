"""The agenda: the names that entries have, and which entries everybody derives alike."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.agenda import (
    AT_NEXT_SWEEP,
    Deliver,
    Entry,
    Look,
    TakeOver,
    Task,
    Walk,
    after_one_more_failure,
    all_looks,
    at_lease_end,
    delivery,
    is_delivery,
    kind_of,
    look_after,
    look_at_next_sweep,
    minute_of,
    minute_text,
    purpose,
    take_over,
    time_text,
    verification_in,
)
from handler.rules.outcome import timestamp
from handler.rules.schedule import Step
from tests.support.values import BUCKET, IMAGE, LIVE, MINUTE, NOON, SECOND, SEEN, VERIFICATION, record

LOOK = Look(BUCKET, "uploads/42/live.gz", "live", NOON, 1)
TAKE_OVER = TakeOver(BUCKET, "uploads/42/live.gz", VERIFICATION, 1, since=NOON)
DELIVER = Deliver(BUCKET, "uploads/42/live.gz", VERIFICATION, 1, since=NOON)
WALK = Walk(BUCKET)

# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "minute"),
    [
        (NOON, "20261122T1200Z"),
        (NOON + timedelta(microseconds=1), "20261122T1201Z"),
        (NOON + SECOND, "20261122T1201Z"),
        (NOON + timedelta(seconds=59, microseconds=999_999), "20261122T1201Z"),
        (NOON + MINUTE, "20261122T1201Z"),
        (datetime(2026, 12, 31, 23, 59, 30, tzinfo=timezone.utc), "20270101T0000Z"),
    ],
)
def test_an_entry_stands_in_the_minute_that_begins_when_it_is_due(at: datetime, minute: str) -> None:
    """Rounded up, so that the sweep at a minute's beginning never does anything before its time."""
    assert Entry(at, LOOK).name == f"{minute}/{purpose(LOOK)}"


times = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc))


@given(times, times)
def test_entries_sort_by_time_and_wait_less_than_a_minute(one: datetime, other: datetime) -> None:
    """The name's order is the order of time; no entry is early, and none a whole minute late."""
    name = Entry(one, LOOK).name
    begins = minute_of(name)
    assert begins is not None
    assert timedelta(0) <= begins - one < MINUTE
    assert one > other or name <= Entry(other, LOOK).name


@pytest.mark.parametrize("hours", [-12, -3.5, 0, 5.75, 8, 14])
def test_a_time_of_another_zone_is_named_in_utc(hours: float) -> None:
    """An agenda has one clock, whatever zone a time comes in."""
    there = NOON.astimezone(timezone(timedelta(hours=hours)))
    assert minute_text(there) == "20261122T1200Z"
    assert Entry(there, LOOK).name == Entry(NOON, LOOK).name
    assert time_text(there) == "2026-11-22T12:00:00.000+00:00"


def test_names_and_times_do_not_depend_on_the_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are everybody's."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert minute_text(NOON) == "20261122T1200Z"
        assert time_text(NOON) == "2026-11-22T12:00:00.000+00:00"
        assert timestamp(NOON) == "2026-11-22T12:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_times_are_kept_to_the_millisecond() -> None:
    """Finer parts are cut, never rounded up: a lease does not grow on its way."""
    assert time_text(NOON + timedelta(microseconds=999_999)) == "2026-11-22T12:00:00.999+00:00"
    assert time_text(None) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (LOOK, LOOK._replace(bucket="other-1")),
        (LOOK, LOOK._replace(key="uploads/43/live.gz")),
        (LOOK, LOOK._replace(role="image")),
        (LOOK, LOOK._replace(uploaded_at=NOON + SECOND)),
        (LOOK, LOOK._replace(uploaded_at=None)),
        (LOOK, LOOK._replace(step=2)),
        (LOOK, LOOK._replace(run=2)),
        (TAKE_OVER, TAKE_OVER._replace(n=2)),
        (TAKE_OVER, TAKE_OVER._replace(verification=VERIFICATION._replace(id="f" * 32))),
        (TAKE_OVER, DELIVER),
        (DELIVER, DELIVER._replace(attempt=2)),
        (DELIVER, DELIVER._replace(verification=VERIFICATION._replace(id="f" * 32))),
        (WALK, WALK._replace(bucket="other-1")),
        (WALK, LOOK),
        (WALK, Look(BUCKET, "")),
        (WALK, WALK._replace(since=NOON)),
    ],
)
def test_different_purposes_are_different_entries(left: Task, right: Task) -> None:
    """Taking one off the agenda can never take off another."""
    assert purpose(left) != purpose(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (LOOK, LOOK._replace(uploaded_at=NOON.astimezone(timezone(timedelta(hours=8))))),
        (TAKE_OVER, TAKE_OVER._replace(key="uploads/42/image.jpg")),
        (DELIVER, DELIVER._replace(key="")),
        (WALK, WALK._replace(key="uploads/7", began_at=NOON)),
    ],
)
def test_the_same_purpose_is_the_same_entry(left: Task, right: Task) -> None:
    """What does not belong to the purpose does not count, so that writing it twice is one entry."""
    assert purpose(left) == purpose(right)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (LOOK, "look-0b8f061ebd6ad5b94274c36067bb5abf-1-live-_-20261122T120000Z-uploads%2F42%2Flive.gz"),
        (
            LOOK._replace(step=-1, role=None, run=3, uploaded_at=None, key="uploads/a-b/é+/live.gz"),
            "look-bbde9a7ce98a793062e5dff6a2011a85-_1-_-3-_-uploads%2Fa-b%2F%C3%A9%2B%2Flive.gz",
        ),
        (TAKE_OVER, "take_over-0123456789abcdef0123456789abcdef-1-20261122T120000Z-ann:3"),
        (DELIVER, "deliver-0123456789abcdef0123456789abcdef-1-20261122T120000Z-ann:3"),
        (
            DELIVER._replace(verification=VERIFICATION._replace(path="a-b/%C3%A9"), attempt=10),
            "deliver-0123456789abcdef0123456789abcdef-10-20261122T120000Z-a-b:%C3%A9",
        ),
        (TAKE_OVER._replace(since=None), "take_over-0123456789abcdef0123456789abcdef-1"),
        (DELIVER._replace(since=None), "deliver-0123456789abcdef0123456789abcdef-1"),
        (WALK, "reconcile-3d8d290a44b61c72b240f64208a90c62"),
        (WALK._replace(since=NOON), "reconcile-c2573a9997b81db93583aaa5c64ea633"),
    ],
)
def test_a_purpose_never_changes_between_releases(task: Task, expected: str) -> None:
    """Or what one release put on the agenda, the next would not take off. Digests computed with sha256sum."""
    assert purpose(task) == expected


def test_a_long_key_is_left_out_of_a_name() -> None:
    """COS takes keys of 850 bytes; the longest state prefix and bucket leave room for the longest name."""
    longest = LOOK._replace(key="uploads/" + "é" * 400)
    assert purpose(longest).endswith("-20261122T120000Z-_")
    for task in (LOOK._replace(key="u/" + "x" * 396), TAKE_OVER, DELIVER):
        if not isinstance(task, Look):
            task = task._replace(verification=VERIFICATION._replace(path="p" * 400))
        name = Entry(NOON, task._replace(failures=1000)).name
        assert len("s" * 100 + "b" * 64 + "/agenda/" + name) <= 850


@pytest.mark.parametrize("task", [LOOK, TAKE_OVER, DELIVER, WALK])
def test_how_often_the_work_has_failed_is_no_part_of_a_name(task: Task) -> None:
    """Or what fails in two ways would stand there twice, and each of these would leave two more."""
    assert Entry(NOON, task._replace(failures=3)).name == Entry(NOON, task).name


@pytest.mark.parametrize(
    ("task", "kind"),
    [(LOOK, "look"), (TAKE_OVER, "take_over"), (DELIVER, "deliver"), (WALK, "reconcile")],
)
def test_each_kind_has_its_name(task: Task, kind: str) -> None:
    """It stands in keys and in JSON, so it stays."""
    assert kind_of(task) == kind


@pytest.mark.parametrize(
    ("task", "delivers", "verification"),
    [
        (LOOK, False, None),
        (TAKE_OVER, False, VERIFICATION.id),
        (DELIVER, True, VERIFICATION.id),
        (WALK, False, None),
    ],
)
@pytest.mark.parametrize("prefix", ["", "livepair/agenda/"])
def test_a_name_tells_what_a_sweep_sorts_by(
    task: Task, delivers: bool, verification: str | None, prefix: str
) -> None:
    """By the keys alone, before anything is read."""
    name = prefix + Entry(NOON, task).name
    assert is_delivery(name) is delivers
    assert verification_in(name) == verification


@pytest.mark.parametrize(
    ("name", "minute"),
    [
        ("20261122T1200Z/look-0", NOON),
        ("20261122T1200Z/a/b", NOON),
        ("20261122T1200Z", NOON),
        ("soon/look-0", None),
        ("20261122T1260Z/look-0", None),
        ("", None),
    ],
)
def test_a_name_tells_its_minute(name: str, minute: datetime | None) -> None:
    """None where it is no such name."""
    assert minute_of(name) == minute


# --- which entries there are --------------------------------------------------------------------------


@pytest.mark.parametrize("task", [LOOK, TAKE_OVER, DELIVER, WALK])
def test_what_has_failed_comes_back_as_it_is_and_later_each_time(task: Task) -> None:
    """With how often it has failed; that is no part of what it is for."""
    first = after_one_more_failure(task, NOON)
    assert first == Entry(NOON + MINUTE, task._replace(failures=1))
    second = after_one_more_failure(first.task, NOON)
    assert second == Entry(NOON + 2 * MINUTE, task._replace(failures=2))
    assert purpose(second.task) == purpose(task)


def test_a_later_look_is_of_the_same_pair_and_counted_from_the_upload() -> None:
    """Whoever asks derives the same entry."""
    look = Look(BUCKET, LIVE.key, "live", run=3, failures=5)
    later = look_after(look, NOON, Step(2, NOON + MINUTE))
    assert later == Entry(NOON + MINUTE, Look(BUCKET, LIVE.key, "live", NOON, 2, 3))
    assert later.task.failures == 0


def test_a_look_at_the_next_sweep_stands_beside_those_that_are_counted() -> None:
    """It is no step of theirs, so it never takes the place of one."""
    assert look_at_next_sweep(LOOK, NOON) == Entry(NOON + MINUTE, LOOK._replace(step=AT_NEXT_SWEEP))
    assert AT_NEXT_SWEEP == -1


def test_all_looks_are_those_that_either_upload_can_have_left() -> None:
    """At each step of both; what is not there left none."""
    image = Look(BUCKET, IMAGE.key, "image", IMAGE.uploaded_at)
    live = Look(BUCKET, LIVE.key, "live", LIVE.uploaded_at)
    every = [
        Entry(look.uploaded_at + timedelta(seconds=seconds), look._replace(step=step))
        for look in (live, image)
        for step, seconds in enumerate((60, 90))
        if look.uploaded_at
    ]
    assert list(all_looks(SEEN, 90)) == every
    assert list(all_looks(SEEN._replace(live=None), 90)) == every[2:]
    assert list(all_looks(SEEN._replace(image=None), 90)) == every[:2]


def test_coming_back_to_a_claim_names_the_live_package() -> None:
    """Where one image serves many, only that says which pair is meant."""
    assert take_over(SEEN, VERIFICATION, 4) == TakeOver(BUCKET, LIVE.key, VERIFICATION, 4, since=SEEN.newest)


def test_a_claim_is_come_back_to_when_its_lease_is_over_for_all_clocks() -> None:
    """With the margin by which clocks may differ."""
    assert at_lease_end(TAKE_OVER, NOON) == Entry(NOON + 5 * SECOND, TAKE_OVER)


def test_a_delivery_names_its_record() -> None:
    """Enough to find it, whatever has become of the uploads."""
    decided_at = record().decided_at
    assert delivery(record(), 3) == Deliver(BUCKET, LIVE.key, VERIFICATION, 3, since=decided_at)
