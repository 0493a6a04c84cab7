"""Files that only their owner may read, and that are whole or not there."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from handler.cli.deployment import Problem


@contextmanager
def private_bytes(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once all is written. Its mode is 0600.

    Ends that come early leave what was there. Raises Problem where it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        opened = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(opened, "wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def private_text(path: Path | None) -> Iterator[TextIO | None]:
    """The same for UTF-8 text, its line ends as they are written; None where there is no path."""
    if path is None:
        yield None
        return
    with private_bytes(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield text
