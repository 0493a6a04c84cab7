"""How fast a sweep goes: the API's rate, and the consumer's patience."""

from __future__ import annotations

import threading
from datetime import datetime

from handler.clock import Clock
from handler.edges.bucket import Bucket
from handler.edges.faceid import Api, Resource
from handler.edges.webhook import Consumer, Delivery
from handler.flow.call import AFTER_CALL, CALL_LEFT
from handler.rules.codes import code_row
from handler.rules.outcome import Answer
from handler.rules.uploads import Stored

SWEEP_SECONDS = 50.0
"""How long a step of a walk goes on: the next sweep, which may begin a minute after it, takes up the rest."""

PACE = 1.05
"""How much longer than 1 / API_RATE the gap between two calls is, or jitter on their way has some refused."""

TURNS = 3
"""How often a pair is called for in one sweep, as long as the API throttles."""

TIMEOUTS = 3  # deliveries in a row without an answer in time, after which the rest wait for the next sweep


class PacedApi:
    """The API, called a little less often than `rate` times a second by all who share this."""

    def __init__(self, api: Api, rate: float, clock: Clock) -> None:
        self.region = api.region
        self._api, self._clock = api, clock
        self._gap = PACE / rate
        self._next = 0.0
        self.over = False
        """A pair found no turn in the time it had: what is still due waits for the next sweep."""
        self._lock = threading.Lock()

    def open(self) -> None:
        self._api.open()

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        """Call in turn; where others use the rate too and it is refused, in further turns."""
        until = self._clock.elapsed() + seconds
        for _ in range(TURNS):
            left = until - self._clock.elapsed()
            wait = self._turn(left - CALL_LEFT + AFTER_CALL)
            if wait is None:
                self.over = True
                return Answer("RequestLimitExceeded", "API_RATE leaves no turn in time", executed=False)
            self._clock.sleep(wait)
            answer = self._api.compare(live, image, left - wait)
            if code_row(answer.code).klass != "throttled":
                break
        return answer

    def _turn(self, most: float) -> float | None:
        """Seconds until the next turn, which is then taken; None where it comes later than in `most`."""
        with self._lock:
            now = self._clock.elapsed()
            turn = max(self._next, now)
            if turn - now > most:
                return None
            self._next = turn + self._gap
        return turn - now

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        return self._api.relay(bucket, stored, md5, seconds)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        return self._api.frame(answer, seconds)


class Patience:
    """The consumer, until it has let `TIMEOUTS` deliveries in a row run out of time."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._timeouts = 0

    @property
    def over(self) -> bool:
        return self._timeouts >= TIMEOUTS

    def post(self, message_id: str, body: str, now: datetime, seconds: float) -> Delivery:
        said = self._consumer.post(message_id, body, now, seconds)
        self._timeouts = self._timeouts + 1 if said.timed_out else 0
        return said
