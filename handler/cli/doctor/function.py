"""The deployed function, as the platform tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Service
from handler.cli.doctor.triggers import triggers
from handler.flow.call import LEASE_SECONDS, least_seconds
from handler.index import MARGIN_SECONDS
from handler.rules.settings import SettingsError, load_settings

HOST = "scf.tencentcloudapi.com"
VERSION = "2018-04-16"

RUNTIME, HANDLER = "Python3.10", "index.main_handler"

TIME_LIMIT = f"set {LEASE_SECONDS + 15:.0f} s"

Fields = Mapping[str, Any]
"""GetFunction's answer."""


def function(deployment: Deployment) -> Iterator[Check]:
    platform = Service(deployment, "scf", VERSION, HOST)
    answer = platform.ask("GetFunction", FunctionName=deployment.function)
    if answer.error:
        yield _not_told(deployment, answer.error)
        return
    for check in CHECKS:
        yield from check(deployment, answer.fields)
    yield from triggers(deployment, platform)


def _not_told(deployment: Deployment, error: str) -> Check:
    if error.startswith("ResourceNotFound"):
        where = f"{deployment.function} is not deployed in {deployment.region}"
        return Check("function", "fail", where, "`make bundle`, then deploy")
    return Check(
        "function",
        "warn",
        f"the function platform did not tell of {deployment.function}: {error}",
        "allow scf:GetFunction and scf:ListTriggers, or look at triggers and settings in the console",
    )


def _runtime(deployment: Deployment, fields: Fields) -> Iterator[Check]:
    runtime, handler = fields.get("Runtime"), fields.get("Handler")
    right = (runtime, handler) == (RUNTIME, HANDLER)
    yield Check(
        "runtime",
        "ok" if right else "fail",
        f"{runtime}, {handler}, {fields.get('MemorySize')} MB, {fields.get('Timeout')} s",
        "" if right else f"deploy with {RUNTIME} and {HANDLER}",
    )


def _time_limit(deployment: Deployment, fields: Fields) -> Iterator[Check]:
    seconds = fields.get("Timeout")
    if not isinstance(seconds, int) or seconds < least_seconds(deployment.settings) + MARGIN_SECONDS:
        yield Check("time limit", "fail", f"with {seconds} s the API is never called", TIME_LIMIT)
    elif seconds < LEASE_SECONDS + 10:
        yield Check("time limit", "warn", f"{seconds} s leave sweeps little time", TIME_LIMIT)


def _settings(deployment: Deployment, fields: Fields) -> Iterator[Check]:
    name = "deployed settings"
    try:
        deployed = load_settings(_variables(fields))._asdict()
    except SettingsError as error:
        yield Check(name, "fail", "; ".join(error.faults), "set them and deploy again")
        return
    here = deployment.settings._asdict()
    differ = [each for each in here if deployed[each] != here[each] and each != "local_cloud"]
    if differ:
        found = f"differ from these here: {', '.join(differ)}"
        yield Check(name, "warn", found, "deploy again, or give these commands the function's settings")
    else:
        yield Check(name, "ok", "are these here")


def _variables(fields: Fields) -> dict[str, str]:
    variables = (fields.get("Environment") or {}).get("Variables") or []
    return {str(each.get("Key")): str(each.get("Value")) for each in variables}


def _role(deployment: Deployment, fields: Fields) -> Iterator[Check]:
    if not fields.get("Role"):
        yield Check("role", "fail", "the function has none", "give it a role with handler/policy.json")


CHECKS: tuple[Callable[[Deployment, Fields], Iterator[Check]], ...] = (
    _runtime,
    _time_limit,
    _settings,
    _role,
)
