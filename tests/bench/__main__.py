"""`make bench`: one table of figures, each beside its floor or peer; JSON=1 prints it for machines."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from handler.cli.bundle import find_python
from tests.bench import cold, commands, cost, drawing, scale, walk, warm
from tests.bench.figures import Figure, Series, series_table, table
from tests.bench.stage import Stage
from tests.cloud import samples
from tests.support.project import PROJECT

HERE = Path(__file__).resolve().parent
MONTHS = (1000, 100_000, 10_000_000)
PARTS = ("cold", "warm", "requests", "burst", "history", "memory", "walk", "steady")


class _Found:
    """What has been measured so far."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.series: list[Series] = []
        self.steady: list[Series] = []
        self.costs: list[cost.Cost] = []
        self.bars: list[warm.Bar] = []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=PROJECT / "dist", help="the folder that is deployed")
    parser.add_argument("--python", help="the platform's Python, 3.10, where another one is meant")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--draw", action="store_true", help="write the pictures beside this file")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only some of {', '.join(PARTS)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not (chosen.bundle / "index.py").is_file():
        parser.error(f"no index.py in {chosen.bundle}: run make bundle, or name a folder with --bundle")
    works = find_python(PROJECT)
    python = chosen.python or (str(works[0]) if works else None)
    if python is None:
        print(
            "No CPython 3.10 works here: measured with the running one, which the .pyc files are not for.",
            file=sys.stderr,
        )
        python = sys.executable
    began = time.monotonic()
    found = _Found()
    with TemporaryDirectory(prefix="livepair-bench-") as folder:
        _measure(found, chosen.parts or PARTS, chosen.bundle.resolve(), python, Path(folder))
    machine = _machine(python, time.monotonic() - began)
    if chosen.draw:
        if found.bars:
            (HERE / "waterfall.svg").write_text(drawing.waterfall(found.bars))
        if found.series:
            (HERE / "growth.svg").write_text(drawing.growth(found.series))
        if found.steady:
            (HERE / "steady.svg").write_text(drawing.growth(found.steady))
    if chosen.json:
        print(json.dumps(_told(found, machine), indent=1))
    else:
        _show(found, machine)
    return 0


def _measure(found: _Found, parts: Any, bundle: Path, python: str, folder: Path) -> None:
    if "cold" in parts:
        found.figures += cold.cold_start(bundle, python, folder, _say)
    if {"warm", "requests", "history", "memory", "walk"} & set(parts):
        with Stage(bundle, python, folder) as stage:
            if "warm" in parts:
                figures, found.bars = warm.latency(stage, _say)
                found.figures += figures + warm.cpu(stage, _say)
            if "requests" in parts:
                figures, operations = warm.requests(stage)
                found.figures += figures
                found.costs = _costs(stage, operations.total())
            if "memory" in parts:
                figures, *series = scale.memory(stage, bundle, python, _say)
                found.figures += figures
                found.series += series
            if "history" in parts:
                figures, *series = scale.history(stage, _say)
                found.figures += figures
                found.series += series
            if "walk" in parts:
                figures, *series = walk.walks(stage, _say)
                found.figures += figures + commands.commands(stage, _say, walk.WALKS[-1])
                found.series += series
    if "burst" in parts:
        figures, *series = scale.bursts(_say)
        found.figures += figures + scale.fast(_say)
        found.series += series
    if "steady" in parts:
        figures, found.steady = scale.steadily(_say)
        found.figures += figures


def _costs(stage: Stage, cos_requests: int) -> list[cost.Cost]:
    """With the latencies that things have out there."""
    stage.slow()
    image, live = stage.pair()
    first = stage.invoke("livepair", stage.event_of(image, samples.image()))
    second = stage.invoke("livepair", stage.event_of(live, samples.live(seed=3)))
    sweep = stage.invoke("livepair", {"Type": "Timer", "TriggerName": "sweep", "Message": ""})
    stage.quick()
    costs = cost.thousand(cos_requests, first.duration + second.duration, sweep.duration)
    return [*costs, *(cost.months(costs, many) for many in MONTHS)]


def _machine(python: str, seconds: float) -> dict[str, Any]:
    asked = "import platform; print(platform.python_version())"
    version = subprocess.run([python, "-I", "-S", "-c", asked], capture_output=True, text=True, check=True)
    cores = len(
        [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]
    )
    return {
        "function's Python": version.stdout.strip(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": cores,
        "took_s": round(seconds),
    }


def _told(found: _Found, machine: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine": machine,
        "figures": [each.told() for each in found.figures],
        "series": [each._asdict() for each in found.series + found.steady],
        "costs": [cost.told(each) for each in found.costs],
        "waterfall": [each._asdict() for each in found.bars],
    }


def _show(found: _Found, machine: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(found.figures))
    if found.series or found.steady:
        console.print(series_table(found.series + found.steady))
    if found.costs:
        made = Table(title="Besides the API itself, before any free tier", title_justify="left", box=None)
        for line in map(cost.text, found.costs):
            made.add_row(*line)
        console.print(made)
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), style="dim")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
