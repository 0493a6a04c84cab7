"""With the claim in hand: how the API is asked, what is tried again, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from handler.edges.bucket import Changed, CosError, Unavailable
from handler.edges.faceid import RelayError, Resource
from handler.flow.call import least_seconds
from handler.rules.agenda import AT_NEXT_SWEEP, Look
from handler.rules.claiming import Claim
from handler.rules.outcome import Answer
from tests.support.scene import MATCH, Scene, forbidden, unavailable
from tests.support.values import BUCKET, HOUR, IMAGE, LIVE, MINUTE, NOON, settings

TRANSIENT = Answer("InternalError", "sorry", request_id="r-2")
THROTTLED = Answer("RequestLimitExceeded", "slow down", executed=False, request_id="r-3")
NOT_FETCHED = Answer("FailedOperation.DownLoadError", "no luck", request_id="r-4")


def another(scene: Scene) -> Claim:
    """A claim of another instance."""
    return Claim(scene.verification(), 1, "other", "r", NOON, NOON)


# --- how it is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "given"), [(58, 30.0), (800, 30.0), (30, 30 - 8.05)])
def test_the_api_gets_links_that_outlive_the_call(seconds: float, given: float) -> None:
    """With each upload's MD5; a call leaves time for what comes after it."""
    scene = Scene()
    assert scene.event(seconds=seconds) == ["matched"]
    ((live, image, asked),) = scene.api.calls
    assert asked == pytest.approx(given, abs=0.001)
    expires = int(asked) + 60
    assert live == Resource(f"link to {LIVE.key} for {expires} s", "a" * 32)
    assert image == Resource(f"link to {IMAGE.key} for {expires} s", "b" * 32)


def test_the_relay_passes_both_uploads() -> None:
    """Where the API may not fetch from the bucket itself."""
    scene = Scene(PASS_RESOURCES="upload_url")
    assert scene.event() == ["matched"]
    assert scene.api.relayed == [f"{BUCKET}/{LIVE.key} in 20 s", f"{BUCKET}/{IMAGE.key} in 20 s"]
    ((live, image, seconds),) = scene.api.calls
    assert live == Resource(f"relay of {LIVE.key}", "a" * 32)
    assert image == Resource(f"relay of {IMAGE.key}", "b" * 32)
    assert seconds == 30.0


def test_a_relay_that_fails_is_an_answer() -> None:
    """It is tried again like any other of its class."""
    scene = Scene(PASS_RESOURCES="upload_url")

    def fail() -> None:
        raise RelayError(Answer("AuthFailure", "no", executed=False))

    scene.api.relaying = fail
    assert scene.event() == []
    assert (scene.claim().code, scene.claim().calls) == ("AuthFailure", 0)
    assert scene.api.calls == []


def test_a_relay_that_took_too_long_leaves_the_call_to_the_next_sweep() -> None:
    """The claim is given back for whoever comes next, and no try is counted."""
    scene = Scene(PASS_RESOURCES="upload_url")

    def dawdle() -> None:
        scene.clock.waited += 19.5

    scene.api.relaying = dawdle
    assert scene.event() == []
    assert scene.api.calls == []
    assert scene.claim().retry_at == scene.clock.now()
    assert scene.claim().tries == {}
    assert scene.agenda == ["1202Z/take_over"]
    scene.api.relaying = lambda: None
    assert scene.sweep(MINUTE * 2) == ["matched"]


def test_a_relay_may_take_all_the_time_there_is() -> None:
    """Twenty seconds are left then, which a call needs."""
    scene = Scene(PASS_RESOURCES="upload_url")

    def dawdle() -> None:
        scene.clock.waited = 20.25

    scene.api.relaying = dawdle
    assert scene.event(seconds=40.25) == ["matched"]


@pytest.mark.parametrize(
    ("passed", "seconds", "called"),
    [("presigned", 20.05, 1), ("presigned", 20.04, 0), ("upload_url", 40.05, 1), ("upload_url", 40.04, 0)],
)
def test_no_call_begins_with_too_little_time(passed: str, seconds: float, called: int) -> None:
    """The settle and the relay included; no claim is written then, and the next sweep has more."""
    scene = Scene(PASS_RESOURCES=passed)
    scene.event(seconds=seconds)
    assert len(scene.api.calls) == called
    if not called:
        assert scene.ledger.claim(scene.verification(), 1) is None
        assert scene.agenda == ["1201Z/take_over"]
        assert scene.line["no_time"].endswith(
            " s are left, a call needs 20" if passed == "presigned" else "40"
        )
        assert scene.sweep(MINUTE) == ["matched"]
        assert scene.claim().n == 1


@pytest.mark.parametrize(("passed", "seconds"), [("presigned", 24), ("upload_url", 44)])
def test_an_invocation_needs_what_comes_before_a_call_and_the_call(passed: str, seconds: float) -> None:
    """Less would never get to a call."""
    assert least_seconds(settings(PASS_RESOURCES=passed)) == seconds


def test_a_claim_that_took_too_long_is_given_back() -> None:
    """Nothing was called, so the next sweep may go on at once, and its old entry is gone."""
    scene = Scene()

    def late(key: str) -> None:
        if "/claims/" in key and scene.clock.waited < 1:
            scene.clock.waited += 40

    scene.state.after_write = late
    assert scene.event() == []
    assert scene.api.calls == []
    assert scene.claim().retry_at is not None
    assert scene.agenda == ["1202Z/take_over"]
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert scene.claim(2).tries == {}


@pytest.mark.parametrize("role", ["live", "image"])
def test_an_archived_upload_is_not_asked_about(role: str) -> None:
    """Somebody has to restore what a rule archived: it is tried as long as a configuration is."""
    scene = Scene()
    scene.clock.waited += 86_400
    stored = LIVE if role == "live" else IMAGE
    scene.uploads.stored[stored.key] = stored._replace(archived=True)
    assert scene.event() == []
    assert scene.api.calls == []
    claim = scene.claim()
    assert (claim.code, claim.tries, claim.calls) == ("Livepair.UploadUnreadable", {"configuration": 1}, 0)
    assert scene.line["said"] == f"{stored.key} is archived; restore it"
    assert scene.line["advice"] == "fix_configuration"


@pytest.mark.parametrize("role", ["live", "image"])
def test_an_upload_that_came_archived_is_rejected_at_once(role: str) -> None:
    """Its uploader chose the class: no claim, no call, no day of waiting."""
    scene = Scene()
    stored = LIVE if role == "live" else IMAGE
    scene.uploads.stored[stored.key] = stored._replace(archived=True)
    assert scene.event() == ["rejected"]
    assert scene.api.calls == []
    assert scene.record().code == ("Livepair.LiveArchived" if role == "live" else "Livepair.ImageArchived")
    assert scene.agenda == []


# --- what is tried again ------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "calls", "waits"), [(TRANSIENT, 2, 0.7), (THROTTLED, 1, 0.35)])
def test_a_first_failure_is_followed_by_a_second_call_at_once(
    first: Answer, calls: int, waits: float
) -> None:
    """After less than a second and a half; what may have been executed is counted."""
    scene = Scene()
    scene.api.answers = [first, MATCH]
    assert scene.event() == ["matched"]
    assert scene.clock.waited == pytest.approx(0.05 + waits)
    record = scene.record()
    assert record.answer is not None
    assert record.answer["calls"] == calls
    assert f'"calls":{calls}' in record.body


def test_a_third_call_waits_for_its_time() -> None:
    """The claim says how often, when and why; its entry comes back then, and the lease's is gone."""
    scene = Scene()
    scene.api.answers = [TRANSIENT]
    assert scene.event() == []
    assert len(scene.api.calls) == 2
    claim = scene.claim()
    assert (claim.calls, claim.tries, claim.code) == (2, {"transient": 1}, "InternalError")
    assert claim.retry_at == NOON + MINUTE + timedelta(seconds=0.75)
    assert scene.agenda == ["1202Z/take_over"]
    assert scene.line["said"] == "sorry"
    assert scene.line["code"] == "InternalError"
    assert scene.line["api_request_id"] == "r-2"


def test_no_second_call_begins_with_too_little_time() -> None:
    """The pause before it included."""
    scene = Scene()
    scene.api.answers = [TRANSIENT, MATCH]
    assert scene.event(seconds=20.74) == []
    assert len(scene.api.calls) == 1
    scene = Scene()
    scene.api.answers = [TRANSIENT, MATCH]
    assert scene.event(seconds=20.76) == ["matched"]


def test_a_sweep_calls_once_for_what_failed_before() -> None:
    """Each try is one call; after the last one it is told as failed."""
    scene = Scene()
    scene.api.answers = [TRANSIENT]
    scene.event()
    outcomes = [outcome for _ in range(12) for outcome in scene.sweep(31 * MINUTE)]
    assert outcomes == ["failed"]
    assert len(scene.api.calls) == 8
    assert scene.record().code == "InternalError"
    assert '"calls":8' in scene.record().body
    assert scene.agenda == []


def test_a_verification_in_which_all_instances_died_is_told_without_a_call() -> None:
    """What they asked was lost; the message says how often that may have been."""
    scene = Scene()
    scene.ledger.give_back(another(scene)._replace(tries={"transient": 7}, calls=8, retry_at=NOON))
    assert scene.event() == ["failed"]
    assert scene.api.calls == []
    assert scene.record().code == "Livepair.AnswerLost"
    assert "every instance that asked the API ended before it could record the answer" in scene.record().body
    assert (
        '"request_id":null,"region":"ap-singapore","code":"Livepair.AnswerLost","calls":8'
        in scene.record().body
    )


# --- what the API could not fetch -----------------------------------------------------------------------


@pytest.mark.parametrize("key", [LIVE.key, IMAGE.key])
@pytest.mark.parametrize(
    ("error", "code", "calls"),
    [(forbidden, "Livepair.UploadUnreadable", 1), (unavailable, "ClientNetworkError", 2)],
)
def test_what_cannot_be_fetched_is_told_from_what_may_not_be_read(
    key: str, error: Callable[[str], CosError], code: str, calls: int
) -> None:
    """A role that lacks a permission is no trouble of the API's; the API's request id stays."""
    scene = Scene()
    scene.api.answers = [NOT_FETCHED]
    scene.uploads.unread[key] = error(key)
    assert scene.event() == []
    assert (scene.claim().code, scene.claim().calls) == (code, calls)
    assert scene.line["api_request_id"] == "r-4"
    assert "req-9" in scene.line["said"]


@pytest.mark.parametrize(
    "code",
    [
        "FailedOperation.DownLoadError",
        "FailedOperation.DownLoadTimeoutError",
        "InvalidParameterValue.UrlIllegal",
    ],
)
def test_uploads_that_can_be_read_leave_the_answer_as_it_was(code: str) -> None:
    """Then it is the API's own trouble."""
    scene = Scene()
    scene.api.answers = [NOT_FETCHED._replace(code=code)]
    assert scene.event() == []
    assert scene.claim().code == code


def test_an_upload_that_was_replaced_under_the_call_is_judged_as_it_is_now() -> None:
    """Its claim is given back, the new bytes are a verification of their own, and the log says so."""
    scene = Scene()
    scene.api.answers = [NOT_FETCHED, MATCH]
    newer = IMAGE._replace(etag='"c3"', md5="c" * 32, uploaded_at=NOON)

    def replace() -> None:
        scene.uploads.stored[IMAGE.key] = newer

    scene.api.during = replace
    assert scene.event() == ["matched"]
    assert scene.claim().retry_at == NOON + timedelta(seconds=0.05)
    assert scene.claim().tries == {}
    assert scene.line["replaced"] is True
    assert len(scene.api.calls) == 2
    (record,) = scene.ledger.records("42")
    assert record.image is not None
    assert record.image["md5"] == "c" * 32


def test_an_upload_that_is_replaced_under_every_call_is_left_to_the_next_sweep() -> None:
    """Three times under our hands are enough."""
    scene = Scene()
    scene.api.answers = [NOT_FETCHED]
    others = iter("cdef")

    def replace() -> None:
        other = next(others)
        scene.uploads.stored[IMAGE.key] = IMAGE._replace(etag=f'"{other}3"', md5=other * 32)

    scene.api.during = replace
    assert scene.event() == []
    assert len(scene.api.calls) == 3
    look = Look(BUCKET, LIVE.key, uploaded_at=LIVE.uploaded_at, step=AT_NEXT_SWEEP)
    assert look in scene.tasks
    scene.api.during = lambda: None
    scene.api.answers = [MATCH]
    assert scene.sweep(2 * MINUTE) == ["matched"]


def test_an_upload_that_is_gone_under_the_call_is_waited_for() -> None:
    """Half a pair is left."""
    scene = Scene()
    scene.api.answers = [NOT_FETCHED]

    def gone() -> None:
        scene.uploads.unread[IMAGE.key] = CosError("read", BUCKET, IMAGE.key, 404, "NoSuchKey")
        scene.uploads.stored.pop(IMAGE.key)

    scene.api.during = gone
    assert scene.event() == []
    assert len(scene.api.calls) == 1
    assert scene.line["waits_for"] == "image"


def test_a_relay_that_finds_another_upload_judges_that_one() -> None:
    """It was replaced after it was looked up."""
    scene = Scene(PASS_RESOURCES="upload_url")
    scene.uploads.unread[LIVE.key] = Changed("read", BUCKET, LIVE.key, 412, "PreconditionFailed")

    def once() -> None:
        if scene.api.relayed:
            scene.uploads.unread.clear()

    scene.api.relaying = once
    assert scene.event() == ["matched"]
    assert scene.line["replaced"] is True


def test_a_relay_that_may_not_read_is_a_configuration() -> None:
    """Nothing was called."""
    scene = Scene(PASS_RESOURCES="upload_url")
    scene.uploads.unread[LIVE.key] = forbidden(LIVE.key)
    assert scene.event() == []
    assert (scene.claim().code, scene.claim().calls) == ("Livepair.UploadUnreadable", 0)


# --- the verdict --------------------------------------------------------------------------------------


def test_the_best_frame_is_kept_and_told() -> None:
    """In three seconds at the most, its MD5 in lower case."""
    scene = Scene()
    scene.event()
    record = scene.record()
    key = f"livepair/best-frames/42/{record.verification.id}.jpg"
    assert scene.state.objects[key] == b"jpeg"
    assert scene.state.seconds == [3.0]
    assert scene.api.frames == [3.0]
    assert record.best_frame == {"key": key, "md5": "c" * 32}
    assert '"best_frame":{"bucket":"state-1250000000","key":"' + key in record.body


def test_a_best_frame_that_came_late_is_still_kept() -> None:
    """Half a second is always there for it."""
    scene = Scene()

    def dawdle() -> None:
        scene.clock.waited += 2.9

    scene.api.framing = dawdle
    scene.event()
    assert scene.state.seconds == [0.5]


def test_a_best_frame_that_cannot_be_had_holds_nothing_up() -> None:
    """The log and the record say why there is none."""
    scene = Scene()
    scene.api.frame_error = "its MD5 is another"
    assert scene.event() == ["matched"]
    record = scene.record()
    assert record.best_frame is None
    assert record.answer is not None
    assert record.answer["frame_error"] == scene.line["frame_error"] == "its MD5 is another"


@pytest.mark.parametrize(
    ("keep", "answer"),
    [
        ("false", MATCH),
        ("true", Answer("FailedOperation.LivessDetectFake", "")),
        ("true", Answer("BrandNew", "")),
    ],
)
def test_only_a_verdict_has_a_best_frame(keep: str, answer: Answer) -> None:
    """And only where it is to be kept."""
    scene = Scene(KEEP_BEST_FRAME=keep)
    scene.api.answers = [answer]
    scene.event()
    assert scene.api.frames == []
    assert scene.record().best_frame is None


def test_a_best_frame_without_an_md5_is_kept() -> None:
    """The API does not always tell one."""
    scene = Scene()
    scene.api.answers = [MATCH._replace(frame_md5=None)]
    scene.event()
    assert '"md5":""' in scene.record().body


def test_an_unknown_code_is_told_and_logged_as_an_error() -> None:
    """Somebody should look at it."""
    scene = Scene()
    scene.api.answers = [Answer("BrandNew", "as it came", request_id="r-5")]
    assert scene.event() == ["failed"]
    (unknown,) = [each for each in scene.logged if each["event"] == "unknown_code"]
    assert unknown == {
        "event": "unknown_code",
        "level": "ERROR",
        "code": "BrandNew",
        "said": "as it came",
        "api_request_id": "r-5",
    }


def test_whose_claim_was_written_over_leaves_the_record_to_the_other() -> None:
    """Where versions are kept: its owner calls too, and is come back to at the end of its lease."""
    scene = Scene(trusting=False)
    scene.state.versioned = True
    other = another(scene)._replace(lease_until=NOON + HOUR)
    scene.api.during = lambda: scene.ledger.give_back(other)
    assert scene.event() == []
    assert len(scene.api.calls) == 1
    assert scene.ledger.records("42") == []
    assert scene.line["overtaken"] is True
    assert scene.agenda[-1] == "1301Z/take_over"


def test_where_create_only_is_honoured_a_claim_is_not_read_after_the_call() -> None:
    """Nobody can have written another over it, so a record costs no second look."""
    scene = Scene()
    scene.api.during = scene.state.reads.clear
    assert scene.event() == ["matched"]
    assert scene.ledger.claim_key(scene.verification(), 1) not in scene.state.reads


@pytest.mark.parametrize("fails", ["gone", "corrupt", "unavailable"])
def test_whose_claim_cannot_be_read_again_records(fails: str) -> None:
    """Where COS does not say, the verdict is not thrown away."""
    scene = Scene(trusting=False)
    scene.state.versioned = True
    key = scene.ledger.claim_key(scene.verification(), 1)

    def spoil() -> None:
        if fails == "gone":
            scene.state.objects.pop(key)
        elif fails == "corrupt":
            scene.state.objects[key] = b"{"
        else:
            scene.state.refuses[key] = Unavailable("read", BUCKET, key, 503, "SlowDown")

    scene.api.during = spoil
    assert scene.event() == ["matched"]


def test_a_verdict_clears_every_look_at_its_pair() -> None:
    """Nobody comes back for what is decided and told."""
    scene = Scene()
    image = scene.uploads.stored.pop(IMAGE.key)
    scene.event("live")
    assert scene.agenda == ["1201Z/look"]
    scene.uploads.stored[IMAGE.key] = image
    assert scene.event() == ["matched"]
    assert scene.agenda == []
