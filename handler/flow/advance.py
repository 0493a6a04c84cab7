"""The reconciler: one pair, as far as it goes.

    look up both ─► claim ─► call ─► best frame ─► record ─► deliver ─► settle
    one missing: look again later, and `incomplete` after PAIR_TIMEOUT

Upload events (`uploaded`), the agenda (`resume`) and the walk over all uploads (`walked_past`) go through
`advance`, which answers Done or Later; `_leave` writes that on the agenda. There is no second path for
recovery.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from handler.edges.cos import Changed, CosError, Stored, Unavailable
from handler.flow.judge import CALL_LEFT, PATIENCE, judge
from handler.flow.look import UNREADABLE_LOOKS, at_once, is_seen, look_up, next_look, seen_of, with_md5
from handler.flow.tell import decided, find_run, stands, tell, tell_or_hand_over, tell_without_call
from handler.rules.events import Upload
from handler.rules.outcome import Decision, Seen, incomplete
from handler.rules.pairing import AmbiguousKey, Pair, Role, SharedImage
from handler.services import Cause, Done, Later, Pending, Services, Step, Trace
from handler.state.ledger import CorruptState, Record, Task


def uploaded(s: Services, upload: Upload) -> list[str]:
    """Handle an upload event. Returns the outcomes reached; what is not reached is on the agenda.

    Raises AmbiguousKey, and CosError where not even the agenda could be written.
    """
    outcomes: list[str] = []
    ignored = True
    for key in upload.keys:
        found = None if key.startswith(s.settings.state_prefix) else s.settings.templates.match(key)
        if found is None:
            continue
        ignored = False
        role, target = found
        look = Task("look", s.settings.bucket, key, role, upload.at or s.clock.now())
        if _visit(s, target, look, Cause(role), outcomes, etag=upload.etag):
            break  # the other spelling of the key, if there is one, names no object
    if ignored:
        s.log("ignored", reason="the key matches no template, or is state", key=upload.keys[0])
    return outcomes


def resume(s: Services, entry_key: str, task: Task) -> list[str]:
    """Do what an agenda entry asks for, and take it off. Returns the outcomes reached.

    An entry whose keys these settings would not derive belongs to another function and is left alone.
    Raises CosError and CorruptState; the entry then stays.
    """
    outcomes: list[str] = []
    found = _derived(s, task)
    if found is None:
        s.log("left_alone", "WARNING", reason="an agenda entry of other settings", agenda_key=entry_key)
        return outcomes
    role, target = found
    which = task.verification
    if which is not None:
        record = s.ledger.record(which)
        if record is not None:
            with _traced(s, which.path, outcomes) as trace:
                if task.kind == "deliver":
                    step = tell(s, record, task.attempt, trace, wait=False)
                    step = step._replace(clear=(*step.clear, entry_key))
                else:
                    step = tell_or_hand_over(s, record, record.attempts + 1, (entry_key,), trace)
                _leave(s, step, (), trace)
            return outcomes
    _visit(s, target, task._replace(role=role), Cause(run=task.run, claim=task), outcomes, entry_key)
    return outcomes


def told(s: Services, record: Record, clear: tuple[str, ...]) -> list[str]:
    """Tell a record that was handed over. Returns its outcome, if it was told now."""
    outcomes: list[str] = []
    with _traced(s, record.which.path, outcomes) as trace:
        _leave(s, tell(s, record, record.attempts + 1, trace, wait=False), clear, trace)
    return outcomes


def _derived(s: Services, task: Task) -> tuple[Role, Pair | SharedImage] | None:
    if task.bucket != s.settings.bucket:
        return None
    try:
        return s.settings.templates.match(task.key)
    except AmbiguousKey:
        return None


def walked_past(s: Services, stored: Stored, pending: Pending) -> list[str]:
    """Make sure that an upload found by a walk has its outcome. Returns the outcomes reached.

    `pending` is what stands on the agenda: what will be told anyway is left to it.
    """
    outcomes: list[str] = []
    try:
        found = s.settings.templates.match(stored.key)
    except AmbiguousKey as error:
        s.log("ambiguous_key", "ERROR", key=stored.key, error=str(error))
        return outcomes
    if found is not None:
        role, target = found
        look = Task("look", s.settings.bucket, stored.key, role, stored.last_modified)
        _visit(s, target, look, Cause(walk=pending), outcomes)
    return outcomes


# --- what all three have in common ------------------------------------------------------------------


def _visit(
    s: Services,
    target: Pair | SharedImage,
    look: Task,
    cause: Cause,
    outcomes: list[str],
    entry_key: str | None = None,
    etag: str | None = None,
) -> bool:
    """Look at what an upload or an agenda entry is about, and leave on the agenda what is left to do.

    Tells whether COS shows the upload itself. Raises CosError where the agenda cannot be written.
    """
    stale = {entry_key} if entry_key else set()
    with _traced(s, target.path, outcomes) as trace:
        itself = True
        try:
            if isinstance(target, SharedImage):
                itself, step = _serve(s, look, outcomes)
            else:
                heads = look_up(s, target, trace)
                itself = is_seen(heads[look.key], look, etag)
                step = advance(s, seen_of(s, target, heads), cause, trace)
        except CorruptState as error:
            # Judging again could bill again: whoever reads the log decides.
            trace.note(error=str(error))
            step = Done()
        except CosError as error:
            # The agenda brings it back, also where the platform's two retries would not help.
            trace.note(error=str(error))
            step = Later(at_once(s, look))
            if _is_refusal(error, look, target):
                step = _unreadable(s, target, look, str(error), trace)
        again = None if itself else next_look(s, look)
        if again is not None:
            # An older upload or none is shown: this one may appear yet.
            stale.discard(s.ledger.put_on(again))
        _leave(s, step, stale, trace)
    return itself


def _is_refusal(error: CosError, look: Task, target: Pair | SharedImage) -> bool:
    """Whether COS will not show an upload, rather than cannot just now."""
    keys = (*target.live_keys, *target.image_keys) if isinstance(target, Pair) else (look.key,)
    return error.key in keys and not isinstance(error, (Unavailable, Changed))


def _serve(s: Services, look: Task, outcomes: list[str]) -> tuple[bool, Step]:
    """An image that serves many: advance the live packages that wait for it, and no others.

    Tells whether COS shows the image itself.
    """
    itself = is_seen(s.uploads.head(look.key), look)
    marks: list[str] = []
    more = True
    while more:
        found, more = s.ledger.waiting(look.key, marks[-1] if marks else "")
        marks += found
    if not marks:
        return itself, Done()
    # Should this instance die among many of them, or run out of time, a sweep goes on.
    entry = at_once(s, look)
    guard = s.ledger.put_on(entry)
    for mark in marks:
        if s.deadline.left() < CALL_LEFT:
            return itself, Later(entry)
        waiting = s.ledger.task(mark)
        match = _derived(s, waiting) if waiting else None
        if waiting and match and isinstance(match[1], Pair):
            _visit(s, match[1], waiting._replace(role="live"), Cause(), outcomes)
        else:
            s.ledger.take_off([mark])
    return itself, Done(clear=(guard,))


def _leave(s: Services, step: Step, stale: Iterable[str], trace: Trace) -> None:
    """Put on the agenda what a step asks for, then take off what it has made stale."""
    keep = set()
    if isinstance(step, Later):
        keep.add(s.ledger.put_on(step.entry))
        trace.note(again_at=step.entry.at.isoformat(timespec="seconds"), again_for=step.entry.task.kind)
    gone = {*step.clear, *stale} - keep
    if gone:
        s.ledger.take_off(gone)


@contextmanager
def _traced(s: Services, path: str, outcomes: list[str]) -> Generator[Trace, None, None]:
    """One log line for one pair, whatever comes of it."""
    trace = Trace(s.clock)
    try:
        yield trace
    except Exception as error:
        ours = isinstance(error, (CosError, CorruptState))
        trace.note(error=str(error) if ours else type(error).__name__)
        raise
    finally:
        if "outcome" in trace.fields:
            outcomes.append(trace.fields["outcome"])
        level: Any = "ERROR" if "error" in trace.fields else "INFO"
        s.log("pair", level, pair=path, **trace.fields)


# --- one pair ---------------------------------------------------------------------------------------


def advance(s: Services, seen: Seen, cause: Cause, trace: Trace) -> Step:
    """Move a pair as far as it goes. `seen` is what was just looked up.

    Raises CosError where COS fails it, and CorruptState where the ledger cannot be read.
    """
    for _ in range(3):
        try:
            if not seen.complete:
                return _wait(s, seen, cause, trace)
            step = judge(s, with_md5(s, seen, trace), cause, trace)
            if step is not None:
                return step
        except Changed:
            pass
        # An upload was replaced under our hands: the new bytes are a new verification.
        trace.note(replaced=True)
        seen = seen_of(s, seen.pair, look_up(s, seen.pair, trace))
    half = seen.live or seen.image
    if half is None:
        return Done()
    return Later(at_once(s, Task("look", half.bucket, half.key, uploaded_at=half.uploaded_at)))


def _wait(s: Services, seen: Seen, cause: Cause, trace: Trace) -> Step:
    """Half a pair, or none: look again, and once PAIR_TIMEOUT is over tell that it is incomplete."""
    half = seen.live or seen.image
    if half is None:
        return Done()
    role: Role = "live" if seen.live else "image"
    again = next_look(s, Task("look", half.bucket, half.key, role, half.uploaded_at, run=cause.run))
    if again is not None:
        trace.note(waits_for="image" if role == "live" else "live")
        if seen.pair.shared:
            for key in seen.pair.image_keys:
                s.ledger.wait_for(key, seen.pair.path, half.key, half.bucket)
        return Later(again)
    seen = with_md5(s, seen, trace)
    which, record = find_run(s, seen, seen.newest, cause.run)
    if record is not None:
        return stands(s, seen, record, cause, trace)
    if _was_settled(s, seen):
        return Done()
    decision, at = incomplete(seen, s.settings.pair_timeout)
    record = decided(s, seen, which, decision, at, seen.newest)
    return tell_without_call(s, record, (), trace)


def _was_settled(s: Services, seen: Seen) -> bool:
    """Whether what is there is the rest of a pair that was judged and told, its other half deleted since."""
    roles: tuple[Role, ...] = ("live", "image")
    for record in s.ledger.records(seen.pair.path):
        if not record.live or not record.image or not (record.delivered_at or record.dead_at):
            continue
        for role in roles:
            half, judged = seen.half(role), record.live if role == "live" else record.image
            same = half and judged and (judged["md5"] or judged["etag"]) == (half.md5 or half.etag)
            # The same bytes uploaded again later wait for a partner of their own.
            if same and half and half.uploaded_at <= record.uploaded_at:
                return True
    return False


def _unreadable(s: Services, pair: Pair | SharedImage, look: Task, why: str, trace: Trace) -> Step:
    """An upload that may not be read: again with growing steps, and `failed` after a day."""
    again = next_look(s, look, UNREADABLE_LOOKS)
    if again is not None:
        return Later(again)
    if isinstance(pair, SharedImage):
        return Done()  # an image that serves many has no outcome of its own
    at = look.uploaded_at or s.clock.now()
    seen = Seen(pair, s.settings.bucket, None, None)
    which, record = find_run(s, seen, at, look.run)
    if record is not None:
        return Done()
    decision = Decision("failed", "Livepair.UploadUnreadable", why)
    # It speaks for the other half too, if that came meanwhile.
    record = decided(s, seen, which, decision, at + PATIENCE, at + PATIENCE)
    return tell_without_call(s, record, (), trace)
