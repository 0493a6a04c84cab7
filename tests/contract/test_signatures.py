"""What the function signs, judged by libraries that are not ours: Standard Webhooks' for Python and Node.js.

Each message was posted by the real sender to the local cloud's consumer; each case says what reaches a
consumer of it, and when. Both libraries have to say the same, and so do the samples in examples/verify.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

import pytest
import time_machine
from standardwebhooks import Webhook, WebhookVerificationError

from handler.edges.webhook import WebhookClient
from handler.edges.wire import Wire
from tests.cloud import Cloud, samples
from tests.cloud.consumer import SECRET
from tests.support.compilers import go, java, needs_go, needs_java
from tests.support.harness import Livepair
from tests.support.messages import CHINESE, CJK, HIGH, MESSAGES, SUCCESS, load, told
from tests.support.nodejs import NODE, needs_node
from tests.support.project import PROJECT, TESTS

OTHER = "whsec_" + base64.b64encode(b"another-fake-secret-for-rotating").decode()
THIRD = "whsec_" + base64.b64encode(b"a-fake-secret-that-nobody-knows!").decode()


@dataclass(frozen=True, slots=True)
class Case:
    """What a consumer that knows `secret` gets at `now`, Unix seconds."""

    secret: str
    headers: dict[str, str]
    body: bytes
    now: float


class Verifier(Protocol):
    """Asks one library. Returns the message, or None where it is not genuine."""

    def __call__(self, case: Case) -> Any: ...


def in_python(case: Case) -> Any:
    with time_machine.travel(datetime.fromtimestamp(case.now, timezone.utc), tick=False):
        try:
            return Webhook(case.secret).verify(case.body, case.headers)
        except (WebhookVerificationError, ValueError):  # the second for what cannot be read at all
            return None


class InNode:
    """One process that answers line by line."""

    def __init__(self) -> None:
        assert NODE is not None
        script = TESTS / "node" / "verify.mjs"
        self._process = subprocess.Popen(
            [NODE, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __call__(self, case: Case) -> Any:
        asked = {
            "secret": case.secret,
            "headers": case.headers,
            "body": base64.b64encode(case.body).decode(),
            "now": case.now,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["genuine"] or answer["expected"], answer
        return answer.get("message")

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class InLines:
    """One process that runs a sample of examples/verify, and answers line by line."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __call__(self, case: Case) -> Any:
        headers = {name.lower(): value for name, value in case.headers.items()}
        texts = [case.secret, *(headers.get(f"webhook-{each}") for each in ("id", "timestamp", "signature"))]
        parts = [None if text is None else text.encode() for text in texts] + [case.body]
        tokens = ["-" if part is None else f"={base64.b64encode(part).decode()}" for part in parts]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([*tokens, str(int(case.now))]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer in ("true", "false"), answer
        return json.loads(case.body) if answer == "true" else None

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


VERIFIERS = [
    "python",
    pytest.param("node", marks=needs_node("standardwebhooks")),
    pytest.param("java", marks=needs_java),
    pytest.param("go", marks=needs_go),
]


@pytest.fixture(scope="module", params=VERIFIERS)
def verify(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verifier]:
    """Each library in turn, then each sample of examples/verify."""
    verifier: InNode | InLines
    if request.param == "python":
        yield in_python
        return
    if request.param == "node":
        verifier = InNode()
    else:
        folder, source = tmp_path_factory.mktemp("verify"), PROJECT / "examples" / "verify"
        if request.param == "java":
            verifier = InLines(java(folder, "VerifyLines", source / "Verify.java"))
        else:
            verifier = InLines(go(folder, "verify_lines", {"verify": source / "verify.go"}))
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    """A local cloud for all tests here: each posts a message and looks at what arrived last."""
    with Cloud() as cloud:
        yield cloud


def sent(cloud: Cloud, message: dict[str, Any], secrets: tuple[str, ...] = (SECRET,)) -> Case:
    """What the sender makes of a message, as it arrives at once at a consumer that knows the first secret."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    now = cloud.clock.now()
    wire = Wire(None)
    WebhookClient(wire, cloud.consumer.url, secrets).post(message["id"], body, now, 10)
    attempt = cloud.consumer.attempts[-1]
    assert attempt.body == body.encode()
    return Case(secrets[0], attempt.headers, attempt.body, int(now.timestamp()))


@pytest.fixture
def case(world: Cloud) -> Case:
    """A genuine message that tells of a match."""
    return sent(world, load("verification.matched.json"))


# --- genuine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_every_type_of_message_is_genuine(world: Cloud, verify: Verifier, name: str) -> None:
    """Each outcome and the test message, read back as it was written."""
    message = load(name)
    assert verify(sent(world, message)) == message


def test_a_message_in_any_script_is_genuine(world: Cloud, verify: Verifier) -> None:
    """What is signed is the body's UTF-8, in both languages."""
    message = told(HIGH, seen=CHINESE, called=SUCCESS, settings=CJK)
    assert verify(sent(world, message)) == message


def test_what_the_function_posts_is_genuine(livepair: Livepair, verify: Verifier) -> None:
    """From an upload to the consumer's door: the record's bytes, signed at that time."""
    livepair.put("uploads/42/image.jpg", samples.image())
    livepair.put("uploads/42/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    (attempt,) = livepair.cloud.consumer.attempts
    now = livepair.cloud.clock.timestamp()
    assert verify(Case(SECRET, attempt.headers, attempt.body, now)) == livepair.messages[0]


def with_header(name: str, value: Callable[[str], str]) -> Callable[[Case], Case]:
    return lambda case: replace(case, headers={**case.headers, name: value(case.headers[name])})


def with_body(change: Callable[[bytes], bytes]) -> Callable[[Case], Case]:
    return lambda case: replace(case, body=change(case.body))


def later(seconds: float) -> Callable[[Case], Case]:
    return lambda case: replace(case, now=case.now + seconds)


def without(name: str) -> Callable[[Case], Case]:
    return lambda case: replace(case, headers={k: v for k, v in case.headers.items() if k != name})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(later(0), id="as it is"),
        pytest.param(later(290), id="under five minutes old"),
        pytest.param(later(-290), id="to a clock that is under five minutes slow"),
        pytest.param(
            lambda case: replace(case, headers={k.title(): v for k, v in case.headers.items()}),
            id="header names in capitals",
        ),
        pytest.param(with_header("webhook-signature", lambda v: f"v1a,AAAA v2,BBBB {v}"), id="beside others"),
        pytest.param(with_header("user-agent", lambda v: "other"), id="another user agent"),
    ],
)
def test_a_genuine_message_is_accepted(verify: Verifier, case: Case, change: Callable[[Case], Case]) -> None:
    """Small differences of clocks, the spelling of headers and further signatures do no harm."""
    assert verify(change(case)) == load("verification.matched.json")


# --- not genuine --------------------------------------------------------------------------------------

REJECTED = load("verification.rejected.json")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(with_body(lambda b: b.replace(b'"similarity":96.3', b'"similarity":99.9')), id="body"),
        pytest.param(with_body(lambda b: b.replace(b"a1f4c0de", b"b2e5c0de")), id="another pair"),
        pytest.param(with_body(lambda b: b + b"\n"), id="a byte more"),
        pytest.param(with_body(lambda b: b[:-1]), id="a byte less"),
        pytest.param(with_body(lambda b: json.dumps(json.loads(b)).encode()), id="written anew"),
        pytest.param(with_body(lambda b: b""), id="no body"),
        pytest.param(with_body(lambda b: b"\xff" + b), id="no UTF-8"),
        pytest.param(with_body(lambda b: json.dumps(REJECTED).encode()), id="another body"),
        pytest.param(with_header("webhook-id", lambda v: v[:-1] + "x"), id="id"),
        pytest.param(with_header("webhook-id", lambda v: f"{v}.1"), id="id with a dot"),
        pytest.param(with_header("webhook-timestamp", lambda v: str(int(v) + 1)), id="timestamp"),
        pytest.param(with_header("webhook-timestamp", lambda v: "soon"), id="timestamp no number"),
        pytest.param(with_header("webhook-timestamp", lambda v: ""), id="timestamp empty"),
        pytest.param(with_header("webhook-signature", lambda v: "v1," + v[-1:2:-1]), id="signature"),
        pytest.param(with_header("webhook-signature", lambda v: v.replace("v1,", "v1a,")), id="no v1"),
        pytest.param(with_header("webhook-signature", lambda v: v.removeprefix("v1,")), id="no version"),
        pytest.param(with_header("webhook-signature", lambda v: "v1,"), id="signature empty"),
        pytest.param(with_header("webhook-signature", lambda v: "v1,é"), id="signature no base64"),
        pytest.param(without("webhook-id"), id="without id"),
        pytest.param(without("webhook-timestamp"), id="without timestamp"),
        pytest.param(without("webhook-signature"), id="without signature"),
        pytest.param(lambda case: replace(case, headers={}), id="without headers"),
        pytest.param(lambda case: replace(case, secret=OTHER), id="another secret"),
        pytest.param(later(310), id="captured and sent again after five minutes"),
        pytest.param(later(86_400), id="sent again after a day"),
        pytest.param(later(-310), id="from the future"),
    ],
)
def test_what_was_tampered_with_is_refused(
    verify: Verifier, case: Case, change: Callable[[Case], Case]
) -> None:
    """Body, id, time and signature hold together, for five minutes."""
    changed = change(case)
    assert verify(case) is not None
    assert changed != case
    assert verify(changed) is None


def test_a_signature_of_another_message_is_refused(world: Cloud, verify: Verifier, case: Case) -> None:
    """Nobody who has one genuine message can sign another."""
    other = sent(world, REJECTED)
    for name in ("webhook-signature", "webhook-id"):
        assert verify(replace(case, headers={**case.headers, name: other.headers[name]})) is None
    assert verify(replace(case, headers=other.headers)) is None


# --- rotation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "knows", "genuine"),
    [
        ((SECRET,), SECRET, True),
        ((SECRET, OTHER), SECRET, True),
        ((SECRET, OTHER), OTHER, True),
        ((OTHER, SECRET), SECRET, True),
        ((OTHER, SECRET), OTHER, True),
        ((OTHER,), OTHER, True),
        ((OTHER,), SECRET, False),
        ((SECRET, OTHER), THIRD, False),
        ((SECRET, OTHER, THIRD), THIRD, True),
    ],
    ids=lambda value: (
        {SECRET: "old", OTHER: "new", THIRD: "third"}.get(value) if isinstance(value, str) else None
    ),
)
def test_a_secret_is_rotated_without_a_gap(
    world: Cloud, verify: Verifier, signs: tuple[str, ...], knows: str, genuine: bool
) -> None:
    """While both sign, a consumer that knows either is content; afterwards the old one is worth nothing."""
    case = replace(sent(world, load("verification.matched.json"), signs), secret=knows)
    assert len(case.headers["webhook-signature"].split()) == len(signs)
    assert (verify(case) is not None) is genuine


def test_a_message_signed_before_a_rotation_is_refused_after_it(verify: Verifier, case: Case) -> None:
    """The attempt under way fails, and the next one is signed anew (tests/test_delivery.py)."""
    assert verify(replace(case, secret=OTHER)) is None
