"""Key templates: from an object key to its pair and back. Pure.

A template is a COS key with placeholders, `uploads/{id}/live.gz`. It begins with a fixed prefix and holds
at least one placeholder; a placeholder matches one path segment or part of one, never `/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import quote

Role = Literal["live", "image"]

MAX_KEY_BYTES = 850
"""COS's own limit of a key (product 436, page 13324)."""

MAX_PATH = 400  # bytes of a pair's path in state keys; COS allows 850 for the whole key
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ANY = None  # in a segment's symbols: one or more characters


class TemplateError(ValueError):
    """A key template that cannot be used; the message says why and what to write instead."""


class AmbiguousKey(ValueError):
    """The keys of an upload's pair do not parse back to the same values: its partner is not certain."""


class Template(NamedTuple):
    """One key template, parsed.

    `segments` are its parts between slashes, each split at its placeholders: text, name, text, name, text.
    """

    text: str
    names: tuple[str, ...]
    segments: tuple[tuple[str, ...], ...]

    @property
    def prefix(self) -> str:
        """What every key of this template begins with."""
        return self.text[: self.text.index("{")]

    def match(self, key: str) -> dict[str, str] | None:
        """The placeholders' values in `key`, or None if the key is not of this template.

        Where a segment can be read in several ways, its first placeholder takes as much as it can. Takes time
        in proportion to the key, whoever chose it.
        """
        parts = key.split("/")
        if len(parts) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for part, segment in zip(parts, self.segments, strict=True):
            found = _read_segment(part, segment)
            if found is None:
                return None
            for name, value in found:
                if values.setdefault(name, value) != value:
                    return None
        return values

    def key(self, values: Mapping[str, str]) -> str:
        """The key with these placeholder values. Needs a value for each of `names`."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


def _read_segment(part: str, segment: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """The values of one segment's placeholders: each text is looked for from the right."""
    if not part.startswith(segment[0]) or not part.endswith(segment[-1]):
        return None
    if len(segment) == 1:
        return [] if part == segment[0] else None
    end, values = len(part) - len(segment[-1]), []
    for index in range(len(segment) - 2, 0, -2):
        before = segment[index - 1]
        # A value holds one character at least, so the text before it ends before `end`.
        at = part.rfind(before, 0, end - 1) if index > 1 else 0
        begin = at + len(before)
        if at < 0 or begin >= end:
            return None
        values.append((segment[index], part[begin:end]))
        end = at
    return values


def parse_template(text: str) -> Template:
    """Parse one template. Raises TemplateError."""
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        raise TemplateError(f"{text!r} has a brace without its partner")
    names = [found[1] for found in _PLACEHOLDER.finditer(text)]
    for name in names:
        if not (name.isascii() and name.isidentifier()):
            raise TemplateError(
                f"{text!r}: {{{name}}} is no placeholder; name it with letters, digits and _, like {{id}}"
            )
    if not names:
        raise TemplateError(f"{text!r} holds no placeholder; write for example uploads/{{id}}/live.gz")
    if text.startswith(("{", "/")):
        raise TemplateError(
            f"{text!r} must begin with a fixed prefix (no placeholder, no /), like uploads/{{id}}/live.gz"
        )
    segments = [tuple(_PLACEHOLDER.split(segment)) for segment in text.split("/")]
    if text.endswith("/") or any(segment in ((".",), ("..",)) for segment in segments):
        raise TemplateError(f"{text!r} names no object: it ends with / or has a segment of dots")
    for segment in segments:
        if len(set(segment[1::2])) != len(segment[1::2]):
            raise TemplateError(f"{text!r} has a placeholder twice in one segment; keep one of them")
    return Template(text, tuple(dict.fromkeys(names)), tuple(segments))


def _symbols(segment: tuple[str, ...]) -> list[str | None]:
    symbols: list[str | None] = []
    for index, part in enumerate(segment):
        symbols.extend(part if index % 2 == 0 else [_ANY])
    return symbols


def _segments_meet(left: list[str | None], right: list[str | None]) -> bool:
    """Whether some text is matched by both, where `_ANY` stands for one or more characters."""
    # Walk both at once; a state is (position, position, inside an _ANY on the left, … on the right).
    seen = set()
    todo = [(0, 0, False, False)]
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        i, j, in_left, in_right = state
        if in_left:
            todo.append((i + 1, j, False, in_right))
        if in_right:
            todo.append((i, j + 1, in_left, False))
        if i == len(left) and j == len(right):
            return True
        if i < len(left) and j < len(right):
            a, b = left[i], right[j]
            if a is None or b is None or a == b:
                # One character is read on both sides; an _ANY may read more of them.
                todo.append((i + (a is not None), j + (b is not None), a is None, b is None))
    return False


def templates_meet(left: Template, right: Template) -> bool:
    """Whether some key is matched by both templates (a repeated placeholder counts as two different ones)."""
    a, b = left.segments, right.segments
    return len(a) == len(b) and all(
        _segments_meet(_symbols(x), _symbols(y)) for x, y in zip(a, b, strict=True)
    )


class Pair(NamedTuple):
    """The live key and the image key that belong together.

    `values` are the placeholders of LIVE_KEY in its order. Where a role has alternatives, `live_keys` and
    `image_keys` hold one key for each. `shared` tells that one image serves many live packages.
    """

    values: tuple[tuple[str, str], ...]
    live_keys: tuple[str, ...]
    image_keys: tuple[str, ...]
    shared: bool

    def keys(self, role: Role) -> tuple[str, ...]:
        return self.live_keys if role == "live" else self.image_keys

    @property
    def path(self) -> str:
        """`<pair>` in state keys."""
        return _path(self.values)


def _path(values: Iterable[tuple[str, str]]) -> str:
    """The values, percent-encoded, joined by `/`.

    A value of dots is encoded too, or HTTP clients fold the path. A path longer than `MAX_PATH` bytes is
    replaced by `~` and its digest, so that no state key outgrows COS's 850 bytes.
    """
    path = "/".join(_encoded(value) for _, value in values)
    if len(path) <= MAX_PATH:
        return path
    return "~" + hashlib.sha256(path.encode()).hexdigest()


def _encoded(value: str) -> str:
    text = quote(value, safe="").replace("~", "%7E")
    return text.replace(".", "%2E") if not text.strip(".") else text


class SharedImage(NamedTuple):
    """An image that serves many live packages; its key says nothing about which."""

    values: tuple[tuple[str, str], ...]
    image_keys: tuple[str, ...]

    @property
    def path(self) -> str:
        """What names it in logs."""
        return _path(self.values)


class Templates(NamedTuple):
    """LIVE_KEY and IMAGE_KEY with their alternatives, checked against each other."""

    live: tuple[Template, ...]
    image: tuple[Template, ...]

    @property
    def shared(self) -> bool:
        """One image serves many live packages: IMAGE_KEY names only some placeholders of LIVE_KEY."""
        return set(self.image[0].names) != set(self.live[0].names)

    def match(self, key: str) -> tuple[Role, Pair | SharedImage] | None:
        """Which role `key` has, and in which pair; None where it matches no template.

        Raises AmbiguousKey if the keys made from its values do not parse back to those values.
        """
        for role, templates in (("live", self.live), ("image", self.image)):
            for template in templates:
                values = template.match(key)
                if values is None:
                    continue
                if role == "image" and self.shared:
                    self._check(key, values, self.image)
                    return "image", SharedImage(
                        tuple((name, values[name]) for name in self.image[0].names),
                        tuple(image.key(values) for image in self.image),
                    )
                return ("live" if role == "live" else "image"), self.pair(values, key)
        return None

    def pair(self, values: Mapping[str, str], key: str) -> Pair:
        """The pair with these values; `key` is the upload that asks, for the error. Raises AmbiguousKey."""
        self._check(key, values, (*self.live, *self.image))
        return Pair(
            tuple((name, values[name]) for name in self.live[0].names),
            tuple(template.key(values) for template in self.live),
            tuple(template.key(values) for template in self.image),
            self.shared,
        )

    @staticmethod
    def _check(key: str, values: Mapping[str, str], templates: Iterable[Template]) -> None:
        for template in templates:
            made = template.key(values)
            back = template.match(made)
            if back != {name: values[name] for name in template.names}:
                raise AmbiguousKey(
                    f"the upload {key!r} has no certain partner: with its values {dict(values)!r} the "
                    f"template {template.text!r} gives {made!r}, which reads back as {back!r}. Separate "
                    "placeholders by a character that no value holds, best by /"
                )


def parse_templates(live: str, image: str, state_prefix: str | None) -> tuple[Templates | None, list[str]]:
    """Parse LIVE_KEY and IMAGE_KEY, alternatives separated by commas.

    `state_prefix` is None where it is not known. Returns the templates, or None and every fault found.
    """
    faults: list[str] = []
    parsed: dict[str, tuple[Template, ...]] = {}
    for setting, text in (("LIVE_KEY", live), ("IMAGE_KEY", image)):
        templates = []
        for part in (part.strip() for part in text.split(",")):
            if not part:
                faults.append(f"{setting}: an alternative between commas is empty")
                continue
            try:
                templates.append(parse_template(part))
            except TemplateError as error:
                faults.append(f"{setting}: {error}")
        parsed[setting] = tuple(templates)
        for template in templates:
            if state_prefix and _begin_alike(template.prefix, state_prefix):
                faults.append(
                    f"{setting}: {template.text!r} reaches into STATE_PREFIX {state_prefix!r}; "
                    "keep uploads and state under different prefixes"
                )
            if set(template.names) != set(templates[0].names):
                faults.append(
                    f"{setting}: the alternatives {templates[0].text!r} and {template.text!r} "
                    "name different placeholders; give all the same ones"
                )
    lives, images = parsed["LIVE_KEY"], parsed["IMAGE_KEY"]
    extra = sorted(set(images[0].names) - set(lives[0].names)) if lives and images else []
    if extra:
        faults.append(
            f"IMAGE_KEY: placeholder {{{extra[0]}}} is not in LIVE_KEY; "
            "IMAGE_KEY names LIVE_KEY's placeholders or some of them"
        )
    every = [*lives, *images]
    for index, left in enumerate(every):
        faults.extend(
            f"LIVE_KEY, IMAGE_KEY: {left.text!r} and {right.text!r} can yield the same key; "
            "make them differ in a fixed part"
            for right in every[index + 1 :]
            if templates_meet(left, right)
        )
    return (None, faults) if faults else (Templates(lives, images), [])


def _begin_alike(left: str, right: str) -> bool:
    return left.startswith(right) or right.startswith(left)
