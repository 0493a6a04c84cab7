"""What lies in the bucket for a pair, and which upload counts. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from handler.rules.pairing import Pair, Role

SLACK = timedelta(seconds=2)
"""How much older than its event an upload's Last-Modified may be."""

YOUNGEST_ARCHIVED = timedelta(days=1)
"""How old an object is at least that a rule archived: rules count in days (product 436, page 8280)."""


METADATA = "x-cos-meta-"
"""What the names of an upload's own metadata begin with (product 436, page 7749)."""


class Stored(NamedTuple):
    """An object as COS tells of it. `size` in bytes; `uploaded_at` is its Last-Modified.

    `md5` is None where the ETag is none and the object was not read through.
    """

    key: str
    etag: str
    md5: str | None
    size: int
    uploaded_at: datetime
    archived: bool = False
    metadata: tuple[tuple[str, str], ...] = ()
    """What its uploader sent, see `metadata_of`. Never log it."""

    @property
    def identity(self) -> str:
        """What names its bytes in a verification's id."""
        return self.md5 or f"etag:{self.etag}"


class Seen(NamedTuple):
    """A pair with the uploads that are there now, each None where it is not."""

    pair: Pair
    bucket: str
    live: Stored | None
    image: Stored | None

    def upload(self, role: Role) -> Stored | None:
        return self.live if role == "live" else self.image

    @property
    def complete(self) -> bool:
        return self.live is not None and self.image is not None

    @property
    def newest_that_counts(self) -> datetime:
        """When the newest upload was made that can start another run.

        A new image that serves many never judges a settled live package again. Needs an upload.
        """
        return self.live.uploaded_at if self.pair.shared and self.live else self.newest

    @property
    def newest(self) -> datetime:
        """When the newest of the uploads was made. Needs one."""
        return max(stored.uploaded_at for stored in (self.live, self.image) if stored)


def seen_of(pair: Pair, bucket: str, stored: Mapping[str, Stored | None]) -> Seen:
    """The pair as `stored`, what HEAD told of each of its keys, shows it.

    Of several alternatives that are there the newest counts; of those that are as old, the one named first.
    """

    def newest(keys: Iterable[str]) -> Stored | None:
        there = [found for found in map(stored.get, keys) if found]
        return max(there, key=lambda each: each.uploaded_at, default=None)

    return Seen(pair, bucket, newest(pair.live_keys), newest(pair.image_keys))


def metadata_of(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What an uploader sent as `x-cos-meta-*`, by the names after that. `headers` have names in lower case.

    No document says what COS makes of a value that is not ASCII. HTTP clients read one as Latin-1: where that
    was UTF-8 it is read as such. What a sender percent-encoded is the receiver's to decode.
    """
    found = ((name[len(METADATA) :], value) for name, value in headers.items() if name.startswith(METADATA))
    return tuple((name, _as_sent(value)) for name, value in found)


def _as_sent(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def came_archived(stored: Stored, now: datetime) -> bool:
    """Whether an upload is archived, and too young for a lifecycle rule: its uploader chose the class."""
    return stored.archived and now - stored.uploaded_at < YOUNGEST_ARCHIVED


def shows(stored: Stored | None, uploaded_at: datetime | None, etag: str | None = None) -> bool:
    """Whether COS shows the upload that was made at `uploaded_at`, or a later one: no older one, not none.

    `etag` is the event's; it alone tells two uploads within SLACK apart. Without a time any upload will do.
    """
    if stored is None:
        return False
    if uploaded_at is not None and stored.uploaded_at > uploaded_at:
        return True
    is_recent = uploaded_at is None or stored.uploaded_at >= uploaded_at - SLACK
    return is_recent and (etag is None or etag.strip('"') == stored.etag.strip('"'))


def goes_first(seen: Seen, role: Role) -> bool:
    """Whether the event of this half goes on at once, where both halves' events come together.

    It is the later upload's; in the same second the live package's.
    """
    live, image = seen.live, seen.image
    if live is None or image is None or live.uploaded_at == image.uploaded_at:
        return role == "live"
    return (live.uploaded_at > image.uploaded_at) == (role == "live")
