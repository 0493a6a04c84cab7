"""One instance of a function: the process that loads its code and hands it one event at a time.

Started by `process`, never imported: `python instance.py COMMANDS ANSWERS LIFELINE CODE HANDLER
OFFSET LOADING`, where the first three are file descriptors of pipes, so that stdout and stderr stay the
function's own. A command and an answer are one line of JSON each.

It does as the published emulator does (bootstrap.py in PyPI's scf 0.2.8): the working directory is the
code's, the environment is set again for every invocation, and the root logger prints everything from DEBUG
upwards to stdout.

There are two ways of loading the entry file, `LOADING`. The emulator loads it by path and under no name. The
platform's own Python 3.10 looks it up in the current folder and loads it as the module `index`, by
`imp.load_module("index", *imp.find_module("index"))`: tracebacks of real functions show it, and the file as
`./index.py`. Since 3.12 `imp` is gone; there importlib does what it did.
"""

import fcntl
import importlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

LONGEST_RESULT = 6 * 1024 * 1024


def main() -> None:
    """Load the function, then serve commands until the platform closes them."""
    commands, answers, lifeline = (int(number) for number in sys.argv[1:4])
    code, handler, offset, loading = sys.argv[4], sys.argv[5], float(sys.argv[6]), sys.argv[7]
    sys.argv[1:] = []
    sys.path[0] = code
    os.chdir(code)
    for descriptor in (commands, answers, lifeline):
        os.set_inheritable(descriptor, False)
    _die_with_the_platform(lifeline)
    clock = _Clock()
    clock.move(offset)
    # Line by line, so that a killed function's last words are not lost with a buffer.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    invocations: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, clock, invocations), daemon=True).start()
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(logging.StreamHandler(sys.stdout))
    try:
        file, _, name = handler.rpartition(".")
        function = getattr(LOADING[loading](code, file), name)
    except Exception:  # noqa: BLE001 - whatever the function's code raises is reported
        _answer(answers, {"failed": traceback.format_exc()})
        return
    _answer(answers, {"ready": True})
    while True:
        command = invocations.get()
        clock.move(command["offset"])
        os.environ.update(command["environment"])
        answer = _invoke(function, command["event"], command["context"])
        sys.stdout.flush()
        sys.stderr.flush()
        # Tells the platform's reader that the log of this invocation is complete.
        os.write(1, b"\0" + command["context"]["request_id"].encode() + b"\n")
        _answer(answers, answer)


class _Clock:
    """The instance's wall clock: as far ahead of real time as the platform says."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0
        self._travelled: Any = None

    def move(self, offset: float) -> None:
        with self._lock:
            ahead = offset - self._offset
            if not ahead:
                return
            if self._travelled is None:
                import time_machine  # an instance whose clock never moves has no need of it

                self._travelled = time_machine.travel(time.time() + ahead, tick=True).start()
            else:
                self._travelled.shift(ahead)
            self._offset = offset


def _die_with_the_platform(lifeline: int) -> None:
    """Have this process killed when the platform's end of `lifeline` closes, frozen or not."""
    if hasattr(fcntl, "F_SETSIG"):  # Linux; elsewhere the end of the commands has to do
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _listen(commands: int, clock: _Clock, invocations: "queue.SimpleQueue[dict[str, Any]]") -> None:
    with os.fdopen(commands, "rb") as lines:
        for line in lines:
            command = json.loads(line)
            if "event" in command:
                invocations.put(command)
            else:
                clock.move(command["offset"])
    os._exit(0)


def _by_path(code: str, file: str) -> Any:
    """The emulator's way: no name, an absolute path, and nothing in sys.modules."""
    path = os.path.join(code, f"{file}.py")  # noqa: PTH118
    return _executed(importlib.util.spec_from_file_location("", path))


def _by_name(code: str, file: str) -> Any:
    """The way of the platform's Python 3.10: by name, in the current folder, whatever stands in sys.path."""
    if sys.version_info < (3, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            imp = importlib.import_module("imp")
        return imp.load_module(file, *imp.find_module(file, ["."]))
    path = f"./{file}.py"
    loader = importlib.machinery.SourceFileLoader(file, path)
    return _executed(importlib.util.spec_from_file_location(file, path, loader=loader))


def _executed(spec: importlib.machinery.ModuleSpec | None) -> Any:
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if spec.name:
        sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LOADING: dict[str, Callable[[str, str], Any]] = {"path": _by_path, "name": _by_name}
"""How the entry file is loaded, by the word that a function's `loading` says it with."""


def _invoke(
    function: Callable[[Any, dict[str, Any]], Any], event: Any, context: dict[str, Any]
) -> dict[str, Any]:
    try:
        result = json.dumps(function(event, context), ensure_ascii=False)
    except Exception:  # noqa: BLE001 - whatever the function raises is reported
        return {"error": traceback.format_exc()}
    if len(result) > LONGEST_RESULT:
        return {"error": "body size is too long"}
    return {"result": json.loads(result)}


def _answer(answers: int, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(answers, data) :]


if __name__ == "__main__":
    main()
