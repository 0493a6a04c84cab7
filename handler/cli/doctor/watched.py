"""Whether the function is watched: its log topic, the topic's index, and the alarms of deploy/alarms.json.

Source: product 614, the API's pages of DescribeIndex and DescribeAlarms, and the SDKs' models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Service
from handler.cli.doctor.trouble import about_api

HOST = "cls.tencentcloudapi.com"
VERSION = "2020-10-16"

ALARMS = Path(__file__).parents[3] / "deploy" / "alarms.json"
MOST = 100  # alarms of a topic that are asked for

TOPIC, INDEX, WATCHED = "log topic", "log index", "alarms"


def watched(deployment: Deployment, fields: Mapping[str, Any]) -> Iterator[Check]:
    """Of the function as GetFunction tells of it."""
    topic = str(fields.get("ClsTopicId") or "")
    if not topic:
        do = "the function's page in the console names it; CLS_TOPIC makes it one of your own"
        yield Check(TOPIC, "info", "the platform's own, which it does not tell", do)
        return
    yield Check(TOPIC, "ok", topic)
    if not ALARMS.is_file():
        return
    wanted, logs = json.loads(ALARMS.read_text(encoding="utf-8")), Service(deployment, "cls", VERSION, HOST)
    yield _index(logs, topic, wanted["fields"])
    yield _alarms(logs, topic, wanted["alarms"])


def _index(logs: Service, topic: str, wanted: Mapping[str, str]) -> Check:
    answer = logs.ask("DescribeIndex", TopicId=topic)
    if answer.error:
        do = about_api(answer.error, "cls:DescribeIndex") or f"index the fields of deploy/{ALARMS.name}"
        return Check(INDEX, "info", f"not told: {answer.error}", do)
    keys = ((answer.fields.get("Rule") or {}).get("KeyValue") or {}).get("KeyValues") or []
    there = {str(each.get("Key")): (each.get("Value") or {}).get("Type") for each in keys}
    wrong = [name for name, kind in wanted.items() if there.get(name) != kind]
    if not wrong:
        return Check(INDEX, "ok", f"all {len(wanted)} fields")
    found = f"without, or with another type: {', '.join(wrong)}"
    return Check(INDEX, "warn", found, f"index them as deploy/{ALARMS.name} says, or searches find nothing")


def _alarms(logs: Service, topic: str, wanted: list[Mapping[str, Any]]) -> Check:
    answer = logs.ask("DescribeAlarms", Filters=[{"Key": "topicId", "Values": [topic]}], Limit=MOST)
    if answer.error:
        do = about_api(answer.error, "cls:DescribeAlarms") or "look at them in the console"
        return Check(WATCHED, "info", f"not told: {answer.error}", do)
    queries = [
        str(target.get("Query")).partition("|")[0].strip()
        for alarm in answer.fields.get("Alarms") or []
        if alarm.get("Status") is not False
        for target in alarm.get("AlarmTargets") or []
    ]
    missing = [str(alarm["name"]) for alarm in wanted if alarm["search"] not in queries]
    if not missing:
        return Check(WATCHED, "ok", f"all {len(wanted)} of deploy/{ALARMS.name}")
    found = f"{len(wanted) - len(missing)} of {len(wanted)}, without: {', '.join(missing)}"
    return Check(WATCHED, "info", found, "make them by Terraform or by hand, unless something else watches")
