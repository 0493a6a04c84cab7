"""The API of the function platform, as far as it tells of what is deployed, version 2018-04-16.

GetFunction and ListTriggers, for the functions of `Scf`. Shapes are those of the API's pages
(product 583, pages 18584 and 36314) and of its published models, in which the switch of a trigger
is set as OPEN or CLOSE and told as 1 or 0, and a timer's schedule is set as a text and told as JSON.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
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
        self.status: dict[str, str] = {}
        """What GetFunction tells as the status of a function by its name; "Active" for others."""

    def connect(self, scf: Scf) -> None:
        """Tell of the functions of this platform."""
        self._scf = scf

    def serves(self, host: str) -> bool:
        return API.fullmatch(host) is not None

    def operation(self, request: Request) -> Operation:
        """What a request asks for; the function's name stands in its body, and is not seen here."""
        return Operation("scf", api.action_of(request), region=request.headers.get("X-TC-Region", ""))

    async def handle(self, request: Request) -> Response:
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
        secret_id, body = await api.authenticate(request, "scf", self._accounts, self._clock.now())
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
        asked = _parameters(action, body)
        function = self._find(asked, region)
        if action == "GetFunction":
            return self._tell(function)
        return self._list(function, asked)

    def _find(self, asked: Mapping[str, Any], region: str) -> Function:
        if not asked.get("FunctionName"):
            raise api.missing("FunctionName")
        assert self._scf is not None, "connect() comes before the first request"
        function = self._scf.function(asked["FunctionName"])
        here = asked.get("Namespace", "default") == "default"
        if function is None or function.region != region or not here:
            raise ApiError("ResourceNotFound.Function", "The specified function does not exist.")
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
            "Status": self.status.get(function.name, "Active"),
            "StatusDesc": "",
            "StatusReasons": [],
            "AvailableStatus": "Available",
            "CodeInfo": "",
            "CodeSize": 0,
            "CodeResult": "success",
            "CodeError": "",
            "ErrNo": 0,
            "InstallDependency": "FALSE",
            "AsyncRunEnable": "FALSE",
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
        }

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
