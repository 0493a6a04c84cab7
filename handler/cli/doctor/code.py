"""Whether the deployed code is the bundle that lies here.

GetFunctionAddress tells the code's SHA-256 and a link to it (the SDKs' models of product 583). A deploy tool
makes a zip of its own of `dist/`, whose sum differs, so then the files themselves are compared.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator

import requests

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.doctor.tencent import Answer, Service
from handler.cli.doctor.trouble import about_api
from handler.edges.wire import FRAME, read_all

NAME = "deployed code"
SECONDS = 60.0  # for its download
MOST_ZIPPED, MOST_UNZIPPED = 50_000_000, 500_000_000
"""Bytes that the platform takes (quotas, page 11637); more is not read."""

SHOWN = 3  # files that are named
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OverflowError, RuntimeError)
"""What zipfile raises for bytes that are no zip, a broken or encrypted one, or one packed otherwise."""

AGAIN = "deploy again; or `make bundle` from the version that is deployed"


def code(deployment: Deployment, platform: Service) -> Iterator[Check]:
    archive = deployment.archive
    if not archive.is_file():
        yield Check(NAME, "info", f"there is no {archive.name} here to compare it with", "`make bundle`")
        return
    answer = platform.ask("GetFunctionAddress", FunctionName=deployment.function)
    if answer.error:
        do = about_api(answer.error, "scf:GetFunctionAddress")
        yield Check(NAME, "info", f"not told: {answer.error}", do)
        return
    try:
        data = archive.read_bytes()
        here = files_of(data)
    except (OSError, ValueError) as error:
        yield Check(NAME, "warn", f"{archive.name} here cannot be read: {error}", "`make bundle` again")
        return
    if is_sum_of(str(answer.fields.get("CodeSha256") or ""), data):
        yield Check(NAME, "ok", f"is {archive.name}")
    else:
        yield _compared(deployment, answer, archive.name, here)


def is_sum_of(told: str, data: bytes) -> bool:
    """Whether a text is the SHA-256 of bytes; no page says whether it is told as hex or as Base64."""
    digest = hashlib.sha256(data)
    return told.lower() == digest.hexdigest() or told == base64.b64encode(digest.digest()).decode()


def _compared(deployment: Deployment, answer: Answer, archive: str, here: dict[str, str]) -> Check:
    try:
        deployed = files_of(_downloaded(deployment, str(answer.fields.get("Url") or "")))
    except (requests.RequestException, OSError, ValueError):
        found = f"its SHA-256 is not that of {archive}, and it could not be downloaded"
        return Check(NAME, "warn", found, AGAIN)
    changed = (name for name in here | deployed if here.get(name) != deployed.get(name))
    differ = sorted(changed, key=lambda name: (name.endswith(".pyc"), name))  # sources say more
    if not differ:
        return Check(NAME, "ok", f"has the files of {archive}, zipped by somebody else")
    more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    found = f"differs from {archive} in {', '.join(differ[:SHOWN])}{more}"
    return Check(NAME, "warn", found, AGAIN)


def _downloaded(deployment: Deployment, url: str) -> bytes:
    if not url.startswith("https://"):
        raise ValueError("no link")
    wire = deployment.wire
    if wire.proxy:
        url = url.replace("https://", "http://", 1)
    with wire.session() as session, wire.limit(FRAME, SECONDS):
        found = session.get(url, stream=True, allow_redirects=False)
        if found.status_code != 200:
            raise ValueError(f"its host answered {found.status_code}")
        return read_all(found.raw, MOST_ZIPPED)


def files_of(zipped: bytes) -> dict[str, str]:
    """The SHA-256 of each file in a zip. Raises ValueError where it is none, or unfolds to too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as found:
            entries = [entry for entry in found.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > MOST_UNZIPPED:
                raise ValueError("it unfolds to more than the platform takes")
            return {entry.filename: hashlib.sha256(found.read(entry)).hexdigest() for entry in entries}
    except BROKEN:
        raise ValueError("it is no whole zip") from None
