"""COS, the API and the consumer as one invocation meets them, and everything that goes wrong with them.

A request takes effect a while after it was sent and is answered a while later. Once sent it takes effect even
if its sender dies. What is bounded here is what the protocol assumes: see the constants.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from handler.clock import Deadline
from handler.edges.cos import REQUEST_SECONDS, TRIES, Bucket, Changed, CosError, Exists, Stored, Unavailable
from handler.edges.faceid import Answer, FrameError, RelayError, Resource, code_row
from handler.edges.webhook import Delivery
from handler.state.ledger import MINUTE
from tests.simulation.world import EPOCH, Death, Instance, World

T = TypeVar("T")

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
        self.on_put: Callable[[str], None] | None = None
        """Called with every key that is written."""

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
        now = self.world.now
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
        else:
            versions.append(version)
            # What neither HEAD nor LIST can show any more is forgotten.
            while len(versions) > 1 and versions[1].seen_at <= now and versions[1].listed_at <= now:
                del versions[0]
            if len(versions) == 1 and data is None:
                del self.objects[key]
        if self.on_put is not None and data is not None:
            self.on_put(key)

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
        return sorted(
            key
            for key, versions in self.objects.items()
            if key.startswith(prefix) and versions[-1].data is not None
        )

    def listed(self, prefix: str, after: str) -> tuple[list[Stored], bool]:
        """A page of what LIST shows."""
        now = self.world.now
        found = []
        gone = []
        for key, versions in self.objects.items():
            if not key.startswith(prefix):
                continue
            for version in reversed(versions):
                if version.listed_at <= now:
                    if version.data is not None:
                        if key > after:
                            found.append((key, version))
                    elif version is versions[-1] and version.seen_at <= now:
                        gone.append(key)
                    break
        for key in gone:
            del self.objects[key]
        found.sort(key=lambda item: item[0])
        page = found[: self.page]
        return [
            Stored(key, version.etag, None, version.size, version.modified) for key, version in page
        ], len(page) < len(found)


@lru_cache(10_000)
def due_second(key: str) -> float | None:
    """When the agenda key is due, None where it is no agenda key."""
    _, found, rest = key.partition("agenda/")
    if not found:
        return None
    at = datetime.strptime(rest.partition("/")[0] + "+0000", MINUTE + "%z")
    return (at - EPOCH).total_seconds()


@dataclass(slots=True)
class Verdict:
    """A judgement that was billed. `instance` asked for it with claim `claim`; `arrived`: it was told it."""

    verification: str
    claim: int
    live_md5: str
    image_md5: str
    code: str
    similarity: float | None
    instance: Instance
    at: float
    arrived: bool = False


@dataclass(slots=True)
class Books:
    """What the world has seen, for the checks."""

    mood: Mood
    stores: dict[str, Store] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    calls: int = 0
    taken: deque[float] = field(default_factory=deque)
    """When the API took a call, the last second's."""
    bodies: dict[str, dict[str, None]] = field(default_factory=dict)
    """Every body that reached the consumer, by message id."""
    accepted: dict[str, list[float]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Messages that the consumer answered 410."""
    recorded: dict[str, list[tuple[float, Instance]]] = field(default_factory=dict)
    """Who stored a record first, or anew, by verification."""
    unrecorded: set[tuple[str, Instance]] = field(default_factory=set)
    """Whose record COS refused or did not answer for."""
    raced: int = 0
    """Uploads deleted that were made between the look at the object and its deletion."""


# --- what all services have in common ---------------------------------------------------------------


class Remote:
    """One invocation's way to a service."""

    def __init__(self, world: World, books: Books, instance: Instance) -> None:
        self.world = world
        self.books = books
        self.instance = instance

    def fault(self, name: str) -> None:
        self.world.faults[name] += 1

    def under_way(self, mood: Mood) -> float:
        """Seconds that a request or an answer is under way."""
        draw = self.world.draw
        seconds = 0.002 + 0.015 * draw()
        if mood.slow and draw() < mood.slow:
            self.fault("slow on its way")
            seconds += mood.slowest_s * draw()
        return seconds

    def exchange(
        self,
        says: str,
        effect: Callable[[], T],
        seconds: float,
        *,
        check: Callable[[], None] | None = None,
        took: float = 0.0,
        lost: bool = False,
        fails: bool = False,
        dies: bool = False,
    ) -> tuple[T] | None:
        """Send a request and wait for its answer: what `effect` returns, in a tuple, or raises.

        `effect` happens `took` seconds after the request arrived and `check` went well. Returns None where
        no answer came in `seconds`; if the answer is `lost`, none does. An answer that `fails` tells nothing
        of what happened. `dies`: its sender certainly dies before it is answered.
        """
        world, instance = self.world, self.instance
        if instance.dead:
            raise Death
        if world.exchange is not None:
            answered: tuple[T] | None = world.exchange(
                says, effect, seconds, check=check, took=took, lost=lost, fails=fails
            )
            return answered
        mood = self.books.mood
        lane = world.lane
        assert lane is not None
        died = dies
        if mood.die and world.draw() < mood.die:
            if world.draw() < 0.4:
                self.fault("died before a request")
                world.tell(instance, f"dies before {says}")
                instance.die()
                raise Death
            self.fault("died after a request")
            died = True
        request, answer = self.under_way(mood), self.under_way(mood)
        result: list[Any] = [None, None]

        def arrive() -> None:
            if check is not None:
                try:
                    check()
                except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                    result[1] = error
                    return
            if took:
                world.at(world.now + took, happen)
            else:
                happen()

        def happen() -> None:
            try:
                result[0] = effect()
            except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                result[1] = error

        arrives = request
        if (lost or died) and mood.late_effect_s[1]:
            low, high = mood.late_effect_s
            arrives += low + (high - low) * world.draw()
        world.at(world.now + arrives, arrive)
        wait = request + took + answer
        if died:
            world.tell(instance, f"sends {says}, and dies")
            world.at(world.now + wait * world.draw(), instance.die)
            world.park()
            raise Death
        in_time = not lost and wait <= seconds
        world.at(world.now + (wait if in_time else seconds), lambda: world.wake(lane))
        world.park()
        if not in_time:
            world.tell(instance, f"{says}: no answer in {seconds:.1f} s")
            return None
        if fails:
            world.tell(instance, f"{says} → 5xx")
            return None
        if world.trace is not None:
            world.tell(instance, f"{says} → {_shown(result[1] or result[0])}")
        if result[1] is not None:
            raise result[1]
        return (result[0],)


def _shown(result: object) -> str:
    if isinstance(result, CosError):
        return f"{type(result).__name__}"
    if isinstance(result, bytes):
        try:
            found = json.loads(result)
        except ValueError:
            return f"{len(result)} bytes"
        if "lease_until" in found:
            return f"claim {found['n']} of {found['request_id']}, retry_at {found['retry_at']}"
        if "outcome" in found:
            return f"record {found['outcome']}, delivered_at {found['delivered_at']}"
        return f"{found.get('kind')} {found.get('key')}"
    if isinstance(result, list):
        return f"{len(result)} found"
    if type(result) is tuple:  # a page of LIST; answers and deliveries are tuples with names
        return ", ".join(stored.key for stored in result[0]) or "nothing"
    if isinstance(result, Version):
        return f"{result.md5} of {result.modified:%H:%M:%S}"
    return str(result)


# --- COS --------------------------------------------------------------------------------------------


class SimulatedBucket(Remote):
    """`handler.edges.cos.Bucket` on a store; it repeats what is safe to repeat, as CosBucket does."""

    def __init__(
        self,
        world: World,
        books: Books,
        instance: Instance,
        store: Store,
        deadline: Deadline,
        state_prefix: str | None,
    ) -> None:
        super().__init__(world, books, instance)
        self.name = store.name
        self.store = store
        self._deadline = deadline
        self._state_prefix = state_prefix
        """What the function may write under; None: this is the uploads' bucket."""
        self._headed: dict[str, float] = {}

    # --- reads

    def head(self, key: str) -> Stored | None:
        def effect() -> Version | None:
            return self.store.seen(key)

        found: Version | None = self._steady("head", key, effect)
        self._headed[key] = self.world.now
        if found is None:
            return None
        return Stored(key, found.etag, found.md5 if found.is_md5 else None, found.size, found.modified)

    def read(self, key: str) -> bytes | None:
        def effect() -> bytes | None:
            lag = self.books.mood.read_lag
            found = self.store.seen(key) if lag else self.store.now(key)
            return found.data if found else None

        return self._steady("read", key, effect)

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        return self._steady("list", prefix, lambda: self.store.listed(prefix, after))

    def md5(self, stored: Stored) -> str:
        return self._whole(stored)

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        self._whole(stored)
        yield b""

    def _whole(self, stored: Stored) -> str:
        def effect() -> str:
            found = self.store.now(stored.key)
            if found is None:
                raise CosError("read", self.name, stored.key, 404, "NoSuchKey")
            if found.etag != stored.etag:
                raise Changed("read", self.name, stored.key, 412, "PreconditionFailed")
            return found.md5

        return self._once("get", stored.key, effect)

    def link(self, key: str, seconds: int) -> str:
        return f"{self.name}/{key}"

    # --- writes

    def write(
        self, key: str, data: bytes, content_type: str = "application/json", seconds: float | None = None
    ) -> bool:
        self._is_own(key)
        if seconds is None:
            return self._steady("write", key, lambda: self._put(key, data))
        return self._once("write", key, lambda: self._put(key, data), seconds)

    def create(self, key: str, data: bytes) -> bool:
        self._is_own(key)
        mood, lane = self.books.mood, self.world.lane
        if lane is not None and "/claims/" in f"/{key}":
            lane.claim = key
        window = 0.001
        if mood.wide_window and self.world.draw() < mood.wide_window:
            window = mood.window_s * self.world.draw()

        def check() -> None:
            if not self.store.versioned and self.store.now(key) is not None:
                raise Exists("write", self.name, key, 409, "FileAlreadyExists")

        def effect() -> bool:
            if not self.store.versioned and self.store.now(key) is not None:
                self.fault("two writers won a create-only PUT")
            return self._put(key, data)

        kept = self._once("create", key, effect, check=check, took=window)
        if mood.conflict and self.world.draw() < mood.conflict:
            # The answer is lost and the request is sent once more on its way, behind the client's back.
            self.fault("a writer is refused by its own object")
            raise Exists("write", self.name, key, 409, "FileAlreadyExists")
        return kept

    def _put(self, key: str, data: bytes) -> bool:
        mood, draw = self.books.mood, self.world.draw
        listed_at = seen_at = 0.0
        if mood.list_lag and draw() < mood.list_lag:
            self.fault("LIST lags")
            listed_at = self.world.now + LIST_LAG * draw() ** 2
        if mood.read_lag and draw() < mood.read_lag:
            self.fault("GET lags")
            seen_at = self.world.now + HEAD_LAG * draw()
        if "/records/" in f"/{key}":
            which = key.rpartition("/")[2].removesuffix(".json")
            before = self.store.now(key)
            if before is None or before.data is None or _nonce(before.data) != _nonce(data):
                self.books.recorded.setdefault(which, []).append((self.world.now, self.instance))
        self.store.put(key, data, listed_at=listed_at, seen_at=seen_at)
        return self.store.versioned and not mood.silent_versions

    def delete(self, keys: Iterable[str]) -> None:
        found = list(keys)
        looked_at = {key: self._headed.get(key, 0.0) for key in found}

        def effect() -> None:
            mood, draw = self.books.mood, self.world.draw
            for key in found:
                if self._state_prefix is None or not key.startswith(self._state_prefix):
                    self._check_deletion(key, looked_at[key])
                listed_at = seen_at = 0.0
                if mood.list_lag and draw() < mood.list_lag:
                    listed_at = self.world.now + LIST_LAG * draw() ** 2
                if mood.head_lag and draw() < mood.head_lag:
                    seen_at = self.world.now + HEAD_LAG * draw()
                self.store.put(key, None, listed_at=listed_at, seen_at=seen_at)

        self._steady("delete", " ".join(found), effect)

    # --- how it is asked

    def _steady(self, asked: str, key: str, effect: Callable[[], T]) -> T:
        """As CosBucket asks what is safe to ask twice."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(asked, key, effect)
            except Unavailable:
                pause = 0.1 * 4**attempt * (0.5 + 0.5 * self.world.draw())
                if attempt == TRIES or self._deadline.left() < pause + 1:
                    raise
                self.instance.sleep(pause)
        raise AssertionError("unreachable")

    def _once(
        self,
        asked: str,
        key: str,
        effect: Callable[[], T],
        seconds: float = REQUEST_SECONDS,
        *,
        check: Callable[[], None] | None = None,
        took: float = 0.0,
    ) -> T:
        mood, draw = self.books.mood, self.world.draw
        down = mood.cos_down[0] <= self.world.now < mood.cos_down[1]
        refused, committed, unanswered = mood.refused, mood.committed, mood.unanswered
        if down:
            refused, committed, unanswered = 0.95, 0.01, 0.02
        chance = draw() if refused or committed or unanswered else 1.0
        seconds = min(seconds, self._deadline.left())
        recording = asked == "create" and "/records/" in f"/{key}"
        dies = recording and bool(mood.die_recording) and draw() < mood.die_recording
        happens, fails, lost = True, False, False
        if chance < refused:
            self.fault("COS answers 5xx")
            happens, fails = False, True
        elif chance < refused + committed:
            self.fault("COS answers 5xx after committing")
            fails = True
        elif chance < refused + committed + unanswered:
            self.fault("COS does not answer")
            happens, lost = draw() < 0.5, True

        def nothing() -> T:
            raise AssertionError("its answer is not looked at")

        try:
            answer = None
            if seconds > 0:
                answer = self.exchange(
                    f"{asked} {key}",
                    effect if happens else nothing,
                    seconds,
                    check=check if happens else None,
                    took=took,
                    lost=lost,
                    fails=fails,
                    dies=dies,
                )
            if answer is None:
                raise Unavailable(asked, self.name, key, 503 if fails else None, "no answer")
            return answer[0]
        except Unavailable:
            if "/records/" in f"/{key}":
                self.books.unrecorded.add((key.rpartition("/")[2].removesuffix(".json"), self.instance))
            raise

    # --- what is checked at once

    def _is_own(self, key: str) -> None:
        if self._state_prefix is None or not key.startswith(self._state_prefix):
            self.world.violation(f"state: an object outside the state prefix was written: {self.name}/{key}")

    def _check_deletion(self, key: str, looked_at: float) -> None:
        """An upload that is deleted must have been told of: delivery comes before deletion."""
        upload = self.store.now(key)
        if upload is None:
            return
        if upload.at > looked_at - HEAD_LAG:
            self.books.raced += 1
        for message, bodies in self.books.bodies.items():
            if message in self.books.accepted:
                for body in bodies:
                    data = json.loads(body)["data"]
                    for half in (data["live"], data["image"]):
                        if half and half["key"] == key and half["md5"] in (upload.md5, None):
                            return
        if upload.at > looked_at - HEAD_LAG:
            return
        self.world.violation(f"upload: {key} was deleted before anybody was told of it")


def _nonce(record: bytes) -> bytes:
    """What tells a record's writer; as it stands in the JSON, since this is asked often."""
    _, _, rest = record.rpartition(b'"nonce": "')
    return rest[:16]


# --- the API ----------------------------------------------------------------------------------------

VERDICTS = (
    ("Success", 96.3),
    ("Success", 88.8),
    ("Success", 75.0),
    ("Success", 41.0),
    ("FailedOperation.CompareLowSimilarity", 12.5),
    ("FailedOperation.ActionLightDark", None),
    ("FailedOperation.LivessDetectFake", None),
    ("FailedOperation.NeverHeardOf", None),
)


def judged(live_md5: str, image_md5: str) -> tuple[str, float | None]:
    """What the API says of these bytes, always."""
    return VERDICTS[(int(live_md5, 16) + 3 * int(image_md5, 16)) % len(VERDICTS)]


class SimulatedApi(Remote):
    """`handler.edges.faceid.Api`: it fetches both resources, compares their MD5s and judges."""

    region = "ap-singapore"

    def open(self) -> None:
        """Requests reach it without connections."""

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        mood, draw, world, books = self.books.mood, self.world.draw, self.world, self.books
        if seconds <= 0:
            return Answer("ClientNetworkError", "no time is left", executed=False)
        books.calls += 1
        self.instance.called = True
        lane = world.lane
        claim = lane.claim if lane else None
        if claim is None:
            world.violation("verdict: the API was called without a claim")
            claim = "claims/none/none/0"
        verdicts: list[Verdict] = []

        fetched: list[str | None] = []

        def fetch() -> None:
            fetched.extend(self._fetched(resource) for resource in (live, image))

        def judge() -> Answer:
            if None in fetched:
                return Answer("FailedOperation.DownLoadError", "not found")
            if fetched != [live.md5, image.md5]:
                return Answer("InvalidParameterValue", "MD5 Error")
            code, similarity = judged(live.md5, image.md5)
            _, which, n = claim.rsplit("/", 2)
            verdict = Verdict(which, int(n), live.md5, image.md5, code, similarity, self.instance, world.now)
            books.verdicts.append(verdict)
            verdicts.append(verdict)
            return Answer(
                code,
                "",
                similarity=similarity,
                frame_url="frame",
                frame_md5="0" * 32,
                request_id=f"r{len(books.verdicts)}",
            )

        code = None
        down = mood.api_down
        if down[0] <= world.now < down[1]:
            code = down[2]
        elif self._is_over_rate() or (mood.throttled and draw() < mood.throttled):
            code = "RequestLimitExceeded"
        elif mood.trouble and draw() < mood.trouble:
            code = "InternalError"
        elif mood.forbidden and draw() < mood.forbidden:
            code = "AuthFailure.SecretIdNotFound"
        took = 0.3 + 2.0 * draw()
        if mood.slow_call and draw() < mood.slow_call:
            self.fault("a slow call")
            took = 30.0 * draw()
        if code is not None:
            self.fault(f"the API answers {code}")
            fixed = Answer(code, "", executed=code_row(code).klass != "busy")
            answer = self.exchange(f"compare {claim}", lambda: fixed, seconds, took=0.05)
            return answer[0] if answer else Answer("ClientNetworkError", "no answer in time or none at all")
        if mood.unreached and draw() < mood.unreached:
            self.fault("the API is not reached")
            self.instance.sleep(min(seconds, 5.0))
            return Answer("ClientNetworkError", "could not be reached", executed=False)
        lost = bool(mood.verdict_lost) and draw() < mood.verdict_lost
        if lost:
            self.fault("the API's answer is lost")
            if draw() < 0.5:
                seconds = min(seconds, took + 0.1)  # the connection breaks
        answer = self.exchange(f"compare {claim}", judge, seconds, check=fetch, took=took, lost=lost)
        if answer is None:
            return Answer("ClientNetworkError", "no answer in time or none at all")
        for verdict in verdicts:
            verdict.arrived = True
        return answer[0]

    def _is_over_rate(self) -> bool:
        """Whether the API has taken all the calls that it takes in a second; else this one is taken."""
        rate, taken, now = self.books.mood.api_rate, self.books.taken, self.world.now
        if not rate:
            return False
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= rate:
            return True
        taken.append(now)
        return False

    def _fetched(self, resource: Resource) -> str | None:
        name, _, key = resource.url.partition("/")
        if name == "relay":
            return key
        store = self.books.stores[name]
        found = store.now(key) if self.world.draw() < 0.5 else store.seen(key)
        return found.md5 if found else None

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        for _ in bucket.pieces(stored):
            pass
        mood = self.books.mood
        if mood.unreached and self.world.draw() < mood.unreached:
            self.fault("the relay is not reached")
            raise RelayError(Answer("ClientNetworkError", "the relay did not take the upload", False))
        return Resource(f"relay/{md5}", md5)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        mood = self.books.mood
        lost = bool(mood.frame_lost) and self.world.draw() < mood.frame_lost
        if lost:
            self.fault("the best frame is lost")
        found = self.exchange("frame", lambda: b"frame", seconds, lost=lost)
        if found is None:
            raise FrameError("it could not be downloaded in time")
        return found[0]


# --- the consumer -----------------------------------------------------------------------------------


class SimulatedConsumer(Remote):
    """`webhook.Consumer`: it takes messages, or not, or takes them and does not say so in time."""

    def __init__(
        self,
        world: World,
        books: Books,
        instance: Instance,
        state: Store,
        state_prefix: str,
    ) -> None:
        super().__init__(world, books, instance)
        self._state = state
        self._records = f"{state_prefix}records/"

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        mood, draw, world = self.books.mood, self.world.draw, self.world
        down = mood.hook_down
        how = down[2] if down[0] <= world.now < down[1] else ""
        if not how and mood.hook_refuses and draw() < mood.hook_refuses:
            how = "answers 500"
        if not how and mood.hook_late and draw() < mood.hook_late:
            how = "takes it and does not answer in time"
        if not how and mood.hook_gone and draw() < mood.hook_gone:
            how = "answers 410"
        if how:
            self.fault(f"the webhook {how}")
        if how == "refuses connections":
            self.instance.sleep(0.05)
            return Delivery(False, None, "no connection")

        def arrive() -> Delivery:
            self._check(message_id, body)
            if how == "answers 410":
                self.books.gone.add(message_id)
                return Delivery(False, 410, how, gone=True)
            if how == "answers 500":
                return Delivery(False, 500, how)
            if how == "answers 503, to come back later":
                return Delivery(False, 503, how, retry_after=timedelta(seconds=60))
            if how != "hangs":
                self.books.accepted.setdefault(message_id, []).append(world.now)
            return Delivery(True, 200)

        lost = how in ("hangs", "takes it and does not answer in time")
        said = self.exchange(f"post {message_id}", arrive, seconds, took=0.02 + 0.3 * draw(), lost=lost)
        return said[0] if said else Delivery(False, None, "no answer in time", timed_out=True)

    def _check(self, message_id: str, body: str) -> None:
        bodies = self.books.bodies.setdefault(message_id, {})
        bodies[body] = None
        if len(bodies) > 1:
            self.world.violation(f"message: {message_id} was told with {len(bodies)} bodies")
        path = next(
            (key for key in self._state.objects if key.startswith(self._records) and message_id[4:] in key),
            None,
        )
        record = path and self._state.now(path)
        if not record or record.data is None:
            self.world.violation(f"message: {message_id} was told before it was recorded")
