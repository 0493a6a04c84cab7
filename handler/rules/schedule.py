"""Every "when again": looks at a pair, tries of a call, deliveries of a message; and words for them. Pure.

Looks and tries are derived from what everybody can read in the bucket, so that whoever asks puts the same
entry on the agenda.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from handler.rules.codes import Class

PATIENCE = timedelta(hours=24)
"""How long a call is tried that the API throttles, or that the configuration keeps from being made."""

CLOCK_MARGIN = timedelta(seconds=5)
"""How far two instances' clocks may be apart, or one takes the other's running lease for an expired one."""


# --- claims ----------------------------------------------------------------------------------------

SETTLE = 0.05
"""Seconds between creating a claim and reading it back, longer than two writers can both succeed."""

READ_BACK = (0.2, 0.8, 2.0)
"""Seconds between looks for a claim that was written and is not shown yet."""

SETTLE_VERSIONED = 3.0
"""SETTLE where the bucket keeps versions, so that every writer succeeds."""


# --- looks ------------------------------------------------------------------------------------------

LOOKS = (60, 300, 1200)
"""Seconds after an upload at which a pair is looked at again; then at PAIR_TIMEOUT."""

REFUSED_LOOKS = (*LOOKS, *range(3600, int(PATIENCE.total_seconds()) + 1, 3600))
"""The same where COS will not show an upload: a permission that is given within a day heals it."""

NEXT_SWEEP = timedelta(minutes=1)
"""How far ahead an entry is that the next sweep is to find, whatever this instance's clock says."""


class Step(NamedTuple):
    """The look number `number`, counting from 0, after an upload, and its time."""

    number: int
    at: datetime


def look_times(pair_timeout: int) -> tuple[int, ...]:
    """Seconds after an upload at which a pair is looked at that waits for its other half."""
    return (*(seconds for seconds in LOOKS if seconds < pair_timeout), pair_timeout)


def looks(uploaded_at: datetime, times: tuple[int, ...]) -> Iterator[Step]:
    """All looks after an upload."""
    for number, seconds in enumerate(times):
        yield Step(number, uploaded_at + timedelta(seconds=seconds))


def next_look(uploaded_at: datetime, times: tuple[int, ...], now: datetime) -> Step | None:
    """The next look after an upload; None where all have been."""
    return next((step for step in looks(uploaded_at, times) if step.at > now), None)


def at_next_sweep(now: datetime) -> datetime:
    """As soon as a sweep can, beside the looks that are counted from an upload."""
    return now + NEXT_SWEEP


# --- claims and tries -------------------------------------------------------------------------------

TRIES: Mapping[Class, tuple[float, ...]] = MappingProxyType(
    {
        # After the first throttled try it is the next sweep's turn, which paces its calls.
        "throttled": (0.1, 1, 1, 2, 2, 5, 10),
        "transient": (1, 2, 5, 10, 20, 30),
        "configuration": (1, 2, 5, 10, 20, 30, 60),
    }
)
"""Minutes before the next try of a class, by how many came before.

After the last transient one it is told as `failed`; the others repeat their last until PATIENCE is over.
"""


def next_try(klass: Class, tries: int, first_try_at: datetime, now: datetime) -> datetime | None:
    """When to call again after a failure of `klass` that `tries` of it came before; None to give up."""
    minutes = TRIES.get(klass, ())
    if klass == "transient":
        return now + timedelta(minutes=minutes[tries]) if tries < len(minutes) else None
    if not minutes or now - first_try_at >= PATIENCE:
        return None
    return now + timedelta(minutes=minutes[min(tries, len(minutes) - 1)])


def lease_end(lease_until: datetime) -> datetime:
    """When another instance may take a lease for expired, whatever its clock says."""
    return lease_until + CLOCK_MARGIN


# --- deliveries -------------------------------------------------------------------------------------

DELIVERIES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""How long after the n-th failed attempt the next one is due: Standard Webhooks' own schedule."""

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""How far a consumer's Retry-After may put an attempt off."""

SPREAD = 0.1  # each wait is longer or shorter by up to this share of it


class Attempt(NamedTuple):
    """The delivery attempt number `number`, counting from 1, and its time."""

    number: int
    at: datetime


def deliveries(message_id: str, told_from: datetime) -> Iterator[Attempt]:
    """All attempts of a message whose schedule begins at `told_from`.

    How much longer or shorter a wait is derives from the message, so that whoever asks gets the same times,
    and attempts that overlap join again.
    """
    at = told_from
    for number, wait in enumerate((timedelta(), *DELIVERIES), 1):
        digest = hashlib.sha256(f"{message_id} {number}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        at += wait * (1 - SPREAD + 2 * SPREAD * share)
        yield Attempt(number, at)


def next_delivery(
    message_id: str, told_from: datetime, attempt: int, now: datetime, retry_after: timedelta | None = None
) -> Attempt | None:
    """The attempt to make after number `attempt` failed; None to give up.

    Those whose time went by while nothing ran are left out. A consumer's `retry_after` may only put off the
    third attempt and those after it.
    """
    later = (each for each in deliveries(message_id, told_from) if each.number > attempt and each.at > now)
    following = next(later, None)
    if following is None or retry_after is None or attempt < 2:
        return following
    return following._replace(
        at=max(following.at, now + min(max(retry_after, timedelta()), LONGEST_RETRY_AFTER))
    )


def delivery_due(message_id: str, told_from: datetime, now: datetime) -> int:
    """The number of the last attempt whose time has come."""
    return max((each.number for each in deliveries(message_id, told_from) if each.at <= now), default=1)


MOST_DELIVERIES = len(DELIVERIES) + 1


# --- failures ---------------------------------------------------------------------------------------

FAILURES = (1, 2, 5, 10, 20, 30, 60)
"""Minutes until an entry is due again whose work failed, by how often it has; then the last of them."""


def is_out_of_patience(failures: int) -> bool:
    """Whether an entry's work has failed for as long as there is patience."""
    minutes = sum(FAILURES[:failures]) + FAILURES[-1] * max(0, failures - len(FAILURES))
    return timedelta(minutes=minutes) >= PATIENCE


def after_failure(failures: int, now: datetime) -> datetime:
    """When an entry is due again whose work has failed `failures` times, this one included."""
    return now + timedelta(minutes=FAILURES[min(failures, len(FAILURES)) - 1])


# --- in words ---------------------------------------------------------------------------------------


def tries_in_words(klass: Class) -> str:
    """How calls of a class are tried again, for documents; empty where they are not."""
    minutes = TRIES.get(klass, ())
    if klass == "transient":
        # One more: the first failure is followed by a second call at once.
        return f"again, {len(minutes) + 1} times in {_about(sum(minutes))}"
    return f"again, up to {_exactly(PATIENCE)}" if minutes else ""


def deliveries_in_words() -> str:
    """When the attempts of a delivery are made, for documents."""
    first, second, *others = map(_exactly, DELIVERIES)
    return ", ".join(["at once", f"after {first}", f"then {second}", *others])


def looks_in_words() -> str:
    """When a pair that waits for its other half is looked at, for documents."""
    return ", ".join(_exactly(timedelta(seconds=seconds)) for seconds in LOOKS) + " and `PAIR_TIMEOUT`"


def _about(minutes: float) -> str:
    hours = round(minutes / 60)
    return "about an hour" if hours == 1 else f"about {hours} hours"


def _exactly(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
