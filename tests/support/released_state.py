"""Scenes of a released version: what stood in the bucket at one moment, kept as JSON and put back for tests.

A scene holds its time, the function's settings, the uploads and every state object by its key. The bytes of
uploads are kept too, since ids are digests of them and another zlib would pack the samples differently.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from handler.state.seal import Seals
from tests.cloud import consumer
from tests.cloud.clock import Clock
from tests.support.harness import BUCKET, Livepair
from tests.support.project import PROJECT

STATE_1 = PROJECT / "tests" / "released" / "state-1"
"""Scenes of the version that first wrote state of version 1."""

PREFIX = "livepair/"
SEALS = Seals((consumer.SECRET,))
"""Scenes are sealed with the local cloud's secret."""

UNKNOWN = {"a_field_of_tomorrow": {"holds": ["anything", None, 1]}}
HELD = ("verification", "decided", "live", "image", "answer", "best_frame")
"""Objects within state objects; `tries` is none of them, since its names are data."""


def scene_of(livepair: Livepair, settings: dict[str, str]) -> dict[str, Any]:
    """What stands in the bucket now. Best frames are left out: nothing reads them."""
    bucket = livepair.cloud.cos.bucket(BUCKET)
    objects = [bucket.get(key) for key in bucket.keys("")]
    return {
        "at": livepair.cloud.clock.now().isoformat(timespec="milliseconds"),
        "settings": settings,
        "uploads": {
            found.key: {
                "at": found.written.isoformat(timespec="milliseconds"),
                "base64": base64.b64encode(found.data).decode(),
            }
            for found in objects
            if not found.key.startswith(PREFIX)
        },
        "state": {
            found.key.removeprefix(PREFIX): json.loads(found.data)
            for found in objects
            if found.key.startswith(PREFIX) and not found.key.endswith(".jpg")
        },
    }


def read_scene(name: str, folder: Path = STATE_1) -> dict[str, Any]:
    scene: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return scene


def put_back(livepair: Livepair, scene: dict[str, Any], *, with_unknown: bool = False) -> None:
    """Make the bucket what it was, at the time when it was. The events of the uploads wait.

    `with_unknown` adds a field that nobody knows to every state object, and to what those hold.
    """
    clock = livepair.cloud.clock
    for key, upload in sorted(scene["uploads"].items(), key=lambda each: str(each[1]["at"])):
        move_to(clock, datetime.fromisoformat(upload["at"]))
        livepair.put(key, base64.b64decode(upload["base64"]))
    move_to(clock, datetime.fromisoformat(scene["at"]))
    for key, stored in scene["state"].items():
        body = sealed(key, _with_unknown(stored)) if with_unknown else stored
        livepair.put(PREFIX + key, json.dumps(body, ensure_ascii=False).encode())


def move_to(clock: Clock, at: datetime) -> None:
    """Move the clock on to `at`; it stays where it is if that is past by less than a second."""
    ahead = (at - clock.now()).total_seconds()
    assert ahead > -1, f"it is {-ahead} s too late"
    clock.advance(max(0.0, ahead))


def _with_unknown(stored: dict[str, Any]) -> dict[str, Any]:
    held = {name: _with_unknown(stored[name]) for name in HELD if isinstance(stored.get(name), dict)}
    return {**stored, **held, **UNKNOWN}


def sealed(key: str, stored: dict[str, Any]) -> dict[str, Any]:
    """A state object as its version writes it: a record with the seal of all that was decided."""
    if "decided" not in stored:
        return stored
    text = json.dumps(stored["decided"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return {**stored, "seal": SEALS.seal(PREFIX + key, text)}
