"""serverless.yml deploys what the code is: its settings, its triggers, its time.

It is read here as a file, and by Tencent's own deploy code (npm tencent-component-toolkit), which turns it
into requests to the function platform.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import yaml

from handler.flow.call import CALL_LEFT, LEASE_SECONDS
from handler.rules.settings import Settings, load_settings
from tests.support.project import PROJECT

TEXT = (PROJECT / "serverless.yml").read_text(encoding="utf-8")
ENVIRONMENT = {
    "REGION": "ap-singapore",
    "ROLE": "livepair",
    "BUCKET": "faces-1250000000",
    "STATE_BUCKET": "faces-state-1250000000",
    "STATE_SECRET": "whsec_ZmFrZS1zdGF0ZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
    "WEBHOOK_URL": "https://example.com/webhook",
    "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
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
    named = ("BUCKET", "STATE_BUCKET", "STATE_SECRET", "WEBHOOK_URL", "WEBHOOK_SECRET")
    least = {name: ENVIRONMENT[name] for name in named}
    assert load_settings(variables) == load_settings(least)
    # `templates` are two variables; LOCAL_CLOUD is none of a deployment.
    assert len(variables) == len(Settings._fields) + 1 - 1


def test_state_lies_in_a_bucket_of_its_own(inputs: dict[str, Any]) -> None:
    """As the function's settings see it; whoever may upload to the one has no right on the other."""
    settings = load_settings(inputs["environment"]["variables"])
    assert settings.state_bucket != settings.bucket
    assert settings.state_prefix == f"livepair/{settings.bucket}/"


def test_secrets_come_from_the_deployers_environment() -> None:
    """No secret stands in the file."""
    for name in ("WEBHOOK_SECRET", "STATE_SECRET", "WEBHOOK_URL", "BUCKET", "STATE_BUCKET", "ROLE"):
        assert f"${{env:{name}}}" in TEXT


def test_every_trigger_is_enabled(inputs: dict[str, Any]) -> None:
    """`enable` defaults to false, so it is spelled out for all."""
    kinds = [next(iter(trigger)) for trigger in inputs["events"]]
    assert kinds == ["cos", "timer", "timer"]
    assert all(next(iter(trigger.values()))["parameters"]["enable"] is True for trigger in inputs["events"])


def test_the_upload_trigger_covers_both_templates_and_not_the_state(inputs: dict[str, Any]) -> None:
    """Writing state under the trigger's own prefix would wake the function for ever."""
    cos = inputs["events"][0]["cos"]["parameters"]
    settings = load_settings(inputs["environment"]["variables"])
    prefix = cos["filter"]["prefix"]
    assert cos["bucket"] == "faces-1250000000.cos.ap-singapore.myqcloud.com"
    assert cos["events"] == "cos:ObjectCreated:*"
    for template in (*settings.templates.live, *settings.templates.image):
        assert template.prefix.startswith(prefix)
    assert not settings.state_prefix.startswith(prefix)


def test_the_timers_sweep_each_minute_and_reconcile_each_day(inputs: dict[str, Any]) -> None:
    """At second 0 of each minute; and once a day with the argument that the code knows."""
    timers = [trigger["timer"]["parameters"] for trigger in inputs["events"][1:]]
    assert timers[0]["cronExpression"] == "0 * * * * * *"
    assert timers[1]["argument"] == "reconcile"
    assert len(timers[1]["cronExpression"].split()) == 7


def test_the_function_has_time_for_a_call_and_runs_what_the_bundle_holds(inputs: dict[str, Any]) -> None:
    """The platform's default of 3 s would kill every call."""
    assert inputs["timeout"] > LEASE_SECONDS + 10 > CALL_LEFT
    assert (inputs["runtime"], inputs["handler"]) == ("Python3.10", "index.main_handler")
    assert inputs["memorySize"] % 128 == 0
    assert inputs["src"] == {"src": "./dist"}


# --- what Tencent's deploy code makes of it ----------------------------------------------------------

Request: TypeAlias = "dict[str, Any]"
Histories: TypeAlias = "Callable[[list[list[dict[str, Any]]]], list[list[list[Request]]]]"
Deploy: TypeAlias = "Callable[..., list[list[Request]]]"


@pytest.fixture(scope="module")
def histories() -> Histories:
    """Deploys each history of inputs into an account of its own; gives the requests of each deployment."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed here, and the deploy code is JavaScript")
    if not (PROJECT / "tests" / "node" / "node_modules" / "tencent-component-toolkit").is_dir():
        pytest.skip("the deploy code is not installed: run npm ci in tests/node")

    def run(given: list[list[dict[str, Any]]]) -> list[list[list[Request]]]:
        done = subprocess.run(
            [node, "deploy.js"],
            cwd=PROJECT / "tests" / "node",
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told: list[list[list[Request]]] = json.loads(done.stdout)
        return told

    return run


@pytest.fixture
def deploy(histories: Histories) -> Deploy:
    """Deploys inputs one after the other into one account."""

    def run(*inputs: dict[str, Any]) -> list[list[Request]]:
        return histories([list(inputs)])[0]

    return run


def made(requests: list[Request], action: str) -> list[Request]:
    """The requests of one action, without what all have in common."""
    common = ("Action", "Version", "Region")
    return [
        {name: value for name, value in each.items() if name not in common}
        for each in requests
        if each["Action"] == action
    ]


def test_the_deploy_code_creates_the_function_that_is_meant(inputs: dict[str, Any], deploy: Deploy) -> None:
    """In the bucket's region, with these settings and nothing beside them: no VPC, no log set of its own, no
    asynchronous mode that would switch the platform's retries off.
    """
    (requests,) = deploy(inputs)
    assert {each["Region"] for each in requests} == {"ap-singapore"}
    (function,) = made(requests, "CreateFunction")
    variables = {each["Key"]: each["Value"] for each in function.pop("Environment")["Variables"]}
    assert load_settings(variables) == load_settings(inputs["environment"]["variables"])
    assert len(variables) == len(inputs["environment"]["variables"])
    assert function == {
        "FunctionName": "livepair",
        "Namespace": "default",
        "Type": "Event",
        "DeployMode": "code",
        "Code": {"CosBucketName": "code-bucket", "CosObjectName": "uploaded.zip"},
        "Runtime": "Python3.10",
        "Handler": "index.main_handler",
        "MemorySize": 256,
        "Timeout": 90,
        "DiskSize": 512,
        "Role": "livepair",
        "Description": inputs["description"],
        "PublicNetConfig": {"PublicNetStatus": "ENABLE", "EipConfig": {"EipStatus": "DISABLE"}},
        "L5Enable": "FALSE",
        "InstallDependency": "FALSE",
    }


def test_the_deploy_code_creates_every_trigger_and_opens_it(inputs: dict[str, Any], deploy: Deploy) -> None:
    """Uploads, the minute and the day, each under a name of its own, with the arguments the code knows."""
    (requests,) = deploy(inputs)
    shared = {
        "FunctionName": "livepair",
        "Namespace": "default",
        "Qualifier": "$DEFAULT",
        "Enable": "OPEN",
    }
    uploads, minute, day = made(requests, "CreateTrigger")
    assert json.loads(uploads.pop("TriggerDesc")) == {
        "event": "cos:ObjectCreated:*",
        "filter": {"Prefix": "uploads/", "Suffix": ""},
    }
    bucket = "faces-1250000000.cos.ap-singapore.myqcloud.com"
    assert uploads == {**shared, "Type": "cos", "TriggerName": bucket}
    assert minute == {
        **shared,
        "Type": "timer",
        "TriggerName": "livepair-sweep",
        "TriggerDesc": "0 * * * * * *",
        "CustomArgument": "sweep",
    }
    assert day == {
        **shared,
        "Type": "timer",
        "TriggerName": "livepair-reconcile",
        "TriggerDesc": "30 17 3 * * * *",
        "CustomArgument": "reconcile",
    }


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values that are no dict or list."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for name, child in children:
        if isinstance(child, (dict, list)):
            yield from leaves(child, (*path, name))
        else:
            yield (*path, name)


def changed(inputs: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """The inputs with another value in one place."""
    other = copy.deepcopy(inputs)
    where = other
    for name in path[:-1]:
        where = where[name]
    value = where[path[-1]]
    if path == ("type",):
        where["type"] = "web"  # the deploy code tells this one from all others
    else:
        where[path[-1]] = (
            not value if isinstance(value, bool) else value + (1 if isinstance(value, int) else "x")
        )
    return other


def test_no_key_is_one_that_the_deploy_code_ignores(
    inputs: dict[str, Any],
    histories: Histories,
) -> None:
    """Whatever value is changed, other requests are made. `src` is read before, by what uploads it."""
    document = yaml.safe_load(TEXT)
    assert set(document) == {"component", "name", "inputs"}
    assert document["component"] == "scf"
    read_before = [path for path in leaves(inputs) if path[0] == "src"]
    assert read_before == [("src", "src")]
    paths = [path for path in leaves(inputs) if path not in read_before]
    plain, *others = histories([[inputs], *([changed(inputs, path)] for path in paths)])
    assert [path for path, other in zip(paths, others, strict=True) if other == plain] == []


def test_a_key_that_the_deploy_code_ignores_would_be_noticed(
    inputs: dict[str, Any],
    histories: Histories,
) -> None:
    """At each level: triggers under another name, a misspelt setting, an argument where none is read."""
    ignored = copy.deepcopy(inputs)
    ignored["triggers"] = copy.deepcopy(ignored["events"])
    ignored["memory"] = 512
    ignored["events"][1]["timer"]["parameters"]["args"] = "sweep"
    paths = [
        ("triggers", 1, "timer", "parameters", "name"),
        ("memory",),
        ("events", 1, "timer", "parameters", "args"),
    ]
    assert set(paths) <= set(leaves(ignored))
    plain, *others = histories([[ignored], *([changed(ignored, path)] for path in paths)])
    assert others == [plain] * 3


def test_deploying_again_keeps_triggers_and_settings(inputs: dict[str, Any], deploy: Deploy) -> None:
    """Nothing is taken off that stays the same, so no upload goes by while it is done."""
    first, again = deploy(inputs, inputs)
    assert not [each for each in again if "Trigger" in each["Action"] and each["Action"] != "ListTriggers"]
    (function,) = made(first, "CreateFunction")
    (configured,) = made(again, "UpdateFunctionConfiguration")
    assert configured["Environment"] == function["Environment"]


def test_a_changed_trigger_is_taken_off_before_it_is_made_anew(
    inputs: dict[str, Any], deploy: Deploy
) -> None:
    """Uploads that come between wake nobody: the daily reconcile finds them. The other triggers stay."""
    other = copy.deepcopy(inputs)
    other["events"][0]["cos"]["parameters"]["filter"]["prefix"] = "incoming/"
    _, again = deploy(inputs, other)
    done = [(each["Action"], each.get("Type")) for each in again if "Trigger" in each["Action"]]
    assert done == [("ListTriggers", None), ("DeleteTrigger", "cos"), ("CreateTrigger", "cos")]
