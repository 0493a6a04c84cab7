"""One invocation's way to a service: requests that arrive late, are lost, or take effect though nobody hears.

A request takes effect a while after it was sent and is answered a while later. Once sent it takes effect even
if its sender dies.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from handler.edges.bucket import CosError
from tests.simulation.store import Books, Mood, Version
from tests.simulation.world import Death, Instance, World

T = TypeVar("T")


class Remote:
    """One invocation's way to a service."""

    def __init__(self, world: World, books: Books, instance: Instance) -> None:
        self.world = world
        self.books = books
        self.instance = instance

    def fault(self, name: str) -> None:
        self.world.faults[name] += 1

    def under_way(self, mood: Mood) -> float:
        """Seconds that a request or an answer is under way."""
        draw = self.world.draw
        seconds = 0.002 + 0.015 * draw()
        if mood.slow and draw() < mood.slow:
            self.fault("slow on its way")
            seconds += mood.slowest_s * draw()
        return seconds

    def exchange(
        self,
        says: str,
        effect: Callable[[], T],
        seconds: float,
        *,
        check: Callable[[], None] | None = None,
        took: float = 0.0,
        lost: bool = False,
        fails: bool = False,
        dies: bool = False,
    ) -> tuple[T] | None:
        """Send a request and wait for its answer: what `effect` returns, in a tuple, or raises.

        `effect` happens `took` seconds after the request arrived and `check` went well. Returns None where
        no answer came in `seconds`; if the answer is `lost`, none does. An answer that `fails` tells nothing
        of what happened. `dies`: its sender certainly dies before it is answered.
        """
        world, instance = self.world, self.instance
        if instance.dead:
            raise Death
        if world.exchange is not None:
            answered: tuple[T] | None = world.exchange(
                says, effect, seconds, check=check, took=took, lost=lost, fails=fails
            )
            return answered
        mood = self.books.mood
        lane = world.lane
        assert lane is not None
        died = dies
        risk = max(mood.die, instance.die_share)
        if risk and world.draw() < risk:
            if world.draw() < 0.4:
                self.fault("died before a request")
                world.tell(instance, f"dies before {says}")
                instance.die()
                raise Death
            self.fault("died after a request")
            died = True
        request, answer = self.under_way(mood), self.under_way(mood)
        result: list[Any] = [None, None]

        def arrive() -> None:
            if check is not None:
                try:
                    check()
                except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                    result[1] = error
                    return
            if took:
                world.at(world.now + took, happen)
            else:
                happen()

        def happen() -> None:
            try:
                result[0] = effect()
            except Exception as error:  # noqa: BLE001 # raised again by the lane that asked
                result[1] = error

        arrives = request
        if (lost or died) and mood.late_effect_s[1]:
            low, high = mood.late_effect_s
            arrives += low + (high - low) * world.draw()
        world.at(world.now + arrives, arrive)
        wait = request + took + answer
        if died:
            world.tell(instance, f"sends {says}, and dies")
            world.at(world.now + wait * world.draw(), instance.die)
            world.park()
            raise Death
        in_time = not lost and wait <= seconds
        world.at(world.now + (wait if in_time else seconds), lambda: world.wake(lane))
        world.park()
        if not in_time:
            world.tell(instance, f"{says}: no answer in {seconds:.1f} s")
            return None
        if fails:
            world.tell(instance, f"{says} → 5xx")
            return None
        if world.trace is not None:
            world.tell(instance, f"{says} → {_shown(result[1] or result[0])}")
        if result[1] is not None:
            raise result[1]
        return (result[0],)


def _shown(result: object) -> str:
    if isinstance(result, CosError):
        return f"{type(result).__name__}"
    if isinstance(result, bytes):
        try:
            found = json.loads(result)
        except ValueError:
            return f"{len(result)} bytes"
        if "lease_until" in found:
            return f"claim {found['n']} of {found['request_id']}, retry_at {found['retry_at']}"
        if "outcome" in found:
            return f"record {found['outcome']}, delivered_at {found['delivered_at']}"
        return f"{found.get('kind')} {found.get('key')}"
    if isinstance(result, list):
        return f"{len(result)} found"
    if type(result) is tuple:  # what LIST shows; Answer and Delivery are tuples of a kind of their own
        return ", ".join(stored.key for stored in result[0]) or "nothing"
    if isinstance(result, Version):
        return f"{result.md5} of {result.modified:%H:%M:%S}"
    return str(result)
