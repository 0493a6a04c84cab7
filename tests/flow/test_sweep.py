"""A sweep: what is due is done, and what fails stands in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handler.edges.webhook import Delivery
from handler.flow.sweep import MOST_DUE, sweep
from handler.rules.agenda import Entry, Look, delivery, take_over
from handler.rules.events import Part
from handler.rules.schedule import PATIENCE
from handler.rules.uploads import Stored
from tests.support.scene import Scene, forbidden, unavailable
from tests.support.values import BUCKET, HOUR, LIVE, MINUTE, NOON, SECOND, SEEN, record


def four_sweeps(scene: Scene) -> list[str]:
    """One each minute."""
    outcomes: list[str] = []
    for minute in range(4):
        scene.clock.waited = minute * 60.0
        outcomes += sweep(scene.services())
    return outcomes


@pytest.mark.parametrize("bucket", [BUCKET, "other-1250000000"])
def test_thousands_of_entries_that_fail_stop_nothing_behind_them(bucket: str) -> None:
    """More than a sweep looks at, of pairs that COS does not show or of another function: each is put off."""
    scene = Scene()
    for number in range(MOST_DUE + 10):
        key = f"uploads/other-{number}/live.gz"
        scene.ledger.put_on(Entry(NOON - HOUR, Look(bucket, key, "live", NOON - HOUR)))
        scene.uploads.refuses[key] = unavailable(key)
    scene.ledger.put_on(Entry(NOON - MINUTE, take_over(SEEN, scene.verification(), 1)))
    assert four_sweeps(scene) == ["matched"]
    assert len(scene.tasks) == MOST_DUE + 10
    assert min(task.failures for task in scene.tasks) >= 2


def test_what_keeps_failing_slowly_does_not_starve_the_rest() -> None:
    """Five thousand are due, two thousand fail each time and use up most of every sweep: they back off."""
    scene = Scene()
    head = scene.uploads.head

    def slow(key: str) -> Stored | None:
        scene.clock.waited += 0.3 if "failing" in key else 0.0
        return head(key)

    scene.uploads.head = slow  # type: ignore[method-assign]
    for number in range(5000):
        key = f"uploads/{'failing' if number < 2000 else 'other'}-{number}/live.gz"
        scene.ledger.put_on(Entry(NOON - HOUR, Look(BUCKET, key, "live", NOON - HOUR)))
        if number < 2000:
            scene.uploads.refuses[key] = unavailable(key)
    for minute in range(20):
        scene.clock.waited = minute * 60.0
        assert sweep(scene.services()) == []
    assert len(scene.tasks) == 2000
    assert min(task.failures for task in scene.tasks) >= 1


@pytest.mark.parametrize("parts", [1, 2])
def test_a_webhook_that_hangs_keeps_no_pair_from_being_judged(parts: int) -> None:
    """More messages wait for it than a sweep looks at, and all have waited longer than the pair."""
    scene = Scene()
    scene.consumer.answers = [Delivery(False, None, "no answer in time", timed_out=True)]
    told = scene.ledger.record_once(record(), claimed=True)
    for number in range(MOST_DUE * parts + 10):
        task = delivery(told, 3)._replace(since=NOON - number * SECOND)
        scene.ledger.put_on(Entry(NOON - HOUR, task))
    scene.ledger.put_on(Entry(NOON - MINUTE, take_over(SEEN, scene.verification(), 1)))
    for number in range(parts):
        sweep(scene.services(), Part(number + 1, parts))
    assert len(scene.api.calls) == 1
    assert len(scene.consumer.posts) == 3 * parts


def test_what_fails_is_tried_less_and_less() -> None:
    """In a day about thirty times, and not each minute."""
    scene = Scene()
    scene.uploads.refuses[LIVE.key] = unavailable(LIVE.key)
    scene.event("live")
    for _ in range(24):
        scene.clock.waited += 3600
        sweep(scene.services())
    assert len([line for line in scene.logged if line["event"] == "pair"]) < 30


def test_an_upload_that_takes_too_long_to_read_ends_as_failed() -> None:
    """Each invocation gets a part of the way; after a day of that its outcome says so."""
    scene = Scene()
    part = LIVE._replace(md5=None, etag='"in parts-2"')
    scene.uploads.stored[LIVE.key] = part
    scene.uploads.unread[LIVE.key] = unavailable(LIVE.key)
    assert scene.event("live", etag=part.etag) == []
    until = scene.clock.now() + PATIENCE + timedelta(hours=2)
    outcomes: list[str] = []
    while scene.clock.now() < until and not outcomes:
        scene.clock.waited += 60
        outcomes = sweep(scene.services())
    assert outcomes == ["failed"]
    assert '"Livepair.UploadUnreadable"' in scene.consumer.posts[-1][1]
    assert scene.clock.now() >= LIVE.uploaded_at + PATIENCE
    assert scene.api.calls == []


def test_a_refusal_is_no_failure_of_the_entry() -> None:
    """What COS will not show is looked for as its upload's looks say, and not put off besides."""
    scene = Scene()
    scene.uploads.refuses[LIVE.key] = forbidden(LIVE.key)
    scene.event("live")
    assert [task.failures for task in scene.tasks] == [0]


def test_the_parts_of_a_sweep_share_the_work_and_no_two_do_the_same() -> None:
    """Each pair is visited by one of three parts, and none by two; each part has about a third."""
    done: list[int] = []
    for number in (1, 2, 3):
        scene = Scene()
        for pair in range(300):
            key = f"uploads/other-{pair}/live.gz"
            scene.ledger.put_on(Entry(NOON - MINUTE, Look(BUCKET, key, "live", NOON - HOUR)))
        before = len(scene.tasks)
        sweep(scene.services(), Part(number, 3))
        done.append(before - len(scene.tasks))
    assert sum(done) == 300
    assert min(done) > 70


def test_what_a_missing_timer_leaves_is_done_by_the_other_parts() -> None:
    """Five minutes later; until then each part keeps to its own."""
    scene = Scene()
    for pair in range(30):
        key = f"uploads/other-{pair}/live.gz"
        scene.ledger.put_on(Entry(NOON - MINUTE, Look(BUCKET, key, "live", NOON - HOUR)))
    sweep(scene.services(), Part(1, 2))
    assert 0 < len(scene.tasks) < 30
    scene.clock.waited = 300.0
    sweep(scene.services(), Part(1, 2))
    assert scene.tasks == []
