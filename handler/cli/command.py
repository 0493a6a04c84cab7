"""What all commands share: the options before them, `--json`, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import requests

from handler.cli.deployment import Deployment, Problem, load
from handler.cli.output import Output
from handler.edges.bucket import CosError
from handler.rules.pairing import plain
from handler.rules.settings import SettingsError
from handler.state.objects import CorruptState


class Options:
    """What the options before the command chose."""

    def __init__(self, config: Path, env_file: Path, debug: bool) -> None:
        self.config, self.env_file, self.debug = config, env_file, debug

    def deployment(self) -> Deployment:
        return load(self.config, self.env_file)


def command(work: Callable[..., bool | None]) -> Callable[..., None]:
    """A command that takes `--json`; exit status 1 where `work` returns False or fails, with one line."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.pass_context
    @wraps(work)
    def run(context: click.Context, /, as_json: bool, **arguments: Any) -> None:
        chosen: Options = context.obj
        output = Output(as_json)
        try:
            fine = work(chosen, output, **arguments)
        except SettingsError as error:
            fail(f"the settings are wrong: {'; '.join(error.faults)}")
        except (Problem, CosError, CorruptState) as error:
            fail(str(error))
        except (click.ClickException, click.Abort, KeyboardInterrupt, BrokenPipeError):
            raise  # click ends with these
        except requests.RequestException as error:
            fail(f"no connection or no answer ({type(error).__name__}); check the network and try again")
        except Exception as error:
            if chosen.debug:
                raise
            fail(
                f"unexpected: {type(error).__name__}; with --debug before the command its traceback is shown"
            )
        if fine is False:
            sys.exit(1)

    return run


def fail(text: str) -> None:
    """End with an error of one line."""
    click.echo(f"error: {plain(text)}", err=True)
    sys.exit(1)
