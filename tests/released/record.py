"""Record what this version writes into its state bucket: python -m tests.released.record FOLDER

To be run once for a version whose state has another shape, into a folder of its own, and never again for it.
`state-1` is older than the seals of records. No version had been released by then, so its records were put
into the shape that they have now: what was decided apart from the marks, with the seal that
`tests.support.released_state.sealed` makes. Nothing else of it was touched. The local cloud's secret seals.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.support.harness import IMAGE, LIVE, Livepair
from tests.support.operator import Operator
from tests.support.released_state import move_to, scene_of

BEGIN = datetime(2100, 1, 1, 12, microsecond=100_000, tzinfo=timezone.utc)
"""After every clock that a test may begin with, since clocks only go forward."""

Snap = Callable[[], None]
"""Records the moment; the last one recorded counts."""

TROUBLE = "FailedOperation.LivessSystemError"
SHARED = {"LIVE_KEY": "uploads/{user}/{attempt}/live.gz", "IMAGE_KEY": "faces/{user}.jpg"}


def told(livepair: Livepair, snap: Snap, **live: Any) -> None:
    livepair.pair(samples.live(**live))
    snap()


def incomplete(livepair: Livepair, snap: Snap) -> None:
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.finish()
    snap()


def about_to_tell(livepair: Livepair, snap: Snap) -> None:
    """The instance dies with the delivery on the agenda and before there is a record to deliver."""
    livepair.cloud.faults.add("PutObject", key="livepair/agenda/*/deliver-*", then=faults.run_after(snap))
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.finish()


def untold(livepair: Livepair, snap: Snap) -> None:
    """The instance dies once the record is there."""
    livepair.cloud.faults.add("PutObject", key="livepair/records/*", then=faults.run_after(snap))
    livepair.pair()


def dead(livepair: Livepair, snap: Snap) -> None:
    livepair.cloud.consumer.answer(410)
    livepair.pair()
    snap()


def to_delete(livepair: Livepair, snap: Snap) -> None:
    """The instance dies once the record is marked as delivered."""
    livepair.cloud.faults.add("PutObject", key="livepair/records/*", then=faults.run_after(snap), skip=1)
    livepair.pair()


def called(livepair: Livepair, snap: Snap) -> None:
    """The instance dies with the answer on its way."""
    livepair.cloud.faults.add(COMPARE, then=faults.run_after(snap))
    livepair.pair()


def called_for_the_last_time(livepair: Livepair, snap: Snap) -> None:
    """The same after six times trouble."""
    livepair.cloud.faults.add(COMPARE, then=faults.run_after(snap), skip=7)
    livepair.pair(samples.live(error=TROUBLE))
    livepair.finish()


def throttled(livepair: Livepair, snap: Snap) -> None:
    livepair.cloud.faceid.limits[COMPARE] = 0
    livepair.pair()
    livepair.due()
    livepair.due()
    snap()


def trouble(livepair: Livepair, snap: Snap) -> None:
    livepair.pair(samples.live(error=TROUBLE))
    livepair.due()
    livepair.due()
    snap()


def no_similarity(livepair: Livepair, snap: Snap) -> None:
    livepair.cloud.faceid.script(*[Answer(error=TROUBLE)] * 2)
    livepair.pair(samples.live(sim=None))
    livepair.due()
    snap()


def ours(livepair: Livepair, snap: Snap) -> None:
    refused = faults.refuse(200, "ResourceUnavailable.InArrears")
    livepair.cloud.faults.add(COMPARE, then=refused, times=None)
    livepair.pair()
    livepair.due()
    snap()


def no_time(livepair: Livepair, snap: Snap) -> None:
    """The claim was had, and the time for a call was gone."""
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.put(LIVE, samples.live())
    livepair.cloud.faults.add("PutObject", then=faults.run_after(partial(livepair.clock.lose, 70)))
    livepair.run()
    snap()


def look(livepair: Livepair, snap: Snap) -> None:
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.due()
    snap()


def look_at_once(livepair: Livepair, snap: Snap) -> None:
    refused = faults.refuse(503, "ServiceUnavailable")
    livepair.cloud.faults.add("HeadObject", then=refused, times=None)
    livepair.pair()
    snap()


def look_for_a_run(livepair: Livepair, snap: Snap) -> None:
    livepair.pair(samples.live(error="FailedOperation.BrandNew"))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        operator = Operator(livepair.cloud, patch, Path(folder))
        operator.fine("retry", livepair.data["verification_id"])
    snap()


def deliver(livepair: Livepair, snap: Snap) -> None:
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    snap()


def lost_pairs(livepair: Livepair) -> None:
    for number in (1, 2, 3):
        livepair.put(f"uploads/{number}/image.jpg", samples.image())
        livepair.put(f"uploads/{number}/live.gz", samples.live(seed=number))
    livepair.drop(6)
    livepair.cloud.clock.advance(3600)


def walk_begun(livepair: Livepair, snap: Snap) -> None:
    """The first walk ever, with no time to look at anything."""
    lost_pairs(livepair)
    event = {"Type": "Timer", "TriggerName": "daily", "Time": "2100-01-01T13:00:00Z", "Message": "reconcile"}
    livepair.handle(event, 29)
    snap()


def walk_under_way(livepair: Livepair, snap: Snap) -> None:
    """The second walk, out of time after the first upload."""
    livepair.reconcile()
    lost_pairs(livepair)
    livepair.cloud.faults.add("HeadObject", then=faults.run_after(partial(livepair.clock.lose, 55)))
    livepair.reconcile()
    snap()


def walked(livepair: Livepair, snap: Snap) -> None:
    livepair.reconcile()
    snap()


def waiting(livepair: Livepair, snap: Snap) -> None:
    for attempt in (1, 2):
        livepair.put(f"uploads/ann/{attempt}/live.gz", samples.live(seed=attempt))
    livepair.run()
    snap()


def serving(livepair: Livepair, snap: Snap) -> None:
    """The instance dies while it serves the first of two, having called for it."""
    for attempt in (1, 2):
        livepair.put(f"uploads/ann/{attempt}/live.gz", samples.live(seed=attempt))
    livepair.run()
    livepair.put("faces/ann.jpg", samples.image())
    livepair.cloud.faults.add(COMPARE, then=faults.run_after(snap))
    livepair.run()


SCENES: dict[str, tuple[Callable[[Livepair, Snap], None], dict[str, str]]] = {
    "told-matched": (told, {}),
    "told-mismatched": (partial(told, sim=41.7), {}),
    "told-rejected": (partial(told, result="FailedOperation.LivessDetectFake"), {}),
    "told-failed": (partial(told, error="FailedOperation.BrandNew"), {}),
    "told-incomplete": (incomplete, {}),
    "about-to-tell": (about_to_tell, {}),
    "untold": (untold, {}),
    "dead": (dead, {}),
    "to-delete": (to_delete, {"DELETE_UPLOADS": "both"}),
    "called": (called, {}),
    "called-for-the-last-time": (called_for_the_last_time, {}),
    "throttled": (throttled, {}),
    "trouble": (trouble, {}),
    "no-similarity": (no_similarity, {}),
    "ours": (ours, {}),
    "no-time": (no_time, {}),
    "look": (look, {}),
    "look-at-once": (look_at_once, {}),
    "look-for-a-run": (look_for_a_run, {}),
    "deliver": (deliver, {}),
    "walk-begun": (walk_begun, {}),
    "walk-under-way": (walk_under_way, {}),
    "walked": (walked, {}),
    "waiting": (waiting, SHARED),
    "serving": (serving, SHARED),
}


def record(name: str, folder: Path) -> None:
    """Play a scene on a local cloud of its own, and keep it."""
    play, settings = SCENES[name]
    kept: list[dict[str, Any]] = []
    with Cloud() as cloud, pytest.MonkeyPatch.context() as patch:
        livepair = Livepair(cloud, patch, **settings)
        move_to(cloud.clock, BEGIN)
        play(livepair, lambda: kept.append(scene_of(livepair, settings)))
    text = json.dumps(kept[-1], ensure_ascii=False, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", "utf-8")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir()  # a version's scenes are recorded once
    for name in SCENES:
        record(name, folder)


if __name__ == "__main__":
    main()
