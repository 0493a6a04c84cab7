"""The reconciler on two shelves: uploads and state are dicts, and API and consumer say what they are told to.

Nothing happens at random and nothing takes time. What a test wants to go wrong, it says.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from handler.clock import Deadline
from handler.edges.bucket import READ, Bucket, Changed, CosError, Forbidden, Unavailable
from handler.edges.faceid import FrameError, Resource
from handler.edges.webhook import Delivery
from handler.flow.visit import upload_came, walk_past, work_off
from handler.rules.agenda import Task
from handler.rules.claiming import Claim
from handler.rules.events import UploadEvent
from handler.rules.outcome import Answer, Verification, verification
from handler.rules.pairing import Role
from handler.rules.records import Record
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored
from handler.services import Services
from handler.state.objects import Memory
from tests.support.shelf import Shelf, a_ledger
from tests.support.values import BUCKET, IMAGE, LIVE, SEEN, settings

T = TypeVar("T")

MATCH = Answer("Success", "ok", similarity=96.3, frame_url="fake", frame_md5="C" * 32, request_id="r-1")


def one_after_the_other(calls: Iterable[Callable[[], T]]) -> list[T]:
    return [call() for call in calls]


class Uploads(Shelf):
    """The bucket of the uploads. `unread` are those that HEAD shows and GET does not give."""

    name = BUCKET

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Stored] = {}
        self.unread: dict[str, CosError] = {}
        self.reading: Callable[[], object] = lambda: None
        """What happens when one is read."""
        self.deleting: Callable[[], object] = lambda: None
        """What happens when a request deletes."""

    def head(self, key: str) -> Stored | None:
        if key in self.refuses:
            raise self.refuses[key]
        return self.stored.get(key)

    def md5(self, stored: Stored) -> str:
        for _ in self.pieces(stored):
            pass
        return "d" * 32

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        self.reading()
        if stored.key in self.unread:
            raise self.unread[stored.key]
        if self.stored.get(stored.key) != stored:
            raise Changed("read", self.name, stored.key, 412, "PreconditionFailed")
        yield b"bytes"

    def link(self, key: str, seconds: int) -> str:
        return f"link to {key} for {seconds} s"

    def delete(self, keys: Iterable[str]) -> None:
        self.deleting()
        for key in keys:
            self.deletes.append(key)
            self.stored.pop(key, None)


class Api:
    """The API. It gives its answers in order, the last one for ever."""

    region = "ap-singapore"

    def __init__(self) -> None:
        self.answers = [MATCH]
        self.calls: list[tuple[Resource, Resource, float]] = []
        self.frames: list[float] = []
        self.relayed: list[str] = []
        self.opened = 0
        self.during: Callable[[], object] = lambda: None
        """What others do while it is asked."""
        self.relaying: Callable[[], object] = lambda: None
        self.framing: Callable[[], object] = lambda: None
        self.frame_error: str | None = None

    def open(self) -> None:
        self.opened += 1

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        self.calls.append((live, image, seconds))
        self.during()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        self.relaying()
        self.relayed.append(f"{bucket.name}/{stored.key} in {seconds:g} s")
        for _ in bucket.pieces(stored):
            pass
        return Resource(f"relay of {stored.key}", md5)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        self.frames.append(seconds)
        self.framing()
        if self.frame_error:
            raise FrameError(self.frame_error)
        return b"jpeg"


class Consumer:
    """Who is told. It answers in order, the last answer for ever."""

    def __init__(self) -> None:
        self.answers = [Delivery(True, 200)]
        self.during: Callable[[], object] = lambda: None
        """What happens while it is told."""
        self.posts: list[tuple[str, str, datetime, float]] = []

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        self.posts.append((message_id, body, now, seconds))
        self.during()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Killed(BaseException):
    """The platform ends the instance: nothing that it would have done after this is done."""


def kill() -> None:
    """End the instance here."""
    raise Killed


class Scene:
    """One pair's world. Its uploads lie there from the start; events are handed over by `event`.

    Its instance knows whether the state bucket honours create-only PUTs, which it does if it is `trusting`.
    """

    def __init__(self, *, trusting: bool = True, **changes: str) -> None:
        self.memory = Memory()
        self.memory.honours_create = trusting
        self.ledger, self.state, self.clock = a_ledger(self.memory)
        self.state.suspended = not trusting
        self.settings: Settings = settings(**changes)
        self.uploads, self.api, self.consumer = Uploads(), Api(), Consumer()
        self.logged: list[dict[str, Any]] = []
        for stored in (LIVE, IMAGE):
            self.uploads.stored[stored.key] = stored

    def services(self, seconds: float = 58.0) -> Services:
        return Services(
            settings=self.settings,
            uploads=self.uploads,
            ledger=self.ledger,
            api=self.api,
            consumer=self.consumer,
            clock=self.clock,
            deadline=Deadline.after(self.clock, seconds),
            together=one_after_the_other,
            draw=lambda: 0.5,
            log=self._log,
            request_id="request-1",
        )

    def _log(self, event: str, level: str = "INFO", **fields: Any) -> None:
        self.logged.append({"event": event, "level": level, **fields})

    # --- what happens

    def event(self, role: Role = "image", *, seconds: float = 58.0, **changes: Any) -> list[str]:
        """The event of an upload, with its time and ETag unless they are changed."""
        stored = LIVE if role == "live" else IMAGE
        found = UploadEvent(BUCKET, (stored.key,), "ap-singapore", stored.uploaded_at, stored.etag)
        return upload_came(self.services(seconds), found._replace(**changes))

    def sweep(self, after: timedelta = timedelta(0), *, seconds: float = 58.0) -> list[str]:
        """Let time pass, and work off what is due then."""
        self.clock.waited += after.total_seconds()
        outcomes: list[str] = []
        for key in self.ledger.due(self.clock.now(), 1000):
            task = self.ledger.task(key)
            if task is not None:
                outcomes += work_off(self.services(seconds), key, task, None)
        return outcomes

    def walk(self, stored: Stored = LIVE) -> list[str]:
        """A walk comes past an upload."""
        return walk_past(self.services(), stored, self.ledger.pending(), None)

    # --- what is there

    @property
    def tasks(self) -> list[Task]:
        """What there is on the agenda, by time."""
        tasks = [self.ledger.task(key) for key in self.state.keys("livepair/agenda/")]
        return [task for task in tasks if task is not None]

    @property
    def agenda(self) -> list[str]:
        """The names of its entries, without digests."""
        keys = self.state.keys("livepair/agenda/")
        return [key.removeprefix("livepair/agenda/20261122T").partition("-")[0] for key in keys]

    def verification(self, run: int = 1, seen: Seen = SEEN) -> Verification:
        return verification(seen, run)

    def claim(self, n: int = 1) -> Claim:
        found = self.ledger.claim(self.verification(), n)
        assert found is not None
        return found

    def record(self, run: int = 1) -> Record:
        found = self.ledger.record(self.verification(run))
        assert found is not None
        return found

    @property
    def line(self) -> dict[str, Any]:
        """The last line of the log about a pair."""
        return [each for each in self.logged if each["event"] == "pair"][-1]


def forbidden(key: str) -> Forbidden:
    return Forbidden(READ, BUCKET, key, 403, "AccessDenied", "req-9")


def unavailable(key: str) -> Unavailable:
    return Unavailable("read", BUCKET, key, 503, "SlowDown", "req-9")
