"""`forget`: erase everything about a person's pair, and prove that nothing is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from handler.cli.deployment import Deployment, OperatorBucket, UnfinishedUpload, Version
from handler.cli.find import agenda, json_object, side_by_side, stored_json, stored_time
from handler.cli.output import Output
from handler.edges.webhook import POST_SECONDS
from handler.rules.pairing import AmbiguousKey, Pair, SharedImage

KINDS = ("claims", "records", "best-frames", "dead")
"""Where the state of a pair lies, each under `<kind>/<pair>/`."""

OWN = re.compile(r"[0-9a-f]{32}(/\d{1,4}|\.json|\.jpg)?")
"""What comes after `<kind>/<pair>/`: so `ada` takes nothing of another function's pair `ada/1`."""

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
    entries = [each for each in agenda(d) if each.task and each.task.kind != "reconcile"]
    state = {each.key for each in entries if each.path in paths or (each.task and each.task.key in uploads)}
    state |= {
        d.ledger.waiting_prefix(key) + pair.path for pair in chosen if pair.shared for key in pair.image_keys
    }
    calls: list[Callable[[], Found]] = [partial(_exactly, d.uploads, key) for key in uploads]
    calls += [partial(_exactly, d.state, key) for key in state]
    calls += [partial(_own, d.state, f"{prefix}{kind}/{path}/") for kind in KINDS for path in paths]
    calls += [partial(_under, d.state, d.ledger.waiting_prefix(key)) for key in images]
    parts = [*side_by_side(calls), _taken_off(d, paths, uploads)]
    return Found([v for part in parts for v in part.versions], [u for part in parts for u in part.unfinished])


def _taken_off(d: Deployment, paths: set[str], uploads: set[str]) -> Found:
    """Agenda entries that were taken off and still can be read, where the state bucket keeps versions."""
    if d.state.versioning() == "never":
        return Found([], [])
    every = d.state.versions(f"{d.settings.state_prefix}agenda/")
    versions = [version for version in every if not version.marker]
    texts = side_by_side(partial(d.state.read_version, version) for version in versions)
    about = [json_object(text) for text in texts]
    return Found(
        [
            (d.state, version)
            for version, entry in zip(versions, about, strict=True)
            if entry.get("kind") != "reconcile"
            and (
                entry.get("key") in uploads
                or (entry.get("verification") or {}).get("pair") in paths
                or getattr(_pair(d, str(entry.get("key"))), "path", None) in paths
            )
        ],
        [],
    )


def _exactly(bucket: OperatorBucket, key: str) -> Found:
    return _only(_under(bucket, key), lambda found: found == key)


def _own(bucket: OperatorBucket, prefix: str) -> Found:
    return _only(_under(bucket, prefix), lambda key: OWN.fullmatch(key, len(prefix)) is not None)


def _only(found: Found, wanted: Callable[[str], bool]) -> Found:
    return Found(
        [each for each in found.versions if wanted(each[1].key)],
        [each for each in found.unfinished if wanted(each[1].key)],
    )


def _under(bucket: OperatorBucket, prefix: str) -> Found:
    return Found(
        [(bucket, version) for version in bucket.versions(prefix)],
        [(bucket, upload) for upload in bucket.unfinished(prefix)],
    )


def erase(d: Deployment, output: Output, pairs: list[Pair], images: list[str]) -> tuple[list[str], Found]:
    """Erase it, and look again until nothing is found. Returns the keys erased, and what is left.

    Uploads go first, so that no sweep judges what is being erased, and records last: should this end between,
    an ID still finds the rest.
    """
    erased: set[str] = set()
    found = look(d, pairs, images)
    uploads = {
        version.key for _, version in found.versions if not version.key.startswith(d.settings.state_prefix)
    }
    if uploads and d.uploads.versioning() != "never":
        # Without a delete marker over them the version before the last would be an upload for a moment.
        d.uploads.delete(sorted(uploads))
        found = look(d, pairs, images)
    for _ in range(ROUNDS):
        if not found:
            break
        with output.progress() as progress:
            bar = progress.add_task("erasing", total=len(found))
            calls: dict[int, list[Callable[[], None]]] = {step: [] for step in range(3)}
            for bucket, upload in found.unfinished:
                calls[0].append(partial(bucket.abort, upload))
            for bucket, version in found.versions:
                calls[_step(d, version.key)].append(partial(bucket.erase, version))
            for step in sorted(calls):
                side_by_side(calls[step], partial(progress.advance, bar))
        erased |= set(found.keys)
        found = look(d, pairs, images)
    return sorted(erased), found


def _step(d: Deployment, key: str) -> int:
    if not key.startswith(d.settings.state_prefix):
        return 0
    return 2 if key.startswith(f"{d.settings.state_prefix}records/") else 1


def busy_until(d: Deployment, pairs: Iterable[Pair]) -> datetime | None:
    """Until when an instance may write what it has in hand about `pairs`; None where none is at work."""
    paths = {pair.path for pair in pairs}
    now = d.clock.now()
    ends: list[datetime] = []
    for entry in agenda(d, ("take_over-", "deliver-")):
        task = entry.task
        if task is None or task.verification is None or entry.path not in paths:
            continue
        if task.kind == "deliver" and entry.due and entry.due <= now:
            ends.append(now + timedelta(seconds=2 * POST_SECONDS))
        elif task.kind == "take_over":
            claim = stored_json(d, d.ledger.claim_key(task.verification, task.n))
            lease = stored_time(claim, "lease_until")
            if lease and lease > now and claim.get("retry_at") is None:
                ends.append(lease)
    return max(ends, default=None)


def pairs_of(d: Deployment, image: SharedImage) -> list[Pair]:
    """The pairs of an image that serves many: all that are or were uploaded, or known to the state.

    Looks through all keys of both, old versions and unfinished uploads too.
    """
    keys = {entry.task.key for entry in agenda(d) if entry.task}
    for template in d.settings.templates.live:
        keys |= {version.key for version in d.uploads.versions(template.prefix)}
        keys |= {upload.key for upload in d.uploads.unfinished(template.prefix)}
    digests: list[str] = []
    for kind in KINDS:
        prefix = f"{d.settings.state_prefix}{kind}/"
        for version in d.state.versions(prefix):
            path = re.sub(f"/{OWN.pattern}$", "", version.key.removeprefix(prefix))
            if path.startswith("~"):
                digests += [version.key] if kind == "records" else []
            else:
                keys |= _live_keys(d, path)
    # Of a digest only the record tells what it stands for.
    records = side_by_side(partial(stored_json, d, key) for key in digests)
    keys |= {str(record.get("live_key", "")) for record in records}
    values = image.values
    known: dict[str, Pair] = {}
    for key in keys:
        pair = _pair(d, key)
        if pair and set(values) <= set(pair.values):
            known[pair.path] = pair
    return list(known.values())


def _live_keys(d: Deployment, path: str) -> set[str]:
    """The live keys of a pair's path in state keys; none where it is of other templates."""
    values = [unquote(part) for part in path.split("/")]
    template = d.settings.templates.live[0]
    return (
        {template.key(dict(zip(template.names, values, strict=True)))}
        if len(values) == len(template.names)
        else set()
    )


def _pair(d: Deployment, key: str) -> Pair | None:
    try:
        found = d.settings.templates.match(key)
    except AmbiguousKey:
        return None
    return found[1] if found and isinstance(found[1], Pair) else None
