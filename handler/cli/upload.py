"""`verify` and `links`: uploads as an application makes them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from handler.cli.deployment import Deployment, Problem
from handler.cli.find import agenda, last_answer, stored_json
from handler.cli.first_bytes import kind_of, what_is_wrong
from handler.cli.output import Output, span, when
from handler.cli.reference import pair_of_values
from handler.edges.cos import CREATE_ONLY
from handler.rules.agenda import Deliver
from handler.rules.claiming import Claim
from handler.rules.outcome import Verification, verification
from handler.rules.pairing import Pair, Role
from handler.rules.records import Record
from handler.rules.uploads import Seen, Stored

LINK_SECONDS = 600
POLL_SECONDS = 1.0

SMOKE_LIVE = gzip.compress(b"livepair: a smoke test, not a recording of anybody\n", mtime=0)
SMOKE_IMAGE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
    "////////////////wAALCABAAEABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8A"
    "AAAAAAAAAAAAAAAAAAAAAP/Z"
)
"""A grey square, 64 pixels wide."""


# --- links ----------------------------------------------------------------------------------------------


class Link(TypedDict):
    """One half's key and the link to PUT it to."""

    key: str
    put: str


class Links(TypedDict):
    """What `links` prints as JSON: the pair's values, how long the links hold, and one for each half.

    `headers` have to be sent with each PUT.
    """

    pair: dict[str, str]
    seconds: int
    headers: dict[str, str]
    live: Link
    image: Link


def links(deployment: Deployment, values: Sequence[str], seconds: int) -> Links:
    """Presigned links to PUT both halves of one pair to, each once, within `seconds`. Raises Problem."""
    pair = pair_of_values(deployment, values)

    def link(key: str) -> Link:
        return {"key": key, "put": deployment.uploads.upload_link(key, seconds)}

    return {
        "pair": dict(pair.values),
        "seconds": seconds,
        "headers": dict(CREATE_ONLY),
        "live": link(pair.live_keys[0]),
        "image": link(pair.image_keys[0]),
    }


# --- verify ---------------------------------------------------------------------------------------------


class Upload(NamedTuple):
    """A pair that a command uploads, with the bytes of both halves."""

    pair: Pair
    live: bytes
    image: bytes


class Verified(NamedTuple):
    """The record of an upload's verification, and the seconds from the upload until its outcome was told."""

    record: Record
    seconds: float


def smoke(deployment: Deployment) -> Upload:
    """A harmless pair that the API rejects without a bill."""
    return Upload(new_pair(deployment, "smoke"), SMOKE_LIVE, SMOKE_IMAGE)


def own_files(
    deployment: Deployment,
    output: Output,
    live: Path,
    image: Path,
    *,
    pack: bool = False,
    as_is: bool = False,
) -> Upload:
    """A pair of the operator's own files; the live package gzipped with `pack`, unless it is.

    Raises Problem, also for what cannot be right by its first bytes, unless it is to be uploaded `as_is`.
    """
    settings = deployment.settings
    package, picture = _read(live), _read(image)
    if pack and package and kind_of(package) == "unknown":
        package = gzip.compress(package, mtime=0)
        output.warn(f"{live} is uploaded gzipped.")
    if not as_is:
        _check_first_bytes(output, live, "live", package)
        _check_first_bytes(output, image, "image", picture)
    _check_size(live, package, settings.max_live_bytes, "MAX_LIVE_BYTES")
    _check_size(image, picture, settings.max_image_bytes, "MAX_IMAGE_BYTES")
    return Upload(new_pair(deployment, "verify"), package, picture)


def new_pair(deployment: Deployment, kind: str) -> Pair:
    """A pair that nobody has used: its values tell that a command made it."""
    made = f"{kind}{secrets.token_hex(8)}"  # letters and digits alone, which hardly any template separates by
    names = deployment.settings.templates.live[0].names
    return pair_of_values(deployment, [f"{name}={made}" for name in names])


def erased_by(pair: Pair) -> str:
    """The key with which `forget` erases both halves of a pair that `new_pair` made."""
    return pair.image_keys[0] if pair.shared else pair.live_keys[0]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None


def _check_first_bytes(output: Output, path: Path, role: Role, data: bytes) -> None:
    wrong = what_is_wrong(role, data) if data else None
    if wrong is not None and wrong.certain:
        raise Problem(f"{path} {wrong.found}; {wrong.do}. With --as-is it is uploaded all the same")
    if wrong is not None:
        output.warn(f"{path} {wrong.found}; {wrong.do}, if the API refuses it.")


def _check_size(path: Path, data: bytes, most: int, setting: str) -> None:
    if len(data) > most:
        raise Problem(f"{path} has {len(data)} bytes, and {setting} is {most}: it would be rejected")


def verify(deployment: Deployment, output: Output, upload: Upload, seconds: float) -> Verified:
    """Upload a pair and wait until its outcome has been told.

    Raises Problem where that takes longer than `seconds`, saying how far it came.
    """
    live_key, image_key = upload.pair.live_keys[0], upload.pair.image_keys[0]
    clock = deployment.clock
    until = clock.elapsed() + seconds
    with output.err.status("uploading the image …") as status:
        deployment.uploads.upload(image_key, upload.image)
        status.update("uploading the live package …")
        deployment.uploads.upload(live_key, upload.live)
        began = clock.elapsed()
        expected = _expected(deployment, upload)
        while True:
            record = deployment.ledger.record(expected)
            if record is not None and (record.delivered_at or record.dead_at):
                return Verified(record, clock.elapsed() - began)
            claim = None if record else deployment.ledger.claim(expected, 1)
            how_far = _how_far_told(deployment, record) if record else _how_far_judged(claim)
            if clock.elapsed() > until:
                raise Problem(
                    f"no outcome was told in {span(seconds)}: {how_far}. `doctor` and "
                    f"`show {live_key}` tell more, `forget {erased_by(upload.pair)}` erases it"
                )
            status.update(f"waiting: {how_far}")
            clock.sleep(POLL_SECONDS)


def why_given_up(deployment: Deployment, record: Record) -> str | None:
    """What the webhook answered last, or what went wrong, where a delivery was given up."""
    if record.dead_at is None:
        return None
    error = stored_json(deployment, deployment.ledger.dead_key(record.verification)).get("error")
    return f"{error or 'given up'} (attempt {record.attempts}, {when(record.dead_at)})"


def _how_far_told(deployment: Deployment, record: Record) -> str:
    """What the agenda's entry for its next attempt tells: the record counts attempts only once it is told."""
    id_ = record.verification.id
    entries = agenda(deployment, lambda entry: entry.verification == id_)
    told = [
        f"{last_answer(entry.task)}, attempt {entry.task.attempt} is due at {when(entry.due)}"
        for entry in entries
        if isinstance(entry.task, Deliver) and entry.task.verification.id == id_ and entry.task.last
    ]
    return f"{record.outcome}, not taken by the webhook yet: {(told or ['no answer is known yet'])[0]}"


def _how_far_judged(claim: Claim | None) -> str:
    if claim is None:
        return "no instance has taken it up: see that the COS trigger is there and enabled"
    if claim.retry_at is not None:
        return f"the API answered {claim.code}, and is asked again later"
    return "the API is being asked"


def _expected(deployment: Deployment, upload: Upload) -> Verification:
    """The verification that the function makes of these bytes."""
    pair, bucket = upload.pair, deployment.settings.bucket

    def half(key: str, data: bytes) -> Stored:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return Stored(key, md5, md5, len(data), deployment.clock.now())

    live, image = half(pair.live_keys[0], upload.live), half(pair.image_keys[0], upload.image)
    return verification(Seen(pair, bucket, live, image), 1)
