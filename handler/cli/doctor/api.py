"""Whether the API would take calls, and at which of its hosts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Answer, Service
from handler.cli.doctor.trouble import LATER, about_api, first
from handler.cli.upload import new_pair
from handler.edges.faceid import ACTION, VERSION
from handler.rules.codes import code_row
from handler.rules.pairing import plain

HOSTS = ("faceid.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com")
"""The API's documented hosts: that of the action's page, and that of Tencent's international SDK."""

TAKEN = ("FailedOperation.DownLoadError", "FailedOperation.DownLoadTimeoutError")
"""What a call ends with that lacks nothing but the objects behind its links. Neither is billed."""

BUSY = "RequestLimitExceeded"

SECONDS = 600
"""For so long the links hold that lead nowhere."""

ADVICE = (
    (r".*\.Nonactivated", "activate eKYC (Face ID) in the console"),
    (r".*\.Activating", "wait until eKYC is activated, then run doctor again"),
    (r".*\.ActivateError", "activate eKYC in the console again, or ask Tencent's support"),
    (r".*\.Arrears|.*\.InArrears", "settle what the account owes"),
    (
        r".*\.ChargeStatusException",
        "settle what the account owes, or ask Tencent's support about its billing",
    ),
    (r".*\.NonAuthorize", "have the account's owner verify their identity in the console"),
    (r"ResourceUnavailable.*", "activate eKYC in the console, or settle what is owed"),
    (r"InvalidParameter.*", "the API takes no links to BUCKET: see that it lies in REGION"),
)
"""What to do about codes of this API that refuse a call, the first that fits; then what all APIs share."""

ALLOWED = f"faceid:{ACTION}, to you and to the function's role"


def api(deployment: Deployment) -> Iterator[Check]:
    """A call with links to objects that are not there: the API does all but judge, and bills nothing.

    In which order it looks at signature, policy, account and parameters, no page says; a call that is well
    formed passes them all.
    """
    call = _call(deployment)
    chosen = deployment.settings.faceid_endpoint
    answers = {host: _asked(deployment, host, call) for host in dict.fromkeys((chosen, *HOSTS))}
    good = [host for host, answer in answers.items() if answer.error in TAKEN]
    for host, answer in answers.items():
        named = f"{host} (FACEID_ENDPOINT)" if host == chosen else host
        if host in good:
            found = (
                f"{named} would take calls of yours: {answer.error} for links that lead nowhere, not billed"
            )
            yield Check("API", "ok", found)
        elif host != chosen:
            yield Check("API", "info", f"{host}: {_said(answer)}")
        elif str(answer.error).startswith(BUSY):
            yield Check(
                "API", "warn", f"{named}: {_said(answer)}", "somebody uses up the quota: try again later"
            )
        else:
            do = f"set FACEID_ENDPOINT={good[0]}" if good else _advice(answer)
            yield Check("API", "fail", f"{named}: {_said(answer)}", do)


def _call(deployment: Deployment) -> Mapping[str, str]:
    """The parameters of a call that is well formed, about a pair that nobody has uploaded."""
    pair = new_pair(deployment, "doctor")
    md5 = hashlib.md5(pair.live_keys[0].encode(), usedforsecurity=False).hexdigest()
    live, image = (
        deployment.uploads.objects.link(key, SECONDS) for key in (pair.live_keys[0], pair.image_keys[0])
    )
    return {"LiveDataUrl": live, "LiveDataMd5": md5, "ImageUrl": image, "ImageMd5": md5}


def _asked(deployment: Deployment, host: str, call: Mapping[str, str]) -> Answer:
    """What a host answers; what a `Result` says is an error, too."""
    answer = Service(deployment, "faceid", VERSION, host).ask(ACTION, **call)
    code = answer.error or answer.fields.get("Result") or "an answer without a code"
    return answer._replace(error=plain(str(code)))


def _said(answer: Answer) -> str:
    return f"{answer.error}: {answer.said}" if answer.said else str(answer.error)


def _advice(answer: Answer) -> str:
    code = str(answer.error)
    return first(ADVICE, code) or about_api(code, ALLOWED) or _by_row(code)


def _by_row(code: str) -> str:
    row = code_row(code)
    return row.says if row.klass == "configuration" else LATER
