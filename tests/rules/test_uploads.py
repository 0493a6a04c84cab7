"""What lies in the bucket for a pair: which upload counts, and which event goes first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from handler.rules.pairing import Role
from handler.rules.uploads import SLACK, Seen, Stored, goes_first, metadata_of, seen_of, shows
from tests.support.values import BUCKET, IMAGE, LIVE, MOMENT, NOON, PAIR, SECOND, SEEN

TWO = PAIR._replace(
    live_keys=("a.gz", "b.gz", "c.gz"), image_keys=("uploads/42/image.jpg", "uploads/42/image.png")
)


def live(key: str, after: int) -> Stored:
    return LIVE._replace(key=key, uploaded_at=NOON + after * SECOND)


# --- the pair as it is seen ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "counts"),
    [
        ([], None),
        ([live("b.gz", 0)], "b.gz"),
        ([live("a.gz", 0), live("b.gz", 1)], "b.gz"),
        ([live("a.gz", 1), live("b.gz", 0)], "a.gz"),
        ([live("c.gz", 0), live("b.gz", 0)], "b.gz"),
        ([live("a.gz", 0), live("b.gz", 2), live("c.gz", 2)], "b.gz"),
    ],
)
def test_of_several_alternatives_the_newest_counts(there: list[Stored], counts: str | None) -> None:
    """Of those that are as old, the one that the settings name first."""
    stored: dict[str, Stored | None] = dict.fromkeys((*TWO.live_keys, *TWO.image_keys))
    stored |= {found.key: found for found in there}
    seen = seen_of(TWO, BUCKET, {**stored, IMAGE.key: IMAGE})
    assert (seen.pair, seen.bucket, seen.image) == (TWO, BUCKET, IMAGE)
    assert (seen.live and seen.live.key) == counts


def test_a_pair_is_complete_with_both_uploads_and_as_new_as_the_newer() -> None:
    """The newest upload is what PAIR_TIMEOUT and replaced uploads are counted from."""
    assert SEEN.complete
    assert not SEEN._replace(live=None).complete
    assert not SEEN._replace(image=None).complete
    assert SEEN.newest == IMAGE.uploaded_at
    assert SEEN._replace(image=None).newest == LIVE.uploaded_at
    assert (SEEN.upload("live"), SEEN.upload("image")) == (LIVE, IMAGE)


def test_what_was_never_read_is_named_by_its_etag() -> None:
    """An upload too large to be worth reading still has an identity of its own."""
    assert LIVE.identity == "a" * 32
    assert LIVE._replace(md5=None, etag='"x-2"').identity == 'etag:"x-2"'


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("3", "3"),
        ("", ""),
        ("甲".encode().decode("latin-1"), "甲"),
        ("%E7%94%B2", "%E7%94%B2"),
        ("caf\xe9", "café"),
        ("甲", "甲"),
    ],
)
def test_metadata_is_read_as_it_was_sent(value: str, read: str) -> None:
    """UTF-8 that an HTTP client took for Latin-1 is UTF-8 again; nothing is percent-decoded."""
    headers = {"x-cos-meta-device-name": value, "x-cos-request-id": "r", "content-type": "image/jpeg"}
    assert metadata_of(headers) == (("device-name", read),)


# --- whether COS shows an upload ----------------------------------------------------------------------

AT = LIVE.uploaded_at


@pytest.mark.parametrize(
    ("stored", "uploaded_at", "etag", "shown"),
    [
        (None, None, None, False),
        (None, AT, None, False),
        (LIVE, None, None, True),
        (LIVE, None, '"a1"', True),
        (LIVE, None, '"other"', False),
        (LIVE, AT, None, True),
        (LIVE, AT, '"a1"', True),
        (LIVE, AT, "a1", True),
        (LIVE._replace(etag="a1"), AT, '"a1"', True),
        (LIVE, AT, '"other"', False),
        (LIVE._replace(etag='"aX"'), AT, '"a"', False),
        (LIVE._replace(etag='"a"'), AT, '"aX"', False),
        (LIVE, AT - MOMENT, '"other"', True),
        (LIVE, AT + SLACK, None, True),
        (LIVE, AT + SLACK, '"other"', False),
        (LIVE, AT + SLACK + MOMENT, None, False),
        (LIVE, AT + SLACK + MOMENT, '"a1"', False),
    ],
)
def test_an_upload_is_shown_by_itself_or_a_later_one(
    stored: Stored | None, uploaded_at: datetime | None, etag: str | None, shown: bool
) -> None:
    """Its event's time may be two seconds later than COS's own; within these the ETag tells them apart."""
    assert shows(stored, uploaded_at, etag) is shown


def test_the_slack_is_as_long_as_two_seconds() -> None:
    """COS tells whole seconds, and its event follows at once."""
    assert timedelta(seconds=2) == SLACK


# --- who goes first -----------------------------------------------------------------------------------


def pair(live_after: float, image_after: float) -> Seen:
    return SEEN._replace(
        live=LIVE._replace(uploaded_at=NOON + live_after * SECOND),
        image=IMAGE._replace(uploaded_at=NOON + image_after * SECOND),
    )


@pytest.mark.parametrize(
    ("seen", "first"),
    [
        (pair(0, 1), "image"),
        (pair(1, 0), "live"),
        (pair(0, 0), "live"),
        (SEEN._replace(live=None), "live"),
        (SEEN._replace(image=None), "live"),
    ],
)
@pytest.mark.parametrize("role", ["live", "image"])
def test_the_later_uploads_event_goes_first(seen: Seen, first: Role, role: Role) -> None:
    """Of two that come together exactly one; in the same second it is the live package's."""
    assert goes_first(seen, role) is (role == first)
