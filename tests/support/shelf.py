"""A bucket that is a dict, and a clock that jumps: for tests of the state without any server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

from handler.clock import together
from handler.edges.bucket import CosError, Exists, Unavailable
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.state import codec
from handler.state.ledger import Ledger
from handler.state.objects import Memory
from handler.state.seal import Seals
from tests.support.values import NOON, SECRET

PAGE = 1000

SEALS = Seals((SECRET,))


class Jumping:
    """A clock that stands still, and jumps where somebody waits."""

    def __init__(self) -> None:
        self.waited = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.waited)

    def elapsed(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


class Shelf:
    """A bucket that is a dict. It never fails by itself, and keeps no versions unless it is told to."""

    name = "state-1250000000"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.creates: list[str] = []
        self.deletes: list[str] = []
        self.seconds: list[float | None] = []
        """How long the writes of what is no JSON were given."""
        self.refuses: dict[str, CosError] = {}
        """What is answered about a key, in place of the truth."""
        self.versioned = False
        self.suspended = False
        """It ignores create-only, and says nothing of it."""
        self.answer_lost = False
        """The next write takes effect, and its answer is lost."""
        self.after_write: Callable[[str], None] = lambda key: None
        """What others do once a write has taken effect."""
        self.before_read: Callable[[str], None] = lambda key: None
        """What others do before a read is answered."""

    def head(self, key: str) -> Stored | None:
        data = self.objects.get(key)
        return None if data is None else Stored(key, "", None, len(data), NOON)

    def read(self, key: str) -> bytes | None:
        self.reads.append(key)
        self.before_read(key)
        if key in self.refuses:
            raise self.refuses[key]
        return self.objects.get(key)

    def write(self, key: str, data: bytes, content_type: str = "", seconds: float | None = None) -> bool:
        self.objects[key] = data
        if content_type:
            self.seconds.append(seconds)
        self.after_write(key)
        if self.answer_lost:
            self.answer_lost = False
            raise Unavailable("write", self.name, key, None, "no answer")
        return self.versioned

    def create(self, key: str, data: bytes) -> bool:
        self.creates.append(key)
        if key in self.objects and not (self.versioned or self.suspended):
            raise Exists("write", self.name, key, 409, "FileAlreadyExists")
        return self.write(key, data)

    def honours_create(self, key: str) -> bool:
        try:
            for _ in range(2):
                self.create(key, b"{}")
        except Exists:
            return True
        return False

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.deletes.append(key)
            self.objects.pop(key, None)

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        keys = [key for key in self.keys(prefix) if key > after]
        return [Stored(key, "", None, len(self.objects[key]), NOON) for key in keys[:PAGE]], len(keys) > PAGE

    def keys(self, prefix: str) -> Sequence[str]:
        """What lies under a prefix, in order."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    def md5(self, stored: Stored) -> str:
        raise NotImplementedError

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        raise NotImplementedError

    def link(self, key: str, seconds: int) -> str:
        raise NotImplementedError


def sealed(record: Record) -> Record:
    """The record with the seal that a ledger on a shelf gives it."""
    key = f"livepair/records/{record.verification.path}/{record.verification.id}.json"
    return codec.seal_record(record, partial(SEALS.seal, key))


def a_ledger(memory: Memory | None = None) -> tuple[Ledger, Shelf, Jumping]:
    """A ledger on a shelf."""
    shelf, clock = Shelf(), Jumping()
    return Ledger(shelf, "livepair/", SEALS, clock, together, memory or Memory()), shelf, clock
