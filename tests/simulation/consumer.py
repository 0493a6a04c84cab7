"""The consumer as one invocation meets it."""

from __future__ import annotations

from datetime import datetime, timedelta

from handler.edges.webhook import Delivery
from tests.simulation.remote import Remote
from tests.simulation.store import Post


class SimulatedConsumer(Remote):
    """`webhook.Consumer`: it takes messages, or not, or takes them and does not say so in time."""

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        mood, draw, world = self.books.mood, self.world.draw, self.world
        down = mood.hook_down
        how = down[2] if down[0] <= world.now < down[1] else ""
        if not how and mood.hook_refuses and draw() < mood.hook_refuses:
            how = "answers 500"
        if not how and mood.hook_late and draw() < mood.hook_late:
            how = "takes it and does not answer in time"
        if not how and mood.hook_gone and draw() < mood.hook_gone:
            how = "answers 410"
        if how:
            self.fault(f"the webhook {how}")
        put_off = how == "answers 503, to come back later"
        self.books.posts.setdefault(message_id, []).append(Post(world.now, self.instance, put_off))
        if how == "refuses connections":
            self.instance.sleep(0.05)
            return Delivery(False, None, "no connection")

        def arrive() -> Delivery:
            self._check(message_id, body)
            if how == "answers 410":
                self.books.gone.add(message_id)
                return Delivery(False, 410, how, gone=True)
            if how == "answers 500":
                return Delivery(False, 500, how)
            if how == "answers 503, to come back later":
                return Delivery(False, 503, how, retry_after=timedelta(seconds=60))
            if how != "hangs":
                self.books.accepted.setdefault(message_id, []).append(world.now)
            return Delivery(True, 200)

        lost = how in ("hangs", "takes it and does not answer in time")
        said = self.exchange(f"post {message_id}", arrive, seconds, took=0.02 + 0.3 * draw(), lost=lost)
        return said[0] if said else Delivery(False, None, "no answer in time", timed_out=True)

    def _check(self, message_id: str, body: str) -> None:
        bodies = self.books.bodies.setdefault(message_id, {})
        bodies[body] = None
        if len(bodies) > 1:
            self.world.violation(f"message: {message_id} was told with {len(bodies)} bodies")
        if body not in self.books.decided:
            self.world.violation(f"message: {message_id} tells what nobody decided")
        if message_id.removeprefix("msg_") not in self.books.recorded:
            self.world.violation(f"message: {message_id} was told before it was recorded")
