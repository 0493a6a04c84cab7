"""Every value of the state is read back as it was written, and nothing else is made of what lies there."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.agenda import Deliver, Look, TakeOver, Task, Walk
from handler.rules.claiming import Claim
from handler.rules.codes import NO_SIMILARITY
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.rules.schedule import TRIES
from handler.state import codec
from handler.state.codec import Unreadable
from tests.support.values import BUCKET, HOUR, MINUTE, NOON, VERIFICATION, claim, record

# --- there and back -----------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
counts = st.integers(0, 10**6)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
verifications = st.builds(Verification, words, counts, words)
maps = st.none() | st.dictionaries(words, words | counts | st.none(), max_size=3)
roles = st.sampled_from(["live", "image", None])

tasks: st.SearchStrategy[Task] = st.one_of(
    st.builds(
        Look, words, words, roles, st.none() | moments, st.integers(-1, 30), st.none() | counts, counts
    ),
    st.builds(TakeOver, words, words, verifications, counts, counts, st.none() | moments),
    st.builds(
        Deliver,
        *(words, words, verifications, counts, counts, st.none() | moments),
        last=st.none() | st.tuples(counts, moments, words),
    ),
    st.builds(Walk, words, words, st.none() | moments, st.none() | moments, counts),
)
claims = st.builds(
    Claim,
    verifications,
    counts,
    words,
    words,
    moments,
    moments,
    counts,
    st.dictionaries(st.sampled_from(sorted(TRIES)), counts, max_size=3),
    counts,
    st.none() | moments,
    st.none() | words,
)
records = st.builds(
    Record,
    verifications,
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
    st.none() | moments,
    counts,
    st.booleans(),
    st.none(),
)


def load_record(data: bytes) -> Record:
    """A record whose seal holds."""
    return codec.load_record(data, lambda text, seal: seal == "seal")


@given(tasks)
def test_a_task_is_read_back_as_it_was_put_on(task: Task) -> None:
    """Of every kind, and as that kind."""
    found = codec.load_task(codec.dump_task(task))
    assert (type(found), found) == (type(task), task)


@given(claims)
def test_a_claim_is_read_back_as_it_was_written(found: Claim) -> None:
    """Tries, calls and times survive, so that no instance starts counting again."""
    assert codec.load_claim(codec.dump_claim(found)) == found


@given(records)
def test_a_record_is_read_back_as_it_was_created(found: Record) -> None:
    """The body above all: every attempt sends what was recorded, byte for byte."""
    found = codec.seal_record(found, lambda text: "seal")
    assert load_record(codec.dump_record(found)) == found


@given(moments)
def test_the_last_walk_is_read_back(began_at: datetime) -> None:
    """Or the next one would begin at the wrong upload."""
    assert codec.load_walked(codec.dump_walked(began_at)) == began_at


def test_a_dead_delivery_is_noted_with_what_went_wrong() -> None:
    """For whoever looks into `dead/`."""
    assert json.loads(codec.dump_dead(record(dead_at=NOON), "answered 500")) == {
        "version": 1,
        "verification": VERIFICATION.id,
        "run": 2,
        "pair": "ann/3",
        "error": "answered 500",
        "at": "2026-11-22T12:00:00.000+00:00",
    }


# --- what lies there ----------------------------------------------------------------------------------

LOOK = Look(BUCKET, "uploads/42/live.gz", "live", NOON, 1)
TAKE_OVER = TakeOver(BUCKET, "uploads/42/live.gz", VERIFICATION, 2)
DELIVER = Deliver(BUCKET, "uploads/42/live.gz", VERIFICATION, 3)
WALK = Walk(BUCKET, "uploads/7", NOON, NOON - HOUR)
TASKS: list[Task] = [LOOK, TAKE_OVER, DELIVER, WALK]
CLAIM = claim(tries={"transient": 1}, retry_at=NOON + MINUTE, code="InternalError")
RECORD = codec.seal_record(
    record(delete=("live",), code="InternalError", live={"key": "l", "md5": None}, answer={"code": "x"}),
    lambda text: "seal",
)


ADDED = {"no_similarity", "told_from", "failures", "exempt"}
"""What an earlier release did not write."""

NEEDED = {
    "look": {"kind", "bucket", "key", "role", "uploaded_at", "step", "run"},
    "take_over": {"kind", "bucket", "key", "verification", "n"},
    "deliver": {"kind", "bucket", "key", "verification", "attempt"},
    "reconcile": {"kind", "bucket", "key", "uploaded_at", "since"},
}
"""What each kind of entry needs; its other fields are for the version before."""


class Kind(NamedTuple):
    """A value of one kind as it is stored, and what reads it."""

    name: str
    value: Any
    data: bytes
    load: Callable[[bytes], Any]


KINDS = [
    *(
        Kind(name, task, codec.dump_task(task), codec.load_task)
        for name, task in zip(NEEDED, TASKS, strict=True)
    ),
    Kind("claim", CLAIM, codec.dump_claim(CLAIM), codec.load_claim),
    Kind("record", RECORD, codec.dump_record(RECORD), load_record),
    Kind("walked", NOON, codec.dump_walked(NOON), codec.load_walked),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def place_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """The object that a field stands in: a record's sealed part is one of its own."""
    decided: dict[str, Any] = found.get("decided", {})
    return decided if name in decided else found


def changed(data: bytes, **fields: Any) -> bytes:
    found = json.loads(data)
    for name, value in fields.items():
        place_of(found, name)[name] = value
    return json.dumps(found).encode()


def without(data: bytes, name: str) -> bytes:
    found = json.loads(data)
    del place_of(found, name)[name]
    return json.dumps(found).encode()


def names(data: bytes) -> list[str]:
    """The names of a value's fields, wherever they stand."""
    found = json.loads(data)
    return sorted([*found, *found.get("decided", {})])


@every_kind
def test_what_was_added_later_does_no_harm(kind: Kind) -> None:
    """An older release reads what a newer one of the same version wrote."""
    assert kind.load(changed(kind.data, new=[{"of": "any kind"}])) == kind.value


@every_kind
def test_every_value_says_its_version(kind: Kind) -> None:
    """So that a release that writes another one is known by it."""
    assert json.loads(kind.data)["version"] == 1


def test_text_is_stored_without_escapes() -> None:
    """UTF-8, so that a key in any script can be searched for."""
    assert "张" in codec.dump_task(LOOK._replace(key="uploads/张/live.gz")).decode()


@pytest.mark.parametrize("task", TASKS)
def test_every_entry_has_every_field(task: Task) -> None:
    """Whatever its kind: so the version before reads it, which asks for all of them."""
    fields = set(json.loads(codec.dump_task(task)))
    assert fields - {"last"} == {
        "version",
        "kind",
        "bucket",
        "key",
        "role",
        "uploaded_at",
        "step",
        "run",
        "verification",
        "n",
        "attempt",
        "since",
        "failures",
    }


def test_an_entry_about_a_verification_says_so_as_before() -> None:
    """Its role was always the live package's, and its verification an object."""
    found = json.loads(codec.dump_task(TAKE_OVER))
    assert found["role"] == "live"
    assert found["verification"] == {"verification": VERIFICATION.id, "run": 2, "pair": "ann/3"}
    assert json.loads(codec.dump_task(WALK))["uploaded_at"] == "2026-11-22T12:00:00.000+00:00"


# --- the version before -------------------------------------------------------------------------------


def test_the_class_names_of_the_version_before_are_read() -> None:
    """Counts go on under today's names; a class that nobody knows is passed over."""
    tries = {"busy": 1, "trouble": 2, "ours": 3, "of tomorrow": 4}
    found = codec.load_claim(changed(codec.dump_claim(claim()), tries=tries))
    assert found.tries == {"throttled": 1, "transient": 2, "configuration": 3}


@pytest.mark.parametrize(("tries", "expected"), [({}, 0), ({NO_SIMILARITY: 2, "trouble": 1}, 2)])
def test_answers_without_a_similarity_are_counted_on(tries: dict[str, int], expected: int) -> None:
    """The version before counted them among the tries, by their code."""
    data = without(changed(codec.dump_claim(claim()), tries=tries), "no_similarity")
    assert codec.load_claim(data).no_similarity == expected


def test_todays_count_comes_before_the_former_one() -> None:
    """Where both stand there."""
    data = changed(codec.dump_claim(claim(no_similarity=1)), tries={NO_SIMILARITY: 2})
    assert codec.load_claim(data).no_similarity == 1


# --- what cannot be read ------------------------------------------------------------------------------


@every_kind
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
        b'{"version": 1, "kind": "of tomorrow"}',
        b'{"version": 1, "kind": ["look"]}',
        b'{"version": 1, "key": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_what_is_none_of_ours_is_unreadable(kind: Kind, data: bytes) -> None:
    """Whatever bytes lie there."""
    with pytest.raises(Unreadable):
        kind.load(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)


@every_kind
@given(st.data())
def test_a_damaged_value_is_read_or_unreadable(kind: Kind, data: st.DataObject) -> None:
    """Any field replaced by anything: never an error that a sweep would not survive."""
    name = data.draw(st.sampled_from(names(kind.data)))
    with suppress(Unreadable):
        kind.load(changed(kind.data, **{name: data.draw(json_values)}))


@every_kind
def test_a_value_without_one_of_its_fields_is_unreadable(kind: Kind) -> None:
    """Nothing is guessed; what only other kinds of entry need may be left out."""
    needed = NEEDED.get(kind.name, set(names(kind.data)) - ADDED - {"version", "seal", "decided"})
    for name in names(kind.data):
        if name in needed:
            with pytest.raises(Unreadable, match="KeyError"):
                kind.load(without(kind.data, name))
        elif name not in ("version", "seal", "decided"):
            assert kind.load(without(kind.data, name)) == kind.value


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
        ("uploaded_at", "1999-12-31T23:59:59Z"),
        ("uploaded_at", "3000-01-01T00:00:00+00:00"),
        ("delivered_at", 1_700_000_000),
        ("attempts", None),
        ("attempts", float("inf")),
        ("run", "x"),
        ("run", float("-inf")),
        ("decided_at", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_field_of_another_kind_is_unreadable(name: str, to: object) -> None:
    """A damaged record is found when it is read, not in the middle of what is done with it."""
    with pytest.raises(Unreadable):
        load_record(changed(codec.dump_record(RECORD), **{name: to}))


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("code", 7),
        ("code", []),
        ("code", True),
        ("n", -1),
        ("calls", -1),
        ("calls", None),
        ("tries", []),
        ("tries", {"transient": -1}),
        ("tries", {"transient": None}),
        ("lease_until", None),
        ("nonce", None),
        ("no_similarity", -1),
    ],
)
def test_a_claims_field_of_another_kind_is_unreadable(name: str, to: object) -> None:
    """Counts are never below zero, or a verification would be asked for without end."""
    with pytest.raises(Unreadable):
        codec.load_claim(changed(codec.dump_claim(CLAIM), **{name: to}))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-22T20:00:00+08:00", NOON),
        ("2000-01-01T00:00:00+00:00", datetime(2000, 1, 1, tzinfo=timezone.utc)),
        ("2999-12-31T23:59:59+00:00", datetime(2999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)),
    ],
)
def test_a_time_is_read_in_utc(at: str, expected: datetime) -> None:
    """From 2000 to 2999, whatever zone it was written in."""
    found = codec.load_walked(changed(codec.dump_walked(NOON), began_at=at))
    assert (found, found.utcoffset()) == (expected, timedelta(0))


def test_an_error_repeats_nothing_of_what_lies_there() -> None:
    """It is logged, and state can hold keys that name people."""
    with pytest.raises(Unreadable) as caught:
        load_record(changed(codec.dump_record(RECORD), uploaded_at="ann"))
    assert str(caught.value) == "ValueError"
    assert caught.value.__suppress_context__
