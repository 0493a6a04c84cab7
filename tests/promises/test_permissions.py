"""What the role may not do is named, costs no call, and heals once it is granted; else it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from handler.edges.bucket import CosError
from tests.cloud import samples
from tests.cloud.faceid import COMPARE
from tests.cloud.faults import refuse
from tests.support.harness import BUCKET, IMAGE, LIVE, STATE, Livepair, lines

Configured = Callable[..., Livepair]


# --- uploads -----------------------------------------------------------------------------------------


def test_uploads_that_may_not_be_looked_up_heal(livepair: Livepair, capsys: Any) -> None:
    """403 on HEAD: nothing is raised, the log names the missing action; granted, it heals within the hour."""
    livepair.deny("HeadObject", "uploads/")
    assert livepair.pair() == []
    for line in lines(capsys, "pair"):
        assert line["level"] == "ERROR"
        assert "name/cos:HeadObject" in line["error"]
        assert f"{BUCKET}/uploads/42/" in line["error"]
    for _ in range(12):
        assert livepair.due() == []
    livepair.allowed = None
    assert livepair.sweep(61) == ["matched"]
    assert len(livepair.messages) == len(livepair.asked) == 1
    for _ in range(3):
        livepair.sweep(61)
    assert livepair.state("agenda/") == []


def test_an_upload_that_may_not_be_looked_up_for_a_day_fails(livepair: Livepair) -> None:
    """24 hours after the upload, without a call; the message names the action and the object."""
    livepair.deny("HeadObject", "uploads/")
    livepair.put(LIVE, samples.live())
    began = livepair.cloud.clock.now()
    assert livepair.run() == []
    assert livepair.finish() == ["failed"]
    assert timedelta(hours=24) <= livepair.cloud.clock.now() - began <= timedelta(hours=25)
    reason = livepair.data["reason"]
    assert (reason["code"], reason["advice"]) == ("Livepair.UploadUnreadable", "fix_configuration")
    assert "name/cos:HeadObject" in reason["message"]
    assert f"{BUCKET}/{LIVE}" in reason["message"]
    assert livepair.data["api"] is None
    assert livepair.asked == []


def test_two_halves_that_may_not_be_looked_up_are_one_outcome(livepair: Livepair) -> None:
    """However far apart they were uploaded."""
    livepair.deny("HeadObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.cloud.clock.advance(5)
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert set(livepair.finish()) == {"failed"}
    assert len(livepair.messages) == 1


def test_an_upload_that_cos_will_not_look_up_ends_in_a_failed_outcome(livepair: Livepair) -> None:
    """A refusal that is neither 403 nor 404 nor trouble: it too ends after a day at the latest."""
    livepair.cloud.faults.add("HeadObject", key="uploads/*", then=refuse(400, "InvalidURI"), times=None)
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert livepair.finish() == ["failed"]


def test_an_object_that_has_to_be_read_names_getobject(livepair: Livepair, capsys: Any) -> None:
    """A multipart upload is read for its MD5 before anything is claimed."""
    livepair.deny("GetObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.bucket.put_synthetic(LIVE, 5_000_000)
    assert livepair.run() == []
    (first, *_) = lines(capsys, "pair")
    assert "name/cos:GetObject on that resource" in first["error"]
    assert f"{BUCKET}/{LIVE}" in first["error"]
    assert livepair.state("claims/") == []


def test_links_that_the_role_may_not_read_are_told_as_a_missing_permission(livepair: Livepair) -> None:
    """The links are signed with the role's rights: without GetObject the API can fetch nothing."""
    livepair.deny("GetObject", "uploads/")
    livepair.pair()
    assert livepair.finish() == ["failed"]
    reason = livepair.data["reason"]
    assert reason["category"] == "configuration"
    assert "name/cos:GetObject" in reason["message"]


def test_an_upload_that_the_relay_may_not_read_is_told_as_a_missing_permission(
    configured: Configured,
) -> None:
    """PASS_RESOURCES=upload_url: no call was made, and after a day the message says what is missing."""
    livepair = configured(PASS_RESOURCES="upload_url")
    livepair.deny("GetObject", "uploads/")
    livepair.pair()
    assert livepair.finish() == ["failed"]
    assert livepair.data["reason"]["code"] == "Livepair.UploadUnreadable"
    assert "name/cos:GetObject" in livepair.data["reason"]["message"]
    assert (livepair.data["api"] or {}).get("calls", 0) == 0


def test_an_upload_that_the_relay_may_not_read_heals_and_counts_as_no_call(configured: Configured) -> None:
    """HEAD is allowed and GET is not: `UploadUnreadable` like any other, with a day to mend it."""
    livepair = configured(PASS_RESOURCES="upload_url")
    livepair.deny("GetObject", "uploads/")
    assert livepair.pair() == []
    for _ in range(20):
        assert livepair.due() == []
    livepair.allowed = None
    assert livepair.finish() == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_a_deletion_that_is_refused_heals(configured: Configured, capsys: Any) -> None:
    """Told once; the log says what is missing, and once it is granted the uploads go."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.deny("Delete*", "uploads/")
    livepair.pair()
    for _ in range(3):
        livepair.due()
    said = [line["error"] for line in lines(capsys, "pair") if "error" in line]
    assert len(said) == 4
    assert all(f"{BUCKET}/{LIVE}" in text and "name/cos:DeleteObject on that" in text for text in said)
    livepair.allowed = None
    livepair.due()
    assert livepair.bucket.keys("uploads/") == []
    assert len(livepair.cloud.consumer.attempts) == 1
    livepair.run()
    for _ in range(4):
        livepair.sweep(60)
    assert livepair.state("agenda/") == []
    assert len(livepair.messages) == 1


# --- state -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state_bucket", [BUCKET, STATE])
def test_state_that_may_not_be_written_raises_and_names_the_action(
    configured: Configured, state_bucket: str
) -> None:
    """Without state nothing can be promised: no call, and the platform tries again."""
    livepair = configured(STATE_BUCKET=state_bucket)
    livepair.deny("PutObject", "livepair/")
    for event in livepair.put_pair():
        with pytest.raises(CosError, match="name/cos:PutObject on that resource") as caught:
            livepair.handle(event)
        assert f"{state_bucket}/livepair/" in str(caught.value)
    assert livepair.calls == []


def test_a_record_that_may_not_be_written_fails_soon_and_is_not_lost(livepair: Livepair, capsys: Any) -> None:
    """Waiting mends no permission: action and resource are named within seconds, and the pair comes back."""
    livepair.deny("PutObject", "livepair/records/")
    livepair.put_pair()
    began = livepair.clock.elapsed()
    assert livepair.run() == []
    assert livepair.clock.elapsed() - began < 10
    said = [line["error"] for line in lines(capsys, "pair") if "error" in line]
    assert said
    assert all(f"{BUCKET}/livepair/records/42/" in text for text in said)
    assert all("name/cos:PutObject on that resource" in text for text in said)
    livepair.allowed = None
    assert livepair.sweep_on() == ["matched"]
    assert len(livepair.messages) == 1
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize("state_bucket", [BUCKET, STATE])
def test_state_that_may_not_be_read_is_named_and_costs_no_call(
    configured: Configured, capsys: Any, state_bucket: str
) -> None:
    """The claim cannot be read back, so nobody calls; the sweep raises, and all heals with the permission."""
    livepair = configured(STATE_BUCKET=state_bucket)
    livepair.deny("GetObject", "livepair/")
    assert livepair.pair() == []
    for line in lines(capsys, "pair"):
        assert "name/cos:GetObject on that resource" in line["error"]
        assert f"{state_bucket}/livepair/" in line["error"]
    with pytest.raises(CosError, match="name/cos:GetObject on that resource"):
        livepair.sweep(5)
    assert livepair.calls == []
    assert livepair.messages == []
    livepair.allowed = None
    assert livepair.sweep_on() == ["matched"]


def test_an_agenda_that_may_not_be_listed_raises_and_names_the_action(livepair: Livepair) -> None:
    """The sweep, and the walk over the uploads."""
    livepair.deny("GetBucket", "")
    for go in (livepair.sweep, livepair.reconcile):
        with pytest.raises(CosError, match="name/cos:GetBucket on that resource") as caught:
            go()
        assert f"{BUCKET}/" in str(caught.value)


def test_an_agenda_that_may_not_be_tidied_raises_and_names_the_action(livepair: Livepair) -> None:
    """After the verdict was told, once; the retry does not tell it again."""
    livepair.deny("Delete*", "livepair/")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    for go in (livepair.run, lambda: livepair.sweep(5)):
        with pytest.raises(CosError, match="name/cos:DeleteObject on that resource"):
            go()
    livepair.allowed = None
    assert livepair.sweep_on() == []
    assert livepair.data["outcome"] == "matched"
    assert (len(livepair.calls), len(livepair.cloud.consumer.attempts)) == (1, 1)
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
def test_credentials_that_are_refused_are_no_missing_permission(livepair: Livepair, code: str) -> None:
    """A 403 about the credentials or the clock: giving the role a permission would mend nothing."""
    livepair.cloud.faults.add("PutObject", then=refuse(403, code), times=None)
    livepair.put(LIVE, samples.live())
    with pytest.raises(CosError, match=code) as caught:
        livepair.run()
    assert "Give whoever asks" not in str(caught.value)


# --- the API -----------------------------------------------------------------------------------------


def test_an_api_that_may_not_be_called_is_told_after_a_day(livepair: Livepair, capsys: Any) -> None:
    """The role lacks the action: tried again while it may heal, then told with the API's own code."""
    livepair.allowed = lambda asked: asked.service != "faceid"
    assert livepair.pair() == []
    assert any(COMPARE in line.get("said", "") for line in lines(capsys, "pair"))
    assert livepair.finish() == ["failed"]
    reason = livepair.data["reason"]
    assert reason["code"] == "AuthFailure.UnauthorizedOperation"
    assert reason["advice"] == "fix_configuration"
    assert COMPARE in reason["message"]
