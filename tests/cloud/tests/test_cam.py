"""Policies of CAM on the local cloud: what they allow is done, all else is refused."""

from typing import Any

import pytest

from tests.cloud.cam import KNOWN, PolicyError, actions, allowed_by
from tests.cloud.faults import Operation

BUCKET, REGION = "faces-1250000000", "ap-singapore"
HERE = f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}/"


def statement(action: Any, resource: Any = "*", effect: str = "allow") -> dict[str, Any]:
    return {"effect": effect, "action": action, "resource": resource}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"version": "2.0", "statement": list(statements)}


def cos(name: str, key: str = "", bucket: str = BUCKET, region: str = REGION) -> Operation:
    return Operation("cos", name, bucket, key, region)


def test_what_no_statement_allows_is_denied() -> None:
    """By action and by resource."""
    allowed = allowed_by(policy(statement("name/cos:GetObject", f"{HERE}uploads/*")))
    assert allowed(cos("GetObject", "uploads/42/live.gz"))
    assert not allowed(cos("PutObject", "uploads/42/live.gz"))
    assert not allowed(cos("GetObject", "other/42/live.gz"))
    assert not allowed(cos("GetObject", "uploads/42/live.gz", bucket="faces-1250000001"))
    assert not allowed(cos("GetObject", "uploads/42/live.gz", region="ap-hongkong"))
    assert not allowed(Operation("faceid", "CreateUploadUrl"))


def test_what_a_statement_denies_no_other_allows() -> None:
    """In either order."""
    allow = statement("cos:*", "*")
    deny = statement("name/cos:PutObject", f"{HERE}uploads/*", "deny")
    for both in (policy(allow, deny), policy(deny, allow)):
        assert not allowed_by(both)(cos("PutObject", "uploads/1"))
        assert allowed_by(both)(cos("PutObject", "livepair/1"))
    assert not allowed_by(policy(deny))(cos("GetObject", "uploads/1"))


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("name/cos:GetObject", {"GetObject"}),
        ("cos:GetObject", {"GetObject"}),
        ("name/cos:Get*", {"GetObject", "GetBucket", "GetBucketVersioning"}),
        ("cos:*Object", {"GetObject", "PutObject", "HeadObject"}),
        ("*", {"GetObject", "PutObject", "HeadObject", "GetBucket", "GetBucketVersioning"}),
        ("name/cos:getobject", set()),
        ("faceid:GetObject", set()),
        (["cos:GetBucket", "cos:PutObject"], {"GetBucket", "PutObject"}),
    ],
)
def test_actions_are_named_with_wildcards_and_their_case(action: Any, names: set[str]) -> None:
    """With `name/` before the service or without it; one or a list."""
    allowed = allowed_by(policy(statement(action)))
    tried = {"GetObject", "PutObject", "HeadObject", "GetBucket", "GetBucketVersioning"}
    assert {name for name in tried if allowed(cos(name, "k"))} == names


@pytest.mark.parametrize(
    ("resource", "holds"),
    [
        ("*", True),
        (f"{HERE}*", True),
        (f"{HERE}uploads/*", True),
        (f"{HERE}uploads/*/live.gz", True),
        (f"{HERE}uploads/42/live.gz", True),
        (["qcs::cos:::other-1/*", f"{HERE}uploads/*"], True),
        (f"qcs::cos::uid/1250000000:{BUCKET}/*", True),
        (f"qcs::cos:{REGION}::{BUCKET}/*", True),
        ("qcs::cos:ap-*:uid/*:*", True),
        (f"{HERE}uploads/42", False),
        (f"{HERE}uploads/*/image.jpg", False),
        (f"{HERE}UPLOADS/*", False),
        (f"qcs::cos:ap-bangkok:uid/1250000000:{BUCKET}/*", False),
        (f"qcs::cos:{REGION}:uid/1250000001:{BUCKET}/*", False),
        (f"qcs::cos:{REGION}:uid/1250000000:{BUCKET}", False),
        (f"qcs::faceid:{REGION}:uid/1250000000:{BUCKET}/*", False),
    ],
)
def test_resources_are_bucket_and_key_of_an_account_in_a_region(resource: Any, holds: bool) -> None:
    """Six segments; an empty region or account is any; a star stands for any text, slashes too."""
    allowed = allowed_by(policy(statement("cos:GetObject", resource)))
    assert allowed(cos("GetObject", "uploads/42/live.gz")) is holds


CLASS, LENGTH = "cos:x-cos-storage-class", "cos:content-length"


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "sent", "met"),
    [
        # The table of page 71306, and the same with the other operators.
        ("string_equal", CLASS, "STANDARD", None, False),
        ("string_equal_if_exist", CLASS, "STANDARD", None, True),
        ("string_equal", CLASS, "STANDARD", "STANDARD", True),
        ("string_equal_if_exist", CLASS, "STANDARD", "STANDARD", True),
        ("string_equal", CLASS, "STANDARD", "ARCHIVE", False),
        ("string_equal_if_exist", CLASS, "STANDARD", "ARCHIVE", False),
        ("string_equal", CLASS, "STANDARD", "standard", False),
        ("string_equal", CLASS, ["STANDARD", "MAZ_STANDARD"], "MAZ_STANDARD", True),
        ("string_not_equal", CLASS, "ARCHIVE", "STANDARD", True),
        ("string_not_equal", CLASS, "ARCHIVE", "ARCHIVE", False),
        ("string_not_equal", CLASS, "ARCHIVE", None, False),
        ("string_like", CLASS, "MAZ_*", "MAZ_STANDARD", True),
        ("string_like", CLASS, "MAZ_*", "STANDARD", False),
        ("numeric_less_than_equal", LENGTH, 10, "10", True),
        ("numeric_less_than_equal", LENGTH, 10, "9", True),
        ("numeric_less_than_equal", LENGTH, 10, "11", False),
        ("numeric_less_than_equal", LENGTH, 10, None, False),
        ("numeric_less_than_equal_if_exist", LENGTH, 10, None, True),
        ("numeric_less_than_equal", LENGTH, 10, "ten", False),
        ("numeric_less_than", LENGTH, 10, "10", False),
        ("numeric_greater_than", LENGTH, 10, "11", True),
        ("numeric_greater_than_equal", LENGTH, 10, "10", True),
        ("numeric_equal", LENGTH, 10, "010", True),
        ("numeric_not_equal", LENGTH, 10, "10", False),
    ],
)
def test_conditions_are_met_by_what_a_request_sends(
    operator: str, key: str, wanted: Any, sent: str | None, met: bool
) -> None:
    """Texts with their case, numbers as numbers; what is not sent meets only what says `_if_exist`."""
    asked = Operation("cos", "PutObject", BUCKET, "k", REGION, {} if sent is None else {key: sent})
    conditioned = {**statement("cos:PutObject"), "condition": {operator: {key: wanted}}}
    assert allowed_by(policy(conditioned))(asked) is met
    denied = {**conditioned, "effect": "deny"}
    assert allowed_by(policy(statement("*"), denied))(asked) is not met


def test_all_conditions_of_a_statement_have_to_be_met() -> None:
    """Of different operators, and of different keys of one."""
    conditions = {
        "string_equal_if_exist": {CLASS: "STANDARD", "cos:x-cos-acl": "private"},
        "numeric_less_than": {LENGTH: 10},
    }
    allowed = allowed_by(policy({**statement("cos:PutObject"), "condition": conditions}))

    def asks(**sent: str) -> bool:
        shown = {f"cos:{name.replace('_', '-')}": value for name, value in sent.items()}
        return allowed(Operation("cos", "PutObject", BUCKET, "k", REGION, shown))

    assert asks(content_length="9")
    assert asks(content_length="9", x_cos_storage_class="STANDARD", x_cos_acl="private")
    assert not asks(content_length="10")
    assert not asks(content_length="9", x_cos_storage_class="ARCHIVE")
    assert not asks(content_length="9", x_cos_acl="public-read")


@pytest.mark.parametrize(
    "condition",
    [
        {"string_equal": {"cos:prefix": "uploads/"}},
        {"ip_equal": {"qcs:ip": "10.0.0.1"}},
        {"string_equals": {CLASS: "STANDARD"}},
        {"if_exist": {CLASS: "STANDARD"}},
        {"string_equal": {LENGTH: 10}},
        {"numeric_equal": {LENGTH: "10"}},
        {"numeric_equal": {LENGTH: True}},
        {"string_equal": {CLASS: []}},
    ],
)
def test_a_condition_that_is_not_played_is_refused(condition: dict[str, Any]) -> None:
    """So that no test passes by a condition nobody has looked at."""
    with pytest.raises(PolicyError):
        allowed_by(policy({**statement("cos:PutObject"), "condition": condition}))


@pytest.mark.parametrize("name", ["GetBucket", "GetBucketObjectVersions", "ListMultipartUploads"])
def test_what_lists_is_limited_by_the_prefix_it_lists(name: str) -> None:
    """The whole bucket is more than was allowed."""
    allowed = allowed_by(policy(statement(f"cos:{name}", f"{HERE}uploads/*")))
    assert allowed(cos(name, "uploads/"))
    assert allowed(cos(name, "uploads/42/"))
    assert not allowed(cos(name, ""))
    assert not allowed(cos(name, "uploads"))


def test_what_is_about_the_bucket_needs_all_of_it() -> None:
    """Versioning and lifecycle belong to no prefix."""
    for name in ("GetBucketVersioning", "GetBucketLifecycle", "HeadBucket"):
        assert allowed_by(policy(statement(f"cos:{name}", f"{HERE}*")))(cos(name))
        assert not allowed_by(policy(statement(f"cos:{name}", f"{HERE}uploads/*")))(cos(name))


def test_a_copy_is_a_write_of_its_target() -> None:
    """Page 31923; its source is asked for as GetObject."""
    assert allowed_by(policy(statement("cos:PutObject", f"{HERE}*")))(cos("PutObjectCopy", "k"))
    assert not allowed_by(policy(statement("cos:GetObject", f"{HERE}*")))(cos("PutObjectCopy", "k"))


def test_faceid_knows_no_resources() -> None:
    """Page 98136: limited to one, it is not allowed at all."""
    compare = Operation("faceid", "DetectReflectLivenessAndCompare")
    assert allowed_by(policy(statement("faceid:DetectReflectLivenessAndCompare")))(compare)
    limited = statement("faceid:DetectReflectLivenessAndCompare", "qcs::faceid:::*")
    assert not allowed_by(policy(limited))(compare)


def test_the_function_platform_is_limited_by_the_functions_name() -> None:
    """`namespace/default/function/` and the name."""
    named = "qcs::scf:ap-singapore:uin/*:namespace/default/function/livepair"
    allowed = allowed_by(policy(statement(["scf:GetFunction", "scf:ListTriggers"], named)))
    assert allowed(Operation("scf", "ListTriggers", key="livepair", region=REGION))
    assert not allowed(Operation("scf", "ListTriggers", key="other", region=REGION))


@pytest.mark.parametrize(
    "operation",
    [
        cos("Unknown"),
        cos("GetBucketACL"),
        cos(""),
        Operation("faceid", "GetFaceIdResult"),
        Operation("scf", "DeleteFunction"),
        Operation("sts", "AssumeRole"),
        Operation("", ""),
    ],
)
def test_what_is_not_played_is_refused_whatever_the_policy_says(operation: Operation) -> None:
    """So that no test passes by an operation nobody has looked at."""
    assert not allowed_by(policy(statement("*")))(operation)


def test_everything_that_is_played_can_be_allowed() -> None:
    """No operation of the local cloud is missing here."""
    allowed = allowed_by(policy(statement("*")))
    assert all(allowed(Operation(service, name)) for service, names in KNOWN.items() for name in names)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": "1.0", "statement": []},
        {"version": "2.0", "statement": []},
        {"version": "2.0", "statement": [], "principal": {}},
        policy({"effect": "allow", "action": "*"}),
        policy(statement("*", effect="Allow")),
        policy(statement([])),
        policy(statement("GetObject")),
        policy(statement("cos:GetObject", "faces-1250000000/*")),
        policy(statement("cos:GetObject", "qcs::cos:ap-singapore:uid/1250000000:")),
        policy(statement("cos:GetObject", "qcs:1:cos:ap-singapore:uid/1250000000:x")),
        policy({**statement("*"), "principal": {"qcs": []}}),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(broken: dict[str, Any]) -> None:
    """What cannot be judged here must not look tested."""
    with pytest.raises(PolicyError):
        allowed_by(broken)


def test_the_actions_of_a_policy_can_be_gone_through() -> None:
    """With the number of their statement, in order."""
    found = actions(policy(statement(["a:B", "a:C"]), statement("d:E")))
    assert list(found) == [(0, "a:B"), (0, "a:C"), (1, "d:E")]
