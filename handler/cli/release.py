"""The archives of a release, in `release/`: the same bytes from the same tree.

    livepair-VERSION.zip        the function, as `make bundle` builds it
    livepair-VERSION.cdx.json   what is in it: a software bill of materials
    livepair-VERSION.tar.gz     the project, to read, to test and to install the commands from
    SHA256SUMS                  of the three, as `sha256sum --check` reads it

A release is a commit: what git does not track is in none of them, and a tree with changes is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from handler import __version__
from handler.cli.bundle import BundleError, build
from handler.cli.packages import InstallError


class ReleaseError(Exception):
    """The tree is none that could be released. The text says what to do."""


def main() -> int:
    try:
        made = release(Path.cwd())
    except (ReleaseError, BundleError, InstallError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write((made / "SHA256SUMS").read_text(encoding="utf-8"))
    return 0


def release(project: Path) -> Path:
    """Build all archives of the project's tree. Returns their folder, which holds nothing else.

    Raises ReleaseError for a tree that is no commit, and BundleError and InstallError as `make bundle` does.
    """
    files = _tracked(project)
    build(project)
    folder, name = project / "release", f"livepair-{__version__}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(project / "livepair.zip", folder / f"{name}.zip")
    shutil.copyfile(project / "livepair.cdx.json", folder / f"{name}.cdx.json")
    (folder / f"{name}.tar.gz").write_bytes(_packed(project, files, name))
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
    return folder


def _tracked(project: Path) -> dict[str, bool]:
    """The paths of the files that git tracks, and whether each is a program."""
    changed = _git(project, "status", "--porcelain")
    if changed:
        raise ReleaseError(f"commit or take back what is changed, then release:\n{changed.rstrip()}")
    entries = _git(project, "ls-files", "--stage", "-z").split("\0")[:-1]
    return {path: head.startswith("100755") for head, _, path in (each.partition("\t") for each in entries)}


def _git(project: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 # git, of the path
            ["git", *arguments],  # noqa: S607
            cwd=project,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
    except FileNotFoundError:
        raise ReleaseError("a release is a commit, and there is no git here: install it") from None
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"a release is a commit, and git says: {error.stderr.strip()}") from None
    return done.stdout


def _packed(project: Path, files: dict[str, bool], name: str) -> bytes:
    """The files as a .tar.gz, in order, of nobody and of no time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(files):
            data = (project / path).read_bytes()
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(data), 0o755 if files[path] else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


if __name__ == "__main__":
    sys.exit(main())
