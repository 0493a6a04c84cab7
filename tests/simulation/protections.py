"""Each protection of the protocol, and how to switch it off; and the assumptions, and how to break them.

A simulation that finds nothing proves something only if it finds what is not protected. So each protection
says what it is for, in which histories its absence shows, and which violation then appears.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation import profiles, scenes, switches
from tests.simulation.profiles import Profile
from tests.simulation.switches import Patch


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


EVERY = (
    Protection(
        "claim-read-back",
        "two writers can both win a create-only PUT, so a claim counts once it has been read back",
        "judged",
        100,
        switches.no_read_back,
        profiles.at_the_same_moment,
    ),
    Protection(
        "verdicts-counted",
        "one holder of one link cannot buy verdicts without end",
        "and MAX_VERDICTS is",
        10,
        switches.nobody_counts,
        scenes.many_recordings,
    ),
    Protection(
        "claims-counted",
        "calls that are under way count: their records come too late",
        "and MAX_VERDICTS is",
        50,
        switches.records_are_counted,
        scenes.many_recordings,
    ),
    Protection(
        "counted-when-taken-over",
        "a claim whose owner died before it counted lets nobody through who takes over",
        "and MAX_VERDICTS is",
        300,
        switches.whoever_takes_over_is_let_through,
        scenes.many_recordings,
    ),
    Protection(
        "entry-before-call",
        "an instance that dies in a call leaves the lease's end on the agenda",
        "upload:",
        400,
        switches.no_entry_before_the_call,
        profiles.deadly,
    ),
    Protection(
        "entry-names-verification",
        "a record is told even if the uploads have changed since",
        "never accepted",
        400,
        switches.entry_without_verification,
        profiles.deadly_and_replaced,
    ),
    Protection(
        "keys-by-purpose",
        "taking one entry off the agenda never takes off another",
        "never accepted",
        100,
        switches.no_purpose,
        profiles.replaced_while_untold,
    ),
    Protection(
        "look-again",
        "an upload event that does not find its own object comes back for it",
        "has no outcome",
        100,
        switches.no_look_again,
        profiles.seen_late,
    ),
    Protection(
        "event-etag",
        "an upload is told from the one that it replaced a second ago",
        "has no outcome",
        300,
        switches.no_etag,
        profiles.replaced_at_once,
    ),
    Protection(
        "record-once",
        "the first record is the one that is told",
        "bodies",
        300,
        switches.record_overwritten,
        profiles.repeated_unfit,
    ),
    Protection(
        "record-read-back",
        "two writers can both win the record of an outcome that needs no claim",
        "bodies",
        300,
        switches.no_record_read_back,
        profiles.repeated_unfit,
    ),
    Protection(
        "record-over-lease",
        "an upload after `failed` starts another run, also while the lease of the failed one runs",
        "has no outcome",
        100,
        switches.running_lease_hides_the_record,
        profiles.failed_and_repeated,
    ),
    Protection(
        "claims-before",
        "an entry can name a claim that was never created: those before it are looked for",
        "judged",
        50,
        switches.named_claim_is_the_last,
        profiles.versioned_and_failing,
        first=160,
    ),
    Protection(
        "owner-records",
        "where versions are kept: whose claim was written over leaves the record to the other",
        "bodies",
        50,
        switches.anybody_records,
        profiles.overtaken,
        costs=("verdict",),
        first=110,
    ),
    Protection(
        "told-when-worked-off",
        "a record that appears while its entry is worked off is told",
        "never accepted",
        1000,
        switches.worked_off_untold,
        profiles.recorded_late,
        costs=("verdict",),
    ),
    Protection(
        "record-before-webhook",
        "nothing is told that is not recorded",
        "told before it was recorded",
        50,
        switches.told_before_recorded,
    ),
    Protection(
        "another-claim",
        "where another's claim stands its record is looked for: an upload after `failed` starts another run",
        "has no outcome",
        100,
        switches.another_claim_unread,
        profiles.failed_and_repeated,
    ),
    Protection(
        "takeover-by-sweep",
        "a second line: only a sweep, which reads the record first anyway, takes over an expired lease",
        "judged",
        300,
        switches.anybody_takes_over,
        profiles.repeated_after_the_lease,
    ),
    Protection(
        "clock-margin",
        "clocks that differ do not end a lease early",
        "judged",
        1000,
        switches.no_clock_margin,
        profiles.at_the_end_of_the_lease,
    ),
    Protection(
        "long-settle",
        "where the bucket keeps versions, every writer wins",
        "judged",
        300,
        switches.short_settle,
        profiles.versioned,
    ),
    Protection(
        "read-first",
        "where the bucket keeps versions, a claim is looked for before one is written over it",
        "judged",
        100,
        switches.versions_read_nothing_first,
        profiles.versioned,
        first=100,
    ),
    Protection(
        "delivery-before-deletion",
        "uploads are there until their outcome was told",
        "deleted before anybody was told",
        50,
        switches.deleted_before_told,
        profiles.deleting,
    ),
    Protection(
        "gone-is-settled",
        "half a pair whose other half was deleted by us is not told as incomplete",
        "was told as incomplete",
        300,
        switches.gone_is_missing,
        profiles.deleting,
    ),
    Protection(
        "guard-without-call",
        "an outcome without a call has its delivery on the agenda before it is recorded",
        "never accepted",
        50,
        switches.no_guard,
        profiles.deadly,
        first=30,
    ),
    Protection(
        "on-before-off",
        "a pair is put on the agenda before it is taken off",
        "upload:",
        400,
        switches.off_before_on,
        profiles.deadly,
    ),
    Protection(
        "keep-just-put",
        "what was just put on the agenda is not taken off with what is stale",
        "upload:",
        400,
        switches.off_though_just_put_on,
    ),
    Protection(
        "off-after-told",
        "the entry that brings a record back stays until it has been told",
        "never accepted",
        400,
        switches.off_before_told,
        profiles.deadly,
    ),
    Protection(
        "record-is-certain",
        "a record counts as stored only once COS says so",
        "told before it was recorded",
        50,
        switches.no_certain_record,
        first=100,
    ),
    Protection(
        "waiting-marks",
        "an image that comes late finds the live packages that wait for it",
        "has no outcome",
        10,
        switches.no_waiting_marks,
        profiles.image_seen_late,
    ),
    Protection(
        "marks-until-complete",
        "a live package waits for its image until it has been seen, also after it was told as incomplete",
        "has no outcome",
        50,
        switches.marks_off_too_soon,
        profiles.image_seen_late,
    ),
    Protection(
        "run-carried",
        "what brings a claim back carries the run that it is for",
        "was asked for",
        50,
        switches.run_forgotten,
        scenes.retried,
    ),
    Protection(
        "shared-is-no-half",
        "an image that serves many is half of no pair",
        "a live package is missing",
        100,
        switches.image_is_half,
        scenes.shared_and_expired,
    ),
    Protection(
        "walks-noted",
        "only a walk that leaves nothing out counts as the last one",
        "has no outcome",
        50,
        switches.any_walk_is_noted,
        scenes.walked_since,
    ),
    Protection(
        "attempts-derived",
        "sweeps that overlap put one next attempt on the agenda",
        "was posted",
        50,
        switches.next_attempt_drawn,
        scenes.thrice_while_down,
    ),
    Protection(
        "retry-after",
        "a consumer that asks for early attempts gets none",
        "was posted",
        50,
        switches.retry_after_shortens,
        profiles.replaced_while_untold,
    ),
    Protection(
        "one-deadline",
        "an invocation has one deadline, however many records its event has",
        "left to the platform's limit",
        50,
        switches.deadline_anew,
        scenes.merged_and_short,
        first=200,
    ),
    Protection(
        "each-mark-alone",
        "a mark that cannot be read keeps no other from being served",
        "does not become quiet",
        50,
        switches.one_mark_stops_all,
        scenes.junk_among_marks,
    ),
    Protection(
        "settled-by-key",
        "what is left of a settled pair is found by its key, not by LIST alone",
        "was told as incomplete",
        100,
        switches.found_by_list_alone,
        scenes.deleted_while_list_lags,
    ),
    Protection(
        "older-alternatives",
        "an older alternative of what was judged is settled with it",
        "an older alternative",
        200,
        switches.alternatives_are_halves,
        scenes.alternatives_deleted,
    ),
    Protection(
        "marks-for-days",
        "nobody is marked as waiting for an image that never comes",
        "has waited for its image",
        10,
        switches.marks_for_good,
        scenes.image_never,
    ),
    Protection(
        "create-only-asked",
        "COS is asked whether it honours create-only PUTs: where versioning is suspended it does not say",
        "judged",
        100,
        switches.never_asked,
        profiles.silent_versions,
    ),
    Protection(
        "too-large-is-corrupt",
        "an entry that is larger than any state object is reported and removed",
        "does not become quiet",
        50,
        switches.too_large_is_an_outage,
        scenes.huge_entry,
    ),
    Protection(
        "sealed",
        "whoever may write state and knows no secret has nothing told that nobody decided",
        "nobody decided",
        50,
        switches.any_seal_holds,
        scenes.forged_while_down,
    ),
    Protection(
        "forget-sees-work",
        "`forget` says that nothing is left only once no instance can be at work",
        "of what was erased",
        50,
        switches.nobody_is_at_work,
        scenes.forgotten_at_work,
    ),
    Protection(
        "over-by-size",
        "only a record that is told has the size by which a walk takes it for over",
        "never accepted",
        20,
        switches.every_record_fills_blocks,
        scenes.agenda_lost,
    ),
    Protection(
        "failed-is-not-over",
        "a walk reads what another run can follow, and does not go by its size",
        "has no outcome",
        20,
        switches.failed_is_over,
        scenes.failed_and_repeated_unheard,
    ),
    Protection(
        "listed-bytes",
        "a record that LIST shows counts for the bytes that LIST shows, and for no others of its pair",
        "has no outcome",
        20,
        switches.any_record_counts,
        scenes.replaced_unheard,
    ),
    Protection(
        "judged-bytes",
        "a record that a walk reads counts where it judged the very ETags that LIST shows",
        "has no outcome",
        20,
        switches.any_bytes_count,
        scenes.replaced_unheard,
    ),
    Protection(
        "walks-overlap",
        "a walk begins a day before the last: that one left young uploads out, and saw LIST as it was",
        "has no outcome",
        20,
        switches.walks_do_not_overlap,
        scenes.walked_too_soon,
    ),
)


GOES_FIRST = Protection(
    "goes-first",
    "of the two events of one pair one goes on at once: a second line where the settle is too short",
    "judged",
    200,
    switches.nobody_goes_first,
    profiles.halves_at_once,
)

BACK_OFF = Protection(
    "back-off",
    "a claim that was given back says when the next try is allowed, so that repeated events skip no back-off",
    "",
    50,
    switches.back_off_forgotten,
    profiles.throttled,
)

COUNTED = (GOES_FIRST, BACK_OFF)
"""Protections whose absence breaks no promise that is checked: it shows in numbers."""
