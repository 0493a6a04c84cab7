"""Whether the buckets keep versions, which costs them create-only PUTs: of claims, and by links."""

from __future__ import annotations

from collections.abc import Iterator

from handler.cli.bucket import OperatorBucket
from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.trouble import made


def versions(deployment: Deployment) -> Iterator[Check]:
    if deployment.state is deployment.uploads:
        yield from made("versions", _of_state("uploads and state", deployment.state))
    else:
        yield from made("versions", _of_uploads("uploads", deployment.uploads))
        yield from made("versions", _of_state("state", deployment.state))


def _of_state(role: str, bucket: OperatorBucket) -> Iterator[Check]:
    if not bucket.keeps_versions():
        yield _none(role, bucket)
        return
    yield Check(
        f"versions ({role})",
        "fail",
        f"{bucket.name} keeps versions or did ({bucket.versioning()}): COS then ignores create-only PUTs, so "
        "each verification waits 3 s longer, and two instances may both judge a pair",
        "use a STATE_BUCKET that never had versioning; it cannot be undone, suspending is not enough",
    )


def _of_uploads(role: str, bucket: OperatorBucket) -> Iterator[Check]:
    if not bucket.keeps_versions():
        yield _none(role, bucket)
        return
    yield Check(
        f"versions ({role})",
        "fail",
        f"{bucket.name} keeps versions or did ({bucket.versioning()}): COS then ignores create-only PUTs, so "
        "whoever has a link may upload by it again and again, and each time for another bill; deleted "
        "uploads stay as old versions",
        "use a BUCKET that never had versioning; it cannot be undone, suspending is not enough. `forget` "
        "erases old versions, too",
    )


def _none(role: str, bucket: OperatorBucket) -> Check:
    return Check(f"versions ({role})", "ok", f"{bucket.name} never kept any")
