"""Messages about nobody: made by the function's own rules of values that no template can yield. Pure but for
its random ids.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, get_args

from handler.rules.codes import Outcome, code_row
from handler.rules.outcome import (
    MESSAGE_VERSION,
    Answer,
    Called,
    Decision,
    Frame,
    Verification,
    body,
    decide,
    incomplete,
    timestamp,
    unreadable,
)
from handler.rules.pairing import Pair
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored

Message = dict[str, Any]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

BUCKET = "consumer-check-1250000000"
"""The bucket that messages are about, where nobody names another."""

FAKE_SECRET = "whsec_bm90LXRoZS1zZWNyZXQtb2YtYW55LWNvbnN1bWVy"  # of messages that are not genuine
"""Signs what a consumer must refuse, and stands beside the right one while that is changed."""

ROOT = "/livepair-test/"
"""What the keys begin with. COS takes no key that begins with a slash (product 436, page 13324)."""

_CODES: Mapping[str, str] = {
    "mismatched": "FailedOperation.CompareLowSimilarity",
    "rejected": "FailedOperation.ActionLightDark",
    "failed": "FailedOperation.LivessSystemError",
}


class Maker:
    """Makes messages as of `now`, as a function with these settings does."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        self._settings, self._now = settings, now

    def test(self) -> Message:
        """A webhook.test."""
        note = "A test of this consumer: no upload was judged."
        return self._named({"type": "webhook.test", "data": {"note": note}})

    def told(self, outcome: Outcome, code: str | None = None, *, seen: Seen | None = None) -> Message:
        """An outcome. Raises ValueError for a code that is told as another one."""
        seen = seen or self.pair()
        code = code or _CODES.get(outcome)
        if outcome == "incomplete":
            half = seen._replace(live=None) if code == "Livepair.LiveMissing" else seen._replace(image=None)
            decision = incomplete(half, self._settings.pair_timeout)
            if code not in (None, decision.code):
                raise ValueError(_told_as(code))
            return self._message(half, decision, None)
        if outcome == "matched" and code is not None:
            raise ValueError("`matched` has no code")
        decision = self._decision(code)
        if decision.outcome != outcome:
            raise ValueError(_told_as(code or ""))
        return self._message(seen, decision, self._called(decision))

    def unreadable(self) -> Message:
        """`failed` about uploads that COS never showed: whatever may be null is."""
        seen = self.pair()._replace(live=None, image=None)
        return self._message(seen, unreadable(self._now, "made up by a test"), None)

    def pair(self, name: str = "", *, minutes_ago: int = 1) -> Seen:
        """A pair that there cannot be, with bytes that nobody else has. Its value holds a `/`."""
        name = f"{ROOT}{name.removeprefix(ROOT) or secrets.token_hex(4)}"
        at = self._now - timedelta(minutes=minutes_ago)

        def half(key: str, size: int, seconds: int) -> Stored:
            md5 = secrets.token_hex(16)
            return Stored(key, f'"{md5}"', md5, size, at - timedelta(seconds=seconds))

        live, image = half(f"{name}/live.gz", 183_204, 0), half(f"{name}/image.jpg", 40_213, 3)
        pair = Pair((("id", name),), (live.key,), (image.key,), shared=False)
        return Seen(pair, self._settings.bucket, live, image)

    def _decision(self, code: str | None) -> Decision:
        if code is None or code == "Livepair.BelowMinSimilarity":
            similarity = 96.3 if code is None else 41.7
            return decide(Answer("Success", "", similarity=similarity), 70.0, self._now)
        return decide(Answer(code, ""), 70.0, self._now)

    def _called(self, decision: Decision) -> Called | None:
        code = decision.code or "Success"
        if code.startswith("Livepair.") and decision.similarity is None:
            return None  # what livepair decides without the API
        code = "Success" if decision.similarity is not None else code
        frame = Frame(self._settings.bucket, f"{ROOT}best-frame.jpg", secrets.token_hex(16))
        answer = Answer(code, "", request_id=f"test-{secrets.token_hex(8)}")
        return Called(answer, "ap-singapore", 1, 1, frame if decision.outcome == "matched" else None)

    def _message(self, seen: Seen, decision: Decision, called: Called | None) -> Message:
        """As the function tells it, under an id that says what it is."""
        which = Verification(secrets.token_hex(16), 1, "")
        return self._named(json.loads(body(seen, which, decision, self._settings, called)))

    def _named(self, message: Message) -> Message:
        id_ = f"msg_test_{secrets.token_hex(16)}"
        head = {
            "id": id_,
            "type": message["type"],
            "timestamp": timestamp(self._now),
            "version": MESSAGE_VERSION,
        }
        data = message["data"]
        if "verification_id" in data:
            data = {**data, "verification_id": id_.removeprefix("msg_")}
        return {**head, "data": data}


def _told_as(code: str) -> str:
    return f"{code} is told as `{code_row(code).outcome}`"
