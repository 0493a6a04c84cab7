"""What the local cloud promises of COS signatures: only an untouched, timely request passes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import qcloud_cos
from multidict import CIMultiDict, CIMultiDictProxy

from tests.cloud.cos_sign import (
    Account,
    Refused,
    authorization,
    http_string,
    signature,
    string_to_sign,
    verify,
)
from tests.cloud.proxy import Request

HOST = "faces-1250000000.cos.ap-singapore.myqcloud.com"
SECRET_ID = "AKIDlocalcloudsign"
SECRET_KEY = "fake-secret-key-sign"
TOKEN = "fake-token"
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
WINDOW = (int(NOW.timestamp()) - 60, int(NOW.timestamp()) + 600)
HEADERS = [
    ("host", HOST),
    ("content-type", "text/plain"),
    ("x-cos-meta-note", "a b+c/ü"),
    ("x-cos-forbid-overwrite", "true"),
]
PARAMETERS = [("response-content-type", "image/jpeg"), ("versionId", "MTg0+NDU=")]


def request(
    method: str = "PUT",
    path: str = "/a%20b/%E4%BD%A0",
    parameters: list[tuple[str, str]] | None = None,
    headers: list[tuple[str, str]] | None = None,
    signed: str | None = None,
    host: str = HOST,
) -> Request:
    """A request as the proxy would hand it over."""
    sent = CIMultiDict(HEADERS if headers is None else headers)
    if signed is not None:
        sent["Authorization"] = signed
    query = PARAMETERS if parameters is None else parameters
    return Request(
        method=method,
        host=host,
        raw_path=path,
        query=query,
        raw_query=urlencode(query),
        headers=CIMultiDictProxy(sent),
        source="",
        _http=cast(Any, None),
    )


def sign(**changes: Any) -> str:
    """A good signature for `request()`, but for the changes."""
    arguments: dict[str, Any] = {
        "method": "PUT",
        "path": "/a b/你",
        "start": WINDOW[0],
        "end": WINDOW[1],
        "parameters": PARAMETERS,
        "headers": HEADERS,
    }
    return authorization(SECRET_ID, SECRET_KEY, **arguments | changes)


def refusal(bad: Request, now: datetime = NOW, account: Account | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(bad, {SECRET_ID: account or Account(SECRET_KEY)}, now)
    return caught.value


def test_the_go_sdks_own_vector_comes_out_the_same() -> None:
    """The vector of TestNewAuthorization in Tencent's Go SDK (cos-go-sdk-v5, auth_test.go), with
    the throw-away keys published there."""
    made = authorization(
        "QmFzZTY0IGlzIGEgZ2VuZXJp",
        "AKIDZfbOA78asKUYBcXFrJD0a1ICvR98JM",
        method="PUT",
        path="/testfile2",
        start=1480932292,
        end=1481012292,
        headers=[
            ("Host", "testbucket-125000000.cos.ap-guangzhou.myqcloud.com"),
            ("x-cos-content-sha1", "db8ac1c259eb89d4a131b253bacfca5f319d54f2"),
            ("x-cos-stroage-class", "nearline"),
        ],
    )
    assert made == (
        "q-sign-algorithm=sha1&q-ak=QmFzZTY0IGlzIGEgZ2VuZXJp"
        "&q-sign-time=1480932292;1481012292&q-key-time=1480932292;1481012292"
        "&q-header-list=host;x-cos-content-sha1;x-cos-stroage-class&q-url-param-list="
        "&q-signature=ce4ac0ecbcdb30538b3fee0a97cc6389694ce53a"
    )


DOCUMENTED = [
    pytest.param(
        "PUT",
        [],
        [
            ("Date", "Thu, 16 May 2019 06:45:51 GMT"),
            ("Host", "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"),
            ("Content-Type", "text/plain"),
            ("Content-Length", "13"),
            ("Content-MD5", "mQ/fVh815F3k6TAUm8m0eg=="),
            ("x-cos-acl", "private"),
            ("x-cos-grant-read", 'uin="100000000011"'),
        ],
        "1557989151;1557996351",
        "8b2751e77f43a0995d6e9eb9477f4b685cca4172",
        "eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f",
        "3b8851a11a569213c17ba8fa7dcf2abec693",
        id="upload",
    ),
    pytest.param(
        "GET",
        [
            ("response-content-type", "application/octet-stream"),
            ("response-cache-control", "max-age=600"),
        ],
        [
            ("Date", "Thu, 16 May 2019 06:55:53 GMT"),
            ("Host", "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"),
        ],
        "1557989753;1557996953",
        "54ecfe22f59d3514fdc764b87a32d8133ea611e6",
        "937914bf490e9e8c189836aad2052e4feeb35eaf",
        "01681b8c9d798a678e43b685a9f1bba0f6c0",
        id="download",
    ),
]


@pytest.mark.parametrize(
    ("method", "parameters", "headers", "key_time", "digest", "key", "begins"), DOCUMENTED
)
def test_the_documented_examples_come_out_the_same(
    method: str,
    parameters: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    key_time: str,
    digest: str,
    key: str,
    begins: str,
) -> None:
    """The worked examples of product 436, page 7778: the digest of the HttpString, and of the
    signature as many digits as the page prints (it masks the secret key and the last four)."""
    signed = http_string(method, "/exampleobject(腾讯云)", parameters, headers)
    to_sign = string_to_sign(key_time, signed)
    assert to_sign == f"sha1\n{key_time}\n{digest}\n"
    assert signature(key, to_sign).startswith(begins)


def test_an_untouched_request_passes_with_its_account() -> None:
    """The account that signed is the one that comes out."""
    account = Account(SECRET_KEY)
    assert verify(request(signed=sign()), {SECRET_ID: account}, NOW) is account


def test_a_signature_may_come_in_the_query() -> None:
    """Page 7778: the same seven fields as query parameters, which are not themselves signed."""
    fields = [pair.split("=", 1) for pair in sign().split("&")]
    query = [*PARAMETERS, *((name, value) for name, value in fields)]
    assert verify(request(parameters=query), {SECRET_ID: Account(SECRET_KEY)}, NOW)


def test_only_what_the_lists_name_is_signed() -> None:
    """Headers and parameters that the lists do not name may come along and change."""
    extra = request(
        signed=sign(),
        headers=[*HEADERS, ("x-cos-meta-unsigned", "anything")],
        parameters=[*PARAMETERS, ("unsigned", "anything")],
    )
    assert verify(extra, {SECRET_ID: Account(SECRET_KEY)}, NOW)


TAMPERED: dict[str, Callable[[], Request]] = {
    "method": lambda: request("GET", signed=sign()),
    "path": lambda: request(path="/a%20b/%E4%BD%A1", signed=sign()),
    "path encoded twice": lambda: request(path="/a%2520b/%E4%BD%A0", signed=sign()),
    "host": lambda: request(host="other" + HOST, signed=sign()),
    **{
        f"header {name}": lambda at=at: request(  # type: ignore[misc]
            headers=[(n, v + "x" if number == at else v) for number, (n, v) in enumerate(HEADERS)],
            signed=sign(),
        )
        for at, (name, _) in enumerate(HEADERS)
        if name != "host"
    },
    **{
        f"parameter {name}": lambda at=at: request(  # type: ignore[misc]
            parameters=[(n, v + "x" if number == at else v) for number, (n, v) in enumerate(PARAMETERS)],
            signed=sign(),
        )
        for at, (name, _) in enumerate(PARAMETERS)
    },
    "header gone": lambda: request(headers=HEADERS[:-1], signed=sign()),
    "parameter gone": lambda: request(parameters=PARAMETERS[:-1], signed=sign()),
    "header list shorter": lambda: request(
        signed=sign().replace(";x-cos-forbid-overwrite", "").replace("x-cos-forbid-overwrite;", "")
    ),
    "header listed in vain": lambda: request(
        headers=HEADERS[:-1],
        signed=sign(headers=HEADERS[:-1]).replace("=content-type;host;", "=content-type;date;host;"),
    ),
    "header list out of order": lambda: request(
        signed=sign().replace("content-type;host", "host;content-type")
    ),
    "parameter list shorter": lambda: request(signed=sign().replace(";versionid", "")),
    "later end": lambda: request(signed=sign().replace(f";{WINDOW[1]}&q-key", f";{WINDOW[1] + 1}&q-key")),
    "later key end": lambda: request(
        signed=sign().replace(f";{WINDOW[1]}&q-header", f";{WINDOW[1] + 1}&q-header")
    ),
    "signature": lambda: request(signed=sign()[:-1] + ("0" if sign()[-1] != "0" else "1")),
    "another algorithm": lambda: request(signed=sign().replace("=sha1", "=md5")),
    "half a signature": lambda: request(signed="q-sign-algorithm=sha1&q-ak=" + SECRET_ID),
    "another key": lambda: request(
        signed=authorization(SECRET_ID, "wrong", method="PUT", path="/a b/你", start=WINDOW[0], end=WINDOW[1])
    ),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_whatever_signed_is_touched_the_signature_does_not_match(change: str) -> None:
    """Method, path, host, each header and parameter, lists, times and the signature itself."""
    refused = refusal(TAMPERED[change]())
    assert (refused.status, refused.code) == (403, "SignatureDoesNotMatch")


def test_a_mismatch_tells_what_was_signed_as_real_cos_does() -> None:
    """Real answers carry StringToSign and FormatString: whoever logs them logs signed headers,
    the security token among them."""
    headers = [*HEADERS, ("x-cos-security-token", TOKEN)]
    refused = refusal(request("GET", headers=headers, signed=sign(headers=headers)))
    assert refused.details["StringToSign"].startswith(f"sha1\n{WINDOW[0]};{WINDOW[1]}\n")
    assert TOKEN in refused.details["FormatString"]


@pytest.mark.parametrize(
    ("seconds", "code", "message"),
    [
        (-61, "RequestTimeTooSkewed", "difference"),
        (-60, None, ""),
        (600, None, ""),
        (601, "AccessDenied", "Request has expired"),
    ],
)
def test_a_signature_is_good_in_its_window_only(seconds: int, code: str | None, message: str) -> None:
    """Both ends are judged by the clock handed in."""
    now = NOW + timedelta(seconds=seconds)
    if code is None:
        assert verify(request(signed=sign()), {SECRET_ID: Account(SECRET_KEY)}, now)
    else:
        refused = refusal(request(signed=sign()), now)
        assert refused.code == code
        assert message in refused.message


def test_an_anonymous_request_is_denied() -> None:
    """Nothing here is public."""
    refused = refusal(request())
    assert (refused.status, refused.code) == (403, "AccessDenied")


def test_an_unknown_key_is_told_so() -> None:
    """Keys can be taken away at any time."""
    with pytest.raises(Refused) as caught:
        verify(request(signed=sign()), {}, NOW)
    assert caught.value.code == "InvalidAccessKeyId"


TEMPORARY = Account(SECRET_KEY, token=TOKEN, expires=NOW + timedelta(seconds=100))


@pytest.mark.parametrize("place", ["header", "query"])
def test_a_temporary_key_passes_with_its_token(place: str) -> None:
    """Page 7778: the token is a header beside a header, a parameter beside a query."""
    headers, parameters = HEADERS, PARAMETERS
    if place == "header":
        headers = [*HEADERS, ("x-cos-security-token", TOKEN)]
    else:
        parameters = [*PARAMETERS, ("x-cos-security-token", TOKEN)]
    good = request(headers=headers, parameters=parameters, signed=sign())
    assert verify(good, {SECRET_ID: TEMPORARY}, NOW) is TEMPORARY


@pytest.mark.parametrize(
    ("token", "later", "code"),
    [
        (None, 0, "InvalidAccessKeyId"),
        ("another", 0, "InvalidToken"),
        (TOKEN, 99, None),
        (TOKEN, 100, "ExpiredToken"),
    ],
)
def test_a_temporary_key_without_its_token_or_too_late_is_refused(
    token: str | None, later: int, code: str | None
) -> None:
    """However good the signature is."""
    headers = [*HEADERS, *([("x-cos-security-token", token)] if token else [])]
    asked = request(headers=headers, signed=sign(headers=headers))
    now = NOW + timedelta(seconds=later)
    if code is None:
        assert verify(asked, {SECRET_ID: TEMPORARY}, now)
    else:
        assert refusal(asked, now, TEMPORARY).code == code


@pytest.mark.parametrize("key", ["plain", "a b+c%d", "你好/照片.jpg", "a//b", "q?x=1&y=2#z"])
def test_links_the_real_sdk_presigns_pass(key: str) -> None:
    """The path is signed decoded, parameters by name; a tampered link does not pass."""
    config = qcloud_cos.CosConfig(
        Region="ap-singapore", SecretId=SECRET_ID, SecretKey=SECRET_KEY, Scheme="https"
    )
    link = qcloud_cos.CosS3Client(config).get_presigned_url(
        Bucket="faces-1250000000", Key=key, Method="GET", Params={"response-expires": "a b"}
    )
    parts = urlsplit(link)
    asked = request(
        "GET",
        parts.path,
        parse_qsl(parts.query, keep_blank_values=True),
        [("Host", HOST)],
    )
    assert verify(asked, {SECRET_ID: Account(SECRET_KEY)}, datetime.now(timezone.utc))
    changed = replace(asked, raw_path=parts.path + "x")
    assert refusal(changed, datetime.now(timezone.utc)).code == "SignatureDoesNotMatch"
