"""Raw COS and Timer events, as they really arrive. Pure.

Sources: product 583, page 9707 (COS trigger), and events logged by real functions, which carry more.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from handler.rules.pairing import MAX_KEY_BYTES, plain

SHORT_REGIONS = {
    "gz": "ap-guangzhou",
    "sh": "ap-shanghai",
    "bj": "ap-beijing",
    "nj": "ap-nanjing",
    "cd": "ap-chengdu",
    "cq": "ap-chongqing",
    "tsn": "ap-tianjin",
    "hk": "ap-hongkong",
    "sg": "ap-singapore",
    "th": "ap-bangkok",
    "jkt": "ap-jakarta",
    "kr": "ap-seoul",
    "jp": "ap-tokyo",
    "in": "ap-mumbai",
    "usw": "na-siliconvalley",
    "use": "na-ashburn",
    "de": "eu-frankfurt",
    "sao": "sa-saopaulo",
}
"""COS events name the region by a short code. Two public maps agree on these; Tencent publishes none."""

SAMPLE_BUCKET = "testpic-1253970026"
"""The bucket of the console's test event, which is the documentation's sample."""

_BUCKET = re.compile(r"[a-z0-9-]{1,80}-[0-9]{1,20}", re.ASCII)
_LONG_REGION = re.compile(r"(?=.{1,40}\Z)[a-z]{2}(-[a-z0-9]+)+\Z")
_HOST_REGION = re.compile(r"\.cos(-internal)?\.(?P<region>[a-z0-9-]+)\.(myqcloud\.com|tencentcos\.cn)\Z")


class EventError(ValueError):
    """An event that livepair cannot handle; the message says what was expected and what came."""


class Part(NamedTuple):
    """Which of several sweeps that begin at the same moment this is, counting from 1."""

    number: int
    parts: int


WHOLE = Part(1, 1)

_PART = re.compile(r"sweep (\d{1,3})/(\d{1,3})", re.ASCII)


class TimerEvent(NamedTuple):
    """The timer fired. `message` is the trigger's argument."""

    message: str

    @property
    def part(self) -> Part:
        """Of `sweep 2/4` the second part of four; of any other message the whole. Raises EventError."""
        found = _PART.fullmatch(self.message)
        if found is None:
            return WHOLE
        part = Part(int(found[1]), int(found[2]))
        if not 1 <= part.number <= part.parts:
            raise EventError(
                f"the timer's argument is {self.message!r}, which is no part; of three sweeps it is "
                "'sweep 1/3', 'sweep 2/3' and 'sweep 3/3'"
            )
        return part


class UploadEvent(NamedTuple):
    """An object was created.

    `keys` holds the object key as the event spells it and, where the event's URL spells another one, that
    one second: which of them is percent-encoded is documented nowhere. `region` is the long name, None where
    the event tells none. `at` is the event's time and `etag` the object's, None where it tells none.
    """

    bucket: str
    keys: tuple[str, ...]
    region: str | None
    at: datetime | None
    etag: str | None = None


class Ignored(NamedTuple):
    """A record that asks for nothing."""

    reason: str
    key: str | None = None


def records(event: object) -> TimerEvent | list[object]:
    """What woke the function: a TimerEvent, or the raw records of a COS event. Raises EventError."""
    if not isinstance(event, Mapping):
        raise EventError(
            f"expected a COS event (a dict with Records) or a Timer event, got {type(event).__name__}"
        )
    if event.get("Type") == "Timer":
        return TimerEvent(str(event.get("Message") or "").strip())
    found = event.get("Records")
    if not isinstance(found, list) or not found:
        raise EventError(
            "expected a COS event (a dict with a list of Records) or a Timer event (Type: Timer), got a dict "
            f"with {_names(event)}; give the function COS and Timer triggers only"
        )
    return found


def _names(found: Mapping[object, object]) -> str:
    return ", ".join(sorted(plain(str(name)[:40]) for name in found)[:10]) or "no keys"


def upload(record: object) -> UploadEvent | Ignored:
    """One record of a COS event. Raises EventError where it is none."""
    name = re.sub(r"\s", "", str(_at(record, "event", "eventName")))
    bucket = _bucket(record)
    url = _find(record, "cos", "cosObject", "url")
    url = url if isinstance(url, str) else ""
    keys = _keys(record, url)
    if bucket == SAMPLE_BUCKET:
        return Ignored("the console's test event", keys[0])
    if name.startswith(("cos:ObjectRemove:", "cos:ObjectRestore:")):
        return Ignored(f"{name[:80]} is no upload", keys[0])
    if not name.startswith("cos:ObjectCreated:"):
        raise EventError(
            f"expected an eventName cos:ObjectCreated:…, got {name[:80]!r}; "
            "set the trigger's event to cos:ObjectCreated:*"
        )
    if keys[0].endswith("/"):
        return Ignored("a directory placeholder", keys[0])
    etag = _find(record, "cos", "cosObject", "meta", "ETag")
    return UploadEvent(
        bucket, keys, _region(record, url), _time(record), etag if isinstance(etag, str) and etag else None
    )


def _find(record: object, *path: str) -> Any:
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def _at(record: object, *path: str) -> Any:
    found = _find(record, *path)
    if found is None or found == "":
        kind = f"a dict with {_names(record)}" if isinstance(record, Mapping) else type(record).__name__
        raise EventError(f"expected a COS record with {'.'.join(path)}, got {kind}")
    return found


def _bucket(record: object) -> str:
    """The bucket's name as the API names it. Raises EventError where it is no name that a bucket can have."""
    name, appid = _at(record, "cos", "cosBucket", "name"), _at(record, "cos", "cosBucket", "appid")
    found = f"{name}-{appid}"
    if not _BUCKET.fullmatch(found):
        told = f"name {str(name)[:80]!r} and appid {str(appid)[:80]!r}"
        raise EventError(f"expected the name and the appid of a bucket, got {told}")
    return found


def _keys(record: object, url: str) -> tuple[str, ...]:
    """The object key: `/appid/name/` is stripped once, everything after it is kept as it is."""
    appid, name = _at(record, "cos", "cosBucket", "appid"), _at(record, "cos", "cosBucket", "name")
    raw, prefix = _at(record, "cos", "cosObject", "key"), f"/{appid}/{name}/"
    if not isinstance(raw, str) or not raw.startswith(prefix) or len(raw) == len(prefix):
        raise EventError(f"expected a cosObject.key that begins with {prefix!r}, got {str(raw)[:200]!r}")
    spelled = [raw[len(prefix) :]]
    with suppress(ValueError):  # a URL that tells nothing
        # `+` in a path is a plus, so never unquote_plus.
        spelled.append(unquote(urlsplit(url).path[1:], errors="strict"))
    faults = {key: _key_fault(key) for key in spelled if key}
    usable = tuple(key for key, fault in faults.items() if fault is None)
    if not usable:
        raise EventError(faults[spelled[0]] or "")
    return usable


def _key_fault(key: str) -> str | None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return f"the object key {key[:200]!r} is not valid Unicode text"
    if size > MAX_KEY_BYTES:
        return f"the object key is {size} bytes long; COS allows {MAX_KEY_BYTES}"
    return None


def _region(record: object, url: str) -> str | None:
    """The long region name: s3Region, cosRegion, the URL's host, `region`, its short code; else None."""
    short = _find(record, "cos", "cosBucket", "region")
    try:
        host = _HOST_REGION.search(urlsplit(url).hostname or "")
    except ValueError:
        host = None
    for found in (
        _find(record, "cos", "cosBucket", "s3Region"),
        _find(record, "cos", "cosBucket", "cosRegion"),
        host and host["region"],
        short,
    ):
        if isinstance(found, str) and _LONG_REGION.match(found):
            return found
    return SHORT_REGIONS.get(short) if isinstance(short, str) else None


def _time(record: object) -> datetime | None:
    found = _find(record, "event", "eventTime")
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < 1e11:
        return None
    return datetime.fromtimestamp(found, timezone.utc)
