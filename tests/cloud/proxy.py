"""An HTTP forward proxy behind which the whole cloud lives, in a thread of this process.

Requests name the real host, either in their target (`GET http://host/path`, as clients send it to
a proxy) or in the Host header. The service that serves the host answers; nothing ever leaves the
machine. Faults are applied here, and every request is logged.
"""

import asyncio
import contextlib
import inspect
import logging
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote_plus

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.cloud.clock import Clock
from tests.cloud.faults import Action, Faults, Operation

__all__ = ["BodyTooLarge", "Logged", "Operation", "Proxy", "Request", "Response", "Service"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_LINE = 64 * 1024  # a key of 850 CJK bytes and a token, all percent-encoded, fit well
CHUNK = 64 * 1024
ERROR_CODE = re.compile(rb"<Code>(\w+)</Code>")


class BodyTooLarge(Exception):
    """The body of a request is longer than its service wants to hold."""


@dataclass(slots=True)
class Request:
    """A request as a service sees it.

    `raw_path` is still percent-encoded and without the query; `query` is decoded, in order, with
    the names as they were sent; `host` is in lower case, without a port. `source` is the name of
    the listener the request came in by, "" for the proxy's own port.
    """

    method: str
    host: str
    raw_path: str
    query: list[tuple[str, str]]
    raw_query: str
    headers: CIMultiDictProxy[str]
    source: str
    _http: web.BaseRequest = field(repr=False)
    _body: bytes | None = field(default=None, repr=False)

    def parameter(self, name: str) -> str | None:
        """The first value of the query parameter `name`, or None."""
        return next((value for found, value in self.query if found == name), None)

    async def read(self, limit: int = 64 * 1024 * 1024) -> bytes:
        """The whole body. Raises BodyTooLarge where it is longer than `limit` bytes."""
        if self._body is None:
            body = bytearray()
            async for chunk in self.chunks():
                body += chunk
                if len(body) > limit:
                    raise BodyTooLarge(f"the body is longer than {limit} bytes")
            self._body = bytes(body)
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, once; a body that is cut off raises an exception."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            await self._http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._http.writer.output_size = 0
        _acknowledge(self._http)
        async for chunk in self._http.content.iter_chunked(CHUNK):
            yield chunk


@dataclass(slots=True)
class Response:
    """The answer of a service.

    A body of unknown length is sent chunked. The answer to a HEAD takes its `content_length`, or
    the length of its body, but no body goes out.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    content_length: int | None = None


class Service(Protocol):
    """One of the services behind the proxy."""

    def serves(self, host: str) -> bool:
        """Whether requests for this host, in lower case and without port, are this service's."""
        ...

    def operation(self, request: Request) -> Operation:
        """What the request asks for, judged by its line and headers alone. Never raises."""
        ...

    async def handle(self, request: Request) -> Response:
        """Do what the request asks for."""
        ...

    def refuse(self, request: Request, status: int, code: str, message: str) -> Response:
        """An error in the form this service sends errors; nothing is done."""
        ...


@dataclass(slots=True)
class Logged:
    """One request. `status` is None while it is under way, and for good where it was cut off."""

    at: datetime
    source: str
    service: str
    operation: str
    bucket: str
    key: str
    method: str
    host: str
    faults: tuple[str, ...] = ()
    handled: bool = False
    """The service carried it out, or refused it by itself."""
    status: int | None = None
    seconds: float | None = None
    """Real seconds from its line to the end of its answer; None while it is under way."""
    code: str = ""
    """The code of the XML error that was answered."""


@dataclass(slots=True)
class _Listener:
    port: int
    socket: socket.socket
    stop: Callable[[], Coroutine[Any, Any, None]] | None = None
    stopped: bool = False


class Proxy:
    """The proxy and its thread. All public methods may be called from any thread."""

    def __init__(self, services: Sequence[Service], faults: Faults, clock: Clock) -> None:
        self._services = list(services)
        self._faults = faults
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local-cloud", daemon=True)
        self._lock = threading.Lock()
        self._listeners: dict[str, _Listener] = {}
        self._log: list[Logged] = []
        self._mishaps: list[Exception] = []

    @property
    def url(self) -> str:
        """Where the proxy listens, for example `http://127.0.0.1:4321`."""
        return f"http://127.0.0.1:{self._listeners[''].port}"

    @property
    def log(self) -> list[Logged]:
        """Every request so far, copied, in the order they arrived."""
        with self._lock:
            return [replace(entry) for entry in self._log]

    @property
    def mishaps(self) -> list[Exception]:
        """Exceptions that services raised: faults of the local cloud itself, never of a test."""
        with self._lock:
            return list(self._mishaps)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._log.clear()

    def start(self) -> None:
        """Listen, and serve in a thread of its own."""
        self._thread.start()
        self.listen("")

    def stop(self) -> None:
        """Close every port and connection and end the thread. May be called twice."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def listen(self, name: str, port: int = 0) -> str:
        """Open one more port and return its URL; requests there carry `name` as their source.

        `port` 0: any that is free. Raises OSError where the port is taken.
        """
        with self._lock:
            if name in self._listeners:
                raise ValueError(f"a listener named {name!r} is already there")
            # Bound and listening here and now: the URL works from the moment it is returned,
            # whichever thread asks, the server's own included.
            bound = socket.create_server(("127.0.0.1", port), backlog=512)
            listener = _Listener(bound.getsockname()[1], bound)
            self._listeners[name] = listener
        self._loop.call_soon_threadsafe(self._start_task, self._serve(name, listener))
        return f"http://127.0.0.1:{listener.port}"

    def unlisten(self, name: str) -> None:
        """Close the port of that name and cut its connections; no harm if it is closed already.

        Done soon after the return, so that nobody who holds a lock waits for the server here;
        before anything that is submitted later runs.
        """
        with self._lock:
            listener = self._listeners.pop(name, None)
        if listener is not None:
            self._loop.call_soon_threadsafe(self._start_task, self._close(listener))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._close_all())
        finally:
            self._loop.close()

    def _start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_all(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            await self._close(listener)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    async def _serve(self, name: str, listener: _Listener) -> None:
        async def answer(http: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(http, name)

        protocols = web.Server(
            answer,
            access_log=None,
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            lingering_time=2.0,
        )
        server = await self._loop.create_server(protocols, sock=listener.socket)

        async def stop() -> None:
            server.close()
            # Not `shutdown`: a request under way goes on, as it does behind a real server.
            for connection in protocols.connections:
                connection.force_close()

        listener.stop = stop
        if listener.stopped:
            await stop()

    async def _close(self, listener: _Listener) -> None:
        listener.stopped = True
        if listener.stop is not None:
            await listener.stop()
        listener.socket.close()

    async def _answer(self, http: web.BaseRequest, source: str) -> web.StreamResponse:
        if http.method == "CONNECT":
            return _plain(405, "no CONNECT: this is plain http, send absolute targets\n", "CONNECT")
        request = _parse(http, source)
        service = next((each for each in self._services if each.serves(request.host)), None)
        if service is None and http.raw_path.startswith("/"):
            # No client of a proxy asks like that, but a page whose own name points to this machine does.
            return _plain(421, "this is the proxy of the local cloud\n", request.method)
        if service is None:
            self._enter(request, Operation("", ""), (), status=502)
            text = f"nobody on this machine serves the host {request.host!r}\n"
            return _plain(502, text, request.method)
        operation = service.operation(request)
        struck = self._faults.strike(operation, source)
        actions = []
        for fault in struck:
            action = fault.then if isinstance(fault.then, Action) else fault.then(request, operation)
            if action is not None:
                actions.append(action)
        entry = self._enter(request, operation, tuple(action.name for action in actions))
        began = time.monotonic()
        try:
            return await self._carry_out(http, request, service, actions, entry)
        except (ConnectionError, web.RequestPayloadError):
            _cut(http)
        except Exception as error:
            logger.exception("the local cloud failed at %s", operation)
            with self._lock:
                self._mishaps.append(error)
            return _plain(500, f"the local cloud itself failed: {error!r}\n", request.method)
        finally:
            entry.seconds = time.monotonic() - began
        return web.Response(status=500)

    def _enter(
        self,
        request: Request,
        operation: Operation,
        faults: tuple[str, ...],
        status: int | None = None,
    ) -> Logged:
        entry = Logged(
            at=self._clock.now(),
            source=request.source,
            service=operation.service,
            operation=operation.name,
            bucket=operation.bucket,
            key=operation.key,
            method=request.method,
            host=request.host,
            faults=faults,
            status=status,
        )
        with self._lock:
            self._log.append(entry)
        return entry

    async def _carry_out(
        self,
        http: web.BaseRequest,
        request: Request,
        service: Service,
        actions: Sequence[Action],
        entry: Logged,
    ) -> web.StreamResponse:
        for action in actions:
            await _pause(action.wait, action.gate, action.before)
        response: Response | None = None
        if all(action.effect for action in actions):
            response = await service.handle(request)
            entry.handled = True
        for action in actions:
            await _pause(action.wait_answer, action.gate_answer, action.after)
        if any(action.kill for action in actions):
            if self._faults.kill is None:
                raise RuntimeError("a fault is to kill an instance, but nobody set Faults.kill")
            self._faults.kill(request.source)
        if any(action.cut for action in actions):
            _cut(http)
            return web.Response()
        scripted = next((action for action in actions if action.status is not None), None)
        if scripted is not None:
            response = _scripted(scripted, service, request)
        assert response is not None, "an action without effect must cut or answer"
        for action in actions:
            if action.content_type is not None:
                response.headers["Content-Type"] = action.content_type
        slow = sum(action.seconds_per_byte for action in actions)
        limits = [a.cut_after_bytes for a in actions if a.cut_after_bytes is not None]
        entry.status = response.status
        if response.status >= 400 and isinstance(response.body, bytes):
            named = ERROR_CODE.search(response.body)
            entry.code = named[1].decode() if named else ""
        return await _send(http, response, slow, min(limits, default=None))


def _parse(http: web.BaseRequest, source: str) -> Request:
    """Take a request apart by hand: URL libraries tidy paths, and signatures are over the bytes."""
    target = http.raw_path
    host = http.headers.get("Host", "")
    if target.lower().startswith(("http://", "https://")):
        rest = target.partition("://")[2]
        end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        host, target = rest[:end], rest[end:]
    path, _, raw_query = target.partition("?")
    query = []
    for pair in raw_query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            query.append((unquote_plus(name), unquote_plus(value)))
    return Request(
        method=http.method,
        host=host.partition(":")[0].lower(),
        raw_path=path or "/",
        query=query,
        raw_query=raw_query,
        headers=http.headers,
        source=source,
        _http=http,
    )


async def _pause(
    seconds: float,
    gate: Any,
    hook: Any,
) -> None:
    if seconds:
        await asyncio.sleep(seconds)
    if gate is not None:
        await gate.held()
    if hook is not None:
        result = hook()
        if inspect.isawaitable(result):
            await result


def _acknowledge(http: web.BaseRequest) -> None:
    """Have what came so far acknowledged at once, where the system can.

    urllib3 leaves Nagle's algorithm on towards a proxy: a body sent after its headers would wait
    for an acknowledgement that the kernel delays by 40 ms.
    """
    quick = getattr(socket, "TCP_QUICKACK", None)
    if quick is not None and http.transport is not None:
        with contextlib.suppress(OSError):
            http.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, quick, 1)


def _cut(http: web.BaseRequest) -> None:
    http.protocol.force_close()


def _plain(status: int, text: str, method: str) -> web.Response:
    response = web.Response(status=status, text="" if method == "HEAD" else text)
    response.force_close()
    return response


def _scripted(action: Action, service: Service, request: Request) -> Response:
    assert action.status is not None
    if action.location is not None:
        return Response(action.status, {"Location": action.location})
    if action.page:
        page = f"<html><head><title>{action.status}</title></head><body>Bad gateway</body></html>"
        return Response(action.status, {"Content-Type": "text/html"}, page.encode())
    return service.refuse(request, action.status, action.code, action.message)


async def _send(
    http: web.BaseRequest, response: Response, seconds_per_byte: float, cut_after: int | None
) -> web.StreamResponse:
    """Send the answer, slowly or only its beginning where that is the script."""
    body = response.body
    length = response.content_length
    if length is None and isinstance(body, bytes):
        length = len(body)
    answer = web.StreamResponse(status=response.status, headers=response.headers)
    bodiless = http.method == "HEAD" or response.status in (204, 304)
    if length is not None and response.status not in (204, 304):
        answer.content_length = length
    await answer.prepare(http)
    if bodiless:
        await answer.write_eof()
        return answer
    async with contextlib.AsyncExitStack() as stack:
        pieces = _once(body) if isinstance(body, bytes) else body
        close = getattr(pieces, "aclose", None)
        if close is not None:
            stack.push_async_callback(close)
        sent = 0
        async for piece in pieces:
            if cut_after is not None and sent + len(piece) >= cut_after:
                await answer.write(piece[: cut_after - sent])
                _cut(http)
                return answer
            if seconds_per_byte:
                for at in range(len(piece)):
                    await answer.write(piece[at : at + 1])
                    await asyncio.sleep(seconds_per_byte)
            else:
                await answer.write(piece)
            sent += len(piece)
    await answer.write_eof()
    return answer


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
