"""The operator's commands, run in the test's own process against the local cloud."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from handler.cli import deployment
from handler.cli.main import main
from tests.cloud import Cloud, Credentials
from tests.support.harness import SkippingClock


class PatientClock(SkippingClock):
    """Jumps ahead once the platform has nothing more to do: a busy machine's instances are slow, not late."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.clock)
        self._scf = cloud.scf

    def sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):  # a test may hold an instance up
            self._scf.wait_idle(timeout=1.0)
        super().sleep(seconds)


class Operator:
    """Somebody with a shell, an empty folder and credentials of their own.

    Commands see the settings that the function has, through the same environment. Their waits cost no time.
    """

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.variables = {
            "LOCAL_CLOUD": cloud.url,
            "COLUMNS": "300",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.use(cloud.credentials)
        self.said: list[str] = []
        """Everything that the commands have printed."""
        monkeypatch.chdir(folder)
        monkeypatch.setattr(deployment, "_clock", PatientClock(cloud))

    def use(self, credentials: Credentials) -> None:
        """Run the commands that follow with these credentials."""
        self.variables["TENCENT_SECRET_ID"] = credentials.secret_id
        self.variables["TENCENT_SECRET_KEY"] = credentials.secret_key
        self.variables["TENCENT_TOKEN"] = credentials.token or ""

    def __call__(self, *arguments: str, answer: str | None = None) -> Result:
        """Run a command; `answer` is typed where it asks."""
        runner = CliRunner(env=self.variables)
        result = runner.invoke(main, ["--debug", *arguments], input=answer, catch_exceptions=False)
        self.said += [result.stdout, result.stderr]
        return result

    def fine(self, *arguments: str) -> str:
        """Run a command that succeeds. Returns what it prints."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with --json. Returns the value that it prints."""
        result = self(*arguments, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    def error(self, *arguments: str) -> str:
        """Run a command that fails with one line. Returns it."""
        result = self(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr
