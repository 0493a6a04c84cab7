"""Each protection of the protocol, and how to switch it off; and the assumptions, and how to break them.

A simulation that finds nothing proves something only if it finds what is not protected. So each protection
says what it is for, in which histories its absence shows, and which violation then appears.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from handler.edges.bucket import Exists, Unavailable
from handler.flow import advance, call, judge, lookup, sweep, tell, visit
from handler.flow.steps import Done, Later, Tell, Trace, Visit
from handler.rules import agenda, claiming, schedule, uploads
from handler.rules.agenda import Deliver, Entry, Look, Task
from handler.rules.claiming import Row, Standing
from handler.rules.records import Record
from handler.rules.uploads import Seen
from handler.services import Services
from handler.state import codec, ledger
from handler.state.ledger import Ledger
from tests.simulation import profiles
from tests.simulation.history import SKEW
from tests.simulation.profiles import Profile

Patch = Callable[[Any, str, Any], None]


_MODULES = (advance, agenda, call, claiming, judge, ledger, lookup, schedule, sweep, tell, uploads, visit)


@dataclass(frozen=True, slots=True)
class Protection:
    """`off` switches it off; `finds` is part of the violation that shows within `seeds` of `profile`.

    The seeds are counted from `first`, which saves time where it is seldom seen.
    """

    name: str
    why: str
    finds: str
    seeds: int
    off: Callable[[Patch], None]
    profile: Profile | None = None
    first: int = 0
    costs: tuple[str, ...] = ()
    """First words of violations that `profile`, being beyond what is assumed, has all the same."""


@contextmanager
def switched_off(protection: Protection) -> Generator[None, None, None]:
    """Run what is inside without the protection."""
    former: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, value: Any) -> None:
        former.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    protection.off(patch)
    try:
        yield
    finally:
        for owner, name, value in reversed(former):
            setattr(owner, name, value)


def _everywhere(patch: Patch, name: str, value: Any) -> None:
    """Replace a function or constant in every module that imports it by name."""
    for module in _MODULES:
        if name in module.__dict__:
            patch(module, name, value)


# --- the protections --------------------------------------------------------------------------------


def _no_read_back(patch: Patch) -> None:
    def take_claim(self: Ledger, claim: Any, meanwhile: Iterable[Callable[[], Any]]) -> Standing:
        try:
            self.bucket.create(self.claim_key(claim.verification, claim.n), codec.dump_claim(claim))
        except Exists:
            return self._standing(claim)
        self._together(meanwhile)
        return Standing(claim=claim)

    patch(Ledger, "take_claim", take_claim)


def _no_entry_before_the_call(patch: Patch) -> None:
    original = Ledger.take_claim
    patch(Ledger, "take_claim", lambda self, claim, meanwhile: original(self, claim, []))


def _entry_without_verification(patch: Patch) -> None:
    original = agenda.at_lease_end

    def at_lease_end(task: Any, lease_until: Any) -> Entry:
        entry = original(task, lease_until)
        return entry._replace(task=Look(task.bucket, task.key, "live", lease_until, step=-2 - task.n))

    patch(judge, "at_lease_end", at_lease_end)
    patch(call.Held, "task", property(lambda held: held.takeover.task))


def _no_purpose(patch: Patch) -> None:
    def purpose(task: Task) -> str:
        key = getattr(task, "key", "").replace("/", "-")
        return f"{'deliver' if isinstance(task, Deliver) else 'look'}-{key}"

    patch(agenda, "purpose", purpose)


def _no_look_again(patch: Patch) -> None:
    _everywhere(patch, "shows", lambda stored, uploaded_at, etag=None: True)


def _no_etag(patch: Patch) -> None:
    original = uploads.shows
    _everywhere(patch, "shows", lambda stored, uploaded_at, etag=None: original(stored, uploaded_at))


def _record_overwritten(patch: Patch) -> None:
    def record_once(self: Ledger, record: Record, *, claimed: bool) -> Record:
        self.mark(record)
        return record

    patch(Ledger, "record_once", record_once)


def _told_before_recorded(patch: Patch) -> None:
    original = tell._record_once

    def record_once(this: Visit, record: Record, *others: Any, claimed: bool) -> Tell:
        services = this.services
        services.consumer.post(record.verification.message_id, record.body, services.clock.now(), 10)
        return original(this, record, *others, claimed=claimed)

    patch(tell, "_record_once", record_once)


def _anybody_takes_over(patch: Patch) -> None:
    row: Row = claiming.TABLE["abandoned"]
    patch(claiming, "TABLE", {**claiming.TABLE, "abandoned": row._replace(event=row.sweep)})
    _another_claim_unread(patch)


def _another_claim_unread(patch: Patch) -> None:
    original = Ledger.take_claim

    def take_claim(self: Ledger, claim: Any, meanwhile: Iterable[Callable[[], Any]]) -> Standing:
        standing = original(self, claim, meanwhile)
        if standing.record is not None and self.trusts_create:
            stored = self.claim(claim.verification, claim.n)
            return Standing(claim=stored) if stored else standing
        return standing

    patch(Ledger, "take_claim", take_claim)
    # What was found there is believed: it is not read anew either.
    patch(judge, "_is_to_be_read", lambda standing, now: False)


def _no_clock_margin(patch: Patch) -> None:
    _everywhere(patch, "CLOCK_MARGIN", timedelta(0))


def _short_settle(patch: Patch) -> None:
    patch(ledger, "SETTLE_VERSIONED", ledger.SETTLE)


def _versions_read_nothing_first(patch: Patch) -> None:
    original = judge._reads_before_claiming

    def reads_before_claiming(this: Visit, seen: Seen) -> bool:
        reads = original(this, seen)
        return reads and not uploads.goes_first(seen, this.cause.role or "live")

    patch(judge, "_reads_before_claiming", reads_before_claiming)


def _deleted_before_told(patch: Patch) -> None:
    original = tell.tell

    def tell_it(services: Services, step: Tell, trace: Trace, *, patient: bool) -> Done | Later:
        if not step.record.deleted and step.record.delivered_at is None:
            tell._delete_uploads(services, step.record)
        return original(services, step, trace, patient=patient)

    patch(visit, "tell", tell_it)


def _gone_is_missing(patch: Patch) -> None:
    patch(advance, "is_rest_of", lambda seen, record: False)


def _no_guard(patch: Patch) -> None:
    def record_without_call(this: Visit, seen: Seen, record: Record) -> Tell:
        clear = tell.pair_keys(this.services, seen) if seen.complete else ()
        return tell._record_once(this, record, this.services.deadline.at, clear, claimed=False)

    patch(advance, "record_without_call", record_without_call)


def _off_before_on(patch: Patch) -> None:
    def leave(this: Visit, step: Done | Later) -> None:
        if step.clear:
            this.services.ledger.take_off(step.clear)
        if isinstance(step, Later):
            this.services.ledger.put_on(step.entry)

    patch(visit, "_leave", leave)


def _off_though_just_put_on(patch: Patch) -> None:
    def leave(this: Visit, step: Done | Later) -> None:
        if isinstance(step, Later):
            this.services.ledger.put_on(step.entry)
        if step.clear:
            this.services.ledger.take_off(step.clear)

    patch(visit, "_leave", leave)


def _off_before_told(patch: Patch) -> None:
    original = visit._carry_out

    def carry_out(this: Visit, step: Any, *others: Any) -> Any:
        if isinstance(step, Tell):
            this.services.ledger.take_off(step.clear or ("none",))
        return original(this, step, *others)

    patch(visit, "_carry_out", carry_out)


def _no_certain_record(patch: Patch) -> None:
    original = Ledger.record_once

    def record_once(self: Ledger, record: Record, *, claimed: bool) -> Record:
        try:
            return original(self, record, claimed=claimed)
        except Unavailable:
            return record

    patch(Ledger, "record_once", record_once)


def _no_waiting_marks(patch: Patch) -> None:
    patch(Ledger, "mark_waiting", lambda self, image_key, pair_path, live: None)


def _marks_off_too_soon(patch: Patch) -> None:
    def record_without_call(this: Visit, seen: Seen, record: Record) -> Tell:
        found = tell.record_without_call(this, seen, record)
        marks = [this.services.ledger.mark_key(key, seen.pair.path) for key in seen.pair.image_keys]
        return found._replace(clear=(*found.clear, *(marks if seen.pair.shared else ())))

    patch(advance, "record_without_call", record_without_call)


def _no_record_read_back(patch: Patch) -> None:
    original = Ledger.record_once
    patch(Ledger, "record_once", lambda self, record, *, claimed: original(self, record, claimed=True))


def _named_claim_is_the_last(patch: Patch) -> None:
    original = judge._last_claim

    def last_claim(this: Visit, current: Any, n: int, known: Any) -> Any:
        if n > 1 and this.services.ledger.claim(current, n) is None:
            return None
        return original(this, current, n, known)

    patch(judge, "_last_claim", last_claim)


def _running_lease_hides_the_record(patch: Patch) -> None:
    original = judge._read

    def read(this: Visit, seen: Seen, current: Any, n: int | None = None) -> Standing:
        if not (this.cause.sweeping or seen.pair.shared):
            standing = Standing(claim=this.services.ledger.claim(current, n or 1))
            if standing.state(this.services.clock.now()) == "claimed":
                return standing
        return original(this, seen, current, n)

    patch(judge, "_read", read)


def _anybody_records(patch: Patch) -> None:
    patch(call, "_owner", lambda services, claim: claim)


def _worked_off_untold(patch: Patch) -> None:
    original = tell._is_pending

    def is_pending(this: Visit, record: Record) -> bool:
        return this.cause.pending is None or original(this, record)

    patch(tell, "_is_pending", is_pending)


def _nobody_goes_first(patch: Patch) -> None:
    patch(judge, "goes_first", lambda seen, role: True)


def _back_off_forgotten(patch: Patch) -> None:
    original = Ledger.give_back

    def give_back(self: Ledger, claim: Any) -> None:
        original(self, claim._replace(retry_at=self._clock.now()))

    patch(Ledger, "give_back", give_back)


EVERY = (
    Protection(
        "claim-read-back",
        "two writers can both win a create-only PUT, so a claim counts once it has been read back",
        "judged",
        100,
        _no_read_back,
        profiles.at_the_same_moment,
    ),
    Protection(
        "entry-before-call",
        "an instance that dies in a call leaves the lease's end on the agenda",
        "upload:",
        400,
        _no_entry_before_the_call,
        profiles.deadly,
    ),
    Protection(
        "entry-names-verification",
        "a record is told even if the uploads have changed since",
        "never accepted",
        400,
        _entry_without_verification,
        profiles.deadly_and_replaced,
    ),
    Protection(
        "keys-by-purpose",
        "taking one entry off the agenda never takes off another",
        "never accepted",
        100,
        _no_purpose,
        profiles.replaced_while_untold,
    ),
    Protection(
        "look-again",
        "an upload event that does not find its own object comes back for it",
        "has no outcome",
        100,
        _no_look_again,
        profiles.seen_late,
    ),
    Protection(
        "event-etag",
        "an upload is told from the one that it replaced a second ago",
        "has no outcome",
        300,
        _no_etag,
        profiles.replaced_at_once,
    ),
    Protection(
        "record-once",
        "the first record is the one that is told",
        "bodies",
        300,
        _record_overwritten,
        profiles.repeated_unfit,
    ),
    Protection(
        "record-read-back",
        "two writers can both win the record of an outcome that needs no claim",
        "bodies",
        300,
        _no_record_read_back,
        profiles.repeated_unfit,
    ),
    Protection(
        "record-over-lease",
        "an upload after `failed` starts another run, also while the lease of the failed one runs",
        "has no outcome",
        100,
        _running_lease_hides_the_record,
        profiles.failed_and_repeated,
    ),
    Protection(
        "claims-before",
        "an entry can name a claim that was never created: those before it are looked for",
        "judged",
        50,
        _named_claim_is_the_last,
        profiles.versioned_and_failing,
        first=1100,
    ),
    Protection(
        "owner-records",
        "where versions are kept: whose claim was written over leaves the record to the other",
        "bodies",
        50,
        _anybody_records,
        profiles.overtaken,
        costs=("verdict",),
        first=340,
    ),
    Protection(
        "told-when-worked-off",
        "a record that appears while its entry is worked off is told",
        "never accepted",
        1000,
        _worked_off_untold,
        profiles.recorded_late,
        costs=("verdict",),
    ),
    Protection(
        "record-before-webhook",
        "nothing is told that is not recorded",
        "told before it was recorded",
        50,
        _told_before_recorded,
    ),
    Protection(
        "another-claim",
        "where another's claim stands its record is looked for: an upload after `failed` starts another run",
        "has no outcome",
        100,
        _another_claim_unread,
        profiles.failed_and_repeated,
    ),
    Protection(
        "takeover-by-sweep",
        "a second line: only a sweep, which reads the record first anyway, takes over an expired lease",
        "judged",
        300,
        _anybody_takes_over,
        profiles.repeated_after_the_lease,
    ),
    Protection(
        "clock-margin",
        "clocks that differ do not end a lease early",
        "judged",
        1000,
        _no_clock_margin,
        profiles.at_the_end_of_the_lease,
    ),
    Protection(
        "long-settle",
        "where the bucket keeps versions, every writer wins",
        "judged",
        300,
        _short_settle,
        profiles.versioned,
    ),
    Protection(
        "read-first",
        "where the bucket keeps versions, a claim is looked for before one is written over it",
        "judged",
        100,
        _versions_read_nothing_first,
        profiles.versioned,
        first=100,
    ),
    Protection(
        "delivery-before-deletion",
        "uploads are there until their outcome was told",
        "deleted before anybody was told",
        50,
        _deleted_before_told,
        profiles.deleting,
    ),
    Protection(
        "gone-is-settled",
        "half a pair whose other half was deleted by us is not told as incomplete",
        "was told as incomplete",
        300,
        _gone_is_missing,
        profiles.deleting,
    ),
    Protection(
        "guard-without-call",
        "an outcome without a call has its delivery on the agenda before it is recorded",
        "never accepted",
        50,
        _no_guard,
        profiles.deadly,
        first=30,
    ),
    Protection(
        "on-before-off",
        "a pair is put on the agenda before it is taken off",
        "upload:",
        400,
        _off_before_on,
        profiles.deadly,
    ),
    Protection(
        "keep-just-put",
        "what was just put on the agenda is not taken off with what is stale",
        "upload:",
        400,
        _off_though_just_put_on,
    ),
    Protection(
        "off-after-told",
        "the entry that brings a record back stays until it has been told",
        "never accepted",
        400,
        _off_before_told,
        profiles.deadly,
    ),
    Protection(
        "record-is-certain",
        "a record counts as stored only once COS says so",
        "told before it was recorded",
        50,
        _no_certain_record,
        first=50,
    ),
    Protection(
        "waiting-marks",
        "an image that comes late finds the live packages that wait for it",
        "has no outcome",
        10,
        _no_waiting_marks,
        profiles.image_seen_late,
    ),
    Protection(
        "marks-until-complete",
        "a live package waits for its image until it has been seen, also after it was told as incomplete",
        "has no outcome",
        50,
        _marks_off_too_soon,
        profiles.image_seen_late,
    ),
)


GOES_FIRST = Protection(
    "goes-first",
    "of the two events of one pair one goes on at once: a second line where the settle is too short",
    "judged",
    200,
    _nobody_goes_first,
    profiles.halves_at_once,
)

BACK_OFF = Protection(
    "back-off",
    "a claim that was given back says when the next try is allowed, so that repeated events skip no back-off",
    "",
    50,
    _back_off_forgotten,
    profiles.throttled,
)

COUNTED = (GOES_FIRST, BACK_OFF)
"""Protections whose absence breaks no promise that is checked: it shows in numbers."""


# --- assumptions, broken ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the protocol takes for granted. Where it fails, verdicts may be asked for twice.

    But no upload is lost for it, and no message told with two bodies.
    """

    name: str
    why: str
    broken: Profile
    skew: float = SKEW
    costs: tuple[str, ...] = ("verdict",)
    """What it may cost: the first words of violations."""


ASSUMPTIONS = (
    Assumption(
        "window", "two create-only PUTs both succeed only within less than the settle", profiles.wide_window
    ),
    Assumption(
        "versions", "a bucket that keeps versions says so in its answers to PUT", profiles.silent_versions
    ),
    Assumption("clocks", "clocks differ by seconds", profiles.repeated_after_the_lease, skew=120.0),
    Assumption(
        "latency", "where versions are kept, a request arrives within the long settle", profiles.slow_requests
    ),
    Assumption("reads", "GET shows state at once", profiles.stale_reads),
    Assumption(
        "given-up",
        "a request that was given up takes no effect much later",
        profiles.late_effects,
        costs=("verdict", "state"),
    ),
)
