"""What the API said, as an Answer: whatever it was, no link and no credential in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from handler.edges.connections import Exchange
from handler.rules.codes import NO_SIMILARITY, code_row
from handler.rules.outcome import Answer

MAX_MESSAGE = 300  # characters of the API's own text that are passed on
MAX_SAID = 2000  # characters of it that are searched for links, which takes the square of their number

_WORD = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_LINK = r"(?i)(https?:)?//\S+|\S*(q-signature|x-cos-security-token|q-ak)\S*"


def _whole(text: str) -> str:
    """JSON can spell half a character, which nothing can store."""
    return text.encode(errors="replace").decode()


def _said(text: object, *secrets: str | None) -> str:
    """The API's own words, without links and credentials, bounded."""
    said = re.sub(_LINK, "(link)", _whole(str(text or "")[:MAX_SAID]))
    for secret in secrets:
        if secret:
            said = said.replace(secret, "(secret)")
    return " ".join(said.split())[:MAX_MESSAGE]


Secrets = tuple[str | None, ...]
"""What must not stand in a text that is passed on."""


def refusal(error: TencentCloudSDKException, exchange: Exchange, secrets: Secrets) -> Answer:
    """The SDK's error as an answer."""
    code = str(error.code)
    if code == "ClientNetworkError":
        message = "no answer in time or none at all" if exchange.sent else "could not be reached"
        return Answer(code, message, exchange.sent)
    if code == "ServerNetworkError":
        return Answer(code, f"HTTP status {exchange.status}")
    return _failure(error.code, error.message, error.requestId, secrets)


def response_of(answered: object, secrets: Secrets) -> tuple[Answer, Mapping[str, Any] | None]:
    """What the SDK returned: a failure as an Answer, or the Response and an Answer that only holds its id."""
    response = answered.get("Response") if isinstance(answered, dict) else None
    if not isinstance(response, dict):
        return Answer("Livepair.UnreadableAnswer", "the answer holds no Response"), None
    request_id = _word(response.get("RequestId"))
    failure = response.get("Error")
    if failure is not None:
        # The SDK overlooks an error whose Content-Type carries a charset.
        told = failure if isinstance(failure, dict) else {}
        return _failure(told.get("Code"), told.get("Message"), request_id, secrets), None
    result = _word(response.get("Result"))
    if result is not None:
        description = _said(response.get("Description"), *secrets)
        return Answer(result, description, request_id=request_id), response
    return Answer("Livepair.UnreadableAnswer", "the answer holds no Result", request_id=request_id), response


def _word(value: object) -> str | None:
    """A code or a request id as it came; None where it is no such thing, so that no link passes for one."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _failure(code: object, message: object, request_id: object, secrets: Secrets) -> Answer:
    word = _word(code)
    if word is None or word == "Success":
        word, message = "Livepair.UnreadableAnswer", "an Error without a code of its own"
    executed = code_row(word).klass != "throttled"
    return Answer(word, _said(message, *secrets), executed, request_id=_word(request_id))


def verdict_of(answer: Answer, response: Mapping[str, Any]) -> Answer:
    """Read the Response of DetectReflectLivenessAndCompare; `answer` holds its Result as code."""
    similarity = _similarity(response.get("Sim"))
    if answer.code == "Success" and similarity is None:
        answer = answer._replace(code=NO_SIMILARITY, message="Success without a usable Sim")
    return answer._replace(
        executed=code_row(answer.code).klass != "throttled",
        similarity=similarity,
        frame_url=_text(response.get("BestFrameUrl")),
        frame_md5=_text(response.get("BestFrameMd5")),
    )


def _similarity(value: object) -> float | None:
    """0 to 100; None where it is no such number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        return None
    return float(value)


def _text(value: object) -> str | None:
    return _whole(value) if isinstance(value, str) and value else None
