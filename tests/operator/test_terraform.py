"""The Terraform module makes what serverless.yml and the operators' guide say, in the provider's own words.

It is read as text (python-hcl2) and held against the provider's schema (`tests.support.provider_schema`).
Where Terraform itself is installed, it works out what the module sends, which is held against serverless.yml,
the policies and `doctor`. Nobody has applied it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import hcl2
import pytest
import yaml

from handler.cli import deploy
from handler.cli.doctor import lifecycle, running, triggers
from handler.cli.doctor.function import HANDLER, RUNTIME
from handler.rules.settings import load_settings
from tests.cloud import cam
from tests.cloud.faults import Operation
from tests.support import cls, deployed, provider_schema
from tests.support.project import PROJECT

MODULE = PROJECT / "deploy" / "terraform"
ROOTS = {path.parent.name: path.parent for path in MODULE.glob("examples/*/main.tf")}
SCHEMA = json.loads(provider_schema.TABLE.read_text(encoding="utf-8"))
RESOURCES: dict[str, dict[str, Any]] = {**SCHEMA["resources"], **SCHEMA["newer"]}

META = {"for_each", "count", "depends_on", "lifecycle", "provider", "dynamic", "__is_block__"}
"""Terraform's own arguments, which every resource takes."""

Body: TypeAlias = "dict[str, Any]"


def plain(name: str) -> str:
    """The parser leaves the quotes around labels and texts."""
    return name.strip('"')


def parsed(folder: Path) -> dict[str, list[tuple[list[str], Body]]]:
    """The blocks of a folder's files by their kind, each with its labels."""
    found: dict[str, list[tuple[list[str], Body]]] = {}
    for path in sorted(folder.glob("*.tf")):
        with path.open(encoding="utf-8") as file:
            for kind, blocks in without_comments(hcl2.load(file)).items():
                found.setdefault(kind, []).extend(map(labelled, blocks))
    return found


def without_comments(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_comments(each) for name, each in value.items() if "comments__" not in name}
    return [without_comments(each) for each in value] if isinstance(value, list) else value


def labelled(block: Body) -> tuple[list[str], Body]:
    labels: list[str] = []
    while len(block) == 1 and (label := next(iter(block))).startswith('"'):
        block = block[label]
        labels.append(plain(label))
    return labels, block


CODE = parsed(MODULE)
MADE = {(kind, name): body for (kind, name), body in ((tuple(each), b) for each, b in CODE["resource"])}


# --- the provider's words -----------------------------------------------------------------------------


def faults_of(body: Body, schema: dict[str, Any], where: str) -> Iterator[str]:
    """What a resource or block says that the provider does not take, and what it leaves out."""
    given, blocks = set(body) - META, dict(blocks_of(body))
    arguments = given - set(blocks)
    for name in sorted(arguments - {*schema["required"], *schema["optional"]}):
        yield f"{where}: no argument {name}"
    for name in sorted(set(schema["required"]) - given):
        yield f"{where}: {name} is required"
    for name in sorted(set(schema["blocks"]) - set(blocks)):
        if schema["blocks"][name]["is_required"]:
            yield f"{where}: a block {name} is required"
    for name, bodies in blocks.items():
        inner = schema["blocks"].get(name)
        if inner is None:
            yield f"{where}: no block {name}"
            continue
        if inner["one"] and len(bodies) > 1:
            yield f"{where}: one block {name} at most"
        for each in bodies:
            yield from faults_of(each, inner, f"{where}.{name}")


def blocks_of(body: Body) -> Iterator[tuple[str, list[Body]]]:
    """The blocks within a body, those that are made by `dynamic` too."""
    for name, value in body.items():
        if name == "dynamic":
            for each in value:
                ((label, dynamic),) = each.items()
                yield plain(label), dynamic["content"]
        elif isinstance(value, list) and value and isinstance(value[0], dict) and "__is_block__" in value[0]:
            yield name, value


@pytest.mark.parametrize(("kind", "name"), list(MADE))
def test_the_provider_knows_every_word(kind: str, name: str) -> None:
    """Each resource, argument and block is in its schema, and what it requires is given."""
    assert kind in RESOURCES, f"the schema has no {kind}"
    assert list(faults_of(MADE[kind, name], RESOURCES[kind], f"{kind}.{name}")) == []


def test_a_word_that_the_provider_does_not_know_would_be_noticed() -> None:
    """A misspelt argument, one left out, a block too many, an unknown block deep inside."""
    kind = "tencentcloud_cos_bucket"
    body = copy.deepcopy(MADE[kind, "uploads"])
    body["versioning"] = True
    del body["bucket"]
    rule = body["lifecycle_rules"][0]
    rule["expiration"] *= 2
    rule["expire"] = [{"days": 1, "__is_block__": True}]
    assert sorted(faults_of(body, RESOURCES[kind], "x")) == [
        "x.lifecycle_rules: no block expire",
        "x.lifecycle_rules: one block expiration at most",
        "x: bucket is required",
        "x: no argument versioning",
    ]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    else:
        yield str(value)


def test_every_reference_leads_to_something() -> None:
    """To a variable, a local, a resource that is there and an attribute that the provider tells."""
    every = "\n".join(text for blocks in CODE.values() for _, body in blocks for text in texts(body))
    variables = {labels[0] for labels, _ in CODE["variable"]}
    assert set(re.findall(r"\bvar\.(\w+)", every)) == variables
    locals_ = {name for _, body in CODE["locals"] for name in body} - {"__is_block__"}
    assert set(re.findall(r"\blocal\.(\w+)", every)) == locals_
    references = re.findall(r"(tencentcloud_\w+)\.(\w+)(?:\[[^\]]+\])?(?:\.(\w+))?", every)
    assert len(references) > 10
    for kind, name, attribute in references:
        assert (kind, name) in MADE
        schema = RESOURCES[kind]
        assert attribute in ("", "id", *schema["required"], *schema["optional"], *schema["tells"]), attribute


def test_every_variable_says_what_it_is_for() -> None:
    """With a type; and what is secret is said to be, and where it ends up."""
    for labels, body in CODE["variable"]:
        assert body["description"], labels
        assert body["type"], labels
        secret = labels[0].endswith("_secret")
        assert (body.get("sensitive") is True) == secret
        assert ("Terraform's state" in body["description"]) == secret


@pytest.mark.parametrize("name", ROOTS)
def test_an_example_gives_the_module_what_it_asks_for(name: str) -> None:
    """Its variables that have no default, and none that it does not have."""
    variables = {labels[0]: body for labels, body in CODE["variable"]}
    required = {each for each, body in variables.items() if "default" not in body}
    ((_, call),) = parsed(ROOTS[name])["module"]
    given = set(call) - META - {"source"}
    assert required <= given <= set(variables)
    assert plain(call["source"]) == "../.."


def test_the_schema_is_of_the_package_that_it_names() -> None:
    """Where the package is at hand; it is too large to be there for everybody."""
    package = os.environ.get("PROVIDER_PACKAGE")
    if not package:
        pytest.skip("PROVIDER_PACKAGE names no folder with tencentcloud-iac-pulumi")
    assert provider_schema.made_from(Path(package)) == SCHEMA


def test_the_schema_holds_what_is_used_and_no_more() -> None:
    """No resource that the module has given up."""
    assert {kind for kind, _ in MADE} == set(RESOURCES)


# --- what Terraform makes of it -----------------------------------------------------------------------

VARIABLES: dict[str, Any] = {
    "region": "ap-bangkok",
    "bucket": "my-1301234567",
    "state_bucket": "st-1301234567",
    "webhook_url": "https://example.com/webhook",
    "webhook_secret": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
    "alarm_receivers": [100000000001],
}
NAMES = {
    "faces-state-1250000000": "st-1301234567",
    "faces-1250000000": "my-1301234567",
    "1250000000": "1301234567",
    "ap-singapore": "ap-bangkok",
}
"""The policies' placeholders, replaced as a reader of the guide does."""


class Terraform:
    """The module's variables and locals, which need no provider, worked out by Terraform itself."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder / "deploy" / "terraform"
        self._folder.mkdir(parents=True)
        (folder / "handler").mkdir()
        for name in deployed.POLICIES:
            (folder / "handler" / f"{name}.json").write_text(deployed.policy(name), encoding="utf-8")
        shutil.copy(cls.ALARMS, folder / "deploy")
        for name in ("variables.tf", "locals.tf"):
            shutil.copy(MODULE / name, self._folder)
        names = sorted({name for _, body in CODE["locals"] for name in body} - {"__is_block__"})
        shown = ", ".join(f"{name} = local.{name}" for name in names)
        more = "memory = var.memory, timeout = var.timeout, fixed_ip = var.fixed_ip, name = var.name"
        output = f'output "all" {{\n  sensitive = true\n  value = {{ {shown}, {more} }}\n}}\n'
        (self._folder / "output.tf").write_text(output)
        zipped = b"a bundle"
        self.bundle = folder / f"livepair-{hashlib.sha256(zipped).hexdigest()[:12]}.zip"
        self.bundle.write_bytes(zipped)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binary, *arguments],
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "CHECKPOINT_DISABLE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def plan(self, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {**VARIABLES, "bundle": str(self.bundle), **variables}
        (self._folder / "given.tfvars.json").write_text(json.dumps(given))
        return self.run("plan", "-no-color", "-input=false", "-var-file=given.tfvars.json", "-out=planned")

    def values(self, **variables: Any) -> dict[str, Any]:
        """The locals. Fails where a variable is refused."""
        done = self.plan(**variables)
        assert done.returncode == 0, done.stderr
        shown = json.loads(self.run("show", "-json", "planned").stdout)
        found: dict[str, Any] = shown["planned_values"]["outputs"]["all"]["value"]
        return found


@pytest.fixture
def terraform(tmp_path: Path) -> Terraform:
    binary = shutil.which("terraform") or shutil.which("tofu")
    if binary is None:
        pytest.skip("Terraform is not installed here")
    return Terraform(binary, tmp_path)


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    """serverless.yml's inputs, with the names of VARIABLES."""
    environment = {
        "REGION": VARIABLES["region"],
        "ROLE": "livepair",
        "BUCKET": VARIABLES["bucket"],
        "STATE_BUCKET": VARIABLES["state_bucket"],
        "WEBHOOK_URL": VARIABLES["webhook_url"],
        "WEBHOOK_SECRET": VARIABLES["webhook_secret"],
        "STATE_SECRET": "whsec_ZmFrZS1zdGF0ZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
    }
    filled = re.sub(r"\$\{env:(\w+)\}", lambda found: environment.get(found[1], ""), deployed.SERVERLESS)
    found: dict[str, Any] = yaml.safe_load(filled)["inputs"]
    return found


def test_it_makes_the_same_function_as_serverless_yml(inputs: dict[str, Any], terraform: Terraform) -> None:
    """With the settings, prefix and memory of that file, whatever they are."""
    variables = inputs["environment"]["variables"]
    if len(inputs["events"]) > 3 or variables["STATE_BUCKET"] == variables["BUCKET"]:
        pytest.skip("the module makes one COS trigger, and two buckets: it refuses what serverless.yml has")
    uploads = inputs["events"][0]["cos"]["parameters"]
    made = terraform.values(**deploy.variables(inputs))
    assert (made["memory"], made["timeout"]) == (inputs["memorySize"], inputs["timeout"])
    assert (made["name"], made["fixed_ip"]) == (inputs["name"], inputs["eip"])
    assert load_settings(made["environment"]) == load_settings(variables)
    function = MADE["tencentcloud_scf_function", "this"]
    assert plain(function["runtime"]) == inputs["runtime"] == RUNTIME
    assert plain(function["handler"]) == inputs["handler"] == HANDLER
    assert plain(function["description"]) == inputs["description"]
    assert made["cos_trigger"]["name"] == uploads["bucket"]
    assert json.loads(made["cos_trigger"]["desc"]) == {
        "event": uploads["events"],
        "filter": {"Prefix": uploads["filter"]["prefix"], "Suffix": ""},
    }
    timers = [trigger["timer"]["parameters"] for trigger in inputs["events"][1:]]
    assert set(made["timers"]) == {timer["argument"] for timer in timers}
    assert (made["timers"]["sweep"], made["timers"]["reconcile"]) == (triggers.EACH_MINUTE, triggers.EACH_DAY)
    assert [timer["name"] for timer in timers] == [f"livepair-{timer['argument']}" for timer in timers]


def test_its_defaults_are_those_of_the_code(terraform: Terraform) -> None:
    """With the least that it asks for, the function's settings are those that have no other value."""
    made = terraform.values()
    least = {
        "BUCKET": VARIABLES["bucket"],
        "STATE_BUCKET": VARIABLES["state_bucket"],
        "WEBHOOK_URL": VARIABLES["webhook_url"],
        "WEBHOOK_SECRET": VARIABLES["webhook_secret"],
    }
    assert load_settings(made["environment"]) == load_settings(least)
    assert "STATE_SECRET" not in made["environment"]
    assert terraform.values(state_secret="whsec_ZmFrZS1zdGF0ZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=")["environment"][
        "STATE_SECRET"
    ]


def test_doctor_finds_nothing_wrong_with_what_it_makes(terraform: Terraform) -> None:
    """Its triggers and lifecycle rules pass the checks that a deployment has to pass."""
    made = terraform.values()
    settings = load_settings(made["environment"])
    templates = (*settings.templates.live, *settings.templates.image)
    told = [
        {
            "Type": "cos",
            "TriggerName": made["cos_trigger"]["name"],
            "TriggerDesc": made["cos_trigger"]["desc"],
        },
        *(
            {"Type": "timer", "TriggerName": name, "TriggerDesc": cron, "CustomArgument": name}
            for name, cron in made["timers"].items()
        ),
    ]
    every = [triggers.read({**each, "Enable": "OPEN"}) for each in told]
    uploads = triggers.Uploads(settings.bucket, tuple(template.prefix for template in templates))
    assert [check for check in triggers.checked(uploads, every) if check.status != "ok"] == []

    rules = [{"Status": "Enabled", "Filter": {"Prefix": "uploads/"}, "Expiration": {"Days": 30}}]
    for prefix in made["state_rules"].values():
        rules.append({"Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 90}})
    effects = lifecycle.effects_of(rules)
    places = [lifecycle.Place("uploads/", "uploads/", False)]
    places += [lifecycle.Place(kind, f"{settings.state_prefix}{kind}/", True) for kind in lifecycle.KINDS]
    kept = {place: lifecycle.kept_by(place, effects) for place in places}
    assert list(lifecycle.checked(kept, image_serves_many=False)) == []
    assert sum(found.deleted is not None for found in kept.values()) == 5


def test_what_the_platform_does_with_failed_events_is_what_doctor_expects() -> None:
    """Two more tries, six hours."""
    (config,) = MADE["tencentcloud_scf_function_event_invoke_config", "this"]["async_trigger_config"]
    assert config["msg_ttl"] == running.KEPT_SECONDS
    assert config["retry_config"][0]["retry_num"] == running.RETRIES
    function = MADE["tencentcloud_scf_function", "this"]
    assert function["enable_public_net"] is True
    assert plain(function["async_run_enable"]) == "FALSE"


@pytest.mark.parametrize(
    "name", ["policy", "policy.upload_url", "policy.delete_uploads", "policy.backend", "policy.operator"]
)
def test_its_policies_are_the_projects_own(terraform: Terraform, name: str) -> None:
    """Filled in as by hand."""
    text = deployed.policy(name)
    for placeholder, filled in NAMES.items():
        text = text.replace(placeholder, filled)
    assert json.loads(terraform.values()["policies"][name]) == json.loads(text)


def test_its_policies_follow_the_prefixes(terraform: Terraform) -> None:
    """Of uploads and of state, and only what the settings need is attached."""
    made = terraform.values(
        upload_prefix="in/",
        live_key="in/{id}/live.gz",
        image_key="in/{id}/image.jpg",
        state_prefix="state/",
        settings={"DELETE_UPLOADS": "live", "PASS_RESOURCES": "upload_url"},
    )
    assert sorted(made["of_role"]) == ["policy", "policy.delete_uploads", "policy.upload_url"]
    assert terraform.values()["of_role"] == ["policy"]
    allowed = cam.allowed_by(json.loads(made["policies"]["policy"]))
    bucket, state = VARIABLES["bucket"], VARIABLES["state_bucket"]
    region = VARIABLES["region"]
    assert allowed(Operation("cos", "GetObject", bucket, "in/42/live.gz", region))
    assert not allowed(Operation("cos", "GetObject", bucket, "uploads/42/live.gz", region))
    assert allowed(Operation("cos", "PutObject", state, f"state/{bucket}/records/x", region))
    assert not allowed(Operation("cos", "PutObject", state, f"livepair/{bucket}/records/x", region))
    assert json.loads(made["trust"])["statement"][0]["principal"] == {"service": ["scf.qcloud.com"]}


def test_its_alarms_are_those_of_the_file(terraform: Terraform) -> None:
    """Each asks CLS what is tested, and goes off where the file says; with nobody to tell there are none."""
    made = terraform.values(alarm_thresholds={"billed calls an hour": 5000})["alarms"]
    alarms = {alarm["name"]: alarm for alarm in cls.read()["alarms"]}
    assert set(made) == set(alarms)
    for name, alarm in alarms.items():
        assert made[name]["queries"][0] == f"{alarm['search']} | select {alarm['value']} as n"
        assert made[name]["window"] == alarm["window"]
    assert made["billed calls an hour"]["condition"] == "$1.n > 5000"
    assert made["the function stands still"]["condition"] == "$1.n < 1"
    assert made["share of failed"]["condition"] == "$1.n*100 > 5*$2.n && $2.n >= 20"
    assert made["share of failed"]["queries"][1] == "event:pair AND outcome:* | select count(*) as n"
    assert terraform.values(alarm_receivers=[])["alarms"] == {}


def test_its_index_cuts_words_as_they_are_played(terraform: Terraform) -> None:
    """At the same delimiters, and case matters."""
    assert terraform.values()["tokenizer"] == cls.DELIMITERS
    (rule,) = MADE["tencentcloud_cls_index", "this"]["rule"]
    assert rule["full_text"][0]["case_sensitive"] is rule["key_value"][0]["case_sensitive"] is True


REFUSED = {
    "name": "9",
    "region": "ap-guangzhou",
    "bucket": "faces",
    "state_bucket": VARIABLES["bucket"],
    "webhook_url": "http://example.com",
    "webhook_secret": "secret",
    "upload_prefix": "livepair",
    "live_key": "elsewhere/{id}.gz",
    "image_key": "uploads/{id}.jpg, elsewhere/{id}.jpg",
    "state_prefix": "uploads/state/",
    "settings": {"MIN_SIMILARTY": "70"},
    "memory": 200,
    "timeout": 30,
    "reserved_memory": 128,
    "keep_uploads_days": 91,
    "alarm_thresholds": {"no such alarm": 1},
}
"""A value of each variable that would make a deployment that does not work."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_cannot_work_is_refused(terraform: Terraform, name: str) -> None:
    """Before anything is made, with a sentence that says what is wrong."""
    done = terraform.plan(**{name: REFUSED[name]})
    assert done.returncode == 1
    assert "Invalid value for variable" in done.stderr


def test_code_without_its_hash_in_its_name_is_refused(terraform: Terraform, tmp_path: Path) -> None:
    """Terraform would not see that it changed, and leave the old code running."""
    other = tmp_path / "livepair.zip"
    shutil.copy(terraform.bundle, other)
    done = terraform.plan(bundle=str(other))
    assert done.returncode == 1
    assert "cut -c1-12" in done.stderr


def test_every_setting_can_be_given() -> None:
    """By a variable of its own, or in `settings`."""
    (settings,) = (body for labels, body in CODE["variable"] if labels == ["settings"])
    listed = set(re.findall(r'"([A-Z_]+)"', settings["validation"][0]["condition"]))
    (environment,) = (body["environment"] for _, body in CODE["locals"] if "environment" in body)
    own = set(re.findall(r"\b([A-Z][A-Z_]+)\b", str(environment)))
    table = (PROJECT / "handler" / "cli" / "README.md").read_text(encoding="utf-8")
    section = table[table.index("\n## Settings\n") : table.index("\n## Commands\n")]
    every = set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE))
    assert listed | own == every - {"LOCAL_CLOUD"}
    assert not listed & own


def test_it_is_laid_out_as_terraform_lays_it_out(terraform: Terraform) -> None:
    """`terraform fmt` has nothing to change."""
    done = terraform.run("fmt", "-check", "-recursive", "-diff", str(PROJECT / "deploy"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ROOTS)
def test_terraform_itself_finds_it_valid(terraform: Terraform, name: str, tmp_path: Path) -> None:
    """Where the provider is at hand, in a mirror that PROVIDER_MIRROR names."""
    mirror = os.environ.get("PROVIDER_MIRROR")
    if not mirror:
        pytest.skip("PROVIDER_MIRROR names no folder with the provider")
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "deploy", folder / "deploy")
    (folder / "handler").mkdir()
    for path in (PROJECT / "handler").glob("policy*.json"):
        shutil.copy(path, folder / "handler")
    root = f"-chdir={folder / 'deploy' / 'terraform' / 'examples' / name}"
    done = terraform.run(root, "init", "-no-color", "-backend=false", f"-plugin-dir={mirror}")
    assert done.returncode == 0, done.stdout + done.stderr
    done = terraform.run(root, "validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
