"""Every request to the network goes through here: pooled, bounded and counted.

Both SDKs speak through a `requests.Session`. `Wire.session()` gives one whose adapter keeps a total time and
a size for each exchange (`connections`). It also tells whether a failed request may have reached its peer,
which neither SDK does, and refuses redirects, which one SDK takes for success and the other follows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from handler.edges.connections import CONNECT_SECONDS, POOLS, Exchange, Refused, current

MAX_ANSWER = 4 * 1024 * 1024  # bytes of an answer that is read whole
POOL = 64  # connections kept to one host: a sweep may have 48 calls under way
_CHUNK = 64 * 1024

API, COS, FRAME, RELAY, WEBHOOK = "api", "cos", "best_frame", "relay", "webhook"
COS_PROBE, OPEN = "cos_probe", "open"
"""What requests are counted under."""


class Redirected(Refused):
    """A redirect, which is followed nowhere."""


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=8, pool_maxsize=POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        # Every peer's certificate is verified, whatever an SDK asks for, against what `_trust` holds.
        return super().build_connection_pool_key_attributes(request, True, None)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"

    def open(self, request: requests.PreparedRequest, proxies: Any) -> None:
        """Have a connection ready in the pool that this request will take one from."""
        pool: Any = self.get_connection_with_tls_context(request, True, proxies)
        connection = pool._get_conn()
        try:
            if connection.sock is None:
                connection.connect()
        except BaseException:
            connection.close()  # or what has no TLS yet would be taken for ready
            raise
        finally:
            pool._put_conn(connection)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        exchange = current()
        left = exchange.left()
        self._wire.counts[exchange.kind] += 1
        try:
            response = super().send(request, True, left, verify, cert, proxies)
        except requests.ConnectionError as error:
            raise _refusal_in(error) or error from None
        except (HTTPError, ValueError) as error:
            if isinstance(error, requests.RequestException):
                raise
            # urllib3 is stricter about hosts than requests is.
            raise requests.exceptions.InvalidURL("no URL that can be asked", request=request) from None
        exchange.status = response.status_code
        if 300 <= response.status_code < 400 and response.status_code != 304:
            response.close()
            raise Redirected(f"redirected with status {response.status_code}", request=request)
        headers = response.headers
        bounded = "content-length" in headers or "transfer-encoding" in headers
        refused = exchange.kind in (COS, COS_PROBE) and (response.status_code >= 400 or not bounded)
        if not stream or exchange.kind == API or refused:
            # What requests would read by itself, within the bounds.
            response._content = read_all(response.raw, MAX_ANSWER, decode=True)
            response._content_consumed = True  # type: ignore[attr-defined]
        return response


def _refusal_in(error: BaseException) -> Refused | None:
    """The refusal that urllib3 and requests took for trouble with the connection."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Refused):
        cause = cause.__context__
    return cause


def read_pieces(raw: Any, *, decode: bool = False) -> Generator[bytes, None, None]:
    """The body of a urllib3 response in pieces, in the exchange's time; as it came unless `decode`.

    Raises requests.ConnectionError, also where the body is shorter than it was said to be.
    """
    whole = False
    try:
        while piece := raw.read1(_CHUNK, decode_content=decode):
            yield piece
        whole = True
    except (HTTPError, OSError) as error:
        raise requests.ConnectionError(type(error).__name__) from None
    finally:
        if not whole:
            raw.close()
        raw.release_conn()


def read_all(raw: Any, limit: int, *, decode: bool = False) -> bytes:
    """The whole body of a urllib3 response.

    Raises Refused past `limit` bytes, requests.ConnectionError if it is cut.
    """
    body = bytearray()
    with closing(read_pieces(raw, decode=decode)) as pieces:
        for piece in pieces:
            body += piece
            if len(body) > limit:
                raise Refused(f"an answer of more than {limit} bytes")
    return bytes(body)


class Wire:
    """The sessions of one instance, kept between warm invocations, and the count of their requests."""

    def __init__(self, proxy: str | None) -> None:
        self.proxy = proxy
        self.counts: Counter[str] = Counter()

    def session(self, *, proxied: bool = True) -> requests.Session:
        """A session whose requests stand inside `limit`; `proxied` ones go through LOCAL_CLOUD."""
        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc of the machine's gets between
        session.max_redirects = 0
        session.headers.clear()
        if proxied and self.proxy:
            session.proxies = {"http": self.proxy, "https": self.proxy}
        self.bound(session)
        return session

    def bound(self, session: requests.Session) -> None:
        """Make the requests of a session that an SDK built stand inside `limit` too."""
        session.trust_env = False
        session.max_redirects = 0
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self))

    def open(self, session: requests.Session, url: str) -> None:
        """Have a connection ready for the session's next request to `url`; no harm where there is one.

        Raises nothing: that request will find out by itself what is wrong.
        """
        adapter = session.get_adapter(url)
        assert isinstance(adapter, _Adapter), "bound() comes first"  # noqa: S101 # a fault of ours
        with suppress(requests.RequestException, HTTPError, OSError), self.limit(OPEN, CONNECT_SECONDS):
            adapter.open(requests.Request("GET", url).prepare(), session.proxies)

    @contextmanager
    def limit(self, kind: str, seconds: float) -> Iterator[Exchange]:
        """Bound all requests of this thread inside the block to `seconds` in total, counted under `kind`."""
        before, exchange = current.exchange, Exchange(kind, time.monotonic() + seconds)
        current.exchange = exchange
        try:
            yield exchange
        finally:
            current.exchange = before
