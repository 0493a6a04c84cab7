"""One flat JSON line at a time on stdout, as CLS (Tencent's log service) parses it.

CLS reads one-line JSON, first level only, up to 8 KB a line. Nothing secret may get here: callers log
named facts, never an event, a context, an exception of an SDK or a URL with its query.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any, Literal

from handler import __version__
from handler.rules.settings import LOG_LEVELS

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

MAX_TEXT = 1000  # characters of one value; a line stays well under 8 KB
MAX_LINE = 7000

Log = Callable[..., None]


def silence_libraries() -> None:
    """Switch off the loggers that print keys, tokens, signatures or signed links.

    The COS SDK logs every URL with headers at INFO and whole refusals at ERROR, the API SDK whole requests at
    DEBUG, urllib3 paths with their query. Every failure they report reaches us as an exception anyway.
    """
    for name in ("qcloud_cos", "tencentcloud_sdk_common", "urllib3", "requests", "charset_normalizer"):
        library = logging.getLogger(name)
        library.setLevel(logging.CRITICAL + 1)
        library.propagate = False
        library.addHandler(logging.NullHandler())


def _short(value: Any) -> Any:
    """A text or a number as it is, but bounded; anything else as the text that it shows of itself."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, int):
        return value
    text = str(value)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _line(fields: dict[str, Any]) -> str:
    """`fields` as one line of ASCII JSON, its longest texts halved until it fits."""
    text = json.dumps(fields, default=str)
    while len(text) > MAX_LINE:
        longest = max(fields, key=lambda name: len(str(fields[name])))
        fields[longest] = str(fields[longest])[: len(str(fields[longest])) // 2] + "…"
        text = json.dumps(fields, default=str)
    return text


def logger(threshold: str, **always: Any) -> Log:
    """A function `log(event, level="INFO", **fields)` that prints one line; `always` stands in each.

    Fields that are None are left out.
    """
    lowest = LOG_LEVELS.index(threshold)

    def log(event: str, level: Level = "INFO", **fields: Any) -> None:
        if LOG_LEVELS.index(level) < lowest:
            return
        line: dict[str, Any] = {"level": level, "event": event, "livepair": __version__}
        for name, value in {**always, **fields}.items():
            if value is not None:
                line[name] = _short(value)
        sys.stdout.write(_line(line) + "\n")
        sys.stdout.flush()

    return log
