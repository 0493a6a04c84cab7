"""Commands that are killed half way: nothing is lost, nothing is doubled, and asked again they end the work.

Each command is a process of its own, and SIGKILL meets it after each of its writes in turn.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import Answer
from tests.cloud.proxy import Request
from tests.support.harness import BUCKET, Livepair
from tests.support.operator import Operator
from tests.support.project import PROJECT

WRITES = ("PutObject", "DeleteObject", "DeleteMultipleObjects", "AbortMultipartUpload")
MOST_WRITES = 20


class Killed:
    """An operator whose commands are killed."""

    def __init__(self, cloud: Cloud, operator: Operator) -> None:
        self._cloud, self._operator = cloud, operator
        self._url = cloud.proxy.listen("operator")
        self._process: subprocess.Popen[bytes] | None = None
        cloud.faults.kill = self._kill

    def _kill(self, source: str) -> None:
        if self._process is not None:
            self._process.kill()

    def after_each_write(self, command: Callable[[str], tuple[str, ...]]) -> list[str]:
        """Run commands, each killed after one more write than the one before, until one is through.

        `command` makes a command about a pair of its own, by its name. Returns the pairs' names.
        """
        names: list[str] = []
        for number in range(1, MOST_WRITES):
            names.append(str(number))
            if self.after(number, *command(names[-1])) == 0:
                assert number > 1, "the command wrote nothing"
                return names
        raise AssertionError(f"expected a command to be through after {MOST_WRITES} writes")

    def after(self, writes: int, *command: str) -> int:
        """Kill a command after so many writes. Returns its exit status, that of SIGKILL or 0."""
        left = writes

        def strike(_: Request, operation: faults.Operation) -> faults.Action | None:
            nonlocal left
            left -= operation.name in WRITES
            return faults.kill_after() if operation.name in WRITES and left == 0 else None

        fault = self._cloud.faults.add(source="operator", then=strike, times=None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "handler", *command],
            cwd=self._operator.folder,
            env={
                **os.environ,
                **self._operator.variables,
                "LOCAL_CLOUD": self._url,
                "PYTHONPATH": str(PROJECT),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            said = self._process.communicate(timeout=60)[1]
        finally:
            self._process.kill()
            self._cloud.faults.remove(fault)
        assert self._process.returncode in (0, -signal.SIGKILL), said
        return self._process.returncode


@pytest.fixture
def livepair(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Livepair:
    return Livepair(cloud, monkeypatch)


@pytest.fixture
def operator(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operator:
    return Operator(cloud, monkeypatch, tmp_path)


@pytest.fixture
def killed(livepair: Livepair, operator: Operator) -> Killed:
    return Killed(livepair.cloud, operator)


# --- pairs --------------------------------------------------------------------------------------------


def live(name: str) -> str:
    return f"uploads/{name}/live.gz"


def delivered(livepair: Livepair, name: str) -> None:
    """A pair whose message was taken."""
    livepair.put(f"uploads/{name}/image.jpg", samples.image())
    livepair.put(live(name), samples.live(seed=int(name)))
    livepair.run()


def dead(livepair: Livepair, name: str) -> None:
    """A pair whose delivery was given up."""
    livepair.cloud.consumer.answer(410, times=1)
    delivered(livepair, name)
    assert livepair.state(f"dead/{name}/")


def undelivered(livepair: Livepair, name: str) -> None:
    """A pair that was posted twice in vain, its third attempt on the agenda."""
    livepair.cloud.consumer.answer(500, times=2)
    delivered(livepair, name)
    assert posts(livepair, name) == 2


def failed(livepair: Livepair, name: str) -> None:
    """A pair that may be tried once more."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    delivered(livepair, name)


def record(livepair: Livepair, name: str) -> dict[str, object]:
    """The record of a pair that has one."""
    (key,) = livepair.state(f"records/{name}/")
    return livepair.record(key)


def posts(livepair: Livepair, name: str) -> int:
    """How often a message of a pair was posted."""
    posted = (json.loads(attempt.body) for attempt in livepair.cloud.consumer.attempts)
    return sum(message["data"]["pair"] == {"id": name} for message in posted)


# --- the commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [dead, undelivered])
def test_redeliver(
    livepair: Livepair, killed: Killed, operator: Operator, given: Callable[[Livepair, str], None]
) -> None:
    """A message is posted once more, or its record is as it was; asked again, what was given up is posted."""
    before: dict[str, int] = {}

    def command(name: str) -> tuple[str, ...]:
        given(livepair, name)
        before[name] = posts(livepair, name)
        return "redeliver", str(record(livepair, name)["verification"])

    names = killed.after_each_write(command)
    livepair.finish()
    more = [posts(livepair, name) - before[name] for name in names]
    assert set(more[:1]) <= {0, 1}
    assert set(more[2:]) == {1}
    counts = operator.json("list")["counts"]
    assert counts["undelivered"] == 0
    assert counts["dead"] == more.count(0) * (given is dead)
    operator("redeliver", "--dead", "--yes")
    livepair.finish()
    assert all(record(livepair, name)["delivered_at"] for name in names)
    assert all(posts(livepair, name) - before[name] <= 1 for name in names)
    assert operator.json("list")["counts"]["dead"] == 0


def test_retry(livepair: Livepair, killed: Killed, operator: Operator) -> None:
    """There is one more run, also where it is asked for again."""

    def command(name: str) -> tuple[str, ...]:
        failed(livepair, name)
        return "retry", str(record(livepair, name)["verification"])

    for name in killed.after_each_write(command):
        operator.fine("retry", str(record(livepair, name)["verification"]))
    livepair.finish()
    runs = [(message["data"]["pair"]["id"], message["data"]["run"]) for message in livepair.messages]
    assert sorted(runs) == [("1", 1), ("1", 2), ("2", 1), ("2", 2)]
    assert len(livepair.asked) == 4


def test_reconcile(livepair: Livepair, killed: Killed, operator: Operator) -> None:
    """The walk is on the agenda; another one after it finds what no event told, once."""
    delivered(livepair, "0")
    livepair.put("uploads/1/image.jpg", samples.image())
    livepair.put(live("1"), samples.live(seed=1))
    livepair.drop(2)
    assert killed.after(1, "reconcile", "--since", "all") == -signal.SIGKILL
    assert "a reconcile is under way" in operator.error("reconcile", "--since", "all")
    livepair.finish()
    livepair.cloud.clock.advance(3600)
    operator.fine("reconcile", "--since", "all")
    livepair.finish()
    assert len(livepair.asked) == 2
    assert [posts(livepair, name) for name in "01"] == [1, 1]


def test_forget(livepair: Livepair, killed: Killed, operator: Operator) -> None:
    """What is left is judged, told and billed by nobody, also not by a walk; asked again, all is erased."""

    def command(name: str) -> tuple[str, ...]:
        dead(livepair, name)
        return "forget", str(record(livepair, name)["verification"]), "--yes"

    names = killed.after_each_write(command)
    told, asked = len(livepair.cloud.consumer.attempts), len(livepair.asked)
    livepair.cloud.clock.advance(7200)
    livepair.reconcile()
    livepair.finish()
    assert (len(livepair.cloud.consumer.attempts), len(livepair.asked)) == (told, asked)
    for name in names:
        operator.fine("forget", live(name), "--yes")
    kept = [each.key for each, _ in livepair.cloud.cos.bucket(BUCKET).all_versions("")]
    assert set(kept) <= {"livepair/create-only", "livepair/reconciled.json"}
