"""What a thousand verifications cost besides the API, from counted requests and measured GB-seconds."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from tests.support.project import PROJECT

SERVERLESS = PROJECT / "serverless.yml"


class Prices(NamedTuple):
    """In USD, before any free tier. None is not known."""

    gb_second: float | None
    invocations_10k: float | None
    cos_requests_10k: float | None


PRICES = Prices(gb_second=0.0000167, invocations_10k=0.002, cos_requests_10k=None)
"""The function's: Tencent's billing overview (product 583, page 17299) as of 2021-07-13. Newer pages point to
price pages that could not be read, and no page was found that tells what COS requests cost: put it in."""

MEMORY_MB = int(yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["inputs"]["memorySize"])
"""What is deployed."""

INVOCATIONS, SWEEPS_A_DAY = 2, 1440
"""Events of a pair, and timer invocations a day."""


class Cost(NamedTuple):
    """One line of the account of a thousand verifications, or of a day of sweeps."""

    what: str
    amount: float
    unit: str
    usd: float | None


def thousand(
    cos_requests: float, seconds: float, sweep_seconds: float, prices: Prices = PRICES
) -> list[Cost]:
    """`seconds` is what the two invocations of a pair take together, the API's time included."""
    gb = MEMORY_MB / 1024
    return [
        _line("1,000 verifications: function", 1000 * seconds * gb, "GB-s", prices.gb_second, 1),
        _line("1,000 verifications: invocations", 1000.0 * INVOCATIONS, "", prices.invocations_10k, 10_000),
        _line("1,000 verifications: COS requests", 1000 * cos_requests, "", prices.cos_requests_10k, 10_000),
        _line("a day of sweeps: function", SWEEPS_A_DAY * sweep_seconds * gb, "GB-s", prices.gb_second, 1),
        _line("a day of sweeps: invocations", float(SWEEPS_A_DAY), "", prices.invocations_10k, 10_000),
        _line("a day of sweeps: COS requests", float(SWEEPS_A_DAY), "", prices.cos_requests_10k, 10_000),
    ]


def _line(what: str, amount: float, unit: str, price: float | None, per: int) -> Cost:
    return Cost(what, amount, unit, None if price is None else amount / per * price)


def text(each: Cost) -> tuple[str, str, str]:
    """One line for people."""
    usd = "price not known" if each.usd is None else f"{each.usd:.4f} USD"
    return each.what, f"{each.amount:,.1f} {each.unit}".strip(), usd


def told(each: Cost) -> dict[str, Any]:
    """One line for machines."""
    return each._asdict()
