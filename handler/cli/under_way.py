"""`list`: what is under way, with its state, since when, and when it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from handler.cli.at_work import is_guard
from handler.cli.deployment import Deployment
from handler.cli.find import Scheduled, agenda, side_by_side, stored_json, stored_time
from handler.cli.output import Output, count, span, when
from handler.rules.agenda import Deliver, Look, TakeOver, Task
from handler.rules.claiming import Claim
from handler.rules.outcome import Verification
from handler.rules.records import Record
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

    `pair` is the pair's path, `verification` an ID, `failures` how often its work failed; a command with
    `--json` prints these fields.
    """

    state: str
    pair: str
    key: str
    verification: str | None
    since: datetime | None
    due: datetime | None
    detail: str
    failures: int = 0


class UnderWay(NamedTuple):
    """What is under way, oldest first, and the walks over all uploads that are."""

    items: list[Item]
    walks: list[Scheduled]

    def by_state(self) -> dict[str, list[Item]]:
        return {state: [item for item in self.items if item.state == state] for state in STATES}


# --- reading it -----------------------------------------------------------------------------------------


def under_way(deployment: Deployment, output: Output) -> UnderWay:
    """Read the whole agenda and all dead letters."""
    with output.progress() as progress:
        bar = progress.add_task("reading the agenda", total=None)

        def advance() -> None:
            progress.advance(bar)

        entries = agenda(deployment, done=advance)
        scheduled = side_by_side((partial(_scheduled, deployment, entry) for entry in entries), advance)
        keys = [stored.key for stored in deployment.state.every(deployment.state_prefix("dead"))]
        dead = side_by_side((partial(_dead, deployment, key) for key in keys), advance)
    walks = [entry for entry in entries if entry.is_walk]
    items = _each_once([item for item in (*scheduled, *dead) if item])
    return UnderWay(sorted(items, key=lambda item: (item.since is None, item.since)), walks)


def _each_once(items: list[Item]) -> Iterable[Item]:
    """One item for each verification, the one that is due first; no pair waits that is being judged.

    It tells of the one whose work failed most.
    """
    running = {item.pair for item in items if item.state == "running"}
    same: dict[tuple[str, str | None], list[Item]] = {}
    for item in sorted(items, key=lambda item: (item.due is None, item.due)):
        if item.state != "waiting" or item.failures or item.pair not in running:
            same.setdefault((item.pair or item.key, item.verification), []).append(item)
    return [_with_failures(each) for each in same.values()]


def _with_failures(same: list[Item]) -> Item:
    """The first of several items of one verification, with what keeps failing."""
    first, failing = same[0], max(same, key=lambda item: item.failures)
    if not failing.failures:
        return first
    failed = f"failed {count(failing.failures, 'time')}, again at {when(failing.due)}"
    detail = f"{first.detail}; {failed}" if first.detail else failed
    return first._replace(detail=detail, failures=failing.failures)


def _scheduled(deployment: Deployment, entry: Scheduled) -> Item | None:
    """What an agenda entry stands for; None for a walk, and for what a sweep only takes off."""
    if entry.task is None:
        return Item("unreadable", "", entry.key, None, None, entry.due, "")
    item = _item(deployment, entry, entry.task)
    return item and item._replace(failures=entry.task.failures)


def _item(deployment: Deployment, entry: Scheduled, task: Task) -> Item | None:
    verification = entry.verification
    if isinstance(task, Look):
        return _waiting(entry, task)
    if verification is None:
        return None  # a walk
    item = Item("running", entry.path, entry.upload_key, verification.id, None, entry.due, "")
    try:
        record = deployment.ledger.record(verification)
        if record is not None:
            return _undelivered(item, task, record)
        claim = deployment.ledger.claim(verification, task.n) if isinstance(task, TakeOver) else None
    except CorruptState as error:
        return item._replace(state="unreadable", detail=str(error))
    since = claim.first_try_at if claim else None
    return item._replace(since=since, detail=_how_far(claim, deployment.clock.now()))


def _waiting(entry: Scheduled, task: Look) -> Item:
    if is_guard(task):
        detail = "erased while an instance was at work: run `forget` again then"
    else:
        detail = f"run {task.run} was asked for" if task.run else f"{task.role or 'it'} was uploaded"
    return Item("waiting", entry.path, entry.upload_key, None, task.uploaded_at, entry.due, detail)


def _undelivered(item: Item, task: Task, record: Record) -> Item | None:
    if record.settled:
        return None
    made = task.attempt - 1 if isinstance(task, Deliver) else record.attempts
    detail = f"{record.outcome}, {count(made, 'attempt')} so far"
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


def _dead(deployment: Deployment, key: str) -> Item | None:
    """A dead letter; None for one that is over, as where `redeliver` was killed before it took it out."""
    letter = stored_json(deployment, key)
    path, _, verification = key.removeprefix(deployment.state_prefix("dead")).rpartition("/")
    with suppress(CorruptState):
        record = deployment.ledger.record(Verification(verification, 1, path))
        if record is not None and record.dead_at is None:
            return None
    since, error = stored_time(letter, "at"), str(letter.get("error", ""))
    return Item("dead", path, key, verification, since, None, error)


# --- showing it -----------------------------------------------------------------------------------------


def show_list(deployment: Deployment, output: Output, limit: int) -> None:
    """Counts and ages of what is under way, then the oldest `limit` of each state."""
    all_of_it = under_way(deployment, output)
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
        "items": [item._asdict() for item in all_of_it.items],
        "reconcile_after_key": walks[0] if walks else None,
    }


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
