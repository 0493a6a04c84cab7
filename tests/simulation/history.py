"""A history: uploads and their events, what goes wrong; then a kind world, and quiet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from handler.flow.reconcile import reconcile
from handler.flow.visit import upload_came
from handler.rules.agenda import Entry, Look
from handler.rules.events import UploadEvent
from handler.rules.pairing import Pair
from handler.services import Services
from tests.simulation.plan import Plan, Put
from tests.simulation.platform import Function
from tests.simulation.store import Asked, Books, Mood, Store
from tests.simulation.world import World, moment

SKEW = 2.0
"""Seconds by which a machine's clock is ahead or behind at the most."""

QUIET_SWEEPS = 1500
"""Sweeps after which a kind world must be quiet."""


class TooMany(Exception):
    """A kind world does not become quiet."""


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
        world = self.world
        for number, put in enumerate(self.plan.puts, 1):
            world.at(put.at, partial(self.put, number, put))
        for at in self.plan.walks:
            for function in self.functions:
                world.at(at, partial(function.invoke, "walk", reconcile))
        for at in self.plan.retries:
            for function in self.functions:
                world.at(at, partial(self._operator_retries, function))
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
            Mood(), window_s=self.books.mood.window_s, slowest_s=self.books.mood.slowest_s
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

        for seconds in put.arrivals:
            world.at(
                world.now + seconds,
                partial(function.invoke, f"event{number}", partial(_uploaded, upload), ended),
            )

    def _operator_retries(self, function: Function) -> None:
        """An operator has every pair that ended `failed` or `incomplete` tried again."""
        for key in function.state.names(f"{function.settings.state_prefix}records/"):
            data = function.state.now(key)
            assert data is not None
            assert data.data is not None
            record = json.loads(data.data)
            if record["outcome"] in ("failed", "incomplete"):
                self.world.faults["an operator retries"] += 1
                upload = record["live_key"] if record["live"] else record["image_key"]
                task = Look(record["bucket"], upload, run=record["run"] + 1)
                asked = Asked(self.world.now, function.number, task.run or 0, record)
                function.invoke("operator", partial(self._ask, task, asked))

    def _ask(self, task: Look, asked: Asked, services: Services) -> None:
        services.ledger.put_on(Entry(services.clock.now(), task))
        self.books.asked.append(asked)


def _uploaded(upload: UploadEvent, services: Services) -> object:
    return upload_came(services, upload)
