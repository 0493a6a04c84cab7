"""The scenes: small situations in which instances meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from handler.flow.sweep import sweep
from tests.prove.stage import Stage
from tests.simulation.history import History
from tests.simulation.plan import OWN_PAIRS, SHARED_IMAGE, Environment, Plan, Put
from tests.simulation.store import Mood

Add = Callable[[History, Stage], None]


def _nothing(history: History, stage: Stage) -> None:
    pass


@dataclass(frozen=True)
class Scene:
    """A situation. From second `first` on, until the world turns kind, every schedule is looked at.

    `placed` are uploads of which no event tells; `add` puts into it what a plan cannot say either. `calls`
    and `told` are how many calls of the API and how many different messages there may be: so many calls only
    where nothing crashes and no answer is lost.
    """

    name: str
    says: str
    plan: Plan
    first: float
    add: Add = _nothing
    placed: tuple[Put, ...] = ()
    calls: tuple[int, ...] = (1,)
    told: tuple[int, ...] = (1,)
    skew: float = 0.0
    draw: float = 0.5
    """What is drawn all the time; from 0.7 on every invocation runs on a new machine."""

    @property
    def last(self) -> float:
        """The second at which nothing is chosen any more, and the world turns kind soon after."""
        return self.plan.kind_at - 1

    def set(self, history: History, stage: Stage) -> None:
        """Put into the history what its plan does not say."""
        uploads = history.functions[0].uploads
        for put in self.placed:
            upload = partial(uploads.put, put.key, b"", md5=f"{put.content:032x}", size=put.size)
            stage.at(put.at, upload)
        self.add(history, stage)

    def check(self, history: History, *, faultless: bool) -> Iterator[str]:
        """What must hold beside what holds in every history."""
        calls, told = history.books.calls, len(history.books.accepted)
        if faultless and calls not in self.calls:
            yield f"scene: the API was called {calls} times, expected {_or(self.calls)}"
        if told not in self.told:
            yield f"scene: {told} messages were accepted, expected {_or(self.told)}"


def _or(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))


def _environment(**settings: str) -> Environment:
    base = {
        "BUCKET": "faces0-1250000000",
        "STATE_BUCKET": "state-1250000000",
        "WEBHOOK_URL": "https://example.com/hook",
        "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        **dict(OWN_PAIRS),
        "PAIR_TIMEOUT": "600",
        "KEEP_BEST_FRAME": "false",
        "MAX_IMAGE_BYTES": "1000",
    }
    return tuple({**base, **settings}.items())


def _plan(*puts: Put, last: float, warm: int = 2, settings: Mapping[str, str] | None = None) -> Plan:
    """A plan without chance. `warm`: so many instances have learned that the bucket honours create-only."""
    return Plan(
        environments=(_environment(**(settings or {})),),
        versioned=False,
        page=1000,
        mood=Mood(),
        puts=puts,
        walks=(1.0,) * warm,
        retries=(),
        kind_at=last + 1,
    )


def _put(key: str, content: int, *arrivals: float, at: float = 30.0, size: int = 500) -> Put:
    """An upload with its events, so many seconds after it."""
    return Put(at, 0, key, content, size, True, 0.0, 0.0, 0, arrivals)


def _extra_sweep(at: float) -> Add:
    """A sweep beside the timer's."""

    def add(history: History, stage: Stage) -> None:
        stage.at(at, partial(history.functions[0].invoke, "extra", sweep))

    return add


def _uploaded_at_will(*puts: Put) -> Add:
    """Uploads at any moment after their own."""

    def add(history: History, stage: Stage) -> None:
        for number, put in enumerate(puts, 1 + len(history.plan.puts)):
            stage.act(put.at, f"upload {put.key}", partial(history.put, number, put))

    return add


# --- the scenes ---------------------------------------------------------------------------------------

LIVE, IMAGE = "uploads/p/live.gz", "uploads/p/image.jpg"
SHARED = dict(SHARED_IMAGE)
ONE, TWO, FACE = "uploads/u/1/live.gz", "uploads/u/2/live.gz", "faces/u.jpg"

GOOD, OTHER, UNKNOWN = 8, 9, 7
"""Contents: GOOD with GOOD is matched, with the image OTHER mismatched; the live package UNKNOWN fails."""

HALVES = _put(IMAGE, GOOD, 0.05), _put(LIVE, GOOD, 0.05)
PLACED = (_put(IMAGE, GOOD, at=25.0),)

_lease_end = 240.0 - 75 + 2.6


def _at_the_leases_end() -> Plan:
    """COS takes no record until a sweep comes, four seconds' clocks before the lease is over."""
    live = _put(LIVE, GOOD, 0.01, at=_lease_end)
    plan = _plan(_put(IMAGE, GOOD, 0.1, at=155.0), live, warm=0, last=300.0)
    return replace(plan, mood=Mood(cos_down=(_lease_end + 0.5, 240.0)), clocks_apart=True)


def _down(plan: Plan, until: float) -> Plan:
    return replace(plan, mood=Mood(hook_down=(0.0, until, "answers 500")))


SCENES = (
    Scene(
        "halves",
        "both halves' events at once",
        _plan(*HALVES, last=185.0, settings={"KEEP_BEST_FRAME": "true"}),
        30.0,
    ),
    Scene(
        "halves-cold",
        "the same, instances that know nothing of the bucket",
        _plan(*HALVES, warm=0, last=185.0),
        30.0,
    ),
    Scene(
        "thrice",
        "one event three times",
        _plan(_put(LIVE, GOOD, 0.05, 0.05, 0.05), warm=3, last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "winners",
        "two create-only winners: one event twice",
        _plan(_put(LIVE, GOOD, 0.05, 0.05), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "winners-versioned",
        "the same where the bucket keeps versions, and once more later",
        replace(_plan(_put(LIVE, GOOD, 0.05, 0.05, 3.3), warm=3, last=185.0), versioned=True),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "lease-end",
        "an event and a sweep at the lease's end, clocks apart",
        _at_the_leases_end(),
        239.9,
        skew=2.0,
    ),
    Scene(
        "after-lease",
        "an event and a sweep after the lease",
        _plan(_put(LIVE, GOOD, 0.05, 89.98), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "deliveries",
        "a delivery and two overlapping sweeps",
        _down(_plan(*HALVES, last=425.0), 100.0),
        359.9,
        _extra_sweep(360.0),
    ),
    Scene(
        "sweeps",
        "two overlapping sweeps and a pair to judge",
        _plan(_put(IMAGE, GOOD, 0.05), last=185.0),
        119.9,
        _extra_sweep(120.0),
        placed=(_put(LIVE, GOOD, at=31.0),),
    ),
    Scene(
        "replaced",
        "an upload replaced under the call",
        _plan(_put(LIVE, GOOD, 0.05), last=185.0),
        30.0,
        _uploaded_at_will(_put(IMAGE, OTHER, 0.01, at=30.05)),
        calls=(1, 2, 3),
        told=(1, 2),
        placed=PLACED,
    ),
    Scene(
        "shared",
        "a shared image with two live packages",
        _plan(_put(ONE, GOOD, 0.05), _put(TWO, GOOD, 0.05), warm=3, last=185.0, settings=SHARED),
        30.0,
        _uploaded_at_will(_put(FACE, GOOD, 0.005, at=30.05)),
        calls=(2,),
        told=(2,),
    ),
    Scene(
        "incomplete",
        "incomplete decided by two sweeps at once",
        _plan(_put(IMAGE, GOOD, 0.05), last=725.0),
        659.9,
        _extra_sweep(660.0),
        calls=(0,),
    ),
    Scene(
        "clock-behind",
        "half a pair and a sweep whose clock is behind",
        replace(_plan(_put(IMAGE, GOOD, 0.05, at=59.0), warm=0, last=245.0), clocks_apart=True),
        119.9,
        _extra_sweep(120.0),
        calls=(0,),
        skew=2.0,
    ),
    Scene(
        "last-moment",
        "the other half comes when the pair is told as incomplete",
        _plan(_put(IMAGE, GOOD, 0.05), last=725.0),
        659.9,
        _uploaded_at_will(_put(LIVE, GOOD, 0.01, at=659.95)),
        told=(1, 2),
    ),
    Scene(
        "unfit",
        "what needs no call decided by two at once, with other bodies: the same bytes a second later",
        _plan(
            _put(LIVE, GOOD, 0.05, at=30.95, size=0),
            _put(LIVE, GOOD, 0.002, at=31.012, size=0),
            last=185.0,
        ),
        30.99,
        calls=(0,),
        placed=PLACED,
    ),
    Scene(
        "retry",
        "an operator's retry and two sweeps",
        replace(_plan(_put(LIVE, UNKNOWN, 0.05), last=245.0), retries=(119.9, 119.9)),
        119.8,
        _extra_sweep(120.0),
        calls=(2,),
        told=(2,),
        placed=PLACED,
    ),
    Scene(
        "again",
        "what failed is uploaded again, and heard of twice",
        _plan(_put(LIVE, UNKNOWN, 0.05), _put(LIVE, UNKNOWN, 0.05, 0.05, at=45.0), last=185.0),
        45.0,
        calls=(2,),
        told=(2,),
        placed=PLACED,
    ),
    Scene(
        "again-cold",
        "what failed is uploaded again, on an instance that knows nothing of the bucket",
        _plan(_put(LIVE, UNKNOWN, 0.05), _put(LIVE, UNKNOWN, 0.05, at=45.0), last=185.0),
        45.0,
        calls=(2,),
        told=(2,),
        placed=PLACED,
        draw=0.8,
    ),
    Scene(
        "walk",
        "a walk beside a late event",
        replace(_plan(_put(LIVE, GOOD, 670.05), last=785.0), walks=(1.0, 1.0, 700.05)),
        700.0,
        placed=PLACED,
    ),
    Scene(
        "deleted",
        "the live package is deleted once it is told, and its image heard of again",
        _plan(_put(LIVE, GOOD, 0.05), last=185.0, settings={"DELETE_UPLOADS": "live"}),
        30.0,
        _uploaded_at_will(_put(IMAGE, GOOD, 0.01, at=30.05)),
        placed=PLACED,
    ),
    Scene(
        "unseen",
        "an upload is seen late, and its event comes twice",
        _plan(replace(_put(LIVE, GOOD, 0.05, 0.05), head_lag=5.0), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "seen-as-former",
        "an upload is replaced within a second, and the former is seen for a while",
        _plan(
            _put(LIVE, GOOD, 0.55, at=29.5),
            replace(_put(LIVE, OTHER, 0.05, at=30.04), head_lag=5.0),
            last=185.0,
        ),
        30.0,
        calls=(1, 2, 3),
        told=(1, 2),
        placed=PLACED,
    ),
    Scene(
        "image-late",
        "an image that serves many is seen late, after its live package was told as incomplete",
        _plan(
            _put(ONE, GOOD, 0.05),
            replace(_put(FACE, GOOD, 0.05, 0.05, at=700.0), head_lag=3.0),
            last=785.0,
            settings=SHARED,
        ),
        700.0,
        told=(2,),
    ),
    Scene(
        "throttled",
        "the API throttles, and the events come again",
        replace(
            _plan(_put(IMAGE, GOOD, 0.05, 4.0), _put(LIVE, GOOD, 0.05, 4.0), last=245.0),
            mood=Mood(api_down=(0.0, 50.0, "RequestLimitExceeded")),
        ),
        30.0,
        calls=(3,),
    ),
)

BY_NAME = {scene.name: scene for scene in SCENES}

SHOWN = {
    "claim-read-back": "winners",
    "entry-before-call": "after-lease",
    "entry-names-verification": "halves",
    "keys-by-purpose": "seen-as-former",
    "look-again": "image-late",
    "event-etag": "seen-as-former",
    "record-once": "unfit",
    "record-read-back": "unfit",
    "record-over-lease": "again-cold",
    "record-before-webhook": "halves",
    "another-claim": "again",
    "takeover-by-sweep": "after-lease",
    "clock-margin": "lease-end",
    "long-settle": "winners-versioned",
    "read-first": "winners-versioned",
    "delivery-before-deletion": "deleted",
    "gone-is-settled": "deleted",
    "guard-without-call": "incomplete",
    "on-before-off": "clock-behind",
    "keep-just-put": "clock-behind",
    "off-after-told": "halves",
    "record-is-certain": "lease-end",
    "waiting-marks": "image-late",
    "marks-until-complete": "image-late",
    "back-off": "throttled",
}
"""The scene in which each protection shows that is switched off."""

NOT_SHOWN = {
    "claims-before": "needs requests that are refused again and again",
    "owner-records": "needs a request that is under way longer than is assumed",
    "told-when-worked-off": "needs a request that takes effect minutes after its sender died",
    "goes-first": "a second line: it shows in numbers, where the window is wider than is assumed",
}
"""Protections that only random histories show, and why."""
