"""How the platform runs the function: its status, its network, what is tried again, how many at once.

Source: Tencent SCF documentation, product 583: pages 18584 (GetFunction), 37883 (status), 39921
(GetFunctionEventInvokeConfig), and the SDKs' models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check, Status
from handler.cli.doctor.tencent import Service
from handler.cli.doctor.trouble import about_api

Fields = Mapping[str, Any]
"""GetFunction's answer."""


class Expected(NamedTuple):
    """What a field of GetFunction has to be. `path` leads to it; `found` and `do` go with other values.

    `fine` says in a word what the good value means.
    """

    name: str
    path: tuple[str, ...]
    good: str
    fine: str
    found: str
    do: str


EXPECTED = (
    Expected(
        "function's account",
        ("AvailableStatus",),
        "Available",
        "in order",
        "the platform runs nothing of it",
        "settle what the account owes",
    ),
    Expected(
        "public network",
        ("PublicNetConfig", "PublicNetStatus"),
        "ENABLE",
        "on",
        "the function reaches neither the API nor the webhook",
        "switch its public network access on",
    ),
    Expected(
        "asynchronous execution",
        ("AsyncRunEnable",),
        "FALSE",
        "off",
        "another mode of running, in which the platform tries nothing again",
        "switch it off; where the console does not let you, delete the function and deploy it anew",
    ),
)

RETRIES, KEPT_SECONDS = 2, 21_600
"""How often the platform tries a failed event again, and how long it keeps one that it could not start."""

FEW = 4
"""Instances below which even a quiet hour may want more: two halves of a pair, a sweep, a reconcile."""

ENDS = "Failed"
"""With this the name of a status ends that does not pass by itself."""


def running(fields: Fields) -> Iterator[Check]:
    """Of the function's own fields; one that the platform does not tell is not checked."""
    yield from _status(fields)
    for row in EXPECTED:
        value: Any = fields
        for name in row.path:
            value = (value or {}).get(name)
        if value == row.good:
            yield Check(row.name, "ok", row.fine)
        elif value:
            yield Check(row.name, "fail", f"{value}: {row.found}", row.do)


def _status(fields: Fields) -> Iterator[Check]:
    status = str(fields.get("Status") or "Active")
    reasons = [str(each.get("ErrorMessage")) for each in fields.get("StatusReasons") or []]
    found = "; ".join([status, *reasons])
    if status == "Active":
        yield Check("function", "ok", status)
    elif status.endswith(ENDS):
        yield Check("function", "fail", found, "deploy it again; what ran before may run on")
    else:
        yield Check("function", "warn", found, "wait until it is Active, then run doctor again")


def invoked(deployment: Deployment, platform: Service, fields: Fields) -> Iterator[Check]:
    """Of what two more questions tell: what becomes of failed events, and how many instances there may be."""
    for name, action, read in (
        ("retries", "GetFunctionEventInvokeConfig", _retries),
        ("reservation", "GetReservedConcurrencyConfig", _reservation),
    ):
        answer = platform.ask(action, FunctionName=deployment.function)
        if answer.error:
            do = about_api(answer.error, f"scf:{action}") or "look at it in the console"
            yield Check(name, "info", f"not told: {answer.error}", do)
        else:
            yield read(name, answer.fields, fields)


def _retries(name: str, told: Fields, _: Fields) -> Check:
    config = told.get("AsyncTriggerConfig") or {}
    retries = next((each.get("RetryNum") for each in config.get("RetryConfig") or []), RETRIES)
    seconds = config.get("MsgTTL") or KEPT_SECONDS
    found = f"an event that fails is tried {retries} times more, one that waits is kept {seconds} s"
    if retries == RETRIES and seconds >= KEPT_SECONDS:
        return Check(name, "ok", found)
    do = f"set {RETRIES} retries and {KEPT_SECONDS} s; until then outcomes may wait for the daily reconcile"
    return Check(name, "warn", found, do)


def _reservation(name: str, told: Fields, fields: Fields) -> Check:
    reserved, memory = told.get("ReservedMem") or 0, fields.get("MemorySize") or 0
    if not reserved or not memory:
        do = "reserve some memory, and uploads cannot cost more than that"
        return Check(name, "info", "none: it may take all of the account's instances", do)
    instances = reserved // memory
    status: Status = "warn" if instances < FEW else "ok"
    found = f"{reserved} MB, which is {instances} instances at once"
    return Check(name, status, found, "" if instances >= FEW else "reserve more: bursts will be slow")
