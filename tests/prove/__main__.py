"""Look at every schedule of the scenes: `python -m tests.prove`, or replay one: `--scene NAME --schedule S`.

With `--break NAME` a protection is switched off, and schedules are looked for in which that shows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from tests.prove.explore import (
    BOTH,
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
from tests.prove.scene import Scene
from tests.prove.scenes import BY_NAME, NOT_SHOWN, SHOWN
from tests.simulation.protections import COUNTED, EVERY, switched_off
from tests.simulation.run import commit


def main() -> int:
    protections = {protection.name: protection for protection in (*EVERY, *COUNTED)}
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--scene", choices=BY_NAME, metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--schedule", metavar="S", help="replay this schedule of the scene, with its trace")
    parser.add_argument(
        "--break", dest="broken", choices=protections, metavar="NAME", help=", ".join(protections)
    )
    bounds = parser.add_mutually_exclusive_group()
    bounds.add_argument("--small", action="store_const", const=SMALL, dest="bounds", help=f"{SMALL}")
    bounds.add_argument("--both", action="store_const", const=BOTH, dest="bounds", help=f"{BOTH}")
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
        broken = _all(those, chosen.bounds or FULL, chosen.jobs, chosen.broken)
    if not chosen.scene and not chosen.broken:
        broken += _protections(chosen.jobs)
    return bool(broken)


def _replay(scene: Scene, text: str) -> int:
    stage = play(scene, USUAL._replace(schedule=schedule_of(text)), tracing=True)
    print("\n".join(stage.trace or ()))
    print("\n".join(stage.violations) or "no violation")
    return bool(stage.violations)


def _all(names: Sequence[str], bounds: Bounds, jobs: int, broken: str | None) -> int:
    """Look at all schedules, or where something is broken until that shows. Returns how much was violated."""
    began = time.perf_counter()
    print(f"{'scene':18} {'steps':>5} {'schedules':>9} {'violations':>10}", flush=True)
    total = violations = 0
    look = partial(look_at, bounds=bounds, stop_at="" if broken else None)
    for found in side_by_side(look, largest_first(names), jobs):
        name, seen = found.scene, len(found.violations)
        says, fewer = BY_NAME[name].says, BY_NAME[name].beside_a_fault
        if fewer < bounds.one_fault:
            says += f" (beside a fault {fewer} preemption)"
        print(f"{name:18} {found.steps:5} {found.schedules:9,} {seen or 'none':>10}   {says}", flush=True)
        _tell(found, broken)
        total, violations = total + found.schedules, violations + seen
    seconds = time.perf_counter() - began
    print(f"{len(names)} scenes, {total:,} schedules in {seconds:.0f} s, {violations or 'no'} violations")
    print(f"bounds: {bounds}")
    return violations


def _tell(found: Found, broken: str | None) -> None:
    off = f"--break {broken} " if broken else ""
    for text, schedule in found.violations.items():
        print(f"  {text}")
        replay = f"{off}--scene {found.scene} --schedule {text_of(schedule)}"
        print(f"  on commit {commit()}: python -m tests.prove {replay}", flush=True)


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
