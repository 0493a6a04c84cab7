"""Record an outcome once, tell it, and settle it.

Nothing is told that is not recorded. If another instance decided too, the first record is the one told.
"""

from __future__ import annotations

from handler.edges.bucket import CosError, Forbidden
from handler.edges.webhook import POST_SECONDS, Delivery
from handler.flow.steps import Done, Later, Step, Tell, Trace, Visit
from handler.rules.agenda import Entry, all_looks, delivery
from handler.rules.claiming import Leave, Move
from handler.rules.codes import code_row
from handler.rules.pairing import ROLES, AmbiguousKey, Pair
from handler.rules.records import Record, may_delete
from handler.rules.schedule import LONGEST_RETRY_AFTER, MOST_DELIVERIES, at_next_sweep, next_delivery
from handler.rules.uploads import Seen, Stored
from handler.services import Services

LEAST_SECONDS = 2.0
"""No delivery begins with less left."""

MOST_FORBIDDEN = 3
"""How often a record is written that may not be: a policy that was just changed may take seconds to work."""


# --- recording --------------------------------------------------------------------------------------


def record_called(visit: Visit, record: Record, until: float, clear: tuple[str, ...]) -> Tell:
    """Record what a call decided, trying until `until` on the clock; its claim is in hand."""
    return _record_once(visit, record, until, clear, claimed=True)


def record_without_call(visit: Visit, seen: Seen, record: Record) -> Tell:
    """Record an outcome that needed no claim.

    There is no claim's agenda entry either to bring it back, so its delivery is put there first.
    """
    services = visit.services
    clear = pair_keys(services, seen) if seen.complete else ()
    guard = services.ledger.put_on(Entry(at_next_sweep(services.clock.now()), delivery(record, 1)))
    return _record_once(visit, record, services.deadline.at, (guard, *clear), claimed=False)


def _record_once(
    visit: Visit, record: Record, until: float, clear: tuple[str, ...], *, claimed: bool
) -> Tell:
    """Create the record, trying in the time there is; whichever record was first is told.

    Raises CosError; Forbidden soon, since waiting mends no permission. What is on the agenda comes back then.
    """
    services = visit.services
    record = record._replace(told_from=services.clock.now())
    with visit.trace.stage("record"):
        attempt = 0
        while True:
            attempt += 1
            try:
                return Tell(services.ledger.record_once(record, claimed=claimed), 1, clear)
            except CosError as error:
                hopeless = isinstance(error, Forbidden) and attempt >= MOST_FORBIDDEN
                if hopeless or until - services.clock.elapsed() < 2:
                    raise
                services.clock.sleep(0.5 + services.draw())


def leave_or_see_told(visit: Visit, seen: Seen, record: Record, move: Move) -> Step:
    """What there is to do about a record that stands: whoever decided it has left its delivery on the agenda.

    A walk makes sure of it. Where the entry that is worked off is that very one, the record came after it was
    looked for.
    """
    if isinstance(move, Leave):
        return Done()
    if record.settled:
        return Done(clear=pair_keys(visit.services, seen))
    if _is_pending(visit, record):
        return Done()
    visit.trace.note(untold=record.outcome)
    # Of the time when it was decided, so that whoever finds it puts the same entry there.
    return Later(Entry(record.decided_at, delivery(record, 1)))


def _is_pending(visit: Visit, record: Record) -> bool:
    """Whether the agenda will come back to a record by itself, once what is worked off has come off it."""
    pending, task = visit.cause.pending, visit.cause.task
    if pending is not None:
        return record.verification.id in pending
    return getattr(task, "verification", None) != record.verification


def pair_keys(services: Services, seen: Seen) -> tuple[str, ...]:
    """Where on the agenda, and among the marks of who waits for an image, a pair can stand."""
    ledger = services.ledger
    keys = [ledger.agenda_key(entry) for entry in all_looks(seen, services.settings.pair_timeout)]
    if seen.pair.shared and seen.complete:
        keys += [ledger.mark_key(key, seen.pair.path) for key in seen.pair.image_keys]
    return tuple(keys)


# --- telling ----------------------------------------------------------------------------------------


def tell(services: Services, step: Tell, trace: Trace, *, patient: bool) -> Done | Later:
    """Deliver the message of a record that is not settled, and settle it.

    A `patient` invocation makes the second attempt itself.
    """
    record = step.record
    category = code_row(record.code).category if record.code else None
    trace.note(verification=record.verification.id, run=record.verification.run)
    trace.note(outcome=record.outcome, category=category)
    if not record.told:
        delivered = _deliver(services, step, trace, patient=patient)
        if isinstance(delivered, Later):
            return delivered
        record = delivered
    if not record.settled:
        with trace.stage("delete"):
            _delete_uploads(services, record)
    return Done(step.clear)


def put_next_on(services: Services, step: Tell) -> Tell:
    """Before an attempt is made, put the next in its place: one that kills its instance counts as well."""
    ledger, record = services.ledger, step.record
    following = next_delivery(*record.schedule, step.attempt, services.clock.now())
    # After the last one there is an entry that finds that it is over.
    number, at = following or (MOST_DELIVERIES + 1, services.clock.now() + LONGEST_RETRY_AFTER)
    key = ledger.put_on(Entry(at, delivery(record, number, step.last)))
    ledger.take_off(set(step.clear) - {key})
    return step._replace(clear=(key,))


def _deliver(services: Services, step: Tell, trace: Trace, *, patient: bool) -> Record | Later:
    """Post the message until it is taken or given up, or leave the next attempt to the agenda."""
    record, attempt, last = step.record, step.attempt, step.last
    while attempt <= MOST_DELIVERIES:
        if services.deadline.left() < LEAST_SECONDS:
            return Later(Entry(services.clock.now(), delivery(record, attempt, last)), step.clear)
        said = _post(services, record, attempt, trace)
        now = services.clock.now()
        record = record._replace(attempts=attempt)
        if said.ok:
            record = record._replace(delivered_at=now)
            services.ledger.mark(record)
            return record
        last = (attempt, now, said.error or "no answer")
        following = next_delivery(*record.schedule, attempt, now, said.retry_after)
        if said.gone or following is None:
            break
        attempt = following.number
        pause = (following.at - now).total_seconds()
        if not patient or attempt > 2 or not _can_wait(services, pause):
            return Later(Entry(following.at, delivery(record, attempt, last)), step.clear)
        services.clock.sleep(pause)
    error = last[2] if last else "no answer was recorded"
    return _bury(services, record._replace(dead_at=services.clock.now()), error)


def _post(services: Services, record: Record, attempt: int, trace: Trace) -> Delivery:
    seconds = min(POST_SECONDS, services.deadline.left() - 1)
    with trace.stage("webhook"):
        message_id = record.verification.message_id
        said = services.consumer.post(message_id, record.body, services.clock.now(), seconds)
    trace.note(delivery=attempt, webhook_status=said.status, webhook_error=said.error)
    return said


def _can_wait(services: Services, pause: float) -> bool:
    return services.deadline.left() >= pause + POST_SECONDS + LEAST_SECONDS


def _bury(services: Services, record: Record, error: str) -> Record:
    stored = services.ledger.record(record.verification)
    if stored is not None and stored.told:
        return stored  # another sweep's last attempt was taken
    services.ledger.bury(record, error)
    services.ledger.mark(record)
    services.log("dead", "ERROR", verification=record.verification.id, error=error)
    return record


def _delete_uploads(services: Services, record: Record) -> None:
    """Delete what was judged, if it still is what was judged, and the older alternatives of it.

    First it is noted of each upload that its pair has its outcome, so that nobody takes what is left, or not
    deleted yet, for half a pair. Nothing is deleted where these settings do not derive the record's own pair:
    a record alone does not say which uploads go.
    """
    pair = _pair_of(services, record)
    if pair is None:
        reason = "uploads to be deleted whose keys these settings do not derive"
        services.log("left_alone", "WARNING", reason=reason, verification=record.verification.id)
        return
    stay: list[Stored] = []
    go: list[Stored] = []
    for role in ROLES:
        for key in pair.keys(role):
            stored = services.uploads.head(key)
            if stored is not None and may_delete(record, role, stored):
                (go if role in record.delete else stay).append(stored)
    for stored in (*stay, *go):
        services.ledger.note_settled(record.verification.path, stored)
    for stored in go:
        services.uploads.delete([stored.key])  # one by one: a request for several cannot name every key
    services.ledger.mark(record._replace(deleted=True))


def _pair_of(services: Services, record: Record) -> Pair | None:
    """The record's pair, if these settings still derive it, and with it every upload that was judged."""
    if record.bucket != services.settings.bucket:
        return None
    try:
        match = services.settings.templates.match(record.live_key)
    except AmbiguousKey:
        return None
    pair = match[1] if match else None
    if not isinstance(pair, Pair) or pair.path != record.verification.path:
        return None
    judged = ((role, record.judged(role)) for role in ROLES)
    return pair if all(half is None or half["key"] in pair.keys(role) for role, half in judged) else None
