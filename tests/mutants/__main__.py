"""Change the code a little, thousands of times, and see that a test notices: `python -m tests.mutants`.

mutmut makes the mutants, one change each, and runs for each the tests that reach the changed function
(pyproject.toml says which). mypy first takes out what it sees by itself. A mutant that survives is a test
that is missing, or a change that changes nothing: `survivors.json` lists these with their reasons.

With names of mutants, as this prints them, only these are run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

from tests.support.project import PROJECT, TESTS

LEAST = 0.95
"""The share of mutants that must not survive."""

MADE = PROJECT / "mutants"
EXPLAINED = TESTS / "mutants" / "survivors.json"

NOTICED = {1: "by a test", 3: "by a test", 36: "as they never end", 24: "as they never end", 37: "by mypy"}
"""mutmut's exit codes of mutants that are noticed, and how."""

NEVER_ENDS = (-24, 152, 255)


class Survivor(NamedTuple):
    """A mutant that nothing notices. `change` is its lines: `-` what stood there, `+` what did then."""

    name: str
    function: str
    change: tuple[str, ...]


def main(names: list[str]) -> int:
    if not names:
        shutil.rmtree(
            MADE, ignore_errors=True
        )  # or mutmut would take the former run's word for what is unchanged
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        [sys.executable, "-m", "mutmut", "run", *names], cwd=PROJECT, env={**os.environ, "PATH": path}
    )
    if ran.returncode:
        return ran.returncode
    results = dict(_results(names))
    noticed = Counter(how for how in results.values() if how)
    survivors = [_survivor(name) for name, how in results.items() if how is None]
    unexplained = _tell(survivors, whole=not names)
    share = noticed.total() / len(results)
    print(
        f"{len(results):,} mutants: {', '.join(f'{n:,} noticed {how}' for how, n in noticed.most_common())}"
    )
    print(f"{len(survivors):,} survive, {unexplained} of them unexplained; {share:.1%} are noticed")
    return bool(unexplained) or share < LEAST


def _results(names: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each mutant that was run, and how it was noticed; None where it was not."""
    for path in sorted(MADE.glob("handler/**/*.meta")):
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            if not names or name in names:
                yield name, "as they never end" if code in NEVER_ENDS else NOTICED.get(code)


def _survivor(name: str) -> Survivor:
    module, _, mangled = name.rpartition(".")
    function = mangled.partition("__mutmut_")[0]
    path = MADE / f"{module.replace('.', '/')}.py"
    spans = json.loads(path.with_suffix(".py.spans").read_text())["spans"]
    lines = path.read_text(encoding="utf-8").splitlines()

    def source(name: str) -> list[str]:
        begin, end = spans[name]
        return [line.strip() for line in lines[begin - 1 : end] if not line.strip().startswith("def ")]

    diff = unified_diff(source(f"{function}__mutmut_orig"), source(mangled), n=0, lineterm="")
    change = tuple(line for line in list(diff)[2:] if not line.startswith("@@"))
    readable = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return Survivor(name, f"{module}.{readable}", change)


def _tell(survivors: list[Survivor], *, whole: bool) -> int:
    """Print what is not explained, and which explanations are out of date. Returns how many these are."""
    groups = json.loads(EXPLAINED.read_text(encoding="utf-8"))
    explained = {(each["function"], tuple(each["change"])) for group in groups for each in group["mutants"]}
    new = [each for each in survivors if (each.function, each.change) not in explained]
    for each in new:
        print(f"\n{each.name} survives:", *each.change, sep="\n    ")
    gone = explained - {(each.function, each.change) for each in survivors} if whole else set()
    for function, change in sorted(gone):
        print(f"\n{EXPLAINED.name} explains what does not survive, in {function}:", *change, sep="\n    ")
    return len(new) + len(gone)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
