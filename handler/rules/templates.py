"""Key templates: what keys one matches, and which keys two can both match. Pure.

A template is a COS key with placeholders, `uploads/{id}/live.gz`. It begins with a fixed prefix and holds
at least one placeholder; a placeholder matches one path segment or part of one, never `/`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ANY = None  # in a segment's symbols: one or more characters


class TemplateError(ValueError):
    """A key template that cannot be used; the message says why and what to write instead."""


class AmbiguousKey(ValueError):
    """A key of an upload's pair can be read in two ways: nobody can say whose it is."""


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

        Takes time in proportion to the key, whoever chose it. Raises AmbiguousKey if there are other values
        that make the same key.
        """
        parts = key.split("/")
        if len(parts) != len(self.segments):
            return None
        values: dict[str, str] = {}
        several: list[tuple[str, tuple[str, ...]]] = []
        for part, segment in zip(parts, self.segments, strict=True):
            if len(segment) > 3:
                several.append((part, segment))
                continue
            value = _read_alone(part, segment)
            if value is None or (len(segment) == 3 and values.setdefault(segment[1], value) != value):
                return None
        other = dict(values)
        for part, segment in several:
            free = _without(segment, values)
            found = _read_last(part, free)
            if found is None:
                return None
            other.update(_read_first(part, free))
            values.update(found)
        if other != values:
            raise AmbiguousKey(
                f"{key!r} has two readings by the template {self.text!r}: as {values!r} and as {other!r}. "
                "Separate placeholders by a character that no value holds, best by /"
            )
        return values

    def key(self, values: Mapping[str, str]) -> str:
        """The key with these placeholder values. Needs a value for each of `names`."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


def _read_alone(part: str, segment: tuple[str, ...]) -> str | None:
    """The value of a segment's only placeholder, of one without any the empty text; None if it is not so."""
    before, after = segment[0], segment[-1]
    if len(segment) == 1:
        return "" if part == before else None
    value = part[len(before) : len(part) - len(after)]
    return value if value and part == f"{before}{value}{after}" else None


def _without(segment: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """A segment with the values that are known in it, as text."""
    free = [segment[0]]
    for name, text in zip(segment[1::2], segment[2::2], strict=True):
        if name in values:
            free[-1] += values[name] + text
        else:
            free += [name, text]
    return tuple(free)


def _read_last(part: str, segment: tuple[str, ...]) -> dict[str, str] | None:
    """The values where each text between placeholders stands as late as it can; None where it cannot."""
    if not part.startswith(segment[0]) or not part.endswith(segment[-1]):
        return None
    if len(segment) == 1:
        return {} if part == segment[0] else None
    end, values = len(part) - len(segment[-1]), {}
    for index in range(len(segment) - 2, 0, -2):
        before = segment[index - 1]
        # A value holds one character at least, so the text before it ends before `end`.
        at = part.rfind(before, 0, end - 1) if index > 1 else 0
        begin = at + len(before)
        if at < 0 or begin >= end:
            return None
        values[segment[index]] = part[begin:end]
        end = at
    return values


def _read_first(part: str, segment: tuple[str, ...]) -> dict[str, str]:
    """The values where each stands as early as it can, of what `_read_last` can read.

    Between the two lies every reading there is: where they agree, there is one.
    """
    begin, values = len(segment[0]), {}
    for index in range(1, len(segment), 2):
        is_last = index == len(segment) - 2
        end = len(part) - len(segment[-1]) if is_last else part.index(segment[index + 1], begin + 1)
        values[segment[index]] = part[begin:end]
        begin = end + len(segment[index + 1])
    return values


def parse_template(text: str) -> Template:
    """Parse one template. Raises TemplateError."""
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        raise TemplateError(f"{text!r} has a brace without its partner")
    names = [found[1] for found in _PLACEHOLDER.finditer(text)]
    wrong = [name for name in names if not (name.isascii() and name.isidentifier())]
    if wrong:
        raise TemplateError(
            f"{text!r}: {{{wrong[0]}}} is no placeholder; name it with letters, digits and _, like {{id}}"
        )
    if not names:
        raise TemplateError(f"{text!r} holds no placeholder; write for example uploads/{{id}}/live.gz")
    if text.startswith(("{", "/")):
        raise TemplateError(
            f"{text!r} must begin with a fixed prefix (no placeholder, no /), like uploads/{{id}}/live.gz"
        )
    segments = _segments(text)
    _check_ends(text, segments)
    return Template(text, tuple(dict.fromkeys(names)), segments)


def _segments(text: str) -> tuple[tuple[str, ...], ...]:
    """A template's parts between slashes. Raises TemplateError."""
    segments = tuple(tuple(_PLACEHOLDER.split(segment)) for segment in text.split("/"))
    if segments[-1] == ("",) or {(".",), ("..",)}.intersection(segments):
        raise TemplateError(f"{text!r} names no object: it ends with / or has a segment of dots")
    for segment in segments:
        if len(set(segment[1::2])) != len(segment[1::2]):
            raise TemplateError(f"{text!r} has a placeholder twice in one segment; keep one of them")
    return segments


def _check_ends(text: str, segments: tuple[tuple[str, ...], ...]) -> None:
    """Raise TemplateError where nothing tells at which character a placeholder ends.

    One that has a segment for itself is known by that, wherever else it stands.
    """
    alone = {segment[1]: "" for segment in segments if len(segment) == 3}
    free = [_without(segment, {name: name for name in alone}) for segment in segments if len(segment) > 3]
    for segment in free:
        if "" in segment[2:-1:2]:
            at = segment.index("", 2)
            raise TemplateError(
                f"{text!r}: nothing tells where {{{segment[at - 1]}}} ends and {{{segment[at + 1]}}} begins; "
                "put a / between them"
            )
    names = [name for segment in free for name in segment[1::2]]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise TemplateError(
            f"{text!r} has {{{twice[0]}}} in two segments and beside others in both; give it one for itself"
        )


def _symbols(segment: tuple[str, ...]) -> list[str | None]:
    symbols: list[str | None] = []
    for index, part in enumerate(segment):
        symbols.extend(part if index % 2 == 0 else [_ANY])
    return symbols


_State = tuple[int, int, bool, bool]
"""How far two segments are read: both positions, and whether each is inside an `_ANY`."""


def _segments_meet(left: list[str | None], right: list[str | None]) -> bool:
    """Whether some text is matched by both, where `_ANY` stands for one or more characters."""
    seen: set[_State] = set()
    todo: list[_State] = [(0, 0, False, False)]
    while todo:
        state = todo.pop()
        if state[:2] == (len(left), len(right)):
            return True
        if state not in seen:
            seen.add(state)
            todo += _read_on(left, right, state)
    return False


def _read_on(left: list[str | None], right: list[str | None], state: _State) -> Iterator[_State]:
    """The states that reading on leads to."""
    i, j, in_left, in_right = state
    if in_left:
        yield i + 1, j, False, in_right
    if in_right:
        yield i, j + 1, in_left, False
    if i < len(left) and j < len(right):
        a, b = left[i], right[j]
        if _ANY in (a, b) or a == b:
            # One character is read on both sides; an _ANY may read more of them.
            yield i + (a is not _ANY), j + (b is not _ANY), a is _ANY, b is _ANY


def templates_meet(left: Template, right: Template) -> bool:
    """Whether some key is matched by both templates (a repeated placeholder counts as two different ones)."""
    a, b = left.segments, right.segments
    return len(a) == len(b) and all(
        _segments_meet(_symbols(x), _symbols(y)) for x, y in zip(a, b, strict=True)
    )
