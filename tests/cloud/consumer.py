"""A webhook consumer, as an application's backend would have one, that can misbehave by script.

It verifies with the official library over the raw body, drops repeats by webhook-id, and keeps
every attempt. It listens on a port of its own: webhooks do not go through the cloud's proxy.
"""

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeAlias

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"fake-secret-of-the-local-cloud!!").decode()
TOLERANCE = 300.0  # seconds, as in the library


@dataclass(slots=True, eq=False)
class Attempt:
    """One POST as it arrived, and what the consumer made of it.

    `error` says why the signature does not hold. `status` is what is answered; None where the
    connection is closed or left hanging without an answer.
    """

    at: datetime
    path: str
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes
    verified: bool
    error: str | None
    status: int | None
    seconds: float | None = None
    """Real seconds until it was answered or given up; None while it is not."""
    said: str = ""
    """What a program behind this consumer answered, or why it did not."""

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")


@dataclass(slots=True)
class Behaviour:
    """What the consumer does instead of answering 204; made by the methods of `Consumer`."""

    status: int | None = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    seconds_per_byte: float = 0.0
    cut: bool = False
    times: int | None = 1
    when: Callable[[dict[str, Any]], bool] | None = None
    hits: int = 0


Program: TypeAlias = Callable[[Attempt], Awaitable[Behaviour]]
"""Says how an attempt is answered."""


class Consumer:
    """The consumer and its thread. All public methods may be called from any thread."""

    def __init__(self, secrets: Sequence[str] = (SECRET,), port: int = 0) -> None:
        """Listens on `port`, or on any where that is taken."""
        self.secrets = list(secrets)
        """A message is genuine when its signature holds for one of these."""
        self.program: Program | None = None
        """Who answers the genuine messages that no script is for; None: they are answered 204."""
        self.other_clock: Callable[[], float] | None = None
        """Seconds since 1970 by which a sender from outside may have signed, too."""
        self._changed = threading.Condition()
        self._attempts: list[Attempt] = []
        self._messages: dict[str, dict[str, Any]] = {}
        self._bodies: dict[str, bytes] = {}
        self._conflicts: list[Attempt] = []
        self._accepted: set[str] = set()
        self._script: list[Behaviour] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._port = port
        self._thread = threading.Thread(target=self._run, daemon=True, name="consumer")

    def start(self) -> None:
        """Listen, and serve in a thread of its own."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the port and every connection, hanging ones too. May be called twice."""
        if self._thread.is_alive() and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/webhook"

    @property
    def attempts(self) -> list[Attempt]:
        """Every POST so far, in the order they were read."""
        with self._changed:
            return list(self._attempts)

    @property
    def messages(self) -> dict[str, dict[str, Any]]:
        """The first body of each genuine message by its id, whatever was answered."""
        with self._changed:
            return dict(self._messages)

    @property
    def accepted(self) -> set[str]:
        """The ids of genuine messages that were answered 2xx at least once."""
        with self._changed:
            return set(self._accepted)

    @property
    def conflicts(self) -> list[Attempt]:
        """Genuine attempts whose bytes differ from the first of the same id."""
        with self._changed:
            return list(self._conflicts)

    def answer(
        self,
        status: int = 204,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        delay: float = 0.0,
        times: int | None = 1,
        when: Callable[[dict[str, Any]], bool] | None = None,
    ) -> Behaviour:
        """Answer the next `times` genuine messages (None: all) like this.

        `delay` is in real seconds. `when` picks the messages by their body. Scripts are used up in
        the order they were written.
        """
        return self._add(Behaviour(status, headers or {}, body, delay, times=times, when=when))

    def hang(self, times: int | None = 1) -> Behaviour:
        """Never answer, and keep the connection open until the client goes."""
        return self._add(Behaviour(None, times=times))

    def cut(self, times: int | None = 1) -> Behaviour:
        """Read the message, then close the connection without an answer."""
        return self._add(Behaviour(None, cut=True, times=times))

    def drip(
        self, seconds_per_byte: float, size: int = 1000, status: int = 200, times: int | None = 1
    ) -> Behaviour:
        """Answer at once, but send the `size` bytes of the body one by one."""
        return self._add(Behaviour(status, body=b"x" * size, seconds_per_byte=seconds_per_byte, times=times))

    def redirect(self, location: str, status: int = 302, times: int | None = 1) -> Behaviour:
        """Send the client elsewhere."""
        return self._add(Behaviour(status, {"Location": location}, times=times))

    def huge(self, size: int, status: int = 500, times: int | None = 1) -> Behaviour:
        """Answer with a body of `size` bytes."""
        return self._add(Behaviour(status, body=b"x" * size, times=times))

    def behave(self) -> None:
        """Forget the script; requests under way keep theirs."""
        with self._changed:
            self._script.clear()

    def forget(self) -> None:
        """Forget everything that has arrived."""
        with self._changed:
            self._attempts.clear()
            self._messages.clear()
            self._bodies.clear()
            self._conflicts.clear()
            self._accepted.clear()

    def wait_for(self, condition: Callable[["Consumer"], bool], timeout: float = 30.0) -> None:
        """Return once `condition(self)` holds; it is asked after every attempt.

        Raises TimeoutError with what has arrived after `timeout` real seconds.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                left = end - time.monotonic()
                if left <= 0:
                    seen = [(each.id, each.status, each.error) for each in self._attempts]
                    raise TimeoutError(f"the consumer waited {timeout} s in vain; arrived: {seen}")
                self._changed.wait(left)

    def _add(self, behaviour: Behaviour) -> Behaviour:
        with self._changed:
            self._script.append(behaviour)
        return behaviour

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = web.Server(self._handle, access_log=None)
        try:
            listening = await self._loop.create_server(server, "127.0.0.1", self._port)
        except OSError:
            listening = await self._loop.create_server(server, "127.0.0.1", 0)
        self._port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        listening.close()
        await server.shutdown(0.001)  # idle connections are waited for that long, and with 0 for ever
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.monotonic()
        if request.host not in (f"127.0.0.1:{self._port}", f"localhost:{self._port}"):
            # A page whose own name points to this machine must not get to read or fill what is here.
            return web.Response(status=421, text="this is the consumer of the local cloud on 127.0.0.1\n")
        body = await request.read()
        if request.method != "POST":
            return web.Response(status=405, text="webhooks are POSTed\n")
        headers = {name.lower(): value for name, value in request.headers.items()}
        error = self._verify(body, headers)
        scripted: Behaviour | None = Behaviour(401, body=b"the signature does not hold\n")
        if error is None:
            scripted = self._next_behaviour(json.loads(body))
        if scripted is None and self.program is None:
            scripted = Behaviour()
        attempt = self._record(request.path, headers, body, error, scripted.status if scripted else None)
        try:
            behaviour = scripted or await self._ask(attempt)
            if behaviour.delay:
                await asyncio.sleep(behaviour.delay)
            if behaviour.cut:
                request.protocol.force_close()
                return web.Response()
            if behaviour.status is None:
                await asyncio.Event().wait()
            return await _send(request, behaviour)
        finally:
            attempt.seconds = time.monotonic() - began

    def _verify(self, body: bytes, headers: dict[str, str]) -> str | None:
        """Why nobody with one of our secrets signed this, or None if one of them did."""
        error = "no secret to verify with"
        for secret in self.secrets:
            try:
                Webhook(secret).verify(body, headers)
            except Exception as failure:  # noqa: BLE001 - the library raises ValueErrors too
                error = f"{type(failure).__name__}: {failure}"
            else:
                return None
        return None if self._holds_outside(body, headers) else error

    def _holds_outside(self, body: bytes, headers: dict[str, str]) -> bool:
        """Whether somebody who reads the other clock has signed this."""
        if self.other_clock is None:
            return False
        try:
            at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), timezone.utc)
            signed = [
                Webhook(secret).sign(headers["webhook-id"], at, body.decode()) for secret in self.secrets
            ]
            recent = abs(self.other_clock() - at.timestamp()) <= TOLERANCE
            return recent and not set(signed).isdisjoint(headers["webhook-signature"].split())
        except (KeyError, ValueError, OverflowError, OSError):
            return False

    async def _ask(self, attempt: Attempt) -> Behaviour:
        """What the program behind this consumer makes of a message."""
        assert self.program is not None
        behaviour = await self.program(attempt)
        with self._changed:
            attempt.status = behaviour.status
            self._accept(attempt)
            self._changed.notify_all()
        return behaviour

    def _accept(self, attempt: Attempt) -> None:
        if attempt.status is not None and 200 <= attempt.status < 300:
            self._accepted.add(attempt.id)

    def _next_behaviour(self, message: dict[str, Any]) -> Behaviour | None:
        with self._changed:
            for behaviour in self._script:
                if behaviour.times is not None and behaviour.hits >= behaviour.times:
                    continue
                if behaviour.when is not None and not behaviour.when(message):
                    continue
                behaviour.hits += 1
                return behaviour
        return None

    def _record(
        self, path: str, headers: dict[str, str], body: bytes, error: str | None, status: int | None
    ) -> Attempt:
        now = datetime.now(timezone.utc)
        attempt = Attempt(now, path, headers, body, error is None, error, status)
        with self._changed:
            self._attempts.append(attempt)
            if attempt.verified:
                first = self._bodies.setdefault(attempt.id, body)
                if first != body:
                    self._conflicts.append(attempt)
                self._messages.setdefault(attempt.id, json.loads(body))
                self._accept(attempt)
            self._changed.notify_all()
        return attempt


async def _send(request: web.BaseRequest, behaviour: Behaviour) -> web.StreamResponse:
    assert behaviour.status is not None
    if not behaviour.seconds_per_byte:
        return web.Response(status=behaviour.status, headers=behaviour.headers, body=behaviour.body)
    answer = web.StreamResponse(status=behaviour.status, headers=behaviour.headers)
    answer.content_length = len(behaviour.body)
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        for at in range(len(behaviour.body)):
            await answer.write(behaviour.body[at : at + 1])
            await asyncio.sleep(behaviour.seconds_per_byte)
    return answer
