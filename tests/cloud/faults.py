"""Faults by script: what goes wrong, for which requests, how often.

A `Fault` says which requests it concerns and what happens to them. Every live fault that matches a
request takes part in it, in the order the faults were added; where two of them decide the answer,
the first does. `proxy` carries them out.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.cloud.proxy import Request


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request asks for, as its service understands it.

    `service` is a short name ("cos", "faceid", "scf"), `name` the documented operation
    ("PutObject"). `bucket` is `name-appid`. The key of an operation that lists is its prefix, that
    of an operation of the function platform is the function's name. `region` is the long name.
    What an operation has not is empty. `conditions` are the values of CAM's condition keys that the request
    shows, such as `cos:content-length`; they tell no operation from another.
    """

    service: str
    name: str
    bucket: str = ""
    key: str = ""
    region: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict, compare=False)


class Gate:
    """Holds requests until a test lets them go."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._open: Future[None] = Future()

    def wait_reached(self, requests: int = 1, timeout: float = 30.0) -> None:
        """Return once `requests` more requests have arrived at the gate.

        Raises TimeoutError when they have not after `timeout` real seconds.
        """
        for arrived in range(requests):
            if not self._reached.acquire(timeout=timeout):
                raise TimeoutError(
                    f"expected {requests} requests at the gate within {timeout} s, but {arrived} arrived"
                )

    def release(self) -> None:
        """Let all held requests go, and those that come later through at once."""
        if not self._open.done():
            self._open.set_result(None)

    async def held(self) -> None:
        """Wait, as a request, until the gate is open."""
        self._reached.release()
        await asyncio.shield(asyncio.wrap_future(self._open))


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request; made by the functions below, seldom by hand.

    The steps in the order they happen: `wait`, `gate`, `before`; then the effect, unless `effect`
    is False; then `wait_answer`, `gate_answer`, `after`; then `kill`; then `cut`, or the answer.
    """

    name: str
    wait: float = 0.0
    gate: Gate | None = None
    before: Callable[[], Awaitable[None] | None] | None = None
    effect: bool = True
    wait_answer: float = 0.0
    gate_answer: Gate | None = None
    after: Callable[[], Awaitable[None] | None] | None = None
    kill: bool = False
    cut: bool = False
    cut_after_bytes: int | None = None
    seconds_per_byte: float = 0.0
    content_type: str | None = None
    status: int | None = None
    """The answer's status, in place of the service's own answer."""
    code: str = ""
    message: str = ""
    location: str | None = None
    page: bool = False
    """The answer is a load balancer's page instead of the service's own error."""


Hook: TypeAlias = Callable[["Request", Operation], Action | None]
"""Called on the server's loop before a request takes effect: must not block."""


def delay(seconds: float) -> Action:
    """The request takes effect only `seconds` later."""
    return Action("delay", wait=seconds)


def delay_answer(seconds: float) -> Action:
    """The request takes effect at once and is answered `seconds` later."""
    return Action("delay_answer", wait_answer=seconds)


def hold(gate: Gate) -> Action:
    """The request takes effect only after `gate.release()`."""
    return Action("hold", gate=gate)


def hold_answer(gate: Gate) -> Action:
    """The request takes effect at once and is answered after `gate.release()`."""
    return Action("hold_answer", gate_answer=gate)


def run_before(hook: Callable[[], Awaitable[None] | None]) -> Action:
    """`hook` runs on the server's loop just before the request takes effect."""
    return Action("run_before", before=hook)


def run_after(hook: Callable[[], Awaitable[None] | None]) -> Action:
    """`hook` runs on the server's loop after the effect and before the answer."""
    return Action("run_after", after=hook)


def refuse(status: int, code: str, message: str = "refused by the test's script") -> Action:
    """No effect; the answer is an error in the service's own format."""
    return Action("refuse", effect=False, status=status, code=code, message=message)


def server_error_after_effect(status: int = 503, code: str = "ServiceUnavailable") -> Action:
    """The request takes effect, but its answer says that the server failed."""
    return Action(
        "server_error_after_effect",
        status=status,
        code=code,
        message="failed after the effect, by the test's script",
    )


def cut_before() -> Action:
    """No effect; the connection is closed without an answer."""
    return Action("cut_before", effect=False, cut=True)


def cut_after() -> Action:
    """The request takes effect; the connection is closed without an answer."""
    return Action("cut_after", cut=True)


def cut_body(after_bytes: int) -> Action:
    """The answer's headers are whole, its body is cut off after `after_bytes`."""
    return Action("cut_body", cut_after_bytes=after_bytes)


def html(status: int = 502, *, after_effect: bool = False) -> Action:
    """The answer is the HTML page of a load balancer."""
    return Action("html", effect=after_effect, status=status, page=True)


def drip(seconds_per_byte: float) -> Action:
    """The answer's body comes byte by byte."""
    return Action("drip", seconds_per_byte=seconds_per_byte)


def redirect(location: str, status: int = 302) -> Action:
    """No effect; the answer sends the client elsewhere."""
    return Action("redirect", effect=False, status=status, location=location)


def content_type(value: str) -> Action:
    """The service's own answer under another Content-Type."""
    return Action("content_type", content_type=value)


def kill_before() -> Action:
    """The instance that asks is killed before its request takes effect.

    Concerns only requests that came in by a named listener: nobody else can be killed.
    """
    return Action("kill_before", effect=False, kill=True, cut=True)


def kill_after() -> Action:
    """The instance that asks is killed after its request took effect, before the answer.

    Concerns only requests that came in by a named listener: nobody else can be killed.
    """
    return Action("kill_after", kill=True, cut=True)


@dataclass(slots=True, eq=False)
class Fault:
    """Which requests something happens to, and what; `hits` counts the requests it happened to."""

    operation: str
    then: Action | Hook
    service: str = "*"
    bucket: str = "*"
    key: str = "*"
    source: str = "*"
    skip: int = 0
    times: int | None = 1
    hits: int = field(default=0, init=False)

    def matches(self, operation: Operation, source: str) -> bool:
        """Whether a request is of the kind this fault concerns, whatever its counters say."""
        if isinstance(self.then, Action) and self.then.kill and not source:
            return False
        return (
            fnmatchcase(operation.name, self.operation)
            and fnmatchcase(operation.service, self.service)
            and fnmatchcase(operation.bucket, self.bucket)
            and fnmatchcase(operation.key, self.key)
            and fnmatchcase(source, self.source)
        )


class Faults:
    """The script of what goes wrong. May be changed at any time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.kill: Callable[[str], object] | None = None
        """Kills the instance behind a named listener at once; set by whoever starts instances."""

    def add(
        self,
        operation: str = "*",
        *,
        then: Action | Hook,
        service: str = "*",
        bucket: str = "*",
        key: str = "*",
        source: str = "*",
        skip: int = 0,
        times: int | None = 1,
    ) -> Fault:
        """Add a fault for the requests whose every property matches its pattern (fnmatch).

        It leaves `skip` such requests alone, then strikes `times` times; None: for ever.
        """
        fault = Fault(
            operation=operation,
            then=then,
            service=service,
            bucket=bucket,
            key=key,
            source=source,
            skip=skip,
            times=times,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take one fault out; no harm if it is gone already."""
        with self._lock:
            self._faults = [kept for kept in self._faults if kept is not fault]

    def clear(self) -> None:
        """Take all faults out. Requests already struck stay struck."""
        with self._lock:
            self._faults.clear()

    def strike(self, operation: Operation, source: str) -> list[Fault]:
        """The faults that strike this request now, counted as hits, in the order added."""
        struck = []
        with self._lock:
            for fault in self._faults:
                if not fault.matches(operation, source):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                elif fault.times is None or fault.hits < fault.times:
                    fault.hits += 1
                    struck.append(fault)
        return struck
