"""What LIST shows: a page is kept, and asked for anew only where it does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.flow.listing import MOST_LISTS, MOST_READ, Listing, Shown
from handler.rules.uploads import Stored
from tests.support.scene import Scene
from tests.support.shelf import Shelf
from tests.support.values import HOUR, NOON

NAMES = st.lists(st.text("ab/", min_size=1, max_size=4), max_size=12)


class Paged(Shelf):
    """A bucket of which LIST shows a few keys at once. `lists` counts the pages."""

    def __init__(self, keys: Sequence[str], page: int) -> None:
        super().__init__()
        self.objects = dict.fromkeys(keys, b"{}")
        self.size, self.lists = page, 0

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        self.lists += 1
        page, _ = super().list(prefix, after)
        return page[: self.size], len(page) > self.size


@given(NAMES, st.lists(st.tuples(st.text("ab/", max_size=4), st.text("ab/", max_size=4)), max_size=12))
@pytest.mark.parametrize("page", [1, 3, 1000])
def test_what_is_shown_between_two_keys_is_what_lies_there(
    page: int, names: list[str], asked: list[tuple[str, str]]
) -> None:
    """Or it is said that another page would have to tell; in whatever order it is asked for."""
    keys = [f"p/{name}" for name in names]
    shown = Shown(Paged(keys, page), "p/")
    for pair in asked:
        after, until = sorted(f"p/{each}" for each in pair)
        shown.left = 1
        found = shown.between(after, until)
        there = sorted(key for key in set(keys) if after < key <= until)
        assert found is None or [stored.key for stored in found] == there
        assert found is not None or len(there) >= page


def test_what_is_asked_for_in_order_costs_a_page_once() -> None:
    """A hundred pairs, a record each, ten on a page; only the last of a page is asked for again."""
    keys = [f"r/{number:03d}/x.json" for number in range(100)]
    bucket = Paged(keys, 10)
    shown = Shown(bucket, "r/")
    shown.left = 100
    for number in range(100):
        assert shown.between(f"r/{number:03d}/", f"r/{number:03d}0")
    assert bucket.lists <= 12


def test_only_so_many_pages_are_asked_for() -> None:
    """Where the order is another one, lists would cost as much as reading, and tell no more."""
    keys = [f"r/{number:03d}/x.json" for number in range(100)]
    bucket = Paged(keys, 3)
    shown = Shown(bucket, "r/")
    found = [shown.between(f"r/{n * 37 % 100:03d}/", f"r/{n * 37 % 100:03d}0") for n in range(100)]
    assert bucket.lists == MOST_LISTS
    assert found.count(None) > 50


def test_time_that_is_over_leaves_records_unread() -> None:
    """Their pairs are among those to visit, and their place is kept."""
    scene = Scene()
    for name in ("a", "b"):
        for half in ("image.jpg", "live.gz"):
            key = f"uploads/{name}/{half}"
            scene.uploads.objects[key] = b"in parts"
        scene.state.objects[f"livepair/records/{name}/{'0' * 32}.json"] = b"{}"
    listing = Listing(scene.services(), ["uploads/"], frozenset())
    (page,) = listing.pages("")
    left = listing.unsettled(page, "", lambda stored: True, lambda: False)
    assert [each.place for each in left] == ["", "uploads/a/live.gz"]
    assert scene.state.reads == []
    assert listing.unsettled(page, "", lambda stored: stored.uploaded_at < NOON - HOUR, lambda: True) == []


def test_of_a_pair_with_many_records_the_last_written_are_read() -> None:
    """One that was uploaded again a hundred times costs no hundred reads, whatever they tell."""
    scene = Scene()
    scene.uploads.objects["uploads/a/live.gz"] = b"in parts"
    written: dict[str, datetime] = {}
    for number in range(100):
        key = f"livepair/records/a/{number * 7919 % 100:032}.json"
        scene.state.objects[key] = b"{}"
        written[key] = NOON + number * HOUR

    def listed(prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        page, more = Shelf.list(scene.state, prefix, after)
        return [stored._replace(uploaded_at=written[stored.key]) for stored in page], more

    def absent(key: str) -> None:
        scene.state.reads.append(key)

    scene.state.list = listed  # type: ignore[method-assign]
    scene.state.read = absent  # type: ignore[method-assign]
    listing = Listing(scene.services(), ["uploads/"], frozenset())
    (page,) = listing.pages("")
    assert len(listing.unsettled(page, "", lambda stored: True, lambda: True)) == 1
    assert scene.state.reads == sorted(written, key=written.__getitem__, reverse=True)[:MOST_READ]
