"""What the local COS promises, asked by Tencent's own SDK, unpatched, wherever it can ask."""

import base64
import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
import qcloud_cos
import requests

from tests.cloud import faults as script
from tests.cloud.clock import Clock
from tests.cloud.cos import Account, Bucket, Cos, authorization, crc64
from tests.cloud.cos_store import Synthetic
from tests.cloud.faults import Faults, Gate, Operation
from tests.cloud.proxy import Proxy

SECRET_ID = "AKIDlocalcloudcos"
SECRET_KEY = "fake-secret-key-cos"
NAME = "faces-1250000000"
REGION = "ap-singapore"
HOST = f"{NAME}.cos.{REGION}.myqcloud.com"
CREATE_ONLY = {"x-cos-forbid-overwrite": "true"}
ServiceError = qcloud_cos.CosServiceError


class World:
    """COS with one bucket, behind a proxy, and the real SDK in front."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.faults = Faults()
        self.accounts = {SECRET_ID: Account(SECRET_KEY)}
        self.cos = Cos(self.clock, self.accounts)
        self.bucket: Bucket = self.cos.create_bucket(NAME, REGION)
        self.proxy = Proxy([self.cos], self.faults, self.clock)
        self.proxy.start()
        self.events: list[dict[str, Any]] = []
        self.cos.on_event.append(self.events.append)
        self.session = requests.Session()
        self.session.proxies = {"http": self.proxy.url}
        self.sdk = self.client()

    def client(self, **changes: Any) -> Any:
        """The SDK, without its own retries."""
        settings = {
            "Region": REGION,
            "SecretId": SECRET_ID,
            "SecretKey": SECRET_KEY,
            "Scheme": "http",
            "Proxies": {"http": self.proxy.url},
        }
        config = qcloud_cos.CosConfig(**settings | changes)
        return qcloud_cos.CosS3Client(config, retry=0, session=self.session)

    def put(self, key: str, body: bytes = b"body", **more: Any) -> Any:
        return self.sdk.put_object(Bucket=NAME, Key=key, Body=body, **more)

    def get(self, key: str, **more: Any) -> bytes:
        found = self.sdk.get_object(Bucket=NAME, Key=key, KeySimplifyCheck=False, **more)
        data = found["Body"].get_raw_stream().read()
        assert isinstance(data, bytes)
        return data

    def head(self, key: str, **more: Any) -> Any:
        return self.sdk.head_object(Bucket=NAME, Key=key, **more)

    def link(self, key: str, method: str = "GET", **more: Any) -> str:
        made = self.sdk.get_presigned_url(Bucket=NAME, Key=key, Method=method, **more)
        assert isinstance(made, str)
        return made

    def request(
        self,
        method: str,
        path: str = "/",
        *,
        parameters: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        data: bytes = b"",
        host: str = HOST,
    ) -> requests.Response:
        """A request the SDK cannot make, signed by hand. `path` is percent-encoded."""
        now = int(self.clock.timestamp())
        signed = authorization(
            SECRET_ID,
            SECRET_KEY,
            method=method,
            path=unquote(path, errors="replace"),
            start=now - 60,
            end=now + 60,
            parameters=parameters or [],
            headers=[("host", host)],
        )
        return self.session.request(
            method,
            f"http://{host}{path}",
            params=parameters,
            data=data,
            headers={"Authorization": signed, **(headers or {})},
            timeout=30,
            allow_redirects=False,
        )


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.session.close()
    made.proxy.stop()
    made.clock.close()
    assert made.proxy.mishaps == []


def refused(call: Any, *arguments: Any, **more: Any) -> tuple[int, str]:
    """Status and code of the error that a call of the SDK ends in."""
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **more)
    return caught.value.get_status_code(), caught.value.get_error_code()


NASTY_KEYS = [
    "plain",
    "a b",
    " leading and trailing ",
    "a+b",
    "100%",
    "a%2Fb",
    "a%20b",
    "你好/照片 1.jpg",
    "a//b",
    "a/./b",
    "x/../y",
    "...",
    "dir/",
    "é?&=#;:@",
    "a\\b",
    "~!*'()",
    "x" * 850,
]


@pytest.mark.parametrize("key", NASTY_KEYS, ids=lambda key: key[:20])
def test_any_key_is_stored_found_listed_linked_and_deleted_as_it_is(world: World, key: str) -> None:
    """No folding, no double decoding, on any way in or out."""
    world.put(key, key.encode())
    assert world.bucket.keys() == [key]
    assert world.get(key) == key.encode()
    assert world.head(key)["Content-Length"] == str(len(key.encode()))
    assert (
        requests.get(world.link(key), proxies={"http": world.proxy.url}, timeout=30).content == key.encode()
    )
    assert [found["Key"] for found in world.sdk.list_objects(Bucket=NAME)["Contents"]] == [key]
    world.sdk.copy_object(Bucket=NAME, Key="copy", CopySource={"Bucket": NAME, "Key": key, "Region": REGION})
    assert world.bucket.get("copy").data == key.encode()
    world.sdk.delete_objects(Bucket=NAME, Delete={"Object": [{"Key": "copy"}]})
    world.sdk.delete_object(Bucket=NAME, Key=key)
    assert world.bucket.keys() == []


@pytest.mark.parametrize("key", ["a/..", ".."])
def test_a_key_that_clients_fold_is_refused_not_misplaced(world: World, key: str) -> None:
    """HTTP clients fold a last `..` away: the signature is over another path then."""
    assert refused(world.put, key) == (403, "SignatureDoesNotMatch")
    assert world.bucket.keys() == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/" + "x" * 851, "KeyTooLong"),
        ("//x", "InvalidArgument"),
        ("/%5Cx", "InvalidArgument"),
        ("/x%1By", "InvalidArgument"),
        ("/%FF", "InvalidURI"),
    ],
)
def test_keys_cos_does_not_take_are_refused(world: World, path: str, code: str) -> None:
    """Page 13324: longer than 850 bytes, a leading slash or backslash, four control characters;
    and what is no UTF-8."""
    answer = world.request("PUT", path, data=b"x")
    assert answer.status_code == 400
    assert f"<Code>{code}</Code>" in answer.text
    assert world.bucket.keys() == []


def test_both_domains_serve_the_same_bucket(world: World) -> None:
    """myqcloud.com and tencentcos.cn."""
    world.put("k")
    other = f"{NAME}.cos.{REGION}.tencentcos.cn"
    assert world.cos.serves(other)
    assert world.request("GET", "/k", host=other).content == b"body"
    assert not world.cos.serves("faceid.tencentcloudapi.com")
    assert not world.cos.serves(f"cos.{REGION}.myqcloud.com")


def test_a_put_tells_the_md5_as_etag(world: World) -> None:
    """Product 436, page 7749."""
    answer = world.put("k", b"body")
    assert answer["ETag"] == f'"{hashlib.md5(b"body").hexdigest()}"'
    assert "x-cos-version-id" not in answer


def test_a_head_tells_all_that_was_sent_along(world: World) -> None:
    """Type, metadata, encoding; Last-Modified in whole seconds of the clock."""
    world.clock.advance(86400 * 365)
    world.put(
        "k",
        ContentType="image/jpeg",
        ContentEncoding="gzip",
        Metadata={"x-cos-meta-note": "hello"},
    )
    head = world.head("k")
    assert head["Content-Type"] == "image/jpeg"
    assert head["Content-Encoding"] == "gzip"
    assert head["x-cos-meta-note"] == "hello"
    assert head["x-cos-hash-crc64ecma"] == str(crc64(b"body"))
    assert head["Server"] == "tencent-cos"
    assert head["x-cos-request-id"]
    modified = parsedate_to_datetime(head["Last-Modified"])
    assert modified == world.bucket.get("k").written.replace(microsecond=0)
    assert abs((world.clock.now() - modified).total_seconds()) < 600


def test_the_checksum_is_the_crc_cos_uses() -> None:
    """CRC-64/XZ: the check value of the CRC catalogue."""
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA


def test_a_wrong_content_md5_stores_nothing(world: World) -> None:
    """A right one does; one that is no MD5 is told apart."""
    right = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(world.put, "k", ContentMD5=wrong) == (400, "BadDigest")
    assert refused(world.put, "k", ContentMD5="nonsense!") == (400, "InvalidDigest")
    assert world.bucket.keys() == []
    world.put("k", ContentMD5=right)
    assert "k" in world.bucket


def test_what_is_not_there_is_404(world: World) -> None:
    """GET with a code, HEAD without a body, a bucket with its own code."""
    assert refused(world.get, "none") == (404, "NoSuchKey")
    assert refused(world.head, "none") == (404, "NoSuchResource")
    assert refused(world.sdk.list_objects, Bucket="other-1250000000") == (404, "NoSuchBucket")
    world.put("there")
    with pytest.raises(KeyError, match="'there'"):
        world.bucket.get("none")


def test_an_error_body_has_every_element_filled(world: World) -> None:
    """Else the SDK knows only `Unknown` (page 7730)."""
    with pytest.raises(ServiceError) as caught:
        world.get("no <such> & key")
    error = caught.value
    assert error.get_error_code() == "NoSuchKey"
    assert error.get_error_msg()
    assert error.get_resource_location() == f"{HOST}/no <such> & key"
    assert error.get_request_id()
    assert error.get_trace_id() not in ("", "Unknown")


def test_a_bucket_in_another_region_is_not_found_or_elsewhere(world: World) -> None:
    """Both have been seen; which one is a switch. The SDK takes a 301 for success."""
    client = world.client(Region="ap-bangkok")
    assert refused(client.put_object, Bucket=NAME, Key="k", Body=b"x") == (404, "NoSuchBucket")
    world.cos.wrong_region = "PermanentRedirect"
    client.put_object(Bucket=NAME, Key="k", Body=b"x")
    answer = world.request("PUT", "/k", host=HOST.replace(REGION, "ap-bangkok"))
    assert (answer.status_code, answer.headers["Location"]) == (301, f"http://{HOST}/")
    assert world.bucket.keys() == []


# Create-only


def test_create_only_writes_once(world: World) -> None:
    """Page 7749: 409 FileAlreadyExists, and the first bytes stay."""
    world.put("k", b"first", Metadata=CREATE_ONLY)
    assert refused(world.put, "k", b"second", Metadata=CREATE_ONLY) == (409, "FileAlreadyExists")
    assert world.bucket.get("k").data == b"first"
    world.put("k", b"third")
    assert world.bucket.get("k").data == b"third"
    world.bucket.delete("k")
    world.put("k", b"again", Metadata=CREATE_ONLY)


@pytest.mark.parametrize("two_winners", [False, True])
def test_simultaneous_creators_have_one_winner_unless_told_otherwise(world: World, two_winners: bool) -> None:
    """The switch plays what has been reported of real COS; the last writer's bytes stay."""
    world.bucket.two_winners = two_winners
    world.bucket.two_winners_window = 60.0
    gate = Gate()
    world.faults.add("PutObject", then=script.hold(gate), times=2)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(world.put, "k", body, Metadata=CREATE_ONLY) for body in (b"1", b"2")]
        gate.wait_reached(2)
        gate.release()
        errors = [each.exception(timeout=30) for each in asked]
    assert errors.count(None) == (2 if two_winners else 1)
    if two_winners:
        world.clock.advance(61)
        assert refused(world.put, "k", Metadata=CREATE_ONLY) == (409, "FileAlreadyExists")


def test_create_only_is_ignored_where_versioning_is_on(world: World) -> None:
    """Page 7749; the version id in the answer gives such a bucket away."""
    world.sdk.put_bucket_versioning(Bucket=NAME, Status="Enabled")
    first = world.put("k", b"first", Metadata=CREATE_ONLY)
    second = world.put("k", b"second", Metadata=CREATE_ONLY)
    assert world.get("k") == b"second"
    assert first["x-cos-version-id"] != second["x-cos-version-id"]
    assert world.get("k", VersionId=first["x-cos-version-id"]) == b"first"


@pytest.mark.parametrize("before", ["nothing", "unversioned", "a version"])
def test_create_only_is_ignored_where_versioning_is_suspended_and_nothing_says_so(
    world: World, before: str
) -> None:
    """Page 7749, its sample 7: no version id in the answer, whatever was there; the object is replaced."""
    if before == "unversioned":
        world.put("k", b"before")
    world.sdk.put_bucket_versioning(Bucket=NAME, Status="Enabled")
    kept = world.put("k", b"before")["x-cos-version-id"] if before == "a version" else None
    world.sdk.put_bucket_versioning(Bucket=NAME, Status="Suspended")
    for body in (b"first", b"second"):
        assert "x-cos-version-id" not in world.put("k", body, Metadata=CREATE_ONLY)
        assert world.get("k") == body
    assert kept is None or world.get("k", VersionId=kept) == b"before"


def test_a_suspended_bucket_names_the_version_of_what_is_put_together(world: World) -> None:
    """Page 7742: `null`; and create-only is ignored here as well."""
    world.put("k", b"before")
    world.bucket.versioning = "Suspended"
    upload = world.sdk.create_multipart_upload(Bucket=NAME, Key="k", Metadata=CREATE_ONLY)["UploadId"]
    part = world.sdk.upload_part(Bucket=NAME, Key="k", Body=b"parts", PartNumber=1, UploadId=upload)
    parts = {"Part": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = world.sdk.complete_multipart_upload(NAME, "k", upload, parts)
    assert done["x-cos-version-id"] == "null"
    assert world.get("k") == b"parts"


# Reading


@pytest.mark.parametrize(
    ("wanted", "body", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ],
)
def test_a_range_is_answered_206(world: World, wanted: str, body: bytes, content_range: str) -> None:
    """Page 7753."""
    world.put("k", b"0123456789")
    found = world.sdk.get_object(Bucket=NAME, Key="k", Range=wanted)
    assert found["Body"].get_raw_stream().read() == body
    assert found["Content-Range"] == content_range


def test_a_range_outside_is_416(world: World) -> None:
    """And an empty object has no range at all."""
    world.put("k", b"0123456789")
    world.put("empty", b"")
    assert refused(world.get, "k", Range="bytes=10-") == (416, "InvalidRange")
    assert refused(world.get, "empty", Range="bytes=0-0") == (416, "InvalidRange")
    assert world.get("empty") == b""


def test_conditions_on_reads_are_honoured(world: World) -> None:
    """Page 7753: 412 where If-Match fails, 304 where If-None-Match does."""
    etag = world.put("k", b"first")["ETag"]
    assert world.get("k", IfMatch=etag) == b"first"
    assert world.request("GET", "/k", headers={"If-None-Match": etag}).status_code == 304
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert world.request("GET", "/k", headers=later).status_code == 304
    world.put("k", b"second")
    assert refused(world.get, "k", IfMatch=etag) == (412, "PreconditionFailed")
    assert world.get("k", IfNoneMatch=etag) == b"second"
    before = {"If-Unmodified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert world.request("GET", "/k", headers=before).status_code == 412
    head = world.request("HEAD", "/k", headers={"If-Match": etag})
    assert (head.status_code, head.content) == (412, b"")


def test_a_link_may_change_the_answers_headers(world: World) -> None:
    """Page 7753: response-content-type and its like."""
    world.put("k")
    answer = world.session.get(world.link("k", Params={"response-content-type": "image/png"}))
    assert answer.headers["Content-Type"] == "image/png"


def test_links_end_and_serve_one_method(world: World) -> None:
    """By the clock; and a link to GET does not PUT."""
    world.put("k")
    link = world.link("k", Expired=60)
    assert world.session.get(link).content == b"body"
    assert world.session.put(link, data=b"x").status_code == 403
    upload = world.link("new", "PUT")
    assert world.session.put(upload, data=b"uploaded").status_code == 200
    assert world.bucket.get("new").data == b"uploaded"
    world.clock.advance(61)
    answer = world.session.get(link)
    assert answer.status_code == 403
    assert "Request has expired" in answer.text


def test_archived_objects_show_but_do_not_come(world: World) -> None:
    """HEAD names the class, GET is 403 InvalidObjectState."""
    world.put("k")
    world.bucket.archive("k")
    assert world.head("k")["x-cos-storage-class"] == "ARCHIVE"
    assert refused(world.get, "k") == (403, "InvalidObjectState")
    world.put("cold", StorageClass="DEEP_ARCHIVE")
    assert refused(world.get, "cold") == (403, "InvalidObjectState")
    world.put("warm", StorageClass="STANDARD")
    assert "x-cos-storage-class" not in world.head("warm")


def test_an_encrypted_objects_etag_is_no_md5(world: World) -> None:
    """With keys of KMS, that is; AES256 keeps the MD5. The answers say which it is."""
    md5 = hashlib.md5(b"body").hexdigest()
    world.put("kms", ServerSideEncryption="cos/kms")
    world.put("aes", ServerSideEncryption="AES256")
    assert world.head("kms")["x-cos-server-side-encryption"] == "cos/kms"
    assert world.head("aes")["x-cos-server-side-encryption"] == "AES256"
    assert world.head("kms")["ETag"] != f'"{md5}"'
    assert world.head("aes")["ETag"] == f'"{md5}"'
    assert world.bucket.get("kms").md5 == md5
    assert world.bucket.get("kms").encryption == "cos/kms"


def test_a_lagging_head_shows_what_was_before(world: World) -> None:
    """Nothing yet, or the older bytes, to HEAD, GET and links, until the clock has moved on."""
    world.bucket.head_lag = 10.0
    world.put("k", b"first")
    assert refused(world.head, "k") == (404, "NoSuchResource")
    assert world.session.get(world.link("k")).status_code == 404
    assert world.bucket.get("k").data == b"first", "tests see the truth"
    world.clock.advance(11)
    world.put("k", b"second")
    assert world.get("k") == b"first"
    world.clock.advance(11)
    assert world.get("k") == b"second"


def test_a_lagging_list_misses_what_was_just_written_and_deleted(world: World) -> None:
    """While HEAD already sees it."""

    def listed() -> list[str]:
        found = world.sdk.list_objects(Bucket=NAME).get("Contents", [])
        return [each["Key"] for each in found]

    world.put("old")
    world.bucket.list_lag = 10.0
    world.clock.advance(11)
    world.put("new")
    world.sdk.delete_object(Bucket=NAME, Key="old")
    assert listed() == ["old"]
    assert world.head("new")
    world.clock.advance(11)
    assert listed() == ["new"]


# Lists


def pages(world: World, **more: Any) -> list[str]:
    """All keys and common prefixes, page after page, as they come."""
    found: list[str] = []
    marker = ""
    while True:
        page = world.sdk.list_objects(Bucket=NAME, Marker=marker, **more)
        found += [each["Key"] for each in page.get("Contents", [])]
        found += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        if page["IsTruncated"] == "false":
            return found
        marker = page["NextMarker"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lists_come_in_byte_order_whatever_the_page_size(world: World, size: int) -> None:
    """Page 7734: UTF-8 order, which is not UTF-16's; each key once."""
    keys = ["Z", "a", "a b", "a%2Fb", "a/b", "\uffee", "\U0001f600", "你", "é"]
    for key in reversed(keys):
        world.put(key)
    assert pages(world, MaxKeys=size) == sorted(keys, key=lambda key: key.encode())


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_delimiter_rolls_keys_up(world: World, size: int) -> None:
    """Each common prefix once, over all pages."""
    for key in ("p/a", "p/b/1", "p/b/2", "p/c/1", "p/d", "q/x"):
        world.put(key)
    assert sorted(pages(world, Prefix="p/", Delimiter="/", MaxKeys=size)) == [
        "p/a",
        "p/b/",
        "p/c/",
        "p/d",
    ]


def test_a_list_of_nothing_has_no_contents(world: World) -> None:
    """The SDK's dict has no such key then; numbers are strings."""
    page = world.sdk.list_objects(Bucket=NAME, Prefix="none")
    assert "Contents" not in page
    assert (page["IsTruncated"], page["MaxKeys"]) == ("false", "1000")


def test_a_list_encodes_only_when_asked(world: World) -> None:
    """encoding-type=url is what the SDK asks for by itself."""
    world.put("a b/&")
    plain = world.request("GET", parameters=[("prefix", "a")])
    assert "<Key>a b/&amp;</Key>" in plain.text
    encoded = world.request("GET", parameters=[("prefix", "a"), ("encoding-type", "url")])
    assert "<Key>a%20b%2F%26</Key>" in encoded.text
    assert world.request("GET", parameters=[("max-keys", "-1")]).status_code == 400


def test_no_page_holds_more_than_a_thousand(world: World) -> None:
    """However many are asked for."""
    for number in range(1001):
        world.bucket.put(f"k{number:04}", b"", silent=True)
    page = world.sdk.list_objects(Bucket=NAME, MaxKeys=5000)
    assert (len(page["Contents"]), page["IsTruncated"]) == (1000, "true")
    assert len(pages(world)) == 1001


# Deletion and versions


def test_deleting_is_204_even_where_nothing_is(world: World) -> None:
    """Page 7743."""
    world.sdk.delete_object(Bucket=NAME, Key="none")
    assert world.request("DELETE", "/none").status_code == 204
    assert world.events == []


def test_a_key_can_come_back_after_its_deletion(world: World) -> None:
    """And is listed once."""
    for body in (b"first", b"second"):
        world.put("k", body)
        assert world.bucket.keys() == ["k"]
        assert world.get("k") == body
        world.sdk.delete_object(Bucket=NAME, Key="k")
        assert world.bucket.keys() == []


def test_many_are_deleted_in_one_request(world: World) -> None:
    """Page 8289: quiet answers name only what failed; Content-MD5 is checked."""
    for key in ("a", "b c", "d"):
        world.put(key)
    objects = [{"Key": "a"}, {"Key": "none"}]
    loud = world.sdk.delete_objects(Bucket=NAME, Delete={"Object": objects})
    assert [each["Key"] for each in loud["Deleted"]] == ["a", "none"]
    quiet = world.sdk.delete_objects(Bucket=NAME, Delete={"Quiet": "true", "Object": [{"Key": "b c"}]})
    assert "Deleted" not in quiet
    assert world.bucket.keys() == ["d"]
    body = b"<Delete><Object><Key>d</Key></Object></Delete>"
    for headers in ({}, {"Content-MD5": base64.b64encode(bytes(16)).decode()}):
        answer = world.request("POST", parameters=[("delete", "")], headers=headers, data=body)
        assert answer.status_code == 400
    assert world.bucket.keys() == ["d"]


def test_versions_are_kept_and_deletion_leaves_a_marker(world: World) -> None:
    """Pages 7743 and 35521; deleting the marker brings the object back."""
    world.sdk.put_bucket_versioning(Bucket=NAME, Status="Enabled")
    assert world.sdk.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
    first = world.put("k", b"first")["x-cos-version-id"]
    world.put("k", b"second")
    marker = world.sdk.delete_object(Bucket=NAME, Key="k")
    assert marker["x-cos-delete-marker"] == "true"
    assert refused(world.get, "k", VersionId=marker["x-cos-version-id"])[0] == 404
    assert refused(world.get, "k") == (404, "NoSuchKey")
    assert world.bucket.keys() == []
    found = world.sdk.list_objects_versions(Bucket=NAME)
    assert [each["IsLatest"] for each in found["DeleteMarker"]] == ["true"]
    assert [each["VersionId"] for each in found["Version"]][-1] == first
    assert world.get("k", VersionId=first) == b"first"
    world.sdk.delete_object(Bucket=NAME, Key="k", VersionId=marker["x-cos-version-id"])
    assert world.get("k") == b"second"
    world.sdk.delete_object(Bucket=NAME, Key="k", VersionId=first)
    assert refused(world.get, "k", VersionId=first) == (404, "NoSuchVersion")


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_all_versions_are_listed_whatever_the_page_size(world: World, size: int) -> None:
    """Each version once, the newest of a key first."""
    world.bucket.versioning = "Enabled"
    for key in ("a", "b", "a", "c", "a"):
        world.put(key)
    world.bucket.delete("b")
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = world.sdk.list_objects_versions(Bucket=NAME, MaxKeys=size, **more)
        for kind in ("Version", "DeleteMarker"):
            found += [each["Key"] for each in page.get(kind, [])]
        if page["IsTruncated"] == "false":
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert sorted(found) == ["a", "a", "a", "b", "b", "c"]


def test_suspending_keeps_old_versions_and_one_null_version(world: World) -> None:
    """What was there before versioning is the null version too."""
    world.put("k", b"before")
    world.bucket.versioning = "Enabled"
    world.put("k", b"enabled")
    assert world.get("k", VersionId="null") == b"before"
    world.bucket.versioning = "Suspended"
    world.put("k", b"suspended")
    assert world.get("k", VersionId="null") == b"suspended"
    assert len(world.sdk.list_objects_versions(Bucket=NAME)["Version"]) == 2


def test_versions_of_many_are_deleted_for_good_in_one_request(world: World) -> None:
    """Page 8289: with a VersionId per object; markers go the same way, and nothing is left."""
    world.bucket.versioning = "Enabled"
    for key in ("a", "b"):
        world.put(key, b"first")
        world.put(key, b"second")
        world.sdk.delete_object(Bucket=NAME, Key=key)
    found = world.sdk.list_objects_versions(Bucket=NAME, Prefix="a")
    every = [*found["Version"], *found["DeleteMarker"]]
    objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in every]
    done = world.sdk.delete_objects(Bucket=NAME, Delete={"Object": objects})
    assert sorted(each["VersionId"] for each in done["Deleted"]) == sorted(
        each["VersionId"] for each in every
    )
    left = world.sdk.list_objects_versions(Bucket=NAME)
    assert {each["Key"] for each in [*left["Version"], *left["DeleteMarker"]]} == {"b"}


@pytest.mark.parametrize("state", ["Enabled", "Suspended"])
def test_a_bucket_tells_whether_it_keeps_versions(world: World, state: str) -> None:
    """Page 19888: never, or one of two states."""
    assert "Status" not in (world.sdk.get_bucket_versioning(Bucket=NAME) or {})
    world.sdk.put_bucket_versioning(Bucket=NAME, Status=state)
    assert world.sdk.get_bucket_versioning(Bucket=NAME)["Status"] == state


def test_an_unversioned_bucket_says_nothing_of_versions(world: World) -> None:
    """How to tell a bucket that never had versioning."""
    answer = world.request("GET", parameters=[("versioning", "")])
    assert "<Status>" not in answer.text


# Multipart uploads


def test_a_multipart_upload_has_an_etag_of_its_own(world: World) -> None:
    """Pages 7746, 7750 and 7742: the digest of the parts' digests and their number; nothing is there
    before it is completed."""
    world.bucket.min_part_size = 5
    upload = world.sdk.create_multipart_upload(Bucket=NAME, Key="big file", ContentType="a/b")
    upload_id = upload["UploadId"]
    parts = []
    for number, body in enumerate((b"one!!", b"two!!", b"3"), 1):
        sent = world.sdk.upload_part(
            Bucket=NAME, Key="big file", Body=body, PartNumber=number, UploadId=upload_id
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    assert world.bucket.keys() == []
    assert len(world.sdk.list_parts(Bucket=NAME, Key="big file", UploadId=upload_id)["Part"]) == 3
    done = world.sdk.complete_multipart_upload(
        Bucket=NAME, Key="big file", UploadId=upload_id, MultipartUpload={"Part": parts}
    )
    joined = b"".join(hashlib.md5(body).digest() for body in (b"one!!", b"two!!", b"3"))
    assert done["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-3"'
    assert world.get("big file") == b"one!!two!!3"
    assert world.head("big file")["Content-Type"] == "a/b"
    (record,) = world.events[-1]["Records"]
    assert record["event"]["eventName"] == "cos:ObjectCreated:CompleteMultipartUpload"
    assert world.sdk.list_multipart_uploads(Bucket=NAME).get("Upload") is None


def test_a_multipart_upload_is_checked_and_can_be_given_up(world: World) -> None:
    """Wrong ETags, small parts, unknown uploads; an abort forgets the parts."""
    made = world.sdk.create_multipart_upload(Bucket=NAME, Key="k")
    upload = {"Bucket": NAME, "Key": "k", "UploadId": made["UploadId"]}
    world.sdk.upload_part(Body=b"x", PartNumber=4, **upload)
    etags = [world.sdk.upload_part(Body=b"x", PartNumber=n, **upload)["ETag"] for n in (1, 2)]

    def complete(*parts: tuple[int, str]) -> tuple[int, str]:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return refused(world.sdk.complete_multipart_upload, MultipartUpload={"Part": listed}, **upload)

    assert complete((1, etags[0]), (2, etags[1])) == (400, "EntityTooSmall")
    world.bucket.min_part_size = 1
    assert complete((1, etags[0]), (2, '"wrong"')) == (400, "InvalidPart")
    assert complete((1, etags[0]), (3, etags[1])) == (400, "InvalidPart")
    assert complete((2, etags[1]), (4, etags[1])) == (400, "InvalidPart")
    assert complete((2, etags[1]), (1, etags[0])) == (400, "InvalidPartOrder")
    world.sdk.abort_multipart_upload(**upload)
    assert complete((1, etags[0])) == (404, "NoSuchUpload")
    assert world.bucket.keys() == []


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_unfinished_uploads_are_listed_by_key_whatever_the_page_size(world: World, size: int) -> None:
    """Page 7736: each once, under any key; what is given up or completed is not there."""
    keys = ["mine/a b+%20", "mine/b", "mine/b", "mine/张三", "yours"]
    started = [world.sdk.create_multipart_upload(Bucket=NAME, Key=key)["UploadId"] for key in keys]
    world.sdk.abort_multipart_upload(Bucket=NAME, Key="mine/b", UploadId=started[1])
    found: list[tuple[str, str]] = []
    more: dict[str, str] = {}
    while True:
        page = world.sdk.list_multipart_uploads(Bucket=NAME, Prefix="mine/", MaxUploads=size, **more)
        found += [(each["Key"], each["UploadId"]) for each in page.get("Upload", [])]
        if page["IsTruncated"] == "false":
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert found == [(keys[0], started[0]), (keys[2], started[2]), (keys[3], started[3])]
    for key, upload in found:
        world.sdk.abort_multipart_upload(Bucket=NAME, Key=key, UploadId=upload)
    assert world.sdk.list_multipart_uploads(Bucket=NAME, Prefix="mine/").get("Upload") is None


def test_uploads_of_one_key_go_on_behind_the_id_that_was_named(world: World) -> None:
    """A marker of key and id leaves out no upload of that key."""
    started = sorted(world.sdk.create_multipart_upload(Bucket=NAME, Key="k")["UploadId"] for _ in range(3))
    page = world.sdk.list_multipart_uploads(Bucket=NAME, KeyMarker="k", UploadIdMarker=started[0])
    assert [each["UploadId"] for each in page["Upload"]] == started[1:]
    assert world.sdk.list_multipart_uploads(Bucket=NAME, KeyMarker="k").get("Upload") is None


def test_parts_are_listed_whatever_the_page_size(world: World) -> None:
    """Page 7747: in the order of their numbers."""
    made = world.sdk.create_multipart_upload(Bucket=NAME, Key="a b+%20")
    upload = {"Bucket": NAME, "Key": "a b+%20", "UploadId": made["UploadId"]}
    for number in (7, 1, 3):
        world.sdk.upload_part(Body=b"x", PartNumber=number, **upload)
    page = world.sdk.list_parts(MaxParts=2, **upload)
    assert (page["Key"], page["IsTruncated"], page["NextPartNumberMarker"]) == ("a b+%20", "true", "3")
    rest = world.sdk.list_parts(PartNumberMarker=page["NextPartNumberMarker"], **upload)
    numbers = [each["PartNumber"] for each in [*page["Part"], *rest["Part"]]]
    assert (numbers, rest["IsTruncated"]) == (["1", "3", "7"], "false")


def test_the_sdks_own_upload_helper_works(world: World) -> None:
    """It lists uploads, sends parts from several threads and completes."""
    data = bytes(range(256)) * 4096 * 3
    world.sdk.upload_file_from_buffer(
        Bucket=NAME, Key="k", Body=io.BytesIO(data), MaxBufferSize=2, PartSize=1
    )
    assert world.bucket.get("k").data == data
    assert world.bucket.get("k").etag.endswith("-3")


def test_a_gigabyte_needs_no_gigabyte(world: World) -> None:
    """Synthetic objects are made on the way out; ranges of them always have the same bytes."""
    made = world.bucket.put_synthetic("big", 1024**3)
    assert world.head("big")["Content-Length"] == str(1024**3)
    assert "-" in made.etag
    middle = world.get("big", Range="bytes=123456789-123556788")
    assert middle == b"".join(Synthetic(1024**3).pieces(123456789, 123556789))
    small = world.bucket.put_synthetic("small", 300_001, multipart=False)
    assert small.etag == hashlib.md5(world.get("small")).hexdigest() == small.md5


# Who may what


def test_permanent_and_temporary_keys_and_links(world: World) -> None:
    """A token must come along, in the header or in the link, and ends by the clock."""
    world.put("k")
    expires = datetime.now(timezone.utc) + timedelta(hours=1)
    world.accounts["AKIDlocalcloudtemp"] = Account("fake-temp", "fake-token", expires)
    temporary = {"SecretId": "AKIDlocalcloudtemp", "SecretKey": "fake-temp"}
    good = world.client(Token="fake-token", **temporary)
    good.head_object(Bucket=NAME, Key="k")
    link = good.get_presigned_url(
        Bucket=NAME, Key="k", Method="GET", Params={"x-cos-security-token": "fake-token"}
    )
    assert world.session.get(link).content == b"body"
    bare = good.get_presigned_url(Bucket=NAME, Key="k", Method="GET")
    assert world.session.get(bare).status_code == 403
    assert refused(world.client(**temporary).head_object, Bucket=NAME, Key="k")[0] == 403
    world.clock.advance(3600)
    assert refused(good.get_object, Bucket=NAME, Key="k") == (400, "ExpiredToken")
    del world.accounts["AKIDlocalcloudtemp"]
    assert refused(good.get_object, Bucket=NAME, Key="k") == (403, "InvalidAccessKeyId")


def test_a_policy_allows_by_operation_bucket_and_key(world: World) -> None:
    """What is denied has no effect; a deletion of many is judged key by key, by both names."""

    asked: list[str] = []

    def allowed(operation: Operation) -> bool:
        asked.append(operation.name)
        if operation.name == "DeleteMultipleObjects":
            return True
        return operation.name != "PutObject" and operation.key.startswith("mine/")

    world.put("mine/k")
    world.put("yours/k")
    world.accounts["AKIDlocalcloudlimited"] = Account("fake-limited", allowed=allowed)
    sdk = world.client(SecretId="AKIDlocalcloudlimited", SecretKey="fake-limited")
    sdk.head_object(Bucket=NAME, Key="mine/k")
    sdk.list_objects(Bucket=NAME, Prefix="mine/")
    denied = (403, "AccessDenied")
    assert refused(sdk.get_object, Bucket=NAME, Key="yours/k") == denied
    assert refused(sdk.put_object, Bucket=NAME, Key="mine/new", Body=b"") == denied
    assert refused(sdk.list_objects, Bucket=NAME) == denied
    result = sdk.delete_objects(Bucket=NAME, Delete={"Object": [{"Key": "mine/k"}, {"Key": "yours/k"}]})
    assert [each["Key"] for each in result["Deleted"]] == ["mine/k"]
    assert [each["Code"] for each in result["Error"]] == ["AccessDenied"]
    assert asked[-4:] == ["DeleteMultipleObjects", "DeleteObject"] * 2
    assert world.bucket.keys() == ["yours/k"]


OPERATIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("GetBucketVersioning", "", "get_bucket_versioning", {}),
    ("PutBucketVersioning", "", "put_bucket_versioning", {"Status": "Enabled"}),
    ("GetBucketLifecycle", "", "get_bucket_lifecycle", {}),
    ("DeleteBucketLifecycle", "", "delete_bucket_lifecycle", {}),
    ("GetBucketObjectVersions", "mine/", "list_objects_versions", {"Prefix": "mine/"}),
    ("ListMultipartUploads", "mine/", "list_multipart_uploads", {"Prefix": "mine/"}),
    ("AbortMultipartUpload", "k", "abort_multipart_upload", {"Key": "k", "UploadId": "u"}),
    ("ListParts", "k", "list_parts", {"Key": "k", "UploadId": "u"}),
    ("DeleteObject", "k", "delete_object", {"Key": "k", "VersionId": "v"}),
    ("GetObject", "k", "get_object", {"Key": "k", "VersionId": "v"}),
    ("HeadObject", "k", "head_object", {"Key": "k", "VersionId": "v"}),
    ("HeadBucket", "", "head_bucket", {}),
    ("GetBucket", "mine/", "list_objects", {"Prefix": "mine/"}),
]


@pytest.mark.parametrize(("name", "key", "method", "more"), OPERATIONS, ids=[each[0] for each in OPERATIONS])
def test_every_operation_asks_the_policy_under_its_documented_name(
    world: World, name: str, key: str, method: str, more: dict[str, Any]
) -> None:
    """With bucket, region and key or prefix; refused, it has no effect; unsigned, it is never asked."""
    asked: list[Operation] = []

    def refuse(operation: Operation) -> bool:
        asked.append(operation)
        return False

    world.accounts["AKIDlocalcloudlimited"] = Account("fake-limited", allowed=refuse)
    sdk = world.client(SecretId="AKIDlocalcloudlimited", SecretKey="fake-limited")
    before = world.bucket.versioning
    status, code = refused(getattr(sdk, method), Bucket=NAME, **more)
    assert (status, code) in [(403, "AccessDenied"), (403, "Unknown")]  # a HEAD has no body
    assert asked == [Operation("cos", name, NAME, key, REGION)]
    assert world.bucket.versioning == before
    wrong = world.client(SecretId="AKIDlocalcloudlimited", SecretKey="fake-wrong")
    assert refused(getattr(wrong, method), Bucket=NAME, **more)[0] == 403
    unsigned = world.client(Anonymous=True)
    assert refused(getattr(unsigned, method), Bucket=NAME, **more)[0] == 403
    assert len(asked) == 1


def test_the_wrong_secret_key_does_nothing(world: World) -> None:
    """The error shows what was signed, as the real one does."""
    sdk = world.client(SecretKey="fake-wrong")
    with pytest.raises(ServiceError) as caught:
        sdk.put_object(Bucket=NAME, Key="k", Body=b"x")
    assert caught.value.get_error_code() == "SignatureDoesNotMatch"
    assert "<StringToSign>sha1\n" in caught.value.get_origin_msg()
    assert world.bucket.keys() == []


# Buckets


def test_a_bucket_is_there_and_has_no_lifecycle_until_it_is_given_one(world: World) -> None:
    """Pages 7735 and 8278."""
    assert world.sdk.bucket_exists(Bucket=NAME)
    assert not world.sdk.bucket_exists(Bucket="other-1250000000")
    missing = (404, "NoSuchLifecycleConfiguration")
    assert refused(world.sdk.get_bucket_lifecycle, Bucket=NAME) == missing
    rule = {
        "ID": "end",
        "Status": "Enabled",
        "Filter": {"Prefix": "uploads/"},
        "Expiration": {"Days": "30"},
    }
    world.sdk.put_bucket_lifecycle(Bucket=NAME, LifecycleConfiguration={"Rule": [rule]})
    kept = world.sdk.get_bucket_lifecycle(Bucket=NAME)
    assert kept["Rule"][0]["Filter"] == {"Prefix": "uploads/"}
    world.sdk.delete_bucket_lifecycle(Bucket=NAME)
    assert refused(world.sdk.get_bucket_lifecycle, Bucket=NAME) == missing


def test_rules_of_the_lifecycle_remove_what_is_old_enough(world: World) -> None:
    """By prefix and day; old versions and unfinished uploads by their own rules; no event tells of it."""
    world.bucket.versioning = "Enabled"
    for key in ("uploads/a", "uploads/a", "livepair/a"):
        world.put(key)
    world.sdk.create_multipart_upload(Bucket=NAME, Key="uploads/part")
    expiration = {"Filter": {"Prefix": "uploads/"}, "Expiration": {"Days": "2"}}
    uploads = {
        "ID": "uploads",
        "Status": "Enabled",
        **expiration,
        "NoncurrentVersionExpiration": {"NoncurrentDays": "3"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "1"},
    }
    off = {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": "1"}}
    world.sdk.put_bucket_lifecycle(Bucket=NAME, LifecycleConfiguration={"Rule": [uploads, off]})
    world.events.clear()

    def after_a_day() -> tuple[int, list[str], int]:
        world.clock.advance(86400)
        world.bucket.apply_lifecycle()
        listed = world.sdk.list_objects_versions(Bucket=NAME, Prefix="uploads/")
        return len(world.bucket.uploads), world.bucket.keys(), len(listed.get("Version", []))

    assert after_a_day() == (0, ["livepair/a", "uploads/a"], 2)
    assert after_a_day() == (0, ["livepair/a"], 2)
    assert after_a_day() == (0, ["livepair/a"], 1)
    assert after_a_day() == (0, ["livepair/a"], 1)
    assert after_a_day() == (0, ["livepair/a"], 0)
    assert world.events == []
    world.sdk.delete_bucket_lifecycle(Bucket=NAME)
    assert after_a_day() == (0, ["livepair/a"], 0)


def test_what_is_not_played_says_so(world: World) -> None:
    """Never mistaken for something else."""
    assert refused(world.sdk.get_bucket_acl, Bucket=NAME) == (501, "NotImplemented")
    assert refused(world.sdk.get_object_tagging, Bucket=NAME, Key="k") == (501, "NotImplemented")


@pytest.mark.parametrize(("name", "region"), [("faces", REGION), ("Faces-1250000000", REGION), (NAME, "sg")])
def test_a_bucket_name_ends_in_its_appid(world: World, name: str, region: str) -> None:
    """And regions have long names: a short one is a mistake of the test."""
    with pytest.raises(ValueError, match="name-appid"):
        world.cos.create_bucket(name, region)
    with pytest.raises(ValueError, match="already"):
        world.cos.create_bucket(NAME, REGION)


# Faults, as COS forms them


def test_a_scripted_refusal_is_an_error_of_cos(world: World) -> None:
    """The SDK reads its code; nothing was stored."""
    fault = world.faults.add(
        "PutObject", key="uploads/*", then=script.refuse(503, "SlowDown", "Reduce your rate.")
    )
    world.put("other")
    assert refused(world.put, "uploads/k") == (503, "SlowDown")
    assert fault.hits == 1
    assert world.bucket.keys() == ["other"]


def test_a_lost_answer_leaves_the_object(world: World) -> None:
    """The trap of create-only writes: the owner's repetition is told that it lost."""
    world.faults.add("PutObject", then=script.cut_after())
    with pytest.raises(qcloud_cos.CosClientError):
        world.put("k", Metadata=CREATE_ONLY)
    assert refused(world.put, "k", Metadata=CREATE_ONLY) == (409, "FileAlreadyExists")


def test_the_log_names_operations_as_cos_does(world: World) -> None:
    """So that tests can count them; the key of a LIST is its prefix."""
    world.put("k")
    world.head("k")
    world.sdk.list_objects(Bucket=NAME, Prefix="p/")
    world.session.get(world.link("k"))
    world.sdk.delete_objects(Bucket=NAME, Delete={"Object": [{"Key": "k"}]})
    assert [(e.service, e.operation, e.bucket, e.key, e.status) for e in world.proxy.log] == [
        ("cos", "PutObject", NAME, "k", 200),
        ("cos", "HeadObject", NAME, "k", 200),
        ("cos", "GetBucket", NAME, "p/", 200),
        ("cos", "GetObject", NAME, "k", 200),
        ("cos", "DeleteMultipleObjects", NAME, "", 200),
    ]


# Events


def test_an_upload_causes_an_event_as_real_ones_are(world: World) -> None:
    """Short and long regions, the raw key, an encoded URL, ETag with quotes, the uploader's
    signature, and a reqid that is always 0."""
    world.put("dir/a b+你.gz", b"body", ContentType="x/y", Metadata={"x-cos-meta-a": "1"})
    (event,) = world.events
    (record,) = event["Records"]
    cos, happened = record["cos"], record["event"]
    assert cos["cosBucket"] == {
        "region": "sg",
        "cosRegion": REGION,
        "s3Region": REGION,
        "name": "faces",
        "appid": "1250000000",
    }
    subject = cos["cosObject"]
    assert subject["key"] == "/1250000000/faces/dir/a b+你.gz"
    assert subject["url"] == f"http://{HOST}/{quote('dir/a b+你.gz')}"
    assert unquote(urlsplit(subject["url"]).path) == "/dir/a b+你.gz"
    assert (subject["size"], subject["vid"]) == (4, "")
    meta = subject["meta"]
    assert meta.pop("x-cos-request-id")
    assert meta == {
        "ETag": f'"{hashlib.md5(b"body").hexdigest()}"',
        "Content-Type": "x/y",
        "x-cos-meta-a": "1",
    }
    assert cos["cosNotificationId"] == "unkown"
    assert happened["eventName"] == "cos:ObjectCreated:Put"
    assert happened["reqid"] == 0
    assert isinstance(happened["eventTime"], int)
    headers = happened["requestParameters"]["requestHeaders"]
    assert f"q-ak={SECRET_ID}" in headers["Authorization"]


def test_old_events_know_neither_long_region_nor_etag(world: World) -> None:
    """As they were before 2021."""
    world.bucket.event_shape = "old"
    world.put("k")
    cos = world.events[0]["Records"][0]["cos"]
    assert cos["cosBucket"] == {"region": "sg", "name": "faces", "appid": "1250000000"}
    assert "ETag" not in cos["cosObject"]["meta"]


def test_every_way_of_changing_an_object_is_told(world: World) -> None:
    """Also the direct ways of tests, unless they are silent; what is refused is not."""
    world.bucket.put("a", b"x")
    world.bucket.put("b", b"x", {"Content-Type": "x/y"}, event="Post")
    world.bucket.put("c", b"x", silent=True)
    world.sdk.copy_object(Bucket=NAME, Key="d", CopySource={"Bucket": NAME, "Key": "c", "Region": REGION})
    refused(world.put, "a", Metadata=CREATE_ONLY)
    world.sdk.delete_object(Bucket=NAME, Key="a")
    world.bucket.delete("b", silent=True)
    told = [
        (record["event"]["eventName"], record["cos"]["cosObject"]["key"].rpartition("/")[2])
        for event in world.events
        for record in event["Records"]
    ]
    assert told == [
        ("cos:ObjectCreated:Put", "a"),
        ("cos:ObjectCreated:Post", "b"),
        ("cos:ObjectCreated:Copy", "d"),
        ("cos:ObjectRemove:Delete", "a"),
    ]


def test_the_object_is_there_when_its_event_is_told(world: World) -> None:
    """And the uploader has no answer yet."""
    found: list[bytes] = []
    world.cos.on_event.append(lambda event: found.append(world.bucket.get("k").data))
    world.put("k")
    assert found == [b"body"]
