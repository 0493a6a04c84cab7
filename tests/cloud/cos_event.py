"""The event a COS trigger hands to a function, shaped as real ones are.

Where the documentation (product 583, page 9707) and events seen in the wild differ, this follows
the wild: `region` is a short code, `reqid` is 0, the key is not percent-encoded while the URL is,
and the uploader's own Authorization travels along.
"""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

Shape = Literal["new", "old"]

SHORT_CODES = {
    "ap-guangzhou": "gz",
    "ap-shanghai": "sh",
    "ap-beijing": "bj",
    "ap-nanjing": "nj",
    "ap-chengdu": "cd",
    "ap-chongqing": "cq",
    "ap-tianjin": "tsn",
    "ap-hongkong": "hk",
    "ap-singapore": "sg",
    "ap-bangkok": "th",
    "ap-jakarta": "jkt",
    "ap-seoul": "kr",
    "ap-tokyo": "jp",
    "ap-mumbai": "in",
    "na-siliconvalley": "usw",
    "na-ashburn": "use",
    "eu-frankfurt": "de",
    "sa-saopaulo": "sao",
}


def cos_event(
    *,
    name: str,
    bucket: str,
    region: str,
    key: str,
    size: int,
    meta: Mapping[str, str],
    seconds: int,
    request_headers: Mapping[str, str],
    shape: Shape = "new",
) -> dict[str, Any]:
    """An event with one record.

    `name` is what follows `cos:`, `bucket` is `name-appid`, `region` the long name. The old shape
    (before 2021) knows neither the long region nor the ETag.
    """
    plain, _, appid = bucket.rpartition("-")
    cos_bucket = {"region": SHORT_CODES.get(region, region), "name": plain, "appid": appid}
    if shape == "new":
        cos_bucket |= {"cosRegion": region, "s3Region": region}
    else:
        meta = {field: value for field, value in meta.items() if field != "ETag"}
    return {
        "Records": [
            {
                "cos": {
                    "cosSchemaVersion": "1.0",
                    "cosNotificationId": "unkown",
                    "cosBucket": cos_bucket,
                    "cosObject": {
                        "key": f"/{appid}/{plain}/{key}",
                        "url": f"http://{bucket}.cos.{region}.myqcloud.com/{quote(key)}",
                        "size": size,
                        "vid": "",
                        "meta": dict(meta),
                    },
                },
                "event": {
                    "eventName": f"cos:{name}",
                    "eventVersion": "1.0",
                    "eventTime": seconds,
                    "eventSource": "qcs::cos",
                    "eventQueue": f"qcs:0:scf:{region}:appid/{appid}:default.livepair.$LATEST",
                    "reqid": 0,
                    "reservedInfo": "",
                    "requestParameters": {
                        "requestSourceIP": "127.0.0.1",
                        "requestHeaders": dict(request_headers),
                    },
                },
            }
        ]
    }
