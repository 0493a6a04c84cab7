"""`list`: what is under way, with its state, since when, and when it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from handler.cli.at_work import ERASED
from handler.cli.deployment import Deployment
from handler.cli.find import (
    Scheduled,
    agenda_keys,
    last_answer,
    path_of,
    scheduled,
    side_by_side,
    stored_json,
    stored_time,
)
from handler.cli.named import Named, named
from handler.cli.output import Output, count, span, when
from handler.rules.agenda import Deliver, LastAnswer, Look, TakeOver, Task
from handler.rules.claiming import Claim
from handler.rules.outcome import Verification
from handler.rules.records import Record
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

STATES = {
    "waiting": "for its other half, or to be seen",
    "running": "being judged, or to be tried again",
    "undelivered": "decided, and not yet taken by the webhook",
    "dead": "decided, and given up by the webhook's schedule: `redeliver` it",
    "unreadable": "an agenda entry that cannot be read: look at it, then delete it",
}


class Item(NamedTuple):
    """Something under way. `since` is its upload, its first try or its decision; `due` when it goes on.

    `pair` is the pair's path, `verification` an ID, `failures` how often its work failed, `last` the attempt
    to tell it that failed last: its number, when, and why. A command with `--json` prints these fields.
    """

    state: str
    pair: str
    key: str
    verification: str | None
    since: datetime | None
    due: datetime | None
    detail: str
    failures: int = 0
    last: LastAnswer | None = None


class UnderWay(NamedTuple):
    """What is under way, oldest first, and the walks over all uploads that are.

    Of each state the oldest were read; of the others it is told what their keys tell.
    """

    items: list[Item]
    walks: list[Scheduled]

    def by_state(self) -> dict[str, list[Item]]:
        return {state: [item for item in self.items if item.state == state] for state in STATES}


class _Found(NamedTuple):
    """Something under way as its key tells it, and how to read more of it: None where it is over."""

    item: Item
    read: Callable[[], Item | None]


# --- reading it -----------------------------------------------------------------------------------------


def under_way(deployment: Deployment, output: Output, limit: int) -> UnderWay:
    """List the whole agenda and all dead letters, and read the oldest `limit` of each state."""
    with output.progress() as progress:
        bar = progress.add_task("reading the agenda", total=None)

        def advance() -> None:
            progress.advance(bar)

        listed = [(stored, named(stored.key)) for stored in agenda_keys(deployment)]
        entries = scheduled(deployment, [stored for stored, entry in listed if entry is None], advance)
        found = [_by_name(deployment, stored, entry) for stored, entry in listed if entry]
        found += [_by_body(deployment, entry) for entry in entries if not entry.is_walk]
        dead = deployment.state.every(deployment.state_prefix("dead"))
        found += [_by_letter(deployment, stored) for stored in dead]
        once = sorted(_each_once(found), key=lambda each: (each.item.since is None, each.item.since))
        chosen = [each for state in STATES for each in _of_state(once, state)[:limit]]
        read = dict(zip(chosen, side_by_side((each.read for each in chosen), advance), strict=True))
    items = [read.get(each, each.item) for each in once]
    in_order = sorted((item for item in items if item), key=lambda item: (item.since is None, item.since))
    return UnderWay(in_order, [entry for entry in entries if entry.is_walk])


def _of_state(found: list[_Found], state: str) -> list[_Found]:
    return [each for each in found if each.item.state == state]


def _each_once(found: list[_Found]) -> Iterable[_Found]:
    """One of each verification, the one that is due first; no pair waits that is being judged.

    Read, it tells of the one whose work failed most.
    """
    running = {each.item.pair for each in found if each.item.state == "running"}
    same: dict[tuple[str, str | None], list[_Found]] = {}
    for each in sorted(found, key=lambda each: (each.item.due is None, each.item.due)):
        item = each.item
        if item.state != "waiting" or item.failures or item.pair not in running:
            same.setdefault((item.pair or item.key, item.verification), []).append(each)
    return [_Found(each[0].item, partial(_with_failures, each)) for each in same.values()]


def _with_failures(same: list[_Found]) -> Item | None:
    """The first of several of one verification, with what keeps failing."""
    items = [item for item in (each.read() for each in same) if item]
    if not items:
        return None
    first, failing = items[0], max(items, key=lambda item: item.failures)
    if not failing.failures:
        return first
    failed = f"failed {count(failing.failures, 'time')}, again at {when(failing.due)}"
    detail = f"{first.detail}; {failed}" if first.detail else failed
    return first._replace(detail=detail, failures=failing.failures)


# --- entries of the agenda


def _by_name(deployment: Deployment, stored: Stored, entry: Named) -> _Found:
    due, path = deployment.ledger.minute_of(stored.key), path_of(deployment, entry)
    state = {"look": "waiting", "take_over": "running", "deliver": "undelivered"}[entry.kind]
    detail = _waits(entry.number, entry.run, entry.role) if entry.kind == "look" else ""
    item = Item(state, path, entry.key or "", entry.verification, entry.since, due, detail)
    return _Found(item, partial(_read, deployment, stored, item))


def _by_body(deployment: Deployment, entry: Scheduled) -> _Found:
    """An entry whose name does not tell what it is about."""
    task = entry.task
    if task is None:
        item = Item("unreadable", "", entry.key, None, None, entry.due, "")
    elif isinstance(task, (TakeOver, Deliver)):
        state = "running" if isinstance(task, TakeOver) else "undelivered"
        item = Item(
            state, entry.path, entry.upload_key, task.verification.id, None, entry.due, "", task.failures
        )
        return _Found(item, partial(_detailed, deployment, item, task))
    else:
        assert isinstance(task, Look)  # noqa: S101 # walks are left out
        detail = _waits(task.step, task.run, task.role)
        since = task.uploaded_at
        item = Item("waiting", entry.path, entry.upload_key, None, since, entry.due, detail, task.failures)
    return _Found(item, lambda: item)


def _waits(step: int, run: int | None, role: str | None) -> str:
    if step == ERASED:
        return "erased while an instance was at work: run `forget` again then"
    return f"run {run} was asked for" if run else f"{role or 'it'} was uploaded"


def _read(deployment: Deployment, stored: Stored, item: Item) -> Item | None:
    """Read an entry, and what it is about."""
    (entry,) = scheduled(deployment, [stored])
    if entry.task is None:
        unreadable = item._replace(state="unreadable", key=stored.key)
        return unreadable if deployment.state.objects.head(stored.key) else None
    return _detailed(
        deployment, item._replace(key=entry.upload_key, failures=entry.task.failures), entry.task
    )


def _detailed(deployment: Deployment, item: Item, task: Task) -> Item | None:
    """What the record or the claim tells; None for what a sweep only takes off."""
    if not isinstance(task, (TakeOver, Deliver)):
        return item
    try:
        record = deployment.ledger.record(task.verification)
        if record is not None:
            return _undelivered(item, task, record)
        claim = deployment.ledger.claim(task.verification, task.n) if isinstance(task, TakeOver) else None
    except CorruptState as error:
        return item._replace(state="unreadable", detail=str(error))
    since = claim.first_try_at if claim else item.since
    detail = _how_far(claim, deployment.clock.now())
    return item._replace(state="running", since=since, detail=detail)


def _undelivered(item: Item, task: Task, record: Record) -> Item | None:
    if record.settled:
        return None
    made = task.attempt - 1 if isinstance(task, Deliver) else record.attempts
    detail = f"{record.outcome}, {last_answer(task) or count(made, 'attempt') + ' so far'}"
    if isinstance(task, Deliver):
        item = item._replace(last=task.last)
    return item._replace(state="undelivered", since=record.decided_at, detail=detail)


def _how_far(claim: Claim | None, now: datetime) -> str:
    if claim is None:
        return "to be judged"
    if claim.retry_at is not None:
        tries = count(sum(claim.tries.values()), "time")
        reason = f"{claim.code or 'given back'}, tried {tries}"
        return f"{reason}; next try from {when(claim.retry_at)}"
    if claim.lease_until > now:
        return f"a call is under way, until {when(claim.lease_until)} at the most"
    return "its instance is gone; a sweep takes it over"


# --- dead letters


def _by_letter(deployment: Deployment, stored: Stored) -> _Found:
    path, _, verification = stored.key.removeprefix(deployment.state_prefix("dead")).rpartition("/")
    item = Item("dead", path, stored.key, verification, stored.uploaded_at, None, "")
    return _Found(item, partial(_dead, deployment, item))


def _dead(deployment: Deployment, item: Item) -> Item | None:
    """A dead letter; None for one that is over, as where `redeliver` was killed before it took it out."""
    letter = stored_json(deployment, item.key)
    with suppress(CorruptState):
        record = deployment.ledger.record(Verification(item.verification or "", 1, item.pair))
        if record is not None and record.dead_at is None:
            return None
    return item._replace(since=stored_time(letter, "at"), detail=str(letter.get("error", "")))


# --- showing it -----------------------------------------------------------------------------------------


def show_list(deployment: Deployment, output: Output, limit: int) -> None:
    """Counts and ages of what is under way, then the oldest `limit` of each state."""
    all_of_it = under_way(deployment, output, limit)
    by_state = all_of_it.by_state()
    now = deployment.clock.now()
    output.value(_as_json(all_of_it))
    output.table(("state", "number", "oldest", "which are"), _summary(by_state, now))
    output.table(
        ("state", "pair", "verification", "for", "due", "more"),
        [_row(item, now) for items in by_state.values() for item in items[:limit]],
        empty="Nothing is under way.",
    )
    hidden = sum(max(0, len(items) - limit) for items in by_state.values())
    if hidden:
        output.say(f"{hidden} more; --limit shows them.")
    for walk in all_of_it.walks:
        output.say(f"A reconcile is under way; it goes on at {when(walk.due)}.")


def _as_json(all_of_it: UnderWay) -> dict[str, object]:
    walks = [walk.task.key for walk in all_of_it.walks if walk.task]
    return {
        "counts": {state: len(items) for state, items in all_of_it.by_state().items()},
        "items": [_item_json(item) for item in all_of_it.items],
        "reconcile_after_key": walks[0] if walks else None,
    }


def _item_json(item: Item) -> dict[str, object]:
    last = item.last and dict(zip(("attempt", "at", "error"), item.last, strict=True))
    return {**item._asdict(), "last": last}


def _summary(by_state: dict[str, list[Item]], now: datetime) -> Iterable[tuple[object, ...]]:
    """A row for each state; what cannot be read has one only where there is any."""
    for state, items in by_state.items():
        if items or state != "unreadable":
            oldest = next((item.since for item in items if item.since), None)
            yield state, len(items), _age(oldest, now), STATES[state]


def _row(item: Item, now: datetime) -> tuple[object, ...]:
    return (
        item.state,
        item.pair or item.key,
        item.verification or "",
        _age(item.since, now),
        when(item.due),
        item.detail,
    )


def _age(since: datetime | None, now: datetime) -> str:
    return span((now - since).total_seconds()) if since else ""
