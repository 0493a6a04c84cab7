"""What must hold once the world is kind and quiet, each promise in a function of its own.

A violation's first word tells what is at stake: an `upload` that ends in no outcome, a `message` that should
not be or is not always the same, a `verdict` asked for without need, the `state` that is left behind.

What can be seen while it happens is checked where it happens, in `services`: a message told before it was
recorded or with other bytes, an object outside the state prefix, an upload deleted before anybody was told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from handler.rules.codes import code_row
from handler.rules.outcome import verification
from handler.rules.pairing import Pair, Role
from handler.rules.uploads import Seen, Stored
from tests.simulation.api import judged
from tests.simulation.history import History
from tests.simulation.platform import Function
from tests.simulation.store import LIST_LAG, Verdict
from tests.simulation.world import moment

Found = dict[str, dict[str, Any]]
"""The records of one function, by verification."""

Check = Callable[[History, Function, Found, bool], Iterator[str]]


def check(history: History, reconciled: bool) -> None:
    """Note every violation. Wholly lost events are excused until there has been a reconcile."""
    for function in history.functions:
        found = _records(function)
        for each in EVERY:
            for text in each(history, function, found, reconciled):
                history.world.violation(text)


def _records(function: Function) -> Found:
    prefix = f"{function.settings.state_prefix}records/"
    found: Found = {}
    for key in function.state.names(prefix):
        stored = function.state.now(key)
        if stored is not None and stored.data is not None:
            record = json.loads(stored.data)
            record["data"] = json.loads(record["body"])["data"]
            found[record["verification"]] = record
    return found


# --- promise 1: every upload ends in one outcome ----------------------------------------------------


def every_upload_has_its_outcome(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What lies in the bucket has been decided and settled, in the run that counts."""
    for pair in _pairs(function):
        halves = {role: _newest(function, pair, role) for role in ("live", "image")}
        live, image = halves["live"], halves["image"]
        numbers = [half[1] for half in (live, image) if half]
        if not numbers or (pair.shared and live is None):
            continue
        if not reconciled and (history.lost | history.superseded).intersection(numbers):
            continue  # no event told of it, or a newer alternative replaced it and was deleted
        seen = Seen(pair, function.settings.bucket, live and live[0], image and image[0])
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


def no_settled_pair_becomes_incomplete(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Half a pair whose other half was deleted by us is settled, and not told again."""
    for which, record in found.items():
        if record["outcome"] != "incomplete":
            continue
        since = moment(history.books.recorded[which][0][0]) - timedelta(seconds=LIST_LAG + 10)
        for other in found.values():
            if other["pair"] != record["pair"] or not other["delete"] or not other["delivered_at"]:
                continue
            if datetime.fromisoformat(other["delivered_at"]) > since:
                continue
            for role in ("live", "image"):
                if record["data"][role] and record["data"][role] == other["data"][role]:
                    settled = other["verification"]
                    yield f"message: {which} was told as incomplete, and is half of the settled {settled}"


def runs_have_a_reason(history: History, function: Function, found: Found, reconciled: bool) -> Iterator[str]:
    """A further run follows only `failed` and `incomplete`."""
    for which, record in found.items():
        if record["run"] == 1:
            continue
        before = [
            other
            for other in found.values()
            if other["pair"] == record["pair"]
            and other["run"] == record["run"] - 1
            and other["outcome"] in ("failed", "incomplete")
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


# --- recorded once, then told -----------------------------------------------------------------------


def every_record_is_told(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Every message was accepted at least once, unless the consumer said that it is gone."""
    for which, record in found.items():
        message = f"msg_{which}"
        if message not in history.books.accepted and message not in history.books.gone:
            yield f"upload: {message} ({record['outcome']}) was never accepted"
        if not record["delivered_at"] and not record["dead_at"]:
            yield f"state: {message} is not settled: it is marked neither delivered nor dead"
        if record["dead_at"] and message not in history.books.gone:
            yield f"upload: {message} was given up"
        for role in record["delete"] if record["delivered_at"] else ():
            told, left = record[role], function.uploads.now(record[role]["key"])
            told_at = history.books.accepted[message][0]
            if left is not None and left.etag == told["etag"] and left.at < told_at:
                yield f"state: {message} was told, and {told['key']} was not deleted"


def the_agenda_is_empty(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Nothing settled stays on the agenda."""
    for key in function.state.names(function.agenda):
        yield f"state: {key} stays on the agenda"


EVERY: tuple[Check, ...] = (
    every_upload_has_its_outcome,
    no_settled_pair_becomes_incomplete,
    runs_have_a_reason,
    verdicts_are_asked_for_once,
    verdicts_are_recorded,
    verdicts_are_the_right_ones,
    every_record_is_told,
    the_agenda_is_empty,
)


# --- what lies in the bucket ------------------------------------------------------------------------


def _pairs(function: Function) -> list[Pair]:
    """The pairs of which at least one upload is there."""
    found: dict[str, Pair] = {}
    for key in function.uploads.names():
        if not key.startswith(function.settings.state_prefix):
            match = function.settings.templates.match(key)
            if match is not None and isinstance(match[1], Pair):
                found[match[1].path] = match[1]
    return list(found.values())


def _newest(function: Function, pair: Pair, role: str) -> tuple[Stored, int] | None:
    """The upload of a role that counts, and its number."""
    newest: tuple[Stored, int] | None = None
    for key in pair.keys("live" if role == "live" else "image"):
        stored = function.uploads.now(key)
        if stored is not None and (newest is None or stored.modified > newest[0].uploaded_at):
            half = Stored(key, stored.etag, stored.md5, stored.size, stored.modified)
            if not stored.is_md5 and stored.size > _most(function, "live" if role == "live" else "image"):
                half = Stored(key, stored.etag, None, stored.size, stored.modified)
            newest = half, stored.number
    return newest


def _most(function: Function, role: Role) -> int:
    settings = function.settings
    return settings.max_live_bytes if role == "live" else settings.max_image_bytes
