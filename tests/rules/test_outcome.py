"""From what was seen and answered to what is told: verification, decision and the message's exact body."""

import hashlib
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handler.rules.codes import CODES, code_row
from handler.rules.outcome import (
    Answer,
    Called,
    Decision,
    Frame,
    Verification,
    body,
    decide,
    incomplete,
    timestamp,
    unfit,
    unreadable,
    verification,
)
from handler.rules.pairing import Pair, Role
from handler.rules.uploads import Seen
from tests.support.values import BUCKET, IMAGE, LIVE, MOMENT, NOON, PAIR, SEEN, SHARED, settings

# --- the verification -----------------------------------------------------------------------------


def digest(*parts: object) -> str:
    """A verification's id, computed beside the code."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:32]


def test_an_id_never_changes_between_releases() -> None:
    """A release that made ids differently would judge and bill every pair a second time.

    Computed outside the code, with sha256sum.
    """
    assert verification(SEEN, 1) == Verification("76064af855c5aaf52fa27a5304cba6d4", 1, "42")


def test_an_id_is_of_bucket_keys_md5s_and_run() -> None:
    """All of them and nothing else; a missing half counts as `-`."""
    live, image = "uploads/42/live.gz", "uploads/42/image.jpg"
    assert verification(SEEN, 2).id == digest(BUCKET, live, "a" * 32, image, "b" * 32, 2)
    assert verification(SEEN._replace(live=None), 1).id == digest(BUCKET, live, "-", image, "b" * 32, 1)
    assert verification(SEEN._replace(image=None), 1).id == digest(BUCKET, live, "a" * 32, image, "-", 1)


def test_an_id_is_of_the_alternative_that_is_there() -> None:
    """And of its key as it is, in whatever script."""
    pair = PAIR._replace(live_keys=("other.gz", "张.gz"), image_keys=("other.jpg", "é.jpg"))
    seen = Seen(pair, BUCKET, LIVE._replace(key="张.gz"), IMAGE._replace(key="é.jpg"))
    assert verification(seen, 1).id == digest(BUCKET, "张.gz", "a" * 32, "é.jpg", "b" * 32, 1)


@pytest.mark.parametrize("run", [1, 2, 11])
def test_where_one_image_serves_many_the_live_package_alone_counts(run: int) -> None:
    """A new image judges no settled live package again; without any image it is another verification."""
    live = LIVE._replace(key="uploads/ann/3/live.gz")
    ids = {
        verification(Seen(SHARED, BUCKET, live, image), run).id
        for image in (IMAGE, IMAGE._replace(md5="c" * 32, key="faces/ann.png"))
    }
    assert ids == {digest(BUCKET, "uploads/ann/3/live.gz", "a" * 32, run)}
    without = verification(Seen(SHARED, BUCKET, live, None), run).id
    assert without == digest(BUCKET, "uploads/ann/3/live.gz", "a" * 32, "-", run)


@pytest.mark.parametrize(
    "change",
    [
        {"etag": '"other"'},
        {"size": 1},
        {"uploaded_at": NOON},
        {"archived": True},
        {"metadata": (("a", "b"),)},
    ],
)
def test_the_same_bytes_are_the_same_verification(change: dict[str, Any]) -> None:
    """However and whenever they were uploaded."""
    again = SEEN._replace(live=LIVE._replace(**change), image=IMAGE._replace(**change))
    assert verification(again, 1) == verification(SEEN, 1)


def test_what_was_never_read_counts_by_its_etag() -> None:
    """Two uploads that are too large to be worth reading are two verifications."""
    unread = [LIVE._replace(md5=None, etag=etag) for etag in ('"x-2"', '"y-2"', "")]
    assert len({verification(SEEN._replace(live=live), 1).id for live in unread}) == 3


def test_a_message_id_can_be_signed() -> None:
    """It is `msg_` and 32 hex digits: no `.`, which separates what is signed, and nothing about a person."""
    assert re.fullmatch(r"msg_[0-9a-f]{32}", verification(SEEN, 1).message_id)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["-", '"', '", "', "1"]
)
Facts = tuple[str, str, str | None, str, str | None, int]
facts = st.tuples(text, text, st.none() | text, text, st.none() | text, st.integers(1, 3))


@given(facts, facts)
def test_different_facts_are_different_verifications(left: Facts, right: Facts) -> None:
    """No two of bucket, keys, MD5s and run can be confused, whatever quotes or dashes they hold."""

    def made(bucket: str, live: str, md5: str | None, image: str, other: str | None, run: int) -> str:
        pair = Pair((("id", "x"),), (live,), (image,), shared=False)
        halves = (
            None if md5 is None else LIVE._replace(key=live, md5="m" + md5),
            None if other is None else IMAGE._replace(key=image, md5="m" + other),
        )
        return verification(Seen(pair, bucket, *halves), run).id

    assert (made(*left) == made(*right)) == (left == right)


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("similarity", "least", "outcome"),
    [
        (70.0, 70.0, "matched"),
        (69.99, 70.0, "mismatched"),
        (96.3, 70.0, "matched"),
        (0.0, 0.0, "matched"),
        (100.0, 100.0, "matched"),
        (99.99, 100.0, "mismatched"),
        (79.0, 80.0, "mismatched"),
    ],
)
def test_at_or_above_min_similarity_is_a_match(similarity: float, least: float, outcome: str) -> None:
    """At the threshold counts as above it; below it the reason is a code of our own, with both numbers."""
    decision = decide(Answer("Success", "ok", similarity=similarity), least, NOON)
    assert (decision.outcome, decision.similarity) == (outcome, similarity)
    if outcome == "matched":
        assert (decision.code, decision.message) == (None, None)
    else:
        assert decision.code == "Livepair.BelowMinSimilarity"
        assert decision.message == f"similarity {similarity} is below MIN_SIMILARITY {least}"


@given(st.floats(0, 100), st.floats(0, 100))
def test_every_similarity_is_decided_by_the_threshold_alone(similarity: float, least: float) -> None:
    """There is no third outcome of a Success, and no rounding."""
    decision = decide(Answer("Success", "", similarity=similarity), least, NOON)
    assert decision.outcome == ("matched" if similarity >= least else "mismatched")


@given(st.floats(0, 100), st.floats(0, 100))
@example(69.9999999, 70.0)
@example(0.0, 5e-324)
def test_the_numbers_told_bear_the_decision_out(similarity: float, least: float) -> None:
    """They are told as they are, unrounded: nobody reads that 70 is below 70."""
    message = decide(Answer("Success", "", similarity=similarity), least, NOON).message
    assert (message is None) == (similarity >= least)
    if message is not None:
        shown = re.fullmatch(r"similarity (\S+) is below MIN_SIMILARITY (\S+)", message)
        assert shown is not None
        assert (float(shown[1]), float(shown[2])) == (similarity, least)


@pytest.mark.parametrize("family", ["FailedOperation", "InternalError"])
@pytest.mark.parametrize("similarity", [None, 12.5, 99.0])
def test_the_apis_own_low_similarity_is_a_mismatch(family: str, similarity: float | None) -> None:
    """Whatever number stands beside it, and told with the API's code."""
    code = f"{family}.CompareLowSimilarity"
    assert decide(Answer(code, "too low", similarity=similarity), 0, NOON) == Decision(
        NOON, "mismatched", code, "too low", similarity
    )


@pytest.mark.parametrize("code", [code for code in CODES if code != "Success"])
def test_an_answers_outcome_is_its_codes(code: str) -> None:
    """The code is passed through; a similarity is told with verdicts only."""
    decision = decide(Answer(code, "as the API says", similarity=50.0), 70, NOON)
    assert (decision.outcome, decision.code) == (code_row(code).outcome, code)
    assert decision.message == "as the API says"
    assert decision.similarity == (50.0 if code_row(code).klass == "verdict" else None)


@pytest.mark.parametrize("code", ["FailedOperation.BrandNew", "", "None", "Livepair.BrandNew", "é"])
def test_a_code_that_nobody_knows_is_failed_and_told(code: str) -> None:
    """It is never a crash."""
    assert decide(Answer(code, ""), 70, NOON) == Decision(NOON, "failed", code, code_row(code).says)


def test_without_words_of_the_apis_the_tables_are_told() -> None:
    """A reason always says something."""
    assert decide(Answer("FailedOperation.ImageBlur", ""), 70, NOON).message == "the image is blurred"


def test_a_success_without_similarity_is_never_decided() -> None:
    """It has a code of its own before it gets here; guessing either outcome would be wrong."""
    with pytest.raises(ValueError, match=r"^a Success without similarity is Livepair\.NoSimilarity$"):
        decide(Answer("Success", ""), 70, NOON)
    assert decide(Answer("Livepair.NoSimilarity", ""), 70, NOON).outcome == "failed"


# --- without a call -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "image", "code"),
    [
        (1, 1, None),
        (100, 50, None),
        (0, 1, "Livepair.LiveEmpty"),
        (101, 1, "Livepair.LiveTooLarge"),
        (1, 0, "Livepair.ImageEmpty"),
        (1, 51, "Livepair.ImageTooLarge"),
        (0, 0, "Livepair.LiveEmpty"),
        (101, 0, "Livepair.LiveTooLarge"),
    ],
)
def test_what_is_empty_or_too_large_is_rejected_without_a_call(
    live: int, image: int, code: str | None
) -> None:
    """The limit itself still fits; with both unfit the live package is told, which is retaken first."""
    seen = SEEN._replace(live=LIVE._replace(size=live), image=IMAGE._replace(size=image))
    decision = unfit(seen, settings(MAX_LIVE_BYTES="100", MAX_IMAGE_BYTES="50"), NOON)
    assert (decision and decision.code) == code
    if decision:
        assert decision.outcome == "rejected"
        assert decision.similarity is None


def test_what_is_too_large_is_told_with_its_size_and_limit() -> None:
    """An operator sees at once whether the limit or the upload is wrong."""
    decision = unfit(SEEN, settings(MAX_IMAGE_BYTES="40000"), NOON)
    assert decision is not None
    assert decision.message == "40213 bytes are more than MAX_IMAGE_BYTES, 40000"
    decision = unfit(SEEN, settings(MAX_LIVE_BYTES="40000"), NOON)
    assert decision is not None
    assert decision.message == "183204 bytes are more than MAX_LIVE_BYTES, 40000"


@pytest.mark.parametrize(
    ("role", "size", "age", "code"),
    [
        ("live", 1, timedelta(), "Livepair.LiveArchived"),
        ("live", 1, timedelta(days=1) - MOMENT, "Livepair.LiveArchived"),
        ("live", 1, timedelta(days=1), None),
        ("live", 0, timedelta(), "Livepair.LiveEmpty"),
        ("image", 1, timedelta(hours=1), "Livepair.ImageArchived"),
        ("image", 1, timedelta(days=2), None),
    ],
)
def test_what_its_uploader_archived_is_rejected_without_a_call(
    role: Role, size: int, age: timedelta, code: str | None
) -> None:
    """A lifecycle rule archives nothing within a day; what is older one may have archived."""
    stored = SEEN.upload(role)
    assert stored is not None
    archived = stored._replace(archived=True, size=size)
    seen = SEEN._replace(live=archived) if role == "live" else SEEN._replace(image=archived)
    decision = unfit(seen, settings(), stored.uploaded_at + age)
    assert (decision and decision.code) == code
    assert decision is None or (decision.outcome, decision.at) == ("rejected", SEEN.newest)


def test_what_is_empty_is_told_in_the_tables_words() -> None:
    """Whichever half it is, and also where the other one is not there."""
    for seen in (SEEN, SEEN._replace(live=None)):
        decision = unfit(seen._replace(image=IMAGE._replace(size=0)), settings(), NOON)
        assert decision is not None
        assert decision.message == "the image is empty; not sent to the API"


@pytest.mark.parametrize(
    ("seen", "code", "at"),
    [
        (SEEN._replace(live=None), "Livepair.LiveMissing", IMAGE.uploaded_at),
        (SEEN._replace(image=None), "Livepair.ImageMissing", LIVE.uploaded_at),
    ],
)
def test_half_a_pair_is_told_as_of_its_timeout(seen: Seen, code: str, at: datetime) -> None:
    """The time is counted from the upload, so that whoever decides it writes the same body."""
    at += timedelta(hours=1)
    assert incomplete(seen, 3600) == Decision(at, "incomplete", code, code_row(code).says)


def test_what_cos_never_showed_is_told_after_a_day() -> None:
    """Counted from the upload, with the words of whoever refused it."""
    at = NOON + timedelta(days=1)
    assert unreadable(NOON, "why") == Decision(at, "failed", "Livepair.UploadUnreadable", "why")


# --- the body -------------------------------------------------------------------------------------

ID = "0123456789abcdef0123456789abcdef"
WHICH = Verification(ID, 1, "42")
FRAME = Frame(BUCKET, f"livepair/best-frames/42/{ID}.jpg", "c" * 32)
CALLED = Called(Answer("Success", "", request_id="req-1"), "ap-singapore", 1, 1)
MATCHED = Decision(NOON, "matched", None, None, 96.3)


def test_the_body_of_a_match_is_exactly_this() -> None:
    """Byte for byte: consumers have it in their tests, and every attempt is to send the same."""
    made = body(SEEN, WHICH, MATCHED, settings(), CALLED._replace(frame=FRAME))
    assert made == (
        f'{{"id":"msg_{ID}","type":"verification.matched","timestamp":"2026-11-22T12:00:00Z","version":1,'
        f'"data":{{"verification_id":"{ID}","run":1,"outcome":"matched","pair":{{"id":"42"}},'
        '"similarity":96.3,"min_similarity":70.0,"reason":null,'
        f'"live":{{"bucket":"faces-1250000000","key":"uploads/42/live.gz","md5":"{"a" * 32}","size":183204,'
        '"uploaded_at":"2026-11-22T11:59:51Z"},'
        f'"image":{{"bucket":"faces-1250000000","key":"uploads/42/image.jpg","md5":"{"b" * 32}","size":40213,'
        '"uploaded_at":"2026-11-22T11:59:55Z"},'
        f'"best_frame":{{"bucket":"faces-1250000000","key":"livepair/best-frames/42/{ID}.jpg",'
        f'"md5":"{"c" * 32}"}},'
        '"api":{"request_id":"req-1","region":"ap-singapore","code":"Success","calls":1}}}'
    )


def test_the_body_of_half_a_pair_has_null_for_what_is_not_there() -> None:
    """No half, no frame, no call: the fields are there all the same."""
    half = SEEN._replace(image=None)
    found = json.loads(body(half, WHICH, incomplete(half, 3600), settings(), None))
    assert found["type"] == "verification.incomplete"
    assert found["timestamp"] == "2026-11-22T12:59:51Z"
    data = found["data"]
    assert (data["image"], data["best_frame"], data["api"], data["similarity"]) == (None, None, None, None)
    assert data["live"]["key"] == "uploads/42/live.gz"
    assert data["reason"] == {
        "code": "Livepair.ImageMissing",
        "category": "missing",
        "message": "no image came in PAIR_TIMEOUT",
        "advice": "upload_missing",
    }


METADATA = (("attempt", "3"), ("device", "甲 <b>"), ("long", "é" * 128), ("longer", "é" * 128 + "."))


def test_metadata_is_told_by_the_names_that_are_asked_for() -> None:
    """Last of an upload's fields, in the settings' order and spelling; each half has its own."""
    seen = SEEN._replace(live=LIVE._replace(metadata=METADATA))
    asked = settings(PASS_METADATA="Device,missing,ATTEMPT")
    made = body(seen, WHICH, MATCHED, asked, CALLED)
    assert '"uploaded_at":"2026-11-22T11:59:51Z","metadata":{"Device":"甲 <b>","ATTEMPT":"3"}}' in made
    assert json.loads(made)["data"]["image"]["metadata"] == {}
    half = seen._replace(image=None)
    told = json.loads(body(half, WHICH, incomplete(half, 3600), asked, None))["data"]
    assert (told["live"]["metadata"]["ATTEMPT"], told["image"]) == ("3", None)


def test_metadata_that_is_too_long_is_left_out() -> None:
    """256 bytes of UTF-8 are told; of more a part would be another value."""
    seen = SEEN._replace(live=LIVE._replace(metadata=METADATA))
    told = json.loads(body(seen, WHICH, MATCHED, settings(PASS_METADATA="long,longer"), CALLED))
    assert told["data"]["live"]["metadata"] == {"long": "é" * 128}


def test_without_the_setting_no_metadata_is_told() -> None:
    """The body is byte for byte what it is for uploads that have none."""
    seen = SEEN._replace(live=LIVE._replace(metadata=METADATA))
    assert body(seen, WHICH, MATCHED, settings(), CALLED) == body(SEEN, WHICH, MATCHED, settings(), CALLED)


@pytest.mark.parametrize("code", [*(code for code in CODES if code != "Success"), "FailedOperation.BrandNew"])
def test_every_code_gives_a_whole_reason(code: str) -> None:
    """Category and advice are the table's; a code that nobody knows is the service's, to be tried later."""
    row = code_row(code)
    found = json.loads(body(SEEN, WHICH, Decision(NOON, row.outcome, code), settings(), CALLED))["data"]
    assert found["outcome"] == row.outcome
    assert found["reason"] == {
        "code": code,
        "category": row.category,
        "message": row.says,
        "advice": row.advice,
    }
    assert None not in found["reason"].values()


def test_the_body_holds_every_placeholder_in_live_keys_order() -> None:
    """`pair` is the application's own reference."""
    found = json.loads(
        body(Seen(SHARED, BUCKET, LIVE, IMAGE), WHICH, Decision(NOON, "failed", "x"), settings(), None)
    )
    assert list(found["data"]["pair"].items()) == [("user", "ann"), ("attempt", "3")]


def test_the_body_is_utf_8_without_escapes() -> None:
    """A key in any script can be read and searched for in the message."""
    seen = SEEN._replace(live=LIVE._replace(key="uploads/张/live.gz"))
    made = body(seen, WHICH, MATCHED, settings(), CALLED)
    assert '"key":"uploads/张/live.gz"' in made


def test_the_body_holds_no_secret_and_no_link() -> None:
    """It is stored and sent for days: nothing in it expires, and nothing opens anything."""
    made = body(SEEN, WHICH, MATCHED, settings(), CALLED._replace(frame=FRAME))
    for forbidden in ("whsec_", "secret-path", "http", "q-signature"):
        assert forbidden not in made


key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(key, key, st.floats(0, 100), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_whatever_uploaders_and_the_api_write_arrives_as_it_is(
    name: str, value: str, similarity: float, says: str
) -> None:
    """Keys, values and words in any script, quotes and line ends included, come out of the JSON unchanged."""
    pair = Pair((("id", value),), (name,), (name,), shared=False)
    seen = Seen(pair, BUCKET, LIVE._replace(key=name), None)
    decision = Decision(NOON, "mismatched", "Livepair.BelowMinSimilarity", says, similarity)
    found = json.loads(body(seen, WHICH, decision, settings(), CALLED).encode().decode())["data"]
    assert found["pair"] == {"id": value}
    assert found["live"]["key"] == name
    assert found["similarity"] == similarity
    assert found["reason"]["message"] == (says or code_row("Livepair.BelowMinSimilarity").says)


def test_a_time_is_told_in_whole_seconds() -> None:
    """RFC 3339 in UTC; fractions are cut."""
    assert timestamp(NOON.replace(microsecond=999_999)) == "2026-11-22T12:00:00Z"


@pytest.mark.parametrize("hours", [-12, -3.5, 0, 5.75, 8, 14])
def test_a_time_of_another_zone_is_told_in_utc(hours: float) -> None:
    """`Z` is true of every time that is told."""
    assert timestamp(NOON.astimezone(timezone(timedelta(hours=hours)))) == "2026-11-22T12:00:00Z"
