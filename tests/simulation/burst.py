"""Very many pairs at the same moment, against an API that takes a few calls a second."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.simulation.checks import check
from tests.simulation.history import History
from tests.simulation.plan import OWN_PAIRS, Environment, Plan, Put, plan
from tests.simulation.store import Mood

BEGINS = 30.0
"""The world's second of the first upload: half a minute before a sweep."""

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
    refused: int
    violations: list[str]


def burst(
    pairs: int, seed: int, *, rate: int = 5, mood: Mood | None = None, most_instances: int = 10_000
) -> Burst:
    """Upload `pairs` pairs within a second, both halves together, and wait until the world is quiet.

    `mood` adds faults; without any, nothing but the API's `rate`, in calls a second, and the platform's
    `most_instances` stand in the way.
    """
    drawn = _plan(pairs, seed, replace(mood or Mood(), api_rate=rate))
    history = History(seed, replace(drawn, most_instances=most_instances))
    history.run(check)
    books = history.books
    accepted = [times[0] for times in books.accepted.values()]
    return Burst(
        pairs,
        len(accepted),
        max(accepted) - BEGINS,
        books.calls,
        history.world.faults["the API answers RequestLimitExceeded"],
        history.world.violations,
    )


def _plan(pairs: int, seed: int, mood: Mood) -> Plan:
    rng = random.Random(f"burst {seed}")
    puts = []
    for number in range(pairs):
        begin = BEGINS + rng.random()
        for name in rng.sample(("image.jpg", "live.gz"), 2):
            key, content = f"uploads/{number}/{name}", 29 * rng.getrandbits(100) + 1
            arrival = 0.02 + 0.3 * rng.random()
            puts.append(Put(begin, 0, key, content, 500, True, 0.0, 0.0, 0, (arrival,)))
            begin += 0.3 * rng.random()
    puts.sort(key=lambda put: put.at)
    return replace(
        plan(seed),
        environments=(ENVIRONMENT,),
        versioned=False,
        page=1000,
        mood=mood,
        puts=tuple(puts),
        walks=(),
        retries=(),
        kind_at=BEGINS + 3600,
    )
