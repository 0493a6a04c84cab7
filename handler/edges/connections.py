"""Connections that keep to the time and the bytes of an exchange, from the look-up of a name on.

urllib3 bounds the wait for each address and for each byte, and a name's look-up not at all. Here the time is
one for all of it: a name that nobody answers for, a list of dead addresses, or a peer that drips cannot hold
an invocation. What comes before an answer's body is bounded too (http.client's own bounds add up to 6.4 MB,
which is kept once more for each cookie), and no cookie is ever kept.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from functools import cache
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.ssl_ import create_urllib3_context

CONNECT_SECONDS = 3.0  # for one address, and for its TLS
MAX_HEAD = 64 * 1024  # bytes of an answer before its body: status, headers, and what came before them
MOST_LOOKUPS = 8  # names that are looked up at once


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

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() >= self.until

    def left(self) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self.kind}: no answer in time")
        return left


class _Current(threading.local):
    exchange: Exchange | None = None

    def __call__(self) -> Exchange:
        if self.exchange is None:
            raise RuntimeError("a request outside Wire.limit()")
        return self.exchange


current = _Current()
"""The exchange that this thread is in."""


# --- names and addresses ----------------------------------------------------------------------------

_Addresses = list[tuple[Any, ...]]


class _LookUp:
    """One question to the system's resolver, for all who ask it while it is under way."""

    def __init__(self, host: str, port: int) -> None:
        self._asked = (host, port)
        self._done = threading.Event()
        self._found: _Addresses = []
        self._failed: OSError | None = None

    def run(self) -> None:
        try:
            self._found = _ask(*self._asked)
        except OSError as error:
            self._failed = error
        finally:
            with _looking:
                _under_way.pop(self._asked, None)
            self._done.set()

    def wait(self, seconds: float) -> _Addresses:
        if not self._done.wait(seconds):
            raise TimeoutError("the name was not looked up in time")
        if self._failed is not None:
            raise self._failed
        return self._found


_looking = threading.Lock()
_under_way: dict[tuple[str, int], _LookUp] = {}


def _ask(host: str, port: int, flags: int = 0) -> _Addresses:
    try:
        return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM, 0, flags)
    except ValueError:  # a label of more than 63 characters, or of none
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None


def _addresses(host: str, port: int, seconds: float) -> _Addresses:
    """The addresses of a host, within `seconds`. Raises OSError.

    The system's look-up takes no bound and cannot be called off, so a thread of its own makes it, and is left
    behind when the time is up. It is the one thing that can outlive an invocation: it knows nothing but the
    name, sends nothing of ours, and ends by itself. There is one for a name at the most, `MOST_LOOKUPS` in
    all.
    """
    host = host.strip("[]")
    try:
        return _ask(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    with _looking:
        found = _under_way.get((host, port))
        if found is None:
            if len(_under_way) >= MOST_LOOKUPS:
                raise TimeoutError("too many names are being looked up")
            found = _under_way[host, port] = _LookUp(host, port)
            threading.Thread(target=found.run, daemon=True).start()
    return found.wait(seconds)


def _dial(host: str, port: int, exchange: Exchange) -> socket.socket:
    """Connect to the first address of a host that takes it, in the exchange's time. Raises OSError."""
    failed: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(host, port, exchange.left()):
        seconds = min(CONNECT_SECONDS, exchange.left())
        try:
            dialled = socket.socket(family, kind, protocol)
        except OSError as error:
            failed = error
            continue
        try:
            # urllib3 leaves Nagle's algorithm on behind a proxy: 40 ms for each PUT to a local cloud.
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dialled.settimeout(seconds)
            dialled.connect(address)
            dialled.settimeout(min(CONNECT_SECONDS, exchange.left()))  # for TLS
        except OSError as error:
            dialled.close()
            failed = error
            continue
        return dialled
    raise failed


# --- connections ------------------------------------------------------------------------------------


class _TimedRaw(io.RawIOBase):
    """A socket's bytes; before each read its timeout is set to what the exchange has left.

    `allowance`: how many more may come, None where somebody else counts.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self.allowance: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if current.exchange is not None:
            self._sock.settimeout(current.exchange.left())
        count: int | None = self._raw.readinto(buffer)
        if self.allowance is not None:
            self.allowance -= count or 0
            if self.allowance < 0:
                raise Refused(f"an answer with more than {MAX_HEAD} bytes of headers")
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
    """An answer, without cookies, and without the informational ones that came before it, such as 103.

    (RFC 9110, section 15.2.) http.client passes over 100 alone.
    """

    def begin(self) -> None:
        raw: Any = self.fp.raw  # the BufferedReader of _TimedSocket
        raw.allowance = MAX_HEAD
        super().begin()
        raw.allowance = None
        # No session and no response gets to see one, or it would keep it and send it back.
        del self.headers["set-cookie"]

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 102 <= line[1] < 200:
                return line
            http.client.parse_headers(self.fp)


class _Timed:
    """What both connections add to urllib3's: one time for it all, and the mark that something went out."""

    sock: Any
    response_class: Any = _Response

    def _new_conn(self: Any) -> socket.socket:
        try:
            return _dial(self._dns_host, self.port, current())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        except TimeoutError:
            raise ConnectTimeoutError(self, "no connection in time") from None
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error}") from None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # urllib3's, by the order of bases
        self.sock = _TimedSocket(self.sock)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if current.exchange is not None:
            self.sock.settimeout(current.exchange.left())
            current.exchange.sent = True
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


POOLS = {"http": _PlainPool, "https": _SecurePool}
