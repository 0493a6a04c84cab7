"""One pair, as far as it goes.

both halves there ─► judge: claim ─► call ─► record ─► tell
one missing       ─► look again later, and `incomplete` after PAIR_TIMEOUT
"""

from __future__ import annotations

from handler.flow.judge import judge
from handler.flow.lookup import look_up_anew, with_md5
from handler.flow.steps import Done, Later, Replaced, Step, Visit
from handler.flow.tell import leave_or_see_told, record_without_call
from handler.rules.agenda import Look, look_after, look_at_next_sweep
from handler.rules.claiming import Asker, NextRun, Standing, next_move
from handler.rules.outcome import Decision, Verification, incomplete, unfit, unreadable, verification
from handler.rules.pairing import Pair
from handler.rules.records import is_rest_of, is_told_by_another_name, record_of
from handler.rules.schedule import REFUSED_LOOKS, look_times, next_look
from handler.rules.uploads import Seen
from handler.state.objects import new_nonce

MOST_REPLACED = 3
"""How often uploads may be replaced under our hands before their pair is left to the next sweep."""


def advance(visit: Visit, seen: Seen) -> Step:
    """Move a pair as far as it goes. `seen` is what was just looked up.

    Raises CosError where COS fails it, and CorruptState where the ledger cannot be read.
    """
    for _ in range(MOST_REPLACED):
        try:
            return _as_seen(visit, seen)
        except Replaced:
            visit.trace.note(replaced=True)
            seen = look_up_anew(visit, seen)
    stored = seen.live or seen.image
    if stored is None:
        return Done()
    look = Look(seen.bucket, stored.key, uploaded_at=stored.uploaded_at)
    return Later(look_at_next_sweep(look, visit.services.clock.now()))


def _as_seen(visit: Visit, seen: Seen) -> Step:
    """The same for uploads as they were looked up. Raises Replaced where one is another by now."""
    if not seen.complete:
        return _wait(visit, seen)
    seen = with_md5(visit, seen)
    refused = unfit(seen, visit.services.settings, visit.services.clock.now())
    if refused is None:
        return judge(visit, seen)
    verification = _undecided(visit, seen, visit.asker(seen))
    if not isinstance(verification, Verification):
        return verification
    return _decided(visit, seen, verification, refused)


# --- half a pair ------------------------------------------------------------------------------------


def _wait(visit: Visit, seen: Seen) -> Step:
    """Half a pair, or none: look again, and once PAIR_TIMEOUT is over decide that it is incomplete."""
    stored = seen.live or seen.image
    if stored is None or (seen.pair.shared and seen.live is None):
        return Done()  # an image that serves many is half of no pair
    if seen.pair.shared:
        # Also where it is incomplete by now: the image that comes late judges it all the same.
        for key in seen.pair.image_keys:
            visit.services.ledger.mark_waiting(key, seen.pair.path, Look(seen.bucket, stored.key, "live"))
    settings, now = visit.services.settings, visit.services.clock.now()
    step = next_look(stored.uploaded_at, look_times(settings.pair_timeout), now)
    if step is None:
        return _give_up_waiting(visit, seen)
    visit.trace.note(waits_for="image" if seen.live else "live")
    look = Look(seen.bucket, stored.key, "live" if seen.live else "image", run=visit.cause.run)
    return Later(look_after(look, stored.uploaded_at, step))


def _give_up_waiting(visit: Visit, seen: Seen) -> Step:
    """Half a pair whose time is over: incomplete, unless it is what is left of one that was judged."""
    seen = with_md5(visit, seen)
    verification = _undecided(visit, seen, visit.asker(seen))
    if not isinstance(verification, Verification):
        return verification
    if _is_rest(visit, seen):
        return Done()
    return _decided(visit, seen, verification, incomplete(seen, visit.services.settings.pair_timeout))


def _is_rest(visit: Visit, seen: Seen) -> bool:
    """Whether half a pair is what is left of one that has its outcome.

    What livepair deleted itself is noted under a key, since LIST may not show a record for minutes.
    """
    ledger, stored = visit.services.ledger, seen.live or seen.image
    if stored is not None and ledger.is_settled(seen.pair.path, stored):
        return True
    records = ledger.records(seen.pair.path)
    return any(is_rest_of(seen, record) or is_told_by_another_name(seen, record) for record in records)


def refused(visit: Visit, pair: Pair, look: Look, why: str) -> Step:
    """An upload that COS will not show: again with growing steps, and `failed` after a day."""
    services = visit.services
    now = services.clock.now()
    uploaded_at = look.uploaded_at or now
    step = next_look(uploaded_at, REFUSED_LOOKS, now)
    if step is not None:
        return Later(look_after(look, uploaded_at, step))
    seen = Seen(pair, services.settings.bucket, None, None)
    verification = _undecided(visit, seen, Asker(visit.cause.sweeping, uploaded_at, visit.cause.run))
    if not isinstance(verification, Verification):
        return Done()
    return _decided(visit, seen, verification, unreadable(uploaded_at, why))


# --- outcomes without a call ------------------------------------------------------------------------


def _undecided(visit: Visit, seen: Seen, asker: Asker) -> Verification | Step:
    """The first run without a record; or, where a record stands, what there is to do about that."""
    run = 1
    while True:
        undecided = verification(seen, run)
        visit.trace.note(verification=undecided.id, run=run)
        record = visit.services.ledger.record(undecided)
        if record is None:
            return undecided
        move = next_move(Standing(record), asker, visit.services.clock.now())
        if not isinstance(move, NextRun):
            return leave_or_see_told(visit, seen, record, move)
        run += 1


def _decided(visit: Visit, seen: Seen, undecided: Verification, decision: Decision) -> Step:
    """Record a decision that no call was needed for."""
    record = record_of(seen, undecided, decision, visit.services.settings, new_nonce())
    return record_without_call(visit, seen, record)
