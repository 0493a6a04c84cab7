"""What tests share: a fresh local cloud, the function on it, and the function as it is deployed."""

from __future__ import annotations

import compileall
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.cloud import Cloud
from tests.cloud.faults import Gate
from tests.cloud.scf import bundle
from tests.support.harness import Livepair
from tests.support.operator import Operator
from tests.support.peer import Peer
from tests.support.project import PROJECT

# No sample is timed, since machines differ; where CI runs them, each run draws the same samples.
settings.register_profile("livepair", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("livepair")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A local Tencent Cloud of its own for each test."""
    with Cloud() as running:
        yield running


@pytest.fixture
def livepair(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Livepair:
    """The function, with default settings, in this process. Its waits cost no time."""
    return Livepair(cloud, monkeypatch)


@pytest.fixture
def configured(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Livepair]:
    """The function, with the settings that the test gives; a state bucket that they name is made."""

    def make(**settings: str) -> Livepair:
        return Livepair(cloud, monkeypatch, **settings)

    return make


@pytest.fixture
def operator(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operator:
    """Somebody with a shell, an empty folder and credentials of their own."""
    return Operator(cloud, monkeypatch, tmp_path)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server that answers byte for byte what the test says."""
    running = Peer()
    yield running
    running.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Holds requests until the test lets them go, or fails."""
    gate = Gate()
    yield gate
    gate.release()


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function as it is deployed, compiled: a folder that nobody writes to."""
    folder = bundle(PROJECT, tmp_path_factory.mktemp("bundle"))
    compileall.compile_dir(folder, quiet=2)
    return folder
