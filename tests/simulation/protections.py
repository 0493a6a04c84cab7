"""Each protection of the protocol, and how to switch it off; and the assumptions, and how to break them.

A simulation that finds nothing proves something only if it finds what is not protected. So each protection
says what it is for, in which histories its absence shows, and which violation then appears.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from handler.edges.cos import Exists, Unavailable
from handler.flow import advance, judge, look, sweep, tell
from handler.rules.outcome import Seen, Verification
from handler.services import Cause, Later, Services, Step, Trace
from handler.state import ledger
from handler.state.ledger import Claim, Ledger, Record, Task
from tests.simulation import profiles
from tests.simulation.history import SKEW
from tests.simulation.profiles import Profile

Patch = Callable[[Any, str, Any], None]


_MODULES = (advance, judge, ledger, look, sweep, tell)


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
    def take_claim(
        self: Ledger, which: Verification, claim: Claim, meanwhile: Iterable[Callable[[], Any]]
    ) -> Claim | Record:
        try:
            self.bucket.create(self.claim_key(which, claim.n), ledger._claim_json(which, claim))
        except Exists:
            stored = self.record(which) or self.claim(which, claim.n)
            if stored is None:
                raise
            return stored
        self._together(meanwhile)
        return claim

    patch(Ledger, "take_claim", take_claim)


def _no_entry_before_the_call(patch: Patch) -> None:
    original = Ledger.take_claim

    def take_claim(self: Ledger, which: Verification, claim: Claim, meanwhile: object) -> Claim | Record:
        return original(self, which, claim, [])

    patch(Ledger, "take_claim", take_claim)


def _entry_without_verification(patch: Patch) -> None:
    original = judge._takeover_task

    def takeover_task(seen: Seen, which: Verification, n: int) -> Task:
        found = original(seen, which, n)
        return Task("look", found.bucket, found.key, found.role, seen.newest, step=-2 - n)

    patch(judge, "_takeover_task", takeover_task)


def _no_purpose(patch: Patch) -> None:
    def purpose(self: Task) -> str:
        return f"{'deliver' if self.kind == 'deliver' else 'look'}-{self.key.replace('/', '-')}"

    patch(Task, "purpose", property(purpose))


def _no_look_again(patch: Patch) -> None:
    _everywhere(patch, "is_seen", lambda stored, look, etag=None: True)


def _no_etag(patch: Patch) -> None:
    original = look.is_seen
    _everywhere(patch, "is_seen", lambda stored, look, etag=None: original(stored, look))


def _record_overwritten(patch: Patch) -> None:
    def record_once(self: Ledger, record: Record) -> Record:
        self.mark(record)
        return record

    patch(Ledger, "record_once", record_once)


def _told_before_recorded(patch: Patch) -> None:
    original = tell.record_and_tell

    def record_and_tell(
        s: Services, record: Record, until: float, clear: tuple[str, ...], trace: Trace
    ) -> Step:
        s.consumer.post(record.which.message_id, record.body, s.clock.now(), 10)
        return original(s, record, until, clear, trace)

    _everywhere(patch, "record_and_tell", record_and_tell)


def _anybody_takes_over(patch: Patch) -> None:
    original = judge._next_claim

    def next_claim(*arguments: Any, may_take_over: bool) -> Claim | Later:
        return original(*arguments, may_take_over=True)

    patch(judge, "_next_claim", next_claim)
    _another_claim_unread(patch)


def _another_claim_unread(patch: Patch) -> None:
    original = Ledger.take_claim

    def take_claim(
        self: Ledger, which: Verification, claim: Claim, meanwhile: Iterable[Callable[[], Any]]
    ) -> Claim | Record:
        stands = original(self, which, claim, meanwhile)
        if isinstance(stands, Record) and self.trusts_create:
            return self.claim(which, claim.n) or stands
        return stands

    patch(Ledger, "take_claim", take_claim)


def _no_clock_margin(patch: Patch) -> None:
    _everywhere(patch, "CLOCK_MARGIN", timedelta(0))


def _short_settle(patch: Patch) -> None:
    _everywhere(patch, "SETTLE_VERSIONED", ledger.SETTLE)


def _versions_read_nothing_first(patch: Patch) -> None:
    original: Any = Ledger.__dict__["trusts_create"]

    def trusts_create(self: Ledger) -> bool:
        in_judge = sys._getframe(1).f_code is judge.judge.__code__
        return True if in_judge else bool(original.fget(self))

    patch(Ledger, "trusts_create", property(trusts_create))


def _deleted_before_told(patch: Patch) -> None:
    original = tell.tell

    def tell_it(s: Services, record: Record, attempt: int, trace: Trace, *, wait: bool) -> Step:
        if not record.deleted and record.delivered_at is None:
            tell._delete_uploads(s, record)
        return original(s, record, attempt, trace, wait=wait)

    _everywhere(patch, "tell", tell_it)


def _gone_is_missing(patch: Patch) -> None:
    patch(advance, "_was_settled", lambda s, seen: False)


def _no_guard(patch: Patch) -> None:
    def tell_without_call(s: Services, record: Record, clear: tuple[str, ...], trace: Trace) -> Step:
        return tell.record_and_tell(s, record, s.deadline.at, clear, trace)

    _everywhere(patch, "tell_without_call", tell_without_call)


def _off_before_on(patch: Patch) -> None:
    def leave(s: Services, step: Step, stale: Iterable[str], trace: Trace) -> None:
        if gone := {*step.clear, *stale}:
            s.ledger.take_off(gone)
        if isinstance(step, Later):
            s.ledger.put_on(step.entry)

    patch(advance, "_leave", leave)


def _off_though_just_put_on(patch: Patch) -> None:
    def leave(s: Services, step: Step, stale: Iterable[str], trace: Trace) -> None:
        if isinstance(step, Later):
            s.ledger.put_on(step.entry)
        if gone := {*step.clear, *stale}:
            s.ledger.take_off(gone)

    patch(advance, "_leave", leave)


def _off_before_told(patch: Patch) -> None:
    original = tell.tell_or_hand_over

    def tell_or_hand_over(
        s: Services, record: Record, attempt: int, clear: tuple[str, ...], trace: Trace
    ) -> Step:
        s.ledger.take_off(clear or ("none",))
        return original(s, record, attempt, clear, trace)

    _everywhere(patch, "tell_or_hand_over", tell_or_hand_over)


def _no_certain_record(patch: Patch) -> None:
    original = Ledger.record_once

    def record_once(self: Ledger, record: Record) -> Record:
        try:
            return original(self, record)
        except Unavailable:
            return record

    patch(Ledger, "record_once", record_once)


def _no_waiting_marks(patch: Patch) -> None:
    patch(Ledger, "wait_for", lambda self, image_key, pair_path, live_key, bucket: None)


def _marks_off_too_soon(patch: Patch) -> None:
    original = look.look_keys

    def look_keys(s: Services, seen: Seen) -> tuple[str, ...]:
        marks = [s.ledger.waiting_prefix(key) + seen.pair.path for key in seen.pair.image_keys]
        return (*original(s, seen), *(marks if seen.pair.shared else ()))

    _everywhere(patch, "look_keys", look_keys)


def _no_record_read_back(patch: Patch) -> None:
    def record_once(self: Ledger, record: Record) -> Record:
        try:
            self.bucket.create(self.record_key(record.which), ledger._record_json(record))
        except (Exists, Unavailable):
            first = self.record(record.which)
            if first is None:
                raise
            return first
        return record

    patch(Ledger, "record_once", record_once)


def _named_claim_is_the_last(patch: Patch) -> None:
    original = judge._standing

    def standing(s: Services, which: Verification, number: int, *others: Any) -> Record | Claim | None:
        if number > 1 and s.ledger.claim(which, number) is None:
            return s.ledger.record(which)
        return original(s, which, number, *others)

    patch(judge, "_standing", standing)


def _running_lease_hides_the_record(patch: Patch) -> None:
    original = judge._standing

    def standing(
        s: Services, which: Verification, number: int, record_first: bool, trace: Trace
    ) -> Record | Claim | None:
        claim = None if record_first else s.ledger.claim(which, number)
        if claim and claim.retry_at is None and s.clock.now() <= claim.lease_until:
            return claim
        return original(s, which, number, record_first, trace)

    patch(judge, "_standing", standing)


def _anybody_records(patch: Patch) -> None:
    patch(judge, "_owner", lambda s, which, claim: claim)


def _worked_off_untold(patch: Patch) -> None:
    original = tell.stands

    def stands(s: Services, seen: Seen, record: Record, cause: Cause, trace: Trace) -> Step:
        return original(s, seen, record, cause._replace(claim=None), trace)

    _everywhere(patch, "stands", stands)


def _nobody_goes_first(patch: Patch) -> None:
    patch(judge, "_goes_first", lambda seen, role: True)


def _back_off_forgotten(patch: Patch) -> None:
    original = Ledger.give_back

    def give_back(self: Ledger, which: Verification, claim: Claim) -> None:
        original(self, which, claim._replace(retry_at=self._clock.now()))

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
        first=340,
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
