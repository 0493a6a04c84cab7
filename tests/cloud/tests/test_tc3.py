"""TC3-HMAC-SHA256 as the local cloud checks it: vectors computed by others, and tampering."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from multidict import CIMultiDict
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential

from tests.cloud import tc3
from tests.cloud.cos_sign import Account

DOCUMENTED = 1551113065
"""The time of the worked example in "Signature v3" (product 213, page 30654)."""

PAYLOAD = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
HEADERS = CIMultiDict(
    {
        "Content-Type": "application/json; charset=utf-8",
        "Host": "cvm.tencentcloudapi.com",
        "X-TC-Action": "DescribeInstances",
    }
)


def test_the_documentations_worked_example_holds_step_by_step() -> None:
    """Page 30654: payload hash, canonical request, string to sign and signature, as printed.

    The key printed there is 32 asterisks, and the digests are computed with just that.
    """
    signed = ["content-type", "host", "x-tc-action"]
    canonical = tc3.canonical_request("POST", "", HEADERS, signed, PAYLOAD)
    assert canonical == (
        "POST\n/\n\ncontent-type:application/json; charset=utf-8\n"
        "host:cvm.tencentcloudapi.com\nx-tc-action:describeinstances\n\n"
        "content-type;host;x-tc-action\n"
        "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
    )
    text = tc3.string_to_sign(DOCUMENTED, "cvm", canonical)
    assert text == (
        "TC3-HMAC-SHA256\n1551113065\n2019-02-25/cvm/tc3_request\n"
        "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84"
    )
    assert tc3.sign("*" * 32, "2019-02-25", "cvm", text) == (
        "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
    )


def test_the_worked_example_of_the_earlier_page_holds() -> None:
    """The page before it signed content-type and host only, with a partly masked key."""
    canonical = tc3.canonical_request("POST", "", HEADERS, ["content-type", "host"], PAYLOAD)
    text = tc3.string_to_sign(DOCUMENTED, "cvm", canonical)
    assert text.endswith("5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031")
    assert tc3.sign("Gu5t9xGARNpq86cd98joQYCN3*******", "2019-02-25", "cvm", text) == (
        "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c"
    )


def test_the_worked_example_of_a_get_holds() -> None:
    """An older page signs a GET with its query and an empty payload."""
    headers = CIMultiDict(
        {"Content-Type": "application/x-www-form-urlencoded", "Host": "cvm.tencentcloudapi.com"}
    )
    canonical = tc3.canonical_request("GET", "Limit=10&Offset=0", headers, ["content-type", "host"], b"")
    text = tc3.string_to_sign(1539084154, "cvm", canonical)
    assert text.endswith("91c9c192c14460df6c1ffc69e34e6c5e90708de2a6d282cccf957dbf1aa7f3a7")
    assert tc3.sign("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", "2018-10-09", "cvm", text) == (
        "5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474"
    )


SECRET_ID = "AKIDlocalcloudtc3"
ACCOUNT = Account(secret_key="fake-secret-key-tc3")
NOW = datetime(2026, 11, 22, 23, 59, 59, tzinfo=timezone.utc)
BODY = b'{"TargetAction": "DetectReflectLivenessAndCompare"}'


def request(body: bytes = BODY, at: datetime = NOW, service: str = "faceid") -> CIMultiDict[str]:
    """Headers of a rightly signed request."""
    timestamp = int(at.timestamp())
    headers = CIMultiDict(
        {
            "Content-Type": "application/json",
            "Host": "faceid.tencentcloudapi.com",
            "X-TC-Action": "CreateUploadUrl",
            "X-TC-Timestamp": str(timestamp),
        }
    )
    signed = ["content-type", "host", "x-tc-action"]
    canonical = tc3.canonical_request("POST", "", headers, signed, body)
    date = at.strftime("%Y-%m-%d")
    text = tc3.string_to_sign(timestamp, service, canonical)
    headers["Authorization"] = (
        f"TC3-HMAC-SHA256 Credential={SECRET_ID}/{date}/{service}/tc3_request, "
        f"SignedHeaders={';'.join(signed)}, "
        f"Signature={tc3.sign(ACCOUNT.secret_key, date, service, text)}"
    )
    return headers


def refusal(
    headers: CIMultiDict[str],
    *,
    body: bytes = BODY,
    method: str = "POST",
    account: Account | None = ACCOUNT,
    now: datetime = NOW,
) -> str | None:
    """The code a request is refused with, or None where it is let through."""
    accounts = {} if account is None else {SECRET_ID: account}
    try:
        found = tc3.verify(method, "", headers, body, service="faceid", accounts=accounts, now=now)
    except tc3.RefusedError as error:
        return error.code
    assert found == SECRET_ID
    return None


def test_a_rightly_signed_request_passes() -> None:
    """The signature holds, and who signed is told."""
    assert refusal(request()) is None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Type", "text/plain"),
        ("Host", "faceid.intl.tencentcloudapi.com"),
        ("X-TC-Action", "DetectReflectLivenessAndCompare"),
        ("X-TC-Timestamp", str(int(NOW.timestamp()) - 1)),
    ],
)
def test_every_signed_header_counts(header: str, value: str) -> None:
    """Another value in transit breaks the signature."""
    headers = request()
    headers[header] = value
    assert refusal(headers) == "AuthFailure.SignatureFailure"


def test_a_signed_header_that_is_not_there_breaks_the_signature() -> None:
    """The list of signed headers must be what is really present."""
    headers = request()
    del headers["X-TC-Action"]
    assert refusal(headers) == "AuthFailure.SignatureFailure"


def test_body_and_method_count() -> None:
    """One byte more, or another method, breaks the signature."""
    assert refusal(request(), body=BODY + b" ") == "AuthFailure.SignatureFailure"
    assert refusal(request(), method="GET") == "AuthFailure.SignatureFailure"


def test_the_signature_is_for_one_service() -> None:
    """A request signed for another product is refused, rightly signed as it may be."""
    assert refusal(request(service="cvm")) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize("signed", ["host", "content-type", "host;content-type;x-tc-action"])
def test_content_type_and_host_must_be_signed_in_order(signed: str) -> None:
    """Both are required, and the list is sorted."""
    headers = request()
    headers["Authorization"] = headers["Authorization"].replace("content-type;host;x-tc-action", signed)
    assert refusal(headers) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize(("seconds", "code"), [(300, None), (301, "AuthFailure.SignatureExpire")])
def test_the_clocks_may_differ_by_five_minutes(seconds: int, code: str | None) -> None:
    """Either way; the date goes with the timestamp, not with the server's day."""
    assert refusal(request(), now=NOW + timedelta(seconds=seconds)) == code
    assert refusal(request(), now=NOW - timedelta(seconds=seconds)) == code


def test_the_wrong_key_is_refused() -> None:
    """And so is an id that nobody has."""
    other = replace(ACCOUNT, secret_key="fake-secret-key-other")
    assert refusal(request(), account=other) == "AuthFailure.SignatureFailure"
    assert refusal(request(), account=None) == "AuthFailure.SecretIdNotFound"


def test_temporary_credentials_need_their_token_until_they_expire() -> None:
    """Without the token, with another one, or too late, they are worth nothing."""
    temporary = replace(ACCOUNT, token="fake-token", expires=NOW + timedelta(seconds=1))
    headers = request()
    assert refusal(headers, account=temporary) == "AuthFailure.TokenFailure"
    headers["X-TC-Token"] = "fake-tokem"
    assert refusal(headers, account=temporary) == "AuthFailure.TokenFailure"
    headers["X-TC-Token"] = "fake-token"
    assert refusal(headers, account=temporary) is None
    late = replace(temporary, expires=NOW)
    assert refusal(headers, account=late) == "AuthFailure.TokenFailure"
    assert refusal(headers) == "AuthFailure.TokenFailure"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Authorization", None, "MissingParameter"),
        ("Authorization", "", "MissingParameter"),
        ("Authorization", "Basic Zm9v", "AuthFailure.InvalidAuthorization"),
        ("Authorization", "TC3-HMAC-SHA256 Credential=x", "AuthFailure.InvalidAuthorization"),
        ("X-TC-Timestamp", None, "MissingParameter"),
        ("X-TC-Timestamp", "now", "InvalidParameterValue"),
    ],
)
def test_headers_that_are_missing_or_malformed_are_named(header: str, value: str | None, code: str) -> None:
    """Refused with the code that says what is wrong, and no exception of another kind."""
    headers = request()
    del headers[header]
    if value is not None:
        headers[header] = value
    assert refusal(headers) == code


def test_the_real_sdk_signs_the_same() -> None:
    """What the SDK puts into Authorization is what `verify` expects, token included."""
    client = CommonClient(
        "faceid",
        "2018-03-01",
        Credential(SECRET_ID, ACCOUNT.secret_key, "fake-token"),
        "ap-singapore",
    )

    class Sent:
        method = "POST"
        uri = "/"
        header: dict[str, str]
        data = ""

    sent = Sent()
    sent.header = {}
    client._build_req_with_tc3_signature("CreateUploadUrl", {"TargetAction": "x"}, sent)
    now = datetime.now(timezone.utc)
    account = replace(ACCOUNT, token="fake-token", expires=now + timedelta(hours=1))
    headers = CIMultiDict(sent.header)
    assert refusal(headers, body=sent.data.encode(), account=account, now=now) is None
