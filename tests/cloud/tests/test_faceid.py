"""The faceid API of the local cloud, through the real SDK, and the cloud as a whole."""

import hashlib
import json
import socket
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.cloud import Cloud, Credentials, faults, samples
from tests.cloud.faceid import COMPARE, UPLOAD_URL, Answer, BestFrame

REGION = "ap-singapore"
LIVE, IMAGE = "uploads/1/live.gz", "uploads/1/image.jpg"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        cloud.faceid.limits = {COMPARE: 1000, UPLOAD_URL: 1000}
        yield cloud


def sdk(
    cloud: Cloud,
    *,
    region: str = REGION,
    language: str = "en-US",
    endpoint: str = "faceid.tencentcloudapi.com",
    credentials: Credentials | None = None,
    version: str = "2018-03-01",
) -> CommonClient:
    who = credentials or cloud.credentials
    http = HttpProfile(protocol="http", endpoint=endpoint, proxy=cloud.url, reqTimeout=20)
    profile = ClientProfile(httpProfile=http, language=language)
    credential = Credential(who.secret_id, who.secret_key, who.token)
    return CommonClient("faceid", version, credential, region, profile)


def links(cloud: Cloud) -> dict[str, str]:
    """Parameters for the two uploads as they lie in the bucket."""
    bucket = cloud.cos.bucket(cloud.bucket)
    parameters = {}
    for name, key in (("LiveData", LIVE), ("Image", IMAGE)):
        parameters[f"{name}Url"] = cloud.uploader.get_presigned_url(
            Bucket=cloud.bucket, Key=key, Method="GET", Expired=600
        )
        parameters[f"{name}Md5"] = hashlib.md5(bucket.get(key).data).hexdigest()
    return parameters


def pair(cloud: Cloud, live: bytes | None = None, image: bytes | None = None) -> dict[str, str]:
    """Upload a pair and return the parameters to compare it with."""
    bucket = cloud.cos.bucket(cloud.bucket)
    bucket.put(LIVE, samples.live() if live is None else live)
    bucket.put(IMAGE, samples.image() if image is None else image)
    return links(cloud)


def compare(cloud: Cloud, parameters: dict[str, Any], **options: Any) -> dict[str, Any]:
    response: dict[str, Any] = sdk(cloud, **options).call_json(COMPARE, parameters)["Response"]
    return response


def refusal(cloud: Cloud, parameters: dict[str, Any], **options: Any) -> str:
    """The code that a comparison is refused with."""
    with pytest.raises(TencentCloudSDKException) as error:
        compare(cloud, parameters, **options)
    assert error.value.requestId == cloud.faceid.calls[-1].request_id
    assert error.value.code == cloud.faceid.calls[-1].code
    return str(error.value.code)


def get(cloud: Cloud, link: str, method: str = "GET", body: bytes | None = None) -> Any:
    """Fetch a link as somebody outside of the cloud."""
    with urllib3.ProxyManager(cloud.url) as proxy:
        plain = "http://" + link.partition("://")[2]
        return proxy.request(method, plain, body=body, retries=False, redirect=False)


def exactly(cloud: Cloud, link: str) -> int:
    """The status that a link is answered with which no client has tidied."""
    port = urlsplit(cloud.url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        target = "http://" + link.partition("://")[2]
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_a_matching_pair_is_judged_and_billed(cloud: Cloud) -> None:
    """Result, Sim and best frame as the sample says; the call is recorded with all it held."""
    parameters = pair(cloud, samples.live(sim=96.3))
    response = compare(cloud, parameters)
    assert (response["Result"], response["Sim"]) == ("Success", 96.3)
    frame = get(cloud, response["BestFrameUrl"])
    assert frame.status == 200
    assert hashlib.md5(frame.data).hexdigest() == response["BestFrameMd5"]
    assert samples.read_image(frame.data) == "ok"
    (call,) = cloud.faceid.calls
    assert (call.action, call.region, call.code) == (COMPARE, REGION, "Success")
    assert (call.executed, call.billed, call.language) == (True, True, "en-US")
    assert call.params == parameters
    assert call.request_id == response["RequestId"]


def test_both_resources_are_fetched_by_a_plain_get_through_the_proxy(cloud: Cloud) -> None:
    """The backend reads the presigned links as anybody could."""
    compare(cloud, pair(cloud))
    fetched = {(each.method, each.key, each.status) for each in cloud.log if each.service == "cos"}
    assert fetched == {("GET", LIVE, 200), ("GET", IMAGE, 200)}


@pytest.mark.parametrize(
    "endpoint",
    [
        "faceid.tencentcloudapi.com",
        "faceid.intl.tencentcloudapi.com",
        "faceid.ap-singapore.tencentcloudapi.com",
        "faceid.ap-singapore.intl.tencentcloudapi.com",
    ],
)
def test_the_api_answers_under_its_documented_hosts(cloud: Cloud, endpoint: str) -> None:
    """Both sites, in their general and their regional form."""
    assert compare(cloud, pair(cloud), endpoint=endpoint)["Result"] == "Success"


def test_an_error_of_the_sample_comes_as_an_error_and_a_result_as_a_result(cloud: Cloud) -> None:
    """The same family of codes reaches the client in two ways; neither is billed."""
    error = "FailedOperation.ActionLightDark"
    assert refusal(cloud, pair(cloud, samples.live(error=error))) == error
    fake = "FailedOperation.LivessDetectFake"
    response = compare(cloud, pair(cloud, samples.live(result=fake)))
    assert (response["Result"], response["BestFrameUrl"]) == (fake, None)
    assert [each.executed for each in cloud.faceid.calls] == [True, True]
    assert [each.billed for each in cloud.faceid.calls] == [False, False]


def test_low_similarity_is_billed(cloud: Cloud) -> None:
    """The one failure that costs money."""
    low = "FailedOperation.CompareLowSimilarity"
    assert compare(cloud, pair(cloud, samples.live(result=low, sim=41.5)))["Sim"] == 41.5
    assert cloud.faceid.calls[0].billed


@pytest.mark.parametrize("kind", [kind for kind, fate in samples.IMAGE_FATES.items() if fate])
@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_an_image_can_be_unfit(cloud: Cloud, kind: str, format: Any) -> None:
    """Each kind of sample image brings its code, in both formats."""
    image = samples.image(kind, format=format)
    assert refusal(cloud, pair(cloud, image=image)) == samples.IMAGE_FATES[kind]


def test_what_is_no_recording_or_no_image_cannot_be_decoded(cloud: Cloud) -> None:
    """Any other bytes fail as the engine would fail on them."""
    for live in (b"not gzipped", samples.live()[:-9], b"\x1f\x8b" + bytes(20)):
        assert refusal(cloud, pair(cloud, live)) == "FailedOperation.VideoDecodeFailed"
    for image in (samples.image("garbage"), samples.image()[:-1], samples.live()):
        assert refusal(cloud, pair(cloud, image=image)) == "FailedOperation.ImageDecodeFailed"


def test_samples_are_the_same_for_the_same_seed_only() -> None:
    """Deterministic, different by seed, and as large as asked for."""
    assert samples.live(seed=1) == samples.live(seed=1) != samples.live(seed=2)
    assert samples.image(seed=1) == samples.image(seed=1) != samples.image(seed=2)
    assert 100_000 < len(samples.live(pad=100_000)) < 110_000
    assert samples.read_live(samples.live(pad=1000))["result"] == "Success"


@pytest.mark.parametrize("name", ["LiveDataUrl", "LiveDataMd5", "ImageUrl", "ImageMd5"])
def test_all_four_parameters_are_required(cloud: Cloud, name: str) -> None:
    """Left out or empty."""
    parameters = pair(cloud)
    assert refusal(cloud, {**parameters, name: ""}) == "MissingParameter"
    del parameters[name]
    assert refusal(cloud, parameters) == "MissingParameter"
    assert not any(each.executed for each in cloud.faceid.calls)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"LiveDataMd5": "0" * 31}, "InvalidParameterValue"),
        ({"ImageMd5": "g" * 32}, "InvalidParameterValue"),
        ({"ImageMd5": "0" * 32}, "InvalidParameterValue"),
        ({"LiveDataMd5": 5}, "InvalidParameter"),
        ({"Threshold": "70"}, "UnknownParameter"),
        ({"ImageUrl": "https://example.com/a.jpg"}, "InvalidParameterValue"),
        ({"ImageUrl": "ftp://a-1.cos.ap-singapore.myqcloud.com/a"}, "InvalidParameterValue"),
        ({"ImageUrl": "https://a-1.cos.ap-bangkok.myqcloud.com/a"}, "InvalidParameterValue"),
        ({"ImageUrl": "https://a-1.cos.ap-singapore.myqcloud.com.x.io/a"}, "InvalidParameterValue"),
        ({"ImageUrl": "https://a.cos-internal.ap-singapore.tencentcos.c"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_parameters_are_checked(cloud: Cloud, change: dict[str, Any], code: str) -> None:
    """Digests, names, types, and that links are COS links of the request's region."""
    assert refusal(cloud, {**pair(cloud), **change}) == code
    assert not cloud.faceid.calls[0].executed


def test_the_texts_of_the_two_url_and_md5_errors_tell_them_apart(cloud: Cloud) -> None:
    """Both are InvalidParameterValue; only the message says which it was."""
    parameters = pair(cloud)
    with pytest.raises(TencentCloudSDKException, match="MD5 Error"):
        compare(cloud, {**parameters, "ImageMd5": "0" * 32})
    with pytest.raises(TencentCloudSDKException, match="invalid resourceUrl"):
        compare(cloud, {**parameters, "ImageUrl": "https://example.com/"})


def test_the_two_resources_are_two_objects(cloud: Cloud) -> None:
    """One link twice is refused, even where its signature differs."""
    parameters = pair(cloud)
    parameters["ImageUrl"] = parameters["LiveDataUrl"] + "&another=1"
    parameters["ImageMd5"] = parameters["LiveDataMd5"]
    assert refusal(cloud, parameters) == "InvalidParameterValue"


def test_a_link_that_cannot_be_fetched_is_a_download_error(cloud: Cloud) -> None:
    """Missing object, redirect, broken connection, expired link: nothing is executed."""
    parameters = pair(cloud)
    cloud.cos.bucket(cloud.bucket).delete(IMAGE)
    assert refusal(cloud, parameters) == "FailedOperation.DownLoadError"
    parameters = pair(cloud)
    for action in (faults.redirect("http://example.com/"), faults.cut_before(), faults.cut_body(5)):
        cloud.faults.add("GetObject", then=action)
        assert refusal(cloud, parameters) == "FailedOperation.DownLoadError"
    cloud.clock.advance(601)
    assert refusal(cloud, parameters) == "FailedOperation.DownLoadError"
    assert not any(each.executed for each in cloud.faceid.calls)


def test_redirects_are_not_followed(cloud: Cloud) -> None:
    """Not even to a link that would bring the right bytes."""
    parameters = pair(cloud)
    cloud.faults.add("GetObject", key=IMAGE, then=faults.redirect(parameters["ImageUrl"]))
    assert refusal(cloud, parameters) == "FailedOperation.DownLoadError"
    assert compare(cloud, parameters)["Result"] == "Success"


def test_a_link_that_is_too_slow_is_a_download_timeout(cloud: Cloud) -> None:
    """The backend waits so long and no longer."""
    parameters = pair(cloud)
    cloud.faceid.fetch_timeout = 0.2
    gate = faults.Gate()
    cloud.faults.add("GetObject", then=faults.hold(gate))
    assert refusal(cloud, parameters) == "FailedOperation.DownLoadTimeoutError"
    gate.release()


def test_five_calls_a_second_and_no_more(cloud: Cloud) -> None:
    """The sixth in any one second is refused without a look; a second later there is room."""
    cloud.faceid.limits[COMPARE] = 5
    parameters = pair(cloud)
    cloud.faceid._recent[COMPARE].extend([cloud.clock.timestamp()] * 5)
    assert refusal(cloud, parameters) == "RequestLimitExceeded"
    assert not cloud.faceid.calls[0].executed
    assert [each.service for each in cloud.log] == ["faceid"]
    cloud.clock.advance(1)
    assert compare(cloud, parameters)["Result"] == "Success"
    assert len(cloud.faceid._recent[COMPARE]) == 1


def test_regions_versions_actions_and_keys_are_checked(cloud: Cloud) -> None:
    """What the common error codes of the API say."""
    parameters = pair(cloud)
    assert refusal(cloud, parameters, region="ap-guangzhou") == "UnsupportedRegion"
    assert refusal(cloud, parameters, region="") == "MissingParameter"
    assert refusal(cloud, parameters, version="2017-03-12") == "NoSuchVersion"
    wrong = Credentials(cloud.credentials.secret_id, "fake-secret-key-wrong")
    assert refusal(cloud, parameters, credentials=wrong) == "AuthFailure.SignatureFailure"
    with pytest.raises(TencentCloudSDKException, match="InvalidAction"):
        sdk(cloud).call_json("DetectEverything", {})


def test_a_role_can_be_forbidden_to_call(cloud: Cloud) -> None:
    """The policy sees service and action."""
    parameters = pair(cloud)
    may = cloud.temporary_credentials(allowed=lambda operation: operation.name == COMPARE)
    assert compare(cloud, parameters, credentials=may)["Result"] == "Success"
    may_not = cloud.temporary_credentials(allowed=lambda operation: operation.service == "cos")
    code = refusal(cloud, parameters, credentials=may_not)
    assert code == "AuthFailure.UnauthorizedOperation"
    cloud.clock.advance(3600)
    assert refusal(cloud, parameters, credentials=may) == "AuthFailure.TokenFailure"


HOSTS = ["faceid.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com"]


@pytest.mark.parametrize("endpoint", HOSTS)
@pytest.mark.parametrize("action", [COMPARE, UPLOAD_URL])
def test_a_call_without_parameters_tells_for_nothing_whether_it_is_allowed(
    cloud: Cloud, endpoint: str, action: str
) -> None:
    """First who signs, then what the policy says, and the parameters last: nothing is carried out."""

    def code(credentials: Credentials) -> str:
        client = sdk(cloud, endpoint=endpoint, credentials=credentials)
        with pytest.raises(TencentCloudSDKException) as error:
            client.call_json(action, {})
        return str(error.value.code)

    may = cloud.temporary_credentials()
    may_not = cloud.temporary_credentials(allowed=lambda operation: False)
    nobody = Credentials("AKIDlocalcloudnobody", "fake-secret-key-nobody")
    assert code(Credentials(may_not.secret_id, "fake-wrong", may_not.token)) == "AuthFailure.SignatureFailure"
    assert code(nobody) == "AuthFailure.SecretIdNotFound"
    assert code(may_not) == "AuthFailure.UnauthorizedOperation"
    assert code(may) == "MissingParameter"
    assert not any(call.executed or call.billed for call in cloud.faceid.calls)


@pytest.mark.parametrize("refusing", HOSTS)
def test_one_of_the_two_sites_can_refuse_an_account(cloud: Cloud, refusing: str) -> None:
    """An unknown account at once, an inactive service after the policy, one in arrears last of all."""
    (serving,) = set(HOSTS) - {refusing}
    parameters = pair(cloud)
    cloud.faceid.refuse_host(refusing)
    assert refusal(cloud, {}, endpoint=refusing) == "AuthFailure.SecretIdNotFound"
    assert refusal(cloud, parameters, endpoint=refusing) == "AuthFailure.SecretIdNotFound"
    assert compare(cloud, parameters, endpoint=serving)["Result"] == "Success"
    cloud.faceid.refuse_host(refusing, "ResourceUnavailable.NotExist")
    may_not = cloud.temporary_credentials(allowed=lambda operation: False)
    assert refusal(cloud, {}, endpoint=refusing, credentials=may_not) == "AuthFailure.UnauthorizedOperation"
    assert refusal(cloud, {}, endpoint=refusing) == "ResourceUnavailable.NotExist"
    cloud.faceid.refuse_host(refusing, "UnauthorizedOperation.Arrears")
    assert refusal(cloud, {}, endpoint=refusing) == "MissingParameter"
    assert refusal(cloud, parameters, endpoint=refusing) == "UnauthorizedOperation.Arrears"
    cloud.faceid.refuse_host(refusing, None)
    assert compare(cloud, parameters, endpoint=refusing)["Result"] == "Success"


def test_messages_are_chinese_unless_english_is_asked_for(cloud: Cloud) -> None:
    """The language travels in a header of its own."""
    parameters = {**pair(cloud), "ImageMd5": "0" * 32}
    with pytest.raises(TencentCloudSDKException) as error:
        compare(cloud, parameters, language="zh-CN")
    assert not str(error.value.message).isascii()
    assert [each.language for each in cloud.faceid.calls] == ["zh-CN"]


def test_errors_come_with_status_200_and_one_exact_content_type(cloud: Cloud) -> None:
    """The SDK looks for errors only under exactly this content type."""
    answer = get(cloud, "http://faceid.tencentcloudapi.com/", "POST", b"{}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    response = json.loads(answer.data)["Response"]
    assert response["Error"]["Code"] == "MissingParameter"
    assert response["RequestId"]


def test_under_another_content_type_the_sdk_overlooks_errors(cloud: Cloud) -> None:
    """The trap the function must not fall into is there to be stepped on."""
    cloud.faults.add(COMPARE, then=faults.content_type("application/json; charset=utf-8"))
    response = compare(cloud, {**pair(cloud), "ImageMd5": "0" * 32})
    assert response["Error"]["Code"] == "InvalidParameterValue"


def test_a_scripted_refusal_has_the_apis_form(cloud: Cloud) -> None:
    """Faults can speak for the API, without effect."""
    cloud.faults.add(COMPARE, then=faults.refuse(200, "InternalError", "engine on fire"))
    with pytest.raises(TencentCloudSDKException, match="engine on fire"):
        compare(cloud, pair(cloud))
    assert cloud.faceid.calls == []


def test_a_best_frame_is_kept_for_two_hours_by_the_clock(cloud: Cloud) -> None:
    """Then the link is worth nothing; a link that was touched never was."""
    link = compare(cloud, pair(cloud))["BestFrameUrl"]
    assert link.startswith(f"https://faceid-bestframe-1250000001.cos.{REGION}.myqcloud.com/")
    touched = link[:-1] + ("0" if link[-1] != "0" else "1")
    assert get(cloud, touched).status == 403
    cloud.clock.advance(7100)
    assert get(cloud, link).status == 200
    cloud.clock.advance(100)
    assert get(cloud, link).status == 403


def test_answers_can_be_scripted(cloud: Cloud) -> None:
    """In order, for calls that pass all checks; afterwards the samples decide again."""
    parameters = pair(cloud)
    cloud.faceid.script(
        Answer(sim=None),
        Answer(error="InternalError.UnKnown"),
        Answer(result="FailedOperation.BrandNew", sim=0.0),
        Answer(raw={"Response": {"RequestId": "r"}}),
    )
    assert refusal(cloud, {**parameters, "ImageMd5": "0" * 32}) == "InvalidParameterValue"
    assert "Sim" not in compare(cloud, parameters)
    assert refusal(cloud, parameters) == "InternalError.UnKnown"
    assert compare(cloud, parameters)["Result"] == "FailedOperation.BrandNew"
    assert compare(cloud, parameters) == {"RequestId": "r"}
    assert compare(cloud, parameters)["Sim"] == 96.3


def test_best_frames_can_be_faulty(cloud: Cloud) -> None:
    """Wrong digest, redirect, huge, slow, on a foreign host, gone."""
    parameters = pair(cloud)
    elsewhere = {"Location": "http://example.com/"}
    cloud.faceid.script(
        Answer(best_frame=BestFrame(md5="0" * 32)),
        Answer(best_frame=BestFrame(status=302, headers=elsewhere)),
        Answer(best_frame=BestFrame(padding=2_000_000)),
        Answer(best_frame=BestFrame(body=b"slow", seconds_per_byte=0.001)),
        Answer(best_frame=BestFrame(url="https://example.com/frame.jpg")),
        Answer(best_frame=BestFrame(status=404)),
    )
    answers = [compare(cloud, parameters) for _ in range(6)]
    wrong = get(cloud, answers[0]["BestFrameUrl"])
    assert answers[0]["BestFrameMd5"] != hashlib.md5(wrong.data).hexdigest()
    redirect = get(cloud, answers[1]["BestFrameUrl"])
    assert (redirect.status, redirect.headers["Location"]) == (302, "http://example.com/")
    assert len(get(cloud, answers[2]["BestFrameUrl"]).data) > 2_000_000
    assert get(cloud, answers[3]["BestFrameUrl"]).data == b"slow"
    assert answers[4]["BestFrameUrl"] == "https://example.com/frame.jpg"
    assert get(cloud, answers[5]["BestFrameUrl"]).status == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link.replace("%2F", "/", 1),
        lambda link: link.replace("%3B", ";", 1),
        lambda link: link.replace("%3B", "%3b", 1),
        lambda link: link.replace("%3B", "%253B", 1),
        lambda link: link.replace("best-frames", "best%2Dframes"),
        lambda link: link + "&x=1",
    ],
    ids=["slash", "semicolon", "lower case", "twice", "hyphen", "parameter"],
)
def test_a_link_comes_back_byte_for_byte_or_is_none(cloud: Cloud, change: Callable[[str], str]) -> None:
    """A client that takes it apart and writes it again breaks its signature."""
    link = compare(cloud, pair(cloud))["BestFrameUrl"]
    assert "%2F" in link
    assert "%3B" in link
    assert change(link) != link
    assert exactly(cloud, change(link)) == 403
    assert exactly(cloud, link) == 200


def upload_link(cloud: Cloud, **parameters: str) -> dict[str, Any]:
    wanted = {"TargetAction": COMPARE, **parameters}
    response: dict[str, Any] = sdk(cloud).call_json(UPLOAD_URL, wanted)["Response"]
    return response


def test_resources_can_be_passed_through_upload_links(cloud: Cloud) -> None:
    """PUT to UploadUrl, then pass ResourceUrl on; nobody but the backend can read it."""
    parameters = {}
    for name, data in (("LiveData", samples.live()), ("Image", samples.image())):
        link = upload_link(cloud)
        assert link["UploadUrl"].startswith("https://")
        assert get(cloud, link["ResourceUrl"]).status == 403
        assert get(cloud, link["ResourceUrl"], "PUT", data).status == 403
        put = get(cloud, link["UploadUrl"], "PUT", data)
        assert (put.status, put.headers["ETag"]) == (200, f'"{hashlib.md5(data).hexdigest()}"')
        assert get(cloud, link["ResourceUrl"]).status == 403
        parameters[f"{name}Url"] = link["ResourceUrl"]
        parameters[f"{name}Md5"] = hashlib.md5(data).hexdigest()
    assert compare(cloud, parameters)["Result"] == "Success"
    cloud.clock.advance(7200)
    assert refusal(cloud, parameters) == "FailedOperation.DownLoadError"


def test_an_upload_link_holds_two_hours_and_needs_an_upload(cloud: Cloud) -> None:
    """ExpiredTimestamp says until when; a resource never uploaded cannot be fetched."""
    link = upload_link(cloud)
    assert link["ExpiredTimestamp"] == pytest.approx(cloud.clock.timestamp() + 7200, abs=30)
    unused = {**pair(cloud), "ImageUrl": link["ResourceUrl"]}
    assert refusal(cloud, unused) == "FailedOperation.DownLoadError"
    cloud.clock.advance(7200)
    assert get(cloud, link["UploadUrl"], "PUT", b"late").status == 403


def test_the_target_of_an_upload_link_is_checked(cloud: Cloud) -> None:
    """An unknown TargetAction is refused."""
    with pytest.raises(TencentCloudSDKException, match="InvalidParameterValue"):
        upload_link(cloud, TargetAction="DetectEverything")


def function(folder: Path, source: str) -> Path:
    code = folder / "code"
    code.mkdir()
    (code / "index.py").write_text(textwrap.dedent(source))
    return code


READ = """
    import os
    from qcloud_cos import CosConfig, CosS3Client
    def main_handler(event, context):
        if "Records" not in event:
            return "tick"
        names = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")
        secret_id, key, token = (os.environ[name] for name in names)
        config = CosConfig(
            Region=os.environ["TENCENTCLOUD_REGION"], SecretId=secret_id, SecretKey=key,
            Token=token, Scheme="http", Proxies={"http": os.environ["LOCAL_CLOUD"]},
        )
        client = CosS3Client(config, retry=0)
        name = event["Records"][0]["cos"]["cosObject"]["key"].split("/", 3)[3]
        client.put_object(Bucket=os.environ["BUCKET"], Key="out/" + name, Body=b"seen")
        return name
"""


def test_an_upload_wakes_the_function_which_reaches_the_bucket(cloud: Cloud, tmp_path: Path) -> None:
    """The whole way: upload, event, instance, role credentials, its own listener in the log."""
    cloud.deploy(function(tmp_path, READ))
    cloud.upload("uploads/1/käse +%.gz", b"x")
    cloud.scf.wait_idle()
    (invocation,) = cloud.scf.invocations
    assert invocation.result == "uploads/1/käse +%.gz", invocation.error
    assert cloud.cos.bucket(cloud.bucket).get("out/uploads/1/käse +%.gz").data == b"seen"
    assert [each.source for each in cloud.log] == ["", invocation.instance]
    cloud.scf.advance_minutes()
    assert cloud.scf.invocations[-1].result == "tick"


@pytest.mark.parametrize(("kill", "stored"), [("kill_before", False), ("kill_after", True)])
def test_an_instance_can_be_killed_at_any_of_its_requests(
    cloud: Cloud, tmp_path: Path, kill: str, stored: bool
) -> None:
    """Before or after the request took effect; the retry is another instance's."""
    cloud.deploy(function(tmp_path, READ))
    fault = cloud.faults.add("PutObject", key="out/*", then=getattr(faults, kill)())
    cloud.upload("uploads/1/live.gz", b"x")
    cloud.scf.wait_idle()
    assert fault.hits == 1
    assert [each.status for each in cloud.scf.invocations] == ["exit"]
    assert ("out/uploads/1/live.gz" in cloud.cos.bucket(cloud.bucket).keys()) is stored  # noqa: SIM118
    cloud.clock.advance(60)
    cloud.scf.wait_idle()
    assert [each.status for each in cloud.scf.invocations] == ["exit", "ok"]
    assert cloud.scf.invocations[1].cold


def test_the_settings_fit_the_cloud() -> None:
    """`environment` names bucket, webhook and secret, and the state bucket where there is one."""
    with Cloud(state_bucket="state-1250000000") as cloud:
        settings = cloud.environment(MIN_SIMILARITY="80")
        assert settings["BUCKET"] == "faces-1250000000"
        assert settings["STATE_BUCKET"] == "state-1250000000"
        assert settings["WEBHOOK_URL"] == cloud.consumer.url
        assert settings["WEBHOOK_SECRET"] in cloud.consumer.secrets
        assert settings["MIN_SIMILARITY"] == "80"
        assert set(cloud.cos.buckets) == {"faces-1250000000", "state-1250000000"}
