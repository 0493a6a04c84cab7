"""What is stored about a person's pairs, in both buckets: every version of every object, to be erased."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from handler.cli.bucket import OperatorBucket, UnfinishedUpload, Version
from handler.cli.by_key import state_keys, there
from handler.cli.deployment import Deployment
from handler.cli.find import (
    Scheduled,
    agenda,
    agenda_keys,
    certain_pair,
    json_object,
    nobody,
    path_of,
    scheduled,
    side_by_side,
    stored_json,
)
from handler.cli.named import Named, named
from handler.rules.pairing import Pair, SharedImage
from handler.rules.uploads import Stored

KINDS = ("claims", "records", "best-frames", "dead", "settled")
"""Where the state of a pair lies, each under `<kind>/<pair>/`."""

OWN = re.compile(r"[0-9a-f]{32}(/\d{1,4}|\.json|\.jpg)?")
"""What comes after `<kind>/<pair>/`: so `ada` takes nothing of another function's pair `ada/1`."""


class Subject(NamedTuple):
    """Whom an inventory is about: pairs, and the `images` that serve these pairs alone.

    `paths` name the pairs in state keys. `uploads` are the keys of all its uploads; an image that serves
    other pairs too is none of them.
    """

    pairs: tuple[Pair, ...]
    images: tuple[str, ...]
    paths: frozenset[str]
    uploads: frozenset[str]


def subject(pairs: Iterable[Pair], images: Iterable[str] = ()) -> Subject:
    chosen, shared_images = tuple(pairs), tuple(images)
    live = (key for pair in chosen for key in pair.live_keys)
    own_images = (key for pair in chosen if not pair.shared for key in pair.image_keys)
    return Subject(
        chosen,
        shared_images,
        frozenset(pair.path for pair in chosen),
        frozenset((*live, *own_images, *shared_images)),
    )


class Inventory(NamedTuple):
    """What is stored: versions of objects, and multipart uploads, each with its bucket."""

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

    def only(self, wanted: Callable[[str], bool]) -> Inventory:
        """What lies under the keys that are wanted."""
        return Inventory(
            [each for each in self.versions if wanted(each[1].key)],
            [each for each in self.unfinished if wanted(each[1].key)],
        )


def joined(parts: Iterable[Inventory]) -> Inventory:
    versions: list[tuple[OperatorBucket, Version]] = []
    unfinished: list[tuple[OperatorBucket, UnfinishedUpload]] = []
    for part in parts:
        versions += part.versions
        unfinished += part.unfinished
    return Inventory(versions, unfinished)


# --- whom it is about -----------------------------------------------------------------------------------


def subject_of(deployment: Deployment, chosen: Pair | SharedImage) -> Subject:
    """A pair; or an image that serves many, with all its pairs."""
    if isinstance(chosen, Pair):
        return subject([chosen])
    return subject(_pairs_of(deployment, chosen), chosen.image_keys)


def _pairs_of(deployment: Deployment, image: SharedImage) -> Iterable[Pair]:
    """The pairs of an image that serves many: all that are or were uploaded, or known to the state.

    Looks through all keys of both, old versions and unfinished uploads too.
    """
    keys = _keys_of_agenda(deployment) | _uploaded_keys(deployment) | _live_keys_of_state(deployment)
    pairs: dict[str, Pair] = {}
    for key in keys:
        pair = certain_pair(deployment, key)
        if isinstance(pair, Pair) and set(image.values) <= set(pair.values):
            pairs[pair.path] = pair
    return pairs.values()


def _keys_of_agenda(deployment: Deployment) -> set[str]:
    """The uploads that the agenda is about."""
    listed = agenda_keys(deployment)
    keys = {entry.upload_key for entry in agenda(deployment, nobody, listed)}
    for entry in filter(None, (named(stored.key) for stored in listed)):
        keys |= {entry.key} if entry.key else _live_keys(deployment, entry.path or "")
    return keys


def _uploaded_keys(deployment: Deployment) -> set[str]:
    keys: set[str] = set()
    for template in deployment.settings.templates.live:
        keys |= {version.key for version in deployment.uploads.versions(template.prefix)}
        keys |= {upload.key for upload in deployment.uploads.unfinished(template.prefix)}
    return keys


def _live_keys_of_state(deployment: Deployment) -> set[str]:
    """The live keys of all pairs that state objects are about."""
    keys: set[str] = set()
    digests: list[str] = []
    for kind in KINDS:
        prefix = deployment.state_prefix(kind)
        for version in deployment.state.versions(prefix):
            path = re.sub(f"/{OWN.pattern}$", "", version.key.removeprefix(prefix))
            if not path.startswith("~"):
                keys |= _live_keys(deployment, path)
            elif kind == "records":
                digests.append(version.key)
    # Of a digest only the record tells what it stands for. Its seal need not hold: what cannot be read goes
    # too, and the key that it names only counts where it is of a pair that was asked for.
    records = side_by_side(partial(stored_json, deployment, key) for key in digests)
    decided = (record.get("decided") for record in records)
    return keys | {str(each.get("live_key", "")) for each in decided if isinstance(each, dict)}


def _live_keys(deployment: Deployment, path: str) -> set[str]:
    """The live keys of a pair's path in state keys; none where it is of other templates."""
    values = [unquote(part) for part in path.split("/")]
    template = deployment.settings.templates.live[0]
    if len(values) != len(template.names):
        return set()
    return {template.key(dict(zip(template.names, values, strict=True)))}


# --- what is stored about them --------------------------------------------------------------------------


def take_inventory(
    deployment: Deployment,
    about: Subject,
    entries: Iterable[Scheduled] | None = None,
    known: Iterable[str] | None = None,
) -> Inventory:
    """All that is stored about a subject.

    `entries` are those of the agenda, where they were read already; `known` the state keys that its uploads
    lead to, or led to before they were erased.
    """
    listed = _listed(deployment, about, entries)
    if known is None:
        known = state_keys(deployment, about.pairs)
    return joined([listed, _not_listed(deployment, about, listed, known)])


def _not_listed(deployment: Deployment, about: Subject, listed: Inventory, known: Iterable[str]) -> Inventory:
    """What is there and LIST does not show yet. Of a bucket that keeps versions only LIST tells these."""
    shown = {version.key for _, version in listed.versions}
    found: list[tuple[OperatorBucket, Version]] = []
    for bucket, keys in ((deployment.uploads, about.uploads), (deployment.state, known)):
        if not bucket.keeps_versions():
            stored = side_by_side(partial(bucket.objects.head, key) for key in set(keys) - shown)
            found += [(bucket, Version(each.key, "")) for each in stored if each]
    return Inventory(found, [])


def _listed(deployment: Deployment, about: Subject, entries: Iterable[Scheduled] | None) -> Inventory:
    ledger, uploads, state = deployment.ledger, deployment.uploads, deployment.state
    lists: list[Callable[[], Inventory]] = []
    lists += [partial(_exactly, uploads, key) for key in about.uploads]
    if entries is None:
        entries = entries_about(deployment, about)
    lists += [partial(_exactly, state, entry.key) for entry in entries]
    lists += [partial(_exactly, state, key) for key in _marks(deployment, about)]
    for kind in KINDS:
        prefix = deployment.state_prefix(kind)
        lists += [partial(_own, state, f"{prefix}{path}/") for path in about.paths]
    lists += [partial(_under, state, ledger.mark_key(key)) for key in about.images]
    return joined([*side_by_side(lists), _taken_off(deployment, about)])


def entries_about(
    deployment: Deployment,
    about: Subject,
    known: Iterable[str] = (),
    listed: Iterable[Stored] | None = None,
) -> list[Scheduled]:
    """The agenda's entries about a subject; a walk that has come to it is none, see `walks_at`.

    `known` are state keys beside those that LIST shows, or has `listed`.
    """
    shown = agenda(deployment, partial(_is_about, deployment, about), listed)
    prefix = deployment.state_prefix("agenda")
    more = {key for key in known if key.startswith(prefix)} - {entry.key for entry in shown}
    return [
        entry
        for entry in (*shown, *scheduled(deployment, there(deployment, more)))
        if entry.path in about.paths or entry.upload_key in about.uploads
    ]


def walks_at(
    deployment: Deployment, about: Subject, listed: Iterable[Stored] | None = None
) -> list[Scheduled]:
    """The agenda's entries of walks that have come to one of a subject's uploads, so that they name it."""
    walks = (entry for entry in agenda(deployment, nobody, listed) if entry.is_walk)
    return [walk for walk in walks if walk.task and walk.task.key in about.uploads]


def _marks(deployment: Deployment, about: Subject) -> set[str]:
    """The keys of the marks that a pair waits for an image that serves many."""
    return {
        deployment.ledger.mark_key(key, pair.path)
        for pair in about.pairs
        if pair.shared
        for key in pair.image_keys
    }


def _taken_off(deployment: Deployment, about: Subject) -> Inventory:
    """Agenda entries that were taken off and still can be read, where the state bucket keeps versions.

    Of a walk that is at a subject's upload there is none: it is moved first, and leaves a version then.
    """
    state = deployment.state
    if not state.keeps_versions():
        return Inventory([], [])
    walks = {walk.key for walk in walks_at(deployment, about)}
    every = state.versions(deployment.state_prefix("agenda"))
    versions = [
        version
        for version in every
        if not version.marker and version.key not in walks and _may_name(deployment, version.key, about)
    ]
    texts = side_by_side(partial(state.read_version, version) for version in versions)
    entries = zip(versions, map(json_object, texts), strict=True)
    return Inventory([(state, version) for version, entry in entries if _names(deployment, entry, about)], [])


def _may_name(deployment: Deployment, key: str, about: Subject) -> bool:
    """Whether an entry is about a subject by its name, or has a name that does not tell."""
    entry = named(key)
    return entry is None or _is_about(deployment, about, entry)


def _is_about(deployment: Deployment, about: Subject, entry: Named) -> bool:
    return path_of(deployment, entry) in about.paths or entry.key in about.uploads


def _names(deployment: Deployment, entry: Mapping[str, Any], about: Subject) -> bool:
    """Whether an agenda entry, as it was stored, is about a subject, or a walk that had come to it."""
    key, verification = entry.get("key"), entry.get("verification") or {}
    if key in about.uploads or verification.get("pair") in about.paths:
        return True
    pair = None if entry.get("kind") == "reconcile" else certain_pair(deployment, str(key))
    return isinstance(pair, Pair) and pair.path in about.paths


def _exactly(bucket: OperatorBucket, key: str) -> Inventory:
    return _under(bucket, key).only(lambda each: each == key)


def _own(bucket: OperatorBucket, prefix: str) -> Inventory:
    return _under(bucket, prefix).only(lambda key: OWN.fullmatch(key, len(prefix)) is not None)


def _under(bucket: OperatorBucket, prefix: str) -> Inventory:
    return Inventory(
        [(bucket, version) for version in bucket.versions(prefix)],
        [(bucket, upload) for upload in bucket.unfinished(prefix)],
    )
