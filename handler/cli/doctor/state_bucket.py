"""The state bucket: each permission by trying it inside the state prefix, and what is assumed of COS."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.find import verification_of_key
from handler.edges.bucket import CosError, Exists, Forbidden
from handler.state.objects import CorruptState

PROBE = b'{"version": 1}'


def state_bucket(deployment: Deployment) -> Iterator[Check]:
    bucket, prefix = deployment.state, deployment.settings.state_prefix
    key = f"{deployment.state_prefix('doctor')}{secrets.token_hex(8)}"
    try:
        yield from _probed(bucket, key)
        bucket.objects.list(prefix)
        yield Check("list state", "ok", f"{bucket.name}/{prefix}")
    except CosError:
        with suppress(CosError):
            _remove(bucket, key)
        raise
    _remove(bucket, key)
    yield Check("delete state", "ok", "the probe is gone")
    yield from _seals(deployment)
    if bucket.name == deployment.settings.bucket:
        yield Check(
            "state bucket",
            "fail",
            "state lies in the bucket of uploads: whoever may write all of it can hold outcomes back",
            "set STATE_BUCKET to a bucket of its own",
        )


def _seals(deployment: Deployment) -> Iterator[Check]:
    """Whether the secrets that are set here are those that records are sealed with, by one of them."""
    page, _ = deployment.state.objects.list(deployment.state_prefix("records"))
    if not page:
        return
    newest = max(page, key=lambda stored: stored.uploaded_at)
    try:
        deployment.ledger.record(verification_of_key(deployment, newest.key))
    except CorruptState as error:
        yield Check("seals", "fail", f"{newest.key} cannot be read", str(error).partition("; ")[2])
    else:
        yield Check("seals", "ok", f"that of {newest.key} holds")


def _probed(bucket: OperatorBucket, key: str) -> Iterator[Check]:
    bucket.objects.create(key, PROBE)
    yield Check("write state", "ok", f"{bucket.name}/{key}")
    yield _read_after_write(bucket, key)
    yield _create_only(bucket, key)


def _read_after_write(bucket: OperatorBucket, key: str) -> Check:
    shown = {"GET": bucket.objects.read(key) == PROBE, "HEAD": bucket.objects.head(key) is not None}
    if all(shown.values()):
        return Check("read after write", "ok", "GET and HEAD showed the object at once")
    late = " and ".join(request for request, at_once in shown.items() if not at_once)
    return Check(
        "read after write",
        "warn",
        f"{late} did not show a finished PUT at once",
        "outcomes come later: pairs wait for sweeps; tell the bucket's provider if it stays so",
    )


def _create_only(bucket: OperatorBucket, key: str) -> Check:
    try:
        bucket.objects.create(key, PROBE)
    except Exists:
        return Check("create-only PUT", "ok", "the second one was refused")
    return Check(
        "create-only PUT",
        "fail",
        "a second create-only PUT was taken: two instances could both judge a pair",
        "use a STATE_BUCKET that never had versioning",
    )


def _remove(bucket: OperatorBucket, key: str) -> None:
    """Remove the probe with all its versions."""
    bucket.objects.delete([key])
    with suppress(Forbidden):  # the checks of versions tell of that
        for version in bucket.versions(key):
            bucket.erase(version)
