"""Buckets and objects, in memory: what COS keeps, without any HTTP.

Tests look and reach into a bucket here, past signatures and faults.
"""

import base64
import hashlib
import itertools
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, Literal
from xml.etree import ElementTree

from tests.cloud.clock import Clock
from tests.cloud.cos_event import Shape, cos_event
from tests.cloud.cos_sign import Refused

Versioning = Literal["Enabled", "Suspended"]
Emit = Callable[[dict[str, Any]], None]

LONGEST_KEY = 850  # bytes; product 436, page 13324
SMALLEST_PART = 1024 * 1024  # bytes, of all parts but the last; page 7750
PIECE = 64 * 1024
REMEMBERED = 16
"""How many former states of a key are kept for readers that lag behind."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes kept in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, piece by piece."""
        for at in range(start, stop, PIECE):
            yield self.data[at : min(at + PIECE, stop)]


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Bytes made up on the way out: sizes no test machine wants to hold."""

    size: int

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`; each position always has the same byte."""
        while start < stop:
            number, within = divmod(start, PIECE)
            piece = number.to_bytes(8, "big") * (PIECE // 8)
            taken = piece[within : within + stop - start]
            yield taken
            start += len(taken)


@dataclass(frozen=True, slots=True)
class Object:
    """One version of an object. `etag` is without its quotes, `headers` in lower case.

    `version_id` is None where the bucket never had versioning, "null" for what was written before
    it was switched on or while it is suspended. A `deleted` version is a delete marker.
    """

    key: str
    content: Stored | Synthetic
    etag: str
    written: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    version_id: str | None = None
    deleted: bool = False

    @property
    def data(self) -> bytes:
        """All bytes of the object."""
        return b"".join(self.content.pieces(0, self.size))

    @property
    def size(self) -> int:
        """In bytes."""
        return self.content.size

    @property
    def md5(self) -> str:
        """The MD5 of the bytes, as hex digits, whatever the ETag says."""
        digest = hashlib.md5()
        for piece in self.content.pieces(0, self.size):
            digest.update(piece)
        return digest.hexdigest()

    @property
    def storage_class(self) -> str:
        return self.headers.get("x-cos-storage-class", "STANDARD")

    @property
    def encryption(self) -> str | None:
        """`AES256` (keeps the MD5 as ETag), `cos/kms` (does not), or None."""
        return self.headers.get("x-cos-server-side-encryption")


@dataclass(slots=True)
class Upload:
    """A multipart upload under way."""

    key: str
    upload_id: str
    headers: Mapping[str, str]
    started: datetime
    parts: dict[int, Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _State:
    """What a key showed from `since` (seconds since 1970) on."""

    since: float
    shown: Object | None


class Bucket:
    """One bucket, named `name-appid`, in one region. May be used from any thread.

    Switches for tests:

    `two_winners`
        create-only PUTs within `two_winners_window` seconds of each other all succeed, the last
        one staying, as has been reported of real COS under load.
    `head_lag`, `list_lag`
        HEAD and GET, or LIST, show the bucket as it was that many seconds ago.
    `min_part_size`
        what the parts of a multipart upload must at least have, in bytes.
    `event_shape`
        "new" or "old" events.

    All times are the clock's.
    """

    def __init__(
        self,
        name: str,
        region: str,
        clock: Clock,
        emit: Emit,
        versioning: Versioning | None = None,
    ) -> None:
        self.name = name
        self.region = region
        self.versioning: Versioning | None = versioning
        self.lifecycle: bytes | None = None
        self.two_winners = False
        self.two_winners_window = 0.03
        self.head_lag = 0.0
        self.list_lag = 0.0
        self.min_part_size = SMALLEST_PART
        self.event_shape: Shape = "new"
        self.uploads: dict[str, Upload] = {}
        self._clock = clock
        self._emit = emit
        self._lock = threading.RLock()
        self._keys: list[str] = []
        self._versions: dict[str, list[Object]] = {}
        self._states: dict[str, list[_State]] = {}
        self._numbers = itertools.count(1)

    def __contains__(self, key: str) -> bool:
        return self.find(key) is not None

    @property
    def host(self) -> str:
        """The host that serves this bucket."""
        return f"{self.name}.cos.{self.region}.myqcloud.com"

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects that begin with `prefix`, in the order of their UTF-8 bytes."""
        return [shown.key for shown in self.shown(prefix)]

    def find(self, key: str) -> Object | None:
        """The object as it is now, or None."""
        with self._lock:
            states = self._states.get(key)
            return states[-1].shown if states else None

    def get(self, key: str) -> Object:
        """The object as it is now. Raises KeyError with what is there instead."""
        found = self.find(key)
        if found is None:
            raise KeyError(f"no object {key!r} in {self.name}; there are {self.keys()[:50]}")
        return found

    def put(
        self,
        key: str,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        event: str = "Put",
        silent: bool = False,
    ) -> Object:
        """Write an object as PutObject would. `headers` are the request's: Content-Type,
        x-cos-meta-*, x-cos-storage-class, x-cos-server-side-encryption. `event` may be another
        way of creating, such as Post or Copy. A silent put causes no event.
        """
        kept = stored_headers(headers or {})
        etag = etag_of(data, kept)
        return self.write(key, Stored(data), etag, kept, event=event, silent=silent)

    def put_synthetic(self, key: str, size: int, *, multipart: bool = True, silent: bool = False) -> Object:
        """An object of `size` made-up bytes; a multipart one has an ETag that is no MD5."""
        content = Synthetic(size)
        if not multipart:
            etag = Object(key, content, "", self._clock.now()).md5
            return self.write(key, content, etag, {}, silent=silent)
        etag = hashlib.md5(f"{key} {size}".encode()).hexdigest() + f"-{size // SMALLEST_PART + 1}"
        return self.write(key, content, etag, {}, event="CompleteMultipartUpload", silent=silent)

    def delete(self, key: str, *, silent: bool = False) -> None:
        """Delete as DeleteObject without a version would; no harm if there is nothing."""
        self.remove(key, silent=silent)

    def archive(self, key: str, storage_class: str = "ARCHIVE") -> None:
        """Move an object to another storage class, as a lifecycle rule would: in silence."""
        with self._lock:
            found = self.get(key)
            moved = replace(found, headers={**found.headers, "x-cos-storage-class": storage_class})
            self._versions[key] = [moved if version is found else version for version in self._versions[key]]
            self._show(key, moved)

    def apply_lifecycle(self) -> None:
        """Do what the lifecycle's rules say of all that is old enough by now; COS does it once a day.

        Played are expiration of objects and of old versions, and giving up of unfinished uploads, each
        after a number of days, under a prefix (product 436, page 8280). No events are caused.
        """
        for rule in ElementTree.fromstring(self.lifecycle or b"<None/>").findall("Rule"):  # noqa: S314
            if rule.findtext("Status") != "Enabled":
                continue
            prefix = rule.findtext("Filter/Prefix") or rule.findtext("Prefix") or ""
            objects, versions, uploads = (
                None if days is None else self._clock.now() - timedelta(days=int(days))
                for days in (
                    rule.findtext("Expiration/Days"),
                    rule.findtext("NoncurrentVersionExpiration/NoncurrentDays"),
                    rule.findtext("AbortIncompleteMultipartUpload/DaysAfterInitiation"),
                )
            )
            with self._lock:
                self._expire(prefix, objects, versions, uploads)

    def _expire(
        self, prefix: str, objects: datetime | None, versions: datetime | None, uploads: datetime | None
    ) -> None:
        """Remove what was written, replaced or started before these times."""
        if uploads is not None:
            for upload in self.started_uploads(prefix):
                if upload.started <= uploads:
                    del self.uploads[upload.upload_id]
        for key in [key for key in self._keys if key.startswith(prefix)]:
            if versions is not None:
                for old, newer in list(pairwise(self._versions.get(key, []))):
                    if newer.written <= versions:
                        self._remove_version(key, old.version_id or "null")
            found = self.find(key)
            if objects is not None and found is not None and found.written <= objects:
                self.remove(key, silent=True)

    # What the HTTP side needs besides.

    def write(
        self,
        key: str,
        content: Stored | Synthetic,
        etag: str,
        headers: Mapping[str, str],
        *,
        create_only: bool = False,
        event: str = "Put",
        silent: bool = False,
        request_id: str = "direct",
        request_headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Write one object, tell the subscribers, and return what is stored.

        Raises Refused for a key COS would not take, and where `create_only` finds an object; it
        is ignored on a bucket that has or had versioning (product 436, page 7749).
        """
        check_key(key)
        with self._lock:
            now = self._clock.now()
            if create_only and self.versioning is None and self._taken(key, now):
                raise Refused(
                    409, "FileAlreadyExists", "The file already exists, and may not be overwritten."
                )
            stored = Object(key, content, etag, now, headers, self._new_version_id())
            self._replace(stored)
        if not silent:
            meta = {
                "x-cos-request-id": request_id,
                "Content-Type": headers.get("content-type", ""),
                "ETag": f'"{etag}"',
                **{name: headers[name] for name in headers if name.startswith("x-cos-meta-")},
            }
            if stored.storage_class != "STANDARD":
                meta["x-cos-storage-class"] = stored.storage_class
            self._tell(f"ObjectCreated:{event}", stored, meta, request_headers)
        return stored

    def remove(
        self,
        key: str,
        version_id: str | None = None,
        *,
        silent: bool = False,
        request_id: str = "direct",
        request_headers: Mapping[str, str] | None = None,
    ) -> Object | None:
        """Delete an object, or one version for good.

        Returns the delete marker this made, or the version it deleted, or None.
        """
        check_key(key)
        with self._lock:
            before = self.find(key)
            if version_id is not None:
                result = self._remove_version(key, version_id)
            elif self.versioning is None:
                result = before
                self._versions.pop(key, None)
                self._show(key, None)
            else:
                marker = Object(
                    key,
                    Stored(b""),
                    "",
                    self._clock.now(),
                    version_id=self._new_version_id(),
                    deleted=True,
                )
                self._replace(marker)
                result = marker
            gone = before is not None and self.find(key) is None
        if gone and not silent:
            kind = "DeleteMarkerCreated" if result is not None and result.deleted else "Delete"
            meta = {"x-cos-request-id": request_id}
            assert before is not None
            removed = replace(before, content=Stored(b""))
            self._tell(f"ObjectRemove:{kind}", removed, meta, request_headers)
        return result

    def read(self, key: str, version_id: str | None = None) -> Object | None:
        """What HEAD and GET see, delete markers included: late by `head_lag`."""
        with self._lock:
            if version_id is not None:
                versions = self._versions.get(key, [])
                return next((v for v in versions if (v.version_id or "null") == version_id), None)
            shown = self._shown_at(key, self._seconds() - self.head_lag, lagging=self.head_lag > 0)
            if shown is None and self.head_lag <= 0 and self._versions.get(key):
                return self._versions[key][-1]
            return shown

    def listed(self, prefix: str, after: str = "") -> Iterator[Object]:
        """What LIST sees behind the key `after`, in order: late by `list_lag`."""
        return self.shown(prefix, after, self.list_lag)

    def shown(self, prefix: str, after: str = "", lag: float = 0.0) -> Iterator[Object]:
        """The objects under a prefix as they were `lag` seconds ago, in order."""
        with self._lock:
            first = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
            keys = self._keys[first:]
        at = self._seconds() - lag
        for key in keys:
            if not key.startswith(prefix):
                break
            with self._lock:
                shown = self._shown_at(key, at, lagging=lag > 0)
            if shown is not None:
                yield shown

    def all_versions(self, prefix: str) -> Iterator[tuple[Object, bool]]:
        """All versions and delete markers under a prefix, each key's newest first and marked."""
        with self._lock:
            found = [
                (version, at == 0)
                for key in self._keys
                if key.startswith(prefix)
                for at, version in enumerate(reversed(self._versions.get(key, [])))
            ]
        return iter(found)

    def start_upload(self, key: str, headers: Mapping[str, str]) -> Upload:
        """Begin a multipart upload."""
        check_key(key)
        with self._lock:
            number = f"{int(self._seconds()):x}{next(self._numbers):024x}"
            upload = Upload(key, number, stored_headers(headers), self._clock.now())
            self.uploads[number] = upload
        return upload

    def started_uploads(self, prefix: str = "") -> list[Upload]:
        """The multipart uploads under way for keys under a prefix, by key and by id."""
        with self._lock:
            found = [upload for upload in self.uploads.values() if upload.key.startswith(prefix)]
        return sorted(found, key=lambda upload: (upload.key, upload.upload_id))

    def _taken(self, key: str, now: datetime) -> bool:
        found = self.find(key)
        if found is None:
            return False
        age = (now - found.written).total_seconds()
        return not (self.two_winners and age <= self.two_winners_window)

    def _new_version_id(self) -> str | None:
        if self.versioning is None:
            return None
        if self.versioning == "Suspended":
            return "null"
        # Real ones are base64 of a long number that falls as time goes on.
        number = 18445000000000000000 - next(self._numbers)
        return base64.b64encode(str(number).encode()).decode().rstrip("=")

    def _replace(self, new: Object) -> None:
        versions = self._versions.setdefault(new.key, [])
        if self.versioning is None:
            versions.clear()
        else:
            # What was there before versioning is the null version, and there is only one.
            versions[:] = [
                old if old.version_id is not None else replace(old, version_id="null") for old in versions
            ]
            if new.version_id == "null":
                versions[:] = [old for old in versions if old.version_id != "null"]
        versions.append(new)
        self._show(new.key, None if new.deleted else new)

    def _remove_version(self, key: str, version_id: str) -> Object | None:
        versions = self._versions.get(key, [])
        found = next((v for v in versions if (v.version_id or "null") == version_id), None)
        if found is None:
            return None
        versions.remove(found)
        newest = versions[-1] if versions else None
        self._show(key, None if newest is None or newest.deleted else newest)
        return found

    def _show(self, key: str, shown: Object | None) -> None:
        states = self._states.get(key)
        if states is None:
            if shown is None and not self._versions.get(key):
                return
            states = self._states[key] = []
            insort(self._keys, key)
        if shown is None and not self._versions.get(key) and not (self.head_lag or self.list_lag):
            # Nobody can see this key any more: do not make LIST slower with every deletion.
            del self._states[key]
            del self._keys[bisect_left(self._keys, key)]
            return
        states.append(_State(self._seconds(), shown))
        del states[:-REMEMBERED]

    def _shown_at(self, key: str, at: float, *, lagging: bool) -> Object | None:
        states = self._states.get(key, [])
        if not lagging:
            return states[-1].shown if states else None
        past = [state for state in states if state.since <= at]
        return past[-1].shown if past else None

    def _seconds(self) -> float:
        return self._clock.now().timestamp()

    def _tell(
        self,
        name: str,
        subject: Object,
        meta: Mapping[str, str],
        request_headers: Mapping[str, str] | None,
    ) -> None:
        self._emit(
            cos_event(
                name=name,
                bucket=self.name,
                region=self.region,
                key=subject.key,
                size=subject.size,
                meta=meta,
                seconds=int(self._seconds()),
                request_headers=request_headers or {},
                shape=self.event_shape,
            )
        )


KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-cos-server-side-encryption",
    "x-cos-storage-class",
)


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an upload that stay with the object, in lower case."""
    lower = {name.lower(): value for name, value in headers.items()}
    kept = {
        name: value for name, value in lower.items() if name in KEPT_HEADERS or name.startswith("x-cos-meta-")
    }
    if kept.get("x-cos-storage-class") == "STANDARD":
        del kept["x-cos-storage-class"]
    return kept


def etag_of(data: bytes, headers: Mapping[str, str]) -> str:
    """The ETag of a simple upload: the MD5, unless its stored headers say it is KMS-encrypted."""
    if headers.get("x-cos-server-side-encryption") == "cos/kms":
        data = b"encrypted" + data
    return hashlib.md5(data).hexdigest()


def check_key(key: str) -> None:
    """Raise Refused for a key COS does not take (product 436, page 13324)."""
    if not key or key[0] in "/\\":
        message = "An object key is not empty and begins neither with / nor with \\."
        raise Refused(400, "InvalidArgument", message)
    if any("\x18" <= character <= "\x1b" for character in key):
        message = "An object key holds no control characters 24 to 27."
        raise Refused(400, "InvalidArgument", message)
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise Refused(400, "InvalidURI", "The object key is not UTF-8.") from None
    if length > LONGEST_KEY:
        raise Refused(400, "KeyTooLong", "Your key is too long.")


def http_date(at: datetime) -> str:
    """RFC 1123, in whole seconds, as Last-Modified has it."""
    return at.astimezone(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")


def iso_date(at: datetime) -> str:
    """ISO 8601 as the XML of COS has it: whole seconds, zero milliseconds."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
