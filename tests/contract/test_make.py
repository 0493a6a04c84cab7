"""What `make` does for whoever changes the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.project import PROJECT


def test_format_mends_all_that_it_can_and_then_says_what_is_left(tmp_path: Path) -> None:
    """What only a person can mend stops nothing: an import nobody needs goes, and a long line is laid out."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    code = tmp_path / "code.py"
    name = "x" * 90
    code.write_text(f'import os\n\nvalue = {{"{name}": 1,\n    "b":   2}}\nother = nowhere\n')
    make = ["make", "-f", str(PROJECT / "Makefile"), f"RUN={sys.executable}", "READY=", "format"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert code.read_text() == f'value = {{\n    "{name}": 1,\n    "b": 2,\n}}\nother = nowhere\n'
    assert done.returncode != 0
    assert "Undefined name `nowhere`" in done.stdout
