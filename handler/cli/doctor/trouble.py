"""What to do about a check that could not be made, by what went wrong: a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

import requests

from handler.cli.deployment import Problem
from handler.cli.doctor.check import Check
from handler.edges.bucket import CosError, Forbidden

KEYS = "check TENCENT_SECRET_ID, TENCENT_SECRET_KEY and TENCENT_TOKEN, and this machine's clock"
NETWORK = "check the network, and LOCAL_CLOUD if it is set"
LATER = "it is trouble of Tencent's: try again later"

NO_PERMISSION = ("AccessDenied", "Unknown")
"""How COS refuses what a policy does not allow; the answer to a HEAD names no code."""

COS = (
    (r"NoSuchBucket", "make that bucket in REGION, or mend BUCKET, STATE_BUCKET or REGION"),
    (r"ExpiredToken|InvalidToken|.*Signature.*|.*AccessKey.*|RequestTimeTooSkewed|.*Credential.*", KEYS),
)
"""By the code of COS's answer, the first that fits."""

API = (
    (r"ClientNetworkError", NETWORK),
    (r"ServerNetworkError|InternalError.*|an answer .*|RequestLimitExceeded.*", LATER),
    (r"AuthFailure(?!\.UnauthorizedOperation).*", KEYS),
    (r"AuthFailure\.UnauthorizedOperation|UnauthorizedOperation(\.CAM.*|\.CamNoAuth)?", "allow {}"),
)
"""By the code of an answer of Tencent's other APIs, the first that fits; {} is what was asked for."""


def made(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """All checks that are made together; one that cannot be made is one that failed."""
    try:
        yield from checks
    except Problem as error:
        yield Check(name, "fail", str(error), "then run doctor again")
    except CosError as error:
        yield Check(name, "fail", str(error), _about(error))
    except requests.RequestException as error:
        yield Check(name, "fail", f"no answer ({type(error).__name__})", NETWORK)


def _about(error: CosError) -> str:
    if isinstance(error, Forbidden) and error.code in NO_PERMISSION:
        return "give your credentials that action, then run doctor again"
    if error.status is None:
        return NETWORK
    found = first(COS, error.code)
    if found:
        return found
    if isinstance(error, Forbidden):
        return KEYS
    return LATER if error.status >= 500 else "check BUCKET, STATE_BUCKET and REGION"


def about_api(code: str, asked: str) -> str:
    """What to do about a code of an API that was `asked` for an action; empty where only the code tells."""
    return first(API, code).format(asked)


def first(table: tuple[tuple[str, str], ...], code: str) -> str:
    """The text of the first pattern that the whole code matches, or an empty one."""
    return next((text for pattern, text in table if re.fullmatch(pattern, code)), "")
