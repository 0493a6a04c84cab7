"""What `make release` makes of a tree."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from handler import __version__
from handler.cli.release import ReleaseError, release

PROJECT = Path(__file__).parents[2]
NAME = f"livepair-{__version__}"


def git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A commit of what a release needs, in a folder of its own."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    folder = tmp_path / "project"
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "handler", folder / "handler", ignore=kept)
    for name in ("requirements.txt", "requirements-build.txt", "pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(PROJECT / name, folder)
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a tree")
    return folder


def test_a_release_is_the_same_bytes_from_the_same_tree(project: Path) -> None:
    """Bundle, bill of materials and sources, with sums that a reader can check."""
    made = release(project)
    first = {path.name: path.read_bytes() for path in made.iterdir()}
    assert sorted(first) == ["SHA256SUMS", f"{NAME}.cdx.json", f"{NAME}.tar.gz", f"{NAME}.zip"]
    for line in first["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256(first[name]).hexdigest()
    assert "index.py" in zipfile.ZipFile(made / f"{NAME}.zip").namelist()
    with tarfile.open(made / f"{NAME}.tar.gz") as sources:
        modes = {entry.name: entry.mode for entry in sources}
        packed = sources.extractfile(f"{NAME}/README.md")
        assert packed is not None
        assert packed.read() == (PROJECT / "README.md").read_bytes()
    assert (modes[f"{NAME}/program"], modes[f"{NAME}/README.md"]) == (0o755, 0o644)

    for path in project.rglob("*.py"):
        path.touch()
    git(project, "commit", "--quiet", "--allow-empty", "--message", "the same tree, later")
    assert {path.name: path.read_bytes() for path in release(project).iterdir()} == first


def test_a_tree_with_changes_is_not_released(project: Path) -> None:
    """The error names what is changed, and nothing is built."""
    (project / "new.txt").write_text("not committed")
    with pytest.raises(ReleaseError, match=r"commit or take back(.|\n)*new\.txt"):
        release(project)
    assert not (project / "release").exists()


def test_a_folder_without_commits_is_not_released(tmp_path: Path) -> None:
    """A release is a commit."""
    with pytest.raises(ReleaseError, match="a release is a commit"):
        release(tmp_path)
