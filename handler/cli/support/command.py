"""The command `support`: it asks first, since faces leave the account with what it writes."""

from __future__ import annotations

from pathlib import Path

import click

from handler.cli.command import Options, command
from handler.cli.output import Output
from handler.cli.reference import WHICH, find_record
from handler.cli.support.archive import write_archive
from handler.cli.support.case import Case, case_of


@click.command(short_help="A zip with what Tencent's support asks for.")
@click.argument("reference", metavar=WHICH, nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the zip is written; support-ID.zip in the current folder.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def support(chosen: Options, output: Output, reference: tuple[str, ...], out: Path | None, yes: bool) -> None:
    """A zip with what Tencent's support asks for about one verification: faces leave your account with it.

    Request ids, times, both uploads where they are still there, versions, searches of the log, and a text for
    the ticket in English and Chinese. It holds no key and no value of the pair, and no secret.

    With a pair's id, or the key of an upload, it is about the last record of its pair.
    """
    deployment = chosen.deployment()
    with output.counting("looking for the record") as advance:
        record = find_record(deployment, reference, advance)
    case = case_of(deployment, record)
    path = out or Path(f"support-{case.verification}.zip")
    missing = {each.role: each.missing for each in case.uploads if each.missing}
    for role, why in missing.items():
        output.warn(f"The {role} upload will not be in it: {why}.")
    if not yes:
        click.confirm(_question(case, path), abort=True, err=True)
    held = write_archive(deployment, case, path)
    output.value({"file": str(path), "holds": held, "missing": missing})
    output.table((f"in {path}",), [(name,) for name in held])
    output.say("Say in ticket.txt what you expected, and give the zip to nobody but Tencent's support.")
    if held[0] != "ticket.txt":
        output.say("It shows a person: delete it once the ticket is closed. `forget` does not reach it.")


def _question(case: Case, path: Path) -> str:
    there = [each.role for each in case.uploads if each.stored]
    if not there:
        return f"Write {path}? No upload is there any more, so it shows no face."
    named = " and ".join({"live": "the recording", "image": "the image"}[role] for role in there)
    return f"{path} will hold {named} of a person: faces leave your account with it. Write it?"
