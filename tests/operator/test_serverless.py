"""serverless.yml deploys what the code is: its settings, its triggers, its time.

It is read here as a file, and by Tencent's own deploy code (npm tencent-component-toolkit), which turns it
into requests to the function platform.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import yaml

from handler.rules.settings import SETTINGS, load_settings
from tests.support.deployed import (
    BUCKET,
    ENVIRONMENT,
    POLICIES,
    REGION,
    SERVERLESS,
    by_default,
    disagreements,
    inputs_of,
    policy,
)
from tests.support.project import PROJECT

DEFAULT = by_default()

UPLOADS_TRIGGER = DEFAULT[DEFAULT.index("    - cos:") : DEFAULT.index("    - timer:")]
ROLE_READS = '"qcs::cos:ap-singapore:uid/1250000000:faces-1250000000/uploads/*"'


@pytest.fixture
def inputs() -> dict[str, Any]:
    """The file's inputs, with `${env:…}` filled in as the deploy code does."""
    return inputs_of(SERVERLESS)


# --- what has to agree, whatever the values -----------------------------------------------------------


def test_what_is_deployed_agrees() -> None:
    """Settings, templates, triggers and policies go together."""
    assert disagreements() == []


Edits: TypeAlias = "list[tuple[str, str]]"

LEGITIMATE: dict[str, Edits] = {
    "another threshold": [('MIN_SIMILARITY: "70"', 'MIN_SIMILARITY: "80"')],
    "more memory": [("memorySize: 256", "memorySize: 512")],
    "more time": [("timeout: 90", "timeout: 300")],
    "faces are not kept": [('KEEP_BEST_FRAME: "true"', 'KEEP_BEST_FRAME: "false"')],
    "a fixed address": [("eip: false", "eip: true")],
    "another hour": [("30 17 3 * * * *", "0 0 19 * * * *")],
    "the relay, and uploads deleted": [
        ("PASS_RESOURCES: presigned", "PASS_RESOURCES: upload_url"),
        ("DELETE_UPLOADS: none", "DELETE_UPLOADS: both"),
    ],
    "other keys, with prefix and policies": [
        ("LIVE_KEY: uploads/{id}/live.gz", "LIVE_KEY: in/{user}/{attempt}/live.gz"),
        ("IMAGE_KEY: uploads/{id}/image.jpg", "IMAGE_KEY: in/{user}/{attempt}/image.jpg"),
        ("prefix: uploads/", "prefix: in/"),
        ("/uploads/*/live.gz", "/in/*/live.gz"),
        ("/uploads/*/image.jpg", "/in/*/image.jpg"),
        ("/uploads/*", "/in/*"),
    ],
    "images elsewhere, with a trigger of their own": [
        ("IMAGE_KEY: uploads/{id}/image.jpg", "IMAGE_KEY: faces/{id}.jpg"),
        (UPLOADS_TRIGGER, UPLOADS_TRIGGER + UPLOADS_TRIGGER.replace("prefix: uploads/", "prefix: faces/")),
        ("/uploads/*/image.jpg", "/faces/*.jpg"),
        (ROLE_READS, ROLE_READS + "," + ROLE_READS.replace("/uploads/", "/faces/")),
    ],
    "another place for state": [
        ("STATE_PREFIX: livepair/", "STATE_PREFIX: memory/"),
        ("-state-1250000000/livepair/", "-state-1250000000/memory/"),
    ],
    "state beside the uploads": [
        ("STATE_BUCKET: ${env:STATE_BUCKET}", "STATE_BUCKET: ${env:BUCKET}"),
        ("faces-state-1250000000/livepair/faces-1250000000/", "faces-1250000000/livepair/"),
    ],
    "other sizes": [
        ('MAX_LIVE_BYTES: "50000000"', 'MAX_LIVE_BYTES: "20000000"'),
        ('"cos:content-length": 50000000', '"cos:content-length": 20000000'),
    ],
    "a setting left out": [("      LOG_LEVEL: INFO\n", "")],
}
"""What whoever deploys may change, in serverless.yml and with it in the policies."""

WRONG: dict[str, tuple[Edits, str]] = {
    "keys outside the trigger's prefix": ([("uploads/{id}/live.gz", "in/{id}/live.gz")], "COS trigger"),
    "keys that the role may not read": (
        [("uploads/{id}/", "in/{id}/"), ("prefix: uploads/", "prefix: in/")],
        "policy.json: it does not allow",
    ),
    "keys that the backend may not write": (
        [("uploads/{id}/live.gz", "uploads/{id}/video.gz")],
        "policy.backend.json: it does not allow",
    ),
    "uploads that may not be deleted": (
        [("DELETE_UPLOADS: none", "DELETE_UPLOADS: live"), ("DeleteObject", "GetObject")],
        "policy.delete_uploads.json",
    ),
    "state that the role may not write": (
        [("STATE_PREFIX: livepair/", "STATE_PREFIX: memory/")],
        "policy.json",
    ),
    "state under the trigger's prefix": ([("STATE_PREFIX: livepair/", "STATE_PREFIX: uploads/s/")], ""),
    "sizes that differ": ([('MAX_IMAGE_BYTES: "10000000"', 'MAX_IMAGE_BYTES: "9"')], "MAX_IMAGE_BYTES"),
    "a threshold above 100": ([('MIN_SIMILARITY: "70"', 'MIN_SIMILARITY: "170"')], "MIN_SIMILARITY"),
    "a number without quotes": ([('MIN_SIMILARITY: "70"', "MIN_SIMILARITY: 70")], "quotes"),
    "a misspelt setting": ([("MIN_SIMILARITY:", "MIN_SIMILARTY:")], "MIN_SIMILARTY: no such setting"),
    "too little time": ([("timeout: 90", "timeout: 60")], "timeout"),
    "memory that there is not": ([("memorySize: 256", "memorySize: 200")], "memorySize"),
    "another runtime": ([("runtime: Python3.10", "runtime: Python3.9")], "runtime"),
    "triggers switched off": ([("enable: true", "enable: false")], "switched off"),
    "no reconcile": ([("argument: reconcile", "argument: sweep")], "reconcile timer"),
    "a sweep each hour": ([("0 * * * * * *", "0 0 * * * * *")], "sweep timer"),
    "one kind of upload only": ([("cos:ObjectCreated:*", "cos:ObjectCreated:Put")], "COS trigger"),
}
"""What does not go together, and what is said of it."""


def edited(edits: Edits) -> tuple[str, dict[str, str]]:
    """serverless.yml and the policies by default, as somebody edits them."""
    texts = {"serverless": DEFAULT, **{name: policy(name) for name in POLICIES}}
    for old, new in edits:
        assert any(old in text for text in texts.values()), old
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    return texts.pop("serverless"), texts


@pytest.mark.parametrize("edits", LEGITIMATE.values(), ids=list(LEGITIMATE))
def test_whoever_deploys_may_set_what_is_theirs(edits: Edits) -> None:
    """And the tests stay green."""
    assert disagreements(*edited(edits)) == []


@pytest.mark.parametrize(("edits", "said"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_go_together_is_named(edits: Edits, said: str) -> None:
    """Before it is deployed, in a line that says where."""
    found = disagreements(*edited(edits))
    assert found
    assert said in "\n".join(found)


def test_the_file_that_ships_has_every_setting_with_its_default() -> None:
    """So each can be found there and changed; LOCAL_CLOUD is none of a deployment."""
    variables = inputs_of(DEFAULT)["environment"]["variables"]
    own = ("BUCKET", "STATE_BUCKET", "STATE_SECRET", "WEBHOOK_URL", "WEBHOOK_SECRET")
    least = {name: ENVIRONMENT[name] for name in own}
    assert load_settings(variables) == load_settings(least)
    forgotten = SETTINGS.keys() - variables.keys() - {"LOCAL_CLOUD"}
    assert not forgotten, f"no line in serverless.yml: {', '.join(sorted(forgotten))}"


def test_secrets_come_from_the_deployers_environment() -> None:
    """No secret stands in the file."""
    for name in ("WEBHOOK_SECRET", "STATE_SECRET", "WEBHOOK_URL", "BUCKET", "ROLE"):
        assert f"${{env:{name}}}" in SERVERLESS


def test_names_and_bundle_are_those_of_the_guide(inputs: dict[str, Any]) -> None:
    """The trigger is the bucket's, and what goes up is what `make bundle` builds."""
    assert inputs["events"][0]["cos"]["parameters"]["bucket"] == f"{BUCKET}.cos.{REGION}.myqcloud.com"
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
    """In the bucket's region, with these settings and nothing beside them: no VPC, and no asynchronous mode,
    which would switch the platform's retries off.
    """
    (requests,) = deploy(inputs)
    assert {each["Region"] for each in requests} == {"ap-singapore"}
    (function,) = made(requests, "CreateFunction")
    variables = {each["Key"]: each["Value"] for each in function.pop("Environment")["Variables"]}
    assert load_settings(variables) == load_settings(inputs["environment"]["variables"])
    assert len(variables) == len(inputs["environment"]["variables"])
    eip = "ENABLE" if inputs["eip"] else "DISABLE"
    assert function == {
        "FunctionName": "livepair",
        "Namespace": "default",
        "Type": "Event",
        "DeployMode": "code",
        "Code": {"CosBucketName": "code-bucket", "CosObjectName": "uploaded.zip"},
        "Runtime": "Python3.10",
        "Handler": "index.main_handler",
        "MemorySize": inputs["memorySize"],
        "Timeout": inputs["timeout"],
        "DiskSize": 512,
        "Role": "livepair",
        "Description": inputs["description"],
        "PublicNetConfig": {"PublicNetStatus": "ENABLE", "EipConfig": {"EipStatus": eip}},
        "ClsLogsetId": "",
        "ClsTopicId": "",
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
    *uploads, minute, day = made(requests, "CreateTrigger")
    bucket = "faces-1250000000.cos.ap-singapore.myqcloud.com"
    for trigger, declared in zip(uploads, inputs["events"], strict=False):
        prefix = declared["cos"]["parameters"]["filter"]["prefix"]
        assert json.loads(trigger.pop("TriggerDesc")) == {
            "event": "cos:ObjectCreated:*",
            "filter": {"Prefix": prefix, "Suffix": ""},
        }
        assert trigger == {**shared, "Type": "cos", "TriggerName": bucket}
    assert len(uploads) == len(inputs["events"]) - 2
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
        "TriggerDesc": inputs["events"][-1]["timer"]["parameters"]["cronExpression"],
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
    document = yaml.safe_load(SERVERLESS)
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
    sweep = len(ignored["events"]) - 2
    ignored["events"][sweep]["timer"]["parameters"]["args"] = "sweep"
    paths = [
        ("triggers", sweep, "timer", "parameters", "name"),
        ("memory",),
        ("events", sweep, "timer", "parameters", "args"),
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
