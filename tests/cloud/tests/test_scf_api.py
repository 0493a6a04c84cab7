"""The API of the local function platform, through the real SDK."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.cloud import Cloud, Credentials, faults
from tests.cloud.faults import Operation
from tests.cloud.function import DAILY
from tests.cloud.scf_api import PARAMETERS

REGION = "ap-singapore"
LIVEPAIR = {"FunctionName": "livepair"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    (tmp_path / "index.py").write_text("def main_handler(event, context): return None\n")
    with Cloud() as cloud:
        cloud.deploy(tmp_path, {"API_RATE": "3"}, reconcile=DAILY)
        yield cloud


def ask(
    cloud: Cloud,
    action: str,
    parameters: dict[str, Any] = LIVEPAIR,
    *,
    endpoint: str = "scf.tencentcloudapi.com",
    region: str = REGION,
    credentials: Credentials | None = None,
    version: str = "2018-04-16",
) -> dict[str, Any]:
    """The Response of one request that the SDK makes."""
    who = credentials or cloud.credentials
    http = HttpProfile(protocol="http", endpoint=endpoint, proxy=cloud.url, reqTimeout=20)
    profile = ClientProfile(httpProfile=http, language="en-US")
    client = CommonClient(
        "scf", version, Credential(who.secret_id, who.secret_key, who.token), region, profile
    )
    response: dict[str, Any] = client.call_json(action, parameters)["Response"]
    return response


def refusal(cloud: Cloud, action: str, parameters: dict[str, Any] = LIVEPAIR, **options: Any) -> str:
    """The code that a request is refused with."""
    with pytest.raises(TencentCloudSDKException) as error:
        ask(cloud, action, parameters, **options)
    assert error.value.requestId
    return str(error.value.code)


def test_a_function_is_told_as_it_is_deployed(cloud: Cloud) -> None:
    """Page 18584: its size and time limit, its role, and its environment as a list of pairs."""
    told = ask(cloud, "GetFunction")
    assert (told["Runtime"], told["Handler"]) == ("Python3.10", "index.main_handler")
    assert (told["MemorySize"], told["Timeout"], told["Role"]) == (256, 60, "livepair")
    assert (told["Status"], told["AvailableStatus"], told["Type"]) == ("Active", "Available", "Event")
    assert (told["Namespace"], told["Qualifier"]) == ("default", "$LATEST")
    variables = {each["Key"]: each["Value"] for each in told["Environment"]["Variables"]}
    assert variables == cloud.environment(API_RATE="3")
    assert [each["TriggerName"] for each in told["Triggers"]] == [
        "faces-1250000000.cos.ap-singapore.myqcloud.com",
        "livepair-sweep",
        "livepair-reconcile",
    ]
    cloud.scf_api.told["livepair"] = {"Status": "Updating"}
    assert ask(cloud, "GetFunction")["Status"] == "Updating"


def test_triggers_are_told_as_the_api_does(cloud: Cloud) -> None:
    """Page 36314: the switch as a number, the description as JSON, the message as CustomArgument."""
    told = ask(cloud, "ListTriggers")
    cos, sweep, reconcile = told["Triggers"]
    assert told["TotalCount"] == 3
    assert (cos["Type"], sweep["Type"]) == ("cos", "timer")
    assert json.loads(cos["TriggerDesc"]) == {
        "event": "cos:ObjectCreated:*",
        "filter": {"Prefix": "uploads/", "Suffix": ""},
    }
    assert json.loads(sweep["TriggerDesc"]) == {"cron": "0 * * * * * *"}
    assert json.loads(reconcile["TriggerDesc"]) == {"cron": "30 17 3 * * * *"}
    assert (sweep["CustomArgument"], reconcile["CustomArgument"]) == ("sweep", "reconcile")
    for each in told["Triggers"]:
        assert (each["Enable"], each["Qualifier"]) == (1, "$DEFAULT")
        assert (each["AvailableStatus"], each["BindStatus"]) == ("Available", "on")


def test_a_trigger_switched_off_or_removed_is_told(cloud: Cloud) -> None:
    """Both by the list and by the function itself."""
    cloud.scf.switch_trigger("livepair-sweep", False)
    cloud.scf.remove_trigger("livepair-reconcile")
    for action in ("ListTriggers", "GetFunction"):
        found = ask(cloud, action)["Triggers"]
        assert [(each["Type"], each["Enable"]) for each in found] == [("cos", 1), ("timer", 0)]


def test_triggers_come_in_pages_and_by_filter(cloud: Cloud) -> None:
    """TotalCount counts what passes the filters, whatever the page."""
    page = ask(cloud, "ListTriggers", {**LIVEPAIR, "Offset": 1, "Limit": 1})
    assert page["TotalCount"] == 3
    assert [each["TriggerName"] for each in page["Triggers"]] == ["livepair-sweep"]
    named = [{"Name": "TriggerName", "Values": ["livepair-sweep", "other"]}]
    assert ask(cloud, "ListTriggers", {**LIVEPAIR, "Filters": named})["TotalCount"] == 1
    bound = [{"Name": "Qualifier", "Values": ["$LATEST"]}]
    assert ask(cloud, "ListTriggers", {**LIVEPAIR, "Filters": bound})["TotalCount"] == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "scf.tencentcloudapi.com",
        "scf.intl.tencentcloudapi.com",
        "scf.ap-singapore.tencentcloudapi.com",
        "scf.intl.ap-singapore.tencentcloudapi.com",
    ],
)
def test_both_sites_answer_in_general_and_by_region(cloud: Cloud, endpoint: str) -> None:
    """With the same function."""
    assert ask(cloud, "GetFunction", endpoint=endpoint)["FunctionName"] == "livepair"


EVERY = list(PARAMETERS)


@pytest.mark.parametrize("action", EVERY)
def test_what_is_not_there_is_not_found(cloud: Cloud, action: str) -> None:
    """Another name, another region, another namespace."""
    assert refusal(cloud, action, {"FunctionName": "other"}) == "ResourceNotFound.Function"
    assert refusal(cloud, action, region="ap-hongkong") == "ResourceNotFound.Function"
    assert refusal(cloud, action, {**LIVEPAIR, "Namespace": "n"}) == "ResourceNotFound.Function"


@pytest.mark.parametrize("action", EVERY)
def test_first_who_signs_then_the_policy_then_the_parameters(cloud: Cloud, action: str) -> None:
    """As with the other API; the policy is told region and function."""
    asked: list[Operation] = []

    def refuse(operation: Operation) -> bool:
        asked.append(operation)
        return False

    who = cloud.credentials
    assert (
        refusal(cloud, action, {}, credentials=Credentials(who.secret_id, "fake-wrong"))
        == "AuthFailure.SignatureFailure"
    )
    nobody = Credentials("AKIDlocalcloudnobody", "fake-nobody")
    assert refusal(cloud, action, {}, credentials=nobody) == "AuthFailure.SecretIdNotFound"
    may_not = cloud.temporary_credentials(allowed=refuse)
    assert refusal(cloud, action, credentials=may_not) == "AuthFailure.UnauthorizedOperation"
    assert asked == [Operation("scf", action, key="livepair", region=REGION)]
    assert refusal(cloud, action, {}) == "MissingParameter"
    assert refusal(cloud, action, {"FunctionName": 1}) == "InvalidParameter"
    assert refusal(cloud, action, {**LIVEPAIR, "Nonsense": "x"}) == "UnknownParameter"
    assert refusal(cloud, action, region="") == "MissingParameter"
    assert refusal(cloud, action, region="mars") == "UnsupportedRegion"
    assert refusal(cloud, action, version="2018-04-17") == "NoSuchVersion"
    assert refusal(cloud, "DeleteFunction") == "InvalidAction"


def test_what_becomes_of_events_is_told(cloud: Cloud) -> None:
    """Page 39921, and the reservation: none unless there is one."""
    told = ask(cloud, "GetFunctionEventInvokeConfig")["AsyncTriggerConfig"]
    assert told == {"RetryConfig": [{"RetryNum": 2}], "MsgTTL": 21600}
    assert ask(cloud, "GetReservedConcurrencyConfig")["ReservedMem"] is None
    function = cloud.scf.function("livepair")
    assert function is not None
    cloud.scf.deploy(replace(function, retries=0, event_seconds=60, reserved_memory=1024))
    told = ask(cloud, "GetFunctionEventInvokeConfig")["AsyncTriggerConfig"]
    assert told == {"RetryConfig": [{"RetryNum": 0}], "MsgTTL": 60}
    assert ask(cloud, "GetReservedConcurrencyConfig")["ReservedMem"] == 1024


def test_code_is_told_by_its_sum_and_a_link(cloud: Cloud) -> None:
    """The link leads to the very zip; without its signature it leads nowhere."""
    told = ask(cloud, "GetFunctionAddress")
    session = requests.Session()
    session.trust_env = False
    with session:
        url = told["Url"].replace("https://", "http://")
        found = session.get(url, proxies={"http": cloud.url}, timeout=20)
        assert hashlib.sha256(found.content).hexdigest() == told["CodeSha256"]
        unsigned = session.get(url.partition("?")[0], proxies={"http": cloud.url}, timeout=20)
    assert unsigned.status_code == 403
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        assert archive.namelist() == ["index.py"]


@pytest.mark.parametrize("code", ["UnsupportedRegion", "UnsupportedOperation.NotSupportRegion"])
def test_a_region_can_be_without_functions(cloud: Cloud, code: str) -> None:
    """It says so whatever the function is called."""
    cloud.scf_api.no_functions[REGION] = code
    assert refusal(cloud, "GetFunction") == code


def test_a_scripted_refusal_has_the_apis_form(cloud: Cloud) -> None:
    """Faults can speak for this API too."""
    cloud.faults.add("GetFunction", then=faults.refuse(200, "InternalError", "platform on fire"))
    with pytest.raises(TencentCloudSDKException, match="platform on fire"):
        ask(cloud, "GetFunction")
