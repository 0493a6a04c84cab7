"""`doctor`: checks of a deployment, each with what was found and what to do.

Everything is asked with the operator's own credentials. What the function's role may do is told by the
function's log alone: its errors name the missing action and the resource.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import requests
from rich.text import Text
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from handler.cli.deployment import Deployment, OperatorBucket, Problem, load
from handler.cli.output import Output, plain, span, when
from handler.edges.cos import CosError, Exists, Forbidden, Stored
from handler.edges.faceid import ACTION, VERSION, code_row
from handler.edges.webhook import POST_SECONDS, WebhookClient
from handler.edges.wire import API
from handler.flow.judge import CALL_LEFT, LEASE_SECONDS
from handler.rules.outcome import MESSAGE_VERSION, timestamp
from handler.rules.pairing import AmbiguousKey
from handler.rules.settings import SettingsError, load_settings

Status = Literal["ok", "warn", "fail", "info"]
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "info": "blue"}

HOSTS = ("faceid.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com")
"""The API's documented hosts: mainland site and international site."""

KINDS = ("claims", "records", "best-frames", "agenda", "dead")
"""What of the state the lifecycle rules are looked at for."""

NEWEST = 10  # keys of uploads that are shown
MOST_LISTED = 10_000  # uploads under each prefix that are looked through for the newest
SCF_VERSION = "2018-04-16"


class Check(NamedTuple):
    """One check. `do` says what to do; empty where there is nothing."""

    name: str
    status: Status
    found: str
    do: str = ""


def examine(config: Path, env_file: Path, output: Output, *, post: bool = True) -> bool:
    """Run all checks and print them. Returns whether none failed."""
    try:
        d = load(config, env_file)
    except SettingsError as error:
        checks = [
            Check(
                "settings",
                "fail",
                fault,
                "set it in .env or serverless.yml, and where the function is deployed",
            )
            for fault in error.faults
        ]
        return _tell(output, checks)
    except Problem as error:
        return _tell(output, [Check("settings", "fail", str(error), "then run doctor again")])
    checks = [Check("settings", "ok", f"{d.settings.bucket} in {d.region}, {d.function}")]
    groups: list[tuple[str, Callable[[Deployment], Iterator[Check]]]] = [
        ("state bucket", _state),
        ("bucket of uploads", _uploads),
        ("versions", _versioning),
        ("lifecycle rules", _lifecycle),
        ("function", _function),
        ("API", _api),
    ]
    if post:
        groups.append(("webhook", _webhook))
    with output.err.status("checking …") as status:
        for name, group in groups:
            status.update(f"checking: {name} …")
            checks += _guarded(name, group, d)
    return _tell(output, checks)


def _guarded(name: str, group: Callable[[Deployment], Iterator[Check]], d: Deployment) -> list[Check]:
    """All checks of a group; one that cannot be made is one that failed."""
    checks: list[Check] = []
    try:
        for check in group(d):
            checks.append(check)  # what was found before an error counts
    except Forbidden as error:
        checks.append(
            Check(name, "fail", str(error), "give your credentials that action, then run doctor again")
        )
    except CosError as error:
        checks.append(
            Check(name, "fail", str(error), "check BUCKET, STATE_BUCKET and REGION, or try again later")
        )
    except requests.RequestException as error:
        checks.append(Check(name, "fail", f"no answer ({type(error).__name__})", "check the network"))
    return checks


def _tell(output: Output, checks: list[Check]) -> bool:
    failed = [check for check in checks if check.status == "fail"]
    output.value({"checks": [check._asdict() for check in checks], "failed": len(failed)})
    output.table(
        ("check", "", "found", "what to do"),
        [
            (check.name, Text(check.status, style=COLOURS[check.status]), check.found, check.do)
            for check in checks
        ],
    )
    output.say(f"{len(failed)} of {len(checks)} checks failed." if failed else "No check failed.")
    return not failed


# --- COS ----------------------------------------------------------------------------------------------


def _state(d: Deployment) -> Iterator[Check]:
    """Each permission by trying it inside the state prefix, and what is assumed of COS."""
    bucket = d.state
    key = f"{d.settings.state_prefix}doctor/{secrets.token_hex(8)}"
    try:
        yield from _probed(bucket, key)
        bucket.list(d.settings.state_prefix)
        yield Check("list state", "ok", f"{bucket.name}/{d.settings.state_prefix}")
    except CosError:
        with suppress(CosError):
            _remove(bucket, key)
        raise
    _remove(bucket, key)
    yield Check("delete state", "ok", "the probe is gone")
    if bucket.name == d.settings.bucket:
        yield Check(
            "state bucket",
            "warn",
            "state lies in the bucket of uploads: whoever may write all of it can forge outcomes",
            "set STATE_BUCKET to a bucket of its own",
        )


def _remove(bucket: OperatorBucket, key: str) -> None:
    bucket.delete([key])
    with suppress(Forbidden):  # the checks of versions tell of that
        for version in bucket.versions(key):
            bucket.erase(version)


def _probed(bucket: OperatorBucket, key: str) -> Iterator[Check]:
    data = b'{"version": 1}'
    bucket.create(key, data)
    yield Check("write state", "ok", f"{bucket.name}/{key}")
    shown = bucket.read(key)
    headed = bucket.head(key)
    if shown == data and headed is not None:
        yield Check("read after write", "ok", "GET and HEAD showed the object at once")
    else:
        late = " and ".join(name for name, seen in (("GET", shown), ("HEAD", headed)) if not seen)
        yield Check(
            "read after write",
            "warn",
            f"{late} did not show a finished PUT at once",
            "outcomes come later: pairs wait for sweeps; tell the bucket's provider if it stays so",
        )
    try:
        bucket.create(key, data)
        yield Check(
            "create-only PUT",
            "fail",
            "a second create-only PUT was taken: two instances could both judge a pair",
            "use a STATE_BUCKET that never had versioning",
        )
    except Exists:
        yield Check("create-only PUT", "ok", "the second one was refused")


def _uploads(d: Deployment) -> Iterator[Check]:
    newest = _newest(d)
    yield Check("list uploads", "ok", d.settings.bucket)
    if not newest:
        yield Check("uploads", "info", f"none in {d.settings.bucket}", "`verify --smoke` makes one")
        return
    yield _read(d, newest[0])
    strange = 0
    for stored in newest:
        try:
            match = d.settings.templates.match(stored.key)
            role: str = match[0] if match else "matches no template"
        except AmbiguousKey:
            match, role = None, "is ambiguous: choose values without the template's separators"
        strange += match is None
        yield Check("upload", "info", f"{stored.key}: {role}")
    if strange == len(newest):
        yield Check(
            "templates",
            "fail",
            f"none of the newest {strange} uploads matches LIVE_KEY or IMAGE_KEY",
            "make the templates and the keys that your application chooses agree",
        )


def _read(d: Deployment, newest: Stored) -> Check:
    """One piece read is a permission tried."""
    found = f"the newest was made at {when(newest.last_modified)}"
    try:
        with closing(d.uploads.pieces(newest)) as pieces:
            next(pieces, None)
    except Forbidden as error:
        if error.code != "InvalidObjectState":
            raise
        return Check("read uploads", "warn", f"{found} and is archived", "restore it, or it ends as failed")
    return Check("read uploads", "ok", found)


def _templates(d: Deployment) -> tuple[Any, ...]:
    return (*d.settings.templates.live, *d.settings.templates.image)


def _newest(d: Deployment) -> list[Stored]:
    """Of the first `MOST_LISTED` keys under each template's prefix, and of the whole bucket."""
    found: dict[str, Stored] = {}
    for prefix in sorted({"", *(template.prefix for template in _templates(d))}):
        for stored in islice(d.uploads.every(prefix), MOST_LISTED):
            if not stored.key.endswith("/") and not stored.key.startswith(d.settings.state_prefix):
                found[stored.key] = stored
    return sorted(found.values(), key=lambda each: each.last_modified, reverse=True)[:NEWEST]


def _buckets(d: Deployment) -> list[tuple[str, OperatorBucket]]:
    if d.state is d.uploads:
        return [("uploads and state", d.uploads)]
    return [("uploads", d.uploads), ("state", d.state)]


def _versioning(d: Deployment) -> Iterator[Check]:
    for role, bucket in _buckets(d):
        status = bucket.versioning()
        name = f"versions ({role})"
        if status == "never":
            yield Check(name, "ok", f"{bucket.name} never kept any")
        elif "state" in role:
            yield Check(
                name,
                "fail",
                f"{bucket.name} keeps versions or did ({status}): COS then ignores create-only PUTs, so each "
                "verification waits 3 s longer, and two instances may both judge a pair",
                "use a STATE_BUCKET that never had versioning; it cannot be undone, suspending is not enough",
            )
        else:
            yield Check(
                name,
                "warn",
                f"{bucket.name} keeps versions or did ({status}): deleted uploads stay as old versions",
                "erase with `forget`, which takes all versions; or add a lifecycle rule for old versions",
            )


def _lifecycle(d: Deployment) -> Iterator[Check]:
    prefix = d.settings.state_prefix
    kept: dict[str, int | None] = {}
    for role, bucket in _buckets(d):
        rules = [rule for rule in bucket.lifecycle() if rule.get("Status") == "Enabled"]
        places: dict[str, str] = {}
        if "uploads" in role:
            places |= {template.prefix: template.prefix for template in _templates(d)}
        if "state" in role:
            places |= {kind: f"{prefix}{kind}/" for kind in KINDS}
        for name, place in places.items():
            # Of uploads a rule that reaches some keeps the others; of state it is some that are missing.
            days = (_expires(rule, place, some=name in KINDS) for rule in rules)
            kept[name] = min(filter(None, days), default=None)
            if name in ("agenda", "dead") and kept[name]:
                yield Check(
                    f"lifecycle of {name}/",
                    "fail",
                    f"deleted after {kept[name]} days: what waits there is then never told",
                    "let no lifecycle rule reach it",
                )
    shown = ", ".join(f"{name} {f'{days} days' if days else 'for ever'}" for name, days in kept.items())
    yield Check("kept for", "info", shown)
    uploads = [kept[template.prefix] for template in _templates(d)]
    longest = None if None in uploads else max(filter(None, uploads), default=None)
    for name in ("claims", "records"):
        ends = kept.get(name)
        if ends and (longest is None or ends < longest):
            yield Check(
                f"lifecycle of {name}",
                "fail",
                f"deleted after {ends} days, before the uploads that they are about: these would be judged "
                "and billed again",
                "keep claims and records at least as long as the uploads",
            )


def _expires(rule: dict[str, Any], place: str, *, some: bool) -> int | None:
    """After how many days a rule deletes all objects under `place`, or `some`; None where it does not."""
    wanted = rule.get("Filter") or {}
    wanted = wanted.get("And") or wanted
    prefix = wanted.get("Prefix") or rule.get("Prefix") or ""
    days = (rule.get("Expiration") or {}).get("Days")
    reaches = place.startswith(prefix) or (some and prefix.startswith(place))
    # Neither uploads nor state carry tags.
    return int(days) if days and reaches and not wanted.get("Tag") else None


# --- the function ---------------------------------------------------------------------------------------


def _client(d: Deployment, service: str, version: str, host: str) -> CommonClient:
    plain_http = d.wire.proxy is not None
    http = HttpProfile(
        protocol="http" if plain_http else "https", endpoint=host, reqTimeout=30, proxy=d.wire.proxy
    )
    credential = Credential(d.credentials.secret_id, d.credentials.secret_key, d.credentials.token)
    client = CommonClient(
        service, version, credential, d.region, ClientProfile(httpProfile=http, language="en-US")
    )
    d.wire.bound(client.request.conn._session)
    return client


def _ask(d: Deployment, client: CommonClient, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """An API's Response, or its error as `{"Error": {"Code": …, "Message": …}}`."""
    with d.wire.limit(API, 30):
        try:
            answered = client.call_json(action, parameters)
        except TencentCloudSDKException as error:
            return {"Error": {"Code": str(error.code)}}
        except (requests.RequestException, OSError, ValueError):
            return {"Error": {"Code": "ClientNetworkError"}}
    response = answered.get("Response")
    return response if isinstance(response, dict) else {"Error": {"Code": "an answer that cannot be read"}}


def _function(d: Deployment) -> Iterator[Check]:
    client = _client(d, "scf", SCF_VERSION, "scf.tencentcloudapi.com")
    found = _ask(d, client, "GetFunction", {"FunctionName": d.function})
    code = (found.get("Error") or {}).get("Code", "")
    if code.startswith("ResourceNotFound"):
        yield Check(
            "function", "fail", f"{d.function} is not deployed in {d.region}", "`make bundle`, then deploy"
        )
        return
    if code:
        yield Check(
            "function",
            "warn",
            f"the function platform did not tell of {d.function}: {code}",
            "allow scf:GetFunction and scf:ListTriggers, or look at triggers and settings in the console",
        )
        return
    yield from _configuration(d, found)
    told = _ask(d, client, "ListTriggers", {"FunctionName": d.function, "Limit": 100})
    code = (told.get("Error") or {}).get("Code", "")
    if code:
        yield Check("triggers", "warn", f"they were not told: {code}", "allow scf:ListTriggers")
        return
    yield from _triggers(d, told.get("Triggers") or [])


def _configuration(d: Deployment, found: dict[str, Any]) -> Iterator[Check]:
    runtime, handler, seconds = found.get("Runtime"), found.get("Handler"), found.get("Timeout")
    right = runtime == "Python3.10" and handler == "index.main_handler"
    yield Check(
        "runtime",
        "ok" if right else "fail",
        f"{runtime}, {handler}, {found.get('MemorySize')} MB, {seconds} s",
        "" if right else "deploy with Python3.10 and index.main_handler",
    )
    if not isinstance(seconds, int) or seconds < CALL_LEFT + 5:
        yield Check(
            "time limit",
            "fail",
            f"with {seconds} s the API is never called",
            f"set {LEASE_SECONDS + 15:.0f} s",
        )
    elif seconds < LEASE_SECONDS + 10:
        yield Check(
            "time limit", "warn", f"{seconds} s leave sweeps little time", f"set {LEASE_SECONDS + 15:.0f} s"
        )
    variables = {
        str(each.get("Key")): str(each.get("Value"))
        for each in (found.get("Environment") or {}).get("Variables") or []
    }
    try:
        there, here = load_settings(variables)._asdict(), d.settings._asdict()
        differ = [name for name in here if there[name] != here[name] and name != "local_cloud"]
    except SettingsError as error:
        yield Check("deployed settings", "fail", "; ".join(error.faults), "set them and deploy again")
    else:
        yield Check(
            "deployed settings",
            "warn" if differ else "ok",
            f"differ from these here: {', '.join(differ)}" if differ else "are these here",
            "deploy again, or give these commands the function's settings" if differ else "",
        )
    if not found.get("Role"):
        yield Check("role", "fail", "the function has none", "give it a role with handler/policy.json")


def _triggers(d: Deployment, triggers: list[dict[str, Any]]) -> Iterator[Check]:
    enabled = [each for each in triggers if each.get("Enable") in (1, "1", True, "OPEN")]
    disabled = len(triggers) - len(enabled)
    if disabled:
        yield Check("triggers", "fail", f"{disabled} are switched off", "enable them in the console")
    uploads = [each for each in enabled if each.get("Type") == "cos"]
    covering = all(any(_covers(d, each, one.prefix) for each in uploads) for one in _templates(d))
    yield Check(
        "COS trigger",
        "ok" if covering else "fail",
        "covers both templates" if covering else "none covers both templates",
        ""
        if covering
        else f"of {d.settings.bucket}: events cos:ObjectCreated:*, a prefix that both templates begin with, "
        "no suffix",
    )
    timers = [each for each in enabled if each.get("Type") == "timer"]
    for name, wanted, do in (
        ("sweep timer", [each for each in timers if _argument(each) != "reconcile"], "0 * * * * * *"),
        ("reconcile timer", [each for each in timers if _argument(each) == "reconcile"], "30 17 3 * * * *"),
    ):
        found = ", ".join(_cron(each) for each in wanted)
        argument = " with the argument reconcile" if name.startswith("reconcile") else ""
        yield Check(
            name,
            "ok" if wanted else "fail",
            found or "there is none",
            "" if wanted else f"add {do}{argument}",
        )
        if name == "sweep timer" and wanted and not any(_cron(each).startswith("0 * ") for each in wanted):
            yield Check(name, "warn", "it does not fire each minute", f"set {do}")


def _description(trigger: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(trigger.get("TriggerDesc") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _covers(d: Deployment, trigger: dict[str, Any], key_prefix: str) -> bool:
    """Whether a COS trigger tells of all uploads under a prefix. It is named as its bucket's host."""
    told = _description(trigger)
    wanted = {str(name).lower(): value for name, value in (told.get("filter") or {}).items()}
    host, _, cos = str(trigger.get("TriggerName") or "").partition(".")
    return (
        (host == d.settings.bucket or not cos.startswith("cos."))
        and not wanted.get("suffix")
        and key_prefix.startswith(wanted.get("prefix") or "")
        and "ObjectCreated:*" in str(told.get("event") or told.get("events") or trigger.get("TriggerDesc"))
    )


def _argument(trigger: dict[str, Any]) -> str:
    return str(trigger.get("CustomArgument") or "").strip()


def _cron(trigger: dict[str, Any]) -> str:
    return str(_description(trigger).get("cron") or trigger.get("TriggerDesc"))


# --- the API and the webhook ------------------------------------------------------------------------------


def _api(d: Deployment) -> Iterator[Check]:
    """A call without parameters is refused before anything is judged: what refuses it tells what is wrong."""
    chosen = d.settings.faceid_endpoint
    hosts = list(dict.fromkeys([chosen, *HOSTS]))
    answers = {host: _code(_ask(d, _client(d, "faceid", VERSION, host), ACTION, {})) for host in hosts}
    good = [
        host for host, code in answers.items() if code.startswith(("MissingParameter", "InvalidParameter"))
    ]
    for host, code in answers.items():
        named = " (FACEID_ENDPOINT)" if host == chosen else ""
        if host in good:
            yield Check("API", "ok", f"{host}{named} would take calls of yours; none was billed")
        elif host != chosen:
            yield Check("API", "info", f"{host}: {code}")
        else:
            do = f"set FACEID_ENDPOINT={good[0]}" if good else _advice(code)
            yield Check("API", "fail", f"{host}{named}: {code}", do)


def _code(response: dict[str, Any]) -> str:
    code = (response.get("Error") or {}).get("Code") or response.get("Result")
    return plain(code or "an answer without a code")


def _advice(code: str) -> str:
    if "UnauthorizedOperation" in code:
        return f"allow faceid:{ACTION}, to you and to the function's role"
    if code.startswith("AuthFailure"):
        return "check the credentials and this machine's clock"
    if code.startswith("ResourceUnavailable"):
        return "activate eKYC in the console, or settle what is owed"
    return code_row(code).says


def _webhook(d: Deployment) -> Iterator[Check]:
    now = d.clock.now()
    message_id = f"msg_test_{secrets.token_hex(16)}"
    body = {
        "id": message_id,
        "type": "webhook.test",
        "timestamp": timestamp(now),
        "version": MESSAGE_VERSION,
        "data": {"note": "A test of this webhook, sent by `doctor`: no upload was judged."},
    }
    client = WebhookClient(d.wire, d.settings.webhook_url, d.settings.webhook_secrets)
    began = d.clock.elapsed()
    said = client.post(message_id, json.dumps(body), now, POST_SECONDS)
    took = d.clock.elapsed() - began
    if said.ok:
        found = f"{d.settings.webhook_origin} took webhook.test with {said.status} in {took * 1000:.0f} ms"
        yield Check("webhook", "ok", found)
        if took > 5:
            yield Check("webhook", "warn", f"it took {span(took)}", "answer first, and work afterwards")
        return
    advice = "make it answer 2xx within 15 s"
    if said.status in (400, 401, 403):
        advice = "its secret differs from WEBHOOK_SECRET, or it does not verify the raw body"
    elif said.status is None:
        advice = "check WEBHOOK_URL, its certificate, and that it can be reached from outside"
    yield Check("webhook", "fail", f"{d.settings.webhook_origin}: {said.error}", advice)
