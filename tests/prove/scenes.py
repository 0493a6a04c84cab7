"""The scenes: small situations in which instances meet, and the protections that they show."""

from __future__ import annotations

from dataclasses import replace

from tests.prove.scene import NEVER, Scene, extra_sweep, plan, upload, uploaded_at_will
from tests.simulation.plan import SHARED_IMAGE, Expiry, Plan
from tests.simulation.store import Mood

LIVE, IMAGE = "uploads/p/live.gz", "uploads/p/image.jpg"
SHARED = dict(SHARED_IMAGE)
ONE, TWO, FACE = "uploads/u/1/live.gz", "uploads/u/2/live.gz", "faces/u.jpg"

GOOD, OTHER, UNKNOWN = 8, 9, 7
"""Contents: GOOD with GOOD is matched, with the image OTHER mismatched; the live package UNKNOWN fails."""

HALVES = upload(IMAGE, GOOD, 0.05), upload(LIVE, GOOD, 0.05)
PLACED = (upload(IMAGE, GOOD, at=25.0),)

_leased = 240.0 - 75 + 2.6
"""When an upload is made whose lease, of 75 s, ends soon after the sweep of second 240."""


def _at_the_leases_end() -> Plan:
    """COS takes no record until a sweep comes, whose clock is four seconds nearer to the lease's end."""
    live = upload(LIVE, GOOD, 0.01, at=_leased)
    calm = plan(upload(IMAGE, GOOD, 0.1, at=155.0), live, warm=0, last=300.0)
    return replace(calm, mood=Mood(cos_down=(_leased + 0.5, 240.0)), clocks_apart=True)


def _down(calm: Plan, until: float) -> Plan:
    """The webhook answers 500 until then."""
    return replace(calm, mood=Mood(hook_down=(0.0, until, "answers 500")))


SCENES = (
    Scene(
        "halves",
        "both halves' events at once",
        plan(*HALVES, last=185.0, settings={"KEEP_BEST_FRAME": "true"}),
        30.0,
    ),
    Scene(
        "halves-cold",
        "the same, instances that know nothing of the bucket",
        plan(*HALVES, warm=0, last=185.0),
        30.0,
    ),
    Scene(
        "thrice",
        "one event three times",
        plan(upload(LIVE, GOOD, 0.05, 0.05, 0.05), warm=3, last=185.0),
        30.0,
        placed=PLACED,
        beside_a_fault=1,
    ),
    Scene(
        "winners",
        "two create-only winners: one event twice",
        plan(upload(LIVE, GOOD, 0.05, 0.05), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "winners-versioned",
        "the same where the bucket keeps versions, and once more later",
        replace(plan(upload(LIVE, GOOD, 0.05, 0.05, 3.3), warm=3, last=185.0), versioned=True),
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
        plan(upload(LIVE, GOOD, 0.05, 89.98), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "deliveries",
        "a delivery and two overlapping sweeps",
        _down(plan(*HALVES, last=425.0), 100.0),
        359.9,
        extra_sweep(360.0),
    ),
    Scene(
        "sweeps",
        "two overlapping sweeps and a pair to judge",
        plan(upload(IMAGE, GOOD, 0.05), last=185.0),
        119.9,
        extra_sweep(120.0),
        placed=(upload(LIVE, GOOD, at=31.0),),
    ),
    Scene(
        "replaced",
        "an upload replaced under the call",
        plan(upload(LIVE, GOOD, 0.05), last=185.0),
        30.0,
        uploaded_at_will(upload(IMAGE, OTHER, 0.01, at=30.05)),
        calls=(1, 2, 3),
        told=(1, 2),
        placed=PLACED,
    ),
    Scene(
        "limit",
        "another recording while the one verdict that is allowed is given",
        plan(upload(LIVE, GOOD, 0.05), last=185.0, settings={"MAX_VERDICTS": "1"}),
        30.0,
        uploaded_at_will(upload(LIVE, OTHER, 0.01, at=30.05)),
        calls=(0, 1, 2),
        told=(1, 2),
        placed=PLACED,
        beside_a_fault=1,
    ),
    Scene(
        "shared",
        "a shared image with two live packages",
        plan(upload(ONE, GOOD, 0.05), upload(TWO, GOOD, 0.05), warm=3, last=185.0, settings=SHARED),
        30.0,
        uploaded_at_will(upload(FACE, GOOD, 0.005, at=30.05)),
        calls=(2,),
        told=(2,),
        beside_a_fault=1,
    ),
    Scene(
        "incomplete",
        "incomplete decided by two sweeps at once",
        plan(upload(IMAGE, GOOD, 0.05), last=725.0),
        659.9,
        extra_sweep(660.0),
        calls=(0,),
    ),
    Scene(
        "clock-behind",
        "half a pair and a sweep whose clock is behind",
        replace(plan(upload(IMAGE, GOOD, 0.05, at=59.0), warm=0, last=245.0), clocks_apart=True),
        119.9,
        extra_sweep(120.0),
        calls=(0,),
        skew=2.0,
    ),
    Scene(
        "last-moment",
        "the other half comes when the pair is told as incomplete",
        plan(upload(IMAGE, GOOD, 0.05), last=725.0),
        659.9,
        uploaded_at_will(upload(LIVE, GOOD, 0.01, at=659.95)),
        told=(1, 2),
    ),
    Scene(
        "unfit",
        "what needs no call decided by two at once, with other bodies: the same bytes a second later",
        plan(
            upload(LIVE, GOOD, 0.05, at=30.95, size=0),
            upload(LIVE, GOOD, 0.002, at=31.012, size=0),
            last=185.0,
        ),
        30.99,
        calls=(0,),
        placed=PLACED,
    ),
    Scene(
        "retry",
        "an operator's retry and two sweeps",
        replace(plan(upload(LIVE, UNKNOWN, 0.05), last=245.0), retries=(119.9, 119.9)),
        119.8,
        extra_sweep(120.0),
        calls=(2,),
        told=(2,),
        placed=PLACED,
    ),
    Scene(
        "again",
        "what failed is uploaded again, and heard of twice",
        plan(upload(LIVE, UNKNOWN, 0.05), upload(LIVE, UNKNOWN, 0.05, 0.05, at=45.0), last=185.0),
        45.0,
        calls=(2,),
        told=(2,),
        placed=PLACED,
    ),
    Scene(
        "again-cold",
        "what failed is uploaded again, on an instance that knows nothing of the bucket",
        plan(upload(LIVE, UNKNOWN, 0.05), upload(LIVE, UNKNOWN, 0.05, at=45.0), last=185.0),
        45.0,
        calls=(2,),
        told=(2,),
        placed=PLACED,
        draw=0.8,
    ),
    Scene(
        "walk",
        "a walk beside a late event",
        replace(plan(upload(LIVE, GOOD, 670.05), last=785.0), walks=(1.0, 1.0, 700.05)),
        700.0,
        placed=PLACED,
    ),
    Scene(
        "walk-replaced",
        "two walks beside each other, and what is settled was replaced unheard",
        replace(
            plan(replace(upload(LIVE, GOOD, 0.05), is_md5=False), last=785.0), walks=(1.0, 1.0, 700.0, 700.05)
        ),
        700.0,
        calls=(2,),
        told=(2,),
        placed=(*PLACED, upload(LIVE, OTHER, at=45.0)),
    ),
    Scene(
        "walk-again",
        "two walks beside each other, and what failed was uploaded again unheard",
        replace(plan(upload(LIVE, UNKNOWN, 0.05), last=785.0), walks=(1.0, 1.0, 700.0, 700.05)),
        700.0,
        calls=(2,),
        told=(2,),
        placed=(*PLACED, upload(LIVE, UNKNOWN, at=45.0)),
    ),
    Scene(
        "walk-untold",
        "a walk and a sweep, and what is decided and not told stands on no agenda",
        replace(
            plan(upload(LIVE, GOOD, 0.05), last=845.0),
            mood=Mood(hook_down=(0.0, 650.0, "answers 500"), die=NEVER),
            walks=(1.0, 1.0, 719.9),
            expiries=(Expiry(100.0, "agenda"),),
        ),
        719.8,
        placed=PLACED,
        beside_a_fault=1,
    ),
    Scene(
        "deleted",
        "the live package is deleted once it is told, and its image heard of again",
        plan(upload(LIVE, GOOD, 0.05), last=185.0, settings={"DELETE_UPLOADS": "live"}),
        30.0,
        uploaded_at_will(upload(IMAGE, GOOD, 0.01, at=30.05)),
        placed=PLACED,
    ),
    Scene(
        "unseen",
        "an upload is seen late, and its event comes twice",
        plan(replace(upload(LIVE, GOOD, 0.05, 0.05), head_lag=5.0), last=185.0),
        30.0,
        placed=PLACED,
    ),
    Scene(
        "seen-as-former",
        "an upload is replaced within a second, and the former is seen for a while",
        plan(
            upload(LIVE, GOOD, 0.55, at=29.5),
            replace(upload(LIVE, OTHER, 0.05, at=30.04), head_lag=5.0),
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
        plan(
            upload(ONE, GOOD, 0.05),
            replace(upload(FACE, GOOD, 0.05, 0.05, at=700.0), head_lag=3.0),
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
            plan(
                *(upload(key, GOOD, 0.05, 4.0) for key in (IMAGE, LIVE)),
                last=245.0,
                settings={"API_RATE": "0.1"},  # so slow that events wait for no turn
            ),
            mood=Mood(api_down=(0.0, 50.0, "RequestLimitExceeded")),
        ),
        30.0,
        calls=(3,),
        beside_a_fault=1,
    ),
)

BY_NAME = {scene.name: scene for scene in SCENES}

SHOWN = {
    "verdicts-counted": "limit",
    "claims-counted": "limit",
    "claim-read-back": "winners",
    "entry-before-call": "after-lease",
    "entry-names-verification": "after-lease",
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
    "guard-without-call": "incomplete",
    "on-before-off": "clock-behind",
    "keep-just-put": "clock-behind",
    "off-after-told": "halves",
    "record-is-certain": "lease-end",
    "waiting-marks": "image-late",
    "marks-until-complete": "image-late",
    "back-off": "throttled",
    "run-carried": "retry",
    "over-by-size": "walk-untold",
    "failed-is-not-over": "walk-again",
    "listed-bytes": "walk-replaced",
    "judged-bytes": "walk-replaced",
}
"""The scene in which each protection shows that is switched off."""

NOT_SHOWN = {
    "counted-when-taken-over": "needs an owner that dies before it counts, and a recording that is put back",
    "gone-is-settled": "a second line behind the note of what stays when uploads are deleted",
    "claims-before": "needs requests that are refused again and again",
    "owner-records": "needs a request that is under way longer than is assumed",
    "told-when-worked-off": "needs a request that takes effect minutes after its sender died",
    "goes-first": "a second line: it shows in numbers, where the window is wider than is assumed",
    "shared-is-no-half": "needs a live package that is gone, or is not shown, until PAIR_TIMEOUT is over",
    "walks-noted": "needs walks of days",
    "attempts-derived": "needs deliveries that fail for hours while sweeps overlap",
    "retry-after": "needs deliveries that fail for hours",
    "one-deadline": "needs several records an event",
    "each-mark-alone": "needs state that cannot be read",
    "settled-by-key": "needs LIST that lags until PAIR_TIMEOUT is over",
    "older-alternatives": "needs alternatives of a key",
    "marks-for-days": "needs days",
    "create-only-asked": "needs a bucket whose versioning is suspended",
    "too-large-is-corrupt": "needs state that cannot be read",
    "forget-sees-work": "needs the operator's commands",
    "walks-overlap": "needs uploads that are younger than a walk may look at",
    "sealed": "needs somebody who may write state and forges records",
}
"""Protections that only random histories show, and why."""
