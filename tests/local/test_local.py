"""`make local`: the page, its live updates, what its buttons do, and that it ends cleanly.

One local cloud serves all tests, each with pairs of its own. The last part drives the page in a real browser.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect, sync_playwright
from qcloud_cos import CosServiceError
from standardwebhooks import Webhook

from tests.cloud import samples
from tests.cloud.consumer import SECRET as PUBLISHED
from tests.cloud.function import Invocation
from tests.local import env_file, story
from tests.local.__main__ import free_ports
from tests.local.program import check_target
from tests.local.screenshot import browser
from tests.local.server import Site
from tests.local.world import (
    BUCKET,
    LARGEST_UPLOAD,
    SAMPLES,
    STATE,
    STATE_BUCKET,
    World,
    fresh_secret,
)
from tests.support.nodejs import PACKAGES, needs_node
from tests.support.project import PROJECT

PATIENCE = 30.0  # real seconds
CHROMIUM = browser()
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")
expect.set_options(timeout=PATIENCE * 1000)


class Receiver:
    """A consumer's own program: it verifies by the real clock, and answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.real_now: Callable[[], float] = lambda: 0.0
        self.secret = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["webhook-id"], body, receiver._verify(body, self.headers)))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"noted <b>" + b"x" * 1000)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}/webhook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _verify(self, body: bytes, headers: Any) -> bool:
        at = int(headers["webhook-timestamp"])
        expected = Webhook(self.secret).sign(headers["webhook-id"], _at(at), body.decode())
        # The library itself reads this process's clock, which the tests move.
        return bool(expected == headers["webhook-signature"] and abs(self.real_now() - at) < 300)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


class Local:
    """The site in a thread of its own, and a client of it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.world = World(folder, slow=0.5)
        self.said: list[str] = []
        self.site = Site(self.world, self.said.append, "local.env")
        asyncio.run_coroutine_threadsafe(self.site.start(port), self.loop).result()
        self.url = f"http://127.0.0.1:{self.site.port}"
        self.session = requests.Session()
        self.session.trust_env = False

    def stop(self) -> None:
        self.session.close()
        asyncio.run_coroutine_threadsafe(self.site.stop(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> dict[str, Any]:
        answer = self.session.request(method, self.url + path, timeout=4 * PATIENCE, **options)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def upload(self, sample: str) -> str:
        pair: str = self.ask("POST", "/api/samples", json={"sample": sample})["id"]
        return pair

    def pair(self, pair_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/pairs/{quote(pair_id, safe='')}")

    def states(self) -> Iterator[dict[str, Any]]:
        """The states that the page is sent, from now on."""
        found: dict[str, Any] = {}
        until = time.monotonic() + PATIENCE
        with self.session.get(f"{self.url}/api/events", stream=True, timeout=PATIENCE) as stream:
            for line in stream.iter_lines(chunk_size=None):
                if line.startswith(b"data: "):
                    found = json.loads(line[6:])
                    yield found
                if time.monotonic() > until:
                    raise AssertionError(f"not in {PATIENCE} s: {json.dumps(found, indent=1)}")

    def wait(self, pair_id: str, state: str = "delivered", outcome: str | None = None) -> dict[str, Any]:
        """Follow the page's updates until a pair stands like this."""
        for found in self.states():
            for pair in found["pairs"]:
                if (pair["id"], pair["state"]) == (pair_id, state) and outcome in (None, pair["outcome"]):
                    return self.pair(pair_id)
        raise AssertionError("the stream of states has ended")

    def switch(self, name: str, on: bool = True) -> None:
        self.ask("POST", "/api/faults", json={"name": name, "on": on})

    def pass_time(self, minutes: int) -> None:
        self.ask("POST", "/api/clock", json={"minutes": minutes})

    def labels(self, pair_id: str, kind: str = "step") -> list[str]:
        chapters = self.pair(pair_id)["chapters"]
        return [row["label"] for chapter in chapters for row in chapter["rows"] if row["kind"] == kind]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def site(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    running = Local(tmp_path_factory.mktemp("local"))
    clock = running.world.cloud.clock
    receiver.secret = running.world.cloud.secret
    receiver.real_now = lambda: clock.timestamp() - clock.offset
    yield running
    running.stop()


@pytest.fixture
def local(site: Local) -> Iterator[Local]:
    """The site, with every fault switched off afterwards."""
    yield site
    for name in site.world.faults:
        site.world.switch(name, False)


@pytest.fixture
def program(local: Local, receiver: Receiver) -> Iterator[Receiver]:
    """The consumer's own program, which answers the messages during a test."""
    local.world.connect(receiver.url)
    yield receiver
    local.world.connect("")
    receiver.answers, receiver.headers = [], {}


# --- without a browser ------------------------------------------------------------------------------


def test_a_pair_is_told_from_its_upload_to_its_verified_message(local: Local) -> None:
    """The timeline shows every step in order with its duration, and the message that came of them."""
    pair = local.wait(local.upload("matched"), outcome="matched")
    rows = [row for chapter in pair["chapters"] for row in chapter["rows"]]
    steps = [row["label"] for row in rows if row["kind"] == "step"]
    told = [
        step
        for step in steps
        if step in ("claim", "call the API", "best frame", "record", "deliver", "settle")
    ]
    assert list(dict.fromkeys(told)) == ["claim", "call the API", "best frame", "record", "deliver", "settle"]
    assert local.labels(pair["id"], "upload") == ["upload image.jpg", "upload live.gz"]
    assert sorted(local.labels(pair["id"], "invocation")) == ["event image.jpg", "event live.gz"]
    (event,) = {row["label"] for row in _told_by(rows)}
    assert event.startswith("event ")
    assert not any(row["open"] or row["bad"] for row in rows)
    assert all(row["start"] >= 0 and row["seconds"] >= 0 for row in rows)
    (message,) = pair["sent"]
    assert [attempt["verified"] for attempt in message["attempts"]] == [True]
    assert json.loads(message["body"])["data"]["pair"] == {"id": pair["id"]}
    assert (pair["calls"], pair["billed"]) == (1, 1)


def _told_by(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The invocations that recorded the outcome, told it, or settled it."""
    invocation: dict[str, Any] = {}
    for row in rows:
        if row["kind"] == "invocation":
            invocation = row
        elif row["label"] in ("record", "deliver", "settle"):
            yield invocation


def test_every_sample_comes_to_the_outcome_it_is_listed_under(local: Local) -> None:
    """With two hours for those that need them, each is told once."""
    pairs = {name: local.upload(name) for name in SAMPLES}
    local.pass_time(60)
    local.pass_time(60)
    found = {name: local.wait(pair)["outcome"] for name, pair in pairs.items()}
    assert found == {name: sample.outcome for name, sample in SAMPLES.items()}
    assert {local.pair(pair)["messages"] for pair in pairs.values()} == {1}


def test_every_connection_begins_with_the_whole_state(local: Local) -> None:
    """So that a page that was away misses nothing."""
    pair = local.wait(local.upload("matched"))
    for _ in range(2):
        state = next(local.states())
        assert pair["path"] in [each["path"] for each in state["pairs"]]
        assert state["about"]["LOCAL_CLOUD"] == local.world.url
    assert local.ask("GET", "/api/state")["counts"] == state["counts"]


def _backend(local: Local, code: str) -> Any:
    """What code prints as JSON with `client`, a COS client that is made of what the page gives to copy.

    In a process of its own, as a backend runs: it reads the real clock.
    """
    shown = local.ask("GET", "/api/state")["blocks"]["Your backend’s COS client (Python)"]
    names = f"BUCKET, STATE_BUCKET, STATE = {(BUCKET, STATE_BUCKET, STATE)}"
    imports = "import json, requests\nfrom qcloud_cos import CosConfig, CosS3Client, CosServiceError"
    one_put = "once = lambda: {'x-cos-forbid-overwrite': 'true'}"
    script = "\n".join((imports, names, shown, one_put, code))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_backend_of_ones_own_reaches_the_cloud(local: Local) -> None:
    """With what is printed, an hour ahead too: it places the image, and its link takes one PUT."""
    local.pass_time(60)
    put_image = local.ask("GET", "/api/state")["blocks"]["The image, as your backend puts it"]
    link = _backend(
        local,
        f"""
open = lambda *_: {samples.image()!r}
{put_image.replace("/42/", "/from an app/")}
link = client.get_presigned_url(BUCKET, "uploads/from an app/live.gz", "PUT", Expired=600, Headers=once())
print(json.dumps(link))""",
    )
    proxies, headers = {"http": local.world.url}, {"x-cos-forbid-overwrite": "true"}
    data = samples.live(seed=77)
    put = [local.session.put(link, data=data, headers=headers, proxies=proxies) for _ in range(2)]
    assert [answer.status_code for answer in put] == [200, 409]
    assert local.wait("from an app")["outcome"] == "matched"


def test_what_is_printed_may_do_what_a_backend_may(local: Local) -> None:
    """By `policy.backend.json`: it reads no face, lists nothing, writes no state, and replaces no upload."""
    codes = _backend(
        local,
        """
refused = []
for ask in (
    lambda: client.get_object(BUCKET, "uploads/a/image.jpg"),
    lambda: client.list_objects(BUCKET, "uploads/"),
    lambda: client.delete_object(BUCKET, "uploads/a/live.gz"),
    lambda: client.put_object(BUCKET, b"x", "uploads/may-not/image.jpg"),
    lambda: client.put_object(BUCKET, b"x", "uploads/may-not/image.png", Metadata=once()),
    lambda: client.put_object(STATE_BUCKET, b"x", f"{STATE}records/a/b.json"),
):
    try:
        ask()
    except CosServiceError as error:
        refused.append(error.get_error_code())
print(json.dumps(refused))""",
    )
    assert codes == ["AccessDenied"] * 6
    state = local.ask("GET", "/api/state")
    (pair,) = [each for each in state["pairs"] if each["id"] == "may-not"]
    assert (pair["state"], pair["outcome"]) == ("refused", None)
    assert local.pair("may-not")["refused"] == f"403 AccessDenied; {story.DENIED}"
    assert local.labels("may-not", "upload") == ["upload image.jpg"]
    strays = {each["key"]: each for each in state["strays"]}
    assert strays["uploads/may-not/image.png"]["fits"] == ["uploads/may-not/image.jpg"]
    assert strays[f"{STATE}records/a/b.json"]["why"].startswith("refused: 403 AccessDenied")


def test_an_upload_that_matches_nothing_is_shown_with_what_would_have_matched(local: Local) -> None:
    """On the page beside the templates, and in the terminal; one to another bucket too."""
    for key in ("uploads/77/selfie.png", "people/78/live.gz"):
        local.world.cloud.upload(key, b"x")
    with pytest.raises(CosServiceError):
        local.world.cloud.uploader.put_object(Bucket="other-1250000000", Key="uploads/7/live.gz", Body=b"x")
    state = local.ask("GET", "/api/state")
    assert state["templates"] == {"LIVE_KEY": "uploads/{id}/live.gz", "IMAGE_KEY": "uploads/{id}/image.jpg"}
    found = {each["key"]: (each["why"], each["fits"]) for each in state["strays"]}
    assert found["uploads/77/selfie.png"] == ("matches no template", ["uploads/77/image.jpg"])
    why, fits = found["people/78/live.gz"]
    assert (fits, "uploads/ only" in why) == (["uploads/78/live.gz"], True)
    assert found["uploads/7/live.gz"][0].startswith("refused: 404 NoSuchBucket; in other-1250000000")
    assert not [each for each in state["pairs"] if each["id"] in ("77", "78", "7")]
    assert any("people/78/live.gz: matches no template" in line for line in local.said)


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("uploads/42/image.png", ["uploads/42/image.jpg"]),
        ("uploads/42.gz", ["uploads/42/live.gz"]),
        ("42/photo.jpeg", ["uploads/42/image.jpg"]),
        ("uploads/2026/11/42/Live.zip", ["uploads/42/live.gz"]),
        ("live.gz", ["uploads/{id}/live.gz"]),
        ("uploads/42/x", ["uploads/42/live.gz", "uploads/42/image.jpg"]),
    ],
)
def test_what_would_have_matched_is_guessed_from_the_key(key: str, fits: list[str]) -> None:
    """By its folder or its name, and by what kind of file it seems to be."""
    assert story.fits(key) == fits


def test_each_run_has_a_secret_of_its_own(local: Local) -> None:
    """Printed, and in the block for local.env; a consumer that is deployed with it trusts nobody else."""
    said = local.ask("GET", "/api/state")["about"]["WEBHOOK_SECRET"]
    assert f"WEBHOOK_SECRET={said}" in local.world.variables()
    assert said != PUBLISHED
    assert len(base64.b64decode(said.removeprefix("whsec_"))) == 32
    assert said != fresh_secret() != fresh_secret()


def test_text_that_uploaders_chose_cannot_command_the_terminal(local: Local) -> None:
    """Neither the ids of pairs nor what a program answers, in the lines that are printed."""
    evil = "a\x9b2Jowned\x07\n\u202eb"
    local.world.cloud.upload(f"uploads/{evil}/image.jpg", samples.image())
    local.world.cloud.upload(f"uploads/{evil}/live.gz", samples.live(seed=4711))
    local.wait(evil)
    (said,) = [line for line in local.said if "owned" in line and "→" not in line]
    assert said.isprintable()
    assert r"a\x9b2Jowned\x07\n\u202eb" in said


@pytest.fixture
def command(local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs one of the operator's commands with the settings that are written for it; it has to succeed.

    In a process of its own, as an operator does: it reads the real clock.
    """
    env_file.write(tmp_path / "local.env", local.world.variables())

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "handler", "--env-file", str(tmp_path / "local.env"), *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_operators_commands_work_on_it(
    local: Local, program: Receiver, command: Callable[..., str]
) -> None:
    """Hours ahead too; the backend's keys are found to be narrow; a test of the webhook is about no pair."""
    local.pass_time(60)
    said = command("doctor")
    assert re.search(r"backend", said)
    local.wait(local.upload("matched"))
    assert json.loads(command("report", "--no-cache", "--json"))["outcomes"]["matched"] >= 1
    assert any("webhook.test" in line for line in local.said)
    assert any(b"webhook.test" in body for _, body, _ in program.got)
    state = local.ask("GET", "/api/state")
    assert not [each["id"] for each in state["pairs"] if each["id"].startswith("doctor")]
    assert not [each["key"] for each in state["strays"] if "doctor" in each["key"]]


def test_ones_own_program_gets_what_livepair_sends(local: Local, program: Receiver) -> None:
    """The same id and bytes, signed for its own clock, however far the cloud's is ahead; 2xx is delivered."""
    local.pass_time(60)
    pair = local.wait(local.upload("matched"))
    (message,) = pair["sent"]
    assert [each for each in program.got if each[0] == message["id"]] == [
        (message["id"], message["body"].encode(), True)
    ]
    (attempt,) = message["attempts"]
    assert (attempt["status"], attempt["said"]) == (200, ("noted <b>" + "x" * 1000)[:300])
    assert any(program.url in line and "200" in line for line in local.said)


def test_what_ones_own_program_answers_decides_when_it_is_told_again(local: Local, program: Receiver) -> None:
    """A 500 and a 503 bring the schedule of the webhook; the row says so until it answers 2xx."""
    program.answers = [500, 503]
    pair = local.wait(local.upload("matched"), "undelivered")
    assert (pair["outcome"], pair["answer"], pair["due"] is not None) == ("matched", "503", True)
    local.pass_time(10)
    (message,) = local.wait(pair["id"])["sent"]
    assert [each["status"] for each in message["attempts"]] == [500, 503, 200]
    assert len({body for found, body, _ in program.got if found == message["id"]}) == 1


def test_a_410_of_ones_own_program_ends_it_until_it_is_redelivered(
    local: Local, program: Receiver, command: Callable[..., str]
) -> None:
    """The letter is dead at once, and the operator's `redeliver` brings it back, hours ahead too."""
    local.pass_time(60)
    program.answers = [410]
    pair = local.wait(local.upload("matched"), "given up")
    (verification,) = [value for name, value in pair["ids"] if name == "Verification"]
    assert "1" in command("redeliver", verification)
    local.pass_time(2)
    (message,) = local.wait(pair["id"])["sent"]
    assert [each["status"] for each in message["attempts"]] == [410, 200]


def test_ones_own_program_may_ask_for_a_longer_wait(local: Local, program: Receiver) -> None:
    """By Retry-After, here with a date of its own clock, before the third attempt."""
    local.pass_time(1)
    program.answers = [503, 503]
    program.headers = {"Retry-After": formatdate(_real_now() + 3000)}
    pair = local.wait(local.upload("matched"), "undelivered")
    wait = datetime.fromisoformat(pair["due"]) - local.world.cloud.clock.now()
    assert 40 <= wait.total_seconds() / 60 <= 60
    local.pass_time(60)
    assert local.wait(pair["id"])["outcome"] == "matched"


def _real_now() -> float:
    """This process's clock is the cloud's; another process reads the real one."""
    return float(subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"]))


def test_a_program_that_is_not_there_is_no_delivery(local: Local) -> None:
    """The row says that nobody answered, and the message that nobody was there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/webhook"
    local.world.connect(url)
    try:
        pair = local.wait(local.upload("matched"), "undelivered")
    finally:
        local.world.connect("")
    assert "no answer: ClientConnectorError" in pair["answer"]
    local.pass_time(10)
    assert [each["status"] for each in local.wait(pair["id"])["sent"][0]["attempts"]] == [None, None, 204]


def test_a_message_can_be_sent_again_by_hand(local: Local, program: Receiver) -> None:
    """It is shown as sent again, with its answer, and is no step of the function's."""
    pair = local.wait(local.upload("matched"))
    program.answers = [418]
    answer = local.ask("POST", f"/api/messages/{pair['sent'][0]['id']}/resend")
    assert (answer["status"], answer["said"][:5]) == (418, "noted")
    again = local.pair(pair["id"])
    assert (again["state"], again["answer"]) == ("delivered", None)
    assert [attempt["resent"] for attempt in again["sent"][0]["attempts"]] == [False, True]


def test_without_a_program_of_ones_own_a_message_goes_to_the_consumer_again(local: Local) -> None:
    """Which drops the repeat; it is shown as sent again and is no step of the function's."""
    pair = local.wait(local.upload("matched"))
    answer = local.ask("POST", f"/api/messages/{pair['sent'][0]['id']}/resend")
    assert answer["status"] == 204
    again = local.pair(pair["id"])
    assert [attempt["resent"] for attempt in again["sent"][0]["attempts"]] == [False, True]
    assert (again["messages"], local.labels(pair["id"]).count("deliver")) == (1, 1)


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/webhook",
        "http://example.com/webhook",
        "http://10.0.0.1/webhook",
        "http://localhost.example.com/",
        "http://[::1/",
        "http://localhost:port/",
        "localhost:3000",
        "",
    ],
)
def test_messages_go_to_programs_on_this_machine_only(url: str) -> None:
    """Anything else is refused, and the error says what was expected."""
    with pytest.raises(ValueError, match="on this machine"):
        check_target(url)


@pytest.mark.parametrize("url", ["http://localhost:3000/webhook", "http://127.0.0.1/", "http://[::1]:9/x"])
def test_loopback_addresses_are_taken(url: str) -> None:
    """By name and by number."""
    assert check_target(url) == url


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_site_cannot_reach_it(local: Local, headers: dict[str, str]) -> None:
    """Neither read what is there, nor press a button, under whatever name it comes."""
    before = local.ask("GET", "/api/state")["counts"]["pairs"]
    for method, path in (("GET", "/api/state"), ("GET", "/api/events"), ("POST", "/api/samples")):
        refused = local.ask(method, path, 403, headers=headers, data='{"sample": "matched"}')
        assert refused == {"error": "this page serves only itself"}
    assert local.ask("GET", "/api/state")["counts"]["pairs"] == before


def test_what_is_served_may_load_nothing_from_elsewhere(local: Local) -> None:
    """The page, its files and its answers carry a strict policy."""
    for path in ("/", "/page.css", "/page.js", "/api/state"):
        headers = local.session.get(local.url + path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("PUT", "/api/uploads/../live", b"x", 404, "Not Found"),
        ("PUT", "/api/uploads/%2E%2E%2Fx/live", b"x", 400, "id"),
        ("PUT", "/api/uploads/a%0Ab/live", b"x", 400, "id"),
        ("PUT", f"/api/uploads/{'x' * 101}/live", b"x", 400, "id"),
        ("PUT", "/api/uploads/a/live?verdict=nothing", b"x", 404, "nothing"),
        ("PUT", "/api/uploads/a/live?verdict=image-only", b"x", 400, "verdict"),
        ("POST", "/api/samples", b'{"sample": "nothing"}', 404, "nothing"),
        ("POST", "/api/samples", b"[]", 400, "object"),
        ("POST", "/api/samples", b"{", 400, "JSON"),
        ("POST", "/api/faults", b'{"name": "nothing", "on": true}', 404, "nothing"),
        ("POST", "/api/clock", b'{"minutes": 0}', 400, "minutes"),
        ("POST", "/api/clock", b'{"minutes": true}', 400, "minutes"),
        ("POST", "/api/messages/msg_0/resend", b"", 404, "msg_0"),
        ("GET", "/api/pairs/nobody", b"", 404, "nobody"),
    ],
)
def test_what_cannot_be_done_is_said(
    local: Local, method: str, path: str, body: bytes, status: int, says: str
) -> None:
    """In JSON, in words, and nothing breaks."""
    assert says in local.ask(method, path, status, data=body)["error"]


def test_an_upload_that_is_too_large_is_refused_with_its_limit(local: Local) -> None:
    """Whether its length is told beforehand or not."""
    data = bytes(LARGEST_UPLOAD + 1)
    for body in (data, iter([data])):
        refused = local.ask("PUT", "/api/uploads/too-large/live", 413, data=body)
        assert refused == {"error": "an upload here may have 60 MB at most"}


def test_a_recording_of_ones_own_gets_the_verdict_that_was_chosen(local: Local) -> None:
    """The local API can judge samples only, so whoever uploads says what it is to answer."""
    local.ask("PUT", "/api/uploads/own/image", data=samples.image(format="png"))
    local.ask("PUT", "/api/uploads/own/live?verdict=mismatched", data=b"\x1f\x8ba recording")
    own = local.wait("own")
    assert (own["outcome"], own["similarity"], own["min_similarity"]) == ("mismatched", 12.5, 70.0)
    notes = [row["note"] for chapter in own["chapters"] for row in chapter["rows"]]
    assert "Success, similarity 12.5, below 70" in notes
    local.ask("PUT", "/api/uploads/blurred/image", data=samples.image("blur"))
    local.ask("PUT", "/api/uploads/blurred/live?verdict=matched", data=b"\x1f\x8banother recording")
    assert local.wait("blurred")["code"] == "FailedOperation.ImageBlur"


def test_a_throttled_api_is_asked_again_when_it_answers(local: Local) -> None:
    """The pair says when, and a minute later it is judged."""
    local.switch("throttled")
    pair = local.wait(local.upload("matched"), "retrying")
    assert pair["due"] is not None
    assert "RequestLimitExceeded" in pair["code"]
    local.switch("throttled", False)
    local.pass_time(1)
    assert local.wait(pair["id"])["outcome"] == "matched"


def test_a_verdict_lost_with_its_instance_is_asked_for_again(local: Local) -> None:
    """The killed instance is shown where it died; the fault goes off by itself."""
    local.switch("killed")
    pair = local.wait(local.upload("matched"), "retrying")
    rows = [row for chapter in pair["chapters"] for row in chapter["rows"]]
    assert [row["label"] for row in rows if "is killed here" in row["note"]] == ["call the API"]
    assert not local.world.faults["killed"]
    local.pass_time(3)
    found = local.wait(pair["id"])
    assert (found["outcome"], found["calls"], found["messages"]) == ("matched", 2, 1)


def test_repeated_events_cost_no_second_call(local: Local) -> None:
    """Three events for each half, one call, one message."""
    local.switch("duplicated")
    pair = local.wait(local.upload("matched"))
    assert (pair["calls"], pair["messages"]) == (1, 1)
    assert len(local.labels(pair["id"], "invocation")) == 6


def test_a_webhook_that_was_down_is_told_later(local: Local) -> None:
    """Undelivered says until when; then the same message arrives."""
    local.switch("down")
    pair = local.wait(local.upload("matched"), "undelivered")
    assert (pair["outcome"], pair["due"] is not None) == ("matched", True)
    assert "settle" not in local.labels(pair["id"])
    local.switch("down", False)
    local.pass_time(10)
    told = local.wait(pair["id"])
    (message,) = told["sent"]
    assert [attempt["status"] for attempt in message["attempts"]] == [500, 500, 204]
    assert local.labels(pair["id"]).count("settle") == 1
    assert (pair["answer"], told["answer"]) == ("500", None)
    first, *_, last = told["chapters"]
    apart = (datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])).total_seconds()
    assert abs(told["took"] - apart) < 10, "the row's clock is the timeline's"
    assert apart > 200


def test_a_slow_webhook_is_waited_for(local: Local) -> None:
    """It is told once."""
    local.switch("slow")
    (message,) = local.wait(local.upload("matched"))["sent"]
    assert [attempt["status"] for attempt in message["attempts"]] == [204]


def test_what_cos_refused_is_found_by_reconcile(local: Local) -> None:
    """The events failed for good; the daily timer finds the uploads in the bucket."""
    local.switch("cos")
    pair = local.upload("matched")
    local.pass_time(3)
    local.wait(pair, "left to reconcile")
    local.switch("cos", False)
    local.pass_time(11)
    says = local.ask("POST", "/api/reconcile")["says"]
    assert re.fullmatch(r"Reconcile looked at \d+ uploads older than ten minutes. Outcomes told: .*", says)
    assert "matched" in says
    assert local.wait(pair)["outcome"] == "matched"


def test_a_reconcile_that_fails_says_why() -> None:
    """With the last line of its error, and what comes next."""
    now = datetime.now(timezone.utc)
    done = Invocation("1", "livepair", "timer", {}, 1, now, "error", error="Traceback\nCosDown: 503\n")
    assert story.reconciled(done).startswith("Reconcile failed: CosDown: 503. The platform tries it again")


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b"\xff"])
def test_what_others_write_under_the_state_prefix_stops_nothing(local: Local, data: bytes) -> None:
    """An application on the same cloud may do so by mistake: the page goes on, and time too."""
    bucket = local.world.cloud.cos.bucket(STATE_BUCKET)
    names = ("agenda/0/x", "agenda/z", "records/a/b.json", "claims/a/b/1")
    keys = [f"{STATE}{name}" for name in names]
    for key in keys:
        bucket.put(key, data)
    pair = local.upload("live-only")
    local.pass_time(60)
    assert local.wait(pair)["outcome"] == "incomplete"
    for key in keys:
        bucket.delete(key)


def test_what_the_page_asks_for_stays_in_memory(local: Local, tmp_path: Path) -> None:
    """No upload is written to disk: the only folder of the cloud holds the function's code."""
    marker = os.urandom(16)
    local.ask("PUT", "/api/uploads/private/image", data=samples.image() + marker)
    (function,) = {each.function for each in local.world.cloud.scf.invocations}
    code = next(iter(local.world.cloud.scf._functions.values())).code
    assert function == "livepair"
    assert all(marker not in file.read_bytes() for file in code.rglob("*") if file.is_file())


# --- the process ------------------------------------------------------------------------------------


def _start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.local"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints, until a line with `text`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended without {text!r}:\n{said}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number: signal.Signals, tmp_path: Path) -> None:
    """Exit 0, no traceback, while a page is connected and work goes on; no process and no port stays.

    The port that is asked for is taken, so others are used, which is said. The settings stay.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = _start(tmp_path, PORT=str(port))
        said = _until(process, "Ctrl-C")
        (url,) = re.findall(r"Page +(\S+)", said)
        assert f"Port {port} is taken" in said
        with requests.Session() as session, session.get(f"{url}/api/events", stream=True) as stream:
            session.post(f"{url}/api/faults", json={"name": "slow", "on": True})
            session.post(f"{url}/api/samples", json={"sample": "matched"})
            next(stream.iter_lines())
            children = _children(process.pid)
            process.send_signal(number)
            rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    settings = tmp_path / "local.env"
    assert "local.env" in said
    assert settings.stat().st_mode & 0o777 == 0o600
    assert f"LOCAL_CLOUD={re.findall(r'  LOCAL_CLOUD +(http.+)', said)[0]}\n" in settings.read_text()
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def _children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PORT": "x"}, "PORT is 'x'"),
        ({"CONSUMER": "https://example.com"}, "on this machine"),
        ({"FORWARD_TO": "http://localhost:3000"}, "CONSUMER"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    """Exit 2, and one line that says what was expected."""
    process = _start(tmp_path, **environment)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert says in said
    assert said.count("\n") == 1


def test_the_ports_stay_the_same_where_they_are_free() -> None:
    """Page, proxy and webhook: all three move together, and the one that was taken is known."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1] - 1
        moved, taken = free_ports(port)
        assert moved > port
        assert (moved - port) % 10 == 0
        assert taken in (port, port + 1)
    assert free_ports(moved) == (moved, None)


def test_settings_of_ones_own_are_not_written_over(tmp_path: Path) -> None:
    """Neither a file of somebody's, nor what a link leads to."""
    own, link = tmp_path / "local.env", tmp_path / "link.env"
    own.write_text("BUCKET=mine\n")
    link.symlink_to(own)
    assert [env_file.write(path, ["BUCKET=local"]) for path in (own, link)] == [False, False]
    assert own.read_text() == "BUCKET=mine\n"
    assert env_file.secret(own) == ""


def test_the_secret_stays_from_start_to_start(tmp_path: Path) -> None:
    """A consumer need not learn a new one; one that is none, or a file taken away, brings a fresh one."""
    path, kept = tmp_path / "local.env", fresh_secret()
    assert env_file.secret(path) == ""
    assert env_file.write(path, [f"WEBHOOK_SECRET={kept}"])
    assert env_file.secret(path) == kept
    assert env_file.write(path, ["WEBHOOK_SECRET=whsec_short"])
    assert env_file.secret(path) == ""


# --- in a browser -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(chromium: Browser, local: Local) -> Iterator[Page]:
    """The page, open; afterwards: no error on its console, and nothing asked for elsewhere."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE * 1000)
    wrong: list[str] = []
    # What the server refuses is told on the page; the browser tells its console, too.
    opened.on(
        "console",
        lambda said: (
            wrong.append(said.text)
            if said.type in ("error", "warning") and "status of 400" not in said.text
            else None
        ),
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("request", lambda each: None if each.url.startswith(local.url) else wrong.append(each.url))
    opened.goto(local.url)
    expect(opened.locator("#link")).to_have_text("live")
    yield opened
    context.close()
    assert wrong == []


def _click(page: Page, name: str) -> Locator:
    """Press a sample's button; its pair comes first and is shown open."""
    before = page.locator(".pair").count()
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".pair")).to_have_count(before + 1)
    pair = page.locator(".pair").first
    expect(pair.locator("button").first).to_have_attribute("aria-expanded", "true")
    return pair


def _becomes(pair: Locator, outcome: str, state: str | re.Pattern[str] = "delivered") -> None:
    expect(pair.locator(".badge")).to_have_text(outcome)
    expect(pair.locator(".state")).to_have_text(state)


@needs_browser
def test_a_sample_is_watched_to_its_verified_message(page: Page) -> None:
    """One click; then the timeline with durations, the message with its signature's check, and its bytes."""
    pair = _click(page, "The same person")
    _becomes(pair, "matched")
    for name in ("look up", "claim", "call the API", "best frame", "record", "deliver", "settle"):
        row = pair.locator(f'.row[data-step="{name}"]').first
        expect(row.locator(".ms")).to_have_text(re.compile(r"^\d+(\.\d+)? m?s$"))
        expect(row.locator("i")).to_be_visible()
    expect(pair.get_by_text("signature verified", exact=True)).to_be_visible()
    pair.get_by_text("The message, laid out").click()
    expect(pair.locator("pre").first).to_contain_text('"outcome": "matched"')
    pair.get_by_text("Headers and exact bytes").click()
    expect(pair.locator("pre").nth(1)).to_contain_text("webhook-signature: v1,")
    expect(page.locator("#said")).to_contain_text("matched, delivered")


@needs_browser
def test_half_a_pair_ends_incomplete_and_can_still_be_completed(page: Page) -> None:
    """An hour passes by a button; the missing half is one click away."""
    pair = _click(page, "Live package only")
    expect(pair.locator(".state")).to_have_text("waiting for the image")
    page.get_by_role("button", name="An hour passes").click()
    _becomes(pair, "incomplete")
    pair.get_by_role("button", name="Upload the missing image").click()
    _becomes(pair, "matched")
    expect(pair.locator(".message")).to_have_count(2)


@needs_browser
def test_faults_are_switched_on_and_off_and_recovered_from(page: Page) -> None:
    """A throttled API and a killed instance; the pairs say when they are tried again, then are matched."""
    switch = page.get_by_role("switch", name="API throttled")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    pair = _click(page, "The same person")
    expect(pair.locator(".state")).to_have_text(re.compile(r"^retrying at \d\d:\d\d$"))
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    page.get_by_role("button", name="A minute passes").click()
    _becomes(pair, "matched")
    page.get_by_role("switch", name="Kill once").click()
    pair = _click(page, "The same person")
    expect(pair.get_by_text("the instance is killed here")).to_be_visible()
    expect(page.get_by_role("switch", name="Kill once")).to_have_attribute("aria-checked", "false")
    page.get_by_role("button", name="An hour passes").click()
    _becomes(pair, "matched")
    expect(pair.get_by_text("2 API calls, 2 billed")).to_be_visible()


@needs_browser
def test_repeated_events_are_shown_with_their_one_call(page: Page) -> None:
    """Six invocations, one call, one message."""
    page.get_by_role("switch", name="Events repeated").click()
    pair = _click(page, "The same person")
    _becomes(pair, "matched")
    expect(pair.locator('.row[data-kind="invocation"]')).to_have_count(6)
    expect(pair.locator('.row[data-step="call the API"]')).to_have_count(1)
    expect(pair.locator(".message")).to_have_count(1)


@needs_browser
def test_what_ones_own_program_answers_is_shown_as_text(page: Page, program: Receiver) -> None:
    """At once and after `Send it again`; a failure is red on the row; markup in an answer is no markup."""
    program.answers = [500, 500]
    pair = _click(page, "The same person")
    _becomes(pair, "matched", re.compile(r"^answered 500, again at \d\d:\d\d$"))
    colour = "getComputedStyle(document.querySelector('.badge[data-of=rejected]')).color"
    expect(pair.locator(".state")).to_have_css("color", page.evaluate(colour))
    answers = pair.locator(".message li")
    expect(answers).to_have_count(2)
    expect(answers.first).to_contain_text("answered 500 “noted <b>xxx")
    pair.get_by_role("button", name="Send it again").click()
    expect(answers).to_have_count(3)
    expect(answers.nth(2)).to_contain_text("sent again, answered 200 “noted <b>xxx")
    page.get_by_role("button", name="An hour passes").click()
    _becomes(pair, "matched")
    assert pair.locator(".message b").count() == 0


def _file(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "", "buffer": data}


@needs_browser
def test_keys_and_file_names_are_shown_as_text(page: Page, local: Local) -> None:
    """Whoever may upload chooses them."""
    name = "<img src=x onerror=alert(1)>"
    page.get_by_text("Files of your own").click()
    page.locator("#files").set_input_files(
        [
            _file(f"{name}.gz", samples.live(seed=4711)),
            _file(f"{name}.JPG", samples.image(seed=4711)),
        ]
    )
    expect(page.locator("#chosen")).to_contain_text(f"Image: {name}.JPG, 1 kB")
    page.locator("#pair").fill(name)
    page.get_by_label("The API says").select_option("fake")
    page.get_by_role("button", name="Upload", exact=True).click()
    pair = page.locator(".pair", has_text=name)
    _becomes(pair, "rejected")
    expect(pair.get_by_text("signature verified", exact=True)).to_be_visible()
    assert page.locator("img").count() == 0


@needs_browser
def test_a_file_that_is_neither_half_is_refused_in_words(page: Page) -> None:
    """Nothing is uploaded, and the error goes with the next try."""
    page.get_by_text("Files of your own").click()
    page.locator("#files").set_input_files(_file("notes.txt", b"x"))
    expect(page.get_by_role("alert")).to_have_text(re.compile("notes.txt is neither"))
    expect(page.get_by_role("button", name="Upload", exact=True)).to_be_disabled()
    page.locator("#files").set_input_files(_file("a.gz", b"x"))
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="Upload", exact=True)).to_be_enabled()


@needs_browser
def test_a_refused_upload_is_told_at_its_button_and_keeps_the_files(page: Page) -> None:
    """A pair's name that makes no key; with another one the same files go through, and say where to."""
    page.get_by_text("Files of your own").click()
    page.locator("#files").set_input_files(
        [_file("a.gz", samples.live(seed=99)), _file("a.jpg", samples.image())]
    )
    page.locator("#pair").fill("a/b")
    send = page.get_by_role("button", name="Upload", exact=True)
    send.click()
    alert = page.locator("#own").get_by_role("alert")
    expect(alert).to_contain_text("no slash")
    expect(page.locator("#chosen li")).to_have_count(2)
    page.locator("#pair").fill("a-b")
    send.click()
    expect(alert).to_be_hidden()
    expect(page.locator("#chosen li")).to_have_count(0)
    expect(page.locator("#own #made")).to_have_text(re.compile("a-b: matched, delivered."))
    _becomes(page.locator(".pair", has_text="a-b").first, "matched")


@needs_browser
def test_on_a_phone_a_clicked_sample_opens_in_view(page: Page) -> None:
    """And at the button stands what became of it, with a way there."""
    page.set_viewport_size({"width": 390, "height": 740})
    pair = _click(page, "Another person")
    _becomes(pair, "mismatched")
    expect(pair.locator("button").first).to_be_in_viewport()
    expect(pair.locator(".chapter").first).to_be_in_viewport()
    said = page.locator("#samples ul + #made")
    expect(said).to_contain_text("mismatched, delivered.")
    said.scroll_into_view_if_needed()
    expect(pair.locator("button").first).not_to_be_in_viewport()
    said.get_by_role("button", name="Show it").click()
    expect(pair.locator("button").first).to_be_in_viewport()
    expect(pair.locator("button").first).to_be_focused()


@needs_browser
def test_similarity_stands_beside_what_was_asked(page: Page) -> None:
    """On the row, in the pair, and where the API was called."""
    pair = _click(page, "Another person")
    _becomes(pair, "mismatched")
    expect(pair.locator("small")).to_have_text("BelowMinSimilarity, similarity 12.5 < 70")
    row = pair.locator('.row[data-step="call the API"]')
    expect(row.locator(".note")).to_have_text("Success, similarity 12.5, below 70")


@needs_browser
def test_ids_are_whole_and_copied_at_a_click(page: Page, local: Local) -> None:
    """Also a name too long for its row; what the pair is called to the operator's commands, too."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    pair_id = "long-" + "w" * 90
    local.world.upload(pair_id, "image", samples.image())
    local.world.upload(pair_id, "live", samples.live(seed=123))
    pair = page.locator(".pair", has_text=pair_id)
    _becomes(pair, "matched")
    pair.locator("button").first.click()
    ids = dict(local.pair(pair_id)["ids"])
    assert {"Pair", "Live key", "Image key", "Verification", "API request"} == ids.keys()
    for name, value in ids.items():
        expect(pair.locator(".ids code", has_text=value).first).to_be_visible()
        pair.get_by_role("button", name=f"Copy {name}", exact=True).click()
        page.wait_for_function(
            "wanted => navigator.clipboard.readText().then(text => text === wanted)", arg=value
        )
    shown = pair.locator("b").first
    assert shown.evaluate("at => at.scrollWidth <= at.clientWidth"), (
        "the row of an open pair shows its name whole"
    )


@needs_browser
def test_what_matches_nothing_and_what_reconcile_did_is_seen(page: Page, local: Local) -> None:
    """An upload under another name, with what would have matched; the daily timer answers in words."""
    local.world.cloud.upload("uploads/<b>79</b>/image.png", b"x")
    strays = page.locator("#strays li", has_text="79")
    expect(strays).to_contain_text("matches no template")
    expect(strays).to_contain_text("uploads/b>/image.jpg would match")
    expect(page.locator("#templates")).to_contain_text("uploads/{id}/live.gz")
    page.get_by_role("button", name="Reconcile").click()
    expect(page.locator("#note")).to_contain_text("Reconcile looked at")


def _axe(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it stands; three pairs will do."""
    page.evaluate((PACKAGES / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ exclude: [['.pair:nth-child(n + 4)']] })")["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@needs_browser
@needs_node("axe-core")
def test_everybody_can_use_it(page: Page, local: Local) -> None:
    """axe-core finds nothing, in light and dark, wide and on a phone, with all that can be open open."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    local.world.cloud.upload("uploads/nowhere.png", b"x")
    page.get_by_text("Files of your own").click()
    page.locator("#files").set_input_files(_file("notes.txt", b"x"))
    page.get_by_text("From an app, the whole way").click()
    page.get_by_role("button", name="Film").click()
    expect(page.locator("#app-screen")).to_have_attribute("data-of", "done")
    assert not [key for key in map(str, local.ask("GET", "/api/state")["strays"]) if "device-data" in key]
    page.get_by_role("switch", name="Webhook down").click()
    _becomes(_click(page, "Suspected fake"), "rejected", re.compile("^answered 500"))
    page.get_by_role("switch", name="Webhook down").click()
    pair = _click(page, "Another person")
    _becomes(pair, "mismatched")
    page.get_by_role("button", name="Reconcile").click()
    expect(page.locator("#note")).to_be_visible()
    for text in ("The message, laid out", "Headers and exact bytes", "The function’s log"):
        pair.get_by_text(text).click()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            assert _axe(page) == [], (width, scheme)


@needs_browser
def test_a_page_that_lost_its_cloud_finds_the_next_one(chromium: Browser, tmp_path: Path) -> None:
    """It says that it is not connected, tries again by itself, and shows the new cloud's state only."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    process = _start(tmp_path, PORT=port)
    url = re.findall(r"Page +(\S+)", _until(process, "Ctrl-C"))[0]
    page = chromium.new_page()
    try:
        page.goto(url)
        _becomes(_click(page, "The same person"), "matched")
        process.terminate()
        process.communicate(timeout=PATIENCE)
        expect(page.locator("#link")).to_have_text(re.compile("not connected"))
        page.get_by_role("button", name="Image only").click()
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        process = _start(tmp_path, PORT=port)
        assert url in _until(process, "Ctrl-C")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.get_by_text("Nothing has been uploaded yet.")).to_be_visible()
    finally:
        page.close()
        process.terminate()
        process.communicate(timeout=PATIENCE)


@needs_browser
def test_everything_is_reached_and_done_by_keyboard(page: Page, program: Receiver) -> None:
    """Tab comes to every control, each shows that it has focus; Enter and Space do what a click does."""

    def focused() -> str:
        found: str = page.evaluate(
            """() => { const at = document.activeElement, style = getComputedStyle(at);
            return style.outlineStyle === "none" ? "no outline: " + at.outerHTML : at.textContent.trim(); }"""
        )
        return found

    def tab_to(text: str) -> None:
        for _ in range(200):
            page.keyboard.press("Tab")
            found = focused()
            assert not found.startswith("no outline"), found
            if text in found:
                return
        raise AssertionError(f"Tab never comes to {text!r}")

    count = page.locator(".pair").count()
    tab_to("Suspected fake")
    page.keyboard.press("Enter")
    expect(page.locator(".pair")).to_have_count(count + 1)
    pair = page.locator(".pair").first
    _becomes(pair, "rejected")
    expect(pair.get_by_role("button", name="Send it again")).to_be_visible()
    tab_to("rejectedfake-")
    page.keyboard.press("Space")
    expect(pair.locator(".detail")).to_be_hidden()
    page.keyboard.press("Space")
    expect(pair.locator(".detail")).to_be_visible()
    tab_to("The message, laid out")
    page.keyboard.press("Enter")
    expect(pair.locator("pre").first).to_be_visible()
    tab_to("Send it again")
    answers = pair.locator("li", has_text="200 “noted")
    expect(answers).to_have_count(1)
    page.keyboard.press("Enter")
    expect(answers).to_have_count(2)
    assert focused() == "Send it again", "what was in focus stays in focus when its pair changes"
    tab_to("Webhook slow")
    page.keyboard.press("Space")
    expect(page.get_by_role("switch", name="Webhook slow")).to_have_attribute("aria-checked", "true")
    unnamed = page.locator("button, input, select, summary").evaluate_all(
        "all => all.filter(at => at.tabIndex < 0 || !(at.textContent.trim() || at.labels?.length)).length"
    )
    assert unnamed == 0


@needs_browser
@pytest.mark.parametrize("width", [360, 500, 768, 1024])
def test_no_width_scrolls_sideways(page: Page, local: Local, width: int) -> None:
    """Not with a long id, a long message and its bytes open either."""
    page.set_viewport_size({"width": width, "height": 740})
    pair_id = f"{width}" + "W" * 90
    local.world.upload(pair_id, "image", samples.image())
    local.world.upload(pair_id, "live", samples.live(error="FailedOperation." + "M" * 60, seed=width))
    pair = page.locator(".pair", has_text=pair_id)
    _becomes(pair, "failed")
    pair.locator("button").first.click()
    for text in ("The message, laid out", "Headers and exact bytes", "The function’s log"):
        pair.get_by_text(text).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
def test_it_follows_the_systems_light_and_dark(page: Page) -> None:
    """Both are drawn, with text that stands out from its ground."""
    pair = _click(page, "Too dark")
    _becomes(pair, "rejected")
    pictures = set()
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        pictures.add(page.screenshot())
        for selector in ("body", ".pair .badge", ".pair .state", ".pair small", ".row .note", "dt", "#link"):
            assert _contrast(page.locator(selector).first) >= 4.5, (scheme, selector)
    assert len(pictures) == 2


def _contrast(element: Locator) -> float:
    """The contrast of an element's text with what is behind it, as WCAG 2 defines it."""
    colours: list[list[float]] = element.evaluate(
        """at => { const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const ground = each => rgb(getComputedStyle(each).backgroundColor || "0 0 0 1");
        let behind = at; while (ground(behind)[3] === 0) behind = behind.parentElement;
        if (!at.isConnected) return [[0, 0, 0], [255, 255, 255]];  // drawn anew meanwhile
        return [rgb(getComputedStyle(at).color), ground(behind)]; }"""
    )

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)
