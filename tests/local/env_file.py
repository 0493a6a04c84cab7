"""`local.env`: the settings of the local cloud, written at each start for who runs this alone."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from tests.local.world import SECRET_BYTES

NAME = "local.env"
MARK = "# Written by `make local` at each start; good for its local cloud only.\n"


def secret(path: Path) -> str:
    """The webhook's secret of the last start, so that a consumer need not learn a new one; else empty."""
    text = _ours(path) or ""
    for line in text.splitlines():
        if line.startswith("WEBHOOK_SECRET=whsec_"):
            with contextlib.suppress(ValueError):
                found = line.partition("=")[2]
                if len(base64.b64decode(found.removeprefix("whsec_"), validate=True)) == SECRET_BYTES:
                    return found
    return ""


def write(path: Path, lines: Iterable[str]) -> bool:
    """Write the settings, for the owner's eyes only. False where the file is somebody's own: it stays."""
    if os.path.lexists(path) and _ours(path) is None:
        return False
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(MARK + "".join(f"{line}\n" for line in lines))
    made.replace(path)
    return True


def _ours(path: Path) -> str | None:
    """What stands in the file, where a start wrote it."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() and not path.is_symlink() else ""
    except (OSError, UnicodeDecodeError):
        return None
    return text if text.startswith(MARK) else None
