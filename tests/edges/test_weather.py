"""Bad weather at the edges: whatever a peer answers, however slowly, is bounded, and the outcome is right."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest
import requests

from handler.clock import Deadline, SystemClock
from handler.edges import connections, cos, webhook, wire
from handler.edges.bucket import CosError, Unavailable
from handler.edges.connections import Refused
from handler.edges.cos import CosBucket, Credentials
from handler.edges.faceid import FaceidClient, FrameError, RelayError, Resource
from handler.edges.webhook import WebhookClient
from handler.edges.wire import Wire
from handler.flow import call
from handler.rules.codes import code_row
from handler.rules.outcome import Answer as Verdict
from handler.rules.uploads import Stored
from tests.cloud import faults, samples
from tests.cloud.consumer import SECRET
from tests.cloud.faceid import COMPARE, Answer
from tests.cloud.faults import Action
from tests.support.harness import BUCKET, Livepair
from tests.support.peer import Peer, Says, http

SOON = 0.3
"""Seconds that a slow peer is given: each of them would take far longer."""

ENOUGH = 30.0
"""Seconds that are never used up."""

LEAKS = re.compile(r"q-signature|q-ak|q-sign|security-token|fake-(secret|token)|whsec_|v1,|AKID\w+|TC3-HMAC")


@pytest.fixture(autouse=True)
def _nothing_leaks(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test of this file may print a secret, a token or a signed link."""
    yield
    out, err = capfd.readouterr()
    assert LEAKS.findall(out + err) == []


HTML = b"<html><head><title>502</title></head><body>Bad gateway</body></html>"
VERDICT = json.dumps(
    {"Response": {"Result": "Success", "Sim": 96.3, "Description": "", "RequestId": "r"}}
).encode()
ERROR = json.dumps(
    {"Response": {"Error": {"Code": "InternalError", "Message": "m"}, "RequestId": "r"}}
).encode()


def with_cookies(answer: bytes, number: int, value: str) -> bytes:
    """An answer that sets so many cookies."""
    line, _, rest = answer.partition(b"\r\n")
    return b"\r\n".join([line, *(f"Set-Cookie: c{n}={value}".encode() for n in range(number)), rest])


NOT_FOUND = http(404, b"<Error><Code>NoSuchKey</Code></Error>")

BAD: dict[str, Says] = {
    "nothing": Says(),
    "half a header": Says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no http": Says(b"\x00\x01\x02 hello \r\n\r\n"),
    "a body that is cut": Says(http(200, b'{"Response": {"Result"', length="500")),
    "a chunk that is cut": Says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "a chunk that is none": Says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{"),
    "an HTML page of 502": Says(http(502, HTML, Content_Type="text/html")),
    "a header line without end": Says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "a thousand headers": Says(http(200, VERDICT, **{f"X{n}": "x" for n in range(1000)})),
    "ninety-nine long headers": Says(http(200, VERDICT, **{f"X{n}": "x" * 60_000 for n in range(99)})),
    "ninety-nine long cookies": Says(with_cookies(http(200, VERDICT), 98, "x" * 60_000)),
    "continues without end": Says(then=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "hints without end": Says(then=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),
    "a redirect to itself": Says(http(302, Location="/")),
    "a redirect for good": Says(http(301, Location="http://127.0.0.1:1/")),
    "a redirect that keeps the method": Says(http(307, Location="/")),
    "a redirect to nowhere": Says(http(302)),
    "not modified": Says(http(304)),
    "broken gzip": Says(http(200, b"no gzip at all", Content_Encoding="gzip")),
    "a compressed page without end": Says(
        http(500, zlib.compress(bytes(60_000_000)), Content_Encoding="deflate")
    ),
}
"""Answers that are no answer, each at once."""

OVERWEIGHT = (
    "ninety-nine long headers",
    "ninety-nine long cookies",
    "continues without end",
    "hints without end",
)
"""Those whose headers are too much, though http.client would take them."""

SLOW: dict[str, Says] = {
    "silence": Says(waits=True),
    "a header that drips": Says(drip=http(200, VERDICT, X="x" * 10_000)),
    "a body that drips": Says(http(200, length="10000"), drip=b"x" * 10_000),
    "a body that stops": Says(http(200, b"{", length="1000"), waits=True),
}
"""Answers that would take minutes, or for ever."""

ENDLESS = Says(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=b"10000\r\n" + bytes(65536) + b"\r\n"
)


class Patient(SystemClock):
    """Waits between tries cost nothing."""

    def sleep(self, seconds: float) -> None:
        pass


CREDENTIALS = Credentials("AKIDweather", "fake-secret-weather", "fake-token-weather")


def faceid(peer: Peer) -> FaceidClient:
    client = FaceidClient(Wire(peer.url), "ap-singapore", "faceid.tencentcloudapi.com")
    client.use(CREDENTIALS)
    return client


def bucket(peer: Peer, seconds: float = ENOUGH) -> CosBucket:
    shared = Wire(peer.url)
    deadline = Deadline.after(Patient(), seconds)
    return CosBucket(BUCKET, "ap-singapore", CREDENTIALS, shared, shared.session(), deadline)


def consumer(peer: Peer) -> WebhookClient:
    return WebhookClient(Wire(None), peer.url, (SECRET,))


def post(client: WebhookClient, seconds: float = ENOUGH) -> webhook.Delivery:
    return client.post("msg_1", "{}", datetime.now(timezone.utc), seconds)


@contextlib.contextmanager
def peak_below(size: int) -> Iterator[None]:
    """No more than `size` bytes more than before may be held at any moment inside."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        yield
        assert tracemalloc.get_traced_memory()[1] - before < size
    finally:
        tracemalloc.stop()


LINK = Resource("https://faces/live.gz", "0" * 32)
LINKED = "https://a-1.cos.ap-singapore.myqcloud.com"


def fetch(client: FaceidClient) -> None:
    """Fetch a best frame, whose MD5 nobody knows."""
    with pytest.raises(FrameError, match="MD5"):
        client.frame(Verdict("Success", "", frame_url=f"{LINKED}/frame.jpg", frame_md5="0" * 32), ENOUGH)


def pass_on(client: FaceidClient, source: CosBucket) -> None:
    """Pass an upload through the relay that is another one by then."""
    stored = Stored("k", '"etag"', None, 0, datetime.now(timezone.utc))
    with contextlib.suppress(RelayError):
        client.relay(source, stored, "0" * 32, ENOUGH)


# --- the API ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weather", BAD)
def test_an_api_answer_that_is_none_is_trouble_and_perhaps_a_call(peer: Peer, weather: str) -> None:
    """Never an exception, never a verdict, and the next call works."""
    client = faceid(peer)
    peer.says(BAD[weather], Says(http(200, VERDICT, Content_Type="application/json")))
    answer = client.compare(LINK, LINK, ENOUGH)
    assert code_row(answer.code).klass == "transient"
    assert answer.executed
    assert len(peer.requests) == 1
    peer.wait_for_open(0)
    assert client.compare(LINK, LINK, ENOUGH).code == "Success"


@pytest.mark.parametrize("weather", SLOW)
def test_an_api_that_is_slow_is_given_its_seconds_and_no_more(peer: Peer, weather: str) -> None:
    """Whether it is silent, or drips its headers or its body."""
    client = faceid(peer)
    peer.says(SLOW[weather])
    answer = client.compare(LINK, LINK, SOON)
    assert (answer.code, answer.executed) == ("ClientNetworkError", True)
    peer.wait_for_open(0)


@pytest.mark.parametrize(("body", "code"), [(VERDICT, "Success"), (ERROR, "InternalError")])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/html"])
@pytest.mark.parametrize("zipped", [False, True])
def test_an_api_answer_is_read_however_it_is_wrapped(
    peer: Peer, body: bytes, code: str, content_type: str, zipped: bool
) -> None:
    """Compressed or not, and whatever its Content-Type says."""
    headers = {"Content_Type": content_type, **({"Content_Encoding": "gzip"} if zipped else {})}
    peer.says(Says(http(200, gzip.compress(body) if zipped else body, **headers)))
    assert faceid(peer).compare(LINK, LINK, ENOUGH).code == code


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_an_api_answer_that_says_nothing_is_our_own_code(peer: Peer, content_type: str) -> None:
    """It may have been a verdict. With a charset the SDK overlooks an error without a code."""
    client = faceid(peer)
    for body in (
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"Response": null}',
        b'{"Response": []}',
        b'{"Response": {}}',
        b'{"Response": {"Result": null, "RequestId": "r"}}',
        b'{"Response": {"Result": 5, "Sim": "high"}}',
        b'{"Response": {"Error": "text", "RequestId": "r"}}',
        b'{"Response": {"Error": {"Message": "without a code"}, "RequestId": "r"}}',
        b'{"Response":' + b"[" * 200_000,
    ):
        peer.says(Says(http(200, body, Content_Type=content_type), keep=True))
        answer = client.compare(LINK, LINK, ENOUGH)
        assert (answer.code, answer.executed) == ("Livepair.UnreadableAnswer", True), body[:80]


@pytest.mark.parametrize(
    "link",
    [f"{LINKED}:65536/up", f"{LINKED}:0/up", f"https://{'x' * 64}.{LINKED[8:]}/up", f"{LINKED}/\ud800"],
    ids=["no port", "port 0", "long label", "half a character"],
)
def test_a_relay_whose_link_is_none_is_an_answer(peer: Peer, link: str) -> None:
    """Of ours, and nothing was executed."""
    told = {"Response": {"UploadUrl": link, "ResourceUrl": LINKED, "Result": "Success", "RequestId": "r"}}
    answer = http(200, json.dumps(told).encode(), Content_Type="application/json")
    peer.says(Says(answer), Says())
    stored = Stored("k", '"etag"', None, 0, datetime.now(timezone.utc))
    with pytest.raises(RelayError) as caught:
        faceid(peer).relay(bucket(peer), stored, "0" * 32, ENOUGH)
    assert not caught.value.answer.executed


def test_an_api_answer_without_end_is_refused(peer: Peer) -> None:
    """Past 4 MB nothing more is read, and the connection is closed."""
    peer.says(ENDLESS)
    answer = faceid(peer).compare(LINK, LINK, ENOUGH)
    assert code_row(answer.code).klass == "transient"
    peer.wait_for_open(0)


# --- COS --------------------------------------------------------------------------------------------

ASKED: dict[str, Callable[[CosBucket], object]] = {
    "head": lambda found: found.head("k"),
    "read": lambda found: found.read("k"),
    "write": lambda found: found.write("k", b"{}"),
    "create": lambda found: found.create("k", b"{}"),
    "delete": lambda found: found.delete(["k"]),
    "list": lambda found: found.list("p/"),
}


TOLD = {
    "read": {"broken gzip"},
    "write": {"half a header"},
    "create": {"half a header"},
    "delete": {"half a header"},
}
"""What tells enough: a 200 stands in the first line, and no object is ever unpacked."""


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("weather", [*BAD, "a page without end"])
def test_a_cos_answer_that_is_none_is_a_cos_error(peer: Peer, weather: str, asked: str) -> None:
    """Of our own kind, with a text without links: never another exception, never a success that was none."""
    peer.says(BAD.get(weather, ENDLESS))
    told = weather in TOLD.get(asked, ())
    with contextlib.nullcontext() if told else pytest.raises(CosError, match=r"^COS could not") as caught:
        ASKED[asked](bucket(peer))
    assert told or LEAKS.search(str(caught)) is None


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("weather", SLOW)
def test_a_cos_that_is_slow_is_given_the_deadline_and_no_more(peer: Peer, weather: str, asked: str) -> None:
    """Each request stands inside what the invocation has left."""
    if asked == "head" and weather.startswith("a body"):
        return  # the answer to a HEAD has no body
    peer.says(SLOW[weather])
    with pytest.raises(Unavailable):
        ASKED[asked](bucket(peer, SOON / 3))
    peer.wait_for_open(0)


@pytest.mark.parametrize("asked", [name for name in ASKED if name != "create"])
def test_what_is_safe_to_repeat_is_asked_three_times(peer: Peer, asked: str) -> None:
    """And a create-only write, which is not, once."""
    peer.says(Says(http(502, HTML), keep=True))
    with pytest.raises(Unavailable):
        ASKED[asked](bucket(peer))
    assert len(peer.requests) == cos.TRIES
    with pytest.raises(Unavailable):
        ASKED["create"](bucket(peer))
    assert len(peer.requests) == cos.TRIES + 1


# --- the consumer -----------------------------------------------------------------------------------


UNTOLD = [
    "nothing",
    "no http",
    "an HTML page of 502",
    "a header line without end",
    "a thousand headers",
    *OVERWEIGHT,
    "a redirect to itself",
    "a redirect for good",
    "a redirect that keeps the method",
    "a redirect to nowhere",
    "not modified",
    "a compressed page without end",
]


@pytest.mark.parametrize("weather", UNTOLD)
def test_a_consumer_that_gives_no_answer_has_not_been_told(peer: Peer, weather: str) -> None:
    """Never an exception, never a success; redirects are not followed, and the next post goes through."""
    peer.says(BAD[weather], Says(http(204)))
    client = consumer(peer)
    assert not post(client).ok
    assert len(peer.requests) == 1
    peer.wait_for_open(0)
    assert post(client).ok


@pytest.mark.parametrize("number", [1, 3])
def test_what_a_consumer_says_beforehand_is_no_answer(peer: Peer, number: int) -> None:
    """102 Processing and 103 Early Hints come before the answer that counts (RFC 9110, section 15.2)."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    peer.says(Says(b"HTTP/1.1 102 Processing\r\n\r\n" + hints * number + http(204), keep=True))
    client = consumer(peer)
    assert [post(client).status for _ in range(2)] == [204, 204]
    assert peer.connections == 1


@pytest.mark.parametrize("weather", ["silence", "a header that drips"])
def test_a_consumer_that_never_answers_is_given_its_seconds_and_no_more(
    peer: Peer, weather: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much the invocation has left."""
    monkeypatch.setattr(webhook, "POST_SECONDS", SOON)
    peer.says(SLOW[weather])
    said = post(consumer(peer))
    assert (said.ok, said.timed_out) == (False, True)
    peer.wait_for_open(0)


@pytest.mark.parametrize("weather", ["a body that drips", "a body that stops", "a body that is cut"])
def test_a_status_counts_whatever_becomes_of_its_page(
    peer: Peer, weather: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 200 whose body never ends is a 200, and its connection is given up."""
    monkeypatch.setattr(webhook, "POST_SECONDS", SOON)
    peer.says({**BAD, **SLOW}[weather])
    assert post(consumer(peer)).ok
    peer.wait_for_open(0)


@pytest.mark.parametrize("weather", OVERWEIGHT)
def test_a_consumer_with_megabytes_of_headers_is_a_failure_with_a_name(peer: Peer, weather: str) -> None:
    """A failed attempt, not an instance that runs out of memory: no more is read than 64 KiB."""
    peer.says(BAD[weather])
    with peak_below(1_000_000):
        said = post(consumer(peer))
    assert (said.ok, said.timed_out) == (False, False)
    assert said.error == "an answer with more than 65536 bytes of headers"
    peer.wait_for_open(0)


SESSIONS: dict[str, Callable[[Peer], Callable[[], object]]] = {
    "the webhook": lambda peer: partial(post, consumer(peer)),
    "COS": lambda peer: partial(bucket(peer).head, "k"),
    "the API": lambda peer: partial(faceid(peer).compare, LINK, LINK, ENOUGH),
    "best frames": lambda peer: partial(fetch, faceid(peer)),
    "the relay": lambda peer: partial(pass_on, faceid(peer), bucket(peer)),
}
"""A request by each session there is."""


@pytest.mark.parametrize("session", SESSIONS)
def test_no_cookie_is_kept_or_sent_back(peer: Peer, session: str) -> None:
    """Whoever sets it: they would be kept for the life of the instance, and each costs a copy of itself."""
    relayed = {"UploadUrl": f"{LINKED}/up", "ResourceUrl": f"{LINKED}/up", "Result": "Success"}
    body = json.dumps({"Response": {**relayed, "RequestId": "r"}}).encode()
    answer = http(200, body, Content_Type="application/json", Last_Modified="Sun, 22 Nov 2026 12:00:30 GMT")
    peer.says(Says(with_cookies(answer, 3, "1; Path=/"), keep=True))
    ask = SESSIONS[session](peer)
    for _ in range(2):
        ask()
    assert len(peer.requests) >= 2
    assert [request for request in peer.requests if b"cookie" in request.lower()] == []


def test_an_error_page_of_ten_megabytes_is_not_read(peer: Peer) -> None:
    """64 KB of it are, in little memory; then its connection is closed."""
    peer.says(Says(http(500, b"x" * 10_000_000)))
    client = consumer(peer)
    with peak_below(2_000_000):
        said = post(client)
    assert (said.ok, said.status) == (False, 500)
    peer.wait_for_open(0)


# --- the wire itself --------------------------------------------------------------------------------


def get(shared: Wire, session: requests.Session, url: str, seconds: float = ENOUGH) -> connections.Exchange:
    """One GET whose answer is read whole. Returns what is known of it, also where it failed."""
    with shared.limit("test", seconds) as exchange, contextlib.suppress(requests.RequestException, OSError):
        session.get(url)
    return exchange


def test_the_time_is_one_for_headers_and_body(peer: Peer) -> None:
    """A peer that sends each byte in time, and all of them in far too much, is left in the middle."""
    shared = Wire(None)
    peer.says(Says(drip=http(200, length="50")[:30]), Says(http(200, length="50"), drip=b"x" * 50))
    session = shared.session()
    for status in (None, 200):
        with shared.limit("test", SOON) as exchange:
            with pytest.raises(requests.RequestException):
                session.get(peer.url)
            assert (exchange.sent, exchange.status) == (True, status)
            if status:
                with pytest.raises(TimeoutError):
                    exchange.left()
        peer.wait_for_open(0)


def test_no_request_starts_once_the_time_is_over(peer: Peer) -> None:
    """Nor does one count."""
    shared = Wire(None)
    peer.says(Says(http(200)))
    with shared.limit("test", 0.0) as exchange, pytest.raises(TimeoutError):
        shared.session().get(peer.url)
    assert not exchange.sent
    assert (shared.counts["test"], peer.connections) == (0, 0)


def test_a_request_outside_any_limit_is_a_fault_of_ours(peer: Peer) -> None:
    """Nothing goes out unbounded, not even by an oversight."""
    with pytest.raises(RuntimeError, match=r"outside Wire\.limit"):
        Wire(None).session().get(peer.url)
    assert peer.connections == 0


def test_a_limit_inside_another_gives_way_to_it_again(peer: Peer) -> None:
    """Each request counts under the kind of its own limit; no thread sees another's."""
    shared = Wire(None)
    session = shared.session()
    peer.says(Says(http(200, b"x"), keep=True))
    with shared.limit("outer", ENOUGH):
        get(shared, session, peer.url)
        session.get(peer.url)
        thread = threading.Thread(target=get, args=(shared, session, peer.url))
        thread.start()
        thread.join()
    assert shared.counts == {"outer": 1, "test": 2}


@pytest.mark.parametrize("weather", ["a redirect to itself", "a redirect for good", "a redirect to nowhere"])
def test_a_redirect_is_refused_and_followed_nowhere(peer: Peer, weather: str) -> None:
    """Its connection is closed, not kept with an unread body."""
    shared = Wire(None)
    peer.says(BAD[weather])
    with shared.limit("test", ENOUGH) as exchange, pytest.raises(Refused, match="redirected with status 30"):
        shared.session().get(peer.url)
    assert (exchange.status, len(peer.requests)) == (int(BAD[weather].data[9:12]), 1)
    peer.wait_for_open(0)


@pytest.mark.parametrize("size", [wire.MAX_ANSWER, wire.MAX_ANSWER + 1])
def test_an_answer_is_read_up_to_its_bound(peer: Peer, size: int) -> None:
    """To the byte; past it, it is refused."""
    shared = Wire(None)
    peer.says(Says(http(200, bytes(size)), keep=True))
    expected = pytest.raises(Refused) if size > wire.MAX_ANSWER else contextlib.nullcontext()
    with shared.limit("test", ENOUGH), expected:
        assert len(shared.session().get(peer.url).content) == size


def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to(peer: Peer) -> None:
    """60 MB of nothing in 60 KB are refused, and never held."""
    shared = Wire(None)
    peer.says(Says(http(200, zlib.compress(bytes(60_000_000)), Content_Encoding="deflate")))
    with peak_below(3 * wire.MAX_ANSWER), shared.limit("test", ENOUGH), pytest.raises(Refused):
        shared.session().get(peer.url)


def test_sent_tells_whether_bytes_went_out(peer: Peer) -> None:
    """Not where nobody listens; but where the peer takes the request and says nothing."""
    shared = Wire(None)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    assert not get(shared, shared.session(), url).sent
    peer.says(BAD["nothing"])
    assert get(shared, shared.session(), peer.url).sent


def test_sent_is_false_where_no_tls_came_about(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that speaks no TLS, or never answers its hello, has seen nothing of the request."""
    monkeypatch.setattr(connections, "CONNECT_SECONDS", SOON)
    shared = Wire(None)
    session = shared.session()
    for answer in (Says(http(400)), Says(waits=True)):
        peer.says(answer)
        assert not get(shared, session, peer.url.replace("http:", "https:")).sent
    assert peer.requests == []
    peer.wait_for_open(0)


def test_a_call_finds_the_connection_that_was_opened_for_it(peer: Peer) -> None:
    """Opened once, and nothing is sent before the call."""
    client = faceid(peer)
    peer.says(Says(http(200, VERDICT, Content_Type="application/json"), keep=True))
    for _ in range(2):
        client.open()
        peer.wait_for_open(1)
    assert peer.requests == []
    assert client.compare(LINK, LINK, ENOUGH).code == "Success"
    assert (len(peer.requests), peer.connections) == (1, 1)


def test_opening_a_connection_raises_nothing(peer: Peer) -> None:
    """Where nobody listens, the call will find out."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    client = FaceidClient(Wire(url), "ap-singapore", "faceid.tencentcloudapi.com")
    client.use(CREDENTIALS)
    client.open()
    assert not client.compare(LINK, LINK, ENOUGH).executed


def test_a_connection_that_came_to_no_tls_is_not_used(peer: Peer) -> None:
    """Nothing is sent in the clear over what was opened for TLS."""
    shared = Wire(None)
    session = shared.session()
    url = peer.url.replace("http:", "https:")
    peer.says(Says(http(400)))
    shared.open(session, url)
    peer.wait_for_open(0)
    assert not get(shared, session, url).sent
    assert peer.requests == []


def test_a_connection_is_used_again(peer: Peer) -> None:
    """Errors with a page included: their body is read, so nothing has to be dialled anew."""
    shared = Wire(None)
    session = shared.session()
    peer.says(Says(http(200, b"x" * 1000), keep=True), Says(http(500, HTML), keep=True))
    for _ in range(5):
        get(shared, session, peer.url)
    assert (len(peer.requests), peer.connections) == (5, 1)


def test_a_connection_that_the_peer_has_closed_is_dialled_anew(peer: Peer) -> None:
    """A warm instance comes back after minutes: its old connection is stale, and costs no failure."""
    shared = Wire(None)
    session = shared.session()
    peer.says(Says(http(200, b"x")))
    for _ in range(3):
        assert get(shared, session, peer.url).status == 200
        peer.wait_for_open(0)
    assert (len(peer.requests), peer.connections) == (3, 3)


@pytest.mark.parametrize(
    "weather",
    [
        "a body that is cut",
        "a chunk that is none",
        "a redirect to itself",
        "a header line without end",
        "broken gzip",
        "an endless page",
    ],
)
def test_no_connection_leaks_whatever_the_peer_does(peer: Peer, weather: str) -> None:
    """More bad answers than the pool has places; then one connection is open, and the pool still serves."""
    shared = Wire(None)
    session = shared.session()
    bad = BAD.get(weather, ENDLESS)
    good = Says(http(200, b"x"), keep=True)
    peer.says(*[bad] * (wire.POOL + 8), good)
    for _ in range(wire.POOL + 8):
        get(shared, session, peer.url)
        peer.wait_for_open(0)
    assert get(shared, session, peer.url).status == 200
    peer.wait_for_open(1)


# --- the whole function -----------------------------------------------------------------------------


def survive(livepair: Livepair, name: str = "42") -> None:
    """Upload a pair, hand over its events with the platform's two retries, then sweep until all is done."""
    livepair.put_pair(samples.live(seed=len(livepair.messages)), name=name)
    for event in list(livepair.events):
        for _ in range(3):
            with contextlib.suppress(CosError):
                livepair.handle(event)
                break
            livepair.cloud.clock.advance(60)
    livepair.events.clear()
    livepair.finish()


STORMS = (
    faults.html(502),
    faults.html(503, after_effect=True),
    faults.redirect("http://127.0.0.1:1/", 302),
    faults.cut_body(1),
)
"""No answer before the effect and after it, one that nobody repeats, and half of one. The rest is above."""


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("HeadObject", "uploads/*"),
        ("PutObject", "livepair/agenda/*"),
        ("PutObject", "livepair/claims/*"),
        ("GetObject", "livepair/claims/*"),
        ("PutObject", "livepair/records/*"),
        ("PutObject", "livepair/best-frames/*"),
        ("DeleteMultipleObjects", "*"),
    ],
)
def test_a_storm_over_cos_costs_no_outcome_and_no_second_verdict(
    livepair: Livepair, operation: str, key: str, times: int
) -> None:
    """Each operation of a verification, once and as often as it is tried again."""
    for number, storm in enumerate(STORMS):
        struck = livepair.cloud.faults.add(
            operation, key=key, service="cos", source="livepair", then=storm, times=times
        )
        survive(livepair, str(number))
        assert struck.hits, storm
        livepair.cloud.faults.remove(struck)
        assert [message["data"]["outcome"] for message in livepair.messages] == ["matched"] * (number + 1)
        assert len([call for call in livepair.calls if call.executed]) == number + 1, storm
        assert len({(each.id, each.body) for each in livepair.cloud.consumer.attempts}) == number + 1


@pytest.mark.parametrize(
    ("storm", "calls"),
    [
        (faults.html(502), 2),
        (faults.html(200), 2),
        (faults.redirect("/", 302), 2),
        (faults.cut_body(10), 2),
        (faults.drip(0.05), 2),
        (Action("json error", effect=False, status=500, code="InternalError"), 2),
    ],
    ids=lambda found: found.name if isinstance(found, Action) else None,
)
def test_a_storm_over_the_api_is_asked_through(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, storm: Action, calls: int
) -> None:
    """The second try brings the verdict; how many calls may have been executed is told."""
    monkeypatch.setattr(call, "CALL_SECONDS", 1.0)
    livepair.cloud.faults.add(COMPARE, then=storm)
    survive(livepair)
    assert (livepair.data["outcome"], livepair.data["api"]["calls"]) == ("matched", calls)


def test_an_api_that_answers_megabytes_is_asked_again(livepair: Livepair) -> None:
    """Five of them are refused; four that are JSON are read, and told in few bytes."""
    large: dict[str, Any] = {
        "Response": {"Error": {"Code": "FailedOperation.LivessDetectFake", "Message": "x" * 4_000_000}}
    }
    large["Response"]["RequestId"] = "r"
    livepair.cloud.faceid.script(
        Answer(raw=b" " * 5_000_000 + VERDICT), Answer(raw=json.dumps(large).encode())
    )
    survive(livepair)
    assert livepair.data["outcome"] == "rejected"
    assert len(livepair.cloud.consumer.attempts[0].body) < 2000


@pytest.mark.parametrize(
    ("behave", "attempts"),
    [
        (lambda found: found.hang(), 2),
        (lambda found: found.drip(0.05), 1),
        (lambda found: found.answer(304), 2),
    ],
    ids=["hang", "drip", "304"],
)
def test_a_storm_over_the_consumer_is_told_through(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, behave: Callable[[Any], object], attempts: int
) -> None:
    """Identical bytes until it answers; a 200 whose page never ends is a 200."""
    monkeypatch.setattr(webhook, "POST_SECONDS", SOON)
    behave(livepair.cloud.consumer)
    survive(livepair)
    assert livepair.data["outcome"] == "matched"
    found = livepair.cloud.consumer.attempts
    assert len(found) == attempts
    assert len({(each.id, each.body) for each in found}) == 1
    assert len(livepair.cloud.faceid.calls) == 1
