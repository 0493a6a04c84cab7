"""The timer: what is due on the agenda, and the walk over all uploads that finds what no event told.

A sweep lists what is due and nothing else, so it costs with the work due and not with history. Calls and
deliveries have lanes of their own: a webhook that hangs does not keep the API waiting, nor the other way
round. What a sweep does not get to stays on the agenda for the next.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from handler.edges.bucket import CosError
from handler.edges.webhook import POST_SECONDS
from handler.flow.call import seconds_needed
from handler.flow.finish import tell_now
from handler.flow.pacing import SWEEP_SECONDS, PacedApi, Patience
from handler.flow.reconcile import walk
from handler.flow.steps import HandOver, Tell
from handler.flow.visit import put_off, work_off
from handler.rules.agenda import Task, Walk, is_delivery
from handler.rules.schedule import CLOCK_MARGIN, is_out_of_patience
from handler.services import Services
from handler.state.objects import CorruptState

T = TypeVar("T")

CALL_LATENCY = 3.0
"""Seconds that one pair is thought to take: with API_RATE it says how many are in hand at once."""

MOST_CALLS, MOST_DELIVERIES = 16, 6  # pairs and deliveries in hand at once
MOST_DUE = 5000  # entries that one sweep looks at


class _Sweep:
    """One sweep's queues, and what has come of them."""

    def __init__(self, services: Services, keys: list[str]) -> None:
        self.patience = Patience(services.consumer)
        self.api = PacedApi(services.api, services.settings.api_rate, services.clock)
        self.calls = deque(key for key in keys if not is_delivery(key))
        self.deliveries = deque(key for key in keys if is_delivery(key))
        self.handed: deque[Tell] = deque()
        self.calling = 0
        self.done = 0
        self.outcomes: list[str] = []
        self.failed: Exception | None = None
        self._known: set[str] = set()
        self._until = services.clock.elapsed() + SWEEP_SECONDS
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
        rate = self._services.settings.api_rate
        calling = self.calling = min(MOST_CALLS, len(self.calls), math.ceil(rate * CALL_LATENCY))
        delivering = min(MOST_DELIVERIES, len(self.calls) + len(self.deliveries))
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


def sweep(services: Services) -> list[str]:
    """Do what is due, oldest first, as far as the time goes. Returns the outcomes told.

    Raises the first failure, once everything else has had its turn.
    """
    began_at = services.clock.now()
    # The timer fires at second 0; a clock that is a moment behind would leave the whole minute to the next.
    keys = services.ledger.due(began_at + CLOCK_MARGIN, MOST_DUE)
    run = _Sweep(services, keys)
    run.run()
    oldest = services.ledger.minute_of(keys[0]) if keys else None
    services.log(
        "sweep",
        due=len(keys),
        done=run.done,
        left=run.left,
        oldest_s=max(0.0, (began_at - oldest).total_seconds()) if oldest else None,
        webhook_gave_up=run.patience.over or None,
    )
    if run.failed is not None:
        raise run.failed
    return run.outcomes


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
