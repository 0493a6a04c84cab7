"""The reconciler: an event, an agenda entry and a walk all come down to a visit to one pair.

    upload event ─► upload_came ─┐
    agenda entry ─► work_off ────┼─► visit ─► advance ─► Done | Later | Tell
    walk         ─► walk_past ───┘

An event only says "look at this pair". What a visit does not get to, it leaves on the agenda. There is no
second path for recovery.
"""

from typing import NamedTuple

from handler.edges.bucket import Changed, CosError, Unavailable
from handler.flow.advance import advance, refused
from handler.flow.call import CALL_LEFT
from handler.flow.finish import carry_out, leave, tell_or_hand_over, traced
from handler.flow.lookup import look_up
from handler.flow.steps import Cause, Done, HandOver, Later, Step, Tell, Visit
from handler.rules.agenda import (
    Deliver,
    Entry,
    Look,
    TakeOver,
    Task,
    after_one_more_failure,
    look_after,
    look_at_next_sweep,
)
from handler.rules.events import UploadEvent
from handler.rules.pairing import AmbiguousKey, Pair, Role, SharedImage
from handler.rules.schedule import REFUSED_LOOKS, delivery_due, is_out_of_patience, look_times, next_look
from handler.rules.uploads import Stored, seen_of, shows
from handler.services import Services
from handler.state.objects import CorruptState


class Visited(NamedTuple):
    """What came of a visit: whether COS shows the upload itself, and the outcomes that were told."""

    shown: bool
    outcomes: tuple[str, ...] = ()


# --- the three ways to a pair -----------------------------------------------------------------------


def upload_came(services: Services, upload: UploadEvent) -> list[str]:
    """Handle an upload event. Returns the outcomes told; what is not reached is on the agenda.

    Raises AmbiguousKey, and CosError where not even the agenda could be written.
    """
    outcomes: list[str] = []
    ignored = True
    for key in upload.keys:
        if key.startswith(services.settings.state_prefix):
            continue
        match = services.settings.templates.match(key)
        if match is None:
            continue
        ignored = False
        role, target = match
        look = Look(services.settings.bucket, key, role, upload.at or services.clock.now())
        visited = visit(services, target, look, Cause(role, upload.etag))
        outcomes += visited.outcomes
        if visited.shown:
            break  # the other spelling of the key, if there is one, names no object
    if ignored:
        services.log("ignored", reason="the key matches no template, or is state", key=upload.keys[0])
    return outcomes


def work_off(services: Services, entry_key: str, task: Task, hand_over: HandOver | None) -> list[str]:
    """Do what an agenda entry asks for, and take it off. Returns the outcomes told.

    An entry whose keys these settings would not derive belongs to another function: it is put off as it is.
    Raises CosError and CorruptState; the entry then stays.
    """
    if isinstance(task, (TakeOver, Deliver)) and task.bucket == services.settings.bucket:
        # What is recorded is told whatever the templates are by now: its record holds all that is needed.
        record = services.ledger.record(task.verification)
        if record is not None:
            due = delivery_due(*record.schedule, services.clock.now())
            attempt, last = (task.attempt, task.last) if isinstance(task, Deliver) else (due, None)
            step = Tell(record, attempt, (entry_key,), guarded=False, last=last)
            return tell_or_hand_over(services, step, task.failures, hand_over)
    match = _derived(services, task)
    if match is None:
        reason = "an agenda entry of other settings"
        services.log("left_alone", "WARNING", reason=reason, agenda_key=entry_key)
        put_off(services, entry_key, task)
        return []
    role, target = match
    look = task._replace(role=role) if isinstance(task, Look) else Look(task.bucket, task.key, role)
    return list(visit(services, target, look, Cause(entry_key=entry_key, task=task), hand_over).outcomes)


def put_off(services: Services, entry_key: str, task: Task) -> None:
    """Move an entry whose work failed to a later minute, so that it stands in nobody's way."""
    put = services.ledger.put_on(after_one_more_failure(task, services.clock.now()))
    if put != entry_key:
        services.ledger.take_off([entry_key])


def walk_past(
    services: Services, stored: Stored, pending: frozenset[str], hand_over: HandOver | None
) -> list[str]:
    """Make sure that an upload found by a walk has its outcome. Returns the outcomes told.

    `pending` are the verifications that the agenda comes back to by itself: they are left to it.
    """
    try:
        match = services.settings.templates.match(stored.key)
    except AmbiguousKey as error:
        services.log("ambiguous_key", "ERROR", key=stored.key, error=str(error))
        return []
    if match is None:
        return []
    role, target = match
    look = Look(services.settings.bucket, stored.key, role, stored.uploaded_at)
    return list(visit(services, target, look, Cause(pending=pending), hand_over).outcomes)


def _derived(services: Services, task: Task) -> tuple[Role, Pair | SharedImage] | None:
    if task.bucket != services.settings.bucket:
        return None
    try:
        return services.settings.templates.match(task.key)
    except AmbiguousKey:
        return None


# --- what they have in common -----------------------------------------------------------------------


def visit(
    services: Services,
    target: Pair | SharedImage,
    look: Look,
    cause: Cause,
    hand_over: HandOver | None = None,
) -> Visited:
    """Visit what an upload, `look`'s, is about, and leave on the agenda what is left to do.

    What is to be told is told here and now, or handed over. Raises CosError where not even the agenda can be
    written.
    """
    with traced(services, target.path) as trace:
        this = Visit(services, cause, trace)
        try:
            if isinstance(target, SharedImage):
                shown, step, outcomes = _serve(this, look, hand_over)
            else:
                (shown, step), outcomes = _advance(this, target, look), ()
        except (CosError, CorruptState) as error:
            shown, step, outcomes = True, _after_error(this, target, look, error), ()
        left, told = carry_out(this, step, hand_over)
        stale = {cause.entry_key} if cause.entry_key else set()
        again = None if shown else _look_again(this, look, look_times(services.settings.pair_timeout))
        if again is not None:
            # An older upload or none is shown: this one may appear yet.
            stale.discard(services.ledger.put_on(again))
        leave(this, left._replace(clear=(*left.clear, *stale)))
    return Visited(shown, (*outcomes, *told))


def _advance(this: Visit, pair: Pair, look: Look) -> tuple[bool, Step]:
    """Move the pair as far as it goes. Tells whether COS shows the upload itself."""
    services = this.services
    stored = look_up(services, pair, this.trace)
    shown = shows(stored[look.key], look.uploaded_at, this.cause.etag)
    try:
        return shown, advance(this, seen_of(pair, services.settings.bucket, stored))
    except (CosError, CorruptState) as error:
        return shown, _after_error(this, pair, look, error)


def _serve(this: Visit, look: Look, hand_over: HandOver | None) -> tuple[bool, Step, tuple[str, ...]]:
    """An image that serves many: visit the live packages that wait for it, and no others.

    Tells whether COS shows the image itself.
    """
    services = this.services
    outcomes: tuple[str, ...] = ()
    shown = shows(services.uploads.head(look.key), look.uploaded_at)
    marks = services.ledger.marks(look.key)
    if not marks:
        return shown, Done(), outcomes
    # Should this instance die among many of them, or run out of time, a sweep goes on.
    entry = look_at_next_sweep(look, services.clock.now())
    guard = services.ledger.put_on(entry)
    for mark in marks:
        if services.deadline.left() < CALL_LEFT:
            return shown, Later(entry), outcomes
        outcomes += _serve_one(services, mark, hand_over)
    return shown, Done(clear=(guard,)), outcomes


def _serve_one(services: Services, mark: str, hand_over: HandOver | None) -> tuple[str, ...]:
    """Visit a live package that is marked as waiting for an image."""
    try:
        waiting = services.ledger.task(mark)
    except CorruptState as error:
        services.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        waiting = None
    match = _derived(services, waiting) if isinstance(waiting, Look) else None
    if isinstance(waiting, Look) and match and isinstance(match[1], Pair):
        return visit(services, match[1], waiting._replace(role="live"), Cause(), hand_over).outcomes
    services.ledger.take_off([mark])
    return ()


# --- what goes wrong --------------------------------------------------------------------------------


def _after_error(this: Visit, target: Pair | SharedImage, look: Look, error: CosError | CorruptState) -> Step:
    """What is left to do where COS, or what stands in it, keeps a pair from being advanced."""
    this.trace.note(error=str(error))
    if isinstance(error, CorruptState):
        return Done()  # judging again could bill again: whoever reads the log decides
    uploads = (*target.live_keys, *target.image_keys) if isinstance(target, Pair) else (look.key,)
    is_passing = isinstance(error, (Unavailable, Changed)) and not is_out_of_patience(this.cause.failures)
    if error.key not in uploads or is_passing:
        return _come_back(this, look)
    if isinstance(target, Pair):
        return refused(this, target, look, str(error))
    again = _look_again(this, look, REFUSED_LOOKS)
    return Later(again) if again else Done()  # an image that serves many has no outcome of its own


def _come_back(this: Visit, look: Look) -> Later:
    """Come back to what failed: the agenda does, also where the platform's retries would not help."""
    task = this.cause.task if isinstance(this.cause.task, (TakeOver, Deliver)) else look
    return Later(after_one_more_failure(task, this.services.clock.now()))


def _look_again(this: Visit, look: Look, times: tuple[int, ...]) -> Entry | None:
    """The next look after the upload that is looked for; None where all have been."""
    now = this.services.clock.now()
    uploaded_at = look.uploaded_at or now
    step = next_look(uploaded_at, times, now)
    # Without a role it is none of the pair's own looks: these go when the upload is decided that this one
    # replaced in the same second.
    return look_after(look._replace(role=None), uploaded_at, step) if step else None
