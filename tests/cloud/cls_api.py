"""The API of the log service, as far as it tells of alarms and indexes, version 2020-10-16.

DescribeAlarms and DescribeIndex, in the shapes of the API's published models. What they tell is put here by
tests: `topics` holds the fields that are indexed and the queries of alarms, by topic.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cloud import api
from tests.cloud.api import ApiError
from tests.cloud.clock import Clock
from tests.cloud.cos_sign import Account
from tests.cloud.proxy import Operation, Request, Response

API = re.compile(r"cls(\.intl)?\.tencentcloudapi\.com")
VERSION = "2020-10-16"
PARAMETERS: dict[str, frozenset[str]] = {
    "DescribeAlarms": frozenset({"Filters", "Offset", "Limit"}),
    "DescribeIndex": frozenset({"TopicId"}),
}


@dataclass
class Topic:
    """A log topic: its indexed fields with their types, and the queries of its alarms by their names."""

    fields: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)


class ClsApi:
    """The API, of any region."""

    def __init__(self, clock: Clock, accounts: Mapping[str, Account]) -> None:
        self._clock = clock
        self._accounts = accounts
        self.topics: dict[str, Topic] = {}

    def serves(self, host: str) -> bool:
        return API.fullmatch(host) is not None

    def operation(self, request: Request) -> Operation:
        return Operation("cls", api.action_of(request), region=request.headers.get("X-TC-Region", ""))

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
        secret_id, body = await api.authenticate(request, "cls", self._accounts, self._clock.now())
        operation = self.operation(request)
        api.authorize(request, VERSION, PARAMETERS, self._accounts[secret_id], operation)
        asked = api.parameters(body)
        for name in asked.keys() - PARAMETERS[operation.name]:
            raise api.unknown(name)
        return self._index(asked) if operation.name == "DescribeIndex" else self._alarms(asked)

    def _index(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        topic = self.topics.get(str(asked.get("TopicId")))
        if topic is None:
            raise ApiError("ResourceNotFound.IndexNotExist", "The index does not exist.")
        keys = [{"Key": key, "Value": {"Type": kind, "SqlFlag": True}} for key, kind in topic.fields.items()]
        rule = {"KeyValue": {"CaseSensitive": True, "KeyValues": keys}}
        return {"TopicId": asked["TopicId"], "Status": True, "Rule": rule}

    def _alarms(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        wanted = [value for each in asked.get("Filters", ()) for value in each["Values"]]
        alarms = [
            {"Name": name, "Status": True, "AlarmTargets": [{"TopicId": topic, "Query": query, "Number": 1}]}
            for topic in wanted
            for name, query in self.topics.get(topic, Topic()).alarms.items()
        ]
        offset, limit = asked.get("Offset", 0), asked.get("Limit", 20)
        return {"Alarms": alarms[offset : offset + limit], "TotalCount": len(alarms)}
