"""What the keys of the application's backend may do: write uploads, and nothing else.

Every probe is a PUT whose Content-MD5 is wrong. COS refuses it with 403 where the keys may not write there,
and with `BadDigest` where they may (product 436, page 7749). So nothing is written, and no event is sent. No
page says which of the two comes first: keys that seem to write everywhere, state too, can also mean that COS
looks at the sum before the policy. Should COS take such a PUT after all, the object is removed at once.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import BACKEND, Deployment
from handler.cli.doctor.check import Check
from handler.cli.upload import new_pair
from handler.edges.bucket import READ, WRITE, CosError, Forbidden
from handler.rules.pairing import AmbiguousKey

OTHER = "nothing-of-livepair"
"""The last part of a key that no template has."""

WRONG_MD5 = base64.b64encode(bytes(16)).decode()
TOLD = {"x-cos-forbid-overwrite": "true", "x-cos-storage-class": "STANDARD", "x-cos-acl": "private"}
"""Headers that a policy may ask for, with the values that it may ask for."""

MORE = {
    "replace an upload, and buy a verdict with each": {"x-cos-forbid-overwrite": "false"},
    "archive an upload": {"x-cos-storage-class": "ARCHIVE"},
    "publish an upload": {"x-cos-acl": "public-read"},
}
"""What a link could do besides, where no condition keeps its signer from it, and the headers that do it."""

NARROW = (
    "give it handler/policy.backend.json; if it has that, no star in the middle of a resource matches: "
    "end the resource after the star"
)
WIDE = "make handler/policy.backend.json of it: names of uploads, and PutObject alone"


class Probed(NamedTuple):
    """A bucket with the backend's keys, and with the operator's own."""

    theirs: OperatorBucket
    own: OperatorBucket


def backend(deployment: Deployment) -> Iterator[Check]:
    buckets = deployment.as_backend()
    if buckets is None:
        names = " and ".join(BACKEND[:2])
        yield Check("backend", "info", "its keys were not tried", f"set {names} for this once, and they are")
        return
    uploads, state = (
        Probed(theirs, own)
        for theirs, own in zip(buckets, (deployment.uploads, deployment.state), strict=True)
    )
    pair = new_pair(deployment, "doctor")
    for key in (pair.live_keys[0], pair.image_keys[0]):
        yield _writes(uploads, key)
    yield _bound(uploads, pair.live_keys[0])
    for key in _others(deployment, pair.live_keys[0]):
        yield _writes_elsewhere(uploads, key)
    yield _writes_elsewhere(state, f"{deployment.state_prefix('records')}{OTHER}")
    yield _reads(uploads.theirs, pair.live_keys[0])


def _others(deployment: Deployment, live_key: str) -> list[str]:
    """A key beside the live package's: what a star in the middle of a resource must not let in."""
    key = f"{live_key.rpartition('/')[0]}/{OTHER}"
    try:
        return [key] if deployment.settings.templates.match(key) is None else []
    except AmbiguousKey:
        return []  # some template takes it


def _writes(probed: Probed, key: str) -> Check:
    where = f"{probed.theirs.name}/{key}"
    if _may(probed, key):
        return Check("backend writes", "ok", where)
    return Check("backend writes", "fail", f"it may not PUT {where}", NARROW)


def _bound(probed: Probed, key: str) -> Check:
    """Whether conditions keep a link from doing more than to create what it is for."""
    free = [words for words, headers in MORE.items() if _may(probed, key, headers)]
    if not free:
        return Check("backend's conditions", "ok", "its links create uploads, and do no more")
    do = "give its keys the conditions of handler/policy.backend.json"
    return Check("backend's conditions", "warn", f"a link that it signs may also {'; '.join(free)}", do)


def _writes_elsewhere(probed: Probed, key: str) -> Check:
    where = f"{probed.theirs.name}/{key}"
    if not _may(probed, key):
        return Check("backend writes elsewhere", "ok", f"{where} is refused")
    return Check("backend writes elsewhere", "fail", f"it may PUT {where}", WIDE)


def _reads(bucket: OperatorBucket, key: str) -> Check:
    try:
        bucket.objects.ask(READ, key, lambda client: client.get_object(bucket.name, key))
    except Forbidden as error:
        _keys_are_good(error)
        return Check("backend reads", "ok", "is refused")
    except CosError as error:
        if not error.absent:
            raise
    found = "it may read uploads, and so may whoever holds a link that it signed and makes a copy by it"
    return Check("backend reads", "fail", found, WIDE)


def _may(probed: Probed, key: str, headers: Mapping[str, str] = TOLD) -> bool:
    """Whether a PUT of this key is allowed, with other headers too. Raises CosError where none tells."""
    bucket = probed.theirs

    def put(client: Any) -> None:
        client.put_object(bucket.name, b"x", key, ContentMD5=WRONG_MD5, Metadata={**TOLD, **headers})

    try:
        bucket.objects.ask(WRITE, key, put)
    except Forbidden as error:
        _keys_are_good(error)
        return False
    except CosError as error:
        if error.code in ("BadDigest", "InvalidDigest"):
            return True
        raise
    probed.own.objects.delete([key])
    return True


def _keys_are_good(error: Forbidden) -> None:
    """Keys that are unknown or sign wrongly are refused everything, which tells nothing of a policy."""
    if error.code not in ("AccessDenied", "Unknown"):
        raise error
