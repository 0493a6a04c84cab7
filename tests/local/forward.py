"""Every message once more: to the consumer's own program, and again by hand."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks import Webhook

from handler.edges.webhook import POST_SECONDS
from tests.cloud.clock import Clock
from tests.local.story import RESENDER

SHOWN = 300
"""Characters of an answer that are kept."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a program answered to one copy of a message; `status` None: nothing, for the reason `error`."""

    id: str
    to: str
    at: datetime
    seconds: float
    status: int | None
    text: str
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def shown(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat(), "ok": self.ok}


def check_target(url: str) -> str:
    """The URL, if it is http on this machine. Raises ValueError: test messages have no business elsewhere."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise ValueError(
            f"FORWARD_TO is {url!r}, but it must be http on this machine, like http://localhost:3000/webhook"
        )
    return url


class Forwarder:
    """Sends messages, signed with the cloud's secret, and remembers what was answered."""

    def __init__(self, url: str | None, secret: str, clock: Clock, retry_after: float = 5.0) -> None:
        """`url` None: nothing is forwarded. What failed is sent once more after `retry_after` seconds."""
        self.url = url
        self._secret = secret
        self.answers: list[Answered] = []
        self._clock = clock
        self._retry_after = retry_after

    async def forward(self, message_id: str, body: bytes) -> Answered | None:
        """Send a message to the consumer's program, and once more if that fails. Returns the last answer."""
        if self.url is None:
            return None
        answer = await self.send(self.url, message_id, body)
        if not answer.ok:
            await asyncio.sleep(self._retry_after)
            answer = await self.send(self.url, message_id, body)
        return answer

    async def send(self, url: str, message_id: str, body: bytes) -> Answered:
        """Send a message once. What the peer does never raises."""
        now = self._clock.now()
        # A program of its own reads the real clock, which may be behind the cloud's.
        signed_at = now if url != self.url else now - timedelta(seconds=self._clock.offset)
        headers = {
            "content-type": "application/json",
            "user-agent": RESENDER,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(signed_at.timestamp())),
            "webhook-signature": Webhook(self._secret).sign(message_id, signed_at, body.decode()),
        }
        began = time.monotonic()
        status, text, error = None, "", None
        try:
            timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
                text = (await answer.content.read(SHOWN * 4)).decode(errors="replace")[:SHOWN]
        except asyncio.TimeoutError:
            error = f"no answer in {POST_SECONDS:g} s"
        except (aiohttp.ClientError, OSError) as failure:
            error = f"no answer: {type(failure).__name__}"
        found = Answered(message_id, url, now, time.monotonic() - began, status, text, error)
        if url == self.url:
            self.answers.append(found)
        return found
