"""The zip for Tencent's support. It is written in pieces, however large the uploads are."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from handler.cli.deployment import Deployment, Problem
from handler.cli.private import private_bytes
from handler.cli.support.case import Case, Upload, told
from handler.cli.support.ticket import ticket
from handler.rules.pairing import Role

LIVE = "live.gz"

_SUFFIXES = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"))
"""How images begin, and what their files are called."""


def write_archive(deployment: Deployment, case: Case, path: Path) -> list[str]:
    """Write the zip. Returns the names of its files. Raises Problem and CosError, and leaves nothing then."""
    names: dict[Role, str] = {}
    with private_bytes(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for upload in case.uploads:
            if upload.stored is not None:
                names[upload.role] = _add_upload(deployment, case, archive, upload)
        texts = {
            "ticket.txt": ticket(case, names),
            "verification.json": json.dumps(told(case, names), indent=2, ensure_ascii=False) + "\n",
            "log-searches.txt": "\n".join(case.searches) + "\n",
        }
        for name, text in texts.items():
            archive.writestr(_entry(case, name), text.encode(), zipfile.ZIP_DEFLATED)
        return [entry.filename for entry in archive.infolist()]


def _entry(case: Case, name: str) -> zipfile.ZipInfo:
    """A file of the zip, dated when the verification was decided, for its owner only."""
    at = case.decided_at
    entry = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    entry.external_attr = 0o600 << 16
    return entry


def _add_upload(deployment: Deployment, case: Case, archive: zipfile.ZipFile, upload: Upload) -> str:
    """Add an upload as it lies there. Returns its file's name. Raises Problem where its MD5 is another."""
    assert upload.stored is not None  # noqa: S101 # asked by the caller
    pieces = iter(deployment.uploads.objects.pieces(upload.stored))
    first = next(pieces, b"")
    name = LIVE if upload.role == "live" else f"image.{_suffix(first)}"
    digest = hashlib.md5(usedforsecurity=False)
    with archive.open(_entry(case, name), "w", force_zip64=True) as entry:
        for piece in _again(first, pieces):
            digest.update(piece)
            entry.write(piece)
    known = (upload.judged or {}).get("md5")
    if known and digest.hexdigest() != known:
        raise Problem(f"the {upload.role} upload came with another MD5 than was judged; run this again")
    return name


def _again(first: bytes, rest: Iterable[bytes]) -> Iterable[bytes]:
    yield first
    yield from rest


def _suffix(begin: bytes) -> str:
    return next((suffix for magic, suffix in _SUFFIXES if begin.startswith(magic)), "bin")
