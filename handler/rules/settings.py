"""The function's settings: environment variables, checked once and all together."""

import base64
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from handler.rules.pairing import Templates, parse_templates

T = TypeVar("T")

REGIONS = ("ap-bangkok", "ap-hongkong", "ap-singapore")
"""Where DetectReflectLivenessAndCompare is offered (product 1061, page 44246)."""

_NOT_OFFERED = "where DetectReflectLivenessAndCompare is not offered; use a bucket and a function in one of"

PASS_RESOURCES = ("presigned", "upload_url")
MOST_METADATA = 10
"""How many names PASS_METADATA may list."""

DELETE_UPLOADS = ("none", "live", "both")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?-[0-9]{1,20}\Z")
_STATE_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/\Z")

_SECRET_BYTES = (24, 64)
"""How long a secret of the webhook is, by Standard Webhooks."""

_MAKE_ONE = "make one with: echo whsec_$(head -c 32 /dev/urandom | base64)"
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


class Secret(Generic[T]):
    """A value that is printed as `…` wherever it is printed; `reveal` gives it to who works with it."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "…"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)


SHOWN = "may be shown"
Shown = Annotated[T, SHOWN]
"""The type of a field that `repr` shows. One of any other type it leaves out."""


class Settings(NamedTuple):
    """Every setting, checked. Sizes in bytes, times in seconds; the operator's table says what each does."""

    bucket: Shown[str]
    webhook_url: Secret[str]
    webhook_secrets: Secret[tuple[str, ...]]
    state_secrets: Secret[tuple[str, ...]]
    """What records are sealed with: the first one seals, any of them is accepted."""
    templates: Shown[Templates]
    min_similarity: Shown[float]
    pair_timeout: Shown[int]
    pass_resources: Shown[str]
    state_prefix: Shown[str]
    """What every state key begins with. With a STATE_BUCKET of its own it ends with `<BUCKET>/`."""
    state_bucket: Shown[str]
    keep_best_frame: Shown[bool]
    delete_uploads: Shown[str]
    max_live_bytes: Shown[int]
    max_image_bytes: Shown[int]
    max_verdicts: Shown[int]
    """How many verifications of one pair may be judged; 0: any number."""
    pass_metadata: Shown[tuple[str, ...]]
    """Names of `x-cos-meta-*` that the message tells, as they are written."""
    api_rate: Shown[float]
    faceid_endpoint: Shown[str]
    log_level: Shown[str]
    local_cloud: Shown[str | None]

    def __repr__(self) -> str:
        kinds = type(self).__annotations__.items()
        shown = (name for name, kind in kinds if SHOWN in getattr(kind, "__metadata__", ()))
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)}, …)"

    @property
    def webhook_origin(self) -> str:
        """Scheme and host of the webhook: all of its URL that may be logged (a path can be a secret)."""
        parts = urlsplit(self.webhook_url.reveal())
        return f"{parts.scheme}://{parts.hostname}"

    def check_region(self, region: str) -> None:
        """Raises SettingsError if the API cannot be called in `region` with these settings."""
        named = _ENDPOINTS[self.faceid_endpoint]
        if region not in REGIONS:
            raise SettingsError(
                [f"the bucket {self.bucket} lies in {region}, {_NOT_OFFERED} {', '.join(REGIONS)}"]
            )
        if named and named != region:
            instead = self.faceid_endpoint.replace(f".{named}", "")
            found = f"FACEID_ENDPOINT: {self.faceid_endpoint} is in {named}, the bucket in {region}"
            raise SettingsError([f"{found}; use {instead}"])


def _is_loopback(host: str | None) -> bool:
    if host in ("localhost", "::1"):
        return True
    numbers = re.fullmatch(r"127\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", host or "")
    return numbers is not None and all(int(number) < 256 for number in numbers.groups())


def _bucket(text: str) -> str:
    if not _BUCKET.match(text):
        raise ValueError(f"{text!r} is no bucket name with its appid, like faces-1250000000")
    return text


def _webhook_url(text: str) -> Secret[str]:
    # The URL itself may be a secret: no message repeats it.
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("is no URL; give one like https://example.com/webhook")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(f"must be https (http is for loopback addresses only, {host} is none)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user or password; the signature proves who is calling")
    if parts.fragment or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("must hold no fragment (#…) and no white space")
    return Secret(text)


def _webhook_secrets(text: str) -> Secret[tuple[str, ...]]:
    secrets = tuple(text.split())
    for number, secret in enumerate(secrets, 1):
        which = f"secret {number} of {len(secrets)}"
        if not secret.startswith("whsec_"):
            raise ValueError(f"{which} must begin with whsec_, followed by base64")
        try:
            key = base64.b64decode(secret[len("whsec_") :], validate=True)
        except ValueError:
            raise ValueError(f"{which} is not base64 after whsec_; {_MAKE_ONE}") from None
        least, most = _SECRET_BYTES
        if not least <= len(key) <= most:
            raise ValueError(f"{which} holds {len(key)} bytes, but {least} to {most} are wanted; {_MAKE_ONE}")
    return Secret(secrets)


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


def _optional(read: Callable[[str], T]) -> Callable[[str], T | None]:
    # None for an empty text, else what `read` makes of it.
    return lambda text: read(text) if text else None


SETTINGS: dict[str, tuple[str | None, Callable[[str], Any]]] = {
    "BUCKET": (None, _bucket),
    "WEBHOOK_URL": (None, _webhook_url),
    "WEBHOOK_SECRET": (None, _webhook_secrets),
    "LIVE_KEY": ("uploads/{id}/live.gz", str),
    "IMAGE_KEY": ("uploads/{id}/image.jpg", str),
    "MIN_SIMILARITY": ("70", partial(_number, 0, 100)),
    "PAIR_TIMEOUT": ("3600", partial(_whole, 1, 604_800)),
    "PASS_RESOURCES": ("presigned", partial(_one_of, PASS_RESOURCES)),
    "STATE_PREFIX": ("livepair/", _state_prefix),
    "STATE_BUCKET": ("", _optional(_bucket)),
    "STATE_SECRET": ("", _optional(_webhook_secrets)),
    "KEEP_BEST_FRAME": ("true", lambda text: _one_of(("true", "false"), text) == "true"),
    "DELETE_UPLOADS": ("none", partial(_one_of, DELETE_UPLOADS)),
    "MAX_LIVE_BYTES": ("50000000", partial(_whole, 1, 5_000_000_000)),
    "MAX_IMAGE_BYTES": ("10000000", partial(_whole, 1, 5_000_000_000)),
    "MAX_VERDICTS": ("10", partial(_whole, 0, 1000)),
    "PASS_METADATA": ("", lambda text: _metadata_names(text) if text else ()),
    "API_RATE": ("5", partial(_number, 0.01, 1000)),
    "FACEID_ENDPOINT": ("faceid.tencentcloudapi.com", _endpoint),
    "LOG_LEVEL": ("INFO", partial(_one_of, LOG_LEVELS)),
    "LOCAL_CLOUD": ("", _optional(_local_cloud)),
}
"""Every setting: its default (None where it is required) and what reads it, for the field of its name."""


def _for_local_cloud_only(found: Mapping[str, Any]) -> list[str]:
    """What is taken beside LOCAL_CLOUD only, and stands here without it."""
    if "LOCAL_CLOUD" not in found or found["LOCAL_CLOUD"]:
        return []  # not there: a fault of its own
    faults = []
    url, secrets = found.get("WEBHOOK_URL"), found.get("WEBHOOK_SECRET")
    if url and url.reveal().lower().startswith("http:"):
        faults.append("WEBHOOK_URL: must be https (http is for a local cloud, and LOCAL_CLOUD is not set)")
    if secrets and _PUBLISHED in secrets.reveal():
        faults.append("WEBHOOK_SECRET: holds the local cloud's published secret; make your own")
    return faults


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty one counts as not set.

    Raises SettingsError naming every fault at once.
    """
    found, faults = _parsed(environ)
    live, image = found.pop("LIVE_KEY"), found.pop("IMAGE_KEY")
    templates, more = parse_templates(live, image, found.get("STATE_PREFIX"))
    faults += [*more, *_for_local_cloud_only(found)]
    if faults or templates is None:
        raise SettingsError(faults)
    secrets, state_secrets = found.pop("WEBHOOK_SECRET"), found.pop("STATE_SECRET")
    bucket = found["BUCKET"]
    found["STATE_BUCKET"] = found["STATE_BUCKET"] or bucket
    if found["STATE_BUCKET"] != bucket:
        found["STATE_PREFIX"] += f"{bucket}/"
    return Settings(
        templates=templates,
        webhook_secrets=secrets,
        state_secrets=state_secrets or secrets,
        **{name.lower(): value for name, value in found.items()},
    )


def _parsed(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Every setting as it was read, and every fault found."""
    found, faults = dict[str, Any](), list[str]()
    for name, (default, parse) in SETTINGS.items():
        text = environ.get(name, "").strip() or default
        if text is None:
            faults.append(f"{name} is not set")
            continue
        try:
            found[name] = parse(text)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    return found, faults
