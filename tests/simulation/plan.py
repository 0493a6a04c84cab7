"""What a history is made of, drawn from its seed.

Each history has faults of its own choice in its own measure, many of them none of a kind, so that rare ones
meet undisturbed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from handler.rules.settings import Settings, load_settings
from tests.simulation.store import HEAD_LAG, LIST_LAG, Mood

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
class Redeploy:
    """A function gets other settings."""

    at: float
    function: int
    environment: Environment


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes of a wrong kind come to lie among the state objects of a `kind`; `chosen` says where."""

    at: float
    kind: str
    chosen: int


@dataclass(frozen=True, slots=True)
class Forgery:
    """Somebody who may write state, and knows no secret, forges a record, the `chosen`, to be told."""

    at: float
    chosen: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """All uploads are taken, or the `live` packages alone; or all `records`, or the whole `agenda`."""

    at: float
    which: str


@dataclass(frozen=True, slots=True)
class Command:
    """The operator runs a command, about the pair or record that is `chosen`.

    `die`: how likely it is killed at each of its requests.
    """

    at: float
    name: str
    chosen: int
    die: float


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
    limit_s: float = 90.0
    """The functions' time limit."""
    timer: tuple[float, ...] = (0.0,)
    """At which seconds of a minute the timer fires."""
    parts: int = 1
    """How many timers fire then, each for its part of what is due."""
    merged_s: float = 0.0
    """For how many seconds events are gathered, to come as the records of one; 0: each comes alone."""
    redeploys: tuple[Redeploy, ...] = ()
    junk: tuple[Junk, ...] = ()
    forgeries: tuple[Forgery, ...] = ()
    expiries: tuple[Expiry, ...] = ()
    commands: tuple[Command, ...] = ()


def alter(environment: Environment, **settings: str) -> Environment:
    """The environment with other settings."""
    return tuple({**dict(environment), **settings}.items())


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
                ("MAX_VERDICTS", "0"),
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
