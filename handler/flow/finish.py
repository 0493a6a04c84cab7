"""What a visit ends with: what is to be told is told or handed over, the rest is left on the agenda."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from handler.edges.bucket import CosError
from handler.flow.steps import Cause, Done, HandOver, Later, Step, Tell, Trace, Visit
from handler.flow.tell import put_next_on, tell
from handler.rules.agenda import after_one_more_failure, delivery, kind_of
from handler.services import Services
from handler.state.objects import CorruptState


def tell_now(services: Services, step: Tell) -> list[str]:
    """Tell what was handed over. Returns its outcome."""
    return tell_or_hand_over(services, step, 0, None)


def tell_or_hand_over(services: Services, step: Tell, failures: int, hand_over: HandOver | None) -> list[str]:
    """Tell a record that the agenda came back to, with a log line of its own, or hand it over."""
    task = delivery(step.record, step.attempt)._replace(failures=failures)
    with traced(services, step.record.verification.path) as trace:
        this = Visit(services, Cause(task=task), trace)
        left, told = carry_out(this, step, hand_over)
        leave(this, left)
    return list(told)


def carry_out(this: Visit, step: Step, hand_over: HandOver | None) -> tuple[Done | Later, tuple[str, ...]]:
    """Tell what is to be told, or hand it over: here alone. Returns what is left, and what was told."""
    if not isinstance(step, Tell):
        return step, ()
    record = step.record
    if record.settled:
        return Done(step.clear), ()
    if hand_over is not None:
        this.trace.note(
            decided=record.outcome, verification=record.verification.id, run=record.verification.run
        )
        hand_over(step)
        return Done(), ()
    if not (record.told or step.guarded):
        step = put_next_on(this.services, step)
    try:
        return tell(this.services, step, this.trace, patient=this.cause.is_waited_for), (record.outcome,)
    except CosError as error:
        this.trace.note(error=str(error))
        return _after_failed_telling(this, step), (record.outcome,)


def _after_failed_telling(this: Visit, step: Tell) -> Done | Later:
    """What COS kept from being marked or deleted comes back.

    An attempt has its entry on the agenda already: the claim's, or the next attempt's. Another one would be a
    second chain.
    """
    if not step.record.told:
        return Done()
    task = delivery(step.record, step.attempt)._replace(failures=this.cause.failures)
    return Later(after_one_more_failure(task, this.services.clock.now()), step.clear)


def leave(this: Visit, step: Done | Later) -> None:
    """Put on the agenda what is left to do, then take off what has had its day."""
    ledger, keep = this.services.ledger, set()
    if isinstance(step, Later):
        keep.add(ledger.put_on(step.entry))
        this.trace.note(
            again_at=step.entry.at.isoformat(timespec="seconds"), again_for=kind_of(step.entry.task)
        )
    gone = set(step.clear) - keep
    if gone:
        ledger.take_off(gone)


@contextmanager
def traced(services: Services, path: str) -> Generator[Trace, None, None]:
    """One log line for one pair, whatever comes of it."""
    trace = Trace(services.clock)
    try:
        yield trace
    except Exception as error:
        ours = isinstance(error, (CosError, CorruptState))
        trace.note(error=str(error) if ours else type(error).__name__)
        raise
    finally:
        level: Any = "ERROR" if "error" in trace.fields else "INFO"
        services.log("pair", level, pair=path, **trace.fields)
