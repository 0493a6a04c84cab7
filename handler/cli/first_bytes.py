"""What the first bytes of an upload tell: the two errors that Tencent's guides name as the most common. Pure.

Base64 text in place of an image's bytes, and a live package that is not gzipped.
"""

from __future__ import annotations

import base64
import re
from typing import Literal, NamedTuple

from handler.rules.pairing import Role

LOOKED_AT = 16
"""How many bytes are looked at."""

Kind = Literal["gzip", "JPEG", "PNG", "Base64", "unknown"]

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
)
_TEXT = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")

RIGHT: dict[Role, tuple[Kind, ...]] = {"live": ("gzip",), "image": ("JPEG", "PNG")}

_NAMES: dict[Kind, str] = {"gzip": "gzipped", "JPEG": "a JPEG image", "PNG": "a PNG image"}

_DO: dict[Role, str] = {
    "live": "gzip the live package before it is uploaded (`verify --gzip` does it): iOS's SDK hands it over "
    "gzipped, of Android's no page says so",
    "image": "send a JPEG or a PNG",
}
_DECODE = "decode the Base64 first, and upload the bytes"
_EXCHANGED = "see whether live package and image were exchanged"


class Wrong(NamedTuple):
    """What is wrong with an upload, as words that follow its name, and what to do.

    `certain` is False where another format may do: no page of the API lists those of the image.
    """

    found: str
    do: str
    certain: bool = True


def kind_of(first: bytes) -> Kind:
    """What bytes that begin like this are. Of Base64 text also a data URL and one in JSON's quotes."""
    for magic, kind in _MAGIC:
        if first.startswith(magic):
            return kind
    text = first[:LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\"'")
    # A data URL says so; else all is of the alphabet, but for a line's end.
    if text.startswith(b"data:") or _TEXT.fullmatch(re.sub(rb"[\r\n\"']", b"", text)):
        return "Base64"
    return "unknown"


def what_is_wrong(role: Role, first: bytes) -> Wrong | None:
    """Whether an upload that begins with these bytes cannot be right in its role; `first` is not empty."""
    kind = kind_of(first)
    if kind in RIGHT[role]:
        return None
    if kind == "Base64":
        inner = _kind_inside(first)
        return Wrong(f"is Base64 text{f' of {inner}' if inner else ''}", _DECODE)
    if kind != "unknown":
        return Wrong(f"is {_NAMES[kind]}", _EXCHANGED)
    begins = first[:4].hex(" ")
    if role == "live":
        return Wrong(f"is not gzipped: it begins with {begins}", _DO[role])
    return Wrong(f"is neither JPEG nor PNG: it begins with {begins}", _DO[role], certain=False)


def _kind_inside(first: bytes) -> str | None:
    """What the Base64 text is of, where its first bytes tell."""
    text = first[:LOOKED_AT].lstrip(b" \t\r\n\"'\xef\xbb\xbf")[:8]
    try:
        kind = kind_of(base64.b64decode(text[: len(text) // 4 * 4]))
    except ValueError:
        return None
    return {"gzip": "a gzip file", "JPEG": "a JPEG image", "PNG": "a PNG image"}.get(kind)
