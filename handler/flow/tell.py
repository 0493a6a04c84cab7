"""Record an outcome once, tell it, and settle it.

Nothing is told that is not recorded. If another instance decided too, the first record is the one told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from handler.edges.cos import CosError
from handler.edges.faceid import code_row
from handler.edges.webhook import POST_SECONDS, next_attempt
from handler.flow.look import look_keys
from handler.rules.outcome import Called, Decision, Frame, Half, Seen, Verification, body, verification
from handler.rules.pairing import Role
from handler.services import Cause, Done, Later, Pending, Services, Step, Trace
from handler.state.ledger import Entry, Record, Task, new_nonce

MOST_ATTEMPTS = 40
"""Delivery attempts and claims of one verification that are looked for on the agenda."""


def find_run(
    s: Services, seen: Seen, newest: datetime, wanted: int | None
) -> tuple[Verification, Record | None]:
    """The first run that has no record or whose record stands."""
    run = 1
    while True:
        which = verification(seen, run)
        record = s.ledger.record(which)
        if record is None or not reopens(record, newest, wanted):
            return which, record
        run += 1


def reopens(record: Record, newest: datetime, wanted: int | None) -> bool:
    """After `failed` and `incomplete` a later upload, or the operator, starts another run."""
    later = newest > record.uploaded_at or (wanted is not None and wanted > record.which.run)
    return record.outcome in ("failed", "incomplete") and later


def decided(
    s: Services,
    seen: Seen,
    which: Verification,
    decision: Decision,
    decided_at: datetime,
    uploaded_at: datetime,
    frame: Frame | None = None,
    called: Called | None = None,
) -> Record:
    def told(half: Half | None) -> dict[str, Any] | None:
        if half is None:
            return None
        return {"key": half.key, "etag": half.etag, "md5": half.md5, "size": half.size}

    return Record(
        which=which,
        bucket=seen.bucket,
        live_key=seen.live.key if seen.live else seen.pair.live_keys[0],
        image_key=seen.image.key if seen.image else seen.pair.image_keys[0],
        outcome=decision.outcome,
        code=decision.code,
        uploaded_at=uploaded_at,
        decided_at=decided_at,
        body=body(seen, which, decision, decided_at, s.settings, frame, called),
        nonce=new_nonce(),
        live=told(seen.live),
        image=told(seen.image),
        best_frame={"key": frame.key, "md5": frame.md5} if frame else None,
        delete=_to_delete(s, seen, decision),
    )


def _to_delete(s: Services, seen: Seen, decision: Decision) -> tuple[Role, ...]:
    if s.settings.delete_uploads == "none" or decision.outcome not in ("matched", "mismatched", "rejected"):
        return ()
    retake = decision.code is not None and code_row(decision.code).advice == "retake_live"
    spare_image = s.settings.delete_uploads == "live" or retake or seen.pair.shared
    return ("live",) if spare_image else ("live", "image")


def tell_without_call(s: Services, record: Record, clear: tuple[str, ...], trace: Trace) -> Step:
    """Record and tell an outcome that needed no claim.

    There is no claim's agenda entry either to bring it back, so its delivery is put there first.
    """
    guard = Entry(s.clock.now() + timedelta(minutes=1), _delivery(record, 1))
    key = s.ledger.put_on(guard)
    return record_and_tell(s, record, s.deadline.at, (key, *clear), trace)


def record_and_tell(s: Services, record: Record, until: float, clear: tuple[str, ...], trace: Trace) -> Step:
    """Create the record, trying in the time there is; then tell whichever record was first."""
    with trace.stage("record"):
        while True:
            try:
                record = s.ledger.record_once(record)
                break
            except CosError:
                if until - s.clock.elapsed() < 2:
                    raise
                s.clock.sleep(0.5 + s.draw())
    return tell_or_hand_over(s, record, 1, clear, trace)


def tell_or_hand_over(
    s: Services, record: Record, attempt: int, clear: tuple[str, ...], trace: Trace
) -> Step:
    """Tell a record here and now; in a sweep hand it to those who deliver, so that no call waits for it.

    The agenda entries in `clear` are there until it has been told.
    """
    if s.hand_over is not None and not record.settled:
        trace.note(decided=record.outcome, verification=record.which.id, run=record.which.run)
        s.hand_over(record, clear)
        return Done()
    step = tell(s, record, attempt, trace, wait=s.hand_over is None)
    return step._replace(clear=(*step.clear, *clear))


def tell(s: Services, record: Record, attempt: int, trace: Trace, *, wait: bool) -> Step:
    """Deliver a record's message and settle it. `wait` lets the second attempt be made here and now."""
    which = record.which
    trace.note(verification=which.id, run=which.run)
    if record.settled:
        return Done()
    trace.note(outcome=record.outcome)
    if record.delivered_at is None and record.dead_at is None:
        while True:
            left = s.deadline.left()
            if left < 2:
                return Later(Entry(s.clock.now(), _delivery(record, attempt)))
            with trace.stage("webhook"):
                seconds = min(POST_SECONDS, left - 1)
                said = s.consumer.post(which.message_id, record.body, s.clock.now(), seconds)
            trace.note(delivery=attempt, webhook_status=said.status, webhook_error=said.error)
            now = s.clock.now()
            record = record._replace(attempts=attempt)
            if said.ok:
                record = record._replace(delivered_at=now)
                s.ledger.mark(record)
                break
            again = (
                None
                if said.gone
                else next_attempt(attempt, record.decided_at, now, said.retry_after, s.draw())
            )
            if again is None:
                record = record._replace(dead_at=now)
                s.ledger.bury(record, said.error or "no answer")
                s.ledger.mark(record)
                s.log("dead", "ERROR", verification=which.id, error=said.error)
                break
            attempt += 1
            pause = (again - now).total_seconds()
            if not wait or attempt > 2 or pause > 10 or s.deadline.left() < pause + POST_SECONDS + 2:
                return Later(Entry(again, _delivery(record, attempt)))
            s.clock.sleep(pause)
    if not record.settled:
        with trace.stage("delete"):
            _delete_uploads(s, record)
    return Done()


def _delivery(record: Record, attempt: int) -> Task:
    return Task("deliver", record.bucket, record.live_key, "live", verification=record.which, attempt=attempt)


def _delete_uploads(s: Services, record: Record) -> None:
    """Delete what was judged, if it still is what was judged."""
    for role in record.delete:
        told = record.live if role == "live" else record.image
        stored = told and s.uploads.head(told["key"])
        if told and stored and (stored.etag, stored.size) == (told["etag"], told["size"]):
            s.uploads.delete([told["key"]])
    s.ledger.mark(record._replace(deleted=True))


def stands(s: Services, seen: Seen, record: Record, cause: Cause, trace: Trace) -> Step:
    """A record is there. Whoever decided it has left its delivery on the agenda; a walk makes sure of it.

    Where that entry is the very one that is worked off, the record came after it was looked for: it is told.
    """
    worked_off = cause.claim is not None and cause.claim.verification == record.which
    if record.settled:
        return Done(clear=look_keys(s, seen) if cause.agenda else ())
    if worked_off or (cause.walk is not None and not _is_pending(record, cause.walk)):
        trace.note(untold=record.outcome)
        # Of the time when it was decided, so that whoever finds it puts the same entry there.
        return Later(Entry(record.decided_at, _delivery(record, 1)))
    return Done()


def _is_pending(record: Record, pending: Pending) -> bool:
    """Whether the agenda will come back to a record by itself: to deliver it, or at the end of a lease."""
    takeover = Task("take_over", record.bucket, verification=record.which)
    return any(
        task.purpose in pending
        for number in range(1, MOST_ATTEMPTS)
        for task in (_delivery(record, number), takeover._replace(n=number))
    )
