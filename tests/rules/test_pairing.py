"""Key templates: which keys are of one pair, and which templates cannot be trusted to tell."""

import contextlib
import re
import sys
from collections.abc import Callable
from itertools import product
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from handler.rules.pairing import MAX_PATH, AmbiguousKey, Pair, SharedImage, Templates, parse_templates, plain
from handler.rules.templates import Template, TemplateError, parse_template, templates_meet

STATE = "livepair/"

ODD_VALUES = [
    "42",
    "a b",
    "a+b",
    "100%",
    "%2F",
    "%2E",
    "张",
    "é",
    "..",
    "~x",
    "a.b",
    "x\ny",
    "{id}",
    "\\1",
    "?#",
]


def templates(live: str, image: str) -> Templates:
    found, faults = parse_templates(live, image, STATE)
    assert found is not None, faults
    return found


def faults_of(live: str, image: str, state_prefix: str | None = STATE) -> list[str]:
    found, faults = parse_templates(live, image, state_prefix)
    assert found is None
    return faults


def pair_of(parsed: Templates, key: str) -> Pair:
    found = parsed.match(key)
    assert found is not None
    assert isinstance(found[1], Pair)
    return found[1]


def values_pair(*values: str) -> Pair:
    named = tuple((f"n{index}", value) for index, value in enumerate(values))
    return Pair(named, ("live",), ("image",), shared=False)


# --- one template -----------------------------------------------------------------------------------

value = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=20)
awkward = st.text(st.sampled_from("a-.%~+{} 中"), min_size=1, max_size=6)
literal = st.text(st.sampled_from("abz09-_.+*()[]^$|\\?% 中"), min_size=1, max_size=4).filter(
    lambda text: text not in (".", "..")
)


@st.composite
def separate_templates(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A template whose placeholders each stand alone in a segment, and their names."""
    names = [f"n{index}" for index in range(draw(st.integers(1, 4)))]
    parts = [draw(literal)]
    for name in names:
        parts.append(f"{draw(st.just('') | literal)}{{{name}}}{draw(st.just('') | literal)}")
        parts.extend(draw(st.lists(literal, max_size=1)))
    return "/".join(parts), names


@st.composite
def any_templates(draw: st.DrawFn, alphabet: str = "ab/", repeats: bool = True) -> str:
    """Any template of up to four symbols over a small alphabet, its placeholders perhaps side by side.

    With `repeats` a placeholder may stand in several segments.
    """
    count = draw(st.integers(1, 3))
    symbols = draw(st.lists(st.sampled_from([*alphabet, "{}", "{}"]), min_size=count, max_size=count))
    if "{}" not in symbols:
        symbols[draw(st.integers(0, count - 1))] = "{}"
    text = draw(st.sampled_from("ab"))
    for index, symbol in enumerate(symbols):
        here = text.rpartition("/")[2]
        free = [name for name in "xyz" if f"{{{name}}}" not in here]
        name = draw(st.sampled_from(free)) if repeats else f"n{index}"
        text += f"{{{name}}}" if symbol == "{}" else symbol
    return text + "b" if text.endswith("/") else text


def is_template(text: str) -> bool:
    try:
        parse_template(text)
    except TemplateError:
        return False
    return True


@st.composite
def keys_of(draw: st.DrawFn, text: str, alphabet: str) -> str:
    """A key of a template with values that may hold what stands between them, or any key at all."""
    values = st.text(st.sampled_from(alphabet), min_size=1, max_size=4)
    same = {name: draw(values) for name in re.findall(r"\{(\w+)\}", text)}
    made = re.sub(r"\{(\w+)\}", lambda found: same[found[1]], text)
    return draw(st.just(made) | st.text(st.sampled_from(alphabet + "/"), max_size=8))


@given(separate_templates(), st.data())
def test_values_survive_the_way_into_a_key_and_back(made: tuple[str, list[str]], data: st.DataObject) -> None:
    """Where each placeholder has a segment of its own, any values give a key that reads back as they."""
    text, names = made
    template = parse_template(text)
    values = {name: data.draw(value | awkward) for name in names}
    assert template.match(template.key(values)) == values


def readings(text: str, key: str) -> list[dict[str, str]]:
    """Every way to read a key by a template, found by trying all lengths of all values."""
    tokens = [token for token in re.split(r"(\{\w+\})", text) if token]
    found: list[dict[str, str]] = []

    def read(at: int, tokens: list[str], values: dict[str, str]) -> None:
        if not tokens:
            found.extend([values] if at == len(key) else [])
            return
        token, name = tokens[0], tokens[0][1:-1]
        if not token.startswith("{"):
            if key.startswith(token, at):
                read(at + len(token), tokens[1:], values)
            return
        for end in range(at + 1, len(key) + 1):
            value = key[at:end]
            if "/" in value:
                break
            if values.get(name, value) == value:
                read(end, tokens[1:], {**values, name: value})

    read(0, tokens, {})
    return found


def outcome_of(template: Template, key: str) -> dict[str, str] | AmbiguousKey | None:
    try:
        return template.match(key)
    except AmbiguousKey as error:
        return error


def check_reading(text: str, key: str) -> None:
    """What the template makes of the key is the one reading there is; of several it makes none."""
    every = readings(text, key)
    found = outcome_of(parse_template(text), key)
    if len(every) > 1:
        assert isinstance(found, AmbiguousKey)
        assert repr(text) in str(found)
        assert repr(key) in str(found)
    else:
        assert ([] if found is None else [found]) == every


@given(any_templates().filter(is_template), st.data())
def test_a_key_is_read_in_the_one_way_there_is_or_refused(text: str, data: st.DataObject) -> None:
    """Never one of two readings, and never none where there is one."""
    check_reading(text, data.draw(keys_of(text, "ab")))


@given(any_templates("a.-").filter(is_template), st.data())
def test_signs_in_a_template_are_only_themselves(text: str, data: st.DataObject) -> None:
    """Texts between placeholders that overlap in the key are told apart as well."""
    check_reading(text, data.draw(keys_of(text, "ab.-")))


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("u/{a}-{b}", "u/x-y", {"a": "x", "b": "y"}),
        ("u/{a}-{b}", "u/---", {"a": "-", "b": "-"}),
        ("u/{a}-{b}", "u/--", None),
        ("u/{a}-{b}", "u/-x", None),
        ("u/{a}-{b}", "u/x-", None),
        ("u/{a}-{b}+{c}", "u/x-y+z", {"a": "x", "b": "y", "c": "z"}),
        ("u/ab{a}ba", "u/aba", None),
        ("u/ab{a}ba", "u/abba", None),
        ("u/ab{a}ba", "u/ababa", {"a": "a"}),
        ("u/{a}--{b}", "u/x--y", {"a": "x", "b": "y"}),
        ("u/{a}-{b}/{b}.gz", "u/x-y-z/z.gz", {"a": "x-y", "b": "z"}),
        ("u/{a}-{b}/{b}.gz", "u/x-y-z/y-z.gz", {"a": "x", "b": "y-z"}),
        ("u/{a}-{b}/{b}.gz", "u/x-y-z/x.gz", None),
        ("u/{a}/{a}{b}.gz", "u/ann/annlee.gz", {"a": "ann", "b": "lee"}),
        ("uploads/{user}/{user}-{attempt}.gz", "uploads/a-b/a-b-1-2.gz", {"user": "a-b", "attempt": "1-2"}),
    ],
)
def test_a_placeholder_that_has_a_segment_for_itself_is_known_by_it(
    text: str, key: str, values: dict[str, str] | None
) -> None:
    """Then the others beside it are known, too, whatever they hold."""
    assert parse_template(text).match(key) == values
    check_reading(text, key)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("uploads/{user}-{attempt}.gz", "uploads/ann-lee-1.gz"),
        ("u/{a}--{b}", "u/x---y"),
        ("u/{a}-{b}", "u/x-y-z"),
        ("u/{a}-{b}-{c}/{c}", "u/1-2-3-4/4"),
    ],
)
def test_a_key_with_two_readings_is_refused(text: str, key: str) -> None:
    """Attempt `lee-1` of `ann` is not judged against the face of `ann-lee`."""
    with pytest.raises(AmbiguousKey, match="two readings"):
        parse_template(text).match(key)
    check_reading(text, key)


@pytest.mark.parametrize("odd", ODD_VALUES)
def test_a_placeholder_matches_any_text_but_a_slash(odd: str) -> None:
    """Spaces, signs, CJK, line ends and what looks like escapes are ordinary text in a key."""
    template = parse_template("uploads/{id}/live.gz")
    assert template.match(f"uploads/{odd}/live.gz") == {"id": odd}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "uploads",
        "uploads//live.gz",
        "uploads/a/b/live.gz",
        "uploads/42/live.gz\n",
        "uploads/42/live.gz2",
        "uploads/42/liveXgz",
        "Uploads/42/live.gz",
        "/uploads/42/live.gz",
        "uploads/42/live.gz/",
    ],
)
def test_a_template_matches_whole_keys_only(key: str) -> None:
    """A placeholder is never empty and never `/`, and nothing may stand before, behind or instead."""
    assert parse_template("uploads/{id}/live.gz").match(key) is None


def test_a_repeated_placeholder_has_one_value() -> None:
    """`{id}/{id}` takes the same text twice, and it is named once."""
    template = parse_template("u/{id}/{id}.gz")
    assert template.names == ("id",)
    assert template.segments == (("u",), ("", "id", ""), ("", "id", ".gz"))
    assert template.key({"id": "7"}) == "u/7/7.gz"
    assert template.match("u/7/7.gz") == {"id": "7"}
    assert template.match("u/7/8.gz") is None


def test_a_double_slash_in_a_template_is_part_of_the_key() -> None:
    """COS keys may hold `//`, and so may templates."""
    assert parse_template("u//{id}.gz").match("u//7.gz") == {"id": "7"}
    assert parse_template("u//{id}.gz").match("u/7.gz") is None


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("uploads/{id}/live.gz", "uploads/"), ("a{b}c{d}", "a"), ("x//{y}", "x//")],
)
def test_every_key_begins_with_the_templates_prefix(text: str, prefix: str) -> None:
    """The prefix is everything before the first placeholder: what a walk lists and a trigger filters by."""
    assert parse_template(text).prefix == prefix


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uploads/live.gz", "no placeholder"),
        ("", "no placeholder"),
        ("uploads/{}/live.gz", "{} is no placeholder"),
        ("uploads/{a-b}/live.gz", "{a-b} is no placeholder"),
        ("uploads/{1a}/live.gz", "{1a} is no placeholder"),
        ("uploads/{ id}/live.gz", "{ id} is no placeholder"),
        ("uploads/{é}/live.gz", "{é} is no placeholder"),
        ("uploads/{a/b}.gz", "{a/b} is no placeholder"),
        ("uploads/{{id}}/live.gz", "brace"),
        ("uploads/{id}/{live.gz", "brace"),
        ("uploads/{id}/live}.gz", "brace"),
        ("{id}/live.gz", "fixed prefix"),
        ("/uploads/{id}/live.gz", "fixed prefix"),
        ("uploads/{a-b}/{live.gz", "brace"),
        ("uploads/live}.gz", "brace"),
        ("{", "brace"),
        ("uploads/{id}/", "names no object: it ends with /"),
        ("uploads//{id}//", "names no object"),
        ("./{id}", "a segment of dots"),
        ("../{id}", "a segment of dots"),
        ("uploads/./{id}.gz", "a segment of dots"),
        ("uploads/{id}/../x", "a segment of dots"),
        ("uploads/{id}/.", "a segment of dots"),
        ("uploads/{id}-{id}.gz", "a placeholder twice in one segment"),
        ("uploads/{id}{id}.gz", "a placeholder twice in one segment"),
        ("uploads/{id}/{a}-{b}-{a}", "a placeholder twice in one segment"),
        ("uploads/{a}{b}.gz", "nothing tells where {a} ends and {b} begins; put a / between them"),
        ("u/{c}/{a}-{c}{b}{d}", "nothing tells where {b} ends and {d} begins"),
        ("u/{a}-{b}/{b}-{a}", "has {a} in two segments and beside others in both; give it one for itself"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(text: str, says: str) -> None:
    """The error quotes the template as it was written and names its fault."""
    with pytest.raises(TemplateError, match=re.escape(says)) as caught:
        parse_template(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["uploads/.../{id}", ".uploads/{id}", "uploads/{id}/.x", "u./..{id}"])
def test_dots_beside_other_characters_are_no_fault(text: str) -> None:
    """Only `.` and `..` are folded by HTTP clients."""
    template = parse_template(text)
    assert template.match(template.key({"id": "7"})) == {"id": "7"}


@given(st.text(max_size=30) | st.text(st.sampled_from("a{}/_1,"), max_size=12))
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    """Nothing that can be typed as a template raises anything else."""
    try:
        template = parse_template(text)
    except TemplateError:
        return
    assert template.names
    assert template.prefix


SIX = "{a}-{b}-{c}-{d}-{e}-{f}"


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python something takes, on any machine."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        (f"uploads/{SIX}.gz", ""),
        (f"uploads/{SIX}.gz", "x.gz"),
        (f"uploads/{SIX}+.gz", ".gz"),
        (f"uploads/{SIX}+{{g}}.gz", ".gz"),
        (f"uploads/{{g}}+{SIX}.gz", ".gz"),
        (f"uploads/{SIX}/{{a}}.gz", "/x.gz"),
        (f"uploads/{SIX}/{{f}}/{{g}}-{{h}}.gz", "/-/x-x.gz"),
        ("uploads/{a}--{b}---{c}----{d}--{e}---{f}+{g}", "x"),
        (f"uploads/{{f}}/{SIX}+{{g}}", "x"),
    ],
)
def test_an_uploader_cannot_stall_the_function_with_a_key(text: str, tail: str) -> None:
    """A key that could be split in billions of ways takes work in proportion to its length.

    Of the lengths that COS allows, and the uploader chooses. What tries all the ways never gets to the end.
    """
    template = parse_template(text)
    short, long = ("uploads/".ljust(size - len(tail), "-") + tail for size in (84, 840))
    assert len(long.encode()) == 840
    assert lines_run(lambda: outcome_of(template, long)) <= 10 * lines_run(
        lambda: outcome_of(template, short)
    )


# --- two templates ----------------------------------------------------------------------------------

KEYS = ["".join(key) for length in range(1, 8) for key in product("ab/", repeat=length)]
"""Every key that matters here: where two of the templates below share keys, they share one this short."""


def shared_keys(left: Template, right: Template) -> list[str]:
    return [key for key in KEYS if outcome_of(left, key) and outcome_of(right, key)]


@given(any_templates(repeats=False).filter(is_template), any_templates(repeats=False).filter(is_template))
def test_templates_meet_exactly_where_some_key_is_of_both(left: str, right: str) -> None:
    """Compared with every key there is over a small alphabet: no false alarm and nothing overlooked."""
    one, other = parse_template(left), parse_template(right)
    assert templates_meet(one, other) == bool(shared_keys(one, other))
    assert templates_meet(other, one) == templates_meet(one, other)


@given(any_templates().filter(is_template), any_templates().filter(is_template))
def test_a_repeated_placeholder_hides_no_meeting(left: str, right: str) -> None:
    """Repeats are taken for different placeholders, which may warn too often but never too seldom."""
    one, other = parse_template(left), parse_template(right)
    if shared_keys(one, other):
        assert templates_meet(one, other)


@pytest.mark.parametrize(
    ("left", "right", "meet"),
    [
        ("uploads/{id}/live.gz", "uploads/{id}/image.jpg", False),
        ("uploads/{id}.gz", "uploads/{id}.jpg", False),
        ("uploads/{a}/x", "uploads/{a}/{b}", True),
        ("uploads/{a}", "uploads/{a}/{b}", False),
        ("u/{a}-{b}", "u/{c}", True),
        ("u/x{a}", "u/{a}x", True),
        ("u/{a}", "uploads/{a}", False),
        ("u{a}", "uploads{a}", True),
        ("u/live-{a}", "u/image-{a}", False),
    ],
)
def test_usual_templates_are_told_apart(left: str, right: str, meet: bool) -> None:
    """What people write: by suffix, by name, by folder; and where that is not enough."""
    assert templates_meet(parse_template(left), parse_template(right)) is meet


# --- pairs ------------------------------------------------------------------------------------------

DEFAULT = ("uploads/{id}/live.gz", "uploads/{id}/image.jpg")


@pytest.mark.parametrize("odd", ODD_VALUES)
def test_both_halves_lead_to_the_same_pair(odd: str) -> None:
    """Whichever half's event comes, the pair is the same; the role tells them apart."""
    parsed = templates(*DEFAULT)
    live, image = f"uploads/{odd}/live.gz", f"uploads/{odd}/image.jpg"
    pair = Pair((("id", odd),), (live,), (image,), shared=False)
    assert parsed.match(live) == ("live", pair)
    assert parsed.match(image) == ("image", pair)
    assert (pair.keys("live"), pair.keys("image")) == ((live,), (image,))


def test_the_values_stand_in_live_keys_order() -> None:
    """However IMAGE_KEY orders the placeholders, the pair's path follows LIVE_KEY."""
    parsed = templates("u/{a}/{b}.gz", "i/{b}/{a}.jpg")
    pair = pair_of(parsed, "i/2/1.jpg")
    assert pair.values == (("a", "1"), ("b", "2"))
    assert pair.path == "1/2"
    assert pair_of(parsed, "u/1/2.gz") == pair


def test_alternatives_of_a_key_are_one_pair() -> None:
    """Each alternative is looked for; any of them leads to the same pair."""
    parsed = templates("u/{id}.gz, u/{id}.tgz", "u/{id}.jpg ,u/{id}.png")
    pairs = [pair_of(parsed, f"u/7.{suffix}") for suffix in ("gz", "tgz", "jpg", "png")]
    assert pairs[0].live_keys == ("u/7.gz", "u/7.tgz")
    assert pairs[0].image_keys == ("u/7.jpg", "u/7.png")
    assert all(pair == pairs[0] for pair in pairs)


def test_alternatives_may_order_their_placeholders_differently() -> None:
    """They must name the same ones, in any order."""
    parsed = templates("u/{a}/{b}.gz,v/{b}/{a}.gz", "i/{a}/{b}.jpg")
    assert pair_of(parsed, "v/2/1.gz") == pair_of(parsed, "u/1/2.gz")


def test_an_image_that_names_fewer_placeholders_serves_many_live_packages() -> None:
    """Its own upload names no pair, only itself; a live package's names both."""
    parsed = templates("uploads/{user}/{attempt}/live.gz", "faces/{user}.jpg,faces/{user}.png")
    assert parsed.shared
    keys = ("faces/ann.jpg", "faces/ann.png")
    assert parsed.match("faces/ann.png") == ("image", SharedImage((("user", "ann"),), keys))
    pair = pair_of(parsed, "uploads/ann/3/live.gz")
    assert pair.shared
    assert pair.values == (("user", "ann"), ("attempt", "3"))
    assert pair.image_keys == keys
    assert not templates(*DEFAULT).shared


@pytest.mark.parametrize("key", ["uploads/42/other.txt", "elsewhere/42/live.gz", "", "livepair/claims/42"])
def test_a_key_of_no_template_has_no_pair(key: str) -> None:
    """Other objects in the bucket are none of our business."""
    assert templates(*DEFAULT).match(key) is None


def test_a_key_whose_partner_is_not_certain_is_refused() -> None:
    """`x-y-z` could be `x` and `y-z` or `x-y` and `z`; the error names key, template and the way out."""
    parsed = templates("u/{a}-{b}.gz", "i/{a}/{b}.jpg")
    with pytest.raises(AmbiguousKey) as caught:
        parsed.match("i/x/y-z.jpg")
    for part in ("'i/x/y-z.jpg'", "'u/{a}-{b}.gz'", "'u/x-y-z.gz'", "Separate"):
        assert part in str(caught.value)
    with pytest.raises(AmbiguousKey):
        parsed.match("i/x-y/z.jpg")  # the other pair's image is not certain either


def test_values_that_fit_a_shared_separator_are_no_fault() -> None:
    """`{a}-{b}` is refused only for the values that make it doubtful."""
    parsed = templates("u/{a}-{b}.gz", "i/{a}/{b}.jpg")
    assert pair_of(parsed, "i/x/y.jpg") == pair_of(parsed, "u/x-y.gz")


def test_a_shared_image_whose_alternatives_disagree_is_refused() -> None:
    """The same holds among the keys of an image that serves many."""
    parsed = templates("u/{a}/{b}/{c}.gz", "i/{a}/{b}.jpg,j/{a}-{b}.jpg")
    assert isinstance((parsed.match("i/x/y.jpg") or ("", None))[1], SharedImage)
    with pytest.raises(AmbiguousKey):
        parsed.match("i/x/y-z.jpg")


# Of names that share their separators with the values: as shared and as own images, with alternatives.
TOGETHER = [
    ("u/{a}-{b}.gz,v/{a}/{b}.gz", "i/{b}+{a}.jpg"),
    ("u/{a}-{b}.gz", "i/{a}.jpg,j/{a}/x.jpg"),
    ("u/{a}-{b}.gz,u/{a}-{b}.tgz", "u/{a}-{b}.jpg"),
    ("u/{a}+{b}-{c}.gz,u/{c}/{a}-{b}.gz", "i/{a}-{c}.jpg"),
    ("u/{a}/{a}-{b}.gz", "i/{b}/{b}-{a}.jpg"),
]


@given(st.sampled_from(TOGETHER), st.data())
def test_a_pair_is_certain_or_refused(texts: tuple[str, str], data: st.DataObject) -> None:
    """Of a pair that is given out, each key has one reading by all the templates: the pair's own values."""
    every = [text.strip() for setting in texts for text in setting.split(",")]
    key = data.draw(st.sampled_from(every).flatmap(lambda text: keys_of(text, "a-+")))
    found = [(text, values) for text in every for values in readings(text, key)]
    try:
        match = templates(*texts).match(key)
    except AmbiguousKey:
        return
    assert len(found) == (match is not None)
    if match is None:
        return
    target = match[1]
    keys = [*target.image_keys, *(target.live_keys if isinstance(target, Pair) else ())]
    assert key in keys
    for each in keys:
        ((text, values),) = [(text, values) for text in every for values in readings(text, each)]
        assert values == {name: dict(target.values)[name] for name in parse_template(text).names}


@given(any_templates().filter(is_template), any_templates().filter(is_template), st.data())
def test_no_key_is_of_two_alternatives(left: str, right: str, data: st.DataObject) -> None:
    """Two that some key is of are refused as settings; so is a key of one that has two readings."""
    found, _ = parse_templates(f"{left},{right}", "images/" + "/".join(re.findall(r"\{.\}", left)), STATE)
    if found is not None:
        key = data.draw(keys_of(left, "ab") | keys_of(right, "ab"))
        every = readings(left, key) + readings(right, key)
        matches = []
        with contextlib.suppress(AmbiguousKey):
            matches = [values for values in (each.match(key) for each in found.live) if values]
        assert matches == (every if len(every) == 1 else [])


# --- the pair's path --------------------------------------------------------------------------------

path_value = awkward | value | st.sampled_from(["a/b", ".", "..", "%2E", "~", "~" + "0" * 64, "x" * 500])


@st.composite
def two_pairs(draw: st.DrawFn) -> tuple[Pair, Pair]:
    """Two pairs of the same templates, so with as many values each."""
    count = draw(st.integers(1, 3))
    left, right = (draw(st.lists(path_value, min_size=count, max_size=count)) for _ in range(2))
    return values_pair(*left), values_pair(*right)


@given(two_pairs())
def test_two_pairs_never_share_a_path(pairs: tuple[Pair, Pair]) -> None:
    """What is kept for one person is never found, or erased, under another one's path; nor below it."""
    left, right = pairs
    assert (left.path == right.path) == (left.values == right.values)
    assert left.values == right.values or not (left.path + "/").startswith(right.path + "/")


@given(st.lists(path_value, min_size=1, max_size=3))
def test_a_path_is_safe_in_a_url_and_short_enough(values: list[str]) -> None:
    """Only characters that need no escape, no segment that HTTP clients would fold, bounded in length."""
    path = values_pair(*values).path
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+(/[A-Za-z0-9_.~%-]+)*", path)
    assert not any(set(segment) == {"."} for segment in path.split("/"))
    assert len(path.encode()) <= MAX_PATH
    link = "https://state.example/claims/" + path.replace("%", "%25")
    assert parse_url(link).url == link


@pytest.mark.parametrize(
    ("values", "path"),
    [
        (("42",), "42"),
        (("ann", "3"), "ann/3"),
        (("a/b",), "a%2Fb"),
        (("a b+c%",), "a%20b%2Bc%25"),
        (("张",), "%E5%BC%A0"),
        ((".",), "%2E"),
        (("..",), "%2E%2E"),
        (("a..b",), "a..b"),
        (("~",), "%7E"),
    ],
)
def test_a_path_can_be_read_by_people(values: tuple[str, ...], path: str) -> None:
    """Ordinary values stand there as they are; the rest is percent-encoded UTF-8, dots-only values too."""
    assert values_pair(*values).path == path


def test_long_values_that_begin_alike_have_different_paths() -> None:
    """The digest is of all of them."""
    paths = {values_pair(*values).path for values in (["x" * 800 + "a"], ["x" * 800 + "b"], ["x" * 801])}
    assert len(paths) == 3


def test_a_path_that_is_too_long_becomes_a_digest() -> None:
    """400 bytes are kept as they are; one more and it is `~` and 64 hex digits, a shape no other path has."""
    assert values_pair("x" * MAX_PATH).path == "x" * MAX_PATH
    assert re.fullmatch(r"~[0-9a-f]{64}", values_pair("x" * (MAX_PATH + 1)).path)


# --- LIVE_KEY and IMAGE_KEY together ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "image", "says"),
    [
        ("u/{id}.gz", "u/{id}.gz", "LIVE_KEY, IMAGE_KEY: 'u/{id}.gz' and 'u/{id}.gz' can yield the same key"),
        ("u/{a}/{b}", "u/{a}/x", "LIVE_KEY, IMAGE_KEY: 'u/{a}/{b}' and 'u/{a}/x' can yield the same key"),
        ("u/{a}.gz,u/x{a}.gz", "i/{a}", "'u/{a}.gz' and 'u/x{a}.gz' can yield the same key"),
        ("u/{id}.gz", "i/{other}.jpg", "IMAGE_KEY: placeholder {other} is not in LIVE_KEY"),
        ("u/{id}.gz", "i/{id}/{x}.jpg", "IMAGE_KEY: placeholder {x} is not in LIVE_KEY"),
        ("u/{a}.gz,u/{b}.tgz", "i/{a}.jpg", "LIVE_KEY: the alternatives 'u/{a}.gz' and 'u/{b}.tgz'"),
        ("u/{a}/{b}.gz", "i/{a}.jpg,j/{b}.jpg", "IMAGE_KEY: the alternatives 'i/{a}.jpg' and 'j/{b}.jpg'"),
        ("u/{a}.gz,", "i/{a}.jpg", "LIVE_KEY: an alternative between commas is empty"),
        ("u/{a}.gz", " , ", "IMAGE_KEY: an alternative between commas is empty"),
        ("live.gz", "i/{a}.jpg", "LIVE_KEY: 'live.gz' holds no placeholder"),
    ],
)
def test_templates_that_cannot_work_together_are_refused(live: str, image: str, says: str) -> None:
    """The fault begins with the setting's name and quotes the templates that disagree."""
    assert any(says in fault for fault in faults_of(live, image))


@pytest.mark.parametrize(
    ("state", "live", "refused"),
    [
        ("livepair/", "livepair/{id}.gz", True),
        ("livepair/", "livepair/records/{id}.gz", True),
        ("livepair/", "live{id}.gz", True),
        ("a/b/", "a/{id}/x.gz", True),
        ("livepair/", "lives/{id}.gz", False),
    ],
)
def test_uploads_and_state_never_lie_in_one_another(state: str, live: str, refused: bool) -> None:
    """A template that can yield a state key would let uploads be taken for state, and state for uploads."""
    found, faults = parse_templates(live, "images/{id}.jpg", state)
    assert (found is None) is refused
    assert all(
        fault.startswith(f"LIVE_KEY: {live!r} reaches into STATE_PREFIX {state!r}") for fault in faults
    )


@given(any_templates(), st.sampled_from(["a/", "b/", "aa/", "b/a/"]))
def test_no_key_of_an_accepted_template_lies_under_the_state_prefix(text: str, state: str) -> None:
    """Compared with every key there is over a small alphabet."""
    found, _ = parse_templates(text, "images/" + "".join(re.findall(r"\{.\}", text)), state)
    if found is not None:
        under = [key for key in KEYS if key.startswith(state)]
        assert not any(outcome_of(found.live[0], key) for key in under)


def test_all_faults_of_both_settings_are_named() -> None:
    """One run tells about each alternative of either setting."""
    faults = faults_of("live.gz,u/{a-b}.gz,/x/{id}", "livepair/{id}.jpg,,{id}.png")
    assert len(faults) == 6
    assert [fault.split(":")[0] for fault in faults] == ["LIVE_KEY"] * 3 + ["IMAGE_KEY"] * 3


def test_a_fault_of_one_template_hides_none_between_the_two() -> None:
    """A template inside the state prefix and a placeholder that LIVE_KEY has not are told together."""
    faults = " ".join(faults_of("livepair/{id}.gz", "i/{other}.jpg"))
    assert "reaches into STATE_PREFIX" in faults
    assert "{other} is not in LIVE_KEY" in faults


def test_what_can_be_read_is_compared_beside_what_cannot() -> None:
    """An alternative that is no template hides neither its neighbours' faults nor makes up any."""
    assert faults_of("u/{id}.gz,live.gz", "u/{id}.gz,{id}") == [
        "LIVE_KEY: 'live.gz' holds no placeholder; write for example uploads/{id}/live.gz",
        "IMAGE_KEY: '{id}' must begin with a fixed prefix (no placeholder, no /), like uploads/{id}/live.gz",
        "LIVE_KEY, IMAGE_KEY: 'u/{id}.gz' and 'u/{id}.gz' can yield the same key; "
        "make them differ in a fixed part",
    ]
    assert len(faults_of("live.gz", "i/{other}.jpg")) == len(faults_of("u/{id}.gz", "image.jpg")) == 1


def test_a_state_prefix_that_is_not_known_blames_no_template() -> None:
    """It has a fault of its own then; everything else about the templates is told all the same."""
    found, faults = parse_templates("livepair/{id}.gz", "images/{id}.jpg", None)
    assert found is not None
    assert faults == []
    assert len(faults_of("live.gz", "livepair/{id}.jpg", None)) == 1


@given(
    st.text(st.sampled_from("ab{}/,xy "), max_size=16),
    st.text(st.sampled_from("ab{}/,xy "), max_size=16),
    st.sampled_from(["livepair/", "a/", "b/a/", None]),
)
def test_any_two_texts_are_templates_or_faults(live: str, image: str, state: str | None) -> None:
    """There are templates or there are faults, never both and never neither."""
    found, faults = parse_templates(live, image, state)
    assert (found is None) == bool(faults)


# --- what the errors say ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("u/{id/x", "has a brace without its partner"),
        ("u/{a-b}/x", ": {a-b} is no placeholder; name it with letters, digits and _, like {id}"),
        ("u/{é}/x", ": {é} is no placeholder; name it with letters, digits and _, like {id}"),
        ("u/x", "holds no placeholder; write for example uploads/{id}/live.gz"),
        ("{id}", "must begin with a fixed prefix (no placeholder, no /), like uploads/{id}/live.gz"),
        ("/u/{id}", "must begin with a fixed prefix (no placeholder, no /), like uploads/{id}/live.gz"),
        ("u/{id}/", "names no object: it ends with / or has a segment of dots"),
        ("u/./{id}", "names no object: it ends with / or has a segment of dots"),
        ("u/../{id}", "names no object: it ends with / or has a segment of dots"),
        ("u/{a}{a}", "has a placeholder twice in one segment; keep one of them"),
    ],
)
def test_a_template_that_cannot_be_used_says_what_to_write(text: str, says: str) -> None:
    """Word for word: whoever deploys reads it."""
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert str(caught.value) == f"{text!r}{says if says[0] == ':' else ' ' + says}"


@pytest.mark.parametrize(
    ("live", "image", "says"),
    [
        ("a/{i},", "b/{i}", "LIVE_KEY: an alternative between commas is empty"),
        ("a/x", "b/{i}", "LIVE_KEY: 'a/x' holds no placeholder; write for example uploads/{id}/live.gz"),
        (
            "livepair/{i}",
            "b/{i}",
            "LIVE_KEY: 'livepair/{i}' reaches into STATE_PREFIX 'livepair/'; "
            "keep uploads and state under different prefixes",
        ),
        (
            "a/{i},c/{j}",
            "b/{i}",
            "LIVE_KEY: the alternatives 'a/{i}' and 'c/{j}' name different placeholders; "
            "give all the same ones",
        ),
        (
            "a/{i}",
            "b/{z}/{j}",
            "IMAGE_KEY: placeholder {j} is not in LIVE_KEY; "
            "IMAGE_KEY names LIVE_KEY's placeholders or some of them",
        ),
        (
            "a/{i}",
            "a/{i}.jpg",
            "LIVE_KEY, IMAGE_KEY: 'a/{i}' and 'a/{i}.jpg' can yield the same key; "
            "make them differ in a fixed part",
        ),
    ],
)
def test_templates_that_do_not_go_together_say_why(live: str, image: str, says: str) -> None:
    """Word for word."""
    assert faults_of(live, image) == [says]


def test_an_upload_without_a_certain_partner_says_how_that_comes() -> None:
    """And how the templates should have been."""
    found = templates("v/{a}/{b}.gz", "u/{a}-{b}.jpg")
    with pytest.raises(AmbiguousKey) as caught:
        found.match("v/x/y-z.gz")
    assert str(caught.value) == (
        "the upload 'v/x/y-z.gz' has no certain partner: 'u/x-y-z.jpg' has two readings by the template "
        "'u/{a}-{b}.jpg': as {'b': 'z', 'a': 'x-y'} and as {'a': 'x', 'b': 'y-z'}. "
        "Separate placeholders by a character that no value holds, best by /"
    )


@pytest.mark.parametrize(
    ("value", "path"), [("X.", "X."), ("..", "%2E%2E"), (".", "%2E"), ("a.b", "a.b"), ("~x", "%7Ex")]
)
def test_only_values_of_dots_have_their_dots_encoded(value: str, path: str) -> None:
    """HTTP clients fold these alone."""
    assert Pair((("id", value),), (), (), shared=False).path == path


# --- in errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("uploads/é 1/live.gz", "uploads/é 1/live.gz"),
        ("a\\n", "a\\n"),
        ("a\nb\x1b[2J\x9b", r"a\nb\x1b[2J\x9b"),
        ("\u202eé\ud800", r"\u202eé\ud800"),
        (7, "7"),
        ("", ""),
    ],
)
def test_what_could_command_a_terminal_is_spelled_out(text: object, shown: str) -> None:
    """And nothing else is changed."""
    assert plain(text) == shown
