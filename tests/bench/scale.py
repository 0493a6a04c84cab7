"""What grows and what stays flat: bursts, history, sizes, memory."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import Figure, Say, Series, counted
from tests.bench.stage import Stage
from tests.cloud import samples
from tests.cloud.function import Function
from tests.simulation.burst import burst, steady

BURSTS = (10, 100, 500, 1000, 5000)
FAST = ((50, 3), (100, 5))
"""API_RATE, and how many timers sweep then, each its part."""

STEADY = ((4.5, True, 60), (5.0, True, 10), (3.0, False, 10), (4.0, False, 10), (4.5, False, 10))
"""Pairs a second, whether they come evenly, and for how many minutes; the API takes five calls a second."""

QUANTILES = {2: "p50", 10: "p90", 100: "p99", 1000: "p999"}
"""That one of so many pairs takes longer."""

HISTORY = (0, 1000, 10_000, 100_000)
SIZES_MB = (1, 10, 100, 1000)
PATIENT = """
from handler.flow import call
call.RELAY_SECONDS, call.LEASE_SECONDS = 300.0, 800.0
from handler.index import main_handler
"""
"""An entry file that gives the relay all the time it wants: a local cloud passes on a gigabyte slowly."""
MB = 1024 * 1024


def bursts(say: Say) -> tuple[list[Figure], Series, Series]:
    """Pairs uploaded within a second against 5 calls a second, in virtual time."""
    last: list[tuple[float, float]] = []
    refused: list[tuple[float, float]] = []
    for pairs in BURSTS:
        say(f"burst of {pairs}")
        came = burst(pairs, 1)
        if came.violations or came.told != pairs:
            raise RuntimeError(f"a burst of {pairs}: {came.told} told, {came.violations}")
        last.append((pairs, came.last_s))
        refused.append((pairs, came.refused / pairs))
    five = dict(last)[500]
    figures = [
        Figure(
            "burst of 500 pairs, last outcome",
            five,
            "s",
            "500 / 5 s, less the sweep's minute",
            100.0,
            (five - 60) / 100,
            1.15,
            "≤ 1.15 ×",
        ),
        counted("refused calls a pair in it", dict(refused)[500], "", 2),
    ]
    x = "pairs at once"
    return (
        figures,
        Series("Seconds of a burst, for each pair", x, "s", tuple((n, at / n) for n, at in last)),
        Series("Refused calls, for each pair", x, "calls", tuple(refused)),
    )


def fast(say: Say) -> list[Figure]:
    """Five thousand pairs within a second where the account allows more, in virtual time."""
    figures = []
    for rate, parts in FAST:
        say(f"burst of 5,000 at {rate} calls a second, {parts} timers")
        came = burst(5000, 1, rate=rate, parts=parts)
        if came.violations or came.told != came.pairs:
            raise RuntimeError(f"a burst at {rate}: {came.told} told, {came.violations}")
        figures += [
            _least(f"drain of 5,000 at API_RATE {rate}, {parts} sweeps", came.drained, 0.9),
            counted("its last outcome", came.last_s, "s", 60 + 5000 / rate / 0.9),
            counted("its refused calls a pair", came.refused / came.pairs, "", 2),
        ]
    return figures


def _least(name: str, share: float, least: float) -> Figure:
    """A share of what is allowed, which is at least so great."""
    return Figure(name, share, "of the rate", "what is allowed", 1.0, 1 / share, 1 / least, f"≥ {least:g}")


def _shown(name: str, value: float) -> Figure:
    """What is counted and has no target."""
    return Figure(name, value, "", "counted", None, value, value, "")


def steadily(say: Say) -> tuple[list[Figure], list[Series]]:
    """Pairs that come steadily: the first row has a target, the others show where it ends."""
    figures: list[Figure] = []
    drawn = []
    for each_second, evenly, minutes in STEADY:
        name = f"{each_second:g} a second, {'evenly' if evenly else 'by chance'}"
        say(f"{name}, {minutes} minutes")
        came = steady(each_second, minutes, 3, evenly=evenly)
        if came.violations or len(came.latencies) != came.pairs:
            raise RuntimeError(f"{name}: {len(came.latencies)} told, {came.violations}")
        at = {label: came.quantile(1 - 1 / many) for many, label in QUANTILES.items()}
        times = at["p99"] / at["p50"]
        most, target = (times, "") if figures else (3.0, "≤ 3 ×")
        text = f"{name}: p99 (p999 {at['p999']:.1f} s)"
        figures += [
            Figure(text, at["p99"], "s", "p50", at["p50"], times, most, target),
            _shown("its refused calls a pair", came.refused / came.pairs),
            _shown("its COS requests a pair", came.cos / came.pairs),
        ]
        points = tuple((many, at[label]) for many, label in QUANTILES.items())
        drawn.append(Series(name, "one of so many pairs takes longer", "s", points))
    return figures, drawn


def history(stage: Stage, say: Say) -> tuple[list[Figure], Series, Series]:
    """Requests of a sweep with nothing due, and of a pair, after so many settled verifications."""
    bucket = stage.cloud.cos.bucket(stage.cloud.bucket)
    sweeps: list[tuple[float, float]] = []
    pairs: list[tuple[float, float]] = []
    stage.verify("livepair")
    there = 0
    for many in HISTORY:
        say(f"history of {many:,} verifications")
        for number in range(there, many):
            name = f"old{number:06d}"
            for key in (f"records/{name}/{number:032x}.json", f"claims/{name}/{number:032x}/1"):
                bucket.put(f"livepair/{key}", b"{}", silent=True)
            for key in ("live.gz", "image.jpg"):
                bucket.put(f"uploads/{name}/{key}", b"x", silent=True)
        there = many
        for entry in bucket.keys("livepair/agenda/"):
            bucket.delete(entry, silent=True)
        stage.cloud.proxy.clear_log()
        stage.invoke("livepair", {"Type": "Timer", "TriggerName": "sweep", "Message": ""})
        sweeps.append((many, len(stage.requests())))
        told = stage.verify("livepair")
        pairs.append((many, sum(each.service == "cos" for each in told.requests)))
    x = "settled verifications"
    figure = counted(f"COS requests of an idle sweep after {HISTORY[-1]:,}", sweeps[-1][1], "", 1)
    return (
        [figure],
        Series("COS requests of an idle sweep", x, "requests", tuple(sweeps)),
        Series("COS requests that complete a pair", x, "requests", tuple(pairs)),
    )


def memory(stage: Stage, bundle: Path, python: str, say: Say) -> tuple[list[Figure], Series, Series]:
    """Peak memory of an instance that reads a live package through, and the time it takes."""
    peaks: list[tuple[float, float]] = []
    seconds: list[tuple[float, float]] = []
    stage.cloud.faceid.fetch_timeout = 300.0
    bundle = stage.with_entry("patient", PATIENT)
    small, _ = _peak(stage, bundle, python, None, {})
    for size in SIZES_MB:
        say(f"live package of {size:,} MB")
        peak, took = _peak(stage, bundle, python, size, {})
        peaks.append((size, peak))
        seconds.append((size, took))
    say("live package of 1,000 MB through the relay")
    small_relay, _ = _peak(stage, bundle, python, None, {"PASS_RESOURCES": "upload_url"})
    relayed, _ = _peak(stage, bundle, python, SIZES_MB[-1], {"PASS_RESOURCES": "upload_url"})
    hashed = peaks[-1][1]
    figures = [
        _more("peak memory, 1 GB hashed", hashed, small),
        _more("peak memory, 1 GB relayed", relayed, small_relay),
        counted("peak memory in all", max(hashed, relayed), "MB", 128, ""),
    ]
    x = "MB of the live package"
    return (
        figures,
        Series("Peak memory, MB", x, "MB", tuple(peaks)),
        Series("Seconds to hash and judge", x, "s", tuple(seconds)),
    )


def _more(name: str, peak: float, small: float) -> Figure:
    """A peak that may be 8 MB above that of a small package."""
    return Figure(name, peak, "MB", "a small package", small, peak - small, 8, "≤ + 8 MB")


def _peak(
    stage: Stage, bundle: Path, python: str, size_mb: int | None, settings: dict[str, str]
) -> tuple[float, float]:
    """Peak memory in MB of a new instance, and seconds of the event, for one pair; None: a small package."""
    cloud = stage.cloud
    function = Function(
        code=bundle,
        name="memory",
        environment=cloud.environment(API_RATE="1000", MAX_LIVE_BYTES="5000000000", **settings),
        timeout=880,
        memory=1024,
        executable=python,
    )
    cloud.scf.deploy(function)
    image, live = stage.pair()
    stage.invoke("memory", stage.event_of(image, samples.image()))
    if size_mb is None:
        event = stage.event_of(live, samples.live(seed=7))
    else:
        event = stage.synthetic(live, size_mb * MB)
    told = len(cloud.consumer.attempts)
    done = stage.invoke("memory", event)
    if len(cloud.consumer.attempts) != told + 1:
        raise RuntimeError(f"{size_mb} MB with {settings} had no outcome: {done.log}")
    return done.memory, done.duration
