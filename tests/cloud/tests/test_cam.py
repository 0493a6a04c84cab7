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
        policy({**statement("*"), "condition": {"string_equal": {"cos:prefix": "uploads/"}}}),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(broken: dict[str, Any]) -> None:
    """Conditions too: what cannot be judged here must not look tested."""
    with pytest.raises(PolicyError):
        allowed_by(broken)


def test_the_actions_of_a_policy_can_be_gone_through() -> None:
    """With the number of their statement, in order."""
    found = actions(policy(statement(["a:B", "a:C"]), statement("d:E")))
    assert list(found) == [(0, "a:B"), (0, "a:C"), (1, "d:E")]
