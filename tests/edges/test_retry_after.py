"""A consumer's Retry-After, in whatever way it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.edges.webhook import _retry_after
from tests.support.values import NOON


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("120", timedelta(seconds=120)),
        (" 120 ", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("999999999", timedelta(seconds=999_999_999)),
        ("Sun, 22 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 20:00:30 +0800", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Sun Nov 22 12:00:30 2026", timedelta(seconds=30)),
        ("Sunday, 22-Nov-26 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 11:59:30 GMT", timedelta(seconds=-30)),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("9999999999", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    """In each of HTTP's three spellings of a date; anything else is as if nothing had been asked."""
    assert _retry_after(header, NOON) == wait


HEADER = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40) | st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "", "x"]),
    st.integers(-1, 99),
    st.sampled_from(["Nov", "Foo"]),
    st.integers(0, 99_999),
    *(st.integers(0, 99) for _ in range(3)),
    st.sampled_from(["GMT", "+0800", "+9999", "-0000", "", "x"]),
)


@given(HEADER)
def test_any_retry_after_of_usual_length_is_a_wait_or_none(header: str) -> None:
    """What a consumer writes there never raises."""
    found = _retry_after(header, NOON)
    assert found is None or isinstance(found, timedelta)


@pytest.mark.parametrize(
    "header",
    [
        "Sun, 22 Nov 99999999999999999999 12:00:00 GMT",
        "Sun, 22 Nov 2026 99999999999999999999:00:00 GMT",
        "Sun, 22 Nov 2026 12:00:00 +99999999999999999999",
    ],
)
def test_a_retry_after_beyond_all_calendars_is_none(header: str) -> None:
    """What a consumer does never raises: it could stop the deliveries to all others."""
    assert _retry_after(header, NOON) is None
