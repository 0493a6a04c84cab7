"""What may come in: keys and events of every kind, uploads of every kind, and what is refused in words."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

import pytest

from handler import index
from handler.edges.bucket import CosError
from handler.rules.events import EventError
from handler.rules.settings import SettingsError
from tests.cloud import samples
from tests.cloud.cos_store import Bucket
from tests.cloud.faceid import COMPARE
from tests.cloud.faults import Operation, refuse
from tests.support.harness import Livepair

Configured = Callable[..., Livepair]
Event = dict[str, Any]

LIVE, IMAGE = "uploads/42/live.gz", "uploads/42/image.jpg"
DAY = 24 * 60  # minutes

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


def bucket_of(livepair: Livepair) -> Bucket:
    return livepair.cloud.cos.bucket(livepair.cloud.bucket)


def calls(livepair: Livepair) -> int:
    return len([call for call in livepair.cloud.faceid.calls if call.action == COMPARE])


def logged(capsys: pytest.CaptureFixture[str], event: str = "") -> list[dict[str, Any]]:
    """The function's log lines since the last look, those of one event."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if not event or line["event"] == event]


def deny(livepair: Livepair, name: str, key: str) -> None:
    """Take one permission, or those of a pattern, on all keys that begin with `key` from the role."""
    livepair.allowed = lambda asked: (
        not (asked.service == "cos" and fnmatchcase(asked.name, name) and asked.key.startswith(key))
    )


def spelled(event: Event, key: str, url: str) -> Event:
    """The same event with the object's key and the URL's path spelled otherwise."""
    found = copy.deepcopy(event)
    stored = found["Records"][0]["cos"]["cosObject"]
    stored["key"] = f"/1250000000/faces/{key}"
    stored["url"] = f"http://faces-1250000000.cos.ap-singapore.myqcloud.com/{url}"
    return found


def sweep_on(livepair: Livepair, minutes: int = 120, step: int = 20) -> list[str]:
    """Let that much time pass, sweeping. Returns the outcomes reached."""
    outcomes: list[str] = []
    for _ in range(0, minutes, step):
        outcomes += livepair.sweep(step)
    return outcomes


# --- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES)
def test_a_value_may_hold_any_character_but_a_slash(livepair: Livepair, value: str) -> None:
    """Both uploads are found, judged once, and told under the keys that they have."""
    livepair.put(f"uploads/{value}/image.jpg", samples.image())
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    assert livepair.data["pair"] == {"id": value}
    assert livepair.data["live"]["key"] == f"uploads/{value}/live.gz"
    assert livepair.data["image"]["key"] == f"uploads/{value}/image.jpg"
    assert sweep_on(livepair) == []
    assert (calls(livepair), livepair.state("agenda/")) == (1, [])


@pytest.mark.parametrize("value", VALUES)
def test_reconcile_finds_a_key_with_any_character(livepair: Livepair, value: str) -> None:
    """Events lost, the walk over the bucket finds the pair under the keys that it has."""
    livepair.put(f"uploads/{value}/image.jpg", samples.image())
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    livepair.drop(2)
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]
    assert livepair.data["pair"] == {"id": value}


@pytest.mark.parametrize("value", [each for each in VALUES if each != "\x01"])
def test_uploads_with_any_key_are_deleted_when_that_is_wanted(configured: Configured, value: str) -> None:
    """DELETE_UPLOADS=both removes exactly the two uploads that were judged."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.put("uploads/other/live.gz", samples.live(seed=7))
    livepair.drop()
    livepair.put(f"uploads/{value}/image.jpg", samples.image())
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    assert bucket_of(livepair).keys("uploads/") == ["uploads/other/live.gz"]


def test_an_upload_with_a_control_character_is_deleted_when_that_is_wanted(configured: Configured) -> None:
    """The same for a character that XML cannot hold."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.put("uploads/\x01/image.jpg", samples.image())
    livepair.put("uploads/\x01/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    assert bucket_of(livepair).keys("uploads/") == []


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
    assert max(len(key.encode()) for key in bucket_of(livepair).keys("livepair/")) <= 850


def test_long_values_that_begin_alike_are_different_pairs(livepair: Livepair) -> None:
    """What does not fit into a state key is named by a digest of all of it."""
    for last in "ab":
        value = "x" * 800 + last
        livepair.put(f"uploads/{value}/image.jpg", samples.image())
        livepair.put(f"uploads/{value}/live.gz", samples.live())
    assert livepair.run() == ["matched", "matched"]
    assert len({message["id"] for message in livepair.messages}) == 2


def test_an_upload_whose_partner_cannot_exist_is_told_incomplete(livepair: Livepair) -> None:
    """The live key has 850 bytes, its image's would have more: it ends like any that has no partner."""
    value = "x" * (850 - len("uploads//live.gz"))
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    livepair.run()
    assert sweep_on(livepair, minutes=25 * 60, step=60) == ["incomplete"]
    assert livepair.state("agenda/") == []


def test_double_slashes_in_a_template_are_kept(configured: Configured) -> None:
    """`//` is part of the key; a key with one slash there is another one."""
    livepair = configured(LIVE_KEY="uploads//{id}//live.gz", IMAGE_KEY="uploads//{id}/image.jpg")
    livepair.put("uploads/42/live.gz", samples.live(seed=1))
    livepair.put("uploads//42/image.jpg", samples.image())
    livepair.put("uploads//42//live.gz", samples.live(seed=2))
    assert livepair.run() == ["matched"]
    assert livepair.data["live"]["key"] == "uploads//42//live.gz"


def test_several_placeholders_name_the_pair(configured: Configured) -> None:
    """In segments and parts of them, in another order in the image's key, dots in all of them."""
    livepair = configured(
        LIVE_KEY="uploads/{tenant}/{year}-{id}/live.gz", IMAGE_KEY="faces/{id}/{tenant}.{year}.jpg"
    )
    livepair.put("faces/7/acme.2026.jpg", samples.image())
    livepair.put("uploads/acme/2026-7/live.gz", samples.live())
    livepair.put("faces/../...2026.jpg", samples.image())
    livepair.put("uploads/../2026-../live.gz", samples.live())
    assert livepair.run() == ["matched", "matched"]
    assert [list(message["data"]["pair"].items()) for message in livepair.messages] == [
        [("tenant", "acme"), ("year", "2026"), ("id", "7")],
        [("tenant", ".."), ("year", "2026"), ("id", "..")],
    ]


def test_a_repeated_placeholder_has_one_value(configured: Configured, capsys: Any) -> None:
    """A key where the two differ is of no template."""
    livepair = configured(LIVE_KEY="uploads/{id}/{id}.gz", IMAGE_KEY="uploads/{id}/image.jpg")
    livepair.put("uploads/1/1.gz", samples.live())
    livepair.put("uploads/1/2.gz", samples.live())
    livepair.put("uploads/1/image.jpg", samples.image())
    assert livepair.run() == ["matched"]
    assert [line["key"] for line in logged(capsys, "ignored")] == ["uploads/1/2.gz"]


@pytest.mark.parametrize(
    ("live", "image", "key", "named"),
    [
        ("uploads/{a}-{b}.gz", "faces/{b}-{a}.jpg", "uploads/x-y-z.gz", "faces/{b}-{a}.jpg"),
        ("uploads/{a}-{b}.gz", "faces/{a}/{b}.jpg", "faces/x/y-z.jpg", "uploads/{a}-{b}.gz"),
    ],
)
def test_an_ambiguous_key_fails_and_names_key_and_template(
    configured: Configured, live: str, image: str, key: str, named: str
) -> None:
    """A value holds the separator, so its partner is not certain: no guess, no outcome for a stranger."""
    livepair = configured(LIVE_KEY=live, IMAGE_KEY=image)
    livepair.put(key, samples.live())
    with pytest.raises(ValueError, match="no certain partner") as caught:
        livepair.run()
    assert key in str(caught.value)
    assert named in str(caught.value)
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
    (line,) = logged(capsys, "ambiguous_key")
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
    assert calls(livepair) == 2


@pytest.mark.parametrize("encoded", [" ", "+", "%", "申请", "a b/c"])
def test_a_percent_encoded_key_is_found_through_the_url(livepair: Livepair, encoded: str) -> None:
    """Nobody documents which of the two spellings is encoded: the raw one first, then the URL's."""
    value = encoded.partition("/")[0]
    for name, data in (("image.jpg", samples.image()), ("live.gz", samples.live())):
        key = f"uploads/{value}/{name}"
        livepair.put(key, data)
        livepair.events[-1] = spelled(livepair.events[-1], quote(key), quote(key))
    assert livepair.run() == ["matched"]
    assert livepair.data["pair"] == {"id": value}
    assert sweep_on(livepair) == []
    assert livepair.state("agenda/") == []


def test_a_key_that_holds_a_percent_sign_is_taken_as_it_is(livepair: Livepair) -> None:
    """`a%20b` is the key; the URL, encoded once or not at all, changes nothing."""
    for number, url in enumerate(("uploads/a%2520b/live.gz", "uploads/a%20b/live.gz")):
        livepair.put("uploads/a%20b/image.jpg", samples.image(seed=number))
        livepair.put("uploads/a%20b/live.gz", samples.live(seed=number))
        livepair.events[-1] = spelled(livepair.events[-1], "uploads/a%20b/live.gz", url)
        assert livepair.run() == ["matched"]
    assert [message["data"]["pair"]["id"] for message in livepair.messages] == ["a%20b", "a%20b"]
    assert sweep_on(livepair) == []


def test_a_wrong_url_does_no_harm(livepair: Livepair) -> None:
    """A form-encoded one, one cut at a question mark, one that is no URL, none: the raw key counts."""
    for number, url in enumerate(("uploads/a+b/live.gz", "uploads/a", "%ff%fe", "[", "")):
        value = f"a b?{number}"
        livepair.put(f"uploads/{value}/image.jpg", samples.image())
        livepair.put(f"uploads/{value}/live.gz", samples.live())
        livepair.events[-1] = spelled(livepair.events[-1], f"uploads/{value}/live.gz", url)
        livepair.events[-1]["Records"][0]["cos"]["cosObject"]["url"] = url and f"http://[{url}"
        assert livepair.run() == ["matched"]


def test_a_long_key_that_is_percent_encoded_in_the_event_is_found(livepair: Livepair) -> None:
    """250 Chinese characters: 750 bytes as they are, and too many for any key once encoded."""
    value = "申" * 250
    livepair.put(f"uploads/{value}/image.jpg", samples.image())
    livepair.put(f"uploads/{value}/live.gz", samples.live())
    for number, name in enumerate(("image.jpg", "live.gz")):
        key = quote(f"uploads/{value}/{name}")
        livepair.events[number] = spelled(livepair.events[number], key, key)
    assert livepair.run() == ["matched"]


# --- events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["new", "old"])
def test_events_of_both_shapes_are_understood(livepair: Livepair, shape: Any) -> None:
    """Before 2021 they named neither the long region nor the ETag."""
    bucket_of(livepair).event_shape = shape
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    assert livepair.run() == ["matched"]


@pytest.mark.parametrize("known", ["s3Region", "cosRegion", "url", "short", "environment"])
def test_the_region_is_found_wherever_it_is_told(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """Only one source is left: the API is called in the right region all the same."""
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    for event in livepair.events:
        found = event["Records"][0]["cos"]
        for name in {"s3Region", "cosRegion"} - {known}:
            del found["cosBucket"][name]
        if known != "url":
            del found["cosObject"]["url"]
        if known != "short":
            found["cosBucket"]["region"] = "?"
    if known != "environment":
        monkeypatch.delenv("TENCENTCLOUD_REGION")
    assert livepair.run() == ["matched"]
    assert {call.region for call in livepair.cloud.faceid.calls} == {"ap-singapore"}


@pytest.mark.parametrize("name", ["Post", "Copy", "CompleteMultipartUpload", "Origin", "Replication", "*"])
def test_every_way_of_creating_an_object_is_an_upload(livepair: Livepair, name: str) -> None:
    """With the stray space after `cos:` that one official template has."""
    bucket_of(livepair).put(IMAGE, samples.image(), event=name)
    bucket_of(livepair).put(LIVE, samples.live(), event=name)
    for event in livepair.events:
        told = event["Records"][0]["event"]
        told["eventName"] = told["eventName"].replace("cos:", "cos: ")
    assert livepair.run() == ["matched"]


def test_several_records_are_all_handled(livepair: Livepair) -> None:
    """Two pairs in one event: two outcomes in one summary."""
    for number in "12":
        livepair.put(f"uploads/{number}/image.jpg", samples.image())
        livepair.put(f"uploads/{number}/live.gz", samples.live())
    merged = {"Records": [record for event in livepair.events for record in event["Records"]]}
    assert livepair.handle(merged) == {"outcomes": ["matched", "matched"]}
    assert calls(livepair) == 2


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_that_fails_leaves_the_others_their_turn(livepair: Livepair, place: int) -> None:
    """Wherever it stands; then it is raised, the first of two."""
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    records = [record for event in livepair.events for record in event["Records"]]
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
    bucket_of(livepair).min_part_size = 10
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
    assert bucket_of(livepair).get(LIVE).etag.endswith("-2")
    assert livepair.data["live"]["md5"] == bucket_of(livepair).get(LIVE).md5
    livepair.put(LIVE, data)
    assert livepair.run() == []
    assert calls(livepair) == 1


@pytest.mark.parametrize(("encryption", "reads"), [("cos/kms", 2), ("AES256", 0)])
def test_an_encrypted_upload_is_judged_by_the_md5_of_its_bytes(
    livepair: Livepair, encryption: str, reads: int
) -> None:
    """The ETag of an object that KMS encrypts looks like an MD5 and is none."""
    headers = {"x-cos-server-side-encryption": encryption}
    bucket_of(livepair).put(IMAGE, samples.image(), headers)
    bucket_of(livepair).put(LIVE, samples.live(), headers)
    livepair.drop()
    assert livepair.run() == ["matched"]
    assert livepair.data["image"]["md5"] == bucket_of(livepair).get(IMAGE).md5
    uploads = [each for each in livepair.requests("GetObject") if each.key.startswith("uploads/")]
    assert len(uploads) == reads


@pytest.mark.parametrize("kind", ["ARCHIVE", "DEEP_ARCHIVE", "MAZ_ARCHIVE"])
@pytest.mark.parametrize("role", [LIVE, IMAGE])
def test_an_archived_upload_waits_to_be_restored(
    livepair: Livepair, capsys: Any, kind: str, role: str
) -> None:
    """No call is made for it, the log says what to do, and once restored it is judged."""
    bucket_of(livepair).put(IMAGE, samples.image())
    bucket_of(livepair).put(LIVE, samples.live())
    bucket_of(livepair).archive(role, kind)
    assert livepair.run() == []
    assert any("restore" in line.get("said", "") for line in logged(capsys, "pair"))
    assert calls(livepair) == 0
    bucket_of(livepair).archive(role, "STANDARD")
    assert sweep_on(livepair, step=10) == ["matched"]
    assert livepair.data["api"]["calls"] == 1


def test_an_archived_upload_that_is_not_restored_fails_after_a_day(livepair: Livepair) -> None:
    """The message names the object and says what to do."""
    bucket_of(livepair).put(IMAGE, samples.image())
    bucket_of(livepair).put(LIVE, samples.live(), {"x-cos-storage-class": "ARCHIVE"})
    assert livepair.run() == []
    assert sweep_on(livepair, minutes=DAY + 120, step=60) == ["failed"]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["category"], reason["advice"]) == (
        "Livepair.UploadUnreadable",
        "configuration",
        "fix_configuration",
    )
    assert LIVE in reason["message"]
    assert "restore" in reason["message"]
    assert calls(livepair) == 0


LIMITS = {"MAX_LIVE_BYTES": "1000", "MAX_IMAGE_BYTES": "2000"}


@pytest.mark.parametrize(
    ("live", "image", "code"),
    [
        (0, 2000, "Livepair.LiveEmpty"),
        (1000, 0, "Livepair.ImageEmpty"),
        (1001, 2000, "Livepair.LiveTooLarge"),
        (1000, 2001, "Livepair.ImageTooLarge"),
        (1000, 2000, None),
        (1, 1, None),
    ],
)
def test_sizes_are_checked_to_the_byte_before_any_call(
    configured: Configured, live: int, image: int, code: str | None
) -> None:
    """Exactly MAX_… passes, a byte more is rejected; and one message, whatever is repeated."""
    livepair = configured(**LIMITS)
    livepair.put(IMAGE, b"i" * image)
    livepair.put(LIVE, b"v" * live)
    events = list(livepair.events)
    assert livepair.run() == ["rejected"]
    assert calls(livepair) == (code is None)
    if code is not None:
        reason = livepair.data["reason"]
        advice = "retake_live" if "Live." in code or "Live" in code.split(".")[1] else "replace_image"
        assert (reason["code"], reason["advice"]) == (code, advice)
        assert livepair.data["api"] is None
    for event in events:
        assert livepair.handle(event) == {"outcomes": []}
    assert len(livepair.cloud.consumer.attempts) == 1
    assert sweep_on(livepair) == []
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize("role", [LIVE, IMAGE])
def test_an_oversized_multipart_upload_is_not_read_through(configured: Configured, role: str) -> None:
    """It is refused by its size alone; its MD5 stays unknown."""
    livepair = configured(**LIMITS)
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    livepair.drop(2)
    bucket_of(livepair).put_synthetic(role, 40_000_000_000)
    assert livepair.run() == ["rejected"]
    half = livepair.data["live" if role == LIVE else "image"]
    assert (half["md5"], half["size"]) == (None, 40_000_000_000)
    assert [each.key for each in livepair.requests("GetObject") if each.key.startswith("uploads/")] == []
    assert calls(livepair) == 0


def test_half_a_pair_of_an_oversized_upload_ends_incomplete(configured: Configured) -> None:
    """Without its partner it is a missing half; it is not read through for that either."""
    livepair = configured(**LIMITS)
    bucket_of(livepair).put_synthetic(LIVE, 40_000_000_000)
    assert livepair.run() == []
    assert sweep_on(livepair) == ["incomplete"]
    assert [each.key for each in livepair.requests("GetObject") if each.key.startswith("uploads/")] == []


# --- what is ignored ---------------------------------------------------------------------------------


def test_what_is_no_upload_is_ignored_with_one_line(livepair: Livepair, capsys: Any) -> None:
    """Removals, restores, keys of no template, state, placeholders of folders, the console's sample."""
    livepair.put(LIVE, samples.live())
    upload = livepair.events.pop()
    ignored = []
    for name in (
        "cos:ObjectRemove:Delete",
        "cos:ObjectRemove:DeleteMarkerCreated",
        "cos: ObjectRemove:*",
        "cos:ObjectRestore:Post",
        "cos:ObjectRestore:Completed",
    ):
        event = copy.deepcopy(upload)
        event["Records"][0]["event"]["eventName"] = name
        ignored.append((event, LIVE))
    for key in (
        "uploads/42/other.txt",
        "elsewhere",
        "uploads/42/7/live.gz",
        "uploads//live.gz",
        "livepair/records/42/x.json",
        "livepair/",
        "uploads/42/",
        "uploads/",
    ):
        ignored.append((spelled(upload, key, key), key))
    sample = copy.deepcopy(upload)
    sample["Records"][0]["cos"]["cosBucket"] = {"region": "gz", "name": "testpic", "appid": "1253970026"}
    sample["Records"][0]["cos"]["cosObject"]["key"] = "/1253970026/testpic/testfile"
    ignored.append((sample, "testfile"))
    livepair.forget()
    for event, key in ignored:
        capsys.readouterr()
        assert livepair.handle(event) == {"outcomes": []}
        line, invocation = logged(capsys)
        assert (line["event"], line["level"], invocation["event"]) == ("ignored", "INFO", "invocation")
        assert line["reason"]
        assert line["key"].endswith(key)
    assert livepair.requests() == []
    assert livepair.state() == []


def test_the_functions_own_state_wakes_it_in_vain(configured: Configured, capsys: Any) -> None:
    """Should the trigger be set to the whole bucket, events of state objects end at once."""
    livepair = configured(STATE_PREFIX="uploads-state/")
    livepair.put(LIVE, samples.live())
    livepair.put(IMAGE, samples.image())
    events: list[Event] = []
    livepair.cloud.cos.on_event.append(events.append)
    assert livepair.run() == ["matched"]
    assert events
    livepair.events.clear()
    capsys.readouterr()
    livepair.forget()
    for event in events:
        assert livepair.handle(event) == {"outcomes": []}
    assert livepair.requests() == []
    assert len(logged(capsys, "ignored")) == len(events)


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (None, "NoneType"),
        ([], "list"),
        ("Records", "str"),
        ({}, "no keys"),
        ({"Records": []}, "Records"),
        ({"Records": {}}, "Records"),
        ({"httpMethod": "POST", "headers": {"Authorization": "x"}, "body": ""}, "httpMethod"),
        ({"Type": "timer"}, "Type"),
    ],
)
def test_another_event_says_what_was_expected_and_what_came(
    livepair: Livepair, event: object, found: str
) -> None:
    """Nothing is done for it."""
    with pytest.raises(EventError, match="expected a COS event") as caught:
        livepair.handle(event)
    assert found in str(caught.value)
    assert livepair.requests() == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("cos",), None, r"cos\.cosBucket"),
        (("cos", "cosBucket", "name"), "", r"cosBucket\.name"),
        (("cos", "cosBucket", "appid"), None, r"cosBucket\.appid"),
        (("cos", "cosObject", "key"), None, r"cosObject\.key"),
        (("cos", "cosObject", "key"), 7, "begins with '/1250000000/faces/'"),
        (("cos", "cosObject", "key"), LIVE, "begins with '/1250000000/faces/'"),
        (("cos", "cosObject", "key"), "/1250000000/faces/", "begins with '/1250000000/faces/'"),
        (("cos", "cosObject", "key"), "/1250000000/faces/uploads/\ud800/live.gz", "not valid Unicode"),
        (("cos", "cosObject", "key"), "/1250000000/faces/" + "x" * 851, "851 bytes long; COS allows 850"),
        (("event", "eventName"), "cos:BucketCreated:Put", "set the trigger's event to cos:ObjectCreated"),
        (("event",), "x", r"event\.eventName"),
    ],
)
def test_a_record_of_another_shape_says_what_is_missing(
    livepair: Livepair, path: tuple[str, ...], value: object, says: str
) -> None:
    """Field by field."""
    livepair.put(LIVE, samples.live())
    event = livepair.events.pop()
    found = event["Records"][0]
    for name in path[:-1]:
        found = found[name]
    found[path[-1]] = value
    event["Records"][0]["cos"] and event["Records"][0]["cos"]["cosObject"].pop("url")
    with pytest.raises(EventError, match=says):
        livepair.handle(event)


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
            livepair.handle({"Type": "Timer", "Message": ""} if tick else event)
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
    for event in (livepair.events[0], {"Type": "Timer"}):
        with pytest.raises(SettingsError, match="give the function a role"):
            index.main_handler(event, {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.requests() == []


def test_wrong_settings_are_all_named_at_once_and_hold_no_secret(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Every invocation fails with the same list, and nothing secret is in it or in the log."""
    livepair = configured(
        BUCKET="faces",
        WEBHOOK_URL="http://hooks.example.com/path-of-the-hook?key=query-of-the-hook",
        WEBHOOK_SECRET="whsec_not*base64 c2VjcmV0LXdpdGhvdXQtcHJlZml4",
        LIVE_KEY="{id}/live.gz",
        IMAGE_KEY="faces/image.jpg",
        MIN_SIMILARITY="101",
        PAIR_TIMEOUT="-1",
        PASS_RESOURCES="mail",
        STATE_PREFIX="livepair",
        STATE_BUCKET="State-1",
        KEEP_BEST_FRAME="yes",
        DELETE_UPLOADS="all",
        MAX_LIVE_BYTES="50MB",
        MAX_IMAGE_BYTES="0",
        API_RATE="0",
        FACEID_ENDPOINT="faceid.example.com",
        LOG_LEVEL="LOUD",
    )
    monkeypatch.setenv("LOCAL_CLOUD", "http://10.0.0.1:8080")
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            livepair.handle({"Type": "Timer"})
        text = str(caught.value)
        for name in (
            "BUCKET: ",
            "WEBHOOK_URL: ",
            "WEBHOOK_SECRET: ",
            "LIVE_KEY: ",
            "IMAGE_KEY: ",
            "MIN_SIMILARITY: ",
            "PAIR_TIMEOUT: ",
            "PASS_RESOURCES: ",
            "STATE_PREFIX: ",
            "STATE_BUCKET: ",
            "KEEP_BEST_FRAME: ",
            "DELETE_UPLOADS: ",
            "MAX_LIVE_BYTES: ",
            "MAX_IMAGE_BYTES: ",
            "API_RATE: ",
            "FACEID_ENDPOINT: ",
            "LOG_LEVEL: ",
            "LOCAL_CLOUD: ",
        ):
            assert f"- {name}" in text
        said = text + capsys.readouterr().out
        for secret in ("not*base64", "c2VjcmV0", "path-of-the-hook", "query-of-the-hook"):
            assert secret not in said


def test_settings_that_are_missing_are_all_named(configured: Configured) -> None:
    """The three that have no default."""
    livepair = configured(BUCKET="", WEBHOOK_URL=" ", WEBHOOK_SECRET="")
    with pytest.raises(SettingsError) as caught:
        livepair.sweep()
    assert caught.value.faults == [f"{n} is not set" for n in ("BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET")]


# --- permissions -------------------------------------------------------------------------------------


def test_a_missing_permission_on_uploads_is_named_and_heals(livepair: Livepair, capsys: Any) -> None:
    """HeadObject: nothing is raised, since two retries would not help; the agenda brings the pair back."""
    deny(livepair, "HeadObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    for line in logged(capsys, "pair"):
        assert line["level"] == "ERROR"
        assert "name/cos:HeadObject" in line["error"]
        assert "faces-1250000000/uploads/42/" in line["error"]
    livepair.allowed = None
    assert sweep_on(livepair) == ["matched"]


def test_a_permission_that_never_comes_ends_in_a_failed_outcome(livepair: Livepair) -> None:
    """After a day the webhook hears which action on which object is missing, once."""
    deny(livepair, "HeadObject", "uploads/")
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert sweep_on(livepair, minutes=DAY + 120, step=60) == ["failed"]
    reason = livepair.data["reason"]
    assert (reason["code"], reason["advice"]) == ("Livepair.UploadUnreadable", "fix_configuration")
    assert "name/cos:HeadObject" in reason["message"]
    assert f"faces-1250000000/{LIVE}" in reason["message"]


def test_an_upload_that_cos_will_not_look_up_ends_in_a_failed_outcome(livepair: Livepair) -> None:
    """A refusal that is neither 403 nor 404 nor trouble: it too ends after a day at the latest."""
    livepair.cloud.faults.add("HeadObject", key="uploads/*", then=refuse(400, "InvalidURI"), times=None)
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert sweep_on(livepair, minutes=DAY + 120, step=60) == ["failed"]
    assert livepair.state("agenda/") == []


def test_an_object_that_has_to_be_read_names_getobject(livepair: Livepair, capsys: Any) -> None:
    """A multipart upload is read for its MD5 before anything is claimed."""
    deny(livepair, "GetObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    bucket_of(livepair).put_synthetic(LIVE, 5_000_000)
    assert livepair.run() == []
    (first, *_) = logged(capsys, "pair")
    assert "name/cos:GetObject on that resource" in first["error"]
    assert f"faces-1250000000/{LIVE}" in first["error"]
    assert livepair.state("claims/") == []


def test_links_that_the_role_may_not_read_are_told_as_a_missing_permission(livepair: Livepair) -> None:
    """The links are signed with the role's rights: without GetObject the API can fetch nothing."""
    deny(livepair, "GetObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert sweep_on(livepair, minutes=DAY + 120, step=30) == ["failed"]
    reason = livepair.data["reason"]
    assert reason["category"] == "configuration"
    assert "name/cos:GetObject" in reason["message"]


def test_an_upload_that_the_relay_may_not_read_is_told_as_a_missing_permission(
    configured: Configured,
) -> None:
    """PASS_RESOURCES=upload_url: no call was made, and after a day the message says what is missing."""
    livepair = configured(PASS_RESOURCES="upload_url")
    deny(livepair, "GetObject", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert sweep_on(livepair, minutes=DAY + 120, step=30) == ["failed"]
    assert livepair.data["reason"]["code"] == "Livepair.UploadUnreadable"
    assert "name/cos:GetObject" in livepair.data["reason"]["message"]
    assert (livepair.data["api"] or {}).get("calls", 0) == 0


@pytest.mark.parametrize("state_bucket", ["", "state-1250000000"])
def test_state_that_may_not_be_written_raises_and_names_the_action(
    configured: Configured, state_bucket: str
) -> None:
    """Without state nothing can be promised: no call, and the platform tries again."""
    livepair = _with_state_bucket(configured, state_bucket)
    deny(livepair, "PutObject", "livepair/")
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    for event in livepair.events:
        with pytest.raises(Exception, match="name/cos:PutObject on that resource") as caught:
            livepair.handle(event)
        assert f"{state_bucket or 'faces-1250000000'}/livepair/" in str(caught.value)
    assert calls(livepair) == 0


@pytest.mark.parametrize("state_bucket", ["", "state-1250000000"])
def test_state_that_may_not_be_read_is_named_and_costs_no_call(
    configured: Configured, capsys: Any, state_bucket: str
) -> None:
    """The claim cannot be read back, so nobody calls; the sweep raises, and all heals with the permission."""
    livepair = _with_state_bucket(configured, state_bucket)
    deny(livepair, "GetObject", "livepair/")
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    for line in logged(capsys, "pair"):
        assert "name/cos:GetObject on that resource" in line["error"]
        assert f"{state_bucket or 'faces-1250000000'}/livepair/" in line["error"]
    with pytest.raises(Exception, match="name/cos:GetObject on that resource"):
        livepair.sweep(5)
    assert calls(livepair) == 0
    assert livepair.messages == []
    livepair.allowed = None
    assert sweep_on(livepair) == ["matched"]


def test_an_agenda_that_may_not_be_listed_raises_and_names_the_action(livepair: Livepair) -> None:
    """The sweep, and the walk over the uploads."""
    deny(livepair, "GetBucket", "")
    for go in (livepair.sweep, livepair.reconcile):
        with pytest.raises(Exception, match="name/cos:GetBucket on that resource") as caught:
            go()
        assert "faces-1250000000/" in str(caught.value)


def test_an_agenda_that_may_not_be_tidied_raises_and_names_the_action(livepair: Livepair) -> None:
    """After the verdict was told, once; the retry does not tell it again."""
    deny(livepair, "Delete*", "livepair/")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    for go in (livepair.run, lambda: livepair.sweep(5)):
        with pytest.raises(Exception, match="name/cos:DeleteObject on that resource"):
            go()
    livepair.allowed = None
    assert sweep_on(livepair) == []
    assert livepair.data["outcome"] == "matched"
    assert (calls(livepair), len(livepair.cloud.consumer.attempts)) == (1, 1)
    assert livepair.state("agenda/") == []


def test_uploads_that_may_not_be_deleted_are_named_and_go_later(configured: Configured, capsys: Any) -> None:
    """The outcome was told before; with the permission the uploads go, and nothing is told again."""
    livepair = configured(DELETE_UPLOADS="live")
    deny(livepair, "Delete*", "uploads/")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    said = []
    for turn in (livepair.run, lambda: livepair.sweep(5)):
        with contextlib.suppress(CosError):
            turn()
        said += [line.get("error", "") for line in logged(capsys)]
    assert any("name/cos:DeleteObject on that resource" in each for each in said)
    assert any(f"faces-1250000000/{LIVE}" in each for each in said)
    assert livepair.data["outcome"] == "matched"
    livepair.allowed = None
    sweep_on(livepair)
    assert LIVE not in bucket_of(livepair)
    assert len(livepair.cloud.consumer.attempts) == 1


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
def test_credentials_that_are_refused_are_no_missing_permission(livepair: Livepair, code: str) -> None:
    """A 403 about the credentials or the clock: giving the role a permission would mend nothing."""
    livepair.cloud.faults.add("PutObject", then=refuse(403, code), times=None)
    livepair.put(LIVE, samples.live())
    with pytest.raises(CosError, match=code) as caught:
        livepair.run()
    assert "Give whoever asks" not in str(caught.value)


def test_an_api_that_may_not_be_called_is_told_after_a_day(livepair: Livepair, capsys: Any) -> None:
    """The role lacks the action: tried again while it may heal, then told with the API's own code."""

    def allowed(asked: Operation) -> bool:
        return asked.service != "faceid"

    livepair.allowed = allowed
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    assert livepair.run() == []
    assert any(COMPARE in line.get("said", "") for line in logged(capsys, "pair"))
    assert sweep_on(livepair, minutes=DAY + 120, step=60) == ["failed"]
    reason = livepair.data["reason"]
    assert reason["code"] == "AuthFailure.UnauthorizedOperation"
    assert reason["advice"] == "fix_configuration"
    assert COMPARE in reason["message"]


def _with_state_bucket(configured: Configured, name: str) -> Livepair:
    if not name:
        return configured()
    livepair = configured(STATE_BUCKET=name)
    livepair.cloud.cos.create_bucket(name, livepair.cloud.region)
    return livepair


def test_an_event_without_a_time_is_taken_as_it_comes(livepair: Livepair) -> None:
    """None, nonsense, or a time far off in both directions."""
    ahead = int((livepair.cloud.clock.now() + timedelta(days=400)).timestamp())
    for number, time in enumerate((None, "soon", True, -5, 1e300, 1, ahead)):
        livepair.put(f"uploads/{number}/image.jpg", samples.image())
        livepair.put(f"uploads/{number}/live.gz", samples.live())
        for event in livepair.events:
            event["Records"][0]["event"]["eventTime"] = time
        assert livepair.run() == ["matched"]
