"""Any event, any answer, any stored state: understood, or reported and stepped around; never a crash loop."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from handler.edges import webhook
from handler.rules.events import EventError
from handler.rules.pairing import AmbiguousKey
from handler.rules.schedule import next_delivery
from handler.rules.settings import SettingsError
from tests.cloud import Cloud, samples
from tests.cloud.cos_store import Bucket
from tests.cloud.faceid import Answer
from tests.support.harness import BUCKET, IMAGE, LIVE, Livepair
from tests.support.project import PROJECT
from tests.support.released_state import sealed

SCHEMA = json.loads((PROJECT / "events" / "message.schema.json").read_text())

FEW = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)

TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "",
        "..",
        "\x00",
        "\ud800",
        "2026-11-22T12:00:00Z",
        "9999-12-31T23:59:59+00:00",
        "0001-01-01T00:00:00+14:00",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-(10**30), -20, -1, 0, 1, 20, 10**30])
    | st.floats()
    | TEXTS
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


@pytest.fixture(scope="module")
def livepair() -> Iterator[Livepair]:
    """One function for all examples of this file; each takes a pair of its own."""
    with Cloud() as cloud, pytest.MonkeyPatch.context() as patch:
        yield Livepair(cloud, patch)


def bucket(livepair: Livepair) -> Bucket:
    return livepair.cloud.cos.bucket(BUCKET)


def forget(livepair: Livepair) -> None:
    """Take everything away that an example has left."""
    for key in bucket(livepair).keys(""):
        bucket(livepair).delete(key, silent=True)
    livepair.events.clear()
    livepair.cloud.consumer.behave()
    livepair.cloud.consumer.forget()


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything inside a JSON value."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from paths(inner, (*at, name))


@st.composite
def changes(draw: st.DrawFn, value: Any) -> Any:
    """`value` with one thing in it replaced, or taken out."""
    *way, last = draw(st.sampled_from(sorted(paths(value), key=str)))
    changed = copy.deepcopy(value)
    inner = changed
    for step in way:
        inner = inner[step]
    if draw(st.booleans()) or draw(st.booleans()):
        inner[last] = draw(JSON)
    else:
        del inner[last]
    return changed


# --- events -----------------------------------------------------------------------------------------


@settings(FEW, max_examples=50)
@given(event=JSON)
def test_any_event_is_handled_or_refused_by_name(livepair: Livepair, event: object) -> None:
    """Whatever JSON the platform hands over."""
    with contextlib.suppress(EventError):
        json.dumps(livepair.handle(event))


@settings(FEW, max_examples=60)
@given(data=st.data())
def test_a_changed_event_is_handled_or_refused_by_name(livepair: Livepair, data: st.DataObject) -> None:
    """A real one in which one thing is another, or is not there."""
    livepair.put("uploads/1/live.gz", samples.live())
    event = livepair.events.pop()
    with contextlib.suppress(EventError, AmbiguousKey, SettingsError):
        json.dumps(livepair.handle(data.draw(changes(event))))
    forget(livepair)


# --- the API ----------------------------------------------------------------------------------------

HOST = "https://a-1.cos.ap-singapore.myqcloud.com"
VERDICT = {
    "Response": {
        "Result": "Success",
        "Description": "Success",
        "Sim": 96.3,
        "BestFrameUrl": f"{HOST}/frame.jpg?q-signature=x",
        "BestFrameMd5": "0" * 32,
        "RequestId": "r",
    }
}
ERROR = {
    "Response": {"Error": {"Code": "FailedOperation.LivessDetectFake", "Message": "m"}, "RequestId": "r"}
}


@FEW
@example(
    answer={"Response": {"Result": "FailedOperation.\ud800", "Description": "\ud800", "RequestId": "\ud800"}}
)
@example(
    answer={
        "Response": {"Error": {"Code": "FailedOperation.ImageBlur", "Message": "\ud800"}, "RequestId": "r"}
    }
)
@example(answer={"Response": {"Result": "Success", "Sim": 10**400, "RequestId": "r"}})
@example(answer={"Response": {"Result": "Success", "Sim": 90, "BestFrameUrl": "https://[", "RequestId": "r"}})
@example(
    answer={"Response": {"Result": "Success", "Sim": 90, "BestFrameUrl": f"{HOST}/\ud800", "RequestId": "r"}}
)
@example(
    answer={"Response": {"Result": "Success", "Sim": 90, "BestFrameUrl": f"{HOST}:x/", "RequestId": "r"}}
)
@given(answer=st.one_of(JSON, changes(VERDICT), changes(ERROR), st.fixed_dictionaries({"Response": JSON})))
def test_any_answer_of_the_api_ends_in_one_valid_message(livepair: Livepair, answer: object) -> None:
    """At once, or once it has been asked again; the message keeps to its schema."""
    livepair.cloud.faceid.script(Answer(raw=json.dumps(answer).encode()))
    livepair.pair()
    livepair.finish()
    (message,) = livepair.messages
    jsonschema.validate(message, SCHEMA)
    assert "q-signature" not in json.dumps(message)
    forget(livepair)


# --- what is stored ---------------------------------------------------------------------------------


def waiting(livepair: Livepair) -> None:
    """Half a pair is on the agenda, and its other half has come without an event."""
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.put(IMAGE, samples.image())
    livepair.drop()


def given_back(livepair: Livepair) -> None:
    """The engine was in trouble: a claim waits for its next try."""
    livepair.pair(samples.live(error="FailedOperation.LivessSystemError"))


def undelivered(livepair: Livepair) -> None:
    """The consumer was down: a record waits to be told."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()


AGENDA = (
    *("version", "kind", "bucket", "key", "role", "uploaded_at", "step", "run", "n", "attempt", "since"),
    *("verification", "verification.verification", "verification.run", "verification.pair"),
)
CLAIM = (
    *("version", "verification", "run", "pair", "n", "nonce", "request_id", "lease_until", "first_try_at"),
    *("calls", "tries", "tries.trouble", "retry_at", "code"),
)
RECORD = (
    *("version", "seal", "decided", "told_from", "delivered_at", "dead_at", "attempts", "deleted"),
    *("decided.verification", "decided.run", "decided.pair", "decided.bucket", "decided.live_key"),
    *("decided.image_key", "decided.outcome", "decided.code", "decided.uploaded_at", "decided.decided_at"),
    *("decided.live", "decided.live.key", "decided.live.etag", "decided.image", "decided.answer"),
    *("decided.best_frame", "decided.body", "decided.nonce", "decided.delete"),
)
STORED = {
    "an agenda entry of a look": (waiting, "agenda/", AGENDA),
    "an agenda entry of a claim": (given_back, "agenda/", AGENDA),
    "an agenda entry of a delivery": (undelivered, "agenda/", AGENDA),
    "a claim": (given_back, "claims/", CLAIM),
    "a record": (undelivered, "records/", RECORD),
}


def changed(stored: dict[str, Any], field: str, value: object) -> bytes:
    """A state object with one field replaced, or taken out where `value` is `...`."""
    *way, last = field.split(".")
    inner = stored
    for name in way:
        inner[name] = inner.get(name) or {}
        inner = inner[name]
    if value is ...:
        inner.pop(last, None)
    else:
        inner[last] = value
    return json.dumps(stored).encode()


@pytest.mark.parametrize("what", STORED)
@FEW
@given(data=st.data())
def test_any_change_to_what_is_stored_is_reported_and_stepped_around(
    livepair: Livepair, what: str, data: st.DataObject
) -> None:
    """No sweep fails for it, and the next pair is judged and told; also where the change is sealed."""
    situation, prefix, fields = STORED[what]
    field = data.draw(st.sampled_from(fields))
    value = data.draw(JSON | st.just(...))
    is_sealed = data.draw(st.booleans())
    raw = data.draw(st.none() | st.none() | st.binary(max_size=20) | st.just(b"[" * 100_000))
    try:
        situation(livepair)
        (key,) = livepair.state(prefix)
        found = changed(livepair.stored(key), field, value) if raw is None else raw
        if raw is None and is_sealed:
            with contextlib.suppress(UnicodeError, TypeError):  # half a character has no seal
                found = json.dumps(sealed(key, json.loads(found))).encode()
        bucket(livepair).put(f"livepair/{key}", found, silent=True)
        for minutes in (2, 2, 61, 61):
            livepair.sweep(minutes)
        livepair.put("uploads/next/image.jpg", samples.image())
        livepair.put("uploads/next/live.gz", samples.live(seed=2))
        assert livepair.run() == ["matched"]
    finally:
        forget(livepair)


# --- the consumer -----------------------------------------------------------------------------------


@settings(FEW, max_examples=500)
@given(
    text=st.text(max_size=40)
    | st.from_regex(r"\w{3}, \d+ \w{3} \d{1,9} \d\d:\d\d:\d\d( [+-]?\w+)?", fullmatch=True)
)
@example("Fri, 31 Dec 9999 23:59:59 GMT")
@example("Mon, 1 Jan 0001 00:00:00 +1400")
@example("9" * 400)
@example("٣")
def test_any_retry_after_keeps_to_its_bounds(text: str) -> None:
    """The schedule's time or later, by an hour at the most."""
    now = datetime(2026, 11, 22, tzinfo=timezone.utc)
    plain = next_delivery("msg_1", now, 2, now)
    asked = next_delivery("msg_1", now, 2, now, webhook._retry_after(text, now))
    assert plain is not None
    assert asked is not None
    assert asked.number == plain.number
    assert plain.at <= asked.at <= max(plain.at, now + timedelta(hours=1))
