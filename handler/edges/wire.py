"""Every request to the network goes through here: pooled, bounded and counted.

Both SDKs speak through a `requests.Session`. `Wire.session()` gives one whose adapter keeps a total time and
a size for each exchange, where requests and urllib3 only bound the wait for the next byte: a peer that drips
cannot hold an invocation. It also tells whether a failed request may have reached its peer, which neither
SDK does, and refuses redirects, which one SDK takes for success and the other follows.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

CONNECT_SECONDS = 3.0
MAX_ANSWER = 4 * 1024 * 1024  # bytes of an answer that is read whole
POOL = 32  # connections kept to one host
_CHUNK = 64 * 1024

API, COS, FRAME, RELAY, WEBHOOK = "api", "cos", "best_frame", "relay", "webhook"
COS_PROBE = "cos_probe"
"""What requests are counted under."""


class Refused(requests.ConnectionError):
    """An answer that is not taken: a redirect, or one that is too large."""


class Exchange:
    """What is known of the requests made inside one `Wire.limit`."""

    def __init__(self, kind: str, until: float) -> None:
        self.kind = kind
        self.until = until
        self.sent = False
        """Some bytes of a request went out, so the peer may have acted on it."""
        self.status: int | None = None

    def left(self) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self.kind}: no answer in time")
        return left


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


class _TimedRaw(io.RawIOBase):
    """A socket's bytes; before each read its timeout is set to what the exchange has left."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if _current.exchange is not None:
            self._sock.settimeout(_current.exchange.left())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedSocket:
    """A connected socket whose reads are bounded by the exchange."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedRaw(self._sock))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Response(http.client.HTTPResponse):
    """An answer, without the informational ones that came before it, such as 103 (RFC 9110, section 15.2).

    http.client passes over 100 alone.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 102 <= line[1] < 200:
                return line
            http.client.parse_headers(self.fp)


class _Timed:
    """What both connections add to urllib3's: timed reads and sends, and the mark that something went out."""

    sock: Any
    response_class: Any = _Response

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # urllib3's, by the order of bases
        # urllib3 leaves Nagle's algorithm on behind a proxy: 40 ms for each PUT to a local cloud.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = _TimedSocket(self.sock)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _current.exchange is not None:
            self.sock.settimeout(_current.exchange.left())
            _current.exchange.sent = True
        super().send(data)  # type: ignore[misc]


_trusting = threading.Lock()


@cache
def _trust() -> ssl.SSLContext:
    """What TLS connections trust: certifi's bundle.

    Made once; requests has it made for each connection, which takes longer than the handshake.
    """
    context = create_urllib3_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class _Plain(_Timed, HTTPConnection):
    pass


class _Secure(_Timed, HTTPSConnection):
    def connect(self) -> None:
        with _trusting:
            self.ssl_context = _trust()
        super().connect()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=8, pool_maxsize=POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
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
                connection.timeout = CONNECT_SECONDS
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
        exchange = _current.exchange
        if exchange is None:
            raise RuntimeError("a request outside Wire.limit()")
        left = exchange.left()
        self._wire.counts[exchange.kind] += 1
        timeout = (min(left, CONNECT_SECONDS), left)
        response = super().send(request, True, timeout, verify, cert, proxies)
        exchange.status = response.status_code
        if 300 <= response.status_code < 400 and response.status_code != 304:
            response.close()
            raise Refused(f"redirected with status {response.status_code}", request=request)
        headers = response.headers
        bounded = "content-length" in headers or "transfer-encoding" in headers
        refused = exchange.kind in (COS, COS_PROBE) and (response.status_code >= 400 or not bounded)
        if not stream or exchange.kind == API or refused:
            # What requests would read by itself, within the bounds.
            response._content = read_all(response.raw, MAX_ANSWER, decode=True)
            response._content_consumed = True  # type: ignore[attr-defined]
        return response


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
        with suppress(requests.RequestException, HTTPError, OSError):
            adapter.open(requests.Request("GET", url).prepare(), session.proxies)

    @contextmanager
    def limit(self, kind: str, seconds: float) -> Iterator[Exchange]:
        """Bound all requests of this thread inside the block to `seconds` in total, counted under `kind`."""
        before = _current.exchange
        _current.exchange = Exchange(kind, time.monotonic() + seconds)
        try:
            yield _current.exchange
        finally:
            _current.exchange = before
