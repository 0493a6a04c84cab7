"""`make deploy`: deploys livepair.zip by the tool that is here, then runs `doctor`.

The tool is the Serverless Cloud Framework (`scf`), or Terraform (`terraform` or `tofu`) with the module in
`deploy/terraform`. Both get the same values: those of `.env` and of serverless.yml.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from handler.cli.deployment import ARCHIVE, Deployment, Problem, load
from handler.rules.settings import SettingsError

TOOLS = ("scf", "terraform", "tofu")
"""In this order, where several are here and TOOL does not say which."""

ROOT = "deploy/terraform/examples/one"
"""Terraform's root module, where TERRAFORM_ROOT does not name another."""

NO_TOOL = (
    "neither scf nor terraform is here. Install one of them (npm install -g serverless-cloud-framework@1.3.0 "
    f"or Terraform 1.9 or newer), or deploy {ARCHIVE} in the console: handler/cli/README.md says how"
)

ONE_TRIGGER = (
    "serverless.yml has several COS triggers, and the Terraform module makes one: "
    "let all key templates begin alike, or deploy by scf"
)

OWN = {
    "BUCKET": "bucket",
    "STATE_BUCKET": "state_bucket",
    "STATE_PREFIX": "state_prefix",
    "STATE_SECRET": "state_secret",
    "LIVE_KEY": "live_key",
    "IMAGE_KEY": "image_key",
    "WEBHOOK_URL": "webhook_url",
    "WEBHOOK_SECRET": "webhook_secret",
}
"""Settings that have a variable of their own in the module; all others go into `settings`."""


def tool(wanted: str = "", which: Callable[[str], str | None] = shutil.which) -> str:
    """The tool to deploy by. Raises Problem where it is not here."""
    if wanted and wanted not in TOOLS:
        raise Problem(f"TOOL={wanted} is none of {', '.join(TOOLS)}")
    for name in [wanted] if wanted else TOOLS:
        if which(name):
            return name
    raise Problem(f"TOOL={wanted} is not here" if wanted else NO_TOOL)


def variables(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The Terraform module's variables, from serverless.yml's `inputs`, filled in. Raises Problem."""
    given = {name: value for name, value in declared["environment"]["variables"].items() if value}
    uploads, *others = [each["cos"]["parameters"] for each in declared["events"] if "cos" in each]
    if others:
        raise Problem(ONE_TRIGGER)
    return {
        **{variable: given[name] for name, variable in OWN.items() if name in given},
        "settings": {name: value for name, value in given.items() if name not in OWN},
        "name": declared["name"],
        "region": declared["region"],
        "upload_prefix": uploads["filter"]["prefix"],
        "memory": declared["memorySize"],
        "timeout": declared["timeout"],
        "fixed_ip": declared.get("eip") is True,
    }


def hashed(archive: Path) -> Path:
    """A copy of the bundle with its hash in its name, by which Terraform sees that it is another.

    Copies of older bundles are removed. Raises Problem where there is no bundle.
    """
    if not archive.is_file():
        raise Problem(f"{archive} is not there; run make bundle")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    copy = archive.with_name(f"{archive.stem}-{digest}{archive.suffix}")
    for old in archive.parent.glob(f"{archive.stem}-{'?' * 12}{archive.suffix}"):
        old.unlink()
    shutil.copy(archive, copy)
    return copy


def commands(name: str, root: Path) -> list[list[str]]:
    """What to run, one after the other."""
    if name == "scf":
        # Its published list of runtimes ends before Python 3.10.
        return [["scf", "deploy", "--noValidation"]]
    there = f"-chdir={root}"
    return [[name, there, "init", "-input=false"], [name, there, "apply"]]


def environment(name: str, deployment: Deployment, bundle: Path | None) -> dict[str, str]:
    """What the tool finds in its environment: Terraform the variables of its root module, and the keys."""
    if name == "scf" or bundle is None:
        return dict(os.environ)
    given = {**variables(deployment.declared), "bundle": str(bundle.resolve())}
    secret_id, secret_key, token = deployment.credentials
    return {
        **os.environ,
        **{f"TF_VAR_{each}": _as_variable(value) for each, value in given.items()},
        "TENCENTCLOUD_SECRET_ID": secret_id,
        "TENCENTCLOUD_SECRET_KEY": secret_key,
        **({"TENCENTCLOUD_SECURITY_TOKEN": token} if token else {}),
    }


def _as_variable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def deploy(folder: Path) -> int:
    """Deploy the bundle that lies here, then run doctor. Returns the status of the first that fails."""
    name = tool(os.environ.get("TOOL", ""))
    deployment = _deployment(folder)
    root = Path(os.environ.get("TERRAFORM_ROOT") or ROOT)
    bundle = None if name == "scf" else hashed(folder / ARCHIVE)
    given = environment(name, deployment, bundle)
    for command in commands(name, root):
        click.echo("$ " + " ".join(command))
        status = subprocess.run(command, cwd=folder, env=given).returncode  # noqa: S603 # one of TOOLS
        if status:
            return status
    click.echo("$ python -m handler doctor")
    return subprocess.run([sys.executable, "-m", "handler", "doctor"], cwd=folder).returncode


def _deployment(folder: Path) -> Deployment:
    """What .env and serverless.yml say. Raises Problem that names everything that is wrong with them."""
    try:
        return load(folder / "serverless.yml", folder / ".env")
    except SettingsError as error:
        raise Problem("; ".join(error.faults)) from None


def main(arguments: Sequence[str]) -> int:
    """With --check only look whether there is a tool and what it needs, before the bundle is built."""
    folder = Path.cwd()
    try:
        if "--check" in arguments:
            name = tool(os.environ.get("TOOL", ""))
            click.echo(f"deploying by {name}; TOOL=… names another")
            deployment = _deployment(folder)
            if name != "scf":
                variables(deployment.declared)
            return 0
        return deploy(folder)
    except Problem as problem:
        click.echo(f"error: {problem}", err=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
