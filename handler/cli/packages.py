"""How the pinned packages are installed, for the bundle and for the project's own tools: nothing that no hash
names is run or kept.

pip checks each file against the hash in the requirements, but not what it builds a source package with: of
that it takes the newest that the package index offers, and keeps what it has built for the next time. So here

1. the pinned pip and setuptools are put into a folder of their own, as wheels: that runs nothing of them;
2. that pip builds what comes as source only with that setuptools, anew each time;
3. that pip installs everything else as wheels, or not at all.

This runs before anything is installed: it needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SOURCES = ("crcmod",)
"""The packages without wheels. Each needs nothing but setuptools to be built."""

_PIP = ("--disable-pip-version-check", "--no-input", "install", "--quiet", "--require-hashes", "--no-deps")


class InstallError(Exception):
    """The packages could not be installed; the text says in one line why."""


def install(requirements: Path, build: Path, options: Sequence[str | Path] = ()) -> list[dict[str, Any]]:
    """Install all that `requirements` pins, with the tools that `build` pins.

    `options` go to pip, such as where to. Returns what was installed, each as in pip's installation report.
    Raises InstallError.
    """
    sources, wheels = _by_kind(requirements.read_text(encoding="utf-8"))
    with TemporaryDirectory() as folder:
        tools, pinned, report = (Path(folder, name) for name in ("tools", "pinned.txt", "report.json"))
        _pip(["--target", tools, "--only-binary", ":all:", "--requirement", build], build.name)
        installed: list[dict[str, Any]] = []
        for text, how in (
            # Not from pip's cache: what lies there may have been built by any setuptools.
            (sources, ("--no-binary", ",".join(SOURCES), "--no-build-isolation", "--no-cache-dir")),
            (wheels, ("--only-binary", ":all:")),
        ):
            if text:
                pinned.write_text(text, encoding="utf-8")
                _pip([*how, *options, "--report", report, "--requirement", pinned], requirements.name, tools)
                installed += json.loads(report.read_text(encoding="utf-8"))["install"]
        return installed


def _by_kind(requirements: str) -> tuple[str, str]:
    """The requirements of packages that come as source only, and the others."""
    each = re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", requirements + "\n", re.MULTILINE)
    sources = [text for text in each if re.split(r"[=\s]", text)[0] in SOURCES]
    return "".join(sources), "".join(text for text in each if text not in sources)


def _pip(arguments: Sequence[str | Path], name: str, tools: Path | None = None) -> None:
    """Run the pip in `tools`, else this Python's own; errors name the requirements as `name`."""
    done = subprocess.run(  # noqa: S603 # pip, with arguments of this module and its callers
        [sys.executable, "-m", "pip", *_PIP, *arguments],
        env={**os.environ, **({"PYTHONPATH": str(tools)} if tools else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InstallError(_why(done.stderr, name))


def _why(printed: str, requirements: str) -> str:
    """What pip printed, in one line and without addresses, which can hold a password."""
    if "DO NOT MATCH THE HASHES" in printed:
        names = ", ".join(re.findall(r"^    (\S+==\S+) from ", printed, re.MULTILINE))
        return f"the package index has other bytes than {requirements} names: {names}"
    missing = re.search(r"No matching distribution found for (\S+)", printed)
    if missing:
        return (
            f"{missing[1]} cannot be had: the package index is out of reach, or has no file of it that fits"
        )
    last = (
        re.findall(r"^ERROR: (.+)", printed, re.MULTILINE)
        or printed.strip().splitlines()
        or ["it said nothing"]
    )
    return "pip failed: " + re.sub(r"\w+://\S+", "…", last[-1])


def main() -> int:
    """Install what the named requirements pin into the Python that runs this. Returns the exit status."""
    requirements = Path(sys.argv[1])
    try:
        install(requirements, requirements.with_name("requirements-build.txt"))
    except (InstallError, OSError) as error:
        sys.stderr.write(f"Not installed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
