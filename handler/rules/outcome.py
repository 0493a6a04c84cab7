"""From what was seen and answered to the outcome and the webhook's body. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from handler.rules.codes import TOO_MANY_VERDICTS, Outcome, code_row
from handler.rules.schedule import PATIENCE
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored, came_archived

MESSAGE_VERSION = 1

MAX_METADATA_BYTES = 256
"""How long one value of an upload's metadata may be to be told, in UTF-8."""


# --- the verification -------------------------------------------------------------------------------


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


# --- the decision -----------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What came of one call.

    `executed` is False only where the API certainly judged nothing: never sent, or throttled. `similarity` is
    0–100. `frame_url` is a temporary link to a face: never log or store it.
    """

    code: str
    message: str
    executed: bool = True
    similarity: float | None = None
    frame_url: str | None = None
    frame_md5: str | None = None
    request_id: str | None = None

    def __repr__(self) -> str:
        return f"Answer({self.code!r}, request_id={self.request_id!r})"


class Decision(NamedTuple):
    """What is told of a verification: its outcome, the code that says why, and the words for operators.

    `at` is when it was decided. `code` is None for `matched`; it is the API's own or begins with `Livepair.`.
    """

    at: datetime
    outcome: Outcome
    code: str | None
    message: str | None = None
    similarity: float | None = None


def decide(answer: Answer, min_similarity: float, at: datetime) -> Decision:
    """What an answer means, once nothing more is to be tried."""
    row = code_row(answer.code)
    if answer.code == "Success":
        similarity = answer.similarity
        if similarity is None:
            raise ValueError("a Success without similarity is Livepair.NoSimilarity")
        if similarity >= min_similarity:
            return Decision(at, "matched", None, None, similarity)
        says = f"similarity {similarity} is below MIN_SIMILARITY {min_similarity}"
        return Decision(at, "mismatched", "Livepair.BelowMinSimilarity", says, similarity)
    similarity = answer.similarity if row.klass == "verdict" else None
    return Decision(at, row.outcome, answer.code, answer.message or row.says, similarity)


def unfit(seen: Seen, settings: Settings, now: datetime) -> Decision | None:
    """Whether a complete pair is refused without a call: an upload is empty, too large, or came archived."""
    for stored, name, limit, most in (
        (seen.live, "Live", "MAX_LIVE_BYTES", settings.max_live_bytes),
        (seen.image, "Image", "MAX_IMAGE_BYTES", settings.max_image_bytes),
    ):
        if stored is None:
            continue
        if stored.size == 0:
            code = f"Livepair.{name}Empty"
            return Decision(seen.newest, "rejected", code, code_row(code).says)
        if stored.size > most:
            code, says = f"Livepair.{name}TooLarge", f"{stored.size} bytes are more than {limit}, {most}"
            return Decision(seen.newest, "rejected", code, says)
        if came_archived(stored, now):
            code = f"Livepair.{name}Archived"
            return Decision(seen.newest, "rejected", code, code_row(code).says)
    return None


def too_many_verdicts(at: datetime, most: int) -> Decision:
    """The outcome of a verification whose pair has had `most` verdicts."""
    says = f"{most} other recordings or images of this pair came before it, which is MAX_VERDICTS"
    return Decision(at, "rejected", TOO_MANY_VERDICTS, says)


def incomplete(seen: Seen, pair_timeout: int) -> Decision:
    """The outcome of half a pair: the same, its time included, whoever writes it."""
    code = "Livepair.LiveMissing" if seen.live is None else "Livepair.ImageMissing"
    at = seen.newest + timedelta(seconds=pair_timeout)
    return Decision(at, "incomplete", code, code_row(code).says)


def unreadable(uploaded_at: datetime, why: str) -> Decision:
    """The outcome of an upload that COS has not shown for as long as there is patience."""
    return Decision(uploaded_at + PATIENCE, "failed", "Livepair.UploadUnreadable", why)


# --- the message ------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """The best frame as it was stored, or why it was not."""

    bucket: str
    key: str
    md5: str


class Called(NamedTuple):
    """The call that decided, made with claim number `claim`, and how many the API may have executed in all.

    `frame` is the stored best frame; where there is none, `frame_error` may say why.
    """

    answer: Answer
    region: str
    claim: int
    calls: int
    frame: Frame | None = None
    frame_error: str | None = None


def body(
    seen: Seen, verification: Verification, decision: Decision, settings: Settings, called: Called | None
) -> str:
    """The webhook's exact body, JSON. Nothing in it expires or is secret."""
    message: Mapping[str, Any] = {
        "id": verification.message_id,
        "type": f"verification.{decision.outcome}",
        "timestamp": timestamp(decision.at),
        "version": MESSAGE_VERSION,
        "data": {
            "verification_id": verification.id,
            "run": verification.run,
            "outcome": decision.outcome,
            "pair": dict(seen.pair.values),
            "similarity": decision.similarity,
            "min_similarity": settings.min_similarity,
            "reason": _reason(decision),
            "live": _upload(seen.bucket, seen.live, settings.pass_metadata),
            "image": _upload(seen.bucket, seen.image, settings.pass_metadata),
            "best_frame": called and called.frame and called.frame._asdict(),
            "api": called
            and {
                "request_id": called.answer.request_id,
                "region": called.region,
                "code": called.answer.code,
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


def _upload(bucket: str, stored: Stored | None, names: tuple[str, ...]) -> dict[str, Any] | None:
    if stored is None:
        return None
    told = {
        "bucket": bucket,
        "key": stored.key,
        "md5": stored.md5,
        "size": stored.size,
        "uploaded_at": timestamp(stored.uploaded_at),
    }
    return {**told, "metadata": _metadata(stored, names)} if names else told


def _metadata(stored: Stored, names: tuple[str, ...]) -> dict[str, str]:
    """What the uploader sent under these names. A value too long is left out: a part of it is another one."""
    sent = dict(stored.metadata)
    found = ((name, sent.get(name.lower())) for name in names)
    return {
        name: value
        for name, value in found
        if value is not None and len(value.encode()) <= MAX_METADATA_BYTES
    }


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
