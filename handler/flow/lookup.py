"""What lies in the bucket for a pair: looked up, read through, and whether it is still the same.

HEAD and GET are expected to show a finished PUT at once, but nobody promises it, so no pair depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial

from handler.edges.bucket import Changed, CosError
from handler.flow.steps import Replaced, Trace, Visit
from handler.rules.agenda import Look, look_at_next_sweep
from handler.rules.pairing import MAX_KEY_BYTES, Pair
from handler.rules.uploads import Seen, Stored, seen_of
from handler.services import Services


def look_up(services: Services, pair: Pair, trace: Trace) -> dict[str, Stored | None]:
    """HEAD every key that the pair may have, all at once.

    An instance's first look also asks whether the state bucket honours create-only PUTs.
    """
    keys = [*pair.live_keys, *pair.image_keys]
    asked: list[Callable[[], Stored | None]] = [partial(_head, services, key) for key in keys]
    if not services.ledger.knows_bucket:
        asked.append(services.ledger.learn)  # beside them, so that no first verdict waits for it
    with trace.stage("look_up"):
        stored = services.together(asked)
    return dict(zip(keys, stored, strict=False))


def _head(services: Services, key: str) -> Stored | None:
    # A partner whose key would be longer than COS allows cannot be there.
    return services.uploads.head(key) if len(key.encode()) <= MAX_KEY_BYTES else None


def look_up_anew(visit: Visit, seen: Seen) -> Seen:
    """The same pair as it is now."""
    return seen_of(seen.pair, seen.bucket, look_up(visit.services, seen.pair, visit.trace))


def with_md5(visit: Visit, seen: Seen) -> Seen:
    """Read through what has no MD5 as its ETag, unless it is too large anyway. Raises Replaced, Forbidden.

    That can take long, so there is an entry on the agenda meanwhile: it brings the pair back should the
    instance die, and shows whoever erases the pair that somebody is at work on it.
    """
    services = visit.services

    def read_through(stored: Stored | None, most: int) -> Stored | None:
        if stored is None or stored.md5 or stored.size > most or stored.archived:
            return stored
        look = Look(seen.bucket, stored.key, uploaded_at=stored.uploaded_at)
        guard = services.ledger.put_on(look_at_next_sweep(look, services.clock.now()))
        with visit.trace.stage("md5"), unless_replaced():
            stored = stored._replace(md5=services.uploads.md5(stored))
        services.ledger.take_off({guard} - {visit.cause.entry_key})
        return stored

    return seen._replace(
        live=read_through(seen.live, services.settings.max_live_bytes),
        image=read_through(seen.image, services.settings.max_image_bytes),
    )


def open_upload(services: Services, stored: Stored) -> None:
    """Read an upload's first bytes. Raises Replaced, and CosError where it cannot be read."""
    with unless_replaced(), closing(services.uploads.pieces(stored)) as pieces:
        next(pieces, None)


@contextmanager
def unless_replaced() -> Generator[None, None, None]:
    """Read uploads as they were looked up. Raises Replaced where one is another by now, or is gone."""
    try:
        yield
    except CosError as error:
        if isinstance(error, Changed) or error.status == 404:
            raise Replaced from None
        raise
