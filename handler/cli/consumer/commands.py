"""`consumer-check` and `trigger`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click
from rich.text import Text

from handler.cli.consumer.checks import NAME_THE_BUCKET, judge
from handler.cli.consumer.messages import BUCKET, OUTCOMES, Maker
from handler.cli.consumer.posting import Poster, is_same_place
from handler.cli.declared import Problem, environment, inputs_of
from handler.cli.output import Output
from handler.clock import Clock, SystemClock
from handler.edges.webhook import POST_SECONDS
from handler.rules.pairing import plain
from handler.rules.settings import Settings, SettingsError, load_settings

_clock: Clock = SystemClock()

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

_TEST = "webhook.test"


class Files(Protocol):
    """Where a deployment may be described; what the options before the command chose."""

    config: Path
    env_file: Path


class Target(NamedTuple):
    """Whom to post to, and as what. `own_bucket`: the consumer's bucket was named."""

    poster: Poster
    maker: Maker
    settings: Settings
    own_bucket: bool


def _command(work: Callable[..., bool]) -> Callable[..., None]:
    """A command that posts: its common options, and one line for what is wrong with them."""

    @click.option("--bucket", metavar="NAME", help=f"The consumer's bucket; else BUCKET's, else {BUCKET}.")
    @click.option("--seconds", type=click.FloatRange(0.1, 60), default=POST_SECONDS, show_default=True,
                  help="To wait for each answer.")  # fmt: skip
    @click.option("--production", is_flag=True, help="Also where the URL is the deployment's own.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_context
    @wraps(work)
    def run(context: click.Context, /, as_json: bool, **arguments: Any) -> None:
        try:
            fine = work(context.obj, Output(as_json), **arguments)
        except SettingsError as error:
            _fail("; ".join(re.sub(r"\AWEBHOOK_URL\b", "URL", fault) for fault in error.faults))
        except Problem as error:
            _fail(str(error))
        if not fine:
            sys.exit(1)

    return run


def _fail(text: str) -> None:
    click.echo(f"error: {plain(text)}", err=True)
    sys.exit(1)


@click.command("consumer-check", short_help="Judge a webhook's consumer.")
@click.argument("url", metavar="URL")
@_command
def consumer_check(files: Files, output: Output, url: str, **how: Any) -> bool:
    """Judge a webhook's consumer: post what livepair can ever post, and what it must refuse.

    WEBHOOK_SECRET is the secret that the consumer knows. All messages are about nobody: their ids begin with
    msg_test_, and no key template yields their values. What a consumer keeps cannot be seen from here.
    """
    target = _target(files, output, url, how)
    checks = []
    with output.err.status("posting …") as status:
        secrets = target.settings.webhook_secrets.reveal()
        for judged in judge(target.poster, target.maker, secrets, target.own_bucket):
            status.update(f"posted: {judged.check} …")
            checks.append(judged)
    failed = sum(each.status == "fail" for each in checks)
    output.value({"checks": [each._asdict() for each in checks], "failed": failed})
    output.table(
        ("posted", "", "it", "why it matters"),
        [
            (each.check, Text(each.status, style=COLOURS[each.status]), each.found, each.why)
            for each in checks
        ],
    )
    if len(checks) == 1:
        output.say("Nothing else was tried.")
    output.say(f"{failed} of {len(checks)} checks failed." if failed else "No check failed.")
    return not failed


@click.command(short_help="Post one message about nobody.")
@click.argument("kind", metavar="TYPE")
@click.option("--to", "url", metavar="URL", required=True, help="Where to post it.")
@click.option("--code", help="The code of its reason; events/codes.md has all.")
@_command
def trigger(files: Files, output: Output, kind: str, url: str, code: str | None, **how: Any) -> bool:
    """Post one message about nobody, signed with WEBHOOK_SECRET.

    TYPE is matched, mismatched, rejected, incomplete, failed or webhook.test.
    """
    target = _target(files, output, url, how)
    outcome = next((each for each in OUTCOMES if kind in (each, f"verification.{each}")), None)
    if outcome is None and kind != _TEST:
        raise click.UsageError(f"TYPE is one of {', '.join((*OUTCOMES, _TEST))}")
    if outcome is None and code:
        raise click.UsageError(f"{_TEST} has no code")
    try:
        message = target.maker.told(outcome, code) if outcome else target.maker.test()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    sent = target.poster.post(message)
    output.value({"message": message, **sent._asdict()})
    output.say(
        f"{message['type']} {message['id']}: {target.poster.origin} {sent.found}, {sent.seconds:.1f} s"
    )
    if sent.status == 403 and not target.own_bucket:
        output.say(NAME_THE_BUCKET)
    return sent.ok


def _target(files: Files, output: Output, url: str, how: dict[str, Any]) -> Target:
    """Raises Problem and SettingsError, also for the deployment's own URL without --production."""
    environ = environment(files.env_file)
    declared = inputs_of(files.config, environ)[1]
    own = environ.get("WEBHOOK_URL") or declared.get("WEBHOOK_URL") or ""
    if own and is_same_place(own, url) and not how["production"]:
        raise Problem(
            "this is the deployment's own WEBHOOK_URL: its consumer would keep messages about nobody. "
            "Try a copy of it, or say --production"
        )
    buckets = (how["bucket"] or environ.get("BUCKET", "")).split()
    as_of_function = {
        "BUCKET": buckets[0] if buckets else BUCKET,
        "WEBHOOK_URL": url,
        "WEBHOOK_SECRET": environ.get("WEBHOOK_SECRET", ""),
        "LOCAL_CLOUD": "http://127.0.0.1:1",  # so that its secret will do, and http on this machine
    }
    # A consumer in a network of its own, as in a CI run, may be asked by http too.
    secure = re.sub(r"\Ahttp:", "https:", url, flags=re.IGNORECASE)
    settings = load_settings({**as_of_function, "WEBHOOK_URL": secure})
    try:
        load_settings(as_of_function)
    except SettingsError:
        output.warn("livepair itself posts to https only; here it goes over http.")
    poster = Poster(url, settings.webhook_secrets.reveal(), _clock, how["seconds"])
    return Target(poster, Maker(settings, _clock.now()), settings, bool(buckets))
