"""The consumer's own program: what it answers decides what livepair does."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks import Webhook

from handler.edges.webhook import POST_SECONDS
from tests.cloud.clock import Clock
from tests.cloud.consumer import Attempt, Behaviour

SHOWN = 300
"""Characters of an answer that are kept."""

RESENDER = "livepair-local"
"""The user agent of what livepair itself did not send."""

SENT = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature")
OVERTIME = 1.0  # seconds beyond livepair's patience, so that it is livepair who gives up


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
            f"CONSUMER is {url!r}, but it must be http on this machine, like http://localhost:3000/webhook"
        )
    return url


class Program:
    """The program at a URL, behind the local consumer: messages go on to it, and its answers come back.

    Status, Retry-After and Location are passed on. Where it does not answer, nor does the consumer.
    """

    def __init__(self, url: str, secret: str, clock: Clock) -> None:
        self.url = url
        self._secret = secret
        self._clock = clock

    async def ask(self, attempt: Attempt) -> Behaviour:
        """Post a message to the program. What the program does never raises; `attempt.said` tells of it."""
        timeout = aiohttp.ClientTimeout(total=POST_SECONDS + OVERTIME)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self.url, data=attempt.body, headers=self._headers(attempt), allow_redirects=False
                ) as answer,
            ):
                body = await answer.content.read(SHOWN * 4)
                attempt.said = body.decode(errors="replace")[:SHOWN]
                return Behaviour(answer.status, self._passed_on(answer.headers), body)
        except asyncio.TimeoutError:
            attempt.said = f"no answer in {POST_SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            attempt.said = f"no answer: {type(failure).__name__}"
        return Behaviour(None, cut=True)

    def _headers(self, attempt: Attempt) -> dict[str, str]:
        """livepair's own, signed anew where the cloud's clock is ahead: the program reads the real one."""
        headers = {name: attempt.headers[name] for name in SENT if name in attempt.headers}
        if self._clock.offset:
            headers |= signed(self._secret, attempt.id, attempt.body, self._real_now())
        return headers

    def _real_now(self) -> datetime:
        return self._clock.now() - timedelta(seconds=self._clock.offset)

    def _passed_on(self, headers: Mapping[str, str]) -> dict[str, str]:
        found = {name: headers[name] for name in ("Retry-After", "Location") if name in headers}
        if self._clock.offset and "Retry-After" in found:
            found["Retry-After"] = self._wait(found["Retry-After"])
        return found

    def _wait(self, retry_after: str) -> str:
        """A date of the real clock as seconds from now; anything else as it is."""
        try:
            at = parsedate_to_datetime(retry_after)
        except (ValueError, TypeError):
            return retry_after
        real = self._real_now()
        at = at if at.tzinfo else at.replace(tzinfo=real.tzinfo)
        return str(max(0, round((at - real).total_seconds())))


async def send(url: str, secret: str, message_id: str, body: bytes, now: datetime) -> None:
    """Post a message once, as no step of livepair's. What the peer does never raises, and is not told."""
    headers = {"content-type": "application/json", "user-agent": RESENDER}
    headers |= signed(secret, message_id, body, now)
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS + 2 * OVERTIME)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False),
        ):
            pass
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
        return


def signed(secret: str, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks for a message that is signed at this time."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
