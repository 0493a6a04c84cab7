"""Histories that show one thing: what is drawn anyway, with something added or taken away."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from handler.flow.call import LEASE_SECONDS
from tests.simulation.plan import (
    OWN_PAIRS,
    SHARED_IMAGE,
    Environment,
    Expiry,
    Plan,
    Put,
)
from tests.simulation.store import Mood

Profile = Callable[[random.Random, Plan], Plan]


def having(environments: tuple[Environment, ...], **settings: str) -> tuple[Environment, ...]:
    return tuple(tuple({**dict(each), **settings}.items()) for each in environments)


def at_the_same_moment(rng: random.Random, plan: Plan) -> Plan:
    """Every event arrives twice at one moment, and two writers often win a create-only PUT."""
    puts = tuple(
        replace(put, arrivals=(0.05, 0.05 + 0.01 * rng.random())) if put.content is not None else put
        for put in plan.puts
    )
    return replace(plan, puts=puts, mood=replace(plan.mood, wide_window=0.9))


def versioned(rng: random.Random, plan: Plan) -> Plan:
    """The state bucket keeps versions, and requests are slow."""
    plan = at_the_same_moment(rng, plan)
    puts = tuple(
        replace(put, arrivals=tuple(0.05 + 3 * rng.random() for _ in range(4))) if put.arrivals else put
        for put in plan.puts
    )
    return replace(plan, versioned=True, puts=puts, mood=replace(plan.mood, slow=0.3, die=0.0))


def deadly(rng: random.Random, plan: Plan) -> Plan:
    """Instances die all the time; every event arrives once."""
    puts = tuple(replace(put, arrivals=put.arrivals[:1]) for put in plan.puts)
    return replace(plan, puts=puts, mood=replace(plan.mood, die=0.12), walks=())


def deadly_and_replaced(rng: random.Random, plan: Plan) -> Plan:
    """Instances die, and both uploads are replaced soon after they were made."""
    plan = deadly(rng, plan)
    more = [
        replace(put, at=put.at + 4 * rng.random(), content=rng.getrandbits(120))
        for put in plan.puts
        if put.content is not None
    ]
    return replace(plan, puts=tuple(sorted([*plan.puts, *more], key=lambda put: put.at)))


def seen_late(rng: random.Random, plan: Plan) -> Plan:
    """HEAD lags."""
    puts = tuple(replace(put, head_lag=8 * rng.random()) for put in plan.puts)
    return replace(plan, puts=puts, mood=replace(plan.mood, die=0.0))


def replaced_at_once(rng: random.Random, plan: Plan) -> Plan:
    """Every upload is replaced within two seconds, and HEAD goes on showing the former one."""
    more = [
        replace(put, at=put.at + 1.9 * rng.random(), content=rng.getrandbits(120), head_lag=8 * rng.random())
        for put in plan.puts
        if put.content is not None
    ]
    puts = [replace(put, head_lag=0.0) for put in plan.puts]
    mood = replace(plan.mood, die=0.0)
    return replace(plan, puts=tuple(sorted([*puts, *more], key=lambda put: put.at)), mood=mood)


def replaced_while_untold(rng: random.Random, plan: Plan) -> Plan:
    """Both uploads are replaced soon, and the webhook is down at first, so that two messages wait."""
    more = [
        replace(put, at=put.at + 4 * rng.random(), content=rng.getrandbits(120))
        for put in plan.puts
        if put.content is not None
    ]
    down = 0.0, plan.puts[-1].at + 300, "answers 503, to come back later"
    mood = replace(plan.mood, die=0.0, hook_down=down)
    return replace(plan, puts=tuple(sorted([*plan.puts, *more], key=lambda put: put.at)), mood=mood)


def deleting(rng: random.Random, plan: Plan) -> Plan:
    """Uploads are deleted once their outcome is told."""
    return replace(plan, environments=having(plan.environments, DELETE_UPLOADS=rng.choice(("live", "both"))))


def shared(rng: random.Random, plan: Plan) -> Plan:
    """One image serves many live packages, and comes late."""
    if plan.environments[0][3:5] != SHARED_IMAGE:
        return plan
    timeout = float(dict(plan.environments[0])["PAIR_TIMEOUT"])
    late = timeout - 3 + 6 * rng.random()
    puts = tuple(
        replace(put, at=put.at + (late if put.key.startswith("faces/") else 0.0)) for put in plan.puts
    )
    return replace(plan, puts=tuple(sorted(puts, key=lambda put: put.at)), kind_at=plan.kind_at + timeout)


def image_seen_late(rng: random.Random, plan: Plan) -> Plan:
    """An image that serves many comes after a live package has ended as incomplete, and HEAD lags."""
    plan = image_at_the_timeout(rng, plan)
    live, image = plan.puts
    image = replace(image, at=image.at + 70 + 100 * rng.random(), head_lag=1 + 7 * rng.random())
    return replace(plan, puts=(live, image), kind_at=image.at + 20)


def image_at_the_timeout(rng: random.Random, plan: Plan) -> Plan:
    """An image that serves many comes at the very moment at which a live package ends as incomplete."""
    environments = tuple(
        tuple({**dict(each), **dict(SHARED_IMAGE)}.items()) for each in plan.environments[:1]
    )
    timeout = float(dict(environments[0])["PAIR_TIMEOUT"])
    put = Put(59.5, 0, "uploads/u/a/live.gz", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1,))
    at = 60 + timeout - 1.5 + 3 * rng.random()
    image = replace(put, at=at, key="faces/u.jpg", content=rng.getrandbits(120), arrivals=(0.02,))
    mood = replace(plan.mood, die=0.0, slow=0.1, head_lag=0.0)
    return replace(plan, environments=environments, puts=(put, image), mood=mood, kind_at=at + 60)


def repeated_unfit(rng: random.Random, plan: Plan) -> Plan:
    """A pair that needs no call is uploaded once more while it is decided: the same bytes, a second later."""
    environments = tuple(tuple({**dict(each), **dict(OWN_PAIRS)}.items()) for each in plan.environments[:1])
    begin = 30.9 + 0.1 * rng.random()
    image = Put(begin - 5, 0, "uploads/p/image.jpg", 1, 500, True, 0.0, 0.0, 0, ())
    live = replace(image, at=begin, key="uploads/p/live.gz", size=0, arrivals=(0.01 + 0.02 * rng.random(),))
    again = replace(live, at=31.0 + 0.1 * rng.random(), arrivals=(0.01,))
    mood = replace(plan.mood, die=0.0, slow=0.2, head_lag=0.0, wide_window=0.9, cos_down=(0.0, 0.0))
    return replace(plan, environments=environments, puts=(image, live, again), mood=mood, kind_at=60.0)


def repeated_after_the_lease(rng: random.Random, plan: Plan) -> Plan:
    """Events repeat after the lease is over, and COS refuses many requests."""
    puts = tuple(
        replace(put, arrivals=(0.1, *(90 + 60 * rng.random() for _ in range(3)))) if put.arrivals else put
        for put in plan.puts
    )
    return replace(plan, puts=puts, mood=replace(plan.mood, refused=0.2, die=0.0))


def at_the_end_of_the_lease(rng: random.Random, plan: Plan) -> Plan:
    """COS takes no record until the lease is nearly over, and a sweep looks at the pair at that moment."""
    environments = having(plan.environments[:1], **dict(OWN_PAIRS), KEEP_BEST_FRAME="true")
    environments = having(environments, PASS_RESOURCES="presigned")
    at = 240 - LEASE_SECONDS + 2.4 + 1.4 * rng.random()
    image = Put(155.0, 0, "uploads/p/image.jpg", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1,))
    live = replace(image, at=at, key="uploads/p/live.gz", content=rng.getrandbits(120), arrivals=(0.01,))
    mood = Mood(cos_down=(at + 0.5, 240.0))
    return replace(
        plan,
        environments=environments,
        versioned=False,
        puts=(image, live),
        mood=mood,
        walks=(),
        retries=(),
        kind_at=at + 300,
        clocks_apart=True,
    )


def failed_and_repeated(rng: random.Random, plan: Plan) -> Plan:
    """What the API has no known code for is uploaded once more, soon after."""
    puts: list[Put] = []
    for put in first_uploads(plan):
        content = 7 + 8 * rng.getrandbits(100) if put.key.endswith("live.gz") else 8 * rng.getrandbits(100)
        first = replace(put, content=content, size=500, is_md5=True, arrivals=(0.1,))
        puts += [first, replace(first, at=first.at + 15 + 40 * rng.random())]
    mood = replace(plan.mood, die=0.0, api_down=(0.0, 0.0, ""), throttled=0.0, trouble=0.0)
    return replace(plan, puts=tuple(sorted(puts, key=lambda put: put.at)), mood=mood)


def first_uploads(plan: Plan) -> list[Put]:
    """The first upload of each key."""
    first: dict[tuple[int, str], Put] = {}
    for put in plan.puts:
        if put.content is not None:
            first.setdefault((put.function, put.key), put)
    return list(first.values())


def versioned_and_failing(rng: random.Random, plan: Plan) -> Plan:
    """The state bucket keeps versions and refuses much, and calls have to be repeated."""
    plan = versioned(rng, plan)
    return replace(
        plan, mood=replace(plan.mood, refused=0.3, trouble=0.5, slow=0.0), kind_at=plan.kind_at + 900
    )


def recorded_late(rng: random.Random, plan: Plan) -> Plan:
    """An instance dies recording, and its record is there only while a sweep takes over from it."""
    environments = having(plan.environments[:1], **dict(OWN_PAIRS))
    image = Put(100.0, 0, "uploads/p/image.jpg", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, ())
    live = replace(image, at=165.0, key="uploads/p/live.gz", content=rng.getrandbits(120), arrivals=(0.1,))
    mood = Mood(die_recording=1.0, late_effect_s=(131.0, 135.0), slow=0.5)
    return replace(
        plan, environments=environments, puts=(image, live), mood=mood, walks=(), retries=(), kind_at=310.0
    )


def throttled(rng: random.Random, plan: Plan) -> Plan:
    """The API throttles everything for ten minutes, and every event arrives ten times."""
    plan = halves_at_once(rng, plan)
    puts = tuple(replace(put, arrivals=tuple(60 * rng.random() for _ in range(10))) for put in plan.puts)
    return replace(plan, puts=puts, mood=Mood(api_down=(0.0, 600.0, "RequestLimitExceeded")), kind_at=700.0)


def overtaken(rng: random.Random, plan: Plan) -> Plan:
    """Where versions are kept, a claim is written over by one that was under way longer than the settle."""
    plan = halves_at_once(rng, plan)
    puts = tuple(replace(put, arrivals=(0.02, 0.3 * rng.random(), 0.5)) for put in plan.puts)
    return replace(plan, versioned=True, puts=puts, mood=Mood(slow=0.4, slowest_s=8.0))


def down_for_days(rng: random.Random, plan: Plan) -> Plan:
    """The webhook is down for up to two and a half days, and the API for up to 29 hours."""
    day = 86_400.0
    hook = rng.choice(("answers 500", "refuses connections", "hangs"))
    api = rng.choice(("RequestLimitExceeded", "AuthFailure.SecretIdNotFound", "InternalError"))
    mood = replace(
        plan.mood,
        hook_down=(0.0, rng.choice((0.0, 0.5, 2.5)) * day, hook),
        api_down=(0.0, rng.choice((0.0, 0.4, 0.9, 1.2)) * day, api),
        die=min(plan.mood.die, 0.01),  # or sweeps of thousands of requests come to nothing
    )
    return replace(plan, mood=mood, kind_at=plan.puts[-1].at + 2.8 * day)


def halves_at_once(rng: random.Random, plan: Plan) -> Plan:
    """Both halves of a pair are uploaded together and heard of together; the create-only window is wide."""
    content = rng.getrandbits(100) * 8
    image = Put(5.0, 0, "uploads/p/image.jpg", content, 500, True, 0.0, 0.0, 0, (0.02 + 0.02 * rng.random(),))
    live = replace(image, key="uploads/p/live.gz", arrivals=(0.02 + 0.02 * rng.random(),))
    environments = having(plan.environments[:1], **dict(OWN_PAIRS))
    mood = Mood(wide_window=0.9, window_s=0.4)
    return replace(
        plan,
        environments=environments,
        versioned=False,
        puts=(image, live),
        mood=mood,
        walks=(),
        retries=(),
        kind_at=60.0,
    )


# --- beyond what is assumed ---------------------------------------------------------------------------


def wide_window(rng: random.Random, plan: Plan) -> Plan:
    plan = at_the_same_moment(rng, plan)
    return replace(plan, mood=replace(plan.mood, window_s=0.4))


def slow_requests(rng: random.Random, plan: Plan) -> Plan:
    plan = versioned(rng, plan)
    return replace(plan, mood=replace(plan.mood, slowest_s=8.0, slow=0.2))


def silent_versions(rng: random.Random, plan: Plan) -> Plan:
    """The state bucket keeps versions and does not say so."""
    plan = at_the_same_moment(rng, plan)
    return replace(plan, versioned=True, mood=replace(plan.mood, silent_versions=True))


def stale_reads(rng: random.Random, plan: Plan) -> Plan:
    return replace(plan, mood=replace(plan.mood, read_lag=0.1))


def late_effects(rng: random.Random, plan: Plan) -> Plan:
    return replace(plan, mood=replace(plan.mood, unanswered=0.06, late_effect_s=(0.0, 300.0)))


def as_drawn(rng: random.Random, plan: Plan) -> Plan:
    """What is drawn, with nothing added or taken away."""
    return plan


def records_expired(rng: random.Random, plan: Plan) -> Plan:
    """A lifecycle rule takes records before the uploads that they are about."""
    span = plan.puts[-1].at + 1000.0
    return replace(plan, expiries=(Expiry(span * rng.random(), "records"),))
