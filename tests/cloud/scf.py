"""The function platform: instances, asynchronous invocation, the COS trigger and the timer.

Every instance is a process (`process`, `instance`) and serves one event at a time; an idle one is
used again, and where all are busy another is started. What fails in an asynchronous invocation is
retried twice, one minute apart on the cloud's clock, under the same request id. Page numbers are of
Tencent's documentation of product 583.
"""

import atexit
import itertools
import json
import re
import shutil
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from tests.cloud.clock import Clock
from tests.cloud.cos_sign import Account
from tests.cloud.function import Event, Function, Invocation, Status, Trigger
from tests.cloud.process import DeathError, FunctionError, Instance
from tests.cloud.proxy import Proxy

__all__ = ["Function", "Invocation", "Scf", "bundle"]

LARGEST_EVENT = 128 * 1024
"""Bytes of an event that is handled asynchronously (quotas, page 11637)."""

RETRY_AFTER = 60.0


class Events(Protocol):
    """Where upload events come from: the local COS."""

    on_event: list[Callable[[Event], None]]


@dataclass(slots=True, eq=False)
class _Job:
    function: str
    request_id: str
    event: Event
    kind: str
    due: float
    """When it may start, in seconds of the cloud's clock."""
    retries: int
    attempt: int = 1
    done: threading.Event = field(default_factory=threading.Event)
    last: Invocation | None = None


@dataclass(slots=True)
class _Meddling:
    """What a test's script does to the next events of the COS trigger."""

    copies: int
    times: int | None
    key: str


class Scf:
    """The function platform. All public methods may be called from any thread."""

    def __init__(self, proxy: Proxy, clock: Clock, accounts: dict[str, Account], cos: Events) -> None:
        self._proxy = proxy
        self._clock = clock
        self._accounts = accounts
        self._cos = cos
        self._changed = threading.Condition()
        self._functions: dict[str, Function] = {}
        self._triggers: dict[str, dict[str, Trigger]] = {}
        self._queue: list[_Job] = []
        self._running: list[_Job] = []
        self._workers: set[threading.Thread] = set()
        self._instances: dict[str, Instance] = {}
        self._idle: list[Instance] = []
        self._invocations: list[Invocation] = []
        self._lines: list[str] = []
        self._meddling: list[_Meddling] = []
        self._held: list[Event] | None = None
        self._numbers = itertools.count(1)
        self._timer: threading.Thread | None = None
        self._stopped = False
        cos.on_event.append(self._on_event)
        clock.subscribe(self._clock_moved)
        atexit.register(self.stop)

    # Deploying

    def deploy(self, function: Function) -> None:
        """Put a function into service, in place of an earlier one of the same name.

        Raises ValueError naming everything that the platform would refuse.
        """
        faults = function.faults()
        if faults:
            raise ValueError(f"{function.name} cannot be deployed: " + "; ".join(faults))
        with self._changed:
            self._functions[function.name] = function
            self._triggers[function.name] = {each.name: each for each in function.triggers()}
        self.recycle(function.name)

    def recycle(self, function: str | None = None) -> None:
        """End the idle instances, so that the next invocations start cold."""
        with self._changed:
            old = [each for each in self._idle if function in (None, each.function.name)]
            self._idle = [each for each in self._idle if each not in old]
        for instance in old:
            self._bury(instance)

    def function(self, name: str) -> Function | None:
        """The function of that name as it is deployed, or None."""
        with self._changed:
            return self._functions.get(name)

    def triggers(self, function: str | None = None) -> list[Trigger]:
        """The triggers of a function, as they are now."""
        with self._changed:
            return list(self._triggers[self._which(function)].values())

    def switch_trigger(self, name: str, enabled: bool, function: str | None = None) -> None:
        """Switch a trigger off or on again, as in the console. Raises KeyError. Deploying resets it."""
        with self._changed:
            found = self._triggers[self._which(function)]
            found[name] = replace(found[name], enabled=enabled)

    def remove_trigger(self, name: str, function: str | None = None) -> None:
        """Take a trigger away. Raises KeyError. Deploying brings it back."""
        with self._changed:
            del self._triggers[self._which(function)][name]

    @property
    def instances(self) -> list[str]:
        """The names of the instances that are there, idle and busy."""
        with self._changed:
            return list(self._instances)

    def kill(self, instance: str) -> None:
        """Kill an instance's process (SIGKILL); no harm if it is gone already."""
        with self._changed:
            found = self._instances.get(instance)
        if found is not None:
            found.kill()

    # Invoking

    def invoke(self, event: Event, function: str | None = None) -> Invocation:
        """Invoke synchronously, without retries, and wait for the end."""
        job = self._submit(event, function, retries=0)
        job.done.wait()
        if job.last is None:
            raise RuntimeError("the platform was stopped before the invocation started")
        return job.last

    def invoke_async(self, event: Event, function: str | None = None) -> str:
        """Queue an event as a trigger does, and return its request id.

        Raises ValueError where the event is longer than 128 KB.
        """
        size = len(json.dumps(event, ensure_ascii=False).encode())
        if size > LARGEST_EVENT:
            raise ValueError(f"an asynchronous event of {size} bytes; 128 KB are allowed")
        with self._changed:
            deployed = self._functions[self._which(function)]
        retries = 0 if deployed.async_run else deployed.retries
        return self._submit(event, function, retries).request_id

    def tick(self) -> None:
        """Fire the timers for the cloud's current minute."""
        minute = self._clock.now().replace(second=0, microsecond=0)
        with self._changed:
            firing = [
                (function, each)
                for function, triggers in self._triggers.items()
                for each in triggers.values()
                if each.fires_at(minute)
            ]
        for function, trigger in firing:
            self._fire(function, trigger, minute)

    def fire(self, name: str, function: str | None = None) -> str:
        """Fire one timer for the cloud's current minute, whatever its schedule says.

        Returns the request id. Raises KeyError where the function has no such trigger.
        """
        minute = self._clock.now().replace(second=0, microsecond=0)
        with self._changed:
            function = self._which(function)
            trigger = self._triggers[function][name]
        return self._fire(function, trigger, minute)

    def advance_minutes(self, minutes: int = 1, timeout: float | None = 60.0) -> None:
        """Let minutes pass: retries that fall due run, and at second 0 of each the timers fire.

        Waits `timeout` real seconds at most for each minute's work to end; None: does not wait.
        """
        for _ in range(minutes):
            now = self._clock.now()
            boundary = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            # A hair over, because time ticks on between this reading and the jump.
            self._clock.advance((boundary - now).total_seconds() + 0.001)
            self.tick()
            if timeout is not None:
                self.wait_idle(timeout)

    def start_timer(self) -> None:
        """From now on fire the timers by themselves, whenever the cloud's clock enters a minute."""
        with self._changed:
            if self._timer is None:
                self._timer = threading.Thread(target=self._keep_time, daemon=True, name="timer")
                self._timer.start()

    # Meddling with upload events

    def duplicate(self, copies: int = 2, times: int | None = 1, key: str = "*") -> None:
        """Deliver the next `times` upload events whose key matches `copies` times each."""
        with self._changed:
            self._meddling.append(_Meddling(copies, times, key))

    def drop(self, times: int | None = 1, key: str = "*") -> None:
        """Never deliver the next `times` upload events whose key matches; None: none of them."""
        self.duplicate(0, times, key)

    def hold(self) -> None:
        """Keep upload events back until `release`."""
        with self._changed:
            if self._held is None:
                self._held = []

    @property
    def held(self) -> list[Event]:
        """The upload events that are being kept back, oldest first."""
        with self._changed:
            return list(self._held or [])

    def release(
        self,
        order: Callable[[list[Event]], Iterable[Event]] | None = None,
        *,
        merge: bool = False,
    ) -> None:
        """Deliver the events kept back, and hold no more.

        `order` brings them into another order; it may leave some out or give some twice. With
        `merge` they arrive as one event with many records, which the documentation allows for
        (page 9707).
        """
        with self._changed:
            held, self._held = self._held or [], None
        events = list(order(held)) if order is not None else held
        if merge and events:
            events = [{"Records": [each for event in events for each in event["Records"]]}]
        for event in events:
            self._trigger(event)

    # Watching

    @property
    def invocations(self) -> list[Invocation]:
        """All invocations so far, in the order they started."""
        with self._changed:
            return list(self._invocations)

    @property
    def retries(self) -> int:
        """How many failed invocations wait for their minute to pass."""
        now = self._clock.timestamp()
        with self._changed:
            return sum(job.due > now for job in self._queue)

    def logs(self) -> list[str]:
        """All lines that functions have printed, to stdout and stderr, in the order they came."""
        with self._changed:
            return list(self._lines)

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Return once nothing runs and nothing is due; retries that wait for the clock stay.

        Raises TimeoutError with what is still there after `timeout` real seconds.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while self._running or self._due():
                # A retry that falls due as real time goes by: nobody else starts it.
                self._pump()
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not idle after {timeout} s:\n{self._dump()}")
                self._changed.wait(min(left, 0.5))

    def wait_for(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Return once `condition()` holds; it is asked whenever something happens here.

        Raises TimeoutError after `timeout` real seconds.
        """
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            with self._changed:
                self._pump()
                if left <= 0:
                    raise TimeoutError(f"did not come true in {timeout} s:\n{self._dump()}")
                self._changed.wait(min(left, 0.05))

    def stop(self) -> None:
        """End every instance and forget what is queued. May be called twice."""
        with self._changed:
            self._stopped = True
            dropped, self._queue = self._queue, []
            instances = list(self._instances.values())
            workers = list(self._workers)
            self._changed.notify_all()
        for job in dropped:
            job.done.set()
        for instance in instances:
            instance.kill()
        for worker in [*workers, *([self._timer] if self._timer else [])]:
            if worker is not threading.current_thread():
                worker.join()
        with self._changed:
            instances = list(self._instances.values())
        for instance in instances:
            self._bury(instance)
        if self._on_event in self._cos.on_event:
            self._cos.on_event.remove(self._on_event)
        self._clock.unsubscribe(self._clock_moved)
        atexit.unregister(self.stop)

    # The inside

    def _submit(self, event: Event, function: str | None, retries: int) -> _Job:
        with self._changed:
            if self._stopped:
                raise RuntimeError("the platform was stopped")
            function = self._which(function)
            # Through JSON, as on the wire: what the test holds and what the function gets are two.
            copy = json.loads(json.dumps(event))
            job = _Job(function, str(uuid.uuid4()), copy, _kind(copy), self._clock.timestamp(), retries)
            self._queue.append(job)
        self._pump()
        return job

    def _fire(self, function: str, trigger: Trigger, minute: datetime) -> str:
        event = {
            "Type": "Timer",
            "TriggerName": trigger.name,
            "Time": minute.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Message": trigger.argument,
        }
        return self.invoke_async(event, function)

    def _which(self, function: str | None) -> str:
        if function is None:
            if len(self._functions) != 1:
                raise ValueError(f"which function? deployed: {sorted(self._functions)}")
            (function,) = self._functions
        elif function not in self._functions:
            raise ValueError(f"no function {function!r}; deployed: {sorted(self._functions)}")
        return function

    def _on_event(self, event: Event) -> None:
        with self._changed:
            copies = 1
            for script in self._meddling:
                if script.times != 0 and fnmatchcase(_key(event), script.key):
                    copies = script.copies
                    if script.times is not None:
                        script.times -= 1
                    break
            if self._held is not None:
                self._held.extend([event] * copies)
                return
        for _ in range(copies):
            self._trigger(event)

    def _trigger(self, event: Event) -> None:
        with self._changed:
            if self._stopped:
                return
            functions = [
                each
                for each in self._functions.values()
                if _matches(each, event)
                and any(
                    trigger.type == "cos" and trigger.enabled
                    for trigger in self._triggers[each.name].values()
                )
            ]
        for function in functions:
            self.invoke_async(event, function.name)

    def _clock_moved(self) -> None:
        with self._changed:
            busy = [each for each in self._instances.values() if each not in self._idle]
        for instance in busy:
            instance.move_clock(self._clock.offset)
        self._pump()

    def _due(self) -> list[_Job]:
        now = self._clock.timestamp()
        return [job for job in self._queue if job.due <= now]

    def _pump(self) -> None:
        """Start whatever may start now."""
        with self._changed:
            for job in self._due():
                function = self._functions[job.function]
                busy = sum(each.function == job.function for each in self._running)
                if self._stopped or busy >= function.max_instances:
                    continue
                self._queue.remove(job)
                self._running.append(job)
                worker = threading.Thread(
                    target=self._work, args=(job, function), name=f"invoke-{job.request_id[:8]}"
                )
                self._workers.add(worker)
                worker.start()
            self._changed.notify_all()

    def _work(self, job: _Job, function: Function) -> None:
        invocation = Invocation(
            job.request_id, function.name, job.kind, job.event, job.attempt, self._clock.now()
        )
        with self._changed:
            self._invocations.append(invocation)
        try:
            self._attempt(function, invocation)
        except Exception:  # noqa: BLE001 - nobody waits for this thread: its failure is told there
            invocation.error = f"the local platform failed:\n{traceback.format_exc()}"
            invocation.status = "error"
        finally:
            with self._changed:
                self._running.remove(job)
                self._workers.discard(threading.current_thread())
                job.last = invocation
                if not invocation.ok and job.retries > 0 and not self._stopped:
                    job.retries -= 1
                    job.attempt += 1
                    job.due = self._clock.timestamp() + RETRY_AFTER
                    self._queue.append(job)
                else:
                    job.done.set()
            self._pump()

    def _attempt(self, function: Function, invocation: Invocation) -> None:
        instance = self._warm_instance(function)
        if instance is None:
            invocation.cold = True
            instance = self._new_instance(function)
        invocation.instance = instance.name
        instance.listen_to(invocation)
        try:
            self._run(instance, invocation)
        except DeathError as death:
            self._bury(instance)
            invocation.error, invocation.status = str(death), death.status
        except BaseException:
            self._bury(instance)
            raise
        else:
            self._give_back(instance)

    def _run(self, instance: Instance, invocation: Invocation) -> None:
        if invocation.cold:
            instance.start()
        credentials = self._fresh_credentials(instance.function)
        started = time.monotonic()
        try:
            invocation.result = instance.invoke(invocation, credentials, self._clock.offset)
            status: Status = "ok"
        except FunctionError as failure:
            invocation.error = str(failure)
            status = "error"
        finally:
            invocation.duration = time.monotonic() - started
            invocation.memory = instance.memory()
        instance.wait_for_log(invocation.request_id)
        invocation.status = status

    def _warm_instance(self, function: Function) -> Instance | None:
        while True:
            with self._changed:
                mine = [each for each in self._idle if each.function is function]
                if not mine:
                    return None
                instance = mine[-1]
                self._idle.remove(instance)
            if instance.alive:
                return instance
            self._bury(instance)

    def _new_instance(self, function: Function) -> Instance:
        with self._changed:
            if self._stopped:
                raise RuntimeError("the platform was stopped")
            name = f"{function.name}-{next(self._numbers)}"
            instance = Instance(name, function, self._proxy.listen(name), self._clock, self._print)
            self._instances[name] = instance
        return instance

    def _give_back(self, instance: Instance) -> None:
        instance.freeze()
        with self._changed:
            current = self._functions.get(instance.function.name)
            if instance.function is current and not self._stopped:
                self._idle.append(instance)
                return
        self._bury(instance)

    def _bury(self, instance: Instance) -> None:
        instance.close()
        self._proxy.unlisten(instance.name)
        with self._changed:
            self._instances.pop(instance.name, None)

    def _fresh_credentials(self, function: Function) -> dict[str, str]:
        number = next(self._numbers)
        secret_id = f"AKIDlocalcloudrole{number:06d}"
        account = Account(
            secret_key=f"fake-secret-key-role-{number:06d}",
            token=f"fake-token-role-{number:06d}",
            expires=self._clock.now() + timedelta(seconds=function.credential_seconds),
            allowed=function.may,
        )
        self._accounts[secret_id] = account
        return {
            "TENCENTCLOUD_SECRETID": secret_id,
            "TENCENTCLOUD_SECRETKEY": account.secret_key,
            "TENCENTCLOUD_SESSIONTOKEN": account.token or "",
        }

    def _print(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def _keep_time(self) -> None:
        fired = self._clock.now().replace(second=0, microsecond=0)
        while True:
            with self._changed:
                now = self._clock.now()
                minute = now.replace(second=0, microsecond=0)
                wakes = [(minute + timedelta(minutes=1)).timestamp()]
                wakes += [job.due for job in self._queue if job.due > now.timestamp()]
                if minute == fired and not self._stopped:
                    self._changed.wait(max(0.001, min(wakes) - now.timestamp()))
                if self._stopped:
                    return
            minute = self._clock.now().replace(second=0, microsecond=0)
            if minute != fired:
                fired = minute
                self.tick()
            self._pump()

    def _dump(self) -> str:
        now = self._clock.timestamp()
        lines = [
            f"queued: {job.kind} {job.request_id} attempt {job.attempt}, in {job.due - now:.1f} s"
            for job in self._queue
        ]
        for each in self._invocations:
            if each.status == "running":
                where = each.instance or "an instance that starts"
                lines.append(
                    f"running: {each.kind} {each.request_id} attempt {each.attempt} on {where}: "
                    f"{json.dumps(each.event)[:300]}"
                )
                lines += [f"    {line}" for line in each.log[-10:]]
        return "\n".join(lines) or "nothing left"


def bundle(project: Path, into: Path | None = None) -> Path:
    """A folder as it is deployed: `handler/` without the operator's command line, and `index.py` at the root.

    The dependencies are those of the interpreter that runs the function. Without `into` a
    temporary folder is made, which the caller removes.
    """
    folder = into if into is not None else Path(tempfile.mkdtemp(prefix="livepair-bundle-"))
    ignore = shutil.ignore_patterns("__pycache__", "__main__.py", "cli")
    shutil.copytree(project / "handler", folder / "handler", ignore=ignore, dirs_exist_ok=True)
    shutil.copyfile(project / "handler" / "index.py", folder / "index.py")
    return folder


def _kind(event: Event) -> str:
    if event.get("Type") == "Timer":
        return "timer"
    return "cos" if "Records" in event else "other"


def _records(event: Event) -> Sequence[Event]:
    records: Sequence[Event] = event["Records"]
    return records


def _key(event: Event) -> str:
    """The object key of an event's first record, as it stands in the bucket."""
    key: str = _records(event)[0]["cos"]["cosObject"]["key"]
    return key.split("/", 3)[3]


def _matches(function: Function, event: Event) -> bool:
    record = _records(event)[0]
    bucket = record["cos"]["cosBucket"]
    name = re.sub(r"\s", "", record["event"]["eventName"])
    key = _key(event)
    return (
        f"{bucket['name']}-{bucket['appid']}" == function.bucket
        and fnmatchcase(name, function.events)
        and key.startswith(function.prefix)
        and key.endswith(function.suffix)
    )
