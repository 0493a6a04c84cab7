"""What is needed of a bucket, and what can go wrong with it: errors that say what to do.

CosError            what COS was asked, about which object, and what it said
├── Unavailable     no answer, or one of trouble (5xx): the same request may succeed later
├── Forbidden       403: which action on which resource the role lacks
├── Exists          409 to a create-only write
├── Changed         412: the object is no longer the one that was looked up
└── Oversized       larger than any state object is
"""

from collections.abc import Generator, Iterable
from typing import NamedTuple, Protocol

from handler.edges.wire import COS, COS_PROBE
from handler.rules.pairing import plain
from handler.rules.uploads import Stored


class Operation(NamedTuple):
    """What COS is asked to do: in `words` for errors, and the `action` that CAM's policies allow it by.

    `counted_as` is the kind of request that it is in the log.
    """

    words: str
    action: str
    counted_as: str = COS


HEAD = Operation("head", "name/cos:HeadObject")
READ = Operation("read", "name/cos:GetObject")
WRITE = Operation("write", "name/cos:PutObject")
PROBE = Operation("write", "name/cos:PutObject", COS_PROBE)
DELETE = Operation("delete", "name/cos:DeleteObject")
LIST = Operation("list", "name/cos:GetBucket")


class CosError(Exception):
    """COS did not do what it was asked to do."""

    def __init__(
        self, asked: str, bucket: str, key: str, status: int | None, code: str, request_id: str | None = None
    ) -> None:
        self.asked, self.bucket, self.key = asked, bucket, key
        self.status, self.code, self.request_id = status, code, request_id
        super().__init__(self._text())

    @property
    def where(self) -> str:
        """Bucket and key as they may be shown."""
        return plain(f"{self.bucket}/{self.key}")

    @property
    def absent(self) -> bool:
        """There is no such object; its bucket is there."""
        return self.status == 404 and self.code != "NoSuchBucket"

    def _text(self) -> str:
        said = f"{self.code} ({self.status})" if self.status else self.code
        told = f", request id {self.request_id}" if self.request_id else ""
        return f"COS could not {self.asked} {self.where}: {said}{told}"


class Unavailable(CosError):
    """No answer, or trouble on COS's side; the same request may succeed later."""


class Forbidden(CosError):
    """The credentials may not do it, or the object is archived. `action` is what CAM calls it."""

    def __init__(
        self,
        operation: Operation,
        bucket: str,
        key: str,
        status: int,
        code: str,
        request_id: str | None = None,
    ) -> None:
        self.action = operation.action
        super().__init__(operation.words, bucket, key, status, code, request_id)

    def _text(self) -> str:
        request = f", request id {self.request_id}" if self.request_id else ""
        said = f"{self.code} ({self.status}{request})"
        if self.code == "InvalidObjectState":
            return f"{self.where} is archived: {said}. Restore it"
        if self.code not in ("AccessDenied", "Unknown"):
            return (
                f"COS refused to {self.asked} {self.where}: {said}. "
                "The credentials are refused, or the clock is wrong; check the function's role, or yours"
            )
        alike = "; wrong keys are answered alike" if self.code == "Unknown" else ""  # a HEAD, without a body
        return (
            f"COS refused to {self.asked} {self.where}: {said}. "
            f"Give whoever asks (the function's role, or you) {self.action} on that resource{alike}"
        )


class Exists(CosError):
    """A create-only write found an object, perhaps one that this very writer put there."""


class Changed(CosError):
    """The object is no longer the one that was looked up."""


class Oversized(CosError):
    """The object is larger than any that is written here."""


class Bucket(Protocol):
    """One bucket. Every call can raise CosError and what it names."""

    name: str

    def head(self, key: str) -> Stored | None:
        """What COS tells of the object, None where there is none."""
        ...

    def read(self, key: str) -> bytes | None:
        """A state object's bytes, None where there is none. Raises Oversized."""
        ...

    def write(
        self, key: str, data: bytes, content_type: str = "application/json", seconds: float | None = None
    ) -> bool:
        """Put an object, replacing any; asked once only where it is bounded to `seconds`.

        Returns whether the bucket keeps versions or ever did.
        """
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Put an object that must not exist yet; asked once only. Returns like `write`.

        Raises Exists, also where the earlier writer is the caller itself and its answer was lost.
        """
        ...

    def honours_create(self, key: str) -> bool:
        """Whether `create` is refused where there is an object. Asks COS; leaves an object at `key`."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects, in one request."""
        ...

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        """Up to 1,000 objects under `prefix` after the key `after`, in order, and whether there are more.

        May miss what is very new. Their `md5` is never known.
        """
        ...

    def md5(self, stored: Stored) -> str:
        """The MD5 of the object's bytes, read through in constant memory. Raises Changed."""
        ...

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        """The object's bytes in pieces. Raises Changed."""
        ...

    def link(self, key: str, seconds: int) -> str:
        """A presigned link that lets whoever holds it GET the object for so long."""
        ...
