"""What a command works on: the function's settings, its region, and the operator's credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dotenv import dotenv_values

from handler.clock import Deadline, SystemClock, together
from handler.edges.cos import MAX_STATE, CosBucket, CosError, Credentials, Stored
from handler.edges.wire import Wire, read_all
from handler.rules.settings import Settings, SettingsError, load_settings
from handler.state.ledger import Ledger, Memory

SECONDS = 3600.0  # that one command may take
FUNCTION = "livepair"

CREDENTIALS = (
    ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_TOKEN"),  # the Serverless Cloud Framework's names
    ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SESSION_TOKEN"),  # the SDK's
    ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN"),  # the platform's
)
"""Names under which credentials are looked for; the first complete pair counts."""


class Problem(Exception):
    """Something that the operator has to change; the text is one line and says what to do."""


class Version(NamedTuple):
    """A version of an object or a delete marker. `id` is COS's, empty where the bucket keeps no versions."""

    key: str
    id: str
    marker: bool = False


class UnfinishedUpload(NamedTuple):
    """A multipart upload that was begun and not completed."""

    key: str
    id: str


class OperatorBucket(CosBucket):
    """A bucket with what only the operator asks of it. Every call can raise CosError."""

    _versioning: str | None = None

    def versioning(self) -> str:
        """`Enabled`, `Suspended`, or `never`; asked once."""
        if self._versioning is None:
            self._versioning = self._ask_versioning()
        return self._versioning

    def _ask_versioning(self) -> str:
        found = self._steady(
            "read the versioning of", "", lambda: self._client.get_bucket_versioning(Bucket=self.name)
        )
        return str((found or {}).get("Status", "never"))

    def lifecycle(self) -> list[dict[str, Any]]:
        """Its lifecycle rules, as COS tells them."""
        try:
            found = self._steady(
                "read the lifecycle of", "", lambda: self._client.get_bucket_lifecycle(Bucket=self.name)
            )
        except CosError as error:
            if error.code == "NoSuchLifecycleConfiguration" or error.status == 404:
                return []
            raise
        return list(found.get("Rule", ()))

    def every(self, prefix: str) -> Iterator[Stored]:
        """All objects under `prefix`, in order of their keys."""
        after, more = "", True
        while more:
            found, more = self.list(prefix, after)
            yield from found
            after, more = (found[-1].key, more) if found else ("", False)

    def versions(self, prefix: str) -> list[Version]:
        """All versions of all objects under `prefix`; where none are kept the objects themselves."""
        if self.versioning() == "never":
            return [Version(stored.key, "") for stored in self.every(prefix)]
        versions: list[Version] = []
        key_marker = id_marker = ""
        while True:
            found = self._steady(
                "list the versions of",
                prefix,
                lambda key_marker=key_marker, id_marker=id_marker: self._client.list_objects_versions(  # type: ignore[misc]
                    Bucket=self.name, Prefix=prefix, KeyMarker=key_marker, VersionIdMarker=id_marker
                ),
            )
            for name in ("Version", "DeleteMarker"):
                marker = name == "DeleteMarker"
                versions += [Version(each["Key"], each["VersionId"], marker) for each in found.get(name, ())]
            if found.get("IsTruncated") != "true":
                return versions
            key_marker, id_marker = found["NextKeyMarker"], found.get("NextVersionIdMarker") or ""

    def read_version(self, version: Version) -> bytes | None:
        """A state object's bytes as one version has them, None where there is none."""

        def get() -> bytes:
            answer = self._client.get_object(
                self.name, version.key, KeySimplifyCheck=False, VersionId=version.id
            )
            return read_all(answer["Body"].get_raw_stream(), MAX_STATE)

        return self._found("read", version.key, get)

    def erase(self, version: Version) -> None:
        """Delete one version of an object for good. Its absence is no fault."""
        which = {"VersionId": version.id} if version.id else {}
        self._steady(
            "delete", version.key, lambda: self._client.delete_object(self.name, version.key, **which)
        )

    def unfinished(self, prefix: str) -> list[UnfinishedUpload]:
        """The multipart uploads under `prefix` that were not completed."""
        uploads: list[UnfinishedUpload] = []
        key_marker = id_marker = ""
        while True:
            found = self._steady(
                "list the unfinished uploads of",
                prefix,
                lambda key_marker=key_marker, id_marker=id_marker: self._client.list_multipart_uploads(  # type: ignore[misc]
                    Bucket=self.name, Prefix=prefix, KeyMarker=key_marker, UploadIdMarker=id_marker
                ),
            )
            uploads += [UnfinishedUpload(each["Key"], each["UploadId"]) for each in found.get("Upload", ())]
            if found.get("IsTruncated") != "true":
                return uploads
            key_marker, id_marker = found["NextKeyMarker"], found.get("NextUploadIdMarker") or ""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Drop a multipart upload's parts. Its absence is no fault."""
        try:
            self._steady(
                "abort an upload to",
                upload.key,
                lambda: self._client.abort_multipart_upload(self.name, upload.key, upload.id),
            )
        except CosError as error:
            if error.status != 404:
                raise

    def upload(self, key: str, data: bytes) -> None:
        """Put an upload, as an application's backend does."""
        with self._errors("write", key, 600):
            self._client.put_object(self.name, data, key)

    def upload_link(self, key: str, seconds: int) -> str:
        """A presigned link that lets whoever holds it PUT the object for so long."""
        params = {"x-cos-security-token": self._token} if self._token else {}
        link: str = self._client.get_presigned_url(self.name, key, "PUT", Expired=seconds, Params=params)
        return link


class Deployment:
    """What a command works with. `declared` are serverless.yml's `inputs`, empty without that file."""

    def __init__(self, environ: Mapping[str, str], declared: Mapping[str, Any]) -> None:
        self.declared = declared
        self.settings: Settings = load_settings(environ)
        self.region = _region(environ, declared)
        self.settings.check_region(self.region)
        self.credentials = _credentials(environ)
        self.function = str(declared.get("name") or FUNCTION)
        self.environ = environ
        self.clock = SystemClock()
        self.wire = Wire(self.settings.local_cloud)
        self._session = self.wire.session()
        self._deadline = Deadline.after(self.clock, SECONDS)
        self.uploads = self.bucket(self.settings.bucket)
        self.state = self.uploads
        if self.settings.state_bucket != self.settings.bucket:
            self.state = self.bucket(self.settings.state_bucket)
        self.ledger = Ledger(self.state, self.settings.state_prefix, self.clock, together, Memory())

    def bucket(self, name: str) -> OperatorBucket:
        """A bucket of the deployment's region, with the operator's credentials."""
        return OperatorBucket(name, self.region, self.credentials, self.wire, self._session, self._deadline)


def load(config: Path, env_file: Path) -> Deployment:
    """Read the deployment: the environment, then `env_file`, then what serverless.yml sets.

    So one `.env` serves the Serverless Cloud Framework and these commands. Raises Problem and SettingsError.
    """
    environ, declared = _read(config, env_file)
    return Deployment(environ, declared)


def _read(config: Path, env_file: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        known = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    except (OSError, ValueError) as error:
        raise Problem(
            f"{env_file} cannot be read ({type(error).__name__}); it holds NAME=value lines"
        ) from None
    known.update({name: value for name, value in os.environ.items() if value})
    if not config.is_file():
        return known, {}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if isinstance(value, str):
            return re.sub(r"\$\{env:(\w+)\}", lambda found: known.get(found[1], ""), value)
        return value

    try:
        inputs = filled(yaml.safe_load(config.read_text(encoding="utf-8"))["inputs"])
        variables = inputs["environment"]["variables"]
        return {**{name: str(value or "") for name, value in variables.items()}, **known}, inputs
    except (yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Problem(
            f"{config} cannot be read ({type(error).__name__}); it needs inputs with environment.variables"
        ) from None


def _region(environ: Mapping[str, str], declared: Mapping[str, Any]) -> str:
    region = (
        environ.get("TENCENTCLOUD_REGION") or environ.get("REGION") or str(declared.get("region") or "")
    ).strip()
    if not region:
        raise SettingsError(["REGION is not set; give the bucket's, like ap-singapore"])
    return region


def _credentials(environ: Mapping[str, str]) -> Credentials:
    for secret_id, secret_key, token in CREDENTIALS:
        if environ.get(secret_id) and environ.get(secret_key):
            return Credentials(environ[secret_id], environ[secret_key], environ.get(token) or None)
    raise Problem(
        "no credentials: set TENCENT_SECRET_ID and TENCENT_SECRET_KEY, in the environment or in .env"
    )
