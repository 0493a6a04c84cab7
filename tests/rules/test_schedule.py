"""When things are done again: deliveries, agenda entries; and that what is written down is read back."""

import json
import re
from collections.abc import Callable, Generator, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.clock import SystemClock, together
from handler.edges.bucket import Exists
from handler.edges.webhook import _retry_after
from handler.rules.agenda import Entry, Task
from handler.rules.claiming import Claim
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.rules.schedule import SCHEDULE, SPREAD, next_attempt
from handler.rules.uploads import Stored
from handler.state.ledger import Ledger
from handler.state.objects import CorruptState, Memory

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

# --- deliveries -----------------------------------------------------------------------------------

WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
"""What Standard Webhooks recommends between attempts, and README promises."""


@pytest.mark.parametrize(("attempt", "wait"), list(enumerate(WAITS, 1)))
def test_each_failed_attempt_is_followed_after_its_wait(attempt: int, wait: timedelta) -> None:
    """Within 10 % of the documented wait, the middle of the draw meeting it."""
    assert next_attempt(attempt, NOON, NOON, None, 0.5) == NOON + wait
    earliest = next_attempt(attempt, NOON, NOON, None, 0.0)
    latest = next_attempt(attempt, NOON, NOON, None, 1.0)
    assert earliest is not None
    assert latest is not None
    assert abs(earliest - (NOON + 0.9 * wait)) < timedelta(milliseconds=1)
    assert abs(latest - (NOON + 1.1 * wait)) < timedelta(milliseconds=1)


DAYS = 0.9 * sum(WAITS, timedelta(0))
"""The shortest time that the whole schedule can take."""


@pytest.mark.parametrize("retry_after", [None, SECOND, HOUR])
@pytest.mark.parametrize("attempt", [10, 11, 1000])
@pytest.mark.parametrize("late", [timedelta(0), SECOND, 1000 * HOUR])
def test_after_ten_attempts_and_all_the_days_a_delivery_is_given_up(
    attempt: int, retry_after: timedelta | None, late: timedelta
) -> None:
    """Whatever the consumer asks for: nothing is posted for ever."""
    assert next_attempt(attempt, NOON, NOON + DAYS + late, retry_after, 0.5) is None


@pytest.mark.parametrize("since", [timedelta(0), HOUR, DAYS - timedelta(microseconds=1), -HOUR])
@pytest.mark.parametrize("attempt", [10, 11, 1000])
def test_attempts_alone_give_nothing_up(attempt: int, since: timedelta) -> None:
    """Who asks for early attempts has the schedule's days all the same; the last wait is repeated then."""
    now = NOON + since
    assert next_attempt(attempt, NOON, now, None, 0.5) == now + WAITS[-1]
    assert next_attempt(attempt, NOON, now, MINUTE, 0.5) == now + MINUTE


@pytest.mark.parametrize("attempt", range(1, 10))
def test_days_alone_give_nothing_up(attempt: int) -> None:
    """A message that is old, since the function stood still, is tried ten times too."""
    now = NOON + 1000 * HOUR
    assert next_attempt(attempt, NOON, now, None, 0.5) == now + WAITS[attempt - 1]
    assert next_attempt(attempt, NOON, now, MINUTE, 0.5) == now + MINUTE


@pytest.mark.parametrize("attempt", [0, -1, -9])
def test_attempts_are_counted_from_one(attempt: int) -> None:
    """Another number is a fault of ours, never the wait from the list's other end."""
    with pytest.raises(ValueError, match="counted from 1"):
        next_attempt(attempt, NOON, NOON, None, 0.5)
    with pytest.raises(ValueError, match="counted from 1"):
        next_attempt(attempt, NOON, NOON + 1000 * HOUR, SECOND, 0.5)


def life(asked: Callable[[int], timedelta | None], draw: Callable[[int], float]) -> list[datetime]:
    """The times at which a message is posted to a consumer who never takes it."""
    posts: list[datetime] = []
    at: datetime | None = NOON
    while at is not None:
        posts.append(at)
        at = next_attempt(len(posts), NOON, at, asked(len(posts)), draw(len(posts)))
    return posts


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_a_consumer_who_asks_for_nothing_gets_ten_attempts(draws: list[float]) -> None:
    """However the waits are drawn: never nine, never an eleventh."""
    posts = life(lambda attempt: None, lambda attempt: draws[attempt - 1])
    assert len(posts) == 10
    assert DAYS <= posts[-1] - NOON <= 1.1 * sum(WAITS, timedelta(0)) + SECOND


@given(
    st.dictionaries(st.integers(1, 30), st.timedeltas(timedelta(0), 2 * HOUR), max_size=15), st.floats(0, 1)
)
def test_no_consumer_is_given_up_before_the_days_are_over(asked: dict[int, timedelta], drawn: float) -> None:
    """Nor after: ten attempts at the least, and beyond these only one when the days are over."""
    posts = life(asked.get, lambda attempt: drawn)
    assert len(posts) >= 10
    assert posts == sorted(posts)
    assert posts[-1] - NOON >= DAYS
    assert len(posts) == 10 or posts[-2] - NOON < DAYS


def test_the_schedule_is_the_documented_one() -> None:
    """Nine waits, ten attempts, a little over three days; each wait is longer than the one before."""
    assert list(SCHEDULE) == WAITS
    assert sorted(SCHEDULE) == list(SCHEDULE)
    assert SPREAD == 0.1


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (timedelta(seconds=30), timedelta(seconds=30)),
        (SECOND, SECOND),
        (HOUR, HOUR),
        (timedelta(0), SECOND),
        (timedelta(seconds=-5), SECOND),
        (timedelta(days=-9000), SECOND),
        (timedelta(hours=1, seconds=1), HOUR),
        (timedelta(days=9000), HOUR),
        (timedelta.max, HOUR),
        (timedelta.min, SECOND),
    ],
)
@pytest.mark.parametrize("attempt", [1, 5, 9, 10, 1000])
def test_a_consumer_may_name_the_wait_between_a_second_and_an_hour(
    attempt: int, asked: timedelta, given: timedelta
) -> None:
    """Within these bounds its Retry-After stands in place of the schedule, to the second."""
    assert next_attempt(attempt, NOON, NOON, asked, 0.7) == NOON + given


@given(
    st.integers(1, 30),
    st.timedeltas(-HOUR, timedelta(days=9)),
    st.none() | st.timedeltas(),
    st.floats(0, 1),
)
def test_the_next_attempt_is_always_later_and_within_a_day(
    attempt: int, age: timedelta, asked: timedelta | None, draw: float
) -> None:
    """No answer of a consumer's brings it forward to now or puts it off beyond the longest wait."""
    at = next_attempt(attempt, NOON - age, NOON, asked, draw)
    assert (at is None) == (attempt > 9 and age >= DAYS)
    assert at is None or SECOND <= at - NOON <= 1.1 * 24 * HOUR + SECOND


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("120", timedelta(seconds=120)),
        (" 120 ", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("999999999", timedelta(seconds=999_999_999)),
        ("Sun, 22 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 20:00:30 +0800", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Sun Nov 22 12:00:30 2026", timedelta(seconds=30)),
        ("Sunday, 22-Nov-26 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 11:59:30 GMT", timedelta(seconds=-30)),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("9999999999", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    """In each of HTTP's three spellings of a date; anything else is as if nothing had been asked."""
    assert _retry_after(header, NOON) == wait


HEADER = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40) | st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "", "x"]),
    st.integers(-1, 99),
    st.sampled_from(["Nov", "Foo"]),
    st.integers(0, 99_999),
    *(st.integers(0, 99) for _ in range(3)),
    st.sampled_from(["GMT", "+0800", "+9999", "-0000", "", "x"]),
)


@given(HEADER)
def test_any_retry_after_of_usual_length_is_a_wait_or_none(header: str) -> None:
    """What a consumer writes there never raises."""
    found = _retry_after(header, NOON)
    assert found is None or isinstance(found, timedelta)


@pytest.mark.parametrize(
    "header",
    [
        "Sun, 22 Nov 99999999999999999999 12:00:00 GMT",
        "Sun, 22 Nov 2026 99999999999999999999:00:00 GMT",
        "Sun, 22 Nov 2026 12:00:00 +99999999999999999999",
    ],
)
def test_a_retry_after_beyond_all_calendars_is_none(header: str) -> None:
    """What a consumer does never raises: it could stop the deliveries to all others."""
    assert _retry_after(header, NOON) is None


# --- the agenda -----------------------------------------------------------------------------------

WHICH = Verification("0123456789abcdef0123456789abcdef", 2, "ann/3")
LOOK = Task("look", "faces-1250000000", "uploads/42/live.gz", "live", NOON, 1)
TAKE_OVER = Task("take_over", "faces-1250000000", "uploads/42/live.gz", "live", verification=WHICH, n=1)
DELIVER = TAKE_OVER._replace(kind="deliver", n=0, attempt=1)
RECONCILE = Task("reconcile", "faces-1250000000")


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
    assert Entry(at, LOOK).minute == minute


times = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc))


@given(times, times)
def test_entries_sort_by_time_and_wait_less_than_a_minute(one: datetime, other: datetime) -> None:
    """The key's order is the order of time; no entry is early, and none a whole minute late."""
    minute = Entry(one, LOOK).minute
    begins = datetime.strptime(minute, "%Y%m%dT%H%MZ").replace(tzinfo=timezone.utc)
    assert timedelta(0) <= begins - one < MINUTE
    assert one > other or minute <= Entry(other, LOOK).minute


@pytest.mark.parametrize("hours", [-12, -3.5, 0, 5.75, 8, 14])
def test_an_entry_of_another_zone_stands_in_the_utc_minute(hours: float) -> None:
    """An agenda has one clock, for what is put on it and for what is due."""
    there = timezone(timedelta(hours=hours))
    assert Entry(NOON.astimezone(there), LOOK).minute == "20261122T1200Z"
    book, _ = ledger()
    key = book.put_on(Entry(NOON, LOOK))
    assert book.due(NOON.astimezone(there), 1000) == [key]
    assert book.due((NOON - MINUTE).astimezone(there), 1000) == []


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
        (TAKE_OVER, TAKE_OVER._replace(verification=WHICH._replace(id="f" * 32))),
        (TAKE_OVER, DELIVER),
        (DELIVER, DELIVER._replace(attempt=2)),
        (DELIVER, DELIVER._replace(verification=WHICH._replace(id="f" * 32))),
        (RECONCILE, RECONCILE._replace(bucket="other-1")),
        (RECONCILE, LOOK),
    ],
)
def test_different_purposes_are_different_entries(left: Task, right: Task) -> None:
    """Taking one off the agenda can never take off another."""
    assert left.purpose != right.purpose


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (LOOK, LOOK._replace(verification=WHICH, n=3, attempt=4, since=NOON)),
        (LOOK, LOOK._replace(uploaded_at=NOON.astimezone(timezone(timedelta(hours=8))))),
        (
            TAKE_OVER,
            TAKE_OVER._replace(key="uploads/42/image.jpg", role="image", uploaded_at=NOON, step=3, run=2),
        ),
        (DELIVER, DELIVER._replace(key="", role=None, since=NOON)),
        (RECONCILE, RECONCILE._replace(key="uploads/7", uploaded_at=NOON, since=NOON)),
    ],
)
def test_the_same_purpose_is_the_same_entry(left: Task, right: Task) -> None:
    """What does not belong to the purpose does not count, so that writing it twice is one entry."""
    assert left.purpose == right.purpose


@pytest.mark.parametrize("task", [LOOK, TAKE_OVER, DELIVER, RECONCILE])
def test_a_purpose_says_nothing_about_a_person(task: Task) -> None:
    """What kind it is and 32 hex digits, the same on every machine."""
    assert re.fullmatch(task.kind + r"-[0-9a-f]{32}", task.purpose)
    assert task.purpose == task._replace().purpose


@pytest.mark.parametrize("task", [LOOK, TAKE_OVER, DELIVER, RECONCILE])
def test_a_key_tells_its_minute_and_whether_it_is_a_delivery(task: Task) -> None:
    """A sweep sorts its work by the keys alone, before it reads anything."""
    book, _ = ledger()
    key = book.agenda_key(Entry(NOON, task))
    assert book.minute_of(key) == NOON
    assert book.is_delivery(key) is (task.kind == "deliver")
    assert book.minute_of("livepair/agenda/soon/x") is None


# --- what is written down is read back ------------------------------------------------------------


class Shelf:
    """A bucket that is a dict: it never fails, never lies and keeps no versions."""

    name = "state-1250000000"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def head(self, key: str) -> Stored | None:
        data = self.objects.get(key)
        return None if data is None else Stored(key, "", None, len(data), NOON)

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def write(self, key: str, data: bytes, content_type: str = "", seconds: float | None = None) -> bool:
        self.objects[key] = data
        return False

    def create(self, key: str, data: bytes) -> bool:
        if key in self.objects:
            raise Exists("write", self.name, key, 409, "FileAlreadyExists")
        return self.write(key, data)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return [Stored(key, "", None, 0, NOON) for key in keys[:1000]], len(keys) > 1000

    def md5(self, stored: Stored) -> str:
        raise NotImplementedError

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        raise NotImplementedError

    def link(self, key: str, seconds: int) -> str:
        raise NotImplementedError


def ledger() -> tuple[Ledger, Shelf]:
    shelf = Shelf()
    return Ledger(shelf, "livepair/", SystemClock(), together, Memory()), shelf


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
counts = st.integers(0, 10**6)
moments = times.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
whiches = st.builds(Verification, words, counts, words)
maps = st.none() | st.dictionaries(words, words | counts | st.none(), max_size=3)

looks = st.builds(
    Task,
    st.sampled_from(["look", "reconcile"]),
    words,
    words,
    st.sampled_from(["live", "image", None]),
    st.none() | moments,
    st.integers(-1, 30),
    st.none() | counts,
    verification=st.none(),
    n=st.just(0),
    attempt=st.just(0),
    since=st.none() | moments,
)
tasks = looks | st.builds(
    Task,
    st.sampled_from(["take_over", "deliver"]),
    words,
    words,
    st.sampled_from(["live", "image"]),
    uploaded_at=st.none(),
    step=st.just(0),
    run=st.none(),
    verification=whiches,
    n=counts,
    attempt=counts,
    since=st.none(),
)
claims = st.builds(
    Claim,
    counts,
    words,
    words,
    moments,
    moments,
    counts,
    st.dictionaries(words, counts, max_size=3),
    st.none() | moments,
    st.none() | words,
)
records = st.builds(
    Record,
    whiches,
    words,
    words,
    words,
    words,
    st.none() | words,
    moments,
    moments,
    words,
    words,
    maps,
    maps,
    maps,
    maps,
    st.sampled_from([(), ("live",), ("image",), ("live", "image")]),
    st.none() | moments,
    st.none() | moments,
    counts,
    st.booleans(),
)


@given(tasks, times)
def test_a_task_is_read_back_as_it_was_put_on(task: Task, at: datetime) -> None:
    """Nothing is lost on the agenda, and its key begins with its minute."""
    book, _ = ledger()
    entry = Entry(at, task)
    key = book.put_on(entry)
    assert key == f"livepair/agenda/{entry.minute}/{task.purpose}"
    assert book.task(key) == task
    assert book.put_on(entry) == key


@given(whiches, claims)
def test_a_claim_is_read_back_as_it_was_written(which: Verification, claim: Claim) -> None:
    """Tries, calls and times survive, so that no instance starts counting again."""
    book, _ = ledger()
    book.give_back(which, claim)
    assert book.claim(which, claim.n) == claim


@given(records)
def test_a_record_is_read_back_as_it_was_created(record: Record) -> None:
    """The body above all: every attempt sends what was recorded, byte for byte."""
    book, _ = ledger()
    assert book.record_once(record) is record
    assert book.record(record.which) == record
    marked = record._replace(delivered_at=NOON, attempts=3, deleted=True)
    book.mark(marked)
    assert book.record_once(record) == marked


def test_times_are_kept_to_the_millisecond() -> None:
    """Finer parts are cut, never rounded up: a lease does not grow on its way."""
    book, _ = ledger()
    at = NOON + timedelta(microseconds=999_999)
    claim = Claim(1, "n", "r", at, at)
    book.give_back(WHICH, claim)
    found = book.claim(WHICH, 1)
    assert found is not None
    assert found.lease_until == NOON + timedelta(milliseconds=999)


@pytest.mark.parametrize(
    ("record", "settled"),
    [
        ({}, False),
        ({"delivered_at": NOON}, True),
        ({"dead_at": NOON}, True),
        ({"delete": ("live",)}, False),
        ({"delete": ("live",), "delivered_at": NOON}, False),
        ({"delete": ("live",), "delivered_at": NOON, "deleted": True}, True),
        ({"delete": ("live",), "dead_at": NOON}, True),
        ({"deleted": True}, False),
    ],
)
def test_a_record_is_settled_when_it_is_told_and_cleared_away(record: dict[str, Any], settled: bool) -> None:
    """Uploads are deleted once a message has arrived; with one that was given up they stay."""
    whole = Record(WHICH, "b-1", "l", "i", "matched", None, NOON, NOON, "{}", "n", **record)
    assert whole.settled is settled


@given(st.lists(times, max_size=8), times)
def test_a_sweep_finds_what_is_due_oldest_first_and_nothing_else(ats: list[datetime], now: datetime) -> None:
    """An entry is found by the first sweep of the minute it stands in, never before."""
    book, _ = ledger()
    entries = [Entry(at, LOOK._replace(step=step)) for step, at in enumerate(ats)]
    for entry in entries:
        book.put_on(entry)
    due = book.due(now, 1000)
    assert due == sorted(due)
    minute = now.replace(second=0, microsecond=0)
    assert set(due) == {book.agenda_key(entry) for entry in entries if entry.at <= minute}


# --- state that cannot be read --------------------------------------------------------------------

KEY = "livepair/agenda/20261122T1200Z/0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b'"look"',
        b"{}",
        b'{"version": 2}',
        b'{"version": "1"}',
        b'{"version": 1}',
        b'{"version": 1, "kind": "look"}',
    ],
)
def test_an_object_that_is_none_of_ours_is_corrupt_state(data: bytes) -> None:
    """Whatever lies there, the error names the object and what to do, and nothing else is raised."""
    book, shelf = ledger()
    shelf.objects[KEY] = data
    with pytest.raises(CorruptState, match=re.escape(KEY)) as caught:
        book.task(KEY)
    assert caught.value.key == KEY
    assert "look at it, then delete it" in str(caught.value)


WRITTEN: list[tuple[str, Callable[[Ledger], object], Callable[[Ledger], object]]] = [
    ("task", lambda book: book.put_on(Entry(NOON, TAKE_OVER)), lambda book: book.task(_only(book))),
    (
        "claim",
        lambda book: book.give_back(WHICH, Claim(1, "n", "r", NOON, NOON, retry_at=NOON)),
        lambda book: book.claim(WHICH, 1),
    ),
    (
        "record",
        lambda book: book.mark(
            Record(WHICH, "b-1", "l", "i", "matched", None, NOON, NOON, "{}", "n", delete=("live",))
        ),
        lambda book: book.record(WHICH),
    ),
]


def _only(book: Ledger) -> str:
    found, _ = book.bucket.list("livepair/")
    return found[0].key


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(("kind", "write", "read"), WRITTEN, ids=[kind for kind, *_ in WRITTEN])
@given(st.data())
def test_a_damaged_object_is_read_or_corrupt_state(
    kind: str, write: Callable[[Ledger], object], read: Callable[[Ledger], object], data: st.DataObject
) -> None:
    """Any field missing or replaced by anything: never an error that a sweep would not survive."""
    book, shelf = ledger()
    write(book)
    key = _only(book)
    found = json.loads(shelf.objects[key])
    name = data.draw(st.sampled_from(sorted(found)))
    if data.draw(st.booleans()):
        del found[name]
    else:
        found[name] = data.draw(json_value)
    shelf.objects[key] = json.dumps(found).encode()
    try:
        read(book)
    except CorruptState as error:
        assert error.key == key  # noqa: PT017 # reading it is as good


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("code", 7),
        ("code", ["Success"]),
        ("code", False),
        ("live", "uploads/42/live.gz"),
        ("live", []),
        ("image", 0),
        ("answer", "Success"),
        ("answer", [["code", "Success"]]),
        ("best_frame", True),
        ("delete", None),
        ("delete", "live"),
        ("delete", {"live": 1}),
        ("delete", ["frame"]),
        ("delete", ["live", None]),
        ("delete", [["live"]]),
        ("decided_at", None),
        ("uploaded_at", "2026-11-22T12:00:00"),
        ("delivered_at", 1_700_000_000),
        ("attempts", None),
        ("run", "x"),
    ],
)
def test_a_record_of_other_kinds_is_corrupt_state(name: str, to: object) -> None:
    """A damaged record is found when it is read, not in the middle of what is done with it."""
    book, shelf = ledger()
    book.mark(Record(WHICH, "b-1", "l", "i", "matched", None, NOON, NOON, "{}", "n", delete=("live",)))
    key = book.record_key(WHICH)
    found = json.loads(shelf.objects[key])
    assert name in found
    shelf.objects[key] = json.dumps({**found, name: to}).encode()
    for read in (lambda: book.record(WHICH), lambda: book.records(WHICH.path)):
        with pytest.raises(CorruptState, match=re.escape(key)):
            read()


@pytest.mark.parametrize("to", [7, [], {}, True])
def test_a_claim_with_a_code_of_another_kind_is_corrupt_state(to: object) -> None:
    """It is the API's own code or none."""
    book, shelf = ledger()
    book.give_back(WHICH, Claim(1, "n", "r", NOON, NOON, code="InternalError"))
    key = book.claim_key(WHICH, 1)
    shelf.objects[key] = json.dumps({**json.loads(shelf.objects[key]), "code": to}).encode()
    with pytest.raises(CorruptState, match=re.escape(key)):
        book.claim(WHICH, 1)


@pytest.mark.parametrize(
    ("name", "to"),
    [("attempts", "1e999"), ("run", "-Infinity"), ("decided_at", '"0001-01-01T00:00:00+14:00"')],
)
def test_numbers_and_times_out_of_range_are_corrupt_state(name: str, to: str) -> None:
    """JSON spells numbers that no integer holds, and ISO 8601 times that UTC has not."""
    book, shelf = ledger()
    book.mark(Record(WHICH, "b-1", "l", "i", "matched", None, NOON, NOON, "{}", "n"))
    key = book.record_key(WHICH)
    found = {**json.loads(shelf.objects[key]), name: "HERE"}
    shelf.objects[key] = json.dumps(found).replace('"HERE"', to).encode()
    with pytest.raises(CorruptState, match=re.escape(key)):
        book.record(WHICH)


def test_what_was_added_later_does_no_harm() -> None:
    """An older release reads what a newer one of the same version wrote."""
    book, shelf = ledger()
    key = book.put_on(Entry(NOON, LOOK))
    shelf.objects[key] = json.dumps({**json.loads(shelf.objects[key]), "new": 1}).encode()
    assert book.task(key) == LOOK


def test_nothing_stored_is_none() -> None:
    """What is not there is no fault."""
    book, _ = ledger()
    assert (book.task(KEY), book.claim(WHICH, 1), book.record(WHICH), book.last_walk()) == (None,) * 4
    assert book.records("ann/3") == []
    assert book.due(NOON, 1000) == []
