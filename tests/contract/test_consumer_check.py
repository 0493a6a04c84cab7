"""`consumer-check` and `trigger`: right consumers pass, and each wrong one is caught at what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook, WebhookVerificationError

from handler.cli.consumer import alone, commands
from handler.cli.consumer.checks import TRIALS
from handler.cli.consumer.messages import BUCKET as CHECK_BUCKET
from handler.cli.consumer.messages import OUTCOMES, Maker
from handler.cli.main import main
from handler.clock import SystemClock
from handler.rules.codes import CODES
from handler.rules.settings import SettingsError
from tests.contract.test_consumers import KINDS, Running
from tests.support.messages import BUCKET, Message, faults
from tests.support.project import PROJECT
from tests.support.values import settings

SECRET = "whsec_ZmFrZS1zZWNyZXQtb2YtYS1jb25zdW1lci1jaGVjaw=="
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
CHECKS = [trial.check for trial in TRIALS]


class Clock(SystemClock):
    """The machine's, but what a command waits for is up to the test."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.pauses: Iterator[Callable[[], object]] = iter(())

    def elapsed(self) -> float:
        return super().elapsed() + self.ahead

    def sleep(self, seconds: float) -> None:
        next(self.pauses, lambda: None)()


class Shell:
    """Somebody in a folder of their own, with WEBHOOK_SECRET and nothing else."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.clock = Clock()
        monkeypatch.setattr(commands, "_clock", self.clock)
        monkeypatch.chdir(folder)
        for name in ("BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET", "LOCAL_CLOUD"):
            monkeypatch.delenv(name, raising=False)
        self.variables = {"WEBHOOK_SECRET": SECRET, "COLUMNS": "300"}

    def __call__(self, *arguments: str) -> Result:
        return CliRunner(env=self.variables).invoke(main, ["--debug", *arguments], catch_exceptions=False)

    def check(self, url: str, *options: str) -> dict[str, dict[str, Any]]:
        """What consumer-check says, by check; its exit status agrees with it."""
        result = self("consumer-check", url, "--json", *options)
        found = {each["check"]: each for each in json.loads(result.stdout)["checks"]}
        failed = [each for each in found.values() if each["status"] == "fail"]
        assert result.exit_code == bool(failed)
        assert all(each["why"] for each in failed)
        return found

    def failing(self, url: str, *options: str) -> set[str]:
        return {name for name, each in self.check(url, *options).items() if each["status"] == "fail"}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / "shell"
    folder.mkdir()
    return Shell(folder, monkeypatch)


# --- consumers that are right -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each sample consumer, for its own bucket and for the one that the checks are about."""
    running = Running(request.param, tmp_path_factory.mktemp("consumer"), SECRET)
    running.buckets = f"{BUCKET} {CHECK_BUCKET}"
    running.start()
    yield running
    running.kill()


@pytest.mark.parametrize("bucket", [None, BUCKET])
def test_the_sample_consumers_pass(sample: Running, shell: Shell, bucket: str | None) -> None:
    """As whoever copies one would check it: with its BUCKET, or as a copy that takes the checks' own."""
    if bucket:
        shell.variables["BUCKET"] = bucket
    found = shell.check(sample.url)
    assert {each["status"] for each in found.values()} == {"ok"}
    assert list(found) == CHECKS + (["another bucket"] if bucket else [])


def test_what_a_consumer_keeps_of_a_check_is_about_nobody(sample: Running, shell: Shell) -> None:
    """Ids that say so, and pairs that no template can yield."""
    shell.check(sample.url)
    assert all(kept.startswith("msg_test_") for kept in sample.kept())
    assert all("/" in pair for pair in sample.show())


def test_a_consumer_of_another_bucket_is_told_how_to_be_checked(tmp_path: Path, shell: Shell) -> None:
    """It is right to refuse the checks' own bucket: that is said, and nothing else is made of it."""
    running = Running("python", tmp_path, SECRET)
    running.start()
    try:
        found = shell.check(running.url)
        refused = [each for each in found.values() if each["status"] == "fail"]
        assert "verification.matched" in [each["check"] for each in refused]
        assert all("--bucket" in each["why"] for each in refused)
        assert shell.failing(running.url, "--bucket", BUCKET) == set()
        assert "--bucket" in shell("trigger", "matched", "--to", running.url).stdout
    finally:
        running.kill()


# --- consumers that are not ---------------------------------------------------------------------------

Answer = tuple[int, dict[str, str]]


class Consumer:
    """A consumer in a thread, right in all that can be seen; each broken one changes one thing."""

    def __init__(self) -> None:
        self.closed, self.has_read = threading.Event(), threading.Event()
        self.known: list[Message] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.close_connection = True
                length = int(self.headers["content-length"])
                outer.bodies.append(outer.read(self.rfile, length))
                status, headers = outer.answer(outer.bodies[-1], dict(self.headers.items()))
                self.send_response(status)
                for name, value in {**headers, "content-length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook-path-8d1f"

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def read(self, stream: Any, length: int) -> bytes:
        return bytes(stream.read(length))

    def answer(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            self.verify(body, headers)
        except (WebhookVerificationError, ValueError):
            return self.refuse()
        message = json.loads(body)
        status = self.take(message)
        self.known.append(message)
        return status, {}

    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        Webhook(SECRET).verify(body, headers)

    def refuse(self) -> Answer:
        return 401, {}

    def take(self, message: Message) -> int:
        return 204


class Redirects(Consumer):
    def answer(self, body: bytes, headers: dict[str, str]) -> Answer:
        return 308, {"location": "/elsewhere"}


class RedirectsWhatItRefuses(Consumer):
    def refuse(self) -> Answer:
        return 302, {"location": "/login"}


class SaysGoneToWhatItRefuses(Consumer):
    def refuse(self) -> Answer:
        return 410, {}


class NeverAnswers(Consumer):
    def answer(self, body: bytes, headers: dict[str, str]) -> Answer:
        self.closed.wait(30)
        return 204, {}


class KnowsNoTest(Consumer):
    def take(self, message: Message) -> int:
        return 400 if message["type"] == "webhook.test" else 204


def refusing(outcome: str) -> type[Consumer]:
    class Refusing(Consumer):
        def take(self, message: Message) -> int:
            told_before = {each["type"] for each in self.known}
            kind = f"verification.{outcome}"
            return 500 if message["type"] == kind and kind not in told_before else 204

    return Refusing


class RefusesRepeats(Consumer):
    def take(self, message: Message) -> int:
        return 409 if message["id"] in {each["id"] for each in self.known} else 204


class RefusesWhatIsOlder(Consumer):
    def take(self, message: Message) -> int:
        def newest(each: Message) -> str:
            halves = [each["data"].get(half) for half in ("live", "image")]
            return max((half["uploaded_at"] for half in halves if half), default="")

        same = [each for each in self.known if each["data"].get("pair") == message["data"].get("pair", 0)]
        return 409 if any(newest(message) < newest(each) for each in same) else 204


class KnowsOneSignature(Consumer):
    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        names = {name.lower(): value for name, value in headers.items()}
        first = names.get("webhook-signature", "").split(" ")[0]
        Webhook(SECRET).verify(body, {**names, "webhook-signature": first})


class RefusesUnknownTypes(Consumer):
    def take(self, message: Message) -> int:
        return 204 if message["type"].rpartition(".")[2] in (*OUTCOMES, "test") else 400


class RefusesUnknownFields(Consumer):
    def take(self, message: Message) -> int:
        return 400 if "comes_later" in json.dumps(message["data"].get("live") or "") else 204


class RefusesUnknownCodes(Consumer):
    def take(self, message: Message) -> int:
        reason = message["data"].get("reason")
        known = not reason or reason["code"] in CODES or reason["code"].startswith("Livepair.")
        return 204 if known else 422


class TripsOverNulls(Consumer):
    def take(self, message: Message) -> int:
        data = message["data"]
        one = data.get("live") or data.get("image")
        return 204 if one or "pair" not in data else 500


class TripsOverAnMd5OfNull(Consumer):
    def take(self, message: Message) -> int:
        live = message["data"].get("live")
        return 500 if live and live["md5"] is None else 204


class WritesJsonAnew(Consumer):
    """As many do in JavaScript and Python: it verifies what it parsed and wrote again, in ASCII."""

    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        super().verify(json.dumps(json.loads(body), separators=(",", ":")).encode(), headers)


class ReadsOnce(Consumer):
    def read(self, stream: Any, length: int) -> bytes:
        piece = bytes(stream.read1(length))
        self.has_read.set()
        return piece


class VerifiesNothing(Consumer):
    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        pass


class VerifiesOnlyWhatIsSigned(Consumer):
    """The middle of a check that was commented out while somebody tried something."""

    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        if any(name.lower() == "webhook-signature" for name in headers):
            super().verify(body, headers)


class VerifiesAnythingThatIsSigned(Consumer):
    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        if not any(name.lower() == "webhook-signature" for name in headers):
            raise ValueError


class VerifiesHalfTheBody(Consumer):
    """It looks at its own copy of a message whose signature it has seen, say."""

    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        super().verify(body.replace(b'"similarity":99.9', b'"similarity":96.3'), headers)


class LooksAtNoClock(Consumer):
    def verify(self, body: bytes, headers: dict[str, str]) -> None:
        names = {name.lower(): value for name, value in headers.items()}
        id_, at = names.get("webhook-id", ""), int(names.get("webhook-timestamp", "0"))
        expected = Webhook(SECRET).sign(id_, datetime.fromtimestamp(at, timezone.utc), body.decode())
        if expected not in names.get("webhook-signature", "").split(" "):
            raise ValueError


REFUSALS = {"a wrong signature", "no signature", "changed bytes", "six minutes old"}

BROKEN: list[tuple[type[Consumer], set[str]]] = [
    (Redirects, {"webhook.test"}),
    (RedirectsWhatItRefuses, REFUSALS),
    (SaysGoneToWhatItRefuses, REFUSALS),
    (NeverAnswers, {"webhook.test"}),
    (KnowsNoTest, {"webhook.test"}),
    *((refusing(outcome), {f"verification.{outcome}"}) for outcome in OUTCOMES),
    (RefusesRepeats, {"a repeat"}),
    (RefusesWhatIsOlder, {"an older one after a newer"}),
    (KnowsOneSignature, {"two signatures"}),
    (RefusesUnknownTypes, {"an unknown type"}),
    (RefusesUnknownFields, {"unknown fields"}),
    (RefusesUnknownCodes, {"an unknown code"}),
    (TripsOverNulls, {"nulls"}),
    (TripsOverAnMd5OfNull, {"nulls"}),
    (WritesJsonAnew, {"any script and markup"}),
    (ReadsOnce, {"a body in pieces"}),
    (VerifiesNothing, REFUSALS),
    (VerifiesOnlyWhatIsSigned, {"no signature"}),
    (VerifiesAnythingThatIsSigned, REFUSALS - {"no signature"}),
    (VerifiesHalfTheBody, {"changed bytes"}),
    (LooksAtNoClock, {"six minutes old"}),
]


@pytest.fixture
def running() -> Iterator[Callable[[type[Consumer]], Consumer]]:
    found: list[Consumer] = []

    def start(kind: type[Consumer]) -> Consumer:
        found.append(kind())
        return found[-1]

    yield start
    for consumer in found:
        consumer.close()


Start = Callable[[type[Consumer]], Consumer]


@pytest.mark.parametrize(("kind", "failing"), BROKEN)
def test_a_broken_consumer_is_caught_at_what_is_wrong_with_it(
    running: Start, shell: Shell, kind: type[Consumer], failing: set[str]
) -> None:
    """And at nothing else."""
    consumer = running(kind)
    if kind is ReadsOnce:
        # The second piece waits until the consumer has read the first.
        shell.clock.pauses = iter([consumer.has_read.clear, lambda: consumer.has_read.wait(10)])
    options = ("--seconds", "0.5") if kind is NeverAnswers else ()
    assert shell.failing(consumer.url, *options) == failing


def test_each_check_has_a_consumer_that_only_it_catches() -> None:
    """None is there for show."""
    alone = {next(iter(failing)) for _, failing in BROKEN if len(failing) == 1}
    assert alone | {"a wrong signature"} == set(CHECKS)
    assert (VerifiesAnythingThatIsSigned, {"a wrong signature", "changed bytes", "six minutes old"}) in BROKEN


def test_a_right_consumer_passes_and_nobody_is_shown_a_secret(running: Start, shell: Shell) -> None:
    """Neither the secret nor the URL's path, which can be one."""
    consumer = running(Consumer)
    result = shell("consumer-check", consumer.url)
    assert (result.exit_code, "No check failed." in result.stdout) == (0, True)
    for text in (result.stdout, result.stderr, shell("trigger", "matched", "--to", consumer.url).output):
        assert "hook-path-8d1f" not in text
        assert SECRET.removeprefix("whsec_") not in text


def test_where_nobody_answers_nothing_else_is_tried(running: Start, shell: Shell) -> None:
    """A closed port, and one that redirects: one line each says it."""
    consumer = running(Redirects)
    assert list(shell.check(consumer.url)) == ["webhook.test"]
    assert len(consumer.bodies) == 1
    consumer.close()
    closed = shell.check(consumer.url)["webhook.test"]
    assert "gave no answer" in closed["found"]
    assert "does it run" in closed["why"]


def test_a_consumer_that_answers_late_is_warned(running: Start, shell: Shell) -> None:
    """It does its work before it answers: one busy day more, and livepair posts everything again."""

    class AnswersLate(Consumer):
        def take(self, message: Message) -> int:
            shell.clock.ahead += 6.0
            return 204

    found = shell.check(running(AnswersLate).url)
    assert found["verification.matched"]["status"] == "warn"
    assert "work afterwards" in found["verification.matched"]["why"]


def test_http_to_another_machine_is_warned_of(shell: Shell) -> None:
    """The function posts to https only; on this machine it is nothing to speak of."""
    for url, warned in (("http://consumer.invalid/", True), ("http://127.0.0.1:1/", False)):
        assert (
            "posts to https only" in shell("trigger", "matched", "--seconds", "0.2", "--to", url).stderr
        ) is warned


def test_a_consumer_that_takes_another_bucket_is_warned(running: Start, shell: Shell) -> None:
    """It may drop what it took: that cannot be seen, so it is no failure."""
    found = shell.check(running(Consumer).url, "--bucket", BUCKET)
    assert found["another bucket"]["status"] == "warn"
    assert "decides nothing" in found["another bucket"]["why"]


# --- the messages -------------------------------------------------------------------------------------


def maker() -> Maker:
    return Maker(settings(), NOON)


def test_the_messages_are_what_the_function_tells() -> None:
    """By the contract, but for what is to be unknown; each with an id of its own, but for the repeat."""
    known = [trial for trial in TRIALS if trial.check != "an unknown type"]
    messages = [message for trial in known for message in trial.make(maker())]
    assert [wrong for message in messages if (wrong := faults(message))] == []
    assert {message["type"] for message in messages} == {
        "webhook.test",
        *(f"verification.{outcome}" for outcome in OUTCOMES),
    }
    ids = [message["id"] for message in messages]
    assert len(ids) - len(set(ids)) == 1
    assert all(each.startswith("msg_test_") for each in ids)


def test_no_template_yields_what_the_messages_are_about() -> None:
    """A placeholder matches no slash; COS takes no key that begins with one, and no template does."""
    for trial in TRIALS:
        for message in trial.make(maker()):
            data = message["data"]
            assert all("/" in value for value in data.get("pair", {}).values())
            halves = [half for half in (data.get("live"), data.get("image")) if half]
            assert all(half["key"].startswith("/") for half in halves)
    with pytest.raises(SettingsError, match="begin"):
        settings(LIVE_KEY="/{id}.gz")


CODED = [
    (row.outcome, code)
    for code, row in CODES.items()
    if row.outcome != "matched" and code != "Livepair.NoSimilarity"
]


@pytest.mark.parametrize(("outcome", "code"), [*CODED, ("failed", "FailedOperation.OfNextYear")])
def test_any_code_can_be_told(outcome: Any, code: str) -> None:
    """As the function tells it."""
    message = maker().told(outcome, code)
    assert faults(message) == []
    assert (message["data"]["reason"]["code"], message["data"]["outcome"]) == (code, outcome)


# --- trigger ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*OUTCOMES, "verification.matched", "webhook.test"])
def test_trigger_posts_one_message(running: Start, shell: Shell, kind: str) -> None:
    """Of the type that is asked for; 0 if it was taken."""
    consumer = running(Consumer)
    result = shell("trigger", kind, "--to", consumer.url, "--json")
    assert result.exit_code == 0
    (message,) = consumer.known
    assert message["type"].endswith(kind)
    said = json.loads(result.stdout)
    assert (said["message"], said["status"], said["found"]) == (message, 204, "answered 204")


def test_trigger_posts_a_code(running: Start, shell: Shell) -> None:
    """One that belongs to its outcome; else it says to which it does."""
    consumer = running(Consumer)
    code = "FailedOperation.LivessDetectFake"
    assert shell("trigger", "rejected", "--code", code, "--to", consumer.url).exit_code == 0
    assert consumer.known[0]["data"]["reason"]["category"] == "spoof"
    for kind, wrong, said in (
        ("failed", code, f"{code} is told as `rejected`"),
        ("matched", code, "`matched` has no code"),
        ("incomplete", code, f"{code} is told as `rejected`"),
        ("webhook.test", code, "has no code"),
        ("mached", code, "TYPE is one of matched, mismatched"),
    ):
        result = shell("trigger", kind, "--code", wrong, "--to", consumer.url)
        assert (result.exit_code, said in result.stderr) == (2, True), result.output
    assert len(consumer.known) == 1


def test_trigger_fails_where_its_message_is_not_taken(running: Start, shell: Shell) -> None:
    """And says what was answered."""
    result = shell("trigger", "webhook.test", "--to", running(KnowsNoTest).url)
    assert (result.exit_code, "answered 400" in result.stdout) == (1, True)


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["environment", ".env", "serverless.yml"])
@pytest.mark.parametrize("spelled", ["", "/", "?key=other"])
def test_the_deployments_own_url_is_refused(running: Start, shell: Shell, place: str, spelled: str) -> None:
    """Wherever it stands and however it is spelled, unless --production says that it is meant."""
    consumer = running(Consumer)
    if place == "environment":
        shell.variables["WEBHOOK_URL"] = consumer.url
    else:
        (shell.folder / ".env").write_text(f"WEBHOOK_URL={consumer.url}\n")
    if place == "serverless.yml":
        (shell.folder / ".env").write_text(f"MY_HOOK={consumer.url}\n")
        text = "inputs: {environment: {variables: {WEBHOOK_URL: '${env:MY_HOOK}'}}}"
        (shell.folder / "serverless.yml").write_text(text)
    url = consumer.url + spelled
    for command in (("consumer-check", url), ("trigger", "matched", "--to", url)):
        result = shell(*command)
        assert (result.exit_code, "deployment's own WEBHOOK_URL" in result.stderr) == (1, True)
    assert consumer.bodies == []
    assert shell("trigger", "matched", "--to", url, "--production").exit_code == 0


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("example.com", SECRET, "error: URL: is no URL"),
        ("https://user:pass@example.com/", SECRET, "no user or password"),
        ("http://127.0.0.1:1/", "", "error: WEBHOOK_SECRET is not set"),
        ("http://127.0.0.1:1/", "whsec_…", "error: WEBHOOK_SECRET: secret 1 of 1 is not base64"),
        ("http://127.0.0.1:1/", "whsec_abcd", "24 to 64"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(shell: Shell, url: str, secret: str, said: str) -> None:
    """Before anything is posted."""
    shell.variables["WEBHOOK_SECRET"] = secret
    result = shell("consumer-check", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


# --- alone --------------------------------------------------------------------------------------------


def test_alone_it_needs_what_pyproject_says_and_nothing_else() -> None:
    """Whoever builds a consumer installs neither SDK."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from handler.cli.consumer import alone; print(*sorted(sys.modules))",
        ],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    named = text.partition("\ndependencies = [")[2].partition("]")[0]
    imported = {"click", "rich", "requests", "standardwebhooks", "yaml", "dotenv"}
    assert imported <= set(found)
    assert {"pyyaml", "python-dotenv"} | imported - {"yaml", "dotenv"} == {
        each.strip(' ",').partition(">=")[0] for each in named.split("\n") if each.strip()
    }
    assert not {"qcloud_cos", "tencentcloud", "handler.cli.deployment"} & set(found)
    (script,) = re.findall(r'^livepair = "([\w.]+):main"$', text, re.MULTILINE)
    assert script == alone.__name__
    assert set(alone.main.commands) == {"consumer-check", "trigger"} <= set(main.commands)
