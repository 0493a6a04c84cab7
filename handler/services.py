"""What the reconciler works with, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from handler.clock import Clock, Deadline, Together
from handler.edges.cos import Bucket
from handler.edges.faceid import Api
from handler.edges.webhook import Consumer
from handler.log import Log
from handler.rules.pairing import Role
from handler.rules.settings import Settings
from handler.state.ledger import Entry, Ledger, Record, Task


class Services(NamedTuple):
    """What one invocation works with."""

    settings: Settings
    uploads: Bucket
    ledger: Ledger
    api: Api
    consumer: Consumer
    clock: Clock
    deadline: Deadline
    together: Together
    draw: Callable[[], float]
    """A random number from 0 to 1."""
    log: Log
    request_id: str
    hand_over: Callable[[Record, tuple[str, ...]], None] | None = None
    """Takes a record to be told by others, and the agenda keys to clear then; None: it is told at once."""


class Done(NamedTuple):
    """Nothing is left to come back for. `clear` are agenda keys that have had their day."""

    clear: tuple[str, ...] = ()


class Later(NamedTuple):
    """The pair needs another look: `entry` goes on the agenda, then `clear` comes off it."""

    entry: Entry
    clear: tuple[str, ...] = ()


Step = Done | Later


Pending = frozenset[str]
"""The purposes that stand on the agenda."""


class Cause(NamedTuple):
    """Why a pair is looked at: an upload of `role`, or the agenda, which alone takes over expired leases.

    `run` is one that the operator asked for; `claim` the agenda's entry for a claim, which names the last one
    known. A `walk` over all uploads also has what was decided told, unless that is pending.
    """

    role: Role | None = None
    run: int | None = None
    claim: Task | None = None
    walk: Pending | None = None

    @property
    def agenda(self) -> bool:
        return self.role is None


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
