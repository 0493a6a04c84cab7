"""livepair's requests of a pair, made with the bare SDKs: the floor of its time and of its CPU.

The same requests in the same order, both look-ups side by side, agenda entry and LIST while the claim
settles, and nothing decided. No promise is kept: it is what there is no way around.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import threading
import time
from typing import Any
from urllib.parse import unquote

import requests
from qcloud_cos import CosConfig, CosS3Client
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

SETTLE = 0.05  # seconds that a claim settles
PROXY, BUCKET, REGION = os.environ["LOCAL_CLOUD"], os.environ["BUCKET"], "ap-singapore"

_cos_session, _hook_session, _frame_session = requests.Session(), requests.Session(), requests.Session()
for _session in (_cos_session, _hook_session, _frame_session):
    _session.trust_env = False
_http = HttpProfile(
    protocol="http",
    endpoint="faceid.tencentcloudapi.com",
    keepAlive=True,
    proxy=PROXY.removeprefix("http://"),
)
_api = CommonClient("faceid", "2018-03-01", None, REGION, ClientProfile(httpProfile=_http))


def main_handler(event: Any, context: Any) -> None:
    """One upload event of a pair: of the first half where `partner` says so, else of the second."""
    found = event["Records"][0]["cos"]["cosObject"]
    key = unquote(found["key"]).split("/", 3)[3]
    folder = key.rpartition("/")[0]
    live, image = f"{folder}/live.gz", f"{folder}/image.jpg"
    cos = client()
    if event["first"]:
        beside = threading.Thread(target=head, args=(cos, live))
        beside.start()
        cos.head_object(BUCKET, image)
        beside.join()
        put(cos, f"livepair/agenda/x/{folder}")
        return
    heads: dict[str, Any] = {}
    beside = threading.Thread(target=lambda: heads.update(live=cos.head_object(BUCKET, live)))
    beside.start()
    heads["image"] = cos.head_object(BUCKET, image)
    beside.join()
    put(cos, f"livepair/claims/{folder}/1", {"x-cos-forbid-overwrite": "true"})
    settled_at = time.monotonic() + SETTLE
    counts = threading.Thread(target=cos.list_objects, args=(BUCKET, f"livepair/claims/{folder}/"))
    counts.start()
    put(cos, f"livepair/agenda/y/{folder}")
    counts.join()
    time.sleep(max(0.0, settled_at - time.monotonic()))
    cos.get_object(BUCKET, f"livepair/claims/{folder}/1", KeySimplifyCheck=False)[
        "Body"
    ].get_raw_stream().read()
    answer = compare(cos, live, image, heads)
    frame = _frame_session.get(
        answer["BestFrameUrl"].replace("https:", "http:"), proxies={"http": PROXY}
    ).content
    cos.put_object(BUCKET, frame, f"livepair/best-frames/{folder}.jpg", ContentType="image/jpeg")
    put(cos, f"livepair/records/{folder}.json", {"x-cos-forbid-overwrite": "true"})
    post(folder, {"pair": folder, "similarity": answer["Sim"]})
    put(cos, f"livepair/records/{folder}.json")
    keys = [f"livepair/agenda/{kind}/{folder}" for kind in "xy"]
    cos.delete_objects(BUCKET, {"Quiet": "true", "Object": [{"Key": key} for key in keys]})


def client() -> CosS3Client:
    """A COS client with this invocation's credentials."""
    config = CosConfig(
        Region=REGION,
        SecretId=os.environ["TENCENTCLOUD_SECRETID"],
        SecretKey=os.environ["TENCENTCLOUD_SECRETKEY"],
        Token=os.environ["TENCENTCLOUD_SESSIONTOKEN"],
        Scheme="http",
        Proxies={"http": PROXY},
    )
    return CosS3Client(config, retry=0, session=_cos_session)


def head(cos: CosS3Client, key: str) -> None:
    """Look up what may be missing."""
    cos.object_exists(BUCKET, key)


def put(cos: CosS3Client, key: str, metadata: dict[str, str] | None = None) -> None:
    """Write a state object of the usual size."""
    cos.put_object(BUCKET, b"x" * 600, key, ContentType="application/json", Metadata=metadata or {})


def compare(cos: CosS3Client, live: str, image: str, heads: dict[str, Any]) -> dict[str, Any]:
    """Call the API with presigned links."""
    _api.credential = Credential(
        os.environ["TENCENTCLOUD_SECRETID"],
        os.environ["TENCENTCLOUD_SECRETKEY"],
        os.environ["TENCENTCLOUD_SESSIONTOKEN"],
    )
    token = {"x-cos-security-token": os.environ["TENCENTCLOUD_SESSIONTOKEN"]}
    answer = _api.call_json(
        "DetectReflectLivenessAndCompare",
        {
            "LiveDataUrl": cos.get_presigned_url(BUCKET, live, "GET", Expired=120, Params=dict(token)),
            "LiveDataMd5": heads["live"]["ETag"].strip('"'),
            "ImageUrl": cos.get_presigned_url(BUCKET, image, "GET", Expired=120, Params=dict(token)),
            "ImageMd5": heads["image"]["ETag"].strip('"'),
        },
    )
    found: dict[str, Any] = answer["Response"]
    return found


def post(name: str, told: dict[str, Any]) -> None:
    """Sign by Standard Webhooks, and post."""
    body, at = json.dumps(told), str(int(time.time()))
    number = f"msg_{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    digest = hmac.new(key, f"{number}.{at}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": number,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    _hook_session.post(os.environ["WEBHOOK_URL"], data=body.encode(), headers=headers)
