"""A new user's first commands against a deployed function: each instance a process, each command one too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import Cloud, samples
from tests.cloud.faceid import Answer
from tests.cloud.function import DAILY
from tests.cloud.scf import bundle
from tests.support import deployed
from tests.support.harness import BUCKET, STATE
from tests.support.project import PROJECT


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(state_bucket=STATE) as running:
        running.deploy(bundle(PROJECT, tmp_path / "code"), timeout=90, reconcile=DAILY)
        yield running


@pytest.fixture
def folder(cloud: Cloud, tmp_path: Path) -> Path:
    """A checkout's serverless.yml as it ships, and an .env beside it as README says."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "serverless.yml").write_text(deployed.by_default(), encoding="utf-8")
    variables = {
        **cloud.environment(),
        "REGION": cloud.region,
        "ROLE": "livepair",
        "TENCENT_SECRET_ID": cloud.credentials.secret_id,
        "TENCENT_SECRET_KEY": cloud.credentials.secret_key,
        "LOCAL_CLOUD": cloud.url,
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return folder


def run(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run a command as a process of its own. Returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "handler", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr


def test_a_deployment_is_checked_proved_and_cleaned_up(cloud: Cloud, folder: Path) -> None:
    """doctor, verify --smoke, show, list, forget: nothing fails, nothing is left, one message told."""
    assert "No check failed." in run(folder, "doctor", "--no-webhook")
    told = json.loads(run(folder, "verify", "--smoke", "--json"))
    assert (told["outcome"], told["calls"], told["delivered"]) == ("rejected", 1, True)
    assert told["code"].startswith("FailedOperation.")
    assert told["pair"]["id"].startswith("smoke")
    (message,) = cloud.consumer.messages.values()
    assert message["data"]["verification_id"] == told["verification"]
    assert "decided: rejected" in run(folder, "show", told["verification"])
    cloud.scf.wait_idle()
    assert "Nothing is under way." in run(folder, "list")
    run(folder, "forget", told["verification"], "--yes")
    assert cloud.cos.bucket(BUCKET).keys("") == []
    assert cloud.cos.bucket(STATE).keys("") == [f"livepair/{BUCKET}/create-only"]  # it is about nobody


def test_verify_shows_the_outcome_of_ones_own_files(cloud: Cloud, folder: Path) -> None:
    """And fails without a verdict, or where the files cannot be judged; --smoke says what it is to bring."""
    (folder / "live.gz").write_bytes(samples.live(sim=88.5))
    (folder / "image.jpg").write_bytes(samples.image())
    told = json.loads(run(folder, "verify", "live.gz", "image.jpg", "--json"))
    assert (told["outcome"], told["similarity"], told["delivered"]) == ("matched", 88.5, True)
    cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert "failed" in run(folder, "verify", "live.gz", "image.jpg", status=1)
    assert "`rejected` is what --smoke is to bring" in run(folder, "verify", "--smoke")
    assert "nowhere.gz cannot be read: No such file" in run(
        folder, "verify", "nowhere.gz", "image.jpg", status=1
    )
    (folder / "huge.jpg").write_bytes(bytes(10_000_001))
    assert "MAX_IMAGE_BYTES" in run(folder, "verify", "live.gz", "huge.jpg", status=1)


def test_verify_finds_values_for_templates_that_separate_by_a_dash(cloud: Cloud, folder: Path) -> None:
    """They hold none themselves: the pair reads back."""
    text = (folder / ".env").read_text()
    templates = "LIVE_KEY=uploads/{user}-{attempt}.gz\nIMAGE_KEY=uploads/{user}-{attempt}.jpg\n"
    (folder / ".env").write_text(text + templates)
    assert "no outcome was told in 0 s" in run(folder, "verify", "--smoke", "--timeout", "0", status=1)


def test_verify_names_what_erases_both_halves(cloud: Cloud, folder: Path) -> None:
    """The image's key, where an image serves many and a live package's key would leave it."""
    text = (folder / ".env").read_text()
    (folder / ".env").write_text(
        text + "LIVE_KEY=uploads/{user}/{attempt}.gz\nIMAGE_KEY=uploads/{user}.jpg\n"
    )
    said = run(folder, "verify", "--smoke", "--timeout", "0", status=1)
    (key,) = (key for key in cloud.cos.bucket(BUCKET).keys("") if key.endswith(".jpg"))
    assert f"`forget {key}`" in said
    run(folder, "forget", key, "--yes")
    assert cloud.cos.bucket(BUCKET).keys("") == []


def test_a_reader_that_leaves_early_gets_no_traceback(folder: Path) -> None:
    """As `list --json | head` does."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m handler list --json | true"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""


def test_verify_tells_how_far_it_came(cloud: Cloud, folder: Path) -> None:
    """Where nothing wakes the function it says what to look for."""
    for trigger in cloud.scf.triggers("livepair"):
        cloud.scf.remove_trigger(trigger.name)
    said = run(folder, "verify", "--smoke", "--timeout", "1", status=1)
    assert "no outcome was told in 1 s: no instance has taken it up" in said
    assert "see that the COS trigger is there and enabled. " in said
    assert "`forget uploads/smoke" in said
