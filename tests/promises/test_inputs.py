"""What may come in: keys, events and uploads of every kind, and what is refused in words.

How events, keys and settings are read is held by tests/rules; here a few of each go the whole way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from handler import index
from handler.rules.events import EventError
from handler.rules.settings import SettingsError
from tests.cloud import samples
from tests.cloud.faceid import COMPARE
from tests.support.harness import IMAGE, LIVE, SWEEP, Livepair, lines

Configured = Callable[..., Livepair]
Event = dict[str, Any]

VALUES = [
    "a b",
    " lead and trail ",
    "a+b",
    "100%",
    "a%20b",
    "a%2Fb",
    "%2e%2e",
    "申请 0042",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "🙂",
    "a?b#c",
    "<&>'\"",
    "{id}",
    "a,b;c=d",
    "~",
    "back\\slash",
    "two\nlines",
    "\x01",
    ".",
    "..",
    "...",
    "a..b",
]
"""Of placeholders: what has to be escaped somewhere on its way, or looks as if it were."""


def told_ids(livepair: Livepair) -> list[str]:
    """The pairs that were told, in order, each with the keys that it has."""
    ids = []
    for message in livepair.messages:
        data = message["data"]
        assert data["live"]["key"] == f"uploads/{data['pair']['id']}/live.gz"
        assert data["image"]["key"] == f"uploads/{data['pair']['id']}/image.jpg"
        ids.append(data["pair"]["id"])
    return ids


def spelled(event: Event, key: str, url: str) -> Event:
    """The same event with the object's key and the URL's path spelled otherwise."""
    found = copy.deepcopy(event)
    stored = found["Records"][0]["cos"]["cosObject"]
    stored["key"] = f"/1250000000/faces/{key}"
    stored["url"] = f"http://faces-1250000000.cos.ap-singapore.myqcloud.com/{url}"
    return found


# --- keys --------------------------------------------------------------------------------------------


def test_a_value_may_hold_any_character_but_a_slash(configured: Configured) -> None:
    """Both uploads are found, judged once, told under their keys, and they alone are deleted."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.cloud.faceid.limits[COMPARE] = 1000
    livepair.put("uploads/other/live.gz", samples.live(seed=7))
    livepair.drop()
    for number, value in enumerate(VALUES):
        livepair.put_pair(samples.live(seed=number), name=value)
    assert livepair.run() == ["matched"] * len(VALUES)
    assert told_ids(livepair) == VALUES
    assert livepair.bucket.keys("uploads/") == ["uploads/other/live.gz"]
    assert livepair.sweep_on() == []
    assert (len(livepair.calls), livepair.state("agenda/")) == (len(VALUES), [])


def test_reconcile_finds_a_key_with_any_character(livepair: Livepair) -> None:
    """Events lost, the walk over the bucket finds the pairs under the keys that they have."""
    livepair.cloud.faceid.limits[COMPARE] = 1000
    for number, value in enumerate(VALUES):
        livepair.put_pair(samples.live(seed=number), name=value)
    livepair.events.clear()
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"] * len(VALUES)
    assert sorted(told_ids(livepair)) == sorted(VALUES)


@pytest.mark.parametrize("letter", ["x", "申", "%", "."])
def test_a_key_may_be_as_long_as_cos_allows(configured: Configured, letter: str) -> None:
    """850 bytes, percent-encoded many more; the state's own keys stay within COS's limit too."""
    livepair = configured(LIVE_KEY="uploads/{id}/live.gz", IMAGE_KEY="uploads/{id}/face.jp")
    space = 850 - len("uploads//live.gz")
    size = len(letter.encode())
    value = letter * (space // size) + "x" * (space % size)
    key = f"uploads/{value}/live.gz"
    assert len(key.encode()) == 850
    livepair.put(f"uploads/{value}/face.jp", samples.image())
    livepair.put(key, samples.live())
    assert livepair.run() == ["matched"]
    assert livepair.data["pair"] == {"id": value}
    assert max(len(key.encode()) for key in livepair.bucket.keys("livepair/")) <= 850


def test_an_upload_whose_partner_cannot_exist_is_told_incomplete(livepair: Livepair) -> None:
    """The live key has 850 bytes, its image's would have more: it ends like any that has no partner."""
    value = "x" * (850 - len("uploads//live.gz"))
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    livepair.run()
    assert livepair.finish() == ["incomplete"]


def test_several_placeholders_name_the_pair(configured: Configured) -> None:
    """In segments and parts of them, in another order in the image's key, beside `//` and as dots."""
    livepair = configured(
        LIVE_KEY="uploads//{tenant}/{year}-{id}/live.gz", IMAGE_KEY="faces/{id}/{tenant}.{year}.jpg"
    )
    livepair.put("faces/7/acme.2026.jpg", samples.image())
    livepair.put("uploads/acme/2026-7/live.gz", samples.live(seed=1))
    livepair.put("uploads//acme/2026-7/live.gz", samples.live(seed=2))
    livepair.put("faces/../ajax.2026.jpg", samples.image())
    livepair.put("uploads//ajax/2026-../live.gz", samples.live())
    assert livepair.run() == ["matched", "matched"]
    assert [list(message["data"]["pair"].items()) for message in livepair.messages] == [
        [("tenant", "acme"), ("year", "2026"), ("id", "7")],
        [("tenant", "ajax"), ("year", "2026"), ("id", "..")],
    ]
    assert livepair.messages[0]["data"]["live"]["key"] == "uploads//acme/2026-7/live.gz"


def test_an_ambiguous_key_fails_and_names_key_and_template(configured: Configured) -> None:
    """Ann's attempt `lee-1` is not judged against the face of `ann-lee`: no guess, no outcome, no call."""
    livepair = configured(LIVE_KEY="uploads/{user}-{attempt}.gz", IMAGE_KEY="faces/{user}.jpg")
    for user in ("ann", "ann-lee"):
        livepair.put(f"faces/{user}.jpg", samples.image())
    livepair.run()
    livepair.put("uploads/ann-lee-1.gz", samples.live())
    with pytest.raises(ValueError, match="two readings") as caught:
        livepair.run()
    for part in ("uploads/ann-lee-1.gz", "uploads/{user}-{attempt}.gz", "'ann-lee'", "'lee-1'"):
        assert part in str(caught.value)
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == []
    assert livepair.calls == []
    assert livepair.state("claims/") == livepair.state("records/") == livepair.state("agenda/") == []


def test_a_key_whose_partners_key_is_ambiguous_fails(configured: Configured) -> None:
    """Its own reading is certain; whose image it would be judged against is not."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}.gz", IMAGE_KEY="faces/{user}-{attempt}.jpg")
    livepair.put("uploads/ann-lee/1.gz", samples.live())
    with pytest.raises(ValueError, match="no certain partner") as caught:
        livepair.run()
    assert "faces/{user}-{attempt}.jpg" in str(caught.value)
    assert livepair.state() == []


def test_reconcile_goes_on_behind_an_ambiguous_key(configured: Configured, capsys: Any) -> None:
    """It is logged, and the pairs after it are judged."""
    livepair = configured(LIVE_KEY="uploads/{a}-{b}.gz", IMAGE_KEY="faces/{b}-{a}.jpg")
    livepair.put("uploads/a-b-c.gz", samples.live())
    livepair.put("uploads/x-y.gz", samples.live())
    livepair.put("faces/y-x.jpg", samples.image())
    livepair.drop(3)
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]
    (line,) = lines(capsys, "ambiguous_key")
    assert (line["level"], line["key"]) == ("ERROR", "uploads/a-b-c.gz")


def test_of_several_alternatives_the_newest_counts(configured: Configured) -> None:
    """Whatever its place in the setting; an older one that is there as well is not looked at."""
    livepair = configured(IMAGE_KEY="uploads/{id}/image.jpg, uploads/{id}/image.png")
    livepair.put("uploads/1/image.jpg", samples.image("blur"))
    livepair.put("uploads/2/image.png", samples.image("blur", format="png"))
    livepair.drop(2)
    livepair.cloud.clock.advance(10)
    livepair.put("uploads/1/image.png", samples.image(format="png"))
    livepair.put("uploads/2/image.jpg", samples.image())
    livepair.cloud.clock.advance(10)
    for number in "12":
        livepair.put(f"uploads/{number}/live.gz", samples.live())
    assert livepair.run() == ["matched", "matched"]
    assert [message["data"]["image"]["key"] for message in livepair.messages] == [
        "uploads/1/image.png",
        "uploads/2/image.jpg",
    ]


def test_a_newer_alternative_is_a_new_verification(configured: Configured) -> None:
    """The person sends a better picture in another format after a rejection."""
    livepair = configured(IMAGE_KEY="uploads/{id}/image.jpg,uploads/{id}/image.png")
    livepair.put("uploads/1/live.gz", samples.live())
    livepair.put("uploads/1/image.jpg", samples.image("blur"))
    assert livepair.run() == ["rejected"]
    livepair.cloud.clock.advance(10)
    livepair.put("uploads/1/image.png", samples.image(format="png"))
    assert livepair.run() == ["matched"]
    assert [message["data"]["image"]["key"] for message in livepair.messages] == [
        "uploads/1/image.jpg",
        "uploads/1/image.png",
    ]


def test_a_shared_image_may_have_alternatives(configured: Configured) -> None:
    """Live packages that wait are served by whichever comes, and no mark is left behind."""
    livepair = configured(LIVE_KEY="uploads/{user}/{n}.gz", IMAGE_KEY="faces/{user}.jpg,faces/{user}.png")
    livepair.put("uploads/u/1.gz", samples.live(seed=1))
    livepair.put("uploads/u/2.gz", samples.live(seed=2))
    livepair.put("uploads/someone/1.gz", samples.live(seed=3))
    assert livepair.run() == []
    assert len(livepair.state("waiting/")) == 6
    livepair.put("faces/u.png", samples.image(format="png"))
    assert livepair.run() == ["matched", "matched"]
    assert len(livepair.state("waiting/")) == 2
    assert len(livepair.calls) == 2


# --- events ------------------------------------------------------------------------------------------


def test_a_percent_encoded_key_is_found_through_the_url(livepair: Livepair) -> None:
    """Nobody documents which of the two spellings is encoded: the raw one first, then the URL's."""
    values = [" ", "+", "%", "申请"]
    for value in values:
        for event in livepair.put_pair(name=value):
            key = event["Records"][0]["cos"]["cosObject"]["key"].removeprefix("/1250000000/faces/")
            livepair.events[livepair.events.index(event)] = spelled(event, quote(key), quote(key))
    assert livepair.run() == ["matched"] * len(values)
    assert told_ids(livepair) == values
    assert livepair.sweep_on() == []
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize("url", ["uploads/a%2520b/live.gz", "uploads/a%20b/live.gz"])
def test_a_key_that_holds_a_percent_sign_is_taken_as_it_is(livepair: Livepair, url: str) -> None:
    """`a%20b` is the key; the URL, encoded once or not at all, changes nothing."""
    livepair.put_pair(name="a%20b")
    livepair.events[-1] = spelled(livepair.events[-1], "uploads/a%20b/live.gz", url)
    assert livepair.run() == ["matched"]
    assert told_ids(livepair) == ["a%20b"]
    assert livepair.sweep_on() == []


@pytest.mark.parametrize("shape", ["new", "old"])
def test_events_of_both_shapes_are_understood(livepair: Livepair, shape: Any) -> None:
    """Before 2021 they named neither the long region nor the ETag."""
    livepair.bucket.event_shape = shape
    assert livepair.pair() == ["matched"]


@pytest.mark.parametrize("known", ["event", "environment"])
def test_the_region_is_the_events_else_the_functions_own(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """Only one of them tells it: the API is called in the right region all the same."""
    for event in livepair.put_pair():
        found = event["Records"][0]["cos"]
        if known == "environment":
            found["cosBucket"] |= {"s3Region": "", "cosRegion": "", "region": "?"}
            del found["cosObject"]["url"]
    if known == "event":
        monkeypatch.delenv("TENCENTCLOUD_REGION")
    assert livepair.run() == ["matched"]
    assert {call.region for call in livepair.cloud.faceid.calls} == {"ap-singapore"}


@pytest.mark.parametrize("time", [None, 1, 1_900_000_000])
def test_an_event_without_a_usable_time_is_taken_as_it_comes(livepair: Livepair, time: object) -> None:
    """None, or one far off in either direction."""
    for event in livepair.put_pair():
        event["Records"][0]["event"]["eventTime"] = time
    assert livepair.run() == ["matched"]


def test_several_records_are_all_handled(livepair: Livepair) -> None:
    """Two pairs in one event: two outcomes in one summary."""
    for number in "12":
        livepair.put_pair(name=number)
    merged = {"Records": [record for event in livepair.events for record in event["Records"]]}
    assert livepair.handle(merged) == {"outcomes": ["matched", "matched"]}
    assert len(livepair.calls) == 2


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_that_fails_leaves_the_others_their_turn(livepair: Livepair, place: int) -> None:
    """Wherever it stands; then it is raised, the first of two."""
    records = [record for event in livepair.put_pair() for record in event["Records"]]
    wrong = copy.deepcopy(records[0])
    wrong["cos"]["cosBucket"]["name"] = "strangers"
    wrong["cos"]["cosObject"]["key"] = f"/1250000000/strangers/{LIVE}"
    records.insert(place, wrong)
    records.append("no record")
    with pytest.raises(EventError, match="strangers-1250000000"):
        livepair.handle({"Records": records})
    assert livepair.data["outcome"] == "matched"


# --- what an upload may be ---------------------------------------------------------------------------


def test_a_multipart_upload_is_judged_by_the_md5_of_its_bytes(livepair: Livepair) -> None:
    """In parts through the COS SDK: its ETag is no MD5, so the object is read through once."""
    livepair.bucket.min_part_size = 10
    data = samples.live()
    uploader, name = livepair.cloud.uploader, livepair.cloud.bucket
    livepair.put(IMAGE, samples.image())
    started = uploader.create_multipart_upload(Bucket=name, Key=LIVE)
    parts = [
        {
            "PartNumber": number,
            "ETag": uploader.upload_part(name, LIVE, piece, number, started["UploadId"])["ETag"],
        }
        for number, piece in enumerate((data[:40], data[40:]), 1)
    ]
    uploader.complete_multipart_upload(name, LIVE, started["UploadId"], {"Part": parts})
    assert livepair.events[-1]["Records"][0]["event"]["eventName"].endswith("CompleteMultipartUpload")
    assert livepair.run() == ["matched"]
    assert livepair.bucket.get(LIVE).etag.endswith("-2")
    assert livepair.data["live"]["md5"] == livepair.bucket.get(LIVE).md5
    livepair.put(LIVE, data)
    assert livepair.run() == []
    assert len(livepair.calls) == 1


@pytest.mark.parametrize(("encryption", "reads"), [("cos/kms", [IMAGE, LIVE]), ("AES256", [])])
def test_an_encrypted_upload_is_judged_by_the_md5_of_its_bytes(
    livepair: Livepair, encryption: str, reads: list[str]
) -> None:
    """The ETag of an object that KMS encrypts looks like an MD5 and is none."""
    headers = {"x-cos-server-side-encryption": encryption}
    livepair.bucket.put(IMAGE, samples.image(), headers)
    livepair.bucket.put(LIVE, samples.live(), headers)
    livepair.drop()
    assert livepair.run() == ["matched"]
    assert livepair.data["image"]["md5"] == livepair.bucket.get(IMAGE).md5
    assert sorted(livepair.read()) == reads


A_DAY = 86_400.0
"""Seconds, after which a lifecycle rule may have archived an object."""


@pytest.mark.parametrize(("kind", "key"), [("ARCHIVE", LIVE), ("DEEP_ARCHIVE", IMAGE), ("MAZ_ARCHIVE", LIVE)])
def test_an_archived_upload_waits_to_be_restored(
    livepair: Livepair, capsys: Any, kind: str, key: str
) -> None:
    """A rule archived it: no call is made, the log says what to do, and once restored it is judged."""
    livepair.put_pair()
    livepair.cloud.clock.advance(A_DAY)
    livepair.bucket.archive(key, kind)
    assert livepair.run() == []
    assert any("restore" in line.get("said", "") for line in lines(capsys, "pair"))
    for _ in range(5):
        assert livepair.due() == []
    assert livepair.asked == []
    livepair.bucket.archive(key, "STANDARD")
    assert livepair.finish() == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_an_archived_upload_that_is_not_restored_fails_after_a_day(livepair: Livepair) -> None:
    """Once, without a call; the message names the object and says what to do."""
    livepair.put_pair()
    livepair.cloud.clock.advance(A_DAY)
    livepair.bucket.archive(LIVE)
    assert livepair.run() == []
    assert livepair.finish() == ["failed"]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["category"], reason["advice"]) == (
        "Livepair.UploadUnreadable",
        "configuration",
        "fix_configuration",
    )
    assert LIVE in reason["message"]
    assert "restore" in reason["message"]
    assert livepair.data["api"]["calls"] == len(livepair.asked) == 0


@pytest.mark.parametrize(
    ("role", "kind", "category", "advice"),
    [
        ("live", "ARCHIVE", "capture", "retake_live"),
        ("live", "DEEP_ARCHIVE", "capture", "retake_live"),
        ("image", "ARCHIVE", "image", "replace_image"),
    ],
)
def test_an_upload_whose_uploader_chose_an_archive_is_rejected_at_once(
    livepair: Livepair, role: str, kind: str, category: str, advice: str
) -> None:
    """By a header of the PUT: no call, nothing stays, and other bytes are judged."""
    livepair.put_pair()
    livepair.drop(2)
    key, data = (LIVE, samples.live()) if role == "live" else (IMAGE, samples.image())
    livepair.cloud.uploader.put_object(livepair.cloud.bucket, data, key, StorageClass=kind)
    assert livepair.run() == ["rejected"]
    reason = livepair.data["reason"]
    assert (reason["category"], reason["advice"]) == (category, advice)
    assert reason["code"] == f"Livepair.{role.capitalize()}Archived"
    assert livepair.data["api"] is None
    assert livepair.asked == []
    assert livepair.sweep_on() == []
    assert livepair.state("agenda/") == []
    livepair.put(key, data + b" ")
    assert len(livepair.run()) == 1
    assert len(livepair.asked) == 1


LIMITS = {"MAX_LIVE_BYTES": "1000", "MAX_IMAGE_BYTES": "2000"}


@pytest.mark.parametrize(
    ("live", "image", "code", "advice"),
    [
        (0, 2000, "Livepair.LiveEmpty", "retake_live"),
        (1000, 0, "Livepair.ImageEmpty", "replace_image"),
        (1001, 2000, "Livepair.LiveTooLarge", "retake_live"),
        (1000, 2001, "Livepair.ImageTooLarge", "replace_image"),
    ],
)
def test_sizes_are_checked_to_the_byte_before_any_call(
    configured: Configured, live: int, image: int, code: str, advice: str
) -> None:
    """A byte more than MAX_… is rejected; and there is one message, whatever is repeated."""
    livepair = configured(**LIMITS)
    events = livepair.put_pair(b"v" * live, b"i" * image)
    assert livepair.run() == ["rejected"]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["advice"]) == (code, advice)
    assert livepair.data["api"] is None
    for event in events:
        assert livepair.handle(event) == {"outcomes": []}
    assert livepair.sweep_on() == []
    assert livepair.state("agenda/") == []
    assert livepair.asked == []
    assert len(livepair.cloud.consumer.attempts) == 1


def test_what_is_exactly_as_large_as_allowed_is_judged(configured: Configured) -> None:
    """The API hears of it, whatever it makes of such bytes."""
    livepair = configured(**LIMITS)
    assert livepair.pair(b"v" * 1000, b"i" * 2000) == ["rejected"]
    assert len(livepair.calls) == 1


@pytest.mark.parametrize("key", [LIVE, IMAGE])
def test_an_oversized_multipart_upload_is_not_read_through(configured: Configured, key: str) -> None:
    """It is refused by its size alone; its MD5 stays unknown."""
    livepair = configured(**LIMITS)
    livepair.put_pair()
    livepair.drop(2)
    livepair.bucket.put_synthetic(key, 40_000_000_000)
    assert livepair.run() == ["rejected"]
    half = livepair.data["live" if key == LIVE else "image"]
    assert (half["md5"], half["size"]) == (None, 40_000_000_000)
    assert livepair.read() == []
    assert livepair.calls == []


def test_half_a_pair_of_an_oversized_upload_ends_incomplete(configured: Configured) -> None:
    """Without its partner it is a missing half; it is not read through for that either."""
    livepair = configured(**LIMITS)
    livepair.bucket.put_synthetic(LIVE, 40_000_000_000)
    assert livepair.run() == []
    assert livepair.finish() == ["incomplete"]
    assert livepair.read() == []


# --- what is ignored ---------------------------------------------------------------------------------


def test_what_is_no_upload_is_ignored_with_one_line(livepair: Livepair, capsys: Any) -> None:
    """Removals, restores, keys of no template, state, placeholders of folders, the console's sample."""
    livepair.put(LIVE, samples.live())
    upload = livepair.events.pop()
    ignored = []
    for name in ("cos:ObjectRemove:Delete", "cos:ObjectRestore:Completed"):
        event = copy.deepcopy(upload)
        event["Records"][0]["event"]["eventName"] = name
        ignored.append((event, LIVE))
    for key in ("uploads/42/other.txt", "uploads/42/7/live.gz", "livepair/records/42/x.json", "uploads/42/"):
        ignored.append((spelled(upload, key, key), key))
    sample = copy.deepcopy(upload)
    sample["Records"][0]["cos"]["cosBucket"] = {"region": "gz", "name": "testpic", "appid": "1253970026"}
    sample["Records"][0]["cos"]["cosObject"]["key"] = "/1253970026/testpic/testfile"
    ignored.append((sample, "testfile"))
    livepair.forget()
    for event, key in ignored:
        capsys.readouterr()
        assert livepair.handle(event) == {"outcomes": []}
        line, invocation = lines(capsys)
        assert (line["event"], line["level"], invocation["event"]) == ("ignored", "INFO", "invocation")
        assert line["reason"]
        assert line["key"].endswith(key)
    assert livepair.requests() == []
    assert livepair.state() == []


def test_the_functions_own_state_wakes_it_in_vain(configured: Configured, capsys: Any) -> None:
    """Should the trigger be set to the whole bucket, events of state objects end at once."""
    livepair = configured(STATE_PREFIX="uploads-state/")
    events: list[Event] = []
    livepair.cloud.cos.on_event.append(events.append)
    assert livepair.pair() == ["matched"]
    own = [each for each in events if "/uploads-state/" in each["Records"][0]["cos"]["cosObject"]["key"]]
    assert own
    capsys.readouterr()
    livepair.forget()
    for event in own:
        assert livepair.handle(event) == {"outcomes": []}
    assert livepair.requests() == []
    assert len(lines(capsys, "ignored")) == len(own)


# --- errors ------------------------------------------------------------------------------------------


def test_another_event_says_what_was_expected_and_what_came(livepair: Livepair) -> None:
    """Nothing is done for it."""
    with pytest.raises(EventError, match="expected a COS event") as caught:
        livepair.handle({"httpMethod": "POST", "headers": {"Authorization": "x"}, "body": ""})
    assert "httpMethod" in str(caught.value)
    assert livepair.requests() == []


def test_a_record_of_another_shape_says_what_is_missing(livepair: Livepair) -> None:
    """By the field's name."""
    (event, _) = livepair.put_pair()
    del event["Records"][0]["cos"]["cosBucket"]["appid"]
    with pytest.raises(EventError, match=r"cosBucket\.appid"):
        livepair.handle(event)
    assert livepair.requests() == []


def test_an_upload_to_another_bucket_is_refused(livepair: Livepair) -> None:
    """It says which came, which is set, and what to do."""
    livepair.put(LIVE, samples.live())
    event = livepair.events.pop()
    event["Records"][0]["cos"]["cosBucket"]["name"] = "strangers"
    event["Records"][0]["cos"]["cosObject"]["key"] = f"/1250000000/strangers/{LIVE}"
    with pytest.raises(EventError) as caught:
        livepair.handle(event)
    for part in ("strangers-1250000000", "BUCKET is faces-1250000000", "one function for each bucket"):
        assert part in str(caught.value)
    assert livepair.requests() == []


def test_regions_that_disagree_are_refused(livepair: Livepair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named."""
    livepair.put(LIVE, samples.live())
    monkeypatch.setenv("TENCENTCLOUD_REGION", "ap-bangkok")
    with pytest.raises(SettingsError, match=r"ap-singapore.*ap-bangkok.*deploy it in the bucket's region"):
        livepair.run()
    assert livepair.requests() == []


@pytest.mark.parametrize("tick", [False, True])
def test_a_region_without_the_api_is_refused_with_the_list(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, tick: bool
) -> None:
    """For uploads and for the timer, every time again."""
    livepair.put(LIVE, samples.live())
    (event,) = livepair.events
    bucket = event["Records"][0]["cos"]["cosBucket"]
    bucket |= {"region": "gz", "cosRegion": "ap-guangzhou", "s3Region": "ap-guangzhou"}
    monkeypatch.setenv("TENCENTCLOUD_REGION", "ap-guangzhou")
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            livepair.handle(SWEEP if tick else event)
        for part in ("ap-guangzhou", "ap-bangkok, ap-hongkong, ap-singapore", "not offered"):
            assert part in str(caught.value)
    assert livepair.requests() == []


def test_no_region_at_all_is_said(livepair: Livepair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer's event names none."""
    monkeypatch.delenv("TENCENTCLOUD_REGION")
    with pytest.raises(SettingsError, match="no region is known"):
        livepair.sweep()


@pytest.mark.parametrize("missing", ["TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"])
def test_missing_credentials_ask_for_a_role(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """For uploads and for the timer."""
    livepair.put(LIVE, samples.live())
    for name in ("SECRETID", "SECRETKEY", "SESSIONTOKEN"):
        monkeypatch.setenv(f"TENCENTCLOUD_{name}", "something")
    monkeypatch.setenv(missing, " ")
    for event in (livepair.events[0], SWEEP):
        with pytest.raises(SettingsError, match="give the function a role"):
            index.main_handler(event, {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.requests() == []


def test_wrong_settings_are_all_named_at_once_and_hold_no_secret(configured: Configured, capsys: Any) -> None:
    """Every invocation fails with the same list, and nothing secret is in it or in the log."""
    livepair = configured(
        WEBHOOK_URL="http://hooks.example.com/path-of-the-hook?key=query-of-the-hook",
        WEBHOOK_SECRET="whsec_not*base64 c2VjcmV0LXdpdGhvdXQtcHJlZml4",
        LIVE_KEY="{id}/live.gz",
        MIN_SIMILARITY="101",
    )
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            livepair.handle(SWEEP)
        text = str(caught.value)
        for name in ("WEBHOOK_URL", "WEBHOOK_SECRET", "LIVE_KEY", "MIN_SIMILARITY"):
            assert f"- {name}: " in text
        said = text + capsys.readouterr().out
        for secret in ("not*base64", "c2VjcmV0", "path-of-the-hook", "query-of-the-hook"):
            assert secret not in said
