"""What LIST shows of uploads and records, and whether that is enough to call a pair settled.

A walk meets every upload of a time, and nearly all of them are settled. So it asks as little as it can:

    LIST of uploads    both halves of a pair, with their ETags; an MD5 gives the verification's id
    LIST of records    that id's record, written as one that is over: nothing is asked about the pair
    LIST of marks      none for an image that serves many: no live package waits for it
    GET of a record    where that does not tell: what it judged, by ETags, and whether it is settled
    a visit            for every other pair: HEAD, claims, and what there is to do

LIST may lag and show what was there before. That costs a request, or a walk of the next day: a walk leaves
uploads alone that are younger than LIST is late, and looks at each day twice. An ETag that is no MD5 (where
KMS or the uploader's own key encrypts, LIST does not say so) gives an id that no record has.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from handler.edges.bucket import Bucket, CosError
from handler.rules.claiming import Asker, Settle, Standing, Tell, next_move
from handler.rules.outcome import Verification, verification
from handler.rules.pairing import ROLES, AmbiguousKey, Pair, SharedImage
from handler.rules.records import Record, is_rest_of, is_told_by_another_name
from handler.rules.uploads import Seen, Stored, seen_of
from handler.services import Services
from handler.state.objects import CorruptState, is_whole

AT_ONCE = 16
"""Records read side by side."""

MOST_READ = 20
"""Records of one pair that are read, the last written first. Where they do not tell, the pair is visited."""

MOST_LISTS = 10
"""Pages of each kind asked for beside a page of uploads. What they do not show is read, or visited."""

_MD5 = re.compile(r'"?([0-9a-fA-F]{32})"?')

LAST = "\U0010ffff"
"""After every key."""


class Shown:
    """What LIST shows under a prefix. It is asked in the order of keys, and keeps the last page."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.prefix = prefix
        self.left = MOST_LISTS
        """Pages that `between` may ask for yet."""
        self._bucket = bucket
        self._page: list[Stored] = []
        self._keys: list[str] = []
        self._after, self._until = "", ""

    def page(self, after: str) -> tuple[list[Stored], bool]:
        """The page after a key, and whether there are more."""
        page, more = self._bucket.list(self.prefix, after)
        more = more and bool(page)
        self._page, self._keys = page, [stored.key for stored in page]
        self._after, self._until = after, self._keys[-1] if more else LAST
        return page, more

    def covers(self, after: str, until: str) -> bool:
        """Whether the page that is kept tells what lies between."""
        return self._after <= after and until <= self._until

    def between(self, after: str, until: str) -> list[Stored] | None:
        """What is shown after one key and up to another; None where one more page does not tell."""
        if not self.covers(after, until):
            if self.left <= 0:
                return None
            self.left -= 1
            self.page(after)
            if not self.covers(after, until):
                return None
        return self._page[bisect_right(self._keys, after) : bisect_right(self._keys, until)]


class Unsettled(NamedTuple):
    """A pair to visit, or an image that serves many, by an upload. `place` is the key before its first."""

    upload: Stored
    place: str


class _Group(NamedTuple):
    """What a page shows of one pair, or of one image that serves many: the uploads that the walk covers."""

    target: Pair | SharedImage
    place: str
    uploads: list[Stored]


class _Listed(NamedTuple):
    """A pair as LIST shows it, and its records by their ids; None where LIST does not tell of these."""

    seen: Seen
    records: Mapping[str, Stored] | None


class Listing:
    """The pages of one step of a walk. `pending` are the verifications that the agenda comes back to."""

    def __init__(self, services: Services, prefixes: Iterable[str], pending: frozenset[str]) -> None:
        self._services = services
        self._pending = pending
        self._pages = {prefix: Shown(services.uploads, prefix) for prefix in prefixes}
        self._beside = {prefix: Shown(services.uploads, prefix) for prefix in self._pages}
        self._records = Shown(services.ledger.bucket, services.ledger.records_prefix)
        self._marks = Shown(services.ledger.bucket, f"{services.ledger.prefix}waiting/")

    def pages(self, after: str) -> Iterator[list[Stored]]:
        """The objects under all prefixes after a key, in order."""
        for prefix, shown in self._pages.items():
            if after > prefix and not after.startswith(prefix):
                continue  # walked before
            last, more = after if after.startswith(prefix) else "", True
            while more:
                page, more = shown.page(last)
                if page:
                    last = page[-1].key
                    yield page

    def unsettled(
        self, page: list[Stored], place: str, covers: Callable[[Stored], bool], goes_on: Callable[[], bool]
    ) -> list[Unsettled]:
        """The pairs of a page that nothing tells to be settled, in the order of their uploads.

        `place` is the key before the page. What could not be read before time was over is among them.
        """
        for shown in (*self._beside.values(), self._records, self._marks):
            shown.left = MOST_LISTS
        groups = self._groups(page, place, covers)
        listed = self._listed([group.target for group in groups if isinstance(group.target, Pair)])
        settled = {each.seen.pair.path for each in listed if self._is_settled_by_list(each)}
        settled |= self._settled_by_reading(
            [each for each in listed if each.seen.pair.path not in settled], goes_on
        )
        newest = [max(group.uploads, key=lambda each: each.uploaded_at) for group in groups]
        images = (each.key for each, group in zip(newest, groups, strict=True) if _is_shared(group))
        waited_for = self._waited_for(images)
        return [
            Unsettled(each, group.place)
            for each, group in zip(newest, groups, strict=True)
            if (each.key in waited_for if _is_shared(group) else group.target.path not in settled)
        ]

    # --- what LIST shows

    def _groups(self, page: list[Stored], place: str, covers: Callable[[Stored], bool]) -> list[_Group]:
        groups: dict[tuple[type, str], _Group] = {}
        for stored in page:
            target = self._target(stored) if covers(stored) else None
            if target is not None:
                name = type(target), target.path
                groups.setdefault(name, _Group(target, place, [])).uploads.append(stored)
            place = stored.key
        return list(groups.values())

    def _target(self, stored: Stored) -> Pair | SharedImage | None:
        try:
            match = self._services.settings.templates.match(stored.key)
        except AmbiguousKey as error:
            self._services.log("ambiguous_key", "ERROR", key=stored.key, error=str(error))
            return None
        return match[1] if match else None

    def _listed(self, pairs: Iterable[Pair]) -> list[_Listed]:
        """The pairs of which LIST tells, each kind of key asked for in order."""
        by_path = {pair.path: pair for pair in pairs}
        keys = sorted({key for pair in by_path.values() for role in ROLES for key in pair.keys(role)})
        uploads = {key: self._upload(key) for key in keys}
        listed: list[_Listed] = []
        for path in sorted(by_path, key=lambda path: f"{path}/"):
            pair = by_path[path]
            own = {key: uploads[key] for role in ROLES for key in pair.keys(role)}
            if None not in own.values():
                stored = {key: each[-1] if each else None for key, each in own.items()}
                seen = seen_of(pair, self._services.settings.bucket, stored)
                listed.append(_Listed(seen, self._records_of(path)))
        return listed

    def _upload(self, key: str) -> list[Stored] | None:
        """The upload of a key, or none; None where LIST does not tell."""
        prefix = next(prefix for prefix in self._pages if key.startswith(prefix))
        shown = self._pages[prefix]
        if not shown.covers(key[:-1], key):
            shown = self._beside[prefix]
        found = shown.between(key[:-1], key)
        return found and [_with_md5(stored) for stored in found if stored.key == key]

    def _records_of(self, path: str) -> dict[str, Stored] | None:
        """A pair's records by their ids, without those of pairs whose paths begin with this one."""
        begin = f"{self._records.prefix}{path}"
        found = self._records.between(f"{begin}/", f"{begin}0")  # "0" is the character after "/"
        if found is None:
            return None
        names = ((stored.key[len(begin) + 1 :], stored) for stored in found)
        return {name.removesuffix(".json"): stored for name, stored in names if "/" not in name}

    def _waited_for(self, images: Iterable[str]) -> set[str]:
        """Of images that serve many those that a live package waits for, or LIST does not tell."""
        marks = sorted((self._services.ledger.mark_key(image), image) for image in images)
        return {image for mark, image in marks if self._marks.between(mark, f"{mark[:-1]}0") != []}

    def _is_settled_by_list(self, listed: _Listed) -> bool:
        """Whether a record of these very bytes is shown that is over, or none of a run that is pending.

        A pending run that has a record may have failed, and an upload of later start another.
        """
        records = listed.records
        if records is None:
            return False
        ids = [verification(listed.seen, run).id for run in range(1, len(records) + 2)]
        return any(is_whole(records[each]) if each in records else each in self._pending for each in ids)

    # --- what records tell

    def _settled_by_reading(self, listed: Iterable[_Listed], goes_on: Callable[[], bool]) -> set[str]:
        """The paths of the pairs whose records tell that they are settled, read side by side."""
        todo, settled = deque(listed), set[str]()

        def lane() -> None:
            while todo and goes_on():
                with suppress(IndexError):  # another lane was faster
                    each = todo.popleft()
                    with suppress(CosError, CorruptState):  # a visit says what is wrong
                        if self._is_settled_by_reading(each):
                            settled.add(each.seen.pair.path)

        self._services.together([lane] * min(AT_ONCE, len(todo)))
        return settled

    def _is_settled_by_reading(self, listed: _Listed) -> bool:
        ledger, seen = self._services.ledger, listed.seen
        half = None if seen.complete else seen.live or seen.image
        deletes = self._services.settings.delete_uploads != "none"
        if half is not None and deletes and ledger.is_settled(seen.pair.path, half):
            return True
        ids = [verification(seen, 1).id] if listed.records is None else _last_written(listed.records)
        for id_ in ids[:MOST_READ]:
            record = ledger.record(Verification(id_, 1, seen.pair.path))
            if id_ in self._pending if record is None else self._settles(seen, record):
                return True
        return False

    def _settles(self, seen: Seen, record: Record) -> bool:
        """Whether a record leaves nothing to do for a pair, or only what the agenda comes back to."""
        is_half = record.told and not seen.complete
        if is_half and (is_rest_of(seen, record) or is_told_by_another_name(seen, record)):
            return True
        if not _judged(seen, record):
            return False
        asker = Asker(sweeping=True, newest=seen.newest_that_counts)
        move = next_move(Standing(record), asker, self._services.clock.now())
        if isinstance(move, Tell):
            return record.verification.id in self._pending
        return isinstance(move, Settle) and record.settled


def _last_written(records: Mapping[str, Stored]) -> list[str]:
    """The ids of records, of the last written first."""
    return sorted(records, key=lambda id_: records[id_].uploaded_at, reverse=True)


def _is_shared(group: _Group) -> bool:
    return isinstance(group.target, SharedImage)


def _with_md5(stored: Stored) -> Stored:
    """An upload as LIST shows it, its ETag taken for an MD5 where it looks like one."""
    found = _MD5.fullmatch(stored.etag)
    return stored._replace(md5=found[1].lower()) if found else stored


def _judged(seen: Seen, record: Record) -> bool:
    """Whether a record is about these very bytes: the same keys, ETags and sizes."""
    for role in ROLES:
        stored, judged = seen.upload(role), record.judged(role)
        if stored is None or judged is None:
            if (stored is None) != (judged is None):
                return False
        elif role == "image" and seen.pair.shared:
            continue  # a later image judges no settled live package again
        elif (stored.key, stored.etag.strip('"'), stored.size) != (
            judged["key"],
            judged["etag"].strip('"'),
            judged["size"],
        ):
            return False
    return True
