"""The documents say what the code does, are as short as was agreed, and lead to where they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from handler.cli.main import main
from handler.rules.settings import SETTINGS, Settings, load_settings
from tests import demo
from tests.bench.__main__ import PARTS
from tests.cloud import Cloud, samples
from tests.docs import documents
from tests.simulation.protections import EVERY
from tests.support.harness import Livepair
from tests.support.project import PROJECT

LENGTHS = {
    "README.md": 260,
    "CONTRIBUTING.md": 60,
    "deploy/README.md": 90,
    "SECURITY.md": 60,
    "events/README.md": 260,
    "handler/README.md": 240,
    "handler/HOW-FAR.md": 120,
    "handler/cli/README.md": 340,
    "handler/cli/REPORT.md": 120,
    "tests/README.md": 120,
    "examples/backend/README.md": 180,
}
"""How many lines each may have: who needs more has to take something away, or to find its right place."""

PAGES = (*LENGTHS, "CHANGELOG.md", "events/codes.md")
OTHERS = {"mutants", ".venv", "node_modules", "dist", ".pytest_cache", ".hypothesis"}


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def part(name: str, begin: str, end: str) -> str:
    """What stands in the document between two headings."""
    text = read(name)
    start = text.index(f"\n{begin}\n")
    return text[start : text.index(f"\n{end}\n", start)]


def without_code(text: str) -> str:
    """A page without its blocks and pieces of code, where nothing is a link or a heading."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


# --- all documents ----------------------------------------------------------------------------------


def test_every_document_is_one_of_these() -> None:
    """None is forgotten by the tests below."""
    there = {path.relative_to(PROJECT) for path in PROJECT.rglob("*.md")}
    ours = {
        path.as_posix() for path in there if not any(p in OTHERS or p[:6] == ".venv-" for p in path.parts)
    }
    assert not ours - set(PAGES), f"give it a length in LENGTHS: {', '.join(sorted(ours - set(PAGES)))}"
    assert not set(PAGES) - ours, f"not there: {', '.join(sorted(set(PAGES) - ours))}"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in documents()])
def test_what_is_made_from_the_code_is_up_to_date(path: Path) -> None:
    """`make docs` has been run since the code was changed."""
    assert documents()[path] == path.read_text(encoding="utf-8"), "run `make docs`"


@pytest.mark.parametrize("name", LENGTHS)
def test_no_document_outgrows_its_reader(name: str) -> None:
    """Each is as short as was agreed."""
    over = len(read(name).splitlines()) - LENGTHS[name]
    assert over <= 0, f"{name} is {over} lines too long: say it shorter, or where its reader looks for it"


def anchors(text: str) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = seen[anchor] = seen.get(anchor, -1) + 1
        yield f"{anchor}-{number}" if number else anchor


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """Files are there, pictures too, and so is the heading that a link names."""
    page = PROJECT / name
    text = without_code(read(name))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"https://", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert path.is_relative_to(PROJECT), link
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), link


def test_nothing_is_said_twice() -> None:
    """No long line stands in two documents: what changes has to be changed in one place."""
    places: dict[str, set[str]] = {}
    for name in PAGES:
        for line in read(name).splitlines():
            if len(line) >= 60:
                places.setdefault(line.strip(), set()).add(name)
    twice = [f"{' and '.join(sorted(names))}: {line}" for line, names in places.items() if len(names) > 1]
    assert not twice, "said in two places:\n" + "\n".join(twice)


@pytest.mark.parametrize("name", PAGES)
def test_every_target_that_a_document_names_is_in_the_makefile(name: str) -> None:
    """What a reader is told to run is there."""
    targets = set(re.findall(r"^(\w+):", read("Makefile"), re.MULTILINE))
    unknown = set(re.findall(r"(?:`|^|\$ |\w=\S+ )make (\w+)", read(name), re.MULTILINE)) - targets
    assert not unknown, f"{name} tells to make what the Makefile has no target for: {', '.join(unknown)}"


def test_make_local_reads_the_variables_that_documents_give_it() -> None:
    """One that it does not know would change nothing, or end it."""
    given = {
        f"{page}: {name}"
        for page in PAGES
        for names in re.findall(r"^((?:\w+=\S+ )+)make local\b", read(page), re.MULTILINE)
        for name in re.findall(r"(\w+)=", names)
    }
    assert {each.split()[-1] for each in given} == {"CONSUMER"}, given


# --- README.md: for everybody -------------------------------------------------------------------------


def test_the_backend_example_starts_a_verification(
    livepair: Livepair, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example, as printed: it places the image, and its link takes one live package, as its text says."""
    (example,) = re.findall(r"```python\n(import os.*?)```", read("README.md"), re.DOTALL)
    monkeypatch.setenv("SECRET_ID", "AKIDfake")
    monkeypatch.setenv("SECRET_KEY", "fake-secret-key")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 # the README's own example
    names["client"] = cloud.uploader
    pair_id, link = names["start"](samples.image())
    with requests.Session() as device:
        device.trust_env = False
        device.proxies = {"http": cloud.url}
        headers = dict(re.findall(r"curl -H '([\w-]+): (\w+)' -T live.gz '<link>'", read("README.md")))
        answers = [device.put(link, data=samples.live(seed=seed), headers=headers) for seed in range(2)]
        assert device.put(link, data=b"x").status_code == 403
    assert [answer.status_code for answer in answers] == [200, 409]
    assert livepair.run() == ["matched"]
    assert livepair.data["pair"] == {"id": pair_id}


def test_the_sample_message_is_like_the_real_ones(livepair: Livepair) -> None:
    """Same fields in the same order as a message that the function posts."""
    (shown,) = re.findall(r"```json\n(.*?)```", read("README.md"), re.DOTALL)
    livepair.put("uploads/42/image.jpg", samples.image())
    livepair.put("uploads/42/live.gz", samples.live())
    livepair.run()
    (posted,) = livepair.messages

    def shape(value: Any) -> Any:
        return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value)

    assert json.dumps(shape(json.loads(shown)), default=str) == json.dumps(shape(posted), default=str)


def test_the_demo_shows_what_the_front_page_says() -> None:
    """Each row of its output is one of the demo's, with the outcome and calls that the demo insists on."""
    (shown,) = re.findall(r"^\$ make demo\n(.*?)^\n", read("README.md"), re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^ (\S.{23}) +(\w+)(?: [\d.]+)? +(\w*) +(\d) +[\d.]+ s$", shown, re.MULTILINE)
    found = {scenario.shows: scenario.expected for scenario in demo._scenarios()}
    total = sum(map(len, found.values()))
    for shows, outcome, why, calls in rows:
        (expected,) = found[shows.strip()]
        code = (expected.code or "").rpartition(".")[2]
        assert (outcome, why, int(calls)) == (expected.outcome, code, expected.calls), shows
    for says in (f"… {total - len(rows)} more", f"✓ {total} outcomes as expected"):
        assert says in shown, f"README.md shows {len(rows)} rows of {total}, and does not say {says!r}"


# --- handler/cli/README.md: for who deploys and operates ------------------------------------------------

OPERATING = "handler/cli/README.md"


class Asked(Mapping[str, str]):
    """An environment that remembers which names it was asked for, however it was asked."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_, self.names = values, set[str]()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a setting is asked for by its name, so that it can be seen which there are")

    def __len__(self) -> int:
        raise AssertionError("a setting is asked for by its name, so that it can be seen which there are")


LEAST = {
    "BUCKET": "faces-1250000000",
    "WEBHOOK_URL": "https://example.com/webhook",
    "WEBHOOK_SECRET": "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLW9ubHk=",
}
"""The settings that are required."""


def table_of_settings() -> dict[str, tuple[str, str]]:
    """What the operators' table says of each setting: its default and its meaning."""
    section = part(OPERATING, "## Settings", "## Commands")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*) \|$", section, re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def test_a_setting_is_read_only_if_it_is_declared() -> None:
    """Every name that the environment is asked for stands in SETTINGS: nothing can be set in silence."""
    environment = Asked(LEAST)
    load_settings(environment)
    assert environment.names <= set(SETTINGS), "read, and not in SETTINGS of rules/settings.py"
    own = [path for path in (PROJECT / "handler").rglob("*.py") if "cli" not in path.parts]
    reads = "".join(
        f"{path.name}: {line.strip()}\n"
        for path in own
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bos\.environ\b|\bgetenv\b|from os import", line)
    )
    platform = r'index.py: .*os\.environ\.get\(f?"TENCENTCLOUD_.*\n'
    assert re.sub(platform, "", reads) == "index.py: _instance = _Instance(load_settings(os.environ))\n"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    """All are there, a setting left out takes the value that the table names, required ones are called so."""
    table = table_of_settings()
    forgotten, unknown = SETTINGS.keys() - table.keys(), table.keys() - SETTINGS.keys()
    assert not forgotten, f"no row in the table of {OPERATING}: {', '.join(sorted(forgotten))}"
    assert not unknown, f"{OPERATING} describes what is no setting: {', '.join(sorted(unknown))}"
    for name, (default, meaning) in table.items():
        assert len(meaning) > 10, f"{OPERATING} does not say what {name} means"
        assert (default == "required") is (name in LEAST) is (SETTINGS[name][0] is None), (
            f"is {name} required?"
        )
        if default.startswith("`"):
            written = LEAST.get(default[1:-1], default[1:-1])  # `BUCKET` is what that one holds
            assert load_settings({**LEAST, name: written}) == load_settings(LEAST), f"the default of {name}"


NOTHING_TO_CHECK = {
    "min_similarity": "any number does",
    "pair_timeout": "any time does",
    "pass_resources": "either way does; the rights for it are the function's role's, which `doctor` is not",
    "delete_uploads": "the right to delete is the role's, too",
    "max_live_bytes": "any size does",
    "max_image_bytes": "any size does",
    "max_verdicts": "any number does",
    "pass_metadata": "any name does: an upload without it has none",
    "api_rate": "Tencent tells no account's rate",
    "log_level": "any level does",
}
"""The fields of the settings that `doctor` has nothing to find out about, and why."""


def test_doctor_checks_every_setting_that_can_be_wrong_with_others() -> None:
    """Where one names a bucket, a host or a right, `doctor` asks there."""
    doctor = [*(PROJECT / "handler/cli/doctor").glob("*.py"), PROJECT / "handler/cli/deployment.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in doctor)
    unchecked = {name for name in Settings._fields if not re.search(rf"\bsettings\.{name}\b", code)}
    forgotten = unchecked - NOTHING_TO_CHECK.keys()
    assert not forgotten, (
        f"`doctor` does not look at {', '.join(sorted(forgotten))}: check it in handler/cli/doctor, "
        "or say in NOTHING_TO_CHECK why there is nothing to check"
    )
    assert NOTHING_TO_CHECK.keys() <= unchecked, "in NOTHING_TO_CHECK, and checked"


def test_every_command_of_the_operator_is_described() -> None:
    """None missing, none that is not there."""
    section = part(OPERATING, "## Commands", "## What to watch")
    described, there = set(re.findall(r"(?:^\| |`, )`(\w[\w-]*)", section, re.MULTILINE)), set(main.commands)
    assert not there - described, f"no row in the table of commands: {', '.join(there - described)}"
    assert not described - there, f"described, and no command: {', '.join(described - there)}"


def test_the_sample_env_file_means_the_same_to_every_reader() -> None:
    """The deploy tool's dotenv takes a comment behind a value for part of it."""
    (sample,) = re.findall(r"```sh\n(# Who deploys.*?)```", read(OPERATING), re.DOTALL)
    values = [line for line in sample.splitlines() if not line.startswith("#")]
    assert values, "the sample holds no variable"
    assert [line for line in values if "#" in line] == [], "a comment stands behind a value"


def test_every_log_line_that_is_searched_for_is_written() -> None:
    """The alarms name events and fields that the function's own code logs."""
    searches = part(OPERATING, "## What to watch", "## What is stored, and how to erase it")
    own = [path for path in (PROJECT / "handler").rglob("*.py") if "cli" not in path.parts]
    code = "".join(path.read_text(encoding="utf-8") for path in own)
    events = re.findall(r"event:(\w+)", searches)
    assert len(events) > 10
    for event in events:
        assert f'"{event}"' in code, f"no code logs {event!r}, which an alarm searches for"
    for field in re.findall(r"AND (\w+)[:>]", searches):
        assert re.search(rf"\b{field}\b", code), (
            f"no code logs the field {field!r} that an alarm searches for"
        )


def test_the_lifecycle_rules_spare_what_is_still_to_be_done() -> None:
    """The documents to paste take uploads and what is known of them, no state before its uploads."""
    pasted = re.findall(r"^```json\n(\{\"Rule\".*?)```", read(OPERATING), re.MULTILINE | re.DOTALL)
    rules = [rule for text in pasted for rule in json.loads(text)["Rule"]]
    days = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules}
    state = "livepair/faces-1250000000/"
    kinds = ("claims", "records", "settled", "best-frames")
    assert set(days) == {"uploads/", *(f"{state}{kind}/" for kind in kinds)}
    assert all(days[prefix] >= days["uploads/"] for prefix in days)


# --- SECURITY.md, tests/README.md -----------------------------------------------------------------------


def test_every_threat_names_a_test_that_is_there() -> None:
    """What covers a threat can be looked up and run."""
    rows = re.findall(r"^\| (?!who|---).*$", read("SECURITY.md"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    there = {
        name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(rows) > 10
    assert not named - there, f"no such tests: {', '.join(named - there)}"
    assert [row for row in rows if "`test_" not in row] == [], "threats that name no test"


def test_every_folder_of_tests_is_described() -> None:
    """Whoever looks for the place of a test finds it in the tables."""
    linked = set(re.findall(r"\]\((\w+)\)", read("tests/README.md")))
    there = {path.parent.name for path in (PROJECT / "tests").glob("*/*") if path.parent.name[0] not in "._"}
    assert not there - linked, f"no row in tests/README.md: {', '.join(sorted(there - linked))}"


def test_what_tests_readme_quotes_is_there() -> None:
    """The sample test, the protection and the parts of the bench are as they are called."""
    text = read("tests/README.md")
    (sample,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert sample in read("tests/promises/test_main_job.py")
    assert set(re.findall(r"--break ([\w-]+)", text)) <= {protection.name for protection in EVERY}
    assert f"the parts are {', '.join(PARTS[:-1])} and {PARTS[-1]}" in text
