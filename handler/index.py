"""The entry file. The platform loads it as the module `index` and calls `main_handler` for every event.

What is kept between the invocations of an instance: the settings, the connections, and what was learned
about the state bucket. Credentials are the invocation's own.
"""

import gc

gc.disable()  # What is imported stays: looking for garbage in it takes a tenth of a cold start.

import os
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from handler.clock import Deadline, SystemClock, together
from handler.edges.cos import CosBucket, Credentials
from handler.edges.faceid import FaceidClient
from handler.edges.webhook import WebhookClient
from handler.edges.wire import Wire
from handler.flow.call import least_seconds
from handler.flow.visit import upload_came
from handler.log import Log, logger, silence_libraries
from handler.rules.events import EventError, Ignored, TimerEvent, UploadEvent, records, upload
from handler.rules.settings import Settings, SettingsError, load_settings
from handler.services import Services
from handler.state.ledger import Ledger
from handler.state.objects import Memory
from handler.state.seal import Seals

MARGIN_SECONDS = 2.0
"""How long before the platform's time limit the work has to be done."""

DEFAULT_SECONDS = 60.0
"""The time limit where the platform tells none."""

gc.freeze()  # Nor is it looked through later.
gc.enable()

silence_libraries()
_clock = SystemClock()


class _Instance:
    """What outlives an invocation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.wire = Wire(settings.local_cloud)
        self.cos_session = self.wire.session()
        self.webhook = WebhookClient(
            self.wire, settings.webhook_url.reveal(), settings.webhook_secrets.reveal()
        )
        self.memory = Memory()
        self.seals = Seals(settings.state_secrets.reveal())
        self.clients: dict[str, FaceidClient] = {}


_instance: _Instance | None = None


class _Invocation(NamedTuple):
    """What is one invocation's own. Its deadline counts from its entry, however many records there are."""

    request_id: str
    deadline: Deadline
    log: Log


def main_handler(event: object, context: Mapping[str, Any]) -> dict[str, Any]:
    """Handle one COS or Timer event.

    Returns a small summary. Raises where the platform should try again, or where the event, the settings or
    the permissions are wrong: never for what a verification comes to.
    """
    began = _clock.elapsed()
    request_id = str(context.get("request_id") or "unknown")
    log = logger("INFO", request_id=request_id)
    outcomes: list[str] = []
    before: dict[str, int] = {}
    level: Any = "INFO"
    error: Exception | None = None
    cold = _instance is None
    try:
        instance = _ready()
        before = dict(instance.wire.counts)
        log = logger(instance.settings.log_level, request_id=request_id)
        deadline = Deadline(_clock, began + _time_limit(instance.settings, context) - MARGIN_SECONDS)
        outcomes = _handle(instance, event, _Invocation(request_id, deadline, log))
        return {"outcomes": outcomes}
    except Exception as found:  # the boundary: it is logged and raised again
        level, error = "ERROR", found
        raise
    finally:
        counts = dict(_instance.wire.counts) if _instance else {}
        log(
            "invocation",
            level,
            cold=cold,
            duration_ms=(_clock.elapsed() - began) * 1000,
            outcomes=",".join(outcomes) or None,
            error=error and f"{type(error).__name__}: {_safe(error)}",
            **{f"{kind}_requests": counts[kind] - before.get(kind, 0) for kind in counts},
        )


def _safe(error: Exception) -> str:
    """An error's text where it is one of ours: others may quote a URL or a header."""
    ours = type(error).__module__.startswith("handler.")
    return str(error) if ours else "see the traceback"


def _ready() -> _Instance:
    """The instance's own things, made at its first invocation. Raises SettingsError."""
    global _instance
    if _instance is None:
        _instance = _Instance(load_settings(os.environ))
    return _instance


def _time_limit(settings: Settings, context: Mapping[str, Any]) -> float:
    """The function's time limit in seconds. Raises SettingsError where no call would ever begin in it."""
    limit = context.get("time_limit_in_ms")
    if not isinstance(limit, (int, float)) or limit <= 0:
        return DEFAULT_SECONDS
    seconds, least = float(limit) / 1000, least_seconds(settings) + MARGIN_SECONDS
    if seconds < least:
        raise SettingsError(
            [f"the function's time limit of {seconds:g} s leaves no time for a call; set {least:g} s or more"]
        )
    return seconds


def _handle(instance: _Instance, event: object, invocation: _Invocation) -> list[str]:
    found = records(event)
    if isinstance(found, TimerEvent):
        # No upload's cold start waits for these.
        from handler.flow.reconcile import reconcile
        from handler.flow.sweep import sweep

        services = _services(instance, _region(instance.settings, None), invocation)
        return reconcile(services) if found.message == "reconcile" else sweep(services)
    outcomes: list[str] = []
    failed: Exception | None = None
    log = invocation.log
    for record in found:
        try:
            parsed = upload(record)
            if isinstance(parsed, Ignored):
                log("ignored", reason=parsed.reason, key=parsed.key)
                continue
            _check_bucket(instance.settings, parsed)
            services = _services(instance, _region(instance.settings, parsed.region), invocation)
            outcomes += upload_came(services, parsed)
        except Exception as error:  # noqa: BLE001 # the other records have their turn first
            log("record_failed", "ERROR", error=f"{type(error).__name__}: {_safe(error)}")
            failed = failed or error
    if failed is not None:
        raise failed
    return outcomes


def _check_bucket(settings: Settings, found: UploadEvent) -> None:
    if found.bucket != settings.bucket:
        raise EventError(
            f"an upload to {found.bucket} came, but BUCKET is {settings.bucket}; "
            "deploy one function for each bucket"
        )


def _region(settings: Settings, told: str | None) -> str:
    """The bucket's region: the event's, else the function's own; they must agree. Raises SettingsError."""
    own = os.environ.get("TENCENTCLOUD_REGION", "").strip() or None
    if told and own and told != own:
        raise SettingsError(
            [f"the bucket lies in {told} and the function runs in {own}; deploy it in the bucket's region"]
        )
    region = told or own
    if region is None:
        raise SettingsError(["no region is known: neither the event nor TENCENTCLOUD_REGION names one"])
    settings.check_region(region)
    return region


def _credentials() -> Credentials:
    """This invocation's credentials: a role's expire, so they are never kept. Raises SettingsError."""
    secret_id, secret_key, token = (
        os.environ.get(f"TENCENTCLOUD_{name}", "").strip()
        for name in ("SECRETID", "SECRETKEY", "SESSIONTOKEN")
    )
    if not secret_id or not secret_key:
        raise SettingsError(
            ["the platform gave no credentials (TENCENTCLOUD_SECRETID, …); give the function a role"]
        )
    return Credentials(secret_id, secret_key, token or None)


def _services(instance: _Instance, region: str, invocation: _Invocation) -> Services:
    settings, wire, deadline = instance.settings, instance.wire, invocation.deadline
    credentials = _credentials()
    session = instance.cos_session
    uploads = CosBucket(settings.bucket, region, credentials, wire, session, deadline)
    state = uploads
    if settings.state_bucket != settings.bucket:
        state = CosBucket(settings.state_bucket, region, credentials, wire, session, deadline)
    client = instance.clients.get(region)
    if client is None:
        client = instance.clients[region] = FaceidClient(wire, region, settings.faceid_endpoint)
    client.use(credentials)
    return Services(
        settings=settings,
        uploads=uploads,
        ledger=Ledger(state, settings.state_prefix, instance.seals, _clock, together, instance.memory),
        api=client,
        consumer=instance.webhook,
        clock=_clock,
        deadline=deadline,
        together=together,
        draw=random.random,
        log=invocation.log,
        request_id=invocation.request_id,
    )
