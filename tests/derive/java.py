"""events/types/Livepair.java: the messages as records, read from the maps that any JSON library makes."""

from __future__ import annotations

from tests.derive.contract import derive
from tests.derive.fields import MADE, TAKES, Field, flat, words

KINDS = {
    "text": "String",
    "time": "Instant",
    "whole": "long",
    "number": "double",
    "texts": "Map<String, String>",
    "any": "Data",
}

HEAD = """\
import java.time.Instant;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
%s
 */
public final class Livepair {
  private Livepair() {}

  /**
   * A message. Read the verified body as a map, with any JSON library, and the map with {@link #of}; tell the
   * data apart with instanceof, or with a switch from Java 21 on.
   */
  public record Message(%s) {
    public static Message of(Map<?, ?> json) {
      Map<?, ?> data = (Map<?, ?>) given(json, "data");
      String type = text(json, "type");
      return new Message(
          %s,
          switch (type) {
%s
            default -> new Unknown(data);
          });
    }
  }

  /** What a message tells: one of the records below. */
  public sealed interface Data permits Verification, %sUnknown {}

  /** The data of a type that came after this file: answer 2xx, and leave it. */
  public record Unknown(Map<?, ?> json) implements Data {}

  /** %s */
  public sealed interface Verification extends Data permits %s {
%s  }
"""

TAIL = """
  private static Object given(Map<?, ?> json, String name) {
    Object value = json.get(name);
    if (value == null) throw new IllegalArgumentException("expected " + name + ", found nothing");
    return value;
  }

  private static Map<?, ?> object(Map<?, ?> json, String name) {
    return (Map<?, ?>) json.get(name);
  }

  private static String text(Map<?, ?> json, String name) {
    return (String) given(json, name);
  }

  private static Map<String, String> texts(Map<?, ?> json, String name) {
    Map<String, String> found = new HashMap<>();
    object(json, name).forEach((key, value) -> found.put((String) key, (String) value));
    return found;
  }

  private static <T extends Enum<T>> T one(Class<T> list, Map<?, ?> json, String name) {
    return Enum.valueOf(list, text(json, name).toUpperCase(Locale.ROOT));
  }
}
"""


def module() -> str:
    derived = derive()
    shapes = flat(derived)
    told = {name.removesuffix("Message"): type_ for type_, (name, _) in derived.messages.items()}
    outcomes = [name for name in told if len(shapes[name]) > 7]
    others = [name for name in told if name not in outcomes]
    common = [
        field
        for field in shapes["Verification"]
        if all(_component(field) in map(_component, shapes[name]) for name in outcomes)
    ]
    getters = "\n".join(f"{_says(field.says, 4)}    {_component(field)}();\n" for field in common)
    envelope = shapes["Envelope"]
    head = HEAD % (
        "\n *\n".join("\n".join(words(text, 108, " * ")) for text in (TAKES, MADE)),
        ", ".join(_component(field) for field in envelope),
        ",\n          ".join(_read(field) for field in envelope[:-1]),
        "\n".join(f'            case "{type_}" -> {name}.of(data);' for name, type_ in told.items()),
        "".join(f"{name}, " for name in others),
        derived.shapes["Verification"]["description"],
        ", ".join(outcomes),
        getters,
    )
    parts = [head]
    for name, values in derived.lists.items():
        rows = "".join(f"    {value.upper()},\n" for value in values)
        parts.append(f"\n  public enum {name} {{\n{rows.removesuffix(',' + chr(10))}\n  }}\n")
    for name, found in shapes.items():
        if name not in ("Envelope", "Verification"):
            of = "Verification" if name in outcomes else "Data" if name in told else None
            says = f"The data of {told[name]}." if name in told else derived.shapes[name]["description"]
            parts.append(_record(name, found, says, of))
    return "".join([*parts, TAIL])


def _record(name: str, found: list[Field], says: str, implements: str | None) -> str:
    components = ",\n".join(
        _says(field.says, 6) * (implements != "Verification") + f"      {_component(field)}"
        for field in found
    )
    values = ",\n".join(f"          {_read(field)}" for field in found)
    kind = f"\n      implements {implements} " if implements else " "
    return f"""
  /** {says} */
  public record {name}(
{components}){kind}{{
    static {name} of(Map<?, ?> json) {{
      if (json == null) return null;
      return new {name}(
{values});
    }}
  }}
"""


def _says(text: str, indent: int) -> str:
    space = " " * indent
    if len(text) + indent <= 104:
        return f"{space}/** {text} */\n"
    return (
        f"{space}/**\n" + "".join(f"{line}\n" for line in words(text, 108, f"{space} * ")) + f"{space} */\n"
    )


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _component(field: Field) -> str:
    kind = KINDS.get(field.kind) or field.shapes[0]
    if field.values:
        kind = field.name.title()
    boxed = {"double": "Double", "long": "Long"}
    return f"{boxed.get(kind, kind) if field.nullable else kind} {_camel(field.name)}"


def _read(field: Field) -> str:
    read = {
        "text": f'text(json, "{field.name}")',
        "time": f'Instant.parse(text(json, "{field.name}"))',
        "whole": f'((Number) given(json, "{field.name}")).longValue()',
        "number": f'((Number) given(json, "{field.name}")).doubleValue()',
        "texts": f'texts(json, "{field.name}")',
    }.get(field.kind)
    if read is None:
        json = (
            f'object(json, "{field.name}")' if field.nullable else f'(Map<?, ?>) given(json, "{field.name}")'
        )
        read = f"{field.shapes[0]}.of({json})"
    if field.values:
        read = f'one({field.name.title()}.class, json, "{field.name}")'
    if (field.nullable or field.optional) and field.kind != "shape":
        return f'json.get("{field.name}") == null ? null : {read}'
    return read
