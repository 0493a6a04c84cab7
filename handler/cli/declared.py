"""What a deployment's files say: `.env` and serverless.yml, read as the deploy tool reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values


class Problem(Exception):
    """Something that the operator has to change; the text is one line and says what to do."""


def environment(env_file: Path) -> dict[str, str]:
    """The variables of `env_file`, and over them those of this process. Raises Problem."""
    try:
        known = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    except (OSError, ValueError) as error:
        raise Problem(
            f"{env_file} cannot be read ({type(error).__name__}); it holds NAME=value lines"
        ) from None
    return {**known, **{name: value for name, value in os.environ.items() if value}}


def inputs_of(config: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The `inputs` of serverless.yml with `environ` filled in, and the function's variables among them.

    Both are empty where there is no such file. Raises Problem.
    """
    if not config.is_file():
        return {}, {}
    try:
        declared = _filled(yaml.safe_load(config.read_text(encoding="utf-8"))["inputs"], environ)
        variables = {name: str(value or "") for name, value in declared["environment"]["variables"].items()}
    except (yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Problem(
            f"{config} cannot be read ({type(error).__name__}); it needs inputs with environment.variables"
        ) from None
    return declared, variables


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """A value of serverless.yml with each `${env:NAME}` replaced, empty where there is no such variable."""
    if isinstance(value, dict):
        return {name: _filled(each, environ) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environ) for each in value]
    if isinstance(value, str):
        return re.sub(r"\$\{env:(\w+)\}", lambda named: environ.get(named[1], ""), value)
    return value
