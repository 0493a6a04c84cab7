"""TC3-HMAC-SHA256, the signature of Tencent Cloud's API 3.0, as the server checks it.

Rules: "Signature v3" of API 3.0 (product 213, page 30654). The error
codes and their English texts are those of the common error codes in the same documentation.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timezone

from tests.cloud.cos_sign import Account

ALGORITHM = "TC3-HMAC-SHA256"
LONGEST_SKEW = 300
"""Seconds that X-TC-Timestamp may be away from the server's clock."""

AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/,]+)/(?P<date>[^/,]+)/(?P<service>[^/,]+)/tc3_request, *"
    r"SignedHeaders=(?P<headers>[^,]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


class RefusedError(Exception):
    """The signature does not hold. `code` and `message` are what the API answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def canonical_request(
    method: str, query: str, headers: Mapping[str, str], signed: list[str], payload: bytes
) -> str:
    """The text that is hashed: `signed` names the headers, in lower case and sorted.

    Names and values of the signed headers count in lower case, without spaces around them. The
    query, still encoded, is signed for a GET only; the path is always `/`.
    """
    lines = "".join(f"{name}:{headers[name].strip().lower()}\n" for name in signed)
    digest = hashlib.sha256(payload).hexdigest()
    signed_query = query if method == "GET" else ""
    return f"{method}\n/\n{signed_query}\n{lines}\n{';'.join(signed)}\n{digest}"


def string_to_sign(timestamp: int, service: str, canonical: str) -> str:
    """The text that is signed. The date in it is that of `timestamp`, in UTC."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{_date(timestamp)}/{service}/tc3_request"
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def sign(secret_key: str, date: str, service: str, text: str) -> str:
    """The signature of `text`, as 64 hex digits."""
    key = f"TC3{secret_key}".encode()
    for part in (date, service, "tc3_request"):
        key = _hmac(key, part)
    return _hmac(key, text).hex()


def verify(
    method: str,
    query: str,
    headers: Mapping[str, str],
    payload: bytes,
    *,
    service: str,
    accounts: Mapping[str, Account],
    now: datetime,
) -> str:
    """Check who sent a request, and return the secret id.

    `headers` is case-insensitive. `payload` is the body as it came. Raises RefusedError.
    """
    header = headers.get("Authorization")
    if not header:
        raise RefusedError("MissingParameter", "The request is missing a required parameter `Authorization`.")
    found = AUTHORIZATION.fullmatch(header.strip())
    if found is None:
        raise RefusedError(
            "AuthFailure.InvalidAuthorization",
            "Authorization header in request is invalid. Please check the format of Authorization header.",
        )
    timestamp = _timestamp(headers.get("X-TC-Timestamp"))
    if abs(now.timestamp() - timestamp) > LONGEST_SKEW:
        raise RefusedError(
            "AuthFailure.SignatureExpire",
            "Signature expired. Timestamp differs from the server time by more than five minutes.",
        )
    account = accounts.get(found["id"])
    if account is None:
        raise RefusedError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    signed = found["headers"].split(";")
    in_order = signed == sorted(signed) == [name.lower() for name in signed]
    if not (in_order and {"content-type", "host"} <= set(signed)):
        raise _wrong()
    if any(name not in headers for name in signed):
        raise _wrong()
    if headers.get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD":
        payload = b"UNSIGNED-PAYLOAD"
    canonical = canonical_request(method, query, headers, signed, payload)
    text = string_to_sign(timestamp, service, canonical)
    expected = sign(account.secret_key, found["date"], service, text)
    if not hmac.compare_digest(expected, found["signature"]):
        raise _wrong()
    if (headers.get("X-TC-Token") or None) != account.token:
        raise RefusedError("AuthFailure.TokenFailure", "The token is incorrect.")
    if account.expires is not None and account.expires <= now:
        raise RefusedError("AuthFailure.TokenFailure", "The token has expired.")
    return found["id"]


def _wrong() -> RefusedError:
    return RefusedError(
        "AuthFailure.SignatureFailure",
        "The provided credentials could not be validated. Please check your signature is correct.",
    )


def _timestamp(value: str | None) -> int:
    if not value:
        raise RefusedError("MissingParameter", "The request is missing a required parameter `Timestamp`.")
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise RefusedError("InvalidParameterValue", "The value of parameter `Timestamp` is not valid.")
    return int(value)


def _date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
