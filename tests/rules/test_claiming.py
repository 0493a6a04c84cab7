"""The state machine: in each state, for each who asks, what there is to do next; and what a call leaves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.rules.claiming import (
    TABLE,
    UNTOUCHED,
    Asker,
    Claim,
    ComeBack,
    Leave,
    Move,
    NextRun,
    Settle,
    Standing,
    State,
    Take,
    Tell,
    calls_at_once,
    counted,
    has_too_many,
    next_move,
    one_more,
    others_claimed,
    reopens,
    retry_at,
)
from handler.rules.codes import CODES, NO_SIMILARITY, TOO_MANY_VERDICTS, Class
from handler.rules.outcome import Answer
from handler.rules.schedule import CLOCK_MARGIN, PATIENCE, TRIES
from tests.docs import states
from tests.support.values import HOUR, MINUTE, MOMENT, NOON, SECOND, VERIFICATION, claim, record

LEASE_END = NOON + MINUTE + CLOCK_MARGIN
EVENT, SWEEP = Asker(sweeping=False, newest=NOON), Asker(sweeping=True, newest=NOON)

# --- the states -------------------------------------------------------------------------------------

CLAIM = claim(n=3, calls=2, tries={"transient": 1, "throttled": 4}, no_similarity=1)
GIVEN_BACK = CLAIM._replace(retry_at=NOON + HOUR)


@pytest.mark.parametrize(
    ("standing", "now", "state"),
    [
        (UNTOUCHED, NOON, "untouched"),
        (Standing(claim=CLAIM), NOON, "claimed"),
        (Standing(claim=CLAIM), NOON + MINUTE + SECOND, "claimed"),
        (Standing(claim=CLAIM), LEASE_END, "claimed"),
        (Standing(claim=CLAIM), LEASE_END + MOMENT, "abandoned"),
        (Standing(claim=GIVEN_BACK), NOON, "given back"),
        (Standing(claim=GIVEN_BACK), NOON + 2 * HOUR, "given back"),
        (Standing(record()), NOON, "decided"),
        (Standing(record(delivered_at=NOON)), NOON, "told"),
        (Standing(record(dead_at=NOON)), NOON, "told"),
        (Standing(record(), CLAIM), NOON, "decided"),
    ],
)
def test_what_stands_is_in_one_state(standing: Standing, now: datetime, state: State) -> None:
    """A record comes before a claim, and a lease runs for its margin of clocks that differ."""
    assert standing.state(now) == state


# --- the table --------------------------------------------------------------------------------------

Sample = tuple[Standing, datetime]

SAMPLES: dict[State, list[Sample]] = {
    "untouched": [(UNTOUCHED, NOON)],
    "claimed": [(Standing(claim=CLAIM), NOON)],
    "abandoned": [(Standing(claim=CLAIM), LEASE_END + MOMENT)],
    "given back": [(Standing(claim=GIVEN_BACK), NOON), (Standing(claim=GIVEN_BACK), NOON + HOUR)],
    "decided": [(Standing(record()), NOON)],
    "told": [
        (Standing(record(delivered_at=NOON)), NOON),
        (Standing(record(outcome="failed", dead_at=NOON)), NOON),
    ],
}
"""What can stand in each state; where the row's words tell two cases apart, one of each."""

NEXT = Take(4, NOON, 2, CLAIM.tries, 1)

WORDS: dict[str, list[Move]] = {
    "take claim 1": [Take(1)],
    "come back at the lease's end": [ComeBack(LEASE_END, 3)],
    "take claim n + 1: claim n counts as a call and as a try": [
        NEXT._replace(calls=3, tries={"transient": 2, "throttled": 4})
    ],
    "before `retry_at` come back then, after it take claim n + 1": [
        ComeBack(NOON + HOUR, 3),
        NEXT._replace(exempt=True),
    ],
    "nothing: its delivery is on the agenda": [Leave()],
    "nothing; after `failed` or `incomplete` a later upload starts run + 1": [Leave(), Leave()],
    "tell": [Tell()],
    "delete uploads, clear the agenda": [Settle(), Settle()],
}
"""What the words of the table in handler/README.md promise of the samples."""


def exactly(move: Move) -> tuple[type[Move], Move]:
    """A move with its kind: moves without fields are equal tuples."""
    return type(move), move


def rows() -> list[Any]:
    """The table as it is read: each state with its words for an event and for a sweep."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in states().splitlines()[2:]]
    return [
        pytest.param(
            state.strip("*"), asker, words, id=f"{state.strip('*')}, {'sweep' if asker.sweeping else 'event'}"
        )
        for state, _, event, sweep in cells
        for asker, words in ((EVENT, event), (SWEEP, sweep))
    ]


@pytest.mark.parametrize(("state", "asker", "words"), rows())
def test_the_function_does_what_the_table_says(state: State, asker: Asker, words: str) -> None:
    """Whoever reads handler/README.md and whoever reads the function sees the same thing."""
    found = [next_move(standing, asker, now) for standing, now in SAMPLES[state]]
    assert list(map(exactly, found)) == list(map(exactly, WORDS[words]))


def test_the_table_has_every_state_once() -> None:
    """And this file has samples of each."""
    assert [row.values[0] for row in rows()[::2]] == list(TABLE) == list(SAMPLES)


# --- another run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", [EVENT, SWEEP])
@pytest.mark.parametrize(
    ("changes", "newest", "run", "starts"),
    [
        ({"outcome": "failed"}, NOON + MOMENT, None, True),
        ({"outcome": "incomplete"}, NOON + MOMENT, None, True),
        ({"outcome": "failed", "delivered_at": NOON}, NOON + MOMENT, None, True),
        ({"outcome": "failed"}, NOON, None, False),
        ({"outcome": "failed"}, NOON, 3, True),
        ({"outcome": "failed"}, NOON, 2, False),
        ({"outcome": "incomplete"}, NOON - HOUR, 3, True),
        ({"outcome": "matched"}, NOON + HOUR, 3, False),
        ({"outcome": "mismatched"}, NOON + HOUR, 3, False),
        ({"outcome": "rejected"}, NOON + HOUR, 3, False),
        ({"outcome": "rejected", "code": TOO_MANY_VERDICTS}, NOON + HOUR, None, False),
        ({"outcome": "rejected", "code": TOO_MANY_VERDICTS}, NOON + HOUR, 2, False),
        ({"outcome": "rejected", "code": TOO_MANY_VERDICTS}, NOON - HOUR, 3, True),
    ],
)
def test_another_run_comes_after_no_verdict_and_a_later_upload(
    asker: Asker, changes: dict[str, Any], newest: datetime, run: int | None, starts: bool
) -> None:
    """Or after a wish of the operator's for a later run; a verdict is never asked for twice."""
    found = record(**changes)
    asker = asker._replace(newest=newest, run=run)
    assert reopens(found, newest, run) is starts
    assert isinstance(next_move(Standing(found), asker, NOON), NextRun) is starts


# --- how many verdicts a pair may have ----------------------------------------------------------------

A, B, C, OWN = "a" * 32, "b" * 32, "c" * 32, VERIFICATION.id


@pytest.mark.parametrize(
    ("claimed", "most", "others"),
    [
        ([], 2, 0),
        ([OWN, OWN], 2, 0),
        ([A, A, A, OWN], 2, 1),
        ([A, OWN, B], 2, 2),
        ([A, B, C, OWN], 9, 3),
        ([A, B, C, OWN], 2, 2),
    ],
)
def test_verifications_are_counted_and_not_their_claims(claimed: list[str], most: int, others: int) -> None:
    """What was claimed ten times is one; its own claim is none; the count ends at the limit."""
    assert others_claimed(claimed, VERIFICATION, most) == others


def test_nothing_is_listed_beyond_the_limit() -> None:
    """A pair with a million claims costs no more requests than one with a thousand."""
    left = iter([A, B, C])
    assert others_claimed(left, VERIFICATION, 2) == 2
    assert list(left) == [C]


@pytest.mark.parametrize(
    ("others", "most", "exempt", "too_many"),
    [
        (9, 10, False, False),
        (10, 10, False, True),
        (11, 10, False, True),
        (10, 10, True, False),
        (0, 1, False, False),
        (1, 1, False, True),
        (0, 0, False, False),
        (10_000, 0, False, False),
    ],
)
def test_a_pair_has_so_many_verdicts_and_no_more(
    others: int, most: int, exempt: bool, too_many: bool
) -> None:
    """0 is any number; what was let through, or the operator asked for, goes on."""
    assert has_too_many(CLAIM._replace(exempt=exempt), others, most) is too_many


def test_what_was_let_through_once_is_not_held_up_later() -> None:
    """Only who may call gives a claim back; whose owner died may never have counted."""
    later = NOON + 2 * HOUR
    for claim_, exempt in (
        (GIVEN_BACK, True),
        (CLAIM, False),
        (CLAIM._replace(exempt=True), True),
        (GIVEN_BACK._replace(exempt=True), True),
    ):
        move = next_move(Standing(claim=claim_), SWEEP, later)
        assert isinstance(move, Take)
        assert move.exempt is exempt
        assert move.claim(VERIFICATION, "nonce", "request", NOON, later).exempt is exempt


# --- what holds for every state -----------------------------------------------------------------------

moments = st.timedeltas(-2 * HOUR, 2 * HOUR).map(lambda after: NOON + after)
tries = st.dictionaries(st.sampled_from(list(TRIES)), st.integers(0, 9))
claims = st.builds(
    claim,
    n=st.integers(1, 50),
    lease_until=moments,
    first_try_at=moments,
    calls=st.integers(0, 50),
    tries=tries,
    no_similarity=st.integers(0, 3),
    retry_at=st.none() | moments,
)
askers = st.builds(Asker, st.booleans(), moments, st.none() | st.integers(1, 9))


@given(claims, moments, moments)
def test_an_event_never_takes_over(found: Claim, newest: datetime, now: datetime) -> None:
    """Only a sweep does, which reads the record first: an event could come after a verdict."""
    move = next_move(Standing(claim=found), Asker(sweeping=False, newest=newest), now)
    if found.retry_at is None:
        assert move == ComeBack(found.lease_until + CLOCK_MARGIN, found.n)


@given(claims, askers, moments)
def test_nobody_takes_a_claim_before_its_time(found: Claim, asker: Asker, now: datetime) -> None:
    """Not while a lease runs, and not before the next try is allowed: who comes too early comes back then."""
    move = next_move(Standing(claim=found), asker, now)
    if isinstance(move, Take):
        assert now >= found.retry_at if found.retry_at else now > found.lease_until + CLOCK_MARGIN
    else:
        assert move == ComeBack(found.retry_at or found.lease_until + CLOCK_MARGIN, found.n)


@given(claims, askers, moments)
def test_claims_go_on_counting(found: Claim, asker: Asker, now: datetime) -> None:
    """Numbers grow by one, counts never fall, and the first try stays the first."""
    move = next_move(Standing(claim=found), asker, now)
    if isinstance(move, Take):
        assert move.n == found.n + 1
        assert move.first_try_at == found.first_try_at
        assert move.calls >= found.calls
        assert move.no_similarity == found.no_similarity
        assert all(move.tries[klass] >= count for klass, count in found.tries.items())


@given(
    st.builds(Standing, st.just(record()) | st.just(record(outcome="failed", dead_at=NOON))), askers, moments
)
def test_what_is_decided_is_never_claimed(standing: Standing, asker: Asker, now: datetime) -> None:
    """No second verdict for the same run."""
    assert isinstance(next_move(standing, asker, now), (Leave, Tell, Settle, NextRun))


# --- taking -----------------------------------------------------------------------------------------


def test_the_first_claim_counts_from_now() -> None:
    """Nothing came before it."""
    taken = Take().claim(VERIFICATION, "nonce", "request", NOON, NOON + MINUTE)
    assert taken == Claim(VERIFICATION, 1, "nonce", "request", NOON + MINUTE, NOON, 0, {}, 0, None, None)


def test_a_later_claim_counts_on() -> None:
    """All that is known of its predecessors goes with it; that it was given back does not."""
    taken = NEXT.claim(VERIFICATION, "other", "request 2", NOON + HOUR, NOON + 2 * HOUR)
    assert taken == CLAIM._replace(
        n=4, nonce="other", request_id="request 2", lease_until=NOON + 2 * HOUR, first_try_at=NOON
    )


LAST = len(TRIES["transient"])


@pytest.mark.parametrize(("before", "lost"), [(0, False), (LAST, False), (LAST + 1, True), (LAST + 2, True)])
def test_a_verification_in_which_instances_die_is_given_up(before: int, lost: bool) -> None:
    """After as many as a transient failure is tried again, and the one that came first."""
    assert claim(tries={"transient": before}).is_lost is lost


def test_only_transient_tries_make_a_verification_lost() -> None:
    """Throttled calls and a wrong configuration are waited out for a day."""
    assert not claim(tries={"throttled": 99, "configuration": 99}).is_lost
    assert not claim().is_lost


def test_who_dies_with_a_lost_verification_lost_no_call() -> None:
    """It was not to call any more; so `calls` stays what the API may have executed."""
    found = claim(calls=8, tries={"transient": LAST + 1})
    move = next_move(Standing(claim=found), SWEEP, LEASE_END + SECOND)
    assert move == Take(2, NOON, 8, {"transient": LAST + 2})


# --- what a call leaves -----------------------------------------------------------------------------


def test_one_more_try_counts_in_its_class_alone() -> None:
    """And the claim that it is counted from stays as it was."""
    before: dict[Class, int] = {"throttled": 2}
    assert one_more(before, "throttled") == {"throttled": 3}
    assert one_more(before, "transient") == {"throttled": 2, "transient": 1}
    assert before == {"throttled": 2}


@pytest.mark.parametrize(
    ("answer", "calls", "no_similarity"),
    [
        (Answer("Success", "", executed=True), 3, 1),
        (Answer("RequestLimitExceeded", "", executed=False), 2, 1),
        (Answer(NO_SIMILARITY, "", executed=True), 3, 2),
    ],
)
def test_a_call_is_counted_where_the_api_may_have_judged(
    answer: Answer, calls: int, no_similarity: int
) -> None:
    """What was certainly not executed costs nothing; a Success without a similarity is counted by itself."""
    assert counted(CLAIM, answer) == CLAIM._replace(calls=calls, no_similarity=no_similarity)


@pytest.mark.parametrize(
    ("code", "before", "sweeping", "at_once"),
    [
        ("InternalError", {}, False, True),
        ("InternalError", {}, True, True),
        ("InternalError", {"tries": {"transient": 1}}, False, False),
        ("InternalError", {"tries": {"transient": 0, "throttled": 5}}, False, True),
        ("RequestLimitExceeded", {}, False, True),
        ("RequestLimitExceeded", {}, True, False),
        ("RequestLimitExceeded", {"tries": {"transient": 1}}, False, False),
        (NO_SIMILARITY, {"no_similarity": 1}, False, True),
        (NO_SIMILARITY, {"no_similarity": 2}, False, False),
        ("AuthFailure", {}, False, False),
        ("FailedOperation.ImageBlur", {}, False, False),
        ("Success", {}, False, False),
        ("BrandNew", {}, False, False),
    ],
)
def test_a_first_failure_is_followed_by_a_second_call_at_once(
    code: str, before: dict[str, Any], sweeping: bool, at_once: bool
) -> None:
    """Of the kinds that a moment can heal; a sweep's throttled call waits for the next, which paces it."""
    assert calls_at_once(claim(**before), code, sweeping=sweeping) is at_once


NEVER = [code for code, row in CODES.items() if row.klass not in TRIES]


@pytest.mark.parametrize("code", NEVER)
def test_what_says_something_of_the_person_is_told_at_once(code: str) -> None:
    """So is a verdict: the same bytes get the same answer."""
    assert retry_at(claim(), code, NOON) is None


@pytest.mark.parametrize(
    ("code", "before", "minutes"),
    [
        ("InternalError", {}, 1),
        ("InternalError", {"tries": {"transient": 2, "throttled": 1}}, 5),
        ("InternalError", {"tries": {"transient": LAST}}, None),
        ("RequestLimitExceeded", {"tries": {"throttled": 1, "transient": 3}}, 1),
        ("AuthFailure.TokenFailure", {"tries": {"configuration": 3}}, 10),
        (NO_SIMILARITY, {"no_similarity": 1}, 1),
        (NO_SIMILARITY, {"no_similarity": 2}, None),
        ("InternalError", {"no_similarity": 2}, 1),
    ],
)
def test_the_next_try_is_its_classes(code: str, before: dict[str, Any], minutes: float | None) -> None:
    """Each class counts its own tries; a second Success without a similarity is told."""
    expected = None if minutes is None else NOON + timedelta(minutes=minutes)
    assert retry_at(claim(**before), code, NOON) == expected


def test_patience_is_counted_from_the_first_try() -> None:
    """However many claims came between."""
    late = claim(first_try_at=NOON - PATIENCE)
    assert retry_at(late, "RequestLimitExceeded", NOON - MOMENT) is not None
    assert retry_at(late, "RequestLimitExceeded", NOON) is None
