"""`make bundle`: what is deployed, built as an operator builds it, and run as the platform runs it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from handler.cli import bundle
from tests.cloud import Cloud, faults, samples
from tests.demo import Uploads
from tests.support.project import PROJECT

PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE))
NOT_SHIPPED = {"pycryptodome"}


@dataclass(frozen=True)
class Built:
    """A finished build: the folder it was made in, and what it printed."""

    project: Path
    printed: str

    @property
    def dist(self) -> Path:
        return self.project / "dist"

    @property
    def archive(self) -> Path:
        return self.project / "livepair.zip"

    def files(self, pattern: str = "*") -> list[Path]:
        return sorted(path for path in self.dist.rglob(pattern) if path.is_file())


def a_project(folder: Path) -> Path:
    """A copy of what the build reads."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "handler", folder / "handler", ignore=ignore)
    for name in ("requirements.txt", "requirements-build.txt"):
        shutil.copyfile(PROJECT / name, folder / name)
    return folder


def building(
    project: Path, umask: int = 0o022, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A build that has begun, by the command that `make bundle` runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "handler.cli.bundle"],
        cwd=project,
        env={**os.environ, **(environment or {})},
        umask=umask,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[Built]:
    """Two builds from the same inputs, side by side, in unlike circumstances."""
    one = a_project(tmp_path_factory.mktemp("one"))
    other = a_project(tmp_path_factory.mktemp("other") / "a folder with spaces")
    begun = [building(one), building(other, 0o077, {"PYTHONHASHSEED": "7"})]
    ended = [process.communicate() for process in begun]
    assert [process.returncode for process in begun] == [0, 0], ended
    return [Built(project, printed) for project, (printed, _) in zip((one, other), ended, strict=True)]


@pytest.fixture(scope="module")
def built(builds: list[Built]) -> Built:
    """A build, its folder read-only, as the platform's code folder is."""
    for path in (builds[0].dist, *builds[0].dist.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return builds[0]


@pytest.fixture(scope="module")
def python310() -> Path:
    """The Python that the platform runs."""
    found = bundle.find_python(PROJECT)
    if found is None:
        pytest.skip("no CPython 3.10 works here")
    return found[0]


@pytest.fixture
def isolated(tmp_path: Path, python310: Path) -> str:
    """A Python 3.10 that has its standard library, no other package, and writes no compiled files."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{python310}" -I -S -B "$@"\n')
    script.chmod(0o755)
    return str(script)


# --- what is in it -----------------------------------------------------------------------------------


def test_it_holds_the_function_its_pinned_dependencies_and_nothing_else(built: Built) -> None:
    """No operator's command line, no tests, no tool's leftovers; each version the pinned one."""
    modules = {path.relative_to(PROJECT) for path in (PROJECT / "handler").rglob("*.py")}
    own = {path for path in modules if path.parts[1] not in ("__main__.py", "cli")}
    shipped_own = {path for path in (built.dist / "handler").rglob("*") if path.is_file()}
    assert {path.relative_to(built.dist) for path in shipped_own if path.parent.name != "__pycache__"} == own
    assert (built.dist / "index.py").read_bytes() == (PROJECT / "handler" / "index.py").read_bytes()
    shipped = {}
    for path in built.dist.glob("*.dist-info"):
        metadata = importlib.metadata.PathDistribution(path).metadata
        shipped[metadata["Name"].lower().replace("_", "-")] = metadata["Version"]
    assert shipped == {name: version for name, version in PINNED.items() if name not in NOT_SHIPPED}
    assert {path.name.partition("-")[0] for path in built.dist.iterdir()} - {"__pycache__"} == {
        *("index.py", "handler", "six.py", "xmltodict.py", "six", "xmltodict"),
        *("certifi", "charset_normalizer", "cos_python_sdk_v5", "crcmod", "idna", "qcloud_cos", "requests"),
        *("standardwebhooks", "tencentcloud", "tencentcloud_sdk_python_common", "urllib3"),
    }
    ends = {path.suffix for path in built.files() if ".dist-info" not in path.parent.as_posix()}
    assert ends == {".py", ".pyc", ".so", ".pem"} - ({".pyc"} if not built.files("*.pyc") else set())


def test_the_licences_of_the_dependencies_are_shipped(built: Built) -> None:
    """Each licence file that a dependency's metadata names; two of them come without any."""
    shipped = {}
    for name in PINNED.keys() - NOT_SHIPPED:
        (folder,) = built.dist.glob(f"{name.replace('-', '_')}-*.dist-info")
        shipped[name] = {path.name for path in (folder / "licenses").rglob("*") if path.is_file()}
        assert shipped[name] >= set(importlib.metadata.metadata(name).get_all("License-File") or [])
    without = {name for name, files in shipped.items() if not files}
    assert without == {"standardwebhooks", "tencentcloud-sdk-python-common"}


def test_what_the_table_leaves_out_is_not_there(built: Built) -> None:
    """Most of what pip installs: the build says how much."""
    names = [path.relative_to(built.dist).as_posix() for path in built.files()]
    assert not [name for name in names for each in bundle.LEFT_OUT if fnmatchcase(name, each)]
    (saved,) = re.findall(r"left out +([\d.]+) MB", built.printed)
    assert float(saved) > 11  # pycryptodome's shared objects are most of it


def test_the_zip_is_the_folder(built: Built) -> None:
    """Sorted, without times and owners of the building machine, readable by all, and under 5 MB."""
    with zipfile.ZipFile(built.archive) as zipped:
        entries = zipped.infolist()
        assert [entry.filename for entry in entries] == [
            path.relative_to(built.dist).as_posix()
            for path in sorted(built.files(), key=lambda path: path.relative_to(built.dist).as_posix())
        ]
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
        assert all(zipped.read(entry) == (built.dist / entry.filename).read_bytes() for entry in entries)
    assert built.archive.stat().st_size < 5_000_000


def test_the_same_inputs_give_the_same_bytes(builds: list[Built]) -> None:
    """Whatever the folder, the umask and the seed of hashes."""
    one, other = builds
    assert one.archive.read_bytes() == other.archive.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in other.files()} == {0o644}
    assert (other.dist / "handler").stat().st_mode & 0o777 == 0o755
    assert {path.name for path in other.project.iterdir()} == {
        *(
            "handler",
            "requirements.txt",
            "requirements-build.txt",
            "dist",
            "livepair.zip",
            "livepair.cdx.json",
        )
    }


def test_the_bill_of_materials_names_what_is_shipped(builds: list[Built]) -> None:
    """CycloneDX: each package in the bundle with the pinned hash of the file it came in, and the zip with its
    own; the same bundle, the same bytes.
    """
    one, other = ((each.project / "livepair.cdx.json").read_text(encoding="utf-8") for each in builds)
    assert one == other
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(one) is None
    bill = json.loads(one)
    listed = {each["name"]: each for each in bill["components"]}
    assert {name: each["version"] for name, each in listed.items()} == {
        name: version for name, version in PINNED.items() if name not in NOT_SHIPPED
    }
    pins = re.split(r"^(?=\S)", (PROJECT / "requirements.txt").read_text(), flags=re.MULTILINE)
    for name, component in listed.items():
        assert component["purl"] == f"pkg:pypi/{name}@{component['version']}"
        (pinned,) = (each for each in pins if each.startswith(f"{name}=="))
        assert f"sha256:{component['hashes'][0]['content']}" in pinned
        assert component["licenses"]
    digest = hashlib.sha256(builds[0].archive.read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    needs = {each["ref"]: set(each.get("dependsOn", ())) for each in bill["dependencies"]}
    assert {listed["requests"]["bom-ref"], listed["crcmod"]["bom-ref"]} < needs[
        listed["cos-python-sdk-v5"]["bom-ref"]
    ]
    assert {ref.partition("@")[0] for ref in needs["livepair"]} == {
        "pkg:pypi/cos-python-sdk-v5",
        "pkg:pypi/standardwebhooks",
        "pkg:pypi/tencentcloud-sdk-python-common",
    }


def test_it_says_what_it_built(built: Built) -> None:
    """Files, sizes, the zip's digest, and who compiled."""
    assert f"sha256 {hashlib.sha256(built.archive.read_bytes()).hexdigest()}\n" in built.printed
    files, size = re.findall(r"dist/ +(\d+) files, ([\d.]+) MB", built.printed)[0]
    assert int(files) == len(built.files())
    assert float(size) == round(sum(path.stat().st_size for path in built.files()) / 1e6, 2)
    found = bundle.find_python(PROJECT)
    assert f"CPython {found[1]}" in built.printed if found else "no CPython 3.10" in built.printed


# --- what the platform can load ----------------------------------------------------------------------


def needs(path: Path) -> list[tuple[str, str]]:
    """The symbol versions that a shared object needs, as (library, version), from its `.gnu.version_r`.

    By the ELF specification and the Linux Standard Base (symbol versioning). Only for x86_64.
    """
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    assert struct.unpack_from("<H", data, 18) == (62,)  # x86_64
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQII", data, table + size * each) for each in range(count)]
    found = []
    for _, kind, _, _, offset, _, link, entries in sections:
        if kind != 0x6FFFFFFE:  # SHT_GNU_verneed
            continue
        names = sections[link][4]

        def text(at: int, names: int = names) -> str:
            return data[names + at : data.index(b"\0", names + at)].decode()

        for _ in range(entries):
            _, versions, library, first, following = struct.unpack_from("<HHIII", data, offset)
            at = offset + first
            for _ in range(versions):
                _, _, _, name, step = struct.unpack_from("<IHHII", data, at)
                found.append((text(library), text(name)))
                at += step
            offset += following
    return found


NEWEST = {"GLIBC": (2, 17), "GLIBCXX": (3, 4, 19), "CXXABI": (1, 3, 7), "GCC": (4, 8, 0)}
"""What CentOS 7 has (PEP 599)."""


def test_every_shared_object_runs_on_the_platform(built: Built) -> None:
    """CPython 3.10 or the stable ABI, x86_64, and no symbol newer than CentOS 7's."""
    objects = built.files("*.so*")
    assert objects
    for path in objects:
        assert path.name.endswith((".cpython-310-x86_64-linux-gnu.so", ".abi3.so"))
        needed = needs(path)
        assert needed
        for library, version in needed:
            name, _, number = version.partition("_")
            assert tuple(map(int, number.split("."))) <= NEWEST[name], f"{path.name}: {library} {version}"


def test_every_module_is_compiled_for_the_place_it_is_deployed_to(built: Built, python310: Path) -> None:
    """No source is looked at, and no path of the building machine stands in it."""
    sources = {path.relative_to(built.dist).with_suffix("") for path in built.files("*.py")}
    compiled = built.files("*.pyc")
    assert {
        path.relative_to(built.dist).parent.parent / path.name.removesuffix(".cpython-310.pyc")
        for path in compiled
    } == sources
    for path in compiled:
        data = path.read_bytes()
        assert data[4:8] == b"\1\0\0\0"  # PEP 552: hash-based, unchecked
        assert b"/var/user/" in data
        assert str(built.project).encode() not in data


LOAD = """
import importlib.util, sys
code = sys.argv[1]
sys.path[0] = code
spec = importlib.util.spec_from_file_location("", code + "/index.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert callable(module.main_handler)
files = {each.__file__ for each in list(sys.modules.values()) if getattr(each, "__file__", None)}
print(sum(each.startswith(code) for each in files))
"""


def test_a_cold_start_compiles_nothing(built: Built, isolated: str, tmp_path: Path) -> None:
    """With every source broken it still starts: all of it comes from the compiled files."""
    code = tmp_path / "code"
    shutil.copytree(built.dist, code)
    for path in code.rglob("*.py"):
        path.chmod(0o644)
        path.write_text("this is no Python\n")
    done = subprocess.run(
        [isolated, "-c", LOAD, str(code)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 90


# --- what the function can reach ---------------------------------------------------------------------

NEVER = {
    "predefined": "Python 2",
    "StringIO": "Python 2",
    "urlparse": "Python 2",
    "ConfigParser": "Python 2",
    "simplejson": "only where it was found before",
    "urllib3.contrib.emscripten": "only in browsers",
    "urllib3.http2.connection": "only after inject_into_urllib3(), which nothing calls",
}
"""Imports of what is not there, and why they are never made; all others must be able to fail."""


@dataclass(frozen=True)
class Import:
    module: str
    name: str
    may_fail: bool


class Imports(ast.NodeVisitor):
    """All imports of one module, those inside functions included, save those for type checkers."""

    def __init__(self, module: str, package: str) -> None:
        self.module, self.package = module, package
        self.found: list[Import] = []
        self.dynamic = False
        self._may_fail = False

    def visit_If(self, node: ast.If) -> None:
        for each in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [node.test, *node.body]:
            self.visit(each)
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            for each in node.orelse:
                self.visit(each)

    def visit_Try(self, node: ast.Try) -> None:
        before = self._may_fail
        caught = {ast.unparse(each.type) if each.type else "" for each in node.handlers}
        self._may_fail |= any(re.search(r"\A\Z|ImportError|ModuleNotFoundError", each) for each in caught)
        for each in node.body:
            self.visit(each)
        self._may_fail = before
        for rest in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(rest)

    def visit_Import(self, node: ast.Import) -> None:
        self._add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parents = (
            self.package.split(".")[: len(self.package.split(".")) - node.level + 1] if node.level else []
        )
        base = ".".join([*parents, *([node.module] if node.module else [])])
        self._add([base, *(f"{base}.{alias.name}" for alias in node.names)])

    def visit_Call(self, node: ast.Call) -> None:
        self.dynamic |= ast.unparse(node.func) in ("__import__", "importlib.import_module", "import_module")
        self.generic_visit(node)

    def _add(self, names: Iterator[str] | Sequence[str]) -> None:
        self.found += [Import(self.module, name, self._may_fail) for name in names]


def located(dist: Path, name: str) -> Path | None:
    """The file of a module in the bundle, as Python finds it."""
    path = dist / name.replace(".", "/")
    choices = [path / "__init__.py", *path.parent.glob(f"{path.name}.*.so"), path.with_suffix(".py")]
    return next((each for each in choices if each.is_file()), path if path.is_dir() else None)


def left_out(name: str) -> bool:
    """Whether a module of this name would have been taken off the packages."""
    path = name.replace(".", "/")
    files = [f"{path}{end}" for end in (".py", "/__init__.py", ".so")]
    return any(fnmatchcase(file, pattern) for file in files for pattern in bundle.LEFT_OUT)


def walked(dist: Path) -> tuple[dict[str, Path], list[Import], set[str]]:
    """From index.py along all imports: the modules reached, the imports of what is not there, and
    the modules that import by a computed name.
    """
    reached: dict[str, Path] = {}
    absent: list[Import] = []
    dynamic = set()
    waiting = [Import("", "index", False)]
    while waiting:
        each = waiting.pop()
        top = each.name.partition(".")[0]
        if each.name in reached or top in sys.stdlib_module_names or each.name.startswith("six.moves"):
            continue
        path = located(dist, each.name)
        parent = each.name.rpartition(".")[0]
        if path is None and parent and located(dist, parent) is None:
            waiting.append(Import(each.module, parent, each.may_fail))
            continue
        if path is None:
            # `from a import b` names a module or something in one; one that is left out is a module.
            if not parent or left_out(each.name):
                absent.append(each)
            continue
        reached[each.name] = path
        if parent:
            waiting.append(Import(each.module, parent, each.may_fail))
        if path.suffix == ".py":
            package = each.name if path.name == "__init__.py" else parent
            imports = Imports(each.name, package)
            imports.visit(ast.parse(path.read_bytes()))
            waiting += imports.found
            if imports.dynamic:
                dynamic.add(each.name)
    return reached, absent, dynamic


@pytest.fixture(scope="module")
def walk(built: Built) -> tuple[dict[str, Path], list[Import], set[str]]:
    return walked(built.dist)


def test_nothing_is_missing_that_an_import_names(
    walk: tuple[dict[str, Path], list[Import], set[str]],
) -> None:
    """Along every import from index.py, those inside functions included."""
    reached, absent, dynamic = walk
    assert len(reached) > 100
    assert {each.name for each in absent if not each.may_fail} == set(NEVER)
    # These import by a computed name: the packages that requests knows, encodings, and six's moves.
    assert dynamic == {"charset_normalizer.utils", "requests.compat", "requests.packages", "six"}


def test_the_function_imports_nothing_of_the_operators_command_line(
    walk: tuple[dict[str, Path], list[Import], set[str]],
) -> None:
    """handler/cli and handler/__main__.py need what is not shipped."""
    _, absent, _ = walk
    assert not [each for each in absent if each.module.startswith(("handler", "index"))]


# --- the bundle alone, as the platform runs it -------------------------------------------------------


def no_import_failed(cloud: Cloud) -> bool:
    told = [*cloud.scf.logs(), *(each.error or "" for each in cloud.scf.invocations)]
    return not [line for line in told if "No module named" in line or "cannot import name" in line]


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_the_bundle_alone_does_the_main_job(cloud: Cloud, built: Built, isolated: str, mode: str) -> None:
    """Nothing but the standard library beside it: a multipart upload, the call, the best frame, the message,
    deletions, both timers.
    """
    before = [(path, path.stat().st_mtime_ns) for path in sorted(built.dist.rglob("*"))]
    settings = {"PASS_RESOURCES": mode, "DELETE_UPLOADS": "both", "LOG_LEVEL": "DEBUG"}
    cloud.deploy(built.dist, settings, executable=isolated)
    uploads = Uploads(cloud, cloud.bucket)
    uploads.put("uploads/张 三/image.jpg", samples.image())
    uploads.multipart("uploads/张 三/live.gz", samples.live(pad=3_000_000))
    cloud.scf.wait_idle(60)
    cloud.scf.tick()
    cloud.scf.invoke({"Type": "Timer", "TriggerName": "t", "Time": "", "Message": "reconcile"})
    cloud.scf.wait_idle(60)
    assert [each.error for each in cloud.scf.invocations if not each.ok] == []
    (message,) = cloud.consumer.messages.values()
    assert (message["data"]["outcome"], message["data"]["pair"]) == ("matched", {"id": "张 三"})
    assert message["data"]["best_frame"]
    assert cloud.cos.bucket(cloud.bucket).keys("uploads/") == []
    assert no_import_failed(cloud)
    assert [(path, path.stat().st_mtime_ns) for path in sorted(built.dist.rglob("*"))] == before


def test_what_goes_wrong_needs_nothing_more(cloud: Cloud, built: Built, isolated: str) -> None:
    """Errors of COS in XML, of the API in JSON, cut connections, a balancer's page, a webhook gone."""
    cloud.deploy(built.dist, executable=isolated)
    uploads = Uploads(cloud, cloud.bucket)
    for name in ("1", "2"):
        uploads.put(f"uploads/{name}/image.jpg", samples.image())
    cloud.scf.wait_idle(60)
    scripts = [
        cloud.faults.add("GetObject", key="livepair/*", then=faults.refuse(503, "SlowDown")),
        cloud.faults.add("PutObject", key="livepair/claims/*", then=faults.cut_after()),
        cloud.faults.add("PutObject", key="livepair/records/*", then=faults.html()),
        cloud.faults.add("DetectReflectLivenessAndCompare", then=faults.cut_before()),
    ]
    cloud.consumer.answer(410, times=1)
    uploads.put("uploads/1/live.gz", samples.live(error="FailedOperation.ActionLightDark"))
    cloud.scf.wait_idle(60)
    assert [script.hits for script in scripts] == [1, 1, 1, 1]
    (attempt,) = cloud.consumer.attempts
    assert b"FailedOperation.ActionLightDark" in attempt.body
    cloud.faults.add("PutObject", key="livepair/claims/*", then=faults.refuse(403, "AccessDenied"))
    uploads.put("uploads/2/live.gz", samples.live())
    cloud.scf.wait_idle(60)
    assert "name/cos:PutObject" in cloud.scf.invocations[-1].log[0]
    assert no_import_failed(cloud)


# --- builds that fail --------------------------------------------------------------------------------


def a_failed_build(project: Path, **environment: str) -> str:
    """What a build says that fails, having left the bundle before it alone and nothing of its own."""
    (project / "dist").mkdir()
    (project / "dist" / "index.py").write_text("before")
    (project / "livepair.zip").write_text("before")
    process = building(project, environment=environment)
    printed, said = process.communicate()
    assert process.returncode == 1, (printed, said)
    assert printed == ""
    assert (project / "dist" / "index.py").read_text() == "before"
    assert (project / "livepair.zip").read_text() == "before"
    assert {path.name for path in project.iterdir()} == {
        *("handler", "requirements.txt", "requirements-build.txt", "dist", "livepair.zip")
    }
    assert said.count("\n") == 1
    return said


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """The build says which, in one line, and changes nothing."""
    project = a_project(tmp_path / "project")
    text = (project / "requirements.txt").read_text()
    (project / "requirements.txt").write_text(re.sub(r"(?<=sha256:)[0-9a-f]{8}", "00000000", text))
    assert re.search(r"other bytes than requirements.txt names: \w+==", a_failed_build(project))


def test_an_index_out_of_reach_is_said(tmp_path: Path) -> None:
    """In one line, without the index's address, which may hold a password."""
    said = a_failed_build(
        a_project(tmp_path / "project"),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://user:hunter2@127.0.0.1:9/simple",
        PIP_EXTRA_INDEX_URL="",
        PIP_FIND_LINKS="",
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert "the package index is out of reach" in said
    assert "hunter2" not in said


def test_a_requirement_with_a_condition_is_refused(tmp_path: Path) -> None:
    """pip would judge it by the building Python."""
    project = a_project(tmp_path / "project")
    with (project / "requirements.txt").open("a") as requirements:
        requirements.write('tomli==2.0.1 ; python_version < "3.11"\n')
    assert "tomli in requirements.txt has a condition" in a_failed_build(project)


def test_a_python_that_refuses_to_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shim does; without any, what is built says so."""
    shim = tmp_path / "python3.10"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    found = bundle.find_python(tmp_path)
    assert (found and found[0]) == (Path(sys.executable) if sys.version_info[:2] == (3, 10) else None)
    printed = bundle._report(bundle.Bundle({"index.py": 1}, 1, "", {}, None))
    assert "no CPython 3.10 works here, so every cold start compiles anew" in printed
