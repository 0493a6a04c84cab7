"""The page of the local cloud: its files, its live updates by server-sent events, and what its buttons do.

Only the page itself and programs without an Origin (curl) are served: a page of another site must not reach
it, by a form, a script, or a name that it lets point to this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from qcloud_cos import CosServiceError

from handler.rules.pairing import Role, plain
from tests.local import story
from tests.local.forward import Forwarder
from tests.local.phone import Phone
from tests.local.world import BUCKET, FAULTS, LARGEST_UPLOAD, SAMPLES, World

FILES = {
    "": "page.html",
    "page.css": "page.css",
    "page.js": "page.js",
    "app.css": "app.css",
    "app.js": "app.js",
}
LOOK = 0.2
"""Real seconds between two looks at the cloud."""
HEARTBEAT = 15.0
SCREEN_SECONDS = 10.0
"""Real seconds that an app waits for words before it asks again."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The page's server. `start` and `stop` on the same loop."""

    def __init__(self, world: World, forwarder: Forwarder, tell: Callable[[str], None]) -> None:
        """`tell` shows one line about what happened to whoever started this."""
        self.world, self.forwarder, self._tell = world, forwarder, tell
        self._phone = Phone(world, world.folder / "app")
        self.port = 0
        self._started = world.cloud.clock.now().isoformat()
        self._told, self._looking = asyncio.Condition(), asyncio.Lock()
        self._state = ""
        self._shown: dict[str, Any] = {}
        self._mark: list[Any] | None = None
        self._passing = self._stopping = False
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        app = web.Application(client_max_size=LARGEST_UPLOAD, middlewares=[self._guard])
        app.add_routes([web.get(f"/{path}", self._file) for path in FILES])
        app.add_routes(
            [
                web.get("/favicon.ico", self._nothing),
                web.get("/api/state", self._get_state),
                web.get("/api/events", self._events),
                web.get("/api/pairs/{id}", self._pair),
                web.put("/api/uploads/{id}/{role:live|image}", self._upload),
                web.post("/api/samples", self._sample),
                web.post("/api/faults", self._fault),
                web.post("/api/clock", self._clock),
                web.post("/api/reconcile", self._reconcile),
                web.post("/api/messages/{id}/resend", self._resend),
                web.get("/api/app", self._app),
                web.post("/api/app", self._film),
                web.get("/api/app/{id}", self._screen),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> None:
        """Listen on `port`, or on the next one that is free; 0: on any."""
        await self._runner.setup()
        for number in range(port, port + 20):
            try:
                await web.TCPSite(self._runner, "127.0.0.1", number).start()
                break
            except OSError:
                continue
        else:
            raise OSError(f"none of the ports {port} to {port + 19} is free")
        self.port = self._runner.addresses[0][1]
        await self._look()
        self._start_task(self._watch())

    async def stop(self) -> None:
        """End every task and connection, and the world."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._phone.close)
        await asyncio.to_thread(self.world.close)
        async with self._told:
            self._told.notify_all()
        await self._runner.cleanup()

    # Who may ask

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        try:
            if request.host not in hosts or site not in ("none", "same-origin"):
                raise web.HTTPForbidden(text="this page serves only itself")
            if origin is not None and origin != f"http://{request.host}":
                raise web.HTTPForbidden(text="this page serves only itself")
            answer = await handler(request)
        except web.HTTPRequestEntityTooLarge:
            answer = _error(413, f"an upload here may have {LARGEST_UPLOAD // 1_000_000} MB at most")
        except web.HTTPException as error:
            answer = _error(error.status, error.text or error.reason)
        except KeyError as error:
            answer = _error(404, f"there is no {error.args[0]!r}")
        except ValueError as error:
            answer = _error(400, str(error))
        except CosServiceError as error:
            answer = _error(502, f"COS refused the upload: {error.get_error_code()}")
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    # What is shown

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(Path(__file__).with_name(FILES[request.path[1:]]))

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def _get_state(self, request: web.Request) -> web.StreamResponse:
        await self._look()
        return web.Response(text=self._state, content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
        await answer.prepare(request)
        await answer.write(b"retry: 1000\n\n")
        sent = ""
        with contextlib.suppress(ConnectionError):
            while not self._stopping:
                if sent != self._state:
                    sent = self._state
                    await answer.write(f"event: state\ndata: {sent}\n\n".encode())
                    continue
                async with self._told:
                    try:
                        await asyncio.wait_for(self._told.wait(), HEARTBEAT)
                    except asyncio.TimeoutError:
                        await answer.write(b": still here\n\n")
        return answer

    async def _pair(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]

        def find() -> dict[str, Any]:
            for told in story.read(self.world).values():
                if dict(told.pair.values)["id"] == wanted:
                    return story.detail(self.world, told)
            raise KeyError(wanted)

        found = await asyncio.to_thread(find)
        for message in found["sent"]:
            message["forwarded"] = [a.shown() for a in self.forwarder.answers if a.id == message["id"]]
        return web.json_response(found)

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.world.tick)
            await self._look()
            await asyncio.sleep(LOOK)

    async def _look(self) -> None:
        """Have the connected pages know what has changed, and forward what is new."""
        async with self._looking:
            await self._look_once()

    async def _look_once(self) -> None:
        cloud = self.world.cloud
        running = [each for each in cloud.scf.invocations if each.status == "running"]
        attempts = cloud.consumer.attempts
        mark: list[Any] = [
            len(cloud.scf.invocations),
            len(cloud.scf.logs()),
            len(attempts),
            len(self.forwarder.answers),
        ]
        mark += [cloud.clock.offset, self._passing, list(self.world.faults.values())]
        if running or mark != self._mark:
            state = await asyncio.to_thread(self._read)
            self._mark = None if running else mark
            if state != self._shown | {"now": state["now"]}:
                self._shown, self._state = state, json.dumps(state)
                async with self._told:
                    self._told.notify_all()
        for attempt in attempts:
            if attempt.verified and attempt.id not in self._seen:
                self._seen.add(attempt.id)
                message = json.loads(attempt.body)
                # A test of the webhook is about no pair.
                said = ", ".join(message["data"].get("pair", {}).values())
                outcome = message["data"].get("outcome", message["type"])
                self._tell(f"{attempt.at:%H:%M:%S}  {plain(outcome):<10}  {plain(said)}  {plain(attempt.id)}")
                self._start_task(self._forward(attempt.id, attempt.body))
                self._start_task(self._phone.tell(attempt.id, attempt.body))

    def _read(self) -> dict[str, Any]:
        told = story.read(self.world)
        answers = Counter(answer.id for answer in self.forwarder.answers)
        pairs = [
            story.summary(self.world, each)
            | {"answers": sum(answers[found] for found in {attempt.id for attempt in each.attempts})}
            for each in told.values()
        ]
        on = self.world.faults
        return {
            "started": self._started,
            "now": self.world.cloud.clock.now().isoformat(),
            "ahead": round(self.world.cloud.clock.offset),
            "passing": self._passing,
            "faults": [{"name": n, "label": f[0], "says": f[1], "on": on[n]} for n, f in FAULTS.items()],
            "samples": [{"name": n, "says": s.says, "outcome": s.outcome} for n, s in SAMPLES.items()],
            "counts": story.counts(self.world, len(told)),
            "about": about(self),
            "pairs": pairs,
        }

    # What the buttons do

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if (request.content_length or 0) > LARGEST_UPLOAD:
            raise web.HTTPRequestEntityTooLarge(LARGEST_UPLOAD, request.content_length or 0)
        data = await request.read()
        role: Role = "live" if request.match_info["role"] == "live" else "image"
        verdict = request.query.get("verdict", "")
        key = await asyncio.to_thread(self.world.upload, request.match_info["id"], role, data, verdict)
        return web.json_response({"key": key})

    async def _sample(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        name, pair_id = str(asked.get("sample")), str(asked.get("id") or "")
        return web.json_response({"id": await asyncio.to_thread(self.world.upload_sample, name, pair_id)})

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        self.world.switch(str(asked.get("name")), bool(asked.get("on")))
        return web.json_response(self.world.faults)

    async def _clock(self, request: web.Request) -> web.StreamResponse:
        minutes = (await _json(request)).get("minutes")
        if type(minutes) is not int or not 1 <= minutes <= 24 * 60:
            raise ValueError("minutes: a whole number from 1 to 1440")
        if self._passing:
            raise web.HTTPConflict(text="time is passing already")
        self._passing = True
        try:
            await asyncio.to_thread(self.world.pass_time, minutes)
        finally:
            self._passing = False
        return web.json_response({"now": self.world.cloud.clock.now().isoformat()})

    async def _reconcile(self, request: web.Request) -> web.StreamResponse:
        self.world.reconcile()
        return web.json_response({})

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]
        body = {each.id: each.body for each in self.world.cloud.consumer.attempts if each.verified}[wanted]
        url = self.forwarder.url or self.world.cloud.consumer.url
        answer = await self.forwarder.send(url, wanted, body)
        self._tell(_said(answer.shown()))
        return web.json_response(answer.shown())

    async def _app(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._phone.about())

    async def _film(self, request: web.Request) -> web.StreamResponse:
        asked = await _json(request)
        who = [str(asked.get(name) or "") for name in ("verdict", "person", "language")]
        return web.json_response(await asyncio.to_thread(self._phone.film, *who))

    async def _screen(self, request: web.Request) -> web.StreamResponse:
        attempt, query = request.match_info["id"], request.query
        person, language = query.get("person", ""), query.get("language", "")
        found = await asyncio.to_thread(self._phone.answer, attempt, person, language, SCREEN_SECONDS)
        return web.json_response(found)

    async def _forward(self, message_id: str, body: bytes) -> None:
        answer = await self.forwarder.forward(message_id, body)
        if answer is not None:
            self._tell(_said(answer.shown()))

    def _start_task(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def about(site: Site) -> dict[str, str]:
    """What an application needs to use this cloud. All of it is for tests, and made up."""
    cloud = site.world.cloud
    return {
        "Page": f"http://127.0.0.1:{site.port}",
        "LOCAL_CLOUD": site.world.url,
        "Bucket": f"{BUCKET} ({cloud.region})",
        "SecretId": cloud.credentials.secret_id,
        "SecretKey": cloud.credentials.secret_key,
        "WEBHOOK_SECRET": cloud.secret,
        "FORWARD_TO": site.forwarder.url or "not set",
    }


def _said(answer: dict[str, Any]) -> str:
    text = f"{answer['status']} {answer['text']!r}" if answer["status"] else answer["error"]
    return f"{'':10}→ {answer['to']}: {text}, {answer['seconds'] * 1000:.0f} ms  {answer['id']}"


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def _json(request: web.Request) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(await request.read())
        if isinstance(found, dict):
            return found
    raise ValueError("a JSON object was expected")
