"""`make deploy`: the bundle goes up by the tool that is here, and doctor looks at what came of it.

The tools are scripts that note how they were run; the cloud that doctor looks at is the local one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handler.cli import deploy
from handler.cli.deployment import Problem
from tests.cloud import Cloud
from tests.cloud.function import DAILY
from tests.cloud.scf_api import zipped
from tests.operator.test_doctor import RULES, put_rules, rule
from tests.support import deployed
from tests.support.harness import BUCKET, STATE
from tests.support.project import PROJECT


@pytest.fixture
def cloud(code: Path) -> Iterator[Cloud]:
    with Cloud(state_bucket=STATE) as running:
        running.deploy(code, timeout=90, reconcile=DAILY)
        put_rules(running, BUCKET, rule("uploads/", 30))
        put_rules(running, STATE, *RULES)
        yield running


class Checkout:
    """A folder as README says, and the tools that are installed."""

    def __init__(self, cloud: Cloud, code: Path, folder: Path) -> None:
        self.folder, self.bin = folder / "checkout", folder / "bin"
        self.folder.mkdir()
        self.bin.mkdir()
        (self.folder / "serverless.yml").write_text(deployed.by_default(), encoding="utf-8")
        (self.folder / "livepair.zip").write_bytes(zipped(code))
        variables = {
            **cloud.environment(),
            "REGION": cloud.region,
            "TENCENT_SECRET_ID": cloud.credentials.secret_id,
            "TENCENT_SECRET_KEY": cloud.credentials.secret_key,
            "LOCAL_CLOUD": cloud.url,
        }
        lines = [f"{name}={value}\n" for name, value in variables.items()]
        (self.folder / ".env").write_text("".join(lines))

    def install(self, name: str, status: int = 0) -> None:
        """A tool that notes its arguments and its variables, and ends with this status."""
        noted = self.folder / "noted"
        script = f'#!/bin/sh\necho "{name} $*" >> "{noted}"\n/usr/bin/env >> "{noted}"\nexit {status}\n'
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "handler.cli.deploy", *arguments],
            cwd=self.folder,
            env={"PATH": str(self.bin), "PYTHONPATH": str(PROJECT), "COLUMNS": "200", **environ},
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def noted(self) -> str:
        path = self.folder / "noted"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def checkout(cloud: Cloud, code: Path, tmp_path: Path) -> Checkout:
    return Checkout(cloud, code, tmp_path)


def test_the_framework_deploys_where_it_is_here(checkout: Checkout) -> None:
    """Then doctor says that nothing is wrong with the result."""
    checkout.install("scf")
    checkout.install("terraform")
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(?:scf|terraform) .*$", checkout.noted, re.MULTILINE) == [
        "scf deploy --noValidation"
    ]
    assert "No check failed." in done.stdout


@pytest.mark.parametrize("name", ["terraform", "tofu"])
def test_terraform_deploys_where_it_is_here(checkout: Checkout, name: str) -> None:
    """With the values of .env and serverless.yml, and a bundle whose name holds its hash."""
    checkout.install(name)
    old = checkout.folder / "livepair-000000000000.zip"
    old.write_bytes(b"older")
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(rf"^{name} -chdir=(.*)$", checkout.noted, re.MULTILINE) == [
        f"{deploy.ROOT} init -input=false",
        f"{deploy.ROOT} apply",
    ]
    assert f"\nTF_VAR_bucket={BUCKET}\n" in checkout.noted
    assert "\nTF_VAR_memory=256\n" in checkout.noted
    assert '"MIN_SIMILARITY": "70"' in checkout.noted
    (bundle,) = re.findall(r"^TF_VAR_bundle=(.*)$", checkout.noted, re.MULTILINE)[:1]
    assert Path(bundle) == deploy.hashed(checkout.folder / "livepair.zip")
    assert not old.exists()
    assert "No check failed." in done.stdout


def test_a_tool_can_be_named(checkout: Checkout) -> None:
    """Where both are here; and one that is not here is an error."""
    checkout.install("scf")
    checkout.install("terraform")
    assert checkout.run("--check", TOOL="terraform").stdout.startswith("deploying by terraform")
    assert "TOOL=tofu is not here" in checkout.run("--check", TOOL="tofu").stderr
    assert "TOOL=pulumi is none of scf, terraform, tofu" in checkout.run("--check", TOOL="pulumi").stderr


def test_without_a_tool_it_says_what_to_install(checkout: Checkout) -> None:
    """In one line, before anything is built, with the way that needs none."""
    done = checkout.run("--check")
    assert done.returncode == 1
    assert done.stderr.startswith("error: neither scf nor terraform is here. Install one of them")
    assert done.stderr.count("\n") == 1
    with pytest.raises(Problem, match="in the console"):
        deploy.tool(which=lambda name: None)


def test_what_is_missing_is_named_before_anything_is_built(checkout: Checkout) -> None:
    """All of it at once."""
    checkout.install("scf")
    (checkout.folder / ".env").write_text("REGION=ap-singapore\n")
    done = checkout.run("--check")
    assert done.returncode == 1
    assert all(
        name in done.stderr for name in ("BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET", "TENCENT_SECRET_ID")
    )


def test_a_tool_that_fails_ends_it(checkout: Checkout) -> None:
    """With its own status, and doctor does not look at what was there before."""
    checkout.install("scf", status=3)
    done = checkout.run()
    assert done.returncode == 3
    assert "checks" not in done.stdout


def test_terraform_without_a_bundle_says_so(checkout: Checkout) -> None:
    """And runs nothing."""
    checkout.install("terraform")
    (checkout.folder / "livepair.zip").unlink()
    done = checkout.run()
    assert (done.returncode, checkout.noted) == (1, "")
    assert "run make bundle" in done.stderr


def test_make_asks_for_the_tool_before_it_bundles() -> None:
    """Nobody waits for a bundle that cannot go anywhere."""
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^deploy: .*\n((?:\t.*\n)+)", text, re.MULTILINE)
    steps = re.findall(r"-m (\S+(?: --check)?)", recipe)
    assert steps == ["handler.cli.deploy --check", "handler.cli.bundle", "handler.cli.deploy"]


def test_several_triggers_of_uploads_are_none_of_terraforms(checkout: Checkout) -> None:
    """It is said before anything is built: with one of two triggers half of all pairs would wait for ever."""
    checkout.install("scf")
    checkout.install("terraform")
    file = checkout.folder / "serverless.yml"
    file.write_text(re.sub(r"( {4}- cos:\n(?: {6,}.*\n)+)", r"\1\1", file.read_text()))
    assert checkout.run("--check").returncode == 0
    refused = checkout.run("--check", TOOL="terraform")
    assert (refused.returncode, "several COS triggers" in refused.stderr) == (1, True)
    assert checkout.noted == ""


def test_the_example_takes_what_make_deploy_gives() -> None:
    """Each variable is declared there, or Terraform would leave it out without a word."""
    given = {*deploy.variables(deployed.inputs_of(deployed.by_default())), "bundle", "state_secret"}
    text = (PROJECT / deploy.ROOT / "main.tf").read_text(encoding="utf-8")
    assert given <= set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
