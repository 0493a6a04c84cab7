"""Every "when again": looks at a pair, tries of a call, deliveries of a message; and the words for them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules import schedule
from handler.rules.codes import CODES, UNKNOWN, Class
from handler.rules.schedule import (
    CLOCK_MARGIN,
    DELIVERIES,
    MOST_DELIVERIES,
    PATIENCE,
    REFUSED_LOOKS,
    SPREAD,
    TRIES,
    Attempt,
    Step,
    after_failure,
    at_next_sweep,
    deliveries,
    deliveries_in_words,
    delivery_due,
    is_out_of_patience,
    lease_end,
    look_times,
    looks,
    looks_in_words,
    next_delivery,
    next_look,
    next_try,
    tries_in_words,
)
from tests.support.values import HOUR, MINUTE, MOMENT, NOON, SECOND

# --- looks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair_timeout", "times"),
    [
        (3600, (60, 300, 1200, 3600)),
        (1201, (60, 300, 1200, 1201)),
        (1200, (60, 300, 1200)),
        (61, (60, 61)),
        (60, (60,)),
        (1, (1,)),
    ],
)
def test_a_pair_is_looked_at_in_growing_steps_and_at_its_timeout(
    pair_timeout: int, times: tuple[int, ...]
) -> None:
    """At the timeout it is decided, so that look is always there, and none comes after it."""
    assert look_times(pair_timeout) == times


def test_what_cos_will_not_show_is_looked_for_all_day() -> None:
    """A permission that is given within the day heals it: every hour, and last when patience ends."""
    assert REFUSED_LOOKS[:5] == (60, 300, 1200, 3600, 7200)
    assert len(REFUSED_LOOKS) == 3 + 24
    assert timedelta(seconds=REFUSED_LOOKS[-1]) == PATIENCE == timedelta(hours=24)


def test_looks_are_numbered_and_counted_from_the_upload() -> None:
    """So whoever asks derives the same."""
    assert list(looks(NOON, (60, 300))) == [Step(0, NOON + MINUTE), Step(1, NOON + 5 * MINUTE)]


@pytest.mark.parametrize(
    ("after", "number"),
    [
        (-HOUR, 0),
        (MINUTE - MOMENT, 0),
        (MINUTE, 1),
        (5 * MINUTE - MOMENT, 1),
        (5 * MINUTE, None),
        (HOUR, None),
    ],
)
def test_the_next_look_is_the_first_that_is_still_to_come(after: timedelta, number: int | None) -> None:
    """None once all have been."""
    step = next_look(NOON, (60, 300), NOON + after)
    assert (step and step.number) == number
    assert step is None or step.at == NOON + (MINUTE, 5 * MINUTE)[step.number]


def test_the_next_sweep_is_a_minute_away() -> None:
    """A sweep comes each minute, so the entry is due when it comes."""
    assert at_next_sweep(NOON) == NOON + MINUTE


# --- claims and tries -------------------------------------------------------------------------------


def test_a_lease_is_over_when_no_clock_can_think_that_it_runs() -> None:
    """Five seconds later, as far as two instances' clocks may be apart."""
    assert CLOCK_MARGIN == 5 * SECOND
    assert lease_end(NOON) == NOON + 5 * SECOND


MINUTES: dict[Class, list[float]] = {
    "throttled": [0.1, 1, 1, 2, 2, 5, 10, 10, 10],
    "configuration": [1, 2, 5, 10, 20, 30, 60, 60, 60],
}


@pytest.mark.parametrize("klass", MINUTES)
def test_what_only_time_heals_is_tried_for_a_day(klass: Class) -> None:
    """In growing steps, the last of which repeats; then it is told as failed."""
    late = NOON + PATIENCE - MOMENT
    for tries, minutes in enumerate(MINUTES[klass]):
        assert next_try(klass, tries, NOON, late) == late + timedelta(minutes=minutes)
        assert next_try(klass, tries, NOON, NOON + PATIENCE) is None


def test_a_transient_failure_is_tried_six_times_more() -> None:
    """However old the verification is: an outage of days is no reason to try less."""
    for tries, minutes in enumerate([1, 2, 5, 10, 20, 30]):
        for now in (NOON, NOON + 2 * PATIENCE):
            assert next_try("transient", tries, NOON, now) == now + timedelta(minutes=minutes)
    assert next_try("transient", 6, NOON, NOON) is None
    assert next_try("transient", 99, NOON, NOON) is None


@pytest.mark.parametrize("klass", sorted({row.klass for row in (*CODES.values(), UNKNOWN)} - set(TRIES)))
def test_other_classes_are_not_tried_again(klass: Class) -> None:
    """There is a verdict, something about a person, or a code that nobody knows."""
    assert next_try(klass, 0, NOON, NOON) is None


# --- deliveries -------------------------------------------------------------------------------------

WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
"""What Standard Webhooks recommends between attempts, and events/README.md promises."""


MESSAGE = "msg_0123456789abcdef0123456789abcdef"
TIMES = [attempt.at for attempt in deliveries(MESSAGE, NOON)]

messages = st.from_regex(r"msg_[0-9a-f]{32}", fullmatch=True)
ages = st.timedeltas(-HOUR, timedelta(days=9))


def test_the_schedule_is_the_documented_one() -> None:
    """Nine waits, ten attempts, a little over three days; each wait is longer than the one before."""
    assert list(DELIVERIES) == WAITS
    assert sorted(DELIVERIES) == list(DELIVERIES)
    assert (SPREAD, MOST_DELIVERIES) == (0.1, 10)


@given(messages)
def test_every_wait_is_within_a_tenth_of_the_documented_one(message: str) -> None:
    """The first attempt is made at once."""
    attempts = list(deliveries(message, NOON))
    assert [attempt.number for attempt in attempts] == list(range(1, 11))
    assert attempts[0].at == NOON
    for before, after, wait in zip(attempts, attempts[1:], WAITS, strict=False):
        assert 0.9 * wait <= after.at - before.at + timedelta(milliseconds=1)
        assert after.at - before.at <= 1.1 * wait + timedelta(milliseconds=1)


def test_times_derive_from_the_message() -> None:
    """Whoever asks gets the same; another message's lie elsewhere, so that not all come at one moment."""
    assert list(deliveries(MESSAGE, NOON)) == list(deliveries(MESSAGE, NOON))
    others = {tuple(attempt.at for attempt in deliveries(f"msg_{n}", NOON)) for n in range(50)}
    assert len(others) == 50
    spread = {round((times[1] - NOON) / (5 * SECOND), 1) for times in others}
    assert spread >= {0.9, 1.0, 1.1}


@pytest.mark.parametrize("attempt", range(1, 10))
def test_the_next_attempt_is_the_schedules(attempt: int) -> None:
    """Whenever exactly the one before was made: overlapping sweeps write one entry."""
    for late in (timedelta(0), SECOND / 2, 2 * SECOND):
        now = TIMES[attempt - 1] + late
        assert next_delivery(MESSAGE, NOON, attempt, now) == Attempt(attempt + 1, TIMES[attempt])


def test_attempts_whose_time_went_by_are_left_out() -> None:
    """After an outage a consumer gets one attempt at once and then the schedule's, no burst."""
    after = TIMES[4] + MINUTE
    assert next_delivery(MESSAGE, NOON, 2, after) == Attempt(6, TIMES[5])
    assert delivery_due(MESSAGE, NOON, after) == 5


@given(messages, st.integers(1, 10), st.integers(1, 10), ages)
def test_chains_that_overlap_join(message: str, one: int, other: int, age: timedelta) -> None:
    """Two sweeps that make different attempts at one moment leave one and the same later entry."""
    now = NOON + age
    following = {next_delivery(message, NOON, attempt, now) for attempt in (one, other)}
    ahead = {attempt for attempt in following if attempt and attempt.number > max(one, other)}
    assert len(ahead) <= 1


@pytest.mark.parametrize("retry_after", [None, SECOND, HOUR])
def test_after_the_last_attempt_a_delivery_is_given_up(retry_after: timedelta | None) -> None:
    """Whatever the consumer asks for: nothing is posted for ever."""
    assert next_delivery(MESSAGE, NOON, 10, TIMES[9], retry_after) is None
    assert next_delivery(MESSAGE, NOON, 3, TIMES[9] + SECOND, retry_after) is None
    assert next_delivery(MESSAGE, NOON, 99, NOON, retry_after) is None


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        (timedelta(minutes=40), timedelta(minutes=40)),
        (HOUR, HOUR),
        (timedelta(days=9000), HOUR),
        (SECOND, None),
        (timedelta(0), None),
        (timedelta(days=-9000), None),
    ],
)
def test_a_consumer_may_put_attempts_off_by_an_hour_at_the_most(
    asked: timedelta, wait: timedelta | None
) -> None:
    """Its Retry-After only lengthens a wait: it never has a message posted earlier."""
    now = TIMES[1] + SECOND
    assert next_delivery(MESSAGE, NOON, 2, now, asked) == Attempt(3, now + wait if wait else TIMES[2])


def test_the_second_attempt_is_not_put_off() -> None:
    """It mends what was a moment's trouble."""
    assert next_delivery(MESSAGE, NOON, 1, NOON, HOUR) == Attempt(2, TIMES[1])


@given(messages, st.integers(1, 10), ages, st.none() | st.timedeltas())
def test_the_next_delivery_is_always_later(
    message: str, attempt: int, age: timedelta, asked: timedelta | None
) -> None:
    """No answer of a consumer's brings it forward to now, and its number grows."""
    following = next_delivery(message, NOON, attempt, NOON + age, asked)
    assert following is None or (following.at > NOON + age and following.number > attempt)


@given(messages, ages)
def test_the_attempt_that_is_due_is_the_last_whose_time_has_come(message: str, age: timedelta) -> None:
    """The first before that."""
    times = [attempt.at for attempt in deliveries(message, NOON)]
    assert delivery_due(message, NOON, NOON + age) == max(1, sum(at <= NOON + age for at in times))


def test_an_attempt_is_due_from_its_very_moment_on() -> None:
    """Then it is the one to make, and the next is the one after it."""
    assert delivery_due(MESSAGE, NOON, TIMES[3]) == 4
    assert delivery_due(MESSAGE, NOON, TIMES[3] - MOMENT) == 3
    assert next_delivery(MESSAGE, NOON, 2, TIMES[3]) == Attempt(5, TIMES[4])
    assert delivery_due(MESSAGE, NOON, NOON - HOUR) == 1


# --- failures ---------------------------------------------------------------------------------------


def test_what_fails_backs_off() -> None:
    """From a minute to an hour, which then repeats."""
    waits = [(after_failure(failures, NOON) - NOON) / MINUTE for failures in range(1, 10)]
    assert waits == [1, 2, 5, 10, 20, 30, 60, 60, 60]


def test_patience_with_what_fails_ends_after_a_day() -> None:
    """Not before."""
    failures = next(number for number in range(1, 100) if is_out_of_patience(number))
    assert failures == 29
    assert not is_out_of_patience(0)
    waits = sum((after_failure(number, NOON) - NOON for number in range(1, failures + 1)), timedelta())
    assert PATIENCE <= waits < PATIENCE + HOUR
    assert is_out_of_patience(1000)


# --- in words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("klass", "words"),
    [
        ("transient", "again, 7 times in about an hour"),
        ("throttled", "again, up to 24 h"),
        ("configuration", "again, up to 24 h"),
        ("person", ""),
        ("verdict", ""),
        ("unknown", ""),
    ],
)
def test_tries_in_words_are_the_documents(klass: Class, words: str) -> None:
    """What the documents say is made from the table, and reads well."""
    assert tries_in_words(klass) == words


def test_deliveries_and_looks_in_words_are_the_documents() -> None:
    """Hours, minutes and seconds where they are whole."""
    assert deliveries_in_words() == (
        "at once, after 5 s, then 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h"
    )
    assert looks_in_words() == "1 min, 5 min, 20 min and `PAIR_TIMEOUT`"


@pytest.mark.parametrize(
    ("minutes", "words"),
    [((30, 60, 60.1), "again, 4 times in about 3 hours"), ((70,), "again, 2 times in about an hour")],
)
def test_tries_in_words_follow_the_table(
    monkeypatch: pytest.MonkeyPatch, minutes: tuple[float, ...], words: str
) -> None:
    """Whoever changes the table has nothing else to change."""
    monkeypatch.setattr(schedule, "TRIES", {"transient": minutes})
    assert tries_in_words("transient") == words


def test_deliveries_in_words_follow_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the largest unit that is whole."""
    monkeypatch.setattr(schedule, "DELIVERIES", (90 * SECOND, 61 * MINUTE, 60 * SECOND, 60 * MINUTE))
    assert deliveries_in_words() == "at once, after 90 s, then 61 min, 1 min, 1 h"
