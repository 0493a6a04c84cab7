"""The deployed function, as the platform tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.code import code
from handler.cli.doctor.running import invoked, running
from handler.cli.doctor.tencent import Service
from handler.cli.doctor.triggers import triggers
from handler.cli.doctor.trouble import about_api
from handler.cli.doctor.watched import watched
from handler.flow.call import LEASE_SECONDS, least_seconds
from handler.index import MARGIN_SECONDS
from handler.rules.settings import SettingsError, load_settings

HOST = "scf.tencentcloudapi.com"
VERSION = "2018-04-16"

RUNTIME, HANDLER = "Python3.10", "index.main_handler"

TIME_LIMIT = f"set {LEASE_SECONDS + 15:.0f} s"

Fields = Mapping[str, Any]
"""GetFunction's answer."""


NOT_THERE = (
    "ResourceNotFound",
    "ResourceNotFound.Function",
    "ResourceNotFound.FunctionName",
    "ResourceNotFound.Namespace",
    "InvalidParameterValue.FunctionName",
)
"""How GetFunction says that there is no such function (product 583, page 18584)."""

NO_FUNCTIONS = (
    "UnsupportedRegion",
    "UnsupportedOperation.NotSupportRegion",
    "UnsupportedOperation.Region",
    "UnauthorizedOperation.Region",
)
"""How the platform says that a region has no functions."""

READING = (
    "scf:GetFunction, scf:ListTriggers, scf:GetFunctionEventInvokeConfig, scf:GetReservedConcurrencyConfig "
    "and scf:GetFunctionAddress"
)


def function(deployment: Deployment) -> Iterator[Check]:
    platform = Service(deployment, "scf", VERSION, HOST)
    answer = platform.ask("GetFunction", FunctionName=deployment.function)
    if answer.error:
        yield _not_told(deployment, answer.error)
        return
    for check in CHECKS:
        yield from check(deployment, answer.fields)
    yield from running(answer.fields)
    yield from invoked(deployment, platform, answer.fields)
    yield from triggers(deployment, platform)
    yield from code(deployment, platform)
    yield from watched(deployment, answer.fields)


def _not_told(deployment: Deployment, error: str) -> Check:
    name, region = deployment.function, deployment.region
    if error in NO_FUNCTIONS:
        do = "deploy to a region that has functions, where the buckets are too: ap-singapore or ap-hongkong"
        return Check("function", "fail", f"the platform has no functions in {region}: {error}", do)
    if error in NOT_THERE:
        return Check("function", "fail", f"{name} is not deployed in {region}", "`make bundle`, then deploy")
    found = f"the function platform did not tell of {name}: {error}"
    do = about_api(error, READING) or "look at triggers and settings in the console"
    return Check("function", "warn", found, do)


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
        # A local cloud tells its instances by itself where it is.
        ours = {"LOCAL_CLOUD": deployment.settings.local_cloud or ""}
        deployed = load_settings({**ours, **_variables(fields)})._asdict()
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
