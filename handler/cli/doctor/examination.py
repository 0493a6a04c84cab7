"""All sections of the report, one after the other, whatever fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from handler.cli.deployment import Problem, load
from handler.cli.doctor.api import api
from handler.cli.doctor.backend import backend
from handler.cli.doctor.check import Check, Section
from handler.cli.doctor.function import function
from handler.cli.doctor.lifecycle import lifecycle
from handler.cli.doctor.retention import retention
from handler.cli.doctor.state_bucket import state_bucket
from handler.cli.doctor.trouble import made
from handler.cli.doctor.uploads import uploads
from handler.cli.doctor.versions import versions
from handler.cli.doctor.webhook import webhook
from handler.cli.output import Output
from handler.rules.settings import SettingsError

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "info": "blue"}

SECTIONS = (
    Section("state bucket", state_bucket),
    Section("bucket of uploads", uploads),
    Section("versions", versions),
    Section("lifecycle rules", lifecycle),
    Section("backend", backend),
    Section("function", function),
    Section("API", api),
)

WEBHOOK = Section("webhook", webhook)
"""The one section that somebody else notices: it posts a message."""


RETENTION = Section("retention", retention)
"""How long a face can live: made by itself, with `--retention`."""


def examine(config: Path, env_file: Path, output: Output, sections: Sequence[Section]) -> bool:
    """Make the checks of these sections and print them. Returns whether none failed."""
    try:
        deployment = load(config, env_file)
    except SettingsError as error:
        return _report(output, [_wrong_setting(fault) for fault in error.faults])
    except Problem as error:
        return _report(output, [Check("settings", "fail", str(error), "then run doctor again")])
    settings = f"{deployment.settings.bucket} in {deployment.region}, {deployment.function}"
    checks = [Check("settings", "ok", settings)]
    with output.err.status("checking …") as status:
        for section in sections:
            status.update(f"checking: {section.name} …")
            checks += made(section.name, section.checks(deployment))
    return _report(output, checks)


def _wrong_setting(fault: str) -> Check:
    if fault.startswith("no credentials"):  # the function never sees these
        return Check("settings", "fail", fault, "handler/policy.operator.json: what they may do")
    do = "set it in .env or serverless.yml, and where the function is deployed"
    return Check("settings", "fail", fault, do)


def _report(output: Output, checks: list[Check]) -> bool:
    failed = sum(check.status == "fail" for check in checks)
    output.value({"checks": [check._asdict() for check in checks], "failed": failed})
    output.table(
        ("check", "", "found", "what to do"),
        [
            (check.name, Text(check.status, style=COLOURS[check.status]), check.found, check.do)
            for check in checks
        ],
    )
    output.say(f"{failed} of {len(checks)} checks failed." if failed else "No check failed.")
    return not failed
