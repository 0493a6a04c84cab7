"""What has happened so far, told alike for every order of operations that do not touch each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

STATE = "livepair/"
"""What keys of state begin with, and uploads do not."""

_UPLOADS = "*"
"""The key that stands for all uploads: a call of the API reads it, who changes an upload writes it."""

_READS = ("head", "read", "get", "create", "compare")
"""`create` is the look whether the key is free; `store` is what it then writes."""


class Past:
    """A digest of all operations, and of which came before which where that matters.

    Those of one instance come one after the other. Those of two matter to each other where one writes what
    the other reads or writes. So two pasts of one digest have left the same objects behind, and have told
    every instance the same.
    """

    def __init__(self) -> None:
        self.digest = 0
        self._last: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._read: defaultdict[str, int] = defaultdict(int)
        self._listed: defaultdict[str, int] = defaultdict(int)

    def note(self, who: str, says: str, fault: str) -> None:
        """Note an operation, which is a word and keys."""
        word, *keys = says.split(" ")
        before: list[Hashable] = [who, says, fault, self._last.get(who)]
        if word == "list":
            under = (item for item in self._written.items() if item[0].startswith(keys[0]))
            this = hash((*before, *sorted(under)))
            self._listed[keys[0]] += this
        elif word in _READS:
            key = _UPLOADS if word == "compare" else keys[0]
            this = hash((*before, self._written.get(key)))
            self._read[key] += this
        else:
            if word != "post" and not all(key.startswith(STATE) for key in keys):
                keys.append(_UPLOADS)
            for key in keys:
                lists = sum(at for prefix, at in self._listed.items() if key.startswith(prefix))
                before += [self._written.get(key), self._read.pop(key, 0), lists]
            this = hash(tuple(before))
            self._written.update(dict.fromkeys(keys, this))
        self._last[who] = this
        self.digest = (self.digest + this) % 2**64
