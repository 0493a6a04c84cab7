"""What may be stored about a pair, by the keys that its uploads lead to: LIST may miss what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from handler.cli.deployment import Deployment
from handler.cli.find import side_by_side
from handler.rules.agenda import Entry, all_looks, at_lease_end, delivery, take_over
from handler.rules.outcome import Verification, verification
from handler.rules.pairing import Pair
from handler.rules.schedule import deliveries
from handler.rules.uploads import Seen, Stored, seen_of
from handler.state.objects import CorruptState

T = TypeVar("T")

MOST = 50
"""Runs of a pair, and claims of a verification, that are looked for by key."""


def there(deployment: Deployment, keys: Iterable[str]) -> list[Stored]:
    """Which state objects of these keys are there."""
    found = side_by_side(partial(deployment.state.objects.head, key) for key in keys)
    return [stored for stored in found if stored is not None]


def state_keys(deployment: Deployment, pairs: Iterable[Pair]) -> frozenset[str]:
    """The keys that the state of these pairs may have, as their uploads are now."""
    return frozenset(
        key for pair in pairs for seen in _seen(deployment, pair) for key in _keys(deployment, seen)
    )


def _seen(deployment: Deployment, pair: Pair) -> Iterator[Seen]:
    """The pair as it is, and as it was while one half was missing."""
    keys = (*pair.live_keys, *pair.image_keys)
    found = side_by_side(partial(deployment.uploads.objects.head, key) for key in keys)
    seen = seen_of(pair, deployment.settings.bucket, dict(zip(keys, found, strict=True)))
    halves = (seen._replace(live=None), seen._replace(image=None)) if seen.complete else ()
    return (each for each in (seen, *halves) if each.live or each.image)


def _keys(deployment: Deployment, seen: Seen) -> Iterator[str]:
    ledger = deployment.ledger
    yield from (ledger.agenda_key(entry) for entry in all_looks(seen, deployment.settings.pair_timeout))
    yield from (ledger.settled_key(seen.pair.path, each) for each in (seen.live, seen.image) if each)
    for run in range(1, MOST):
        current = verification(seen, run)
        yield from (ledger.record_key(current), ledger.frame_key(current), ledger.dead_key(current))
        yield from _claims(deployment, seen, current)
        record = _read(partial(ledger.record, current))
        if record is None:
            return
        for attempt in deliveries(*record.schedule):
            yield ledger.agenda_key(Entry(attempt.at, delivery(record, attempt.number)))


def _claims(deployment: Deployment, seen: Seen, current: Verification) -> Iterator[str]:
    """The keys of a verification's claims and of the entries that come back to them."""
    ledger = deployment.ledger
    for n in range(1, MOST):
        yield ledger.claim_key(current, n)
        claim = _read(partial(ledger.claim, current, n))
        if claim is None or not seen.complete:
            return
        task = take_over(seen, current, n)
        yield ledger.agenda_key(at_lease_end(task, claim.lease_until))
        if claim.retry_at is not None:
            yield ledger.agenda_key(Entry(claim.retry_at, task))


def _read(read: Callable[[], T | None]) -> T | None:
    """A state object, None where it is gone or cannot be read."""
    try:
        return read()
    except CorruptState:
        return None
