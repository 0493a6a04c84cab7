"""The rules are pure: whoever asks one loads no SDK and nothing installed. And no module is long."""

from __future__ import annotations

import subprocess
import sys

from tests.support.project import PROJECT

RULES = sorted(path.stem for path in (PROJECT / "handler" / "rules").glob("[a-z]*.py"))
ASK = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(f"handler.rules.{name}")
"""


def test_every_module_can_be_held() -> None:
    """None has more than 320 lines; the linter holds the functions to theirs."""
    lines = {path: len(path.read_text().splitlines()) for path in (PROJECT / "handler").rglob("*.py")}
    assert {str(path): count for path, count in lines.items() if count > 320} == {}, "take it apart"


def test_the_rules_need_nothing_but_the_standard_library() -> None:
    """A Python without any installed package imports all of them."""
    command = [sys.executable, "-I", "-S", "-B", "-c", ASK, str(PROJECT), *RULES]
    assert "claiming" in RULES
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stderr) == (0, "")
