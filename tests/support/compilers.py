"""Compilers for the tests that need one: what other languages make of events/types and examples/."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.support.nodejs import NODE, PACKAGES
from tests.support.project import TESTS

LANGUAGES = TESTS / "contract" / "languages"
"""What the tests run in other languages."""


def _needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not here: {', '.join(missing)}")


needs_java = _needs("javac", "java")
needs_go = _needs("go")


def typescript(folder: Path, *sources: Path) -> None:
    """Compile modules strictly into a folder, with what they import. Fails with what the compiler says."""
    options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "esnext"]
    command = [PACKAGES / ".bin" / "tsc", *options, "--moduleResolution", "bundler", "--outDir", folder]
    _run([*map(str, command), *map(str, sources)])
    (folder / "package.json").write_text('{"type": "module"}')


def node(script: str, folder: Path, said: str) -> list[str]:
    """What a module in the folder answers, line by line."""
    assert NODE is not None
    done = _run([NODE, "--input-type=module", "--eval", script], said, folder)
    return done.splitlines()


def java(folder: Path, main: str, *sources: Path) -> list[str]:
    """The command that runs a class of tests/contract/languages, compiled with these files."""
    files = [*sources, LANGUAGES / f"{main}.java"]
    _run(["javac", "-Xlint:all", "-Werror", "-d", str(folder), *map(str, files)])
    return ["java", "-Xshare:auto", "-cp", str(folder), main]


def go(folder: Path, main: str, packages: Mapping[str, Path]) -> list[str]:
    """The command that runs a program of tests/contract/languages, built with these packages, by folder."""
    for name, source in packages.items():
        (folder / name).mkdir()
        shutil.copy(source, folder / name)
    shutil.copy(LANGUAGES / f"{main}.go", folder)
    (folder / "go.mod").write_text("module livepair\n\ngo 1.21\n")
    _run(["go", "build", "-o", "program", "."], folder=folder)
    return [str(folder / "program")]


def answers(command: Iterable[str], lines: Iterable[str]) -> list[str]:
    """What a program answers, line by line."""
    return _run(list(command), "".join(f"{line}\n" for line in lines)).splitlines()


def _run(command: list[str], said: str = "", folder: Path | None = None) -> str:
    done = subprocess.run(
        command, input=said, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout
