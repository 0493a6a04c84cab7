"""What is deployed: serverless.yml and the policies, which are for whoever deploys to change, and must agree.

Tests of what livepair does take both as they are by default (`policy`, `by_default`), whatever their values
are here. That they agree with each other is asked by `disagreements`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import yaml

from handler.cli.doctor import triggers
from handler.cli.doctor.function import HANDLER, RUNTIME
from handler.flow.call import LEASE_SECONDS
from handler.rules.settings import Settings, SettingsError, load_settings
from handler.rules.templates import Template
from tests.cloud import cam
from tests.cloud.faults import Operation
from tests.support.project import PROJECT

Inputs: TypeAlias = "dict[str, Any]"

BUCKET, STATE, REGION = "faces-1250000000", "faces-state-1250000000", "ap-singapore"
"""The names that the policies stand for."""

ENVIRONMENT = {
    "REGION": REGION,
    "ROLE": "livepair",
    "BUCKET": BUCKET,
    "STATE_BUCKET": STATE,
    "STATE_SECRET": "whsec_ZmFrZS1zdGF0ZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
    "CLS_LOGSET": "",
    "CLS_TOPIC": "",
    "WEBHOOK_URL": "https://example.com/webhook",
    "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
}
"""What `.env` brings."""

SERVERLESS = (PROJECT / "serverless.yml").read_text(encoding="utf-8")

DEFAULTS = {
    "memorySize": "256",
    "timeout": "90",
    "eip": "false",
    "prefix": "uploads/",
    "LIVE_KEY": "uploads/{id}/live.gz",
    "IMAGE_KEY": "uploads/{id}/image.jpg",
    "MIN_SIMILARITY": '"70"',
    "PAIR_TIMEOUT": '"3600"',
    "PASS_RESOURCES": "presigned",
    "STATE_PREFIX": "livepair/",
    "STATE_BUCKET": "${env:STATE_BUCKET}",
    "KEEP_BEST_FRAME": '"true"',
    "DELETE_UPLOADS": "none",
    "MAX_LIVE_BYTES": '"50000000"',
    "MAX_IMAGE_BYTES": '"10000000"',
    "MAX_VERDICTS": '"10"',
    "PASS_METADATA": '""',
    "API_RATE": '"5"',
    "FACEID_ENDPOINT": "faceid.tencentcloudapi.com",
    "LOG_LEVEL": "INFO",
}
"""What serverless.yml says where nobody has changed it."""

POLICIES = {
    path.name.removesuffix(".json"): path.read_text(encoding="utf-8")
    for path in sorted((PROJECT / "handler").glob("policy*.json"))
}

PREFIX, STATE_PREFIX = "uploads/", "livepair/"
LIVE, IMAGE = "uploads/*/live.gz", "uploads/*/image.jpg"
MAX_LIVE, MAX_IMAGE = 50_000_000, 10_000_000
"""By default."""


def inputs_of(text: str) -> Inputs:
    """The inputs of a serverless.yml, with `${env:…}` filled in as the deploy code does."""
    found: Inputs = _filled(yaml.safe_load(text)["inputs"])
    return found


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    is_text = isinstance(value, str)
    return re.sub(r"\$\{env:(\w+)\}", lambda found: ENVIRONMENT[found[1]], value) if is_text else value


def settings_of(inputs: Inputs) -> Settings:
    return load_settings(inputs["environment"]["variables"])


# --- as it is by default ------------------------------------------------------------------------------


def by_default() -> str:
    """serverless.yml with the defaults of all that whoever deploys may set; the names are still `.env`'s.

    Line by line, so that its comments and quotes stay.
    """
    text = SERVERLESS
    for name, value in DEFAULTS.items():
        text = re.sub(rf"^( +{name}: )(\"[^\"]*\"|[^\s#]+)", rf"\g<1>{value}", text, flags=re.MULTILINE)
    uploads = r"^    - cos:\n(?: {6,}.*\n)+"
    text = re.sub(rf"({uploads})(?:{uploads})+", r"\g<1>", text, flags=re.MULTILINE)  # one trigger of them
    reconcile = r'(livepair-reconcile\n +cronExpression: ")[^"]+'
    return re.sub(reconcile, rf"\g<1>{triggers.EACH_DAY}", text)


def policy(name: str) -> str:
    """A policy with the default prefixes, keys and sizes in place of those that are deployed."""
    inputs = inputs_of(SERVERLESS)
    settings = settings_of(inputs)
    of_state = settings.state_prefix.removesuffix(f"{BUCKET}/")
    text = POLICIES[name].replace(f":{STATE}/{of_state}", f":{STATE}/{STATE_PREFIX}")
    if settings.state_bucket == settings.bucket:
        text = text.replace(f":{BUCKET}/{of_state}", f":{STATE}/{STATE_PREFIX}{BUCKET}/")
    for templates, key in ((settings.templates.live, LIVE), (settings.templates.image, IMAGE)):
        for template in templates:
            text = text.replace(f":{BUCKET}/{_starred(template)}", f":{BUCKET}/{key}")
    for prefix in (*_prefixes(inputs), *(template.prefix for template in _templates(settings))):
        text = text.replace(f":{BUCKET}/{prefix}*", f":{BUCKET}/{PREFIX}*")
    for size, most in ((settings.max_live_bytes, MAX_LIVE), (settings.max_image_bytes, MAX_IMAGE)):
        text = text.replace(f'"cos:content-length": {size}\n', f'"cos:content-length": {most}\n')
    return text


def _templates(settings: Settings) -> tuple[Template, ...]:
    return (*settings.templates.live, *settings.templates.image)


def _starred(template: Template) -> str:
    return re.sub(r"\{\w+\}", "*", template.text)


def _prefixes(inputs: Inputs) -> list[str]:
    return [each["cos"]["parameters"]["filter"]["prefix"] for each in inputs["events"] if "cos" in each]


# --- what has to agree --------------------------------------------------------------------------------


class _Asked(dict[str, str]):
    """Variables that remember which of them the function reads."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def disagreements(serverless: str = SERVERLESS, policies: Mapping[str, str] = POLICIES) -> list[str]:
    """What of serverless.yml and the policies does not go together, whatever the values; empty: all does."""
    inputs = inputs_of(serverless)
    variables = _Asked(inputs["environment"]["variables"])
    no_texts = [name for name, value in variables.items() if not isinstance(value, str)]
    if no_texts:
        return [f"{', '.join(no_texts)}: put the value in quotes"]
    try:
        settings = load_settings(variables)
    except SettingsError as error:
        return list(error.faults)
    unknown = sorted(set(variables) - variables.read)
    found = [f"{', '.join(unknown)}: no such setting"] if unknown else []
    return [*found, *_of_function(inputs), *_of_triggers(inputs, settings), *_of_policies(settings, policies)]


def _of_function(inputs: Inputs) -> Iterator[str]:
    if inputs["timeout"] <= LEASE_SECONDS + 10:
        yield f"timeout: {inputs['timeout']} s are no more than a claim and an attempt to tell take"
    if not 128 <= inputs["memorySize"] <= 3072 or inputs["memorySize"] % 128:
        yield f"memorySize: {inputs['memorySize']} is none that the platform has: 128 to 3072 by 128"
    if (inputs["runtime"], inputs["handler"]) != (RUNTIME, HANDLER):
        yield f"runtime and handler: the bundle is for {RUNTIME} and {HANDLER}"


def _of_triggers(inputs: Inputs, settings: Settings) -> Iterator[str]:
    every = [triggers.read(_told(kind, each)) for event in inputs["events"] for kind, each in event.items()]
    uploads = triggers.Uploads(settings.bucket, tuple(each.prefix for each in _templates(settings)))
    for check in triggers.checked(uploads, every):
        if check.status != "ok":
            yield f"{check.name}: {check.found}"
    if settings.state_prefix.startswith(tuple(_prefixes(inputs))):
        yield "STATE_PREFIX: it lies under the trigger's prefix, so writing state wakes the function"


def _told(kind: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """A trigger of the file as the platform's API tells of it."""
    given = event["parameters"]
    told = {"Type": kind, "Enable": "OPEN" if given.get("enable") is True else "CLOSE"}
    if kind == "timer":
        cron, argument = given["cronExpression"], given["argument"]
        return {**told, "TriggerName": given["name"], "TriggerDesc": cron, "CustomArgument": argument}
    desc = json.dumps({"event": given["events"], "filter": given["filter"]})
    return {**told, "TriggerName": given["bucket"], "TriggerDesc": desc}


def _of_policies(settings: Settings, policies: Mapping[str, str]) -> Iterator[str]:
    for name, operation in _needed(settings):
        if not cam.allowed_by(json.loads(policies[name]))(operation):
            yield f"{name}.json: it does not allow {operation.name} of {operation.bucket}/{operation.key}"
    allowed = cam.allowed_by(json.loads(policies["policy.backend"]))
    for templates, most, name in (
        (settings.templates.live, settings.max_live_bytes, "MAX_LIVE_BYTES"),
        (settings.templates.image, settings.max_image_bytes, "MAX_IMAGE_BYTES"),
    ):
        for template in templates:
            key = _sample(template)
            if not allowed(_put(settings.bucket, key, 1)):
                yield f"policy.backend.json: it does not allow PutObject of {settings.bucket}/{key}"
            elif not allowed(_put(settings.bucket, key, most)) or allowed(
                _put(settings.bucket, key, most + 1)
            ):
                yield f"policy.backend.json: cos:content-length of {key} is not {name}, which is {most}"


def _sample(template: Template) -> str:
    return re.sub(r"\{\w+\}", "x", template.text)


def _put(bucket: str, key: str, size: int) -> Operation:
    sent = {"cos:x-cos-forbid-overwrite": "true", "cos:content-length": str(size)}
    return Operation("cos", "PutObject", bucket, key, REGION, sent)


def _needed(settings: Settings) -> Iterator[tuple[str, Operation]]:
    """What the role and the operator ask for, with the policy that has to allow it."""
    for template in _templates(settings):
        for action in ("HeadObject", "GetObject"):
            for name in ("policy", "policy.operator"):
                yield name, Operation("cos", action, settings.bucket, _sample(template), REGION)
        yield "policy", Operation("cos", "GetBucket", settings.bucket, template.prefix, REGION)
        if settings.delete_uploads != "none":
            delete = Operation("cos", "DeleteObject", settings.bucket, _sample(template), REGION)
            yield "policy.delete_uploads", delete
    key = f"{settings.state_prefix}records/x/y.json"
    yield "policy.reader", Operation("cos", "GetObject", settings.state_bucket, key, REGION)
    for action in ("GetObject", "PutObject", "DeleteObject"):
        for name in ("policy", "policy.operator"):
            yield name, Operation("cos", action, settings.state_bucket, key, REGION)
    yield "policy", Operation("cos", "GetBucket", settings.state_bucket, settings.state_prefix, REGION)
