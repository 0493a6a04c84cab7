"""`outcome` and the ten lines of examples/backend: how a program without a webhook hears what was decided."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from qcloud_cos import CosServiceError

from tests.cloud import Cloud, cam, samples
from tests.cloud.faults import Operation
from tests.support.harness import IMAGE, LIVE, Livepair
from tests.support.operator import Operator
from tests.support.project import PROJECT

BUCKET, STATE = "faces-1250000000", "faces-state-1250000000"
HEX = "0123456789abcdef" * 2
"""A pair's id that looks like a verification's."""

POLICY = json.loads((PROJECT / "handler" / "policy.reader.json").read_text(encoding="utf-8"))


@pytest.fixture
def deployed(configured: Callable[..., Livepair]) -> Livepair:
    """The function with a state bucket, as policies name it."""
    return configured(STATE_BUCKET=STATE)


@pytest.mark.parametrize(
    ("content", "outcome", "status"),
    [
        ({}, "matched", 0),
        ({"sim": 12.5}, "mismatched", 3),
        ({"error": "FailedOperation.ImageBlur"}, "rejected", 3),
    ],
)
def test_the_exit_status_says_how_it_ended(
    deployed: Livepair, operator: Operator, content: dict[str, Any], outcome: str, status: int
) -> None:
    """0 for a match alone; the rest is printed."""
    assert deployed.pair(samples.live(**content)) == [outcome]
    found = operator.json("outcome", "42", status=status)
    assert found["outcome"] == outcome
    assert found["similarity"] == (deployed.data["similarity"])
    assert found["verification"] == deployed.data["verification_id"]
    shown = operator("outcome", "42")
    assert (shown.exit_code, outcome in shown.stdout) == (status, True)


def test_what_is_not_decided_ends_with_another_status(deployed: Livepair, operator: Operator) -> None:
    """4, at once or after the wait: a script tells it from an error."""
    deployed.put(LIVE, samples.live())
    deployed.run()
    assert operator.json("outcome", "42", status=4) == {"outcome": None}
    assert operator.json("outcome", "42", "--wait", "30", status=4) == {"outcome": None}
    assert operator("outcome", "nobody").exit_code == 4


def test_it_waits_for_what_is_decided_meanwhile(deployed: Livepair, operator: Operator, cloud: Cloud) -> None:
    """It asks once a second, and answers with the first record that is there."""
    deployed.pair()
    state = cloud.cos.bucket(STATE)
    (key,) = state.keys(f"livepair/{BUCKET}/records/")
    record = state.get(key).data
    state.delete(key)
    looks = 0

    def allowed(operation: Operation) -> bool:
        nonlocal looks
        looks += operation.name == "GetBucket"
        if looks == 4 and key not in state:
            state.put(key, record)
        return True

    operator.use(cloud.temporary_credentials(allowed=allowed))
    assert operator.json("outcome", "42", "--wait", "30")["outcome"] == "matched"
    assert looks == 4


def test_a_pair_is_found_by_all_that_names_it(deployed: Livepair, operator: Operator) -> None:
    """Its id, a value with its name, a key, the verification, its message; an id of 32 hex digits too."""
    deployed.pair()
    which = deployed.data["verification_id"]
    for reference in ("42", "id=42", LIVE, IMAGE, which, f"msg_{which}"):
        assert operator.json("outcome", reference)["verification"] == which, reference
    deployed.put_pair(samples.live(seed=2), name=HEX)
    assert deployed.run() == ["matched"]
    assert operator.json("outcome", HEX)["verification"] == deployed.messages[-1]["data"]["verification_id"]
    assert "neither a verification's ID" in operator.error("outcome", "msg_none")
    assert "no record" in operator.error("outcome", f"msg_{HEX}")
    assert "no pair's key" in operator.error("outcome", "elsewhere/x")


def test_of_several_verifications_the_newest_uploads_count(deployed: Livepair, operator: Operator) -> None:
    """As for who receives the messages."""
    deployed.pair()
    deployed.cloud.clock.advance(60)
    deployed.put_pair(samples.live(seed=5, sim=12.5))
    assert deployed.run() == ["mismatched"]
    assert operator.json("outcome", "42", status=3)["outcome"] == "mismatched"


def test_a_record_that_is_not_ours_is_an_error(deployed: Livepair, operator: Operator, cloud: Cloud) -> None:
    """Who may write state and knows no secret makes no match: status 1, and nothing printed as an outcome."""
    deployed.pair(samples.live(sim=12.5))
    state = cloud.cos.bucket(STATE)
    (key,) = state.keys(f"livepair/{BUCKET}/records/")
    forged = json.loads(state.get(key).data)
    forged["decided"]["outcome"] = "matched"
    state.put(key, json.dumps(forged).encode())
    assert "seal" in operator.error("outcome", "42")


# --- with the keys of policy.reader.json ----------------------------------------------------------------


def reader(cloud: Cloud, policy: dict[str, Any] = POLICY) -> Any:
    return cloud.temporary_credentials(allowed=cam.allowed_by(policy))


def ten_lines(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any] = POLICY) -> Any:
    """The function as it is printed for who builds a backend, with a reader's keys."""
    text = (PROJECT / "examples" / "backend" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n((?:(?!```).)*?def outcome.*?)```", text, re.DOTALL)
    body = example[example.index("def outcome") :].strip()
    assert len([line for line in body.splitlines()[1:] if '"""' not in line]) <= 10
    monkeypatch.setenv("SECRET_ID", "AKIDfake")
    monkeypatch.setenv("SECRET_KEY", "fake-secret-key")
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 # the page's own example
    names["client"] = cloud.client(reader(cloud, policy))
    return names["outcome"]


def test_ten_lines_read_an_outcome(deployed: Livepair, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give the message that the webhook gets, of the newest uploads; None before there is one."""
    outcome = ten_lines(cloud, monkeypatch)
    assert outcome("42") is None
    deployed.pair()
    assert outcome("42") == deployed.messages[-1]
    deployed.cloud.clock.advance(60)
    deployed.put_pair(samples.live(seed=5, sim=12.5))
    deployed.run()
    assert outcome("42") == deployed.messages[-1]
    assert outcome("4") is None
    deployed.put_pair(samples.live(seed=6), name="张 三")
    deployed.run()
    assert outcome("张 三")["data"]["outcome"] == "matched"


def test_the_command_needs_no_more_than_a_readers_keys(
    deployed: Livepair, operator: Operator, cloud: Cloud
) -> None:
    """To look for a pair; a verification's id costs the same two permissions."""
    deployed.pair()
    operator.use(reader(cloud))
    assert operator.json("outcome", "42")["outcome"] == "matched"
    assert operator.json("outcome", deployed.data["verification_id"])["outcome"] == "matched"


@pytest.mark.parametrize("action", POLICY["statement"][0]["action"])
def test_no_action_of_a_reader_is_there_in_vain(
    deployed: Livepair, operator: Operator, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Without either nothing is read, by the ten lines or by the command."""
    deployed.pair()
    less = copy.deepcopy(POLICY)
    less["statement"][0]["action"].remove(action)
    with pytest.raises(CosServiceError):
        ten_lines(cloud, monkeypatch, less)("42")
    operator.use(reader(cloud, less))
    assert action.partition(":")[2] in operator.error("outcome", "42")


def test_a_reader_can_do_nothing_else(cloud: Cloud) -> None:
    """It sees no face and no other function's state, and writes nothing."""
    allowed = cam.allowed_by(POLICY)
    own = f"livepair/{BUCKET}"
    assert allowed(Operation("cos", "GetObject", STATE, f"{own}/records/42/x.json", cloud.region))
    for name, bucket, key in (
        ("GetObject", BUCKET, LIVE),
        ("GetObject", STATE, f"{own}/best-frames/42/x.jpg"),
        ("GetObject", STATE, f"{own}/claims/42/x/1"),
        ("GetObject", STATE, "livepair/other-1250000000/records/42/x.json"),
        ("GetBucket", STATE, f"{own}/"),
        ("GetBucket", BUCKET, "uploads/"),
        ("PutObject", STATE, f"{own}/records/42/x.json"),
        ("DeleteObject", STATE, f"{own}/records/42/x.json"),
    ):
        assert not allowed(Operation("cos", name, bucket, key, cloud.region)), (name, key)
    assert not allowed(Operation("faceid", "DetectReflectLivenessAndCompare"))
