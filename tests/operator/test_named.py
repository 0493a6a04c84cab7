"""What the names of agenda entries tell, so that commands cost with what they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.cli.named import named
from handler.rules.agenda import Deliver, Entry, Look, TakeOver, Walk
from handler.rules.outcome import Verification
from handler.rules.pairing import Pair
from tests.cloud import Cloud, samples
from tests.support.harness import LIVE, Livepair
from tests.support.operator import Operator
from tests.support.values import NOON

moments = st.none() | st.datetimes(
    datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc)
).map(lambda at: at.replace(microsecond=0))
values = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=3
)
counts = st.integers(0, 1000)


@given(values, counts, moments, st.booleans())
def test_a_name_tells_what_its_verification_is_about(
    pair: list[str], number: int, since: datetime | None, delivers: bool
) -> None:
    """The pair, the number and the time; one of the version before has to be read."""
    path = Pair(tuple(("n", value) for value in pair), (), (), False).path
    verification = Verification("0123456789abcdef" * 2, 1, path)
    kind: type[TakeOver | Deliver] = Deliver if delivers else TakeOver
    task = kind("b", "k", verification, number, since=since)
    found = named(f"livepair/agenda/{Entry(NOON, task).name}")
    if since is None:
        assert found is None
        return
    assert found is not None
    assert (found.kind, found.verification) == ("deliver" if delivers else "take_over", verification.id)
    assert (found.path, found.number, found.since) == (path, number, since)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=30),
    st.sampled_from(["live", "image", None]),
    moments,
    st.integers(-2, 30),
    st.none() | st.integers(1, 9),
)
def test_a_name_tells_which_upload_a_look_is_about(
    key: str, role: str | None, at: datetime | None, step: int, run: int | None
) -> None:
    """Whatever stands in its key."""
    found = named(Entry(NOON, Look("b", f"u{key}", role, at, step, run)).name)  # type: ignore[arg-type]
    assert found is not None
    assert (found.key, found.role, found.since, found.number) == (f"u{key}", role, at, step)
    assert (found.run, found.verification) == (run, None)


@pytest.mark.parametrize(
    "name",
    [
        Entry(NOON, Walk("b")).name,
        Entry(NOON, Look("b", "é" * 200, "live", NOON)).name,
        "20261122T1200Z/look-0b8f061ebd6ad5b94274c36067bb5abf",
        "20261122T1200Z/deliver-0123456789abcdef0123456789abcdef-1",
        "20261122T1200Z/deliver-0123456789abcdef0123456789abcdef-1-20269922T120000Z-a",
        "20261122T1200Z/0",
    ],
)
def test_what_a_name_does_not_tell_is_read(name: str) -> None:
    """Walks, the version before, long keys, and what is no entry."""
    assert named(name) is None


# --- what commands cost -------------------------------------------------------------------------------


def asked(cloud: Cloud, work: Callable[[], object]) -> Counter[str]:
    """What a command asks of COS, but for whether the bucket keeps versions."""
    cloud.proxy.clear_log()
    work()
    names = Counter(each.operation for each in cloud.log if each.service == "cos")
    del names["GetBucketVersioning"]
    return names


def crowd(livepair: Livepair, many: int) -> None:
    """So many other pairs, each with entries on the agenda, a record and a claim."""
    for number in range(many):
        verification = Verification(f"{number:032x}", 1, f"other{number:04d}")
        upload = f"uploads/other{number:04d}/live.gz"
        for task in (
            Look(livepair.cloud.bucket, upload, "live", NOON),
            TakeOver(livepair.cloud.bucket, upload, verification, 1, since=NOON),
            Deliver(livepair.cloud.bucket, upload, verification, 2, since=NOON),
        ):
            key = f"livepair/agenda/{Entry(NOON, task).name}"
            livepair.bucket.put(key, b"nobody reads this", silent=True)


@pytest.mark.parametrize(
    "command", [("show", LIVE), ("forget", LIVE, "--yes"), ("list", "--limit", "2"), ("reconcile",)]
)
def test_a_command_costs_with_what_it_is_asked_for(
    livepair: Livepair, operator: Operator, command: tuple[str, ...]
) -> None:
    """Three hundred others on the agenda cost not one request: they are told by their names."""
    costs = []
    for many in (0, 100):
        livepair.pair(samples.live(seed=many))
        livepair.cloud.clock.advance(3600)
        crowd(livepair, many)
        costs.append(asked(livepair.cloud, lambda: operator(*command)))
        for key in livepair.bucket.keys(""):
            livepair.bucket.delete(key, silent=True)
    without, among = costs
    if command[0] == "list":
        # The two of each state that are shown are read.
        assert among.total() <= without.total() + 2 * 3 * 3
    else:
        assert among == without


def test_list_counts_all_and_reads_what_it_shows(livepair: Livepair, operator: Operator) -> None:
    """Ages and numbers of hundreds are known from one LIST."""
    crowd(livepair, 150)
    found = operator.json("list", "--limit", "3")
    assert found["counts"]["undelivered"] + found["counts"]["running"] + found["counts"]["unreadable"] == 150
    assert found["counts"]["unreadable"] == 3
    assert len(found["items"]) == 150
    assert all(item["since"] == "2026-11-22T12:00:00Z" for item in found["items"])
