"""What a command works on: the function's settings, its region, and the operator's credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from handler.cli.bucket import OperatorBucket
from handler.clock import Clock, Deadline, SystemClock, together
from handler.edges.cos import CosBucket, Credentials
from handler.edges.wire import Wire
from handler.rules.settings import Settings, SettingsError, load_settings
from handler.rules.templates import Template
from handler.state.ledger import Ledger
from handler.state.objects import Memory

_clock = SystemClock()

SECONDS = 3600.0  # that one command may take
MOST_SECONDS = 900.0
"""The longest time limit that the platform lets a function have, in seconds."""

FUNCTION = "livepair"

CREDENTIALS = (
    ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_TOKEN"),  # the Serverless Cloud Framework's names
    ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SESSION_TOKEN"),  # the SDK's
    ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN"),  # the platform's
)
"""Names under which credentials are looked for; the first complete pair counts."""


class Problem(Exception):
    """Something that the operator has to change; the text is one line and says what to do."""


class Deployment:
    """What a command works with. `declared` are serverless.yml's `inputs`, empty without that file."""

    def __init__(self, environ: Mapping[str, str], declared: Mapping[str, Any]) -> None:
        self.settings: Settings = load_settings(environ)
        self.region = _region(environ, declared)
        self.settings.check_region(self.region)
        self.credentials = _credentials(environ)
        self.function = str(declared.get("name") or FUNCTION)
        self.time_limit = _time_limit(declared)
        """How long one invocation of the function may take, in seconds, as far as is known here."""
        self.clock: Clock = _clock
        self.wire = Wire(self.settings.local_cloud)
        self._session = self.wire.session()
        self._deadline = Deadline.after(self.clock, SECONDS)
        self.uploads = self._bucket(self.settings.bucket)
        self.state = self.uploads
        if self.settings.state_bucket != self.settings.bucket:
            self.state = self._bucket(self.settings.state_bucket)
        self.ledger = Ledger(self.state.objects, self.settings.state_prefix, self.clock, together, Memory())

    def _bucket(self, name: str) -> OperatorBucket:
        """A bucket of the deployment's region, with the operator's credentials."""
        return OperatorBucket(
            CosBucket(name, self.region, self.credentials, self.wire, self._session, self._deadline)
        )

    @property
    def templates(self) -> tuple[Template, ...]:
        """All templates of uploads' keys: those of live packages, then those of images."""
        return (*self.settings.templates.live, *self.settings.templates.image)

    def state_prefix(self, kind: str) -> str:
        """What the keys of one kind of state (`claims`, `records`, …) begin with."""
        return f"{self.settings.state_prefix}{kind}/"


def load(config: Path, env_file: Path) -> Deployment:
    """Read the deployment: the environment, then `env_file`, then what serverless.yml sets.

    So one `.env` serves the Serverless Cloud Framework and these commands. Raises Problem and SettingsError.
    """
    environ = _environment(env_file)
    if not config.is_file():
        return Deployment(environ, {})
    try:
        declared = _filled(yaml.safe_load(config.read_text(encoding="utf-8"))["inputs"], environ)
        variables = {name: str(value or "") for name, value in declared["environment"]["variables"].items()}
    except (yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Problem(
            f"{config} cannot be read ({type(error).__name__}); it needs inputs with environment.variables"
        ) from None
    return Deployment({**variables, **environ}, declared)


def _environment(env_file: Path) -> dict[str, str]:
    """The variables of `env_file`, and over them those of this process."""
    try:
        known = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    except (OSError, ValueError) as error:
        raise Problem(
            f"{env_file} cannot be read ({type(error).__name__}); it holds NAME=value lines"
        ) from None
    return {**known, **{name: value for name, value in os.environ.items() if value}}


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """A value of serverless.yml with each `${env:NAME}` replaced, empty where there is no such variable."""
    if isinstance(value, dict):
        return {name: _filled(each, environ) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environ) for each in value]
    if isinstance(value, str):
        return re.sub(r"\$\{env:(\w+)\}", lambda named: environ.get(named[1], ""), value)
    return value


def _region(environ: Mapping[str, str], declared: Mapping[str, Any]) -> str:
    region = (
        environ.get("TENCENTCLOUD_REGION") or environ.get("REGION") or str(declared.get("region") or "")
    ).strip()
    if not region:
        raise SettingsError(["REGION is not set; give the bucket's, like ap-singapore"])
    return region


def _time_limit(declared: Mapping[str, Any]) -> float:
    """What serverless.yml sets; without it the most that there can be."""
    seconds = declared.get("timeout")
    return float(seconds) if isinstance(seconds, int) and 0 < seconds < MOST_SECONDS else MOST_SECONDS


def _credentials(environ: Mapping[str, str]) -> Credentials:
    for secret_id, secret_key, token in CREDENTIALS:
        if environ.get(secret_id) and environ.get(secret_key):
            return Credentials(environ[secret_id], environ[secret_key], environ.get(token) or None)
    raise Problem(
        "no credentials: set TENCENT_SECRET_ID and TENCENT_SECRET_KEY, in the environment or in .env"
    )
