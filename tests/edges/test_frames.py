"""The best frame: kept while its link lives, and never worth a verdict."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handler.edges.faceid import FaceidClient, FrameError
from handler.edges.wire import Wire
from handler.rules.outcome import Answer as Told
from tests.cloud import faults, samples
from tests.cloud.faceid import Answer, BestFrame
from tests.support.harness import Livepair, lines


def told_without_frame(livepair: Livepair, capsys: pytest.CaptureFixture[str]) -> str:
    """Check that the verdict was told once without a best frame, and return why there is none."""
    assert livepair.data["outcome"] == "matched"
    assert livepair.data["best_frame"] is None
    assert len(livepair.asked) == len(livepair.cloud.consumer.attempts) == 1
    assert livepair.state("best-frames/") == []
    assert livepair.state("agenda/") == []
    record = livepair.record()
    assert record["best_frame"] is None
    why: str = record["answer"]["frame_error"]
    logged = [line["frame_error"] for line in lines(capsys, "pair") if "frame_error" in line]
    assert logged == [why]
    assert "q-signature" not in why
    return why


FOREIGN = [
    "https://evil.example.com/frame.jpg",
    "https://169.254.169.254/latest/meta-data",
    "https://faces.cos.ap-singapore.myqcloud.com.evil.example.com/frame.jpg",
    "https://faces-1250000000.cos.ap-singapore.myqcloud.com@evil.example.com/frame.jpg",
    "ftp://faces-1250000000.cos.ap-singapore.myqcloud.com/frame.jpg",
    "//faces-1250000000.cos.ap-singapore.myqcloud.com/frame.jpg",
    "frame.jpg",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_a_best_frame_is_fetched_from_cos_only(
    livepair: Livepair, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link elsewhere is not followed; the message goes out without a best frame."""
    livepair.cloud.faceid.script(Answer(best_frame=BestFrame(url=url)))
    assert livepair.pair() == ["matched"]
    assert "COS host" in told_without_frame(livepair, capsys)


@pytest.mark.parametrize(
    "frame",
    [
        BestFrame(status=302, headers={"Location": "http://evil.example.com/"}),
        BestFrame(status=403),
        BestFrame(status=404),
        BestFrame(status=206),
        BestFrame(md5="0" * 32),
        BestFrame(md5="none"),
        BestFrame(padding=4 * 1024 * 1024),
        BestFrame(url="https://frames-1250000001.cos.ap-singapore.myqcloud.com:1/nowhere.jpg"),
        BestFrame(url="https://frames-1250000001.cos.ap-singapore.myqcloud.com:99999/nowhere.jpg"),
    ],
    ids=["redirect", "403", "404", "206", "md5", "no-md5", "huge", "nobody", "no-port"],
)
def test_a_best_frame_that_cannot_be_had_holds_nothing_up(
    livepair: Livepair, frame: BestFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """`best_frame` is null for good, and record and log say why."""
    livepair.cloud.faceid.script(Answer(best_frame=frame))
    assert livepair.pair() == ["matched"]
    assert told_without_frame(livepair, capsys)


@pytest.mark.parametrize("fault", [faults.cut_before(), faults.cut_body(50), faults.html(502)])
def test_a_best_frame_lost_on_its_way_holds_nothing_up(
    livepair: Livepair, fault: faults.Action, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut before, cut within, a load balancer's page."""
    livepair.cloud.faults.add("GetObject", service="faceid-files", then=fault)
    assert livepair.pair() == ["matched"]
    assert told_without_frame(livepair, capsys)


def test_a_best_frame_that_drips_is_given_up(livepair: Livepair, capsys: pytest.CaptureFixture[str]) -> None:
    """After 3 seconds in all, not 3 for each byte."""
    livepair.cloud.faceid.script(Answer(best_frame=BestFrame(seconds_per_byte=0.5)))
    assert livepair.pair() == ["matched"]
    assert "in time" in told_without_frame(livepair, capsys)


def test_a_best_frame_that_cannot_be_stored_holds_nothing_up(
    livepair: Livepair, capsys: pytest.CaptureFixture[str]
) -> None:
    """The role may not write it: the log names the action that is missing."""
    livepair.allowed = lambda asked: asked.name != "PutObject" or "best-frames" not in asked.key
    assert livepair.pair() == ["matched"]
    assert "name/cos:PutObject" in told_without_frame(livepair, capsys)


def test_best_frames_are_not_kept_unless_wanted(
    configured: Callable[..., Livepair], capsys: pytest.CaptureFixture[str]
) -> None:
    """KEEP_BEST_FRAME=false: none is downloaded, and that is no failure."""
    livepair = configured(KEEP_BEST_FRAME="false")
    assert livepair.pair() == ["matched"]
    assert livepair.data["best_frame"] is None
    assert livepair.record()["answer"]["frame_error"] is None
    assert all("frame_error" not in line for line in lines(capsys, "pair"))
    assert [logged for logged in livepair.cloud.log if logged.service == "faceid-files"] == []


def test_a_rejected_person_leaves_no_best_frame(livepair: Livepair) -> None:
    """None is kept without a verdict, even where the API gives one."""
    frame = BestFrame()
    livepair.cloud.faceid.script(Answer(result="FailedOperation.LivessDetectFake", best_frame=frame))
    assert livepair.pair() == ["rejected"]
    assert livepair.data["best_frame"] is None
    assert livepair.state("best-frames/") == []


def test_a_mismatch_keeps_its_best_frame(livepair: Livepair) -> None:
    """Somebody will want to look at it."""
    assert livepair.pair(samples.live(sim=12.0)) == ["mismatched"]
    frame = livepair.data["best_frame"]
    assert livepair.bucket.get(frame["key"]).md5 == frame["md5"]


COS = "cos.ap-singapore.myqcloud.com"


@pytest.mark.parametrize(
    "url",
    [
        "https://[broken",
        f"https://{'x' * 64}.{COS}/frame.jpg",
        f"https://{'x.' * 200}{COS}/frame.jpg",
        f"https://a..{COS}/frame.jpg",
        f"https://.{COS}/frame.jpg",
        f"https://-.{COS}/frame.jpg",
        f"https://a.{COS}:0/frame.jpg",
        f"https://a.{COS}:-1/frame.jpg",
        f"https://a.{COS}:65536/frame.jpg",
        f"https://a.{COS}:/frame.jpg",
        f"https://a.{COS}:\u0661/frame.jpg",
        f"https://[::1].{COS}/frame.jpg",
        f"https://\u24b6.{COS}/frame.jpg",
        f"https://a.{COS}\u2024/frame.jpg",
        f"https://a.{COS}/\ud800",
        f"https://a.{COS}/\x00",
        f"https://a.{COS}/ \r\nX: y",
        f"https://a.{COS}/{'x' * 100_000}",
        f"https://a.{COS}\\@evil.example/",
        f"https://a.{COS}/%",
        f"https://a.{COS}?",
        f"HTTPS://A.{COS.upper()}/frame.jpg",
        "https://",
        " ",
    ],
    ids=lambda url: ascii(url)[:60],
)
def test_a_best_frame_link_that_is_no_url_holds_nothing_up(
    livepair: Livepair, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    """The verdict is told; it is not thrown away and billed again."""
    livepair.cloud.faceid.script(Answer(best_frame=BestFrame(url=url)))
    assert livepair.pair() == ["matched"]
    assert told_without_frame(livepair, capsys)


HOSTS = st.text(st.sampled_from("aA0-.:@[]%\\/?#\x00\u2024\u00df\ud800 "), max_size=12)


def numbers_only(host: str, *args: Any) -> list[Any]:
    """A resolver that knows no name."""
    raise socket.gaierror(socket.EAI_NONAME, host.encode("idna"))


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(before=HOSTS, after=HOSTS, rest=st.text(max_size=8))
@example(before="x" * 64 + ".", after="", rest="")
@example(before="", after=":65536", rest="")
def test_whatever_stands_in_a_link_the_frame_is_an_error_of_ours(
    proxy: str | None, before: str, after: str, rest: str
) -> None:
    """Any other would leave the verdict unrecorded."""
    client = FaceidClient(Wire(proxy), "ap-singapore", "faceid.tencentcloudapi.com")
    answer = Told("Success", "", frame_url=f"https://{before}{COS}{after}/{rest}", frame_md5="0" * 32)
    with pytest.MonkeyPatch.context() as patch:
        if proxy is None:
            patch.setattr(socket, "getaddrinfo", numbers_only)
        with pytest.raises(FrameError):
            client.frame(answer, 5.0)
