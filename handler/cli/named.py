"""What the name of an agenda entry tells, so that most of the agenda is known without reading it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import unquote

from handler.rules.agenda import MOMENT

_MOMENT = r"(?P<since>\d{8}T\d{6}Z|_)"
_ABOUT_VERIFICATION = re.compile(
    rf"(?P<kind>take_over|deliver)-(?P<id>[0-9a-f]{{32}})-(?P<number>\d+)-{_MOMENT}-(?P<pair>.+)"
)
_LOOK = re.compile(
    rf"(?P<kind>look)-[0-9a-f]{{32}}-(?P<number>_?\d+)-(?P<role>live|image|_)-(?P<run>\d+|_)-{_MOMENT}"
    r"-(?P<key>[^_].*)"
)


class Named(NamedTuple):
    """An entry as its name tells it. `number` is the claim's, the attempt's, or the look's step.

    A look has the `key` of its upload, and perhaps its `role` and a `run`; the others have a `verification`'s
    ID and the `path` of its pair.
    """

    kind: str
    number: int
    since: datetime | None
    verification: str | None = None
    path: str | None = None
    key: str | None = None
    role: str | None = None
    run: int | None = None


def named(key: str) -> Named | None:
    """What the key of an agenda entry tells; None where the entry has to be read.

    That is a walk, one of the version before, one about an upload with a long key, and what is no entry.
    """
    name = key.rpartition("/")[2]
    found = _ABOUT_VERIFICATION.fullmatch(name) or _LOOK.fullmatch(name)
    if found is None:
        return None
    known = {field: value for field, value in found.groupdict().items() if value not in (None, "_")}
    try:
        since = _time(known.get("since"))
    except ValueError:
        return None
    return Named(
        kind=known["kind"],
        number=int(known["number"].replace("_", "-")),
        since=since,
        verification=known.get("id"),
        path=known["pair"].replace(":", "/") if "pair" in known else None,
        key=unquote(known["key"]) if "key" in known else None,
        role=known.get("role"),
        run=int(known["run"]) if "run" in known else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.strptime(text, MOMENT).replace(tzinfo=timezone.utc) if text else None
