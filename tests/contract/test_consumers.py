"""The two sample consumers, as a person would run a copy of them: processes that the real function posts to.

examples/consumers/consumer.py is in Flask, examples/consumers/consumer.mjs in Express; both promise the same.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from handler.edges.webhook import Delivery, WebhookClient
from handler.edges.wire import Wire
from handler.rules.outcome import Answer, Decision, decide, incomplete
from handler.rules.uploads import Seen, Stored
from tests.cloud import Cloud, faults, samples
from tests.cloud.consumer import SECRET
from tests.contract.test_signatures import OTHER
from tests.support.harness import Livepair
from tests.support.messages import (
    BUCKET,
    HIGH,
    LOW,
    PERSON,
    SETTINGS,
    SUCCESS,
    TROUBLE,
    Message,
    load,
    seen_of,
    told,
)
from tests.support.nodejs import NODE, PACKAGES, needs_node
from tests.support.project import PROJECT, TESTS

CONSUMERS = PROJECT / "examples" / "consumers"
KINDS = ["python", pytest.param("node", marks=needs_node("express", "standardwebhooks"))]

MOVED_PYTHON = """
import datetime, runpy, sys, time_machine
ahead = datetime.timedelta(seconds={ahead!r})
time_machine.travel(datetime.datetime.now(datetime.timezone.utc) + ahead).start()
sys.argv = ["consumer.py"]
runpy.run_path("consumer.py", run_name="__main__")
"""
MOVED_NODE = "const real = Date.now; Date.now = () => real() + {ahead!r} * 1000;"


class Running:
    """A copy of one of the consumers in a folder of its own, and its process."""

    def __init__(self, kind: str, folder: Path, secrets: str = SECRET) -> None:
        self._kind = kind
        self._folder = folder
        self.secrets = secrets
        self.buckets = BUCKET
        self._process: subprocess.Popen[str] | None = None
        self.store = folder / "kept"
        name = "consumer.py" if kind == "python" else "consumer.mjs"
        shutil.copy(CONSUMERS / name, folder)
        if kind == "node":
            (folder / "node_modules").symlink_to(PACKAGES)
        self._command = [sys.executable if kind == "python" else str(NODE), name]
        self.url = ""

    def start(self, ahead: float = 0.0) -> None:
        """Start it, with a clock so many seconds ahead. It listens on a new port each time."""
        command = self._command
        if ahead and self._kind == "python":
            command = [command[0], "-c", MOVED_PYTHON.format(ahead=ahead)]
        elif ahead:
            script = f"data:text/javascript,{quote(MOVED_NODE.format(ahead=ahead))}"
            command = [command[0], "--import", script, *command[1:]]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + self.log.read_text()
        self.url = line.split()[-1]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._folder / "log"

    def ended(self) -> int:
        """Its status, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout=10)

    def kill(self) -> None:
        """End it at once, with whatever it is doing. May be called twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            with self._process:
                self._process.wait()
            self._process = None

    def command(self, *arguments: str) -> str:
        """What one of its own commands prints, beside the process that serves."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            timeout=60,
        )
        assert done.stdout.isascii()  # a terminal may take other characters for commands
        return done.stdout

    def show(self) -> dict[str, dict[str, Any]]:
        """What it knows of each pair, by `pair.id`, read by its own command from its disk."""
        rows = [json.loads(line) for line in self.command("show").split("\n")[:-1]]
        return {row["pair"]["id"]: row for row in rows}

    def verdict(self, pair: str) -> tuple[str, list[str]]:
        """What it holds a pair for, and what is suspicious about it."""
        row = self.show()[pair]
        return row["state"], row["suspicions"]

    def kept(self) -> list[str]:
        """The ids of the messages on its disk, in order."""
        if self._kind == "node":
            return [json.loads(line)["id"] for line in self.store.read_text().split("\n")[:-1]]
        with closing(sqlite3.connect(self.store)) as db:
            return [row[0] for row in db.execute("SELECT id FROM messages ORDER BY rowid")]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "BUCKET": self.buckets,
            "WEBHOOK_SECRET": self.secrets,
            "PORT": "0",
            "STORE": str(self.store),
        }


@pytest.fixture(scope="module", params=KINDS)
def consumer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each consumer in turn, running for all tests that do it no harm; each has pairs of its own."""
    running = Running(request.param, tmp_path_factory.mktemp("consumer"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Makes a consumer that a test may start, harm and kill."""
    found: list[Running] = []

    def make(secrets: str = SECRET) -> Running:
        found.append(Running(request.param, tmp_path, secrets))
        return found[-1]

    yield make
    for running in found:
        running.kill()


@pytest.fixture
def own(made: Callable[..., Running]) -> Running:
    """A consumer of the test's own, running."""
    running = made()
    running.start()
    return running


# --- messages -----------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DARK = decide(Answer("FailedOperation.ActionLightDark", ""), 70, NOON)  # to be filmed again, and no suspicion
numbers = itertools.count(1)


def a_pair() -> str:
    """The id of a pair that no other test has."""
    return f"pair {next(numbers)}"


def seen(pair: str, recording: str = "", live: int | None = 0, image: int | None = 0) -> Seen:
    """A pair's uploads: minutes after noon at which they were made, None for one that is missing."""
    found = seen_of(SETTINGS, pair).pair

    def half(key: str, content: str, minutes: int | None) -> Stored | None:
        if minutes is None:
            return None
        digest = md5(content.encode()).hexdigest()
        return Stored(key, f'"{digest}"', digest, 1000, NOON + timedelta(minutes=minutes))

    return Seen(
        found,
        BUCKET,
        half(found.live_keys[0], recording or f"live of {pair} at {live}", live),
        half(found.image_keys[0], f"image of {pair} at {image}", image),
    )


def telling(outcome: str, which: Seen, run: int = 1, decided: int = 60) -> Message:
    """The message that the code makes of an outcome, decided so many minutes after noon."""
    decisions = {
        "matched": HIGH,
        "mismatched": LOW,
        "rejected": PERSON[0],
        "failed": TROUBLE[0],
        "dark": DARK,
    }
    at = NOON + timedelta(minutes=decided)
    if outcome == "incomplete":
        return told(incomplete(which, 3600), seen=which, run=run)
    decision = decisions[outcome]._replace(at=at)
    answer = SUCCESS.answer._replace(code=decision.code or "Success")
    return told(decision, seen=which, run=run, called=SUCCESS._replace(answer=answer))


def post(consumer: Running, message: Message, *secrets: str, ago: float = 0.0) -> Delivery:
    """Post a message as the function does, signed so many seconds ago."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    client = WebhookClient(Wire(None), consumer.url, secrets or (SECRET,))
    return client.post(message["id"], body, datetime.now(timezone.utc) - timedelta(seconds=ago), 10)


# --- what is kept -------------------------------------------------------------------------------------

ADVICE = {
    "matched": None,
    "mismatched": "review",
    "rejected": "review",
    "incomplete": "upload_missing",
    "failed": "retry_later",
}
SUSPICIONS = {"mismatched": ["review"], "rejected": ["spoof"]}


@pytest.mark.parametrize("outcome", ADVICE)
def test_each_outcome_is_kept_with_its_advice(consumer: Running, outcome: str) -> None:
    """And acknowledged once it is on disk."""
    pair = a_pair()
    message = telling(outcome, seen(pair, image=None if outcome == "incomplete" else 0))
    assert post(consumer, message).ok
    assert consumer.show()[pair] == {
        "pair": {"id": pair},
        "state": outcome,
        "advice": ADVICE[outcome],
        "message": message["id"],
        "suspicions": SUSPICIONS.get(outcome, []),
        "replay_of": None,
        "tries": int(outcome in ("matched", "mismatched", "rejected")),
    }


def test_a_repeat_is_acknowledged_and_changes_nothing(consumer: Running) -> None:
    """Deliveries are at least once; the second is told that all is well, or it would come for ever."""
    pair = a_pair()
    message = telling("matched", seen(pair))
    assert [post(consumer, message).ok for _ in range(3)] == [True] * 3
    assert consumer.kept().count(message["id"]) == 1
    assert consumer.show()[pair]["state"] == "matched"


def test_the_id_alone_says_what_is_a_repeat(consumer: Running) -> None:
    """Whatever else it says: livepair promises identical bytes under one id."""
    pair = a_pair()
    message = telling("rejected", seen(pair))
    newer = {**telling("matched", seen(pair, live=5)), "id": message["id"]}
    for each in (message, newer):
        assert post(consumer, each).ok
    assert consumer.show()[pair]["state"] == "rejected"


def test_one_message_delivered_at_the_same_time_is_kept_once(consumer: Running) -> None:
    """Whoever of them is first; all are acknowledged."""
    message = telling("matched", seen(a_pair()))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(consumer, message), range(16)))
    assert all(answer.ok for answer in answers)
    assert consumer.kept().count(message["id"]) == 1


def test_messages_delivered_at_the_same_time_are_all_kept(consumer: Running) -> None:
    """A burst costs none."""
    messages = [telling("matched", seen(a_pair())) for _ in range(40)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda message: post(consumer, message), messages))
    assert all(answer.ok for answer in answers)
    assert {message["id"] for message in messages} <= set(consumer.kept())
    states = consumer.show()
    assert {states[message["data"]["pair"]["id"]]["state"] for message in messages} == {"matched"}


def test_what_a_pair_is_called_cannot_command_a_terminal(consumer: Running) -> None:
    """What uploaders chose is shown in JSON's own escapes, and reads back as it was."""
    pair = f"{a_pair()}\x9b2J\u202e\x7f😀"
    assert post(consumer, telling("matched", seen(pair))).ok
    assert consumer.show()[pair]["state"] == "matched"


def test_the_newest_uploads_count_in_whatever_order_they_are_told(consumer: Running) -> None:
    """Half a pair, then two runs over it, then a new recording: every order of arrival ends alike."""
    told_last = {}
    for order in itertools.permutations(range(4)):
        pair = a_pair()
        messages = [
            telling("incomplete", seen(pair, image=None)),
            telling("failed", seen(pair, image=70), run=1, decided=80),
            telling("rejected", seen(pair, image=70), run=2, decided=75),
            telling("matched", seen(pair, live=90, image=70), decided=91),
        ]
        for number in order:
            assert post(consumer, messages[number]).ok
        told_last[pair] = messages[3]["id"]
    states = consumer.show()
    assert {pair: states[pair]["message"] for pair in told_last} == told_last


def test_the_larger_run_counts_over_the_same_uploads(consumer: Running) -> None:
    """Though the first was decided later, and arrives later too."""
    pair = a_pair()
    second = telling("matched", seen(pair), run=2, decided=75)
    for message in (second, telling("failed", seen(pair), run=1, decided=80)):
        assert post(consumer, message).ok
    assert consumer.show()[pair]["message"] == second["id"]


def test_an_outcome_about_no_upload_yields_to_every_other(consumer: Running) -> None:
    """`failed` for uploads that may not be looked at knows of none."""
    pair = a_pair()
    blind = Seen(seen(pair).pair, BUCKET, None, None)
    decision = Decision(NOON + timedelta(days=1), "failed", "Livepair.UploadUnreadable")
    unreadable = told(decision, seen=blind)
    assert post(consumer, unreadable).ok
    assert consumer.show()[pair]["state"] == "failed"
    assert post(consumer, telling("matched", seen(pair))).ok
    assert post(consumer, {**unreadable, "id": "msg_again"}).ok
    assert consumer.show()[pair]["state"] == "matched"


# --- what is suspicious --------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "why"), [("rejected", "spoof"), ("mismatched", "review")])
@pytest.mark.parametrize("late", [False, True], ids=["told in order", "told last"])
def test_the_next_upload_clears_no_suspicion(consumer: Running, outcome: str, why: str, late: bool) -> None:
    """Whoever fooled the check at the next try stays under review, in whichever order the two are told."""
    pair = a_pair()
    messages = [telling(outcome, seen(pair)), telling("matched", seen(pair, live=5))]
    for message in messages[:: -1 if late else 1]:
        assert post(consumer, message).ok
    assert consumer.verdict(pair) == ("review", [why])
    assert consumer.show()[pair]["message"] == messages[1]["id"]


def test_a_recording_that_was_only_too_dark_is_no_suspicion(consumer: Running) -> None:
    """Most people film twice."""
    pair = a_pair()
    for message in (telling("dark", seen(pair)), telling("matched", seen(pair, live=5))):
        assert post(consumer, message).ok
    assert consumer.verdict(pair) == ("matched", [])


@pytest.mark.parametrize("late", [False, True], ids=["told in order", "told last"])
def test_too_many_tries_are_a_suspicion(consumer: Running, late: bool) -> None:
    """Each one is a guess. Five about one pair are taken; repeats, and what is no verdict, do not count."""
    pair = a_pair()
    tries = [telling("dark", seen(pair, live=n), decided=60 + n) for n in range(4)]
    match = telling("matched", seen(pair, live=9))
    others = [telling("incomplete", seen(pair, image=None)), telling("failed", seen(pair, live=8)), tries[0]]
    for message in [match, *tries, *others] if late else [*tries, *others, match]:
        assert post(consumer, message).ok
    row = consumer.show()[pair]
    assert (row["state"], row["suspicions"], row["tries"]) == ("matched", [], 5)
    assert post(consumer, telling("dark", seen(pair, live=7))).ok
    assert consumer.verdict(pair) == ("review", ["tries"])


def test_only_a_human_clears_a_suspicion(own: Running) -> None:
    """What they have seen, and nothing that is told later; the decision lives through a restart."""
    other = telling("matched", seen("other", "one recording", live=5))
    for message in (
        telling("rejected", seen("42")),
        *(telling("dark", seen("42", live=n)) for n in range(1, 7)),
        telling("matched", seen("42", "one recording", live=10)),
        other,
    ):
        assert post(own, message).ok
    assert own.verdict("42") == ("review", ["replay", "spoof", "tries"])
    assert own.command("clear", '{"id": "42"}') == "cleared, as far as 8 messages go\n"
    assert own.verdict("42") == ("matched", [])
    own.kill()
    own.start()
    assert post(own, telling("matched", seen("42", live=20))).ok
    assert own.verdict("42") == ("matched", [])
    assert post(own, telling("mismatched", seen("42", live=8))).ok
    assert own.verdict("42") == ("review", ["review"])
    assert own.verdict("other") == ("matched", [])


def test_a_message_about_another_bucket_is_not_taken(consumer: Running) -> None:
    """A trial that signs with the same secret decides nothing here: neither half may lie elsewhere."""
    for half in ("live", "image"):
        pair = a_pair()
        message = telling("matched", seen(pair))
        message["data"][half]["bucket"] = "trial-1250000000"
        assert post(consumer, message).status == 403
        assert message["id"] not in consumer.kept()
        assert pair not in consumer.show()


@pytest.mark.parametrize(
    ("buckets", "secrets", "said"),
    [
        ("", SECRET, "BUCKET"),  # it could not tell whose messages these are
        (BUCKET, "", "WEBHOOK_SECRET"),
        (BUCKET, "whsec_…", "WEBHOOK_SECRET"),  # as the guide prints it
        (BUCKET, f"{SECRET} bm8tc2VjcmV0", "WEBHOOK_SECRET"),
    ],
)
def test_it_does_not_start_without_its_settings_and_says_so_in_one_line(
    made: Callable[..., Running], buckets: str, secrets: str, said: str
) -> None:
    """It names what is missing or wrong, shows no traceback and no secret, and fails."""
    running = made()
    running.buckets, running.secrets = buckets, secrets
    with pytest.raises(AssertionError):
        running.start()
    (line,) = running.log.read_text().splitlines()
    assert said in line
    assert "bm8tc2VjcmV0" not in line
    assert running.ended() == 1


@pytest.mark.parametrize("arguments", [("clear",), ("claer", "{}")])
def test_a_command_that_it_has_not_starts_nothing(consumer: Running, arguments: tuple[str, ...]) -> None:
    """It says in one line which there are."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        consumer.command(*arguments)
    (line,) = failed.value.stderr.splitlines()
    assert line.startswith("show, clear ")


def test_what_uploaders_chose_cannot_command_a_terminal(consumer: Running) -> None:
    """`show` escapes all that is not printable ASCII."""
    pair = f"{a_pair()} \x1b[2J\x7f\x9b1m\u202e张\u2028"
    assert post(consumer, telling("matched", seen(pair))).ok
    assert pair in consumer.show()
    assert all(" " <= each <= "~" for each in consumer.command("show").replace("\n", ""))


# --- a recording that is played again -----------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True], ids=["told in order", "told last"])
def test_of_two_pairs_with_one_recording_the_later_upload_is_the_replay(
    consumer: Running, late: bool
) -> None:
    """Deliveries overtake each other: when the older upload is told last, the flag moves."""
    first, second = a_pair(), a_pair()
    recording = f"recording of {first}"
    told = [telling("matched", seen(first, recording)), telling("matched", seen(second, recording, live=5))]
    told = told[:: -1 if late else 1]
    assert post(consumer, told[0]).ok
    assert consumer.verdict(told[0]["data"]["pair"]["id"]) == ("matched", [])
    assert post(consumer, told[1]).ok
    states = consumer.show()
    assert (states[first]["state"], states[first]["replay_of"]) == ("matched", None)
    assert (states[second]["state"], states[second]["suspicions"]) == ("review", ["replay"])
    assert states[second]["replay_of"] == {"id": first}


def test_every_order_of_messages_ends_alike(consumer: Running) -> None:
    """One recording under three pairs, with another match and a fake among them."""
    found = []
    for order in itertools.permutations(range(4)):
        one, two, three = a_pair(), a_pair(), a_pair()
        messages = [
            telling("matched", seen(one, f"of {one}", live=1)),
            telling("matched", seen(two, f"of {one}", live=2)),
            telling("rejected", seen(two, live=3)),
            telling("matched", seen(three, f"of {one}", live=0)),
        ]
        for number in order:
            assert post(consumer, messages[number]).ok
        found.append([one, two, three])
    states = consumer.show()
    for one, two, three in found:
        assert [(states[each]["state"], states[each]["suspicions"]) for each in (one, two, three)] == [
            ("review", ["replay"]),
            ("rejected", ["replay", "spoof"]),
            ("matched", []),
        ]
        assert states[one]["replay_of"] == states[two]["replay_of"] == {"id": three}


def test_a_replay_is_seen_after_the_first_pair_moved_on(consumer: Running) -> None:
    """A recording stays used when newer uploads have taken its place, and if it is told late."""
    first, second = a_pair(), a_pair()
    recording = f"recording of {first}"
    assert post(consumer, telling("dark", seen(first, live=7))).ok
    assert post(consumer, telling("matched", seen(first, recording))).ok
    assert post(consumer, telling("matched", seen(second, recording, live=5))).ok
    assert [consumer.verdict(pair)[0] for pair in (first, second)] == ["rejected", "review"]


def test_another_recording_does_not_mend_a_replay(consumer: Running) -> None:
    """Whoever showed somebody else's recording has to be looked at."""
    first, second = a_pair(), a_pair()
    recording = f"recording of {first}"
    for message in (
        telling("matched", seen(first, recording)),
        telling("matched", seen(second, recording, live=3)),
        telling("matched", seen(second, live=5)),
    ):
        assert post(consumer, message).ok
    assert consumer.verdict(second) == ("review", ["replay"])


def test_a_recording_under_the_same_pair_is_no_replay(consumer: Running) -> None:
    """A replaced image makes another verification of it, and uploading it again after somebody else changes
    nothing; what never matched proved nothing.
    """
    first, second, third = a_pair(), a_pair(), a_pair()
    recording = f"recording of {first}"
    for message in (
        telling("matched", seen(first, recording)),
        telling("matched", seen(third, recording, live=3)),
        telling("matched", seen(first, recording, live=5, image=5)),
        telling("dark", seen(first, f"{recording}, dark", image=6)),
        telling("matched", seen(second, f"{recording}, dark")),
    ):
        assert post(consumer, message).ok
    assert [consumer.verdict(pair) for pair in (first, second, third)] == [
        ("rejected", []),
        ("matched", []),
        ("review", ["replay"]),
    ]


# --- what is not known yet, and what is not genuine ----------------------------------------------------


def test_a_test_message_is_acknowledged_and_tells_of_no_pair(consumer: Running) -> None:
    """webhook.test proves that secret and address are right."""
    before = consumer.show()
    assert post(consumer, {**load("webhook.test.json"), "id": f"msg_test{next(numbers)}"}).ok
    assert consumer.show() == before


def test_a_type_that_nobody_knows_yet_is_acknowledged(consumer: Running) -> None:
    """It is not about an outcome, whatever its name begins with."""
    before = consumer.show()
    for kind in ("verification.expired", "verification.matched.revised", "pair.deleted", "matched"):
        message = {**telling("matched", seen(a_pair())), "type": kind}
        assert post(consumer, message).ok
        assert message["id"] in consumer.kept()
        assert post(consumer, {**message, "id": f"{message['id']}x", "data": {}}).ok
    assert consumer.show() == before


def test_fields_and_codes_that_nobody_knows_yet_are_taken(consumer: Running) -> None:
    """They are what version 1 may grow."""
    pair = a_pair()
    message = {**telling("failed", seen(pair)), "comes_later": [1]}
    message["data"] |= {"comes_later": {"any": ["thing"]}}
    message["data"]["reason"] |= {"code": "FailedOperation.OfNextYear", "comes_later": None}
    assert post(consumer, message).ok
    assert consumer.show()[pair]["advice"] == "retry_later"


def test_another_version_is_not_acknowledged(consumer: Running) -> None:
    """It comes again, until a consumer that understands it is there."""
    message = {**telling("matched", seen(a_pair())), "version": 2}
    assert post(consumer, message).status == 501
    assert message["id"] not in consumer.kept()


def test_a_message_that_lacks_something_is_not_acknowledged(consumer: Running) -> None:
    """A consumer that cannot make sense of an outcome does not say that it has it."""
    message = telling("matched", seen(a_pair()))
    del message["data"]["pair"]
    assert post(consumer, message).status == 500
    assert message["id"] not in consumer.kept()


def test_what_is_not_genuine_is_refused_and_not_kept(consumer: Running) -> None:
    """Another secret, an old message, one from the future, changed bytes, no signature, nothing at all."""
    message = telling("matched", seen(a_pair()))
    body = json.dumps(message)
    client = WebhookClient(Wire(None), consumer.url, (SECRET,))
    assert post(consumer, message, OTHER).status == 401
    assert post(consumer, message, ago=310).status == 401
    assert post(consumer, message, ago=-310).status == 401
    assert client.post(f"{message['id']}x", "", datetime.now(timezone.utc), 10).status == 401
    for headers in ({}, {"webhook-id": message["id"]}, {"webhook-signature": "v1"}):
        for data in (body, "", "{"):
            assert requests.post(consumer.url, data=data, headers=headers, timeout=10).status_code == 401
    assert requests.post(consumer.url, data=b"x" * 2_000_000, timeout=10).status_code == 413
    assert requests.get(consumer.url, timeout=10).status_code in (404, 405)
    assert message["id"] not in consumer.kept()


def test_changed_bytes_of_a_genuine_message_are_refused(consumer: Running, cloud: Cloud) -> None:
    """The real signature over other bytes: verified over what arrived, not over what it means."""
    message = telling("rejected", seen(a_pair()))
    body = json.dumps(message, separators=(",", ":"))
    now = cloud.clock.now()
    WebhookClient(Wire(None), cloud.consumer.url, (SECRET,)).post(message["id"], body, now, 10)
    (attempt,) = cloud.consumer.attempts
    headers = {name: value for name, value in attempt.headers.items() if name.startswith("webhook-")}
    for changed in (body.replace("rejected", "matched"), json.dumps(message), body + " "):
        assert requests.post(consumer.url, data=changed, headers=headers, timeout=10).status_code == 401
    assert message["id"] not in consumer.kept()
    answer = requests.post(consumer.url, data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.content) == (204, b"")


def test_no_secret_is_logged(consumer: Running) -> None:
    """Nor a signature, in whatever was refused before."""
    post(consumer, telling("matched", seen(a_pair())), OTHER)
    text = consumer.log.read_text()
    assert "whsec_" not in text
    assert "v1," not in text


@pytest.mark.parametrize("secrets", ["", "  ", "whsec_"])
def test_without_a_secret_it_does_not_start(made: Callable[..., Running], secrets: str) -> None:
    """It would take every message, or none."""
    with pytest.raises(AssertionError, match=r"(?i)secret"):
        made(secrets).start()


def test_before_any_message_there_is_nothing_to_show(made: Callable[..., Running]) -> None:
    """On a machine where it never ran."""
    assert made().show() == {}


# --- with the function --------------------------------------------------------------------------------


def test_what_the_function_decides_arrives(own: Running, configured: Callable[..., Livepair]) -> None:
    """From uploads to the consumer's table: each outcome, and a live package that is uploaded again."""
    livepair = configured(WEBHOOK_URL=own.url, PAIR_TIMEOUT="60")
    recordings = {
        "matched": samples.live(seed=1),
        "mismatched": samples.live(sim=12.5),
        "rejected": samples.live(error="FailedOperation.SilentTooShort"),
        "spoof": samples.live(result="FailedOperation.LivessDetectFake"),
        "failed": samples.live(error="FailedOperation.NeverHeardOf"),
        "incomplete": None,
        "replay": samples.live(seed=1),
    }
    for pair, live in recordings.items():
        livepair.put(f"uploads/{pair}/image.jpg", samples.image())
        if live is not None:
            livepair.put(f"uploads/{pair}/live.gz", live)
        livepair.run()
    livepair.finish()
    states = own.show()
    assert {pair: row["state"] for pair, row in states.items()} == {
        **{pair: pair for pair in recordings},
        "spoof": "rejected",
        "replay": "review",
    }
    assert states["replay"]["replay_of"] == {"id": "matched"}
    assert {pair: row["advice"] for pair, row in states.items() if row["advice"]} == {
        "mismatched": "review",
        "rejected": "retake_live",
        "spoof": "review",
        "failed": "retry_later",
        "incomplete": "upload_missing",
    }
    records = [livepair.record(key) for key in livepair.state("records/")]
    assert len(records) == len(recordings)
    assert all(record["delivered_at"] for record in records)


def test_a_killed_consumer_loses_nothing(own: Running, configured: Callable[..., Livepair]) -> None:
    """What it had acknowledged is there after it was killed; what it missed is delivered when it is back."""
    livepair = configured(WEBHOOK_URL=own.url)
    assert livepair.pair() == ["matched"]
    own.kill()
    livepair.put("uploads/43/image.jpg", samples.image())
    livepair.put("uploads/43/live.gz", samples.live(seed=2, sim=5.0))
    assert livepair.run() == ["mismatched"]
    assert {pair: row["state"] for pair, row in own.show().items()} == {"42": "matched"}
    assert len(livepair.state("agenda/")) == 1
    livepair.cloud.clock.advance(1800)
    own.start(ahead=livepair.cloud.clock.offset)
    livepair.configure(WEBHOOK_URL=own.url)
    assert livepair.due() == ["mismatched"]
    assert {pair: row["state"] for pair, row in own.show().items()} == {"42": "matched", "43": "mismatched"}
    assert livepair.state("agenda/") == livepair.state("dead/") == []


def test_a_consumer_killed_before_its_answer_keeps_a_message_once(own: Running) -> None:
    """It was on disk, and nobody heard so: the repeat is acknowledged by its successor."""
    message, repeated = telling("matched", seen("1")), telling("rejected", seen("2"))
    assert post(own, message).ok
    assert post(own, repeated).ok
    own.kill()
    own.start()
    assert post(own, repeated).ok
    assert post(own, telling("matched", seen("3", "live of 1 at 0", live=5))).ok
    assert own.kept()[:2] == [message["id"], repeated["id"]]
    assert len(own.kept()) == 3
    assert {pair: row["state"] for pair, row in own.show().items()} == {
        "1": "matched",
        "2": "rejected",
        "3": "review",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a running process may write")
def test_what_cannot_be_stored_comes_again(own: Running, configured: Callable[..., Livepair]) -> None:
    """A full disk: 503, and nothing half written; the function tries again, and then it is there."""
    livepair = configured(WEBHOOK_URL=own.url)
    assert post(own, telling("matched", seen("1"))).ok
    size = own.store.stat().st_size
    limits = resource.prlimit(own.pid, resource.RLIMIT_FSIZE)
    room = size + 100 if size < 4096 else 512  # half a line, or half a page of SQLite's journal
    resource.prlimit(own.pid, resource.RLIMIT_FSIZE, (room, limits[1]))
    refused = post(own, telling("matched", seen("2")))
    assert (refused.status, refused.retry_after) == (503, timedelta(seconds=60))
    # The second attempt is left to a sweep: the third would be too far from the consumer's own clock.
    livepair.cloud.faults.add(
        "PutObject", key="livepair/records/*", then=faults.run_after(lambda: livepair.clock.lose(70))
    )
    assert livepair.pair() == ["matched"]
    assert set(own.show()) == {"1"}
    assert livepair.record()["delivered_at"] is None
    resource.prlimit(own.pid, resource.RLIMIT_FSIZE, limits)
    assert livepair.due() == ["matched"]
    assert post(own, telling("rejected", seen("2"))).ok
    assert {pair: row["state"] for pair, row in own.show().items()} == {
        "1": "matched",
        "42": "matched",
        "2": "rejected",
    }
    assert livepair.record()["delivered_at"] is not None


def test_the_guide_installs_for_node_what_was_tested() -> None:
    """`npm ci` in examples/consumers brings the very packages that these tests run the consumer on."""
    ours, tested = (
        json.loads((folder / "package-lock.json").read_text())["packages"]
        for folder in (CONSUMERS, TESTS / "node")
    )
    assert {"node_modules/express", "node_modules/standardwebhooks"} < ours.keys()
    assert {name: ours[name] for name in ours if name} == {name: tested[name] for name in ours if name}


@needs_node("express", "standardwebhooks")
def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    """The machine went down while it was written: nobody was told that it was kept, so it comes again."""
    running = Running("node", tmp_path)
    message = telling("matched", seen("2"))
    try:
        running.start()
        assert post(running, telling("matched", seen("1"))).ok
        running.kill()
        with running.store.open("a") as file:
            file.write(json.dumps(message)[:200])
        assert set(running.show()) == {"1"}
        running.start()
        assert post(running, message).ok
        assert set(running.show()) == {"1", "2"}
    finally:
        running.kill()


def test_two_processes_share_one_database(tmp_path: Path) -> None:
    """As under a WSGI server with several: each message is kept once, and one pair alone matches."""
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(Running("python", tmp_path / name))
        both[-1].store = tmp_path / "kept"
    try:
        for running in both:
            running.start()
        messages = [telling("matched", seen(str(number), "one recording")) for number in range(20)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda each: post(*each), itertools.product(both, messages)))
        assert all(answer.ok for answer in answers)
        assert sorted(both[0].kept()) == sorted(message["id"] for message in messages)
        states = [row["state"] for row in both[1].show().values()]
        assert (states.count("matched"), states.count("review")) == (1, 19)
    finally:
        for running in both:
            running.kill()


@pytest.mark.parametrize(
    "steps",
    [
        [(SECRET, SECRET), (f"{SECRET} {OTHER}", SECRET), (f"{SECRET} {OTHER}", OTHER), (OTHER, OTHER)],
        [(SECRET, SECRET), (SECRET, f"{SECRET} {OTHER}"), (OTHER, f"{SECRET} {OTHER}"), (OTHER, OTHER)],
    ],
    ids=["the consumer knows both", "the function signs with both"],
)
def test_a_secret_is_rotated_without_a_gap(
    own: Running, configured: Callable[..., Livepair], steps: list[tuple[str, str]]
) -> None:
    """Whichever side takes the new one first, each message is taken at its first attempt."""
    livepair = configured(WEBHOOK_URL=own.url)
    for number, (known, signing) in enumerate(steps):
        own.kill()
        own.secrets = known
        own.start()
        livepair.configure(WEBHOOK_URL=own.url, WEBHOOK_SECRET=signing)
        livepair.put_pair(samples.live(seed=number), name=number)
        assert livepair.run() == ["matched"]
        assert str(number) in own.show()
    assert not post(own, telling("matched", seen("old")), SECRET).ok
    assert {livepair.stored(key)["attempts"] for key in livepair.state("records/")} == {1}
