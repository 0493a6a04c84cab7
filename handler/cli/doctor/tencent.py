"""The APIs of Tencent that sections ask, with the operator's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from handler.cli.deployment import Deployment
from handler.edges.wire import API

SECONDS = 30  # for one call


class Answer(NamedTuple):
    """What an API answered: the code of its error, or None; and the fields of its Response."""

    error: str | None
    fields: Mapping[str, Any]


class Service:
    """One of Tencent's APIs at one host, in the deployment's region."""

    def __init__(self, deployment: Deployment, name: str, version: str, host: str) -> None:
        self._wire = deployment.wire
        http = HttpProfile(
            protocol="http" if self._wire.proxy else "https",
            endpoint=host,
            reqTimeout=SECONDS,
            proxy=self._wire.proxy,
        )
        secret_id, secret_key, token = deployment.credentials
        self._client = CommonClient(
            name,
            version,
            Credential(secret_id, secret_key, token),
            deployment.region,
            ClientProfile(httpProfile=http, language="en-US"),
        )
        self._wire.bound(self._client.request.conn._session)

    def ask(self, action: str, **parameters: object) -> Answer:
        """Call an action. What goes wrong is an answer with an error, too."""
        with self._wire.limit(API, SECONDS):
            try:
                answered = self._client.call_json(action, parameters)
            except TencentCloudSDKException as error:
                return Answer(str(error.code), {})
            except (requests.RequestException, OSError, ValueError):
                return Answer("ClientNetworkError", {})
        fields = answered.get("Response")
        if not isinstance(fields, dict):
            return Answer("an answer that cannot be read", {})
        # The SDK overlooks an error whose Content-Type carries a charset.
        code = (fields.get("Error") or {}).get("Code")
        return Answer(str(code) if code else None, fields)
