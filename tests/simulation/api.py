"""The API as one invocation meets it."""

from __future__ import annotations

from handler.edges.bucket import Bucket
from handler.edges.faceid import FrameError, RelayError, Resource
from handler.flow.call import CALL_LEFT
from handler.rules.codes import code_row
from handler.rules.outcome import Answer
from handler.rules.uploads import Stored
from tests.simulation.remote import Remote
from tests.simulation.store import Verdict

VERDICTS = (
    ("Success", 96.3),
    ("Success", 88.8),
    ("Success", 75.0),
    ("Success", 41.0),
    ("FailedOperation.CompareLowSimilarity", 12.5),
    ("FailedOperation.ActionLightDark", None),
    ("FailedOperation.LivessDetectFake", None),
    ("FailedOperation.NeverHeardOf", None),
)


def judged(live_md5: str, image_md5: str) -> tuple[str, float | None]:
    """What the API says of these bytes, always."""
    return VERDICTS[(int(live_md5, 16) + 3 * int(image_md5, 16)) % len(VERDICTS)]


class SimulatedApi(Remote):
    """`handler.edges.faceid.Api`: it fetches both resources, compares their MD5s and judges."""

    region = "ap-singapore"

    def open(self) -> None:
        """Requests reach it without connections."""

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        mood, draw, world, books = self.books.mood, self.world.draw, self.world, self.books
        if seconds <= 0:
            return Answer("ClientNetworkError", "no time is left", executed=False)
        books.calls += 1
        self.instance.called = True
        lane = world.lane
        claim = lane.claim if lane else None
        if self.instance.limit_at - world.now < CALL_LEFT:
            left = self.instance.limit_at - world.now
            world.violation(f"verdict: the API is called with {left:.0f} s left to the platform's limit")
        if claim is None:
            world.violation("verdict: the API was called without a claim")
            claim = "claims/none/none/0"
        verdicts: list[Verdict] = []

        fetched: list[str | None] = []

        def fetch() -> None:
            fetched.extend(self._fetched(resource) for resource in (live, image))

        def judge() -> Answer:
            if None in fetched:
                return Answer("FailedOperation.DownLoadError", "not found")
            if fetched != [live.md5, image.md5]:
                return Answer("InvalidParameterValue", "MD5 Error")
            code, similarity = judged(live.md5, image.md5)
            rest, which, n = claim.rsplit("/", 2)
            path = rest.partition("claims/")[2]
            verdict = Verdict(
                which, path, int(n), live.md5, image.md5, code, similarity, self.instance, world.now
            )
            books.verdicts.append(verdict)
            verdicts.append(verdict)
            return Answer(
                code,
                "",
                similarity=similarity,
                frame_url="frame",
                frame_md5="0" * 32,
                request_id=f"r{len(books.verdicts)}",
            )

        code = None
        down = mood.api_down
        if down[0] <= world.now < down[1]:
            code = down[2]
        elif self._is_over_rate() or (mood.throttled and draw() < mood.throttled):
            code = "RequestLimitExceeded"
        elif mood.trouble and draw() < mood.trouble:
            code = "InternalError"
        elif mood.forbidden and draw() < mood.forbidden:
            code = "AuthFailure.SecretIdNotFound"
        took = 0.3 + 2.0 * draw()
        if mood.slow_call and draw() < mood.slow_call:
            self.fault("a slow call")
            took = 30.0 * draw()
        if code is not None:
            self.fault(f"the API answers {code}")
            fixed = Answer(code, "", executed=code_row(code).klass != "throttled")
            answer = self.exchange(f"compare {claim}", lambda: fixed, seconds, took=0.05)
            return answer[0] if answer else Answer("ClientNetworkError", "no answer in time or none at all")
        if mood.unreached and draw() < mood.unreached:
            self.fault("the API is not reached")
            self.instance.sleep(min(seconds, 5.0))
            return Answer("ClientNetworkError", "could not be reached", executed=False)
        lost = bool(mood.verdict_lost) and draw() < mood.verdict_lost
        if lost:
            self.fault("the API's answer is lost")
            if draw() < 0.5:
                seconds = min(seconds, took + 0.1)  # the connection breaks
        answer = self.exchange(f"compare {claim}", judge, seconds, check=fetch, took=took, lost=lost)
        if answer is None:
            return Answer("ClientNetworkError", "no answer in time or none at all")
        for verdict in verdicts:
            verdict.arrived = True
        return answer[0]

    def _is_over_rate(self) -> bool:
        """Whether the API has taken all the calls that it takes in a second; else this one is taken."""
        rate, taken, now = self.books.mood.api_rate, self.books.taken, self.world.now
        if not rate:
            return False
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= rate:
            return True
        taken.append(now)
        return False

    def _fetched(self, resource: Resource) -> str | None:
        name, _, key = resource.url.partition("/")
        if name == "relay":
            return key
        store = self.books.stores[name]
        found = store.now(key) if self.world.draw() < 0.5 else store.seen(key)
        return found.md5 if found else None

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        for _ in bucket.pieces(stored):
            pass
        mood = self.books.mood
        if mood.unreached and self.world.draw() < mood.unreached:
            self.fault("the relay is not reached")
            raise RelayError(Answer("ClientNetworkError", "the relay did not take the upload", False))
        return Resource(f"relay/{md5}", md5)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        mood = self.books.mood
        lost = bool(mood.frame_lost) and self.world.draw() < mood.frame_lost
        if lost:
            self.fault("the best frame is lost")
        found = self.exchange("frame", lambda: b"frame", seconds, lost=lost)
        if found is None:
            raise FrameError("it could not be downloaded in time")
        return found[0]
