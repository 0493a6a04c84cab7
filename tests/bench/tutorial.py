"""A handler as a tutorial would write it: download both, call, keep the best frame, post.

No claim, no record, no retry; the post is signed, because the consumer wants that.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import unquote

import requests
from qcloud_cos import CosServiceError

from tests.bench.bare import BUCKET, PROXY, client, compare, post


def main_handler(event: Any, context: Any) -> str:
    """One upload event: nothing is done before both halves are there."""
    key = unquote(event["Records"][0]["cos"]["cosObject"]["key"]).split("/", 3)[3]
    folder = key.rpartition("/")[0]
    cos = client()
    read: dict[str, Any] = {}
    for name in ("live.gz", "image.jpg"):
        try:
            body = cos.get_object(BUCKET, f"{folder}/{name}")["Body"].get_raw_stream().read()
        except CosServiceError:
            return "waiting"
        read[name.partition(".")[0]] = {"ETag": hashlib.md5(body).hexdigest()}
    answer = compare(cos, f"{folder}/live.gz", f"{folder}/image.jpg", read)
    link = answer["BestFrameUrl"].replace("https:", "http:")
    frame = requests.get(link, proxies={"http": PROXY}, timeout=10).content
    cos.put_object(BUCKET, frame, f"frames/{folder}.jpg")
    post(folder, {"pair": folder, "result": answer["Result"], "similarity": answer["Sim"]})
    return "done"
