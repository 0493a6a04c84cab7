"""COS as one invocation meets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from handler.clock import Deadline
from handler.edges.bucket import Changed, CosError, Exists, Oversized, Unavailable
from handler.edges.cos import MAX_STATE, REQUEST_SECONDS, TRIES
from handler.rules.outcome import timestamp
from handler.rules.uploads import Stored
from tests.simulation.remote import Remote
from tests.simulation.store import HEAD_LAG, LIST_LAG, Books, Store, Version
from tests.simulation.world import Instance, World

T = TypeVar("T")


class SimulatedBucket(Remote):
    """`handler.edges.cos.Bucket` on a store; it repeats what is safe to repeat, as CosBucket does."""

    def __init__(
        self,
        world: World,
        books: Books,
        instance: Instance,
        store: Store,
        deadline: Deadline,
        state_prefix: str | None,
    ) -> None:
        super().__init__(world, books, instance)
        self.name = store.name
        self.store = store
        self._deadline = deadline
        self._state_prefix = state_prefix
        """What the function may write under; None: this is the uploads' bucket."""
        self.is_operators = False
        """An operator asks, who may delete any upload."""
        self._headed: dict[str, float] = {}

    # --- reads

    def head(self, key: str) -> Stored | None:
        def effect() -> Version | None:
            return self.store.seen(key)

        found: Version | None = self._steady("head", key, effect)
        self._headed[key] = self.instance.looked_at[key] = self.world.now
        if found is None:
            return None
        return Stored(key, found.etag, found.md5 if found.is_md5 else None, found.size, found.modified)

    def read(self, key: str) -> bytes | None:
        def effect() -> bytes | None:
            lag = self.books.mood.read_lag
            found = self.store.seen(key) if lag else self.store.now(key)
            if found and found.data and len(found.data) > MAX_STATE:
                raise Oversized("read", self.name, key, None, "too large")
            return found.data if found else None

        return self._steady("read", key, effect)

    def list(self, prefix: str, after: str = "") -> tuple[list[Stored], bool]:
        return self._steady("list", prefix, lambda: self.store.listed(prefix, after))

    def md5(self, stored: Stored) -> str:
        seconds = self.books.mood.hash_s * self.world.draw() if self.books.mood.hash_s else 0.0
        while seconds > 0:  # piece by piece
            self._whole(stored)
            if self._deadline.left() < 1:
                raise Unavailable("read", self.name, stored.key, None, "no time is left")
            self.instance.sleep(min(seconds, 5.0))
            seconds -= 5.0
        return self._whole(stored)

    def pieces(self, stored: Stored) -> Generator[bytes, None, None]:
        self._whole(stored)
        yield b""

    def _whole(self, stored: Stored) -> str:
        def effect() -> str:
            found = self.store.now(stored.key)
            if found is None:
                raise CosError("read", self.name, stored.key, 404, "NoSuchKey")
            if found.etag != stored.etag:
                raise Changed("read", self.name, stored.key, 412, "PreconditionFailed")
            return found.md5

        return self._once("get", stored.key, effect)

    def link(self, key: str, seconds: int) -> str:
        return f"{self.name}/{key}"

    # --- writes

    def write(
        self, key: str, data: bytes, content_type: str = "application/json", seconds: float | None = None
    ) -> bool:
        self._is_own(key)
        if seconds is None:
            return self._steady("write", key, lambda: self._put(key, data))
        return self._once("write", key, lambda: self._put(key, data), seconds)

    def create(self, key: str, data: bytes) -> bool:
        self._is_own(key)
        mood, lane = self.books.mood, self.world.lane
        if lane is not None and "/claims/" in f"/{key}":
            lane.claim = key
        window = 0.001
        if mood.wide_window and self.world.draw() < mood.wide_window:
            window = mood.window_s * self.world.draw()

        def check() -> None:
            if not self.store.versioned and self.store.now(key) is not None:
                raise Exists("write", self.name, key, 409, "FileAlreadyExists")

        def effect() -> bool:
            if not self.store.versioned and self.store.now(key) is not None:
                self.fault("two writers won a create-only PUT")
            if "/claims/" in f"/{key}":
                path, which, _ = key.partition("claims/")[2].rsplit("/", 2)
                self.books.claimed.setdefault(path, {}).setdefault(which, self.world.now)
            return self._put(key, data)

        kept = self._once("create", key, effect, check=check, took=window)
        if mood.conflict and not self.store.versioned and self.world.draw() < mood.conflict:
            # The answer is lost and the request is sent once more on its way, behind the client's back.
            self.fault("a writer is refused by its own object")
            raise Exists("write", self.name, key, 409, "FileAlreadyExists")
        return kept

    def honours_create(self, key: str) -> bool:
        try:
            for _ in range(2):
                if self.create(key, b"{}"):
                    return False
        except Exists:
            return True
        return False

    def _put(self, key: str, data: bytes) -> bool:
        mood, draw = self.books.mood, self.world.draw
        listed_at = seen_at = 0.0
        if mood.list_lag and draw() < mood.list_lag:
            self.fault("LIST lags")
            listed_at = self.world.now + LIST_LAG * draw() ** 2
        if mood.read_lag and draw() < mood.read_lag:
            self.fault("GET lags")
            seen_at = self.world.now + HEAD_LAG * draw()
        if "/records/" in f"/{key}":
            which = key.rpartition("/")[2].removesuffix(".json")
            self.books.decided.add(json.loads(data)["decided"]["body"])
            before = self.store.now(key)
            if before is None or before.data is None or _nonce(before.data) != _nonce(data):
                self.books.recorded.setdefault(which, []).append((self.world.now, self.instance))
        self.store.put(key, data, size=len(data), listed_at=listed_at, seen_at=seen_at)
        return self.store.versioned and not mood.silent_versions

    def delete(self, keys: Iterable[str]) -> None:
        found = list(keys)
        looked_at = {key: self._headed.get(key, 0.0) for key in found}

        def effect() -> None:
            mood, draw = self.books.mood, self.world.draw
            for key in found:
                is_upload = self._state_prefix is None or not key.startswith(self._state_prefix)
                if is_upload and not self.is_operators:
                    self._check_deletion(key, looked_at[key])
                listed_at = seen_at = 0.0
                if mood.list_lag and draw() < mood.list_lag:
                    listed_at = self.world.now + LIST_LAG * draw() ** 2
                if mood.head_lag and draw() < mood.head_lag:
                    seen_at = self.world.now + HEAD_LAG * draw()
                self.store.put(key, None, listed_at=listed_at, seen_at=seen_at)

        self._steady("delete", " ".join(found), effect)

    # --- how it is asked

    def _steady(self, asked: str, key: str, effect: Callable[[], T]) -> T:
        """As CosBucket asks what is safe to ask twice."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(asked, key, effect)
            except Unavailable:
                pause = 0.1 * 4**attempt * (0.5 + 0.5 * self.world.draw())
                if attempt == TRIES or self._deadline.left() < pause + 1:
                    raise
                self.instance.sleep(pause)
        raise AssertionError("unreachable")

    def _once(
        self,
        asked: str,
        key: str,
        effect: Callable[[], T],
        seconds: float = REQUEST_SECONDS,
        *,
        check: Callable[[], None] | None = None,
        took: float = 0.0,
    ) -> T:
        mood, draw = self.books.mood, self.world.draw
        self.books.cos += 1
        down = mood.cos_down[0] <= self.world.now < mood.cos_down[1]
        refused, committed, unanswered = mood.refused, mood.committed, mood.unanswered
        if down:
            refused, committed, unanswered = 0.95, 0.01, 0.02
        chance = draw() if refused or committed or unanswered else 1.0
        seconds = min(seconds, self._deadline.left())
        recording = asked == "create" and "/records/" in f"/{key}"
        dies = recording and bool(mood.die_recording) and draw() < mood.die_recording
        happens, fails, lost = True, False, False
        if chance < refused:
            self.fault("COS answers 5xx")
            happens, fails = False, True
        elif chance < refused + committed:
            self.fault("COS answers 5xx after committing")
            fails = True
        elif chance < refused + committed + unanswered:
            self.fault("COS does not answer")
            happens, lost = draw() < 0.5, True

        def nothing() -> T:
            raise AssertionError("its answer is not looked at")

        try:
            answer = None
            if seconds > 0:
                answer = self.exchange(
                    f"{asked} {key}",
                    effect if happens else nothing,
                    seconds,
                    check=check if happens else None,
                    took=took,
                    lost=lost,
                    fails=fails,
                    dies=dies,
                )
            if answer is None:
                raise Unavailable(asked, self.name, key, 503 if fails else None, "no answer")
            return answer[0]
        except Unavailable:
            if asked in ("write", "create", "delete"):
                self.instance.stumbled = True
            if "/records/" in f"/{key}":
                self.books.unrecorded.add((key.rpartition("/")[2].removesuffix(".json"), self.instance))
            raise

    # --- what is checked at once

    def _is_own(self, key: str) -> None:
        if self._state_prefix is None or not key.startswith(self._state_prefix):
            self.world.violation(f"state: an object outside the state prefix was written: {self.name}/{key}")

    def _check_deletion(self, key: str, looked_at: float) -> None:
        """An upload that is deleted must have been told of: delivery comes before deletion."""
        upload = self.store.now(key)
        if upload is None:
            return
        if upload.at > looked_at - HEAD_LAG:
            self.books.raced += 1
        same = self.store.alternatives(key)
        for message, bodies in (*self.books.bodies.items(), *self.books.former):
            if message in self.books.accepted:
                for body in bodies:
                    data = json.loads(body)["data"]
                    for half in (data["live"], data["image"]):
                        if half and half["key"] == key and half["md5"] in (upload.md5, None):
                            return
                        is_newer = half and half["uploaded_at"] >= timestamp(upload.modified)
                        if half and half["key"] in same and half["key"] != key and is_newer:
                            return  # of several alternatives the newest counted
        if upload.at > looked_at - HEAD_LAG:
            return
        self.world.violation(f"upload: {key} was deleted before anybody was told of it")


def _nonce(record: bytes) -> bytes:
    """What tells a record's writer; as it stands in the JSON, since this is asked often."""
    _, _, rest = record.rpartition(b'"nonce": "')
    return rest[:16]
