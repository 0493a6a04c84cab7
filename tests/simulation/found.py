"""What lies in the buckets of a function when its history is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from handler.rules.pairing import Pair, Role
from handler.rules.uploads import Seen, Stored
from tests.simulation.history import History
from tests.simulation.platform import Function
from tests.simulation.store import record_in

Found = dict[str, dict[str, Any]]
"""The records of one function, by verification."""

Check = Callable[[History, Function, Found, bool], Iterator[str]]


def records(function: Function) -> Found:
    prefix = f"{function.settings.state_prefix}records/"
    found: Found = {}
    excused = {path for number, path in function.history.books.excused if number == function.number}
    for key in function.state.names(prefix):
        if key.removeprefix(prefix).rpartition("/")[0] in excused:
            continue
        stored = function.state.now(key)
        if stored is not None and stored.data is not None:
            record = record_in(stored.data)
            record["data"] = json.loads(record["body"])["data"]
            found[record["verification"]] = record
    return found


def pairs(function: Function) -> list[Pair]:
    """The pairs of which at least one upload is there."""
    found: dict[str, Pair] = {}
    for key in function.uploads.names():
        if not key.startswith(function.settings.state_prefix):
            match = function.settings.templates.match(key)
            if match is not None and isinstance(match[1], Pair):
                found[match[1].path] = match[1]
    return list(found.values())


def newest(function: Function, pair: Pair, role: str) -> tuple[Stored, int] | None:
    """The upload of a role that counts, and its number."""
    newest: tuple[Stored, int] | None = None
    for key in pair.keys("live" if role == "live" else "image"):
        stored = function.uploads.now(key)
        if stored is not None and (newest is None or stored.modified > newest[0].uploaded_at):
            half = Stored(key, stored.etag, stored.md5, stored.size, stored.modified)
            if not stored.is_md5 and stored.size > _most(function, "live" if role == "live" else "image"):
                half = Stored(key, stored.etag, None, stored.size, stored.modified)
            newest = half, stored.number
    return newest


def _most(function: Function, role: Role) -> int:
    settings = function.settings
    return settings.max_live_bytes if role == "live" else settings.max_image_bytes


def seen_now(function: Function, pair: Pair) -> tuple[Seen, list[int]]:
    """The pair as it lies in the bucket, and the numbers of the uploads that count."""
    halves = {role: newest(function, pair, role) for role in ("live", "image")}
    live, image = halves["live"], halves["image"]
    seen = Seen(pair, function.settings.bucket, live and live[0], image and image[0])
    return seen, [half[1] for half in (live, image) if half]
