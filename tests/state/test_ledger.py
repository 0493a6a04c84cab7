"""Claims, records and the agenda in a bucket: who wins, what is due, and what is certain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.edges.bucket import Unavailable
from handler.rules.agenda import Deliver, Entry, Look, TakeOver, Task, Walk
from handler.rules.claiming import Standing
from handler.rules.schedule import CLOCK_MARGIN, READ_BACK, SETTLE, SETTLE_VERSIONED
from handler.rules.uploads import Stored
from handler.state import codec
from handler.state.ledger import Ledger
from handler.state.objects import CorruptState, Memory, new_nonce
from tests.support.shelf import PAGE, Shelf, a_ledger, sealed
from tests.support.values import (
    BUCKET,
    HOUR,
    IMAGE,
    LIVE,
    MINUTE,
    MOMENT,
    NOON,
    SECOND,
    VERIFICATION,
    claim,
    message,
    record,
)

LOOK = Look(BUCKET, "uploads/42/live.gz", "live", NOON, 1)
TAKE_OVER = TakeOver(BUCKET, "uploads/42/live.gz", VERIFICATION, 2)
DELIVER = Deliver(BUCKET, "uploads/42/live.gz", VERIFICATION._replace(id="f" * 32), 3)

MINE, OTHER = claim(), claim(nonce="other", request_id="other request")
RECORD = sealed(record())
FIRST = sealed(record(nonce="other", body=message(RECORD, first=1)))


def trusting() -> Memory:
    """What an instance remembers of a bucket that honours create-only PUTs."""
    memory = Memory()
    memory.honours_create = True
    return memory


# --- the agenda ---------------------------------------------------------------------------------------


def test_putting_a_task_on_twice_is_one_entry() -> None:
    """Its key tells its minute and its purpose."""
    book, shelf, _ = a_ledger()
    entry = Entry(NOON, LOOK)
    key = book.put_on(entry)
    assert key == book.put_on(entry) == book.agenda_key(entry) == f"livepair/agenda/{entry.name}"
    assert list(shelf.objects) == [key]
    assert book.task(key) == LOOK
    assert book.minute_of(key) == NOON
    assert book.minute_of("livepair/records/x") is None


times = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc))


@given(st.lists(times, max_size=8), times)
def test_a_sweep_finds_what_is_due_oldest_first_and_nothing_else(ats: list[datetime], now: datetime) -> None:
    """An entry is found by the first sweep of the minute it stands in, never before."""
    book, _, _ = a_ledger()
    entries = [Entry(at, LOOK._replace(step=step)) for step, at in enumerate(ats)]
    for entry in entries:
        book.put_on(entry)
    due = book.due(now, 1000)
    assert due == sorted(due)
    minute = now.replace(second=0, microsecond=0)
    assert set(due) == {book.agenda_key(entry) for entry in entries if entry.at <= minute}


@pytest.mark.parametrize("most", [5000, PAGE + 1, PAGE, 1])
def test_a_long_agenda_is_listed_in_pages_until_there_is_enough(most: int) -> None:
    """A page holds a thousand."""
    book, _, _ = a_ledger()
    keys = [book.put_on(Entry(NOON, LOOK._replace(step=step))) for step in range(PAGE + 5)]
    assert book.due(NOON, most) == sorted(keys)[:most]


@pytest.mark.parametrize("crowd", [LOOK, DELIVER])
def test_no_crowd_of_deliveries_hides_a_pair_nor_the_other_way_round(crowd: Look | Deliver) -> None:
    """What is due later, behind more than are wanted of the other kind, is found as well."""
    book, _, _ = a_ledger()
    for number in range(PAGE + 5):
        task = crowd._replace(key=str(number)) if isinstance(crowd, Look) else crowd._replace(attempt=number)
        book.put_on(Entry(NOON - MINUTE, task))
    late = book.put_on(Entry(NOON, DELIVER if crowd is LOOK else LOOK))
    due = book.due(NOON, 10)
    assert len(due) == 11
    assert due[-1] == late


def test_due_in_another_zone_is_due_at_the_same_moment() -> None:
    """An agenda has one clock."""
    book, _, _ = a_ledger()
    key = book.put_on(Entry(NOON, LOOK))
    there = timezone(timedelta(hours=8))
    assert book.due(NOON.astimezone(there), 1000) == [key]
    assert book.due((NOON - MINUTE).astimezone(there), 1000) == []


def test_what_is_taken_off_is_gone_and_nothing_else() -> None:
    """Taking off what is not there is no fault."""
    book, shelf, _ = a_ledger()
    one, other = book.put_on(Entry(NOON, LOOK)), book.put_on(Entry(NOON, TAKE_OVER))
    book.take_off([one, one, "livepair/agenda/never"])
    book.take_off([])
    assert list(shelf.objects) == [other]


def test_the_agenda_tells_which_verifications_it_comes_back_to() -> None:
    """By its keys alone; looks and walks name none."""
    book, shelf, _ = a_ledger()
    tasks: list[Task] = [LOOK, TAKE_OVER, DELIVER, Walk(BUCKET)]
    for at, task in enumerate(tasks):
        book.put_on(Entry(NOON + at * HOUR, task))
    shelf.reads.clear()
    assert book.pending() == {VERIFICATION.id, "f" * 32}
    assert shelf.reads == []


def test_the_last_walk_is_remembered() -> None:
    """None before the first."""
    book, _, _ = a_ledger()
    assert book.last_walk() is None
    book.walked(NOON)
    assert book.last_walk() == NOON


def test_a_walk_that_is_still_to_come_is_not_believed() -> None:
    """Whoever wrote that note could keep walks from finding lost uploads. Clocks may differ a little."""
    book, _, _ = a_ledger()
    book.walked(NOON + CLOCK_MARGIN)
    assert book.last_walk() == NOON + CLOCK_MARGIN
    book.walked(NOON + CLOCK_MARGIN + timedelta(milliseconds=1))
    with pytest.raises(CorruptState, match="future"):
        book.last_walk()


def test_marks_are_forgotten_that_were_made_before() -> None:
    """A walk renews those that are still needed; nothing else goes."""
    book, shelf, _ = a_ledger()
    for image in ("faces/ann.jpg", "faces/bob.jpg"):
        book.mark_waiting(image, "ann/1", LOOK)
    key = book.put_on(Entry(NOON, LOOK))
    book.forget_marks(NOON)  # when the shelf's objects were made
    assert len(shelf.objects) == 3
    book.forget_marks(NOON + MOMENT)
    assert list(shelf.objects) == [key]


def test_live_packages_that_wait_for_an_image_are_found_by_it() -> None:
    """Those that wait for another image are not."""
    book, _, _ = a_ledger()
    for image, path in (("faces/ann.jpg", "ann/1"), ("faces/ann.jpg", "ann/2"), ("faces/bob.jpg", "bob/1")):
        book.mark_waiting(image, path, LOOK)
    assert book.marks("faces/ann.jpg") == [
        book.mark_key("faces/ann.jpg", path) for path in ("ann/1", "ann/2")
    ]
    assert book.task(book.marks("faces/bob.jpg")[0]) == LOOK
    assert "ann" not in book.mark_key("faces/ann.jpg")


# --- records: the first one counts ----------------------------------------------------------------------


def test_the_first_record_is_the_one_that_counts() -> None:
    """Whoever comes later is given that one."""
    for memory in (Memory(), trusting()):
        book, _, _ = a_ledger(memory)
        assert book.record_once(FIRST, claimed=True) is FIRST
        for claimed in (True, False):
            assert book.record_once(RECORD, claimed=claimed) == FIRST


def test_of_two_writers_without_a_claim_both_tell_what_is_stored() -> None:
    """Both may have been told that they created the record: each reads it back once both writes are over."""
    book, shelf, clock = a_ledger(trusting())
    shelf.after_write = lambda key: shelf.objects.__setitem__(key, codec.dump_record(FIRST))
    assert book.record_once(RECORD, claimed=False) == FIRST
    assert clock.waited == SETTLE


def test_with_the_claim_in_hand_a_record_is_not_read_back() -> None:
    """Nobody else may decide, so two requests are saved."""
    book, shelf, clock = a_ledger(trusting())
    assert book.record_once(RECORD, claimed=True) is RECORD
    assert (shelf.reads, clock.waited) == ([], 0)


@pytest.mark.parametrize("claimed", [True, False])
def test_a_record_whose_answer_was_lost_is_read_back(claimed: bool) -> None:
    """It is there all the same, and it is told."""
    book, shelf, _ = a_ledger(trusting())
    shelf.answer_lost = True
    assert book.record_once(RECORD, claimed=claimed) is RECORD


def test_a_record_that_is_not_certain_is_not_told() -> None:
    """Whether it was never stored, or is gone again."""
    book, shelf, _ = a_ledger(trusting())
    shelf.after_write = lambda key: shelf.objects.clear()
    with pytest.raises(Unavailable, match="the record is not there"):
        book.record_once(RECORD, claimed=False)


def test_where_versions_are_kept_a_record_is_looked_for_before_one_is_written() -> None:
    """Every writer succeeds there, and the later one would be shown."""
    book, shelf, _ = a_ledger()
    shelf.versioned = True
    book.mark(FIRST)
    assert book.record_once(RECORD, claimed=True) == FIRST
    assert book.record(VERIFICATION) == FIRST


def test_a_record_is_marked_and_found_among_its_pairs() -> None:
    """What became of its delivery replaces what stood there."""
    book, _, _ = a_ledger()
    book.mark(RECORD)
    marked = RECORD._replace(delivered_at=NOON, attempts=3, deleted=True)
    book.mark(marked)
    assert book.record(VERIFICATION) == marked
    assert book.records("ann/3") == [marked]
    assert book.records("ann") == [marked]
    assert book.records("ann/33") == []


def test_what_belongs_to_a_verification_lies_under_its_pair() -> None:
    """Operators find it by hand."""
    book, shelf, _ = a_ledger()
    book.bury(record(dead_at=NOON), "answered 500")
    frame = book.keep_frame(VERIFICATION, b"jpeg", 3)
    book.give_back(MINE)
    name = f"ann/3/{VERIFICATION.id}"
    assert sorted(shelf.objects) == sorted(
        [f"livepair/dead/{name}", f"livepair/best-frames/{name}.jpg", f"livepair/claims/{name}/1"]
    )
    assert shelf.objects[frame] == b"jpeg"
    assert json.loads(shelf.objects[f"livepair/dead/{name}"])["error"] == "answered 500"


# --- claims: one winner ---------------------------------------------------------------------------------


def test_a_claim_counts_once_it_has_been_read_back() -> None:
    """After the settle; what is to be done meanwhile is done."""
    book, shelf, clock = a_ledger(trusting())
    done: list[int] = []
    standing = book.take_claim(MINE, [lambda: done.append(1), lambda: done.append(2)])
    assert standing.claim is MINE
    assert sorted(done) == [1, 2]
    assert clock.waited == pytest.approx(SETTLE)
    assert shelf.reads == [book.claim_key(VERIFICATION, 1)]


def test_of_two_who_both_created_a_claim_the_one_that_is_stored_has_it() -> None:
    """The other is given that one."""
    book, shelf, _ = a_ledger(trusting())
    shelf.after_write = lambda key: shelf.objects.__setitem__(key, codec.dump_claim(OTHER))
    assert book.take_claim(MINE, []) == Standing(claim=OTHER)


def test_who_finds_a_claim_does_nothing_meanwhile() -> None:
    """Nothing is put on the agenda for a claim that is another's."""
    book, _, clock = a_ledger(trusting())
    book.give_back(OTHER)
    done: list[int] = []
    assert book.take_claim(MINE, [lambda: done.append(1)]) == Standing(claim=OTHER)
    assert (done, clock.waited) == ([], 0)


def test_who_finds_a_claim_is_given_the_record_where_there_is_one() -> None:
    """It came after the claim."""
    book, shelf, _ = a_ledger(trusting())
    book.give_back(OTHER)
    book.mark(RECORD)
    assert book.take_claim(MINE, []) == Standing(RECORD)
    # Also where both were told that they created the claim.
    del shelf.objects[book.claim_key(VERIFICATION, 1)]
    shelf.after_write = lambda key: shelf.objects.__setitem__(key, codec.dump_claim(OTHER))
    assert book.take_claim(MINE, []) == Standing(RECORD)


def test_a_claim_whose_answer_was_lost_is_its_writers() -> None:
    """Whether the answer never came, or the write was repeated and found itself."""
    book, shelf, _ = a_ledger(trusting())
    shelf.answer_lost = True
    assert book.take_claim(MINE, []).claim is MINE
    assert book.take_claim(MINE, []).claim is MINE


def test_a_claim_that_is_shown_late_is_looked_for_again() -> None:
    """For three seconds; then nothing is certain."""
    book, shelf, clock = a_ledger(trusting())
    shelf.after_write = lambda key: shelf.objects.clear()
    with pytest.raises(Unavailable, match="the claim is not there"):
        book.take_claim(MINE, [])
    assert clock.waited == pytest.approx(SETTLE + sum(READ_BACK))
    assert len(shelf.reads) == len(READ_BACK) + 1


def test_a_claim_that_comes_and_goes_is_not_certain() -> None:
    """Its write said that one stands there, and none does."""

    class Moody(Shelf):
        def read(self, key: str) -> bytes | None:
            return None

    book, _, _ = a_ledger(trusting())
    book.objects.bucket = book.bucket = Moody()
    book.give_back(OTHER)
    with pytest.raises(Unavailable, match="comes and goes"):
        book.take_claim(MINE, [])


def test_where_versions_may_be_kept_the_record_is_read_after_the_claim() -> None:
    """Every writer wins there: whose claim was written over may have decided since."""
    book, shelf, clock = a_ledger()
    shelf.versioned = True
    book.mark(RECORD)
    assert book.take_claim(MINE, []) == Standing(RECORD)
    assert clock.waited == pytest.approx(SETTLE_VERSIONED)
    del shelf.objects[book.record_key(VERIFICATION)]
    assert book.take_claim(MINE, []).claim is MINE


def test_the_claims_of_a_pair_are_its_own() -> None:
    """Each as often as it was claimed; none of a pair whose path goes on, nor what is no claim."""
    book, shelf, _ = a_ledger(trusting())
    for n in (1, 2):
        book.give_back(MINE._replace(n=n))
    path = f"livepair/claims/{VERIFICATION.path}"
    for key in (f"{path}/deeper/{'a' * 32}/1", f"{path}{'b' * 32}/1", f"{path}/{'c' * 32}/x", f"{path}/1"):
        shelf.objects[key] = b"{}"
    assert list(book.claimed(VERIFICATION.path)) == [VERIFICATION.id] * 2


def test_a_claims_key_says_which_it_is() -> None:
    """What it says of itself does not count."""
    book, shelf, _ = a_ledger()
    book.give_back(MINE)
    shelf.objects[book.claim_key(VERIFICATION, 2)] = shelf.objects[book.claim_key(VERIFICATION, 1)]
    assert book.claim(VERIFICATION, 2) == MINE._replace(n=2)


# --- what is settled ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "settled"),
    [
        (LIVE, True),
        (LIVE._replace(uploaded_at=LIVE.uploaded_at - SECOND), True),
        (LIVE._replace(uploaded_at=LIVE.uploaded_at + SECOND), False),
        (LIVE._replace(key="uploads/42/other.gz"), True),
        (LIVE._replace(md5="c" * 32), False),
        (LIVE._replace(md5=None), False),
        (IMAGE, False),
    ],
)
def test_an_upload_is_settled_by_its_bytes_until_they_come_again(stored: Stored, settled: bool) -> None:
    """The same bytes uploaded later wait for a partner of their own."""
    book, _, _ = a_ledger()
    assert not book.is_settled("42", stored)
    book.note_settled("42", LIVE)
    assert book.is_settled("42", stored) is settled
    assert not book.is_settled("43", stored)


def test_what_is_settled_stands_under_its_pair() -> None:
    """One LIST shows all that is known about a pair. Its bytes are named by a digest."""
    book, shelf, _ = a_ledger()
    book.note_settled("ann/3", LIVE._replace(md5=None))
    (key,) = shelf.objects
    assert re.fullmatch("livepair/settled/ann/3/[0-9a-f]{32}", key)
    assert key == book.settled_key("ann/3", LIVE._replace(md5=None))
    assert key != book.settled_key("ann/3", LIVE)


# --- versions -------------------------------------------------------------------------------------------


def test_a_bucket_is_trusted_once_it_has_refused_a_second_creation() -> None:
    """And never again once it has answered with a version: what was written then is still there."""
    book, shelf, _ = a_ledger()
    assert (book.knows_bucket, book.trusts_create, book.settle) == (False, False, SETTLE_VERSIONED)
    book.learn()
    assert (book.knows_bucket, book.trusts_create, book.settle) == (True, True, SETTLE)
    shelf.versioned = True
    book.walked(NOON)
    shelf.versioned = False
    book.walked(NOON)
    assert (book.trusts_create, book.settle) == (False, SETTLE_VERSIONED)


def test_a_bucket_that_ignores_create_only_and_says_nothing_is_found_out() -> None:
    """Its versioning is suspended."""
    book, shelf, _ = a_ledger()
    shelf.suspended = True
    book.learn()
    assert (book.knows_bucket, book.trusts_create) == (True, False)


def test_a_bucket_that_does_not_answer_is_asked_again() -> None:
    """It is not trusted meanwhile."""
    book, shelf, _ = a_ledger()
    shelf.answer_lost = True
    book.learn()
    assert (book.knows_bucket, book.trusts_create) == (False, False)
    book.learn()
    assert (book.knows_bucket, book.trusts_create) == (True, True)


def test_a_bucket_is_asked_with_an_object_under_the_prefix() -> None:
    """Nothing else of the bucket is touched."""
    book, shelf, _ = a_ledger()
    book.learn()
    assert list(shelf.objects) == ["livepair/create-only"]


# --- what cannot be read --------------------------------------------------------------------------------

READS: list[tuple[str, Callable[[Ledger], object]]] = [
    ("livepair/agenda/20261122T1200Z/0", lambda book: book.task("livepair/agenda/20261122T1200Z/0")),
    (f"livepair/claims/ann/3/{VERIFICATION.id}/1", lambda book: book.claim(VERIFICATION, 1)),
    (f"livepair/records/ann/3/{VERIFICATION.id}.json", lambda book: book.record(VERIFICATION)),
    (f"livepair/records/ann/3/{VERIFICATION.id}.json", lambda book: book.records("ann/3")),
    ("livepair/reconciled.json", lambda book: book.last_walk()),
    (a_ledger()[0].settled_key("42", LIVE), lambda book: book.is_settled("42", LIVE)),
]


@pytest.mark.parametrize(("key", "read"), READS)
def test_what_cannot_be_read_is_named(key: str, read: Callable[[Ledger], object]) -> None:
    """The error names the object and what to do about it, and nothing else is raised."""
    book, shelf, _ = a_ledger()
    shelf.objects[key] = b"{"
    with pytest.raises(CorruptState, match=re.escape(key)) as caught:
        read(book)
    assert caught.value.key == key
    assert "look at it, then delete it" in str(caught.value)


def test_nothing_stored_is_none() -> None:
    """What is not there is no fault."""
    book, _, _ = a_ledger()
    key = "livepair/agenda/20261122T1200Z/0"
    assert (book.task(key), book.claim(VERIFICATION, 1), book.record(VERIFICATION)) == (None,) * 3
    assert (book.records("ann/3"), book.due(NOON, 1000), book.marks("faces/ann.jpg")) == ([], [], [])


def test_a_nonce_is_its_writers_alone() -> None:
    """That is how a writer knows its own."""
    assert len({new_nonce() for _ in range(1000)}) == 1000
