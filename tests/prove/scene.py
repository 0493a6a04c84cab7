"""What a scene is, and what scenes are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from handler.flow.sweep import sweep
from tests.prove.stage import Stage
from tests.simulation.history import History
from tests.simulation.plan import OWN_PAIRS, Environment, Plan, Put
from tests.simulation.store import Mood

NEVER = 1e-9
"""A chance so small that it is never drawn."""

Add = Callable[[History, Stage], None]


def _nothing(history: History, stage: Stage) -> None:
    pass


@dataclass(frozen=True)
class Scene:
    """A situation. From second `first` on, until the world turns kind, every schedule is looked at.

    `placed` are uploads of which no event tells; `add` puts into it what a plan cannot say either. `calls`
    and `told` are how many calls of the API and how many different messages there may be: so many calls only
    where nothing crashes and no answer is lost.
    """

    name: str
    says: str
    plan: Plan
    first: float
    add: Add = _nothing
    placed: tuple[Put, ...] = ()
    calls: tuple[int, ...] = (1,)
    told: tuple[int, ...] = (1,)
    skew: float = 0.0
    draw: float = 0.5
    """What is drawn all the time; from 0.7 on every invocation runs on a new machine."""

    beside_a_fault: int = 2
    """How many preemptions schedules with a fault have at the most: fewer where many instances meet."""

    @property
    def last(self) -> float:
        """The second at which nothing is chosen any more, and the world turns kind soon after."""
        return self.plan.kind_at - 1

    def planned(self, faulty: bool) -> Plan:
        """Its plan; one that is not calm where the schedule has a fault, so that the checks know of it."""
        if not faulty:
            return self.plan
        return replace(self.plan, mood=replace(self.plan.mood, die=NEVER))

    def set(self, history: History, stage: Stage) -> None:
        """Put into the history what its plan does not say."""
        uploads = history.functions[0].uploads
        for put in self.placed:
            upload = partial(uploads.put, put.key, b"", md5=f"{put.content:032x}", size=put.size)
            stage.at(put.at, upload)
        self.add(history, stage)

    def check(self, history: History, *, faultless: bool) -> Iterator[str]:
        """What must hold beside what holds in every history."""
        calls, told = history.books.calls, len(history.books.accepted)
        if faultless and calls not in self.calls:
            yield f"scene: the API was called {calls} times, expected {_or(self.calls)}"
        if told not in self.told:
            yield f"scene: {told} messages were accepted, expected {_or(self.told)}"


def _or(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))


def _environment(**settings: str) -> Environment:
    base = {
        "BUCKET": "faces0-1250000000",
        "STATE_BUCKET": "state-1250000000",
        "WEBHOOK_URL": "https://example.com/hook",
        "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        **dict(OWN_PAIRS),
        "PAIR_TIMEOUT": "600",
        "KEEP_BEST_FRAME": "false",
        "MAX_IMAGE_BYTES": "1000",
        "MAX_VERDICTS": "0",
    }
    return tuple({**base, **settings}.items())


def plan(*puts: Put, last: float, warm: int = 2, settings: Mapping[str, str] | None = None) -> Plan:
    """A plan without chance. `warm`: so many instances have learned that the bucket honours create-only."""
    return Plan(
        environments=(_environment(**(settings or {})),),
        versioned=False,
        page=1000,
        mood=Mood(),
        puts=puts,
        walks=(1.0,) * warm,
        retries=(),
        kind_at=last + 1,
    )


def upload(key: str, content: int, *arrivals: float, at: float = 30.0, size: int = 500) -> Put:
    """An upload with its events, so many seconds after it."""
    return Put(at, 0, key, content, size, True, 0.0, 0.0, 0, arrivals)


def extra_sweep(at: float) -> Add:
    """A sweep beside the timer's."""

    def add(history: History, stage: Stage) -> None:
        stage.at(at, partial(history.functions[0].invoke, "extra", sweep))

    return add


def uploaded_at_will(*puts: Put) -> Add:
    """Uploads at any moment after their own."""

    def add(history: History, stage: Stage) -> None:
        for number, put in enumerate(puts, 1 + len(history.plan.puts)):
            stage.act(put.at, f"upload {put.key}", partial(history.put, number, put))

    return add
