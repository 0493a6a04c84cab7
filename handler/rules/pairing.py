"""From an object key to its pair and back. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Literal, NamedTuple
from urllib.parse import quote

from handler.rules.templates import AmbiguousKey as AmbiguousKey
from handler.rules.templates import Template, TemplateError, parse_template, templates_meet

Role = Literal["live", "image"]
ROLES: tuple[Role, ...] = ("live", "image")

MAX_KEY_BYTES = 850
"""COS's own limit of a key (product 436, page 13324)."""

MAX_PATH = 400  # bytes of a pair's path in state keys; COS allows 850 for the whole key


def plain(text: object) -> str:
    """`text` with everything that a terminal could take for a command or a line's end spelled out.

    Keys and whatever else others chose stand like this in errors, which platforms print as they are.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in whole)


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

        Raises AmbiguousKey if it, or another key of its pair, can be read in two ways. No key is of two
        templates: `parse_templates` refuses such.
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
            try:
                template.match(template.key(values))
            except AmbiguousKey as error:
                raise AmbiguousKey(f"the upload {key!r} has no certain partner: {error}") from None


def parse_templates(live: str, image: str, state_prefix: str | None) -> tuple[Templates | None, list[str]]:
    """Parse LIVE_KEY and IMAGE_KEY, alternatives separated by commas.

    `state_prefix` is None where it is not known. Returns the templates, or None and every fault found.
    """
    lives, faults = _parse_alternatives("LIVE_KEY", live)
    images, more = _parse_alternatives("IMAGE_KEY", image)
    faults += more
    if state_prefix:
        faults += [
            f"{setting}: {template.text!r} reaches into STATE_PREFIX {state_prefix!r}; "
            "keep uploads and state under different prefixes"
            for setting, templates in (("LIVE_KEY", lives), ("IMAGE_KEY", images))
            for template in templates
            if _begin_alike(template.prefix, state_prefix)
        ]
    faults += _faults_between(lives, images)
    return (None, faults) if faults else (Templates(lives, images), [])


def _parse_alternatives(setting: str, text: str) -> tuple[tuple[Template, ...], list[str]]:
    """The alternatives of one setting, and what is wrong with them."""
    templates: list[Template] = []
    faults: list[str] = []
    for part in map(str.strip, text.split(",")):
        if not part:
            faults.append(f"{setting}: an alternative between commas is empty")
            continue
        try:
            templates.append(parse_template(part))
        except TemplateError as error:
            faults.append(f"{setting}: {error}")
    faults += [
        f"{setting}: the alternatives {templates[0].text!r} and {template.text!r} "
        "name different placeholders; give all the same ones"
        for template in templates
        if set(template.names) != set(templates[0].names)
    ]
    return tuple(templates), faults


def _faults_between(lives: tuple[Template, ...], images: tuple[Template, ...]) -> list[str]:
    """What is wrong with templates that are right by themselves."""
    extra = sorted(set(images[0].names) - set(lives[0].names)) if lives and images else []
    faults = [
        f"IMAGE_KEY: placeholder {{{name}}} is not in LIVE_KEY; "
        "IMAGE_KEY names LIVE_KEY's placeholders or some of them"
        for name in extra[:1]
    ]
    return faults + [
        f"LIVE_KEY, IMAGE_KEY: {left.text!r} and {right.text!r} can yield the same key; "
        "make them differ in a fixed part"
        for left, right in combinations((*lives, *images), 2)
        if templates_meet(left, right)
    ]


def _begin_alike(left: str, right: str) -> bool:
    return left.startswith(right) or right.startswith(left)
