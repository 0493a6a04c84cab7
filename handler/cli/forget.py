"""`forget`: erase everything about a person's pair, and prove that nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from handler.cli.deployment import Deployment, OperatorBucket, UnfinishedUpload, Version
from handler.cli.find import agenda, side_by_side, stored_json
from handler.cli.output import Output
from handler.pairing import AmbiguousKey, Pair, SharedImage

KINDS = ("claims", "records", "best-frames", "dead")
"""Where the state of a pair lies, each under `<kind>/<pair>/`."""

ROUNDS = 3  # an instance at work may write something after it was erased


class Found(NamedTuple):
    """What there is to erase: versions of objects, and multipart uploads, by bucket."""

    versions: list[tuple[OperatorBucket, Version]]
    unfinished: list[tuple[OperatorBucket, UnfinishedUpload]]

    def __len__(self) -> int:
        return len(self.versions) + len(self.unfinished)

    @property
    def keys(self) -> list[str]:
        """Every key that there is something under, with its bucket."""
        return sorted(
            {f"{bucket.name}/{version.key}" for bucket, version in self.versions}
            | {f"{bucket.name}/{upload.key}" for bucket, upload in self.unfinished}
        )


def look(d: Deployment, pairs: Iterable[Pair], images: Iterable[str]) -> Found:
    """All that is stored about `pairs`, and the uploads `images` besides."""
    chosen = list(pairs)
    uploads = {key for pair in chosen for key in (*pair.live_keys, *(() if pair.shared else pair.image_keys))}
    uploads |= set(images)
    prefix = d.settings.state_prefix
    paths = {pair.path for pair in chosen}
    state = {
        entry.key for entry in agenda(d) if entry.path in paths or (entry.task and entry.task.key in uploads)
    }
    state |= {
        d.ledger.waiting_prefix(key) + pair.path for pair in chosen if pair.shared for key in pair.image_keys
    }
    calls: list[Callable[[], Found]] = [partial(_exactly, d.uploads, key) for key in uploads]
    calls += [partial(_exactly, d.state, key) for key in state]
    calls += [partial(_under, d.state, f"{prefix}{kind}/{path}/") for kind in KINDS for path in paths]
    parts = side_by_side(calls)
    return Found([v for part in parts for v in part.versions], [u for part in parts for u in part.unfinished])


def _exactly(bucket: OperatorBucket, key: str) -> Found:
    found = _under(bucket, key)
    return Found(
        [each for each in found.versions if each[1].key == key],
        [each for each in found.unfinished if each[1].key == key],
    )


def _under(bucket: OperatorBucket, prefix: str) -> Found:
    return Found(
        [(bucket, version) for version in bucket.versions(prefix)],
        [(bucket, upload) for upload in bucket.unfinished(prefix)],
    )


def erase(d: Deployment, output: Output, pairs: list[Pair], images: list[str]) -> tuple[list[str], Found]:
    """Erase it, and look again until nothing is found. Returns the keys erased, and what is left.

    Uploads go first, so that no sweep judges what is being erased.
    """
    erased: set[str] = set()
    found = look(d, pairs, images)
    for _ in range(ROUNDS):
        if not found:
            break
        with output.progress() as progress:
            bar = progress.add_task("erasing", total=len(found))
            # Uploads first: False sorts before True.
            ordered = sorted(found.versions, key=lambda each: each[1].key.startswith(d.settings.state_prefix))
            calls: list[Callable[[], None]] = [
                partial(bucket.abort, upload) for bucket, upload in found.unfinished
            ]
            calls += [partial(bucket.erase, version) for bucket, version in ordered]
            side_by_side(calls, partial(progress.advance, bar))
        erased |= set(found.keys)
        found = look(d, pairs, images)
    return sorted(erased), found


def pairs_of(d: Deployment, image: SharedImage) -> list[Pair]:
    """The pairs of an image that serves many: all that are uploaded, known to the state or waiting.

    Looks through all keys of both.
    """
    values = dict(image.values)
    known: dict[str, Pair] = {}
    for template in d.settings.templates.live:
        for stored in d.uploads.every(template.prefix):
            _add(d, known, stored.key, values)
    for stored in d.state.every(f"{d.settings.state_prefix}records/"):
        _add(d, known, str(stored_json(d, stored.key).get("live_key", "")), values)
    for entry in agenda(d):
        if entry.task is not None:
            _add(d, known, entry.task.key, values)
    return list(known.values())


def _add(d: Deployment, known: dict[str, Pair], key: str, values: dict[str, str]) -> None:
    try:
        found = d.settings.templates.match(key)
    except AmbiguousKey:
        return
    if found and isinstance(found[1], Pair) and values.items() <= dict(found[1].values).items():
        known[found[1].path] = found[1]
