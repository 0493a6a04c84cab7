"""What is drawn beside a history's uploads and faults, each seldom, so that most histories stay simple."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.simulation.plan import (
    Command,
    Environment,
    Expiry,
    Forgery,
    Junk,
    Plan,
    Put,
    Redeploy,
    alter,
    settings_of,
)

LIMITS = (26.0, 28.0, 30.0, 60.0, 300.0, 900.0)
"""Time limits, in seconds, beside the usual one."""

RELAY_LIMIT = 60.0
"""A call through the relay needs more than a shorter one has."""

THRICE = ((0.0, 20.0, 40.0), (0.0, 0.05, 0.5), (0.0, 10.0, 15.5))
"""When in a minute a timer fires that makes sweeps overlap."""

REORDERED: Environment = (
    ("LIVE_KEY", "uploads/{id}/live.bin, uploads/{id}/live.gz"),
    ("IMAGE_KEY", "uploads/{id}/image.png, uploads/{id}/image.jpg"),
)
ELSEWHERE: Environment = (
    ("LIVE_KEY", "other/{id}/live.gz"),
    ("IMAGE_KEY", "other/{id}/image.jpg"),
)


def widened(seed: int, plan: Plan) -> Plan:
    """The plan with what else there is, drawn apart: its uploads and faults stay those of the seed."""
    rng = random.Random(f"axes {seed}")
    for axis, share in AXES:
        if rng.random() < share:
            plan = axis(rng, plan)
    return plan


def merged(rng: random.Random, plan: Plan) -> Plan:
    """Several uploads' records come in one event, which one invocation handles in one deadline."""
    return replace(plan, merged_s=rng.choice((1.0, 5.0, 60.0)))


def limited(rng: random.Random, plan: Plan) -> Plan:
    """Another time limit."""
    relays = any(dict(each)["PASS_RESOURCES"] == "upload_url" for each in plan.environments)
    limit = rng.choice(LIMITS)
    return replace(plan, limit_s=max(limit, RELAY_LIMIT) if relays else limit)


def thrice(rng: random.Random, plan: Plan) -> Plan:
    """The timer fires three times a minute."""
    return replace(plan, timer=rng.choice(THRICE))


def suspended(rng: random.Random, plan: Plan) -> Plan:
    """The state bucket's versioning is suspended: create-only is ignored, and nothing says so."""
    return replace(plan, versioned=True, mood=replace(plan.mood, silent_versions=True))


def redeployed(rng: random.Random, plan: Plan) -> Plan:
    """Settings change while uploads are under way; where key templates go elsewhere, they come back."""
    span = plan.puts[-1].at + rng.choice((5.0, 100.0, 1000.0))
    at = span * rng.random()
    function = rng.randrange(len(plan.environments))
    former = plan.environments[function]
    found = [Redeploy(at, function, _changed(rng, former))]
    if dict(found[0].environment)["LIVE_KEY"] == dict(ELSEWHERE)["LIVE_KEY"]:
        back = at + rng.choice((60.0, 600.0, 20_000.0)) * rng.random()
        found.append(Redeploy(back, function, former))
        plan = replace(plan, kind_at=max(plan.kind_at, back + 1))
    return replace(plan, redeploys=tuple(found))


def _changed(rng: random.Random, former: Environment) -> Environment:
    shared = settings_of(former).templates.shared
    templates: tuple[Environment, ...] = (
        (ELSEWHERE,) if shared else (_added(former), REORDERED, REORDERED, ELSEWHERE)
    )
    others: tuple[Environment, ...] = (
        (("PAIR_TIMEOUT", "60"),),
        (("PAIR_TIMEOUT", "7200"),),
        (("DELETE_UPLOADS", "both"),),
        (("DELETE_UPLOADS", "none"),),
        (("MIN_SIMILARITY", "90"),),
        (("MAX_IMAGE_BYTES", "100"),),
    )
    return alter(former, **dict(rng.choice(templates if rng.random() < 0.5 else others)))


def _added(former: Environment) -> Environment:
    """The same templates, each with an alternative behind it."""
    first = dict(former)["LIVE_KEY"].partition(",")[0]
    if first != "uploads/{id}/live.gz":
        return REORDERED
    return tuple((name, ", ".join(reversed(text.split(", ")))) for name, text in REORDERED)


def spoiled(rng: random.Random, plan: Plan) -> Plan:
    """State objects of every wrong kind lie about, or lie where right ones were."""
    span = plan.puts[-1].at + rng.choice((5.0, 300.0, 2000.0))
    kinds = ("claims", "records", "agenda", "waiting", "waiting")
    return replace(
        plan,
        junk=tuple(
            Junk(span * rng.random(), rng.choice(kinds), rng.randrange(1 << 30))
            for _ in range(rng.choice((1, 1, 3)))
        ),
    )


def forged(rng: random.Random, plan: Plan) -> Plan:
    """Somebody who may write state, and knows no secret, forges records and asks for their delivery."""
    span = plan.puts[-1].at + rng.choice((5.0, 300.0, 2000.0))
    times = [span * (0.2 + 0.8 * rng.random()) for _ in range(rng.choice((1, 3)))]
    return replace(plan, forgeries=tuple(Forgery(at, rng.randrange(1 << 30)) for at in times))


def expired(rng: random.Random, plan: Plan) -> Plan:
    """A lifecycle rule, or the application, takes live packages or all uploads early."""
    span = plan.puts[-1].at + rng.choice((5.0, 300.0, 4000.0))
    return replace(plan, expiries=(Expiry(span * rng.random(), rng.choice(("live", "live", "all"))),))


def commanded(rng: random.Random, plan: Plan) -> Plan:
    """The operator runs commands, some of which are killed half way."""
    names = ("redeliver", "retry", "retry", "reconcile", "forget")
    last = plan.puts[-1].at
    commands = []
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(names)
        at = (last + rng.choice((100.0, 4000.0))) * rng.random()
        if name == "reconcile" and rng.random() < 0.5:
            at = last + 26 * 3600  # so long after that no later walk would look at what it left out
        commands.append(Command(at, name, rng.randrange(1 << 30), 0.1 if rng.random() < 0.4 else 0.0))
    return replace(plan, commands=tuple(commands))


def deleted_and_lagging(rng: random.Random, plan: Plan) -> Plan:
    """LIST lags for minutes, uploads are deleted, and events repeat after PAIR_TIMEOUT."""
    environments = tuple(
        alter(each, DELETE_UPLOADS=rng.choice(("live", "both")), PAIR_TIMEOUT="60")
        for each in plan.environments
    )
    puts = tuple(_repeated(rng, put) for put in plan.puts)
    return replace(
        plan, environments=environments, puts=puts, mood=replace(plan.mood, list_lag=0.9, head_lag=0.3)
    )


def _repeated(rng: random.Random, put: Put) -> Put:
    if not put.arrivals:
        return put
    return replace(put, arrivals=(*put.arrivals, 61 + 120 * rng.random()))


def counted(rng: random.Random, plan: Plan) -> Plan:
    """A pair may have so many verdicts and no more."""
    most = rng.choice(("1", "2", "3", "10"))
    return replace(
        plan,
        environments=tuple(alter(each, MAX_VERDICTS=most) for each in plan.environments),
        redeploys=tuple(
            replace(each, environment=alter(each.environment, MAX_VERDICTS=most)) for each in plan.redeploys
        ),
    )


AXES = (
    (merged, 0.06),
    (limited, 0.08),
    (thrice, 0.04),
    (suspended, 0.04),
    (redeployed, 0.06),
    (spoiled, 0.04),
    (expired, 0.04),
    (commanded, 0.08),
    (deleted_and_lagging, 0.04),
    (forged, 0.04),
    (counted, 0.5),
)
"""Each with the share of histories that it is drawn into."""
