"""Claims, records and the agenda: all that livepair knows, as JSON objects in the state bucket.

    claims/<pair>/<verification>/<n>        the right to call the API; created once, then its owner's
    records/<pair>/<verification>.json      the decided verification; created once, sealed; then marked only
    agenda/<UTC minute>/<purpose>           what to come back to, and when
    waiting/<image key digest>/<pair>       a live package waiting for an image that serves many
    settled/<pair>/<digest>                 an upload that stays where the other half of its pair is deleted
    best-frames/<pair>/<verification>.jpg   the best frame
    dead/<pair>/<verification>              a delivery that was given up

Create-only PUTs are used and not trusted: two simultaneous writers have been reported to both succeed, and
buckets that keep versions ignore the header. So a claim counts only once it has been read back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from handler.clock import Clock, Together
from handler.edges.bucket import Bucket, Exists, Unavailable
from handler.rules import agenda
from handler.rules.agenda import Entry, Look, Task
from handler.rules.claiming import Claim, Standing
from handler.rules.outcome import Verification
from handler.rules.records import Record, agrees
from handler.rules.schedule import CLOCK_MARGIN, READ_BACK, SETTLE, SETTLE_VERSIONED
from handler.rules.uploads import Stored
from handler.state import codec
from handler.state.objects import CorruptState, Memory, Objects, filled
from handler.state.seal import Seals

MOST_LISTED = 50_000  # entries of the agenda that are listed for one sweep


class Ledger:
    """The state bucket of one invocation.

    Every method can raise CosError and, where it reads, CorruptState.
    """

    def __init__(
        self, bucket: Bucket, prefix: str, seals: Seals, clock: Clock, together: Together, memory: Memory
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.objects = Objects(bucket, memory)
        self._seals = seals
        self._clock = clock
        self._together = together

    @property
    def trusts_create(self) -> bool:
        """The bucket is known to honour create-only PUTs, within `SETTLE`."""
        return self.objects.honours_create

    @property
    def settle(self) -> float:
        """Seconds after which a create-only PUT has settled, so that reading it back tells who won."""
        return SETTLE if self.trusts_create else SETTLE_VERSIONED

    @property
    def knows_bucket(self) -> bool:
        """COS has been asked whether it honours create-only PUTs; `learn` does so."""
        return self.objects.memory.honours_create is not None

    def learn(self) -> None:
        """Ask COS, once an instance, whether the bucket honours create-only PUTs."""
        self.objects.learn(f"{self.prefix}create-only")

    # --- agenda

    def agenda_key(self, entry: Entry) -> str:
        return f"{self.prefix}agenda/{entry.name}"

    def put_on(self, entry: Entry) -> str:
        """Put a task on the agenda; doing so twice is doing it once. Returns its key."""
        key = self.agenda_key(entry)
        self.objects.write(key, codec.dump_task(entry.task))
        return key

    def take_off(self, keys: Iterable[str]) -> None:
        """Remove objects that are hints only. Their absence is no fault."""
        gone = sorted(set(keys))
        for start in range(0, len(gone), 1000):
            self.bucket.delete(gone[start : start + 1000])

    def due(self, now: datetime, most: int) -> list[str]:
        """Keys of the entries due at `now`, oldest first: up to `most` deliveries and `most` others.

        A LIST for every thousand that are due, up to `MOST_LISTED`, and one where none is.
        """
        prefix = f"{self.prefix}agenda/"
        end = f"{prefix}{agenda.minute_text(now)}0"  # "0" is the character after "/"
        found: dict[bool, list[str]] = {True: [], False: []}
        for stored in islice(self.objects.listed(prefix), MOST_LISTED):
            if stored.key >= end or min(map(len, found.values())) >= most:
                break
            found[agenda.is_delivery(stored.key)].append(stored.key)
        return sorted(key for keys in found.values() for key in keys[:most])

    def pending(self) -> frozenset[str]:
        """The ids of the verifications that the agenda will come back to. May miss what is very new."""
        return frozenset(
            filter(None, map(agenda.verification_in, self.objects.keys(f"{self.prefix}agenda/")))
        )

    def in_hand(self) -> int:
        """How many claims the agenda comes back to, as one LIST shows it; of a longer agenda its length."""
        page, more = self.bucket.list(f"{self.prefix}agenda/")
        return len(page) if more else sum(agenda.is_take_over(stored.key) for stored in page)

    def minute_of(self, key: str) -> datetime | None:
        """When an agenda key was due; None where it is no agenda key."""
        return agenda.minute_of(key.removeprefix(f"{self.prefix}agenda/"))

    def task(self, key: str) -> Task | None:
        """An agenda entry's task, None where it is gone."""
        return self.objects.read(key, codec.load_task)

    def last_walk(self) -> datetime | None:
        """When the last finished walk over the uploads began. None can be still to come."""
        began_at = self.objects.read(self._walk_key, codec.load_walked)
        if began_at is not None and began_at > self._clock.now() + CLOCK_MARGIN:
            raise CorruptState(self._walk_key, "it lies in the future")
        return began_at

    def walked(self, began_at: datetime) -> None:
        """Note that a walk which began then has finished."""
        self.objects.write(self._walk_key, codec.dump_walked(began_at))

    @property
    def _walk_key(self) -> str:
        return f"{self.prefix}reconciled.json"

    # --- waiting for an image that serves many

    def mark_key(self, image_key: str, pair_path: str = "") -> str:
        """Where a pair is marked as waiting for the image; without one, what all of its marks begin with."""
        digest = hashlib.sha256(image_key.encode()).hexdigest()[:32]
        return f"{self.prefix}waiting/{digest}/{pair_path}"

    def mark_waiting(self, image_key: str, pair_path: str, live: Look) -> None:
        """Mark that a live package waits for an image."""
        self.objects.write(self.mark_key(image_key, pair_path), codec.dump_task(live))

    def marks(self, image_key: str) -> list[str]:
        """Keys of the marks for live packages that wait for an image."""
        return list(self.objects.keys(self.mark_key(image_key)))

    def forget_marks(self, until: datetime) -> None:
        """Remove all marks that were made before `until`."""
        old = [each.key for each in self.objects.listed(f"{self.prefix}waiting/") if each.uploaded_at < until]
        self.take_off(old)

    # --- what is left of a pair whose other half was deleted

    def settled_key(self, pair_path: str, stored: Stored) -> str:
        digest = hashlib.sha256(stored.identity.encode()).hexdigest()[:32]
        return f"{self.prefix}settled/{pair_path}/{digest}"

    def note_settled(self, pair_path: str, stored: Stored) -> None:
        """Note that an upload stays where the other half of its pair is deleted, its outcome told."""
        self.objects.write(self.settled_key(pair_path, stored), codec.dump_settled(stored.uploaded_at))

    def is_settled(self, pair_path: str, stored: Stored) -> bool:
        """Whether that was noted of an upload, and not of an earlier one of the same bytes."""
        until = self.objects.read(self.settled_key(pair_path, stored), codec.load_settled)
        return until is not None and stored.uploaded_at <= until

    # --- records

    @property
    def records_prefix(self) -> str:
        return f"{self.prefix}records/"

    def record_key(self, verification: Verification) -> str:
        return f"{self.records_prefix}{verification.path}/{verification.id}.json"

    def record(self, verification: Verification) -> Record | None:
        return self._record(self.record_key(verification))

    def _record(self, key: str) -> Record | None:
        """The record that lies under a key: sealed for it, about what it says, and its message too."""
        record = self.objects.read(key, lambda data: codec.load_record(data, partial(self._seals.holds, key)))
        if record is not None and not (self.record_key(record.verification) == key and agrees(record)):
            raise CorruptState(key, "the record, its key and its message do not agree")
        return record

    def _sealed(self, record: Record) -> Record:
        return codec.seal_record(record, partial(self._seals.seal, self.record_key(record.verification)))

    def records(self, pair_path: str) -> list[Record]:
        """All that was decided about a pair, in no order. May miss what is very new."""
        keys = self.objects.keys(f"{self.records_prefix}{pair_path}/")
        return [record for record in map(self._record, keys) if record]

    def record_once(self, record: Record, *, claimed: bool) -> Record:
        """Create the record, or find the one that was created first: that one counts, and is returned.

        `claimed`: the verification's claim is in hand. An outcome without one has nothing that keeps others
        from deciding it at the same moment, so its record is read back like a claim. Raises Unavailable where
        it is not certain that any is stored.
        """
        key, record = self.record_key(record.verification), self._sealed(record)
        if not self.trusts_create:
            first = self.record(record.verification)
            if first:
                return first
        try:
            self.objects.create(key, filled(codec.dump_record(record), whole=record.is_over))
            if claimed:
                return record
        except (Exists, Unavailable):
            pass  # the answer to an earlier writer, or to this very request, may have been lost
        self._clock.sleep(self.settle)
        first = self.record(record.verification)
        if first is None:
            raise Unavailable("write", self.bucket.name, key, None, "the record is not there")
        return record if first == record else first

    def mark(self, record: Record) -> None:
        """Store what became of a record's delivery."""
        data = codec.dump_record(self._sealed(record))
        self.objects.write(self.record_key(record.verification), filled(data, whole=record.is_over))

    def dead_key(self, verification: Verification) -> str:
        return f"{self.prefix}dead/{verification.path}/{verification.id}"

    def bury(self, record: Record, error: str) -> None:
        """Note that a delivery was given up."""
        self.objects.write(self.dead_key(record.verification), codec.dump_dead(record, error))

    def frame_key(self, verification: Verification) -> str:
        return f"{self.prefix}best-frames/{verification.path}/{verification.id}.jpg"

    def keep_frame(self, verification: Verification, frame: bytes, seconds: float) -> str:
        """Store the best frame in `seconds` at the most. Returns its key."""
        key = self.frame_key(verification)
        self.objects.write_once(key, frame, "image/jpeg", seconds)
        return key

    # --- claims

    def claim_key(self, verification: Verification, n: int) -> str:
        return f"{self.prefix}claims/{verification.path}/{verification.id}/{n}"

    def claim(self, verification: Verification, n: int) -> Claim | None:
        claim = self.objects.read(self.claim_key(verification, n), codec.load_claim)
        return claim and claim._replace(verification=verification, n=n)  # its key says which it is

    def claimed(self, pair_path: str) -> Iterator[str]:
        """The ids of the pair's verifications, each as often as it was claimed. May miss what is very new."""
        prefix = f"{self.prefix}claims/{pair_path}/"
        for key in self.objects.keys(prefix):
            which, _, n = key.removeprefix(prefix).partition("/")
            if n.isdigit():
                yield which

    def take_claim(self, claim: Claim, meanwhile: Iterable[Callable[[], Any]]) -> Standing:
        """Create a claim and return what then stands: that claim only once it has been read back.

        `meanwhile` is done while the claim settles, and only if it may be ours; all of it has succeeded when
        the claim itself is returned. Raises Unavailable where nothing certain is stored, and what `meanwhile`
        raises.
        """
        key = self.claim_key(claim.verification, claim.n)
        try:
            self.objects.create(key, codec.dump_claim(claim))
        except Exists:
            # Mostly a repeated event of a decided pair. It may also be our own write, its answer lost.
            standing = self._standing(claim)
            if standing.claim is None or standing.claim.nonce != claim.nonce:
                return standing
        except Unavailable:
            pass  # it may have been created all the same: reading it back tells
        settled_at = self._clock.elapsed() + self.settle
        self._together(meanwhile)
        self._clock.sleep(max(0.0, settled_at - self._clock.elapsed()))
        stored = self._read_back(claim)
        if stored.nonce == claim.nonce and self.trusts_create:
            return Standing(claim=claim)
        # Another's claim: it may have decided since. Or, where versions are kept, ours was written over its.
        record = self.record(claim.verification)
        return Standing(record, None if record else claim if stored.nonce == claim.nonce else stored)

    def _standing(self, claim: Claim) -> Standing:
        """What stands where `claim` could not be created."""
        record = self.record(claim.verification)
        stored = None if record else self.claim(claim.verification, claim.n)
        if record is None and stored is None:
            key = self.claim_key(claim.verification, claim.n)
            raise Unavailable("write", self.bucket.name, key, None, "the claim comes and goes")
        return Standing(record, stored)

    def _read_back(self, claim: Claim) -> Claim:
        """What is stored where `claim` was just written; GET may show it late."""
        for pause in (*READ_BACK, None):
            stored = self.claim(claim.verification, claim.n)
            if stored is not None:
                return stored
            if pause is not None:
                self._clock.sleep(pause)
        key = self.claim_key(claim.verification, claim.n)
        raise Unavailable("write", self.bucket.name, key, None, "the claim is not there")

    def give_back(self, claim: Claim) -> None:
        """Store `claim` with its `retry_at`. Only its owner may."""
        self.objects.write(self.claim_key(claim.verification, claim.n), codec.dump_claim(claim))
