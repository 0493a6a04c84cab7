"""The record: what is kept of a decision, what is deleted after it, and what is left of a pair then."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from handler.rules.outcome import Answer, Called, Decision, Frame, body, incomplete, unreadable
from handler.rules.pairing import Pair, Role
from handler.rules.records import Record, is_rest_of, is_told_by_another_name, may_delete, record_of
from handler.rules.uploads import Seen, Stored
from tests.support.values import (
    BUCKET,
    IMAGE,
    LIVE,
    MINUTE,
    MOMENT,
    NOON,
    PAIR,
    SECOND,
    SEEN,
    SHARED,
    VERIFICATION,
    record,
    settings,
)

MATCHED = Decision(NOON, "matched", None, None, 96.3)
ANSWER = Answer("Success", "ok", similarity=96.3, request_id="req-1")

# --- what becomes of it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told", "settled"),
    [
        ({}, False, False),
        ({"delivered_at": NOON}, True, True),
        ({"dead_at": NOON}, True, True),
        ({"delete": ("live",)}, False, False),
        ({"delete": ("live",), "delivered_at": NOON}, True, False),
        ({"delete": ("live",), "delivered_at": NOON, "deleted": True}, True, True),
        ({"delete": ("live",), "dead_at": NOON}, True, True),
        ({"deleted": True}, False, False),
    ],
)
def test_a_record_is_settled_when_it_is_told_and_cleared_away(
    changes: dict[str, Any], told: bool, settled: bool
) -> None:
    """Uploads are deleted once a message has arrived; with one that was given up they stay."""
    assert (record(**changes).told, record(**changes).settled) == (told, settled)


def test_a_record_says_what_was_judged() -> None:
    """By role."""
    found = record(live={"key": "l"}, image={"key": "i"})
    assert (found.judged("live"), found.judged("image")) == ({"key": "l"}, {"key": "i"})


# --- what is kept of a decision -----------------------------------------------------------------------


def test_all_of_a_called_decision_is_kept() -> None:
    """The message word for word, both uploads as they were judged, the answer, and the frame."""
    frame = Frame("state-1", "livepair/best-frames/42/x.jpg", "c" * 32)
    called = Called(ANSWER, "ap-singapore", claim=3, calls=2, frame=frame)
    found = record_of(SEEN, VERIFICATION, MATCHED, settings(), "nonce", called)
    assert found == Record(
        VERIFICATION,
        BUCKET,
        LIVE.key,
        IMAGE.key,
        "matched",
        None,
        uploaded_at=IMAGE.uploaded_at,
        decided_at=NOON,
        body=body(SEEN, VERIFICATION, MATCHED, settings(), called),
        nonce="nonce",
        live={"key": LIVE.key, "etag": LIVE.etag, "md5": LIVE.md5, "size": LIVE.size},
        image={"key": IMAGE.key, "etag": IMAGE.etag, "md5": IMAGE.md5, "size": IMAGE.size},
        answer={
            "request_id": "req-1",
            "code": "Success",
            "message": "ok",
            "similarity": 96.3,
            "calls": 2,
            "claim": 3,
            "frame_error": None,
        },
        best_frame={"key": frame.key, "md5": frame.md5},
    )


def test_a_record_names_the_alternatives_that_were_judged() -> None:
    """Not those that the settings name first."""
    pair = PAIR._replace(live_keys=("a.gz", LIVE.key), image_keys=("a.jpg", IMAGE.key))
    found = record_of(SEEN._replace(pair=pair), VERIFICATION, MATCHED, settings(), "nonce")
    assert (found.live_key, found.image_key) == (LIVE.key, IMAGE.key)


def test_why_there_is_no_best_frame_is_kept() -> None:
    """For whoever looks at the record; the message says only that there is none."""
    called = Called(ANSWER, "ap-singapore", 1, 1, frame_error="its MD5 is another")
    found = record_of(SEEN, VERIFICATION, MATCHED, settings(), "nonce", called)
    assert found.best_frame is None
    assert found.answer is not None
    assert found.answer["frame_error"] == "its MD5 is another"


def test_half_a_pair_is_kept_with_the_key_that_was_waited_for() -> None:
    """The first of its alternatives."""
    half = SEEN._replace(image=None)
    found = record_of(half, VERIFICATION, incomplete(half, 60), settings(), "nonce")
    assert (found.live_key, found.image_key) == (LIVE.key, PAIR.image_keys[0])
    assert (found.image, found.answer, found.best_frame) == (None, None, None)
    assert found.uploaded_at == LIVE.uploaded_at
    assert found.decided_at == LIVE.uploaded_at + MINUTE
    other = SEEN._replace(live=None)
    found = record_of(other, VERIFICATION, incomplete(other, 60), settings(), "nonce")
    assert (found.live_key, found.image_key) == (PAIR.live_keys[0], IMAGE.key)
    assert found.uploaded_at == IMAGE.uploaded_at


def test_what_cos_never_showed_speaks_for_all_uploads_until_it_was_decided() -> None:
    """So that an upload after that starts another run, and none before it."""
    decision = unreadable(NOON, "refused")
    found = record_of(Seen(PAIR, BUCKET, None, None), VERIFICATION, decision, settings(), "nonce")
    assert found.uploaded_at == found.decided_at == NOON + timedelta(days=1)


# --- what is deleted ----------------------------------------------------------------------------------

VERDICTS = [
    MATCHED,
    Decision(NOON, "mismatched", "Livepair.BelowMinSimilarity"),
    Decision(NOON, "rejected", "FailedOperation.LivessDetectFake"),
    Decision(NOON, "rejected", "FailedOperation.ImageBlur"),
]
RETAKE = Decision(NOON, "rejected", "FailedOperation.SilentTooShort")
NO_VERDICTS = [
    Decision(NOON, "failed", "InternalError"),
    Decision(NOON, "incomplete", "Livepair.ImageMissing"),
]


@pytest.mark.parametrize(
    ("setting", "decisions", "shared", "delete"),
    [
        ("none", [*VERDICTS, RETAKE, *NO_VERDICTS], False, ()),
        ("live", [*VERDICTS, RETAKE], False, ("live",)),
        ("both", VERDICTS, False, ("live", "image")),
        ("both", [RETAKE], False, ("live",)),
        ("both", [*VERDICTS, RETAKE], True, ("live",)),
        ("live", NO_VERDICTS, False, ()),
        ("both", NO_VERDICTS, False, ()),
    ],
)
def test_what_a_verdict_was_about_is_deleted(
    setting: str, decisions: list[Decision], shared: bool, delete: tuple[str, ...]
) -> None:
    """An image stays where it serves others or the next recording; without a verdict both stay."""
    seen = SEEN._replace(pair=SHARED) if shared else SEEN
    for decision in decisions:
        found = record_of(seen, VERIFICATION, decision, settings(DELETE_UPLOADS=setting), "nonce")
        assert found.delete == delete


# --- what is left then --------------------------------------------------------------------------------

TOLD = record_of(SEEN, VERIFICATION, MATCHED, settings(), "nonce")._replace(delivered_at=NOON)


@pytest.mark.parametrize(
    ("seen", "found", "rest"),
    [
        (SEEN._replace(image=None), TOLD, True),
        (SEEN._replace(live=None), TOLD, True),
        (SEEN._replace(image=None, live=LIVE._replace(uploaded_at=TOLD.uploaded_at)), TOLD, True),
        (SEEN._replace(image=None, live=LIVE._replace(uploaded_at=TOLD.uploaded_at + SECOND)), TOLD, False),
        (SEEN._replace(image=None, live=LIVE._replace(md5="f" * 32)), TOLD, False),
        (SEEN._replace(image=None), TOLD._replace(delivered_at=None), False),
        (SEEN._replace(image=None), TOLD._replace(delivered_at=None, dead_at=NOON), True),
        (SEEN._replace(image=None), TOLD._replace(image=None), False),
        (SEEN._replace(image=None), TOLD._replace(live=None), False),
        (SEEN._replace(live=None, image=None), TOLD, False),
        (
            SEEN._replace(image=None, live=LIVE._replace(md5=None)),
            TOLD._replace(live={**(TOLD.live or {}), "md5": None}),
            True,
        ),
        (
            SEEN._replace(image=None, live=LIVE._replace(md5=None, etag="x")),
            TOLD._replace(live={**(TOLD.live or {}), "md5": None}),
            False,
        ),
    ],
)
def test_half_a_pair_may_be_what_is_left_of_one_that_was_told(seen: Seen, found: Record, rest: bool) -> None:
    """Its other half was deleted since: it waits for nobody. The same bytes uploaded again later do."""
    assert is_rest_of(seen, found) is rest


PNG = IMAGE._replace(key="uploads/42/image.png", etag='"c3"', md5="c" * 32)


@pytest.mark.parametrize(
    ("uploaded_at", "rest"),
    [(TOLD.uploaded_at - SECOND, True), (TOLD.uploaded_at, True), (TOLD.uploaded_at + MOMENT, False)],
)
def test_an_alternative_that_lost_to_what_was_judged_is_rest_too(uploaded_at: datetime, rest: bool) -> None:
    """Whatever its bytes. A newer one is judged itself."""
    left = SEEN._replace(live=None, image=PNG._replace(uploaded_at=uploaded_at))
    assert is_rest_of(left, TOLD) is rest


@pytest.mark.parametrize(
    ("role", "stored", "may"),
    [
        ("live", LIVE, True),
        ("image", IMAGE, True),
        ("live", LIVE._replace(etag='"x"'), False),
        ("live", LIVE._replace(size=1), False),
        ("live", LIVE._replace(uploaded_at=NOON), True),
        ("image", PNG._replace(uploaded_at=TOLD.uploaded_at), True),
        ("image", PNG._replace(uploaded_at=TOLD.uploaded_at + MOMENT), False),
    ],
)
def test_what_was_judged_may_be_deleted_and_older_alternatives(role: Role, stored: Stored, may: bool) -> None:
    """The same bytes at the same key are what was judged, also where they were uploaded again."""
    assert may_delete(TOLD, role, stored) is may


def test_where_nothing_was_judged_nothing_may_be_deleted() -> None:
    """A half that was waited for and has come since."""
    assert not may_delete(TOLD._replace(image=None), "image", IMAGE)
    assert not may_delete(TOLD._replace(live=None), "live", LIVE)


# --- half a pair that was told under another name -----------------------------------------------------

WIDER = PAIR._replace(
    live_keys=("uploads/42/live.bin", LIVE.key), image_keys=("uploads/42/face.png", IMAGE.key)
)
"""The pair once another alternative was put first for each half."""


def but(value: Any, **changes: Any) -> Any:
    return value._replace(**changes)


def alone(role: Role, pair: Pair = WIDER) -> tuple[Seen, Record]:
    """Half a pair as it is seen now, and the record that told it as incomplete before."""
    stored = LIVE if role == "live" else IMAGE
    judged = {"key": stored.key, "etag": stored.etag, "md5": stored.md5, "size": stored.size}
    told = but(record(outcome="incomplete", uploaded_at=stored.uploaded_at), **{role: judged})
    return Seen(pair, BUCKET, LIVE if role == "live" else None, IMAGE if role == "image" else None), told


@pytest.mark.parametrize("role", ["live", "image"])
def test_half_a_pair_is_told_once_whichever_alternative_is_put_first(role: Role) -> None:
    """The missing half's key is part of the id; the one that was first then stands in the record."""
    seen, told = alone(role)
    assert is_told_by_another_name(seen, told)


@pytest.mark.parametrize("role", ["live", "image"])
def test_half_a_pair_under_its_own_name_is_found_by_its_id(role: Role) -> None:
    """So that the operator's retry of it starts another run."""
    seen, told = alone(role, PAIR)
    assert not is_told_by_another_name(seen, told)


@pytest.mark.parametrize("role", ["live", "image"])
def test_what_told_something_else_told_not_of_this_half(role: Role) -> None:
    """Another outcome, both halves, the other half, other bytes, or the same ones uploaded later."""
    seen, told = alone(role)
    stored = seen.upload(role)
    assert stored is not None
    other: Role = "image" if role == "live" else "live"
    judged = told.judged(role)
    later = stored._replace(uploaded_at=stored.uploaded_at + SECOND)
    assert not is_told_by_another_name(seen, told._replace(outcome="failed"))
    assert not is_told_by_another_name(seen, but(told, **{other: judged}))
    assert not is_told_by_another_name(seen, but(told, **{role: None, other: judged}))
    assert not is_told_by_another_name(seen, but(told, **{role: None}))
    assert not is_told_by_another_name(but(seen, **{role: stored._replace(md5="f" * 32)}), told)
    assert not is_told_by_another_name(but(seen, **{role: later}), told)
