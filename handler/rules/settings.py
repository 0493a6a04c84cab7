"""The function's settings: environment variables, checked once and all together."""

import base64
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from handler.rules.pairing import Templates, parse_templates

REGIONS = ("ap-bangkok", "ap-hongkong", "ap-singapore")
"""Where DetectReflectLivenessAndCompare is offered (product 1061, page 44246)."""

PASS_RESOURCES = ("presigned", "upload_url")
MOST_METADATA = 10
"""How many names PASS_METADATA may list."""

DELETE_UPLOADS = ("none", "live", "both")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?-[0-9]{1,20}\Z")
_STATE_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/\Z")

_SECRET_BYTES = (24, 64)
"""How long a secret of the webhook is, by Standard Webhooks."""

_PUBLISHED = "whsec_ZmFrZS1zZWNyZXQtb2YtdGhlLWxvY2FsLWNsb3VkISE="
"""The secret that the local cloud's source tells everybody."""

_ENDPOINTS: dict[str, str | None] = {
    "faceid.tencentcloudapi.com": None,
    "faceid.intl.tencentcloudapi.com": None,
    **{f"faceid.{region}.tencentcloudapi.com": region for region in REGIONS},
    **{f"faceid.{region}.intl.tencentcloudapi.com": region for region in REGIONS},
    **{f"faceid.intl.{region}.tencentcloudapi.com": region for region in REGIONS},
}
"""The API's hosts, each with the region that it names."""


class SettingsError(Exception):
    """The settings cannot be used. `faults` names everything that is wrong, one text each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("the function's settings are wrong:\n" + "\n".join(f"- {fault}" for fault in faults))


class Settings(NamedTuple):
    """Every setting, checked. Sizes in bytes, times in seconds; the README's table says what each does."""

    bucket: str
    webhook_url: str
    webhook_secrets: tuple[str, ...]
    state_secrets: tuple[str, ...]
    """What records are sealed with: the first one seals, any of them is accepted."""
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
    max_verdicts: int
    """How many verifications of one pair may be judged; 0: any number."""
    pass_metadata: tuple[str, ...]
    """Names of `x-cos-meta-*` that the message tells, as they are written."""
    api_rate: float
    faceid_endpoint: str
    log_level: str
    local_cloud: str | None

    def __repr__(self) -> str:
        hidden = ("webhook_url", "webhook_secrets", "state_secrets")
        shown = {name: value for name, value in self._asdict().items() if name not in hidden}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())}, …)"

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
        named = _ENDPOINTS[self.faceid_endpoint]
        if named and named != region:
            raise SettingsError(
                [
                    f"FACEID_ENDPOINT: {self.faceid_endpoint} is in {named}, the bucket in {region}; "
                    f"use {self.faceid_endpoint.replace('.' + named, '')}"
                ]
            )


def _is_loopback(host: str | None) -> bool:
    if host in ("localhost", "::1"):
        return True
    numbers = re.fullmatch(r"127\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", host or "")
    return numbers is not None and all(int(number) < 256 for number in numbers.groups())


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
        except ValueError:
            raise ValueError(
                f"{which} is not base64 after whsec_; make one with: "
                "echo whsec_$(head -c 32 /dev/urandom | base64)"
            ) from None
        if not _SECRET_BYTES[0] <= len(key) <= _SECRET_BYTES[1]:
            raise ValueError(
                f"{which} holds {len(key)} bytes, but {_SECRET_BYTES[0]} to {_SECRET_BYTES[1]} are wanted; "
                "make one with: echo whsec_$(head -c 32 /dev/urandom | base64)"
            )
    return secrets


def _number(lowest: float, highest: float, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not lowest <= float(text) <= highest:
        raise ValueError(f"{text!r} is no number from {lowest:g} to {highest:g}")
    return float(text)


def _whole(lowest: int, highest: int, text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text) or not lowest <= int(text) <= highest:
        raise ValueError(f"{text!r} is no whole number from {lowest} to {highest}")
    return int(text)


def _one_of(choices: tuple[str, ...], text: str) -> str:
    if text not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text


def _state_prefix(text: str) -> str:
    dots_only = any(not part.strip(".") for part in text.split("/")[:-1])
    if not _STATE_PREFIX.match(text) or len(text) > 100 or dots_only:
        raise ValueError(
            f"{text!r} must end with / and hold only letters, digits, _, . and - between slashes "
            "(100 characters at most), like livepair/"
        )
    return text


def _endpoint(text: str) -> str:
    if text not in _ENDPOINTS:
        raise ValueError(
            f"{text!r} is refused, since signed links to faces go there; use faceid.tencentcloudapi.com, "
            "faceid.intl.tencentcloudapi.com, or the regional form of either"
        )
    return text


def _metadata_names(text: str) -> tuple[str, ...]:
    """Names after `x-cos-meta-`; COS takes letters, digits and hyphens (product 436, page 7749)."""
    names = tuple(each.strip() for each in text.split(","))
    for name in names:
        plain = name.isascii() and name.replace("-", "").isalnum()
        if not plain or len(name) > 64 or name.lower().startswith("x-cos-meta"):
            raise ValueError(
                f"{name!r} is no name of metadata: letters, digits and hyphens, 64 at most, without "
                "x-cos-meta-, like attempt"
            )
    if len({name.lower() for name in names}) < len(names):
        raise ValueError("names one twice; upper and lower case make no difference")
    if len(names) > MOST_METADATA:
        raise ValueError(f"names {len(names)}, but {MOST_METADATA} at most are passed on")
    return names


def _local_cloud(text: str) -> str:
    found = re.fullmatch(r"http://(?P<host>\[[^\]/]+\]|[^\[\]/:@]+):(?P<port>[0-9]{1,5})/?", text)
    if found is None or not _is_loopback(found["host"].strip("[]")) or int(found["port"]) > 65_535:
        raise ValueError("is refused: it must be a loopback http address with a port: http://127.0.0.1:8080")
    return text.rstrip("/")


_SETTINGS: dict[str, tuple[str | None, Callable[[str], Any]]] = {
    "BUCKET": (None, _bucket),
    "WEBHOOK_URL": (None, _webhook_url),
    "WEBHOOK_SECRET": (None, _webhook_secrets),
    "MIN_SIMILARITY": ("70", partial(_number, 0, 100)),
    "PAIR_TIMEOUT": ("3600", partial(_whole, 1, 604_800)),
    "PASS_RESOURCES": ("presigned", partial(_one_of, PASS_RESOURCES)),
    "STATE_PREFIX": ("livepair/", _state_prefix),
    "STATE_BUCKET": ("", lambda text: _bucket(text) if text else None),
    "STATE_SECRET": ("", lambda text: _webhook_secrets(text) if text else ()),
    "KEEP_BEST_FRAME": ("true", partial(_one_of, ("true", "false"))),
    "DELETE_UPLOADS": ("none", partial(_one_of, DELETE_UPLOADS)),
    "MAX_LIVE_BYTES": ("50000000", partial(_whole, 1, 5_000_000_000)),
    "MAX_IMAGE_BYTES": ("10000000", partial(_whole, 1, 5_000_000_000)),
    "MAX_VERDICTS": ("10", partial(_whole, 0, 1000)),
    "PASS_METADATA": ("", lambda text: _metadata_names(text) if text else ()),
    "API_RATE": ("5", partial(_number, 0.01, 1000)),
    "FACEID_ENDPOINT": ("faceid.tencentcloudapi.com", _endpoint),
    "LOG_LEVEL": ("INFO", partial(_one_of, LOG_LEVELS)),
    "LOCAL_CLOUD": ("", lambda text: _local_cloud(text) if text else None),
}
"""Every setting but the templates: its default (None where it is required) and what reads it."""


def _for_local_cloud_only(found: Mapping[str, Any]) -> list[str]:
    """What is taken beside LOCAL_CLOUD only, and stands here without it."""
    if "LOCAL_CLOUD" not in found or found["LOCAL_CLOUD"]:
        return []  # not there: a fault of its own
    faults = []
    if str(found.get("WEBHOOK_URL")).lower().startswith("http:"):
        faults.append("WEBHOOK_URL: must be https (http is for a local cloud, and LOCAL_CLOUD is not set)")
    if _PUBLISHED in found.get("WEBHOOK_SECRET", ()):
        faults.append("WEBHOOK_SECRET: holds the local cloud's published secret; make your own")
    return faults


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty one counts as not set.

    Raises SettingsError naming every fault at once.
    """
    found, faults = _parsed(environ)
    templates, more = parse_templates(
        environ.get("LIVE_KEY", "").strip() or "uploads/{id}/live.gz",
        environ.get("IMAGE_KEY", "").strip() or "uploads/{id}/image.jpg",
        found.get("STATE_PREFIX"),
    )
    faults += [*more, *_for_local_cloud_only(found)]
    if faults or templates is None:
        raise SettingsError(faults)
    bucket, prefix = found["BUCKET"], found["STATE_PREFIX"]
    state_bucket = found["STATE_BUCKET"] or bucket
    return Settings(
        bucket=bucket,
        webhook_url=found["WEBHOOK_URL"],
        webhook_secrets=found["WEBHOOK_SECRET"],
        state_secrets=found["STATE_SECRET"] or found["WEBHOOK_SECRET"],
        templates=templates,
        min_similarity=found["MIN_SIMILARITY"],
        pair_timeout=found["PAIR_TIMEOUT"],
        pass_resources=found["PASS_RESOURCES"],
        state_prefix=prefix if state_bucket == bucket else f"{prefix}{bucket}/",
        state_bucket=state_bucket,
        keep_best_frame=found["KEEP_BEST_FRAME"] == "true",
        delete_uploads=found["DELETE_UPLOADS"],
        max_live_bytes=found["MAX_LIVE_BYTES"],
        max_image_bytes=found["MAX_IMAGE_BYTES"],
        max_verdicts=found["MAX_VERDICTS"],
        pass_metadata=found["PASS_METADATA"],
        api_rate=found["API_RATE"],
        faceid_endpoint=found["FACEID_ENDPOINT"],
        log_level=found["LOG_LEVEL"],
        local_cloud=found["LOCAL_CLOUD"],
    )


def _parsed(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Every setting but the templates as it was read, and every fault found."""
    found: dict[str, Any] = {}
    faults: list[str] = []
    for name, (default, parse) in _SETTINGS.items():
        text = environ.get(name, "").strip() or default
        if text is None:
            faults.append(f"{name} is not set")
            continue
        try:
            found[name] = parse(text)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    return found, faults
