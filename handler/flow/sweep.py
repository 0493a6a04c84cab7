"""The timer: what is due on the agenda, and the walk over all uploads that finds what no event told.

A sweep lists what is due and nothing else, so it costs with the work due and not with history. Calls and
deliveries have lanes of their own: a webhook that hangs does not keep the API waiting, nor the other way
round. What a sweep does not get to stays on the agenda for the next.

Where one instance is not enough, several timers fire at once, each for its part: what an entry is for says
whose it is, and each part has its share of API_RATE. So no two of them do the same, and nobody has to ask.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from handler.edges.bucket import CosError
from handler.edges.webhook import POST_SECONDS
from handler.flow.call import seconds_needed
from handler.flow.finish import tell_now
from handler.flow.pacing import PacedApi, Patience
from handler.flow.reconcile import walk
from handler.flow.steps import HandOver, Tell
from handler.flow.visit import put_off, work_off
from handler.rules.agenda import Task, Walk, is_delivery, part_of
from handler.rules.events import WHOLE, Part
from handler.rules.schedule import CLOCK_MARGIN, is_out_of_patience
from handler.services import Services
from handler.state.objects import CorruptState

T = TypeVar("T")

CALL_LATENCY = 3.0
"""Seconds that one pair is thought to take: with API_RATE it says how many are in hand at once."""

MOST_CALLS = 48  # pairs in hand at once: 16 calls a second, which is about what one core does
LEAST_DELIVERIES = 6  # lanes for deliveries; where there are many for calls, one for three of them
MOST_DUE = 5000  # deliveries that one sweep looks at, and other entries: neither hides the other

TAKING_UP = 57.0
"""Seconds for which a sweep takes up new work: what it began then has had its turn when the next begins."""

LEFT_BEHIND = timedelta(minutes=5)
"""How long an entry is due before any part takes it up: a timer may be missing."""


class _Sweep:
    """One sweep's queues, and what has come of them."""

    def __init__(self, services: Services, keys: list[str], rate: float) -> None:
        self.patience = Patience(services.consumer)
        self.rate = rate
        self.api = PacedApi(services.api, rate, services.clock)
        self.calls = deque(key for key in keys if not is_delivery(key))
        self.deliveries = deque(key for key in keys if is_delivery(key))
        self.handed: deque[Tell] = deque()
        self.calling = 0
        self.done = 0
        self.outcomes: list[str] = []
        self.failed: Exception | None = None
        self._known: set[str] = set()
        self._until = services.clock.elapsed() + TAKING_UP
        self._services = services._replace(api=self.api, consumer=self.patience)

    @property
    def left(self) -> int:
        """How much was not begun."""
        return len(self.calls) + len(self.deliveries) + len(self.handed)

    def _hand_over(self, step: Tell) -> None:
        """Take a record that is to be told, once: another entry of its pair may lead to it too."""
        if step.record.verification.id not in self._known:
            self._known.add(step.record.verification.id)
            self.handed.append(step)

    def _goes_on(self, needed: float) -> bool:
        """Whether work that needs so many seconds may still begin."""
        services = self._services
        return services.clock.elapsed() < self._until and services.deadline.left() >= needed

    def _call_lane(self) -> None:
        """Visit the pairs that are due."""
        needed = seconds_needed(self._services.settings) + 1
        try:
            while not self.api.over and self._goes_on(needed):
                key = _next(self.calls)
                if key is None:
                    return
                self._do(partial(_work_off, self._services, key, self._hand_over))
        finally:
            self.calling -= 1

    def _delivery_lane(self) -> None:
        """Deliver what the call lanes hand over, and what is due."""
        while not self.patience.over and self._services.deadline.left() >= POST_SECONDS + 1:
            handed = _next(self.handed)
            if handed is not None:
                self._do(partial(tell_now, self._services, handed))
                continue
            key = _next(self.deliveries) if self._goes_on(POST_SECONDS + 1) else None
            if key is not None:
                self._do(partial(_work_off, self._services, key, None))
            elif self.calling:
                self._services.clock.sleep(0.05)
            else:
                return

    def run(self) -> None:
        """Run all lanes side by side until they have ended."""
        lanes = min(MOST_CALLS, math.ceil(self.rate * CALL_LATENCY))
        calling = self.calling = min(lanes, len(self.calls))
        delivering = min(max(LEAST_DELIVERIES, lanes // 3), len(self.calls) + len(self.deliveries))
        self._services.together([*[self._call_lane] * calling, *[self._delivery_lane] * delivering])

    def _do(self, work: Callable[[], list[str]]) -> None:
        try:
            self.outcomes += work()
        except Exception as error:  # noqa: BLE001 # raised again when the others have had their turn
            # What it was for stays on the agenda.
            ours = isinstance(error, CosError)
            self._services.log("entry_failed", "ERROR", error=str(error) if ours else type(error).__name__)
            self.failed = self.failed or error
        self.done += 1


def _next(queue: deque[T]) -> T | None:
    """The next of a queue that lanes share, None where it is empty."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def sweep(services: Services, part: Part = WHOLE) -> list[str]:
    """Do what is due, oldest first, as far as the time goes; of several sweeps one `part`. Returns the
    outcomes told.

    Raises the first failure, once everything else has had its turn.
    """
    began_at = services.clock.now()
    # The timer fires at second 0; a clock that is a moment behind would leave the whole minute to the next.
    due = services.ledger.due(began_at + CLOCK_MARGIN, MOST_DUE * part.parts)
    keys = _own(services, due, part, began_at)
    run = _Sweep(services, keys, services.settings.api_rate / part.parts)
    run.run()
    oldest = services.ledger.minute_of(due[0]) if due else None
    services.log(
        "sweep",
        due=len(keys),
        done=run.done,
        left=run.left,
        part=f"{part.number}/{part.parts}" if part.parts > 1 else None,
        oldest_s=max(0.0, (began_at - oldest).total_seconds()) if oldest else None,
        webhook_gave_up=run.patience.over or None,
    )
    if run.failed is not None:
        raise run.failed
    return run.outcomes


def _own(services: Services, due: list[str], part: Part, now: datetime) -> list[str]:
    """Of what is due, a part's own; then what the others should have done long ago."""
    if part.parts == 1:
        return due
    own, behind = [], []
    for key in due:
        if part_of(key, part.parts) == part.number:
            own.append(key)
        elif (at := services.ledger.minute_of(key)) is not None and at <= now - LEFT_BEHIND:
            behind.append(key)
    return [*own, *behind]


def _work_off(services: Services, key: str, hand_over: HandOver | None) -> list[str]:
    """Do what one agenda entry asks for.

    One that cannot be read is reported and removed, one whose work fails is put off: for a day, where it is
    about a record whose seal does not hold, since a secret that was taken away may come back.
    """
    task: Task | None = None
    try:
        task = services.ledger.task(key)
        if task is None:
            return []  # another sweep was faster
        try:
            if isinstance(task, Walk):
                return walk(services, task, key, hand_over)
            return work_off(services, key, task, hand_over)
        except CosError:
            put_off(services, key, task)
            raise
    except CorruptState as error:
        services.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        if task is not None and error.is_unsealed and not is_out_of_patience(task.failures):
            put_off(services, key, task)
        else:
            services.ledger.take_off([key])
        return []
