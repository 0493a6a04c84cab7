"""Who may call the API for a verification, and what there is to do next: the state machine. Pure.

What stands in the bucket puts a verification into one of six states. `TABLE` says for each of them what an
upload's event does and what a sweep or a walk does; `next_move` reads it. `handler/README.md` shows the same
table, made from this one.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from handler.rules.codes import NO_SIMILARITY, TOO_MANY_VERDICTS, Class, code_row
from handler.rules.outcome import Answer, Verification
from handler.rules.records import REOPENED, Record
from handler.rules.schedule import TRIES, lease_end, next_try

State = Literal["untouched", "claimed", "abandoned", "given back", "decided", "told"]


class Claim(NamedTuple):
    """The right to call the API for a verification, number `n`.

    `calls`, `tries` (by class), `no_similarity` and `first_try_at` tell of its predecessors until it is given
    back, then of itself too. `retry_at` is set when it is given back: when the next try is allowed. `exempt`:
    MAX_VERDICTS does not hold it up, since it let a predecessor through, or the operator asked for the run.
    """

    verification: Verification
    n: int
    nonce: str
    request_id: str
    lease_until: datetime
    first_try_at: datetime
    calls: int = 0
    tries: Mapping[Class, int] = MappingProxyType({})
    no_similarity: int = 0
    retry_at: datetime | None = None
    code: str | None = None
    exempt: bool = False

    @property
    def is_lost(self) -> bool:
        """So many instances died with this verification in hand that the API is not asked for it again."""
        return self.tries.get("transient", 0) > len(TRIES["transient"])


class Standing(NamedTuple):
    """What stands in the bucket for one verification: its record, else its last claim, else nothing."""

    record: Record | None = None
    claim: Claim | None = None

    def state(self, now: datetime) -> State:
        """The state that it is in at `now`."""
        if self.record is not None:
            return "told" if self.record.told else "decided"
        if self.claim is None:
            return "untouched"
        if self.claim.retry_at is not None:
            return "given back"
        return "claimed" if now <= lease_end(self.claim.lease_until) else "abandoned"


UNTOUCHED = Standing()


# --- moves ------------------------------------------------------------------------------------------


class Take(NamedTuple):
    """Take claim number `n`, which goes on counting where those before it ended."""

    n: int = 1
    first_try_at: datetime | None = None
    calls: int = 0
    tries: Mapping[Class, int] = MappingProxyType({})
    no_similarity: int = 0
    exempt: bool = False

    def claim(
        self, verification: Verification, nonce: str, request_id: str, now: datetime, lease_until: datetime
    ) -> Claim:
        """The claim to write."""
        return Claim(
            verification,
            self.n,
            nonce,
            request_id,
            lease_until,
            self.first_try_at or now,
            self.calls,
            self.tries,
            self.no_similarity,
            exempt=self.exempt,
        )


class ComeBack(NamedTuple):
    """Claim number `n` is another's until `at`."""

    at: datetime
    n: int


class NextRun(NamedTuple):
    """What stands is over: look at the next run."""


class Leave(NamedTuple):
    """There is nothing to do here."""


class Tell(NamedTuple):
    """See that the record's message is posted."""


class Settle(NamedTuple):
    """Do what is left once it is told."""


Move = Take | ComeBack | NextRun | Leave | Tell | Settle


def _take_first(standing: Standing, now: datetime) -> Move:
    """take claim 1"""
    return Take()


def _come_back(standing: Standing, now: datetime) -> Move:
    """come back at the lease's end"""
    claim = _claim_of(standing)
    return ComeBack(lease_end(claim.lease_until), claim.n)


def _take_over(standing: Standing, now: datetime) -> Move:
    """take claim n + 1: claim n counts as a call and as a try"""
    claim = _claim_of(standing)
    # Its owner is gone, perhaps with a verdict. One that was not to call any more lost none.
    return _after(claim)._replace(
        calls=claim.calls + (not claim.is_lost), tries=one_more(claim.tries, "transient")
    )


def _when_allowed(standing: Standing, now: datetime) -> Move:
    """before `retry_at` come back then, after it take claim n + 1"""
    claim = _claim_of(standing)
    if claim.retry_at is not None and now < claim.retry_at:
        return ComeBack(claim.retry_at, claim.n)
    return _after(claim)


def _leave(standing: Standing, now: datetime) -> Move:
    """nothing: its delivery is on the agenda"""
    return Leave()


def _leave_told(standing: Standing, now: datetime) -> Move:
    """nothing; after `failed` or `incomplete` a later upload starts run + 1"""
    return Leave()


def _tell(standing: Standing, now: datetime) -> Move:
    """tell"""
    return Tell()


def _settle(standing: Standing, now: datetime) -> Move:
    """delete uploads, clear the agenda"""
    return Settle()


def _claim_of(standing: Standing) -> Claim:
    assert standing.claim is not None  # noqa: S101 # these states have one
    return standing.claim


def _after(claim: Claim) -> Take:
    was_let_through = claim.exempt or claim.retry_at is not None  # only who may call gives back
    return Take(
        claim.n + 1, claim.first_try_at, claim.calls, claim.tries, claim.no_similarity, was_let_through
    )


# --- the table --------------------------------------------------------------------------------------

Rule = Callable[[Standing, datetime], Move]


class Row(NamedTuple):
    """What a state looks like in the bucket, and what an event and a sweep (or a walk) do there."""

    lies: str
    event: Rule
    sweep: Rule


TABLE: Mapping[State, Row] = MappingProxyType(
    {
        "untouched": Row("no record, no claim", _take_first, _take_first),
        "claimed": Row("claim n, its lease runs (margin included)", _come_back, _come_back),
        "abandoned": Row("claim n, its lease is over", _come_back, _take_over),
        "given back": Row("claim n with `retry_at`", _when_allowed, _when_allowed),
        "decided": Row("a record, not told", _leave, _tell),
        "told": Row("a record, delivered or dead", _leave_told, _settle),
    }
)


class Asker(NamedTuple):
    """Who asks what to do: an upload's event or, `sweeping`, the agenda or a walk.

    `newest` is when the newest of the uploads was made; `run` one that the operator asked for.
    """

    sweeping: bool
    newest: datetime
    run: int | None = None


def next_move(standing: Standing, asker: Asker, now: datetime) -> Move:
    """What to do about a verification. That another run is due after `failed` or `incomplete` comes first."""
    if standing.record is not None and reopens(standing.record, asker.newest, asker.run):
        return NextRun()
    row = TABLE[standing.state(now)]
    return (row.sweep if asker.sweeping else row.event)(standing, now)


def reopens(record: Record, newest: datetime, run: int | None) -> bool:
    """After `failed` and `incomplete` a later upload, or the operator, starts another run.

    After `Livepair.TooManyVerdicts` the operator alone.
    """
    is_asked_for = run is not None and run > record.verification.run
    if record.code == TOO_MANY_VERDICTS:
        return is_asked_for
    return record.outcome in REOPENED and (newest > record.uploaded_at or is_asked_for)


# --- how many verdicts a pair may have --------------------------------------------------------------


def others_claimed(claimed: Iterable[str], own: Verification, most: int) -> int:
    """How many other verifications of the pair were claimed; the count ends at `most`.

    `claimed` are the ids of verifications, each as often as it was claimed.
    """
    others: set[str] = set()
    for each in claimed:
        if each != own.id:
            others.add(each)
        if len(others) >= most:
            break
    return len(others)


def has_too_many(claim: Claim, others: int, most: int) -> bool:
    """Whether no call is made with `claim`: `others` of its pair were claimed, and may have been judged.

    They were counted after `claim` was written. So of all that are under way at once the last to count sees
    every other, and no more than `most` go on, however many there are.
    """
    return 0 < most <= others and not claim.exempt


# --- what a call leaves -----------------------------------------------------------------------------


def one_more(tries: Mapping[Class, int], klass: Class) -> dict[Class, int]:
    """`tries` with one more of a class."""
    return {**tries, klass: tries.get(klass, 0) + 1}


def counted(claim: Claim, answer: Answer) -> Claim:
    """The claim once a call that it was taken for has been answered."""
    return claim._replace(
        calls=claim.calls + answer.executed,
        no_similarity=claim.no_similarity + (answer.code == NO_SIMILARITY),
    )


def calls_at_once(claim: Claim, code: str, *, sweeping: bool) -> bool:
    """Whether a claim's first failure is followed by a second call at once.

    Where a transient one came before it is not, nor is a throttled call of a sweep: the next paces it.
    """
    if claim.tries.get("transient") or claim.no_similarity > 1:
        return False
    klass = code_row(code).klass
    return klass == "transient" or (klass == "throttled" and not sweeping)


def retry_at(claim: Claim, code: str, now: datetime) -> datetime | None:
    """When the next try is allowed after `code`, None where it is to be told."""
    if code == NO_SIMILARITY and claim.no_similarity > 1:
        return None
    klass = code_row(code).klass
    return next_try(klass, claim.tries.get(klass, 0), claim.first_try_at, now)
