"""What the parts of the reconciler hand to each other: why a pair is visited, and what is to be done then."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from handler.clock import Clock
from handler.rules.agenda import Deliver, Entry, LastAnswer, Look, TakeOver, Task
from handler.rules.claiming import Asker
from handler.rules.outcome import verification
from handler.rules.pairing import Role
from handler.rules.records import Record
from handler.rules.uploads import Seen
from handler.services import Services

# --- steps ------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """Nothing is left to come back for. `clear` are agenda keys that have had their day."""

    clear: tuple[str, ...] = ()


class Later(NamedTuple):
    """The pair needs another look: `entry` goes on the agenda, then `clear` comes off it."""

    entry: Entry
    clear: tuple[str, ...] = ()


class Tell(NamedTuple):
    """The record is to be told, for the `attempt`-th time; then `clear` comes off the agenda.

    `guarded`: what is in `clear` brings it back, and counts as this attempt, should the instance die in it.
    `last` is what came of the attempt before.
    """

    record: Record
    attempt: int
    clear: tuple[str, ...] = ()
    guarded: bool = True
    last: LastAnswer | None = None


Step = Done | Later | Tell


class Replaced(Exception):
    """An upload is no longer the one that was looked up: the new bytes are a new verification."""


# --- visits -----------------------------------------------------------------------------------------


class Cause(NamedTuple):
    """Why a pair is visited: an upload's event, an agenda entry that is worked off, or a walk.

    `role` and `etag` are the event's. `entry_key` and `task` are the entry's. `pending`, a walk's, are the
    verifications that the agenda comes back to by itself.
    """

    role: Role | None = None
    etag: str | None = None
    entry_key: str | None = None
    task: Task | None = None
    pending: frozenset[str] | None = None

    @property
    def sweeping(self) -> bool:
        """It is no event's: it reads what stands before it claims, and takes over what was abandoned."""
        return self.role is None

    @property
    def is_waited_for(self) -> bool:
        """An upload's event led here, so somebody waits for the answer."""
        return self.task is None and self.pending is None

    @property
    def failures(self) -> int:
        """How often the work of the entry has failed before."""
        return self.task.failures if self.task else 0

    @property
    def run(self) -> int | None:
        """The run that the operator asked for."""
        return self.task.run if isinstance(self.task, Look) else None


class Trace:
    """What one pair's log line tells."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fields: dict[str, Any] = {}

    def note(self, **fields: Any) -> None:
        self.fields.update(fields)

    @contextmanager
    def stage(self, name: str) -> Generator[None, None, None]:
        """Time a stage; what it takes in several goes is added up."""
        began = self.clock.elapsed()
        try:
            yield
        finally:
            key = f"{name}_ms"
            spent = (self.clock.elapsed() - began) * 1000
            self.fields[key] = round(self.fields.get(key, 0.0) + spent, 1)


class Visit(NamedTuple):
    """One visit to a pair: with what, why, and what its log line will tell."""

    services: Services
    cause: Cause
    trace: Trace

    def asker(self, seen: Seen) -> Asker:
        """Who asks the rules about a pair as it was seen."""
        return Asker(self.cause.sweeping, seen.newest_that_counts, self._run(seen))

    def _run(self, seen: Seen) -> int | None:
        """The run that was asked for: the operator's, or the one that an entry comes back to."""
        task = self.cause.task
        if isinstance(task, (TakeOver, Deliver)):
            run = task.verification.run
            return run if verification(seen, run) == task.verification else None
        return self.cause.run


HandOver = Callable[[Tell], None]
"""Takes over what is to be told, so that whoever found it need not wait."""
