"""Several instances at the same moment, on buckets that let two writers win: one call, one message."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.cos_store import Versioning
from tests.cloud.faceid import COMPARE
from tests.cloud.faults import Gate
from tests.cloud.proxy import Logged
from tests.support.harness import BUCKET, IMAGE, LIVE, SWEEP, Livepair, beside, lines

CLAIMS, CREATE_ONLY = "livepair/claims/*", "livepair/create-only"


def asked(cloud: Cloud) -> list[Logged]:
    return [logged for logged in cloud.log if logged.operation == COMPARE]


def judged_once(cloud: Cloud, calls: int = 1) -> None:
    """Check that one call was made and one message told, whose bytes are the stored ones."""
    assert len(asked(cloud)) == calls
    (message,) = cloud.consumer.messages.values()
    assert message["data"]["outcome"] == "matched"
    assert message["data"]["api"]["calls"] == calls
    assert cloud.consumer.conflicts == []
    assert len(cloud.cos.bucket(BUCKET).keys("livepair/records/")) == 1


def uploads(livepair: Livepair) -> list[dict[str, Any]]:
    """Both halves, uploaded. Returns their events, which wait no longer."""
    livepair.put_pair()
    events = list(livepair.events)
    livepair.events.clear()
    return events


def both_claim(livepair: Livepair, gate: Gate, event: dict[str, Any], *, cold: bool = True) -> None:
    """Have two instances handle the same event, both creating the claim in the same moment.

    Neither is answered before both have taken effect: waits that cost no time here are no shorter than that.
    """
    taken = Gate()
    both = faults.Action("hold both", gate=gate, gate_answer=taken)
    livepair.cloud.faults.add("PutObject", key=CLAIMS, then=both, times=2)
    futures = []
    try:
        for _ in range(2):
            if cold:
                livepair.restart()
            futures.append(beside(livepair, event))
            gate.wait_reached()
        gate.release()
        taken.wait_reached(2)
    finally:
        for each in (gate, taken):
            each.release()
    assert sorted(outcome for future in futures for outcome in future.result()["outcomes"]) == ["matched"]


def test_of_two_instances_one_calls(livepair: Livepair, gate: Gate) -> None:
    """An honest bucket: the other finds the claim taken."""
    _, event = uploads(livepair)
    both_claim(livepair, gate, event)
    judged_once(livepair.cloud)


def test_of_two_winners_one_calls(livepair: Livepair, gate: Gate) -> None:
    """The bucket tells both that they created the claim: only the one whose nonce stays goes on."""
    bucket = livepair.bucket
    bucket.two_winners, bucket.two_winners_window = True, 30
    _, event = uploads(livepair)
    both_claim(livepair, gate, event)
    judged_once(livepair.cloud)


def test_of_two_winners_on_warm_instances_one_calls(livepair: Livepair, gate: Gate) -> None:
    """They trust the bucket, having written to it before, and create the claim before they read one."""
    bucket = livepair.bucket
    bucket.two_winners, bucket.two_winners_window = True, 30
    livepair.put("uploads/warm/live.gz", samples.live())
    livepair.run()
    _, event = uploads(livepair)
    both_claim(livepair, gate, event, cold=False)
    judged_once(livepair.cloud)


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_on_a_bucket_with_versions_one_calls(livepair: Livepair, gate: Gate, versioning: Versioning) -> None:
    """It ignores that a claim may be created once only, so every writer succeeds."""
    livepair.bucket.versioning = versioning
    _, event = uploads(livepair)
    both_claim(livepair, gate, event)
    judged_once(livepair.cloud)


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_on_a_bucket_with_versions_repeated_events_cost_nothing(
    livepair: Livepair, versioning: Versioning
) -> None:
    """Warm or cold, at once or after the lease: the record and the claim are read first."""
    livepair.bucket.versioning = versioning
    events = uploads(livepair)
    assert [outcome for event in events for outcome in livepair.handle(event)["outcomes"]] == ["matched"]
    for seconds in (0, 200):
        livepair.cloud.clock.advance(seconds)
        for event in events:
            assert livepair.handle(event) == {"outcomes": []}
            livepair.restart()
            assert livepair.handle(event) == {"outcomes": []}
    assert livepair.sweep() == livepair.sweep(20) == livepair.reconcile() == []
    judged_once(livepair.cloud)


@pytest.mark.parametrize("asked_before", ["never", "without versions", "with versions"])
def test_where_versioning_is_suspended_repeated_events_buy_one_verdict_a_pair(
    livepair: Livepair, asked_before: str
) -> None:
    """COS's answers do not tell such a bucket from a safe one, so each instance asks by two create-only PUTs.

    Also where the object that it asks with is there from before, with a version or without.
    """
    if asked_before != "never":
        livepair.bucket.versioning = "Enabled" if asked_before == "with versions" else None
        livepair.bucket.put(CREATE_ONLY, b"{}", silent=True)
    livepair.bucket.versioning = "Suspended"
    for number in range(3):
        events = livepair.put_pair(samples.live(seed=number), name=number)
        livepair.events.clear()
        both_claim(livepair, Gate(), events[1])
        for event in events * 2:
            livepair.restart()
            assert livepair.handle(event) == {"outcomes": []}
    assert livepair.sweep() == livepair.sweep(20) == []
    assert len(asked(livepair.cloud)) == len(livepair.messages) == 3


def test_what_an_instance_asks_of_its_bucket_is_counted_apart(livepair: Livepair, capsys: Any) -> None:
    """Once an instance, and not among a pair's thirteen requests."""
    for key, data in ((IMAGE, samples.image()), (LIVE, samples.live())):
        livepair.put(key, data)
        event = livepair.events[-1]
        livepair.handle(event)
    livepair.restart()
    livepair.handle(event)
    told = lines(capsys, "invocation")
    assert [line["cos_probe_requests"] for line in told] == [2, 0, 1]  # the first one makes the object
    assert told[0]["cos_requests"] + told[1]["cos_requests"] <= 13


def test_no_first_verdict_waits_for_what_an_instance_asks_of_its_bucket(
    livepair: Livepair, gate: Gate
) -> None:
    """It is asked beside the look at the uploads, not before it or after."""
    _, event = uploads(livepair)
    livepair.bucket.put(CREATE_ONLY, b"{}", silent=True)
    livepair.cloud.faults.add("HeadObject", key="uploads/*", then=faults.hold(gate), times=2)
    livepair.cloud.faults.add("PutObject", key=CREATE_ONLY, then=faults.hold(gate), times=1)
    future = beside(livepair, event)
    gate.wait_reached(3)
    gate.release()
    assert future.result()["outcomes"] == ["matched"]


def test_a_writer_that_comes_late_to_a_bucket_with_versions_does_not_call(
    livepair: Livepair, gate: Gate
) -> None:
    """Its PUT was under way while another instance judged the pair: the record is there to be read."""
    livepair.bucket.versioning = "Enabled"
    _, event = uploads(livepair)
    livepair.cloud.faults.add("PutObject", key=CLAIMS, then=faults.hold(gate))
    late = beside(livepair, event)
    gate.wait_reached()
    livepair.restart()
    livepair.handle(event)
    gate.release()
    late.result()
    judged_once(livepair.cloud)


def test_two_sweeps_at_once_take_over_once(livepair: Livepair, gate: Gate) -> None:
    """Both find the expired lease of an instance that died; one of them calls."""
    cloud = livepair.cloud
    events = uploads(livepair)
    died = Gate()
    cloud.faults.add(COMPARE, then=faults.hold(died))
    lost = beside(livepair, events[1])
    died.wait_reached()
    cloud.clock.advance(200)
    cloud.faults.add("PutObject", key=CLAIMS, then=faults.hold(gate), times=2)
    sweeps = []
    for _ in range(2):
        livepair.restart()
        sweeps.append(beside(livepair, SWEEP))
        gate.wait_reached()
    gate.release()
    for sweep in sweeps:
        sweep.result()
    judged_once(cloud, calls=2)
    cloud.faults.clear()
    died.release()
    lost.result()
    (message,) = cloud.consumer.messages.values()
    assert message["data"]["api"]["calls"] == 2
    assert cloud.consumer.conflicts == []
