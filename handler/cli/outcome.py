"""`outcome`: what was decided about a pair or a verification, for programs that wait for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from handler.cli.command import Options, command
from handler.cli.deployment import Deployment, Problem
from handler.cli.find import id_in, pair_of_key
from handler.cli.output import Output, when
from handler.cli.reference import WHICH, find_record, pair_of_values
from handler.rules.pairing import AmbiguousKey, Pair
from handler.rules.records import Record

POLL_SECONDS = 1.0
NOT_MATCHED, NOT_DECIDED = 3, 4
"""Exit statuses beside 0, `matched`; 1 and 2 are errors, as everywhere."""


@click.command(short_help="What was decided about a pair or a verification.")
@click.argument("reference", nargs=-1, required=True, metavar=WHICH)
@click.option("--wait", type=click.FloatRange(0, 900), default=0.0, help="Seconds to wait for it.")
@command
def outcome(chosen: Options, output: Output, reference: tuple[str, ...], wait: float) -> None:
    """What was decided about a pair (by its id, its values or an upload's key) or about a verification.

    Of several verifications of a pair it tells that of the newest uploads. Exit status 0: matched; 3: decided
    otherwise; 4: nothing decided within --wait; 1: an error, which a record that is not ours is too.
    """
    status = show_outcome(chosen.deployment(), output, reference, wait)
    if status:
        sys.exit(status)


def show_outcome(deployment: Deployment, output: Output, reference: Sequence[str], wait: float) -> int:
    """Print what was decided, waiting up to so many seconds for it. Returns the exit status."""
    look = _looking_for(deployment, reference)
    until = deployment.clock.elapsed() + wait
    record = look()
    with output.err.status("waiting for the outcome …"):
        while record is None and deployment.clock.elapsed() < until:
            deployment.clock.sleep(POLL_SECONDS)
            record = look()
    if record is None:
        output.value({"outcome": None})
        output.say("Nothing has been decided yet.")
        return NOT_DECIDED
    found = _told(record)
    output.value(found)
    output.table(("", ""), [(name, _cell(value)) for name, value in found.items()])
    return 0 if record.outcome == "matched" else NOT_MATCHED


def _looking_for(deployment: Deployment, reference: Sequence[str]) -> Callable[[], Record | None]:
    """How to look for the record once more. A pair's id is tried before a verification's of the same form."""
    first = reference[0]
    path = None if first.startswith("msg_") else _pair(deployment, reference).path
    if path is not None and id_in(first) is None:
        return lambda: _newest(deployment, path)
    known: list[Record] = []
    try:
        known.append(find_record(deployment, first))
    except Problem:
        if path is None:
            raise
    return lambda: (_newest(deployment, path) if path else None) or next(iter(known), None)


def _pair(deployment: Deployment, reference: Sequence[str]) -> Pair:
    """The pair that an upload's key or its values name."""
    if "/" not in reference[0]:
        return pair_of_values(deployment, reference)
    try:
        pair = pair_of_key(deployment, reference[0])
    except AmbiguousKey as error:
        raise Problem(str(error)) from None
    if not isinstance(pair, Pair):
        wanted = ", ".join(template.text for template in deployment.settings.templates.live)
        raise Problem(f"{reference[0]!r} is no pair's key; give one like {wanted}, or the pair's id")
    return pair


def _newest(deployment: Deployment, path: str) -> Record | None:
    """What was decided about the newest uploads of a pair. Raises CorruptState where that is not ours."""
    records = deployment.ledger.records(path)
    return max(
        records, key=lambda each: (each.uploaded_at, each.verification.run, each.decided_at), default=None
    )


def _told(record: Record) -> dict[str, Any]:
    answer = record.answer or {}
    return {
        "outcome": record.outcome,
        "code": record.code,
        "similarity": answer.get("similarity"),
        "verification": record.verification.id,
        "run": record.verification.run,
        "uploaded_at": record.uploaded_at,
        "decided_at": record.decided_at,
        "delivered_at": record.delivered_at,
    }


def _cell(value: Any) -> str:
    return "" if value is None else when(value) if hasattr(value, "tzinfo") else str(value)
