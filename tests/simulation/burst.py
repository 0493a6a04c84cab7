"""Very many pairs at the same moment, or steadily, against an API that takes a few calls a second."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from tests.simulation.checks import check
from tests.simulation.history import History
from tests.simulation.plan import OWN_PAIRS, Environment, Plan, Put, alter, plan
from tests.simulation.store import Mood

BEGINS = 30.0
"""The world's second of the first upload: half a minute before a sweep."""

FIRST_SWEEP = 60.0

ENVIRONMENT: Environment = (
    ("BUCKET", "faces0-1250000000"),
    ("STATE_BUCKET", "state-1250000000"),
    ("WEBHOOK_URL", "https://example.com/hook"),
    ("WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
    *OWN_PAIRS,
)


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of a burst. `last_s`: seconds from its first upload to the last message accepted."""

    pairs: int
    told: int
    last_s: float
    calls: int
    drained: float
    """Share of the rate at which 95 of 100 that sweeps told were told, from the first one's begin on."""
    refused: int
    violations: list[str]


def burst(
    pairs: int,
    seed: int,
    *,
    rate: int = 5,
    mood: Mood | None = None,
    most_instances: int = 10_000,
    parts: int = 1,
) -> Burst:
    """Upload `pairs` pairs within a second, both halves together, and wait until the world is quiet.

    `mood` adds faults; without any, nothing but the API's `rate`, in calls a second, and the platform's
    `most_instances` stand in the way. So many `parts` of the agenda are swept at once.
    """
    drawn = _plan(pairs, seed, replace(mood or Mood(), api_rate=rate), rate)
    history = History(seed, replace(drawn, most_instances=most_instances, parts=parts))
    history.run(check)
    books = history.books
    accepted = [times[0] for times in books.accepted.values()]
    swept = sorted(at for at in accepted if at >= FIRST_SWEEP)
    most = swept[: math.ceil(0.95 * len(swept))]
    return Burst(
        pairs,
        len(accepted),
        max(accepted) - BEGINS,
        books.calls,
        len(most) / (most[-1] - FIRST_SWEEP) / rate if most else 1.0,
        history.world.faults["the API answers RequestLimitExceeded"],
        history.world.violations,
    )


@dataclass(frozen=True, slots=True)
class Steady:
    """What came of pairs that come steadily. `latencies`: seconds from the last upload to the message."""

    pairs: int
    latencies: list[float]
    calls: int
    refused: int
    cos: int
    """Requests to COS, those of sweeps included."""
    violations: list[str]

    def quantile(self, share: float) -> float:
        """The latency that so great a share of the pairs does not exceed."""
        return self.latencies[min(len(self.latencies) - 1, math.ceil(share * len(self.latencies)) - 1)]


def steady(each_second: float, minutes: float, seed: int, *, evenly: bool = False, rate: int = 5) -> Steady:
    """Have pairs come `each_second` for so many minutes, and wait until the world is quiet.

    Each comes by itself (their gaps are exponential) or, `evenly`, at the same distance. The image is there
    up to half a minute before the live package.
    """
    rng = random.Random(f"steady {seed}")
    moments, at = [], 60.0
    while at < 60 + 60 * minutes:
        moments.append(at)
        at += 1 / each_second if evenly else rng.expovariate(each_second)
    puts = []
    for number, at in enumerate(moments):
        for name, early in (("image.jpg", 1 + 29 * rng.random()), ("live.gz", 0.0)):
            key, content = f"uploads/{number}/{name}", 29 * rng.getrandbits(100) + 1
            arrival = 0.02 + 0.3 * rng.random()
            puts.append(Put(at - early, 0, key, content, 500, True, 0.0, 0.0, 0, (arrival,)))
    history = History(seed, _planned(seed, Mood(api_rate=rate), puts, rate))
    history.run(check)
    books = history.books
    paths = {f"msg_{verdict.verification}": verdict.path for verdict in books.verdicts}
    return Steady(
        len(moments),
        sorted(times[0] - moments[int(paths[name])] for name, times in books.accepted.items()),
        books.calls,
        history.world.faults["the API answers RequestLimitExceeded"],
        books.cos,
        history.world.violations,
    )


def _plan(pairs: int, seed: int, mood: Mood, rate: int) -> Plan:
    rng = random.Random(f"burst {seed}")
    puts = []
    for number in range(pairs):
        begin = BEGINS + rng.random()
        for name in rng.sample(("image.jpg", "live.gz"), 2):
            key, content = f"uploads/{number}/{name}", 29 * rng.getrandbits(100) + 1
            arrival = 0.02 + 0.3 * rng.random()
            puts.append(Put(begin, 0, key, content, 500, True, 0.0, 0.0, 0, (arrival,)))
            begin += 0.3 * rng.random()
    return _planned(seed, mood, puts, rate)


def _planned(seed: int, mood: Mood, puts: list[Put], rate: int) -> Plan:
    puts.sort(key=lambda put: put.at)
    return replace(
        plan(seed),
        environments=(alter(ENVIRONMENT, API_RATE=str(rate)),),
        versioned=False,
        page=1000,
        mood=mood,
        puts=tuple(puts),
        walks=(),
        retries=(),
        kind_at=puts[-1].at + 3600,
    )
