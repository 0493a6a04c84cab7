"""Look at every schedule of the scenes: `python -m tests.prove`, or replay one: `--scene NAME --schedule S`.

With `--break NAME` a protection is switched off, and schedules are looked for in which that shows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from tests.prove.explore import (
    FULL,
    SMALL,
    USUAL,
    Bounds,
    Found,
    largest_first,
    look_at,
    look_for_protection,
    play,
    schedule_of,
    side_by_side,
    text_of,
)
from tests.prove.scenes import BY_NAME, NOT_SHOWN, SHOWN, Scene
from tests.simulation.protections import COUNTED, EVERY, switched_off


def main() -> int:
    protections = {protection.name: protection for protection in (*EVERY, *COUNTED)}
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--scene", choices=BY_NAME, metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--schedule", metavar="S", help="replay this schedule of the scene, with its trace")
    parser.add_argument(
        "--break", dest="broken", choices=protections, metavar="NAME", help=", ".join(protections)
    )
    parser.add_argument("--small", action="store_true", help="the bounds of the tests")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="on how many cores"
    )
    chosen = parser.parse_args()
    if chosen.schedule and not chosen.scene:
        parser.error("--schedule needs --scene")
    off: AbstractContextManager[None] = nullcontext()
    if chosen.broken:
        off = switched_off(protections[chosen.broken])
    those = [chosen.scene] if chosen.scene else list(BY_NAME)
    with off:
        if chosen.schedule:
            return _replay(BY_NAME[chosen.scene], chosen.schedule)
        broken = _all(those, SMALL if chosen.small else FULL, chosen.jobs, stop=bool(chosen.broken))
    if not chosen.scene and not chosen.broken:
        broken += _protections(chosen.jobs)
    return bool(broken)


def _replay(scene: Scene, text: str) -> int:
    stage = play(scene, USUAL._replace(schedule=schedule_of(text)), tracing=True)
    print("\n".join(stage.trace or ()))
    print("\n".join(stage.violations) or "no violation")
    return bool(stage.violations)


def _all(names: Sequence[str], bounds: Bounds, jobs: int, *, stop: bool) -> int:
    """Look at all schedules, or with `stop` until one violates something. Returns how much was violated."""
    began = time.perf_counter()
    print(f"{'scene':18} {'steps':>5} {'schedules':>9} {'violations':>10}", flush=True)
    total = violations = 0
    look = partial(look_at, bounds=bounds, stop_at="" if stop else None)
    for found in side_by_side(look, largest_first(names), jobs):
        name, seen = found.scene, len(found.violations)
        says = BY_NAME[name].says
        print(f"{name:18} {found.steps:5} {found.schedules:9,} {seen or 'none':>10}   {says}", flush=True)
        _tell(found)
        total, violations = total + found.schedules, violations + seen
    seconds = time.perf_counter() - began
    print(f"{len(names)} scenes, {total:,} schedules in {seconds:.0f} s, {violations or 'no'} violations")
    print(f"bounds: {bounds}")
    return violations


def _tell(found: Found) -> None:
    for text, schedule in found.violations.items():
        print(f"  {text}")
        print(
            f"  at {_commit()}: python -m tests.prove --scene {found.scene} --schedule {text_of(schedule)}",
            flush=True,
        )


def _commit() -> str:
    """The commit that is run, and whether files differ from it."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no commit"


def _protections(jobs: int) -> int:
    """Switch off each protection that the scenes can show. Returns how many were not missed."""
    print(f"\n{'switched off':26} {'scene':18} {'schedules':>9}   found")
    missed = 0
    for found in side_by_side(look_for_protection, list(SHOWN), jobs):
        name, _, scene = found.scene.partition("@")
        text, schedule = next(iter(found.violations.items()), ("NOTHING", ()))
        missed += not found.violations
        print(f"{name:26} {scene:18} {found.schedules:9,}   {text_of(schedule)}: {text}", flush=True)
    for name, why in NOT_SHOWN.items():
        print(f"{name:26} {'only at random':18} {'':9}   {why}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
