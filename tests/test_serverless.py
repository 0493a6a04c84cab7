"""serverless.yml deploys what the code is: its settings, its triggers, its time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from handler.judge import CALL_LEFT, LEASE_SECONDS
from handler.settings import Settings, load_settings

TEXT = (Path(__file__).resolve().parent.parent / "serverless.yml").read_text(encoding="utf-8")
ENVIRONMENT = {
    "REGION": "ap-singapore",
    "ROLE": "livepair",
    "BUCKET": "faces-1250000000",
    "STATE_BUCKET": "faces-state-1250000000",
    "WEBHOOK_URL": "https://example.com/webhook",
    "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQ=",
}


@pytest.fixture
def inputs() -> dict[str, Any]:
    """The file's inputs, with `${env:…}` filled in as the deploy code does."""
    filled = re.sub(r"\$\{env:(\w+)\}", lambda found: ENVIRONMENT[found[1]], TEXT)
    found: dict[str, Any] = yaml.safe_load(filled)["inputs"]
    return found


def test_its_settings_are_the_codes_settings_with_their_defaults(inputs: dict[str, Any]) -> None:
    """None unknown, none missing but LOCAL_CLOUD; what the file spells out is what would be without it."""
    variables = inputs["environment"]["variables"]
    assert all(isinstance(value, str) for value in variables.values())
    least = {name: ENVIRONMENT[name] for name in ("BUCKET", "STATE_BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET")}
    assert load_settings(variables) == load_settings(least)
    # `templates` are two variables; LOCAL_CLOUD is none of a deployment.
    assert len(variables) == len(Settings._fields) + 1 - 1


def test_secrets_come_from_the_deployers_environment() -> None:
    """No secret stands in the file."""
    for name in ("WEBHOOK_SECRET", "WEBHOOK_URL", "BUCKET", "ROLE"):
        assert f"${{env:{name}}}" in TEXT


def test_every_trigger_is_enabled(inputs: dict[str, Any]) -> None:
    """`enable` defaults to false for COS triggers, so it is spelled out for all."""
    kinds = [next(iter(trigger)) for trigger in inputs["triggers"]]
    assert kinds == ["cos", "timer", "timer"]
    assert all(next(iter(trigger.values()))["parameters"]["enable"] is True for trigger in inputs["triggers"])


def test_the_upload_trigger_covers_both_templates_and_not_the_state(inputs: dict[str, Any]) -> None:
    """Writing state under the trigger's own prefix would wake the function for ever."""
    cos = inputs["triggers"][0]["cos"]["parameters"]
    settings = load_settings(inputs["environment"]["variables"])
    prefix = cos["filter"]["prefix"]
    assert cos["bucket"] == "faces-1250000000.cos.ap-singapore.myqcloud.com"
    assert cos["events"] == "cos:ObjectCreated:*"
    for template in (*settings.templates.live, *settings.templates.image):
        assert template.prefix.startswith(prefix)
    assert not settings.state_prefix.startswith(prefix)


def test_the_timers_sweep_each_minute_and_reconcile_each_day(inputs: dict[str, Any]) -> None:
    """At second 0 of each minute; and once a day with the argument that the code knows."""
    timers = [trigger["timer"]["parameters"] for trigger in inputs["triggers"][1:]]
    assert timers[0]["cronExpression"] == "0 * * * * * *"
    assert timers[1]["argument"] == "reconcile"
    assert len(timers[1]["cronExpression"].split()) == 7


def test_the_function_has_time_for_a_call_and_runs_what_the_bundle_holds(inputs: dict[str, Any]) -> None:
    """The platform's default of 3 s would kill every call."""
    assert inputs["timeout"] > LEASE_SECONDS + 10 > CALL_LEFT
    assert (inputs["runtime"], inputs["handler"]) == ("Python3.10", "index.main_handler")
    assert inputs["memorySize"] % 128 == 0
