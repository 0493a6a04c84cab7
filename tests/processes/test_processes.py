"""Instances that die: by SIGKILL at every request of a verification, by the platform's limits, and in sweeps.

Every instance here is a process of its own. All tests share one cloud, each with pairs of its own: a pair is
disturbed first, then the platform's retries and the timer bring it to its end.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.consumer import Attempt
from tests.cloud.faceid import COMPARE
from tests.cloud.faults import Action, Gate, Operation
from tests.cloud.function import Invocation
from tests.cloud.proxy import Logged, Request

FACES = "faces-1250000000"

When = Literal["before", "after"]
Order = Literal["image first", "live first", "at once"]

WEBHOOK = "POST webhook"
REQUESTS = (
    "HeadObject uploads/*/live.gz",
    "HeadObject uploads/*/image.jpg",
    "PutObject livepair/agenda/",
    "HeadObject uploads/*/live.gz 2",
    "HeadObject uploads/*/image.jpg 2",
    "PutObject livepair/claims/",
    "PutObject livepair/agenda/ 2",
    "GetBucket livepair/claims/",
    "GetObject livepair/claims/",
    COMPARE,
    "GetObject best frame",
    "PutObject livepair/best-frames/",
    "PutObject livepair/records/",
    WEBHOOK,
    "PutObject livepair/records/ 2",
    "DeleteMultipleObjects",
)
"""Every request that a verification makes, the first half's event included; a number tells repeats apart."""

MATTERS = (
    "PutObject livepair/claims/",
    COMPARE,
    "PutObject livepair/records/",
    WEBHOOK,
    "PutObject livepair/records/ 2",
)
"""Those whose effect others can see: for the other orders of upload."""

SWEEP = (
    "GetBucket livepair/agenda/",
    "GetObject livepair/agenda/",
    "HeadObject uploads/*/live.gz",
    "HeadObject uploads/*/image.jpg",
    "GetObject livepair/records/",
    "GetObject livepair/claims/",
    "PutObject livepair/claims/",
    "PutObject livepair/agenda/",
    "GetObject livepair/claims/ 2",
    COMPARE,
    "GetObject best frame",
    "PutObject livepair/best-frames/",
    "PutObject livepair/records/",
    WEBHOOK,
    "PutObject livepair/records/ 2",
    "DeleteMultipleObjects",
)
"""Every request of a sweep that finds a pair whose second event was lost."""

UNRECORDED = {
    (COMPARE, "after"),
    *((kind, when) for kind in REQUESTS[10:12] for when in ("before", "after")),
    ("PutObject livepair/records/", "before"),
}
"""Deaths between the API's answer and its record: the verdict is lost, and asked for again."""

DISTURBED: list[tuple[Order, str, When]] = [
    *(("image first", kind, when) for kind in REQUESTS for when in ("before", "after")),
    *(("live first", kind, "after") for kind in MATTERS),
    *(("at once", kind, "after") for kind in MATTERS),
]


def kind_of(operation: Operation | Logged) -> str:
    """What a request is, without what differs from pair to pair."""
    name = operation.name if isinstance(operation, Operation) else operation.operation
    if operation.service == "faceid-files":
        return f"{name} best frame"
    key = re.sub(r"^uploads/[^/]+/", "uploads/*/", operation.key)
    key = re.sub(r"^(livepair/[^/]+/).*", r"\1", key)
    return f"{name} {key}".strip()


class Death:
    """Kills the instance that works on a pair, at one request, once. A fault's hook."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._works_on: dict[str, str] = {}
        self._called: dict[str, str] = {}
        self._seen: Counter[tuple[str, str]] = Counter()
        self._plans: dict[str, tuple[str, When]] = {}
        self.killed: set[str] = set()
        """The pairs whose instance has been killed."""

    def plan(self, pair: str, kind: str, when: When) -> None:
        """Kill whoever makes this request for the pair, before or after it takes effect."""
        if kind == WEBHOOK:
            # Not answered: the consumer could not take it in. Else: it did, and nobody heard so.
            behave = self._cloud.consumer.answer(204) if when == "after" else self._cloud.consumer.hang()
            behave.when = lambda message: self._kill_at_webhook(pair, message)
        with self._lock:
            self._plans[pair] = (kind, when)

    def __call__(self, request: Request, operation: Operation) -> Action | None:
        if not request.source:
            return None
        with self._lock:
            if operation.name == "HeadObject":
                self._works_on[request.source] = operation.key.split("/")[1]
            pair = self._works_on.get(request.source, "")
            kind = kind_of(operation)
            if kind == COMPARE:
                self._called[pair] = request.source
            self._seen[pair, kind] += 1
            number = self._seen[pair, kind]
            wanted, when = self._plans.get(pair, ("", "before"))
            if pair in self.killed or wanted != (kind if number == 1 else f"{kind} {number}"):
                return None
            self.killed.add(pair)
        return faults.kill_before() if when == "before" else faults.kill_after()

    def _kill_at_webhook(self, pair: str, message: dict[str, Any]) -> bool:
        with self._lock:
            if message["data"]["pair"]["id"] != pair or pair in self.killed:
                return False
            self.killed.add(pair)
        self._cloud.scf.kill(self._called[pair])
        return True


class Platform:
    """The cloud that all tests of this file share, with the function on it."""

    def __init__(self, cloud: Cloud, code: Path, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.code = code
        self._pairs = 0
        cloud.faceid.limits[COMPARE] = 1000
        self.death = Death(cloud)
        self.deploy()

    def deploy(self, changed: str = "", **settings: Any) -> None:
        """Deploy the function; `changed` is Python that its entry file runs first."""
        code = self.code
        if changed:
            code = self.folder / f"changed-{len(list(self.folder.iterdir()))}"
            shutil.copytree(self.code, code)
            (code / "index.py").write_text(f"from handler.index import main_handler\n{changed}\n")
        self.cloud.deploy(code, {"API_RATE": "100"}, **settings)

    def new_pair(self) -> str:
        self._pairs += 1
        return f"pair{self._pairs}"

    def put(self, pair: str, *halves: Literal["live", "image"], wait: bool = True) -> None:
        """Upload halves of a pair; each one's event is handled before the next, unless told not to wait."""
        for half in halves:
            seed = int(pair.removeprefix("pair"))
            name, data = (
                ("live.gz", samples.live(seed=seed)) if half == "live" else ("image.jpg", samples.image())
            )
            self.cloud.cos.bucket(FACES).put(f"uploads/{pair}/{name}", data)
            if wait:
                self.cloud.scf.wait_idle()

    def minute(self) -> None:
        """Let a minute pass, and all that it brings come to its end."""
        self.cloud.scf.advance_minutes(timeout=None)
        for _ in range(60):
            with contextlib.suppress(TimeoutError):
                self.cloud.scf.wait_idle(1.0)
                return
            # A retry may have fallen due while nothing else happened that would start it.
            self.cloud.clock.advance(0)
        self.cloud.scf.wait_idle(1.0)

    def recover(self, minutes: int = 12) -> None:
        """Let the minutes pass that the platform's retries and the sweeps need."""
        for _ in range(minutes):
            self.minute()
            if not self.agenda and not self.cloud.scf.retries:
                return
        raise AssertionError(f"left after {minutes} minutes: {self.agenda}, {self.cloud.scf.retries} retries")

    @property
    def agenda(self) -> list[str]:
        return self.cloud.cos.bucket(FACES).keys("livepair/agenda/")

    def attempts(self, pair: str) -> list[Attempt]:
        """The posts about a pair that the consumer has read."""
        return [each for each in self.cloud.consumer.attempts if f'"id":"{pair}"'.encode() in each.body]

    def data(self, pair: str) -> dict[str, Any]:
        """What the one message about a pair says."""
        (message,) = (
            each for each in self.cloud.consumer.messages.values() if each["data"]["pair"]["id"] == pair
        )
        data: dict[str, Any] = message["data"]
        return data

    def verdicts(self, pair: str) -> list[str]:
        """The instances that got a verdict for a pair, in order."""
        return [
            call.source
            for call in self.cloud.faceid.calls
            if call.executed and f"/uploads/{pair}/" in call.params["LiveDataUrl"]
        ]

    def dead(self) -> set[str]:
        """The instances that did not live to the end of an invocation."""
        return {
            each.instance
            for each in self.cloud.scf.invocations
            if each.status in ("exit", "timeout", "memory")
        }

    def check(self, pair: str) -> None:
        """The two promises, whatever has happened to whom."""
        attempts = self.attempts(pair)
        assert len({(each.id, each.body) for each in attempts}) == 1
        assert all(each.verified for each in attempts)
        assert any(each.status == 204 for each in attempts)
        assert self.data(pair)["outcome"] == "matched"
        recorders = [
            each.source
            for each in self.cloud.log
            if each.operation == "PutObject"
            and each.key.startswith(f"livepair/records/{pair}/")
            and each.handled
            and each.status in (200, None)
        ]
        verdicts = self.verdicts(pair)
        lost = [each for each in verdicts if each != recorders[0]]
        assert len(set(verdicts)) == len(verdicts)
        assert len(verdicts) == 1 + len(lost)
        assert set(lost) <= self.dead()
        keys = self.cloud.cos.bucket(FACES).keys()
        assert len([key for key in keys if key.startswith(f"livepair/records/{pair}/")]) == 1
        assert [key for key in keys if not key.startswith(("uploads/", "livepair/"))] == []
        assert [key for key in keys if key.startswith(("livepair/dead/", "livepair/agenda/"))] == []


@pytest.fixture(scope="module")
def platform(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Cloud() as cloud:
        yield Platform(cloud, code, tmp_path_factory.mktemp("functions"))


# --- killed at every request ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disturbed(platform: Platform) -> dict[tuple[Order, str, When], str]:
    """One pair for each way to die: killed when its turn comes, then all of them recovered together."""
    fault = platform.cloud.faults.add(then=platform.death, times=None)
    pairs: dict[tuple[Order, str, When], str] = {}
    for way in DISTURBED:
        order, kind, when = way
        pair = pairs[way] = platform.new_pair()
        platform.death.plan(pair, kind, when)
        if order == "image first":
            platform.put(pair, "image", "live")
        elif order == "live first":
            platform.put(pair, "live", "image")
        else:
            platform.put(pair, "live", "image", wait=False)
            platform.cloud.scf.wait_idle()
    platform.recover()
    platform.cloud.faults.remove(fault)
    return pairs


def test_every_request_of_a_verification_is_one_to_die_at(platform: Platform) -> None:
    """What an undisturbed verification asks of COS, the API, the frame's host and the consumer."""
    platform.cloud.proxy.clear_log()
    pair = platform.new_pair()
    platform.put(pair, "image", "live")
    asked = [each for each in platform.cloud.log if each.source and not each.key.endswith("create-only")]
    seen = Counter(map(kind_of, asked))  # what an instance asks once about its bucket is no pair's
    seen[WEBHOOK] = len(platform.attempts(pair))
    assert seen == Counter(re.sub(r" \d$", "", kind) for kind in REQUESTS)
    platform.check(pair)


@pytest.mark.parametrize(("order", "kind", "when"), DISTURBED)
def test_an_instance_may_die_at_any_request(
    platform: Platform,
    disturbed: dict[tuple[Order, str, When], str],
    order: Order,
    kind: str,
    when: When,
) -> None:
    """One outcome, identical bytes; a second verdict only where the first died unrecorded, and it says so."""
    pair = disturbed[order, kind, when]
    assert pair in platform.death.killed
    platform.check(pair)
    verdicts = len(platform.verdicts(pair))
    assert verdicts == (2 if (kind, when) in UNRECORDED else 1)
    assert platform.data(pair)["api"]["calls"] >= verdicts
    if (kind, when) in ((WEBHOOK, "before"), (WEBHOOK, "after"), ("PutObject livepair/records/ 2", "before")):
        assert len(platform.attempts(pair)) >= 2


# --- sweeps that die --------------------------------------------------------------------------------


def test_a_sweep_may_die_at_any_request(platform: Platform) -> None:
    """One sweep after the other dies, each at another request, while others recover what they left.

    The platform tries a timer's event again like any other, so two sweeps meet there.
    """
    scf = platform.cloud.scf
    pairs = []
    platform.recover()
    for wanted in SWEEP:
        pair = platform.new_pair()
        pairs.append(pair)
        scf.drop(key=f"uploads/{pair}/live.gz")
        platform.put(pair, "image", "live")
        seen: Counter[str] = Counter()
        killed: list[str] = []

        def kill(
            request: Request,
            operation: Operation,
            wanted: str = wanted,
            seen: Counter[str] = seen,
            killed: list[str] = killed,
        ) -> Action | None:
            kind = kind_of(operation)
            seen[kind] += 1
            name = kind if seen[kind] == 1 else f"{kind} {seen[kind]}"
            if not request.source or killed or name != wanted:
                return None
            killed.append(request.source)
            return faults.kill_after()

        def kill_at_webhook(_: dict[str, Any], killed: list[str] = killed) -> bool:
            killed.append(next(each.instance for each in scf.invocations if each.status == "running"))
            scf.kill(killed[0])
            return True

        if wanted == WEBHOOK:
            platform.cloud.consumer.answer(204).when = kill_at_webhook
        fault = platform.cloud.faults.add(then=kill, times=None)
        for _ in range(4):
            if not killed:
                platform.minute()
        platform.cloud.faults.remove(fault)
        assert killed, f"no sweep asked for {wanted}"
        assert killed[0] in platform.dead()
    platform.recover()
    for pair in pairs:
        platform.check(pair)


# --- the platform's limits --------------------------------------------------------------------------

TRUSTS_ITS_TIME = "from handler import index; index.MARGIN_SECONDS = -60"
"""The function believes that it has a minute more than the platform gives."""

GROWS = """
import threading
from handler.edges.faceid import FaceidClient
def frame(self, answer, seconds):
    self.balloon = b"x" * 400_000_000
    threading.Event().wait()
FaceidClient.frame = frame
"""
"""The function takes too much memory once it has a verdict."""


def last(platform: Platform) -> Invocation:
    return platform.cloud.scf.invocations[-1]


def test_an_instance_may_run_out_of_time_while_the_api_thinks(platform: Platform) -> None:
    """The platform kills it, its verdict is lost; one outcome, which says that two calls were made."""
    pair = platform.new_pair()
    platform.deploy(TRUSTS_ITS_TIME, timeout=2)
    gate = Gate()
    platform.cloud.faults.add(COMPARE, then=faults.hold_answer(gate))
    platform.put(pair, "image", "live")
    gate.release()
    assert last(platform).status == "timeout"
    platform.deploy()
    platform.recover()
    platform.check(pair)
    assert len(platform.verdicts(pair)) == 2
    assert platform.data(pair)["api"]["calls"] == 2


def test_an_instance_may_run_out_of_time_while_the_consumer_thinks(platform: Platform) -> None:
    """The record is there before anybody is told, so it is told again and not judged again."""
    pair = platform.new_pair()
    platform.deploy(TRUSTS_ITS_TIME, timeout=2)
    platform.cloud.consumer.hang()
    platform.put(pair, "image", "live")
    assert last(platform).status == "timeout"
    platform.deploy()
    platform.recover()
    platform.check(pair)
    assert len(platform.verdicts(pair)) == 1
    assert [each.status for each in platform.attempts(pair)] == [None, 204]


def test_an_instance_may_run_out_of_memory(platform: Platform) -> None:
    """The platform kills it between the verdict and its record."""
    pair = platform.new_pair()
    platform.deploy(GROWS)
    platform.put(pair, "image", "live")
    assert last(platform).status == "memory"
    platform.deploy()
    platform.recover()
    platform.check(pair)
    assert len(platform.verdicts(pair)) == 2


def test_a_function_without_time_for_a_call_waits_until_it_has_some(platform: Platform) -> None:
    """The default of 3 s is refused with the number to set; nothing is lost, a longer limit heals it."""
    pair = platform.new_pair()
    platform.deploy(timeout=3)
    platform.put(pair, "image", "live")
    assert any("set 26 s or more" in line for line in last(platform).log)
    for _ in range(3):
        platform.minute()
    assert platform.verdicts(pair) == []
    platform.deploy()
    platform.recover()
    platform.check(pair)
    assert len(platform.verdicts(pair)) == 1


def test_a_dead_instance_leaves_no_secret_in_the_log(platform: Platform) -> None:
    """What all the instances of this file have printed, those that died included."""
    lines = "\n".join(platform.cloud.scf.logs())
    assert lines
    assert re.findall(r"q-signature|q-ak|security-token|fake-(?:secret|token)|whsec_|AKID\w+", lines) == []
