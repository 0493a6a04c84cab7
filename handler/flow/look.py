"""Look up a pair, and know when to look at it again.

HEAD and GET are expected to show a finished PUT at once, but nobody promises it, so no pair depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial

from handler.edges.cos import Stored
from handler.rules.outcome import Half, Seen
from handler.rules.pairing import MAX_KEY_BYTES, Pair, Role
from handler.services import Services, Trace
from handler.state.ledger import Entry, Task

LOOKS = (60, 300, 1200)
"""Seconds after an upload at which a pair is looked at again; then at PAIR_TIMEOUT."""

UNREADABLE_LOOKS = (*LOOKS, *range(3600, 24 * 3600 + 1, 3600))
"""The same where an upload may not be read: a permission that is given within a day heals it."""

AT_ONCE = -1
"""The step of a look that is not counted from an upload."""

SLACK = timedelta(seconds=2)
"""How much older than its event an upload's Last-Modified may be."""


def look_up(s: Services, pair: Pair, trace: Trace) -> dict[str, Half | None]:
    """HEAD every key that the pair may have, at once."""
    keys = [*pair.live_keys, *pair.image_keys]
    with trace.stage("look_up"):
        found = s.together([partial(_head, s, key) for key in keys])
    return {key: _half(s, stored) for key, stored in zip(keys, found, strict=True)}


def _head(s: Services, key: str) -> Stored | None:
    # A partner whose key would be longer than COS allows cannot be there.
    return s.uploads.head(key) if len(key.encode()) <= MAX_KEY_BYTES else None


def _half(s: Services, stored: Stored | None) -> Half | None:
    if stored is None:
        return None
    at = stored.last_modified
    return Half(s.settings.bucket, stored.key, stored.etag, stored.md5, stored.size, at, stored.archived)


def seen_of(s: Services, pair: Pair, heads: Mapping[str, Half | None]) -> Seen:
    """Of several alternatives that are there the newest counts, the first named where they are as old."""

    def newest(keys: Iterable[str]) -> Half | None:
        return max((h for h in map(heads.get, keys) if h), key=lambda h: h.uploaded_at, default=None)

    return Seen(pair, s.settings.bucket, newest(pair.live_keys), newest(pair.image_keys))


def with_md5(s: Services, seen: Seen, trace: Trace) -> Seen:
    """Read through what has no MD5 as its ETag, unless it is too large anyway. Raises Changed, Forbidden."""

    def known(half: Half | None, most: int) -> Half | None:
        if half is None or half.md5 or half.size > most or half.archived:
            return half
        stored = Stored(half.key, half.etag, None, half.size, half.uploaded_at)
        with trace.stage("md5"):
            return half._replace(md5=s.uploads.md5(stored))

    return seen._replace(
        live=known(seen.live, s.settings.max_live_bytes),
        image=known(seen.image, s.settings.max_image_bytes),
    )


def _look_times(s: Services) -> tuple[int, ...]:
    timeout = s.settings.pair_timeout
    return (*(seconds for seconds in LOOKS if seconds < timeout), timeout)


def next_look(s: Services, look: Task, times: tuple[int, ...] | None = None) -> Entry | None:
    """The next look after an upload, counted from the upload, so that everybody derives the same entry."""
    now, uploaded_at = s.clock.now(), look.uploaded_at or s.clock.now()
    for step, seconds in enumerate(times or _look_times(s)):
        at = uploaded_at + timedelta(seconds=seconds)
        if at > now:
            return Entry(at, Task("look", look.bucket, look.key, look.role, uploaded_at, step, look.run))
    return None


def at_once(s: Services, look: Task) -> Entry:
    """Another look as soon as a sweep can, beside those that are counted from the upload."""
    return Entry(s.clock.now() + timedelta(minutes=1), look._replace(kind="look", step=AT_ONCE))


def look_keys(s: Services, seen: Seen) -> tuple[str, ...]:
    """Where on the agenda looks at this pair can stand."""
    keys = []
    roles: tuple[Role, ...] = ("live", "image")
    for role in roles:
        half = seen.half(role)
        if half is None:
            continue
        for step, seconds in enumerate(_look_times(s)):
            look = Task("look", half.bucket, half.key, role, half.uploaded_at, step)
            keys.append(s.ledger.agenda_key(Entry(half.uploaded_at + timedelta(seconds=seconds), look)))
    if seen.pair.shared and seen.complete:
        keys += [s.ledger.waiting_prefix(key) + seen.pair.path for key in seen.pair.image_keys]
    return tuple(keys)


def is_seen(stored: Stored | Half | None, look: Task, etag: str | None = None) -> bool:
    """Whether the upload that is looked for is what COS shows, or a later one, and not an older one or none.

    `etag` is the event's, which alone tells two uploads within SLACK apart.
    """
    if stored is None:
        return False
    at = stored.uploaded_at if isinstance(stored, Half) else stored.last_modified
    if look.uploaded_at is not None and at > look.uploaded_at:
        return True
    is_recent = look.uploaded_at is None or at >= look.uploaded_at - SLACK
    return is_recent and (etag is None or etag.strip('"') == stored.etag.strip('"'))
