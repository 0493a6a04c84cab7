"""Post one message to a consumer as the function does, or a little otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from standardwebhooks import Webhook

from handler import __version__
from handler.clock import Clock
from handler.edges.connections import Refused
from handler.edges.webhook import MAX_READ
from handler.edges.wire import WEBHOOK, Redirected, Wire, read_all

PIECE_SECONDS = 0.05
PIECES = 8
_LATE = "did not answer within"


class Sent(NamedTuple):
    """What came of a message. `status` is None where no answer came; `found` says that, or why."""

    status: int | None
    found: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def late(self) -> bool:
        """Whether it was connected to, or might have been, and did not answer in time."""
        return self.status is None and self.found.startswith(_LATE)

    @property
    def redirects(self) -> bool:
        return self.status is not None and 300 <= self.status < 400


class How(NamedTuple):
    """In which way a message is posted, where that is another than the function's own.

    `secrets` sign it, `ago` seconds before now. `headers` and `body` change what goes out once it is signed.
    """

    secrets: tuple[str, ...] | None = None
    ago: float = 0.0
    headers: Callable[[dict[str, str]], dict[str, str]] | None = None
    body: Callable[[bytes], bytes] | None = None
    slowly: bool = False


AS_EVER = How()


class Poster:
    """Posts to one URL. What its peer does never raises."""

    def __init__(self, url: str, secrets: tuple[str, ...], clock: Clock, seconds: float) -> None:
        self._url, self._secrets, self._clock, self._seconds = url, secrets, clock, seconds
        self._wire = Wire(None)

    @property
    def origin(self) -> str:
        """Scheme and host: all of the URL that is shown, since a path can be a secret."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def post(self, message: Mapping[str, Any], how: How = AS_EVER) -> Sent:
        """Post a message, once; redirects are not followed."""
        data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        at = self._clock.now().astimezone(timezone.utc) - timedelta(seconds=how.ago)
        headers = _signed(message["id"], at, data, how.secrets or self._secrets)
        if how.headers is not None:
            headers = how.headers(headers)
        if how.body is not None:
            data = how.body(data)
        began = self._clock.elapsed()
        status, found = self._sent(headers, Slowly(data, self._clock) if how.slowly else data)
        return Sent(status, found, self._clock.elapsed() - began)

    def _sent(self, headers: dict[str, str], data: Any) -> tuple[int | None, str]:
        try:
            # A connection of its own for each: what one message does to it says nothing of the next.
            with (
                self._wire.session(proxied=False) as session,
                self._wire.limit(WEBHOOK, self._seconds) as exchange,
            ):
                answer = session.post(
                    self._url, data=data, headers=headers, stream=True, allow_redirects=False
                )
                try:
                    read_all(answer.raw, MAX_READ)
                except requests.RequestException:
                    answer.close()
            return answer.status_code, f"answered {answer.status_code}"
        except (requests.RequestException, OSError) as error:
            if isinstance(error, Redirected):
                return exchange.status or 302, f"answered {exchange.status or 302}, a redirect"
            if exchange.is_over or isinstance(error, (requests.Timeout, TimeoutError)):
                return None, f"{_LATE} {self._seconds:g} s"
            if isinstance(error, Refused):
                return None, str(error)
            return None, f"gave no answer ({_cause(error)})"


def _signed(message_id: str, at: datetime, data: bytes, secrets: tuple[str, ...]) -> dict[str, str]:
    signatures = [Webhook(secret).sign(message_id, at, data.decode()) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": f"livepair/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _cause(error: BaseException) -> str:
    """The class of the innermost exception: its text may hold the URL."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason or error).__name__


class Slowly:
    """A body that goes out in a few pieces, as on a slow line; `requests` asks for its length."""

    def __init__(self, data: bytes, clock: Clock) -> None:
        self._left, self._clock = data, clock
        self._piece = -(-len(data) // PIECES)
        self._length = len(data)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def read(self, _most: int = -1) -> bytes:
        """The next piece, after a pause."""
        piece, self._left = self._left[: self._piece], self._left[self._piece :]
        if piece:
            self._clock.sleep(PIECE_SECONDS)
        return piece


def is_same_place(one: str, other: str) -> bool:
    """Whether two URLs lead to the same endpoint, as far as one can tell: scheme, port and query aside."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url.strip())
    return (parts.hostname or "").rstrip("."), re.sub(r"/+", "/", parts.path).rstrip("/")
