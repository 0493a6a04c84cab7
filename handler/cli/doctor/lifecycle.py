"""How long uploads and state are kept, and until when they can be read, by the buckets' lifecycle rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.trouble import made

KINDS = ("claims", "records", "settled", "best-frames", "agenda", "dead")
"""What of the state the lifecycle rules are looked at for."""

WAITING = ("agenda", "dead")
"""What waits to be told, and never may be deleted by a rule."""

PROTECTING = ("claims", "records", "settled")
"""What keeps uploads from being judged and billed twice, or told twice, and never may end before they do."""

READ = (*WAITING, *PROTECTING)
"""What livepair itself reads again."""

FACES = "best-frames"
"""The one kind of state that shows a person."""


class Effect(NamedTuple):
    """What a lifecycle rule does to what lies under a prefix: so many days after its writing, or on a date.

    A rule with a date reaches everything that is there on that day and later, whatever its age: `days` is 0.
    """

    does: Literal["delete", "archive"]
    prefix: str
    days: int
    date: str = ""

    @property
    def at(self) -> str:
        return f"on {self.date[:10]}, whatever its age" if self.date else f"after {self.days} days"


class Place(NamedTuple):
    """Where uploads or one kind of state lie. `name` is the kind, or the uploads' prefix."""

    name: str
    prefix: str
    is_state: bool


class Kept(NamedTuple):
    """What the rules do first to a place, None where they never do."""

    deleted: Effect | None
    archived: Effect | None


def lifecycle(deployment: Deployment) -> Iterator[Check]:
    kept: dict[Place, Kept] = {}
    for bucket, places in _places(deployment).items():
        yield from made("lifecycle rules", _read(bucket, places, kept))
    if not kept:
        return
    shown = ", ".join(
        f"{place.name} {_short(found.deleted) if found.deleted else 'for ever'}"
        for place, found in kept.items()
    )
    yield Check("kept for", "info", shown)
    yield from checked(kept, deployment.settings.templates.shared)


def _read(bucket: OperatorBucket, places: list[Place], kept: dict[Place, Kept]) -> Iterator[Check]:
    """Put what a bucket's rules do to its places into `kept`; no check where they can be read."""
    effects = effects_of(bucket.lifecycle())
    kept.update({place: kept_by(place, effects) for place in places})
    yield from ()


def _short(effect: Effect) -> str:
    return f"until {effect.date[:10]}" if effect.date else f"{effect.days} days"


def _places(deployment: Deployment) -> dict[OperatorBucket, list[Place]]:
    """The places of each bucket; where there is one bucket only, those of both."""
    prefixes = dict.fromkeys(template.prefix for template in deployment.templates)
    places = {deployment.uploads: [Place(prefix, prefix, False) for prefix in prefixes]}
    places.setdefault(deployment.state, []).extend(
        Place(kind, deployment.state_prefix(kind), True) for kind in KINDS
    )
    return places


# --- what rules do --------------------------------------------------------------------------------------


def effects_of(rules: Iterable[Mapping[str, Any]]) -> list[Effect]:
    """What the rules of a bucket do, as COS tells them."""
    return [effect for rule in rules if rule.get("Status") == "Enabled" for effect in _effects(rule)]


def _effects(rule: Mapping[str, Any]) -> Iterator[Effect]:
    """What one rule does; nothing where it is for what has tags: neither uploads nor state do."""
    chosen = rule.get("Filter") or {}
    chosen = chosen.get("And") or chosen
    if chosen.get("Tag"):
        return
    prefix = chosen.get("Prefix") or rule.get("Prefix") or ""
    for each in _listed(rule.get("Expiration")):
        yield from _timed("delete", prefix, each)
    for each in _listed(rule.get("Transition")):
        if "ARCHIVE" in str(each.get("StorageClass")):
            yield from _timed("archive", prefix, each)


def _timed(does: Literal["delete", "archive"], prefix: str, told: Mapping[str, Any]) -> Iterator[Effect]:
    """Expiration and Transition tell days or a date; what tells neither is about old versions."""
    if told.get("Date"):
        yield Effect(does, prefix, 0, str(told["Date"]))
    elif told.get("Days") is not None:
        yield Effect(does, prefix, int(told["Days"]))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def kept_by(place: Place, effects: Iterable[Effect]) -> Kept:
    """What the rules do first to a place: to all of it, or of state even to a part.

    Of uploads a rule that reaches some leaves the others; of state it is some that are missing. A date, which
    may lie far ahead, says little of when uploads are gone, and everything of when state may be.
    """
    reaching = [each for each in effects if _reaches(each, place)]

    def order(effect: Effect) -> tuple[bool, int]:
        return bool(effect.date) != place.is_state, effect.days

    def soonest(does: str) -> Effect | None:
        return min((each for each in reaching if each.does == does), key=order, default=None)

    return Kept(soonest("delete"), soonest("archive"))


def _reaches(effect: Effect, place: Place) -> bool:
    some = place.is_state and effect.prefix.startswith(place.prefix)
    return some or place.prefix.startswith(effect.prefix)


# --- what is wrong with them ----------------------------------------------------------------------------


def checked(kept: Mapping[Place, Kept], image_serves_many: bool) -> Iterator[Check]:
    """Everything that is wrong with how long places are kept."""
    uploads = [found.deleted for place, found in kept.items() if not place.is_state]
    for place, found in kept.items():
        if place.is_state and place.name in WAITING and found.deleted:
            yield Check(
                f"lifecycle of {place.name}/",
                "fail",
                f"deleted {found.deleted.at}: what waits there is then never told",
                "let no lifecycle rule reach it",
            )
        if place.is_state and place.name in PROTECTING and _is_sooner(found.deleted, uploads):
            yield Check(
                f"lifecycle of {place.name}",
                "fail",
                f"deleted {_at(found.deleted)}, before the uploads that they are about: these would be "
                "judged and billed again, or told once more",
                "keep claims, records and settled at least as long as the uploads",
            )
        if found.archived:
            yield from _archived(place, found.archived, image_serves_many)
        if found.deleted is None and (not place.is_state or place.name == FACES):
            yield Check(
                f"lifecycle of {place.name}",
                "warn",
                "faces are kept for ever",
                "add a rule that deletes them after as many days as you need",
            )


def _archived(place: Place, effect: Effect, image_serves_many: bool) -> Iterator[Check]:
    name, found = f"lifecycle of {place.name}", f"archived {effect.at}"
    if place.is_state and place.name in READ:
        yield Check(name, "fail", f"{found}: livepair can then not read it", "let no rule archive state")
    elif not place.is_state and image_serves_many:
        said = f"{found}: a live package that comes later finds an image that the API cannot read"
        yield Check(name, "fail", said, "let no rule archive images that serve many live packages")
    elif not place.is_state:
        do = "archive later than your people take, or not at all; `retry` needs them restored"
        yield Check(name, "warn", f"{found}: an upload whose other half comes later cannot be judged", do)


def _at(effect: Effect | None) -> str:
    return effect.at if effect else "never"


def _is_sooner(effect: Effect | None, uploads: list[Effect | None]) -> bool:
    """Whether something may be deleted sooner than the last of the uploads are."""
    if effect is None:
        return False
    if effect.date:
        return True
    return any(each is None or each.date or effect.days < each.days for each in uploads)
