"""The newest uploads: whether they can be read, and whether the templates match them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import NamedTuple

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.trouble import made
from handler.cli.find import side_by_side
from handler.cli.first_bytes import LOOKED_AT, what_is_wrong
from handler.cli.output import when
from handler.edges.bucket import CosError, Forbidden
from handler.rules.pairing import AmbiguousKey, Role
from handler.rules.uploads import Stored

NEWEST = 10  # keys of uploads that are shown
MOST_LISTED = 10_000  # uploads under each prefix that are looked through for the newest


class Reading(NamedTuple):
    """How the templates read an upload's key: its role in a pair, or None and why it has none."""

    text: str
    role: Role | None


def uploads(deployment: Deployment) -> Iterator[Check]:
    newest = _newest(deployment)
    bucket = deployment.settings.bucket
    yield Check("list uploads", "ok", bucket)
    if not newest:
        yield Check("uploads", "info", f"none in {bucket}", "`verify --smoke` makes one")
        return
    yield from made("bucket of uploads", _read_one(deployment, newest[0]))
    readings = [_reading(deployment, stored.key) for stored in newest]
    asked = [partial(_upload, deployment, *each) for each in zip(newest, readings, strict=True)]
    yield from side_by_side(asked)
    if not any(reading.role for reading in readings):
        yield Check(
            "templates",
            "fail",
            f"none of the newest {len(newest)} uploads matches LIVE_KEY or IMAGE_KEY",
            "make the templates and the keys that your application chooses agree",
        )


def _newest(deployment: Deployment) -> list[Stored]:
    """Of the first `MOST_LISTED` keys under each template's prefix, and of the whole bucket."""
    state_prefix = deployment.settings.state_prefix
    newest: dict[str, Stored] = {}
    for prefix in sorted({"", *(template.prefix for template in deployment.templates)}):
        for stored in islice(deployment.uploads.every(prefix), MOST_LISTED):
            if not stored.key.endswith("/") and not stored.key.startswith(state_prefix):
                newest[stored.key] = stored
    return sorted(newest.values(), key=lambda each: each.uploaded_at, reverse=True)[:NEWEST]


def _read_one(deployment: Deployment, newest: Stored) -> Iterator[Check]:
    """One piece read is a permission tried."""
    told = f"the newest was made at {when(newest.uploaded_at)}"
    try:
        with closing(deployment.uploads.objects.pieces(newest)) as pieces:
            next(pieces, None)
    except Forbidden as error:
        if error.code != "InvalidObjectState":
            raise
        yield Check("read uploads", "warn", f"{told} and is archived", "restore it, or it ends as failed")
        return
    yield Check("read uploads", "ok", told)


def _upload(deployment: Deployment, stored: Stored, reading: Reading) -> Check:
    """One of the newest, and whether it can be what its role asks for, by its first bytes."""
    told = f"{stored.key}: {reading.text}"
    wrong = None
    if reading.role is not None and stored.size:
        try:
            first = deployment.uploads.first_bytes(stored, LOOKED_AT)
        except CosError:
            first = None  # archived, or not to be read: `read uploads` says so of the newest
        wrong = what_is_wrong(reading.role, first) if first else None
    if wrong is None:
        return Check("upload", "info", told)
    return Check("upload", "warn", f"{told}, {wrong.found}", wrong.do)


def _reading(deployment: Deployment, key: str) -> Reading:
    try:
        match = deployment.settings.templates.match(key)
    except AmbiguousKey:
        return Reading("is ambiguous: choose values without the template's separators", None)
    return Reading(match[0], match[0]) if match else Reading("matches no template", None)
