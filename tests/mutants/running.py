"""A pytest plugin that runs the collected tests against each mutant, in a process of its own.

The tests are collected and run once, to see which functions each of them reaches and how long it takes. Then
this process forks for each mutant, and the fork runs the tests that reach the mutant's function, the shortest
first, until one fails. So nothing is imported or collected anew.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation import trampoline

NAMES, RESULTS = "names.json", "results.json"
"""Which mutants to run, and how each was noticed: None where it was not."""

TEST, ENDLESS = "by a test", "as its tests never end"

JOBS = int(os.environ.get("JOBS", 0)) or os.cpu_count() or 1

MEMORY = 2 * 1024**3
"""Bytes that a mutant may take: some never stop asking for more."""

SURVIVED, KILLED = 0, 1

Item = pytest.Item


def pytest_runtestloop(session: pytest.Session) -> bool:
    if session.testsfailed:
        raise session.Failed("the tests cannot be collected")
    reached = _reached(session)
    names = json.loads(Path(NAMES).read_text())
    capture = session.config.pluginmanager.getplugin("capturemanager")
    gc.collect()
    gc.freeze()  # forks share what is not touched
    results: dict[str, str | None] = {}
    running: dict[int, str] = {}
    for number, name in enumerate(names, 1):
        tests = reached.get(name.partition("__mutmut_")[0], [])
        if not tests:
            results[name] = None
            continue
        if len(running) >= JOBS:
            _wait(running, results)
        running[_fork(name, tests)] = name
        if number % 100 == 0:
            with capture.global_and_fixture_disabled():
                survive = sum(how is None for how in results.values())
                print(f"{number:,} of {len(names):,} mutants, {survive} survive", file=sys.stderr, flush=True)
    while running:
        _wait(running, results)
    Path(RESULTS).write_text(json.dumps(results))
    return True


def _reached(session: pytest.Session) -> dict[str, list[tuple[Item, float]]]:
    """The tests that reach each function, the shortest first, with their seconds."""
    hits: set[str] = set()
    vars(trampoline)["record_trampoline_hit"] = lambda name, caller=None: hits.add(name)
    trampoline.set_mutant_under_test("stats")
    found: defaultdict[str, list[tuple[Item, float]]] = defaultdict(list)
    for item in session.items:
        hits.clear()
        began = time.process_time()
        reports = runtestprotocol(item, log=False, nextitem=None)
        seconds = time.process_time() - began
        for report in reports:
            if report.failed:
                pytest.exit(f"{item.nodeid} fails without any mutant:\n{report.longreprtext}", returncode=1)
        for function in hits:
            found[function].append((item, seconds))
    for tests in found.values():
        tests.sort(key=lambda each: each[1])
    return found


def _fork(name: str, tests: list[tuple[Item, float]]) -> int:
    """Run the tests against a mutant in a process of its own. Returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = KILLED  # whatever goes wrong here, the mutant did it
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        trampoline.set_mutant_under_test(name)
        if not any(_fails(item, seconds) for item, seconds in tests):
            code = SURVIVED
    finally:
        os._exit(code)


def _fails(item: Item, seconds: float) -> bool:
    """Run a test. A signal ends the process where it takes far longer than it should."""
    signal.setitimer(signal.ITIMER_PROF, 2 + 5 * seconds)
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _wait(running: dict[int, str], results: dict[str, str | None]) -> None:
    """Wait for one of the forks, and note how its mutant was noticed."""
    pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    results[running.pop(pid)] = {SURVIVED: None, KILLED: TEST}.get(code, ENDLESS)
