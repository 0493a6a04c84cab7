"""With the claim in hand: call the API, then record what it says, or give the claim back."""

from functools import partial
from typing import NamedTuple

from handler.clock import Deadline
from handler.edges.bucket import CosError, Forbidden
from handler.edges.faceid import FrameError, RelayError, Resource
from handler.flow.lookup import open_upload, unless_replaced
from handler.flow.steps import Later, Replaced, Step, Visit
from handler.flow.tell import pair_keys, record_called
from handler.rules.agenda import Entry, TakeOver, at_lease_end
from handler.rules.claiming import Claim, calls_at_once, counted, has_too_many, one_more, retry_at
from handler.rules.codes import TOO_MANY_VERDICTS, code_row
from handler.rules.outcome import Answer, Called, Decision, Frame, decide, too_many_verdicts
from handler.rules.records import record_of
from handler.rules.schedule import at_next_sweep
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored
from handler.services import Services
from handler.state.objects import CorruptState, new_nonce

LEASE_SECONDS = 75.0
CALL_SECONDS = 30.0  # for one answer of the API
CALL_LEFT = 20.0  # no call starts with less left of lease and invocation
BEFORE_CALL = 4.0  # seconds for looking up, and for a claim to settle where versions are kept
AFTER_CALL = 8.0  # seconds kept for best frame and record
RELAY_SECONDS = 20.0  # for passing one upload through the relay
FRAME_SECONDS = 3.0
QUEUE_SECONDS = 15.0  # for which an event waits for its turn where the API throttles
QUEUE_LENGTH = 6.0  # seconds of calls that may be before it
LINK_MARGIN = 60  # seconds that a link outlives the call it is made for

_NOT_FETCHED = (
    "FailedOperation.DownLoadError",
    "FailedOperation.DownLoadTimeoutError",
    "InvalidParameterValue",
)
"""Codes that also come where an upload was replaced after it was looked up, or may not be read."""


class Held(NamedTuple):
    """A claim, and all that goes with it: `takeover` is on the agenda for the end of its lease.

    `others` is how many other verifications of the pair were claimed before it, or beside it.
    """

    seen: Seen
    claim: Claim
    lease: Deadline
    takeover: Entry
    others: int = 0

    @property
    def task(self) -> TakeOver:
        """The task of coming back to the claim."""
        assert isinstance(self.takeover.task, TakeOver)  # noqa: S101 # the only kind that is put here
        return self.takeover.task


class _NoTime(Exception):
    """Too little is left of lease and invocation for a call."""


def seconds_needed(settings: Settings) -> float:
    """Seconds that must be left for a call to start."""
    return CALL_LEFT if settings.pass_resources == "presigned" else CALL_LEFT + RELAY_SECONDS


def least_seconds(settings: Settings) -> float:
    """Seconds that an invocation must have at its begin, or it never gets to a call."""
    return seconds_needed(settings) + BEFORE_CALL


def has_time(services: Services, lease: Deadline, first: float = 0.0) -> bool:
    """Whether a call can start, `first` seconds from now."""
    return lease.left() >= seconds_needed(services.settings) + first


def no_time(visit: Visit, held: Held) -> Later:
    """Too little is left of this invocation for a call: the next sweep has more."""
    services = visit.services
    left, needed = services.deadline.left(), seconds_needed(services.settings)
    visit.trace.note(no_time=f"{left:.1f} s are left, a call needs {needed:g}")
    return Later(Entry(at_next_sweep(services.clock.now()), held.task))


def call(visit: Visit, held: Held) -> Step:
    """Ask the API, then record its verdict, or give the claim back until the next try is allowed.

    Raises Replaced, the claim given back, where an upload is no longer the one that was looked up.
    """
    services, most = visit.services, visit.services.settings.max_verdicts
    entry_key = services.ledger.agenda_key(held.takeover)
    too_many = has_too_many(held.claim, held.others, most)
    if most:
        visit.trace.note(verdicts=held.others + (not too_many))
    if too_many:
        visit.trace.note(code=TOO_MANY_VERDICTS)
        return _record(visit, held, too_many_verdicts(services.clock.now(), most))
    if held.claim.is_lost:
        answer, next_at = Answer("Livepair.AnswerLost", "", executed=False), None
    else:
        try:
            answer, held = _ask(visit, held)
        except _NoTime:
            return no_time(visit, held)._replace(clear=(entry_key,))
        next_at = retry_at(held.claim, answer.code, services.clock.now())
    visit.trace.note(code=answer.code, api_request_id=answer.request_id, calls=held.claim.calls)
    if next_at is not None:
        row = code_row(answer.code)
        visit.trace.note(said=answer.message or row.says, advice=row.advice)
        tries = one_more(held.claim.tries, row.klass)
        with visit.trace.stage("give_back"):
            services.ledger.give_back(held.claim._replace(tries=tries, retry_at=next_at, code=answer.code))
        return Later(Entry(next_at, held.task), clear=(entry_key,))
    return _record_answer(visit, held, answer)


# --- the call ---------------------------------------------------------------------------------------


def _ask(visit: Visit, held: Held) -> tuple[Answer, Held]:
    """Call the API, mostly once. Returns the last answer, and the claim with all its calls counted.

    Raises _NoTime and Replaced, the claim given back for whoever comes next.
    """
    services = visit.services
    until = services.clock.elapsed() + QUEUE_SECONDS
    made = billed = 0
    while True:
        try:
            if not made and not has_time(services, held.lease):
                raise _NoTime
            answer = _call_once(visit, held)
        except (_NoTime, Replaced):
            services.ledger.give_back(held.claim._replace(retry_at=services.clock.now()))
            raise
        held = held._replace(claim=counted(held.claim, answer))
        made, billed = made + 1, billed + code_row(answer.code).billed
        visit.trace.note(billed=billed)
        pause = _pause(visit, held, answer, made)
        if pause is None or services.clock.elapsed() + pause > until:
            return answer, held
        if not has_time(services, held.lease, pause):
            return answer, held
        services.clock.sleep(pause)


def _pause(visit: Visit, held: Held, answer: Answer, made: int) -> float | None:
    """Seconds until the next call, `made` having been made; None where there is none.

    The second one is made at once. More are made of an event that the API throttles, as long as few are
    before it: it waits for a turn. Where many are, as in a burst, sweeps call for all of them.
    """
    services, sweeping = visit.services, visit.cause.sweeping
    throttled = code_row(answer.code).klass == "throttled"
    if made == 1:
        again = calls_at_once(held.claim, answer.code, sweeping=sweeping)
    else:
        again = throttled and not sweeping and _few_wait(services)
    if not again:
        return None
    return 0.1 + 0.5 * services.draw() if throttled else 0.2 + services.draw()


def _few_wait(services: Services) -> bool:
    """Whether no more claims are in hand, or wait, than the API takes in `QUEUE_LENGTH`."""
    try:
        return services.ledger.in_hand() <= services.settings.api_rate * QUEUE_LENGTH
    except CosError:
        return False


def _call_once(visit: Visit, held: Held) -> Answer:
    """One call. Raises _NoTime, and Replaced where the uploads are not what the API was to fetch."""
    with visit.trace.stage("call"):
        answer = _compare(visit.services, held)
    if answer.code.startswith(_NOT_FETCHED):
        return _if_readable(visit.services, held, answer)
    return answer


def _uploads(held: Held) -> tuple[Stored, Stored]:
    live, image = held.seen.live, held.seen.image
    assert live is not None and image is not None  # noqa: S101, PT018 # a claim is for both
    return live, image


def _compare(services: Services, held: Held) -> Answer:
    """Call the API, the uploads passed as PASS_RESOURCES says."""
    uploads = _uploads(held)
    for stored in uploads:
        if stored.archived:
            return Answer(
                "Livepair.UploadUnreadable", f"{stored.key} is archived; restore it", executed=False
            )

    def seconds() -> float:
        return min(CALL_SECONDS, held.lease.left() - AFTER_CALL)

    if services.settings.pass_resources == "presigned":
        expires = int(seconds()) + LINK_MARGIN
        live, image = (Resource(services.uploads.link(each.key, expires), each.md5 or "") for each in uploads)
        return services.api.compare(live, image, seconds())
    try:
        with unless_replaced():
            live, image = services.together([partial(_relayed, services, each) for each in uploads])
    except RelayError as error:
        return error.answer
    except CosError as error:
        return _unread(error)
    if held.lease.left() < CALL_LEFT:
        raise _NoTime  # the relay took it
    return services.api.compare(live, image, seconds())


def _relayed(services: Services, stored: Stored) -> Resource:
    return services.api.relay(services.uploads, stored, stored.md5 or "", RELAY_SECONDS)


def _if_readable(services: Services, held: Held, answer: Answer) -> Answer:
    """`answer`, if the uploads are there to be fetched; else what is wrong with them. Raises Replaced."""
    try:
        for stored in _uploads(held):
            open_upload(services, stored)
    except CosError as error:
        return _unread(error)._replace(executed=answer.executed, request_id=answer.request_id)
    return answer


def _unread(error: CosError) -> Answer:
    """An upload that could not be read, as an answer."""
    code = "Livepair.UploadUnreadable" if isinstance(error, Forbidden) else "ClientNetworkError"
    return Answer(code, str(error), executed=False)


# --- the verdict ------------------------------------------------------------------------------------


def _record_answer(visit: Visit, held: Held, answer: Answer) -> Step:
    """Keep the best frame, and record what the answer means."""
    services, claim = visit.services, held.claim
    if code_row(answer.code).klass == "unknown":
        services.log(
            "unknown_code", "ERROR", code=answer.code, said=answer.message, api_request_id=answer.request_id
        )
    decision = decide(answer, services.settings.min_similarity, services.clock.now())
    frame, frame_error = _keep_frame(visit, held, answer)
    called = Called(answer, services.api.region, claim.n, claim.calls, frame, frame_error)
    return _record(visit, held, decision, called)


def _record(visit: Visit, held: Held, decision: Decision, called: Called | None = None) -> Step:
    """Record a decision; its claim is in hand."""
    services, claim = visit.services, held.claim
    owner = claim if services.ledger.trusts_create else _owner(services, claim)
    if owner.nonce != claim.nonce:
        # Where versions are kept, another claim was written over ours, later than the settle: its owner calls
        # too, and a record of ours could be written over as well.
        visit.trace.note(overtaken=True)
        return Later(at_lease_end(held.task, owner.lease_until))
    record = record_of(held.seen, claim.verification, decision, services.settings, new_nonce(), called)
    clear = (services.ledger.agenda_key(held.takeover), *pair_keys(services, held.seen))
    return record_called(visit, record, held.lease.at, clear)


def _owner(services: Services, claim: Claim) -> Claim:
    """The claim that is stored where `claim` was written; that one if COS does not say."""
    try:
        return services.ledger.claim(claim.verification, claim.n) or claim
    except (CosError, CorruptState):
        return claim


def _keep_frame(visit: Visit, held: Held, answer: Answer) -> tuple[Frame | None, str | None]:
    """Fetch and store the best frame; what goes wrong is told and holds nothing up."""
    services = visit.services
    if not services.settings.keep_best_frame or code_row(answer.code).klass != "verdict":
        return None, None
    until = Deadline.after(services.clock, min(FRAME_SECONDS, held.lease.left()))
    with visit.trace.stage("frame"):
        try:
            data = services.api.frame(answer, until.left())
            key = services.ledger.keep_frame(held.claim.verification, data, max(0.5, until.left()))
        except (FrameError, CosError) as error:
            visit.trace.note(frame_error=str(error))
            return None, str(error)
    return Frame(services.ledger.bucket.name, key, (answer.frame_md5 or "").lower()), None
