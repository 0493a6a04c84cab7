"""Run histories: `python -m tests.simulation --seeds 10000`, or replay one: `--seed 42`.

With `--profile NAME` each history shows one thing. With `--break NAME` a protection is switched off, in
histories in which that shows, or an assumption broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from tests.simulation.assumptions import ASSUMPTIONS
from tests.simulation.protections import COUNTED, EVERY, switched_off
from tests.simulation.run import Result, run, run_side_by_side, told
from tests.simulation.scenes import PROFILES


def main() -> int:
    protections = {protection.name: protection for protection in (*EVERY, *COUNTED)}
    assumptions = {assumption.name: assumption for assumption in ASSUMPTIONS}
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many histories to run")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="on how many cores"
    )
    parser.add_argument("--seed", type=int, help="replay this history and print its trace")
    names = [*protections, *assumptions]
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--profile", choices=PROFILES, metavar="NAME", help=", ".join(PROFILES))
    either.add_argument("--break", dest="broken", choices=names, metavar="NAME", help=", ".join(names))
    chosen = parser.parse_args()
    play: Callable[..., Result] = partial(run, profile=PROFILES.get(chosen.profile))
    off: AbstractContextManager[None] = nullcontext()
    if chosen.broken:
        play = partial(run, options=f"--break {chosen.broken}")
    if chosen.broken in protections:
        play = partial(play, profile=protections[chosen.broken].profile)
        off = switched_off(protections[chosen.broken])
    elif chosen.broken:
        play = partial(play, profile=assumptions[chosen.broken].broken, skew=assumptions[chosen.broken].skew)
    with off:
        if chosen.seed is not None:
            result = play(chosen.seed, tracing=True)
            for line in result.trace or ():
                print(line.encode(errors="backslashreplace").decode())
            print("\n".join(told([result])))
            return bool(result.violations)
        return _all(play, range(chosen.first, chosen.first + chosen.seeds), chosen.jobs)


def _all(play: Callable[..., Result], seeds: range, jobs: int) -> int:
    began = time.perf_counter()
    faults: Counter[str] = Counter()
    failing = calls = verdicts = accepted = 0
    for result in run_side_by_side(seeds, play, jobs):
        faults += result.faults
        calls, verdicts = calls + result.calls, verdicts + result.verdicts
        accepted += result.accepted
        failing += bool(result.violations)
        for line in told([result]):
            print(line, flush=True)
    seconds = time.perf_counter() - began
    print(f"{len(seeds):9,} histories in {seconds:.0f} s, {len(seeds) / seconds:.0f} a second")
    print(f"{calls:9,} calls of the API, {verdicts:,} verdicts, {accepted:,} messages accepted")
    print(f"{sum(faults.values()):9,} faults:")
    for name, count in sorted(faults.items(), key=lambda item: -item[1]):
        print(f"{count:9,}   {name}")
    print(f"{failing:9,} histories that broke a promise")
    return bool(failing)


if __name__ == "__main__":
    sys.exit(main())
