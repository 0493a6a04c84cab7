"""A bucket's objects, how unkind the world is, and what it has seen.

What is bounded here is what the protocol assumes: see the constants.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from handler.rules.agenda import MINUTE
from handler.rules.uploads import Stored
from tests.simulation.world import EPOCH, Instance, World

WINDOW = 0.045
"""Seconds within which two create-only PUTs can both succeed: shorter than the settle."""

SLOWEST = 1.3
"""Seconds that a request, or an answer, is under way at the most, unless it gets lost."""

HEAD_LAG, LIST_LAG = 8.0, 180.0
"""Seconds for which HEAD and LIST may show what was there before."""


@dataclass(slots=True)
class Mood:
    """How unkind the world is: how likely each fault is, for one request, PUT or call.

    Those that end in `_s` are bounds in seconds, which a run that breaks an assumption exceeds.
    """

    die: float = 0.0
    die_recording: float = 0.0
    slow: float = 0.0
    refused: float = 0.0
    committed: float = 0.0
    unanswered: float = 0.0
    conflict: float = 0.0
    wide_window: float = 0.0
    head_lag: float = 0.0
    list_lag: float = 0.0
    read_lag: float = 0.0
    throttled: float = 0.0
    trouble: float = 0.0
    forbidden: float = 0.0
    verdict_lost: float = 0.0
    unreached: float = 0.0
    slow_call: float = 0.0
    frame_lost: float = 0.0
    hook_refuses: float = 0.0
    hook_late: float = 0.0
    hook_gone: float = 0.0
    cos_down: tuple[float, float] = (0.0, 0.0)
    api_down: tuple[float, float, str] = (0.0, 0.0, "")
    hook_down: tuple[float, float, str] = (0.0, 0.0, "")
    api_rate: int = 0
    """Calls that the API takes in a second; 0: as many as come."""
    silent_versions: bool = False
    hash_s: float = 0.0
    """Seconds for which an upload is read through that has no MD5, at the most."""
    window_s: float = WINDOW
    slowest_s: float = SLOWEST
    late_effect_s: tuple[float, float] = (0.0, 0.0)
    """How much later a request takes effect that is not answered, or whose sender died."""


KIND = Mood()


@dataclass(slots=True)
class Version:
    """An object as one PUT or DELETE (`data` None) left it, and from when HEAD and LIST show it.

    `is_md5`: the ETag is one. `number` is the upload's.
    """

    data: bytes | None
    etag: str
    md5: str
    is_md5: bool
    size: int
    at: float
    modified: datetime
    seen_at: float
    listed_at: float
    number: int


class Store:
    """A bucket's objects. The last version is the truth, which GET shows at once."""

    def __init__(self, world: World, name: str, *, versioned: bool, page: int) -> None:
        self.world = world
        self.name = name
        self.versioned = versioned
        self.page = page
        self.objects: dict[str, list[Version]] = {}
        self._keys: list[str] = []
        """The keys of `objects`, in order: LIST costs with what it shows, and not with what is there."""
        self.changed: dict[str, float] = {}
        """When each key was last written or deleted."""
        self.on_put: Callable[[str], None] | None = None
        """Called with every key that is written."""
        self.alternatives: Callable[[str], tuple[str, ...]] = lambda key: (key,)
        """The keys that an upload may have instead of this one."""

    def put(
        self,
        key: str,
        data: bytes | None,
        *,
        md5: str = "",
        is_md5: bool = True,
        size: int = 0,
        seen_at: float = 0.0,
        listed_at: float = 0.0,
        number: int = 0,
    ) -> None:
        """Store a version, or with None delete the object."""
        now = self.changed[key] = self.world.now
        version = Version(
            data,
            f'"{md5}"' if is_md5 else f'"{md5}-2"',
            md5,
            is_md5,
            size,
            now,
            EPOCH + timedelta(seconds=int(now)),
            seen_at,
            listed_at,
            number,
        )
        versions = self.objects.get(key)
        if versions is None:
            if data is not None:
                self.objects[key] = [version]
                insort(self._keys, key)
        else:
            versions.append(version)
            # What neither HEAD nor LIST can show any more is forgotten.
            while len(versions) > 1 and versions[1].seen_at <= now and versions[1].listed_at <= now:
                del versions[0]
            if len(versions) == 1 and data is None:
                self._drop(key)
        if self.on_put is not None and data is not None:
            self.on_put(key)

    def _drop(self, key: str) -> None:
        del self.objects[key]
        del self._keys[bisect_left(self._keys, key)]

    def _under(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys under a prefix that come after one, in order."""
        keys = self._keys
        for place in range(bisect_left(keys, max(prefix, after)), len(keys)):
            if not keys[place].startswith(prefix):
                return
            yield keys[place]

    def now(self, key: str) -> Version | None:
        """The object as it is."""
        versions = self.objects.get(key)
        return versions[-1] if versions and versions[-1].data is not None else None

    def seen(self, key: str) -> Version | None:
        """The object as HEAD shows it."""
        for version in reversed(self.objects.get(key, ())):
            if version.seen_at <= self.world.now:
                return version if version.data is not None else None
        return None

    def names(self, prefix: str = "") -> list[str]:
        """The keys that are there, in order."""
        return [key for key in self._under(prefix) if self.objects[key][-1].data is not None]

    def listed(self, prefix: str, after: str) -> tuple[list[Stored], bool]:
        """A page of what LIST shows."""
        now = self.world.now
        found: list[Stored] = []
        gone = []
        for key in self._under(prefix, after):
            if len(found) > self.page:
                break  # one more tells that there is more
            versions = self.objects[key]
            for version in reversed(versions):
                if version.listed_at <= now:
                    if version.data is not None:
                        if key > after:
                            found.append(Stored(key, version.etag, None, version.size, version.modified))
                    elif version is versions[-1] and version.seen_at <= now:
                        gone.append(key)
                    break
        for key in gone:
            self._drop(key)
        return found[: self.page], len(found) > self.page


@lru_cache(10_000)
def due_second(key: str) -> float | None:
    """When the agenda key is due, None where it is no agenda key."""
    _, found, rest = key.partition("agenda/")
    if not found:
        return None
    try:
        at = datetime.strptime(rest.partition("/")[0] + "+0000", MINUTE + "%z")
    except ValueError:
        return None
    return (at - EPOCH).total_seconds()


@dataclass(slots=True)
class Verdict:
    """A judgement that was billed. `instance` asked for it with claim `claim`; `arrived`: it was told it."""

    verification: str
    path: str
    claim: int
    live_md5: str
    image_md5: str
    code: str
    similarity: float | None
    instance: Instance
    at: float
    arrived: bool = False


@dataclass(slots=True)
class Post:
    """An attempt at a delivery, `instance`'s; `put_off`: the consumer asked for it to come back later."""

    at: float
    instance: Instance
    put_off: bool


@dataclass(slots=True)
class Asked:
    """What an operator asked for: run number `run` of what `record` is about."""

    at: float
    function: int
    run: int
    record: dict[str, Any]


@dataclass(slots=True)
class Books:
    """What the world has seen, for the checks."""

    mood: Mood
    stores: dict[str, Store] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    calls: int = 0
    cos: int = 0
    """Requests to COS."""
    claimed: dict[str, dict[str, float]] = field(default_factory=dict)
    """When each verification was first claimed, by pair."""
    taken: deque[float] = field(default_factory=deque)
    """When the API took a call, the last second's."""
    posts: dict[str, list[Post]] = field(default_factory=dict)
    """Every attempt at a delivery, by message id."""
    bodies: dict[str, dict[str, None]] = field(default_factory=dict)
    """Every body that reached the consumer, by message id."""
    former: list[tuple[str, dict[str, None]]] = field(default_factory=list)
    """The same of messages whose record was erased since."""
    accepted: dict[str, list[float]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Messages that the consumer answered 410."""
    recorded: dict[str, list[tuple[float, Instance]]] = field(default_factory=dict)
    """Who stored a record first, or anew, by verification."""
    decided: set[str] = field(default_factory=set)
    """The messages that instances recorded, as they are."""
    unrecorded: set[tuple[str, Instance]] = field(default_factory=set)
    """Whose record COS refused or did not answer for."""
    excused: set[tuple[int, str]] = field(default_factory=set)
    """Pairs, by function and path, whose state was spoiled or is erased."""
    unmarked: set[tuple[int, str]] = field(default_factory=set)
    """Pairs whose mark was spoiled: a late image may find them only by a reconcile."""
    redelivered: dict[str, list[float]] = field(default_factory=dict)
    """When an operator had a message delivered anew, by verification."""
    promised: list[tuple[float, str]] = field(default_factory=list)
    """Of which verifications, and when, `redeliver` said that they are delivered anew."""
    erased: list[tuple[float, int, str, frozenset[str]]] = field(default_factory=list)
    """Of which pair, with which uploads, and when, `forget` said that nothing is left."""
    asked: list[Asked] = field(default_factory=list)
    """The further runs that an operator asked for, and that stood on the agenda."""
    raced: int = 0
    """Uploads deleted that were made between the look at the object and its deletion."""


def record_in(data: bytes) -> dict[str, Any]:
    """A record as it is stored: what was decided, and its marks."""
    found: dict[str, Any] = json.loads(data)
    return {**found["decided"], **found}
