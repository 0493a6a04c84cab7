"""What has happened to each pair, told from what the cloud's own services have seen. Changes nothing.

Uploads, API requests and state come from the proxy's log, invocations from the function platform, deliveries
from the consumer, and what is still to come from the objects in the bucket.
"""

from __future__ import annotations

import contextlib
import json
import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from handler.rules.pairing import AmbiguousKey, Pair
from handler.state.codec import VERSION
from tests.cloud.consumer import Attempt
from tests.cloud.faceid import COMPARE, Call
from tests.cloud.function import Invocation
from tests.cloud.proxy import Logged
from tests.local.program import RESENDER
from tests.local.world import (
    BUCKET,
    MIN_SIMILARITY,
    PREFIX,
    STATE,
    STATE_BUCKET,
    TEMPLATES,
    World,
    minute_of,
)

PAUSE = 2.0
"""Real seconds without news after which a new chapter of the timeline begins."""

SHOWN = 200
"""Pairs that are listed, the newest ones."""

STRAYS = 20
"""Uploads that came to nothing that are listed, the newest ones."""

UPLOADS = ("PutObject", "CompleteMultipartUpload")
DEVICE_DATA = "device-data/"
"""Where a backend puts what the liveness SDK says of a phone, by `policy.backend.json`."""

LOOKS = {
    "live": re.compile(r"live|video|\.(t?gz|gzip|zip|bin|dat)$", re.IGNORECASE),
    "image": re.compile(r"image|photo|face|\.(jpe?g|png|webp|heic|bmp)$", re.IGNORECASE),
}
"""How the names of the two kinds of upload look."""

PROBE = re.compile(r"(^|/)(doctor/?[0-9a-f]{16}|nothing-of-livepair)(/|$)")
"""What `doctor` tries to write, and means to be refused."""

DENIED = "the header x-cos-forbid-overwrite: true is missing, the file is too large, or the link has ended"
"""Why the backend's keys may not write an upload's key; COS does not say it."""

STEPS = {
    "claims": "claim",
    "records": "record",
    "best-frames": "best frame",
    "agenda": "agenda",
    "dead": "give up",
}


@dataclass(slots=True)
class Step:
    """One bar of the timeline; `start` in real seconds, `seconds` None while it goes on."""

    name: str
    start: float
    seconds: float | None
    note: str = ""
    bad: bool = False


@dataclass(slots=True)
class Visit:
    """One invocation's work on one pair."""

    invocation: Invocation
    steps: list[Step] = field(default_factory=list)


@dataclass(slots=True)
class Told:
    """All that is known of one pair. `todo` is when the agenda comes back to it, and what for."""

    pair: Pair
    refused: str = ""
    """What its last upload was answered, where that was refused."""
    uploads: list[Step] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    todo: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def began(self) -> float:
        steps = [*self.uploads, *(step for visit in self.visits for step in visit.steps)]
        return min((step.start for step in steps), default=0.0)


Work: TypeAlias = tuple[Logged | Attempt, Pair | None, str]
"""A request or a delivery of an invocation, the pair it names, and the API's code."""


def read(world: World) -> dict[str, Told]:
    """Every pair by its path, the newest first."""
    cloud, told = world.cloud, dict[str, Told]()
    invocations, attempts, log = cloud.scf.invocations, cloud.consumer.attempts, cloud.log
    asked = _match_calls(log, cloud.faceid.calls)
    of_instance: dict[str, list[Invocation]] = defaultdict(list)
    for invocation in invocations:
        of_instance[invocation.instance].append(invocation)
    work: dict[int, list[Work]] = defaultdict(list)
    owners: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for entry in log:
        call, key = asked.get(id(entry), (None, entry.key))
        pair = _pair_of(key)
        if entry.source not in of_instance:
            if pair and _is_upload(entry) and entry.bucket == BUCKET:
                name, refused = f"upload {entry.key.rpartition('/')[2]}", _refused(entry)
                refused += f"; {DENIED}" if entry.code == "AccessDenied" else ""
                note = f"refused: {refused}" if refused else ""
                step = Step(name, world.real(entry.at), entry.seconds, note, bool(refused))
                of = _of(told, pair)
                of.refused = refused
                of.uploads.append(step)
            continue
        mine = of_instance[entry.source]
        number = bisect_right(mine, entry.at, key=lambda each: each.at)
        if number == 0:
            continue
        by = mine[number - 1]
        work[id(by)].append((entry, pair, _answered(call) if call else ""))
        if pair and call:
            _of(told, pair).calls.append(call)
        # An event's invocation tells what it has recorded itself, a sweep what anybody has.
        if pair and (by.kind == "timer" or (entry.method == "PUT" and "/records/" in entry.key)):
            owners[pair.path].append((entry.at, id(by)))
    for attempt in attempts:
        pair = _told_of(attempt)
        if pair:
            _of(told, pair).attempts.append(attempt)
            before = [by for at, by in owners[pair.path] if at <= attempt.at]
            if before and not is_resent(attempt):
                work[before[-1]].append((attempt, pair, ""))
    for invocation in invocations:
        _visit(world, told, invocation, work[id(invocation)])
    _look_into_bucket(world, told)
    return dict(sorted(told.items(), key=lambda item: item[1].began, reverse=True)[:SHOWN])


def _is_upload(entry: Logged) -> bool:
    return entry.operation in UPLOADS and not (_refused(entry) and PROBE.search(entry.key))


def _refused(entry: Logged) -> str:
    """The status and the code that an upload was refused with; empty where it was not."""
    return f"{entry.status} {entry.code}".strip() if entry.status not in (200, None) else ""


def _answered(call: Call) -> str:
    """What the API made of a pair: the code, and how alike the two are."""
    if call.similarity is None:
        return call.code
    beside = "at least" if call.similarity >= MIN_SIMILARITY else "below"
    return f"{call.code}, similarity {call.similarity:g}, {beside} {MIN_SIMILARITY:g}"


def _match_calls(log: list[Logged], calls: list[Call]) -> dict[int, tuple[Call, str]]:
    """Each call of the API and its live package's key, by the request that was logged just before it."""
    found = {}
    waiting: dict[str, deque[Call]] = defaultdict(deque)
    for call in sorted(calls, key=lambda call: call.at):
        if call.action == COMPARE:
            waiting[call.source].append(call)
    for entry in log:
        if entry.operation == COMPARE and entry.handled and waiting[entry.source]:
            call = waiting[entry.source].popleft()
            found[id(entry)] = (call, _live_key(call))
    return found


def _live_key(call: Call) -> str:
    try:
        return unquote(urlsplit(json.loads(call.body)["LiveDataUrl"]).path)[1:]
    except (ValueError, KeyError, TypeError):
        return ""


@lru_cache(4096)
def _pair_of(key: str) -> Pair | None:
    """The pair that an upload or a state object belongs to."""
    parts = key.removeprefix(STATE).split("/")
    if key.startswith(STATE):
        known = parts[0] in STEPS and parts[0] != "agenda" and len(parts) > 2
        key = f"uploads/{unquote(parts[1])}/live.gz" if known else ""
    try:
        found = TEMPLATES.match(key)
    except AmbiguousKey:
        return None
    return found[1] if found and isinstance(found[1], Pair) else None


def is_resent(attempt: Attempt) -> bool:
    """Whether somebody had a message sent again by hand."""
    return attempt.headers.get("user-agent") == RESENDER


def _told_of(attempt: Attempt) -> Pair | None:
    try:
        return TEMPLATES.pair(json.loads(attempt.body)["data"]["pair"], "")
    except (ValueError, KeyError, TypeError):
        return None


def _of(told: dict[str, Told], pair: Pair) -> Told:
    return told.setdefault(pair.path, Told(pair))


def _visit(world: World, told: dict[str, Told], invocation: Invocation, work: list[Work]) -> None:
    """Hand an invocation's work to its pairs: what names no pair is that of the only one there is."""
    mine = {pair.path: pair for _, pair, _ in work if pair}
    if invocation.kind == "cos":
        own = _pair_of(invocation.event["Records"][0]["cos"]["cosObject"]["key"].split("/", 3)[3])
        mine |= {own.path: own} if own else {}
    work.sort(key=lambda item: item[0].at)
    for pair in mine.values():
        visit = Visit(invocation)
        for entry, of, code in work:
            if of == pair or (of is None and len(mine) == 1):
                _add(visit, _step(world, entry, code, visit.steps))
        _add_yield(visit, pair.path)
        _of(told, pair).visits.append(visit)


def _step(world: World, entry: Logged | Attempt, code: str, before: list[Step]) -> Step:
    start, seconds, status = world.real(entry.at), entry.seconds, entry.status
    if isinstance(entry, Attempt):
        good = status is not None and 200 <= status < 300
        verified = "signature verified" if entry.verified else "signature refused"
        answered = status or (entry.said or "no answer" if seconds is not None else "…")
        return Step("deliver", start, seconds, f"{answered}, {verified}", not good and seconds is not None)
    name = STEPS.get(entry.key.removeprefix(STATE).split("/")[0], "agenda")
    note = ""
    if entry.operation == COMPARE:
        name, note = "call the API", code
    elif entry.service == "faceid-files":
        name = "best frame"
    elif entry.key.startswith("uploads/"):
        name = "look up" if entry.method == "HEAD" else "read upload"
        note = f"no {entry.key.rpartition('/')[2]} yet" if status == 404 else ""
    elif name == "record" and entry.method == "GET":
        name = "read record"
    elif name == "claim" and status == 409:
        note = "another instance has it"
    if any(step.name == "deliver" and not step.bad for step in before) and name in ("record", "agenda"):
        name = "settle"
    elif name == "agenda" and before and before[-1].name == "claim":
        name = "claim"
    bad = bool(status and status >= 500) or "RequestLimitExceeded" in note
    if "kill_after" in entry.faults:
        return Step(name, start, seconds, f"{note}; the instance is killed here", True)
    return Step(name, start, seconds, f"answered {status}" if bad and not note else note, bad)


def _add(visit: Visit, step: Step) -> None:
    """Draw what goes on at once, or one after the other for one purpose, as one bar."""
    last = visit.steps[-1] if visit.steps else None
    if last is None or last.name != step.name or step.name in ("deliver", "call the API"):
        visit.steps.append(step)
        return
    open_end = last.seconds is None or step.seconds is None
    end = max(last.start + (last.seconds or 0), step.start + (step.seconds or 0))
    last.seconds = None if open_end else end - last.start
    notes = dict.fromkeys(note for note in (*last.note.split(", "), step.note) if note)
    last.note, last.bad = ", ".join(notes), last.bad or step.bad


def _add_yield(visit: Visit, path: str) -> None:
    """No request tells of the wait for the other half's event; the function's log does."""
    for line in _lines(visit, path):
        if '"yield_ms"' in line and visit.steps:
            first = visit.steps[0]
            seconds = json.loads(line)["yield_ms"] / 1000
            after = first.start + (first.seconds or 0)
            visit.steps.insert(1, Step("yield", after, seconds, "the later upload's event goes first"))


def _look_into_bucket(world: World, told: dict[str, Told]) -> None:
    for key, found in _state(world):
        kind = key.removeprefix(STATE).split("/")[0]
        pair = _pair_of(found["key"] if kind == "agenda" and found["key"] else key)
        if pair is None or pair.path not in told:
            continue
        due = minute_of(key)
        if kind == "agenda" and due:
            told[pair.path].todo.append((due, found["kind"]))
        elif kind == "records":
            told[pair.path].records.append({**found["decided"], **found})
        elif kind == "claims" and found["code"]:
            told[pair.path].codes.append(found["code"])


def _state(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """The function's own objects; what somebody else has written there is passed over."""
    bucket = world.cloud.cos.bucket(STATE_BUCKET)
    for key in bucket.keys(STATE):
        kind = key.removeprefix(STATE).split("/")[0]
        stored = bucket.find(key) if kind in ("agenda", "records", "claims") else None
        with contextlib.suppress(ValueError):
            found = json.loads(stored.data) if stored else None
            if isinstance(found, dict) and found.get("version") == VERSION:
                yield key, found


# --- for the page -----------------------------------------------------------------------------------


def summary(world: World, told: Told) -> dict[str, Any]:
    """One line of the list of pairs. Changes whenever anything about the pair does."""
    bucket = world.cloud.cos.bucket(BUCKET)
    record = max(told.records, key=lambda found: found["decided_at"], default=None)
    state, due = _stand(told, record)
    steps = [step for visit in told.visits for step in visit.steps]
    open_steps = sum(step.seconds is None for step in (*steps, *told.uploads))
    similarity, least = _similarity(record)
    return {
        "path": told.pair.path,
        "id": dict(told.pair.values)["id"],
        "outcome": record["outcome"] if record else None,
        "code": record["code"] if record else (told.codes[-1] if told.codes else None),
        "similarity": similarity,
        "min_similarity": least,
        "state": state,
        "due": due,
        "answer": _last_answer(told),
        "took": _took(world, told, record),
        "live": any(key in bucket for key in told.pair.live_keys),
        "image": any(key in bucket for key in told.pair.image_keys),
        "calls": len(told.calls),
        "billed": sum(call.billed for call in told.calls),
        "messages": len({attempt.id for attempt in told.attempts}),
        "news": [len(steps), open_steps, len(told.visits), len(told.uploads), len(told.attempts)],
    }


def _took(world: World, told: Told, record: dict[str, Any] | None) -> float | None:
    """Seconds of the cloud's clock from the last upload that was judged to its delivery."""
    if not record or not record["delivered_at"]:
        return None
    delivered = datetime.fromisoformat(record["delivered_at"])
    began = [world.shown(step.start) for step in told.uploads if not step.bad]
    before = [at for at in began if at <= delivered]
    return round((delivered - max(before)).total_seconds(), 2) if before else None


def _similarity(record: dict[str, Any] | None) -> tuple[float | None, float | None]:
    """How alike the two are by a decided verification, and what was needed."""
    data = _message(record)
    return data.get("similarity"), data.get("min_similarity")


def _message(record: dict[str, Any] | None) -> dict[str, Any]:
    """The data of the message of a decided verification."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(record["body"])["data"] if record else {}
        return found if isinstance(found, dict) else {}
    return {}


def _last_answer(told: Told) -> str | None:
    """What the webhook answered last, where that was no 2xx."""
    done = [each for each in told.attempts if each.seconds is not None and not is_resent(each)]
    if not done or (done[-1].status is not None and 200 <= done[-1].status < 300):
        return None
    return str(done[-1].status) if done[-1].status else (done[-1].said or "no answer")


def _stand(told: Told, record: dict[str, Any] | None) -> tuple[str, str | None]:
    """Where a pair stands, and until when."""
    due = min(told.todo, default=None)
    at = due[0].isoformat() if due else None
    if any(visit.invocation.status == "running" for visit in told.visits):
        return "running", None
    if record:
        if record["delivered_at"]:
            return "delivered", None
        return ("given up", None) if record["dead_at"] else ("undelivered", at)
    if due:
        return ("waiting" if due[1] == "look" and not told.calls else "retrying"), at
    if told.refused and not told.visits and all(step.bad for step in told.uploads):
        return "refused", None
    last = told.visits[-1].invocation if told.visits else None
    if last and last.status != "ok" and last.attempt < 3:
        return "retrying", None
    return ("left to reconcile" if told.visits else "uploaded"), None


def detail(world: World, told: Told) -> dict[str, Any]:
    """Everything about one pair: its timeline in chapters, its messages and the function's log."""
    now = world.real(world.cloud.clock.now())
    blocks = [[_row(step, "upload", now)] for step in told.uploads]
    blocks += [_rows(world, visit, now) for visit in told.visits]
    chapters: list[dict[str, Any]] = []
    end = skipped = 0.0
    for block in sorted(blocks, key=lambda block: block[0]["start"]):
        start = block[0]["start"]
        at = world.shown(start)
        if not chapters or start - end > PAUSE or at.timestamp() - start - skipped > PAUSE:
            chapters.append({"start": start, "at": at.isoformat(), "rows": [], "span": 0.001})
            end, skipped = start, at.timestamp() - start
        chapters[-1]["rows"] += block
        end = max(end, *(row["start"] + row["seconds"] for row in block))
        chapters[-1]["span"] = max(0.001, end - chapters[-1]["start"])
    for chapter in chapters:
        for row in chapter["rows"]:
            row["start"] -= chapter["start"]
    log = [line for visit in told.visits for line in _lines(visit, told.pair.path)]
    return {
        **summary(world, told),
        "refused": told.refused,
        "ids": _ids(told),
        "chapters": chapters,
        "log": log,
        "sent": _messages(told),
    }


def _ids(told: Told) -> list[tuple[str, str]]:
    """What the pair is called, whole, to be copied."""
    found = [("Pair", dict(told.pair.values)["id"])]
    found += [("Live key", key) for key in told.pair.live_keys]
    found += [("Image key", key) for key in told.pair.image_keys]
    for record in sorted(told.records, key=lambda each: str(each["decided_at"])):
        data = _message(record)
        found.append(("Verification", str(data.get("verification_id"))))
        if data.get("api"):
            found.append(("API request", str(data["api"].get("request_id"))))
    return found


def strays(world: World) -> list[dict[str, Any]]:
    """Uploads from outside that can come to nothing, the newest first, and what would have matched."""
    instances = {each.instance for each in world.cloud.scf.invocations}
    found = []
    for entry in reversed(world.cloud.log):
        if entry.source in instances or not _is_upload(entry) or entry.status is None:
            continue
        refused, elsewhere = _refused(entry), entry.bucket != BUCKET
        if (not elsewhere and _pair_of(entry.key)) or (not refused and _is_meant(entry)):
            continue
        why = [f"refused: {refused}"] if refused else []
        why += [f"in {entry.bucket}, and the function looks at {BUCKET}"] if elsewhere else []
        if _pair_of(entry.key) is None:
            why.append("matches no template")
            why += [] if entry.key.startswith(PREFIX) else [f"the trigger tells of {PREFIX} only"]
        at = entry.at.isoformat()
        found.append({"at": at, "key": entry.key, "why": "; ".join(why), "fits": fits(entry.key)})
    return found[:STRAYS]


def reconciled(done: Invocation) -> str:
    """What the daily timer's invocation came to."""
    if not done.ok:
        last = (done.error or done.status).strip().splitlines()[-1]
        return f"Reconcile failed: {last}. The platform tries it again, and the next day's timer does."
    looked_at = 0
    for line in done.log:
        with contextlib.suppress(ValueError):
            looked_at += json.loads(line).get("looked_at", 0) if '"reconcile"' in line else 0
    uploads = "1 upload" if looked_at == 1 else f"{looked_at} uploads"
    told = ", ".join((done.result or {}).get("outcomes", [])) or "none"
    return f"Reconcile looked at {uploads} older than ten minutes. Outcomes told: {told}."


def _is_meant(entry: Logged) -> bool:
    """Whether somebody writes what is to be no half of a pair: a command's work, or a device's data."""
    return entry.bucket == STATE_BUCKET or entry.key.startswith(DEVICE_DATA)


def fits(key: str) -> list[str]:
    """Keys that would have matched, by what a key that does not looks like: its folder or name, its kind."""
    if _pair_of(key):
        return [key]
    *folders, name = key.split("/")
    stem = name.partition(".")[0]
    own = [each for each in folders if each and f"{each}/" != PREFIX]
    value = own[-1] if own else stem
    kinds = [kind for kind, looks in LOOKS.items() if looks.search(name)] or list(LOOKS)
    if not value or (not own and name in ("live.gz", "image.jpg")):
        value = "{id}"
    return [
        template.key({"id": value})
        for kind in kinds
        for template in (TEMPLATES.live if kind == "live" else TEMPLATES.image)
    ]


def _lines(visit: Visit, path: str) -> list[str]:
    """What the function has logged, without its lines about other pairs."""
    mine = f'"pair": {json.dumps(path)}'
    return [line for line in visit.invocation.log if mine in line or '"pair": ' not in line]


def _row(step: Step, kind: str, now: float) -> dict[str, Any]:
    seconds = max(0.0, now - step.start) if step.seconds is None else step.seconds
    return {
        "label": step.name,
        "kind": kind,
        "start": step.start,
        "seconds": seconds,
        "open": step.seconds is None,
        "note": step.note,
        "bad": step.bad,
    }


def _rows(world: World, visit: Visit, now: float) -> list[dict[str, Any]]:
    """An invocation and, below it, what it did for the pair."""
    invocation, start = visit.invocation, world.real(visit.invocation.at)
    rows = [_row(step, "step", now) for step in visit.steps]
    if invocation.cold and rows:
        cold = Step("cold start", start, rows[0]["start"] - start, f"instance {invocation.instance}")
        rows.insert(0, _row(cold, "step", now))
    running = invocation.status == "running"
    ends = [row["start"] + row["seconds"] for row in rows]
    whole = max([start + (0 if invocation.cold and rows else invocation.duration), *ends]) - start
    name = {"cos": "event", "timer": "timer"}.get(invocation.kind, "invocation")
    if invocation.kind == "cos":
        name += " " + invocation.event["Records"][0]["cos"]["cosObject"]["key"].rpartition("/")[2]
    note = f"attempt {invocation.attempt}" if invocation.attempt > 1 else ""
    if not running and invocation.status != "ok":
        last = (invocation.error or invocation.status).strip().splitlines()[-1]
        note = f"{note}, {last}" if note else last
    head = Step(name, start, None if running else whole, note, not running and invocation.status != "ok")
    return [_row(head, "invocation", now), *rows]


def _messages(told: Told) -> list[dict[str, Any]]:
    """Each message, with every attempt to deliver it."""
    found: dict[str, dict[str, Any]] = {}
    for attempt in told.attempts:
        text = attempt.body.decode(errors="replace")
        message = found.setdefault(attempt.id, {"id": attempt.id, "body": text, "attempts": []})
        message["headers"] = attempt.headers
        message["attempts"].append(
            {
                "at": attempt.at.isoformat(),
                "status": attempt.status,
                "seconds": attempt.seconds,
                "verified": attempt.verified,
                "error": attempt.error,
                "said": attempt.said,
                "resent": is_resent(attempt),
            }
        )
    return list(found.values())


def counts(world: World, pairs: int) -> dict[str, int]:
    """What has been used so far."""
    calls = [call for call in world.cloud.faceid.calls if call.action == COMPARE]
    return {
        "pairs": pairs,
        "invocations": len(world.cloud.scf.invocations),
        "API calls": len(calls),
        "executed": sum(call.executed for call in calls),
        "billed": sum(call.billed for call in calls),
        "messages": len(world.cloud.consumer.messages),
        "deliveries": len(world.cloud.consumer.attempts),
    }
