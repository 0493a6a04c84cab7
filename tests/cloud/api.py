"""API 3.0: what its services share, here `faceid` and `scf_api`.

The order is that of the real one: who signs, which version and action, whether the account's
policy allows it, and only then the parameters. So a call without parameters tells whether it would
be allowed, and is neither carried out nor billed. Error codes are the common ones (product 213,
page 30654, and each service's page of error codes).
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from tests.cloud import tc3
from tests.cloud.cos_sign import Account
from tests.cloud.faults import Operation
from tests.cloud.proxy import BodyTooLarge, Request, Response

LARGEST_REQUEST = 10 * 1024 * 1024

NOT_AUTHORIZED = "AuthFailure.UnauthorizedOperation"
"""What an account without permission is told: seen in logs of real accounts, for scf and others."""


class ApiError(Exception):
    """The API answers an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def action_of(request: Request) -> str:
    """The action that a request names, which may be none that exists."""
    return request.headers.get("X-TC-Action", "")


async def authenticate(
    request: Request, service: str, accounts: Mapping[str, Account], now: datetime
) -> tuple[str, bytes]:
    """Check who sent a request. Returns the secret id and the body. Raises ApiError."""
    if request.method != "POST":
        raise ApiError("UnsupportedProtocol", "HTTP(S) requests must be POST here.")
    try:
        body = await request.read(LARGEST_REQUEST)
    except BodyTooLarge:
        raise ApiError("RequestSizeLimitExceeded", "The request size exceeds the limit of 10 MB.") from None
    try:
        secret_id = tc3.verify(
            request.method,
            request.raw_query,
            request.headers,
            body,
            service=service,
            accounts=accounts,
            now=now,
        )
    except tc3.RefusedError as refused:
        raise ApiError(refused.code, refused.message) from None
    return secret_id, body


def authorize(
    request: Request,
    version: str,
    actions: Collection[str],
    account: Account,
    operation: Operation,
    resource: str = "*",
) -> None:
    """Check that the version and the action exist, and that the account may. Raises ApiError."""
    if request.headers.get("X-TC-Version") != version:
        raise ApiError("NoSuchVersion", "The API version does not exist.")
    if operation.name not in actions:
        raise ApiError("InvalidAction", "The API action does not exist.")
    if account.allowed is not None and not account.allowed(operation):
        raise ApiError(
            NOT_AUTHORIZED,
            f"you are not authorized to perform operation ({operation.service}:{operation.name})\n"
            f"resource ({resource}) has no permission",
        )


def parameters(body: bytes) -> dict[str, Any]:
    """The parameters of a request. Raises ApiError where the body is no JSON object."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("InvalidRequest", "The request body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise ApiError("InvalidRequest", "The request body is not a JSON object.")
    return found


def missing(name: str) -> ApiError:
    """The error for a parameter that has to be there."""
    return ApiError("MissingParameter", f"The request is missing a required parameter `{name}`.")


def unknown(name: str) -> ApiError:
    """The error for a parameter that nobody knows."""
    return ApiError("UnknownParameter", f"The parameter `{name}` is not recognized.")


def error(code: str, message: str, request_id: str, language: str) -> dict[str, Any]:
    """The body of an answer that is an error."""
    told = {"Code": code, "Message": in_language(language, code, message)}
    return {"Response": {"Error": told, "RequestId": request_id}}


def in_language(language: str, code: str, english: str) -> str:
    """Texts are Chinese unless the request says otherwise."""
    return english if language == "en-US" else f"请求未成功（{code}）"


def answer(content: dict[str, Any] | bytes, status: int = 200) -> Response:
    """Errors come with status 200 too, and all answers under this one exact content type."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(status, {"Content-Type": "application/json"}, body)
