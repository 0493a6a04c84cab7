"""What COS and the API quote of a request, its signed links and credentials, is repeated by no edge."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest

from handler.clock import Deadline, SystemClock
from handler.edges.bucket import CosError
from handler.edges.cos import CosBucket, Credentials
from handler.edges.faceid import FaceidClient, Resource
from handler.edges.wire import Wire
from tests.support.harness import BUCKET
from tests.support.peer import Peer, Says, http

ID, KEY, TOKEN = "AKIDquoted", "fake-secret-quoted", "fake-token-quoted"
SIGNATURE = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e"
LINK = (
    "faces-1250000000.cos.ap-singapore.myqcloud.com/uploads/42/live.gz?q-sign-algorithm=sha1"
    f"&q-ak={ID}&q-sign-time=1;2&q-key-time=1;2&q-header-list=host"
    f"&q-url-param-list=x-cos-security-token&q-signature={SIGNATURE}&x-cos-security-token={TOKEN}"
)
SECRETS = (ID, KEY, TOKEN, SIGNATURE, "q-signature", "x-cos-security-token", "TC3-HMAC")

QUOTED = (
    f"File download failed: https://{LINK}",
    f'(url="http://{LINK}", key={KEY})',
    f"cannot GET {LINK}",
    json.dumps(f"https://{LINK}").replace("/", "\\/"),
    quote(f"https://{LINK}", safe=""),
    f"the token {TOKEN} of {ID} is not known\n{LINK}",
    "x" * 290 + f" https://{LINK}",
)
"""Ways in which somebody might repeat what it was sent."""


class Patient(SystemClock):
    """Waits between tries cost nothing."""

    def sleep(self, seconds: float) -> None:
        pass


def check(told: str) -> None:
    for text in (told, unquote(told)):
        assert [secret for secret in SECRETS if secret in text] == [], text


@pytest.mark.parametrize("place", ["Error", "Result"])
def test_an_api_that_quotes_links_is_not_repeated(peer: Peer, place: str) -> None:
    """In every way of quoting, for a code that is tried again, a final one and an unknown one."""
    client = FaceidClient(Wire(peer.url), "ap-singapore", "faceid.tencentcloudapi.com")
    client.use(Credentials(ID, KEY, TOKEN))
    resource = Resource(f"https://{LINK}", "0" * 32)
    for code in ("FailedOperation.DownLoadError", "FailedOperation.LivessDetectFail", "New"):
        for said in QUOTED:
            response: dict[str, Any] = {"RequestId": "r-1"}
            if place == "Error":
                response["Error"] = {"Code": code, "Message": said}
            else:
                response |= {"Result": code, "Description": said, "BestFrameUrl": f"https://{LINK}"}
            body = json.dumps({"Response": response}).encode()
            peer.says(Says(http(200, body, Content_Type="application/json"), keep=True))
            answer = client.compare(resource, resource, 30)
            assert answer.code == code
            check(f"{answer!r} {answer.message} {answer.request_id}")


@pytest.mark.parametrize("where", ["Code", "RequestId", "Result"])
def test_a_link_where_no_link_belongs_is_not_told(peer: Peer, where: str) -> None:
    """A code and a request id are words without white space, slashes or question marks."""
    client = FaceidClient(Wire(peer.url), "ap-singapore", "faceid.tencentcloudapi.com")
    client.use(Credentials(ID, KEY, TOKEN))
    response: dict[str, Any] = {"RequestId": "r-1", "Result": "Success", "Sim": 90.0}
    if where == "Code":
        response["Error"] = {"Code": f"https://{LINK}", "Message": "no"}
    else:
        response[where] = f"https://{LINK}"
    body = json.dumps({"Response": response}).encode()
    peer.says(Says(http(200, body, Content_Type="application/json")))
    answer = client.compare(Resource("https://a", "0" * 32), Resource("https://b", "0" * 32), 30)
    check(f"{answer!r} {answer.code} {answer.message} {answer.request_id}")


def error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message.replace('&', '&amp;')}</Message></Error>".encode()


FAILURES = {
    "a signature that does not hold": http(403, error("SignatureDoesNotMatch", f"StringToSign {LINK}")),
    "a refusal": http(403, error("AccessDenied", f"https://{LINK}")),
    "an expired token": http(400, error("ExpiredToken", TOKEN)),
    "trouble": http(503, error("ServiceUnavailable", f"https://{LINK}")),
    "a link for a code": http(404, error(f"https://{LINK}", "")),
    "no answer": b"",
    "a body that is cut": http(500, f"https://{LINK}".encode(), length="5000"),
    "a page": http(502, f"<html>{LINK}</html>".encode(), Content_Type="text/html"),
    "a page for an answer": http(200, f"<html>{LINK}</html>".encode(), Content_Type="text/html"),
    "a redirect": http(302, Location=f"https://{LINK}"),
    "a strange content type": http(403, b"", Content_Type=f"text/html; charset=https://{LINK}"),
}

ASKED: dict[str, Callable[[CosBucket], object]] = {
    "HeadObject": lambda found: found.head("k"),
    "GetObject": lambda found: found.read("k"),
    "PutObject": lambda found: found.create("k", b"{}"),
    "GetBucket": lambda found: found.list("p/"),
    "DeleteMultipleObjects": lambda found: found.delete(["k"]),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_cos_that_quotes_links_is_not_repeated(peer: Peer, asked: str) -> None:
    """Each operation, each way to fail: neither the error nor what led to it holds a secret."""
    shared = Wire(peer.url)
    deadline = Deadline.after(Patient(), 30)
    bucket = CosBucket(
        BUCKET, "ap-singapore", Credentials(ID, KEY, TOKEN), shared, shared.session(), deadline
    )
    raised = 0
    for data in FAILURES.values():
        peer.says(Says(data))
        try:
            ASKED[asked](bucket)
        except CosError as failure:
            raised += 1
            check("".join(traceback.format_exception(failure)) + repr(failure))
    assert raised >= len(FAILURES) - 2  # a page can be an object, and a 404 says that there is none
