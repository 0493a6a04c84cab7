"""The README says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import requests

from handler.cli.main import main
from handler.rules.settings import load_settings
from tests.cloud import Cloud, samples
from tests.docs import README, with_table
from tests.support.harness import Livepair

TEXT = README.read_text(encoding="utf-8")


def test_the_table_of_codes_is_the_codes_own() -> None:
    """`make docs` has been run since the code table was changed."""
    assert with_table(TEXT) == TEXT, "run `make docs`"


def test_the_backend_example_starts_a_verification(
    livepair: Livepair, cloud: Cloud, monkeypatch: Any
) -> None:
    """The example, as printed: it places the image, and its link takes the live package."""
    (example,) = re.findall(r"```python\n(import os.*?)```", TEXT, re.DOTALL)
    monkeypatch.setenv("SECRET_ID", "AKIDfake")
    monkeypatch.setenv("SECRET_KEY", "fake-secret-key")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 # the README's own example
    names["client"] = cloud.uploader
    pair_id, link = names["start"](samples.image())
    with requests.Session() as device:
        device.trust_env = False
        answer = device.put(link, data=samples.live(), proxies={"http": cloud.url})
    assert answer.status_code == 200
    assert livepair.run() == ["matched"]
    assert livepair.data["pair"] == {"id": pair_id}


def test_every_setting_is_in_the_table_with_its_default() -> None:
    """A setting left out takes the value that the README names; required ones are called required."""
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", TEXT, re.MULTILINE))
    required = {name for name, default in table.items() if default == "required"}
    assert required == {"BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET"}
    least = {
        "BUCKET": "faces-1250000000",
        "WEBHOOK_URL": "https://example.com/webhook",
        "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQ=",
    }
    written = {name: default[1:-1] for name, default in table.items() if default.startswith("`")}
    written["STATE_BUCKET"] = least["BUCKET"]
    assert load_settings({**least, **written}) == load_settings(least)


def test_every_threat_names_a_test_that_is_there() -> None:
    """What covers a threat can be looked up and run."""
    threats = TEXT[TEXT.index("### Threats") : TEXT.index("## How it works")]
    named = set(re.findall(r"`(test_\w+)`", threats))
    there = {
        name
        for path in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= there, named - there
    assert all("`test_" in line for line in threats.splitlines()[4:] if line.startswith("|"))


def test_every_command_of_the_operator_is_described() -> None:
    """None missing, none that is not there; and every target of the Makefile that is named exists."""
    table = TEXT[TEXT.index("| command | does |") : TEXT.index("### What to watch")]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == set(main.commands)
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make (\w+)", TEXT, re.MULTILINE)) <= targets


def test_the_sample_env_file_means_the_same_to_every_reader() -> None:
    """The deploy tool's dotenv takes a comment behind a value for part of it."""
    (sample,) = re.findall(r"```sh\n(# Who deploys.*?)```", TEXT, re.DOTALL)
    values = [line for line in sample.splitlines() if not line.startswith("#")]
    assert len(values) == 8
    assert not any("#" in line for line in values)


def test_every_log_line_that_is_searched_for_is_written() -> None:
    """The alarms name events and fields that the function's own code logs."""
    searches = TEXT[TEXT.index("### What to watch") : TEXT.index("### What is stored")]
    code = "".join(path.read_text(encoding="utf-8") for path in (README.parent / "handler").glob("*.py"))
    for event in re.findall(r"event:(\w+)", searches):
        assert f'"{event}"' in code, event
    for field in re.findall(r"AND (\w+)[:>]", searches):
        assert re.search(rf"\b{field}\b", code), field


def test_the_sample_message_in_the_readme_is_like_the_real_ones(livepair: Livepair) -> None:
    """Same fields in the same order as a message that the function posts."""
    shown = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0]
    livepair.put("uploads/42/image.jpg", samples.image())
    livepair.put("uploads/42/live.gz", samples.live())
    livepair.run()
    (posted,) = livepair.messages

    def shape(value: Any) -> Any:
        return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value)

    assert json.dumps(shape(json.loads(shown)), default=str) == json.dumps(shape(posted), default=str)
