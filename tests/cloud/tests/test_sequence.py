"""GenerateReflectSequence of the local cloud, through the real SDK."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from tests.cloud import Cloud, cam, samples
from tests.cloud.faceid import PARAMETERS, REGIONS, SEQUENCE, UPLOAD_URL
from tests.cloud.tests.test_faceid import get, sdk

KEY = "device-data/1"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


def passed(cloud: Cloud, data: bytes | None = None, **changed: str) -> dict[str, str]:
    """Put DeviceData, and return the parameters to ask for its sequence with."""
    body = base64.b64encode(samples.device_data().encode()) if data is None else data
    cloud.cos.bucket(cloud.bucket).put(KEY, body)
    link = cloud.uploader.get_presigned_url(Bucket=cloud.bucket, Key=KEY, Method="GET", Expired=600)
    return {"DeviceDataUrl": link, "DeviceDataMd5": hashlib.md5(body).hexdigest(), **changed}


def ask(cloud: Cloud, parameters: dict[str, Any], **options: Any) -> dict[str, Any]:
    response: dict[str, Any] = sdk(cloud, **options).call_json(SEQUENCE, parameters)["Response"]
    return response


def refusal(cloud: Cloud, parameters: dict[str, Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(TencentCloudSDKException) as error:
        ask(cloud, parameters, **options)
    assert not cloud.faceid.calls[-1].billed
    return error.value.code, error.value.message


def test_a_sequence_is_made_for_a_device_and_holds_for_two_hours(cloud: Cloud) -> None:
    """Base64 text with its MD5, which the SDK makes a recording of; nothing of it is billed."""
    found = ask(cloud, passed(cloud, SecurityLevel="4"))
    sequence = get(cloud, found["ReflectSequenceUrl"])
    assert sequence.status == 200
    assert hashlib.md5(sequence.data).hexdigest() == found["ReflectSequenceMd5"]
    assert samples.read_live(samples.recording(sequence.data.decode()))["result"] == "Success"
    (call,) = cloud.faceid.calls
    assert (call.executed, call.billed, call.code) == (True, False, "Success")
    other = ask(cloud, passed(cloud, base64.b64encode(samples.device_data(3).encode())))
    assert other["ReflectSequenceMd5"] != found["ReflectSequenceMd5"]
    cloud.clock.advance(2 * 3600)
    assert get(cloud, found["ReflectSequenceUrl"]).status == 403


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"DeviceDataMd5": "0" * 32}, "InvalidParameterValue", "MD5 Error"),
        ({"DeviceDataMd5": "short"}, "InvalidParameterValue", "The value of `DeviceDataMd5` is not valid."),
        ({"SecurityLevel": "5"}, "InvalidParameterValue", "The value of `SecurityLevel` is not valid."),
        ({"DeviceDataUrl": "https://example.com/x"}, "InvalidParameterValue", "invalid resourceUrl"),
        ({"Device": "x"}, "UnknownParameter", "The parameter `Device` is not recognized."),
        *(
            ({name: ""}, "MissingParameter", f"The request is missing a required parameter `{name}`.")
            for name in PARAMETERS[SEQUENCE]
        ),
    ],
)
def test_what_is_passed_is_checked(cloud: Cloud, changed: dict[str, str], code: str, said: str) -> None:
    """MD5, links and levels, as for the comparison."""
    assert refusal(cloud, {**passed(cloud), **changed}) == (code, said)


@pytest.mark.parametrize(
    "data",
    [samples.device_data().encode(), base64.b64encode(b"[]"), base64.b64encode(b"no JSON"), b""],
    ids=["no base64", "no object", "no JSON", "nothing"],
)
def test_device_data_is_base64_of_what_the_sdk_gave(cloud: Cloud, data: bytes) -> None:
    """Its MD5 is right: the bytes themselves are wrong."""
    code, said = refusal(cloud, passed(cloud, data))
    assert code == "InvalidParameterValue"
    assert "Base64" in said


def test_the_bucket_lies_in_the_region_that_is_asked(cloud: Cloud) -> None:
    """Three regions have the API, and each reads links of its own only."""
    parameters = passed(cloud)
    others = [region for region in REGIONS if region != cloud.region]
    assert {refusal(cloud, parameters, region=region)[1] for region in others} == {"invalid resourceUrl"}
    assert refusal(cloud, parameters, region="ap-guangzhou")[0] == "UnsupportedRegion"


def test_a_link_that_leads_nowhere_is_a_download_error(cloud: Cloud) -> None:
    """As where the backend's keys may not read what they have put."""
    parameters = passed(cloud)
    cloud.cos.bucket(cloud.bucket).delete(KEY)
    assert refusal(cloud, parameters)[0] == "FailedOperation.DownLoadError"


def test_five_sequences_a_second_and_no_more(cloud: Cloud) -> None:
    """Counted apart from comparisons; a second later there are five more."""
    parameters = passed(cloud)
    codes = []
    for _ in range(12):
        try:
            ask(cloud, parameters)
            codes.append("Success")
        except TencentCloudSDKException as error:
            codes.append(error.code)
    at = [call.at.timestamp() for call in cloud.faceid.calls if call.code == "Success"]
    assert "RequestLimitExceeded" in codes
    assert all(later - sooner >= 1 for sooner, later in zip(at, at[5:], strict=False))
    cloud.clock.advance(1)
    ask(cloud, parameters)


def test_device_data_may_come_through_an_upload_link(cloud: Cloud) -> None:
    """Which is what Tencent's guide shows."""
    api = sdk(cloud)
    made = api.call_json(UPLOAD_URL, {"TargetAction": SEQUENCE})["Response"]
    body = base64.b64encode(samples.device_data().encode())
    assert get(cloud, made["UploadUrl"], "PUT", body).status == 200
    parameters = {"DeviceDataUrl": made["ResourceUrl"], "DeviceDataMd5": hashlib.md5(body).hexdigest()}
    assert ask(cloud, parameters)["ReflectSequenceUrl"]


def test_a_policy_can_allow_it(cloud: Cloud) -> None:
    """By its own name, on all resources: faceid knows none."""
    statement = {"effect": "allow", "action": [f"faceid:{SEQUENCE}"], "resource": ["*"]}
    for policy, code in (([statement], "InvalidParameterValue"), ([], "AuthFailure.UnauthorizedOperation")):
        allowed = cam.allowed_by({"version": "2.0", "statement": policy}) if policy else lambda _: False
        who = cloud.temporary_credentials(allowed=allowed)
        assert refusal(cloud, passed(cloud, DeviceDataMd5="0" * 32), credentials=who)[0] == code


def test_what_is_no_sequence_makes_no_recording() -> None:
    """An app that hands the SDK a link, or JSON of the answer, is told so."""
    for text in ("https://example.com/x", json.dumps({"sequence": "x"}), base64.b64encode(b"{}").decode()):
        with pytest.raises(samples.NotASampleError):
            samples.recording(text)
