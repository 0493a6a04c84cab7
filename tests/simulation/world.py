"""Virtual time, the invocations that run in it, and their death."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

EPOCH = datetime(2026, 11, 22, tzinfo=timezone.utc)
"""The world's second 0, which is second 0 of a minute too."""


def moment(at: float) -> datetime:
    """The world's second `at` as a time."""
    return EPOCH + timedelta(seconds=at)


class Death(BaseException):
    """The instance is gone. Nothing in it can catch that, and nothing that it still asks has an effect."""


class Lane:
    """One thread of an instance. `claim` is the last claim that it wrote."""

    __slots__ = ("claim", "fiber", "instance")

    def __init__(self, instance: Instance, claim: str | None) -> None:
        self.instance = instance
        self.claim = claim
        self.fiber: Any = None


class World:
    """One history's time and chance. Everything that happens is a call at a moment."""

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.draw = self.random.random
        """A number from 0 to 1."""
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self.trace: list[str] | None = [] if tracing else None
        self.lane: Lane | None = None
        self.exchange: Callable[..., Any] | None = None
        """Takes the place of `Remote.exchange` where the order of things is chosen, and not drawn."""
        self._hub: Any = getcurrent()
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0

    def at(self, moment: float, call: Callable[[], object]) -> None:
        """Have `call` made at a moment; of the same moment's calls the first that was asked for is first."""
        self._number += 1
        heapq.heappush(self._calls, (moment, self._number, call))

    def run(self, until: float) -> bool:
        """Let time pass until nothing is left to happen, and tell so, or until that moment."""
        calls = self._calls
        while calls:
            if calls[0][0] > until:
                return False
            self.now, _, call = heapq.heappop(calls)
            call()
        return True

    def violation(self, text: str) -> None:
        """Note what must never happen."""
        if text not in self.violations:
            self.violations.append(text)
        self.tell("VIOLATION", text)

    def tell(self, who: object, text: str) -> None:
        """A line of the trace, where one is kept."""
        if self.trace is not None:
            self.trace.append(f"{moment(self.now):%d %H:%M:%S.%f} {who!s:>9} {text}")

    # --- lanes

    def start(self, lane: Lane, work: Callable[[], object]) -> None:
        """Run `work` in a lane of its own, beginning now."""
        lane.fiber = greenlet(work, parent=self._hub)
        lane.instance.lanes.append(lane)
        self.at(self.now, lambda: self.wake(lane))

    def park(self) -> None:
        """Give way until the running lane is woken. Raises Death if its instance has died meanwhile."""
        self._hub.switch()

    def wake(self, lane: Lane) -> None:
        """Let a parked lane go on. Only for the world's own calls."""
        if not lane.fiber.dead and not lane.instance.dead:
            self.lane = lane
            lane.fiber.switch()


class Instance:
    """One invocation on one machine, whose clock is `skew` seconds ahead. It is the code's clock, too."""

    def __init__(self, world: World, name: str, skew: float) -> None:
        self.world = world
        self.name = name
        self.lanes: list[Lane] = []
        self.dead = False
        self.died_at: float | None = None
        self.called = False
        """It has called the API, so the agenda brings back what it works on."""
        self.died: Callable[[], object] | None = None
        """Called after its death."""
        self.limit_at = float("inf")
        """When the platform ends it."""
        self.die_share = 0.0
        """How likely it dies at each of its requests, beside what the world's mood is."""
        self.stumbled = False
        """COS did not answer one of its writes, so what it did may be done again."""
        self.looked_at: dict[str, float] = {}
        """When it last looked at an upload, by key."""
        self._skew = skew

    def __str__(self) -> str:
        return self.name

    def die(self) -> None:
        """Take all lanes down, now or, for the one that is running, as soon as it asks for anything."""
        if self.dead:
            return
        self.dead, self.died_at = True, self.world.now
        self.world.at(self.world.now, self._reap)

    def _reap(self) -> None:
        for lane in self.lanes:
            if not lane.fiber.dead:
                self.world.lane = lane
                with suppress(Death):
                    lane.fiber.throw(Death)
        if self.died is not None:
            self.died()

    # --- the clock

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.world.now + self._skew)

    def elapsed(self) -> float:
        return self.world.now

    def sleep(self, seconds: float) -> None:
        if self.dead:
            raise Death
        if seconds <= 0:
            return
        world = self.world
        lane = world.lane
        assert lane is not None
        world.at(world.now + seconds, lambda: world.wake(lane))
        world.park()

    # --- side by side

    def together(self, calls: Iterable[Callable[[], T]]) -> list[T]:
        """What `handler.clock.together` promises, with lanes for threads."""
        every = list(calls)
        if not every:
            return []
        first, *rest = every
        world, own = self.world, self.world.lane
        assert own is not None
        results: dict[int, T] = {}
        failures: dict[int, Exception] = {}
        running = len(rest)
        waiting = False

        def work(number: int, call: Callable[[], T]) -> None:
            nonlocal running
            try:
                results[number] = call()
            except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                failures[number] = error
            except Death:
                return
            running -= 1
            if waiting and not running:
                world.at(world.now, lambda: world.wake(own))

        for number, call in enumerate(rest, 1):
            world.start(Lane(self, own.claim), lambda number=number, call=call: work(number, call))  # type: ignore[misc]
        try:
            results[0] = first()
        except Exception as error:  # noqa: BLE001 # raised once the others have ended
            failures[0] = error
        if running:
            waiting = True
            world.park()
        if failures:
            raise failures[min(failures)]
        return [results[number] for number in range(len(rest) + 1)]
