"""What a function is, and what one attempt to run it was: the values of the function platform.

Page numbers are of Tencent's documentation of product 583.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.cloud.faults import Operation

LARGEST_ENVIRONMENT = 4 * 1024
"""Bytes of all variables of a function together (quotas, page 11637)."""

RESERVED_NAMES = ("SCF_", "QCLOUD_", "TENCENTCLOUD_")

EACH_MINUTE = "0 * * * * * *"
DAILY = "30 17 3 * * * *"
"""When the two timers of `serverless.yml` fire, in the seven fields of page 9708."""

CHINA = timezone(timedelta(hours=8))
"""The zone of the times the API tells. Timers are taken to go by it too; page 9708 names none."""

Loading: TypeAlias = Literal["name", "path"]
Event: TypeAlias = "dict[str, Any]"
Status: TypeAlias = Literal["running", "ok", "error", "timeout", "memory", "exit"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What wakes a function, as the platform's API tells of it.

    A COS trigger is named as its bucket's host. `desc` is the API's TriggerDesc, a JSON text;
    `argument` comes with a timer's events as `Message`.
    """

    type: Literal["cos", "timer"]
    name: str
    desc: str
    argument: str = ""
    enabled: bool = True

    def fires_at(self, minute: datetime) -> bool:
        """Whether this is a timer, switched on, that fires within the minute."""
        if self.type != "timer" or not self.enabled:
            return False
        local = minute.astimezone(CHINA)
        weekday = local.isoweekday() % 7
        now = (local.minute, local.hour, local.day, local.month, weekday, local.year)
        fields = json.loads(self.desc)["cron"].split()[1:]
        return all(_cron_holds(field, value) for field, value in zip(fields, now, strict=True))


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it is deployed, triggers included.

    `code` is a folder with the entry file in it; it is never written to. `timeout` is in seconds,
    `memory` in MB. `bucket` is the COS trigger's, with the appid; without one there is no COS
    trigger. `timer`: it is woken each minute; `reconcile` is when a second timer wakes it, with
    the message "reconcile", in seven fields. `may` says what the function's role allows; None:
    everything. `freeze` stops the process between two invocations, so that work left behind in
    threads does not go on. `loading`: how the entry file is loaded, by its name as the platform's Python
    3.10 does it, or by its path as the published emulator does.
    """

    code: Path
    name: str = "livepair"
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60
    memory: int = 256
    init_timeout: float = 65
    region: str = "ap-singapore"
    appid: str = "1250000000"
    bucket: str | None = None
    prefix: str = ""
    suffix: str = ""
    events: str = "cos:ObjectCreated:*"
    timer: bool = False
    timer_message: str = ""
    reconcile: str | None = None
    max_instances: int = 20
    handler: str = "index.main_handler"
    runtime: str = "Python3.10"
    """What the API tells; the interpreter is `executable`."""
    role: str = "livepair"
    executable: str = sys.executable
    credential_seconds: float = 6 * 3600
    may: Callable[[Operation], bool] | None = None
    freeze: bool = True
    loading: Loading = "name"
    retries: int = 2
    """How often an event that fails is tried again, a minute apart; never with `async_run`."""
    event_seconds: int = 21_600
    """For how long an event is kept that could not be started. Told by the API, and not played."""
    async_run: bool = False
    """The platform's other mode of running, which tries nothing again."""
    reserved_memory: int | None = None
    """MB of all instances together that are the function's own. Told by the API, and not played."""

    def triggers(self) -> list[Trigger]:
        """What it is deployed with: the COS trigger first, then the timers."""
        found = []
        if self.bucket is not None:
            desc = {"event": self.events, "filter": {"Prefix": self.prefix, "Suffix": self.suffix}}
            host = f"{self.bucket}.cos.{self.region}.myqcloud.com"
            found.append(Trigger("cos", host, _compact(desc)))
        if self.timer:
            cron = _compact({"cron": EACH_MINUTE})
            found.append(Trigger("timer", f"{self.name}-sweep", cron, self.timer_message))
        if self.reconcile is not None:
            cron = _compact({"cron": self.reconcile})
            found.append(Trigger("timer", f"{self.name}-reconcile", cron, "reconcile"))
        return found

    def faults(self) -> list[str]:
        """What the platform would refuse; empty where it takes the function."""
        names = [name for name in self.environment if name.startswith(RESERVED_NAMES)]
        size = sum(len(f"{name}={value}".encode()) for name, value in self.environment.items())
        allowed_memory = self.memory == 64 or (128 <= self.memory <= 3072 and not self.memory % 128)
        file = self.handler.rpartition(".")[0]
        checks = [
            (not names, f"environment variables may not begin with {RESERVED_NAMES}: {names}"),
            (size <= LARGEST_ENVIRONMENT, f"environment of {size} bytes; 4 KB are allowed"),
            (0 < self.timeout <= 900, f"timeout of {self.timeout} s; 1 to 900 are allowed"),
            (allowed_memory, f"memory of {self.memory} MB; 64, or 128 to 3072 by 128 are allowed"),
            (not self.suffix or self.suffix.startswith("."), "a suffix begins with a dot"),
            (self.reconcile is None or _is_cron(self.reconcile), f"no cron expression: {self.reconcile}"),
            ((self.code / f"{file}.py").is_file(), f"no {file}.py in {self.code}"),
        ]
        return [fault for holds, fault in checks if not holds]


@dataclass(slots=True)
class Invocation:
    """One attempt to handle an event; complete once `status` is no longer "running".

    `duration` is in real seconds, without the cold start. `log` holds what the function printed,
    its cold start included. `error` is the traceback, or what the platform says of the death.
    """

    request_id: str
    function: str
    kind: str
    """"cos", "timer" or "other"."""
    event: Event
    attempt: int
    at: datetime
    status: Status = "running"
    result: Any = None
    error: str | None = None
    cold: bool = False
    instance: str = ""
    duration: float = 0.0
    memory: float = 0.0
    """The most memory the instance has held so far, in MB; 0 where /proc does not tell."""
    log: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _is_cron(text: str) -> bool:
    """Whether a text has seven fields of the kinds that are played: `*`, `*/5`, and lists of numbers."""
    fields = text.split()
    return len(fields) == 7 and all(
        re.fullmatch(r"\*|\*/[1-9][0-9]*|[0-9]+(,[0-9]+)*", each) for each in fields
    )


def _cron_holds(field: str, value: int) -> bool:
    if field.startswith("*/"):
        return value % int(field[2:]) == 0
    return field == "*" or value in [int(each) for each in field.split(",")]
