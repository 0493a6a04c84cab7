"""What befalls a history beside its faults: junk among the state, uploads that go early, commands."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from handler.rules.agenda import Deliver, Entry, Look
from handler.rules.codes import TOO_MANY_VERDICTS
from handler.rules.outcome import Verification
from handler.rules.pairing import Pair
from handler.services import Services
from handler.state import codec
from tests.simulation.commands import COMMANDS
from tests.simulation.plan import Command, Expiry, Forgery, Junk
from tests.simulation.platform import Function
from tests.simulation.store import Asked, record_in
from tests.simulation.world import moment

if TYPE_CHECKING:
    from tests.simulation.history import History

MOST_TRIES = 20
"""How often an operator runs `forget` until it says that nothing is left."""

HUGE = b'"' + b"x" * (1 << 20) + b'"'
"""More than any state object may have."""

WRONG = (
    b"",
    b"[]",
    b"null",
    b"no JSON",
    b"\xff\xfe",
    b'{"version": 1}',
    b'{"version": 2, "kind": "look"}',
    b'{"version": 1, "kind": "look", "bucket": 7, "key": [], "role": "both", "step": "x"}',
    b'{"version": 1, "kind": "deliver", "bucket": "b", "key": "k", "verification": null, "attempt": -1}',
    b'{"version": 1, "kind": "take_over", "bucket": "b", "key": "\\ud800", "n": 1e99}',
    HUGE,
)


def disturb(history: History) -> None:
    """Have everything happen that the plan has of this."""
    plan, world = history.plan, history.world
    for function in history.functions:
        for at in plan.retries:
            world.at(at, partial(_retry_all, history, function))
        for junk in plan.junk:
            world.at(junk.at, partial(_spoil, history, function, junk))
        for forgery in plan.forgeries:
            world.at(forgery.at, partial(_forge, history, function, forgery))
        for expiry in plan.expiries:
            world.at(expiry.at, partial(_expire, history, function, expiry))
        for command in plan.commands:
            world.at(command.at, partial(_command, history, function, command))


# --- junk -------------------------------------------------------------------------------------------


def _spoil(history: History, function: Function, junk: Junk) -> None:
    """Put junk beside what is there, or in its place. A pair of which the state is junk is excused."""
    chosen, data = divmod(junk.chosen, len(WRONG))[0], WRONG[junk.chosen % len(WRONG)]
    prefix = f"{function.settings.state_prefix}{junk.kind}/"
    there = function.state.names(prefix)
    key = there[chosen % len(there)] if there else ""
    if junk.kind == "agenda":
        minute = key.removeprefix(prefix).partition("/")[0] or "20261122T0001Z"
        name = ("look", "deliver", "take_over", "reconcile")[chosen % 4]
        key = f"{prefix}{minute}/{name}-{chosen:032x}-1"
    elif junk.kind == "waiting" and key and chosen % 3:
        key = f"{key.rpartition('/')[0]}/{'~0'[chosen % 2]}"  # before or behind the marks that are right
    elif not key:
        return
    elif junk.kind == "waiting":
        history.books.unmarked.add((function.number, key.removeprefix(prefix).partition("/")[2]))
    else:
        history.books.excused.add((function.number, _path(key, prefix, junk.kind)))
    history.world.faults["junk among the state"] += 1
    history.world.tell("", f"junk, {data[:40]!r}, comes to lie at {key}")
    function.state.put(key, data)


def _path(key: str, prefix: str, kind: str) -> str:
    parts = key.removeprefix(prefix).split("/")
    return "/".join(parts[: -2 if kind == "claims" else -1])


# --- forgeries --------------------------------------------------------------------------------------


def _forge(history: History, function: Function, forgery: Forgery) -> None:
    """Change what a record decided, or put another's in its place; then ask for its delivery.

    The pair is excused: who may write its record can keep its message from being told.
    """
    prefix = f"{function.settings.state_prefix}records/"
    there = [key for key in function.state.names(prefix) if _is_whole(function, key)]
    if not there:
        return
    key, other = there[forgery.chosen % len(there)], there[(forgery.chosen + 1) % len(there)]
    record = json.loads(_data(function, key if forgery.chosen % 3 else other))
    if forgery.chosen % 3 or key == other:
        decided = record["decided"]
        outcome = "mismatched" if decided["outcome"] == "matched" else "matched"
        body = decided["body"].replace(f'"{decided["outcome"]}"', f'"{outcome}"')
        body = body.replace(f'"verification.{decided["outcome"]}"', f'"verification.{outcome}"')
        decided.update(outcome=outcome, body=body)
    record.update(delivered_at=None, dead_at=None, attempts=0, deleted=False)
    path, _, name = key.removeprefix(prefix).rpartition("/")
    which = Verification(name.removesuffix(".json"), record["decided"]["run"], path)
    deliver = Deliver(function.settings.bucket, record["decided"]["live_key"], which, 1)
    entry = Entry(moment(history.world.now), deliver)
    history.books.excused.add((function.number, path))
    history.world.faults["a record is forged"] += 1
    history.world.tell("", f"somebody forges {key}, and asks for its delivery")
    function.state.put(key, json.dumps(record).encode())
    function.state.put(f"{function.agenda}{entry.name}", codec.dump_task(deliver))


def _is_whole(function: Function, key: str) -> bool:
    """Whether a record is there that can be read."""
    return b'"decided"' in _data(function, key)


def _data(function: Function, key: str) -> bytes:
    stored = function.state.now(key)
    return (stored.data if stored else None) or b""


# --- uploads that go --------------------------------------------------------------------------------


def _expire(history: History, function: Function, expiry: Expiry) -> None:
    if expiry.which in ("records", "agenda"):
        # Only a walk knows of what nothing stands for any more.
        history.lost.update(range(1, len(history.plan.puts) + 1))
        for key in function.state.names(f"{function.settings.state_prefix}{expiry.which}/"):
            history.world.faults[f"an object of {expiry.which}/ expires"] += 1
            history.world.tell("", f"{key} expires")
            function.state.put(key, None)
        return
    for key in function.uploads.names():
        if key.startswith(function.settings.state_prefix):
            continue
        match = function.settings.templates.match(key)
        if match is not None and (expiry.which == "all" or match[0] == "live"):
            history.world.faults["an upload expires"] += 1
            history.world.tell("", f"{key} expires")
            function.uploads.put(key, None)


# --- the operator -----------------------------------------------------------------------------------


def _retry_all(history: History, function: Function) -> None:
    """An operator has every pair tried again that `retry` takes."""
    prefix = f"{function.settings.state_prefix}records/"
    for key in function.state.names(prefix):
        if (function.number, _path(key, prefix, "records")) in history.books.excused:
            continue
        stored = function.state.now(key)
        record: dict[str, Any] = record_in(stored.data) if stored and stored.data else {}
        if record.get("outcome") in ("failed", "incomplete") or record.get("code") == TOO_MANY_VERDICTS:
            history.world.faults["an operator retries"] += 1
            upload = record["live_key"] if record["live"] else record["image_key"]
            task = Look(record["bucket"], upload, run=record["run"] + 1)
            asked = Asked(history.world.now, function.number, record["run"] + 1, record)
            function.invoke("operator", partial(_ask, history, task, asked))


def _ask(history: History, task: Look, asked: Asked, services: Services) -> None:
    services.ledger.put_on(Entry(services.clock.now(), task))
    history.books.asked.append(asked)


def _command(history: History, function: Function, command: Command) -> None:
    """Run a command, which may be killed half way; `forget` again until it says that nothing is left."""
    name, pair = command.name, ""
    if name == "forget":
        pair = _chosen_pair(function, command.chosen)
        match = function.settings.templates.match(pair) if pair else None
        if match is None:
            return
        history.books.excused.add((function.number, match[1].path))
    history.world.faults[f"an operator's {name}"] += 1
    tries = 0
    done = False

    def work(services: Services) -> None:
        nonlocal done, tries
        tries += 1
        if tries == 1:
            services.clock.die_share = command.die  # type: ignore[attr-defined]
        done = COMMANDS[name](history, function, services, command.chosen, pair)

    def ended(well: bool, called: bool) -> None:
        if name == "forget" and not done and tries < MOST_TRIES:
            history.world.at(history.world.now + 120, lambda: function.command(name, work, ended))

    function.command(name, work, ended)


def _chosen_pair(function: Function, chosen: int) -> str:
    """The live key of one of the pairs that are there."""
    keys = []
    for key in function.uploads.names():
        match = function.settings.templates.match(key)
        if match is not None and isinstance(match[1], Pair):
            keys.append(match[1].live_keys[0])
    return keys[chosen % len(keys)] if keys else ""
