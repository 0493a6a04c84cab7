"""What happens when the API gives no verdict: asked again, left to the sweep, healed, or told as failed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from handler import index
from handler.edges.cos import Credentials
from handler.edges.faceid import FaceidClient, Resource
from handler.edges.wire import Wire
from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.cloud.faults import Action, Gate
from tests.support.harness import Livepair, lines

CHARSET = "application/json; charset=utf-8"


def minutes_between(livepair: Livepair) -> list[float]:
    """Minutes between the requests for a verdict."""
    at: list[datetime] = [logged.at for logged in livepair.asked]
    return [(later - earlier).total_seconds() / 60 for earlier, later in pairwise(at)]


# --- throttled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", CHARSET])
def test_a_throttled_call_is_repeated_at_once_and_not_counted(livepair: Livepair, content_type: str) -> None:
    """The API executed nothing, so `api.calls` is 1; the SDK overlooks an error with a charset, we do not."""
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"))
    livepair.cloud.faults.add(COMPARE, then=faults.content_type(content_type))
    assert livepair.pair() == ["matched"]
    assert len(livepair.asked) == 2
    assert livepair.data["api"]["calls"] == 1
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize(
    "code",
    [
        "RequestLimitExceeded",
        "RequestLimitExceeded.UinLimitExceeded",
        "FailedOperation.RequestLimitExceeded",
    ],
)
def test_what_stays_throttled_is_left_to_a_sweep(livepair: Livepair, code: str) -> None:
    """A quarter of a minute of tries in the invocation, then the agenda; one call is counted."""
    fault = livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, code), times=None)
    began = livepair.clock.elapsed()
    assert livepair.pair() == []
    assert 2 < len(livepair.asked) <= 150
    assert livepair.clock.elapsed() - began < 20
    livepair.cloud.faults.remove(fault)
    assert livepair.due() == ["matched"]
    assert livepair.data["api"]["calls"] == 1
    assert livepair.state("agenda/") == []


def test_a_throttled_result_is_a_throttled_call(livepair: Livepair) -> None:
    """A 200 answer may carry the code as Result."""
    livepair.cloud.faceid.script(Answer(result="FailedOperation.RequestLimitExceeded", sim=None))
    assert livepair.pair() == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_an_event_waits_for_its_turn_where_few_are_before_it(livepair: Livepair) -> None:
    """Somebody waits for the answer: it comes within seconds, and not with the next sweep."""
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), times=4)
    assert livepair.pair() == ["matched"]
    assert len(livepair.asked) == 5


def test_an_event_leaves_a_long_queue_to_sweeps(configured: Callable[..., Livepair]) -> None:
    """Two tries, as many are before it: more than the API takes in six seconds."""
    livepair = configured(API_RATE="1")
    for number in range(8):
        entry = f"take_over-{number:032x}-1-20990101T000000Z-{number}"
        livepair.bucket.put(f"livepair/agenda/20990101T0000Z/{entry}", b"{}", silent=True)
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), times=2)
    assert livepair.pair() == []
    assert len(livepair.asked) == 2


def test_a_sweep_asks_three_times_in_turn_and_comes_back(livepair: Livepair) -> None:
    """A burst drains at the allowed rate instead of storming it."""
    fault = livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), times=None)
    livepair.pair()
    before = len(livepair.asked)
    assert livepair.due() == []
    assert len(livepair.asked) == before + 3
    livepair.cloud.faults.remove(fault)
    assert livepair.due() == ["matched"]


def test_a_call_that_is_throttled_for_a_day_fails(livepair: Livepair) -> None:
    """Not sooner, and it says that no call was executed."""
    livepair.cloud.faceid.limits[COMPARE] = 0
    livepair.pair()
    for _ in range(23):
        assert livepair.sweep(60) == []
    outcomes = [outcome for _ in range(3) for outcome in livepair.sweep(60)]
    assert outcomes == ["failed"]
    assert livepair.data["reason"]["code"] == "RequestLimitExceeded"
    assert livepair.data["reason"]["advice"] == "retry_later"
    assert livepair.data["api"]["calls"] == 0
    assert livepair.state("agenda/") == []


# --- trouble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["FailedOperation.DownLoadError", "InternalError"])
def test_trouble_is_tried_on_the_promised_schedule_and_then_told(livepair: Livepair, code: str) -> None:
    """Two tries, then after 1, 2, 5, 10, 20 and 30 minutes, each up to two minutes later; then `failed`."""
    assert livepair.pair(samples.live(error=code)) == []
    assert livepair.finish() == ["failed"]
    first, *rest = minutes_between(livepair)
    assert first < 0.1
    assert [minutes for minutes, gap in zip((1, 2, 5, 10, 20, 30), rest, strict=True) if gap < minutes] == []
    assert [minutes for minutes, gap in zip((3, 4, 7, 12, 22, 32), rest, strict=True) if gap > minutes] == []
    assert livepair.data["reason"]["code"] == code
    assert livepair.data["api"]["calls"] == 8
    assert len(livepair.messages) == 1


def test_trouble_that_passes_is_no_trouble(livepair: Livepair) -> None:
    """The engine fails four times, then judges."""
    livepair.cloud.faceid.script(*[Answer(error="FailedOperation.LivessSystemError")] * 4)
    assert livepair.pair() == []
    assert livepair.finish() == ["matched"]
    assert livepair.data["api"]["calls"] == 5


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut_after(),
        faults.cut_body(20),
        faults.html(502),
        faults.html(502, after_effect=True),
        faults.html(200, after_effect=True),
        faults.server_error_after_effect(500, "InternalError"),
        faults.redirect("http://faceid.intl.tencentcloudapi.com/"),
    ],
    ids=["lost", "cut", "html-502", "html-502-after", "html-200", "500", "redirect"],
)
def test_a_lost_answer_is_asked_for_again_and_counted(livepair: Livepair, fault: Action) -> None:
    """The API may have judged: `api.calls` says 2. Nothing crashes, and nothing waits for the agenda."""
    livepair.cloud.faults.add(COMPARE, then=fault)
    assert livepair.pair() == ["matched"]
    assert len(livepair.asked) == 2
    assert livepair.data["api"]["calls"] == 2


@pytest.mark.parametrize(
    "raw", [b"", {"Response": {"Error": {"Message": "without a code"}, "RequestId": "r"}}]
)
def test_an_answer_that_cannot_be_read_is_trouble(livepair: Livepair, raw: Any) -> None:
    """It is asked for again, as it may have been a verdict, and told as our own code where it stays."""
    livepair.cloud.faceid.script(*[Answer(raw=raw)] * 8)
    assert livepair.pair() == []
    assert len(livepair.asked) == 2
    assert livepair.finish() == ["failed"]
    assert livepair.data["reason"]["code"] == "Livepair.UnreadableAnswer"
    assert livepair.data["api"]["calls"] == 8


@pytest.mark.parametrize(
    ("error", "outcome"),
    [("FailedOperation.ActionLightDark", "rejected"), ("InternalError.CompareLowSimilarity", "mismatched")],
)
def test_an_error_is_seen_whatever_its_content_type(livepair: Livepair, error: str, outcome: str) -> None:
    """With a charset the SDK returns the error as if all were well."""
    livepair.cloud.faults.add(COMPARE, then=faults.content_type(CHARSET))
    assert livepair.pair(samples.live(error=error)) == [outcome]
    assert livepair.data["reason"]["code"] == error


def closed_port() -> tuple[socket.socket, str]:
    """An address that refuses connections as long as the socket is held."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, f"http://127.0.0.1:{held.getsockname()[1]}"


def test_a_refused_connection_is_no_call(livepair: Livepair) -> None:
    """The request was never sent: tried again like trouble, and not counted."""
    held, url = closed_port()
    region, endpoint = "ap-singapore", "faceid.tencentcloudapi.com"
    index._ready().clients[region] = FaceidClient(Wire(url), region, endpoint)
    with held:
        assert livepair.pair() == []
    (key,) = livepair.state("claims/")
    given_back = livepair.stored(key)
    assert (given_back["code"], given_back["calls"]) == ("ClientNetworkError", 0)
    livepair.restart()
    assert livepair.due() == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_a_client_tells_what_was_never_sent_from_what_was_not_answered(cloud: Cloud) -> None:
    """Both are ClientNetworkError to the SDK."""
    credentials = Credentials(cloud.credentials.secret_id, cloud.credentials.secret_key, None)
    resource = Resource("https://faces-1250000000.cos.ap-singapore.myqcloud.com/x", "0" * 32)
    held, url = closed_port()
    gate = Gate()
    cloud.faults.add(COMPARE, then=faults.hold(gate))
    found = []
    with held:
        for proxy in (url, cloud.url):
            client = FaceidClient(Wire(proxy), "ap-singapore", "faceid.tencentcloudapi.com")
            client.use(credentials)
            answer = client.compare(resource, resource, 0.3)
            found.append((answer.code, answer.executed))
    gate.release()
    assert found == [("ClientNetworkError", False), ("ClientNetworkError", True)]


def test_a_success_without_a_similarity_is_asked_for_once_more(livepair: Livepair) -> None:
    """It was billed. The second answer counts."""
    livepair.cloud.faceid.script(Answer(sim=None))
    assert livepair.pair() == ["matched"]
    assert livepair.data["api"]["calls"] == 2


@pytest.mark.parametrize("similarity", [None, 101.0, -1.0, float("nan"), True])
def test_a_success_without_a_similarity_is_asked_for_no_more_than_once(
    livepair: Livepair, similarity: float | None
) -> None:
    """Each answer is billed, so it is told after the second."""
    livepair.cloud.faceid.script(*[Answer(sim=similarity)] * 3)
    assert livepair.pair() == ["failed"]
    assert len(livepair.asked) == 2
    assert livepair.data["reason"]["code"] == "Livepair.NoSimilarity"
    assert livepair.data["similarity"] is None
    assert livepair.state("agenda/") == []


def test_a_throttled_call_between_does_not_bill_a_third_success_without_similarity(
    livepair: Livepair,
) -> None:
    """Once more at most, also where the second call came back throttled."""
    livepair.cloud.faceid.script(*[Answer(sim=None)] * 5)
    livepair.cloud.faults.add(COMPARE, then=faults.refuse(200, "RequestLimitExceeded"), skip=1)
    livepair.pair()
    livepair.finish()
    assert sum(call.billed for call in livepair.cloud.faceid.calls) == 2


def test_an_unknown_code_fails_at_once(livepair: Livepair, capsys: pytest.CaptureFixture[str]) -> None:
    """Passed through as it came, logged loudly, never tried again."""
    assert livepair.pair(samples.live(error="FailedOperation.BrandNew")) == ["failed"]
    assert livepair.data["reason"]["code"] == "FailedOperation.BrandNew"
    assert len(livepair.asked) == 1
    (line,) = lines(capsys, "unknown_code")
    assert (line["level"], line["code"]) == ("ERROR", "FailedOperation.BrandNew")
    assert livepair.state("agenda/") == []


# --- ours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ResourceUnavailable.InArrears", "InvalidParameterValue"])
def test_a_configuration_that_is_mended_heals_by_itself(livepair: Livepair, code: str) -> None:
    """Twelve hours of refusals, one call each, then the verdict."""
    livepair.cloud.faceid.script(*[Answer(error=code)] * 17)
    assert livepair.pair() == []
    assert len(livepair.asked) == 1
    assert livepair.finish() == ["matched"]
    assert max(minutes_between(livepair)) <= 62


def test_a_configuration_that_stays_wrong_fails_after_a_day(livepair: Livepair) -> None:
    """Not sooner, and within the promised 25 hours."""
    assert livepair.pair(samples.live(error="ResourceUnavailable.NotExist")) == []
    assert livepair.finish() == ["failed"]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["advice"]) == ("ResourceUnavailable.NotExist", "fix_configuration")
    first, last = livepair.asked[0].at, livepair.asked[-1].at
    assert timedelta(hours=24) <= last - first <= timedelta(hours=25)
