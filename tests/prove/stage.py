"""A simulated world in which a schedule says what happens next, not chance; the package tells its model."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from tests.prove.past import Past
from tests.simulation.store import SLOWEST, WINDOW
from tests.simulation.world import Death, Instance, Lane, World

T = TypeVar("T")

STEP = 0.005
"""Seconds that an operation takes, so that nine fit into the window of a create-only PUT."""

GRAIN = 0.05
"""Seconds by which the time may differ in two situations that are else the same, and taken for one."""

EARLY, CRASH, LOST = "b", "c", "l"
"""How an operation can end badly: its instance dies before it or after it, or its answer is lost."""

CHANGING = ("write", "create", "delete", "compare", "post")
"""Operations that change the world. A crash after a read is a crash after what came before it; a read whose
answer is lost is asked again, and so it is a slow one."""


class Option(NamedTuple):
    """One way to go on: `turn` is who (None: nobody, until something awaited comes), `fault` how it ends."""

    name: str
    preempts: int
    fault: str
    turn: Turn | None


class Turn:
    """An operation that was asked for and may now take effect, by `latest` at the latest."""

    __slots__ = ("fault", "lane", "latest", "may_fail", "says")

    def __init__(self, lane: Lane, says: str, latest: float, may_fail: bool) -> None:
        self.lane = lane
        self.says = says
        self.latest = latest
        self.may_fail = may_fail
        self.fault = ""


def _number(lane: Lane) -> int:
    return lane.instance.lanes.index(lane)


class Known(Exception):
    """The situation was met before: what can come of it is looked at from there."""


Schedule = tuple[tuple[int, str], ...]
"""The steps at which something else than the usual happens, and what. The first step is number 0."""


def has_fault(schedule: Schedule) -> bool:
    """Whether something dies or is lost in it."""
    return any(name[-1] in (EARLY, CRASH, LOST) for _, name in schedule)


class Stage(World):
    """The world: from its second `first` to `last` in the order of `schedule`, without choice after.

    `is_known` is asked at each step after the schedule's last whether the situation was met before; then
    `run` raises Known.
    """

    def __init__(
        self,
        schedule: Schedule,
        first: float,
        last: float,
        *,
        is_known: Callable[[Hashable], bool] | None = None,
        tracing: bool = False,
    ) -> None:
        super().__init__(0, tracing=tracing)
        self.draw = lambda: 0.5
        self.steps: list[list[Option]] = []
        """What could have been chosen at each step, what is usual first."""
        self._schedule = dict(schedule)
        self._free = schedule[-1][0] + 1 if schedule else 0
        self._is_known = is_known
        self._past = Past()
        self._lanes: list[Lane] = []
        self._last = last
        self._turns: list[Turn] = []
        self._current: Lane | None = None
        self._begun: set[Instance] = set()
        self.at(first, self._begin)
        self.at(last, self._end)

    def _begin(self) -> None:
        self.exchange = self._exchange

    def _end(self) -> None:
        self.exchange = None

    def start(self, lane: Lane, work: Callable[[], object]) -> None:
        super().start(lane, work)
        self._lanes.append(lane)

    def act(self, at: float, says: str, call: Callable[[], object]) -> None:
        """Have something happen from `at` on, whenever the schedule says."""
        lane = Lane(Instance(self, "owner", 0.0), None)

        def work() -> None:
            self._wait_for_turn(lane, says, math.inf, may_fail=False)
            call()

        self.at(at, lambda: self.start(lane, work))

    # --- operations

    def _exchange(
        self,
        says: str,
        effect: Callable[[], T],
        seconds: float,
        *,
        check: Callable[[], None] | None = None,
        took: float = 0.0,
        lost: bool = False,
        fails: bool = False,
    ) -> tuple[T] | None:
        """As `Remote.exchange`, its moment and its end chosen."""
        lane = self.lane
        assert lane is not None
        fault = self._wait_for_turn(lane, says, SLOWEST, may_fail=True)
        result: list[Any] = [None, None]
        try:
            if check is not None:
                check()
                if took <= WINDOW:
                    self._wait_for_turn(lane, f"store {says.partition(' ')[2]}", WINDOW, may_fail=False)
            self._happen(lane, effect, took, result)
        except Exception as error:  # noqa: BLE001 # raised again below
            result[1] = error
        if fault == CRASH:
            self.tell(lane.instance, "dies")
            lane.instance.die()
            self.park()
        if fault == LOST or lost:
            self.tell(lane.instance, "gets no answer")
            if lost or says.startswith("post "):
                lane.instance.sleep(seconds)
            return None
        if fails:
            return None
        if result[1] is not None:
            raise result[1]
        return (result[0],)

    def _happen(self, lane: Lane, effect: Callable[[], object], took: float, result: list[Any]) -> None:
        if took <= WINDOW:
            result[0] = effect()
            return

        def happen() -> None:
            try:
                result[0] = effect()
            except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                result[1] = error
            self.wake(lane)

        self.at(self.now + took, happen)
        self.park()

    def _wait_for_turn(self, lane: Lane, says: str, within: float, *, may_fail: bool) -> str:
        """Give way until it is this lane's turn. Returns the fault that its operation is to have."""
        turn = Turn(lane, says, self.now + within, may_fail)
        self._turns.append(turn)
        self.park()
        return turn.fault

    # --- whose turn it is

    def run(self, until: float) -> bool:
        """Let things happen until nothing is left, and tell so, or until that moment."""
        while True:
            self._turns = [turn for turn in self._turns if not turn.lane.instance.dead]
            if self._turns and not self._is_due(self.now):
                self._take_a_step()
            elif not self._calls:
                return True
            elif self._calls[0][0] > until:
                return False
            else:
                self._let_pass(self._calls[0][0])

    def _is_due(self, moment: float) -> bool:
        return bool(self._calls) and self._calls[0][0] <= moment

    def _let_pass(self, moment: float) -> None:
        """Let time pass until then, with all that is due."""
        while self._is_due(moment):
            at, _, call = heapq.heappop(self._calls)
            self.now = max(self.now, at)
            call()
        self.now = max(self.now, moment)

    def _take_a_step(self) -> None:
        option = self._chosen()
        if option.turn is None:
            before = set(self._turns)
            self._let_pass(self._calls[0][0])
            new = [turn for turn in self._turns if turn not in before]
            self._current = new[0].lane if new else self._current
            return
        turn = option.turn
        self._let_pass(self.now + STEP)
        if turn.lane.instance.dead:
            return
        self._turns.remove(turn)
        self._current, turn.fault = turn.lane, option.fault
        self._begun.add(turn.lane.instance)
        self._past.note(turn.lane.instance.name, turn.says, turn.fault)
        if option.fault == EARLY:
            self.tell(turn.lane.instance, "dies before anything")
            turn.lane.instance.die()
        else:
            self.tell(turn.lane.instance, turn.says)
            self.wake(turn.lane)

    def _chosen(self) -> Option:
        turns = sorted(self._turns, key=lambda turn: turn.latest)
        first = turns[0]
        if self.exchange is None or first.latest - self.now < STEP * (1 + len(turns)):
            return Option("0", 0, "", first)  # it cannot wait any longer
        options = self._options(turns)
        number = len(self.steps)
        if self._is_known is not None and number >= self._free and self._is_known(self._situation(turns)):
            raise Known
        self.steps.append(options)
        name = self._schedule.get(number)
        if name is None:
            return options[0]
        self.tell("", f"step {number}: {name} of {' '.join(option.name for option in options)}")
        for option in options:
            if option.name == name:
                return option
        raise ValueError(f"step {number} has no {name}; it has {' '.join(option.name for option in options)}")

    def _situation(self, turns: list[Turn]) -> Hashable:
        """What tells how things can go on: what has happened, who may be next, and about when it is."""
        current = self._current and (self._current.instance.name, _number(self._current))
        waiting = tuple((turn.lane.instance.name, _number(turn.lane), turn.says) for turn in turns)
        return self._past.digest, current, waiting, int(self.now / GRAIN)

    def leave(self) -> None:
        """End everything that still goes on."""
        self.exchange = None
        for lane in self._lanes:
            lane.instance.dead = True
        for lane in self._lanes:
            if lane.fiber and not lane.fiber.dead:
                with suppress(Death):
                    lane.fiber.throw(Death)

    def _options(self, turns: list[Turn]) -> list[Option]:
        """Each way to go on; what costs a preemption does so because the current instance could go on."""
        usual, others, costs = self._usual(turns)
        options = []
        for number, turn in enumerate([usual, *others]):
            preempts = costs if number else 0
            options.append(Option(str(number), preempts, "", turn))
            options += [Option(f"{number}{fault}", preempts, fault, turn) for fault in self._faults(turn)]
        if self._calls and self._calls[0][0] <= min(turns[0].latest, self._last):
            options.append(Option("t", 1, "", None))
        return options

    def _usual(self, turns: list[Turn]) -> tuple[Turn, list[Turn], int]:
        """Who goes on as a rule, who may instead, and whether that is a preemption."""
        current = self._current
        own = [turn for turn in turns if current and turn.lane.instance is current.instance]
        same = [turn for turn in own if turn.lane is current]
        usual = (same or own or turns)[0]
        others = [turn for turn in own if turn is not usual]
        seen = {usual.lane.instance}
        for turn in turns:
            if turn.lane.instance not in seen:
                seen.add(turn.lane.instance)
                others.append(turn)
        return usual, others, int(bool(own))

    def _faults(self, turn: Turn) -> str:
        if not turn.may_fail:
            return ""
        faults = "" if turn.lane.instance in self._begun else EARLY
        return faults + CRASH + LOST if turn.says.startswith(CHANGING) else faults
