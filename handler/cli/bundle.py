"""What is deployed, for the platform's own Python: CPython 3.10 on CentOS 7 (glibc 2.17), x86_64.

    dist/               what serverless.yml uploads: index.py, handler/ and the pinned dependencies
    livepair.zip        the same as one file, for the console
    livepair.cdx.json   what is in it: a software bill of materials

The same inputs give the same bytes, whatever the folder, the umask and the Python that builds; the zip also
wants the same zlib. What cannot be had without CPython 3.10 are the compiled files: without them the bundle
works, and every cold start compiles anew, since the platform's code folder is read-only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from handler.cli.packages import InstallError, install
from handler.cli.sbom import bill

DEPLOYED = "/var/user"
"""The folder the platform puts the code into; it stands in tracebacks."""

FOR_THE_PLATFORM = (
    *("--no-compile", "--python-version", "3.10", "--implementation", "cp"),
    *("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"),
)
"""For pip. What it builds itself is for this machine, and is left out below."""

LEFT_OUT = {
    "Crypto/*": "needed by the COS SDK's client-side encryption only",
    "pycryptodome-*": "goes with it",
    "qcloud_cos/cos_encryption_client.py": "client-side encryption",
    "qcloud_cos/crypto.py": "client-side encryption",
    "crcmod/_crcfunext.*": "compiled for the building machine; crcmod/_crcfunpy.py does the same",
    "charset_normalizer/cd.py": "beside it lies its compiled form, which Python takes",
    "charset_normalizer/md.py": "beside it lies its compiled form, which Python takes",
    "tencentcloud/common/*_async.py": "needs httpx, which is not there",
    "urllib3/contrib/emscripten/*": "runs in browsers",
    "urllib3/contrib/pyopenssl.py": "needs pyOpenSSL, which is not there",
    "urllib3/contrib/socks.py": "needs PySocks, which is not there",
    "urllib3/http2/connection.py": "needs h2, which is not there",
    "bin/*": "command line",
    "*/__main__.py": "command line",
    "charset_normalizer/cli/*": "command line",
    "idna/cli.py": "command line",
    "requests/help.py": "command line",
    "*/tests/*": "tests",
    "crcmod/test.py": "tests",
    "*/py.typed": "for type checkers",
    "*.pyi": "for type checkers",
}
"""What pip installs and no import of the function reaches, by path, and why. A test walks all imports."""

OWN_LEFT_OUT = ("__main__.py", "cli/*")
"""What of handler/ is not the function."""

_LICENCE = re.compile(r"(licen[cs]e|copying|notice|authors)[^/]*\Z", re.IGNORECASE)
_KEPT_METADATA = ("Name", "Version", "License", "License-Expression")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can hold
_EPOCH_SECONDS = 315532800

_COMPILE = """
import py_compile, sys
for path in sys.stdin.read().splitlines():
    py_compile.compile(
        f"{sys.argv[1]}/{path}",
        dfile=f"{sys.argv[2]}/{path}",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""


class BundleError(Exception):
    """No bundle was built, and the one before stands; the text says in one line why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was built. `sizes`: bytes by path in the bundle; `left_out`: bytes by pattern of LEFT_OUT."""

    sizes: dict[str, int]
    zipped: int
    digest: str
    """The SHA-256 of livepair.zip."""
    left_out: dict[str, int]
    compiled_by: str | None
    """The version that made the compiled files; None: there are none."""


def main() -> int:
    """Build the bundle of the project that this file belongs to. Returns the exit status."""
    try:
        built = build(Path(__file__).resolve().parent.parent.parent)
    except (BundleError, InstallError, OSError) as error:
        sys.stderr.write(f"No bundle: {error}\n")
        return 1
    sys.stdout.write(_report(built))
    return 0


def build(project: Path) -> Bundle:
    """Build dist/, livepair.zip and its bill in `project`: aside first, so that a failure changes nothing.

    Raises BundleError and InstallError.
    """
    with TemporaryDirectory(prefix=".bundle-", dir=project) as folder:
        work = Path(folder)
        packages, dist, archive = work / "packages", work / "dist", work / "livepair.zip"
        _refuse_conditions(project / "requirements.txt")
        installed = install(
            project / "requirements.txt",
            project / "requirements-build.txt",
            ("--target", packages, *FOR_THE_PLATFORM),
        )
        dist.mkdir()
        left_out = _take_packages(packages, dist)
        _take_own(project / "handler", dist)
        python = find_python(project)
        if python is not None:
            _compile(python[0], dist)
        _settle(dist)
        _zip(dist, archive)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        shipped = {path.name.partition("-")[0] for path in dist.glob("*.dist-info")}
        sbom = work / "livepair.cdx.json"
        sbom.write_text(bill(installed, shipped, digest), encoding="utf-8")
        built = Bundle(
            {name: path.stat().st_size for name, path in _files(dist)},
            archive.stat().st_size,
            digest,
            left_out,
            python and python[1],
        )
        if (project / "dist").exists():
            (project / "dist").rename(work / "before")
        dist.rename(project / "dist")
        archive.replace(project / "livepair.zip")
        sbom.replace(project / "livepair.cdx.json")
        return built


def find_python(project: Path) -> tuple[Path, str] | None:
    """A CPython 3.10 that works, and its version; None where there is none.

    One that is found on the PATH can be a shim that refuses to run, so each is tried.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which("python3.10")
    for python in (
        Path(sys.executable),
        project / ".venv-3.10" / "bin" / "python",
        *([Path(on_path)] if on_path else []),
        *sorted((pyenv / "versions").glob("3.10.*/bin/python"), reverse=True),
    ):
        question = "import platform, sys; print(sys.implementation.name, platform.python_version())"
        try:
            done = subprocess.run(  # noqa: S603 # a Python of this machine, asked for its version
                [python, "-I", "-S", "-c", question], capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        name, _, version = done.stdout.strip().partition(" ")
        if done.returncode == 0 and name == "cpython" and version.startswith("3.10."):
            return python, version
    return None


def _refuse_conditions(requirements: Path) -> None:
    """Raise BundleError where something is required on a condition."""
    marked = [line for line in requirements.read_text(encoding="utf-8").splitlines() if ";" in line]
    if marked:
        raise BundleError(
            f"{marked[0].split('=')[0]} in requirements.txt has a condition, "
            "which pip would judge by the building Python and not by 3.10"
        )


def _take_packages(packages: Path, dist: Path) -> dict[str, int]:
    """Copy what the function needs of the packages. Returns the bytes that were left out, by pattern."""
    left_out: Counter[str] = Counter(dict.fromkeys(LEFT_OUT, 0))
    for name, path in _files(packages):
        pattern = next((each for each in LEFT_OUT if fnmatchcase(name, each)), None)
        folder, _, file = name.partition("/")
        if pattern is not None:
            left_out[pattern] += path.stat().st_size
        elif not folder.endswith(".dist-info"):
            _copy(path, dist / name)
        elif _LICENCE.match(path.name):
            _copy(path, dist / folder / "licenses" / file.removeprefix("licenses/"))
        elif file == "METADATA":
            # Enough for scanners and importlib.metadata; the rest tells of the tool that built the wheel.
            lines = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
            kept = [line for line in lines if line.partition(":")[0] in _KEPT_METADATA]
            (dist / folder).mkdir(exist_ok=True)
            (dist / name).write_text("\n".join(["Metadata-Version: 2.4", *kept, ""]), encoding="utf-8")
    return dict(left_out)


def _take_own(handler: Path, dist: Path) -> None:
    for name, path in _files(handler):
        if name.endswith(".py") and not any(fnmatchcase(name, each) for each in OWN_LEFT_OUT):
            _copy(path, dist / "handler" / name)
    _copy(handler / "index.py", dist / "index.py")


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _compile(python: Path, dist: Path) -> None:
    """Make the compiled files, which name the deployed path and are used without a look at the source."""
    names = [name for name, _ in _files(dist) if name.endswith(".py")]
    done = subprocess.run(  # noqa: S603 # a Python of this machine, with a fixed script
        [python, "-s", "-S", "-B", "-c", _COMPILE, dist, DEPLOYED],
        input="\n".join(names),
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BundleError(f"Python 3.10 cannot compile it: {done.stderr.strip().splitlines()[-1]}")


def _settle(dist: Path) -> None:
    """Give everything one time, and modes that let the platform's user read it."""
    for path in (dist, *dist.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH_SECONDS, _EPOCH_SECONDS))


def _zip(dist: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        for name, path in _files(dist):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is built: the modes count
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(entry, path.read_bytes(), compresslevel=9)
    archive.chmod(0o644)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files in a folder with their paths in it, sorted."""
    return iter(
        sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    )


def _report(built: Bundle) -> str:
    parts: Counter[str] = Counter()
    for name, size in built.sizes.items():
        parts[name.partition("/")[0]] += size
    total = sum(built.sizes.values())
    lines = [
        f"dist/         {len(built.sizes)} files, {total / 1e6:.2f} MB",
        f"livepair.zip  {built.zipped / 1e6:.2f} MB, sha256 {built.digest}",
        *(f"  {size / 1e6:5.2f} MB  {name}" for name, size in parts.most_common(6)),
        f"left out      {sum(built.left_out.values()) / 1e6:.2f} MB that the function never imports",
        f"compiled by   CPython {built.compiled_by}"
        if built.compiled_by
        else "compiled by   nobody: no CPython 3.10 works here, so every cold start compiles anew",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
