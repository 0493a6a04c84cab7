"""The webhook: it takes a signed test message, which is about no upload."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

from handler.cli.deployment import Deployment
from handler.cli.doctor.check import Check
from handler.cli.output import span
from handler.edges.webhook import POST_SECONDS, WebhookClient
from handler.rules.outcome import MESSAGE_VERSION, timestamp

SLOW = 5.0
"""Seconds after which an answer comes late: the consumer does its work before it answers."""

WRONG_SECRET = "its secret differs from WEBHOOK_SECRET, or it does not verify the raw body"
ADVICE = {
    None: "check WEBHOOK_URL, its certificate, and that it can be reached from outside",
    400: WRONG_SECRET,
    401: WRONG_SECRET,
    403: WRONG_SECRET,
}
"""What to do by the status of its answer, None where there was no answer."""


def webhook(deployment: Deployment) -> Iterator[Check]:
    settings, clock = deployment.settings, deployment.clock
    client = WebhookClient(deployment.wire, settings.webhook_url.reveal(), settings.webhook_secrets.reveal())
    now, began = clock.now(), clock.elapsed()
    message_id = f"msg_test_{secrets.token_hex(16)}"
    body = {
        "id": message_id,
        "type": "webhook.test",
        "timestamp": timestamp(now),
        "version": MESSAGE_VERSION,
        "data": {"note": "A test of this webhook, sent by `doctor`: no upload was judged."},
    }
    answer = client.post(message_id, json.dumps(body), now, POST_SECONDS)
    took = clock.elapsed() - began
    where = settings.webhook_origin
    if not answer.ok:
        do = ADVICE.get(answer.status, "make it answer 2xx within 15 s")
        yield Check("webhook", "fail", f"{where}: {answer.error}", do)
        return
    yield Check("webhook", "ok", f"{where} took webhook.test with {answer.status} in {took * 1000:.0f} ms")
    if took > SLOW:
        yield Check("webhook", "warn", f"it took {span(took)}", "answer first, and work afterwards")
