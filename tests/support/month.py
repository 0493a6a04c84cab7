"""A month of verifications that never were, drawn with a seed: for pictures, and for what is large."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from handler.cli.report.facts import Price, Report, Seen
from handler.cli.report.reckon import BY, THRESHOLDS, Reckoning
from handler.cli.report.row import Row

BEGIN = datetime(2026, 10, 26, tzinfo=timezone.utc)
DAYS = 30

CODES = (
    ("FailedOperation.ActionLightDark", 9),
    ("FailedOperation.SilentThreshold", 6),
    ("FailedOperation.ActionFaceFar", 4),
    ("FailedOperation.ImageBlur", 4),
    ("InternalError.ActionNodetectFace", 3),
    ("FailedOperation.LivessDetectFake", 2),
)


def report(by: str = "day", seed: int = 7) -> Report:
    """The report of that month."""
    reckoning = Reckoning(BY[by], BY["day"], THRESHOLDS)
    for pair in pairs(random.Random(seed)):
        reckoning.add(pair)
    until = BEGIN + timedelta(days=DAYS)
    seen = Seen(reckoning.total.count, 0, 0, 0)
    price = Price(Decimal("0.15"), "USD")
    return Report("faces-1250000000", BEGIN, until, until, by, reckoning, price, seen)


def pairs(draw: random.Random) -> Iterator[list[Row]]:
    """Pairs with their verifications: fewer at weekends, an hour of trouble, a few retakes."""
    for day in range(DAYS):
        weekend = (BEGIN + timedelta(days=day)).weekday() >= 5
        for number in range(round(draw.gauss(52 if weekend else 118, 9)) + day):
            uploaded = BEGIN + timedelta(days=day, seconds=draw.randrange(80_000))
            rows = [_row(draw, uploaded, trouble=day == 17 and number % 5 == 0)]
            while rows[-1].outcome == "rejected" and draw.random() < 0.6:
                uploaded += timedelta(minutes=draw.randrange(1, 20))
                rows.append(_row(draw, uploaded))
            yield rows


def _row(draw: random.Random, uploaded: datetime, *, trouble: bool = False) -> Row:
    similarity, code, api_code = None, None, "Success"
    if trouble:
        outcome = "failed"
        code = api_code = "FailedOperation.LivessSystemError"
    elif draw.random() < 0.012:
        return _incomplete(draw, uploaded)
    elif draw.random() < 0.13:
        outcome = "rejected"
        code = api_code = draw.choices([each for each, _ in CODES], [weight for _, weight in CODES])[0]
    else:
        same = draw.random() < 0.955
        similarity = round(min(99.9, max(0.4, draw.gauss(91, 6.5) if same else draw.gauss(34, 15))), 1)
        outcome = "matched" if similarity >= 70 else "mismatched"
        code = None if outcome == "matched" else "Livepair.BelowMinSimilarity"
    decided = uploaded + timedelta(seconds=3600 if trouble else 0.5 + draw.lognormvariate(0, 0.5))
    first = draw.random() < 0.985
    delivered = decided + timedelta(seconds=draw.lognormvariate(-2.2, 0.5) + (0 if first else 5.3))
    calls = 8 if trouble else 1 + (draw.random() < 0.01)
    return Row(
        _id(draw), 1, outcome, code, api_code, similarity, 70.0, uploaded, decided, decided, delivered, None,
        1 if first else 2, calls,
    )  # fmt: skip


def _incomplete(draw: random.Random, uploaded: datetime) -> Row:
    decided = uploaded + timedelta(hours=1)
    code = draw.choice(("Livepair.LiveMissing", "Livepair.ImageMissing"))
    delivered = decided + timedelta(seconds=draw.lognormvariate(-2.2, 0.5))
    return Row(
        _id(draw), 1, "incomplete", code, None, None, 70.0, uploaded, decided, decided, delivered, None, 1, 0
    )


def _id(draw: random.Random) -> str:
    return hashlib.sha256(draw.randbytes(16)).hexdigest()[:32]
