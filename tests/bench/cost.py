"""What a thousand verifications cost besides the API, from counted requests and measured GB-seconds."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from tests.support.project import PROJECT

SERVERLESS = PROJECT / "serverless.yml"


class Prices(NamedTuple):
    """In USD, before any free tier. None is not known. A GB is of traffic out to the public network."""

    gb_second: float | None
    invocations_10k: float | None
    cos_requests_10k: float | None
    function_gb: float | None
    cos_gb: float | None
    day: float | None
    """For each day on which the function platform is used at all."""


PRICES = {
    "ap-bangkok": Prices(0.0000167, 0.002, 0.002, 0.0752, 0.12, 0.06),
    "ap-hongkong": Prices(0.0000167, 0.002, 0.002, 0.1504, 0.12, 0.06),
    "ap-singapore": Prices(0.0000167, 0.002, 0.003, 0.1203, 0.12, 0.06),
}
"""The function's: product 583, page 17299, as of 2023-02-01; the day's: page 44254. Those of COS: its list of
2023-07-10, storage class STANDARD; failed requests cost the same (436/40100), a GB costs 0.08 to 0.12."""

REGION = "ap-singapore"
"""The dearest of the three for requests."""

PAIR_GB = 0.005
"""What the API downloads by the links of one pair: 5 MB. No page says whether COS bills that as traffic."""

OUT_GB = 0.00001
"""What the function sends to the API and the webhook for one pair: 10 KB, TLS counted, by estimate."""

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
    cos_requests: float, seconds: float, sweep_seconds: float, prices: Prices = PRICES[REGION]
) -> list[Cost]:
    """`seconds` is what the two invocations of a pair take together, the API's time included."""
    gb, many, sweeps = MEMORY_MB / 1024, "1,000 verifications", "a day of sweeps"
    ten_thousand = 10_000
    return [
        _line(f"{many}: function", 1000 * seconds * gb, "GB-s", prices.gb_second, 1),
        _line(f"{many}: invocations", 1000.0 * INVOCATIONS, "", prices.invocations_10k, ten_thousand),
        _line(f"{many}: COS requests", 1000 * cos_requests, "", prices.cos_requests_10k, ten_thousand),
        _line(f"{many}: traffic of the function", 1000 * OUT_GB, "GB", prices.function_gb, 1),
        _line(f"{many}: the API's downloads, if billed", 1000 * PAIR_GB, "GB", prices.cos_gb, 1),
        _line(f"{sweeps}: function", SWEEPS_A_DAY * sweep_seconds * gb, "GB-s", prices.gb_second, 1),
        _line(f"{sweeps}: invocations", float(SWEEPS_A_DAY), "", prices.invocations_10k, ten_thousand),
        _line(f"{sweeps}: COS requests", float(SWEEPS_A_DAY), "", prices.cos_requests_10k, ten_thousand),
        _line("a day: basic package of the platform", 1.0, "", prices.day, 1),
    ]


def months(costs: list[Cost], verifications: int) -> Cost:
    """What so many verifications cost in a month of 30 days, without what may not be billed."""
    billed = [each for each in costs if each.usd is not None and "if billed" not in each.what]
    each_thousand = sum(each.usd or 0.0 for each in billed if each.what.startswith("1,000 "))
    each_day = sum(each.usd or 0.0 for each in billed if not each.what.startswith("1,000 "))
    usd = verifications / 1000 * each_thousand + 30 * each_day
    return Cost("a month", float(verifications), "verifications", usd)


def _line(what: str, amount: float, unit: str, price: float | None, per: int) -> Cost:
    return Cost(what, amount, unit, None if price is None else amount / per * price)


def text(each: Cost) -> tuple[str, str, str]:
    """One line for people."""
    usd = "price not known" if each.usd is None else f"{each.usd:.4f} USD"
    amount = f"{each.amount:,.2f}".rstrip("0").rstrip(".")
    return each.what, f"{amount} {each.unit}".strip(), usd


def told(each: Cost) -> dict[str, Any]:
    """One line for machines."""
    return each._asdict()
