"""The walk over all uploads: what is settled costs next to nothing, and nothing else is taken for settled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from handler.state.objects import BLOCK
from tests.cloud import samples
from tests.cloud.cos_store import Stored, etag_of
from tests.cloud.faceid import Answer
from tests.support.harness import IMAGE, LIVE, STATE, Livepair


def settle(livepair: Livepair, count: int) -> None:
    """So many pairs, each told, an hour ago."""
    for number in range(count):
        livepair.put_pair(samples.live(seed=number), name=f"settled{number:03d}")
    livepair.run()
    livepair.finish()
    livepair.cloud.clock.advance(3600)


def walked(livepair: Livepair) -> Counter[str]:
    """What a walk that finds nothing to tell asks of COS, but for its own place and what it notes."""
    told = len(livepair.cloud.consumer.attempts)
    livepair.forget()
    assert livepair.reconcile() == []
    own = ("agenda/", "reconciled.json")
    asked = [each for each in livepair.requests() if not any(name in each.key for name in own)]
    assert (len(livepair.cloud.consumer.attempts), len(livepair.asked)) == (told, 0)
    return Counter(each.operation for each in asked)


def test_a_settled_pair_costs_a_walk_no_request_of_its_own(livepair: Livepair) -> None:
    """Two lists show both its uploads and its record."""
    settle(livepair, 12)
    assert set(walked(livepair)) == {"GetBucket"}
    assert livepair.state("agenda/") == []


def test_one_lost_pair_among_settled_ones_is_all_that_is_visited(livepair: Livepair) -> None:
    """It is judged and told; of the others nothing is asked, posted or written."""
    settle(livepair, 6)
    livepair.put_pair(samples.live(seed=99), name="settled003-lost")
    livepair.drop(2)
    livepair.cloud.clock.advance(3600)
    livepair.forget()
    assert livepair.reconcile() == ["matched"]
    keys = {each.key for each in livepair.requests() if each.operation != "GetBucket"}
    pairs = {key.split("/")[2] for key in keys if key.startswith(("livepair/claims", "livepair/records"))}
    assert pairs == {"settled003-lost"}
    assert {key for key in keys if key.startswith("uploads/")} == {
        "uploads/settled003-lost/live.gz",
        "uploads/settled003-lost/image.jpg",
    }
    assert len(livepair.asked) == 1


@pytest.mark.parametrize(
    ("live_key", "image_key"),
    [
        ("live/{id}.gz", "images/{id}.jpg"),
        ("uploads/{id}.gz, uploads/{id}.bin", "uploads/{id}.jpg, uploads/{id}.png"),
        ("uploads/{user}/{attempt}/live.gz", "uploads/{attempt}/of/{user}/image.jpg"),
    ],
)
def test_halves_that_lie_apart_are_paired_by_lists(
    configured: Callable[..., Livepair], live_key: str, image_key: str
) -> None:
    """Under prefixes of their own, with alternatives, or in another order."""
    livepair = configured(LIVE_KEY=live_key, IMAGE_KEY=image_key)
    for number in range(5):
        names = {"id": f"p {number}", "user": f"u{number}", "attempt": f"a{5 - number}"}
        livepair.put(image_key.partition(",")[0].format(**names), samples.image())
        livepair.put(live_key.partition(",")[0].format(**names), samples.live(seed=number))
    assert livepair.run() == ["matched"] * 5
    livepair.cloud.clock.advance(3600)
    assert set(walked(livepair)) == {"GetBucket"}


def in_parts(livepair: Livepair) -> None:
    """A live package that came in parts: its ETag is no MD5."""
    data = samples.live()
    livepair.bucket.write(LIVE, Stored(data), f"{etag_of(data, {})}-2", {}, event="CompleteMultipartUpload")


def under_kms(livepair: Livepair) -> None:
    """LIST shows an ETag that looks like an MD5 and is none."""
    livepair.bucket.put(LIVE, samples.live(), headers={"x-cos-server-side-encryption": "cos/kms"})


@pytest.mark.parametrize("put", [in_parts, under_kms])
def test_an_etag_that_is_no_md5_costs_one_read_of_the_record(
    livepair: Livepair, put: Callable[[Livepair], None]
) -> None:
    """The record says which ETags it judged. Nobody reads the upload again."""
    livepair.put(IMAGE, samples.image())
    put(livepair)
    assert livepair.run() == ["matched"]
    livepair.cloud.clock.advance(3600)
    asked = walked(livepair)
    assert set(asked) == {"GetBucket", "GetObject"}
    assert asked["GetObject"] == 1
    assert livepair.read() == []


def test_a_record_that_fills_no_blocks_is_read_once(livepair: Livepair) -> None:
    """One of the version before, which says nothing by its size."""
    settle(livepair, 1)
    (key,) = livepair.state("records/")
    data = json.dumps(livepair.stored(key)).encode()
    assert len(data) % BLOCK
    livepair.bucket.put(f"livepair/{key}", data, silent=True)
    assert walked(livepair)["GetObject"] == 1


def test_only_what_is_over_fills_blocks(livepair: Livepair) -> None:
    """A record that is not told yet, and one after which another run may start, are read."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.pair()
    (key,) = livepair.state("records/")

    def size() -> int:
        return len(livepair.bucket.get(f"livepair/{key}").data)

    assert size() % BLOCK
    assert livepair.finish() == ["matched"]
    assert size() % BLOCK == 0
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.put_pair(samples.live(seed=2), name=43)
    livepair.run()
    (other,) = (each for each in livepair.state("records/") if each != key)
    assert livepair.stored(other)["delivered_at"]
    assert len(livepair.bucket.get(f"livepair/{other}").data) % BLOCK


def test_bytes_that_replaced_what_is_settled_are_judged(livepair: Livepair) -> None:
    """Their event was lost; the record that is shown is of other bytes."""
    settle(livepair, 3)
    livepair.put("uploads/settled001/live.gz", samples.live(seed=77, sim=1.0))
    livepair.drop()
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["mismatched"]
    assert len(livepair.messages) == 4


def test_what_failed_and_was_uploaded_again_is_judged_again(livepair: Livepair) -> None:
    """The event of the second upload was lost."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    livepair.cloud.clock.advance(600)
    livepair.put(LIVE, samples.live())
    livepair.drop()
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]
    assert set(walked(livepair)) == {"GetBucket"}


def test_what_failed_and_was_uploaded_again_is_judged_before_the_first_outcome_is_taken(
    livepair: Livepair,
) -> None:
    """The webhook is down for longer than walks come back to an upload; that run's delivery is pending."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.cloud.consumer.answer(500, times=9)
    assert livepair.pair() == ["failed"]
    livepair.cloud.clock.advance(600)
    livepair.put(LIVE, samples.live())
    livepair.drop()
    livepair.cloud.clock.advance(3600)
    assert livepair.reconcile() == ["matched"]
    livepair.finish()
    assert sorted(each["data"]["run"] for each in livepair.messages) == [1, 2]


def test_what_the_agenda_comes_back_to_is_left_to_it(livepair: Livepair) -> None:
    """Pairs whose calls are throttled, or whose messages are not taken, cost a walk no visit."""
    livepair.throttled_pairs(4)
    livepair.cloud.clock.advance(3600)
    assert set(walked(livepair)) == {"GetBucket"}
    assert sorted(livepair.finish()) == ["matched"] * 4


@pytest.mark.parametrize("delete", ["none", "live"])
def test_half_a_settled_pair_costs_a_walk_one_read(configured: Callable[..., Livepair], delete: str) -> None:
    """Its live package was deleted, by livepair or by its owner."""
    livepair = configured(DELETE_UPLOADS=delete)
    settle(livepair, 3)
    for key in livepair.bucket.keys("uploads/"):
        if key.endswith("live.gz"):
            livepair.bucket.delete(key)
    livepair.events.clear()
    assert walked(livepair)["GetObject"] == 3
    assert set(walked(livepair)) == {"GetBucket", "GetObject"}


def test_lists_that_lag_cost_visits_and_nothing_else(configured: Callable[..., Livepair]) -> None:
    """Neither the record nor that it was told is shown yet: what is settled stays so."""
    livepair = configured(STATE_BUCKET=STATE)
    settle(livepair, 3)
    livepair.cloud.cos.bucket(STATE).list_lag = 3600 + 60
    assert walked(livepair)["HeadObject"] == 6
    assert len(livepair.messages) == 3
    livepair.cloud.cos.bucket(STATE).list_lag = 0
    assert set(walked(livepair)) == {"GetBucket"}


def test_an_image_that_serves_many_is_visited_where_a_live_package_waits_for_it(
    configured: Callable[..., Livepair],
) -> None:
    """Its event was lost. Images that nobody waits for cost a walk no request of their own."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    for number in range(5):
        livepair.put(f"faces/u{number}.jpg", samples.image())
        livepair.put(f"uploads/u{number}/a/live.gz", samples.live(seed=number))
    assert livepair.run() == ["matched"] * 5
    livepair.cloud.clock.advance(3600)
    assert set(walked(livepair)) == {"GetBucket"}
    livepair.put("uploads/late/a/live.gz", samples.live(seed=9))
    assert [*livepair.run(), *livepair.finish()] == ["incomplete"]
    for _ in range(3):
        livepair.cloud.clock.advance(86400)
        assert livepair.reconcile() == []
    livepair.put("faces/late.jpg", samples.image())
    livepair.drop()
    livepair.cloud.clock.advance(1200)
    livepair.forget()
    assert livepair.reconcile() == ["matched"]
    heads = {each.key for each in livepair.requests("HeadObject")}
    assert heads == {"faces/late.jpg", "uploads/late/a/live.gz"}
