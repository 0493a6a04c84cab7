"""A history: uploads and their events, what goes wrong; then a kind world, and quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from handler.flow.reconcile import reconcile
from handler.flow.visit import upload_came
from handler.rules.events import UploadEvent
from handler.rules.pairing import Pair
from handler.services import Services
from tests.simulation.commands import side_by_side_in
from tests.simulation.disturbances import disturb
from tests.simulation.plan import Plan, Put
from tests.simulation.platform import Function
from tests.simulation.store import Books, Mood, Store
from tests.simulation.world import World, moment

SKEW = 2.0
"""Seconds by which a machine's clock is ahead or behind at the most."""

QUIET_SWEEPS = 1500
"""Sweeps after which a kind world must be quiet."""


class TooMany(Exception):
    """A kind world does not become quiet."""


class Record(NamedTuple):
    """A record of an upload event; `ended` is told whether it was heard."""

    number: int
    upload: UploadEvent
    ended: Callable[[bool], None]


class History:
    """One history, from its first upload to its last check."""

    def __init__(
        self,
        seed: int,
        drawn: Plan,
        *,
        tracing: bool = False,
        skew: float = SKEW,
        world: World | None = None,
    ) -> None:
        self.plan = drawn
        self.world = world or World(seed, tracing=tracing)
        self.books = Books(drawn.mood)
        self.skew = skew
        self.invocations = 0
        self.lost: set[int] = set()
        """Numbers of the uploads whose events were wholly lost."""
        self.superseded: set[int] = set()
        """Numbers of the uploads of which a newer alternative came."""
        self._sweeps = 0
        self._gathered: dict[int, list[Record]] = {}
        self.functions = [
            Function(self, number, environment, drawn.versioned)
            for number, environment in enumerate(drawn.environments)
        ]
        for store in self.books.stores.values():
            watching = [function.due for function in self.functions if function.state is store]
            store.on_put = lambda key, watching=watching: [due(key) for due in watching]  # type: ignore[assignment]

    def store(self, name: str, *, versioned: bool) -> Store:
        found = self.books.stores.get(name)
        if found is None:
            found = self.books.stores[name] = Store(
                self.world, name, versioned=versioned, page=self.plan.page
            )
        return found

    def count_sweep(self) -> None:
        self._sweeps += 1
        if self._sweeps > QUIET_SWEEPS:
            raise TooMany

    def run(self, check: Callable[[History, bool], None]) -> None:
        """Run it, with `check` called in the quiet and once more after a reconcile."""
        with side_by_side_in(self.world):
            self._run(check)

    def _run(self, check: Callable[[History, bool], None]) -> None:
        world = self.world
        for number, put in enumerate(self.plan.puts, 1):
            world.at(put.at, partial(self.put, number, put))
        for at in self.plan.walks:
            for function in self.functions:
                world.at(at, partial(function.invoke, "walk", reconcile))
        for change in self.plan.redeploys:
            world.at(change.at, partial(self.functions[change.function].redeploy, change.environment))
        disturb(self)
        world.at(self.plan.kind_at, self._turn_kind)
        for reconciled in (False, True):
            if reconciled:
                world.now = max(world.now, self.plan.kind_at + 700)
                for function in self.functions:
                    function.invoke("walk", reconcile)
            try:
                quiet = world.run(self.plan.kind_at + 20 * 86400)
            except TooMany:
                quiet = False
            if not quiet:
                world.violation("state: a kind world does not become quiet")
                return
            world.tell("", "is quiet" + (" after a reconcile" if reconciled else ""))
            check(self, reconciled)

    def _turn_kind(self) -> None:
        self.world.tell("", "the world turns kind")
        self.books.mood = replace(
            Mood(),
            window_s=self.books.mood.window_s,
            slowest_s=self.books.mood.slowest_s,
            silent_versions=self.books.mood.silent_versions,
        )
        self._sweeps = 0

    def put(self, number: int, put: Put) -> None:
        """Make an upload, number `number`, and have its events arrive."""
        world, function = self.world, self.functions[put.function]
        if put.content is None:
            if function.uploads.now(put.key):
                function.uploads.put(put.key, None)
                world.tell("", f"its owner deletes {put.key}")
            return
        match = function.settings.templates.match(put.key)
        if match is not None and isinstance(match[1], Pair):
            for key in match[1].keys(match[0]):
                former = function.uploads.now(key)
                if former is not None:
                    self.superseded.add(former.number)
                    if former.modified == moment(int(world.now)):
                        self.superseded.add(number)
        md5 = f"{put.content:032x}"
        function.uploads.put(
            put.key,
            b"",
            md5=md5,
            is_md5=put.is_md5,
            size=put.size,
            seen_at=world.now + put.head_lag if put.head_lag else 0.0,
            listed_at=world.now + put.list_lag if put.list_lag else 0.0,
            number=number,
        )
        world.tell("", f"upload {number}: {put.key}, {md5}, {put.size} bytes, HEAD lags {put.head_lag:.1f} s")
        if put.head_lag:
            world.faults["HEAD lags"] += 1
        if not put.arrivals:
            world.faults["an event is lost"] += 1
            self.lost.add(number)
        world.faults["an event is repeated"] += max(0, len(put.arrivals) - 1)
        etag = function.uploads.now(put.key)
        upload = UploadEvent(
            function.settings.bucket,
            (put.key,),
            None,
            moment(int(world.now) + put.told),
            etag.etag if etag else None,
        )
        heard = [False, len(put.arrivals)]

        def ended(well: bool) -> None:
            heard[0] = heard[0] or well
            heard[1] -= 1
            if not heard[1] and not heard[0]:
                self.lost.add(number)

        come = Record(number, upload, ended)
        for seconds in put.arrivals:
            world.at(world.now + seconds, partial(self._comes, function, come))

    def _comes(self, function: Function, record: Record) -> None:
        """A record of an upload comes to the platform, which makes an event of it and of others."""
        if not self.plan.merged_s:
            self._event(function, [record])
            return
        gathered = self._gathered.setdefault(function.number, [])
        if not gathered:
            self.world.at(self.world.now + self.plan.merged_s, partial(self._gather, function))
        gathered.append(record)

    def _gather(self, function: Function) -> None:
        self._event(function, self._gathered.pop(function.number))

    def _event(self, function: Function, records: list[Record]) -> None:
        def ended(well: bool, called: bool) -> None:
            for record in records:
                # Of one record alone: having come to a call it is on the agenda.
                record.ended(well or (called and len(records) == 1))

        if len(records) > 1:
            self.world.faults["an event with several records"] += 1
        name = "event" + "+".join(str(record.number) for record in records)
        work = partial(handle_records, [record.upload for record in records])
        function.invoke(name, work, ended)


def handle_records(uploads: list[UploadEvent], services: Services) -> None:
    """Every record has its turn, in order; then the first failure is raised, as in `index`."""
    failed: Exception | None = None
    for upload in uploads:
        try:
            upload_came(services, upload)
        except Exception as error:  # noqa: BLE001 # the other records have their turn first
            failed = failed or error
    if failed is not None:
        raise failed
