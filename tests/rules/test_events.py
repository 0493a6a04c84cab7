"""Raw events in every shape that is documented or was seen, and what is made of them."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.events import (
    SHORT_REGIONS,
    WHOLE,
    EventError,
    Ignored,
    Part,
    TimerEvent,
    UploadEvent,
    records,
    upload,
)
from handler.rules.pairing import MAX_KEY_BYTES

SIGNATURE = "q-sign-algorithm=sha1&q-ak=AKIDuploader&q-signature=0123abcd"
"""What an uploader's Authorization header looks like: it stands in every event and must never get out."""

Raw = dict[str, Any]

LEFT_OUT: Any = object()


def raw_record(
    key: str = "uploads/42/live.gz",
    *,
    name: str = "cos:ObjectCreated:Put",
    url: Any = None,
    full_key: Any = None,
    bucket: Raw | None = None,
    meta: Raw | None = None,
    at: Any = 1_700_000_000,
) -> Raw:
    """One record as real events carry it; `url` is made from `key` unless it is given, or LEFT_OUT."""
    if url is None:
        url = f"http://faces-1250000000.cos.ap-singapore.myqcloud.com/{quote(key)}"
    target: Raw = {
        "key": f"/1250000000/faces/{key}" if full_key is None else full_key,
        "meta": {"x-cos-request-id": "NWMx", "Content-Type": "", **(meta or {})},
        "size": 183204,
        "url": url,
        "vid": "",
    }
    if url is LEFT_OUT:
        del target["url"]
    return {
        "cos": {
            "cosBucket": {"appid": "1250000000", "name": "faces", "region": "sg", **(bucket or {})},
            "cosNotificationId": "unkown",
            "cosObject": target,
            "cosSchemaVersion": "1.0",
        },
        "event": {
            "eventName": name,
            "eventQueue": "qcs:0:scf:ap-singapore:appid/1250000000:default.livepair.$DEFAULT",
            "eventSource": "qcs::cos",
            "eventTime": at,
            "eventVersion": "1.0",
            "reqid": 0,
            "requestParameters": {
                "requestHeaders": {"Authorization": SIGNATURE},
                "requestSourceIP": "203.0.113.7",
            },
        },
    }


def parsed(record: Raw) -> UploadEvent:
    found = upload(record)
    assert isinstance(found, UploadEvent)
    return found


# --- what woke the function -----------------------------------------------------------------------


def test_a_cos_event_gives_each_of_its_records() -> None:
    """One record is what is seen; several are documented. All come, in their order."""
    first, second = raw_record("uploads/1/live.gz"), raw_record("uploads/2/live.gz")
    assert records({"Records": [first]}) == [first]
    assert records({"Records": [first, second]}) == [first, second]


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("sweep", WHOLE),
        ("", WHOLE),
        ("sweep 1/1", WHOLE),
        ("sweep 2/4", Part(2, 4)),
        ("sweep 12/12", Part(12, 12)),
        ("Sweep 2/4 ", WHOLE),
        ("sweeping", WHOLE),
    ],
)
def test_a_timer_may_ask_for_a_part(message: str, part: Part) -> None:
    """`sweep 2/4`; whatever else it says, it means all that is due."""
    assert TimerEvent(message).part == part


@pytest.mark.parametrize("message", ["sweep 0/4", "sweep 5/4", "sweep 0/0"])
def test_a_part_that_there_is_not_is_refused(message: str) -> None:
    """Loudly, and it says how three are named."""
    with pytest.raises(EventError, match="sweep 3/3"):
        _ = TimerEvent(message).part


@pytest.mark.parametrize(
    ("message", "told"),
    [("reconcile", "reconcile"), (" reconcile\n", "reconcile"), ("", ""), (None, ""), (LEFT_OUT, "")],
)
def test_a_timer_event_gives_its_argument(message: object, told: str) -> None:
    """The trigger's argument, without stray white space; empty where the trigger has none."""
    event: Raw = {"Type": "Timer", "TriggerName": "each-minute", "Time": "2019-02-21T11:49:00Z"}
    if message is not LEFT_OUT:
        event["Message"] = message
    assert records(event) == TimerEvent(told)


@pytest.mark.parametrize(
    "event",
    [
        None,
        "cos",
        42,
        [],
        [{"Records": []}],
        {},
        {"Records": []},
        {"Records": None},
        {"Records": {"cos": {}}},
        {"Type": "Cron", "Message": "reconcile"},
        {"httpMethod": "POST", "headers": {"authorization": SIGNATURE}, "body": "{}"},
        {"Records": [], 7: "a key that is no text", None: ""},
    ],
)
def test_any_other_event_is_refused_with_what_was_expected_and_found(event: object) -> None:
    """API gateway, message queue and hand-made events raise a clear error that quotes no values."""
    with pytest.raises(EventError, match=r"expected a COS event .* or a Timer event.*got") as caught:
        records(event)
    assert SIGNATURE not in str(caught.value)


def test_the_error_names_what_the_event_held() -> None:
    """The names in the event tell which trigger sent it; only some of them, and cut."""
    with pytest.raises(EventError, match="body, headers, httpMethod;") as caught:
        records({"httpMethod": "POST", "headers": {}, "body": ""})
    assert "COS and Timer triggers only" in str(caught.value)
    with pytest.raises(EventError) as caught:
        records({f"{index:03}" + "x" * 10_000: 1 for index in range(500)})
    shown = ", ".join(f"{index:03}" + "x" * 37 for index in range(10))
    assert f"got a dict with {shown}; " in str(caught.value)


EXPECTED = "expected a COS event (a dict with Records) or a Timer event, got "
EXPECTED_RECORDS = (
    "expected a COS event (a dict with a list of Records) or a Timer event (Type: Timer), got a dict with "
)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (None, EXPECTED + "NoneType"),
        ([], EXPECTED + "list"),
        ({}, EXPECTED_RECORDS + "no keys; give the function COS and Timer triggers only"),
        ({"b": 1, "a": 2}, EXPECTED_RECORDS + "a, b; give the function COS and Timer triggers only"),
    ],
)
def test_the_error_says_what_to_do_about_an_event(event: object, text: str) -> None:
    """Word for word: operators read it in the log."""
    with pytest.raises(EventError) as caught:
        records(event)
    assert str(caught.value) == text


TOO_LONG = "x" * 300


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ([], "expected a COS record with event.eventName, got list"),
        ({"event": {}}, "expected a COS record with event.eventName, got a dict with event"),
        (
            raw_record(name=TOO_LONG),
            f"expected an eventName cos:ObjectCreated:…, got '{TOO_LONG[:80]}'; "
            "set the trigger's event to cos:ObjectCreated:*",
        ),
        (
            raw_record(full_key=TOO_LONG),
            f"expected a cosObject.key that begins with '/1250000000/faces/', got '{TOO_LONG[:200]}'",
        ),
        (
            raw_record(TOO_LONG + chr(0xD800), url=""),
            f"the object key '{TOO_LONG[:200]}' is not valid Unicode text",
        ),
    ],
    ids=["no dict", "no name", "another name", "another key", "no text"],
)
def test_the_error_says_what_to_do_about_a_record(record: object, text: str) -> None:
    """Word for word, and what came is cut, however long it is."""
    with pytest.raises(EventError) as caught:
        upload(record)
    assert str(caught.value) == text


# --- which records are uploads --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "cos:ObjectCreated:Put",
        "cos:ObjectCreated:Post",
        "cos:ObjectCreated:Copy",
        "cos:ObjectCreated:CompleteMultipartUpload",
        "cos:ObjectCreated:Origin",
        "cos:ObjectCreated:Replication",
        "cos:ObjectCreated:Append",
        "cos:ObjectCreated:*",
        "cos: ObjectCreated:Put",
        "cos:ObjectCreated:Put ",
    ],
)
def test_every_way_to_create_an_object_is_an_upload(name: str) -> None:
    """The whole family counts, the documentation's literal `*` and a template's stray space included."""
    assert parsed(raw_record(name=name)).keys == ("uploads/42/live.gz",)


@pytest.mark.parametrize(
    "name",
    [
        "cos:ObjectRemove:Delete",
        "cos:ObjectRemove:DeleteMarkerCreated",
        "cos:ObjectRemove:*",
        "cos: ObjectRemove:Delete",
        "cos:ObjectRestore:Post",
        "cos:ObjectRestore:Completed",
    ],
)
def test_removals_and_restores_are_ignored(name: str) -> None:
    """They ask for nothing; the log can tell which they were, by the object's own key."""
    found = upload(raw_record("uploads/a b/live.gz", name=name))
    assert found == Ignored(f"{name.replace(' ', '')} is no upload", "uploads/a b/live.gz")


@pytest.mark.parametrize("name", ["cos:ObjectRemove:Delete", "cos:ObjectRestore:Post"])
def test_what_is_ignored_is_a_record_all_the_same(name: str) -> None:
    """A key of another shape, or none, is not logged as if it were an object's."""
    for full_key in ("any/shape", "/1250000000/faces/", 7):
        with pytest.raises(EventError, match=r"begins with '/1250000000/faces/', got"):
            upload(raw_record(name=name, full_key=full_key))


@pytest.mark.parametrize(
    "name", ["ObjectCreated:Put", "cos:ObjectCreatedX", "s3:ObjectCreated:Put", "x" * 5000]
)
def test_an_event_name_that_is_not_known_is_refused(name: str) -> None:
    """Nobody guesses what it means; the error says which event to set, and how it was spelled, bounded."""
    with pytest.raises(EventError, match=r"expected an eventName cos:ObjectCreated:") as caught:
        upload(raw_record(name=name))
    assert name[:80] in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_consoles_test_event_is_ignored() -> None:
    """It is the documentation's sample and names a bucket of Tencent's own."""
    sample = raw_record(
        "testfile",
        name="cos:ObjectCreated:*",
        full_key="/1253970026/testpic/testfile",
        url="http://testpic-1253970026.cos.ap-chengdu.myqcloud.com/testfile",
        bucket={"appid": "1253970026", "name": "testpic", "region": "cd"},
        at=1_501_479_700,
    )
    assert upload(sample) == Ignored("the console's test event", "testfile")


def test_somebody_elses_bucket_of_that_name_is_not_the_consoles() -> None:
    """Name and appid count together."""
    record = raw_record("testfile", full_key="/1250000000/testpic/testfile", bucket={"name": "testpic"})
    assert parsed(record).bucket == "testpic-1250000000"


@pytest.mark.parametrize("key", ["uploads/", "uploads/42/", "/"])
def test_a_directory_placeholder_is_ignored(key: str) -> None:
    """The console creates empty objects that end with `/` to show folders."""
    assert upload(raw_record(key)) == Ignored("a directory placeholder", key)


# --- bucket and key -------------------------------------------------------------------------------


EVIL = "\x1b[2J\x9b\u202e\nall is well"


@pytest.mark.parametrize(
    "bucket",
    [
        {"name": EVIL},
        {"name": "x" * 1_000_000},
        {"name": ["faces"]},
        {"name": "Faces"},
        {"appid": EVIL},
        {"appid": "1" * 1_000_000},
        {"appid": 1.5},
        {"appid": "١"},
    ],
    ids=repr,
)
def test_a_name_that_no_bucket_can_have_is_refused(bucket: Raw) -> None:
    """In few printable characters: whoever can invoke the function chooses it, and operators read the log."""
    told = {"name": "faces", "appid": "1250000000", **bucket}
    with pytest.raises(EventError, match="expected the name and the appid of a bucket, got") as caught:
        upload(raw_record(bucket=bucket, full_key=f"/{told['appid']}/{told['name']}/uploads/42/live.gz"))
    assert str(caught.value).isprintable()
    shown = f"name {str(told['name'])[:80]!r} and appid {str(told['appid'])[:80]!r}"
    assert str(caught.value) == f"expected the name and the appid of a bucket, got {shown}"


@pytest.mark.parametrize(
    "change",
    [
        {"name": EVIL * 1000},
        {"full_key": EVIL * 1000},
        {"key": EVIL * 1000},
        {"key": "\ud800" * 5000, "url": LEFT_OUT},
    ],
    ids=["name", "full key", "key", "no text"],
)
def test_no_error_repeats_what_could_command_a_terminal(change: Raw) -> None:
    """Nor is any of them long."""
    with pytest.raises(EventError) as caught:
        upload(raw_record(**change))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_the_name_of_another_event_is_cut() -> None:
    """It stands in the log."""
    removed = "cos:ObjectRemove:" + "x" * 1000
    assert upload(raw_record(name=removed)) == Ignored(f"{removed[:80]} is no upload", "uploads/42/live.gz")


def test_nor_does_the_error_about_another_event() -> None:
    """Its names of fields are as free."""
    for event in ({EVIL: 1}, {"Records": [], EVIL * 1000: 2}):
        with pytest.raises(EventError) as caught:
            records(event)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("appid", ["1250000000", 1250000000])
def test_the_bucket_is_named_as_the_api_names_it(appid: object) -> None:
    """Events split it into name and appid; it is `name-appid` everywhere else."""
    assert parsed(raw_record(bucket={"appid": appid})).bucket == "faces-1250000000"


@pytest.mark.parametrize(
    "key",
    [
        "uploads/42/live.gz",
        "uploads/a b/live.gz",
        "uploads/a+b/live.gz",
        "uploads/100%/live.gz",
        "uploads/%2F/live.gz",
        "uploads/张三/live.gz",
        "uploads/é/live.gz",
        "uploads//live.gz",
        "/uploads/live.gz",
        "//uploads/live.gz",
        "uploads/a?b#c;d&e/live.gz",
        "uploads/../live.gz",
        "1250000000/faces/x",
        "/1250000000/faces/x",
        "x",
        " ",
    ],
)
def test_a_raw_key_is_kept_as_it_is(key: str) -> None:
    """`/appid/name/` goes, once; spaces, signs, CJK and `//` stay, and the encoded URL agrees."""
    assert parsed(raw_record(key)).keys == (key,)


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("uploads/a%20b/live.gz", "uploads/a b/live.gz"),
        ("uploads/%E5%BC%A0/live.gz", "uploads/张/live.gz"),
        ("uploads/100%25/live.gz", "uploads/100%/live.gz"),
        ("uploads/a%2Bb/live.gz", "uploads/a+b/live.gz"),
        ("uploads/a+b/live.gz", "uploads/a b/live.gz"),
    ],
)
def test_where_key_and_url_disagree_both_are_tried_the_raw_one_first(raw: str, decoded: str) -> None:
    """Whether the event's key is percent-encoded is documented nowhere, so neither spelling is trusted."""
    url = f"http://faces-1250000000.cos.ap-singapore.myqcloud.com/{quote(decoded)}"
    assert parsed(raw_record(raw, url=url)).keys == (raw, decoded)


def test_a_plus_in_the_url_is_a_plus() -> None:
    """Only a query spells a space so; a path does not."""
    url = "https://faces-1250000000.cos.ap-singapore.myqcloud.com/uploads/a+b/live.gz"
    assert parsed(raw_record("uploads/a+b/live.gz", url=url)).keys == ("uploads/a+b/live.gz",)


@pytest.mark.parametrize(
    "url",
    [
        LEFT_OUT,
        "",
        7,
        [],
        "http://[",
        "http://faces/%FF%FE",
        "http://faces.example",
        "http://faces.example/",
        "\ud800",
        "http://faces.example/\ud800",
        "http://faces.example/" + "a" * 851,
        "http://faces.example/" + "%E5%BC%A0" * 284,
    ],
)
def test_an_unusable_url_leaves_the_raw_key(url: object) -> None:
    """It is missing in some events, and whatever else stands there does no harm."""
    assert parsed(raw_record("uploads/42/live.gz", url=url)).keys == ("uploads/42/live.gz",)


@pytest.mark.parametrize(
    "key",
    [
        "uploads/42/live.gz",
        "/faces/1250000000/x",
        "/1250000000/face/x",
        "/1250000000/faces",
        "/1250000000/faces/",
        "1250000000/faces/x",
        42,
        ["/1250000000/faces/x"],
    ],
)
def test_a_key_without_its_prefix_is_refused(key: object) -> None:
    """The error tells the prefix that was expected and the key that came."""
    with pytest.raises(EventError, match=r"begins with '/1250000000/faces/', got"):
        upload(raw_record(full_key=key))


@pytest.mark.parametrize("letter", ["a", "张"])
def test_a_key_is_as_long_as_cos_allows(letter: str) -> None:
    """850 bytes of UTF-8, and not one more."""
    longest = letter * (MAX_KEY_BYTES // len(letter.encode()))
    longest += "a" * (MAX_KEY_BYTES - len(longest.encode()))
    assert parsed(raw_record(longest)).keys == (longest,)
    with pytest.raises(EventError, match="851 bytes long; COS allows 850"):
        upload(raw_record(longest + "a"))


def test_a_key_that_is_no_text_is_refused() -> None:
    """Half a surrogate pair cannot be the key of any object."""
    with pytest.raises(EventError, match="not valid Unicode"):
        upload(raw_record("uploads/\ud800/live.gz", url=LEFT_OUT))


URL = "http://faces-1250000000.cos.ap-singapore.myqcloud.com/"


@pytest.mark.parametrize(
    ("raw", "url", "keys"),
    [
        (quote("张" * 100), URL + quote("张" * 100), ("张" * 100,)),
        ("a\ud800", URL + "a%20b", ("a b",)),
        ("a%20b", URL + "a" * 850, ("a%20b", "a" * 850)),
        ("a%20b", URL + "a" * 851, ("a%20b",)),
    ],
)
def test_of_two_spellings_one_has_to_be_usable(raw: str, url: str, keys: tuple[str, ...]) -> None:
    """Percent-encoded, a key that COS takes can be three times as long as it is."""
    assert parsed(raw_record(raw, url=url)).keys == keys


@pytest.mark.parametrize(
    ("raw", "url", "says"),
    [
        ("a" * 851, URL + "a" * 900, "851 bytes long; COS allows 850"),
        ("a" * 851, URL + "\ud800", "851 bytes long; COS allows 850"),
        ("\ud800" * 500, URL + "a" * 900, "not valid Unicode"),
    ],
)
def test_where_neither_spelling_is_usable_the_first_is_told(raw: str, url: str, says: str) -> None:
    """It is the key as the event spells it; what is quoted of it is bounded."""
    with pytest.raises(EventError, match=says) as caught:
        upload(raw_record(raw, url=url))
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("meta", "etag"),
    [
        ({}, None),
        (
            {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"', "x-cos-storage-class": "STANDARD"},
            '"d41d8cd98f00b204e9800998ecf8427e"',
        ),
        ({"ETag": 5}, None),
        ({"x-cos-meta-note": "x", "Content-Type": "application/gzip"}, None),
    ],
)
def test_of_meta_only_the_etag_counts(meta: Raw, etag: str | None) -> None:
    """Events since 2022 tell it; it alone tells two uploads of the same second apart."""
    assert parsed(raw_record(meta=meta)) == parsed(raw_record())._replace(etag=etag)


def test_a_record_says_what_is_missing() -> None:
    """A shape that no COS trigger sends is refused with the path that was looked for."""
    paths: list[tuple[str, ...]] = [
        ("event", "eventName"),
        ("cos", "cosBucket", "name"),
        ("cos", "cosBucket", "appid"),
        ("cos", "cosObject", "key"),
    ]
    for path in paths:
        for cut in range(1, len(path) + 1):
            for instead in (LEFT_OUT, None, ""):
                record = raw_record()
                at: Any = record
                for name in path[: cut - 1]:
                    at = at[name]
                del at[path[cut - 1]]
                if instead is not LEFT_OUT:
                    at[path[cut - 1]] = instead
                with pytest.raises(EventError, match=r"expected a COS record with ") as caught:
                    upload(record)
                assert SIGNATURE not in str(caught.value)
                if cut == len(path):
                    assert ".".join(path) in str(caught.value)


@pytest.mark.parametrize("record", [None, "x", 7, [], {}])
def test_what_is_no_record_is_refused(record: object) -> None:
    """A list of Records can hold anything."""
    with pytest.raises(EventError, match=r"expected a COS record with event\.eventName, got"):
        upload(record)


# --- region ---------------------------------------------------------------------------------------

HOST = "http://faces-1250000000.cos.ap-bangkok.myqcloud.com/uploads/42/live.gz"
LONG = {"s3Region": "ap-singapore", "cosRegion": "ap-hongkong", "region": "ap-jakarta"}


@pytest.mark.parametrize(
    ("bucket", "url", "region"),
    [
        (LONG, HOST, "ap-singapore"),
        ({**LONG, "s3Region": ""}, HOST, "ap-hongkong"),
        ({**LONG, "s3Region": "sg", "cosRegion": "sg"}, HOST, "ap-bangkok"),
        ({"region": "ap-jakarta"}, HOST, "ap-bangkok"),
        ({"region": "ap-jakarta"}, LEFT_OUT, "ap-jakarta"),
        ({"region": "sg"}, LEFT_OUT, "ap-singapore"),
        ({"region": "sg"}, "http://[", "ap-singapore"),
        ({"region": "sg"}, "http://cdn.example.com/x", "ap-singapore"),
        ({"region": "sg"}, "http://faces-1250000000.cossgp.myqcloud.com/x", "ap-singapore"),
        ({"region": "sg"}, "http://faces-1250000000.cos.accelerate.myqcloud.com/x", "ap-singapore"),
        ({"region": "sg"}, "https://faces-1250000000.cos.ap-bangkok.tencentcos.cn/x", "ap-bangkok"),
        ({"region": "sg"}, "https://faces-1.cos.ap-bangkok.myqcloud.com.example.com/x", "ap-singapore"),
        ({"region": "sg"}, "https://faces-1.cos-internal.ap-bangkok.tencentcos.cn/x", "ap-bangkok"),
        ({"region": "sg"}, "https://faces-1.cos-internals.ap-bangkok.tencentcos.cn/x", "ap-singapore"),
        ({"region": "ap-" + "x" * 10_000}, LEFT_OUT, None),
        ({"region": "moon"}, LEFT_OUT, None),
        ({"region": ""}, LEFT_OUT, None),
        ({"region": ["sg"]}, LEFT_OUT, None),
        ({"region": 7, "s3Region": None, "cosRegion": []}, LEFT_OUT, None),
    ],
)
def test_the_region_is_the_first_long_name_then_the_short_code(
    bucket: Raw, url: Any, region: str | None
) -> None:
    """s3Region, cosRegion, the URL's host, `region` if long, its short code; None where nothing tells."""
    assert parsed(raw_record(bucket=bucket, url=url)).region == region


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("gz", "ap-guangzhou"),
        ("sh", "ap-shanghai"),
        ("bj", "ap-beijing"),
        ("nj", "ap-nanjing"),
        ("cd", "ap-chengdu"),
        ("cq", "ap-chongqing"),
        ("tsn", "ap-tianjin"),
        ("hk", "ap-hongkong"),
        ("sg", "ap-singapore"),
        ("th", "ap-bangkok"),
        ("jkt", "ap-jakarta"),
        ("kr", "ap-seoul"),
        ("jp", "ap-tokyo"),
        ("in", "ap-mumbai"),
        ("usw", "na-siliconvalley"),
        ("use", "na-ashburn"),
        ("de", "eu-frankfurt"),
        ("sao", "sa-saopaulo"),
    ],
)
def test_every_short_code_has_its_long_name(short: str, long: str) -> None:
    """As two public maps agree; the documented region field is a short code."""
    assert parsed(raw_record(bucket={"region": short}, url=LEFT_OUT)).region == long
    assert len(SHORT_REGIONS) == 18


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)),
        (1_501_479_700, datetime(2017, 7, 31, 5, 41, 40, tzinfo=timezone.utc)),
        (1_700_000_000.5, datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=timezone.utc)),
        (1, datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)),
        (0, None),
        (-1, None),
        (1e11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=timezone.utc)),
        (1e11, None),
        (True, None),
        (1_700_000_000_000, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("1700000000", None),
        (None, None),
    ],
)
def test_the_events_time_is_read_in_seconds(told: object, at: datetime | None) -> None:
    """What is no plausible number of seconds is no time; the bucket's Last-Modified takes its place."""
    assert parsed(raw_record(at=told)).at == at


# --- anything at all ------------------------------------------------------------------------------

NAMES = ["Records", "Type", "Message", "cos", "event", "cosBucket", "cosObject", "name", "appid", "eventName"]
ODD_TEXTS = ["Timer", "cos:ObjectCreated:Put", "/1/b/k", "b", "1", "http://[", "http://b/%FF", "\ud800"]
leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(ODD_TEXTS)
)
json_value = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)


@given(json_value)
def test_any_event_is_understood_or_refused(event: object) -> None:
    """Nothing that JSON can spell raises anything but EventError."""
    try:
        found = records(event)
    except EventError:
        return
    assert isinstance(found, (TimerEvent, list))


CHANGES: list[Callable[[Raw, object], None]] = [
    lambda record, to: record.__setitem__("cos", to),
    lambda record, to: record.__setitem__("event", to),
    *(lambda record, to, n=name: record["cos"].__setitem__(n, to) for name in ("cosBucket", "cosObject")),
    *(
        lambda record, to, n=name: record["cos"]["cosBucket"].__setitem__(n, to)
        for name in ("name", "appid", "region", "s3Region", "cosRegion")
    ),
    *(lambda record, to, n=name: record["cos"]["cosObject"].__setitem__(n, to) for name in ("key", "url")),
    *(lambda record, to, n=name: record["event"].__setitem__(n, to) for name in ("eventName", "eventTime")),
]


@given(st.sampled_from(CHANGES), json_value)
def test_a_record_with_any_change_is_understood_or_refused(
    change: Callable[[Raw, object], None], to: object
) -> None:
    """One field of a good record replaced by anything: an upload, ignored, or EventError without secrets."""
    record = raw_record()
    change(record, to)
    try:
        told = repr(upload(record))
    except EventError as error:
        told = str(error)
    assert SIGNATURE not in told
    assert len(told) < 3000


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_object_key_is_found_again(key: str) -> None:
    """Whatever the object is called, a COS event about it names it, and only it."""
    found = upload(raw_record(key))
    if key.endswith("/"):
        assert found == Ignored("a directory placeholder", key)
    else:
        assert isinstance(found, UploadEvent)
        assert found.keys == (key,)
