"""The main job: two uploads become one signed outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.cloud import samples
from tests.support.harness import IMAGE, LIVE, Livepair


def test_a_pair_becomes_one_signed_outcome(livepair: Livepair) -> None:
    """Image first, then the live package: one call, one verified message, a record and the best frame."""
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == []
    livepair.put(LIVE, samples.live(sim=96.3))
    assert livepair.run() == ["matched"]
    data = livepair.data
    assert (data["outcome"], data["similarity"], data["pair"]) == ("matched", 96.3, {"id": "42"})
    assert data["reason"] is None
    bucket = livepair.cloud.cos.bucket("faces-1250000000")
    assert data["live"]["md5"] == bucket.get(LIVE).md5
    assert bucket.get(data["best_frame"]["key"]).md5 == data["best_frame"]["md5"]
    (record,) = livepair.state("records/")
    assert record == f"records/42/{data['verification_id']}.json"
    assert livepair.record()["body"].encode() == livepair.cloud.consumer.attempts[0].body
    assert len(livepair.cloud.faceid.calls) == 1
    assert livepair.state("agenda/") == []


def test_the_order_of_the_halves_does_not_matter(livepair: Livepair) -> None:
    """The live package first, then the image."""
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]
    assert len(livepair.cloud.faceid.calls) == 1


def test_a_pair_costs_thirteen_cos_requests(livepair: Livepair) -> None:
    """Three for the first half, ten for the second; one call; one post."""
    livepair.put(IMAGE, samples.image())
    livepair.run()
    assert len(livepair.requests()) == 3
    livepair.forget()
    livepair.cloud.clock.advance(2)
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert len(livepair.requests()) == 10
    assert len(livepair.requests("GetBucket")) == 1
    assert len(livepair.cloud.faceid.calls) == 1
    assert len(livepair.cloud.consumer.attempts) == 1


def test_a_repeated_event_costs_four_cos_requests_and_no_call(livepair: Livepair) -> None:
    """Whichever half it tells of again."""
    livepair.put(IMAGE, samples.image())
    first = livepair.events[0]
    livepair.run()
    livepair.cloud.clock.advance(2)
    livepair.put(LIVE, samples.live())
    second = livepair.events[0]
    livepair.run()
    livepair.cloud.clock.advance(120)
    for event in (first, second):
        livepair.forget()
        assert livepair.handle(event) == {"outcomes": []}
        assert len(livepair.requests()) <= 4
    assert len(livepair.cloud.faceid.calls) == 1
    assert len(livepair.cloud.consumer.attempts) == 1


@pytest.mark.parametrize(
    ("live", "image", "outcome", "code", "category", "advice"),
    [
        ({"sim": 69.9}, "ok", "mismatched", "Livepair.BelowMinSimilarity", "similarity", "review"),
        (
            {"error": "InternalError.CompareLowSimilarity"},
            "ok",
            "mismatched",
            "InternalError.CompareLowSimilarity",
            "similarity",
            "review",
        ),
        (
            {"result": "FailedOperation.LivessDetectFake"},
            "ok",
            "rejected",
            "FailedOperation.LivessDetectFake",
            "spoof",
            "review",
        ),
        (
            {"error": "FailedOperation.ActionLightDark"},
            "ok",
            "rejected",
            "FailedOperation.ActionLightDark",
            "capture",
            "retake_live",
        ),
        ({}, "blur", "rejected", "FailedOperation.ImageBlur", "image", "replace_image"),
        (
            {"error": "FailedOperation.SilentMultiFaceFail"},
            "ok",
            "rejected",
            "FailedOperation.SilentMultiFaceFail",
            "capture",
            "retake_live",
        ),
        (
            {"error": "FailedOperation.BrandNew"},
            "ok",
            "failed",
            "FailedOperation.BrandNew",
            "service",
            "retry_later",
        ),
    ],
)
def test_the_answer_becomes_the_outcome(
    livepair: Livepair,
    live: dict[str, str],
    image: str,
    outcome: str,
    code: str,
    category: str,
    advice: str,
) -> None:
    """Failures that come as Error and as Result of a 200 answer, and a code that nobody knows."""
    livepair.put(IMAGE, samples.image(image))
    livepair.put(LIVE, samples.live(**live))  # type: ignore[arg-type]
    assert livepair.run() == [outcome]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["category"], reason["advice"]) == (code, category, advice)
    assert len(livepair.cloud.faceid.calls) == 1


def test_one_image_serves_many_live_packages(configured: Callable[..., Livepair]) -> None:
    """Three attempts against one image, the first of them before the image: three outcomes, three calls."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    livepair.put("uploads/u1/1/live.gz", samples.live(seed=1, sim=20.0))
    assert livepair.run() == []
    livepair.put("faces/u1.jpg", samples.image())
    assert livepair.run() == ["mismatched"]
    livepair.put("uploads/u1/2/live.gz", samples.live(seed=2))
    livepair.put("uploads/u1/3/live.gz", samples.live(seed=3))
    assert livepair.run() == ["matched", "matched"]
    assert [m["data"]["pair"]["attempt"] for m in livepair.messages] == ["1", "2", "3"]
    livepair.put("faces/u1.jpg", samples.image(seed=9))
    assert livepair.run() == []
    assert len(livepair.cloud.faceid.calls) == 3
    assert livepair.state("waiting/") == []


def test_half_a_pair_ends_incomplete(livepair: Livepair) -> None:
    """After PAIR_TIMEOUT, once; a late partner still starts a verification."""
    livepair.put(LIVE, samples.live())
    livepair.run()
    for minutes in (1, 5, 20):
        assert livepair.sweep(minutes) == []
    assert livepair.sweep(60) == ["incomplete"]
    assert livepair.data["reason"]["code"] == "Livepair.ImageMissing"
    assert livepair.data["image"] is None
    assert livepair.sweep(60) == []
    assert livepair.state("agenda/") == []
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]


def test_the_relay_passes_uploads_through(configured: Callable[..., Livepair]) -> None:
    """PASS_RESOURCES=upload_url: CreateUploadUrl twice, and no link to the bucket leaves the function."""
    livepair = configured(PASS_RESOURCES="upload_url")
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    assert [call.action for call in livepair.cloud.faceid.calls] == [
        "CreateUploadUrl",
        "CreateUploadUrl",
        "DetectReflectLivenessAndCompare",
    ]
    assert "faces-1250000000" not in str(livepair.cloud.faceid.calls[2].params)


def test_metadata_that_is_asked_for_is_told(configured: Callable[..., Livepair]) -> None:
    """Of each upload, in any case as HTTP's names are, by a link too; it costs no request more."""
    livepair = configured(PASS_METADATA="attempt,Device-Name")
    cloud = livepair.cloud
    headers = {"X-Cos-Meta-Attempt": "3", "x-cos-meta-device-name": "%E7%94%B2", "x-cos-meta-other": "hidden"}
    cloud.uploader.put_object(Bucket=cloud.bucket, Key=IMAGE, Body=samples.image())
    livepair.run()
    cloud.clock.advance(2)
    cloud.upload_by_link(LIVE, samples.live(), metadata=headers)
    assert livepair.run() == ["matched"]
    assert len(livepair.requests()) == 13
    told = livepair.data
    assert told["live"]["metadata"] == {"attempt": "3", "Device-Name": "%E7%94%B2"}
    assert told["image"]["metadata"] == {}


def test_half_a_pair_tells_its_metadata(configured: Callable[..., Livepair]) -> None:
    """As HEAD shows it when the outcome is decided."""
    livepair = configured(PASS_METADATA="attempt")
    cloud = livepair.cloud
    cloud.uploader.put_object(
        Bucket=cloud.bucket, Key=LIVE, Body=samples.live(), Metadata={"x-cos-meta-attempt": "7"}
    )
    livepair.run()
    livepair.finish()
    assert (livepair.data["live"]["metadata"], livepair.data["image"]) == ({"attempt": "7"}, None)


def test_metadata_signed_into_a_link_is_the_backends_word(configured: Callable[..., Livepair]) -> None:
    """The device can neither change nor leave out what is signed; what is not, is the device's own."""
    livepair = configured(PASS_METADATA="attempt,device")
    cloud = livepair.cloud
    signed = {"x-cos-forbid-overwrite": "true", "x-cos-meta-attempt": "3"}
    link = cloud.uploader.get_presigned_url(cloud.bucket, LIVE, "PUT", Expired=600, Headers=dict(signed))
    with requests.Session() as device:
        device.trust_env = False
        device.proxies = {"http": cloud.url}
        for tried in ({**signed, "x-cos-meta-attempt": "1"}, {"x-cos-forbid-overwrite": "true"}):
            assert device.put(link, data=samples.live(), headers=tried).status_code == 403
        sent = {**signed, "x-cos-meta-device": "mine"}
        assert device.put(link, data=samples.live(), headers=sent).status_code == 200
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]
    assert livepair.data["live"]["metadata"] == {"attempt": "3", "device": "mine"}
