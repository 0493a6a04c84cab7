"""One line of the report, and a section of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from handler.cli.deployment import Deployment

Status = Literal["ok", "warn", "fail", "info"]


class Check(NamedTuple):
    """One check. `do` says what to do; empty where there is nothing. `doctor --json` prints these fields."""

    name: str
    status: Status
    found: str
    do: str = ""


class Section(NamedTuple):
    """Checks that are made together.

    `checks` may raise CosError and requests.RequestException: what it has yielded before counts, and the
    section itself has failed.
    """

    name: str
    checks: Callable[[Deployment], Iterator[Check]]
