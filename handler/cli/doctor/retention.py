"""`doctor --retention`: the longest that a face can live, all places together, and where nothing ends it.

A recording or an image lies among the uploads. The best frame is made of it when the verification is decided,
which can be as late as the upload is there, and lies among the state from then on. So both times add up.
`DELETE_UPLOADS` and `forget` end it earlier; neither is a bound, since a message may never be taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.lifecycle import FACES, Place, effects_of, kept_by

LATE = 2
"""Days that a rule may come late: COS begins at the midnight after, and works through them from then on."""

DECIDING = 1
"""Days from the last moment at which a pair can be judged to its best frame, at the most."""

TENCENT = "Tencent's copy of the best frame, and with upload_url of both uploads, lives two hours"
UNSEEN = (
    "not seen from here: copies that your webhook's consumer, your backend, a replication of the bucket or a "
    "support case holds"
)


class Stay(NamedTuple):
    """How long a face can stay in one place: so many days, None for ever. `do` says what would end it."""

    place: str
    days: int | None
    ended_by: str
    do: str = ""


def retention(deployment: Deployment) -> Iterator[Check]:
    """A line for each place, then all of it together."""
    uploads = list(_in_uploads(deployment))
    frames = list(_in_state(deployment))
    for stay in (*uploads, *frames):
        yield _shown(stay)
    yield Check("at Tencent", "info", TENCENT)
    yield Check("elsewhere", "info", UNSEEN)
    yield in_all(uploads, frames)


def _in_uploads(deployment: Deployment) -> Iterator[Stay]:
    bucket = deployment.uploads
    rules = bucket.lifecycle()
    for prefix in dict.fromkeys(template.prefix for template in deployment.templates):
        yield from stays(Place(prefix, prefix, False), rules, versions=bucket.keeps_versions())
        yield parts(prefix, rules)


def _in_state(deployment: Deployment) -> Iterator[Stay]:
    """Best frames, where any are kept or were."""
    bucket, prefix = deployment.state, deployment.state_prefix(FACES)
    if deployment.settings.keep_best_frame or _holds_any(bucket, prefix):
        place = Place(f"{FACES}/", prefix, True)
        yield from stays(place, bucket.lifecycle(), versions=bucket.keeps_versions())


def _holds_any(bucket: OperatorBucket, prefix: str) -> bool:
    return next(bucket.every(prefix), None) is not None


def _shown(stay: Stay) -> Check:
    if stay.days is None:
        return Check(stay.place, "warn", f"for ever: {stay.ended_by}", stay.do)
    return Check(stay.place, "ok", f"{stay.days} days, then {stay.ended_by}")


# --- pure -------------------------------------------------------------------------------------------------


def stays(place: Place, rules: Iterable[Mapping[str, Any]], *, versions: bool) -> Iterator[Stay]:
    """How long the rules of its bucket let a place hold faces: its objects, and their old versions."""
    rules = list(rules)
    # A rule for a part of the place leaves the rest: only one that reaches all of it ends anything.
    found = kept_by(place._replace(is_state=False), effects_of(rules)).deleted
    if found is None:
        yield Stay(
            place.name, None, "no rule deletes it", "add a lifecycle rule that deletes after some days"
        )
    elif found.date:
        yield Stay(
            place.name,
            None,
            f"a rule deletes on {found.date[:10]}, and says no days for what comes later",
            "give the rule days in place of a date",
        )
    else:
        yield Stay(place.name, found.days + LATE, f"a lifecycle rule deletes it ({found.days} days)")
    if versions:
        yield _old_versions(place, rules)


def _old_versions(place: Place, rules: Iterable[Mapping[str, Any]]) -> Stay:
    """Deleting only hides an object where the bucket keeps versions."""
    name = f"old versions of {place.name}"
    days = _soonest(place.prefix, rules, "NoncurrentVersionExpiration", ("NoncurrentDays", "Days"))
    if days is None:
        do = "add NoncurrentVersionExpiration to the rule; `forget` erases versions too"
        return Stay(name, None, "the bucket keeps versions, and no rule deletes them", do)
    return Stay(name, days + LATE, f"a rule deletes old versions ({days} days)")


def parts(prefix: str, rules: Iterable[Mapping[str, Any]]) -> Stay:
    """Multipart uploads that were begun and never completed: LIST does not show their parts."""
    name = f"unfinished uploads to {prefix}"
    days = _soonest(prefix, rules, "AbortIncompleteMultipartUpload", ("DaysAfterInitiation",))
    if days is None:
        do = "add AbortIncompleteMultipartUpload to the rule"
        return Stay(name, None, "no rule drops what was begun and never completed", do)
    return Stay(name, days + LATE, f"a rule drops them ({days} days)")


def _soonest(
    prefix: str, rules: Iterable[Mapping[str, Any]], action: str, names: tuple[str, ...]
) -> int | None:
    """The least days after which a rule that reaches all of a prefix does something, None where none does."""
    found: list[int] = []
    for rule in rules:
        chosen = rule.get("Filter") or {}
        chosen = chosen.get("And") or chosen
        reached = prefix.startswith(chosen.get("Prefix") or rule.get("Prefix") or "")
        told = rule.get(action)
        enabled = rule.get("Status") == "Enabled" and not chosen.get("Tag")
        if enabled and reached and isinstance(told, Mapping):
            found += [int(told[name]) for name in names if told.get(name) is not None][:1]
    return min(found, default=None)


def in_all(uploads: Iterable[Stay], frames: Iterable[Stay]) -> Check:
    """The longest way of one face through all places. An old version begins when its object ends."""
    name = "a face lives at most"
    every = [*uploads, *frames]
    endless = [stay.place for stay in every if stay.days is None]
    if endless:
        do = "each of these needs an end before any number can be promised"
        return Check(name, "warn", f"for ever, by {', '.join(endless)}", do)
    upload, frame = _way(uploads), _way(frames)
    if not frame:
        return Check(name, "ok", f"{upload} days from its upload")
    shares = f"{upload} as an upload, {DECIDING} to be decided, {frame} as a best frame"
    return Check(name, "ok", f"{upload + DECIDING + frame} days from its upload: {shares}")


def _way(stays: Iterable[Stay]) -> int:
    """The longest object with its old versions after it; parts that became no object stand for themselves."""
    days = {stay.place: stay.days or 0 for stay in stays}
    objects = {
        place: known + days.get(f"old versions of {place}", 0)
        for place, known in days.items()
        if not place.startswith("old versions of ")
    }
    return max(objects.values(), default=0)
