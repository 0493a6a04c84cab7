"""A package index gone bad: nothing that it offers is run or kept, by `make bundle` or while setting up."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.support.project import PROJECT

CRCMOD, *_ = re.findall(
    r"^crcmod==.*\n(?:[ \t].*\n)*", (PROJECT / "requirements.txt").read_text(), re.MULTILINE
)
PINNED, *_ = re.findall(r"^setuptools==(\S+)", (PROJECT / "requirements-build.txt").read_text(), re.MULTILINE)

BACKEND = """
import zipfile
from pathlib import Path

Path({ran!r}).touch()

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "crcmod-1.7-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, name), "w") as wheel:
        wheel.writestr("crcmod/__init__.py", "POISON = True")
        for file, text in METADATA.items():
            wheel.writestr("crcmod-1.7.dist-info/" + file, text)
    return name

class __legacy__:
    build_wheel = staticmethod(build_wheel)

METADATA = {{
    "METADATA": "Metadata-Version: 2.1\\nName: crcmod\\nVersion: 1.7\\n",
    "WHEEL": "Wheel-Version: 1.0\\nGenerator: poison\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "RECORD": "",
}}
"""
"""What builds a package otherwise than its source says, and leaves a trace in this file's place."""


@dataclass
class Index:
    """A package index on loopback (PEP 503) whose one project is a poisoned setuptools."""

    ran: Path
    """There once the poisoned setuptools has run."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    wheels: dict[str, bytes] = field(default_factory=dict)

    def offer(self, version: str) -> None:
        """Have a poisoned setuptools of this version."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as wheel:
            wheel.writestr("setuptools/__init__.py", "")
            wheel.writestr("setuptools/build_meta.py", BACKEND.format(ran=str(self.ran)))
            about = f"setuptools-{version}.dist-info/"
            wheel.writestr(
                about + "METADATA", f"Metadata-Version: 2.1\nName: setuptools\nVersion: {version}\n"
            )
            wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(about + "RECORD", "")
        self.wheels[f"setuptools-{version}-py3-none-any.whl"] = file.getvalue()

    def answer(self, path: str) -> bytes | None:
        self.asked.append(path)
        if path == "/simple/setuptools/":
            return "".join(f'<a href="/{name}">{name}</a>\n' for name in self.wheels).encode()
        return self.wheels.get(path.removeprefix("/"))


@contextmanager
def serving(folder: Path) -> Iterator[Index]:
    """The index, with nothing in it yet."""
    index = Index(folder / "ran")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = index.answer(self.path)
            self.send_response(200 if body else 404)
            self.send_header("content-type", "text/html" if self.path.endswith("/") else "application/zip")
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple"
        yield index
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, dict[str, str]]]:
    """The index, and an environment in which pip finds its setuptools beside all else, as the newest, and has
    in its cache what that has built.
    """
    folder = tmp_path_factory.mktemp("poisoned")
    pip = [sys.executable, "-m", "pip"]
    asked = [*pip, "config", "get", "global.extra-index-url"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    with serving(folder) as index:
        index.offer("9999.0")
        environment = {
            **os.environ,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PIP_CACHE_DIR": str(folder / "cache"),
            "PIP_EXTRA_INDEX_URL": " ".join([index.url, os.environ.get("PIP_EXTRA_INDEX_URL", said)]),
            "PIP_USE_PEP517": "1",  # older versions of pip build otherwise, where they have a setuptools
        }
        (folder / "crcmod.txt").write_text(CRCMOD)
        hashed = ["--require-hashes", "--no-deps", "-r", str(folder / "crcmod.txt")]
        install = [*pip, "install", "--quiet", "--target", str(folder / "built"), *hashed]
        subprocess.run(install, env=environment, check=True, capture_output=True)
        # Hashes alone do not help: it ran, and so would what it wrote.
        assert (folder / "built" / "crcmod" / "__init__.py").read_text() == "POISON = True"
        index.ran.unlink()
        yield index, environment


def a_project(folder: Path) -> Path:
    """A copy of what a build reads."""
    shutil.copytree(PROJECT / "handler", folder / "handler", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.txt", "requirements-build.txt"):
        shutil.copyfile(PROJECT / name, folder / name)
    return folder


def test_a_poisoned_setuptools_writes_nothing_into_the_bundle(
    poisoned: tuple[Index, dict[str, str]], tmp_path: Path
) -> None:
    """The newest that the index offers never runs, and what it built before is not taken from pip's cache."""
    index, environment = poisoned
    index.asked.clear()
    project = a_project(tmp_path / "project")
    subprocess.run([sys.executable, "-m", "handler.cli.bundle"], cwd=project, env=environment, check=True)
    assert "/simple/setuptools/" in index.asked
    assert not index.ran.exists()
    files = {path.name: path.read_text() for path in (project / "dist" / "crcmod").glob("*.py")}
    assert files.keys() == {"__init__.py", "_crcfunpy.py", "crcmod.py", "predefined.py"}
    assert not [name for name, text in files.items() if "POISON" in text]


def test_a_poisoned_setuptools_never_runs_while_setting_up(
    poisoned: tuple[Index, dict[str, str]], tmp_path: Path
) -> None:
    """`make` installs the project's own tools the same way."""
    index, environment = poisoned
    index.asked.clear()
    project = a_project(tmp_path / "project")
    (project / "requirements-dev.txt").write_text(CRCMOD)
    make = shutil.which("make") or "make"
    subprocess.run(
        [make, ".venv/ready", "VENV=.venv", f"PYTHON={sys.executable}"],
        cwd=project,
        env=environment,
        check=True,
    )
    assert "/simple/setuptools/" in index.asked
    assert not index.ran.exists()
    subprocess.run(
        [project / ".venv" / "bin" / "python", "-c", "import crcmod; crcmod.mkCrcFun(0x107)"], check=True
    )


def test_a_setuptools_of_the_pinned_version_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """By its hash, in one line, before it runs."""
    project = a_project(tmp_path / "project")
    pins = (project / "requirements-build.txt").read_text()
    (project / "requirements-build.txt").write_text(pins[pins.index("setuptools==") :])
    with serving(tmp_path) as index:
        index.offer(PINNED)
        only = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.url, "PIP_NO_CACHE_DIR": "1"}
        without = {"NO_PROXY": "127.0.0.1", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
        done = subprocess.run(
            [sys.executable, "-m", "handler.cli.bundle"],
            cwd=project,
            env={**os.environ, **only, **without},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "No bundle: the package index has other bytes than requirements-build.txt names: "
            f"setuptools=={PINNED}\n"
        )
        assert not index.ran.exists()


def test_npm_runs_no_script_of_a_package() -> None:
    """Wherever `make` or the guide installs packages of Node.js, from a lock file with a hash for each."""
    for name in (
        "Makefile",
        "events/README.md",
        "examples/backend/README.md",
        "examples/backend/backend.mjs",
        "examples/consumers/consumer.mjs",
    ):
        asked = re.findall(r"npm ci[^;|&#)]*", (PROJECT / name).read_text(encoding="utf-8"))
        assert asked
        assert all("--ignore-scripts" in each for each in asked)
    for folder in ("tests/node", "examples/backend", "examples/consumers"):
        packages = json.loads((PROJECT / folder / "package-lock.json").read_text())["packages"]
        assert len(packages) > 1
        assert not [name for name, each in packages.items() if name and "integrity" not in each]
        assert not [name for name, each in packages.items() if each.get("hasInstallScript")]


def test_nothing_is_pinned_without_a_hash_and_no_index_is_named() -> None:
    """In each file of requirements, those of the tools and of what pins them included."""
    names = {}
    for path in PROJECT.glob("requirements*.txt"):
        text = path.read_text()
        entries = re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", text, re.MULTILINE)
        assert all(re.match(r"\S+==\S+ .*\\\n", each) and "--hash=sha256:" in each for each in entries)
        assert "://" not in text
        names[path.name] = {each.partition("==")[0] for each in entries}
    assert names["requirements-build.txt"] == {"pip", "setuptools"}
    assert "uv" in names["requirements-dev.txt"]


def test_the_hosts_own_ci_runs_pinned_actions_with_the_least_permissions() -> None:
    """Each by its commit, none that may write, and the same command as on any other machine."""
    (path,) = (PROJECT / ".github" / "workflows").iterdir()
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", each) for each in actions)
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
