"""One instance, seen from the platform: a process that runs `instance`, and the pipes to it."""

import json
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cloud.clock import Clock
from tests.cloud.function import Function, Invocation, Status

LOOK = 0.05
"""Real seconds between two looks at an instance's memory."""


class FunctionError(Exception):
    """The function raised; its instance lives on."""


class DeathError(Exception):
    """The instance is gone, and with it the invocation."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status: Status = status


class Instance:
    """One instance, seen from the platform."""

    def __init__(
        self,
        name: str,
        function: Function,
        url: str,
        clock: Clock,
        show: Callable[[str], None],
    ) -> None:
        self.name = name
        self.function = function
        self._url = url
        self._clock = clock
        self._show = show
        self._process: subprocess.Popen[bytes] | None = None
        self._descriptors: list[int] = []
        self._writing = threading.Lock()
        self._rest = b""
        self._frozen = False
        self._killed = False
        self._log_changed = threading.Condition()
        self._log: list[str] = []
        self._logged: set[str] = set()
        self._log_ended = False

    @property
    def alive(self) -> bool:
        return self._process is not None and not self._killed and self._process.poll() is None

    def start(self) -> None:
        """Start the process and wait until the function is loaded. Raises DeathError."""
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        lifeline, held = os.pipe()
        self._descriptors = [self._commands, self._answers, held]
        given = [commands, answers, lifeline]
        arguments = [
            self.function.executable,
            str(Path(__file__).with_name("instance.py")),
            *map(str, given),
            str(self.function.code.resolve()),
            self.function.handler,
            repr(self._clock.offset),
            self.function.loading,
        ]
        try:
            self._process = subprocess.Popen(
                arguments,
                env=self._environment(),
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            for descriptor in given:
                os.close(descriptor)
        if self._killed:
            self._process.kill()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        answer = self._receive(
            self.function.init_timeout,
            f"Initialization timed out after {self.function.init_timeout:g} seconds",
        )
        if "failed" in answer:
            raise DeathError("error", answer["failed"])

    def invoke(self, invocation: Invocation, credentials: dict[str, str], offset: float) -> Any:
        """Hand over one event and wait for the result. Raises FunctionError or DeathError."""
        if self._frozen:
            self._signal_stop(False)
        environment = {**self._platform_variables(), **credentials}
        context = {
            "memory_limit_in_mb": self.function.memory,
            "time_limit_in_ms": int(self.function.timeout * 1000),
            "request_id": invocation.request_id,
            "environment": json.dumps({**self.function.environment, **environment}),
            "environ": ";".join(f"{name}={value}" for name, value in environment.items()),
            "function_version": "$LATEST",
            "function_name": self.function.name,
            "namespace": "default",
            "tencentcloud_region": self.function.region,
            "tencentcloud_appid": self.function.appid,
            "tencentcloud_uin": "100000000001",
        }
        self._send(
            {
                "event": invocation.event,
                "context": context,
                "environment": environment,
                "offset": offset,
            }
        )
        answer = self._receive(
            self.function.timeout, f"Invocation timed out after {self.function.timeout:g} seconds"
        )
        if "error" in answer:
            raise FunctionError(answer["error"])
        return answer["result"]

    def move_clock(self, offset: float) -> None:
        """Tell a busy instance that the clock has moved."""
        try:
            self._send({"offset": offset})
        except DeathError:
            return  # whoever waits for its answer will notice

    def listen_to(self, invocation: Invocation) -> None:
        """From now on what the function prints belongs to this invocation."""
        with self._log_changed:
            self._log = invocation.log

    def wait_for_log(self, request_id: str) -> None:
        """Wait until everything printed by an invocation that came to its end has been read."""
        with self._log_changed:
            self._log_changed.wait_for(lambda: request_id in self._logged or self._log_ended, timeout=5.0)

    def memory(self) -> float:
        """The most memory the process has held so far, in MB; 0 where /proc does not tell."""
        if self._process is None:
            return 0.0
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0

    def freeze(self) -> None:
        """Stop the process until its next invocation, where the function is to be frozen."""
        if self.function.freeze:
            self._signal_stop(True)

    def kill(self) -> None:
        """Kill the process at once; whoever waits for its answer will notice."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Kill the process and let go of everything. Not for an instance somebody waits for."""
        self.kill()
        if self._process is not None:
            self._process.wait()
            self._reader.join(5.0)
            self._process = None
        with self._writing:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = []

    def _signal_stop(self, stop: bool) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)
        self._frozen = stop

    def _platform_variables(self) -> dict[str, str]:
        return {
            "SCF_FUNCTIONNAME": self.function.name,
            "SCF_FUNCTIONVERSION": "$LATEST",
            "SCF_NAMESPACE": "default",
            "TENCENTCLOUD_APPID": self.function.appid,
            "TENCENTCLOUD_REGION": self.function.region,
            "TENCENTCLOUD_RUNENV": "SCF",
            "TENCENTCLOUD_UIN": "100000000001",
        }

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": "/tmp",  # noqa: S108 - as on the platform
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "UTC",
            "LOCAL_CLOUD": self._url,
            **self._platform_variables(),
            **self.function.environment,
        }

    def _send(self, command: dict[str, Any]) -> None:
        data = json.dumps(command).encode() + b"\n"
        with self._writing:
            try:
                while data and self._descriptors:
                    data = data[os.write(self._commands, data) :]
            except BrokenPipeError:
                raise self._death() from None

    def _receive(self, seconds: float, too_late: str) -> dict[str, Any]:
        """The next answer. Kills the instance where it takes too long or too much memory."""
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            left = end - time.monotonic()
            if newline or left > 0:
                used = self.memory()
                if used > self.function.memory:
                    self._end()
                    raise DeathError(
                        "memory",
                        f"Memory limit exceeded: {used:.0f} MB of {self.function.memory} MB",
                    )
            if newline:
                self._rest = rest
                answer: dict[str, Any] = json.loads(line)
                return answer
            if left <= 0:
                self._end()
                raise DeathError("timeout", too_late)
            if poll.poll(min(left, LOOK) * 1000):
                data = os.read(self._answers, 65536)
                if not data:
                    raise self._death()
                self._rest += data

    def _end(self) -> None:
        self.kill()
        assert self._process is not None
        self._process.wait()

    def _death(self) -> DeathError:
        """What became of a process that closed its pipes."""
        assert self._process is not None
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._end()
            return DeathError("exit", "Process closed its connection to the platform")
        return DeathError("exit", f"Process exited unexpectedly, with code {code}")

    def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for raw in lines:
                text, mark, request_id = raw.rstrip(b"\n").partition(b"\0")
                with self._log_changed:
                    if text or not mark:
                        line = text.decode(errors="replace")
                        self._log.append(line)
                        self._show(line)
                    if mark:
                        self._logged.add(request_id.decode())
                        self._log_changed.notify_all()
        with self._log_changed:
            self._log_ended = True
            self._log_changed.notify_all()
