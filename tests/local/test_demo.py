"""`make demo`: what it prints can be read. tests/operator/test_policy.py holds that it does what it shows."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from tests import demo
from tests.support.project import PROJECT


def _data(expected: demo.Expected) -> dict[str, Any]:
    """A message's data that is as it should be, with all that the table shows of it."""
    return {
        "outcome": expected.outcome,
        "similarity": 12.5 if expected.outcome in ("matched", "mismatched") else None,
        "reason": expected.code and {"code": expected.code},
        "live": {"md5": "/".join(expected.pair)},
        "api": {"calls": expected.calls},
    }


@pytest.mark.parametrize("width", [80, 100, demo.FILE_WIDTH])
def test_the_table_cuts_no_word(width: int) -> None:
    """From 80 columns on each row is one line, however long it took."""
    scenarios = demo._scenarios()
    calls = {}
    for scenario in scenarios:
        for expected in scenario.expected:
            scenario.arrived[expected.pair] = _data(expected)
            scenario.took[expected.pair] = 59.9
            calls["/".join(expected.pair)] = expected.calls
    printed = io.StringIO()
    Console(file=printed, width=width).print(demo._table(calls, scenarios))
    rows = [line.split() for line in printed.getvalue().splitlines() if line.strip()][2:]
    assert len(rows) == sum(len(scenario.expected) for scenario in scenarios)
    for scenario in scenarios:
        for number, expected in enumerate(scenario.expected):
            words = rows.pop(0)
            shows = scenario.shows if number == 0 else f"attempt {number + 1}"
            code = [expected.code.rpartition(".")[2]] if expected.code else []
            similarity = ["12.5"] if expected.outcome in ("matched", "mismatched") else []
            assert words == [
                *shows.split(),
                expected.outcome,
                *similarity,
                *code,
                str(expected.calls),
                "59.9",
                "s",
            ]


AS_IN_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tests.demo", run_name="__main__")
"""
"""What runs in the background has SIGINT ignored."""


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    """Whoever has seen enough gets their prompt back, and make a status that says so."""
    with subprocess.Popen(
        [sys.executable, "-c", AS_IN_A_TERMINAL],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("uploading")
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert said.endswith("Ended.\n")
