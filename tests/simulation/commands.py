"""The operator's commands, the real ones, on the simulated buckets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from handler.cli import act, find
from handler.cli.bucket import UnfinishedUpload, Version
from handler.cli.deployment import Problem
from handler.cli.forget import forget
from handler.cli.inventory import subject_of
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.services import Services
from tests.simulation.cos import SimulatedBucket
from tests.simulation.platform import Function
from tests.simulation.store import Asked, record_in
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.history import History

T = TypeVar("T")


class SimulatedOperatorBucket:
    """`handler.cli.bucket.OperatorBucket` on a bucket that keeps no versions."""

    def __init__(self, objects: SimulatedBucket) -> None:
        self.objects = objects
        self.name = objects.name

    def keeps_versions(self) -> bool:
        return False

    def every(self, prefix: str) -> Iterator[Stored]:
        after, more = "", True
        while more:
            page, more = self.objects.list(prefix, after)
            yield from page
            after, more = (page[-1].key, more) if page else ("", False)

    def versions(self, prefix: str) -> list[Version]:
        return [Version(stored.key, "") for stored in self.every(prefix)]

    def unfinished(self, prefix: str) -> list[UnfinishedUpload]:
        return []

    def erase(self, version: Version) -> None:
        self.objects.delete([version.key])


class SimulatedDeployment:
    """`handler.cli.deployment.Deployment` of a function of the simulated world."""

    def __init__(self, services: Services, time_limit: float) -> None:
        uploads, state = services.uploads, services.ledger.bucket
        assert isinstance(uploads, SimulatedBucket)
        assert isinstance(state, SimulatedBucket)
        for bucket in (uploads, state):
            bucket.is_operators = True
        self.settings = services.settings
        self.ledger = services.ledger
        self.clock = services.clock
        self.uploads = SimulatedOperatorBucket(uploads)
        self.state = self.uploads if state is uploads else SimulatedOperatorBucket(state)
        self.function = "livepair"
        self.time_limit = time_limit
        self.templates = (*services.settings.templates.live, *services.settings.templates.image)

    def state_prefix(self, kind: str) -> str:
        return f"{self.settings.state_prefix}{kind}/"


class Silent:
    """`handler.cli.output.Output` that nobody reads."""

    @contextmanager
    def progress(self) -> Generator[Silent, None, None]:
        yield self

    @contextmanager
    def counting(self, what: str) -> Generator[Callable[[], None], None, None]:
        yield self.advance

    def add_task(self, *words: Any, **more: Any) -> int:
        return 0

    def advance(self, *words: Any) -> None:
        """Nobody looks."""


@contextmanager
def side_by_side_in(world: World) -> Generator[None, None, None]:
    """Have commands do side by side what they do so in lanes of the world, not in threads."""
    former = vars(find)["together"]

    def together(calls: Iterable[Callable[[], T]]) -> list[T]:
        assert world.lane is not None
        return world.lane.instance.together(calls)

    vars(find)["together"] = together
    try:
        yield
    finally:
        vars(find)["together"] = former


# --- the commands -----------------------------------------------------------------------------------


def _redeliver(history: History, function: Function, services: Services, chosen: int, key: str) -> bool:
    deployment: Any = SimulatedDeployment(services, history.plan.limit_s)
    output: Any = Silent()
    records: list[Record]
    if chosen % 3 == 0:
        records = act.dead(deployment, output, None).records
    else:
        since = services.clock.now() - timedelta(seconds=(600, 86_400)[chosen % 2])
        records = act.decided_since(deployment, output, since, None).records
    for record in records:
        history.books.redelivered.setdefault(record.verification.id, []).append(history.world.now)
    for which in act.redeliver(deployment, output, records).ids:
        history.books.promised.append((history.world.now, which))
    return True


def _retry(history: History, function: Function, services: Services, chosen: int, key: str) -> bool:
    deployment: Any = SimulatedDeployment(services, history.plan.limit_s)
    prefix = deployment.state_prefix("records")
    found = []
    for name in function.state.names(prefix):
        stored = function.state.now(name)
        if stored is not None and stored.data is not None and b'"outcome"' in stored.data:
            record = record_in(stored.data)
            if record["outcome"] in act.RETRIED:
                found.append(record)
    if not found:
        return True
    record = found[chosen % len(found)]
    try:
        _, run = act.retry(deployment, record["verification"])
    except Problem:
        return True
    history.books.asked.append(Asked(history.world.now, function.number, run, record))
    return True


def _reconcile(history: History, function: Function, services: Services, chosen: int, key: str) -> bool:
    deployment: Any = SimulatedDeployment(services, history.plan.limit_s)
    since = services.clock.now() - timedelta(hours=1)
    try:
        act.reconcile(deployment, (since, None)[chosen % 2], everything=chosen % 4 == 1)
    except Problem:
        return False
    return True


def _forget(history: History, function: Function, services: Services, chosen: int, key: str) -> bool:
    deployment: Any = SimulatedDeployment(services, history.plan.limit_s)
    output: Any = Silent()
    match = services.settings.templates.match(key)
    if match is None:
        return True
    subject = subject_of(deployment, match[1])
    for path in subject.paths:
        for name in function.state.names(f"{deployment.state_prefix('records')}{path}/"):
            # The same bytes, uploaded again later, are told of anew.
            message = f"msg_{name.rpartition('/')[2].removesuffix('.json')}"
            history.books.former.append((message, history.books.bodies.pop(message, {})))
    erasure = forget(deployment, output, subject)
    if erasure.complete:
        history.books.erased.append((history.world.now, function.number, match[1].path, subject.uploads))
    return erasure.complete


COMMANDS: dict[str, Callable[[History, Function, Services, int, str], bool]] = {
    "redeliver": _redeliver,
    "retry": _retry,
    "reconcile": _reconcile,
    "forget": _forget,
}
"""Each tells whether it is done."""
