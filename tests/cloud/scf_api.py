"""The API of the function platform, as far as it tells of what is deployed, version 2018-04-16.

GetFunction, ListTriggers, GetFunctionEventInvokeConfig, GetReservedConcurrencyConfig and GetFunctionAddress,
for the functions of `Scf`. Shapes are those of the API's pages (product 583, pages 18584, 36314 and 39921)
and of its published models, in which the switch of a trigger is set as OPEN or CLOSE and told as 1 or 0, and
a timer's schedule is set as a text and told as JSON.

The code of a function lies in a bucket of the platform's own, which is served here as well.
"""

import hashlib
import io
import re
import secrets
import uuid
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cloud import api
from tests.cloud.api import ApiError
from tests.cloud.clock import Clock
from tests.cloud.cos_event import SHORT_CODES
from tests.cloud.cos_sign import Account
from tests.cloud.function import CHINA, Function, Trigger
from tests.cloud.proxy import Operation, Request, Response
from tests.cloud.scf import Scf

API = re.compile(r"scf(\.[a-z]+-[a-z]+)?(\.intl)?(\.[a-z]+-[a-z]+)?\.tencentcloudapi\.com")
VERSION = "2018-04-16"
QUALIFIER = "$DEFAULT"
"""The traffic that triggers are bound to, as `serverless.yml` has it."""

PARAMETERS: dict[str, dict[str, type]] = {
    "GetFunction": {"FunctionName": str, "Qualifier": str, "Namespace": str, "ShowCode": str},
    "ListTriggers": {
        "FunctionName": str,
        "Namespace": str,
        "Offset": int,
        "Limit": int,
        "OrderBy": str,
        "Order": str,
        "Filters": list,
    },
}
_OF_A_FUNCTION: dict[str, type] = {"FunctionName": str, "Namespace": str, "Qualifier": str}
PARAMETERS |= {
    "GetFunctionEventInvokeConfig": _OF_A_FUNCTION,
    "GetFunctionAddress": _OF_A_FUNCTION,
    "GetReservedConcurrencyConfig": {"FunctionName": str, "Namespace": str},
}
CODE = re.compile(r"scf-code-1250000001\.cos\.[a-z-]+\.myqcloud\.com")
"""The host that a function's code is downloaded from."""

LIMIT = 20
"""Triggers on a page of ListTriggers that does not say how many it wants."""

UIN = "100000000001"


class ScfApi:
    """The API. `connect` comes before the first request."""

    def __init__(self, clock: Clock, accounts: Mapping[str, Account]) -> None:
        self._clock = clock
        self._accounts = accounts
        self._scf: Scf | None = None
        self._started = clock.now()
        self.told: dict[str, dict[str, Any]] = {}
        """What GetFunction tells of a function, by its name, otherwise than it is deployed."""
        self.no_functions: dict[str, str] = {}
        """Regions without functions, each with the code that is answered there."""
        self.not_found = "ResourceNotFound.Function"
        """The code for a function that is not there; the API's page names several."""
        # Tells the links to code from anybody else's guesses.
        self._sign = secrets.token_hex(16)

    def connect(self, scf: Scf) -> None:
        """Tell of the functions of this platform."""
        self._scf = scf

    def serves(self, host: str) -> bool:
        return bool(API.fullmatch(host) or CODE.fullmatch(host))

    def operation(self, request: Request) -> Operation:
        """What a request asks for; the function's name stands in its body, and is not seen here."""
        if CODE.fullmatch(request.host):
            return Operation("scf-files", "GetObject", key=request.raw_path[1:])
        return Operation("scf", api.action_of(request), region=request.headers.get("X-TC-Region", ""))

    async def handle(self, request: Request) -> Response:
        if CODE.fullmatch(request.host):
            return self._code(request)
        request_id = str(uuid.uuid4())
        try:
            told = await self._call(request)
        except ApiError as error:
            language = request.headers.get("X-TC-Language", "")
            return api.answer(api.error(error.code, error.message, request_id, language))
        return api.answer({"Response": {**told, "RequestId": request_id}})

    def refuse(self, request: Request, status: int, code: str, message: str) -> Response:
        return api.answer(api.error(code, message, str(uuid.uuid4()), "en-US"), status)

    async def _call(self, request: Request) -> dict[str, Any]:
        secret_id, body = await api.authenticate(
            request, "scf", self._accounts, self._clock.seen_from(request.source)
        )
        region, action = request.headers.get("X-TC-Region", ""), api.action_of(request)
        try:
            name = str(api.parameters(body).get("FunctionName", ""))
        except ApiError:
            name = ""
        operation = Operation("scf", action, key=name, region=region)
        resource = f"qcs::scf:{SHORT_CODES.get(region, region)}:uin/{UIN}:namespace/default/function/{name}"
        api.authorize(request, VERSION, PARAMETERS, self._accounts[secret_id], operation, resource)
        if not region:
            raise api.missing("Region")
        if region not in SHORT_CODES:
            raise ApiError("UnsupportedRegion", f"The region `{region}` is not supported.")
        if region in self.no_functions:
            raise ApiError(self.no_functions[region], f"There are no functions in `{region}`.")
        asked = _parameters(action, body)
        function = self._find(asked, region)
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "GetFunction": lambda: self._tell(function),
            "ListTriggers": lambda: self._list(function, asked),
            "GetFunctionEventInvokeConfig": lambda: _invoke_config(function),
            "GetReservedConcurrencyConfig": lambda: {"ReservedMem": function.reserved_memory},
            "GetFunctionAddress": lambda: self._address(function),
        }
        return answers[action]()

    def _find(self, asked: Mapping[str, Any], region: str) -> Function:
        if not asked.get("FunctionName"):
            raise api.missing("FunctionName")
        assert self._scf is not None, "connect() comes before the first request"
        function = self._scf.function(asked["FunctionName"])
        here = asked.get("Namespace", "default") == "default"
        if function is None or function.region != region or not here:
            raise ApiError(self.not_found, "The specified function does not exist.")
        return function

    def _tell(self, function: Function) -> dict[str, Any]:
        variables = [{"Key": key, "Value": value} for key, value in function.environment.items()]
        return {
            "FunctionName": function.name,
            "FunctionId": "lam-localcloud",
            "FunctionVersion": "$LATEST",
            "Qualifier": "$LATEST",
            "Namespace": "default",
            "Type": "Event",
            "Description": "",
            "Runtime": function.runtime,
            "Handler": function.handler,
            "MemorySize": function.memory,
            "Timeout": int(function.timeout),
            "InitTimeout": int(function.init_timeout),
            "Role": function.role,
            "Environment": {"Variables": variables},
            "Status": "Active",
            "StatusDesc": "",
            "StatusReasons": [],
            "AvailableStatus": "Available",
            "CodeInfo": "",
            "CodeSize": 0,
            "CodeResult": "success",
            "CodeError": "",
            "ErrNo": 0,
            "InstallDependency": "FALSE",
            "AsyncRunEnable": "TRUE" if function.async_run else "FALSE",
            "PublicNetConfig": {
                "PublicNetStatus": "ENABLE",
                "EipConfig": {"EipStatus": "DISABLE", "EipAddress": []},
            },
            "TraceEnable": "FALSE",
            "Layers": [],
            "Tags": [],
            "Triggers": self._triggers(function),
            "VpcConfig": {"VpcId": "", "SubnetId": ""},
            "DeadLetterConfig": {"Type": "", "Name": "", "FilterType": ""},
            "ClsLogsetId": "",
            "ClsTopicId": "",
            "AddTime": _time(self._started),
            "ModTime": _time(self._started),
            **self.told.get(function.name, {}),
        }

    def _address(self, function: Function) -> dict[str, Any]:
        host = f"scf-code-1250000001.cos.{function.region}.myqcloud.com"
        return {
            "Url": f"https://{host}/{function.name}.zip?q-signature={self._sign}",
            "CodeSha256": hashlib.sha256(zipped(function.code)).hexdigest(),
        }

    def _code(self, request: Request) -> Response:
        assert self._scf is not None, "connect() comes before the first request"
        function = self._scf.function(request.raw_path[1:].removesuffix(".zip"))
        if request.method != "GET" or function is None or request.parameter("q-signature") != self._sign:
            return Response(
                403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
            )
        return Response(200, {"Content-Type": "application/zip"}, zipped(function.code))

    def _list(self, function: Function, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self._triggers(function)
        for each in asked.get("Filters", []):
            name, values = each.get("Name"), each.get("Values", [])
            if name not in ("Qualifier", "TriggerName", "Description"):
                raise ApiError("InvalidParameterValue.Filters", f"No filter is called `{name}`.")
            found = [trigger for trigger in found if trigger[name] in values]
        offset = asked.get("Offset", 0)
        return {"TotalCount": len(found), "Triggers": found[offset : offset + asked.get("Limit", LIMIT)]}

    def _triggers(self, function: Function) -> list[dict[str, Any]]:
        assert self._scf is not None
        return [self._trigger(function, each) for each in self._scf.triggers(function.name)]

    def _trigger(self, function: Function, trigger: Trigger) -> dict[str, Any]:
        short = SHORT_CODES[function.region]
        return {
            "Enable": int(trigger.enabled),
            "Qualifier": QUALIFIER,
            "TriggerName": trigger.name,
            "Type": trigger.type,
            "TriggerDesc": trigger.desc,
            "AvailableStatus": "Available",
            "CustomArgument": trigger.argument,
            "Description": "",
            "AddTime": _time(self._started),
            "ModTime": _time(self._started),
            "ResourceId": f"qcs::scf:{short}:uin/{UIN}:function/{function.name}/{trigger.name}",
            "BindStatus": "on" if trigger.enabled else "off",
            "TriggerAttribute": "single",
        }


def zipped(code: Path) -> bytes:
    """A folder as the zip that is deployed: the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(each for each in code.rglob("*") if each.is_file()):
            name = path.relative_to(code).as_posix()
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _invoke_config(function: Function) -> dict[str, Any]:
    retries = [{"RetryNum": function.retries}]
    return {"AsyncTriggerConfig": {"RetryConfig": retries, "MsgTTL": function.event_seconds}}


def _parameters(action: str, body: bytes) -> dict[str, Any]:
    found = api.parameters(body)
    for name, value in found.items():
        if name not in PARAMETERS[action]:
            raise api.unknown(name)
        if not isinstance(value, PARAMETERS[action][name]):
            raise ApiError("InvalidParameter", f"The type of parameter `{name}` is not valid.")
    return found


def _time(at: datetime) -> str:
    return at.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")
