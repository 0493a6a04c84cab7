"""What tests share: a fresh local cloud, and the function on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cloud import Cloud
from tests.harness import Livepair


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
