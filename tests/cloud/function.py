"""What a function is, and what one attempt to run it was: the values of the function platform.

Page numbers are of Tencent's documentation of product 583.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.cloud.faults import Operation

LARGEST_ENVIRONMENT = 4 * 1024
"""Bytes of all variables of a function together (quotas, page 11637)."""

RESERVED_NAMES = ("SCF_", "QCLOUD_", "TENCENTCLOUD_")

Event: TypeAlias = "dict[str, Any]"
Status: TypeAlias = Literal["running", "ok", "error", "timeout", "memory", "exit"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it is deployed, triggers included.

    `code` is a folder with the entry file in it; it is never written to. `timeout` is in seconds,
    `memory` in MB. `bucket` is the COS trigger's, with the appid; without one there is no COS
    trigger. `may` says what the function's role allows; None: everything. `freeze` stops the
    process between two invocations, so that work left behind in threads does not go on.
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
    max_instances: int = 20
    handler: str = "index.main_handler"
    executable: str = sys.executable
    credential_seconds: float = 6 * 3600
    may: Callable[[Operation], bool] | None = None
    freeze: bool = True

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
