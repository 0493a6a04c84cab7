"""livepair's webhook messages, version 1. Within it a message may gain fields, codes and regions, so take
what you do not know. The lists of types, outcomes, categories and advice stay as they are.

Made from events/message.schema.json by `make docs`: change that, not this.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, TypeGuard

Outcome = Literal["matched", "mismatched", "rejected", "incomplete", "failed"]
Category = Literal[
    "similarity", "spoof", "liveness", "capture", "image", "missing", "service", "configuration"
]
Advice = Literal[
    "retake_live", "replace_image", "upload_missing", "review", "retry_later", "fix_configuration", "none"
]


class Envelope(TypedDict):
    """What every message has, also one of a type that comes later."""

    # The message's id, equal to the webhook-id header: `msg_` and the verification's id. It is the same in
    # every attempt, so drop repeats by it. Opaque; it holds no `.`.
    id: str
    # What the message is about: `verification.` and the outcome, or `webhook.test`, which tells of no
    # verification.
    type: str
    # When it was decided; not when it was sent. Messages can arrive out of order: for one pair, the one
    # with the newest uploads is current.
    timestamp: str
    # The version of this format. It is raised by changes that are more than additions.
    version: int
    # What is told: of a verification, or of a test.
    data: Any


class Reason(TypedDict):
    """Why it is not matched."""

    # The API's own code as it came, or one of livepair's, which begin with `Livepair.`. Open: the API adds
    # codes. Decide by category and advice.
    code: str
    # What kind of reason it is. similarity: not the same person. spoof: said to be a fake. liveness: not
    # shown to be live. capture: light, framing or faces in the video. image: the photo. missing: the other
    # half. service: the API or the way to it. configuration: settings or permissions of the function.
    category: Category
    # For operators, not for the person who was recorded. Open: its words may change.
    message: str
    # What to do. retake_live: record again. replace_image: use another photo. upload_missing: upload the
    # other half. review: let a human look. retry_later: try again later. fix_configuration: the function's
    # operator must act. none: nothing.
    advice: Advice


class _Upload(TypedDict, total=False):
    # What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it lists
    # any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in UTF-8. The
    # words are chosen outside livepair: escape them where you show them.
    metadata: dict[str, str]


class Upload(_Upload):
    """One upload of the pair."""

    # The bucket's full name, name-appid.
    bucket: str
    # The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it.
    key: str
    # MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
    # large, or archived.
    md5: str | None
    # Size in bytes.
    size: int
    # The object's Last-Modified.
    uploaded_at: str


class BestFrame(TypedDict):
    """The stored best frame."""

    # The state bucket's full name, name-appid.
    bucket: str
    # The JPEG's key there.
    key: str
    # MD5 of the JPEG, 32 lower-case hex digits, checked when it was stored.
    md5: str


class Api(TypedDict):
    """The call behind a verification."""

    # RequestId of the last answer, for Tencent's support; null where the last answer brought none.
    request_id: str | None
    # Where the API was called. Open: Tencent may add regions.
    region: str
    # The code of the last answer: `Success`, another of the API's, or one of livepair's where there was no
    # answer. Open, like reason.code; it differs from that where livepair had the last word.
    code: str
    # How many calls the API may have executed for this verification.
    calls: int


class Verification(TypedDict):
    """A pair with particular bytes and a run number, and what came of it."""

    # The verification's id: the same bytes under the same keys in the same run have the same one. Opaque;
    # it holds no `.` and no personal data.
    verification_id: str
    # Which run over the same bytes this is, from 1. Further ones come only after `failed` or `incomplete`.
    run: int
    # matched: a live person, and the one in the image. mismatched: judged, but not the same person.
    # rejected: the recording or the image does not do. incomplete: the other half did not come in time.
    # failed: no verdict could be had.
    outcome: Outcome
    # The values of the placeholders in LIVE_KEY, by name, as in the object keys: the application's own
    # reference. They are chosen outside livepair: escape them where you show them.
    pair: dict[str, str]
    # How alike the two faces are, 0 to 100, as the API says; null where it says nothing or gave no verdict.
    similarity: float | None
    # MIN_SIMILARITY when this was decided, 0 to 100: at or above it the two faces are the same person.
    min_similarity: float
    # Why it is not matched; null for matched.
    reason: Reason | None
    # The live package; null where it is missing or could not be looked at.
    live: Upload | None
    # The image; null where it is missing or could not be looked at.
    image: Upload | None
    # The stored best frame of the live package; null where there is none: without a verdict, with
    # KEEP_BEST_FRAME off, or where it could not be had.
    best_frame: BestFrame | None
    # The call behind it; null where it was decided without one.
    api: Api | None


class _JudgedUpload(TypedDict, total=False):
    metadata: dict[str, str]


class JudgedUpload(_JudgedUpload):
    """One upload of the pair."""

    bucket: str
    key: str
    md5: str
    size: int
    uploaded_at: str


class MatchedApi(TypedDict):
    """The call behind a verification."""

    request_id: str | None
    region: str
    code: Literal["Success"]
    calls: int


class Matched(TypedDict):
    """A live person, and the one in the image."""

    verification_id: str
    run: int
    outcome: Literal["matched"]
    pair: dict[str, str]
    similarity: float
    min_similarity: float
    reason: None
    live: JudgedUpload
    image: JudgedUpload
    best_frame: BestFrame | None
    api: MatchedApi


class MatchedMessage(TypedDict):
    """A live person, and the one in the image."""

    id: str
    type: Literal["verification.matched"]
    timestamp: str
    version: Literal[1]
    data: Matched


class MismatchedReason(TypedDict):
    """Why it is not matched."""

    code: str
    category: Literal["similarity"]
    message: str
    advice: Advice


class Mismatched(TypedDict):
    """Judged, but not the same person."""

    verification_id: str
    run: int
    outcome: Literal["mismatched"]
    pair: dict[str, str]
    similarity: float | None
    min_similarity: float
    reason: MismatchedReason
    live: JudgedUpload
    image: JudgedUpload
    best_frame: BestFrame | None
    api: Api


class MismatchedMessage(TypedDict):
    """Judged, but not the same person."""

    id: str
    type: Literal["verification.mismatched"]
    timestamp: str
    version: Literal[1]
    data: Mismatched


class RejectedReason(TypedDict):
    """Why it is not matched."""

    code: str
    category: Literal["spoof", "liveness", "capture", "image"]
    message: str
    advice: Advice


class Rejected(TypedDict):
    """The recording or the image does not do."""

    verification_id: str
    run: int
    outcome: Literal["rejected"]
    pair: dict[str, str]
    similarity: None
    min_similarity: float
    reason: RejectedReason
    live: Upload
    image: Upload
    best_frame: None
    api: Api | None


class RejectedMessage(TypedDict):
    """The recording or the image does not do."""

    id: str
    type: Literal["verification.rejected"]
    timestamp: str
    version: Literal[1]
    data: Rejected


class IncompleteWithoutLiveReason(TypedDict):
    """Why it is not matched."""

    code: Literal["Livepair.LiveMissing"]
    category: Literal["missing"]
    message: str
    advice: Advice


class IncompleteWithoutLive(TypedDict):
    """The live package did not come in time."""

    verification_id: str
    run: int
    outcome: Literal["incomplete"]
    pair: dict[str, str]
    similarity: None
    min_similarity: float
    reason: IncompleteWithoutLiveReason
    live: None
    image: Upload
    best_frame: None
    api: None


class IncompleteWithoutImageReason(TypedDict):
    """Why it is not matched."""

    code: Literal["Livepair.ImageMissing"]
    category: Literal["missing"]
    message: str
    advice: Advice


class IncompleteWithoutImage(TypedDict):
    """The image did not come in time."""

    verification_id: str
    run: int
    outcome: Literal["incomplete"]
    pair: dict[str, str]
    similarity: None
    min_similarity: float
    reason: IncompleteWithoutImageReason
    live: Upload
    image: None
    best_frame: None
    api: None


class IncompleteMessage(TypedDict):
    """The other half did not come in time."""

    id: str
    type: Literal["verification.incomplete"]
    timestamp: str
    version: Literal[1]
    data: IncompleteWithoutLive | IncompleteWithoutImage


class FailedReason(TypedDict):
    """Why it is not matched."""

    code: str
    category: Literal["service", "configuration"]
    message: str
    advice: Advice


class FailedWithUploads(TypedDict):
    """No verdict could be had of these uploads."""

    verification_id: str
    run: int
    outcome: Literal["failed"]
    pair: dict[str, str]
    similarity: None
    min_similarity: float
    reason: FailedReason
    live: Upload
    image: Upload
    best_frame: None
    api: Api | None


class FailedUnread(TypedDict):
    """The uploads may not be read: nothing is known of either."""

    verification_id: str
    run: int
    outcome: Literal["failed"]
    pair: dict[str, str]
    similarity: None
    min_similarity: float
    reason: FailedReason
    live: None
    image: None
    best_frame: None
    api: Api | None


class FailedMessage(TypedDict):
    """No verdict could be had."""

    id: str
    type: Literal["verification.failed"]
    timestamp: str
    version: Literal[1]
    data: FailedWithUploads | FailedUnread


class Test(TypedDict):
    """The data of webhook.test."""

    # For whoever reads it. Open: its words may change.
    note: str


class TestMessage(TypedDict):
    """The data of webhook.test."""

    id: str
    type: Literal["webhook.test"]
    timestamp: str
    version: Literal[1]
    data: Test


Message = (
    MatchedMessage | MismatchedMessage | RejectedMessage | IncompleteMessage | FailedMessage | TestMessage
)
"""Every message: `if message["type"] == …` tells them apart."""

TYPES = (
    "verification.matched",
    "verification.mismatched",
    "verification.rejected",
    "verification.incomplete",
    "verification.failed",
    "webhook.test",
)
"""All types of message."""


def is_message(envelope: Envelope) -> TypeGuard[Message]:
    """Whether a message is one of these; if not, it came after this file: answer 2xx, and leave it."""
    return envelope["version"] == 1 and envelope["type"] in TYPES
