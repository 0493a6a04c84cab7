"""A finished report, and the value that `--json` prints of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from handler import __version__
from handler.cli.report.reckon import BIN, OUTCOMES, PERCENTS, Reckoning, Spread, Tally, money, share
from handler.rules.codes import code_row


class Price(NamedTuple):
    """What one billed call costs. `currency` is empty where none was given."""

    amount: Decimal
    currency: str

    def of(self, calls: int) -> str:
        """What so many calls cost, with the currency."""
        return f"{money(calls, self.amount)} {self.currency}".strip()


class Seen(NamedTuple):
    """How the records were come by, and what is missing of them."""

    read: int
    from_cache: int
    left_out: int
    unreadable: int
    why: tuple[str, ...] = ()


class Report(NamedTuple):
    """All that was counted. `by` names how `reckoning.by` is grouped: day, hour, code or pair-value."""

    bucket: str
    since: datetime
    until: datetime
    made_at: datetime
    by: str
    reckoning: Reckoning
    price: Price | None
    seen: Seen


STAGES = ("upload_to_decided", "decided_to_delivered", "upload_to_delivered")


def spreads(reckoning: Reckoning) -> Iterable[tuple[str, Spread]]:
    """The durations by their stage's name."""
    return zip(STAGES, (reckoning.to_decide, reckoning.to_deliver, reckoning.in_all), strict=True)


def groups(report: Report) -> list[tuple[str, Tally]]:
    """The groups in order: of time in its order, others with the largest first."""
    found = report.reckoning.by.tallies.items()
    if report.by in ("day", "hour"):
        return sorted(found)
    return sorted(found, key=lambda each: (-each[1].count, each[0]))


def codes(reckoning: Reckoning) -> list[tuple[str, str, int]]:
    """Code, outcome and count, the most frequent first."""
    found = [(code, outcome, count) for (code, outcome), count in reckoning.codes.items()]
    return sorted(found, key=lambda each: (-each[2], each[0], each[1]))


def facts(report: Report) -> dict[str, Any]:
    """The report as JSON has it: moments as texts in UTC, shares from 0 to 1, durations in seconds."""
    reckoning = report.reckoning
    return {
        "bucket": report.bucket,
        "since": report.since,
        "until": report.until,
        "made_at": report.made_at,
        "livepair": __version__,
        "verifications": reckoning.total.count,
        **_tally(reckoning.total),
        "pairs": {
            "count": reckoning.pairs.count,
            "judged": reckoning.pairs.judged,
            "passed": reckoning.pairs.passed,
            "pass_rate": reckoning.pairs.pass_rate,
            "retakes": reckoning.pairs.retakes,
        },
        "codes": [
            {"code": code, "outcome": outcome, "category": code_row(code).category, "count": count}
            for code, outcome, count in codes(reckoning)
        ],
        "similarity": {
            "count": reckoning.similarities.count,
            "min_similarity": sorted(reckoning.similarities.used),
            "bins": [
                {"from": BIN * number, "to": BIN * number + BIN, "count": count}
                for number, count in enumerate(reckoning.similarities.bins)
            ],
        },
        "thresholds": [
            {**each._asdict(), "of": reckoning.similarities.count}
            for each in reckoning.similarities.what_if()
        ],
        "seconds": {name: _spread(spread) for name, spread in spreads(reckoning)},
        "deliveries": {
            "delivered": reckoning.deliveries.delivered,
            "first_attempt": reckoning.deliveries.first_attempt,
            "first_attempt_share": first_attempt(reckoning),
            "dead": reckoning.deliveries.dead,
            "waiting": reckoning.deliveries.waiting,
        },
        "money": _money(report),
        "by": {report.by: [{"name": name, **_tally(tally)} for name, tally in groups(report)]},
        "records": report.seen._asdict(),
    }


def first_attempt(reckoning: Reckoning) -> float | None:
    """The share of the delivered messages that were taken at the first attempt."""
    return share(reckoning.deliveries.first_attempt, reckoning.deliveries.delivered)


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "outcomes": {outcome: tally.outcomes[outcome] for outcome in OUTCOMES},
        "judged": tally.judged,
        "pass_rate": tally.pass_rate,
        "calls": tally.calls,
        "billed": tally.billed,
        "billed_at_most": tally.billed_at_most,
    }


def _spread(spread: Spread) -> dict[str, Any]:
    return {"count": spread.count, **{f"p{percent}": spread.percentile(percent) for percent in PERCENTS}}


def _money(report: Report) -> dict[str, Any] | None:
    if report.price is None:
        return None
    total = report.reckoning.total
    return {
        "price": str(report.price.amount),
        "currency": report.price.currency,
        "billed": money(total.billed, report.price.amount),
        "billed_at_most": money(total.billed_at_most, report.price.amount),
    }
