"""Node.js for the tests that need it, with the packages of tests/node."""

from __future__ import annotations

import shutil

import pytest

from tests.support.project import TESTS

NODE = shutil.which("node")
PACKAGES = TESTS / "node" / "node_modules"


def needs_node(*packages: str) -> pytest.MarkDecorator:
    """Skips a test, and says why, on a machine without Node.js or without these packages in tests/node."""
    missing = [name for name in packages if not (PACKAGES / name).is_dir()]
    absent = f"not installed in tests/node: {', '.join(missing)} (`make test` installs what it needs)"
    reason = "there is no Node.js here" if NODE is None else absent
    return pytest.mark.skipif(NODE is None or bool(missing), reason=reason)
