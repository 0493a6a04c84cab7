"""events/types/livepair.go: the messages as structs, told apart by a type switch over their data."""

from __future__ import annotations

from tests.derive.contract import derive, pascal
from tests.derive.fields import MADE, TAKES, Field, flat, words

KINDS = {
    "text": "string",
    "time": "time.Time",
    "whole": "int64",
    "number": "float64",
    "texts": "map[string]string",
    "any": "Data",
}

MESSAGE = """
// Data is what a message tells: a pointer to one of the structs below, or *Unknown.
type Data interface{ data() }

// Unknown is the data of a type that came after this file: answer 2xx, and leave it.
type Unknown struct{ JSON json.RawMessage }

func (*Unknown) data() {}

// UnmarshalJSON reads a message of any type; fields that are not known are left out.
func (m *Message) UnmarshalJSON(body []byte) error {
	type envelope Message
	read := struct {
		*envelope
		Data json.RawMessage `json:"data"`
	}{envelope: (*envelope)(m)}
	if err := json.Unmarshal(body, &read); err != nil {
		return err
	}
	switch m.Type {
%s
	default:
		m.Data = &Unknown{read.Data}
		return nil
	}
	return json.Unmarshal(read.Data, m.Data)
}
"""


def module() -> str:
    derived = derive()
    head = [f"// Package livepair has {TAKES}", f"// {MADE}"]
    parts = ["\n//\n".join("\n".join(words(each[3:], 110, "// ")) for each in head), "\npackage livepair\n"]
    parts.append('\nimport (\n\t"encoding/json"\n\t"time"\n)\n')
    for name, values in derived.lists.items():
        width = max(len(name + pascal(value)) for value in values)
        consts = [f'\t{name + pascal(value):{width}} {name} = "{value}"\n' for value in values]
        parts.append(
            f"\n// {name} is one of a closed list.\ntype {name} string\n\nconst (\n{''.join(consts)})\n"
        )
    shapes = flat(derived)
    told = {name.removesuffix("Message"): type_ for type_, (name, _) in derived.messages.items()}
    every = [{_row(field) for field in found} for name, found in shapes.items() if len(found) > 7]
    common = set.intersection(*every)
    for name, found in shapes.items():
        rows = [field for field in found if name not in told or _row(field) not in common]
        if name == "Verification":
            rows = [field for field in found if _row(field) in common]
        own = {"Envelope": "Message", "Api": "API"}.get(name, name)
        embedded = "\tVerification\n" if len(found) != len(rows) and name in told else ""
        says = "\n".join(words(f"{own}: {derived.shapes.get(name, {}).get('description', '')}", 110, "// "))
        if name in told:
            says = f"// {own} is the data of {told[name]}."
        parts.append(f"\n{says}\ntype {own} struct {{\n{embedded}{_rows(rows, name in told)}}}\n")
        if name in told:
            parts.append(f"\nfunc (*{own}) data() {{}}\n")
        if name == "Envelope":
            cases = [f'\tcase "{type_}":\n\t\tm.Data = &{each}{{}}' for each, type_ in told.items()]
            parts.append(MESSAGE % "\n".join(cases))
    return "".join(parts)


def name_of(field: str) -> str:
    """As Go spells it: what is short for something is in capitals."""
    return "".join(
        part.upper() if part in ("api", "id", "md5") else part.title() for part in field.split("_")
    )


def _row(field: Field) -> tuple[str, str, str]:
    kind = KINDS.get(field.kind) or field.shapes[0].replace("Api", "API")
    if field.values:
        kind = pascal(field.name)
    pointer = "*" if field.nullable else ""
    return name_of(field.name), f"{pointer}{kind}", f'`json:"{field.name}{",omitempty" * field.optional}"`'


def _rows(found: list[Field], bare: bool) -> str:
    """The fields; as gofmt lays them out, those without comments between them in columns."""
    rows = [_row(field) for field in found]
    if not bare:
        return "".join(
            "".join(f"{line}\n" for line in words(field.says, 106, "\t// ")) + f"\t{' '.join(row)}\n"
            for field, row in zip(found, rows, strict=True)
        )
    widths = [max(len(row[n]) for row in rows) for n in (0, 1)]
    return "".join(f"\t{row[0]:{widths[0]}} {row[1]:{widths[1]}} {row[2]}\n" for row in rows)
