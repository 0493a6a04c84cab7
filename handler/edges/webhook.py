"""Sign one message by Standard Webhooks and post it once."""

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

import requests
from standardwebhooks import Webhook

from handler import __version__
from handler.edges.connections import Exchange, Refused
from handler.edges.wire import WEBHOOK, Redirected, Wire, read_all

POST_SECONDS = 15.0
MAX_READ = 64 * 1024  # bytes of an answer that are read, so that its connection can be used again


class Delivery(NamedTuple):
    """What came of one attempt. `retry_after` is what the consumer asked for, unbounded."""

    ok: bool
    status: int | None
    error: str | None = None
    gone: bool = False
    timed_out: bool = False
    retry_after: timedelta | None = None


class Consumer(Protocol):
    """Who is told."""

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        """Post one message, signed at `now`, in `seconds` at the most. What the peer does never raises."""
        ...


class WebhookClient:
    """Posts to WEBHOOK_URL; a connection is kept between warm invocations."""

    def __init__(self, wire: Wire, url: str, secrets: tuple[str, ...]) -> None:
        self._wire = wire
        self._session = wire.session(proxied=False)
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        now = now.astimezone(timezone.utc)
        headers = {
            "content-type": "application/json",
            "user-agent": f"livepair/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in self._signers),
        }
        try:
            with self._wire.limit(WEBHOOK, min(seconds, POST_SECONDS)) as exchange:
                answer = self._session.post(
                    self._url, data=body.encode(), headers=headers, stream=True, allow_redirects=False
                )
                try:
                    read_all(answer.raw, MAX_READ)
                except requests.RequestException:
                    answer.close()  # the status has been told; the rest of the answer is of no use
        except (requests.RequestException, OSError) as error:
            return _untold(error, exchange)
        status = answer.status_code
        if 200 <= status < 300:
            return Delivery(True, status)
        return Delivery(
            False,
            status,
            f"answered {status}",
            gone=status == 410,
            retry_after=_retry_after(answer.headers.get("retry-after"), now),
        )


def _untold(error: requests.RequestException | OSError, exchange: Exchange) -> Delivery:
    """What there is to say of an attempt that brought no answer."""
    if isinstance(error, Redirected):
        return Delivery(False, exchange.status, "a redirect is not followed; give its target as WEBHOOK_URL")
    if isinstance(error, Refused):
        return Delivery(False, exchange.status, str(error))
    if exchange.is_over or isinstance(error, (requests.Timeout, TimeoutError)):
        return Delivery(False, None, "no answer in time", timed_out=True)
    if isinstance(error, requests.ConnectionError):
        return Delivery(False, None, f"no connection or no answer: {_cause(error)}")
    return Delivery(False, None, f"no answer: {type(error).__name__}")


def _cause(error: BaseException) -> str:
    """The innermost exception's class: its text may hold the URL."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason or error).__name__


def _retry_after(text: str | None, now: datetime) -> timedelta | None:
    """The Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3); None if neither."""
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return timedelta(seconds=int(text))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)) - now
