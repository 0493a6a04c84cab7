"""The local cloud with functions on it; a test's events are handed over one by one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.cloud import Cloud, samples
from tests.cloud.faults import Fault, delay
from tests.cloud.function import Function, Invocation
from tests.cloud.proxy import Logged

HERE = Path(__file__).resolve().parent
COS_S, API_S, WEBHOOK_S = 0.010, 0.800, 0.040
"""The latencies of the issue, in seconds: of each request to COS, of the API, of the webhook."""

TICKS = os.sysconf("SC_CLK_TCK")


class Told(NamedTuple):
    """One verification as it was measured. Times in seconds."""

    to_webhook: float
    invocation: Invocation
    requests: list[Logged]
    began: float


class Stage:
    """One cloud, with livepair, the bare requests and the tutorial's handler deployed. A context manager."""

    def __init__(self, bundle: Path, python: str, folder: Path) -> None:
        self._bundle, self._python, self._folder = bundle, python, folder
        self.cloud = Cloud()
        self.cloud.faceid.limits["DetectReflectLivenessAndCompare"] = 10_000
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._arrived: list[float] = []
        self._faults: list[Fault] = []
        self.cloud.cos.on_event.append(self._events.append)
        self._hear(0.0)
        self.functions = {
            "livepair": self._deploy("livepair", bundle),
            **{name: self._deploy(name, self._peer(name)) for name in ("bare", "tutorial")},
        }

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cloud.close()

    def _deploy(self, name: str, code: Path, **settings: Any) -> Function:
        function = Function(
            code=code,
            name=name,
            environment=self.cloud.environment(API_RATE="1000", **settings),
            timeout=90,
            memory=512,
            executable=self._python,
        )
        self.cloud.scf.deploy(function)
        return function

    def _hear(self, seconds: float) -> None:
        """Answer every message after so many seconds, and note when it came."""

        def noted(_: dict[str, Any]) -> bool:
            self._arrived.append(time.monotonic())
            return True

        self.cloud.consumer.behave()
        self.cloud.consumer.answer(204, delay=seconds, times=None, when=noted)

    def slow(self) -> None:
        """From now on everything takes the time that it takes out there."""
        self._faults = [
            self.cloud.faults.add("*", service=service, source="?*", then=delay(COS_S), times=None)
            for service in ("cos", "faceid-files")
        ]
        self.cloud.faceid.latency = API_S
        self._hear(WEBHOOK_S)

    def quick(self) -> None:
        """From now on nothing takes longer than this machine needs."""
        for fault in self._faults:
            self.cloud.faults.remove(fault)
        self.cloud.faceid.latency = 0.0
        self._hear(0.0)

    # --- events

    def event_of(self, key: str, data: bytes) -> dict[str, Any]:
        """Upload, and the event of it."""
        self._events.clear()
        self.cloud.cos.bucket(self.cloud.bucket).put(key, data)
        return self._events[-1]

    def synthetic(self, key: str, size: int) -> dict[str, Any]:
        """Upload so many made-up bytes in parts, so that they have no MD5 yet, and the event of it."""
        self._events.clear()
        self.cloud.cos.bucket(self.cloud.bucket).put_synthetic(key, size)
        return self._events[-1]

    def pair(self) -> tuple[str, str]:
        """The keys of a new pair, image and live package."""
        self._number += 1
        folder = f"uploads/{self._number:08d}"
        return f"{folder}/image.jpg", f"{folder}/live.gz"

    def invoke(self, function: str, event: dict[str, Any], *, first: bool = False) -> Invocation:
        """Hand an event over and wait. Raises RuntimeError where the function fails."""
        done = self.cloud.scf.invoke({**event, "first": first}, function)
        if not done.ok:
            raise RuntimeError(f"{function}: {done.error}")
        return done

    def verify(self, function: str) -> Told:
        """A whole pair, image first: both events are handed over, the second is what is timed."""
        image, live = self.pair()
        self.invoke(function, self.event_of(image, samples.image()), first=True)
        event = self.event_of(live, samples.live(seed=self._number))
        self.cloud.proxy.clear_log()
        self._arrived.clear()
        began = time.monotonic()
        done = self.invoke(function, event)
        if len(self._arrived) != 1:
            raise RuntimeError(f"{function} told {len(self._arrived)} times: {done.log}")
        return Told(self._arrived[0] - began, done, self.requests(), began)

    def requests(self) -> list[Logged]:
        """What functions have asked of COS and the API since the log was cleared."""
        return [each for each in self.cloud.log if each.source]

    def cpu(self, function: str) -> float:
        """CPU seconds, user and system, that the function's one idle instance has used so far."""
        instance = self.cloud.scf._warm_instance(self.functions[function])
        assert instance is not None, "it has run before"
        assert instance._process is not None, "and is alive"
        fields = Path(f"/proc/{instance._process.pid}/stat").read_text().rpartition(")")[2].split()
        self.cloud.scf._give_back(instance)
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _peer(self, name: str) -> Path:
        return self.with_entry(name, (HERE / f"{name}.py").read_text())

    def with_entry(self, name: str, entry: str) -> Path:
        """A folder with the bundle's packages and another entry file."""
        folder = self._folder / name
        folder.mkdir()
        for path in self._bundle.iterdir():
            if path.name not in ("index.py", "__pycache__"):
                (folder / path.name).symlink_to(path)
        (folder / "index.py").write_text(entry)
        # The tutorial's handler shares what the bare requests have.
        (folder / "tests" / "bench").mkdir(parents=True)
        shutil.copyfile(HERE / "bare.py", folder / "tests" / "bench" / "bare.py")
        return folder
