"""Look at every schedule of a scene within bounds, with few preemptions first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.prove.scenes import Scene
from tests.prove.stage import LOST, Known, Schedule, Stage
from tests.simulation.checks import check
from tests.simulation.history import History


class Spent(NamedTuple):
    """What a schedule has of each kind."""

    preemptions: int = 0
    crashes: int = 0
    lost: int = 0


class Bounds(NamedTuple):
    """How many preemptions schedules have at the most: without a fault, with one, and with one of each kind.

    -1: there are no such schedules.
    """

    faultless: int = 2
    one_fault: int = 2
    both_faults: int = 0

    def allow(self, spent: Spent) -> bool:
        """Whether a schedule is looked at."""
        if spent.crashes > 1 or spent.lost > 1:
            return False
        return spent.preemptions <= self[spent.crashes + spent.lost]


SMALL = Bounds(1, 0, -1)


class Next(NamedTuple):
    """A schedule that is to be looked at."""

    schedule: Schedule
    spent: Spent


@dataclass(slots=True)
class Found:
    """What came of looking at schedules. `violations` holds the first schedule for each text."""

    scene: str
    schedules: int = 0
    steps: int = 0
    violations: dict[str, Schedule] = field(default_factory=dict)

    def add(self, this: Next, stage: Stage) -> None:
        """Note what came of one."""
        self.schedules += 1
        self.steps = max(self.steps, len(stage.steps))
        for text in stage.violations:
            self.violations.setdefault(text, this.schedule)


def play(
    scene: Scene,
    this: Next,
    *,
    is_known: Callable[[Hashable], bool] | None = None,
    tracing: bool = False,
) -> Stage:
    """Run one schedule of a scene, then turn the world kind, and check it.

    It ends early, and without checks, where it comes to a situation that is known.
    """
    stage = Stage(this.schedule, scene.first, scene.last, is_known=is_known, tracing=tracing)
    stage.draw = lambda: scene.draw
    history = History(0, scene.plan, world=stage, skew=scene.skew)
    scene.set(history, stage)
    try:
        history.run(check)
    except Known:
        stage.leave()
        return stage
    for text in scene.check(history, faultless=not (this.spent.crashes or this.spent.lost)):
        stage.violation(text)
    return stage


def _further(this: Next, stage: Stage) -> Iterator[Next]:
    """The schedules that differ from one that was played at one step more, later than the others."""
    schedule, spent = this
    begin = schedule[-1][0] + 1 if schedule else 0
    for number in range(begin, len(stage.steps)):
        for option in stage.steps[number][1:]:
            lost = option.fault == LOST
            more = Spent(
                spent.preemptions + option.preempts,
                spent.crashes + bool(option.fault and not lost),
                spent.lost + lost,
            )
            yield Next((*schedule, (number, option.name)), more)


def look_at_all(scene: Scene, bounds: Bounds, *, stop_at: str | None = None) -> Found:
    """Look at every schedule within the bounds, those with the fewest preemptions first.

    `stop_at`: only until a violation holds that text.
    """
    found = Found(scene.name)
    known: set[Hashable] = set()

    def is_known(situation: Hashable) -> bool:
        if situation in known:
            return True
        known.add(situation)
        return False

    levels: list[list[Next]] = [[Next((), Spent())]]
    for level in levels:
        while level:
            this = level.pop()
            stage = play(scene, this, is_known=is_known)
            found.add(this, stage)
            if stop_at is not None and any(stop_at in text for text in stage.violations):
                return found
            for more in _further(this, stage):
                if bounds.allow(more.spent):
                    while len(levels) <= more.spent.preemptions:
                        levels.append([])
                    levels[more.spent.preemptions].append(more)
    return found


def text_of(schedule: Schedule) -> str:
    """A schedule as it is written: `14-1c.22-t`; the usual one is `usual`."""
    return ".".join(f"{number}-{name}" for number, name in schedule) or "usual"


def schedule_of(text: str) -> Schedule:
    """What `text_of` has written. Raises ValueError for anything else."""
    if text == "usual":
        return ()
    steps = (step.partition("-") for step in text.split("."))
    return tuple((int(number), name) for number, _, name in steps)
