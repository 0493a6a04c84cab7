"""Judge a complete pair once: claim it, call the API, and record what comes of it.

The claim protocol keeps two instances from calling for the same verification; `take_claim` in the ledger is
its heart, and the order of things here is the rest of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial

from handler.clock import Deadline
from handler.edges.cos import Changed, CosError, Forbidden, Stored
from handler.edges.faceid import Answer, FrameError, RelayError, Resource, code_row
from handler.flow.look import at_once, look_keys
from handler.flow.tell import decided, find_run, record_and_tell, reopens, stands, tell_without_call
from handler.rules.outcome import Called, Frame, Half, Seen, Verification, decide, unfit, verification
from handler.rules.pairing import Role
from handler.services import Cause, Later, Services, Step, Trace
from handler.state.ledger import (
    CLOCK_MARGIN,
    SETTLE,
    SETTLE_VERSIONED,
    Claim,
    CorruptState,
    Entry,
    Record,
    Task,
    new_nonce,
)

TROUBLE_MINUTES = (1, 2, 5, 10, 20, 30)
OURS_MINUTES = (1, 2, 5, 10, 20, 30, 60)
BUSY_MINUTES = (0.1, 1, 1, 2, 2, 5, 10)
"""Minutes before the next try, by how many came before; busy and ours repeat their last.

After the first throttled try that is the next sweep, which paces its calls.
"""

PATIENCE = timedelta(hours=24)
"""How long busy and ours go on being tried."""

LEASE_SECONDS = 75.0
CALL_SECONDS = 30.0  # for one answer of the API
CALL_LEFT = 20.0  # no call starts with less left of lease and invocation
AFTER_CALL = 8.0  # seconds kept for best frame and record
RELAY_SECONDS = 20.0  # for passing one upload through the relay
FRAME_SECONDS = 3.0
YIELD_SECONDS = 0.25  # how long the event of the earlier upload lets the later one go first
LINK_MARGIN = 60  # seconds that a link outlives the call it is made for

_NOT_FETCHED = (
    "FailedOperation.DownLoadError",
    "FailedOperation.DownLoadTimeoutError",
    "InvalidParameterValue",
)
"""Codes that also come where an upload was replaced after it was looked up, or may not be read."""


def _goes_first(seen: Seen, role: Role) -> bool:
    """The event of the later upload goes on at once; in the same second the live package's."""
    live, image = seen.live, seen.image
    if live is None or image is None or live.uploaded_at == image.uploaded_at:
        return role == "live"
    return (live.uploaded_at > image.uploaded_at) == (role == "live")


def judge(s: Services, seen: Seen, cause: Cause, trace: Trace) -> Step | None:
    """A complete pair: one verdict, one record. None where an upload was replaced meanwhile."""
    refused = unfit(seen, s.settings)
    if refused is not None:
        which, record = find_run(s, seen, seen.newest, cause.run)
        trace.note(verification=which.id, run=which.run)
        if record is not None:
            return stands(s, seen, record, cause, trace)
        record = decided(s, seen, which, refused, seen.newest, seen.newest)
        return tell_without_call(s, record, look_keys(s, seen), trace)

    look_first = True
    if cause.role is not None:
        if _goes_first(seen, cause.role):
            look_first = seen.pair.shared or not s.ledger.trusts_create
        else:
            with trace.stage("yield"):
                s.clock.sleep(min(YIELD_SECONDS, s.deadline.left()))

    run, known = 1, 1
    standing: Record | Claim | None = None
    which = verification(seen, run)
    while True:
        trace.note(verification=which.id, run=run)
        if look_first and standing is None:
            if cause.claim and cause.claim.verification == which:
                known = cause.claim.n
            standing = _standing(s, which, known, cause.agenda or seen.pair.shared, trace)
        if isinstance(standing, Record):
            if not reopens(standing, seen.newest, cause.run):
                return stands(s, seen, standing, cause, trace)
            run, known, standing = run + 1, 1, None
            which = verification(seen, run)
            continue
        lease = Deadline.after(s.clock, min(LEASE_SECONDS, s.deadline.left()))
        claim = _next_claim(s, seen, which, standing, lease, may_take_over=cause.agenda)
        if isinstance(claim, Later):
            return claim
        if lease.left() < _needed(s) + (SETTLE if s.ledger.trusts_create else SETTLE_VERSIONED):
            return _no_time(s, seen, which, claim.n, trace)
        takeover = Entry(claim.lease_until + CLOCK_MARGIN, _takeover_task(seen, which, claim.n))
        try:
            with trace.stage("claim"):
                meanwhile: list[Callable[[], object]] = [partial(s.ledger.put_on, takeover), s.api.open]
                standing = s.ledger.take_claim(which, claim, meanwhile)
        except CorruptState:
            look_first, standing = True, None  # whoever looks first steps around it
            continue
        if standing is claim:
            return _call(s, seen, which, claim, lease, takeover, cause, trace)
        # Somebody else was first: look at what stands, as at the start.
        look_first = True
        if isinstance(standing, Claim) and (standing.retry_at is not None or cause.agenda):
            known, standing = standing.n, None


def _needed(s: Services) -> float:
    """Seconds that must be left for a call to start."""
    return CALL_LEFT if s.settings.pass_resources == "presigned" else CALL_LEFT + RELAY_SECONDS


def _no_time(s: Services, seen: Seen, which: Verification, n: int, trace: Trace) -> Later:
    """Too little is left of this invocation for a call: the next sweep has more."""
    trace.note(no_time=f"{s.deadline.left():.1f} s are left, a call needs {_needed(s):g}")
    return Later(at_once(s, _takeover_task(seen, which, n)))


def _takeover_task(seen: Seen, which: Verification, n: int) -> Task:
    live = seen.live
    assert live is not None  # noqa: S101 # a claim is for a complete pair
    return Task("take_over", seen.bucket, live.key, "live", verification=which, n=n)


def _standing(
    s: Services, which: Verification, number: int, record_first: bool, trace: Trace
) -> Record | Claim | None:
    """What is known of a verification: its record, else its last claim, from `number` on."""
    with trace.stage("read"):
        record = s.ledger.record(which) if record_first else None
        if record is not None:
            return record
        last: Claim | None = None
        while (claim := _claim(s, which, number)) is not None:
            if last is None and not record_first:
                record = s.ledger.record(which)
                if record is not None:
                    return record
            if claim.retry_at is None and s.clock.now() <= claim.lease_until:
                return claim  # its lease runs, so nothing comes after it
            last, number = claim, number + 1
    if last is None and number != 1:
        # The claim that the agenda names was never created: those before it are what stands.
        return _standing(s, which, 1, record_first, trace)
    return last


def _claim(s: Services, which: Verification, n: int) -> Claim | None:
    """A claim; one that cannot be read counts as one whose lease is over."""
    try:
        return s.ledger.claim(which, n)
    except CorruptState as error:
        s.log("corrupt_state", "ERROR", key=error.key, error=str(error))
        long_ago = s.clock.now() - timedelta(days=1)
        return Claim(n, "", "", long_ago, s.clock.now())


def _next_claim(
    s: Services,
    seen: Seen,
    which: Verification,
    last: Claim | None,
    lease: Deadline,
    *,
    may_take_over: bool,
) -> Claim | Later:
    """The claim to take after `last`, or when there may be one."""
    now = s.clock.now()
    fresh = Claim(1, new_nonce(), s.request_id, now + timedelta(seconds=lease.left()), first_try_at=now)
    if last is None:
        return fresh
    after = fresh._replace(n=last.n + 1, first_try_at=last.first_try_at, calls=last.calls, tries=last.tries)
    task = _takeover_task(seen, which, last.n)
    if last.retry_at is not None:
        return Later(Entry(last.retry_at, task)) if now < last.retry_at else after
    free_at = last.lease_until + CLOCK_MARGIN
    if now <= free_at or not may_take_over:
        return Later(Entry(free_at, task))
    # Its owner is gone, perhaps with a verdict: that counts as a call and as a try.
    calls = last.calls + (not _is_lost(last))
    return after._replace(calls=calls, tries=_one_more(last.tries, "trouble"))


def _is_lost(claim: Claim) -> bool:
    """So many instances have died with this verification in hand that the API is not asked again for it."""
    return claim.tries.get("trouble", 0) > len(TROUBLE_MINUTES)


def _one_more(tries: Mapping[str, int], klass: str) -> dict[str, int]:
    return {**tries, klass: tries.get(klass, 0) + 1}


def _call(
    s: Services,
    seen: Seen,
    which: Verification,
    claim: Claim,
    lease: Deadline,
    takeover: Entry,
    cause: Cause,
    trace: Trace,
) -> Step | None:
    """With the claim in hand: ask the API, then record, or give the claim back."""
    entry_key = s.ledger.agenda_key(takeover)
    lost = _is_lost(claim)
    answer: Answer | None = Answer("Livepair.AnswerLost", "", executed=False)
    if not lost:
        if lease.left() < _needed(s):
            s.ledger.give_back(which, claim._replace(retry_at=s.clock.now()))
            return _no_time(s, seen, which, claim.n, trace)._replace(clear=(entry_key,))
        answer, claim = _ask(s, seen, claim, lease, cause, trace)
    if answer is None or answer is _NO_TIME:
        s.ledger.give_back(which, claim._replace(retry_at=s.clock.now()))
        return _no_time(s, seen, which, claim.n, trace)._replace(clear=(entry_key,)) if answer else None
    row = code_row(answer.code)
    trace.note(code=answer.code, api_request_id=answer.request_id, calls=claim.calls)
    retry_at = None if lost else _retry_at(s, claim, answer.code)
    if retry_at is not None:
        trace.note(said=answer.message or row.says, advice=row.advice)
        tries = _one_more(claim.tries, row.klass)
        with trace.stage("give_back"):
            s.ledger.give_back(which, claim._replace(tries=tries, retry_at=retry_at, code=answer.code))
        return Later(Entry(retry_at, _takeover_task(seen, which, claim.n)), clear=(entry_key,))
    if row.klass == "unknown":
        s.log(
            "unknown_code", "ERROR", code=answer.code, said=answer.message, api_request_id=answer.request_id
        )
    decided_at = s.clock.now()
    frame, frame_error = _keep_frame(s, which, answer, lease, trace)
    owner = claim if s.ledger.trusts_create else _owner(s, which, claim)
    if owner.nonce != claim.nonce:
        # Where versions are kept, another claim was written over ours, later than the settle: its owner calls
        # too, and a record of ours could be written over as well.
        trace.note(overtaken=True)
        return Later(Entry(owner.lease_until + CLOCK_MARGIN, takeover.task))
    decision = decide(answer, s.settings.min_similarity)
    called = Called(answer.request_id, s.api.region, answer.code, claim.calls)
    record = decided(s, seen, which, decision, decided_at, seen.newest, frame, called)
    record = record._replace(
        answer={
            "request_id": answer.request_id,
            "code": answer.code,
            "message": answer.message,
            "similarity": answer.similarity,
            "calls": claim.calls,
            "claim": claim.n,
            "frame_error": frame_error,
        },
    )
    return record_and_tell(s, record, lease.at, (entry_key, *look_keys(s, seen)), trace)


def _owner(s: Services, which: Verification, claim: Claim) -> Claim:
    """The claim that is stored where `claim` was written; that one if COS does not say."""
    try:
        return s.ledger.claim(which, claim.n) or claim
    except (CosError, CorruptState):
        return claim


def _retry_at(s: Services, claim: Claim, code: str) -> datetime | None:
    """When the next try is allowed after `code`, None where it is to be told."""
    klass, now = code_row(code).klass, s.clock.now()
    tried = claim.tries.get(klass, 0)
    if code == "Livepair.NoSimilarity" and claim.tries[code] > 1:
        return None  # each was billed, and one more is all that is worth it
    if klass == "trouble":
        return now + timedelta(minutes=TROUBLE_MINUTES[tried]) if tried < len(TROUBLE_MINUTES) else None
    steps: tuple[float, ...] | None = {"busy": BUSY_MINUTES, "ours": OURS_MINUTES}.get(klass)
    if steps is None or now - claim.first_try_at >= PATIENCE:
        return None
    return now + timedelta(minutes=steps[min(tried, len(steps) - 1)])


def _ask(
    s: Services, seen: Seen, claim: Claim, lease: Deadline, cause: Cause, trace: Trace
) -> tuple[Answer | None, Claim]:
    """Call the API, at most twice. Returns the last answer and the claim with all its calls counted.

    The answer is None where an upload is no longer the one that was looked up.
    """
    first = not claim.tries.get("trouble")
    while True:
        with trace.stage("call"):
            answer = _compare(s, seen, lease)
        if answer is not None and answer.code.startswith(_NOT_FETCHED):
            answer = _checked(s, seen, answer)
        if answer is None:
            return None, claim
        claim = claim._replace(calls=claim.calls + answer.executed)
        if answer.code == "Livepair.NoSimilarity":
            claim = claim._replace(tries=_one_more(claim.tries, answer.code))
            first = first and claim.tries[answer.code] == 1
        klass = code_row(answer.code).klass
        # From the agenda a throttled call is not repeated at once: the next sweep paces it.
        again = klass == "trouble" or (klass == "busy" and not cause.agenda)
        pause = 0.2 + s.draw()
        if not (first and again) or lease.left() < _needed(s) + pause:
            return answer, claim
        first = False
        s.clock.sleep(pause)


def _compare(s: Services, seen: Seen, lease: Deadline) -> Answer | None:
    """One call, its resources passed the way PASS_RESOURCES says; None where an upload was replaced."""
    halves = _halves(seen)
    for half in halves:
        if half.archived:
            return Answer("Livepair.UploadUnreadable", f"{half.key} is archived; restore it", executed=False)

    def seconds() -> float:
        return min(CALL_SECONDS, lease.left() - AFTER_CALL)

    if s.settings.pass_resources == "presigned":
        expires = int(seconds()) + LINK_MARGIN
        passed = [Resource(s.uploads.link(half.key, expires), half.md5 or "") for half in halves]
        return s.api.compare(passed[0], passed[1], seconds())
    try:
        passed = s.together([partial(_relayed, s, half) for half in halves])
    except RelayError as error:
        return error.answer
    except CosError as error:
        return _unread(error)
    if lease.left() < CALL_LEFT:
        return _NO_TIME
    return s.api.compare(passed[0], passed[1], seconds())


_NO_TIME = Answer("Livepair.NoTime", "the relay took the time of the call", executed=False)


def _halves(seen: Seen) -> tuple[Half, Half]:
    assert seen.live is not None and seen.image is not None  # noqa: S101, PT018 # a claim is for both
    return seen.live, seen.image


def _relayed(s: Services, half: Half) -> Resource:
    return s.api.relay(s.uploads, _stored(half), half.md5 or "", RELAY_SECONDS)


def _stored(half: Half) -> Stored:
    return Stored(half.key, half.etag, half.md5, half.size, half.uploaded_at)


def _checked(s: Services, seen: Seen, answer: Answer) -> Answer | None:
    """Whether the uploads are there to be fetched: `answer` if they are, else what is wrong.

    None where one is no longer what was looked up.
    """
    try:
        for half in _halves(seen):
            with closing(s.uploads.pieces(_stored(half))) as pieces:
                next(pieces, None)
    except CosError as error:
        found = _unread(error)
        return found and found._replace(executed=answer.executed, request_id=answer.request_id)
    return answer


def _unread(error: CosError) -> Answer | None:
    """An upload that could not be read, as an answer; None where it was replaced or is gone."""
    if isinstance(error, Changed) or error.status == 404:
        return None
    code = "Livepair.UploadUnreadable" if isinstance(error, Forbidden) else "ClientNetworkError"
    return Answer(code, str(error), executed=False)


def _keep_frame(
    s: Services, which: Verification, answer: Answer, lease: Deadline, trace: Trace
) -> tuple[Frame | None, str | None]:
    """Fetch and store the best frame; what goes wrong is told and holds nothing up."""
    if not s.settings.keep_best_frame or code_row(answer.code).klass != "verdict":
        return None, None
    until = Deadline.after(s.clock, min(FRAME_SECONDS, lease.left()))
    with trace.stage("frame"):
        try:
            data = s.api.frame(answer, until.left())
            key = s.ledger.keep_frame(which, data, max(0.5, until.left()))
        except (FrameError, CosError) as error:
            trace.note(frame_error=str(error))
            return None, str(error)
    return Frame(s.ledger.bucket.name, key, (answer.frame_md5 or "").lower()), None
