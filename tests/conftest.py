"""What tests share: a fresh local cloud, and the function on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tests.cloud import Cloud
from tests.support.harness import Livepair

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
    """The function, with default settings, in this process."""
    return Livepair(cloud, monkeypatch)


@pytest.fixture
def configured(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Livepair]:
    """The function, with the settings that the test gives."""

    def make(**settings: str) -> Livepair:
        return Livepair(cloud, monkeypatch, **settings)

    return make
