"""`Bucket` over the COS SDK.

The SDK's own retries stay off: they repeat a create-only PUT whose answer was lost and report 409 to the
very writer that won. What is safe to repeat is repeated here.
"""

import hashlib
import random
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypeVar

import requests
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_exception import CosClientError, CosServiceError

from handler.clock import Deadline
from handler.edges.bucket import (
    DELETE,
    HEAD,
    LIST,
    PROBE,
    READ,
    WRITE,
    Changed,
    CosError,
    Exists,
    Forbidden,
    Operation,
    Oversized,
    Unavailable,
)
from handler.edges.connections import Refused
from handler.edges.wire import Wire, read_all, read_pieces
from handler.rules.uploads import Stored, metadata_of

T = TypeVar("T")

REQUEST_SECONDS = 10.0  # for one request about a small object
TRIES = 3  # of what is safe to repeat
MAX_STATE = 1024 * 1024  # bytes of a state object

CREATE_ONLY = {"x-cos-forbid-overwrite": "true"}
"""The header by which a PUT replaces nothing (product 436, page 7749)."""

_MD5 = re.compile(r'"?([0-9a-f]{32})"?\Z', re.IGNORECASE)


class Credentials(NamedTuple):
    """Temporary credentials of the function's role, or permanent ones without a token."""

    secret_id: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


class CosBucket:
    """A bucket of COS, with one invocation's credentials and deadline."""

    def __init__(
        self,
        name: str,
        region: str,
        credentials: Credentials,
        wire: Wire,
        session: requests.Session,
        deadline: Deadline,
    ) -> None:
        self.name = name
        self._wire = wire
        self._deadline = deadline
        self._token = credentials.token
        config = CosConfig(
            Region=region,
            SecretId=credentials.secret_id,
            SecretKey=credentials.secret_key,
            Token=credentials.token,
            Scheme="http" if wire.proxy else "https",
            Proxies={"http": wire.proxy, "https": wire.proxy} if wire.proxy else None,
            # The API takes links to COS hosts only; whether the other domain, or an internal one, counts is
            # documented nowhere, so no change of the SDK's defaults may bring it here.
            EnableOldDomain=True,
            EnableInternalDomain=False,
            AutoSwitchDomainOnRetry=False,
        )
        self._client = CosS3Client(config, retry=0, session=session)

    def head(self, key: str) -> Stored | None:
        return self._found(HEAD, key, lambda: _stored(key, self._client.head_object(self.name, key)))

    def read(self, key: str) -> bytes | None:
        def get() -> bytes:
            answer = self._client.get_object(self.name, key, KeySimplifyCheck=False)
            try:
                return read_all(answer["Body"].get_raw_stream(), MAX_STATE)
            except Refused as refused:
                raise Oversized(READ.words, self.name, key, None, str(refused)) from None

        return self._found(READ, key, get)

    def write(
        self, key: str, data: bytes, content_type: str = "application/json", seconds: float | None = None
    ) -> bool:
        def put() -> dict[str, str]:
            answer: dict[str, str] = self._client.put_object(self.name, data, key, ContentType=content_type)
            return answer

        if seconds is None:
            return _versioned(self._steady(WRITE, key, put))
        return _versioned(self._once(WRITE, key, put, seconds))

    def create(self, key: str, data: bytes) -> bool:
        return _versioned(self._once(WRITE, key, lambda: self._create(key, data)))

    def honours_create(self, key: str) -> bool:
        try:
            for _ in range(2):  # the first may be the one that puts it there
                if _versioned(self._once(PROBE, key, lambda: self._create(key, b"{}"))):
                    return False
        except Exists:
            return True
        return False

    def _create(self, key: str, data: bytes) -> dict[str, str]:
        answer: dict[str, str] = self._client.put_object(
            self.name,
            data,
            key,
            ContentType="application/json",
            Metadata=dict(CREATE_ONLY),
        )
        return answer

    def delete(self, keys: Iterable[str]) -> None:
        objects = [{"Key": key} for key in keys]
        if len(objects) == 1:
            # Any key can be named in a URL, but not in the XML of the request for several.
            key = objects[0]["Key"]
            self._steady(DELETE, key, lambda: self._client.delete_object(self.name, key))
            return
        answer = self._steady(
            DELETE,
            objects[0]["Key"],
            lambda: self._client.delete_objects(self.name, {"Quiet": "true", "Object": objects}),
        )
        for failed in answer.get("Error", ()):
            code, key = _word(failed.get("Code")) or "Unknown", str(failed.get("Key"))
            if code == "AccessDenied":
                raise Forbidden(DELETE, self.name, key, 200, code)
            raise Unavailable(DELETE.words, self.name, key, 200, code)

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        answer = self._steady(
            LIST, prefix, lambda: self._client.list_objects(self.name, Prefix=prefix, Marker=after)
        )
        found = [
            Stored(
                entry["Key"],
                entry.get("ETag", ""),
                None,
                int(entry.get("Size", 0)),
                datetime.fromisoformat(entry["LastModified"].replace("Z", "+00:00")),
            )
            for entry in answer.get("Contents", ())
        ]
        return found, answer.get("IsTruncated") == "true"

    def md5(self, stored: Stored) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.pieces(stored):
            digest.update(piece)
        return digest.hexdigest()

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        with self._errors(READ, stored.key, self._deadline.left()):
            answer = self._client.get_object(
                self.name, stored.key, KeySimplifyCheck=False, IfMatch=stored.etag
            )
        pieces = read_pieces(answer["Body"].get_raw_stream())
        with closing(pieces):
            while True:
                with self._errors(READ, stored.key, self._deadline.left()):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece

    def link(
        self,
        key: str,
        seconds: int,
        method: Literal["GET", "PUT"] = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """A presigned link; whoever uses it has to send these `headers`, which are signed into it."""
        params = {"x-cos-security-token": self._token} if self._token else {}
        link: str = self._client.get_presigned_url(
            self.name, key, method, Expired=seconds, Params=params, Headers=dict(headers or {})
        )
        return link

    def ask(self, operation: Operation, key: str, request: Callable[[Any], T]) -> T:
        """Have `request` made with the SDK's client, for who asks more of COS than a `Bucket` does.

        Bounded in time, and repeated where COS is unavailable: it has to be safe to repeat. Raises CosError.
        """
        return self._steady(operation, key, lambda: request(self._client))

    def ask_once(self, operation: Operation, key: str, request: Callable[[Any], T], seconds: float) -> T:
        """The same, once, in `seconds` at the most."""
        return self._once(operation, key, lambda: request(self._client), seconds)

    def _steady(self, operation: Operation, key: str, request: Callable[[], T]) -> T:
        """Ask what is safe to ask twice."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(operation, key, request)
            except Unavailable:
                pause = 0.1 * 4**attempt * random.uniform(0.5, 1.0)  # noqa: S311 # jitter, no secret
                if attempt == TRIES or self._deadline.left() < pause + 1:
                    raise
                self._deadline.clock.sleep(pause)
        raise AssertionError("unreachable")

    def _once(
        self, operation: Operation, key: str, request: Callable[[], T], seconds: float = REQUEST_SECONDS
    ) -> T:
        with self._errors(operation, key, min(seconds, self._deadline.left())):
            return request()

    def _found(self, operation: Operation, key: str, request: Callable[[], T]) -> T | None:
        try:
            return self._steady(operation, key, request)
        except CosError as error:
            if error.absent:
                return None
            raise

    @contextmanager
    def _errors(self, operation: Operation, key: str, seconds: float) -> Generator[None, None, None]:
        """Turn the SDK's errors into ours. Their texts hold URLs and strings to sign, so none is kept."""
        asked = operation.words
        try:
            with self._wire.limit(operation.counted_as, seconds) as exchange:
                yield
            if exchange.status == 304:
                raise ValueError("the SDK takes it for success")
        except CosServiceError as error:
            status = error.get_status_code()
            digest = error.get_digest_msg()
            told = digest if isinstance(digest, Mapping) else {}
            code = _word(told.get("code")) or "Unknown"
            request_id = _word(told.get("requestid") or told.get("x-cos-request-id"))  # HEAD has headers only
            if status == 403:
                raise Forbidden(operation, self.name, key, status, code, request_id) from None
            raise _kind(status, code)(asked, self.name, key, status, code, request_id) from None
        except (CosClientError, requests.RequestException, OSError) as error:
            if isinstance(error, Refused):
                raise CosError(asked, self.name, key, None, str(error)) from None
            raise Unavailable(asked, self.name, key, None, "no answer in time or none at all") from None
        except (KeyError, TypeError, ValueError, SyntaxError):
            # What is cut within its headers passes for whole: a HEAD without Last-Modified, no XML.
            raise Unavailable(asked, self.name, key, None, "an answer that cannot be read") from None


def _word(text: object) -> str | None:
    return text[:100] if isinstance(text, str) and re.fullmatch(r"[\w.=+/-]+", text) else None


def _kind(status: int, code: str) -> type[CosError]:
    if status >= 500 or status in (408, 429):
        return Unavailable
    if status == 409 and code == "FileAlreadyExists":
        return Exists
    return {409: Unavailable, 412: Changed}.get(status, CosError)


def _versioned(answer: dict[str, str]) -> bool:
    """Buckets that keep versions name one in their answers to PUT; suspended ones say nothing (page 7749)."""
    return any(name.lower() == "x-cos-version-id" for name in answer)


def _stored(key: str, answer: dict[str, str]) -> Stored:
    """Read a HEAD's headers. The ETag is trusted as an MD5 only where COS documents it as one."""
    headers = {name.lower(): value for name, value in answer.items()}
    etag = headers.get("etag", "")
    encryption = headers.get("x-cos-server-side-encryption", "AES256")
    other = (
        "x-cos-server-side-encryption-customer-algorithm" in headers
        or headers.get("x-cos-object-type") == "appendable"
    )
    found = _MD5.match(etag)
    modified = parsedate_to_datetime(headers["last-modified"]).astimezone(timezone.utc)
    archived = "ARCHIVE" in headers.get("x-cos-storage-class", "") and 'ongoing-request="false"' not in (
        headers.get("x-cos-restore", "")
    )
    return Stored(
        key,
        etag,
        found[1].lower() if found and encryption == "AES256" and not other else None,
        int(headers.get("content-length", "0")),
        modified,
        archived,
        metadata_of(headers),
    )
