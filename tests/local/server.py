"""The page of the local cloud: its files, its live updates by server-sent events, and what its buttons do.

Only the page itself and programs without an Origin (curl) are served: a page of another site must not reach
it, by a form, a script, or a name that it lets point to this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import requests
from aiohttp import web
from qcloud_cos import CosServiceError

from handler.rules.pairing import Role, plain
from tests.cloud.consumer import Attempt
from tests.local import story
from tests.local.phone import Phone
from tests.local.program import send
from tests.local.world import BUCKET, CLIENT, FAULTS, LARGEST_UPLOAD, SAMPLES, TEMPLATES, World

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

    def __init__(self, world: World, tell: Callable[[str], None], env_file: str = "") -> None:
        """`tell` shows one line about what happened to whoever started this.

        `env_file`: where the settings for the operator's commands were written, if they were.
        """
        self.world, self._tell, self.env_file = world, tell, env_file
        self._phone = Phone(world, world.folder / "app")
        self.port = 0
        self._started = world.cloud.clock.now().isoformat()
        self._told, self._looking = asyncio.Condition(), asyncio.Lock()
        self._state = ""
        self._shown: dict[str, Any] = {}
        self._mark: list[Any] | None = None
        self._passing = self._stopping = False
        self._said: set[Any] = set()
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
        except requests.HTTPError as error:
            answer = _error(502, f"COS refused the upload: {error.response.status_code}")
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
        return web.json_response(found)

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.world.tick)
            await self._look()
            await asyncio.sleep(LOOK)

    async def _look(self) -> None:
        """Have the connected pages know what has changed, and the terminal too."""
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
            sum(each.seconds is None for each in attempts),
            [each.status for each in cloud.log if each.source == CLIENT],
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
            if attempt.verified and self._is_news(attempt.id):
                self._tell(_arrived(attempt))
                self._start_task(self._phone.tell(attempt.id, attempt.body))
            if self.world.program and attempt.seconds is not None and self._is_news(id(attempt)):
                self._tell(_answered(attempt, self.world.program.url))
        for stray in reversed(self._shown.get("strays", [])):
            if self._is_news((stray["at"], stray["key"])):
                self._tell(_strayed(stray))

    def _is_news(self, mark: Any) -> bool:
        """Whether this has not been said yet; from now on it has."""
        is_news = mark not in self._said
        self._said.add(mark)
        return is_news

    def _read(self) -> dict[str, Any]:
        told = story.read(self.world)
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
            "blocks": blocks(self),
            "templates": {
                "LIVE_KEY": ", ".join(each.text for each in TEMPLATES.live),
                "IMAGE_KEY": ", ".join(each.text for each in TEMPLATES.image),
            },
            "strays": story.strays(self.world),
            "pairs": [story.summary(self.world, each) for each in told.values()],
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
        try:
            done = await asyncio.to_thread(self.world.reconcile)
        except TimeoutError as error:
            raise web.HTTPGatewayTimeout(text=str(error)) from None
        return web.json_response({"says": story.reconciled(done)})

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]
        body = {each.id: each.body for each in self.world.cloud.consumer.attempts if each.verified}[wanted]
        cloud = self.world.cloud
        await send(cloud.consumer.url, cloud.secret, wanted, body, cloud.clock.now())
        again = [each for each in cloud.consumer.attempts if each.id == wanted and story.is_resent(each)]
        status, said = (again[-1].status, again[-1].said) if again else (None, "no answer")
        return web.json_response({"status": status, "said": said})

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
        "Bucket": BUCKET,
        "Region": cloud.region,
        "SecretId": site.world.backend.secret_id,
        "SecretKey": site.world.backend.secret_key,
        "WEBHOOK_SECRET": cloud.secret,
        "CONSUMER": site.world.program.url if site.world.program else "not set; messages are answered 204",
        "Settings file": site.env_file or "not written",
    }


def blocks(site: Site) -> dict[str, str]:
    """What to copy, by what it is for."""
    cloud, proxy = site.world.cloud, site.world.url
    settings = site.env_file or "local.env"
    client = (
        f'CosConfig(Region="{cloud.region}", Scheme="http", Proxies={{"http": "{proxy}"}},\n'
        f'    SecretId="{site.world.backend.secret_id}", SecretKey="{site.world.backend.secret_key}")'
    )
    return {
        "Your backend’s COS client (Python)": f"client = CosS3Client({client})",
        "The image, as your backend puts it": (
            f'client.put_object(Bucket="{BUCKET}", Key="uploads/42/image.jpg",\n'
            '    Body=open("image.jpg", "rb"), Metadata={"x-cos-forbid-overwrite": "true"})'
        ),
        "A device’s PUT to a link": f"curl -x {proxy} -H 'x-cos-forbid-overwrite: true' -T live.gz '<link>'",
        "A consumer of yours": (
            f"BUCKET={BUCKET} WEBHOOK_SECRET={cloud.secret} \\\n"
            "  PORT=3000 .venv/bin/python examples/consumers/consumer.py"
        ),
        "The same cloud, with your consumer": "CONSUMER=http://localhost:3000/webhook make local",
        "The operator’s commands": f".venv/bin/python -m handler --env-file {settings} list",
    }


def _arrived(attempt: Attempt) -> str:
    """The terminal's line about a message. A test of the webhook is about no pair."""
    message = json.loads(attempt.body)
    said = ", ".join(message["data"].get("pair", {}).values())
    outcome = message["data"].get("outcome", message["type"])
    return f"{attempt.at:%H:%M:%S}  {plain(outcome):<10}  {plain(said)}  {plain(attempt.id)}"


def _answered(attempt: Attempt, url: str) -> str:
    """The terminal's line about what the consumer's own program answered."""
    text = f"{attempt.status} {attempt.said!r}" if attempt.status else attempt.said
    return f"{'':10}→ {url}: {plain(text)}, {(attempt.seconds or 0) * 1000:.0f} ms  {plain(attempt.id)}"


def _strayed(stray: dict[str, Any]) -> str:
    """The terminal's line about an upload that comes to nothing."""
    fits = " or ".join(map(plain, stray["fits"]))
    return f"{stray['at'][11:19]}  no pair     {plain(stray['key'])}: {plain(stray['why'])}; fits: {fits}"


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def _json(request: web.Request) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(await request.read())
        if isinstance(found, dict):
            return found
    raise ValueError("a JSON object was expected")
