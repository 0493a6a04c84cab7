"""What must hold once the world is kind and quiet, each promise in a function of its own.

A violation's first word tells what is at stake: an `upload` that ends in no outcome, a `message` that should
not be or is not always the same, a `verdict` asked for without need, the `state` that is left behind.

What can be seen while it happens is checked where it happens, in `services`: a message told before it was
recorded or with other bytes, an object outside the state prefix, an upload deleted before anybody was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from handler.rules.codes import TOO_MANY_VERDICTS, code_row
from handler.rules.outcome import verification
from handler.rules.pairing import Pair, Role
from handler.rules.uploads import Seen
from tests.simulation.api import judged
from tests.simulation.checks_telling import (
    attempts_are_made_in_time,
    attempts_are_no_more_than_the_schedule_has,
    every_record_is_told,
    no_live_package_of_a_shared_image_is_missing,
    what_is_redelivered_arrives,
)
from tests.simulation.found import Check, Found, pairs, records, seen_now
from tests.simulation.history import History
from tests.simulation.platform import Function
from tests.simulation.store import LIST_LAG, Verdict
from tests.simulation.world import moment

MARGIN = timedelta(seconds=5)
"""The time between a look and its answer, beside how far clocks are apart."""

MARK_DAYS = 7
"""Days after which no live package is marked as waiting for its image any more."""


def check(history: History, reconciled: bool) -> None:
    """Note every violation. Wholly lost events are excused until there has been a reconcile."""
    for function in history.functions:
        found = records(function)
        for each in EVERY:
            for text in each(history, function, found, reconciled):
                history.world.violation(text)


# --- promise 1: every upload ends in one outcome ----------------------------------------------------


def every_upload_has_its_outcome(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What lies in the bucket has been decided and settled, in the run that counts."""
    for pair in pairs(function):
        seen, numbers = seen_now(function, pair)
        this = function.number, pair.path
        if not numbers or (pair.shared and seen.live is None) or this in history.books.excused:
            continue
        if not reconciled and this in history.books.unmarked:
            continue
        if not reconciled and (history.lost | history.superseded).intersection(numbers):
            continue  # no event told of it, or a newer alternative replaced it and was deleted
        if not seen.complete and _is_told(seen, found):
            continue
        standing = None
        run = 1
        while (record := found.get(verification(seen, run).id)) is not None:
            standing, run = record, run + 1
        if standing is None or _calls_for_another(history, seen, standing):
            what = "complete" if seen.complete else "half"
            yield f"upload: the pair {pair.path} is {what} and has no outcome"
        elif seen.complete and standing["outcome"] == "incomplete":
            yield f"upload: the pair {pair.path} is complete, and was left as incomplete"


def _calls_for_another(history: History, seen: Seen, record: dict[str, Any]) -> bool:
    """Whether an upload made after `failed` or `incomplete` starts another run."""
    newest = seen.newest
    if seen.pair.shared and record["outcome"] == "failed" and seen.live:
        newest = seen.live.uploaded_at  # an image that serves many never judges a settled one again
    told_at = moment(history.books.recorded[record["verification"]][0][0])
    uploaded_at = datetime.fromisoformat(record["uploaded_at"])
    return record["outcome"] in ("failed", "incomplete") and newest > max(uploaded_at, told_at)


def _is_told(seen: Seen, found: Found) -> bool:
    """Whether something was told of the half that is there, its other half deleted since."""
    for record in found.values():
        if record["pair"] == seen.pair.path:
            for half, told in ((seen.live, record["live"]), (seen.image, record["image"])):
                if half and told and half.identity == (told["md5"] or f"etag:{told['etag']}"):
                    return True
    return False


def every_run_asked_for_ends(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What an operator had tried again ends in that run, unless its uploads are others by now, or gone."""
    for asked in history.books.asked:
        if asked.function != function.number:
            continue
        match = function.settings.templates.match(asked.record["live_key"])
        if match is None or not isinstance(match[1], Pair):
            continue
        which = asked.record["verification"]
        seen, _ = seen_now(function, match[1])
        keys = (*match[1].live_keys, *match[1].image_keys)
        if (function.number, match[1].path) in history.books.excused:
            continue
        changed_at = max(function.uploads.changed.get(key, 0.0) for key in keys)
        which = asked.record["verification"]
        if not (seen.live or seen.image) or changed_at > history.books.recorded[which][0][0]:
            continue
        if verification(seen, asked.run - 1).id == which and verification(seen, asked.run).id not in found:
            yield f"upload: run {asked.run} of {which} was asked for, and has no outcome"


def no_settled_pair_becomes_incomplete(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What is left of a pair whose uploads were deleted by us is settled, and not told again.

    That is the other half, or an older alternative to what was judged.
    """
    for which, record in found.items():
        if record["outcome"] != "incomplete":
            continue
        instance = history.books.recorded[which][0][1]
        left: Role = "live" if record["live"] else "image"
        missing: Role = "image" if record["live"] else "live"
        for other in found.values():
            if other["pair"] != record["pair"] or not other["delete"] or not other["delivered_at"]:
                continue
            half, judged_half, gone = record["data"][left], other["data"][left], other["data"][missing]
            looked_at = moment(instance.looked_at.get(gone["key"], 0.0)) if gone else None
            if half is None or judged_half is None or looked_at is None:
                continue
            margin = MARGIN + timedelta(seconds=2 * history.skew)
            if datetime.fromisoformat(other["delivered_at"]) + margin > looked_at:
                continue  # it was not settled yet when this one was looked at
            is_same = half == judged_half
            is_older = half["key"] != judged_half["key"] and half["uploaded_at"] <= judged_half["uploaded_at"]
            if is_same or is_older:
                what = "half" if is_same else "an older alternative"
                settled = other["verification"]
                yield f"message: {which} was told as incomplete, and is {what} of the settled {settled}"


def runs_have_a_reason(history: History, function: Function, found: Found, reconciled: bool) -> Iterator[str]:
    """A further run follows only `failed` and `incomplete`, and what MAX_VERDICTS held up."""
    for which, record in found.items():
        if record["run"] == 1:
            continue
        before = [
            other
            for other in found.values()
            if other["pair"] == record["pair"]
            and other["run"] == record["run"] - 1
            and (other["outcome"] in ("failed", "incomplete") or other["code"] == TOO_MANY_VERDICTS)
        ]
        if not before:
            yield f"message: {which} is run {record['run']}, and nothing failed before it"


# --- promise 2: every pair is judged once -----------------------------------------------------------


def verdicts_are_asked_for_once(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """One verdict for each verification, and one for each that was lost before it could be recorded."""
    for which, verdicts in _verdicts(history).items():
        kept = [verdict for verdict in verdicts if not _is_lost(history, verdict)]
        if len(kept) > 1:
            calls = ", ".join(f"{v.instance} with claim {v.claim} at {moment(v.at):%H:%M:%S}" for v in kept)
            yield f"verdict: {which} was judged {len(kept)} times without need: {calls}"


def _verdicts(history: History) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in history.books.verdicts:
        if not any(
            (function.number, verdict.path) in history.books.excused for function in history.functions
        ):
            found.setdefault(verdict.verification, []).append(verdict)
    return found


def _is_lost(history: History, verdict: Verdict) -> bool:
    """Whether its answer never arrived, or whoever got it died, or found COS closed, before recording it."""
    if not verdict.arrived:
        return True
    recorded = history.books.recorded.get(verdict.verification, ())
    if any(instance is verdict.instance for at, instance in recorded):
        return False
    if (verdict.verification, verdict.instance) in history.books.unrecorded:
        return True
    return verdict.instance.died_at is not None


def verdicts_are_recorded(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """A verdict that arrived and was not lost is told, and rightly; `calls` counts what was asked for."""
    for which, verdicts in _verdicts(history).items():
        record = found.get(which)
        if record is None:
            kept = [verdict for verdict in verdicts if not _is_lost(history, verdict)]
            if kept and _is_own(function, which):
                yield f"verdict: {which} was judged, and has no record"
            continue
        if record["answer"] is None:
            if any(not _is_lost(history, verdict) for verdict in verdicts):
                yield f"verdict: {which} was judged, and recorded as {record['outcome']} without it"
            continue
        before = {verdict.claim for verdict in verdicts if verdict.claim <= record["answer"]["claim"]}
        calls = record["data"]["api"]["calls"]
        if calls < len(before):
            yield f"verdict: {which} tells {calls} calls, and {len(before)} claims called"


def _is_own(function: Function, which: str) -> bool:
    prefix = f"{function.settings.state_prefix}claims/"
    return any(f"/{which}/" in key for key in function.state.names(prefix))


def verdicts_are_the_right_ones(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What is told of two uploads is what the API says of their bytes."""
    for which, record in found.items():
        data = record["data"]
        if record["answer"] is None or code_row(record["answer"]["code"]).klass not in ("verdict", "person"):
            continue
        says = judged(data["live"]["md5"], data["image"]["md5"])
        if says[0] != record["answer"]["code"]:
            code = record["answer"]["code"]
            yield f"message: {which} tells {code} of bytes of which the API says {says[0]}"


def no_pair_has_more_verdicts_than_allowed(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Beside the runs that the operator asked for.

    What LIST shows late is judged above the limit: then only what was claimed longer ago counts.
    """
    most = function.settings.max_verdicts
    asked = {(asked.record["pair"], asked.run) for asked in history.books.asked}
    pairs: dict[str, set[str]] = {}
    for which in _verdicts(history):
        record = found.get(which)
        if record is not None and (record["pair"], record["run"]) not in asked:
            pairs.setdefault(record["pair"], set()).add(which)
    for path, judged_ones in pairs.items() if most else ():
        if not history.plan.mood.list_lag and len(judged_ones) > most:
            yield f"verdict: {path} has {len(judged_ones)} verdicts, and MAX_VERDICTS is {most}"
        claimed = history.books.claimed[path]
        for which in judged_ones:
            before = sum(at < claimed[which] - LIST_LAG for at in claimed.values())
            if before >= most:
                yield f"verdict: {which} was judged after {before} others, and MAX_VERDICTS is {most}"


# --- what is left behind ----------------------------------------------------------------------------


def the_agenda_is_empty(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Nothing settled stays on the agenda."""
    for key in function.state.names(function.agenda):
        yield f"state: {key} stays on the agenda"


def no_mark_waits_for_ever(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """A mark that a live package waits for its image is gone within days, whether the image came or not."""
    if not reconciled:
        return  # a walk takes it off
    prefix = f"{function.settings.state_prefix}waiting/"
    for key in function.state.names(prefix):
        version = function.state.now(key)
        if version is not None and history.world.now - version.at > MARK_DAYS * 86_400:
            yield f"state: {key} has waited for its image for more than {MARK_DAYS} days"


def nothing_is_left_of_what_was_erased(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Once `forget` says that nothing is left, nothing is, nor comes back, unless it is uploaded again."""
    if history.plan.mood.list_lag:
        return  # what LIST does not show it cannot erase
    for at, number, path, uploads in history.books.erased:
        if number != function.number or any(function.uploads.changed.get(key, 0.0) > at for key in uploads):
            continue
        for key in function.state.names(function.settings.state_prefix):
            stored = function.state.now(key)
            data = (stored and stored.data) or b""
            if f"/{path}/" in key or key.endswith(f"/{path}") or f'"{path}"'.encode() in data:
                yield f"state: {key} is there, of what was erased"


EVERY: tuple[Check, ...] = (
    every_upload_has_its_outcome,
    every_run_asked_for_ends,
    no_settled_pair_becomes_incomplete,
    runs_have_a_reason,
    verdicts_are_asked_for_once,
    verdicts_are_recorded,
    verdicts_are_the_right_ones,
    no_pair_has_more_verdicts_than_allowed,
    every_record_is_told,
    attempts_are_no_more_than_the_schedule_has,
    attempts_are_made_in_time,
    what_is_redelivered_arrives,
    no_live_package_of_a_shared_image_is_missing,
    the_agenda_is_empty,
    no_mark_waits_for_ever,
    nothing_is_left_of_what_was_erased,
)
