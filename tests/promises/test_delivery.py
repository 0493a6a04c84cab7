"""Telling the outcome: at least once, with one id and identical bytes, until it is taken or given up."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from standardwebhooks import Webhook

from handler import __version__
from handler.clock import SystemClock
from handler.edges.webhook import WebhookClient
from handler.edges.wire import Wire
from handler.rules.schedule import DELIVERIES
from tests.cloud import Cloud, faults, samples
from tests.cloud.consumer import SECRET
from tests.cloud.faceid import Answer
from tests.support.harness import IMAGE, LIVE, RECONCILE, Livepair, lines

RECORDS = "livepair/records/*"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another-fake-secret-for-rotating").decode()


def gaps(livepair: Livepair) -> list[timedelta]:
    """The time between the attempts."""
    at = [attempt.at for attempt in livepair.cloud.consumer.attempts]
    return [later - earlier for earlier, later in pairwise(at)]


def one_message(livepair: Livepair) -> None:
    """Check that all attempts were genuine and carried the stored bytes under one id, each signed afresh."""
    attempts = livepair.cloud.consumer.attempts
    assert all(attempt.verified for attempt in attempts)
    assert len({attempt.id for attempt in attempts}) == 1
    assert {attempt.body.decode() for attempt in attempts} == {livepair.record()["body"]}
    stamps = [attempt.headers["webhook-timestamp"] for attempt in attempts]
    assert len(set(stamps)) == len(stamps)
    assert attempts[0].headers["content-type"] == "application/json"
    assert attempts[0].headers["user-agent"] == f"livepair/{__version__}"


# --- tried again --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429, 404, 400, 401])
def test_a_delivery_that_fails_is_made_again_after_five_seconds(livepair: Livepair, status: int) -> None:
    """In the same invocation, where there is time for it."""
    livepair.cloud.consumer.answer(status)
    assert livepair.pair() == ["matched"]
    one_message(livepair)
    (gap,) = gaps(livepair)
    assert timedelta(seconds=4) <= gap <= timedelta(seconds=10)
    assert livepair.record()["delivered_at"] is not None
    assert livepair.state("agenda/") == []


def test_without_time_the_second_attempt_is_a_sweeps(livepair: Livepair) -> None:
    """The invocation ends in time, and the agenda knows."""
    livepair.cloud.consumer.answer(500)
    livepair.cloud.faults.add(
        "PutObject", key=RECORDS, then=faults.run_before(lambda: livepair.clock.lose(67))
    )
    assert livepair.pair() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == 1
    assert livepair.due() == ["matched"]
    one_message(livepair)
    assert livepair.state("agenda/") == []


def test_without_any_time_the_first_attempt_is_a_sweeps(livepair: Livepair) -> None:
    """Recorded, but not told yet."""
    livepair.cloud.faults.add(
        "PutObject", key=RECORDS, then=faults.run_before(lambda: livepair.clock.lose(87))
    )
    livepair.pair()
    assert livepair.cloud.consumer.attempts == []
    assert livepair.due() == ["matched"]
    one_message(livepair)
    assert livepair.state("agenda/") == []


def test_a_consumer_that_is_down_is_told_on_the_promised_schedule(livepair: Livepair) -> None:
    """At once, after 5 s, then minutes to a day, each within a tenth and rounded up to the next sweep."""
    livepair.cloud.consumer.answer(500, times=None)
    assert livepair.pair() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == 2
    while livepair.state("agenda/"):
        livepair.due()
    found = gaps(livepair)
    late = timedelta(minutes=1, seconds=10)
    assert [p for p, gap in zip(DELIVERIES, found, strict=True) if not p * 0.9 <= gap <= p * 1.1 + late] == []
    one_message(livepair)


def test_a_consumer_that_stays_down_is_given_up_into_dead(
    livepair: Livepair, capsys: pytest.CaptureFixture[str]
) -> None:
    """After ten attempts: the last error is kept, the log is loud, and nothing is posted ever after."""
    livepair.cloud.consumer.answer(500, times=None)
    livepair.pair()
    while livepair.state("agenda/"):
        livepair.due()
    which = livepair.data["verification_id"]
    assert livepair.state("dead/") == [f"dead/42/{which}"]
    assert "500" in livepair.stored(f"dead/42/{which}")["error"]
    assert livepair.record()["dead_at"] is not None
    (line,) = lines(capsys, "dead")
    assert (line["level"], line["verification"]) == ("ERROR", which)
    assert livepair.sweep(2000) == livepair.reconcile() == []
    assert livepair.pair() == []
    assert len(livepair.cloud.consumer.attempts) == 10


def test_gone_is_gone(livepair: Livepair) -> None:
    """410 ends it at once."""
    livepair.cloud.consumer.answer(410)
    assert livepair.pair() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == 1
    assert len(livepair.state("dead/")) == 1
    assert livepair.state("agenda/") == []
    assert livepair.sweep(600) == livepair.reconcile() == []
    assert len(livepair.cloud.consumer.attempts) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(livepair: Livepair, status: int) -> None:
    """It counts as a failure: whoever can redirect could read the message."""
    elsewhere = livepair.cloud.consumer.url.replace("/webhook", "/elsewhere")
    livepair.cloud.consumer.redirect(elsewhere, status)
    assert livepair.pair() == ["matched"]
    assert [attempt.path for attempt in livepair.cloud.consumer.attempts] == ["/webhook", "/webhook"]
    one_message(livepair)


SCHEDULED = (270, 400)
"""Seconds until the third attempt, if nothing is asked for: five minutes, and a sweep comes within one."""


def third_attempt(livepair: Livepair, retry_after: str) -> float:
    """Seconds from the second attempt to the third, where the consumer answered with that Retry-After."""
    livepair.cloud.consumer.answer(503, {"Retry-After": retry_after}, times=2)
    livepair.pair()
    livepair.due()
    (second, third) = gaps(livepair)
    assert second < timedelta(seconds=10)
    one_message(livepair)
    return third.total_seconds()


@pytest.mark.parametrize(
    ("asked", "lowest", "highest"),
    [
        ("0", *SCHEDULED),
        ("120", *SCHEDULED),
        ("1200", 1200, 1270),
        ("3600", 3600, 3670),
        ("999999999", 3600, 3670),
    ],
)
def test_a_consumer_may_put_an_attempt_off(livepair: Livepair, asked: str, lowest: int, highest: int) -> None:
    """By Retry-After in seconds, up to an hour; never for an earlier attempt."""
    assert lowest <= third_attempt(livepair, asked) <= highest


@pytest.mark.parametrize(
    ("ahead", "lowest", "highest"), [(-600, *SCHEDULED), (1200, 1190, 1270), (90_000, 3600, 3670)]
)
def test_a_consumer_may_name_the_time_of_an_attempt(
    livepair: Livepair, ahead: int, lowest: int, highest: int
) -> None:
    """Retry-After as an HTTP date, in the past too."""
    at = livepair.cloud.clock.now() + timedelta(seconds=ahead)
    assert lowest <= third_attempt(livepair, format_datetime(at, usegmt=True)) <= highest


@pytest.mark.parametrize(
    "asked",
    ["soon", "-5", "1e9", "5.5", "Mon, 99 Xxx 2026 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "١٢"],
)
def test_nonsense_asked_for_is_no_harm(livepair: Livepair, asked: str) -> None:
    """The message is delivered by the next attempt, whenever that is."""
    livepair.cloud.consumer.answer(503, {"Retry-After": asked})
    assert livepair.pair() == ["matched"]
    livepair.finish()
    assert livepair.record()["delivered_at"] is not None
    one_message(livepair)


def test_a_maintenance_page_costs_no_message(livepair: Livepair) -> None:
    """Retry-After: 60 for most of an hour uses up four attempts of ten."""
    livepair.cloud.consumer.answer(503, {"Retry-After": "60"}, times=4)
    livepair.pair()
    livepair.finish()
    assert livepair.record()["delivered_at"] is not None
    assert livepair.record()["attempts"] == 5


def test_a_walk_does_not_jump_the_queue(livepair: Livepair) -> None:
    """A delivery that waits for its next attempt is left to the agenda."""
    livepair.cloud.consumer.answer(500, times=None)
    livepair.pair()
    livepair.cloud.clock.advance(1200)
    livepair.sweep(0)
    attempts = len(livepair.cloud.consumer.attempts)
    livepair.reconcile()
    assert len(livepair.cloud.consumer.attempts) == attempts


def test_a_walk_continued_by_a_sweep_tells_once(livepair: Livepair) -> None:
    """Both halves of a pair are walked past; its message is posted once where it is taken at once."""
    livepair.put_pair()
    livepair.drop(2)
    livepair.cloud.clock.advance(3600)
    livepair.handle(RECONCILE, 26)
    livepair.finish()
    assert len(livepair.cloud.consumer.attempts) == 1


# --- a consumer that misbehaves -----------------------------------------------------------------------


def test_a_cut_connection_is_a_failure(livepair: Livepair) -> None:
    """Posted again, and taken."""
    livepair.cloud.consumer.cut()
    assert livepair.pair() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == 2
    one_message(livepair)


@pytest.mark.parametrize(("status", "attempts"), [(500, 2), (200, 1)])
def test_a_huge_answer_is_not_read(livepair: Livepair, status: int, attempts: int) -> None:
    """Its status counts, its body is nobody's business."""
    livepair.cloud.consumer.huge(20_000_000, status)
    assert livepair.pair() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == attempts
    one_message(livepair)


def test_headers_without_measure_are_a_failed_attempt(
    livepair: Livepair, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the status says: it counts, the log says why, and the next attempt comes by the schedule."""
    drowning = {f"X-{number}": "x" * 30_000 for number in range(90)}
    livepair.cloud.consumer.answer(204, drowning, times=3)
    assert livepair.pair() == ["matched"]
    livepair.due()
    said = {line.get("delivery"): line.get("webhook_error") for line in lines(capsys, "pair")}
    assert said[3] == said[2] == "an answer with more than 65536 bytes of headers"
    livepair.finish()
    assert livepair.record()["attempts"] == 4
    one_message(livepair)


def test_a_consumer_that_nobody_listens_at_is_told_later(
    configured: Callable[..., Livepair], capsys: pytest.CaptureFixture[str]
) -> None:
    """The record waits for it, and no log line holds the webhook's path, which may be a secret."""
    livepair = configured(WEBHOOK_URL="http://127.0.0.1:1/secret-path")
    assert livepair.pair() == ["matched"]
    assert "secret-path" not in capsys.readouterr().out
    livepair.configure()
    assert livepair.due() == ["matched"]
    one_message(livepair)


def test_a_consumer_that_hangs_is_bounded(cloud: Cloud) -> None:
    """One attempt takes no longer than it is given, whether the answer never comes or drips."""
    clock, client = SystemClock(), WebhookClient(Wire(None), cloud.consumer.url, (SECRET,))
    cloud.consumer.hang()
    hung = client.post("msg_1", "{}", clock.now(), 0.3)
    assert (hung.ok, hung.status, hung.timed_out) == (False, None, True)
    cloud.consumer.drip(0.05, status=500)
    dripped = client.post("msg_1", "{}", clock.now(), 0.3)
    assert (dripped.ok, dripped.status) == (False, 500)
    cloud.consumer.drip(0.05, status=200)
    assert client.post("msg_1", "{}", clock.now(), 0.3).ok
    assert client.post("msg_1", "{}", clock.now(), 0.3).ok


# --- signatures ---------------------------------------------------------------------------------------


def test_each_of_several_secrets_signs(configured: Callable[..., Livepair]) -> None:
    """While rotating, a consumer that knows either of them is content."""
    livepair = configured(WEBHOOK_SECRET=f"{OTHER_SECRET} {SECRET}")
    assert livepair.pair() == ["matched"]
    (attempt,) = livepair.cloud.consumer.attempts
    assert attempt.verified
    assert len(attempt.headers["webhook-signature"].split()) == 2
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(attempt.body, attempt.headers)


def test_secrets_can_be_rotated_while_a_delivery_waits(livepair: Livepair) -> None:
    """What is stored is the body; each attempt is signed with the secrets of its time. State has its own."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    livepair.cloud.consumer.secrets = [OTHER_SECRET]
    livepair.configure(WEBHOOK_SECRET=OTHER_SECRET, STATE_SECRET=SECRET)
    assert livepair.due() == ["matched"]
    one_message(livepair)


# --- what is stored -----------------------------------------------------------------------------------


def test_a_delivery_that_could_not_be_marked_is_told_again(livepair: Livepair) -> None:
    """At least once: the same id and bytes, which the consumer drops; then it is settled."""
    livepair.cloud.faults.add(
        "PutObject", key=RECORDS, then=faults.refuse(503, "ServiceUnavailable"), skip=1, times=3
    )
    livepair.pair()
    livepair.finish()
    assert len(livepair.cloud.consumer.attempts) == 2
    assert livepair.cloud.consumer.conflicts == []
    assert livepair.record()["delivered_at"] is not None


@pytest.mark.parametrize(
    ("live", "outcome"),
    [
        (samples.live(sim=2.0), "mismatched"),
        (samples.live(result="FailedOperation.LivessDetectFake"), "rejected"),
        (samples.live(error="FailedOperation.BrandNew"), "failed"),
        (b"", "rejected"),
    ],
)
def test_every_outcome_survives_a_consumer_that_is_down(
    livepair: Livepair, live: bytes, outcome: str
) -> None:
    """Three failures, a cold start, and then it is told as it was decided."""
    livepair.cloud.consumer.answer(500, times=3)
    assert livepair.pair(live) == [outcome]
    livepair.restart()
    assert livepair.finish() == [outcome] * 2
    assert livepair.data["outcome"] == outcome
    one_message(livepair)


def test_incomplete_survives_a_consumer_that_is_down(livepair: Livepair) -> None:
    """It needed no claim, and is delivered like any other."""
    livepair.cloud.consumer.answer(500, times=3)
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.finish()
    assert livepair.data["outcome"] == "incomplete"
    assert len(livepair.cloud.consumer.attempts) == 4
    one_message(livepair)


def test_runs_are_told_apart_while_the_consumer_is_down(livepair: Livepair) -> None:
    """Two runs of one pair wait for delivery; each is told once it can be, under its own id."""
    livepair.cloud.consumer.answer(500, times=4)
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.pair()
    livepair.cloud.clock.advance(10)
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.finish()
    assert [message["data"]["run"] for message in livepair.messages] == [1, 2]
    assert livepair.cloud.consumer.accepted == {message["id"] for message in livepair.messages}
    assert livepair.cloud.consumer.conflicts == []
