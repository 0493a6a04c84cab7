"""Nothing secret gets out: into logs, errors, state or messages, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from handler import index
from handler.edges.cos import Credentials
from handler.edges.faceid import Resource
from handler.log import silence_libraries
from handler.rules.outcome import Answer as HandlerAnswer
from handler.rules.settings import load_settings
from tests.cloud import Cloud, samples
from tests.cloud.consumer import SECRET
from tests.cloud.faceid import COMPARE, UPLOAD_URL, Answer, BestFrame
from tests.cloud.faults import (
    Action,
    Operation,
    content_type,
    cut_after,
    cut_before,
    cut_body,
    html,
    redirect,
    refuse,
)
from tests.cloud.proxy import Request
from tests.support.harness import IMAGE, LIVE, Livepair

HOOK_PATH, HOOK_QUERY = "hook-path-8d1f", "hook-query-77c2"
SIGNATURE = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e"
"""The signature of links that the API quotes."""

LINK = (
    "faces-1250000000.cos.ap-singapore.myqcloud.com/uploads/42/live.gz?q-sign-algorithm=sha1"
    "&q-ak=AKIDlocalcloudtemporary000001&q-sign-time=1;2&q-key-time=1;2&q-header-list=host"
    f"&q-url-param-list=x-cos-security-token&q-signature={SIGNATURE}"
    "&x-cos-security-token=fake-token-temporary-000001"
)
CONTEXT = {"request_id": "r", "time_limit_in_ms": 60_000}


class _Handler(logging.Handler):
    """What anybody who listens at the root logger would read."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The servers of the local cloud share the process; they may say what they like.
        if record.threadName not in ("local-cloud", "consumer"):
            self.texts.append(self.format(record))


@dataclass
class Watch:
    """The function with everything around it being watched."""

    livepair: Livepair
    capture: pytest.CaptureFixture[str]
    handler: _Handler
    secrets: set[str] = field(default_factory=set)
    raised: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def see(self, request: Request, operation: Operation) -> Action | None:
        """Note what in a request is secret; nothing happens to it."""
        sent = request.headers.get("Authorization")
        if sent:
            self.secrets |= {sent, sent.rpartition("=")[2]}
        for name, value in parse_qsl(request.raw_query):
            if name in ("q-signature", "x-cos-security-token"):
                self.secrets.add(value)
        token = request.headers.get("X-TC-Token") or request.headers.get("x-cos-security-token")
        if token:
            self.secrets.add(token)
        return None

    def attempt(self, action: Callable[[], Any]) -> None:
        """Do it; what it raises is kept as the platform would print it."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 # whatever it is, it is looked at
            self.raised.append("".join(traceback.format_exception(error)))
            self.raised += [repr(error), str(error), str(error.args)]

    def run(self) -> None:
        """All waiting events, then the timer in the next minutes."""
        for event in list(self.livepair.events):
            self.attempt(lambda event=event: self.livepair.handle(event))  # type: ignore[misc]
        self.livepair.events.clear()
        for _ in range(2):
            self.attempt(lambda: self.livepair.sweep(3))

    def upload(self, live: bytes | None = None, name: str = "42") -> None:
        """Both halves over HTTP, so that their events hold the uploader's signature."""
        self.livepair.cloud.upload(f"uploads/{name}/image.jpg", samples.image())
        self.livepair.cloud.upload(f"uploads/{name}/live.gz", live if live is not None else samples.live())
        for event in self.livepair.events:
            headers = event["Records"][0]["event"]["requestParameters"]["requestHeaders"]
            self.secrets.add(headers.get("Authorization", ""))

    def check(self) -> None:
        """Look everywhere for everything."""
        cloud = self.livepair.cloud
        for secret_id, account in cloud.accounts.items():
            self.secrets |= {secret_id, account.secret_key, account.token or secret_id}
        self.secrets |= {SECRET, SECRET.removeprefix("whsec_"), HOOK_PATH, HOOK_QUERY, SIGNATURE}
        for attempt in cloud.consumer.attempts:
            self.secrets.add(attempt.headers["webhook-signature"])
        for call in cloud.faceid.calls:
            self.secrets |= {value for name, value in call.params.items() if name.endswith("Url")}
        self.secrets.discard("")
        captured = self.capture.readouterr()
        self.lines += captured.out.splitlines()
        assert captured.err == ""
        places = {
            "log": "\n".join(self.lines),
            "logging": "\n".join(self.handler.texts),
            "errors": "\n".join(self.raised),
            "messages": "\n".join(attempt.body.decode() for attempt in cloud.consumer.attempts),
        }
        for bucket in cloud.cos.buckets.values():
            for key in bucket.keys("livepair/"):
                places[f"state key {key}"] = key
                if not key.endswith(".jpg"):
                    places[f"state {key}"] = bucket.get(key).data.decode()
        assert len(self.secrets) > 10
        for place, text in places.items():
            for found in (text, unquote(text)):
                for secret in self.secrets:
                    assert secret not in found, f"{secret!r} in {place}: {found}"
                assert "q-signature" not in found, f"{place}: {found}"
                assert "TC3-HMAC-SHA256" not in found, f"{place}: {found}"
        for line in self.lines:
            check_line(line)


def check_line(line: str) -> None:
    """One flat JSON object of at most 8 KB, as CLS parses it."""
    assert len(line.encode()) <= 8 * 1024
    found = json.loads(line)
    assert isinstance(found, dict), line
    for name, value in found.items():
        assert isinstance(value, (str, int, float, bool)), f"{name} of {line}"
    assert {"level", "event", "livepair", "request_id"} <= found.keys()


@pytest.fixture
def root() -> Iterator[_Handler]:
    """The root logger at DEBUG with a handler that reads everything."""
    found, handler = logging.getLogger(), _Handler()
    before = found.level
    found.setLevel(logging.DEBUG)
    found.addHandler(handler)
    yield handler
    found.removeHandler(handler)
    found.setLevel(before)


@pytest.fixture
def watching(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: _Handler
) -> Callable[..., Watch]:
    """The function at LOG_LEVEL=DEBUG, its webhook's URL secret."""

    def make(**settings: str) -> Watch:
        url = f"{cloud.consumer.url}/{HOOK_PATH}?key={HOOK_QUERY}"
        livepair = Livepair(cloud, monkeypatch, **{"WEBHOOK_URL": url, "LOG_LEVEL": "DEBUG", **settings})
        watch = Watch(livepair, capfd, root)
        cloud.faceid.limits[COMPARE] = 1000
        cloud.faults.add("*", then=watch.see, times=None)
        return watch

    return make


Watching = Callable[..., Watch]


LIVES: list[dict[str, Any]] = [
    {},
    {"sim": 10.0},
    {"error": "FailedOperation.ActionLightDark"},
    {"result": "FailedOperation.LivessDetectFake"},
    {"error": "FailedOperation.BrandNew"},
]


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_no_outcome_tells_a_secret(watching: Watching, mode: str) -> None:
    """Matched, mismatched, rejected, and one that nobody knows."""
    watch = watching(PASS_RESOURCES=mode)
    for number, live in enumerate(LIVES):
        watch.upload(samples.live(**live), name=str(number))
    watch.run()
    assert len(watch.livepair.messages) == len(LIVES)
    watch.check()


def test_no_log_tells_metadata(watching: Watching) -> None:
    """It is passed to the webhook, and stands in the record that holds the message: nowhere else."""
    watch = watching(PASS_METADATA="attempt")
    cloud, words = watch.livepair.cloud, "metadata-4be1"
    live = iter((samples.live(), samples.live(error="FailedOperation.BrandNew"), b""))
    for name in ("told", "failed", "empty"):
        for key, data in (
            (f"uploads/{name}/image.jpg", samples.image()),
            (f"uploads/{name}/live.gz", next(live)),
        ):
            cloud.uploader.put_object(
                Bucket=cloud.bucket, Key=key, Body=data, Metadata={"x-cos-meta-attempt": words}
            )
    cloud.faults.add(
        "PutObject", key="livepair/records/*", source="livepair", then=refuse(503, "Busy"), times=3
    )
    watch.run()
    assert [message["data"]["live"]["metadata"] for message in watch.livepair.messages] == [
        {"attempt": words}
    ] * 3
    watch.check()
    written = watch.lines + watch.handler.texts + watch.raised
    assert [text for text in written if words in text] == []
    state = cloud.cos.bucket(cloud.bucket)
    holding = {key for key in state.keys("livepair/") if words.encode() in state.get(key).data}
    assert {key.split("/")[1] for key in holding} == {"records"}


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_a_throttled_call_tells_no_secret(watching: Watching, mode: str) -> None:
    """Each call refused, that for an upload link too."""
    watch = watching(PASS_RESOURCES=mode)
    watch.livepair.cloud.faceid.limits |= {COMPARE: 0, UPLOAD_URL: 1}
    watch.upload()
    watch.run()
    assert watch.livepair.messages == []
    watch.check()


@pytest.mark.parametrize("how", ["500", "410", "cut", "redirect", "huge", "retry", "refused", "nameless"])
def test_a_failing_webhook_tells_no_secret(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Neither its path nor its query, whatever is the matter; and nothing that it answers."""
    watch = watching()
    consumer = watch.livepair.cloud.consumer
    leak = f"{HOOK_PATH} {HOOK_QUERY} {SECRET}"
    if how in ("500", "410"):
        consumer.answer(int(how), body=leak.encode(), times=None)
    elif how == "cut":
        consumer.cut(times=None)
    elif how == "redirect":
        consumer.redirect(f"{consumer.url}/{HOOK_PATH}?key={HOOK_QUERY}", times=None)
    elif how == "huge":
        consumer.huge(200_000, times=None)
    elif how == "retry":
        consumer.answer(503, {"Retry-After": leak, "X-Leak": leak}, times=None)
    elif how == "refused":
        watch.livepair.configure(WEBHOOK_URL=f"http://127.0.0.1:1/{HOOK_PATH}?key={HOOK_QUERY}")
    else:
        url = f"https://nowhere.invalid/{HOOK_PATH}?key={HOOK_QUERY}"
        watch.livepair.configure(WEBHOOK_URL=url)
    watch.upload()
    watch.run()
    for _ in range(10):
        watch.attempt(lambda: watch.livepair.sweep(60 * 15))
    assert len(watch.livepair.state("records/")) == 1
    watch.check()


FAULTS = [
    refuse(403, "SignatureDoesNotMatch", f"StringToSign {LINK}"),
    refuse(400, "ExpiredToken", "fake-token-temporary-000002"),
    refuse(503, "ServiceUnavailable", f"https://{LINK}"),
    cut_before(),
    cut_after(),
    html(200, after_effect=True),
    redirect(f"https://{LINK}"),
    content_type(f"text/html; charset=https://{LINK}"),
]


@pytest.mark.parametrize(
    "name", ["HeadObject", "GetObject", "PutObject", "GetBucket", "DeleteMultipleObjects"]
)
def test_a_failing_cos_tells_no_secret(watching: Watching, name: str) -> None:
    """Each operation fails in one way after the other, in a row that a retry cannot bridge."""
    watch = watching()
    for number, fault in enumerate(FAULTS):
        watch.upload(name=str(number))
        found = watch.livepair.cloud.faults.add(name, service="cos", source="livepair", then=fault, times=3)
        watch.run()
        assert found.hits
        watch.livepair.cloud.faults.remove(found)
    watch.check()


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_credentials_that_are_refused_tell_no_secret(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A wrong key, a wrong token, an expired one, an id that nobody knows: COS and the API quote them."""
    watch = watching(PASS_RESOURCES=mode)
    watch.upload()
    cloud = watch.livepair.cloud
    good = cloud.temporary_credentials()
    expired = cloud.temporary_credentials(seconds=-1)
    for secret_id, key, token in (
        (good.secret_id, "fake-wrong-key", good.token or ""),
        (good.secret_id, good.secret_key, "fake-wrong-token"),
        (good.secret_id, good.secret_key, ""),
        ("fake-unknown-id", good.secret_key, good.token or ""),
        (expired.secret_id, expired.secret_key, expired.token or ""),
    ):
        monkeypatch.setenv("TENCENTCLOUD_SECRETID", secret_id)
        monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", key)
        monkeypatch.setenv("TENCENTCLOUD_SESSIONTOKEN", token)
        for event in (*watch.livepair.events, {"Type": "Timer"}, {"Type": "Timer", "Message": "reconcile"}):
            count = len(watch.raised)
            watch.attempt(lambda event=event: index.main_handler(event, CONTEXT))  # type: ignore[misc]
            assert len(watch.raised) > count, "without credentials that hold, nothing can be promised"
    watch.secrets |= {"fake-wrong-key", "fake-wrong-token", "fake-unknown-id"}
    watch.check()


FRAMES = [
    BestFrame(status=302, headers={"Location": f"https://{LINK}"}),
    BestFrame(status=500),
    BestFrame(url=f"https://example.com/{LINK}"),
    BestFrame(url=f"https://{SIGNATURE}:{SIGNATURE}@{LINK}"),
    BestFrame(url=f"//{LINK}"),
    BestFrame(url=f"https://unknown-1250000000.cos.ap-singapore.myqcloud.com/?{LINK}"),
    BestFrame(url=f"https://unknown-1250000000.cos.ap-singapore.myqcloud.com:99999/?{LINK}"),
    BestFrame(url=f"https:{LINK}"),
    BestFrame(url=f"https://[{LINK}"),
    BestFrame(url=SIGNATURE),
]


def test_a_failing_best_frame_tells_no_secret(watching: Watching) -> None:
    """Its link is one to a face. The outcome is told without it, and nobody is billed twice."""
    watch = watching()
    watch.livepair.cloud.faceid.script(*[Answer(best_frame=frame) for frame in FRAMES])
    for number in range(len(FRAMES)):
        watch.upload(name=str(number))
    watch.run()
    assert len(watch.livepair.messages) == len(FRAMES)
    for message in watch.livepair.messages:
        assert message["data"]["best_frame"] is None
        assert message["data"]["api"]["calls"] == 1
    watch.check()


@pytest.mark.parametrize("place", ["Error", "Result"])
def test_an_api_that_quotes_links_tells_no_secret(watching: Watching, place: str) -> None:
    """Those that it was sent, for a code that is tried again, a final one and an unknown one."""
    watch = watching()
    faceid = watch.livepair.cloud.faceid
    code = ""

    def script(request: Request, operation: Operation) -> Action | None:
        # Quoted are the credentials of this very invocation.
        said = f"{request.headers['X-TC-Token']} in https://{LINK}"
        response: dict[str, Any] = {"RequestId": "r-1"}
        if place == "Error":
            response["Error"] = {"Code": code, "Message": said}
        else:
            response |= {"Result": code, "Description": said, "BestFrameUrl": f"https://{LINK}"}
        faceid.script(Answer(error=code, raw={"Response": response}))
        return None

    watch.livepair.cloud.faults.add(COMPARE, then=script, times=None)
    for code in ("FailedOperation.DownLoadError", "FailedOperation.LivessDetectFail", "New"):
        watch.upload(name=code)
        watch.run()
    assert len(watch.livepair.calls) >= 4
    watch.check()


API_FAULTS = [
    refuse(403, "AuthFailure.SignatureFailure", f"https://{LINK}"),
    refuse(200, "InternalError", f"https://{LINK}"),
    cut_before(),
    cut_after(),
    cut_body(7),
    html(502),
    redirect(f"https://{LINK}", 307),
    content_type("text/html"),
]


@pytest.mark.parametrize("operation", [COMPARE, UPLOAD_URL, "PutObject"])
def test_a_failing_api_or_relay_tells_no_secret(watching: Watching, operation: str) -> None:
    """Each request of relay mode fails in one way after the other."""
    watch = watching(PASS_RESOURCES="upload_url")
    service = "faceid-files" if operation == "PutObject" else "faceid"
    for number, fault in enumerate(API_FAULTS):
        watch.upload(name=str(number))
        found = watch.livepair.cloud.faults.add(operation, service=service, then=fault, times=4)
        watch.run()
        assert found.hits
        watch.livepair.cloud.faults.remove(found)
    watch.check()


def test_an_event_of_another_shape_is_not_repeated(watching: Watching) -> None:
    """An API gateway's holds its caller's Authorization, a broken COS event its uploader's."""
    watch = watching()
    watch.upload()
    (first, second) = watch.livepair.events
    authorization = f"q-sign-algorithm=sha1&q-signature={SIGNATURE}"
    del first["Records"][0]["cos"]["cosObject"]["key"]
    second["Records"][0]["event"]["eventName"] = "cos:ObjectFrozen:Put"
    for event in (
        first,
        second,
        {"headers": {"Authorization": authorization}, "body": authorization, "queryString": authorization},
        {"Records": [authorization]},
        {"Records": [{"cos": authorization}]},
        {"Records": [{"eventSource": authorization}]},
        [authorization],
        authorization,
    ):
        count = len(watch.raised)
        watch.attempt(lambda event=event: watch.livepair.handle(event))  # type: ignore[misc]
        assert len(watch.raised) > count
    watch.livepair.events.clear()
    watch.check()


def test_keys_of_any_kind_make_fine_log_lines(watching: Watching) -> None:
    """The longest keys, quotes, line ends, emoji, in lines, errors and ignored events: flat JSON, 8 KB."""
    watch = watching(LIVE_KEY="uploads/{id}/live.gz", IMAGE_KEY="uploads/{id}/image.jpg,faces/{id}.png")
    for value in ("\n" * 830, "🙂" * 205, '"' * 830, "\x00" * 830, "\u2028" * 270, "a" * 830):
        for key in (f"uploads/{value}/live.gz", f"uploads/{value}/other"):
            watch.livepair.put(key, samples.live())
    watch.upload()
    cos = watch.livepair.cloud.faults.add("HeadObject", then=refuse(403, "AccessDenied"), times=20)
    watch.run()
    watch.livepair.cloud.faults.remove(cos)
    watch.run()
    watch.check()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_the_log_level_is_kept(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], level: str
) -> None:
    """Nothing below it is printed."""
    order = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    livepair = Livepair(cloud, monkeypatch, LOG_LEVEL=level)
    livepair.put(LIVE, samples.live())
    livepair.put("elsewhere", b"")
    livepair.run()
    livepair.handle({"Type": "Timer"})
    for line in capfd.readouterr().out.splitlines():
        check_line(line)
        assert order.index(json.loads(line)["level"]) >= order.index(level)


def test_values_that_hold_secrets_do_not_show_them(cloud: Cloud) -> None:
    """Debuggers and assertions print a repr."""
    credentials = ("fake-secret-id", "fake-secret-key", "fake-token")
    settings = load_settings(
        {
            "BUCKET": "faces-1250000000",
            "WEBHOOK_URL": f"https://hooks.example.com/{HOOK_PATH}?key={HOOK_QUERY}",
            "WEBHOOK_SECRET": SECRET,
            "LOCAL_CLOUD": "http://127.0.0.1:1",
        }
    )
    shown = repr(
        [
            settings,
            Credentials(*credentials),
            Resource(f"https://{LINK}", "0" * 32),
            HandlerAnswer("Success", "", frame_url=f"https://{LINK}"),
        ]
    )
    for secret in (*credentials, SECRET, HOOK_PATH, HOOK_QUERY, SIGNATURE):
        assert secret not in shown


def test_libraries_stay_silent_whoever_listens(root: _Handler, capfd: pytest.CaptureFixture[str]) -> None:
    """Their loggers, and those below them, reach no handler of the root."""
    silence_libraries()
    for name in (
        "qcloud_cos.cos_client",
        "qcloud_cos.cos_auth",
        "tencentcloud_sdk_common",
        "urllib3.connectionpool",
        "urllib3.util.retry",
        "requests",
    ):
        for level in (logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL):
            logging.getLogger(name).log(level, "a secret of %s", name)
    assert root.texts == []
    assert capfd.readouterr() == ("", "")


def test_a_real_instance_in_trouble_prints_no_secret(cloud: Cloud, code: Path) -> None:
    """With the runtime's root logger at DEBUG on stdout, while COS, the API and the webhook fail.

    Neither in its log nor in the tracebacks that the platform prints. No library's line is among its own:
    each is one flat JSON object.
    """
    url = f"{cloud.consumer.url}/{HOOK_PATH}?key={HOOK_QUERY}"
    cloud.deploy(code, {"LOG_LEVEL": "DEBUG", "WEBHOOK_URL": url})
    cloud.faults.add("PutObject", key="livepair/*", then=refuse(403, "SignatureDoesNotMatch", LINK), times=2)
    cloud.faults.add("GetObject", key="livepair/*", then=html(502), times=2)
    cloud.faults.add("HeadObject", then=cut_before(), times=1)
    cloud.faults.add(COMPARE, then=html(502), times=1)
    cloud.consumer.answer(500, times=2)
    cloud.upload(IMAGE, samples.image())
    cloud.upload(LIVE, samples.live())
    cloud.scf.wait_idle(60)
    cloud.scf.advance_minutes(8)
    assert [message["data"]["outcome"] for message in cloud.consumer.messages.values()] == ["matched"]
    secrets = {HOOK_PATH, HOOK_QUERY, SIGNATURE, SECRET, "q-signature", "TC3-HMAC"}
    for secret_id, account in cloud.accounts.items():
        secrets |= {secret_id, account.secret_key, account.token or secret_id}
    errors = [each.error or "" for each in cloud.scf.invocations]
    printed = "\n".join([*cloud.scf.logs(), *errors])
    assert "livepair" in printed
    for secret in secrets:
        assert secret not in printed
    for line in (line for each in cloud.scf.invocations for line in each.log):
        check_line(line)
