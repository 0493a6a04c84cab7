"""What wakes the function: uploads, each minute, each day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Service
from handler.cli.doctor.trouble import about_api
from handler.rules.events import WHOLE, EventError, Part, TimerEvent

MOST = 100  # triggers that are asked for; the platform allows fewer

EACH_MINUTE = "0 * * * * * *"
EACH_DAY = "30 17 3 * * * *"

_OPEN = (1, "1", True, "OPEN")
"""How the platform tells that a trigger is switched on."""


class Trigger(NamedTuple):
    """A trigger as ListTriggers tells of it. `text` is its description, and `fields` that as JSON."""

    kind: str
    name: str
    enabled: bool
    argument: str
    text: str
    fields: Mapping[str, Any]

    @property
    def cron(self) -> str:
        """When a timer fires."""
        return str(self.fields.get("cron") or self.text)

    @property
    def reconciles(self) -> bool:
        """Whether a timer asks for a reconcile; any other sweeps."""
        return self.argument == "reconcile"


class Uploads(NamedTuple):
    """Where uploads come: their bucket, and what the keys of each template begin with."""

    bucket: str
    prefixes: tuple[str, ...]


def triggers(deployment: Deployment, platform: Service) -> Iterator[Check]:
    answer = platform.ask("ListTriggers", FunctionName=deployment.function, Limit=MOST)
    if answer.error:
        do = about_api(answer.error, "scf:ListTriggers") or "look at them in the console"
        yield Check("triggers", "warn", f"they were not told: {answer.error}", do)
        return
    every = [read(told) for told in answer.fields.get("Triggers") or []]
    prefixes = tuple(template.prefix for template in deployment.templates)
    yield from checked(Uploads(deployment.settings.bucket, prefixes), every)


def checked(uploads: Uploads, every: list[Trigger]) -> Iterator[Check]:
    """All checks of a function's triggers."""
    for check in CHECKS:
        yield from check(uploads, every)


def read(told: Mapping[str, Any]) -> Trigger:
    """One of ListTriggers' triggers."""
    text = told.get("TriggerDesc") or ""
    try:
        fields = json.loads(text or "{}")
    except ValueError:
        fields = {}
    return Trigger(
        kind=str(told.get("Type")),
        name=str(told.get("TriggerName") or ""),
        enabled=told.get("Enable") in _OPEN,
        argument=str(told.get("CustomArgument") or "").strip(),
        text=str(text),
        fields=fields if isinstance(fields, dict) else {},
    )


def _of_kind(every: list[Trigger], kind: str) -> list[Trigger]:
    """Those of a kind that are switched on."""
    return [trigger for trigger in every if trigger.enabled and trigger.kind == kind]


def _switched_off(uploads: Uploads, every: list[Trigger]) -> Iterator[Check]:
    disabled = sum(not trigger.enabled for trigger in every)
    if disabled:
        yield Check("triggers", "fail", f"{disabled} are switched off", "enable them in the console")


# --- uploads --------------------------------------------------------------------------------------------


def _uploads(uploads: Uploads, every: list[Trigger]) -> Iterator[Check]:
    of_uploads = _of_kind(every, "cos")
    if all(
        any(tells_of_all(trigger, uploads.bucket, prefix) for trigger in of_uploads)
        for prefix in uploads.prefixes
    ):
        yield Check("COS trigger", "ok", "covers both templates")
        return
    do = (
        f"of {uploads.bucket}: events cos:ObjectCreated:*, a prefix that both templates begin with, no suffix"
    )
    yield Check("COS trigger", "fail", "none covers both templates", do)


def tells_of_all(trigger: Trigger, bucket: str, key_prefix: str) -> bool:
    """Whether a COS trigger tells of all uploads under a prefix."""
    chosen = {str(name).lower(): value for name, value in (trigger.fields.get("filter") or {}).items()}
    events = trigger.fields.get("event") or trigger.fields.get("events") or trigger.text
    return (
        _is_of(trigger, bucket)
        and "ObjectCreated:*" in str(events)
        and key_prefix.startswith(chosen.get("prefix") or "")
        and not chosen.get("suffix")
    )


def _is_of(trigger: Trigger, bucket: str) -> bool:
    """COS triggers are named as their bucket's host; of one that is not, nobody knows the bucket."""
    host, _, rest = trigger.name.partition(".")
    return host == bucket or not rest.startswith("cos.")


# --- timers ---------------------------------------------------------------------------------------------


def _sweep(uploads: Uploads, every: list[Trigger]) -> Iterator[Check]:
    timers = [timer for timer in _of_kind(every, "timer") if not timer.reconciles]
    yield _timer("sweep timer", timers, f"add {EACH_MINUTE}")
    if timers and not any(timer.cron.startswith("0 * ") for timer in timers):
        yield Check("sweep timer", "warn", "it does not fire each minute", f"set {EACH_MINUTE}")
    wrong = _wrong_parts([timer.argument for timer in timers])
    if wrong:
        yield Check("sweep timer", "fail", wrong, f"give each part a timer with {EACH_MINUTE}")


def _wrong_parts(arguments: list[str]) -> str | None:
    """What is wrong with sweeps in parts: what a missing one leaves is done minutes later, by the others."""
    try:
        parts = {TimerEvent(argument).part for argument in arguments}
    except EventError as error:
        return str(error)
    most = max((part.parts for part in parts), default=0)
    missing = [f"sweep {n}/{most}" for n in range(1, most + 1) if Part(n, most) not in parts]
    return f"no timer has the argument {', '.join(missing)}" if missing and WHOLE not in parts else None


def _reconcile(uploads: Uploads, every: list[Trigger]) -> Iterator[Check]:
    timers = [timer for timer in _of_kind(every, "timer") if timer.reconciles]
    yield _timer("reconcile timer", timers, f"add {EACH_DAY} with the argument reconcile")


def _timer(name: str, timers: list[Trigger], do: str) -> Check:
    if not timers:
        return Check(name, "fail", "there is none", do)
    return Check(name, "ok", ", ".join(timer.cron for timer in timers))


CHECKS: tuple[Callable[[Uploads, list[Trigger]], Iterator[Check]], ...] = (
    _switched_off,
    _uploads,
    _sweep,
    _reconcile,
)
