"""Sample uploads whose content says how the local faceid API judges them.

A sample live package is a gzipped JSON object instead of a recording; a sample image is a real,
tiny JPEG or PNG whose comment says what is wrong with it. The same arguments give the same bytes;
another `seed` gives other bytes with the same fate.
"""

import base64
import gzip
import hashlib
import io
import json
import struct
import zlib
from typing import Any, Literal

MARK = "livepair-sample"

IMAGE_FATES: dict[str, str | None] = {
    "ok": None,
    "blur": "FailedOperation.ImageBlur",
    "too-large": "FailedOperation.ImageSizeTooLarge",
    "too-small": "FailedOperation.LifePhotoSizeError",
    "no-face": "FailedOperation.LifePhotoDetectNoFaces",
    "several-faces": "FailedOperation.LifePhotoDetectFaces",
    "poor": "InternalError.LifePhotoPoorQuality",
}
"""What an image of each kind brings when it is compared; None: nothing is wrong with it."""


class NotASampleError(ValueError):
    """The bytes are not what a sample of their role looks like."""


def live(
    result: str = "Success",
    sim: float | None = 96.3,
    error: str | None = None,
    seed: int = 0,
    pad: int = 0,
) -> bytes:
    """A live package.

    The API answers `result` in Response.Result and `sim` in Response.Sim (None: leaves it out), or,
    where `error` is given, that code in Response.Error. `pad` makes the package about so many bytes
    longer.
    """
    content: dict[str, Any] = {MARK: 1, "nonce": seed}
    if error is None:
        content |= {"result": result, "sim": sim}
    else:
        content["error"] = error
    if pad:
        noise = hashlib.shake_256(f"pad {seed}".encode()).digest(pad)
        content["pad"] = base64.b64encode(noise).decode()
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(json.dumps(content, sort_keys=True).encode())
    return packed.getvalue()


def device_data(level: int = 2) -> str:
    """What the SDK's startGetAuthConfigData hands the app: JSON text, of a device that nobody has."""
    select = {"change_point_num": level, "platform": 2, "client_version": "sdk_version:local-cloud"}
    return json.dumps({"platform": 2, "select_data": json.dumps(select)})


def sequence(device: dict[str, Any], drawn: str) -> bytes:
    """The colour sequence for a device: the base64 text that startAuthByLightData takes.

    `drawn` makes each one another, so that no two recordings are the same.
    """
    digest = hashlib.sha256((json.dumps(device, sort_keys=True) + drawn).encode()).hexdigest()
    return base64.b64encode(json.dumps({MARK: 1, "sequence": digest}).encode())


def recording(sequence: str, **content: Any) -> bytes:
    """The live package that the SDK makes of a colour sequence; `content` as in `live`.

    Raises NotASampleError where the app hands it something else.
    """
    try:
        found = json.loads(base64.b64decode(sequence, validate=True))
        seed = int(found["sequence"][:12], 16)
    except (ValueError, TypeError, KeyError):
        raise NotASampleError("no colour sequence") from None
    return live(**{"seed": seed, **content})


def image(kind: str = "ok", seed: int = 0, format: Literal["jpeg", "png"] = "jpeg") -> bytes:
    """An image of one of the kinds in IMAGE_FATES, or bytes that are no image ("garbage")."""
    if kind == "garbage":
        return f"no image, number {seed}".encode()
    if kind not in IMAGE_FATES:
        raise ValueError(f"expected garbage or one of {sorted(IMAGE_FATES)}, not {kind!r}")
    comment = json.dumps({MARK: 1, "kind": kind, "nonce": seed}, sort_keys=True).encode()
    return _png(comment) if format == "png" else _jpeg(comment)


def read_live(data: bytes) -> dict[str, Any]:
    """What a live package says. Raises NotASampleError."""
    try:
        content = json.loads(gzip.decompress(data))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise NotASampleError(f"no sample live package: {error}") from error
    if not isinstance(content, dict) or content.get(MARK) != 1:
        raise NotASampleError("the package is gzipped, but is no sample")
    return content


def read_image(data: bytes) -> str:
    """The kind of an image; "ok" for a real image without our comment. Raises NotASampleError."""
    if data.startswith(b"\xff\xd8\xff") and data.rstrip(b"\0").endswith(b"\xff\xd9"):
        comments = _jpeg_comments(data)
    elif data.startswith(PNG_SIGNATURE) and data.endswith(_png_chunk(b"IEND", b"")):
        comments = _png_comments(data)
    else:
        raise NotASampleError("neither a whole JPEG nor a whole PNG")
    for comment in comments:
        try:
            content = json.loads(comment)
        except ValueError:
            continue
        if isinstance(content, dict) and content.get(MARK) == 1:
            return str(content["kind"])
    return "ok"


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _jpeg(comment: bytes) -> bytes:
    """A baseline JPEG of 8 × 8 grey pixels (ITU T.81): one block, all coefficients zero."""
    one_code = bytes([1, *[0] * 15, 0])
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xFE, comment),
            _segment(0xDB, bytes([0, *[1] * 64])),
            _segment(0xC0, struct.pack(">BHHBBBB", 8, 8, 8, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\x00" + one_code),
            _segment(0xC4, b"\x10" + one_code),
            _segment(0xDA, bytes([1, 1, 0, 0, 63, 0])),
            b"\x3f",
            b"\xff\xd9",
        ]
    )


def _jpeg_comments(data: bytes) -> list[bytes]:
    comments = []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == 0xFE:
            comments.append(data[at + 4 : at + 2 + length])
        at += 2 + length
    return comments


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _png_chunk(kind: bytes, payload: bytes) -> bytes:
    crc = zlib.crc32(kind + payload)
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)


def _png(comment: bytes) -> bytes:
    """A PNG of one grey pixel."""
    return b"".join(
        [
            PNG_SIGNATURE,
            _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
            _png_chunk(b"tEXt", b"Comment\0" + comment),
            _png_chunk(b"IDAT", zlib.compress(b"\x00\x80")),
            _png_chunk(b"IEND", b""),
        ]
    )


def _png_comments(data: bytes) -> list[bytes]:
    comments = []
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        payload = data[at + 8 : at + 8 + length]
        if data[at + 4 : at + 8] == b"tEXt":
            comments.append(payload.partition(b"\0")[2])
        at += 12 + length
    return comments
