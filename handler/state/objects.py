"""State objects in their bucket: read, written, created and listed; and what that tells of the bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from handler.edges.bucket import Bucket, CosError, Oversized
from handler.rules.pairing import plain
from handler.rules.uploads import Stored
from handler.state.codec import Unreadable, Unsealed

T = TypeVar("T")

MAX_SAID = 200  # characters of what a state object held that stand in an error


class CorruptState(Exception):
    """A state object that does not read as what its key says.

    `is_unsealed`: nobody who knows the secret wrote it there; or the secret is another by now, which heals.
    """

    def __init__(self, key: str, why: str, *, is_unsealed: bool = False) -> None:
        self.key, self.is_unsealed = key, is_unsealed
        todo = "look at it, then delete it"
        if is_unsealed:
            todo = (
                "if the secret was changed, put the former one behind the new one in STATE_SECRET; if it was "
                f"not, somebody forged it: {todo}"
            )
        said = f"the state object {plain(key)} cannot be read ({plain(why[:MAX_SAID])})"
        super().__init__(f"{said}; {todo}")


class Memory:
    """What an instance remembers of its state bucket between invocations."""

    def __init__(self) -> None:
        self.versioned = False
        """A PUT has told that the bucket keeps versions, or ever did."""
        self.honours_create: bool | None = None
        """Whether the bucket honours create-only PUTs; None until COS has been asked."""


class Objects:
    """The objects of one bucket. Every method can raise CosError."""

    def __init__(self, bucket: Bucket, memory: Memory) -> None:
        self.bucket = bucket
        self.memory = memory

    @property
    def honours_create(self) -> bool:
        """The bucket is known to honour create-only PUTs."""
        return self.memory.honours_create is True and not self.memory.versioned

    def learn(self, key: str) -> None:
        """Ask COS whether the bucket honours create-only PUTs, with an object at `key`.

        A bucket whose versioning is suspended ignores them, and its answers to PUT do not say so (product
        436, page 7749). Where COS does not answer they are not trusted, and the next invocation asks again.
        """
        with suppress(CosError):
            self.memory.honours_create = self.bucket.honours_create(key)

    def read(self, key: str, load: Callable[[bytes], T]) -> T | None:
        """An object, None where it is not there. Raises CorruptState where it is not what `load` reads."""
        try:
            data = self.bucket.read(key)
            return None if data is None else load(data)
        except Oversized as error:
            raise CorruptState(key, error.code) from None
        except Unreadable as error:
            raise CorruptState(key, str(error), is_unsealed=isinstance(error, Unsealed)) from None

    def write(self, key: str, data: bytes) -> None:
        """Put an object, replacing any."""
        self._remember(self.bucket.write(key, data))

    def write_once(self, key: str, data: bytes, content_type: str, seconds: float) -> None:
        """The same, of another type, asked once only and in `seconds` at the most."""
        self._remember(self.bucket.write(key, data, content_type, seconds))

    def create(self, key: str, data: bytes) -> None:
        """Put an object that must not exist yet; asked once only. Raises Exists."""
        self._remember(self.bucket.create(key, data))

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All objects under a prefix, in order. May miss what is very new."""
        after, more = "", True
        while more:
            page, more = self.bucket.list(prefix, after)
            yield from page
            after = page[-1].key if page else after
            more = more and bool(page)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of all objects under a prefix."""
        return (stored.key for stored in self.listed(prefix))

    def _remember(self, versioned: bool) -> None:
        self.memory.versioned = versioned or self.memory.versioned


BLOCK = 4096
"""Bytes. An object that is over, as a record can be, fills whole blocks, and no other does: LIST shows it."""


def filled(data: bytes, *, whole: bool) -> bytes:
    """JSON with blanks behind it, so that it fills `whole` blocks, or does not."""
    missing = -len(data) % BLOCK
    return data + b" " * (missing if whole else not missing)


def is_whole(stored: Stored) -> bool:
    """Whether an object, as LIST shows it, was written as one that fills whole blocks."""
    return stored.size > 0 and stored.size % BLOCK == 0


def new_nonce() -> str:
    """What tells one writer from another."""
    return os.urandom(8).hex()
