"""The records of a time, pair after pair: those that the cache does not know are read side by side.

LIST shows every record with its ETag, a request for every thousand. Its order brings the records of one pair
together, so a pair is counted without remembering any other.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

from handler.cli.deployment import Deployment
from handler.cli.find import nothing, side_by_side, verification_of_key
from handler.cli.report.cache import Cache
from handler.cli.report.row import Row, data_of, row_of
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

T = TypeVar("T")

CHUNK = 256  # records that are in memory at once
MARGIN = timedelta(minutes=10)
"""How far the function's clock, which decides, may be ahead of COS's, by which a record was written."""

SETTLED = timedelta(seconds=10)
"""How old a record has to be for the cache: of a newer one GET may show what was there before its ETag."""

MOST_TOLD = 20
"""How many of the records that cannot be read are named."""

_RECORD = re.compile(r"(?P<path>.+)/(?P<id>[0-9a-f]{32})\.json")


class Period(NamedTuple):
    """The time that a report is about: decided at `since` or later, and before `until` where there is one."""

    since: datetime
    until: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


class Named(NamedTuple):
    """What names a verification's pair: asked for expressly, and never kept."""

    live_key: str
    image_key: str
    values: dict[str, str]


class Entry(NamedTuple):
    """A verification of the time, and its pair's path. `named` is given where `with_pair` asked for it."""

    path: str
    row: Row
    named: Named | None = None


class Reader:
    """Reads the records of a time, and counts how."""

    def __init__(self, deployment: Deployment, cache: Cache, *, with_pair: bool = False) -> None:
        self._deployment, self._cache, self._with_pair = deployment, cache, with_pair
        self._prefix = deployment.state_prefix("records")
        self.read = self.from_cache = self.left_out = self.unreadable = 0
        """Records that were read; that the cache knew; that `limit` left out; that cannot be read."""
        self.why: list[str] = []
        """Why records cannot be read, of the first `MOST_TOLD`."""

    def pairs(
        self, period: Period, limit: int | None, done: Callable[[], object] = nothing
    ) -> Iterator[list[Entry]]:
        """The verifications of a time, those of one pair together; `done` is called after each record.

        With `limit` the newest so many records are looked at. What is gone from the bucket is forgotten from
        the cache, once all was listed. Raises CosError.
        """
        listed = self._listed(period)
        if limit is not None:
            listed = self._newest(listed, limit)
        entries = (
            entry
            for chunk in _chunks(listed)
            for entry in self._entries(chunk, done)
            if period.holds(entry.row.decided_at)
        )
        for _, pair in groupby(entries, lambda entry: entry.path):
            yield list(pair)
        self._cache.forget_what_was_not_shown()

    def _listed(self, period: Period) -> Iterator[Stored]:
        """The records that may be of the time, in order of their keys."""
        for chunk in _chunks(self._deployment.state.every(self._prefix)):
            records = [stored for stored in chunk if self._match(stored)]
            self._cache.show(self._id(stored) for stored in records)
            yield from (each for each in records if each.uploaded_at >= period.since - MARGIN)

    def _newest(self, listed: Iterable[Stored], limit: int) -> Iterator[Stored]:
        """The `limit` that were written last, in order of their keys; the others are counted."""
        newest: list[tuple[datetime, str, Stored]] = []
        for stored in listed:
            each = (stored.uploaded_at, stored.key, stored)
            if len(newest) < limit:
                heapq.heappush(newest, each)
            else:
                heapq.heappushpop(newest, each)
                self.left_out += 1
        yield from sorted((stored for _, _, stored in newest), key=lambda stored: stored.key)

    def _entries(self, chunk: list[Stored], done: Callable[[], object]) -> Iterator[Entry]:
        known: dict[str, Row] = {}
        if not self._with_pair:
            known = self._cache.known({self._id(stored): stored.etag for stored in chunk})
        self.from_cache += len(known)
        for _ in known:
            done()
        unknown = [stored for stored in chunk if self._id(stored) not in known]
        records = side_by_side((partial(self._record, stored.key) for stored in unknown), done)
        found = {stored.key: record for stored, record in zip(unknown, records, strict=True) if record}
        self.read += len(found)
        rows = {key: row_of(record) for key, record in found.items()}
        settled = self._deployment.clock.now() - SETTLED
        self._cache.keep(
            (self._id(stored), stored.etag, rows[stored.key])
            for stored in unknown
            if stored.key in rows and stored.uploaded_at < settled
        )
        for stored in chunk:
            row = known.get(self._id(stored)) or rows.get(stored.key)
            if row is not None:
                named = _named(found[stored.key]) if self._with_pair else None
                yield Entry(self._path(stored), row, named)

    def _record(self, key: str) -> Record | None:
        """A record; None where it is gone, or cannot be read, which is noted."""
        try:
            return self._deployment.ledger.record(verification_of_key(self._deployment, key))
        except CorruptState as error:
            self.unreadable += 1
            if len(self.why) < MOST_TOLD:
                self.why.append(str(error))
            return None

    def _match(self, stored: Stored) -> re.Match[str] | None:
        return _RECORD.fullmatch(stored.key, len(self._prefix))

    def _id(self, stored: Stored) -> str:
        return stored.key[-37:-5]  # before `.json`

    def _path(self, stored: Stored) -> str:
        return stored.key[len(self._prefix) : -38]

    def value(self, entry: Entry, placeholder: str) -> str:
        """The value of a pair's placeholder; of a long path the record is read. Empty where there is none."""
        if entry.named is not None:
            return entry.named.values.get(placeholder, "")
        if entry.path.startswith("~"):
            record = self._record(f"{self._prefix}{entry.path}/{entry.row.id}.json")
            return _named(record).values.get(placeholder, "") if record else ""
        names = self._deployment.settings.templates.live[0].names
        parts = entry.path.split("/")
        return unquote(parts[names.index(placeholder)]) if len(parts) == len(names) else ""


def _named(record: Record) -> Named:
    pair = data_of(record).get("pair")
    values = {str(name): str(value) for name, value in pair.items()} if isinstance(pair, dict) else {}
    return Named(record.live_key, record.image_key, values)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
