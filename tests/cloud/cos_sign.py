"""COS request signatures: making them, and verifying them as COS does.

The rules are those of Tencent's documentation, product 436, page 7778 ("Request Signature").
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, unquote

from tests.cloud.faults import Operation
from tests.cloud.proxy import Request

FIELDS = (
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
)
TOKEN = "x-cos-security-token"


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials that the local cloud knows, listed under their secret id.

    Temporary ones have a token, which must come with each request, and the time they expire.
    `allowed` is their policy; None allows everything.
    """

    secret_key: str
    token: str | None = None
    expires: datetime | None = None
    allowed: Callable[[Operation], bool] | None = None


@dataclass(slots=True)
class Refused(Exception):
    """COS answers with an error. `details` are further elements of its XML."""

    status: int
    code: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


def encode(text: str) -> str:
    """Percent-encode as the page demands: all but letters, digits and `-_.~`."""
    return quote(text, safe="-_.~")


def _canonical(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted((encode(name).lower(), encode(value)) for name, value in pairs)


def http_string(
    method: str,
    path: str,
    parameters: Iterable[tuple[str, str]],
    headers: Iterable[tuple[str, str]],
) -> str:
    """Step 5 of the page: what is signed of a request. `path` is decoded, with its slash."""
    joined = (
        "&".join(f"{name}={value}" for name, value in _canonical(pairs)) for pairs in (parameters, headers)
    )
    return "\n".join((method.lower(), path, *joined)) + "\n"


def string_to_sign(sign_time: str, signed: str) -> str:
    """Step 6 of the page."""
    return f"sha1\n{sign_time}\n{hashlib.sha1(signed.encode()).hexdigest()}\n"


def sign_key(secret_key: str, key_time: str) -> str:
    """Step 2 of the page: the key for the time window `start;end`."""
    return _hmac(secret_key, key_time)


def signature(key: str, to_sign: str) -> str:
    """Step 7 of the page; `key` is what `sign_key` returned."""
    return _hmac(key, to_sign)


def authorization(
    secret_id: str,
    secret_key: str,
    *,
    method: str,
    path: str,
    start: int,
    end: int,
    parameters: Iterable[tuple[str, str]] = (),
    headers: Iterable[tuple[str, str]] = (),
) -> str:
    """Step 8 of the page: the Authorization of a request that signs all that is given.

    `start` and `end` are seconds since 1970; parameters and headers are decoded.
    """
    parameters, headers = list(parameters), list(headers)
    window = f"{start};{end}"
    to_sign = string_to_sign(window, http_string(method, path, parameters, headers))
    values = (
        "sha1",
        secret_id,
        window,
        window,
        ";".join(name for name, _ in _canonical(headers)),
        ";".join(name for name, _ in _canonical(parameters)),
        signature(sign_key(secret_key, window), to_sign),
    )
    return "&".join(f"{name}={value}" for name, value in zip(FIELDS, values, strict=True))


def verify(request: Request, accounts: Mapping[str, Account], now: datetime) -> Account:
    """The account that signed the request, in its header or in its query. Raises Refused.

    What the account may do is not judged here.
    """
    fields = _fields(request)
    account = accounts.get(fields["q-ak"])
    if account is None:
        raise _unknown_key()
    seconds = now.timestamp()
    for name in ("q-sign-time", "q-key-time"):
        start, end = _window(fields[name])
        if seconds < start:
            raise Refused(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
        if seconds > end:
            raise Refused(403, "AccessDenied", "Request has expired")
    _check_token(request, account, now)
    signed = http_string(
        request.method,
        unquote(request.raw_path),
        _listed(fields["q-url-param-list"], _parameters(request), "parameter"),
        _listed(fields["q-header-list"], _headers(request), "header"),
    )
    to_sign = string_to_sign(fields["q-sign-time"], signed)
    expected = signature(sign_key(account.secret_key, fields["q-key-time"]), to_sign)
    if not hmac.compare_digest(expected.encode(), fields["q-signature"].encode()):
        raise _mismatch(StringToSign=to_sign, FormatString=signed)
    return account


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()


def _fields(request: Request) -> dict[str, str]:
    header = request.headers.get("Authorization", "")
    if header:
        pairs = [pair.partition("=") for pair in header.split("&")]
        fields = {name: value for name, _, value in pairs}
    else:
        fields = {name: value for name, value in request.query if name in FIELDS}
    if not fields:
        raise Refused(403, "AccessDenied", "Access Denied.")
    missing = [name for name in FIELDS if name not in fields]
    if missing or fields["q-sign-algorithm"] != "sha1":
        raise _mismatch()
    return fields


def _window(text: str) -> tuple[int, int]:
    start, _, end = text.partition(";")
    if not (start.isdecimal() and end.isdecimal()):
        raise _mismatch()
    return int(start), int(end)


def _check_token(request: Request, account: Account, now: datetime) -> None:
    if account.token is None:
        return
    sent = request.headers.get(TOKEN) or request.parameter(TOKEN)
    if sent is None:
        raise _unknown_key()
    if sent != account.token:
        raise Refused(403, "InvalidToken", "The security token does not belong to this key.")
    if account.expires is not None and now >= account.expires:
        raise Refused(400, "ExpiredToken", "The provided token has expired.")


def _parameters(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.query if name not in FIELDS]


def _headers(request: Request) -> list[tuple[str, str]]:
    present = [(name, value) for name, value in request.headers.items() if name.lower() != "host"]
    return [*present, ("host", request.host)]


def _listed(names: str, present: Iterable[tuple[str, str]], kind: str) -> list[tuple[str, str]]:
    """The parameters or headers that a list names. It must be sorted and name none in vain."""
    wanted = names.split(";") if names else []
    if wanted != sorted(wanted):
        raise _mismatch(FormatString=f"the {kind} list is not in order: {names}")
    found = [(name, value) for name, value in present if encode(name).lower() in wanted]
    absent = set(wanted) - {encode(name).lower() for name, _ in found}
    if absent:
        raise _mismatch(FormatString=f"signed but not sent, {kind}: {sorted(absent)}")
    return found


def _unknown_key() -> Refused:
    message = "The Access Key Id you provided does not exist in our records"
    return Refused(403, "InvalidAccessKeyId", message)


def _mismatch(**details: str) -> Refused:
    return Refused(403, "SignatureDoesNotMatch", "The Signature you specified is invalid.", details)
