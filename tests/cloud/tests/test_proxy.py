"""What the local cloud's proxy, faults and clock promise to the services behind them."""

import http.client
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pytest
import requests

from tests.cloud import faults as script
from tests.cloud.clock import Clock
from tests.cloud.faults import Action, Fault, Faults, Gate, Operation
from tests.cloud.proxy import Proxy, Request, Response

URL = "http://echo.example/path"


class Echo:
    """Says what it was asked; counts what it did."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.seen: list[Request] = []

    def serves(self, host: str) -> bool:
        return host == "echo.example"

    def operation(self, request: Request) -> Operation:
        return Operation("echo", request.method.title(), "bucket-1", request.raw_path[1:])

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        if request.raw_path == "/broken":
            raise ZeroDivisionError("broken on purpose")
        body = await request.read(limit=1_000_000)
        self.effects.append(request.method)
        if request.raw_path == "/stream":
            return Response(200, {}, _stream(), 300_000)
        return Response(200, {"X-Echo": "yes", "Content-Type": "text/plain"}, body or b"nothing")

    def refuse(self, request: Request, status: int, code: str, message: str) -> Response:
        return Response(status, {"Content-Type": "text/echo"}, f"{code}: {message}".encode())


async def _stream() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 100_000


class World:
    """A proxy with one service behind it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.faults = Faults()
        self.echo = Echo()
        self.proxy = Proxy([self.echo], self.faults, self.clock)
        self.proxy.start()

    def ask(
        self,
        method: str = "PUT",
        url: str = URL,
        *,
        data: bytes | Iterator[bytes] = b"body",
        proxy: str | None = None,
    ) -> requests.Response:
        return requests.request(
            method,
            url,
            data=data,
            proxies={"http": proxy or self.proxy.url},
            allow_redirects=False,
            timeout=30,
        )

    def settle(self) -> None:
        """Return when the server has done what it was told so far."""

        async def nothing() -> None: ...

        self.proxy.submit(nothing()).result(timeout=30)

    def raw(self, text: bytes) -> bytes:
        """What comes back over a plain connection that the request closes."""
        parts = urlsplit(self.proxy.url)
        assert parts.port is not None
        with socket.create_connection(("127.0.0.1", parts.port), timeout=30) as connection:
            connection.sendall(text)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.proxy.stop()
    made.clock.close()


def test_a_request_reaches_the_service_of_its_host(world: World) -> None:
    """The target's host decides, without its port, whatever the proxy's own address is."""
    answer = world.ask(url="http://ECHO.example:80/path")
    assert (answer.status_code, answer.content) == (200, b"body")
    assert answer.headers["X-Echo"] == "yes"
    assert world.echo.seen[0].host == "echo.example"


def test_a_host_nobody_serves_is_answered_502(world: World) -> None:
    """Nothing leaves the machine, and the answer says which host was meant."""
    answer = world.ask(url="http://unknown.example/")
    assert answer.status_code == 502
    assert "unknown.example" in answer.text


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://echo.example/p HTTP/1.1\r\nHost: other.example",
        b"GET https://echo.example/p HTTP/1.1\r\nHost: other.example",
        b"GET https://echo.example:443/p HTTP/1.1\r\nHost: other.example",
        b"GET /p HTTP/1.1\r\nHost: echo.example:80",
    ],
)
def test_targets_may_be_absolute_or_relative(world: World, line: bytes) -> None:
    """http and https mean the same; a relative target takes the Host header."""
    answer = world.raw(line + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert world.echo.seen[0].raw_path == "/p"


@pytest.mark.parametrize("host", [b"evil.example:8788", b"evil.example", b"127.0.0.1:8788", b"localhost"])
def test_a_name_that_points_to_this_machine_reaches_no_service(world: World, host: bytes) -> None:
    """A page may let its own name point here; it learns nothing, and leaves nothing in the log."""
    for method in (b"GET", b"POST", b"PUT"):
        answer = world.raw(method + b" /p HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 421")
        assert host.partition(b":")[0] not in answer
    assert world.echo.seen == []
    assert world.proxy.log == []


def test_paths_and_queries_come_as_they_were_sent(world: World) -> None:
    """No folding of dots or slashes, no decoding of the path; names of parameters keep their
    case and their order, plus means space."""
    world.raw(
        b"GET http://echo.example//a/../%2e%2E/%41;x?B=+%2B&a&a=%E4%BD%A0=2 HTTP/1.1\r\n"
        b"Host: echo.example\r\nConnection: close\r\n\r\n"
    )
    (seen,) = world.echo.seen
    assert seen.raw_path == "//a/../%2e%2E/%41;x"
    assert seen.query == [("B", " +"), ("a", ""), ("a", "你=2")]
    assert seen.parameter("a") == ""
    assert seen.parameter("missing") is None


def test_connect_is_refused_with_a_reason(world: World) -> None:
    """A client that insists on TLS learns why it cannot have it."""
    answer = world.raw(b"CONNECT echo.example:443 HTTP/1.1\r\nHost: echo.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"plain http" in answer


def test_a_chunked_body_arrives_whole(world: World) -> None:
    """Clients that do not know the length send chunks."""
    assert world.ask(data=iter([b"one ", b"two"])).content == b"one two"


def test_a_gzipped_body_is_not_unpacked(world: World) -> None:
    """Uploads are stored as they are sent, Content-Encoding or not."""
    answer = world.raw(
        b"PUT http://echo.example/ HTTP/1.1\r\nHost: echo.example\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\n\x1f\x8bno"
    )
    assert answer.endswith(b"\r\n\r\n\x1f\x8bno")


def test_a_client_that_expects_100_is_told_to_continue(world: World) -> None:
    """The body is asked for only when the service reads it."""
    parts = urlsplit(world.proxy.url)
    assert parts.port is not None
    with socket.create_connection(("127.0.0.1", parts.port), timeout=30) as connection:
        connection.sendall(
            b"PUT http://echo.example/ HTTP/1.1\r\nHost: echo.example\r\n"
            b"Expect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\nbody")


def test_an_upload_that_breaks_off_has_no_effect(world: World) -> None:
    """As on real servers: a body shorter than announced is never acted on."""
    parts = urlsplit(world.proxy.url)
    assert parts.port is not None
    with socket.create_connection(("127.0.0.1", parts.port), timeout=30) as connection:
        connection.sendall(
            b"PUT http://echo.example/ HTTP/1.1\r\nHost: echo.example\r\nContent-Length: 9\r\n\r\nhalf"
        )
        connection.shutdown(socket.SHUT_RDWR)
    world.ask("GET", data=b"")
    assert world.echo.effects == ["GET"]
    assert world.proxy.mishaps == []


def test_head_is_answered_without_a_body(world: World) -> None:
    """But with the length that GET would have, on a connection that stays usable."""
    with requests.Session() as session:
        session.proxies = {"http": world.proxy.url}
        answer = session.head(URL, timeout=30)
        assert answer.headers["Content-Length"] == str(len(b"nothing"))
        assert session.get(URL, timeout=30).content == b"nothing"


def test_connections_are_kept_alive(world: World) -> None:
    """Two requests go over one connection."""
    parts = urlsplit(world.proxy.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    for _ in range(2):
        connection.request("GET", URL)
        assert connection.getresponse().read() == b"nothing"
        assert connection.sock is not None
    connection.close()


def test_a_streamed_answer_arrives_whole(world: World) -> None:
    """The length comes from the service, the body piece by piece."""
    answer = world.ask("GET", "http://echo.example/stream", data=b"")
    assert answer.headers["Content-Length"] == "300000"
    assert answer.content == b"x" * 300_000


def test_each_listener_names_the_source_of_its_requests(world: World) -> None:
    """So that faults and logs can tell instances apart; a closed one takes no more requests."""
    one, two = world.proxy.listen("one"), world.proxy.listen("two")
    for url in (one, two, world.proxy.url):
        world.ask(proxy=url)
    assert [entry.source for entry in world.proxy.log] == ["one", "two", ""]
    world.proxy.unlisten("one")
    world.proxy.unlisten("one")
    world.settle()
    with pytest.raises(requests.ConnectionError):
        world.ask(proxy=one)
    assert world.ask(proxy=two).status_code == 200


def test_a_listener_can_be_opened_from_the_servers_own_loop(world: World) -> None:
    """Whatever starts instances may run there: no deadlock."""

    async def listen() -> str:
        return world.proxy.listen("from the loop")

    url = world.proxy.submit(listen()).result(timeout=30)
    assert world.ask(proxy=url).status_code == 200


def test_every_request_is_logged(world: World) -> None:
    """With what it asked for, when, what came of it, and the faults that struck it."""
    world.faults.add("Put", then=script.refuse(503, "SlowDown"))
    world.faults.add("Get", then=script.cut_after())
    world.ask("PUT", "http://echo.example/k")
    with pytest.raises(requests.ConnectionError):
        world.ask("GET", "http://echo.example/k")
    world.ask("GET", "http://nobody.example/")
    log = world.proxy.log
    assert [(e.service, e.operation, e.bucket, e.key, e.status, e.faults, e.handled) for e in log] == [
        ("echo", "Put", "bucket-1", "k", 503, ("refuse",), False),
        ("echo", "Get", "bucket-1", "k", None, ("cut_after",), True),
        ("", "", "", "", 502, (), False),
    ]
    assert all(abs((entry.at - world.clock.now()).total_seconds()) < 600 for entry in log)
    world.proxy.clear_log()
    assert world.proxy.log == []


def test_a_service_that_breaks_is_no_silent_500(world: World) -> None:
    """Its exception is kept, so that a test can see that the cloud itself failed."""
    assert world.ask(url="http://echo.example/broken").status_code == 500
    (mishap,) = world.proxy.mishaps
    assert isinstance(mishap, ZeroDivisionError)


def test_stopping_waits_for_nobody(world: World) -> None:
    """A request held for ever does not hold the end of a test."""
    gate = Gate()
    world.faults.add(then=script.hold(gate))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(world.ask)
        gate.wait_reached()
        world.proxy.stop()
        with pytest.raises(requests.ConnectionError):
            asked.result(timeout=30)
    world.proxy.stop()


# Faults: what the client sees, and whether the request took effect.


@pytest.mark.parametrize(
    ("action", "status", "effects"),
    [
        (script.refuse(403, "AccessDenied"), 403, 0),
        (script.server_error_after_effect(), 503, 1),
        (script.html(), 502, 0),
        (script.html(504, after_effect=True), 504, 1),
        (script.redirect("http://elsewhere.example/"), 302, 0),
        (script.content_type("application/json; charset=utf-8"), 200, 1),
        (script.drip(0.0001), 200, 1),
        (script.delay(0.001), 200, 1),
        (script.delay_answer(0.001), 200, 1),
    ],
    ids=lambda value: value.name if isinstance(value, Action) else str(value),
)
def test_a_scripted_answer_comes_with_or_without_effect(
    world: World, action: Action, status: int, effects: int
) -> None:
    """What the client sees and whether anything happened are two things."""
    fault = world.faults.add(then=action)
    assert world.ask().status_code == status
    assert (len(world.echo.effects), fault.hits) == (effects, 1)
    assert world.ask().status_code == 200, "once only"


@pytest.mark.parametrize(("action", "effects"), [(script.cut_before(), 0), (script.cut_after(), 1)])
def test_a_cut_connection_brings_no_answer(world: World, action: Action, effects: int) -> None:
    """The client cannot tell whether its request took effect: both happen."""
    world.faults.add(then=action)
    with pytest.raises(requests.ConnectionError):
        world.ask()
    assert len(world.echo.effects) == effects


def test_a_cut_body_breaks_in_its_middle(world: World) -> None:
    """Status and length were already there."""
    world.faults.add(then=script.cut_body(100_001))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="100001 bytes read"):
        world.ask("GET", "http://echo.example/stream", data=b"")


def test_a_refusal_has_the_services_own_form(world: World) -> None:
    """Only the service knows how its errors look."""
    world.faults.add(then=script.refuse(403, "Denied", "no"))
    answer = world.ask()
    assert (answer.text, answer.headers["Content-Type"]) == ("Denied: no", "text/echo")


def test_pages_redirects_and_content_types_are_as_scripted(world: World) -> None:
    """What stands in front of real services answers in its own way."""
    world.faults.add(then=script.html())
    assert world.ask().text.startswith("<html>")
    world.faults.add(then=script.redirect("http://elsewhere.example/x", 307))
    assert world.ask().headers["Location"] == "http://elsewhere.example/x"
    world.faults.add(then=script.content_type("application/json; charset=utf-8"))
    answer = world.ask()
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.content == b"body"


def test_a_gate_holds_requests_until_it_is_opened(world: World) -> None:
    """Two requests can be made to meet, whatever the machine's speed."""
    gate = Gate()
    world.faults.add(then=script.hold(gate), times=2)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(world.ask) for _ in range(2)]
        gate.wait_reached(2)
        assert world.echo.effects == []
        gate.release()
        assert [each.result(timeout=30).status_code for each in asked] == [200, 200]
    with pytest.raises(TimeoutError, match="0 arrived"):
        gate.wait_reached(timeout=0)


def test_an_answer_can_be_held_after_its_effect(world: World) -> None:
    """To look at the world while a client still waits."""
    gate = Gate()
    world.faults.add(then=script.hold_answer(gate))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(world.ask)
        gate.wait_reached()
        assert world.echo.effects == ["PUT"]
        gate.release()
        assert asked.result(timeout=30).status_code == 200


@pytest.mark.parametrize(("action", "effects"), [(script.kill_before(), 0), (script.kill_after(), 1)])
def test_an_instance_is_killed_before_or_after_the_effect(world: World, action: Action, effects: int) -> None:
    """Only the instance whose listener the request came in by; requests by the main port are
    nobody's."""
    killed: list[tuple[str, int]] = []
    world.faults.kill = lambda name: killed.append((name, len(world.echo.effects)))
    fault = world.faults.add(then=action)
    url = world.proxy.listen("instance 7")
    world.ask("GET")
    with pytest.raises(requests.ConnectionError):
        world.ask(proxy=url)
    assert killed == [("instance 7", 1 + effects)]
    assert fault.hits == 1


def test_hooks_run_around_the_effect(world: World) -> None:
    """So that a test can change the world at exactly that moment."""
    seen: list[tuple[str, int]] = []
    world.faults.add(then=script.run_before(lambda: seen.append(("before", len(world.echo.effects)))))
    world.faults.add(then=script.run_after(lambda: seen.append(("after", len(world.echo.effects)))))
    world.ask()
    assert seen == [("before", 0), ("after", 1)]


def test_a_hook_may_decide_by_the_request(world: World) -> None:
    """It sees the request and what it asks for, and returns what is to happen, or nothing."""

    def decide(request: Request, operation: Operation) -> Action | None:
        assert operation.key == request.raw_path[1:]
        return script.refuse(409, "Conflict") if operation.key == "b" else None

    world.faults.add(then=decide, times=None)
    assert world.ask(url="http://echo.example/a").status_code == 200
    assert world.ask(url="http://echo.example/b").status_code == 409
    assert world.proxy.log[-1].faults == ("refuse",)


def test_faults_combine_and_the_first_answer_counts(world: World) -> None:
    """A delayed, refused request is both."""
    gate = Gate()
    gate.release()
    world.faults.add(then=script.hold(gate))
    world.faults.add(then=script.refuse(403, "First"))
    world.faults.add(then=script.refuse(500, "Second"))
    assert world.ask().status_code == 403
    gate.wait_reached()
    assert world.proxy.log[-1].faults == ("hold", "refuse", "refuse")


MATCHING = Operation("cos", "PutObject", "faces-1", "uploads/42/live.gz")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("*", script.cut_before()), True),
        (Fault("PutObject", script.cut_before()), True),
        (Fault("Put*", script.cut_before(), key="uploads/*/live.gz", service="cos"), True),
        (Fault("*", script.cut_before(), bucket="faces-?", source="one"), True),
        (Fault("GetObject", script.cut_before()), False),
        (Fault("putobject", script.cut_before()), False),
        (Fault("*", script.cut_before(), service="faceid"), False),
        (Fault("*", script.cut_before(), bucket="state-*"), False),
        (Fault("*", script.cut_before(), key="uploads/*.jpg"), False),
        (Fault("*", script.cut_before(), source="two"), False),
    ],
)
def test_a_fault_concerns_only_what_matches_all_its_patterns(fault: Fault, expected: bool) -> None:
    """fnmatch patterns, exact case."""
    assert fault.matches(MATCHING, "one") is expected


def test_a_fault_skips_then_strikes_so_many_times() -> None:
    """And counts what it struck; times=None strikes for ever; clear and remove end it."""
    faults = Faults()
    few = faults.add("PutObject", skip=2, times=2, then=script.cut_before())
    ever = faults.add(times=None, then=script.delay(0))
    struck = [faults.strike(MATCHING, "") for _ in range(6)]
    assert [few in each for each in struck] == [False, False, True, True, False, False]
    assert all(ever in each for each in struck)
    assert (few.hits, ever.hits) == (2, 6)
    faults.remove(ever)
    assert faults.strike(MATCHING, "") == []
    faults.add(then=script.delay(0))
    faults.clear()
    assert faults.strike(MATCHING, "") == []


# The clock


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    yield made
    made.close()


def test_the_clock_is_real_until_it_is_moved(clock: Clock) -> None:
    """And again after it is closed."""
    before = time.time()
    assert clock.offset == 0.0
    clock.advance(3600)
    clock.advance(60)
    assert clock.offset == 3660.0
    assert time.time() - before >= 3660
    clock.close()
    assert time.time() - before < 3600
    assert clock.offset == 0.0
    clock.close()


def test_the_whole_process_sees_the_moved_clock(clock: Clock) -> None:
    """Other threads and all ways of asking the time too; time limits are not moved."""
    monotonic = time.monotonic()
    clock.advance(1_000_000)
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(time.time()))
    thread.start()
    thread.join()
    for other in (seen[0], datetime.now(timezone.utc).timestamp(), clock.timestamp()):
        assert abs(other - time.time()) < 600
    assert time.monotonic() - monotonic < 1_000_000


def test_subscribers_hear_of_every_jump(clock: Clock) -> None:
    """After it happened, in their order, until they leave."""
    heard: list[tuple[str, float]] = []

    def first() -> None:
        heard.append(("first", clock.offset))

    clock.subscribe(first)
    clock.subscribe(lambda: heard.append(("second", clock.offset)))
    clock.advance(10)
    clock.unsubscribe(first)
    clock.advance(5)
    assert heard == [("first", 10.0), ("second", 10.0), ("second", 15.0)]


def test_the_clock_never_goes_back(clock: Clock) -> None:
    """Wall clocks may in real life; nothing here needs it."""
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
