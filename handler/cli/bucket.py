"""A bucket as the operator sees it: versions, lifecycle rules, unfinished uploads, beside its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from handler.edges.bucket import DELETE, READ, WRITE, Changed, CosError, Operation
from handler.edges.cos import CREATE_ONLY, MAX_STATE, CosBucket
from handler.edges.wire import read_all, read_pieces
from handler.rules.uploads import Stored

READ_VERSIONING = Operation("read the versioning of", "name/cos:GetBucketVersioning")
READ_LIFECYCLE = Operation("read the lifecycle of", "name/cos:GetBucketLifecycle")
LIST_VERSIONS = Operation("list the versions of", "name/cos:GetBucketObjectVersions")
LIST_UNFINISHED = Operation("list the unfinished uploads of", "name/cos:ListMultipartUploads")
ABORT = Operation("abort an upload to", "name/cos:AbortMultipartUpload")

UPLOAD_SECONDS = 600.0
"""For one upload: live packages may have 50 MB, and an operator's line may be slow."""

NEVER = "never"
"""The versioning of a bucket that keeps no versions and never did."""


class Version(NamedTuple):
    """A version of an object or a delete marker. `id` is COS's, empty where the bucket keeps no versions."""

    key: str
    id: str
    marker: bool = False


class UnfinishedUpload(NamedTuple):
    """A multipart upload that was begun and not completed."""

    key: str
    id: str


class OperatorBucket:
    """A bucket with what only the operator asks of it. Every call can raise CosError.

    `objects` is the same bucket as the function sees it.
    """

    def __init__(self, objects: CosBucket) -> None:
        self.objects = objects
        self._versioning: str | None = None

    @property
    def name(self) -> str:
        return self.objects.name

    def versioning(self) -> str:
        """`Enabled`, `Suspended`, or `never`; asked once."""
        if self._versioning is None:
            answer = self.objects.ask(
                READ_VERSIONING, "", lambda client: client.get_bucket_versioning(Bucket=self.name)
            )
            self._versioning = str((answer or {}).get("Status", NEVER))
        return self._versioning

    def keeps_versions(self) -> bool:
        """Whether old versions of objects may be there: it keeps them, or did. COS is asked once."""
        return self.versioning() != NEVER

    def lifecycle(self) -> list[dict[str, Any]]:
        """Its lifecycle rules, as COS tells them."""
        try:
            answer = self.objects.ask(
                READ_LIFECYCLE, "", lambda client: client.get_bucket_lifecycle(Bucket=self.name)
            )
        except CosError as error:
            if error.absent:  # NoSuchLifecycleConfiguration; but a bucket that is not there keeps nothing
                return []
            raise
        return list(answer.get("Rule", ()))

    def every(self, prefix: str) -> Iterator[Stored]:
        """All objects under `prefix`, in order of their keys."""
        after, more = "", True
        while more:
            page, more = self.objects.list(prefix, after)
            yield from page
            after, more = (page[-1].key, more) if page else ("", False)

    def versions(self, prefix: str) -> list[Version]:
        """All versions of all objects under `prefix`; where none are kept the objects themselves."""
        if not self.keeps_versions():
            return [Version(stored.key, "") for stored in self.every(prefix)]

        def ask(client: Any, key: str, version: str) -> Any:
            return client.list_objects_versions(
                Bucket=self.name, Prefix=prefix, KeyMarker=key, VersionIdMarker=version
            )

        return [
            Version(each["Key"], each["VersionId"], kind == "DeleteMarker")
            for page in self._pages(LIST_VERSIONS, prefix, "NextVersionIdMarker", ask)
            for kind in ("Version", "DeleteMarker")
            for each in page.get(kind, ())
        ]

    def unfinished(self, prefix: str) -> list[UnfinishedUpload]:
        """The multipart uploads under `prefix` that were not completed."""

        def ask(client: Any, key: str, upload: str) -> Any:
            return client.list_multipart_uploads(
                Bucket=self.name, Prefix=prefix, KeyMarker=key, UploadIdMarker=upload
            )

        return [
            UnfinishedUpload(each["Key"], each["UploadId"])
            for page in self._pages(LIST_UNFINISHED, prefix, "NextUploadIdMarker", ask)
            for each in page.get("Upload", ())
        ]

    def _pages(
        self, operation: Operation, prefix: str, next_id: str, ask: Callable[[Any, str, str], Any]
    ) -> Iterator[Any]:
        """All pages of a list that goes on after a key and an id; `next_id` is what the answer calls that."""
        key = id_ = ""
        while True:
            page = self.objects.ask(
                operation,
                prefix,
                lambda client: ask(client, key, id_),  # noqa: B023 # asked before they change
            )
            yield page
            if page.get("IsTruncated") != "true":
                return
            key, id_ = page["NextKeyMarker"], page.get(next_id) or ""

    def read_version(self, version: Version) -> bytes | None:
        """A state object's bytes as one version has them, None where there is none."""

        def get(client: Any) -> bytes:
            answer = client.get_object(self.name, version.key, KeySimplifyCheck=False, VersionId=version.id)
            return read_all(answer["Body"].get_raw_stream(), MAX_STATE)

        try:
            return self.objects.ask(READ, version.key, get)
        except CosError as error:
            if error.absent:
                return None
            raise

    def first_bytes(self, stored: Stored, most: int) -> bytes | None:
        """The first bytes of an object that is not empty, by a ranged GET; None where it has changed."""

        def get(client: Any) -> bytes:
            answer = client.get_object(
                self.name,
                stored.key,
                KeySimplifyCheck=False,
                IfMatch=stored.etag,
                Range=f"bytes=0-{most - 1}",
            )
            # Whoever leaves the range out of account sends all of it: the first piece is enough.
            with closing(read_pieces(answer["Body"].get_raw_stream())) as pieces:
                return next(pieces, b"")[:most]

        try:
            return self.objects.ask(READ, stored.key, get)
        except CosError as error:
            if error.absent or isinstance(error, Changed):
                return None
            raise

    def erase(self, version: Version) -> None:
        """Delete one version of an object for good. Its absence is no fault."""
        chosen = {"VersionId": version.id} if version.id else {}
        self.objects.ask(
            DELETE, version.key, lambda client: client.delete_object(self.name, version.key, **chosen)
        )

    def abort(self, upload: UnfinishedUpload) -> None:
        """Drop a multipart upload's parts. Its absence is no fault."""
        try:
            self.objects.ask(
                ABORT,
                upload.key,
                lambda client: client.abort_multipart_upload(self.name, upload.key, upload.id),
            )
        except CosError as error:
            if error.status != 404:
                raise

    def upload(self, key: str, data: bytes) -> None:
        """Put an upload that is not there yet, as an application's backend does."""
        self.objects.ask_once(
            WRITE,
            key,
            lambda client: client.put_object(self.name, data, key, Metadata=dict(CREATE_ONLY)),
            UPLOAD_SECONDS,
        )

    def upload_link(self, key: str, seconds: int) -> str:
        """A presigned link that lets whoever holds it PUT the object, once, for so long.

        With the headers of `CREATE_ONLY`. It is good for one PUT only where the bucket never kept versions.
        """
        return self.objects.link(key, seconds, "PUT", CREATE_ONLY)
