"""`livepair`, as pyproject.toml installs it: what whoever receives the webhook needs, and nothing else.

`python -m handler` has these commands too, beside the operator's.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from handler import __version__
from handler.cli.consumer.commands import consumer_check, trigger


class Files(NamedTuple):
    """Where a deployment may be described."""

    config: Path
    env_file: Path


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", type=click.Path(path_type=Path), default="serverless.yml", show_default=True)
@click.option("--env-file", type=click.Path(path_type=Path), default=".env", show_default=True)
@click.version_option(__version__, prog_name="livepair")
@click.pass_context
def main(context: click.Context, config: Path, env_file: Path) -> None:
    """Try the webhook's consumer that you build for livepair. WEBHOOK_SECRET is the secret that it knows."""
    context.obj = Files(config, env_file)


main.add_command(consumer_check)
main.add_command(trigger)
