"""What is known of one verification that Tencent's support asks for. No key and no value of its pair."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from handler import __version__
from handler.cli.deployment import Deployment
from handler.cli.find import under
from handler.cli.report.row import data_of
from handler.edges.faceid import ACTION, VERSION
from handler.rules.agenda import time_text
from handler.rules.pairing import ROLES, Role
from handler.rules.records import Record, may_delete
from handler.rules.uploads import Stored
from handler.state.objects import CorruptState

PACKAGES = ("tencentcloud-sdk-python-common", "cos-python-sdk-v5")


class Upload(NamedTuple):
    """One half: what was judged, and the object if it is still that; else `missing` says why it is not."""

    role: Role
    judged: dict[str, Any] | None
    stored: Stored | None
    missing: str | None


class Asking(NamedTuple):
    """One claim: an instance that asked the API, with the function's own request id.

    It began at `first_try_at`, where it is the first, and was over by `over_by`.
    """

    claim: int
    function_request_id: str
    first_try_at: datetime
    over_by: datetime
    answered: str | None


class Case(NamedTuple):
    """All that the ticket tells. `calls` counts those that the API may have executed."""

    verification: str
    run: int
    outcome: str
    code: str | None
    said: str | None
    api_request_id: str | None
    api_code: str | None
    similarity: float | None
    calls: int
    region: str
    endpoint: str
    appid: str
    uploaded_at: datetime
    decided_at: datetime
    delivered_at: datetime | None
    asked: tuple[Asking, ...]
    uploads: tuple[Upload, ...]
    versions: dict[str, str]

    @property
    def searches(self) -> list[str]:
        """Searches of the function's log topic that find what was logged about it."""
        found = [f"event:pair AND verification:{self.verification}"]
        return found + [f"request_id:{each.function_request_id}" for each in self.asked]


def case_of(deployment: Deployment, record: Record) -> Case:
    """Gather it. Raises CosError."""
    answer = record.answer or {}
    reason = data_of(record).get("reason")
    said = str(reason.get("message")) if isinstance(reason, dict) else None
    return Case(
        verification=record.verification.id,
        run=record.verification.run,
        outcome=record.outcome,
        code=record.code,
        said=said and _without_keys(said, record),
        api_request_id=answer.get("request_id"),
        api_code=answer.get("code"),
        similarity=answer.get("similarity"),
        calls=int(answer.get("calls") or 0),
        region=deployment.region,
        endpoint=deployment.settings.faceid_endpoint,
        appid=record.bucket.rpartition("-")[2],
        uploaded_at=record.uploaded_at,
        decided_at=record.decided_at,
        delivered_at=record.delivered_at,
        asked=tuple(_asked(deployment, record)),
        uploads=tuple(_upload(deployment, record, role) for role in ROLES),
        versions=_versions(),
    )


def _without_keys(text: str, record: Record) -> str:
    """What was said, without the keys that livepair's own messages name."""
    return text.replace(record.live_key, "(live)").replace(record.image_key, "(image)")


def _asked(deployment: Deployment, record: Record) -> Iterator[Asking]:
    """The verification's claims, in their order; those that cannot be read are passed over."""
    verification = record.verification
    prefix = deployment.ledger.claim_key(verification, 0).removesuffix("0")
    numbers = [
        int(name)
        for stored in under(deployment, "claims", verification.path)
        if stored.key.startswith(prefix) and (name := stored.key.removeprefix(prefix)).isdecimal()
    ]
    for n in sorted(numbers):
        try:
            claim = deployment.ledger.claim(verification, n)
        except CorruptState:
            continue
        if claim:
            yield Asking(n, claim.request_id, claim.first_try_at, claim.lease_until, claim.code)


def _upload(deployment: Deployment, record: Record, role: Role) -> Upload:
    judged = record.judged(role)
    if judged is None:
        return Upload(role, None, None, "it never came")
    stored = deployment.uploads.objects.head(judged["key"])
    told = {name: judged.get(name) for name in ("md5", "etag", "size")}
    return Upload(role, told, *_whether_judged(record, role, stored))


def _whether_judged(record: Record, role: Role, stored: Stored | None) -> tuple[Stored | None, str | None]:
    """The object if it is what was judged, else why it cannot be given."""
    if stored is None and record.deleted and role in record.delete:
        return None, "deleted by livepair once the outcome was delivered, as DELETE_UPLOADS says"
    if stored is None:
        return None, "deleted, by a lifecycle rule or by somebody"
    if not may_delete(record, role, stored):
        return None, f"replaced: what lies there now was uploaded at {time_text(stored.uploaded_at)}"
    if stored.archived:
        return None, "archived: restore it, then run this again"
    return stored, None


def _versions() -> dict[str, str]:
    """livepair's version, and those of the SDKs where this runs; the bundle pins the same."""
    found = {"livepair": __version__, "runtime": "Python3.10", "api": f"{ACTION} {VERSION}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def told(case: Case, names: dict[Role, str]) -> dict[str, Any]:
    """The case as JSON has it. `names` are the files of the uploads that are given."""
    fields = case._asdict()
    fields["asked"] = [_plain(each._asdict()) for each in case.asked]
    fields["uploads"] = {
        each.role: {**(each.judged or {}), "file": names.get(each.role), "missing": each.missing}
        for each in case.uploads
    }
    return {**_plain(fields), "log_searches": case.searches}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: time_text(value) if isinstance(value, datetime) else value for name, value in fields.items()
    }
