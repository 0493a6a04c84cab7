"""Tencent Cloud on one machine: COS, the faceid API, the function platform and its API, a consumer.

    with Cloud() as cloud:
        cloud.deploy(code)
        cloud.upload("uploads/42/live.gz", samples.live())
        cloud.upload("uploads/42/image.jpg", samples.image())
        cloud.scf.wait_idle()
        assert cloud.consumer.messages

All of it runs in threads of this process, save the function's instances, and nothing leaves the
machine. Clients reach it as an http forward proxy (`Cloud.url`), under the real host names. What an account
may do can be said by a CAM policy (`cam`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from qcloud_cos import CosConfig, CosS3Client

from tests.cloud import consumer as consuming
from tests.cloud.clock import Clock
from tests.cloud.cls_api import ClsApi
from tests.cloud.consumer import Consumer
from tests.cloud.cos import Cos
from tests.cloud.cos_sign import Account
from tests.cloud.faceid import Faceid
from tests.cloud.faults import Faults
from tests.cloud.function import Function
from tests.cloud.proxy import Logged, Operation, Proxy
from tests.cloud.scf import Scf
from tests.cloud.scf_api import ScfApi

__all__ = ["Cloud", "Credentials"]

ONE_PUT = {"x-cos-forbid-overwrite": "true"}
"""The header that makes a link good for one PUT; whoever uses the link sends it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs. `token` is there with temporary credentials only."""

    secret_id: str
    secret_key: str
    token: str | None = None


class Cloud:
    """One Tencent account on this machine, with one region and one bucket for uploads.

    A context manager; it may also be ended by `close`. While it is open, and its clock was moved,
    the wall clock of the whole process is moved: two of them at once would quarrel.
    """

    def __init__(
        self,
        region: str = "ap-singapore",
        bucket: str = "faces-1250000000",
        state_bucket: str | None = None,
        secret: str = consuming.SECRET,
        webhook_port: int = 0,
    ) -> None:
        """`secret` signs the webhook's messages; who lets others reach this cloud makes one of its own.

        The consumer listens on `webhook_port`, or on any where that is 0 or taken.
        """
        self.region = region
        self.secret = secret
        self.bucket = bucket
        self.state_bucket = state_bucket
        self.credentials = Credentials("AKIDlocalclouduploader", "fake-secret-key-uploader")
        self.accounts = {self.credentials.secret_id: Account(self.credentials.secret_key)}
        self._temporary = 0
        self.clock = Clock()
        self.faults = Faults()
        self.cos = Cos(self.clock, self.accounts)
        self.faceid = Faceid(self.clock, self.accounts)
        self.scf_api = ScfApi(self.clock, self.accounts)
        self.cls_api = ClsApi(self.clock, self.accounts)
        # The API goes first: two hosts of its own look like buckets.
        self.proxy = Proxy([self.faceid, self.scf_api, self.cls_api, self.cos], self.faults, self.clock)
        self.faceid.connect(self.proxy)
        self.scf = Scf(self.proxy, self.clock, self.accounts, self.cos)
        self.scf_api.connect(self.scf)
        self.faults.kill = self.scf.kill
        self.consumer = Consumer([secret], webhook_port)
        for name in {bucket, state_bucket or bucket}:
            self.cos.create_bucket(name, region)
        self.proxy.start()
        self.consumer.start()
        self._sessions: list[requests.Session] = []
        self.uploader = self.client(self.credentials)
        """A real COS client with permanent credentials, as an application's backend has one."""

    def __enter__(self) -> "Cloud":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and thread, and give the process its own time back. Once only."""
        self.scf.stop()
        self.consumer.stop()
        for session in self._sessions:
            session.close()
        self.proxy.submit(self.faceid.close()).result()
        self.proxy.stop()
        self.clock.close()

    @property
    def url(self) -> str:
        """The proxy's own port, for clients that are no function instance."""
        return self.proxy.url

    @property
    def log(self) -> list[Logged]:
        """Every request that went through the proxy, in the order they arrived."""
        return self.proxy.log

    @property
    def appid(self) -> str:
        return self.bucket.rpartition("-")[2]

    def client(self, credentials: Credentials, retry: int = 0) -> CosS3Client:
        """A real COS client that reaches this cloud, for as long as the cloud is open."""
        config = CosConfig(
            Region=self.region,
            SecretId=credentials.secret_id,
            SecretKey=credentials.secret_key,
            Token=credentials.token,
            Scheme="http",
            Proxies={"http": self.url},
        )
        session = requests.Session()
        session.trust_env = False
        self._sessions.append(session)
        return CosS3Client(config, retry=retry, session=session)

    def temporary_credentials(
        self, seconds: float = 3600, allowed: Callable[[Operation], bool] | None = None
    ) -> Credentials:
        """Credentials with a token, as a role has them, that end after `seconds`.

        `allowed` can be a policy: `cam.allowed_by(policy)`.
        """
        self._temporary += 1
        number = f"{self._temporary:06d}"
        found = Credentials(
            f"AKIDlocalcloudtemporary{number}",
            f"fake-secret-key-temporary-{number}",
            f"fake-token-temporary-{number}",
        )
        expires = self.clock.now() + timedelta(seconds=seconds)
        self.accounts[found.secret_id] = Account(found.secret_key, found.token, expires, allowed)
        return found

    def upload(self, key: str, data: bytes) -> None:
        """Put an object into the bucket of uploads, over HTTP, as an application's backend can."""
        self.uploader.put_object(Bucket=self.bucket, Key=key, Body=data)

    def upload_by_link(
        self, key: str, data: bytes, bucket: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        """The same as a person's device does: by a link for one PUT that the backend has made.

        The device may send `metadata` of its own: what is not signed into the link is its word.

        Raises requests.HTTPError, also where there is an object already.
        """
        link = self.uploader.get_presigned_url(
            bucket or self.bucket, key, "PUT", Expired=600, Headers=dict(ONE_PUT)
        )
        with requests.Session() as device:
            device.trust_env = False
            device.proxies = {"http": self.url}
            device.put(
                link, data=data, headers={**ONE_PUT, **(metadata or {})}, timeout=60
            ).raise_for_status()

    def environment(self, **overrides: str) -> dict[str, str]:
        """The settings of the function that fit this cloud; `overrides` replace and add."""
        settings = {
            "BUCKET": self.bucket,
            "WEBHOOK_URL": self.consumer.url,
            "WEBHOOK_SECRET": self.secret,
        }
        if self.state_bucket is not None:
            settings["STATE_BUCKET"] = self.state_bucket
        return {**settings, **overrides}

    def deploy(self, code: Path, environment: dict[str, str] | None = None, **settings: Any) -> Function:
        """Deploy a function with two triggers: uploads under `uploads/`, and each minute.

        `environment` is added to `environment()`; `settings` are fields of `Function`:
        `reconcile=function.DAILY` gives it the third trigger of `serverless.yml`.
        """
        function = Function(
            code=code,
            **{
                "environment": self.environment(**(environment or {})),
                "region": self.region,
                "appid": self.appid,
                "bucket": self.bucket,
                "prefix": "uploads/",
                "timer": True,
                "timer_message": "sweep",
                **settings,
            },
        )
        self.scf.deploy(function)
        return function
