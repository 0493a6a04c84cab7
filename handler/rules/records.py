"""The record: a decided verification as it is stored, its message in it. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from handler.rules.codes import code_row
from handler.rules.outcome import Called, Decision, Verification, body
from handler.rules.pairing import ROLES, Pair, Role
from handler.rules.settings import Settings
from handler.rules.uploads import Seen, Stored

REOPENED = ("failed", "incomplete")
"""The outcomes after which a later upload, or the operator, starts another run."""


class Record(NamedTuple):
    """A decided verification. `body` is the exact message; the rest is for the function and for operators.

    `uploaded_at` is that of its newest upload. `delete` names the uploads to remove once it is delivered.
    `told_from` is when it was recorded, or `redeliver` asked for it: its deliveries' schedule begins then.
    That and what follows it are marks, which change; all before them is sealed. `sealed` holds that part with
    its seal as they are stored, once they are: it may hold more than this version knows.
    """

    verification: Verification
    bucket: str
    live_key: str
    image_key: str
    outcome: str
    code: str | None
    uploaded_at: datetime
    decided_at: datetime
    body: str
    nonce: str
    live: Mapping[str, Any] | None = None
    image: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    best_frame: Mapping[str, Any] | None = None
    delete: tuple[Role, ...] = ()
    told_from: datetime | None = None
    delivered_at: datetime | None = None
    dead_at: datetime | None = None
    attempts: int = 0
    deleted: bool = False
    sealed: Mapping[str, Any] | None = None

    @property
    def schedule(self) -> tuple[str, datetime]:
        """What the times of its deliveries derive from."""
        return self.verification.message_id, self.told_from or self.decided_at

    @property
    def told(self) -> bool:
        """Its message was delivered, or given up."""
        return self.delivered_at is not None or self.dead_at is not None

    @property
    def settled(self) -> bool:
        """Nothing is left to do: it is told, and what was to be deleted is."""
        return self.told and (self.deleted or not self.delete or self.delivered_at is None)

    @property
    def is_over(self) -> bool:
        """It is settled for good: no later upload starts another run."""
        return self.settled and self.outcome not in REOPENED

    def judged(self, role: Role) -> Mapping[str, Any] | None:
        """What it says of that upload."""
        return self.live if role == "live" else self.image


def record_of(
    seen: Seen,
    verification: Verification,
    decision: Decision,
    settings: Settings,
    nonce: str,
    called: Called | None = None,
) -> Record:
    """The record of a decision, its message in it. `nonce` tells its writer from others."""
    frame = called.frame if called else None
    return Record(
        verification=verification,
        bucket=seen.bucket,
        live_key=seen.live.key if seen.live else seen.pair.live_keys[0],
        image_key=seen.image.key if seen.image else seen.pair.image_keys[0],
        outcome=decision.outcome,
        code=decision.code,
        # What COS will not show has no time: its record speaks for all uploads until it was decided.
        uploaded_at=seen.newest if seen.live or seen.image else decision.at,
        decided_at=decision.at,
        body=body(seen, verification, decision, settings, called),
        nonce=nonce,
        live=_judged(seen.live),
        image=_judged(seen.image),
        answer=called and _answered(called),
        best_frame={"key": frame.key, "md5": frame.md5} if frame else None,
        delete=_to_delete(seen, decision, settings),
    )


def _judged(stored: Stored | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    return {"key": stored.key, "etag": stored.etag, "md5": stored.md5, "size": stored.size}


def _answered(called: Called) -> dict[str, Any]:
    answer = called.answer
    return {
        "request_id": answer.request_id,
        "code": answer.code,
        "message": answer.message,
        "similarity": answer.similarity,
        "calls": called.calls,
        "claim": called.claim,
        "frame_error": called.frame_error,
    }


def _to_delete(seen: Seen, decision: Decision, settings: Settings) -> tuple[Role, ...]:
    if settings.delete_uploads == "none" or decision.outcome not in ("matched", "mismatched", "rejected"):
        return ()
    retake = decision.code is not None and code_row(decision.code).advice == "retake_live"
    spare_image = settings.delete_uploads == "live" or retake or seen.pair.shared
    return ("live",) if spare_image else ("live", "image")


def agrees(record: Record) -> bool:
    """Whether a record's message tells what the record says: of the same verification, pair and uploads."""
    try:
        message = json.loads(record.body)
        data = message["data"]
        pair = Pair(tuple(data["pair"].items()), (), (), shared=False)
        told = data["verification_id"], data["run"], pair.path
        named = message["id"], message["type"], data["outcome"]
        uploads = [_upload(data[role], data[role] and data[role]["bucket"]) for role in ROLES]
        judged = [_upload(record.judged(role), record.bucket) for role in ROLES]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
    which, outcome, keys = record.verification, record.outcome, (record.live_key, record.image_key)
    return (
        told == tuple(which)
        and named == (which.message_id, f"verification.{outcome}", outcome)
        and uploads == judged
        and all(half is None or half[1] == key for half, key in zip(uploads, keys, strict=True))
    )


def _upload(judged: Mapping[str, Any] | None, bucket: Any) -> tuple[Any, Any, Any] | None:
    """Bucket, key and MD5 of an upload as a record or a message tells of it, None where there was none."""
    return None if judged is None else (bucket, judged["key"], judged["md5"])


def is_rest_of(seen: Seen, record: Record) -> bool:
    """Whether half a pair is what is left of one that was judged and told, its other half deleted since.

    The same bytes uploaded again later are no rest: they wait for a partner of their own.
    """
    if not (record.live and record.image and record.told):
        return False
    halves = ((seen.live, record.live), (seen.image, record.image))
    return any(_is_judged(stored, judged, record.uploaded_at) for stored, judged in halves)


def _is_judged(stored: Stored | None, judged: Mapping[str, Any], until: datetime) -> bool:
    """Whether an upload that was there at `until` is what was judged, or an alternative that lost to it."""
    if stored is None or stored.uploaded_at > until:
        return False
    is_alternative = stored.key != judged["key"]
    return is_alternative or bool((judged["md5"] or judged["etag"]) == (stored.md5 or stored.etag))


def is_told_by_another_name(seen: Seen, record: Record) -> bool:
    """Whether half a pair was told as incomplete while its missing half had another first alternative.

    That alternative's key is part of the verification's id, so the id of the same half is another one now.
    """
    missing: Role = "image" if seen.live else "live"
    present: Role = "live" if seen.live else "image"
    judged = record.judged(present)
    if record.outcome != "incomplete" or record.judged(missing) is not None or judged is None:
        return False
    key = record.image_key if missing == "image" else record.live_key
    return key != seen.pair.keys(missing)[0] and _is_judged(seen.upload(present), judged, record.uploaded_at)


def may_delete(record: Record, role: Role, stored: Stored) -> bool:
    """Whether an upload is what was judged in this role, or an older alternative; nothing newer goes."""
    judged = record.judged(role)
    if judged is None:
        return False
    if stored.key == judged["key"]:
        return (stored.etag, stored.size) == (judged["etag"], judged["size"])
    return stored.uploaded_at <= record.uploaded_at
