"""COS behind the proxy: what its HTTP interface does, over the buckets of `cos_store`.

Signatures are verified, create-only writes honoured, versions kept; errors come as the XML real
COS sends. Sources are the API pages of Tencent's product 436, named where a rule stands.
"""

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.cloud.clock import Clock
from tests.cloud.cos_sign import Account, Refused, authorization, encode, verify
from tests.cloud.cos_store import (
    Bucket,
    Object,
    Stored,
    Synthetic,
    Upload,
    Versioning,
    check_key,
    etag_of,
    http_date,
    iso_date,
    stored_headers,
)
from tests.cloud.proxy import BodyTooLarge, Operation, Request, Response

__all__ = ["Account", "Bucket", "Cos", "Object", "Refused", "authorization"]

HOST = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9-]*-[0-9]+)\.cos\.(?P<region>[a-z]+-[a-z0-9-]+)"
    r"\.(?:myqcloud\.com|tencentcos\.cn)"
)
LONGEST_BODY = 1024 * 1024 * 1024
LONGEST_LIST = 1000
SMALL = 16 * 1024
"""Up to this size answers carry a CRC-64: Python is slow at it, and only the SDK's resumable
transfers look at it, if told to."""
XML = "application/xml"

# Operations by method and by the query parameter that selects them, the first that is there.
BUCKET_OPERATIONS = {
    "GET": {
        "versions": "GetBucketObjectVersions",
        "uploads": "ListMultipartUploads",
        "versioning": "GetBucketVersioning",
        "lifecycle": "GetBucketLifecycle",
        "": "GetBucket",
    },
    "HEAD": {"": "HeadBucket"},
    "PUT": {"versioning": "PutBucketVersioning", "lifecycle": "PutBucketLifecycle"},
    "DELETE": {"lifecycle": "DeleteBucketLifecycle"},
    "POST": {"delete": "DeleteMultipleObjects"},
}
OBJECT_OPERATIONS = {
    "GET": {"uploadId": "ListParts", "": "GetObject"},
    "HEAD": {"": "HeadObject"},
    "PUT": {"partNumber": "UploadPart", "": "PutObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "": "DeleteObject"},
    "POST": {"uploads": "InitiateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
}
CONDITIONS = ("content-length", "content-type", "x-cos-acl", "x-cos-forbid-overwrite", "x-cos-storage-class")
"""The headers that a policy can set conditions on, as `cos:` and the name (page 71306)."""
LISTS = ("GetBucket", "GetBucketObjectVersions", "ListMultipartUploads")
OTHER_VERBS = frozenset(
    {
        "accelerate",
        "acl",
        "append",
        "cors",
        "domain",
        "encryption",
        "intelligenttiering",
        "inventory",
        "logging",
        "object-lock",
        "origin",
        "policy",
        "referer",
        "replication",
        "restore",
        "select",
        "tagging",
        "website",
    }
)
"""Sub-resources of real COS that are not played here."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that passed: for an existing bucket, signed, allowed."""

    request: Request
    operation: Operation
    bucket: Bucket
    account: Account
    request_id: str

    @property
    def key(self) -> str:
        return self.operation.key

    def wanted(self, parameter: str) -> str:
        """A query parameter that has to be there."""
        value = self.request.parameter(parameter)
        if not value:
            raise Refused(400, "InvalidArgument", f"The parameter {parameter} is missing.")
        return value


class Cos:
    """All buckets, and the service that gives access to them.

    `accounts` is looked up at every request, so that credentials can come and go. `on_event` is
    called with a COS event after an object was created or removed, before the answer goes out.
    `wrong_region` is what a host with the wrong region for its bucket answers.
    """

    def __init__(self, clock: Clock, accounts: Mapping[str, Account]) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.on_event: list[Callable[[dict[str, Any]], None]] = []
        self.wrong_region: Literal["NoSuchBucket", "PermanentRedirect"] = "NoSuchBucket"
        self._clock = clock
        self._accounts = accounts
        self._numbers = itertools.count(1)
        self._handlers: dict[str, Callable[[_Call], Awaitable[Response]]] = {
            "AbortMultipartUpload": self._abort_upload,
            "CompleteMultipartUpload": self._complete_upload,
            "DeleteBucketLifecycle": self._delete_lifecycle,
            "DeleteMultipleObjects": self._delete_many,
            "DeleteObject": self._delete,
            "GetBucket": self._list,
            "GetBucketLifecycle": self._get_lifecycle,
            "GetBucketObjectVersions": self._list_versions,
            "GetBucketVersioning": self._get_versioning,
            "GetObject": self._get,
            "HeadBucket": self._head_bucket,
            "HeadObject": self._get,
            "InitiateMultipartUpload": self._start_upload,
            "ListMultipartUploads": self._list_uploads,
            "ListParts": self._list_parts,
            "PutBucketLifecycle": self._put_lifecycle,
            "PutBucketVersioning": self._put_versioning,
            "PutObject": self._put,
            "PutObjectCopy": self._copy,
            "UploadPart": self._put_part,
        }

    def create_bucket(self, name: str, region: str, versioning: Versioning | None = None) -> Bucket:
        """A new, empty bucket `name-appid`. Raises ValueError for another form of name."""
        if not HOST.fullmatch(f"{name}.cos.{region}.myqcloud.com"):
            raise ValueError(f"expected a bucket name-appid and a long region, not {name} {region}")
        if name in self.buckets:
            raise ValueError(f"the bucket {name} is already there")
        bucket = Bucket(name, region, self._clock, self._emit, versioning)
        self.buckets[name] = bucket
        return bucket

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name. Raises KeyError."""
        return self.buckets[name]

    def serves(self, host: str) -> bool:
        """Whether the host is some bucket's, in either of the two domains."""
        return HOST.fullmatch(host) is not None

    def operation(self, request: Request) -> Operation:
        """What a request asks for. The key of what lists is its prefix."""
        match = HOST.fullmatch(request.host)
        bucket, region = (match["bucket"], match["region"]) if match else ("", "")
        key = unquote(request.raw_path, errors="surrogateescape")[1:]
        table = (OBJECT_OPERATIONS if key else BUCKET_OPERATIONS).get(request.method, {})
        names = {name for name, _ in request.query}
        name = next(
            (table[selector] for selector in table if selector in names),
            table.get("", "") if not names & OTHER_VERBS else "",
        )
        if "x-cos-copy-source" in request.headers:
            name = {"PutObject": "PutObjectCopy", "UploadPart": "UploadPartCopy"}.get(name, name)
        if not key and name in LISTS:
            key = request.parameter("prefix") or ""
        conditions = {f"cos:{each}": request.headers[each] for each in CONDITIONS if each in request.headers}
        return Operation("cos", name or "Unknown", bucket, key, region, conditions)

    async def handle(self, request: Request) -> Response:
        """Carry a request out, or answer why not."""
        try:
            response = await self._handle(request)
        except Refused as refused:
            return self._error(request, refused)
        except BodyTooLarge as error:
            return self._error(request, Refused(400, "EntityTooLarge", str(error)))
        return response

    def refuse(self, request: Request, status: int, code: str, message: str) -> Response:
        """An error as COS sends them."""
        return self._error(request, Refused(status, code, message))

    async def _handle(self, request: Request) -> Response:
        operation = self.operation(request)
        bucket = self._find_bucket(request)
        account = verify(request, self._accounts, self._clock.seen_from(request.source))
        # A deletion of many is allowed or denied key by key. Page 8289 wants cos:DeleteObject for
        # each; older policies name cos:DeleteMultipleObjects. Here it takes both.
        if operation.name != "DeleteMultipleObjects":
            _allow(account, operation)
        handler = self._handlers.get(operation.name)
        if handler is None:
            message = f"The local cloud does not play {request.method} {request.raw_query}."
            raise Refused(501, "NotImplemented", message)
        call = _Call(request, operation, bucket, account, self._new_id())
        response = await handler(call)
        self._sign_off(response, call.request_id)
        return response

    def _find_bucket(self, request: Request) -> Bucket:
        match = HOST.fullmatch(request.host)
        assert match, "the proxy asks serves() first"
        bucket = self.buckets.get(match["bucket"])
        if bucket is not None and bucket.region == match["region"]:
            return bucket
        if bucket is not None and self.wrong_region == "PermanentRedirect":
            raise Refused(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
                {"Endpoint": bucket.host},
            )
        raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")

    # Objects

    async def _put(self, call: _Call) -> Response:
        body = await call.request.read(LONGEST_BODY)
        _check_md5(call.request, body)
        headers = stored_headers(call.request.headers)
        stored = self._write(call, Stored(body), etag_of(body, headers), headers, "Put")
        answer = {"ETag": f'"{stored.etag}"', **_written_version(call.bucket, stored), **_checksum(stored)}
        if stored.encryption:
            answer["x-cos-server-side-encryption"] = stored.encryption
        return Response(200, answer)

    async def _copy(self, call: _Call) -> Response:
        source, name, version = self._copy_source(call)
        _allow(call.account, Operation("cos", "GetObject", source.name, name, source.region))
        found = source.read(name, version)
        if found is None or found.deleted:
            raise _no_such_key()
        headers = dict(found.headers)
        if call.request.headers.get("x-cos-metadata-directive", "Copy").lower() == "replaced":
            headers = stored_headers(call.request.headers)
        etag = found.etag
        stored = self._write(call, found.content, etag, headers, "Copy")
        fields = {"ETag": f'"{etag}"', "LastModified": iso_date(stored.written)}
        return _xml("CopyObjectResult", fields, _written_version(call.bucket, stored))

    async def _get(self, call: _Call) -> Response:
        head = call.operation.name == "HeadObject"
        request, bucket = call.request, call.bucket
        check_key(call.key)
        version = request.parameter("versionId")
        found = bucket.read(call.key, version)
        if found is None and version is not None:
            raise Refused(404, "NoSuchVersion", "The specified version does not exist.")
        if found is None:
            raise _no_such_key()
        if found.deleted:
            raise _no_such_key()
        headers = _object_headers(bucket, found)
        if _judge_conditions(request, found):
            return Response(304, headers)
        if not head and "ARCHIVE" in found.storage_class:
            message = "The operation is not valid for the object's storage class"
            raise Refused(403, "InvalidObjectState", message)
        for name, value in request.query:
            if name.startswith("response-"):
                headers[name.removeprefix("response-").title()] = value
        start, stop, status = _range(request.headers.get("Range"), found.size)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{found.size}"
        body = _stream(found.content, start, stop)
        return Response(status, headers, b"" if head else body, stop - start)

    async def _delete(self, call: _Call) -> Response:
        version = call.request.parameter("versionId")
        result = self._remove(call, call.key, version)
        headers = {}
        if call.bucket.versioning is not None and result is not None:
            headers["x-cos-version-id"] = result.version_id or "null"
            if result.deleted:
                headers["x-cos-delete-marker"] = "true"
        return Response(204, headers)

    async def _delete_many(self, call: _Call) -> Response:
        body = await call.request.read(2 * 1024 * 1024)
        if "Content-MD5" not in call.request.headers:
            raise Refused(400, "MissingRequestHeader", "Content-MD5 is required.")
        _check_md5(call.request, body)
        wanted = _parse_xml(body, "Delete")
        objects = wanted.findall("Object")
        if not 1 <= len(objects) <= LONGEST_LIST:
            raise _malformed()
        quiet = (wanted.findtext("Quiet") or "").strip().lower() == "true"
        parts = []
        for each in objects:
            key, version = each.findtext("Key") or "", each.findtext("VersionId") or None
            fields: dict[str, str] = {"Key": key}
            if version is not None:
                fields["VersionId"] = version
            try:
                for name in ("DeleteMultipleObjects", "DeleteObject"):
                    _allow(call.account, replace(call.operation, name=name, key=key))
                result = self._remove(call, key, version)
            except Refused as refused:
                fields |= {"Code": refused.code, "Message": refused.message}
                parts.append(_element("Error", fields))
                continue
            if result is not None and result.deleted:
                marker = result.version_id or "null"
                fields |= {"DeleteMarker": "true", "DeleteMarkerVersionId": marker}
            if not quiet:
                parts.append(_element("Deleted", fields))
        return _document(f"<DeleteResult>{''.join(parts)}</DeleteResult>")

    # Multipart uploads

    async def _start_upload(self, call: _Call) -> Response:
        upload = call.bucket.start_upload(call.key, call.request.headers)
        fields = {"Bucket": call.bucket.name, "Key": call.key, "UploadId": upload.upload_id}
        return _xml("InitiateMultipartUploadResult", fields)

    async def _put_part(self, call: _Call) -> Response:
        upload = _upload(call)
        number = call.wanted("partNumber")
        if not number.isdecimal() or not 1 <= int(number) <= 10000:
            raise Refused(400, "InvalidArgument", "Part numbers go from 1 to 10000.")
        body = await call.request.read(LONGEST_BODY)
        _check_md5(call.request, body)
        etag = hashlib.md5(body).hexdigest()
        part = Object(call.key, Stored(body), etag, self._clock.now())
        upload.parts[int(number)] = part
        return Response(200, {"ETag": f'"{etag}"', **_checksum(part)})

    async def _complete_upload(self, call: _Call) -> Response:
        upload = _upload(call)
        body = await call.request.read(2 * 1024 * 1024)
        wanted = _parse_xml(body, "CompleteMultipartUpload").findall("Part")
        parts: list[Object] = []
        last = 0
        for at, each in enumerate(wanted, 1):
            number = int(each.findtext("PartNumber") or 0)
            part = upload.parts.get(number)
            if part is None or part.etag != (each.findtext("ETag") or "").strip().strip('"'):
                raise Refused(400, "InvalidPart", "One or more of the parts could not be found.")
            if number <= last:
                raise Refused(400, "InvalidPartOrder", "The list of parts is not in order.")
            if parts and number != last + 1:
                raise Refused(400, "InvalidPart", "The part numbers are not continuous.")
            if at < len(wanted) and part.size < call.bucket.min_part_size:
                raise Refused(400, "EntityTooSmall", f"Part {number} is too small.")
            parts.append(part)
            last = number
        if not parts:
            raise _malformed()
        content = Stored(b"".join(part.data for part in parts))
        joined = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts)).hexdigest()
        etag = f"{joined}-{len(parts)}"
        stored = self._write(call, content, etag, upload.headers, "CompleteMultipartUpload")
        call.bucket.uploads.pop(upload.upload_id, None)
        fields = {
            "Location": f"{call.bucket.host}/{encode(call.key)}",
            "Bucket": call.bucket.name,
            "Key": call.key,
            "ETag": f'"{etag}"',
        }
        return _xml("CompleteMultipartUploadResult", fields, _version(call.bucket, stored))

    async def _abort_upload(self, call: _Call) -> Response:
        call.bucket.uploads.pop(_upload(call).upload_id, None)
        return Response(204)

    async def _list_parts(self, call: _Call) -> Response:
        """Page 7747."""
        upload = _upload(call)
        limit, shown_as = _limit(call.request, "max-parts"), _encoding(call.request)
        marker = call.request.parameter("part-number-marker") or "0"
        if not marker.isdecimal():
            raise Refused(400, "InvalidArgument", "part-number-marker is not a number.")
        found = [(number, part) for number, part in sorted(upload.parts.items()) if number > int(marker)]
        page = found[:limit]
        fields = {
            "Bucket": call.bucket.name,
            "Key": shown_as(call.key),
            "UploadId": upload.upload_id,
            "PartNumberMarker": marker,
            "MaxParts": str(limit),
            "IsTruncated": str(len(found) > limit).lower(),
        }
        if page and len(found) > limit:
            fields["NextPartNumberMarker"] = str(page[-1][0])
        parts = [
            {
                "PartNumber": str(number),
                "LastModified": iso_date(part.written),
                "ETag": f'"{part.etag}"',
                "Size": str(part.size),
            }
            for number, part in page
        ]
        return _xml("ListPartsResult", fields, more=[("Part", part) for part in parts])

    async def _list_uploads(self, call: _Call) -> Response:
        """Page 7736: by key, and for one key by id. Delimiters are not played."""
        request = call.request
        prefix, key_marker, id_marker = (
            request.parameter(name) or "" for name in ("prefix", "key-marker", "upload-id-marker")
        )
        limit, shown_as = _limit(request, "max-uploads"), _encoding(request)
        found = [
            upload
            for upload in call.bucket.started_uploads(prefix)
            if upload.key > key_marker
            or (upload.key == key_marker and id_marker and upload.upload_id > id_marker)
        ]
        page = found[:limit]
        fields = {
            "Bucket": call.bucket.name,
            "Prefix": shown_as(prefix),
            "KeyMarker": shown_as(key_marker),
            "UploadIdMarker": id_marker,
            "MaxUploads": str(limit),
            "IsTruncated": str(len(found) > limit).lower(),
        }
        if page and len(found) > limit:
            fields["NextKeyMarker"] = shown_as(page[-1].key)
            fields["NextUploadIdMarker"] = page[-1].upload_id
        uploads = [
            {
                "Key": shown_as(upload.key),
                "UploadId": upload.upload_id,
                "StorageClass": "STANDARD",
                "Initiated": iso_date(upload.started),
            }
            for upload in page
        ]
        return _xml("ListMultipartUploadsResult", fields, more=[("Upload", u) for u in uploads])

    # Buckets

    async def _head_bucket(self, call: _Call) -> Response:
        return Response(200, {"x-cos-bucket-region": call.bucket.region})

    async def _list(self, call: _Call) -> Response:
        """Page 7734. `NextMarker` is the last key or common prefix of the page."""
        request = call.request
        prefix, delimiter, marker = (
            request.parameter(name) or "" for name in ("prefix", "delimiter", "marker")
        )
        limit, shown_as = _limit(request), _encoding(request)
        contents: list[dict[str, str]] = []
        folders: list[dict[str, str]] = []
        last, truncated, folder = marker, False, ""
        for found in call.bucket.listed(prefix, marker):
            if folder and found.key.startswith(folder):
                continue
            cut = found.key.find(delimiter, len(prefix)) if delimiter else -1
            folder = found.key[: cut + len(delimiter)] if cut >= 0 else ""
            if folder and folder <= marker:
                continue
            if len(contents) + len(folders) == limit:
                truncated = True
                break
            if folder:
                folders.append({"Prefix": shown_as(folder)})
                last = folder
            else:
                contents.append({"Key": shown_as(found.key), **_listing(call.bucket, found)})
                last = found.key
        fields = {
            "Name": call.bucket.name,
            "Prefix": shown_as(prefix),
            "Marker": shown_as(marker),
            "MaxKeys": str(limit),
            "IsTruncated": str(truncated).lower(),
        }
        if request.parameter("encoding-type"):
            fields["EncodingType"] = "url"
        if delimiter:
            fields["Delimiter"] = shown_as(delimiter)
        if truncated:
            fields["NextMarker"] = shown_as(last)
        more = [("Contents", each) for each in contents]
        more += [("CommonPrefixes", each) for each in folders]
        return _xml("ListBucketResult", fields, {"x-cos-bucket-region": call.bucket.region}, more)

    async def _list_versions(self, call: _Call) -> Response:
        """Page 35521. Delimiters are not played."""
        request = call.request
        prefix, key_marker, version_marker = (
            request.parameter(name) or "" for name in ("prefix", "key-marker", "version-id-marker")
        )
        limit, shown_as = _limit(request), _encoding(request)
        rows: list[tuple[str, dict[str, str]]] = []
        last: Object | None = None
        truncated = False
        passed = not version_marker
        for version, latest in call.bucket.all_versions(prefix):
            version_id = version.version_id or "null"
            if version.key < key_marker or (version.key == key_marker and not version_marker):
                continue
            if version.key == key_marker and not passed:
                passed = version_id == version_marker
                continue
            if len(rows) == limit:
                truncated = True
                break
            fields = {
                "Key": shown_as(version.key),
                "VersionId": version_id,
                "IsLatest": str(latest).lower(),
            }
            if version.deleted:
                fields["LastModified"] = iso_date(version.written)
                rows.append(("DeleteMarker", fields))
            else:
                rows.append(("Version", fields | _listing(call.bucket, version)))
            last = version
        top = {
            "Name": call.bucket.name,
            "Prefix": shown_as(prefix),
            "KeyMarker": shown_as(key_marker),
            "VersionIdMarker": version_marker,
            "MaxKeys": str(limit),
            "IsTruncated": str(truncated).lower(),
        }
        if truncated and last is not None:
            top["NextKeyMarker"] = shown_as(last.key)
            top["NextVersionIdMarker"] = last.version_id or "null"
        return _xml("ListVersionsResult", top, more=rows)

    async def _get_versioning(self, call: _Call) -> Response:
        state = call.bucket.versioning
        return _xml("VersioningConfiguration", {} if state is None else {"Status": state})

    async def _put_versioning(self, call: _Call) -> Response:
        body = await call.request.read(64 * 1024)
        status = _parse_xml(body, "VersioningConfiguration").findtext("Status")
        if status == "Enabled":
            call.bucket.versioning = "Enabled"
        elif status == "Suspended":
            call.bucket.versioning = "Suspended"
        else:
            raise _malformed()
        return Response(200)

    async def _get_lifecycle(self, call: _Call) -> Response:
        if call.bucket.lifecycle is None:
            message = "The lifecycle configuration does not exist."
            raise Refused(404, "NoSuchLifecycleConfiguration", message)
        return Response(200, {"Content-Type": XML}, call.bucket.lifecycle)

    async def _put_lifecycle(self, call: _Call) -> Response:
        body = await call.request.read(1024 * 1024)
        _check_md5(call.request, body)
        _parse_xml(body, "LifecycleConfiguration")
        call.bucket.lifecycle = body
        return Response(200)

    async def _delete_lifecycle(self, call: _Call) -> Response:
        call.bucket.lifecycle = None
        return Response(204)

    # Common to several

    def _write(
        self,
        call: _Call,
        content: Stored | Synthetic,
        etag: str,
        headers: Mapping[str, str],
        event: str,
    ) -> Object:
        forbidden = call.request.headers.get("x-cos-forbid-overwrite", "").lower() == "true"
        return call.bucket.write(
            call.key,
            content,
            etag,
            headers,
            create_only=forbidden,
            event=event,
            request_id=call.request_id,
            request_headers=_event_headers(call.request),
        )

    def _remove(self, call: _Call, key: str, version: str | None) -> Object | None:
        return call.bucket.remove(
            key,
            version,
            request_id=call.request_id,
            request_headers=_event_headers(call.request),
        )

    def _copy_source(self, call: _Call) -> tuple[Bucket, str, str | None]:
        source = call.request.headers["x-cos-copy-source"]
        host, _, rest = source.partition("/")
        path, _, query = rest.partition("?")
        match = HOST.fullmatch(host)
        bucket = self.buckets.get(match["bucket"]) if match else None
        if match is None or bucket is None or bucket.region != match["region"]:
            raise Refused(404, "NoSuchBucket", "The bucket of the copy source does not exist.")
        return bucket, unquote(path), query.removeprefix("versionId=") or None

    def _emit(self, event: dict[str, Any]) -> None:
        for subscriber in list(self.on_event):
            subscriber(event)

    def _new_id(self) -> str:
        """A request id: base64 of hex numbers, the first the time, as real ones are."""
        seconds = int(self._clock.now().timestamp())
        text = f"{seconds:x}_7f000001_{next(self._numbers):x}_{seconds % 65536:x}"
        return base64.b64encode(text.encode()).decode()

    def _sign_off(self, response: Response, request_id: str) -> None:
        response.headers |= {
            "Server": "tencent-cos",
            "Date": http_date(self._clock.now()),
            "x-cos-request-id": request_id,
            "x-cos-trace-id": base64.b64encode(f"trace {request_id}".encode()).decode(),
        }

    def _error(self, request: Request, refused: Refused) -> Response:
        """Page 7730: code, message, resource and ids, none of them ever empty."""
        request_id = self._new_id()
        response = Response(refused.status, {"Content-Type": XML})
        self._sign_off(response, request_id)
        if refused.status == 301:
            response.headers["Location"] = f"http://{refused.details['Endpoint']}/"
        fields = {
            "Code": refused.code,
            "Message": refused.message,
            **refused.details,
            "Resource": request.host + unquote(request.raw_path),
            "RequestId": request_id,
            "TraceId": response.headers["x-cos-trace-id"],
        }
        body = b"<?xml version='1.0' encoding='utf-8' ?>\n" + _element("Error", fields).encode()
        if request.method == "HEAD":
            return response
        response.body = body
        return response


def _allow(account: Account, operation: Operation) -> None:
    if account.allowed is not None and not account.allowed(operation):
        raise Refused(403, "AccessDenied", "Access Denied.")


def _no_such_key() -> Refused:
    return Refused(404, "NoSuchKey", "The specified key does not exist.")


def _malformed() -> Refused:
    return Refused(400, "MalformedXML", "The XML you provided was not well-formed or not valid.")


def _check_md5(request: Request, body: bytes) -> None:
    """Page 7749: a Content-MD5 that is sent is checked."""
    sent = request.headers.get("Content-MD5")
    if sent is None:
        return
    try:
        digest = base64.b64decode(sent, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise Refused(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
    if digest != hashlib.md5(body).digest():
        message = "The Content-MD5 you specified did not match what we received."
        raise Refused(400, "BadDigest", message)


def _judge_conditions(request: Request, found: Object) -> bool:
    """Page 7753: whether the answer is 304. Raises Refused where it is 412."""
    headers = request.headers
    etags = {f'"{found.etag}"', found.etag, "*"}
    match, none_match = headers.get("If-Match"), headers.get("If-None-Match")
    written = found.written.replace(microsecond=0)
    failed = Refused(412, "PreconditionFailed", "Precondition Failed")
    if match is not None:
        if match not in etags:
            raise failed
    elif "If-Unmodified-Since" in headers and written > parsedate_to_datetime(headers["If-Unmodified-Since"]):
        raise failed
    if none_match is not None:
        return none_match in etags
    if "If-Modified-Since" in headers:
        return written <= parsedate_to_datetime(headers["If-Modified-Since"])
    return False


def _range(header: str | None, size: int) -> tuple[int, int, int]:
    """First byte, the byte behind the last, and the status. One range; others are ignored."""
    match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", header or "")
    if match is None or not (match[1] or match[2]):
        return 0, size, 200
    if match[1]:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, stop = max(0, size - int(match[2])), size
    if start >= size or stop <= start:
        raise Refused(416, "InvalidRange", "The requested range is not satisfiable.")
    return start, stop, 206


async def _stream(content: Stored | Synthetic, start: int, stop: int) -> AsyncIterator[bytes]:
    for piece in content.pieces(start, stop):
        yield piece


def _object_headers(bucket: Bucket, found: Object) -> dict[str, str]:
    headers = {
        "Content-Type": found.headers.get("content-type") or "application/octet-stream",
        "ETag": f'"{found.etag}"',
        "Last-Modified": http_date(found.written),
        "Accept-Ranges": "bytes",
        "x-cos-object-type": "normal",
        **_version(bucket, found),
        **_checksum(found),
    }
    return headers | {
        name.title() if not name.startswith("x-cos-") else name: value
        for name, value in found.headers.items()
        if name != "content-type"
    }


def _version(bucket: Bucket, stored: Object) -> dict[str, str]:
    """The version of an object that is read, or put together of parts (page 7742), as answers name it.

    Only a bucket that has or had versioning names any.
    """
    return {} if bucket.versioning is None else {"x-cos-version-id": stored.version_id or "null"}


def _written_version(bucket: Bucket, stored: Object) -> dict[str, str]:
    """The version that a PUT made. A bucket whose versioning is suspended says nothing of it (page 7749)."""
    return _version(bucket, stored) if bucket.versioning == "Enabled" else {}


def _listing(bucket: Bucket, found: Object) -> dict[str, str]:
    return {
        "LastModified": iso_date(found.written),
        "ETag": f'"{found.etag}"',
        "Size": str(found.size),
        "StorageClass": found.storage_class,
    }


def _event_headers(request: Request) -> dict[str, str]:
    """The request's headers as events show them: the uploader's signature among them.

    What an event shows of a presigned upload nobody has published; here it is the signed query,
    so that logging an event always leaks something.
    """
    sent = request.headers.get("Authorization")
    return {"Authorization": sent if sent is not None else request.raw_query}


def _upload(call: _Call) -> Upload:
    upload = call.bucket.uploads.get(call.wanted("uploadId"))
    if upload is None or upload.key != call.key:
        raise Refused(404, "NoSuchUpload", "The specified multipart upload does not exist.")
    return upload


def _limit(request: Request, parameter: str = "max-keys") -> int:
    text = request.parameter(parameter) or str(LONGEST_LIST)
    if not text.isdecimal():
        raise Refused(400, "InvalidArgument", f"{parameter} is not a number.")
    return min(int(text), LONGEST_LIST)


def _encoding(request: Request) -> Callable[[str], str]:
    wanted = request.parameter("encoding-type")
    if wanted is None:
        return str
    if wanted != "url":
        raise Refused(400, "InvalidArgument", "encoding-type can only be url.")
    return encode


def _parse_xml(body: bytes, root: str) -> ElementTree.Element:
    try:
        parsed = ElementTree.fromstring(body)  # noqa: S314  # only tests speak to this server
    except ElementTree.ParseError:
        raise _malformed() from None
    if parsed.tag != root:
        raise _malformed()
    return parsed


def _element(name: str, fields: Mapping[str, str]) -> str:
    inner = "".join(f"<{field}>{escape(value)}</{field}>" for field, value in fields.items())
    return f"<{name}>{inner}</{name}>"


def _document(xml: str, headers: Mapping[str, str] | None = None) -> Response:
    body = f"<?xml version='1.0' encoding='utf-8' ?>\n{xml}".encode()
    return Response(200, {"Content-Type": XML, **(headers or {})}, body)


def _xml(
    name: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    more: list[tuple[str, dict[str, str]]] | None = None,
) -> Response:
    inner = "".join(f"<{field}>{escape(value)}</{field}>" for field, value in fields.items())
    inner += "".join(_element(child, each) for child, each in more or [])
    return _document(f"<{name}>{inner}</{name}>", headers)


def _checksum(stored: Object) -> dict[str, str]:
    if stored.size > SMALL:
        return {}
    return {"x-cos-hash-crc64ecma": str(crc64(stored.data))}


def crc64(data: bytes) -> int:
    """CRC-64 of ECMA-182, reflected and inverted, as `x-cos-hash-crc64ecma` has it."""
    value = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFFFFFFFFFF


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xC96C5795D7870F42 if value & 1 else 0)
    return value


CRC_TABLE = tuple(_crc_row(byte) for byte in range(256))
