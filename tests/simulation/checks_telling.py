"""What must hold of what is told: every record is, by the schedule, and nothing is told that is not so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate

from handler.rules.schedule import DELIVERIES, SPREAD
from tests.simulation.found import Found
from tests.simulation.history import History
from tests.simulation.platform import Function
from tests.simulation.store import Mood, Post
from tests.simulation.world import EPOCH

WAITS = tuple(wait.total_seconds() for wait in DELIVERIES)

EARLIEST = (0.0, *(each * (1 - SPREAD) for each in accumulate(WAITS)))
"""Seconds after the decision before which an attempt is not due."""

TOGETHER = 90.0
"""Seconds within which posts count as one attempt: sweeps that overlap may each make it."""

SLACK = 10.0
"""Seconds, beside those by which clocks differ, that pass between a decision and its record."""

LATE = 200.0
"""Seconds that a sweep, or three that find the consumer hanging, may make an attempt late."""


def every_record_is_told(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Every message was accepted at least once, unless the consumer said that it is gone.

    What was told under settings that derive no such uploads, the next walk deletes.
    """
    was_changed = any(each.function == function.number for each in history.plan.redeploys)
    for which, record in found.items():
        message = f"msg_{which}"
        if message not in history.books.accepted and message not in history.books.gone:
            yield f"upload: {message} ({record['outcome']}) was never accepted"
        if not record["delivered_at"] and not record["dead_at"]:
            yield f"state: {message} is not settled: it is marked neither delivered nor dead"
        if record["dead_at"] and message not in history.books.gone:
            yield f"upload: {message} was given up"
        for role in record["delete"] if record["delivered_at"] and (reconciled or not was_changed) else ():
            told, left = record[role], function.uploads.now(record[role]["key"])
            told_at = history.books.accepted[message][0]
            if left is not None and left.etag == told["etag"] and left.at < told_at:
                yield f"state: {message} was told, and {told['key']} was not deleted"


def attempts_are_no_more_than_the_schedule_has(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """At no time were there more attempts than were due by then, but for those whose mark was lost."""
    for which, record in found.items():
        decided = (datetime.fromisoformat(record["decided_at"]) - EPOCH).total_seconds()
        recorded = history.books.recorded[which][0][0]
        posts = history.books.posts.get(f"msg_{which}", [])
        lost = sum(post.instance.died_at is not None or post.instance.stumbled for post in posts)
        slack = SLACK + 2 * history.skew
        began = max(decided, recorded) - slack if record["answer"] else decided - slack
        anew = [at - slack for at in history.books.redelivered.get(which, ())]
        for number, at in enumerate(_attempts(posts), 1):
            due = sum(earliest <= at - begin for begin in (began, *anew) for earliest in EARLIEST)
            if number > due + lost:
                yield (
                    f"message: msg_{which} was posted for the {number}th time {at - recorded:.0f} s after it "
                    f"was recorded, when the schedule has {due} and the marks of {lost} were lost"
                )
                break


def what_is_redelivered_arrives(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """What an operator had delivered anew is taken once more."""
    for at, which in history.books.promised:
        message = f"msg_{which}"
        taken = history.books.accepted.get(message, [])
        is_due = which in found and message not in history.books.gone
        if is_due and not any(each >= at - SLACK for each in taken):
            yield f"message: {message} was to be delivered anew, and was not"


def attempts_are_made_in_time(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """Where nothing but the consumer fails, each attempt until one is taken is made when it is due."""
    if not _is_calm(history.plan.mood):
        return
    for which in found:
        message = f"msg_{which}"
        recorded = history.books.recorded[which][0][0]
        posts = history.books.posts.get(message, [])
        if message in history.books.gone or any(post.put_off for post in posts):
            continue
        taken = history.books.accepted.get(message, [history.world.now])[0]
        for wait, earliest in zip((0.0, *accumulate(WAITS)), EARLIEST, strict=True):
            latest = recorded + wait * (1 + SPREAD) + LATE
            if latest >= taken:
                break
            if not any(recorded + earliest - SLACK <= post.at <= latest for post in posts):
                yield f"message: {message} was not posted {wait:.0f} s after it was recorded"
                break


def _attempts(posts: list[Post]) -> Iterator[float]:
    """When attempts began, those made together being one."""
    began: float | None = None
    for post in posts:
        if began is None or post.at > began + TOGETHER:
            began = post.at
            yield began


def _is_calm(mood: Mood) -> bool:
    """Whether nothing goes wrong but with the consumer."""
    kind = Mood(
        hook_down=mood.hook_down, hook_refuses=mood.hook_refuses, head_lag=mood.head_lag, list_lag=0.0
    )
    return mood == kind


def no_live_package_of_a_shared_image_is_missing(
    history: History, function: Function, found: Found, reconciled: bool
) -> Iterator[str]:
    """An image that serves many is never half a pair: nobody is told that its live package is missing."""
    if not function.settings.templates.shared:
        return
    for which, record in found.items():
        if record["outcome"] == "incomplete" and record["live"] is None:
            yield f"message: {which} says of an image that serves many that a live package is missing"
