"""The walk over settled uploads: requests, time and memory, and one lost pair among them."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from handler.rules.outcome import verification
from handler.rules.pairing import Pair
from handler.rules.uploads import Seen, Stored
from handler.state.objects import BLOCK
from tests.bench.figures import Figure, Say, Series, counted
from tests.bench.stage import Stage
from tests.cloud import samples
from tests.cloud.cos_store import Bucket
from tests.cloud.function import Function

WALKS = (1000, 10_000, 100_000)
TIMED, READ = 10_000, 300
"""Pairs of the walk that is timed, and of the one whose records are read."""

RECONCILE = {"Type": "Timer", "TriggerName": "reconcile", "Message": "reconcile"}
SWEEP = {**RECONCILE, "TriggerName": "sweep", "Message": ""}


class Walked(NamedTuple):
    """A walk, with the sweeps that went on with it. `peak` in MB, `seconds` in all."""

    cos: int
    writes: set[str]
    calls: int
    posts: int
    seconds: float
    peak: float


class _Earlier:
    def now(self) -> datetime:
        return datetime.now().astimezone() - timedelta(minutes=30)


@contextmanager
def half_an_hour_ago(bucket: Bucket) -> Generator[None, None, None]:
    """What is put now was put half an hour ago, as a walk wants it."""
    former, bucket._clock = bucket._clock, _Earlier()  # type: ignore[assignment]
    try:
        yield
    finally:
        bucket._clock = former


def walks(stage: Stage, say: Say) -> tuple[list[Figure], Series, Series]:
    """Over pairs that LIST alone tells to be settled, and over some whose records have to be read."""
    bucket = stage.cloud.cos.bucket(stage.cloud.bucket)
    for key in bucket.keys(""):
        bucket.delete(key, silent=True)
    read = _read(stage, bucket, say)
    requests: list[tuple[float, float]] = []
    peaks: list[tuple[float, float]] = []
    there, timed = 0, 0.0
    for many in WALKS:
        say(f"walk over {many:,} settled pairs")
        with half_an_hour_ago(bucket):
            for number in range(there, many):
                _put_settled(stage, bucket, f"settled{number:06d}")
        there = many
        if many == TIMED:
            stage.slow()
        found = _walk(stage)
        stage.quick()
        if many == TIMED:
            timed = found.seconds / many * 1000
        if found.calls or found.posts:
            raise RuntimeError(f"a walk over settled pairs: {found}")
        requests.append((many, found.cos / many))
        peaks.append((many, found.peak))
    say(f"one lost pair in {there:,}")
    with half_an_hour_ago(bucket):
        bucket.put("uploads/settled050000-lost/live.gz", samples.live(seed=1), silent=True)
        bucket.put("uploads/settled050000-lost/image.jpg", samples.image(), silent=True)
    lost = _walk(stage)
    others = sum("-lost" not in key for key in lost.writes)
    x = "settled pairs"
    return (
        [
            counted("COS requests a settled pair, its record read", read, "", 1.05),
            counted("COS requests a settled pair, by LIST alone", requests[-1][1], "", 0.02),
            counted("time a settled pair, COS 10 ms", timed, "ms", 2),
            counted(f"peak memory of a walk over {there:,}", peaks[-1][1], "MB", 128),
            counted("calls and messages for one lost among them", max(lost.calls, lost.posts), "", 1),
            counted("objects written beside its own", others, "", 0),
        ],
        Series("COS requests of a walk, for each settled pair", x, "requests", tuple(requests)),
        Series("Peak memory of a walk, MB", x, "MB", tuple(peaks)),
    )


def _read(stage: Stage, bucket: Bucket, say: Say) -> float:
    """Requests a pair where the records' sizes tell nothing."""
    say(f"walk over {READ} records")
    with half_an_hour_ago(bucket):
        for _ in range(READ):
            stage.verify("livepair")
    for key in bucket.keys("livepair/records/"):
        bucket.put(key, bucket.get(key).data + b" ", silent=True)
    found = _walk(stage)
    for key in bucket.keys(""):
        bucket.delete(key, silent=True)
    return found.cos / READ


def _put_settled(stage: Stage, bucket: Bucket, name: str) -> None:
    """A pair as it lies in the bucket once it is told; only LIST ever shows its record."""
    pair = Pair((("id", name),), (f"uploads/{name}/live.gz",), (f"uploads/{name}/image.jpg",), False)
    halves = []
    for key in (*pair.live_keys, *pair.image_keys):
        data = key.encode()
        bucket.put(key, data, silent=True)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        halves.append(Stored(key, f'"{md5}"', md5, len(data), datetime.now().astimezone()))
    current = verification(Seen(pair, stage.cloud.bucket, *halves), 1)
    bucket.put(f"livepair/records/{name}/{current.id}.json", b" " * BLOCK, silent=True)


def _walk(stage: Stage) -> Walked:
    """One walk from its beginning to its end, on a new instance, nothing being noted of earlier ones."""
    cloud = stage.cloud
    bucket = cloud.cos.bucket(cloud.bucket)
    bucket.delete("livepair/reconciled.json", silent=True)
    for key in bucket.keys("livepair/agenda/"):
        bucket.delete(key, silent=True)
    deployed = stage.functions["livepair"]
    cloud.scf.deploy(
        Function(
            code=deployed.code,
            name="walk",
            environment=deployed.environment,
            timeout=90,
            memory=256,
            executable=deployed.executable,
        )
    )
    cloud.proxy.clear_log()
    posts, calls = len(cloud.consumer.attempts), len(cloud.faceid.calls)
    seconds, peak, event = 0.0, 0.0, RECONCILE
    while True:
        done = stage.invoke("walk", event)
        seconds, peak, event = seconds + done.duration, max(peak, done.memory), SWEEP
        left = bucket.keys("livepair/agenda/")
        if not left:
            break
        for key in left:  # it would be due within a minute
            bucket.put(
                f"livepair/agenda/20260101T0000Z/{key.rpartition('/')[2]}", bucket.get(key).data, silent=True
            )
            bucket.delete(key, silent=True)
    asked = [each for each in stage.requests() if each.service == "cos"]
    own = ("agenda", "reconciled.json", "create-only")
    return Walked(
        len(asked),
        {
            each.key
            for each in asked
            if each.operation in ("PutObject", "DeleteObject", "DeleteMultipleObjects")
            and not any(f"livepair/{name}" in each.key for name in own)
            and each.key
        },
        len(cloud.faceid.calls) - calls,
        len(cloud.consumer.attempts) - posts,
        seconds,
        peak,
    )
