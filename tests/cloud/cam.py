"""What an account may do, by a policy of Cloud Access Management (CAM).

The language is that of product 598, page 10603; which operations can be limited to resources stands
on page 69901 for COS, where listing is limited by the prefix that is listed, and on page 98136 for
faceid, none of whose are: with anything but `*` they are not allowed. Conditions are those of COS on texts
and numbers (product 436, page 71306). Played is what policies of this project use: statements with effect,
action, resource and condition. A policy with anything else is refused, so that nobody takes it for tested.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from tests.cloud.cls_api import PARAMETERS as CLS
from tests.cloud.cos import BUCKET_OPERATIONS, CONDITIONS, OBJECT_OPERATIONS
from tests.cloud.faceid import PARAMETERS as FACEID
from tests.cloud.proxy import Operation
from tests.cloud.scf_api import PARAMETERS as SCF
from tests.cloud.scf_api import UIN

COPIES = {"PutObjectCopy": "PutObject"}
"""Requests whose permission has another name (product 436, page 31923); the source is asked for too."""

COS = frozenset(
    name for table in (*BUCKET_OPERATIONS.values(), *OBJECT_OPERATIONS.values()) for name in table.values()
)
KNOWN = {
    "cos": COS | COPIES.keys(),
    "faceid": frozenset(FACEID),
    "scf": frozenset(SCF),
    "cls": frozenset(CLS),
}
"""The operations that are judged; all others are refused, whatever a policy says."""


CONDITION_KEYS = frozenset(f"cos:{name}" for name in CONDITIONS)

NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "numeric_equal": operator.eq,
    "numeric_not_equal": operator.ne,
    "numeric_greater_than": operator.gt,
    "numeric_greater_than_equal": operator.ge,
    "numeric_less_than": operator.lt,
    "numeric_less_than_equal": operator.le,
}
"""What is asked of a header's number and of the policy's (page 71306)."""

TEXTS: dict[str, Callable[[str, str], bool]] = {
    "string_equal": operator.eq,
    "string_not_equal": operator.ne,
    "string_like": lambda sent, wanted: _pattern(wanted).fullmatch(sent) is not None,
}
"""The same of texts; case matters."""


class PolicyError(ValueError):
    """The policy cannot be used; the text says where it differs from what is expected."""


def allowed_by(policy: Mapping[str, Any]) -> Callable[[Operation], bool]:
    """Whether operations are allowed by a policy, as it stands in JSON. For `Account.allowed`.

    What a statement denies is denied; what none allows is denied too. Raises PolicyError.
    """
    if policy.keys() != {"version", "statement"} or policy["version"] != "2.0":
        raise PolicyError(f"expected version 2.0 and a statement, not {sorted(policy)}")
    statements = [_read(each) for each in _listed(policy["statement"])]

    def allowed(operation: Operation) -> bool:
        effects = {effect for effect, holds in statements if holds(operation)}
        return effects == {"allow"}

    return allowed


def actions(policy: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Every action of a policy, with the number of its statement."""
    for number, statement in enumerate(_listed(policy["statement"])):
        for action in _listed(statement["action"]):
            yield number, action


def _read(statement: Mapping[str, Any]) -> tuple[str, Callable[[Operation], bool]]:
    if statement.keys() - {"condition"} != {"effect", "action", "resource"}:
        raise PolicyError(f"expected effect, action and resource in a statement, not {sorted(statement)}")
    effect = statement["effect"]
    if effect not in ("allow", "deny"):
        raise PolicyError(f"an effect is allow or deny, not {effect!r}")
    wanted = [_action(each) for each in _listed(statement["action"])]
    resources = [_resource(each) for each in _listed(statement["resource"])]
    conditions = list(_conditions(statement.get("condition", {})))

    def holds(operation: Operation) -> bool:
        name = f"{operation.service}:{COPIES.get(operation.name, operation.name)}"
        return (
            operation.name in KNOWN.get(operation.service, ())
            and any(each.fullmatch(name) for each in wanted)
            and any(matches(operation) for matches in resources)
            and all(is_met(operation) for is_met in conditions)
        )

    return effect, holds


def _conditions(conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[Callable[[Operation], bool]]:
    """What a request has to show: all of it, of several values of a key any one.

    Where it does not show the key at all, only an operator with `_if_exist` is content.
    """
    for name, wanted in conditions.items():
        base = name.removesuffix("_if_exist")
        if base not in NUMBERS and base not in TEXTS:
            raise PolicyError(f"no operator of a condition that is played: {name!r}")
        for key, values in wanted.items():
            if key not in CONDITION_KEYS:
                raise PolicyError(f"no condition key of COS that is played: {key!r}")
            yield partial(_is_met, key, _compared(base, _listed(values)), name != base)


def _is_met(key: str, holds: Callable[[str], bool], may_be_absent: bool, operation: Operation) -> bool:
    sent = operation.conditions.get(key)
    return may_be_absent if sent is None else holds(sent)


def _compared(base: str, values: list[Any]) -> Callable[[str], bool]:
    """Whether what a request shows holds beside any of the values."""
    if base in TEXTS:
        if not all(isinstance(each, str) for each in values):
            raise PolicyError(f"{base} compares texts, not {values!r}")
        return lambda sent: any(TEXTS[base](sent, each) for each in values)
    if not all(type(each) is int for each in values):
        raise PolicyError(f"{base} compares whole numbers, not {values!r}")
    return lambda sent: sent.isdecimal() and any(NUMBERS[base](int(sent), each) for each in values)


def _action(text: str) -> re.Pattern[str]:
    """`name/cos:GetObject` is another way to write `cos:GetObject`. Case matters."""
    if text != "*" and not re.fullmatch(r"(name/)?[a-z]+:[A-Za-z*]+", text):
        raise PolicyError(f"no action: {text!r}; write name/cos:GetObject or faceid:CreateUploadUrl")
    return _pattern(text.removeprefix("name/"))


def _resource(text: str) -> Callable[[Operation], bool]:
    """What a resource covers: `*`, or six segments `qcs::service:region:account:resource`."""
    if text == "*":
        return lambda _: True
    segments = text.split(":", 5)
    if len(segments) != 6 or segments[:2] != ["qcs", ""] or not segments[5]:
        raise PolicyError(f"no resource: {text!r}; write qcs::cos:region:uid/appid:bucket-appid/key")
    service, region, account, path = (_pattern(each) for each in segments[2:])

    def matches(operation: Operation) -> bool:
        found = _described(operation)
        return found is not None and (
            service.fullmatch(operation.service) is not None
            and (not segments[3] or region.fullmatch(operation.region) is not None)
            and (not segments[4] or account.fullmatch(found[0]) is not None)
            and path.fullmatch(found[1]) is not None
        )

    return matches


def _described(operation: Operation) -> tuple[str, str] | None:
    """Account and resource of an operation; None where only `*` covers it, as all of faceid's."""
    if operation.service == "cos":
        appid = operation.bucket.rpartition("-")[2]
        return f"uid/{appid}", f"{operation.bucket}/{operation.key}"
    if operation.service == "scf":
        return f"uin/{UIN}", f"namespace/default/function/{operation.key}"
    return None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _listed(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    if not found:
        raise PolicyError("an empty list")
    return found
