"""What has happened to each pair, told from what the cloud's own services have seen. Changes nothing.

Uploads, API requests and state come from the proxy's log, invocations from the function platform, deliveries
from the consumer, and what is still to come from the objects in the bucket.
"""

from __future__ import annotations

import contextlib
import json
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
from tests.local.world import BUCKET, STATE, STATE_BUCKET, TEMPLATES, World, minute_of

PAUSE = 2.0
"""Real seconds without news after which a new chapter of the timeline begins."""

RESENDER = "livepair-local"
"""The user agent of what is sent again by hand, or to the consumer's own program."""

SHOWN = 200
"""Pairs that are listed, the newest ones."""

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
            if pair and entry.operation in ("PutObject", "CompleteMultipartUpload"):
                name, bad = f"upload {entry.key.rpartition('/')[2]}", entry.status not in (200, None)
                note = f"answered {entry.status}" if bad else ""
                step = Step(name, world.real(entry.at), entry.seconds, note, bad)
                _of(told, pair).uploads.append(step)
            continue
        mine = of_instance[entry.source]
        number = bisect_right(mine, entry.at, key=lambda each: each.at)
        if number == 0:
            continue
        by = mine[number - 1]
        work[id(by)].append((entry, pair, call.code if call else ""))
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
        return Step("deliver", start, seconds, f"{status or 'no answer'}, {verified}", not good)
    name = STEPS.get(entry.key.removeprefix(STATE).split("/")[0], "agenda")
    note = ""
    if entry.operation == COMPARE:
        name, note = "call the API", code
    elif entry.service == "faceid-files":
        name = "best frame"
    elif entry.key.startswith("uploads/"):
        name = "look up" if entry.method == "HEAD" else "read upload"
        note = f"no {entry.key.rpartition('/')[2]} yet" if status == 404 and "png" not in entry.key else ""
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
    took = None
    if record and record["delivered_at"] and told.uploads:
        took = world.real(datetime.fromisoformat(record["delivered_at"])) - max(
            step.start for step in told.uploads
        )
    return {
        "path": told.pair.path,
        "id": dict(told.pair.values)["id"],
        "outcome": record["outcome"] if record else None,
        "code": record["code"] if record else (told.codes[-1] if told.codes else None),
        "state": state,
        "due": due,
        "took": round(took, 2) if took is not None and 0 <= took < 60 else None,
        "live": any(key in bucket for key in told.pair.live_keys),
        "image": any(key in bucket for key in told.pair.image_keys),
        "calls": len(told.calls),
        "billed": sum(call.billed for call in told.calls),
        "messages": len({attempt.id for attempt in told.attempts}),
        "news": [len(steps), open_steps, len(told.visits), len(told.uploads), len(told.attempts)],
    }


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
    return {**summary(world, told), "chapters": chapters, "log": log, "sent": _messages(told)}


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
