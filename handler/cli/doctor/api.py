"""Whether the API would take calls, and at which of its hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Service
from handler.cli.output import plain
from handler.edges.faceid import ACTION, VERSION
from handler.rules.codes import code_row

HOSTS = ("faceid.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com")
"""The API's documented hosts: mainland site and international site."""

TAKEN = ("MissingParameter", "InvalidParameter")
"""What refuses a call without parameters once credentials, permission and account are in order."""

ADVICE = (
    (r"UnauthorizedOperation", f"allow faceid:{ACTION}, to you and to the function's role"),
    (r"\AAuthFailure", "check the credentials and this machine's clock"),
    (r"\AResourceUnavailable", "activate eKYC in the console, or settle what is owed"),
)
"""What to do about codes that refuse a call; about others their row of the table says it."""


def api(deployment: Deployment) -> Iterator[Check]:
    """A call without parameters is refused before anything is judged: what refuses it tells what is wrong."""
    chosen = deployment.settings.faceid_endpoint
    codes = {host: _code(deployment, host) for host in dict.fromkeys((chosen, *HOSTS))}
    good = [host for host, code in codes.items() if code.startswith(TAKEN)]
    for host, code in codes.items():
        named = f"{host} (FACEID_ENDPOINT)" if host == chosen else host
        if host in good:
            yield Check("API", "ok", f"{named} would take calls of yours; none was billed")
        elif host != chosen:
            yield Check("API", "info", f"{host}: {code}")
        else:
            do = f"set FACEID_ENDPOINT={good[0]}" if good else _advice(code)
            yield Check("API", "fail", f"{named}: {code}", do)


def _code(deployment: Deployment, host: str) -> str:
    """What a host answers to a call without parameters."""
    answer = Service(deployment, "faceid", VERSION, host).ask(ACTION)
    return plain(answer.error or answer.fields.get("Result") or "an answer without a code")


def _advice(code: str) -> str:
    return next((do for pattern, do in ADVICE if re.search(pattern, code)), code_row(code).says)
