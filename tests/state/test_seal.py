"""A seal holds for what was sealed, where it was sealed, and for who knows the secret."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from handler.rules.records import Record, agrees
from handler.state import codec
from handler.state.codec import Unreadable, Unsealed
from handler.state.objects import CorruptState
from handler.state.seal import Seals
from tests.support.shelf import SEALS, Shelf, a_ledger, sealed
from tests.support.values import IMAGE, LIVE, NOON, VERIFICATION, message, record

SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes, made up for us").decode()
OTHER = "whsec_" + base64.b64encode(b"another one, for while we rotate").decode()
KEY, TEXT = "livepair/records/42/x.json", '{"pair":"张"}'

VECTOR = "df1706c5c6b4a31f70f555a43f9dd4378a0d9066a05cafc6766fba76a50e233d"
"""Of that secret, key and text, computed outside the code:

    derived = HMAC-SHA256(secret's bytes, "livepair: seal of a record, version 1")
    seal    = HMAC-SHA256(derived, key + zero byte + text), in hex
"""

RECORD = sealed(record())
RECORD_KEY = f"livepair/records/ann/3/{VERIFICATION.id}.json"


def stored(**changes: Any) -> dict[str, Any]:
    """The record as it stands, with changes."""
    found: dict[str, Any] = {**json.loads(codec.dump_record(RECORD)), **changes}
    return found


def read(found: dict[str, Any], key: str = RECORD_KEY) -> Record | None:
    """What a ledger reads of a record that lies under a key."""
    book, shelf, _ = a_ledger()
    shelf.objects[key] = json.dumps(found).encode()
    return book.record(VERIFICATION)


# --- the seal -----------------------------------------------------------------------------------------


def test_a_seal_is_what_it_is_said_to_be() -> None:
    """By a vector, so that every version makes and accepts the same one."""
    assert Seals((SECRET,)).seal(KEY, TEXT) == VECTOR


def test_the_first_secret_seals_and_any_of_them_is_accepted() -> None:
    """While they change."""
    both = Seals((OTHER, SECRET))
    assert both.seal(KEY, TEXT) == Seals((OTHER,)).seal(KEY, TEXT) != VECTOR
    assert both.holds(KEY, TEXT, VECTOR)
    assert both.holds(KEY, TEXT, both.seal(KEY, TEXT))
    assert not Seals((OTHER,)).holds(KEY, TEXT, VECTOR)


@pytest.mark.parametrize(
    ("key", "text", "seal"),
    [
        (KEY + "x", TEXT, VECTOR),
        (KEY[:-1], "n" + TEXT, VECTOR),
        (KEY, TEXT + " ", VECTOR),
        (KEY, TEXT, VECTOR[:-1]),
        (KEY, TEXT, VECTOR.upper()),
        (KEY, TEXT, ""),
        (KEY, TEXT, "张"),
        (KEY, TEXT, None),
        (KEY, TEXT, True),
        (KEY, TEXT, [VECTOR]),
    ],
)
def test_another_key_another_text_or_another_seal_does_not_hold(key: str, text: str, seal: object) -> None:
    """Whatever stands there in its place."""
    assert not Seals((SECRET,)).holds(key, text, seal)


# --- the record ---------------------------------------------------------------------------------------


def test_what_was_decided_is_sealed_and_marks_are_not() -> None:
    """So that marking a record needs no new seal."""
    marks = {"told_from", "delivered_at", "dead_at", "attempts", "deleted"}
    assert set(stored()) == {"version", "decided", "seal"} | marks
    assert set(stored()["decided"]) >= {
        "verification",
        "bucket",
        "outcome",
        "body",
        "delete",
        "live",
        "image",
    }
    assert read(stored(attempts=3)) == RECORD._replace(attempts=3)


@pytest.mark.parametrize("name", sorted(stored()["decided"]))
def test_nothing_that_was_decided_can_be_changed_or_taken_out(name: str) -> None:
    """Each field by itself."""
    decided = stored()["decided"]
    for changed in ({**decided, name: "x"}, {each: decided[each] for each in decided if each != name}):
        with pytest.raises(CorruptState) as caught:
            read(stored(decided=changed))
        assert caught.value.is_unsealed


def test_what_a_later_version_decided_is_sealed_too_and_stays() -> None:
    """A version that is rolled back checks it without knowing it, and marks the record without losing it."""
    decided = {
        **stored()["decided"],
        "later": [1.50, {"b": "张", "a": None}],
        "decided_at": "2026-11-22T13:01+01:00",
    }
    text = json.dumps(decided, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    later = stored(decided=decided, seal=SEALS.seal(RECORD_KEY, text))
    with pytest.raises(CorruptState):
        read({**later, "decided": {**decided, "later": [1.50, {"b": "张", "a": 0}]}})
    book, shelf, _ = a_ledger()
    shelf.objects[RECORD_KEY] = json.dumps(later).encode()
    for attempts in (1, 2):
        found = book.record(VERIFICATION)
        assert found is not None
        book.mark(found._replace(attempts=attempts))
    assert json.loads(shelf.objects[RECORD_KEY]) == {**later, "attempts": 2}


def test_the_order_and_spelling_of_what_was_decided_do_not_matter() -> None:
    """A tool that copies state may write the same JSON in another way."""
    decided = stored()["decided"]
    assert read(stored(decided=dict(reversed(decided.items())))) is not None


@pytest.mark.parametrize("changes", [{"seal": None}, {"decided": None}, {"decided": []}])
def test_a_record_without_its_seal_is_unreadable(changes: dict[str, Any]) -> None:
    """No released version wrote one."""
    with pytest.raises(Unreadable):
        codec.load_record(json.dumps(stored(**changes)).encode(), lambda text, seal: seal is not None)


@pytest.mark.parametrize("missing", ["seal", "decided"])
def test_the_error_says_what_to_do_about_a_seal_that_does_not_hold(missing: str) -> None:
    """Whether its secret was changed, or somebody forged it."""
    found = stored()
    del found[missing]
    with pytest.raises(Unsealed, match="it has no seal"):
        codec.load_record(json.dumps(found).encode(), lambda text, seal: True)
    with pytest.raises(CorruptState, match="behind the new one in STATE_SECRET") as caught:
        read(found)
    assert (caught.value.key, caught.value.is_unsealed) == (RECORD_KEY, True)
    assert "look at it, then delete it" in str(caught.value)


def test_a_record_under_another_key_does_not_hold() -> None:
    """Not even with a seal that somebody who knows the secret made for that key."""
    book, shelf, _ = a_ledger()
    elsewhere = VERIFICATION._replace(path="bob/3")
    shelf.objects[book.record_key(elsewhere)] = json.dumps(stored()).encode()
    with pytest.raises(CorruptState, match="seal"):
        book.record(elsewhere)
    text = json.dumps(stored()["decided"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    made = stored(seal=SEALS.seal(book.record_key(elsewhere), text))
    shelf.objects[book.record_key(elsewhere)] = json.dumps(made).encode()
    with pytest.raises(CorruptState, match="do not agree"):
        book.record(elsewhere)
    with pytest.raises(CorruptState, match="do not agree"):
        book.records("bob/3")


# --- the message --------------------------------------------------------------------------------------

JUDGED: dict[str, Any] = {
    "live": {"key": LIVE.key, "md5": LIVE.md5},
    "image": {"key": IMAGE.key, "md5": IMAGE.md5},
}


def test_a_message_agrees_with_its_record() -> None:
    """With both halves, with one, and with none."""
    for halves in (JUDGED, {**JUDGED, "image": None}, {"live": None, "image": None}):
        assert agrees(record(**halves))


@pytest.mark.parametrize(
    "changes",
    [
        {"verification": VERIFICATION._replace(id="e" * 32)},
        {"verification": VERIFICATION._replace(run=3)},
        {"verification": VERIFICATION._replace(path="ann/4")},
        {"outcome": "rejected"},
        {"bucket": "other-1250000000"},
        {"live": None},
        {"image": None},
        {"live": {**JUDGED["live"], "key": "uploads/bob/live.gz"}},
        {"image": {**JUDGED["image"], "md5": "c" * 32}},
        {"live_key": "uploads/bob/live.gz"},
        {"image_key": "uploads/bob/image.jpg"},
        {"live": {"key": LIVE.key}},
        {"body": ""},
        {"body": "[]"},
        {"body": "7"},
        {"body": "{"},
        {"body": "[" * 100_000},
        {"body": '{"id": "x"}'},
        {"body": message(record(**JUDGED)).replace('{"0": "ann", "1": "3"}', "[]")},
        {"body": message(record(**JUDGED)).replace('"ann"', "7")},
    ],
)
def test_a_message_about_anything_else_does_not_agree(changes: dict[str, Any]) -> None:
    """Field by field, and whatever stands in its place."""
    whole = record(**JUDGED)
    assert not agrees(whole._replace(**changes))


def test_a_record_whose_message_tells_something_else_is_corrupt() -> None:
    """What is told is what was decided."""
    book, shelf, _ = a_ledger()
    assert isinstance(shelf, Shelf)
    told = record(outcome="mismatched", code="Livepair.BelowMinSimilarity", body=message(record()))
    book.mark(told._replace(delivered_at=NOON))
    with pytest.raises(CorruptState, match="do not agree") as caught:
        book.record(VERIFICATION)
    assert not caught.value.is_unsealed
