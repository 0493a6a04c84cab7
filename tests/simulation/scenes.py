"""More histories that show one thing: the operator, shared images, deletions, time limits and marks."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.simulation import profiles
from tests.simulation.axes import AXES, thrice
from tests.simulation.plan import (
    ALTERNATIVES,
    OWN_PAIRS,
    SHARED_IMAGE,
    Command,
    Expiry,
    Forgery,
    Junk,
    Plan,
    Put,
)
from tests.simulation.profiles import Profile, first_uploads, halves_at_once, having, image_at_the_timeout
from tests.simulation.store import Mood


def retried(rng: random.Random, plan: Plan) -> Plan:
    """The operator retries what failed, and the API stumbles in the first call of that run."""
    plan = halves_at_once(rng, plan)
    live, image = 7 + 8 * rng.getrandbits(100), 8 * rng.getrandbits(100)
    puts = tuple(replace(put, content=live if put.key.endswith("gz") else image) for put in plan.puts)
    at = 100 + 60 * rng.random()
    code = rng.choice(("RequestLimitExceeded", "InternalError", "AuthFailure.SecretIdNotFound"))
    mood = Mood(api_down=(at, at + 130, code))
    return replace(plan, puts=puts, mood=mood, retries=(at,), kind_at=at + 200)


def many_recordings(rng: random.Random, plan: Plan) -> Plan:
    """One holder of one link uploads recording after recording; two of them may be judged."""
    environments = having(plan.environments[:1], **dict(OWN_PAIRS), MAX_VERDICTS="2")
    image = Put(5.0, 0, "uploads/p/image.jpg", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1,))
    gap = rng.choice((0.6, 2.0, 5.0))
    lives = tuple(
        replace(image, at=10 + gap * number, key="uploads/p/live.gz", content=rng.getrandbits(120))
        for number in range(8)
    )
    return replace(
        plan,
        environments=environments,
        versioned=False,
        puts=(image, *lives),
        mood=Mood(die=plan.mood.die, slow=0.1, slow_call=0.5, throttled=plan.mood.throttled),
        walks=(),
        kind_at=120.0,
    )


def shared_and_expired(rng: random.Random, plan: Plan) -> Plan:
    """A live package goes before the image comes that serves it and others."""
    environments = having(plan.environments[:1], **dict(SHARED_IMAGE))
    live = Put(10.0, 0, "uploads/u/a/live.gz", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1,))
    image = replace(live, at=100.0, key="faces/u.jpg", content=rng.getrandbits(120))
    expiries = (Expiry(50.0, "live"),)
    return replace(
        plan, environments=environments, puts=(live, image), mood=Mood(), expiries=expiries, kind_at=8000.0
    )


def walked_since(rng: random.Random, plan: Plan) -> Plan:
    """All events are lost; a day later an operator has the last hour walked, before the daily walk comes."""
    puts = tuple(replace(put, arrivals=()) for put in first_uploads(plan))
    at = puts[-1].at + 26 * 3600
    return replace(
        plan, puts=puts, walks=(), retries=(), commands=(Command(at, "reconcile", 0, 0.0),), kind_at=at + 1
    )


def thrice_while_down(rng: random.Random, plan: Plan) -> Plan:
    """The consumer is down for a day, and sweeps overlap."""
    plan = thrice(rng, halves_at_once(rng, plan))
    how = rng.choice(("answers 500", "refuses connections", "hangs"))
    mood = Mood(hook_down=(0.0, 86_400.0, how), slow=0.5)
    return replace(plan, mood=mood, kind_at=86_400.0)


def merged_and_short(rng: random.Random, plan: Plan) -> Plan:
    """Several records an event, slow calls, and a short time limit."""
    puts = tuple(replace(put, arrivals=(0.1,)) for put in plan.puts if put.content is not None)
    mood = replace(plan.mood, slow_call=0.9, die=0.0, head_lag=0.0)
    return replace(plan, puts=puts, mood=mood, merged_s=60.0, limit_s=60.0)


def junk_among_marks(rng: random.Random, plan: Plan) -> Plan:
    """Before the marks of who waits for an image lies one that cannot be read."""
    plan = image_at_the_timeout(rng, plan)
    live, image = plan.puts
    image = replace(image, at=image.at + 200)
    junk = (Junk(image.at - 50, "waiting", 11 * (3 * rng.randrange(1 << 20) + 1) + rng.randrange(10)),)
    return replace(plan, puts=(live, image), junk=junk, mood=Mood(), kind_at=image.at + 10)


def deleted_while_list_lags(rng: random.Random, plan: Plan) -> Plan:
    """Half a pair is deleted once it is told; an event repeats while LIST does not show the record."""
    environments = having(plan.environments[:1], **dict(OWN_PAIRS), DELETE_UPLOADS="live", PAIR_TIMEOUT="60")
    image = Put(10.0, 0, "uploads/p/image.jpg", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1, 65.0))
    live = replace(image, at=50 + 10 * rng.random(), key="uploads/p/live.gz", arrivals=(0.1,))
    return replace(
        plan, environments=environments, puts=(image, live), mood=Mood(list_lag=0.9), walks=(), kind_at=300.0
    )


def alternatives_deleted(rng: random.Random, plan: Plan) -> Plan:
    """Both alternatives of an image are there, and what was judged is deleted once it is told."""
    environments = having(plan.environments[:1], **dict(ALTERNATIVES), DELETE_UPLOADS="both")
    image = Put(5.0, 0, "uploads/p/image.png", 8 * rng.getrandbits(90), 500, True, 0.0, 0.0, 0, (0.1,))
    newer = replace(image, at=20.0, key="uploads/p/image.jpg", content=8 * rng.getrandbits(90))
    live = replace(image, at=30.0, key="uploads/p/live.gz", content=8 * rng.getrandbits(90))
    puts = (image, newer, live)
    return replace(plan, environments=environments, puts=puts, mood=Mood(), walks=(), kind_at=8000.0)


def image_never(rng: random.Random, plan: Plan) -> Plan:
    """A live package waits for an image that never comes; a walk that sees it is more than a week ago."""
    environments = having(plan.environments[:1], **dict(SHARED_IMAGE))
    live = Put(10.0, 0, "uploads/u/a/live.gz", rng.getrandbits(120), 500, True, 0.0, 0.0, 0, (0.1,))
    return replace(
        plan,
        environments=environments,
        puts=(live,),
        mood=Mood(),
        walks=(2 * 86_400.0,),
        kind_at=11 * 86_400.0,
    )


def huge_entry(rng: random.Random, plan: Plan) -> Plan:
    """Among what is on the agenda lies something larger than any state object."""
    plan = halves_at_once(rng, plan)
    return replace(plan, mood=Mood(), junk=(Junk(20.0, "agenda", 11 * rng.randrange(1 << 20) + 10),))


def forgotten_at_work(rng: random.Random, plan: Plan) -> Plan:
    """A pair is forgotten while an instance has it in hand: reading it through, deciding or telling it."""
    environments = having(plan.environments[:1], **dict(OWN_PAIRS))
    image = Put(5.0, 0, "uploads/p/image.jpg", 8 * rng.getrandbits(90), 500, True, 0.0, 0.0, 0, ())
    size, is_md5 = rng.choice(((0, True), (500, False), (500, True)))
    live = replace(image, at=10.0, key="uploads/p/live.gz", size=size, is_md5=is_md5, arrivals=(0.02,))
    at = 10.0 + rng.choice((0.5, 3.0, 30.0)) * rng.random()
    mood = Mood(slow=0.5, slow_call=0.9, hash_s=60.0, hook_down=(0.0, rng.choice((0.0, 60.0)), "hangs"))
    return replace(
        plan,
        environments=environments,
        versioned=rng.random() < 0.2,
        puts=(image, live),
        mood=mood,
        walks=(),
        retries=(),
        commands=(Command(at, "forget", 0, 0.0),),
        kind_at=3600.0,
    )


def forged_while_down(rng: random.Random, plan: Plan) -> Plan:
    """A record is forged while its message waits for a consumer that is down, or after it was told."""
    plan = halves_at_once(rng, plan)
    last = plan.puts[-1].at
    forgeries = tuple(Forgery(last + wait * rng.random(), rng.randrange(1 << 30)) for wait in (20.0, 600.0))
    mood = Mood(hook_down=(0.0, rng.choice((0.0, last + 300.0)), "answers 500"))
    return replace(plan, mood=mood, forgeries=forgeries, kind_at=last + 700.0)


def read_for_long(rng: random.Random, plan: Plan) -> Plan:
    """Uploads that came in parts take up to two minutes to be read through, longer than a claim lasts."""
    puts = tuple(replace(put, is_md5=False, arrivals=put.arrivals[:2]) for put in plan.puts)
    return replace(plan, puts=puts, mood=Mood(hash_s=120.0, die=min(plan.mood.die, 0.01)))


def agenda_lost(rng: random.Random, plan: Plan) -> Plan:
    """The agenda is gone while the consumer is down; a walk comes."""
    plan = halves_at_once(rng, plan)
    mood = Mood(hook_down=(0.0, 650.0, "answers 500"), list_lag=0.5)
    return replace(plan, mood=mood, expiries=(Expiry(100.0, "agenda"),), walks=(700.0,), kind_at=900.0)


def replaced_unheard(rng: random.Random, plan: Plan) -> Plan:
    """Uploads are replaced once they are settled, and nobody hears of it; a walk comes, and LIST lags."""
    puts: list[Put] = []
    for put in first_uploads(plan):
        first = replace(put, size=500, is_md5=rng.random() < 0.5, arrivals=(0.1,))
        later = replace(first, at=first.at + 200, content=rng.getrandbits(120), arrivals=())
        puts += [first, later] if put.key.endswith(("live.gz", "live.bin")) else [first]
    last = max(put.at for put in puts)
    mood = Mood(list_lag=0.9)
    environments = having(plan.environments, DELETE_UPLOADS="none")
    return replace(
        plan,
        environments=environments,
        puts=tuple(sorted(puts, key=lambda put: put.at)),
        mood=mood,
        walks=tuple(last + 700 + 100 * number for number in range(3)),
        retries=(),
        kind_at=last + 1100,
    )


def failed_and_repeated_unheard(rng: random.Random, plan: Plan) -> Plan:
    """What failed is uploaded once more, and nobody hears of it; a walk comes."""
    plan = profiles.failed_and_repeated(rng, plan)
    first = {(put.function, put.key): put.at for put in reversed(plan.puts)}
    puts = tuple(
        put if put.at == first[put.function, put.key] else replace(put, arrivals=()) for put in plan.puts
    )
    last = plan.puts[-1].at
    return replace(plan, puts=puts, mood=Mood(list_lag=0.5), walks=(last + 700,), kind_at=last + 900)


def walked_too_soon(rng: random.Random, plan: Plan) -> Plan:
    """No event is heard. A walk comes while uploads are young and LIST does not show them, then another."""
    puts = tuple(replace(put, arrivals=(), list_lag=180 * rng.random()) for put in first_uploads(plan))
    last = puts[-1].at
    walks = (last + 100 * rng.random(), last + 1000)
    return replace(plan, puts=puts, mood=Mood(list_lag=0.9), walks=walks, retries=(), kind_at=last + 1100)


PROFILES: dict[str, Profile] = {
    each.__name__: each
    for each in (
        profiles.at_the_same_moment,
        profiles.versioned,
        profiles.deadly,
        profiles.deadly_and_replaced,
        profiles.seen_late,
        profiles.replaced_at_once,
        profiles.replaced_while_untold,
        profiles.deleting,
        profiles.shared,
        profiles.image_seen_late,
        profiles.image_at_the_timeout,
        profiles.repeated_unfit,
        profiles.repeated_after_the_lease,
        profiles.at_the_end_of_the_lease,
        profiles.failed_and_repeated,
        profiles.versioned_and_failing,
        profiles.recorded_late,
        profiles.throttled,
        profiles.overtaken,
        profiles.down_for_days,
        profiles.wide_window,
        profiles.slow_requests,
        profiles.silent_versions,
        profiles.stale_reads,
        profiles.late_effects,
        profiles.halves_at_once,
        retried,
        shared_and_expired,
        walked_since,
        thrice_while_down,
        merged_and_short,
        junk_among_marks,
        deleted_while_list_lags,
        alternatives_deleted,
        image_never,
        huge_entry,
        forgotten_at_work,
        forged_while_down,
        agenda_lost,
        replaced_unheard,
        failed_and_repeated_unheard,
        walked_too_soon,
        read_for_long,
        profiles.as_drawn,
        profiles.records_expired,
        *(axis for axis, _ in AXES),
    )
}
"""All of them by name."""
