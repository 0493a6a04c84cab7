"""What an operator means: a pair by its values, an upload by its key, a verification by its ID."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from urllib.parse import unquote

from handler.cli.deployment import Deployment, Problem
from handler.cli.find import (
    agenda_keys,
    certain_pair,
    id_in,
    nothing,
    pair_of_key,
    side_by_side,
    under,
    verification_of_key,
)
from handler.cli.named import named
from handler.rules.pairing import MAX_KEY_BYTES, AmbiguousKey, Pair, SharedImage
from handler.rules.records import Record

Reference = str | Sequence[str]
"""One text, or a text for each placeholder's value."""

WHICH = "PAIR|KEY|ID"
"""A pair's id (all values where there are several), an upload's key, a verification's ID or its message's."""

MOST_NAMED = 8
"""How many pairs are named where a reference does not say which is meant."""

KINDS = ("records", "claims", "dead", "best-frames", "settled")


# --- pairs by their values ------------------------------------------------------------------------------


def pair_of_values(deployment: Deployment, texts: Sequence[str]) -> Pair:
    """The pair with these placeholder values: `name=value`, or bare ones in LIVE_KEY's order.

    Raises Problem.
    """
    names = deployment.settings.templates.live[0].names
    values = _by_name(texts, names)
    missing = [name for name in names if name not in values]
    if missing:
        raise Problem(f"LIVE_KEY has the placeholders {', '.join(names)}; {missing[0]}=… is missing")
    _check_values(values.values())
    pair = _read_back(deployment, values)
    longest = max(len(key.encode()) for key in (*pair.live_keys, *pair.image_keys))
    if longest > MAX_KEY_BYTES:
        raise Problem(f"these values make a key of {longest} bytes, and COS allows {MAX_KEY_BYTES}")
    return pair


def values_text(values: Iterable[tuple[str, str]]) -> str:
    """A pair's values as a command takes them: `user=ada attempt=1`."""
    return " ".join(f"{name}={value}" for name, value in values)


def _by_name(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Placeholder values by their names. Raises Problem."""
    values: dict[str, str] = {}
    for text, of_its_place in zip(texts, (*names, *[""] * len(texts)), strict=False):
        name, equals, value = text.partition("=")
        if not equals and len(texts) == len(names):
            name, value = of_its_place, text
        if name not in names or not value or name in values:
            wanted = " ".join(f"{name}=…" for name in names)
            raise Problem(f"{text!r} is not what LIVE_KEY asks for; write {wanted}")
        values[name] = value
    return values


def _check_values(values: Iterable[str]) -> None:
    text = "".join(values)
    if "/" in text:
        raise Problem("a placeholder's value holds no /")
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise Problem("a placeholder's value is not UTF-8")


def _read_back(deployment: Deployment, values: Mapping[str, str]) -> Pair:
    """The pair as the function reads it from the live key that these values make."""
    template = deployment.settings.templates.live[0]
    key = template.key(values)
    pair = certain_pair(deployment, key)
    if not isinstance(pair, Pair) or dict(pair.values) != values:
        marks = re.sub(r"\{[^}]*\}|[\w/.]", "", template.text) or "/"
        raise Problem(f"{key} does not read back as the same values; choose values without {marks!r}")
    return pair


def pair_of_path(deployment: Deployment, path: str) -> Pair | None:
    """The pair that state keys, and `list`, name by this path; None where these templates have none."""
    try:
        return pair_of_values(deployment, [unquote(part) for part in path.split("/")])
    except Problem:
        return None


# --- what is meant --------------------------------------------------------------------------------------


def meant(
    deployment: Deployment,
    reference: Reference,
    done: Callable[[], object] = nothing,
    kinds: Sequence[str] = ("uploads", *KINDS),
) -> Record | Pair | SharedImage:
    """What a reference stands for: a verification's record, a pair, or an image that serves many.

    An ID does not say where its record lies: for it all are listed, up to that one, `done` being called for
    each. All else costs with its pair. Where it could be several, those count that there is anything of the
    `kinds` about. Raises Problem; where it is several still, that names them.
    """
    texts = (reference,) if isinstance(reference, str) else tuple(reference)
    if len(texts) == 1:
        try:
            of_key = pair_of_key(deployment, texts[0])
        except AmbiguousKey as error:
            raise Problem(str(error)) from None
        if of_key is not None:
            return of_key
    could_be = _could_be(deployment, texts, done, kinds)
    if len(could_be) > 1:
        raise Problem(f"{' '.join(texts)!r} could be {' or '.join(map(named_to_give, could_be))}: give that")
    if could_be:
        return could_be[0]
    raise Problem(_what_to_give(deployment, texts))


def _could_be(
    deployment: Deployment, texts: Sequence[str], done: Callable[[], object], kinds: Sequence[str]
) -> list[Record | Pair]:
    wanted = id_in(texts[0]) if len(texts) == 1 else None
    pairs: list[Record | Pair] = [*{pair.path: pair for pair in _readings(deployment, texts)}.values()]
    if wanted is None and len(pairs) < 2:
        return pairs
    found = _of_id(deployment, wanted, done) if wanted else None
    known = [each for each in pairs if isinstance(each, Pair) and _is_known(deployment, each, kinds)]
    return [*([found] if found else []), *known] or ([] if wanted else pairs[:1])


def _readings(deployment: Deployment, texts: Sequence[str]) -> Iterator[Pair]:
    """The pairs that texts may be the values of, as they are typed or as `list` prints them."""
    if len(texts) == 1 and texts[0].startswith("msg_"):
        return  # a message's id; a pair's that begins like it has to be named
    forms = (texts, texts[0].split("/"), [unquote(part) for part in texts[0].split("/")])
    for form in forms if len(texts) == 1 else (texts,):
        try:
            yield pair_of_values(deployment, form)
        except Problem:
            continue


def _is_known(deployment: Deployment, pair: Pair, kinds: Sequence[str]) -> bool:
    """Whether there is an upload of a pair, or anything of these kinds in the state about it."""
    if any(next(iter(under(deployment, kind, pair.path)), None) for kind in kinds if kind != "uploads"):
        return True
    keys = (*pair.live_keys, *pair.image_keys) if "uploads" in kinds else ()
    return any(side_by_side(partial(deployment.uploads.objects.head, key) for key in keys))


def _of_id(deployment: Deployment, wanted: str, done: Callable[[], object]) -> Record | Pair | None:
    """The record of a verification; where it is not decided yet, its pair."""
    for stored in deployment.state.every(deployment.state_prefix("records")):
        done()
        if stored.key.endswith(f"/{wanted}.json"):
            record = deployment.ledger.record(verification_of_key(deployment, stored.key))
            if record is not None:
                return record
    entries = (named(stored.key) for stored in agenda_keys(deployment))
    paths = (entry.path for entry in entries if entry and entry.verification == wanted)
    return next((pair for path in paths if path and (pair := pair_of_path(deployment, path))), None)


def named_to_give(found: Record | Pair | SharedImage) -> str:
    """How to give what was found so that nothing else is meant."""
    if isinstance(found, SharedImage):
        return f"the image {found.image_keys[0]}"
    if isinstance(found, Pair):
        return f"the pair {values_text(found.values)}"
    return f"the verification {found.verification.message_id}"


def _what_to_give(deployment: Deployment, texts: Sequence[str]) -> str:
    names = deployment.settings.templates.live[0].names
    if len(texts) == 1 and (wanted := id_in(texts[0])):
        return (
            f"no record of the verification {wanted} in {deployment.state.name}, and nothing is known of a "
            "pair with that value; is it of this BUCKET, and not erased? `list` shows what is under way"
        )
    begun = list(islice(_begun_with(deployment, texts), MOST_NAMED + 1)) if len(texts) < len(names) else []
    if begun:
        more = " …" if len(begun) > MOST_NAMED else ""
        return f"{' '.join(texts)!r} could be {' or '.join(begun[:MOST_NAMED])}{more}: give all values"
    keys = ", ".join(template.text for template in deployment.templates)
    wanted_values = " ".join(f"{name}=…" for name in names)
    return (
        f"{' '.join(texts)!r} is neither a verification's ID, 32 hex digits as in the message's id, nor a "
        f"key like {keys}, nor a pair's {wanted_values}"
    )


def _begun_with(deployment: Deployment, texts: Sequence[str]) -> Iterator[str]:
    """The pairs that were uploaded, or decided, whose first values are these."""
    template = deployment.settings.templates.live[0]
    names = template.names[: len(texts)]
    try:
        values = _by_name(texts, names)
    except Problem:
        return
    begin = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "{"), template.text).partition("{")[0]
    shown: set[str] = set()
    uploaded = (certain_pair(deployment, stored.key) for stored in deployment.uploads.every(begin))
    for pair in uploaded:
        if isinstance(pair, Pair) and pair.path not in shown and values.items() <= dict(pair.values).items():
            shown.add(pair.path)
            yield values_text(pair.values)


# --- records and pairs ----------------------------------------------------------------------------------


def find_record(deployment: Deployment, reference: Reference, done: Callable[[], object] = nothing) -> Record:
    """The record of a verification; or a pair's last, where the reference is a pair's. Raises Problem."""
    found = meant(deployment, reference, done, ("records",))
    if isinstance(found, Record):
        return found
    if isinstance(found, SharedImage):
        raise Problem(f"{found.image_keys[0]!r} serves many pairs: give the key of a live package")
    records = deployment.ledger.records(found.path)
    if not records:
        which = values_text(found.values)
        raise Problem(f"nothing was decided about the pair {which} yet; `show` tells what is known of it")
    return max(records, key=lambda record: (record.decided_at, record.verification.run))


def find_pair(
    deployment: Deployment, reference: Reference, done: Callable[[], object] = nothing
) -> Pair | SharedImage:
    """The pair that a reference stands for, or is a verification of. Raises Problem."""
    return pair_of(deployment, meant(deployment, reference, done))


def pair_of(deployment: Deployment, found: Record | Pair | SharedImage) -> Pair | SharedImage:
    """The pair of what was found. Raises Problem where these templates have none for it."""
    if not isinstance(found, Record):
        return found
    try:
        pair = pair_of_key(deployment, found.live_key)
    except AmbiguousKey as error:
        raise Problem(str(error)) from None
    if pair is None:
        raise Problem(f"{found.live_key!r} is no key of these templates any more")
    return pair
