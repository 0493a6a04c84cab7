"""What the operator's commands cost where there is much beside what they are asked for."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from handler.cli.main import main
from handler.rules.agenda import Entry, Look
from handler.state import codec
from tests.bench.figures import Figure, Say, counted
from tests.bench.stage import Stage

WAITING, RECENT = 10_000, 30
"""Entries on the agenda, and verifications told just now."""


class Cost(NamedTuple):
    """What a command asked of COS, and how long it took."""

    requests: int
    seconds: float


def commands(stage: Stage, say: Say, beside: int) -> list[Figure]:
    """With `beside` settled pairs in the bucket, which a walk has just come past."""
    bucket = stage.cloud.cos.bucket(stage.cloud.bucket)
    told = [stage.verify("livepair") for _ in range(RECENT)]
    assert told
    number = stage._number
    keys = [f"uploads/{number - each:08d}/live.gz" for each in range(3)]
    say(f"commands beside {beside:,} settled pairs")
    show = _run(stage, "show", keys[0])
    say(f"list, show and forget beside {WAITING:,} that wait")
    now = datetime.now(timezone.utc)
    for each in range(WAITING):
        at = now + timedelta(minutes=each % 60)
        look = Look(stage.cloud.bucket, f"uploads/waits{each:05d}/live.gz", "live", now, each % 4)
        bucket.put(f"livepair/agenda/{Entry(at, look).name}", codec.dump_task(look), silent=True)
    waiting = _run(stage, "list")
    among = _run(stage, "show", keys[0])
    forget = _run(stage, "forget", keys[1], "--yes")
    for key in bucket.keys("livepair/agenda/"):
        bucket.delete(key, silent=True)
    alone = _run(stage, "forget", keys[2], "--yes")
    say("redeliver")
    since = _run(stage, "redeliver", "--since", "20m", "--limit", "10", "--yes")
    pages = WAITING // 1000
    return [
        counted(f"COS requests of `list`, {WAITING:,} waiting", waiting.requests, "", pages + 40),
        counted(f"seconds of `list`, {WAITING:,} waiting", waiting.seconds, "s", 10),
        counted(f"COS requests of `show KEY` beside {beside:,} pairs", show.requests, "", 15),
        counted(f"more beside {WAITING:,} waiting", among.requests - show.requests, "", pages),
        counted(f"COS requests of `forget KEY` beside {beside:,} pairs", alone.requests, "", 350),
        counted(f"more beside {WAITING:,} waiting", forget.requests - alone.requests, "", 4 * pages),
        counted(
            f"COS requests of `redeliver --since --limit 10` beside {beside:,} records",
            since.requests,
            "",
            beside // 1000 + 10 * 6 + 30,
        ),
    ]


def _run(stage: Stage, *words: str) -> Cost:
    """Run a command as an operator does. Raises RuntimeError where it fails."""
    cloud = stage.cloud
    environment = {
        **cloud.environment(API_RATE="1000"),
        "LOCAL_CLOUD": cloud.url,
        "TENCENT_SECRET_ID": cloud.credentials.secret_id,
        "TENCENT_SECRET_KEY": cloud.credentials.secret_key,
        "TENCENT_TOKEN": cloud.credentials.token or "",
        "REGION": cloud.region,
    }
    cloud.proxy.clear_log()
    former = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where neither .env nor serverless.yml lies
        try:
            began = time.monotonic()
            done = CliRunner(env=environment).invoke(main, list(words))
            seconds = time.monotonic() - began
        finally:
            os.chdir(former)
    # `forget` ends with 1 where an instance may be at work on what was just told.
    failed = done.exit_code and words[0] != "forget"
    if failed or not isinstance(done.exception, SystemExit | None):
        raise RuntimeError(f"{words}: {done.output} {done.exception!r}")
    return Cost(sum(each.service == "cos" for each in cloud.log), seconds)
