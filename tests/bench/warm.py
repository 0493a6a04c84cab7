"""One verification on a warm instance: time to the webhook, CPU, requests, and its waterfall."""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

from handler.rules.schedule import SETTLE
from tests.bench.figures import Figure, Say, counted, ratio
from tests.bench.stage import WEBHOOK_S, Stage
from tests.cloud import samples
from tests.cloud.faults import Action, Operation
from tests.cloud.proxy import Request

RUNS = 15
CPU_BATCHES, CPU_PAIRS = 6, 25


class Bar(NamedTuple):
    """One request of a verification: when it arrived and how long it took, in ms since the event."""

    label: str
    kind: str
    begin: float
    took: float


def latency(stage: Stage, say: Say) -> tuple[list[Figure], list[Bar]]:
    """From the last upload's event to the webhook's request, with the latencies that things have out there.

    Both floors are run by the same platform on the same cloud, in turns with the function.
    """
    names = ("livepair", "bare", "tutorial")
    for name in names:
        stage.verify(name)
    stage.slow()
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(RUNS):
        say(f"warm {number + 1}/{RUNS}")
        for name in names:
            took[name].append(stage.verify(name).to_webhook * 1000)
    figures = [
        ratio(
            "warm, event to webhook", took["livepair"], "API + the round trips it needs", took["bare"], 1.05
        ),
        ratio("warm, event to webhook", took["livepair"], "a tutorial's handler", took["tutorial"], 1.10),
    ]
    # The quickest of a few: a picture is to show the function, not what else the machine does.
    bars = min((waterfall(stage) for _ in range(5)), key=lambda bars: bars[-1].begin)
    stage.quick()
    return figures, bars


def cpu(stage: Stage, say: Say) -> list[Figure]:
    """CPU of the function for both events of a pair, nothing being slow."""
    took: dict[str, list[float]] = {"livepair": [], "bare": []}
    for name in took:
        stage.verify(name)
    for number in range(CPU_BATCHES):
        say(f"CPU {number + 1}/{CPU_BATCHES}")
        for name, values in took.items():
            before = stage.cpu(name)
            for _ in range(CPU_PAIRS):
                stage.verify(name)
            values.append((stage.cpu(name) - before) / CPU_PAIRS * 1000)
    return [ratio("CPU of a verification", took["livepair"], "the bare SDK calls", took["bare"], 1.25)]


def requests(stage: Stage) -> tuple[list[Figure], Counter[str]]:
    """What is asked of others, counted; also by operation for a pair."""
    stage.verify("livepair")
    image, live = stage.pair()
    stage.cloud.proxy.clear_log()
    stage.invoke("livepair", stage.event_of(image, samples.image()))
    alone = sum(each.service == "cos" for each in stage.requests())
    event = stage.event_of(live, samples.live(seed=1))
    told = len(stage.cloud.consumer.attempts)
    stage.invoke("livepair", event)
    found = Counter(each.service for each in stage.requests())
    operations = Counter(each.operation for each in stage.requests() if each.service == "cos")
    posts = len(stage.cloud.consumer.attempts) - told
    stage.cloud.proxy.clear_log()
    stage.invoke("livepair", event)
    again = Counter(each.service for each in stage.requests())
    other = again.total() - again["cos"] + len(stage.cloud.consumer.attempts) - told - posts
    return [
        counted("API calls a pair", found["faceid"], "", 1),
        counted("webhook requests a pair", posts, "", 1),
        counted("COS requests a pair, both events", found["cos"], "", 13),
        counted("COS requests, partner missing", alone, "", 3),
        counted("COS requests, duplicate event of a settled pair", again["cos"], "", 4),
        counted("API and webhook requests, duplicate event", other, "", 0),
    ], operations


def waterfall(stage: Stage) -> list[Bar]:
    """One verification's requests, each from when it reached the cloud until it was answered."""
    seen: list[tuple[Operation, float]] = []
    ended: dict[int, float] = {}

    def timed(request: Request, operation: Operation) -> Action | None:
        if not request.source:
            return None  # the API's own downloads
        number = len(seen)
        seen.append((operation, time.monotonic()))
        return Action("timed", after=lambda: ended.update({number: time.monotonic()}))

    fault = stage.cloud.faults.add(then=timed, times=None)
    try:
        told = stage.verify("livepair")
    finally:
        stage.cloud.faults.remove(fault)
    bars = []
    for number, (operation, at) in enumerate(seen):
        if at < told.began:
            continue  # of the first half's event
        bar = Bar(_label(operation), operation.service, (at - told.began) * 1000, (ended[number] - at) * 1000)
        bars.append(bar)
        if "claims/" in operation.key and operation.name == "PutObject":
            bars.append(Bar("the claim settles", "wait", bar.begin + bar.took, SETTLE * 1000))
    bars.append(Bar("webhook", "webhook", told.to_webhook * 1000, WEBHOOK_S * 1000))
    return sorted(bars, key=lambda bar: bar.begin)


def _label(operation: Operation) -> str:
    """A request, without what differs from pair to pair."""
    if operation.service == "faceid":
        return "the API's call"
    if operation.service == "faceid-files":
        return "GET the best frame"
    verb = operation.name.replace("MultipleObjects", "").replace("Object", "")
    _, _, state = operation.key.partition("livepair/")
    what = state.partition("/")[0] if state else operation.key.rpartition("/")[2]
    return f"{verb.upper()} {what or 'agenda'}"
