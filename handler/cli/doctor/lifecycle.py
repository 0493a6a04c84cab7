"""How long uploads and state are kept, by the buckets' lifecycle rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check

KINDS = ("claims", "records", "settled", "best-frames", "agenda", "dead")
"""What of the state the lifecycle rules are looked at for."""

WAITING = ("agenda", "dead")
"""What waits to be told, and never may be deleted by a rule."""

PROTECTING = ("claims", "records", "settled")
"""What keeps uploads from being judged and billed twice, or told twice, and never may end before they do."""


class Deletion(NamedTuple):
    """A lifecycle rule that deletes what lies under a prefix, so many days after it was written."""

    prefix: str
    days: int


class Place(NamedTuple):
    """Where uploads or one kind of state lie. `name` is the kind, or the uploads' prefix."""

    name: str
    prefix: str
    is_state: bool


Kept = Mapping[Place, int | None]
"""For how many days a place is kept, None for ever."""


def lifecycle(deployment: Deployment) -> Iterator[Check]:
    kept: dict[Place, int | None] = {}
    for bucket, places in _places(deployment).items():
        deletions = deletions_of(bucket.lifecycle())
        kept |= {place: days_kept(place, deletions) for place in places}
    yield from _waiting_is_deleted(kept)
    shown = ", ".join(
        f"{place.name} {f'{days} days' if days else 'for ever'}" for place, days in kept.items()
    )
    yield Check("kept for", "info", shown)
    yield from _ends_before_uploads(kept)


def _places(deployment: Deployment) -> dict[OperatorBucket, list[Place]]:
    """The places of each bucket; where there is one bucket only, those of both."""
    prefixes = dict.fromkeys(template.prefix for template in deployment.templates)
    places = {deployment.uploads: [Place(prefix, prefix, False) for prefix in prefixes]}
    places.setdefault(deployment.state, []).extend(
        Place(kind, deployment.state_prefix(kind), True) for kind in KINDS
    )
    return places


def deletions_of(rules: Iterable[Mapping[str, Any]]) -> list[Deletion]:
    """The rules of a bucket that delete, as COS tells them."""
    deletions = (_deletion(rule) for rule in rules if rule.get("Status") == "Enabled")
    return [deletion for deletion in deletions if deletion]


def _deletion(rule: Mapping[str, Any]) -> Deletion | None:
    """What a rule deletes; None where nothing, or only what has tags: neither uploads nor state do."""
    chosen = rule.get("Filter") or {}
    chosen = chosen.get("And") or chosen
    days = int((rule.get("Expiration") or {}).get("Days") or 0)
    if not days or chosen.get("Tag"):
        return None
    return Deletion(chosen.get("Prefix") or rule.get("Prefix") or "", days)


def days_kept(place: Place, deletions: Iterable[Deletion]) -> int | None:
    """After how many days the first rule deletes a place: all of it, or of state even a part.

    Of uploads a rule that reaches some keeps the others; of state it is some that are missing.
    """
    return min((each.days for each in deletions if _reaches(each, place)), default=None)


def _reaches(deletion: Deletion, place: Place) -> bool:
    some = place.is_state and deletion.prefix.startswith(place.prefix)
    return some or place.prefix.startswith(deletion.prefix)


def _waiting_is_deleted(kept: Kept) -> Iterator[Check]:
    for place, days in kept.items():
        if place.is_state and place.name in WAITING and days:
            yield Check(
                f"lifecycle of {place.name}/",
                "fail",
                f"deleted after {days} days: what waits there is then never told",
                "let no lifecycle rule reach it",
            )


def _ends_before_uploads(kept: Kept) -> Iterator[Check]:
    longest = _longest([days for place, days in kept.items() if not place.is_state])
    for place, days in kept.items():
        protecting = place.is_state and place.name in PROTECTING
        if protecting and _is_shorter(days, longest):
            yield Check(
                f"lifecycle of {place.name}",
                "fail",
                f"deleted after {days} days, before the uploads that they are about: these would be judged "
                "and billed again, or told once more",
                "keep claims, records and settled at least as long as the uploads",
            )


def _longest(days: list[int | None]) -> int | None:
    """The longest of some times; None for ever."""
    ends = [each for each in days if each is not None]
    return max(ends) if len(ends) == len(days) else None


def _is_shorter(days: int | None, other: int | None) -> bool:
    """Whether a time is shorter than another; None for ever."""
    return days is not None and (other is None or days < other)
