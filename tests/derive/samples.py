"""The sample messages of events/ and README's example: what the function's code tells of made-up pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from handler.rules.outcome import Answer, Called, Decision, Frame, decide, incomplete, verification
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored
from tests.derive.contract import CONTRACT
from tests.support.messages import AT, BUCKET, SETTINGS, Message, seen_of, told

FRAMES = {"a1f4c0de": "ccd477a50e9365daa7ecbf3269e6f977", "b2e5c0de": "71784bd305654fb9f6da86f325bcaa3f"}


Upload = tuple[str, int]
"""MD5 and size of an upload."""


def _pair(name: str, live: Upload, image: Upload | None) -> Seen:
    """A pair's uploads, by MD5 and size; the image came three seconds before the live package."""
    pair = seen_of(SETTINGS, name).pair
    halves = [
        half and Stored(key, f'"{half[0]}"', half[0], half[1], at)
        for key, half, at in (
            (pair.live_keys[0], live, AT),
            (pair.image_keys[0], image, AT - timedelta(seconds=3)),
        )
    ]
    return Seen(pair, BUCKET, *halves)


def _judged(
    seen: Seen,
    number: int,
    answer: Answer,
    took: timedelta,
    calls: int = 1,
    settings: Settings = SETTINGS,
) -> Message:
    """What is told of a pair that the API answered about, so long after its live package came."""
    (name,) = (value for _, value in seen.pair.values)
    which = verification(seen, 1)
    request_id = f"00000000-0000-4000-8000-{number:012}"
    key = f"{SETTINGS.state_prefix}best-frames/{which.path}/{which.id}.jpg"
    frame = Frame(SETTINGS.state_bucket, key, FRAMES[name]) if name in FRAMES else None
    called = Called(answer._replace(request_id=request_id), "ap-singapore", calls, calls, frame)
    decision: Decision = decide(answer, SETTINGS.min_similarity, AT + took)
    return told(decision, seen=seen, called=called, settings=settings)


SOON = timedelta(seconds=3)


MATCHED = _pair(
    "a1f4c0de",
    ("c39006f804dfce86039bf7d2da46a513", 183_204),
    ("e8645e62dab7c136d4efe6fca61a7124", 40_213),
)
SUCCESS = Answer("Success", "", similarity=96.3)


def matched() -> Message:
    return _judged(MATCHED, 1, SUCCESS, SOON)


def matched_with_metadata() -> Message:
    """With PASS_METADATA=attempt, and the contract's own example sent with the live package alone."""
    (sent,) = CONTRACT["$defs"]["upload"]["properties"]["metadata"]["examples"]
    assert MATCHED.live is not None
    seen = MATCHED._replace(live=MATCHED.live._replace(metadata=tuple(sent.items())))
    settings = SETTINGS._replace(pass_metadata=tuple(sent))
    return _judged(seen, 1, SUCCESS, SOON, settings=settings)


def mismatched() -> Message:
    seen = _pair(
        "b2e5c0de",
        ("040c934a809f040bc65260425e99ad58", 201_877),
        ("b15d7faaa394bc7d9c474dc93ae690ac", 51_630),
    )
    return _judged(seen, 2, Answer("Success", "", similarity=41.7), timedelta(seconds=4))


def rejected() -> Message:
    seen = _pair(
        "c3d6c0de",
        ("464491e6a53cc60d5cbd9d8d6bfc2839", 166_020),
        ("c375cf1d2a474fb7533580ea79e78904", 38_844),
    )
    return _judged(seen, 3, Answer("FailedOperation.ActionLightDark", "The light is too dim."), SOON)


def half_a_pair() -> Message:
    seen = _pair("d4c7c0de", ("a8cde0da6026cd6d992524f1d6f590fa", 190_455), None)
    return told(incomplete(seen, SETTINGS.pair_timeout), seen=seen)


def failed() -> Message:
    seen = _pair(
        "e5b8c0de",
        ("7418a89e3e2d68224d3a39ea1637b419", 178_312),
        ("41ed620925e303d3d3fc9ef397ecc4b7", 44_907),
    )
    answer = Answer("FailedOperation.LivessSystemError", "Liveness engine error.")
    return _judged(seen, 5, answer, timedelta(minutes=68, seconds=15), calls=8)


def webhook_test() -> Message:
    like = matched()
    return {
        **like,
        "id": "msg_test00000000000000000000000000001",
        "type": "webhook.test",
        "timestamp": "2026-11-22T11:59:57Z",
        "data": {"note": "A test of this webhook: no upload was judged."},
    }


def _page(make: Callable[[], Message]) -> Callable[[], str]:
    return lambda: json.dumps(make(), indent=2, ensure_ascii=False) + "\n"


SAMPLES: Mapping[str, Callable[[], str]] = {
    "events/verification.matched.json": _page(matched),
    "events/verification.matched.metadata.json": _page(matched_with_metadata),
    "events/verification.mismatched.json": _page(mismatched),
    "events/verification.rejected.json": _page(rejected),
    "events/verification.incomplete.json": _page(half_a_pair),
    "events/verification.failed.json": _page(failed),
    "events/webhook.test.json": _page(webhook_test),
}


def example() -> str:
    """The sample of a match, as it stands on the front page: few lines, and no digests within."""
    message = matched()
    inner = {name: value for name, value in message["data"].items() if isinstance(value, dict)}
    message["data"].update(json.loads(re.sub("[0-9a-f-]{32,}", "…", json.dumps(inner))))
    return f"```json\n{laid_out(message)}\n```\n"


def laid_out(message: Message) -> str:
    """A message as JSON in few lines, one for each object in it."""
    rows = [f'  "{name}": {_text(value)},' for name, value in message.items() if name != "data"]
    lines = ["    "]
    for name, value in message["data"].items():
        item = f'"{name}": {_compact(value, len(name) + 8)}, '
        alone = isinstance(value, dict) and len(value) > 1
        if (alone or len(lines[-1] + item) > 110) and lines[-1].strip():
            lines.append("    ")
        lines[-1] += item
        if alone:
            lines.append("    ")
    data = "\n".join(line.rstrip() for line in lines if line.strip()).removesuffix(",")
    return "\n".join(["{", *rows, '  "data": {', data, "  }", "}"])


def _compact(value: object, column: int) -> str:
    """JSON in lines of at most 120 columns, where it begins at `column`."""
    if not isinstance(value, dict):
        return _text(value)
    lines = [""]
    for name, each in value.items():
        item = f'"{name}": {_text(each)}, '
        if column + len(lines[-1]) + len(item) > 121:
            lines.append("")
        lines[-1] += item
    indented = f"\n{' ' * (column + 1)}".join(line.rstrip() for line in lines)
    return "{" + indented.removesuffix(",") + "}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
