"""The backends of examples/, as a person would run a copy of them: processes beside the local cloud."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.cloud import Cloud, Credentials, cam
from tests.cloud.cos_sign import Account
from tests.support import deployed
from tests.support.nodejs import NODE, PACKAGES
from tests.support.project import PROJECT

EXAMPLES = PROJECT / "examples"
MOVED = """
import datetime, runpy, sys, time_machine
ahead = datetime.timedelta(seconds={ahead!r})
time_machine.travel(datetime.datetime.now(datetime.timezone.utc) + ahead).start()
sys.argv = ["backend.py"]
runpy.run_path("backend.py", run_name="__main__")
"""
PROGRAMS = {"python": "backend.py", "node": "backend.mjs"}
POLICY = deployed.policy("policy.backend")
NEEDED = ("cos-nodejs-sdk-v5", "express", "standardwebhooks", "tencentcloud-sdk-nodejs-common")
"""What backend.mjs needs of tests/node."""


def backend_keys(cloud: Cloud, policy: str = POLICY) -> Credentials:
    """Keys that may do what a policy for the backend allows."""
    found = Credentials("AKIDlocalcloudbackend", "fake-secret-key-backend")
    cloud.accounts[found.secret_id] = Account(found.secret_key, allowed=cam.allowed_by(json.loads(policy)))
    return found


class Backend:
    """A copy of one of the backends in a folder of its own, and its process. Running until `stop`."""

    def __init__(self, kind: str, folder: Path, cloud: Cloud, policy: str = POLICY, **settings: str) -> None:
        """`kind` is a key of PROGRAMS. It asks with keys that may do what `policy` allows."""
        folder.mkdir(exist_ok=True)
        self._folder = folder / "backend"
        self._log = folder / "log"
        for name in ("backend", "consumers", "texts"):
            shutil.copytree(
                EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__")
            )
        if kind == "node":
            (folder / "node_modules").symlink_to(PACKAGES)
        (self._folder / "images").mkdir()
        self.store = folder / "kept"
        keys = backend_keys(cloud, policy)
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "BUCKET": cloud.bucket,
            "REGION": cloud.region,
            "SECRET_ID": keys.secret_id,
            "SECRET_KEY": keys.secret_key,
            "WEBHOOK_SECRET": cloud.secret,
            "LOCAL_CLOUD": cloud.url,
            "PORT": "0",
            "STORE": str(self.store),
            **settings,
        }
        program = str(NODE) if kind == "node" else sys.executable
        self._command, self._kind = [program, PROGRAMS[kind]], kind
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, ahead: float = 0.0) -> None:
        """Start it again, with a clock so many seconds ahead (python's only). On a new port each time."""
        command = [sys.executable, "-c", MOVED.format(ahead=ahead)] if ahead else self._command
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
        assert line.startswith("listening on http://127.0.0.1:"), line + self.log
        self.url = line.split()[-1]

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text()

    @property
    def images(self) -> Path:
        """Where it finds photos by their ids."""
        return self._folder / "images"

    @property
    def webhook(self) -> str:
        """Where livepair's messages go."""
        return f"{self.url}webhook"

    def clear(self, attempt: str) -> None:
        """A human clears what is suspicious about an attempt, by the consumer's own command."""
        name = "consumer.mjs" if self._kind == "node" else "consumer.py"
        program = self._folder.parent / "consumers" / name
        command = [self._command[0], str(program), "clear", json.dumps({"id": attempt})]
        subprocess.run(command, cwd=self._folder, env=self._environment, capture_output=True, check=True)

    def stop(self) -> None:
        """End it at once, with whatever it is doing. May be called twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            with self._process:
                self._process.wait()
            self._process = None
