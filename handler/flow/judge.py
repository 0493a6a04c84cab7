"""Judge a complete pair once: read what stands, ask the rules, do it; and again.

The claim protocol keeps two instances from calling for the same verification. Its rules are in
`rules/claiming.py`, its reads and writes in `state/ledger.py`; the order of things here is the rest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from handler.clock import Deadline
from handler.flow.call import LEASE_SECONDS, Held, call, has_time, no_time
from handler.flow.steps import Later, Step, Visit
from handler.flow.tell import leave_or_see_told
from handler.rules.agenda import Entry, TakeOver, at_lease_end, take_over
from handler.rules.claiming import (
    UNTOUCHED,
    Claim,
    ComeBack,
    NextRun,
    Standing,
    Take,
    next_move,
    others_claimed,
)
from handler.rules.outcome import Verification, verification
from handler.rules.uploads import Seen, goes_first
from handler.services import Services
from handler.state.objects import CorruptState, new_nonce

YIELD_SECONDS = 0.25
"""How long the event of the earlier upload lets the later one go first."""


def judge(visit: Visit, seen: Seen) -> Step:
    """A complete pair: one verdict, one record. Raises Replaced where an upload is another by now."""
    clock = visit.services.clock
    current = verification(seen, 1)
    standing = _read(visit, seen, current) if _reads_before_claiming(visit, seen) else UNTOUCHED
    while True:
        visit.trace.note(verification=current.id, run=current.run)
        move = next_move(standing, visit.asker(seen), clock.now())
        if isinstance(move, NextRun):
            current = verification(seen, current.run + 1)
            standing = _read(visit, seen, current)
        elif isinstance(move, Take):
            held = _hold(visit, seen, current, move)
            if not has_time(visit.services, held.lease, visit.services.ledger.settle):
                return no_time(visit, held)
            taken = _take(visit, held)
            if isinstance(taken, Held):
                return call(visit, taken)
            standing = taken
        elif isinstance(move, ComeBack):
            return Later(Entry(move.at, take_over(seen, current, move.n)))
        else:
            assert standing.record is not None  # noqa: S101 # all other moves are about one
            return leave_or_see_told(visit, seen, standing.record, move)


def _reads_before_claiming(visit: Visit, seen: Seen) -> bool:
    """Whether what stands is read before the first claim is written.

    The event of the half that goes first need not, where create-only is honoured: its write tells. The other
    half's waits a moment, and looks for a claim before it takes one.
    """
    services, role = visit.services, visit.cause.role
    if role is None:
        return True
    if goes_first(seen, role):
        return seen.pair.shared or not services.ledger.trusts_create
    with visit.trace.stage("yield"):
        services.clock.sleep(min(YIELD_SECONDS, services.deadline.left()))
    return True


# --- reading ----------------------------------------------------------------------------------------


def _read(visit: Visit, seen: Seen, current: Verification, n: int | None = None) -> Standing:
    """What stands for a verification; its claims are read from number `n` on, else from the agenda's."""
    with visit.trace.stage("read"):
        n = n or _named_claim(visit, current)
        claim: Claim | None = None
        if not (visit.cause.sweeping or seen.pair.shared):
            # Mostly nothing is there, which one look tells; and no record comes before a claim.
            claim = _claim(visit, current, n)
            if claim is None:
                return UNTOUCHED
        record = visit.services.ledger.record(current)
        if record is not None:
            return Standing(record)
        return Standing(claim=_last_claim(visit, current, n, claim))


def _named_claim(visit: Visit, current: Verification) -> int:
    """The claim that the agenda's entry comes back to, where it is this verification's; else 1."""
    task = visit.cause.task
    return task.n if isinstance(task, TakeOver) and task.verification == current else 1


def _last_claim(visit: Visit, current: Verification, n: int, claim: Claim | None) -> Claim | None:
    """The last claim from number `n` on; `claim` is that one, where it was read already."""
    last = None
    claim = claim or _claim(visit, current, n)
    while claim is not None:
        last = claim
        if Standing(claim=claim).state(visit.services.clock.now()) == "claimed":
            break  # its lease runs, so nothing comes after it
        claim = _claim(visit, current, last.n + 1)
    if last is None and n > 1:
        # The claim that the agenda names was never created: those before it are what stands.
        return _last_claim(visit, current, 1, None)
    return last


def _claim(visit: Visit, current: Verification, n: int) -> Claim | None:
    """A claim; one that cannot be read counts as one whose lease is over."""
    services = visit.services
    try:
        return services.ledger.claim(current, n)
    except CorruptState as error:
        services.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        now = services.clock.now()
        return Claim(current, n, "", "", lease_until=now - timedelta(days=1), first_try_at=now)


# --- claiming ---------------------------------------------------------------------------------------


def _hold(visit: Visit, seen: Seen, current: Verification, move: Take) -> Held:
    """The claim to take, its lease, and the entry that comes back to it."""
    services = visit.services
    lease = Deadline.after(services.clock, min(LEASE_SECONDS, services.deadline.left()))
    now = services.clock.now()
    lease_until = now + timedelta(seconds=lease.left())
    move = move._replace(exempt=move.exempt or visit.cause.run == current.run)
    claim = move.claim(current, new_nonce(), services.request_id, now, lease_until)
    return Held(seen, claim, lease, at_lease_end(take_over(seen, current, claim.n), lease_until))


def _take(visit: Visit, held: Held) -> Held | Standing:
    """Take a claim: it is in hand, and tells how many others the pair has, or what stands instead."""
    services, claim = visit.services, held.claim
    others: list[int] = []
    meanwhile: list[Callable[[], object]] = [
        partial(services.ledger.put_on, held.takeover),
        services.api.open,
    ]
    if services.settings.max_verdicts:
        # Its own claim is written by now, so whoever counts later sees it.
        meanwhile.append(lambda: others.append(_count_others(services, claim)))
    try:
        with visit.trace.stage("claim"):
            standing = services.ledger.take_claim(claim, meanwhile)
    except CorruptState:
        standing = None  # reading steps around it
    if standing is None or _is_to_be_read(standing, services.clock.now()):
        return _read(visit, held.seen, claim.verification, claim.n)
    return held._replace(others=sum(others)) if standing.claim is claim else standing


def _count_others(services: Services, claim: Claim) -> int:
    """How many other verifications of the pair were claimed, up to MAX_VERDICTS."""
    claimed = services.ledger.claimed(claim.verification.path)
    return others_claimed(claimed, claim.verification, services.settings.max_verdicts)


def _is_to_be_read(standing: Standing, now: datetime) -> bool:
    """Whether more may have come after what was found where a claim was to be written."""
    return standing.state(now) in ("abandoned", "given back")
