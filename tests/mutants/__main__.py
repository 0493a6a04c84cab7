"""Change the code a little, thousands of times, and see that something notices: `python -m tests.mutants`.

mutmut makes the mutants, one change each (pyproject.toml says where), and mypy takes out what it sees by
itself. `running` runs, for each of the others, the tests that reach the changed function. A mutant that
survives is a test that is missing, or a change that changes nothing: `survivors.json` lists those with their
reasons.

With names of functions, or of mutants as this prints them, only these are run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

from mutmut.configuration import config
from mutmut.mutation.file_mutation import filter_mutants_with_type_checker, mutate_file_contents

from tests.mutants.running import NAMES, RESULTS
from tests.support.project import PROJECT, TESTS

LEAST = 0.95
"""The share of mutants that must not survive."""

MADE = PROJECT / "mutants"
EXPLAINED = TESTS / "mutants" / "survivors.json"
QUICK = (
    "tests/rules",
    "tests/state",
    "tests/flow",
    "tests/mutants/short_simulation.py",
    "--ignore=tests/rules/test_purity.py",  # what mutmut makes imports mutmut
)


class Mutant(NamedTuple):
    """One change. `change` is its lines: `-` what stood there, `+` what stands there then."""

    function: str
    change: tuple[str, ...]


def main(chosen: list[str]) -> int:
    began = time.monotonic()
    os.chdir(PROJECT)
    # Command and project of the type checker are looked for from here.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mutants = _make()
    noticed = dict.fromkeys(filter_mutants_with_type_checker(), "by mypy")
    left = [name for name in mutants if name not in noticed and _is_chosen(mutants[name], name, chosen)]
    (MADE / NAMES).write_text(json.dumps(left))
    tests = [sys.executable, "-m", "pytest", "-p", "tests.mutants.running", "-n", "0", *QUICK]
    if subprocess.run(tests, cwd=MADE, env={**os.environ, "CI": "1"}).returncode:
        return 1
    noticed |= json.loads((MADE / RESULTS).read_text())
    if chosen:
        mutants = {name: mutants[name] for name in left}
    survivors = {name: mutant for name, mutant in mutants.items() if not noticed.get(name)}
    unexplained = _tell(survivors, whole=not chosen)
    ways = Counter(noticed[name] for name in mutants if noticed.get(name))
    share = 1 - len(survivors) / max(1, len(mutants))
    print(f"\n{len(mutants):,} mutants in {time.monotonic() - began:.0f} s:", end=" ")
    print(", ".join(f"{number:,} noticed {how}" for how, number in ways.most_common()))
    print(f"{len(survivors):,} survive, {unexplained} of them unexplained; {share:.1%} are noticed")
    return bool(unexplained) or share < LEAST


def _make() -> dict[str, Mutant]:
    """Write the project with all mutants in it, each asleep. Returns them by name."""
    shutil.rmtree(MADE, ignore_errors=True)
    for name in ("handler", "tests", "events"):
        shutil.copytree(name, MADE / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(name, MADE)
    mutants: dict[str, Mutant] = {}
    for path in sorted(Path("handler").rglob("*.py")):
        if not config().should_mutate(path):
            continue
        made = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
        (MADE / path).write_text(made.code, encoding="utf-8")
        lines = made.code.splitlines()
        source = {
            name: [line.strip() for line in lines[span.start - 1 : span.end]]
            for name, span in made.line_span_by_function_name.items()
        }
        module = ".".join(path.with_suffix("").parts)
        for name in made.mutant_names:
            mangled = name.partition("__mutmut_")[0]
            change = _change(source[f"{mangled}__mutmut_orig"], source[name])
            mutants[f"{module}.{name}"] = Mutant(f"{module}.{_readable(mangled)}", change)
    return mutants


def _readable(mangled: str) -> str:
    """A function's name as the code has it; a method's with its class."""
    return mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def _change(before: list[str], after: list[str]) -> tuple[str, ...]:
    diff = list(unified_diff(before, after, n=0, lineterm=""))[2:]
    return tuple(line for line in diff if line[:2] != "@@" and "__mutmut_" not in line)


def _is_chosen(mutant: Mutant, name: str, chosen: list[str]) -> bool:
    return not chosen or name in chosen or any(mutant.function.startswith(each) for each in chosen)


def _tell(survivors: dict[str, Mutant], *, whole: bool) -> int:
    """Print what is not explained, and which explanations are out of date. Returns how many these are."""
    groups = json.loads(EXPLAINED.read_text(encoding="utf-8"))
    explained = {
        Mutant(each["function"], tuple(each["change"])) for group in groups for each in group["mutants"]
    }
    new = {name: mutant for name, mutant in survivors.items() if mutant not in explained}
    for name, mutant in new.items():
        print(f"\n{name} survives:", *mutant.change, sep="\n    ")
    gone = explained - set(survivors.values()) if whole else set()
    for mutant in sorted(gone):
        print(
            f"\n{EXPLAINED.name} explains what does not survive: {mutant.function}",
            *mutant.change,
            sep="\n    ",
        )
    return len(new) + len(gone)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
