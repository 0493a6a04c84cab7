"""The two ways of passing uploads on: presigned links to the bucket, and the relay."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from qcloud_cos import CosConfig

from handler import index
from handler.clock import Deadline, SystemClock
from handler.edges import cos
from handler.edges.cos import CosBucket, Credentials
from handler.edges.wire import Wire
from handler.flow.call import CALL_SECONDS, LINK_MARGIN
from tests.cloud import Cloud, samples
from tests.cloud.cos_sign import Account
from tests.cloud.cos_store import Stored
from tests.cloud.faceid import COMPARE, RELAY, UPLOAD_URL, Answer, Call
from tests.cloud.faults import (
    Action,
    Operation,
    cut_after,
    cut_before,
    cut_body,
    html,
    refuse,
    run_after,
    run_before,
)
from tests.cloud.proxy import Request
from tests.support.harness import IMAGE, LIVE, Livepair

Configured = Callable[..., Livepair]

HOST = "faces-1250000000.cos.ap-singapore.myqcloud.com"
TOKEN = "x-cos-security-token"
MB = 1024 * 1024


def links(call: Call) -> list[str]:
    return [call.params["LiveDataUrl"], call.params["ImageUrl"]]


def query(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query, strict_parsing=True))


def window(link: str) -> tuple[int, int]:
    """From when to when a link holds, in seconds since 1970."""
    found = query(link)
    assert found["q-sign-time"] == found["q-key-time"]
    start, _, end = found["q-sign-time"].partition(";")
    return int(start), int(end)


@pytest.fixture
def anybody(cloud: Cloud) -> Iterator[requests.Session]:
    """Whoever got hold of a link, without any credentials."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": cloud.url}
        yield session


# --- presigned ---------------------------------------------------------------------------------------


def test_the_sdk_cannot_lead_the_links_to_another_domain(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its defaults come to be: the API is known to take links to this one."""

    def config(**given: Any) -> CosConfig:
        other = {"EnableOldDomain": False, "EnableInternalDomain": True, "AutoSwitchDomainOnRetry": True}
        return CosConfig(**{**other, **given})

    monkeypatch.setattr(cos, "CosConfig", config)
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    assert {urlsplit(link).netloc for link in links(livepair.calls[0])} == {HOST}
    assert {logged.host for logged in livepair.cloud.log if logged.service == "cos"} == {HOST}


def test_links_lead_to_the_public_host_of_the_bucket(livepair: Livepair) -> None:
    """Never to an address inside Tencent's network, and through LOCAL_CLOUD as plain http."""
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    for link, key in zip(links(livepair.calls[0]), (LIVE, IMAGE), strict=True):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.path) == ("http", HOST, f"/{key}")


@pytest.mark.parametrize("key", [LIVE, "uploads/申请 + 100%/live.gz", "uploads/../live.gz", "uploads//?/#"])
def test_links_are_https_without_a_local_cloud(key: str) -> None:
    """The same code as in production; nothing is sent."""
    wire = Wire(None)
    clock = SystemClock()
    bucket = CosBucket(
        "faces-1250000000",
        "ap-singapore",
        Credentials("fake-id", "fake-key", "fake-token"),
        wire,
        wire.session(),
        Deadline.after(clock, 60),
    )
    parts = urlsplit(bucket.link(key, 90))
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", HOST, "")
    assert wire.counts == {}


def test_a_link_without_a_token_has_none() -> None:
    """Permanent credentials."""
    wire = Wire(None)
    bucket = CosBucket(
        "faces-1250000000",
        "ap-singapore",
        Credentials("fake-id", "fake-key", None),
        wire,
        wire.session(),
        Deadline.after(SystemClock(), 60),
    )
    assert TOKEN not in query(bucket.link(LIVE, 90))


def test_the_session_token_is_in_the_link_and_signed(livepair: Livepair, anybody: requests.Session) -> None:
    """It is the invocation's own; without it, or with another one, the link opens nothing."""
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    (call,) = livepair.calls
    token = livepair.cloud.accounts[call.secret_id].token
    assert token
    for link in links(call):
        found = query(link)
        assert (found["q-ak"], found[TOKEN]) == (call.secret_id, token)
        assert TOKEN in found["q-url-param-list"].split(";")
        assert "host" in found["q-header-list"].split(";")
        assert anybody.get(link).status_code == 200
        assert anybody.get(link.replace(token, "fake-token")).status_code == 403
        assert anybody.get(link.replace(f"&{TOKEN}={token}", "")).status_code == 403


def test_a_token_with_any_character_is_signed(livepair: Livepair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tencent documents no alphabet."""
    token = "fake/token+with=every~sign&and%25 more_-.*"
    livepair.cloud.accounts["fake-id"] = Account("fake-key", token)
    monkeypatch.setenv("TENCENTCLOUD_SECRETID", "fake-id")
    monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", "fake-key")
    monkeypatch.setenv("TENCENTCLOUD_SESSIONTOKEN", token)
    livepair.put_pair()
    for event in livepair.events:
        index.main_handler(event, {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.data["outcome"] == "matched"
    assert query(links(livepair.calls[0])[0])[TOKEN] == token


def test_a_link_opens_its_object_for_reading_only(livepair: Livepair, anybody: requests.Session) -> None:
    """No other method, no other object."""
    livepair.put_pair()
    livepair.put("uploads/43/live.gz", samples.live(seed=9))
    livepair.drop(1)
    livepair.run()
    link, _ = links(livepair.calls[0])
    before = livepair.bucket.get(LIVE)
    answer = anybody.get(link)
    assert (answer.status_code, answer.content) == (200, before.data)
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        assert anybody.request(method, link, data=b"x").status_code == 403
    assert anybody.get(link.replace("/42/", "/43/")).status_code == 403
    assert anybody.get(f"{link}&prefix=").status_code == 200
    assert anybody.get(link.replace(f"/{LIVE}", "/")).status_code == 403
    assert livepair.bucket.get(LIVE) is before


@pytest.mark.parametrize("seconds", [900.0, 90.0, 45.0])
def test_a_link_outlives_its_call_and_not_much_more(
    livepair: Livepair, anybody: requests.Session, seconds: float
) -> None:
    """However long the invocation may take: it holds for the longest call and a minute more."""
    livepair.put_pair()
    for event in livepair.events:
        livepair.handle(event, seconds=seconds)
    (call,) = livepair.calls
    made = call.at.timestamp()
    longest = min(CALL_SECONDS, seconds)
    for link in links(call):
        start, end = window(link)
        assert start <= made
        assert made + min(CALL_SECONDS, seconds - 15) <= end <= made + longest + LINK_MARGIN
        assert anybody.get(link).status_code == 200
    livepair.cloud.clock.advance(longest + LINK_MARGIN + 1)
    for link in links(call):
        assert anybody.get(link).status_code == 403


def test_every_call_gets_links_of_its_own(livepair: Livepair) -> None:
    """A second try in the same invocation, and later ones with later credentials."""
    livepair.cloud.faceid.script(*[Answer(error="FailedOperation.LivessSystemError")] * 3)
    livepair.cloud.faults.add(COMPARE, then=run_after(lambda: livepair.cloud.clock.advance(7)), times=1)
    livepair.put_pair()
    livepair.run()
    assert livepair.sweep(2) == []
    assert livepair.sweep(5) == ["matched"]
    made = livepair.calls
    assert len(made) == 4
    assert len({call.secret_id for call in made}) == 3
    for link in links(made[1]):
        assert window(link)[1] > made[1].at.timestamp() + CALL_SECONDS
    starts = [window(links(call)[0])[0] for call in made]
    assert starts == sorted(set(starts))
    for call in made:
        for link in links(call):
            assert query(link)["q-ak"] == call.secret_id
            assert query(link)[TOKEN] == livepair.cloud.accounts[call.secret_id].token


def test_no_link_is_asked_of_cos(livepair: Livepair) -> None:
    """Signing is arithmetic: links cost no request, and nothing but the API is given one."""
    livepair.put_pair()
    livepair.run()
    assert [each.key for each in livepair.requests("GetObject") if each.key.startswith("uploads/")] == []


# --- the relay ---------------------------------------------------------------------------------------


@pytest.fixture
def relayed(configured: Configured) -> Livepair:
    return configured(PASS_RESOURCES="upload_url")


class Puts:
    """What the relay was sent: the headers of every PUT."""

    def __init__(self, livepair: Livepair) -> None:
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        livepair.cloud.faults.add("PutObject", service="faceid-files", then=self._see, times=None)

    def _see(self, request: Request, operation: Operation) -> Action | None:
        with self._lock:
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return None


def test_the_relay_gets_both_uploads_whole(relayed: Livepair) -> None:
    """With their length, never chunked, without our credentials; and the call names the relay's links."""
    puts = Puts(relayed)
    live, image = samples.live(pad=300_000), samples.image()
    relayed.put(IMAGE, image)
    relayed.put(LIVE, live)
    assert relayed.run() == ["matched"]
    assert sorted(int(headers["content-length"]) for headers in puts.headers) == sorted(
        [len(live), len(image)]
    )
    for headers in puts.headers:
        assert "transfer-encoding" not in headers
        assert "authorization" not in headers
        assert TOKEN not in headers
    (call,) = relayed.calls
    assert [urlsplit(link).netloc.partition(".")[0] for link in links(call)] == [RELAY, RELAY]
    assert call.params["LiveDataMd5"] == hashlib.md5(live).hexdigest()
    assert call.params["ImageMd5"] == hashlib.md5(image).hexdigest()
    assert relayed.data["api"]["calls"] == 1


@pytest.mark.parametrize("mode", ["upload_url", "presigned"])
def test_an_upload_of_fifty_megabytes_is_never_held_in_memory(cloud: Cloud, code: Path, mode: str) -> None:
    """Hashed and passed on in pieces: a real instance grows by a few megabytes at the most."""
    cloud.faceid.latency = 0.0
    function = cloud.deploy(code, {"PASS_RESOURCES": mode, "MAX_IMAGE_BYTES": "50000000"}, timeout=120)
    assert function.memory == 256
    bucket = cloud.cos.bucket(cloud.bucket)
    bucket.put("uploads/1/image.jpg", samples.image())
    cloud.scf.wait_idle()
    bucket.put("uploads/1/live.gz", samples.live())
    cloud.scf.wait_idle()
    small = max(each.memory for each in cloud.scf.invocations)
    bucket.put_synthetic("uploads/2/image.jpg", 49_999_999)
    cloud.scf.wait_idle()
    bucket.put_synthetic("uploads/2/live.gz", 50_000_000)
    cloud.scf.wait_idle(120)
    large = max(each.memory for each in cloud.scf.invocations)
    assert all(each.ok for each in cloud.scf.invocations)
    told = [message["data"] for message in cloud.consumer.messages.values()]
    assert [(each["outcome"], each["live"]["size"]) for each in told] == [
        ("matched", len(samples.live())),
        ("rejected", 50_000_000),
    ]
    assert told[1]["live"]["md5"] == bucket.get("uploads/2/live.gz").md5
    if small:  # where /proc tells
        assert large - small < 16


def test_bytes_that_change_on_their_way_are_a_replaced_upload(relayed: Livepair) -> None:
    """Other bytes under the same ETag came through, and then the object is another one: it is judged."""
    bucket = relayed.bucket
    relayed.put_pair(samples.live(seed=1))
    relayed.drop()
    first = bucket.get(LIVE)
    other, second = b"x" * first.size, samples.live(seed=3)

    def swap() -> None:
        bucket.write(LIVE, Stored(other), first.etag, {}, silent=True)

    def replaced() -> None:
        bucket.put(LIVE, second, silent=True)

    relayed.cloud.faults.add("GetObject", service="cos", key=LIVE, then=run_before(swap))

    def passed_on(request: Request, operation: Operation) -> Action | None:
        # The image is passed on at the same time.
        return run_after(replaced) if request.headers["Content-Length"] == str(first.size) else None

    relayed.cloud.faults.add("PutObject", service="faceid-files", then=passed_on, times=2)
    assert relayed.run() == ["matched"]
    (call,) = relayed.calls
    assert call.params["LiveDataMd5"] == hashlib.md5(second).hexdigest()
    assert relayed.data["live"]["md5"] == hashlib.md5(second).hexdigest()
    assert relayed.data["api"]["calls"] == 1


def test_bytes_that_never_match_their_etag_are_not_judged(relayed: Livepair) -> None:
    """The object is still the one that was looked up: it is tried again, and nothing wrong is sent on."""
    bucket = relayed.bucket
    relayed.put_pair(samples.live(seed=1))
    first = bucket.get(LIVE)
    bucket.write(LIVE, Stored(b"x" * first.size), first.etag, {}, silent=True)
    assert relayed.run() == []
    assert relayed.calls == []
    bucket.write(LIVE, first.content, first.etag, {}, silent=True)
    assert relayed.sweep(2) == ["matched"]
    assert relayed.data["api"]["calls"] == 1


@pytest.mark.parametrize(
    ("operation", "service", "fault"),
    [
        ("PutObject", "faceid-files", refuse(500, "InternalError")),
        ("PutObject", "faceid-files", refuse(403, "AccessDenied")),
        ("PutObject", "faceid-files", cut_before()),
        ("PutObject", "faceid-files", cut_after()),
        ("PutObject", "faceid-files", html(502)),
        (UPLOAD_URL, "faceid", refuse(200, "RequestLimitExceeded")),
        (UPLOAD_URL, "faceid", cut_before()),
        (UPLOAD_URL, "faceid", cut_after()),
        (UPLOAD_URL, "faceid", html(502)),
        (UPLOAD_URL, "faceid", refuse(200, "InternalError")),
    ],
)
def test_a_relay_that_fails_is_tried_again_and_counts_as_no_call(
    relayed: Livepair, operation: str, service: str, fault: Action
) -> None:
    """Nothing was judged: the next try, at once or from the agenda, is call number one."""
    relayed.cloud.faults.add(operation, service=service, then=fault, times=1)
    relayed.put_pair()
    outcomes = relayed.run() + relayed.sweep(3) + relayed.sweep(3)
    assert outcomes == ["matched"]
    assert (len(relayed.calls), relayed.data["api"]["calls"]) == (1, 1)


@pytest.mark.parametrize("fault", [refuse(503, "ServiceUnavailable"), cut_before(), cut_body(40)])
def test_an_upload_that_cannot_be_read_for_the_relay_counts_as_no_call(
    relayed: Livepair, fault: Action
) -> None:
    """COS fails once while the upload is passed on: nobody asked the API, least of all about half."""
    relayed.cloud.faults.add("GetObject", service="cos", key=LIVE, then=fault, times=1)
    relayed.put_pair()
    outcomes = relayed.run() + relayed.sweep(3) + relayed.sweep(3)
    assert outcomes == ["matched"]
    (call,) = relayed.calls
    assert call.params["LiveDataMd5"] == relayed.bucket.get(LIVE).md5
    assert relayed.data["api"]["calls"] == 1


def test_no_call_starts_with_too_little_time_left_after_a_slow_relay(relayed: Livepair) -> None:
    """Under 20 s are left once both uploads are passed on: the next sweep calls, with a whole call's time."""
    slow = relayed.cloud.faults.add(
        "PutObject", service="faceid-files", then=run_after(lambda: relayed.clock.lose(22)), times=None
    )
    relayed.put(IMAGE, samples.image())
    relayed.drop()
    relayed.put(LIVE, samples.live())
    assert relayed.handle(relayed.events.pop(), seconds=62) == {"outcomes": []}
    assert relayed.calls == []
    relayed.cloud.faults.remove(slow)
    assert relayed.sweep(3) == ["matched"]
    assert relayed.data["api"]["calls"] == 1


def test_the_relay_takes_a_multipart_upload(relayed: Livepair) -> None:
    """Its MD5 is read first, then its bytes are passed on."""
    relayed.put(IMAGE, samples.image())
    data = samples.live()
    relayed.bucket.write(LIVE, Stored(data), "0" * 32 + "-2", {}, event="CompleteMultipartUpload")
    assert relayed.run() == ["matched"]
    (call,) = relayed.calls
    assert call.params["LiveDataMd5"] == hashlib.md5(data).hexdigest()


def test_every_piece_of_the_best_frame_goes_through_the_local_cloud(relayed: Livepair) -> None:
    """Links met there say https; all of them go through it as plain http."""
    relayed.put_pair()
    relayed.run()
    files = [each for each in relayed.cloud.log if each.service == "faceid-files"]
    mine = [each.operation for each in files if each.source == "livepair"]
    assert sorted(mine) == ["GetObject", "PutObject", "PutObject"]
