"""A pair and what there can be of it: uploads, verification, claim, record. Tests change what they need."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from handler.rules.claiming import Claim
from handler.rules.outcome import Verification
from handler.rules.pairing import ROLES, Pair
from handler.rules.records import Record
from handler.rules.settings import Settings, load_settings
from handler.rules.uploads import Seen, Stored

BUCKET = "faces-1250000000"
SECRET = "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk="
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MOMENT = timedelta(microseconds=1)

PAIR = Pair((("id", "42"),), ("uploads/42/live.gz",), ("uploads/42/image.jpg",), shared=False)
SHARED = Pair(
    (("user", "ann"), ("attempt", "3")), ("uploads/ann/3/live.gz",), ("faces/ann.jpg",), shared=True
)
"""One image serves many live packages."""

LIVE = Stored("uploads/42/live.gz", '"a1"', "a" * 32, 183_204, NOON - timedelta(seconds=9))
IMAGE = Stored("uploads/42/image.jpg", '"b2"', "b" * 32, 40_213, NOON - timedelta(seconds=5))
SEEN = Seen(PAIR, BUCKET, LIVE, IMAGE)

VERIFICATION = Verification("0123456789abcdef0123456789abcdef", 2, "ann/3")


def settings(**changes: str) -> Settings:
    """The function's settings, as few as there can be."""
    return load_settings(
        {
            "BUCKET": BUCKET,
            "WEBHOOK_URL": "https://example.com/secret-path",
            "WEBHOOK_SECRET": SECRET,
            **changes,
        }
    )


def claim(**changes: Any) -> Claim:
    """A claim whose lease runs until a minute after noon."""
    return Claim(VERIFICATION, 1, "nonce", "request", NOON + MINUTE, NOON)._replace(**changes)


def record(**changes: Any) -> Record:
    """A matched pair that nobody was told of yet; its message agrees with it, unless another one is given."""
    found = Record(
        VERIFICATION, BUCKET, LIVE.key, IMAGE.key, "matched", None, NOON, NOON + MINUTE, "", "nonce"
    )
    found = found._replace(**changes)
    return found if found.body else found._replace(body=message(found))


def message(record: Record, **more: Any) -> str:
    """A message that agrees with a record, as short as it can be; with `more` in it."""
    which, outcome = record.verification, record.outcome
    halves = {role: record.judged(role) for role in ROLES}
    data: dict[str, Any] = {
        "verification_id": which.id,
        "run": which.run,
        "outcome": outcome,
        "pair": {str(n): value for n, value in enumerate(which.path.split("/"))},
        **{role: half and {"bucket": record.bucket, **half} for role, half in halves.items()},
    }
    return json.dumps({"id": which.message_id, "type": f"verification.{outcome}", "data": data, **more})
