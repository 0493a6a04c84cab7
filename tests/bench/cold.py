"""Cold start: loading the bundle's entry file as the platform does, beside the two SDKs alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.bench.figures import Figure, Say, ratio

RUNS = 45

TIMED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import importlib.util
began = time.process_time()
{work}
print(time.process_time() - began)
"""

SDKS = """
from qcloud_cos import CosConfig, CosS3Client
from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
"""
"""What any function that calls both imports, by the samples of both."""

FUNCTION = """
spec = importlib.util.spec_from_file_location("", sys.argv[1] + "/index.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


def cold_start(bundle: Path, python: str, folder: Path, say: Say) -> list[Figure]:
    """Both figures, their runs made in turns, each in a process of its own that writes no bytecode.

    Loading waits for nothing once its files are cached, so its CPU time is what it takes on an idle machine;
    the wall clock of a busy one measures its neighbours.
    """
    plain = folder / "plain"
    shutil.copytree(bundle, plain, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    ways = {"function": (FUNCTION, bundle), "sdks": (SDKS, bundle), "uncompiled": (FUNCTION, plain)}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(RUNS):
        say(f"cold start {number + 1}/{RUNS}")
        for way, (work, code) in ways.items():
            if way != "uncompiled" or number % 3 == 0:
                took[way].append(_once(python, work, code))
    thirds = took["function"][::3]
    return [
        ratio("cold start, CPU", took["function"], "both SDKs alone", took["sdks"], 1.10),
        ratio("cold start, CPU", thirds, "the same without .pyc files", took["uncompiled"], 0.55),
    ]


def _once(python: str, work: str, code: Path) -> float:
    """Milliseconds of CPU that the work takes in a new interpreter, nothing but the bundle on its path."""
    command = [python, "-I", "-S", "-B", "-c", TIMED.format(work=work), str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000
