"""The arithmetic of a report. It takes verifications one pair after another and keeps counts only. Pure.

So the memory that it needs does not grow with the history: counts are kept for at most `MOST_GROUPS` groups,
`MOST_CODES` codes, and of durations for values of three digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from handler.cli.report.row import ANSWERED, Row

OUTCOMES = ("matched", "mismatched", "rejected", "incomplete", "failed")
JUDGED = OUTCOMES[:3]
"""Outcomes that say something about a person; the pass rate is the share of `matched` among them."""

THRESHOLDS = (60.0, 65.0, 70.0, 75.0, 80.0)

FALSE_ACCEPT = {70.0: 0.001, 80.0: 0.0001}
"""Shares of other people's faces that a threshold lets pass, as Tencent states them (product
1061, page 44246). No other threshold has a stated share."""

BIN = 5  # points of similarity
PERCENTS = (50, 95, 99)

MOST_GROUPS = 10_000
MOST_CODES = 1_000
OTHERS = "(others)"
"""Stands for every group, or code, that came after the most that are kept apart."""


class Spread:
    """Durations in seconds, and their percentiles; values are kept to three digits and whole milliseconds."""

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()

    def add(self, seconds: float | None) -> None:
        if seconds is not None:
            self._counts[float(f"{round(seconds, 3):.3g}")] += 1

    @property
    def count(self) -> int:
        return self._counts.total()

    def percentile(self, percent: int) -> float | None:
        """The least value that so many percent of all do not exceed (nearest rank), None without any."""
        rank = -(-self.count * percent // 100)
        for value in sorted(self._counts):
            rank -= self._counts[value]
            if rank <= 0:
                return value
        return None


class Tally:
    """Counts of some verifications."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.calls = self.billed = self.billed_at_most = 0

    def add(self, row: Row) -> None:
        self.outcomes[row.outcome] += 1
        self.calls += row.calls
        self.billed += row.billed
        self.billed_at_most += row.billed_at_most

    @property
    def count(self) -> int:
        return self.outcomes.total()

    @property
    def judged(self) -> int:
        """How many say something about a person."""
        return sum(self.outcomes[each] for each in JUDGED)

    @property
    def pass_rate(self) -> float | None:
        """The share of `matched` among them, None where there is none."""
        return share(self.outcomes["matched"], self.judged)


class Groups:
    """Tallies by name, `MOST_GROUPS` of them and one for all others."""

    def __init__(self, name: Callable[[Row, str], str]) -> None:
        self._name = name
        self.tallies: dict[str, Tally] = {}

    def add(self, row: Row, value: str) -> None:
        name = self._name(row, value)
        if name not in self.tallies and len(self.tallies) >= MOST_GROUPS:
            name = OTHERS
        self.tallies.setdefault(name, Tally()).add(row)


class Pairs:
    """What became of pairs: one that was judged several times counts once, and passes if it ever matched."""

    def __init__(self) -> None:
        self.count = self.judged = self.passed = self.retakes = 0

    def add(self, rows: Sequence[Row]) -> None:
        judged = [row.outcome for row in rows if row.outcome in JUDGED]
        self.count += bool(rows)
        self.judged += bool(judged)
        self.passed += "matched" in judged
        self.retakes += max(0, len(judged) - 1)

    @property
    def pass_rate(self) -> float | None:
        return share(self.passed, self.judged)


class Similarities:
    """Similarities that MIN_SIMILARITY decided about, in bins of five, and what other thresholds say."""

    def __init__(self, thresholds: Iterable[float]) -> None:
        self.bins = [0] * (100 // BIN)
        self.used: set[float] = set()
        """The values of MIN_SIMILARITY that decided; ten at the most are kept."""
        self.matched = self.count = 0
        self.reached: dict[float, int] = dict.fromkeys(sorted(set(thresholds)), 0)

    def add(self, row: Row) -> None:
        similarity = row.compared
        if similarity is None:
            return
        self.count += 1
        self.matched += row.outcome == "matched"
        self.bins[min(len(self.bins) - 1, max(0, int(similarity // BIN)))] += 1
        for threshold in self.reached:
            self.reached[threshold] += similarity >= threshold
        if row.min_similarity is not None and len(self.used) < 10:
            self.used.add(row.min_similarity)

    def what_if(self) -> list[WhatIf]:
        """What each threshold would have done with the answers that there are."""
        return [
            WhatIf(threshold, would, would - self.matched, FALSE_ACCEPT.get(threshold))
            for threshold, would in self.reached.items()
        ]


class WhatIf(NamedTuple):
    """A threshold: how many would match, how many more (or fewer) that are than did, and the share of other
    people's faces that it lets pass, as Tencent states it: None where it states none."""

    threshold: float
    would_match: int
    change: int
    false_accept: float | None


class Deliveries:
    """What became of messages."""

    def __init__(self) -> None:
        self.delivered = self.first_attempt = self.dead = self.waiting = 0

    def add(self, row: Row) -> None:
        delivered, dead = row.delivered_at is not None, row.dead_at is not None
        self.delivered += delivered
        self.first_attempt += delivered and row.attempts == 1
        self.dead += dead and not delivered
        self.waiting += not delivered and not dead


class Reckoning:
    """All counts of a report. `add` takes all verifications of one pair at once."""

    def __init__(
        self, by: Callable[[Row, str], str], time: Callable[[Row, str], str], thresholds: Iterable[float]
    ) -> None:
        """`by` and `time` name the group of a verification: for the table that is wanted, and the chart."""
        self.total = Tally()
        self.by, self.over_time = Groups(by), Groups(time)
        self.codes: Counter[tuple[str, str]] = Counter()
        self.pairs = Pairs()
        self.similarities = Similarities(thresholds)
        self.to_decide, self.to_deliver, self.in_all = Spread(), Spread(), Spread()
        self.deliveries = Deliveries()

    def add(self, rows: Sequence[Row], value: str = "") -> None:
        """Count a pair's verifications; `value` is that of its placeholder."""
        self.pairs.add(rows)
        for row in rows:
            for part in (self.total, self.similarities, self.deliveries):
                part.add(row)
            for groups in (self.by, self.over_time):
                groups.add(row, value)
            self._count_code(row)
            self.to_decide.add(row.seconds_to_decide)
            self.to_deliver.add(row.seconds_to_deliver)
            self.in_all.add(row.seconds_in_all)

    def _count_code(self, row: Row) -> None:
        code = (code_of(row, ""), row.outcome)
        if code not in self.codes and len(self.codes) >= MOST_CODES:
            code = (OTHERS, row.outcome)
        self.codes[code] += 1


# --- groups ---------------------------------------------------------------------------------------------


def day_of(row: Row, _: str) -> str:
    return row.decided_at.strftime("%Y-%m-%d")


def hour_of(row: Row, _: str) -> str:
    return row.decided_at.strftime("%Y-%m-%d %H:00")


def code_of(row: Row, _: str) -> str:
    """The code that the webhook was told; of `matched`, which has none, the API's."""
    return row.code or row.api_code or ANSWERED


def value_of(_: Row, value: str) -> str:
    return value


BY: dict[str, Callable[[Row, str], str]] = {
    "day": day_of,
    "hour": hour_of,
    "code": code_of,
    "pair-value": value_of,
}
"""How verifications can be grouped; days and hours are of the decision, in UTC."""


# --- shares and money -----------------------------------------------------------------------------------


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, to four digits; None of nothing."""
    return round(part / whole, 4) if whole else None


def money(calls: int, price: Decimal) -> str:
    """What so many calls cost at a price each, to the cent; halves go to the even cent."""
    return f"{(calls * price).quantize(Decimal('0.01')):f}"
