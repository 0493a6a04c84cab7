"""What a report keeps of one verification. It names nobody: no key, no value of a pair. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from handler.rules.agenda import time_text
from handler.rules.codes import code_row
from handler.rules.records import Record

ANSWERED = "Success"
"""The API's code for a comparison that was made. MIN_SIMILARITY decides about these answers alone."""

REDELIVERED = 120.0
"""Seconds from the decision to `told_from` above which somebody asked for the message once more."""


class Row(NamedTuple):
    """One verification. `api_code` is the API's last answer, `code` what the webhook was told.

    `similarity` is 0–100. `calls` are those that the API may have executed. `told_from` is when the schedule
    of its deliveries began.
    """

    id: str
    run: int
    outcome: str
    code: str | None
    api_code: str | None
    similarity: float | None
    min_similarity: float | None
    uploaded_at: datetime
    decided_at: datetime
    told_from: datetime | None
    delivered_at: datetime | None
    dead_at: datetime | None
    attempts: int
    calls: int

    @property
    def category(self) -> str | None:
        return code_row(self.code).category if self.code else None

    @property
    def compared(self) -> float | None:
        """The similarity that MIN_SIMILARITY decided about, None where the API decided or nothing was."""
        return self.similarity if self.api_code == ANSWERED else None

    @property
    def billed(self) -> int:
        """Calls that were billed for certain: the one that decided, where its code is a billed one."""
        return int(self.api_code is not None and code_row(self.api_code).billed and self.calls > 0)

    @property
    def billed_at_most(self) -> int:
        """The same, if each call whose answer is not known was billed.

        No record tells which of several calls were answered without a bill.
        """
        return self.billed + max(0, self.calls - 1)

    @property
    def seconds_to_decide(self) -> float | None:
        """From the newest upload to the decision, where the API was asked."""
        return _seconds(self.uploaded_at, self.decided_at) if self.calls else None

    @property
    def seconds_to_deliver(self) -> float | None:
        """From the moment when it was to be told to its delivery: after `redeliver` from then on."""
        return _seconds(self.told_from or self.decided_at, self.delivered_at)

    @property
    def seconds_in_all(self) -> float | None:
        """From the newest upload to the delivery, where the API was asked and no `redeliver` came between."""
        late = _seconds(self.decided_at, self.told_from) or 0.0
        return _seconds(self.uploaded_at, self.delivered_at) if self.calls and late <= REDELIVERED else None


def _seconds(begin: datetime, end: datetime | None) -> float | None:
    """Seconds between two moments, None without an end. Clocks differ, so what is negative counts as 0."""
    return max(0.0, (end - begin).total_seconds()) if end else None


def row_of(record: Record) -> Row:
    """What a report keeps of a record."""
    answer = record.answer or {}
    code = answer.get("code")
    return Row(
        record.verification.id,
        record.verification.run,
        record.outcome,
        record.code,
        str(code) if code is not None else None,
        _number(answer.get("similarity")),
        _number(data_of(record).get("min_similarity")),
        record.uploaded_at,
        record.decided_at,
        record.told_from,
        record.delivered_at,
        record.dead_at,
        max(0, record.attempts),
        max(0, int(_number(answer.get("calls")) or 0)),
    )


def data_of(record: Record) -> Mapping[str, Any]:
    """What the message of a record tells; empty where it is none."""
    try:
        found = json.loads(record.body)["data"]
    except (ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


_TIMES = ("uploaded_at", "decided_at", "told_from", "delivered_at", "dead_at")


def dump_row(row: Row) -> str:
    """A row as the cache holds it."""
    return json.dumps({**row._asdict(), **{name: time_text(getattr(row, name)) for name in _TIMES}})


def load_row(text: str) -> Row:
    """A row of the cache. Raises ValueError, TypeError or KeyError where it is none of this version."""
    found = json.loads(text)
    times = {name: datetime.fromisoformat(found[name]) if found[name] else None for name in _TIMES}
    return Row(**{**found, **times})
