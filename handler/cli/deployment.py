"""What a command works on: the function's settings, its region, and the operator's credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from handler.cli.bucket import OperatorBucket
from handler.cli.declared import Problem as Problem
from handler.cli.declared import environment, inputs_of
from handler.clock import Clock, Deadline, SystemClock, together
from handler.edges.cos import CosBucket, Credentials
from handler.edges.wire import Wire
from handler.rules.settings import Settings, SettingsError, load_settings
from handler.rules.templates import Template
from handler.state.ledger import Ledger
from handler.state.objects import Memory
from handler.state.seal import Seals

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


BACKEND = ("BACKEND_SECRET_ID", "BACKEND_SECRET_KEY", "BACKEND_TOKEN")
"""Names of the keys of the application's backend; `doctor` tries what they may do, where they are given."""

ARCHIVE = "livepair.zip"
"""What `make bundle` builds for the platform, beside serverless.yml."""


class Deployment:
    """What a command works with. `declared` are serverless.yml's `inputs`, empty without that file.

    Raises SettingsError that names everything that is wrong: settings, region and credentials.
    """

    def __init__(self, environ: Mapping[str, str], declared: Mapping[str, Any], folder: Path) -> None:
        self.settings, self.region, self.credentials = _checked(environ, declared)
        self.declared = declared
        self.function = str(declared.get("name") or FUNCTION)
        self.time_limit = _time_limit(declared)
        """How long one invocation of the function may take, in seconds, as far as is known here."""
        self.archive = folder / ARCHIVE
        """The bundle that `make bundle` built last, if there is any."""
        self.clock: Clock = _clock
        self.wire = Wire(self.settings.local_cloud)
        self._session = self.wire.session()
        self._deadline = Deadline.after(self.clock, SECONDS)
        self.uploads = self._bucket(self.settings.bucket)
        self.state = self.uploads
        if self.settings.state_bucket != self.settings.bucket:
            self.state = self._bucket(self.settings.state_bucket)
        self._environ = environ
        seals = Seals(self.settings.state_secrets.reveal())
        prefix = self.settings.state_prefix
        self.ledger = Ledger(self.state.objects, prefix, seals, self.clock, together, Memory())

    def _bucket(self, name: str, credentials: Credentials | None = None) -> OperatorBucket:
        """A bucket of the deployment's region, with the operator's credentials or others."""
        who = credentials or self.credentials
        return OperatorBucket(CosBucket(name, self.region, who, self.wire, self._session, self._deadline))

    def as_backend(self) -> tuple[OperatorBucket, OperatorBucket] | None:
        """The buckets of uploads and of state with the backend's keys, None where none are given."""
        credentials = _found(self._environ, (BACKEND,))
        if credentials is None:
            return None
        names = (self.settings.bucket, self.settings.state_bucket)
        uploads, state = (self._bucket(name, credentials) for name in names)
        return uploads, state

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
    environ = environment(env_file)
    declared, variables = inputs_of(config, environ)
    return Deployment({**variables, **environ}, declared, config.parent)


def _checked(environ: Mapping[str, str], declared: Mapping[str, Any]) -> tuple[Settings, str, Credentials]:
    """Settings, region and credentials. Raises SettingsError that names all that is wrong with any."""
    faults: list[str] = []
    settings: Settings | None = None
    region, credentials = _region(environ, declared), _found(environ, CREDENTIALS)
    try:
        settings = load_settings(environ)
        if region:
            settings.check_region(region)
    except SettingsError as error:
        faults += error.faults
    if not region:
        faults.append("REGION is not set; give the bucket's, like ap-singapore")
    if credentials is None:
        faults.append(
            "no credentials: set TENCENT_SECRET_ID and TENCENT_SECRET_KEY, in the environment or in .env"
        )
    if faults or settings is None or credentials is None:
        raise SettingsError(faults)
    return settings, region, credentials


def _region(environ: Mapping[str, str], declared: Mapping[str, Any]) -> str:
    """The deployment's region, empty where nothing tells it."""
    found = environ.get("TENCENTCLOUD_REGION") or environ.get("REGION") or str(declared.get("region") or "")
    return found.strip()


def _time_limit(declared: Mapping[str, Any]) -> float:
    """What serverless.yml sets; without it the most that there can be."""
    seconds = declared.get("timeout")
    return float(seconds) if isinstance(seconds, int) and 0 < seconds < MOST_SECONDS else MOST_SECONDS


def _found(environ: Mapping[str, str], names: Iterable[tuple[str, str, str]]) -> Credentials | None:
    """The first complete pair of keys under any of these names."""
    for secret_id, secret_key, token in names:
        if environ.get(secret_id) and environ.get(secret_key):
            return Credentials(environ[secret_id], environ[secret_key], environ.get(token) or None)
    return None
