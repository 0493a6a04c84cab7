"""The commands of `python -m handler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from handler import __version__
from handler.cli import act, story, under_way, upload
from handler.cli.command import Options, command
from handler.cli.consumer.commands import consumer_check, trigger
from handler.cli.doctor.examination import RETENTION, SECTIONS, WEBHOOK, examine
from handler.cli.find import moment
from handler.cli.forget import Erasure, forget
from handler.cli.inventory import subject_of, take_inventory, walks_at
from handler.cli.outcome import outcome
from handler.cli.output import Output, count, span, when
from handler.cli.reference import WHICH, find_pair, find_record, named_to_give
from handler.cli.report.cache import forget_erased
from handler.cli.report.command import report
from handler.cli.support.command import support
from handler.log import silence_libraries
from handler.rules.pairing import Pair, plain


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default="serverless.yml",
    show_default=True,
    help="The file that the function is deployed with; its settings are used where the environment has none.",
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=".env",
    show_default=True,
    help="Variables that the environment does not set: credentials, REGION, BUCKET, WEBHOOK_SECRET …",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.version_option(__version__, prog_name="livepair")
@click.pass_context
def main(context: click.Context, config: Path, env_file: Path, debug: bool) -> None:
    """Check, watch and mend a deployed livepair.

    Works with the function's settings and your own credentials, against an account or, with LOCAL_CLOUD, the
    local cloud. None of this is part of the function.
    """
    silence_libraries()
    for name, path in (("config", config), ("env_file", env_file)):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and not path.is_file():
            raise click.BadParameter(
                f"{path} is not there", context, param_hint=f"--{name.replace('_', '-')}"
            )
    context.obj = Options(config, env_file, debug)


@main.command("doctor")
@click.option("--no-webhook", is_flag=True, help="Send no webhook.test message.")
@click.option("--retention", is_flag=True, help="Only add up how long a face can live, all places together.")
@command
def doctor_command(chosen: Options, output: Output, no_webhook: bool, retention: bool) -> bool:
    """Check the whole deployment; each line says what to do. Calls that are billed are not made."""
    sections = (RETENTION,) if retention else SECTIONS if no_webhook else (*SECTIONS, WEBHOOK)
    return examine(chosen.config, chosen.env_file, output, sections)


@main.command("list")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of each state are read and shown.",
)
@command
def list_command(chosen: Options, output: Output, limit: int) -> None:
    """What is waiting, running, undelivered or dead: counts and ages."""
    under_way.show_list(chosen.deployment(), output, limit)


@main.command(short_help="The story of a verification or a pair.")
@click.argument("reference", metavar=WHICH, nargs=-1, required=True)
@command
def show(chosen: Options, output: Output, reference: tuple[str, ...]) -> None:
    """The story of a pair (by its id or an upload's key) or of a verification (by an ID or its message's)."""
    story.show_story(chosen.deployment(), output, reference)


@main.command(short_help="Have messages posted once more.")
@click.argument("reference", metavar=f"[{WHICH}]", nargs=-1)
@click.option("--dead", is_flag=True, help="All whose delivery was given up.")
@click.option("--since", metavar="WHEN", help="All decided since: 2026-11-22T12:00Z, 90m, 6h, 3d.")
@click.option("--limit", type=click.IntRange(min=1), help="So many at the most; run it again for the next.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def redeliver(
    chosen: Options, output: Output, reference: tuple[str, ...], limit: int | None, yes: bool, **which: Any
) -> bool:
    """Have messages posted once more: the same id, the same bytes, a fresh signature.

    With a pair's id, or the key of an upload, it is the last message about the pair. With --limit those come
    first whose records have not changed for longest, so that running it again goes on with the next.

    A record that cannot be read is named, and keeps no other from being posted; the exit status is then 1.
    """
    dead, since = which["dead"], which["since"]
    if bool(reference) + dead + (since is not None) != 1:
        raise click.UsageError("Give a pair, a key or an ID; or --dead; or --since.")
    deployment = chosen.deployment()
    if reference:
        with output.counting("looking for the record") as advance:
            found = act.Found([find_record(deployment, reference, advance)], {})
    elif dead:
        found = act.dead(deployment, output, limit)
    else:
        found = act.decided_since(deployment, output, moment(since, deployment.clock.now()), limit)
    if found.records and not reference and not yes:
        click.confirm(f"Post {count(len(found.records), 'message')} again?", abort=True, err=True)
    done, unreadable = act.redeliver(deployment, output, found.records)
    unreadable = {**found.unreadable, **unreadable}
    for why in unreadable.values():
        output.warn(why)
    output.value({"redelivered": done, "unreadable": sorted(unreadable)})
    output.say(f"{count(len(done), 'message')} to be posted. {act.NEXT_SWEEP}" if done else "There is none.")
    return not unreadable


@main.command(short_help="Have what ended failed or incomplete judged again.")
@click.argument("reference", metavar=WHICH, nargs=-1, required=True)
@command
def retry(chosen: Options, output: Output, reference: tuple[str, ...]) -> None:
    """Have what ended failed or incomplete judged once more, as another run."""
    with output.counting("looking for the record") as advance:
        record, run = act.retry(chosen.deployment(), reference, advance)
    output.value({"verification": record.verification.id, "run": run})
    output.say(f"Run {run} of {record.verification.path} is on the agenda. {act.NEXT_SWEEP}")


@main.command(short_help="Have uploads looked at that may have no outcome.")
@click.option("--since", metavar="WHEN", help="Walk uploads made since: 2026-11-22, 6h, 3d; or `all`.")
@command
def reconcile(chosen: Options, output: Output, since: str | None) -> None:
    """Have every upload looked at that may have no outcome. What is settled costs nothing.

    Without --since: from a day before the last finished reconcile on, as the daily timer does.
    """
    deployment = chosen.deployment()
    everything = since == "all"
    if since and not everything:
        began = act.reconcile(deployment, moment(since, deployment.clock.now()))
    else:
        began = act.reconcile(deployment, None, everything=everything)
    output.value({"since": began})
    output.say(
        f"Uploads {f'since {when(began)}' if began else 'of all time'} that are older than ten minutes "
        f"will be looked at. {act.NEXT_SWEEP} `list` tells whether it is under way."
    )


@main.command(short_help="Upload a pair, wait, and show its outcome.")
@click.argument("files", nargs=-1, metavar="[LIVE IMAGE]", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--smoke", is_flag=True, help="Use a harmless pair that the API rejects without a bill.")
@click.option("--gzip", "pack", is_flag=True, help="Gzip LIVE, unless it is gzipped.")
@click.option("--as-is", is_flag=True, help="Upload the files whatever they begin with.")
@click.option("--timeout", default=180, show_default=True, help="Seconds to wait for the outcome.")
@command
def verify(
    chosen: Options, output: Output, files: tuple[Path, ...], smoke: bool, timeout: int, **how: bool
) -> bool:
    """Upload a pair, wait, and show its outcome: the whole chain, with your own files or with --smoke.

    Files that cannot be right are not uploaded: Base64 text, and a LIVE that is not gzipped.
    """
    if len(files) != (0 if smoke else 2):
        raise click.UsageError("Give LIVE and IMAGE, or --smoke alone.")
    deployment = chosen.deployment()
    if smoke:
        pair = upload.smoke(deployment)
    else:
        live, image = files
        pair = upload.own_files(deployment, output, live, image, pack=how["pack"], as_is=how["as_is"])
    record, seconds = upload.verify(deployment, output, pair, timeout)
    delivered = record.delivered_at is not None
    answer = record.answer or {}
    result = {
        "outcome": record.outcome,
        "code": record.code,
        "similarity": answer.get("similarity"),
        "said": answer.get("message"),
        "verification": record.verification.id,
        "pair": dict(pair.pair.values),
        "api_request_id": answer.get("request_id"),
        "calls": answer.get("calls", 0),
        "delivered": delivered,
        "given_up": upload.why_given_up(deployment, record),
        "seconds": round(seconds, 1),
    }
    output.value(result)
    output.table(("", ""), [(name, "" if value is None else value) for name, value in result.items()])
    output.say(f"`python -m handler forget {upload.erased_by(pair.pair)}` erases it.")
    if smoke and delivered and record.outcome == "rejected":
        output.say("`rejected` is what --smoke is to bring: the whole chain works, and no person was judged.")
    if not delivered:
        output.say(f"The webhook did not take the message: {result['given_up']}. `doctor` tells more.")
    return delivered and record.outcome != "failed"


@main.command(short_help="Presigned links to upload one pair.")
@click.argument("values", nargs=-1, required=True, metavar="PAIR")
@click.option("--seconds", type=click.IntRange(30, 3600), default=upload.LINK_SECONDS, show_default=True)
@command
def links(chosen: Options, output: Output, values: tuple[str, ...], seconds: int) -> None:
    """Presigned links to PUT one pair to, as an application's backend would make them.

    They are printed because that is what the command is for: whoever has one may upload once, until it ends.
    """
    deployment = chosen.deployment()
    made = upload.links(deployment, values, seconds)
    output.value(made)
    if output.as_json:
        return
    proxy = deployment.settings.local_cloud
    through = f"-x {proxy} " if proxy else ""
    headers = "".join(f"-H '{name}: {value}' " for name, value in made["headers"].items())
    for role, link in (("image", made["image"]), ("live", made["live"])):
        click.echo(f"# {role}: {plain(link['key'])}, for {span(seconds)}")
        click.echo(f"curl {through}{headers}-T FILE '{link['put']}'")


@main.command("forget", short_help="Erase everything about a person's pair.")
@click.argument("reference", metavar=WHICH, nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Wait for an instance at work, then erase what it wrote.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def forget_command(
    chosen: Options, output: Output, reference: tuple[str, ...], wait: bool, yes: bool
) -> bool:
    """Erase everything about a person's pair: uploads, all verifications, best frames, all versions.

    The key of an image that serves many stands for all its pairs. What the webhook's consumer and the log
    service keep is theirs to erase. While an instance may be at work on the pair this fails and says until
    when: run it again then, or have it --wait.
    """
    deployment = chosen.deployment()
    with output.counting("looking for the record") as advance:
        pair = find_pair(deployment, reference, advance)
    subject = subject_of(deployment, pair)
    inventory = take_inventory(deployment, subject)
    if not inventory and not walks_at(deployment, subject):
        output.value({"erased": [], "left": [], "busy_until": None})
        output.say(f"Nothing is stored about {named_to_give(pair)}: never uploaded, or erased.")
        return True
    output.table(("to be erased",), [(key,) for key in inventory.keys])
    if not yes:
        objects = count(len(inventory), "object")
        click.confirm(f"Erase {objects} for good, old versions counted?", abort=True, err=True)
    erasure = forget(deployment, output, subject, wait=wait)
    forget_erased(deployment, erasure.erased)
    output.value({"erased": erasure.erased, "left": erasure.left.keys, "busy_until": erasure.busy_until})
    output.say(f"Erased {count(len(erasure.erased), 'key')}, with all versions.")
    if isinstance(pair, Pair) and pair.shared:
        output.say(
            f"The image serves others too and was left: `forget {pair.image_keys[0]}` erases them all."
        )
    _say_what_may_come(output, erasure, pair.live_keys[0] if isinstance(pair, Pair) else pair.image_keys[0])
    return erasure.complete


def _say_what_may_come(output: Output, erasure: Erasure, key: str) -> None:
    """What `forget` has to be run again for, by a key: an ID is erased with its record."""
    if erasure.left:
        output.table(("still there",), [(each,) for each in erasure.left.keys])
        output.warn("Something is left, perhaps written by an instance at work: run it again.")
    if erasure.busy_until:
        said = f"An instance was at work on it, and may write until {when(erasure.busy_until)}"
        output.warn(f"{said}: run `forget {key}` again then.")


main.add_command(consumer_check)
main.add_command(trigger)
main.add_command(outcome)
main.add_command(report)
main.add_command(support)
