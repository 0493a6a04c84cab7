"""From what was seen and answered to the outcome and the webhook's body. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from handler.edges.faceid import Answer, Outcome, code_row
from handler.rules.pairing import Pair, Role
from handler.rules.settings import Settings

MESSAGE_VERSION = 1


class Half(NamedTuple):
    """One upload of a pair, as it was looked up.

    `md5` is None only where the ETag is none and the object was not read: too large, or archived.
    """

    bucket: str
    key: str
    etag: str
    md5: str | None
    size: int
    uploaded_at: datetime
    archived: bool = False

    @property
    def identity(self) -> str:
        """What names its bytes in a verification's id."""
        return self.md5 or f"etag:{self.etag}"

    def same_bytes(self, other: Half | None) -> bool:
        return other is not None and (self.key, self.etag, self.size) == (other.key, other.etag, other.size)


class Seen(NamedTuple):
    """A pair with the uploads that are there now."""

    pair: Pair
    bucket: str
    live: Half | None
    image: Half | None

    def half(self, role: Role) -> Half | None:
        return self.live if role == "live" else self.image

    @property
    def complete(self) -> bool:
        return self.live is not None and self.image is not None

    @property
    def newest(self) -> datetime:
        """When the newest of the uploads was made. Needs one."""
        return max(half.uploaded_at for half in (self.live, self.image) if half)


class Verification(NamedTuple):
    """A pair with particular bytes, and a run number. `path` is its pair's."""

    id: str
    run: int
    path: str

    @property
    def message_id(self) -> str:
        return f"msg_{self.id}"


def verification(seen: Seen, run: int) -> Verification:
    """The verification of these bytes.

    Its id is a digest, 32 hex digits: it holds no `.` and no personal data.
    Where one image serves many live packages the live half alone counts, and whether there is an image: a
    verdict and an `incomplete` that is decided at the same moment are two verifications.
    """
    live = seen.live.key if seen.live else seen.pair.live_keys[0]
    parts: list[object] = [seen.bucket, live, seen.live.identity if seen.live else "-"]
    if not seen.pair.shared:
        image = seen.image.key if seen.image else seen.pair.image_keys[0]
        parts += [image, seen.image.identity if seen.image else "-"]
    elif seen.image is None:
        parts.append("-")
    text = json.dumps([*parts, run], ensure_ascii=False)
    return Verification(hashlib.sha256(text.encode()).hexdigest()[:32], run, seen.pair.path)


class Decision(NamedTuple):
    """What is told of a verification: its outcome, the code that says why, and the words for operators.

    `code` is None for `matched`; it is the API's own or begins with `Livepair.`.
    """

    outcome: Outcome
    code: str | None
    message: str | None = None
    similarity: float | None = None


def decide(answer: Answer, min_similarity: float) -> Decision:
    """What an answer means, once nothing more is to be tried."""
    row = code_row(answer.code)
    if answer.code == "Success":
        similarity = answer.similarity
        if similarity is None:
            raise ValueError("a Success without similarity is Livepair.NoSimilarity")
        if similarity >= min_similarity:
            return Decision("matched", None, None, similarity)
        says = f"similarity {similarity} is below MIN_SIMILARITY {min_similarity}"
        return Decision("mismatched", "Livepair.BelowMinSimilarity", says, similarity)
    similarity = answer.similarity if row.klass == "verdict" else None
    return Decision(row.outcome, answer.code, answer.message or row.says, similarity)


def unfit(seen: Seen, settings: Settings) -> Decision | None:
    """Whether a complete pair is refused without a call, being empty or too large."""
    for half, name, limit, most in (
        (seen.live, "Live", "MAX_LIVE_BYTES", settings.max_live_bytes),
        (seen.image, "Image", "MAX_IMAGE_BYTES", settings.max_image_bytes),
    ):
        if half is None:
            continue
        if half.size == 0:
            code = f"Livepair.{name}Empty"
            return Decision("rejected", code, code_row(code).says)
        if half.size > most:
            code = f"Livepair.{name}TooLarge"
            return Decision("rejected", code, f"{half.size} bytes are more than {limit}, {most}")
    return None


def incomplete(seen: Seen, pair_timeout: int) -> tuple[Decision, datetime]:
    """The outcome of half a pair, and its time: the same whoever writes it."""
    code = "Livepair.LiveMissing" if seen.live is None else "Livepair.ImageMissing"
    decision = Decision("incomplete", code, code_row(code).says)
    return decision, seen.newest + timedelta(seconds=pair_timeout)


class Frame(NamedTuple):
    """The stored best frame."""

    bucket: str
    key: str
    md5: str


class Called(NamedTuple):
    """What is told of the calls: the last answer's, and how many the API may have executed."""

    request_id: str | None
    region: str
    code: str
    calls: int


def body(
    seen: Seen,
    which: Verification,
    decision: Decision,
    decided_at: datetime,
    settings: Settings,
    frame: Frame | None,
    called: Called | None,
) -> str:
    """The webhook's exact body, JSON. Nothing in it expires or is secret."""
    message: Mapping[str, Any] = {
        "id": which.message_id,
        "type": f"verification.{decision.outcome}",
        "timestamp": timestamp(decided_at),
        "version": MESSAGE_VERSION,
        "data": {
            "verification_id": which.id,
            "run": which.run,
            "outcome": decision.outcome,
            "pair": dict(seen.pair.values),
            "similarity": decision.similarity,
            "min_similarity": settings.min_similarity,
            "reason": _reason(decision),
            "live": _half(seen.live),
            "image": _half(seen.image),
            "best_frame": frame and {"bucket": frame.bucket, "key": frame.key, "md5": frame.md5},
            "api": called
            and {
                "request_id": called.request_id,
                "region": called.region,
                "code": called.code,
                "calls": called.calls,
            },
        },
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _reason(decision: Decision) -> dict[str, str] | None:
    if decision.code is None:
        return None
    row = code_row(decision.code)
    return {
        "code": decision.code,
        "category": str(row.category),
        "message": decision.message or row.says,
        "advice": str(row.advice),
    }


def _half(half: Half | None) -> dict[str, Any] | None:
    if half is None:
        return None
    return {
        "bucket": half.bucket,
        "key": half.key,
        "md5": half.md5,
        "size": half.size,
        "uploaded_at": timestamp(half.uploaded_at),
    }


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
