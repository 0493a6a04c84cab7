"""How each protection of the protocol is switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from handler.cli import forget
from handler.edges.bucket import Exists, Oversized, Unavailable
from handler.flow import advance, call, finish, judge, listing, lookup, reconcile, sweep, tell, visit
from handler.flow.steps import Done, Later, Tell, Trace, Visit
from handler.rules import agenda, claiming, records, schedule, uploads
from handler.rules.agenda import Deliver, Entry, Look, Task
from handler.rules.claiming import Row, Standing
from handler.rules.records import Record
from handler.rules.schedule import DELIVERIES, SPREAD, Attempt
from handler.rules.uploads import Seen
from handler.services import Services
from handler.state import codec, ledger, objects
from handler.state.ledger import Ledger
from handler.state.objects import CorruptState, Objects
from handler.state.seal import Seals
from tests.simulation import history

Patch = Callable[[Any, str, Any], None]

_MODULES = (
    *(advance, agenda, call, claiming, finish, judge, ledger),
    *(lookup, schedule, sweep, tell, uploads, visit),
)


def everywhere(patch: Patch, name: str, value: Any) -> None:
    """Replace a function or constant in every module that imports it by name."""
    for module in _MODULES:
        if name in module.__dict__:
            patch(module, name, value)


# --- the protections --------------------------------------------------------------------------------


def no_read_back(patch: Patch) -> None:
    def take_claim(self: Ledger, claim: Any, meanwhile: Iterable[Callable[[], Any]]) -> Standing:
        try:
            self.bucket.create(self.claim_key(claim.verification, claim.n), codec.dump_claim(claim))
        except Exists:
            return self._standing(claim)
        self._together(meanwhile)
        return Standing(claim=claim)

    patch(Ledger, "take_claim", take_claim)


def nobody_counts(patch: Patch) -> None:
    everywhere(patch, "has_too_many", lambda claim, others, most: False)


def records_are_counted(patch: Patch) -> None:
    def claimed(self: Ledger, pair_path: str) -> Iterable[str]:
        prefix = f"{self.prefix}records/{pair_path}/"
        return (key.removeprefix(prefix).removesuffix(".json") for key in self.objects.keys(prefix))

    patch(Ledger, "claimed", claimed)


def whoever_takes_over_is_let_through(patch: Patch) -> None:
    original = claiming._after

    patch(claiming, "_after", lambda claim: original(claim)._replace(exempt=True))


def no_entry_before_the_call(patch: Patch) -> None:
    original = Ledger.take_claim
    patch(Ledger, "take_claim", lambda self, claim, meanwhile: original(self, claim, []))


def entry_without_verification(patch: Patch) -> None:
    original = agenda.at_lease_end

    def at_lease_end(task: Any, lease_until: Any) -> Entry:
        entry = original(task, lease_until)
        return entry._replace(task=Look(task.bucket, task.key, "live", lease_until, step=-2 - task.n))

    patch(judge, "at_lease_end", at_lease_end)
    patch(call.Held, "task", property(lambda held: held.takeover.task))


def no_purpose(patch: Patch) -> None:
    def purpose(task: Task) -> str:
        key = getattr(task, "key", "").replace("/", "-")
        return f"{'deliver' if isinstance(task, Deliver) else 'look'}-{key}"

    patch(agenda, "purpose", purpose)


def no_look_again(patch: Patch) -> None:
    everywhere(patch, "shows", lambda stored, uploaded_at, etag=None: True)


def no_etag(patch: Patch) -> None:
    original = uploads.shows
    everywhere(patch, "shows", lambda stored, uploaded_at, etag=None: original(stored, uploaded_at))


def record_overwritten(patch: Patch) -> None:
    def record_once(self: Ledger, record: Record, *, claimed: bool) -> Record:
        self.mark(record)
        return record

    patch(Ledger, "record_once", record_once)


def told_before_recorded(patch: Patch) -> None:
    original = tell._record_once

    def record_once(this: Visit, record: Record, *others: Any, claimed: bool) -> Tell:
        services = this.services
        services.consumer.post(record.verification.message_id, record.body, services.clock.now(), 10)
        return original(this, record, *others, claimed=claimed)

    patch(tell, "_record_once", record_once)


def anybody_takes_over(patch: Patch) -> None:
    row: Row = claiming.TABLE["abandoned"]
    patch(claiming, "TABLE", {**claiming.TABLE, "abandoned": row._replace(event=row.sweep)})
    another_claim_unread(patch)


def another_claim_unread(patch: Patch) -> None:
    original = Ledger.take_claim

    def take_claim(self: Ledger, claim: Any, meanwhile: Iterable[Callable[[], Any]]) -> Standing:
        standing = original(self, claim, meanwhile)
        if standing.record is not None and self.trusts_create:
            stored = self.claim(claim.verification, claim.n)
            return Standing(claim=stored) if stored else standing
        return standing

    patch(Ledger, "take_claim", take_claim)
    # What was found there is believed: it is not read anew either.
    patch(judge, "_is_to_be_read", lambda standing, now: False)


def no_clock_margin(patch: Patch) -> None:
    everywhere(patch, "CLOCK_MARGIN", timedelta(0))


def short_settle(patch: Patch) -> None:
    patch(ledger, "SETTLE_VERSIONED", schedule.SETTLE)


def versions_read_nothing_first(patch: Patch) -> None:
    original = judge._reads_before_claiming

    def reads_before_claiming(this: Visit, seen: Seen) -> bool:
        reads = original(this, seen)
        return reads and not uploads.goes_first(seen, this.cause.role or "live")

    patch(judge, "_reads_before_claiming", reads_before_claiming)


def deleted_before_told(patch: Patch) -> None:
    original = tell.tell

    def tell_it(services: Services, step: Tell, trace: Trace, *, patient: bool) -> Done | Later:
        if not step.record.deleted and step.record.delivered_at is None:
            tell._delete_uploads(services, step.record)
        return original(services, step, trace, patient=patient)

    patch(finish, "tell", tell_it)


def gone_is_missing(patch: Patch) -> None:
    patch(advance, "is_rest_of", lambda seen, record: False)


def no_guard(patch: Patch) -> None:
    def record_without_call(this: Visit, seen: Seen, record: Record) -> Tell:
        clear = tell.pair_keys(this.services, seen) if seen.complete else ()
        return tell._record_once(this, record, this.services.deadline.at, clear, claimed=False)

    patch(advance, "record_without_call", record_without_call)


def off_before_on(patch: Patch) -> None:
    def leave(this: Visit, step: Done | Later) -> None:
        if step.clear:
            this.services.ledger.take_off(step.clear)
        if isinstance(step, Later):
            this.services.ledger.put_on(step.entry)

    everywhere(patch, "leave", leave)


def off_though_just_put_on(patch: Patch) -> None:
    def leave(this: Visit, step: Done | Later) -> None:
        if isinstance(step, Later):
            this.services.ledger.put_on(step.entry)
        if step.clear:
            this.services.ledger.take_off(step.clear)

    everywhere(patch, "leave", leave)


def off_before_told(patch: Patch) -> None:
    original = finish.carry_out

    def carry_out(this: Visit, step: Any, *others: Any) -> Any:
        if isinstance(step, Tell):
            this.services.ledger.take_off(step.clear or ("none",))
        return original(this, step, *others)

    everywhere(patch, "carry_out", carry_out)


def no_certain_record(patch: Patch) -> None:
    original = Ledger.record_once

    def record_once(self: Ledger, record: Record, *, claimed: bool) -> Record:
        try:
            return original(self, record, claimed=claimed)
        except Unavailable:
            return record

    patch(Ledger, "record_once", record_once)


def no_waiting_marks(patch: Patch) -> None:
    patch(Ledger, "mark_waiting", lambda self, image_key, pair_path, live: None)


def marks_off_too_soon(patch: Patch) -> None:
    def record_without_call(this: Visit, seen: Seen, record: Record) -> Tell:
        found = tell.record_without_call(this, seen, record)
        marks = [this.services.ledger.mark_key(key, seen.pair.path) for key in seen.pair.image_keys]
        return found._replace(clear=(*found.clear, *(marks if seen.pair.shared else ())))

    patch(advance, "record_without_call", record_without_call)


def no_record_read_back(patch: Patch) -> None:
    original = Ledger.record_once
    patch(Ledger, "record_once", lambda self, record, *, claimed: original(self, record, claimed=True))


def named_claim_is_the_last(patch: Patch) -> None:
    original = judge._last_claim

    def last_claim(this: Visit, current: Any, n: int, known: Any) -> Any:
        if n > 1 and this.services.ledger.claim(current, n) is None:
            return None
        return original(this, current, n, known)

    patch(judge, "_last_claim", last_claim)


def running_lease_hides_the_record(patch: Patch) -> None:
    original = judge._read

    def read(this: Visit, seen: Seen, current: Any, n: int | None = None) -> Standing:
        if not (this.cause.sweeping or seen.pair.shared):
            standing = Standing(claim=this.services.ledger.claim(current, n or 1))
            if standing.state(this.services.clock.now()) == "claimed":
                return standing
        return original(this, seen, current, n)

    patch(judge, "_read", read)


def anybody_records(patch: Patch) -> None:
    patch(call, "_owner", lambda services, claim: claim)


def worked_off_untold(patch: Patch) -> None:
    original = tell._is_pending

    def is_pending(this: Visit, record: Record) -> bool:
        return this.cause.pending is None or original(this, record)

    patch(tell, "_is_pending", is_pending)


def nobody_goes_first(patch: Patch) -> None:
    patch(judge, "goes_first", lambda seen, role: True)


def back_off_forgotten(patch: Patch) -> None:
    original = Ledger.give_back

    def give_back(self: Ledger, claim: Any) -> None:
        original(self, claim._replace(retry_at=self._clock.now()))

    patch(Ledger, "give_back", give_back)


# --- of runs, schedules and marks -------------------------------------------------------------------


def run_forgotten(patch: Patch) -> None:
    patch(Visit, "_run", lambda this, seen: this.cause.run)


def image_is_half(patch: Patch) -> None:
    original = advance._wait

    def wait(this: Visit, seen: Seen) -> Any:
        if seen.live is None:
            seen = seen._replace(pair=seen.pair._replace(shared=False))
        return original(this, seen)

    patch(advance, "_wait", wait)


def any_walk_is_noted(patch: Patch) -> None:
    def note(services: Services, task: Any) -> None:
        services.ledger.walked(task.began_at or services.clock.now())

    patch(reconcile, "_note", note)


def next_attempt_drawn(patch: Patch) -> None:
    numbers = iter(range(1 << 60))

    def next_delivery(
        message_id: str, told_from: Any, attempt: int, now: Any, retry_after: Any = None
    ) -> Attempt | None:
        wait = DELIVERIES[min(attempt, len(DELIVERIES)) - 1]
        share = next(numbers) * 0.618 % 1
        return Attempt(attempt + 1, now + wait * (1 - SPREAD + 2 * SPREAD * share))

    patch(tell, "next_delivery", next_delivery)


def retry_after_shortens(patch: Patch) -> None:
    original = schedule.next_delivery

    def next_delivery(
        message_id: str, told_from: Any, attempt: int, now: Any, retry_after: Any = None
    ) -> Attempt | None:
        if retry_after is None:
            return original(message_id, told_from, attempt, now)
        return Attempt(attempt + 1, now + retry_after)

    patch(tell, "next_delivery", next_delivery)


def deadline_anew(patch: Patch) -> None:
    original = history.handle_records

    def handle_records(records: list[Any], services: Services) -> None:
        whole = services.deadline.left()
        for record in records:
            at = services.clock.elapsed() + whole
            original([record], services._replace(deadline=services.deadline._replace(at=at)))

    patch(history, "handle_records", handle_records)


def one_mark_stops_all(patch: Patch) -> None:
    original = visit._serve_one

    def serve_one(services: Services, mark: str, hand_over: Any) -> Any:
        services.ledger.task(mark)
        return original(services, mark, hand_over)

    patch(visit, "_serve_one", serve_one)


def found_by_list_alone(patch: Patch) -> None:
    patch(Ledger, "is_settled", lambda self, pair_path, stored: False)


def alternatives_are_halves(patch: Patch) -> None:
    def is_judged(stored: Any, judged: Any, until: Any) -> bool:
        if stored is None or stored.uploaded_at > until:
            return False
        return bool((judged["md5"] or judged["etag"]) == (stored.md5 or stored.etag))

    patch(records, "_is_judged", is_judged)
    may_delete = records.may_delete
    patch(
        tell,
        "may_delete",
        lambda record, role, stored: (
            may_delete(record, role, stored) and stored.key == (record.judged(role) or {}).get("key")
        ),
    )


def marks_for_good(patch: Patch) -> None:
    patch(Ledger, "forget_marks", lambda self, until: None)


def never_asked(patch: Patch) -> None:
    def learn(self: Objects, key: str) -> None:
        self.memory.honours_create = True

    patch(Objects, "learn", learn)


def any_seal_holds(patch: Patch) -> None:
    patch(Seals, "holds", lambda self, key, text, seal: True)


def nobody_is_at_work(patch: Patch) -> None:
    patch(forget, "at_work", lambda *about: [])


# --- of walks ---------------------------------------------------------------------------------------


def every_record_fills_blocks(patch: Patch) -> None:
    patch(ledger, "filled", lambda data, *, whole: objects.filled(data, whole=True))


def failed_is_over(patch: Patch) -> None:
    patch(Record, "is_over", property(lambda record: record.settled))


def any_record_counts(patch: Patch) -> None:
    def is_settled_by_list(self: listing.Listing, listed: Any) -> bool:
        return any(objects.is_whole(stored) for stored in (listed.records or {}).values())

    patch(listing.Listing, "_is_settled_by_list", is_settled_by_list)


def any_bytes_count(patch: Patch) -> None:
    patch(listing, "_judged", lambda seen, record: True)


def walks_do_not_overlap(patch: Patch) -> None:
    patch(reconcile, "OVERLAP", timedelta(0))


# --- of what stands in the state --------------------------------------------------------------------


def too_large_is_an_outage(patch: Patch) -> None:
    def read(self: Objects, key: str, load: Any) -> Any:
        try:
            data = self.bucket.read(key)
        except Oversized:
            raise Unavailable("read", self.bucket.name, key, None, "too large") from None
        return None if data is None else _loaded(key, load, data)

    patch(Objects, "read", read)


def _loaded(key: str, load: Any, data: bytes) -> Any:
    try:
        return load(data)
    except codec.Unreadable as error:
        raise CorruptState(key, str(error)) from None
