"""A history: what is uploaded and when, how its events arrive, what goes wrong; then a kind world, and quiet.

Everything is drawn from the seed. Each history has faults of its own choice in its own measure, many of them
none of a kind, so that rare ones meet undisturbed.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from handler.clock import Deadline
from handler.edges.cos import CosError
from handler.flow.advance import uploaded
from handler.flow.sweep import reconcile, sweep
from handler.rules.events import Upload
from handler.rules.pairing import Pair
from handler.rules.settings import Settings, load_settings
from handler.services import Services
from handler.state.ledger import Entry, Ledger, Memory, Task
from tests.simulation.services import (
    HEAD_LAG,
    LIST_LAG,
    Books,
    Mood,
    SimulatedApi,
    SimulatedBucket,
    SimulatedConsumer,
    Store,
    due_second,
)
from tests.simulation.world import Death, Instance, Lane, World, moment

LIMIT = 90.0
"""The function's time limit in seconds; MARGIN is what index.py keeps of it."""
MARGIN = 2.0

RETRIES = 2
"""How often the platform repeats an invocation that failed, a minute apart."""

SKEW = 2.0
"""Seconds by which a machine's clock is ahead or behind at the most."""

QUIET_SWEEPS = 1500
"""Sweeps after which a kind world must be quiet."""

Environment = tuple[tuple[str, str], ...]

OWN_PAIRS: Environment = (
    ("LIVE_KEY", "uploads/{id}/live.gz"),
    ("IMAGE_KEY", "uploads/{id}/image.jpg"),
)
ALTERNATIVES: Environment = (
    ("LIVE_KEY", "uploads/{id}/live.gz, uploads/{id}/live.bin"),
    ("IMAGE_KEY", "uploads/{id}/image.jpg, uploads/{id}/image.png"),
)
SHARED_IMAGE: Environment = (
    ("LIVE_KEY", "uploads/{user}/{attempt}/live.gz"),
    ("IMAGE_KEY", "faces/{user}.jpg"),
)


@lru_cache(1000)
def settings_of(environment: Environment) -> Settings:
    return load_settings(dict(environment))


# --- what is drawn ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """An upload, or with no content a deletion by its owner. `arrivals`: seconds until each of its events."""

    at: float
    function: int
    key: str
    content: int | None
    size: int
    is_md5: bool
    head_lag: float
    list_lag: float
    told: int
    arrivals: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a history is made of."""

    environments: tuple[Environment, ...]
    versioned: bool
    page: int
    mood: Mood
    puts: tuple[Put, ...]
    walks: tuple[float, ...]
    retries: tuple[float, ...]
    kind_at: float
    most_instances: int = 10_000
    """How many instances of a function the platform runs at once; further events wait a minute each time."""
    clocks_apart: bool = False
    """Every other machine's clock is as far ahead as may be, the rest as far behind."""


def plan(seed: int, profile: Callable[[random.Random, Plan], Plan] | None = None) -> Plan:
    """Draw a history's plan. A `profile` changes it, for runs that show one thing."""
    rng = random.Random(f"plan {seed}")
    functions = 2 if rng.random() < 0.1 else 1
    environments = _environments(rng, functions)
    mood = _mood(rng)
    puts: list[Put] = []
    begin = 0.0
    for number in range(rng.choice((1, 1, 1, 1, 2, 2, 3))):
        begin += rng.choice((0.0, 2.0, 100.0)) * rng.random()
        puts += _pair(rng, mood, number, rng.randrange(functions), environments, begin + 60 * rng.random())
    puts.sort(key=lambda put: put.at)
    last = max(put.at for put in puts)
    kind_at = last + rng.choice((20.0, 150.0, 1000.0, 9000.0)) * (0.5 + rng.random())
    drawn = Plan(
        environments=environments,
        versioned=rng.random() < 0.15,
        page=rng.choice((2, 1000, 1000)),
        mood=mood,
        puts=tuple(puts),
        walks=tuple(kind_at * rng.random() for _ in range(rng.random() < 0.1)),
        retries=tuple(kind_at * rng.random() for _ in range(rng.random() < 0.15)),
        kind_at=kind_at,
    )
    return profile(rng, drawn) if profile else drawn


def _environments(rng: random.Random, functions: int) -> tuple[Environment, ...]:
    found = []
    for number in range(functions):
        bucket = f"faces{number}-1250000000"
        separate = functions > 1 or rng.random() < 0.3
        found.append(
            (
                ("BUCKET", bucket),
                ("WEBHOOK_URL", "https://example.com/hook"),
                ("WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
                *(rng.choice((OWN_PAIRS, OWN_PAIRS, OWN_PAIRS, ALTERNATIVES, SHARED_IMAGE))),
                ("STATE_BUCKET", "state-1250000000" if separate else bucket),
                ("PAIR_TIMEOUT", rng.choice(("600", "3600"))),
                ("DELETE_UPLOADS", rng.choice(("none", "none", "none", "live", "both"))),
                ("KEEP_BEST_FRAME", rng.choice(("true", "false"))),
                ("PASS_RESOURCES", rng.choice(("presigned",) * 7 + ("upload_url",))),
                ("MAX_IMAGE_BYTES", "1000"),
            )
        )
    return tuple(found)


def _mood(rng: random.Random) -> Mood:
    """Which faults there are, and in what measure."""

    def some(most: float, often: float = 0.4) -> float:
        return most ** (1 + rng.random()) if rng.random() < often else 0.0

    down = 0.0, 0.0
    if rng.random() < 0.1:
        began = 120 * rng.random()
        down = began, began + 100 * rng.random()
    api_down = 0.0, 0.0, ""
    if rng.random() < 0.1:
        began = 120 * rng.random()
        code = rng.choice(("RequestLimitExceeded", "AuthFailure.SecretIdNotFound", "InternalError"))
        api_down = began, began + rng.choice((60.0, 600.0, 20_000.0)), code
    hook_down = 0.0, 0.0, ""
    if rng.random() < 0.15:
        how = ("answers 500", "refuses connections", "hangs", "answers 503, to come back later")
        hook_down = 0.0, rng.choice((60.0, 600.0, 20_000.0)), rng.choice(how)
    return Mood(
        die=some(0.15, 0.5),
        slow=some(0.2),
        refused=some(0.1),
        committed=some(0.1),
        unanswered=some(0.05),
        conflict=some(0.1, 0.2),
        wide_window=rng.choice((0.0, 0.0, 0.9)),
        head_lag=some(0.5),
        list_lag=some(0.5),
        throttled=some(0.4),
        trouble=some(0.4),
        forbidden=some(0.2, 0.1),
        verdict_lost=some(0.3),
        unreached=some(0.2, 0.2),
        slow_call=some(0.5),
        frame_lost=some(0.3, 0.2),
        hook_refuses=some(0.4),
        hook_late=some(0.3),
        hook_gone=some(0.05, 0.1),
        cos_down=down,
        api_down=api_down,
        hook_down=hook_down,
    )


def _pair(
    rng: random.Random,
    mood: Mood,
    number: int,
    function: int,
    environments: tuple[Environment, ...],
    begin: float,
) -> list[Put]:
    """The uploads of one pair: both at once or far apart, replaced, put back, repeated, deleted, or never."""
    environment = environments[function]
    settings = settings_of(environment)
    timeout = settings.pair_timeout
    names: tuple[dict[str, str], ...] = ({"id": f"p{number}"},)
    if settings.templates.shared:
        attempts = rng.choice((1, 1, 2, 3))
        names = tuple({"user": f"u{number}", "attempt": f"a{a}"} for a in range(attempts))
    lost = rng.random() < 0.1
    puts: list[Put] = []

    def put(role: str, at: float, content: int | None, which: int = 0) -> None:
        templates = settings.templates.live if role == "live" else settings.templates.image
        template = templates[0] if rng.random() < 0.8 else rng.choice(templates)
        size = 500
        if content is not None and content % 29 == 0:
            size = 0 if role == "live" or content % 2 else 2000
        puts.append(
            Put(
                at,
                function,
                template.key(names[which]),
                content,
                size,
                rng.random() < 0.95,
                HEAD_LAG * rng.random() if rng.random() < mood.head_lag else 0.0,
                LIST_LAG * rng.random() ** 2 if rng.random() < mood.list_lag else 0.0,
                rng.choice((0, 0, 0, 1)),
                () if content is None else _arrivals(rng, lost),
            )
        )

    contents = [rng.getrandbits(120) for _ in range(6)]
    together = rng.choice((0.0, 0.3, 1.5)) * rng.random()
    apart = rng.choice(
        (together, together, 20 * rng.random(), 900 * rng.random(), timeout - 5 + 70 * rng.random())
    )
    first, second = rng.choice((("live", "image"), ("image", "live")))
    put(first, begin, contents[0])
    if rng.random() < 0.9:
        put(second, begin + apart, contents[1])
    for which in range(1, len(names)):
        put("live", begin + apart * rng.random() * 1.5, contents[1 + which], which)
    later = begin + apart
    while rng.random() < 0.3:
        # Replaced by other bytes, put back, or the same again.
        later += rng.choice((0.5, 3.0, 60.0, 5000.0)) * rng.random()
        role = rng.choice(("live", "image"))
        former = contents[0] if role == first else contents[1]
        put(role, later, None if rng.random() < 0.05 else rng.choice((former, rng.choice(contents))))
    return puts


def _arrivals(rng: random.Random, lost: bool) -> tuple[float, ...]:
    """When an upload's event arrives: mostly at once, sometimes minutes late, repeated, or never."""
    if lost and rng.random() < 0.5:
        return ()
    first = 0.02 + rng.choice((0.05, 0.3, 2.0)) * rng.random()
    if rng.random() < 0.1:
        first += rng.choice((10.0, 600.0)) * rng.random()
    arrivals = [first]
    while rng.random() < 0.35 and len(arrivals) < 6:
        arrivals.append(first + rng.choice((0.01, 0.02, 0.3, 3.0, 90.0, 90.0, 2000.0)) * rng.random())
    return tuple(arrivals)


# --- the platform -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Machine:
    """A warm instance: it remembers what it has learned of its bucket."""

    skew: float
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
        self.agenda = f"{self.settings.state_prefix}agenda/"
        self._idle: list[Machine] = []
        self._machines = 0
        self._running = 0
        self._ticks: set[float] = set()

    def invoke(
        self,
        name: str,
        work: Callable[[Services], object],
        ended: Callable[[bool], None] | None = None,
        attempt: int = 0,
        called: bool = False,
    ) -> None:
        """Run an invocation; after a failure the platform tries twice more.

        `ended` is told whether one went well, or came as far as calling the API.
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
                self._idle.append(machine)
            world.tell(instance, "ends" if well else "fails")
            heard = well or called or instance.called
            if well or attempt == RETRIES:
                if ended is not None:
                    ended(heard)
            else:
                world.at(world.now + 60, lambda: self.invoke(name, work, ended, attempt + 1, heard))

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
        world.at(world.now + LIMIT, lambda: self._limit(instance))

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
        return Machine(self.history.skew * ahead)

    def _services(self, instance: Instance, machine: Machine) -> Services:
        world, books, settings = self.world, self.history.books, self.settings
        deadline = Deadline.after(instance, LIMIT - MARGIN)
        uploads = SimulatedBucket(world, books, instance, self.uploads, deadline, None)
        state = SimulatedBucket(world, books, instance, self.state, deadline, settings.state_prefix)
        if self.state is self.uploads:
            uploads = state
        return Services(
            settings=settings,
            uploads=uploads,
            ledger=Ledger(state, settings.state_prefix, instance, instance.together, machine.memory),
            api=SimulatedApi(world, books, instance),
            consumer=SimulatedConsumer(world, books, instance, self.state, settings.state_prefix),
            clock=instance,
            deadline=deadline,
            together=instance.together,
            draw=world.draw,
            log=partial(_log, world, instance),
            request_id=str(instance),
        )

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
            self.invoke(f"sweep{self.number}", sweep)
            self._tick_at(at + 60)


def _log(world: World, instance: Instance, event: str, level: str = "INFO", **fields: Any) -> None:
    if world.trace is not None:
        told = ", ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        world.tell(instance, f"logs {event}: {told}")


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
        upload = Upload(
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
                task = Task("look", record["bucket"], upload, run=record["run"] + 1)
                function.invoke(
                    "operator",
                    lambda s, task=task: s.ledger.put_on(Entry(s.clock.now(), task)),  # type: ignore[misc]
                )


def _uploaded(upload: Upload, services: Services) -> object:
    return uploaded(services, upload)
