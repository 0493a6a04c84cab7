"""Run one history from its seed."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context

from tests.simulation.checks import check
from tests.simulation.history import SKEW, History, plan
from tests.simulation.profiles import Profile

CHUNK = 50
"""Histories that a worker runs between two reports."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one history."""

    seed: int
    violations: list[str]
    faults: Counter[str]
    trace: list[str] | None
    calls: int
    verdicts: int
    accepted: int


def run(seed: int, *, profile: Profile | None = None, skew: float = SKEW, tracing: bool = False) -> Result:
    """Draw the history of `seed`, run it and check it. The same seed is always the same history."""
    history = History(seed, plan(seed, profile), tracing=tracing, skew=skew)
    history.run(check)
    books = history.books
    return Result(
        seed,
        history.world.violations,
        history.world.faults,
        history.world.trace,
        books.calls,
        len(books.verdicts),
        sum(map(len, books.accepted.values())),
    )


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
