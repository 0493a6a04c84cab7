"""The platform: deployed functions, their machines, invocations, retries, time limits and the timer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from handler.clock import Deadline
from handler.edges.bucket import CosError
from handler.flow.sweep import sweep
from handler.rules.pairing import Pair
from handler.rules.settings import Settings
from handler.services import Services
from handler.state.ledger import Ledger
from handler.state.objects import Memory
from handler.state.seal import Seals
from tests.simulation.api import SimulatedApi
from tests.simulation.consumer import SimulatedConsumer
from tests.simulation.cos import SimulatedBucket
from tests.simulation.plan import Environment, settings_of
from tests.simulation.store import due_second
from tests.simulation.world import Death, Instance, Lane, World

if TYPE_CHECKING:
    from tests.simulation.history import History

MARGIN = 2.0
"""Seconds that index.py keeps of the time limit."""

RETRIES = 2
"""How often the platform repeats an invocation that failed, a minute apart."""


@dataclass(slots=True)
class Machine:
    """A warm instance: it remembers what it has learned of its bucket."""

    skew: float
    settings: Settings
    memory: Memory = field(default_factory=Memory)


class Function:
    """One deployed function: its settings, its machines and the timer that sweeps."""

    def __init__(self, history: History, number: int, environment: Environment, versioned: bool) -> None:
        self.history = history
        self.world = history.world
        self.number = number
        self.settings = settings_of(environment)
        self.uploads = history.store(self.settings.bucket, versioned=False)
        self.state = history.store(self.settings.state_bucket, versioned=versioned)
        self.uploads.alternatives = self._alternatives
        self.agenda = f"{self.settings.state_prefix}agenda/"
        self._idle: list[Machine] = []
        self._machines = 0
        self._running = 0
        self._ticks: set[float] = set()

    def redeploy(self, environment: Environment) -> None:
        """Change the settings; machines that run end with those they began with."""
        self.world.faults["settings change"] += 1
        self.world.tell("", f"function {self.number} gets other settings: {dict(environment)}")
        former, self.settings = self.settings, settings_of(environment)
        self._idle.clear()
        if former.templates != self.settings.templates:
            # What comes while no template matches it is ignored, and found again by a reconcile.
            numbers = [n for n, put in enumerate(self.history.plan.puts, 1) if put.function == self.number]
            self.history.lost.update(numbers)

    def invoke(
        self,
        name: str,
        work: Callable[[Services], object],
        ended: Callable[[bool, bool], None] | None = None,
        attempt: int = 0,
        called: bool = False,
    ) -> None:
        """Run an invocation; after a failure the platform tries twice more.

        `ended` is told whether one went well, and whether one came as far as calling the API.
        """
        history, world = self.history, self.world
        if self._running >= history.plan.most_instances:
            world.faults["no instance is free"] += 1
            world.at(world.now + 60, lambda: self.invoke(name, work, ended, attempt, called))
            return
        self._running += 1
        machine = self._machine()
        history.invocations += 1
        instance = Instance(world, f"{name}#{history.invocations}", machine.skew)
        instance.limit_at = world.now + history.plan.limit_s
        services = self._services(instance, machine)
        world.tell(instance, f"begins, attempt {attempt + 1}, clock {machine.skew:+.1f} s")

        over_already = False

        def over(well: bool) -> None:
            nonlocal over_already
            if over_already:
                return
            over_already = True
            self._running -= 1
            if not instance.dead:
                instance.dead = True  # nothing goes on after the return
                if machine.settings is self.settings:
                    self._idle.append(machine)
            world.tell(instance, "ends" if well else "fails")
            has_called = called or instance.called
            if well or attempt == RETRIES:
                if ended is not None:
                    ended(well, has_called)
            else:
                world.at(world.now + 60, lambda: self.invoke(name, work, ended, attempt + 1, has_called))

        def run() -> None:
            try:
                work(services)
            except Death:
                pass
            except CosError as error:
                world.tell(instance, str(error))
                world.at(world.now, lambda: over(False))
            except Exception as error:  # noqa: BLE001 # told as a violation
                world.violation(f"crash: {type(error).__name__}: {error}")
                world.at(world.now, lambda: over(False))
            else:
                world.at(world.now, lambda: over(True))

        lane = Lane(instance, None)
        instance.died = lambda: over(False)
        world.start(lane, run)
        world.at(instance.limit_at, lambda: self._limit(instance))

    def command(
        self, name: str, work: Callable[[Services], object], ended: Callable[[bool, bool], None]
    ) -> None:
        """Run an operator's command, which nobody repeats by itself."""
        self.invoke(name, work, ended, attempt=RETRIES)

    def _limit(self, instance: Instance) -> None:
        if not instance.dead:
            self.world.faults["time limit"] += 1
            self.world.tell(instance, "is killed at its time limit")
            instance.die()

    def _machine(self) -> Machine:
        draw = self.world.draw
        if self._idle and draw() < 0.7:
            return self._idle.pop(int(draw() * len(self._idle)))
        ahead = 2 * draw() - 1
        if self.history.plan.clocks_apart:
            ahead = 1.0 if self._machines % 2 else -1.0
        self._machines += 1
        return Machine(self.history.skew * ahead, self.settings)

    def _services(self, instance: Instance, machine: Machine) -> Services:
        world, books, settings = self.world, self.history.books, machine.settings
        deadline = Deadline.after(instance, self.history.plan.limit_s - MARGIN)
        uploads = SimulatedBucket(world, books, instance, self.uploads, deadline, None)
        state = SimulatedBucket(world, books, instance, self.state, deadline, settings.state_prefix)
        if self.state is self.uploads:
            uploads = state
        return Services(
            settings=settings,
            uploads=uploads,
            ledger=self._ledger(state, instance, machine),
            api=SimulatedApi(world, books, instance),
            consumer=SimulatedConsumer(world, books, instance),
            clock=instance,
            deadline=deadline,
            together=instance.together,
            draw=world.draw,
            log=partial(_log, world, instance),
            request_id=str(instance),
        )

    def _ledger(self, state: SimulatedBucket, instance: Instance, machine: Machine) -> Ledger:
        prefix, seals = machine.settings.state_prefix, Seals(machine.settings.state_secrets.reveal())
        return Ledger(state, prefix, seals, instance, instance.together, machine.memory)

    def _alternatives(self, key: str) -> tuple[str, ...]:
        match = self.settings.templates.match(key)
        return match[1].keys(match[0]) if match and isinstance(match[1], Pair) else (key,)

    # --- the timer

    def due(self, key: str) -> None:
        """An object was written: if it is on the agenda, the timer's next firing after that matters."""
        if key.startswith(self.agenda):
            at = due_second(key)
            if at is not None:
                self._tick_at(max(at, 60 * math.ceil((self.world.now + 0.001) / 60)))

    def _tick_at(self, at: float) -> None:
        if at not in self._ticks:
            self._ticks.add(at)
            self.world.at(at, lambda: self._tick(at))

    def _tick(self, at: float) -> None:
        """Second 0 of a minute. A sweep that finds nothing does nothing, so it is left out."""
        self._ticks.discard(at)
        # A clock that is behind leaves what is due to the next one.
        if any((due_second(key) or 0) <= at for key in self.state.names(self.agenda)):
            self.history.count_sweep()
            for seconds in self.history.plan.timer:
                self.world.at(at + seconds, lambda: self.invoke(f"sweep{self.number}", sweep))
            self._tick_at(at + 60)


def _log(world: World, instance: Instance, event: str, level: str = "INFO", **fields: Any) -> None:
    if world.trace is not None:
        told = ", ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        world.tell(instance, f"logs {event}: {told}")
