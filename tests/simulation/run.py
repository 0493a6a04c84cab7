"""Run one history from its seed."""

from __future__ import annotations

import gc
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.axes import widened
from tests.simulation.checks import check
from tests.simulation.history import SKEW, History
from tests.simulation.plan import plan
from tests.simulation.profiles import Profile

CHUNK = 50
"""Histories that a worker runs between two reports."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one history. `options` are those of the command line that draw the same one."""

    seed: int
    options: str
    violations: list[str]
    faults: Counter[str]
    trace: list[str] | None
    calls: int
    verdicts: int
    accepted: int

    @property
    def replay(self) -> str:
        """The command that runs the same history again and prints its trace."""
        return " ".join(filter(None, ("python -m tests.simulation", self.options, f"--seed {self.seed}")))


def run(
    seed: int,
    *,
    profile: Profile | None = None,
    skew: float = SKEW,
    tracing: bool = False,
    options: str | None = None,
) -> Result:
    """Draw the history of `seed`, run it and check it. The same seed is always the same history.

    `options` are the command line's where they are more than a profile's name.
    """
    drawn = plan(seed, profile) if profile else widened(seed, plan(seed))
    history = History(seed, drawn, tracing=tracing, skew=skew)
    history.run(check)
    books = history.books
    if options is None:
        options = f"--profile {profile.__name__}" if profile else ""
    return Result(
        seed,
        options,
        history.world.violations,
        history.world.faults,
        history.world.trace,
        books.calls,
        len(books.verdicts),
        sum(map(len, books.accepted.values())),
    )


def told(results: Iterable[Result], costs: tuple[str, ...] = ()) -> list[str]:
    """What went wrong, each history with the command that replays it and the commit that it replays on.

    Violations that begin with one of `costs` are left out.
    """
    lines = []
    for result in results:
        texts = [text for text in result.violations if text.split(":")[0] not in costs]
        lines += [f"seed {result.seed}: {text}" for text in texts]
        if texts:
            lines.append(f"    on commit {commit()}: {result.replay}")
    return lines


@lru_cache(1)
def commit() -> str:
    """The commit that runs, and whether the code differs from it: a seed means the same on the same code."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words],  # noqa: S607 # whichever git there is
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", "../../handler", ".")
        return git("rev-parse", "--short", "HEAD") + (", dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run_side_by_side(seeds: range, play: Callable[..., Result], jobs: int) -> Iterator[Result]:
    """Run a history for each seed, on so many cores; the results come in order.

    Workers are forks, so that a protection that was switched off is off in them too.
    """
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if jobs < 2 or len(chunks) < 2:
        yield from run_many(seeds, play)
        return
    with get_context("fork").Pool(jobs, _let_play, (play,)) as pool:
        for results in pool.imap(_run_chunk, chunks):
            yield from results


_playing: Callable[..., Result] = run
"""What a worker runs for each seed."""


def _let_play(play: Callable[..., Result]) -> None:
    global _playing
    _playing = play


def _run_chunk(seeds: range) -> list[Result]:
    return list(run_many(seeds, _playing))


def run_many(seeds: Iterable[int], play: Callable[..., Result] = run) -> Iterator[Result]:
    """Run a history for each seed.

    Histories are full of cycles (greenlets and what they call), and looking for these all the time costs a
    third of the time: it is done now and then.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        for number, seed in enumerate(seeds, 1):
            yield play(seed)
            if number % 200 == 0:
                gc.collect()
    finally:
        if was_on:
            gc.enable()
