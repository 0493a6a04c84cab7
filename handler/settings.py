"""The function's settings: environment variables, checked once and all together."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from handler.log import LEVELS
from handler.pairing import Templates, parse_templates

T = TypeVar("T")

REGIONS = ("ap-bangkok", "ap-hongkong", "ap-singapore")
"""Where DetectReflectLivenessAndCompare is offered (product 1061, page 44246)."""

PASS_RESOURCES = ("presigned", "upload_url")
DELETE_UPLOADS = ("none", "live", "both")

_BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9]+\Z")
_STATE_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/\Z")
_REGION = "|".join(REGIONS)
_ENDPOINT = re.compile(
    rf"faceid(\.(?P<region>{_REGION}))?(\.intl)?(\.(?P<region_last>{_REGION}))?\.tencentcloudapi\.com\Z"
)


class SettingsError(Exception):
    """The settings cannot be used. `faults` names everything that is wrong, one text each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("the function's settings are wrong:\n" + "\n".join(f"- {fault}" for fault in faults))


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. Sizes in bytes, times in seconds; the README's table says what each does."""

    bucket: str
    webhook_url: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    templates: Templates
    min_similarity: float
    pair_timeout: int
    pass_resources: str
    state_prefix: str
    """What every state key begins with. With a STATE_BUCKET of its own it ends with `<BUCKET>/`."""
    state_bucket: str
    keep_best_frame: bool
    delete_uploads: str
    max_live_bytes: int
    max_image_bytes: int
    api_rate: float
    faceid_endpoint: str
    log_level: str
    local_cloud: str | None

    @property
    def webhook_origin(self) -> str:
        """Scheme and host of the webhook: all of its URL that may be logged (a path can be a secret)."""
        parts = urlsplit(self.webhook_url)
        return f"{parts.scheme}://{parts.hostname}"

    def check_region(self, region: str) -> None:
        """Raises SettingsError if the API cannot be called in `region` with these settings."""
        if region not in REGIONS:
            raise SettingsError(
                [
                    f"the bucket {self.bucket} lies in {region}, where DetectReflectLivenessAndCompare is "
                    f"not offered; use a bucket and a function in one of {', '.join(REGIONS)}"
                ]
            )
        found = _ENDPOINT.match(self.faceid_endpoint)
        named = found and (found["region"] or found["region_last"])
        if named and named != region:
            raise SettingsError(
                [
                    f"FACEID_ENDPOINT: {self.faceid_endpoint} is in {named}, the bucket in {region}; "
                    f"use {self.faceid_endpoint.replace('.' + named, '')}"
                ]
            )


def _is_loopback(host: str | None) -> bool:
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host or ""))


def _bucket(text: str) -> str:
    if not _BUCKET.match(text):
        raise ValueError(f"{text!r} is no bucket name with its appid, like faces-1250000000")
    return text


def _webhook_url(text: str) -> str:
    # The URL itself may be a secret: no message repeats it.
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL; give one like https://example.com/webhook") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("is no URL; give one like https://example.com/webhook")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(f"must be https (http is for loopback addresses only, {host} is none)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user or password; the signature proves who is calling")
    if parts.fragment or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("must hold no fragment (#…) and no white space")
    return text


def _webhook_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(text.split())
    for number, secret in enumerate(secrets, 1):
        which = f"secret {number} of {len(secrets)}"
        if not secret.startswith("whsec_"):
            raise ValueError(f"{which} must begin with whsec_, followed by base64")
        try:
            key = base64.b64decode(secret[len("whsec_") :], validate=True)
        except binascii.Error:
            raise ValueError(
                f"{which} is not base64 after whsec_; make one with: "
                "echo whsec_$(head -c 32 /dev/urandom | base64)"
            ) from None
        if not key:
            raise ValueError(f"{which} is empty after whsec_")
    if not secrets:
        raise ValueError("is empty; give whsec_ followed by base64")
    return secrets


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not lowest <= float(text) <= highest:
            raise ValueError(f"{text!r} is no number from {lowest:g} to {highest:g}")
        return float(text)

    return parse


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text) or not lowest <= int(text) <= highest:
            raise ValueError(f"{text!r} is no whole number from {lowest} to {highest}")
        return int(text)

    return parse


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def _state_prefix(text: str) -> str:
    dots_only = any(not part.strip(".") for part in text.split("/")[:-1])
    if not _STATE_PREFIX.match(text) or len(text) > 100 or dots_only:
        raise ValueError(
            f"{text!r} must end with / and hold only letters, digits, _, . and - between slashes "
            "(100 characters at most), like livepair/"
        )
    return text


def _endpoint(text: str) -> str:
    found = _ENDPOINT.match(text)
    if not found or (found["region"] and found["region_last"]):
        raise ValueError(
            f"{text!r} is refused, since signed links to faces go there; use faceid.tencentcloudapi.com, "
            "faceid.intl.tencentcloudapi.com, or the regional form of either"
        )
    return text


def _local_cloud(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        port = None
    is_local = port is not None and parts.scheme == "http" and _is_loopback(parts.hostname)
    if not is_local or parts.path not in ("", "/"):
        raise ValueError(
            f"{text!r} is refused: it must be a loopback http address, like http://127.0.0.1:8080"
        )
    return text.rstrip("/")


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`. Raises SettingsError naming every fault at once."""
    faults: list[str] = []

    def read(name: str, parse: Callable[[str], T], default: str | None) -> T | None:
        text = environ.get(name, "").strip() or default
        if text is None:
            faults.append(f"{name} is not set")
            return None
        try:
            return parse(text)
        except ValueError as error:
            faults.append(f"{name}: {error}")
            return None

    def text(name: str, default: str) -> str:
        return environ.get(name, "").strip() or default

    bucket = read("BUCKET", _bucket, None)
    webhook_url = read("WEBHOOK_URL", _webhook_url, None)
    webhook_secrets = read("WEBHOOK_SECRET", _webhook_secrets, None)
    state_prefix = read("STATE_PREFIX", _state_prefix, "livepair/")
    state_bucket = read("STATE_BUCKET", _bucket, bucket or "unknown-0")
    templates, template_faults = parse_templates(
        text("LIVE_KEY", "uploads/{id}/live.gz"),
        text("IMAGE_KEY", "uploads/{id}/image.jpg"),
        state_prefix or "livepair/",
    )
    faults.extend(template_faults)
    min_similarity = read("MIN_SIMILARITY", _number(0, 100), "70")
    pair_timeout = read("PAIR_TIMEOUT", _whole(1, 604_800), "3600")
    pass_resources = read("PASS_RESOURCES", _one_of(PASS_RESOURCES), "presigned")
    keep_best_frame = read("KEEP_BEST_FRAME", _one_of(("true", "false")), "true")
    delete_uploads = read("DELETE_UPLOADS", _one_of(DELETE_UPLOADS), "none")
    max_live_bytes = read("MAX_LIVE_BYTES", _whole(1, 5_000_000_000), "50000000")
    max_image_bytes = read("MAX_IMAGE_BYTES", _whole(1, 5_000_000_000), "10000000")
    api_rate = read("API_RATE", _number(0.01, 1000), "5")
    faceid_endpoint = read("FACEID_ENDPOINT", _endpoint, "faceid.tencentcloudapi.com")
    log_level = read("LOG_LEVEL", _one_of(tuple(LEVELS)), "INFO")
    local_cloud = read("LOCAL_CLOUD", _local_cloud, None) if text("LOCAL_CLOUD", "") else None
    if (
        faults
        or bucket is None
        or webhook_url is None
        or webhook_secrets is None
        or state_prefix is None
        or state_bucket is None
        or templates is None
        or min_similarity is None
        or pair_timeout is None
        or pass_resources is None
        or keep_best_frame is None
        or delete_uploads is None
        or max_live_bytes is None
        or max_image_bytes is None
        or api_rate is None
        or faceid_endpoint is None
        or log_level is None
    ):
        raise SettingsError(faults)
    return Settings(
        bucket=bucket,
        webhook_url=webhook_url,
        webhook_secrets=webhook_secrets,
        templates=templates,
        min_similarity=min_similarity,
        pair_timeout=pair_timeout,
        pass_resources=pass_resources,
        state_prefix=state_prefix if state_bucket == bucket else f"{state_prefix}{bucket}/",
        state_bucket=state_bucket,
        keep_best_frame=keep_best_frame == "true",
        delete_uploads=delete_uploads,
        max_live_bytes=max_live_bytes,
        max_image_bytes=max_image_bytes,
        api_rate=api_rate,
        faceid_endpoint=faceid_endpoint,
        log_level=log_level,
        local_cloud=local_cloud,
    )
