"""`verify` and `links`: uploads as an application makes them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handler.cli.deployment import Deployment, Problem
from handler.cli.output import Output, span
from handler.rules.outcome import Half, Seen, verification
from handler.rules.pairing import MAX_KEY_BYTES, Pair
from handler.state.ledger import Claim, Record

LINK_SECONDS = 600
POLL_SECONDS = 1.0

SMOKE_LIVE = gzip.compress(b"livepair: a smoke test, not a recording of anybody\n", mtime=0)
SMOKE_IMAGE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
    "////////////////wAALCABAAEABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8A"
    "AAAAAAAAAAAAAAAAAAAAAP/Z"
)
"""A grey square, 64 pixels wide."""


def pair_of(d: Deployment, values: Sequence[str]) -> Pair:
    """The pair with these placeholder values: `name=value`, or a bare value for the only placeholder.

    Raises Problem.
    """
    names = d.settings.templates.live[0].names
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals and len(names) == 1:
            name, value = names[0], text
        if name not in names or not value or name in found:
            wanted = " ".join(f"{name}=…" for name in names)
            raise Problem(f"{text!r} is not what LIVE_KEY asks for; write {wanted}")
        found[name] = value
    missing = [name for name in names if name not in found]
    if missing:
        raise Problem(f"LIVE_KEY has the placeholders {', '.join(names)}; {missing[0]}=… is missing")
    if any("/" in value for value in found.values()):
        raise Problem("a placeholder's value holds no /")
    if any("\ud800" <= each <= "\udfff" for value in found.values() for each in value):
        raise Problem("a placeholder's value is not UTF-8")
    key = d.settings.templates.live[0].key(found)
    match = d.settings.templates.match(key)
    if match is None or not isinstance(match[1], Pair) or dict(match[1].values) != found:
        raise Problem(f"{key} does not read back as the same values; choose values without {_marks(d)!r}")
    longest = max(len(each.encode()) for each in (*match[1].live_keys, *match[1].image_keys))
    if longest > MAX_KEY_BYTES:
        raise Problem(f"these values make a key of {longest} bytes, and COS allows {MAX_KEY_BYTES}")
    return match[1]


def _marks(d: Deployment) -> str:
    return re.sub(r"\{[^}]*\}|[\w/.]", "", d.settings.templates.live[0].text) or "/"


def links(d: Deployment, values: Sequence[str], seconds: int) -> dict[str, Any]:
    """Presigned links to PUT both halves of one pair to, that end after `seconds`."""
    pair = pair_of(d, values)
    return {
        "pair": dict(pair.values),
        "seconds": seconds,
        "live": {"key": pair.live_keys[0], "put": d.uploads.upload_link(pair.live_keys[0], seconds)},
        "image": {"key": pair.image_keys[0], "put": d.uploads.upload_link(pair.image_keys[0], seconds)},
    }


def new_pair(d: Deployment, kind: str) -> Pair:
    """A pair that nobody has used: its values tell that a command made it."""
    made = f"{kind}{secrets.token_hex(8)}"  # letters and digits alone, which hardly any template separates by
    return pair_of(d, [f"{name}={made}" for name in d.settings.templates.live[0].names])


def erased_by(pair: Pair) -> str:
    """The key with which `forget` erases both halves of a pair that `new_pair` made."""
    return pair.image_keys[0] if pair.shared else pair.live_keys[0]


def read(path: Path, most: int, setting: str) -> bytes:
    """A local file to be uploaded. Raises Problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise Problem(f"{path} has {len(data)} bytes, and {setting} is {most}: it would be rejected")
    return data


def verify(
    d: Deployment, output: Output, pair: Pair, live: bytes, image: bytes, seconds: float
) -> tuple[Record, float]:
    """Upload a pair and wait until its outcome has been told. Returns the record and how long it took.

    Raises Problem where that takes longer than `seconds`, saying how far it came.
    """
    until = d.clock.elapsed() + seconds
    with output.err.status("uploading the image …") as status:
        d.uploads.upload(pair.image_keys[0], image)
        status.update("uploading the live package …")
        d.uploads.upload(pair.live_keys[0], live)
        began = d.clock.elapsed()
        halves = _uploaded(d, pair.live_keys[0], live), _uploaded(d, pair.image_keys[0], image)
        which = verification(Seen(pair, d.settings.bucket, *halves), 1)
        while True:
            record = d.ledger.record(which)
            if record is not None and (record.delivered_at or record.dead_at):
                return record, d.clock.elapsed() - began
            claim = None if record else d.ledger.claim(which, 1)
            how_far = _how_far(record, claim)
            if d.clock.elapsed() > until:
                raise Problem(
                    f"no outcome was told in {span(seconds)}: {how_far}. `doctor` and "
                    f"`show {pair.live_keys[0]}` tell more, `forget {erased_by(pair)}` erases it"
                )
            status.update(f"waiting: {how_far}")
            d.clock.sleep(POLL_SECONDS)


def _how_far(record: Record | None, claim: Claim | None) -> str:
    if record is not None:
        return f"{record.outcome}, not yet taken by the webhook after {record.attempts} attempts"
    if claim is None:
        return "no instance has taken it up: see that the COS trigger is there and enabled"
    if claim.retry_at is not None:
        return f"the API answered {claim.code}, and is asked again later"
    return "the API is being asked"


def _uploaded(d: Deployment, key: str, data: bytes) -> Half:
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Half(d.settings.bucket, key, md5, md5, len(data), d.clock.now())
