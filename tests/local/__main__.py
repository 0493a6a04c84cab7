"""`make local`: start the local cloud, say where everything is, and stay until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.local import env_file
from tests.local.program import check_target
from tests.local.server import Site, about
from tests.local.world import World

PORT = 8787
PORTS = 3
"""The page, the proxy and the consumer, one after the other."""
STEP = 10
TRIES = 20


def main() -> int:
    """Exits 0 when it was asked to end, 2 where a setting is wrong."""
    try:
        port = _port(os.environ.get("PORT", "").strip() or str(PORT))
        target = os.environ.get("CONSUMER", "").strip()
        consumer = check_target(target) if target else ""
        if os.environ.get("FORWARD_TO", "").strip():
            raise ValueError(
                "FORWARD_TO is called CONSUMER now: your program gets each message from livepair itself, and "
                "what it answers decides when the message comes again"
            )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(serve(port, consumer))


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_000:
        raise ValueError(f"PORT is {text!r}, but it must be a number from 1 to 65000")
    return int(text)


def free_ports(first: int) -> tuple[int, int | None]:
    """The first of three ports that are free, from `first` on in steps of ten; and the one that was taken.

    Raises OSError where all that are tried are taken.
    """
    taken = None
    for port in range(first, first + STEP * TRIES, STEP):
        found = next((each for each in range(port, port + PORTS) if not _is_free(each)), None)
        if found is None:
            return port, taken
        taken = taken or found
    raise OSError(f"ports are taken from {first} to {first + STEP * TRIES}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError):
        return False
    return True


async def serve(wanted: int, consumer: str) -> int:
    """Serve until a signal comes, then end everything."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("Starting the local cloud …", flush=True)
    try:
        port, taken = free_ports(wanted)
    except OSError as error:
        print(f"The page cannot be served: {error}. Give another port: PORT={PORT} make local")
        return 2
    path = Path(env_file.NAME)
    with TemporaryDirectory(prefix="livepair-local-") as folder:
        secret = env_file.secret(path)
        world = await asyncio.to_thread(World, Path(folder), port + 1, consumer=consumer, secret=secret)
        is_written = env_file.write(path, world.variables())
        site = Site(world, lambda line: print(line, flush=True), env_file.NAME if is_written else "")
        try:
            await site.start(port)
            _tell(site, taken, is_written)
            await stop.wait()
            print("Ending …", flush=True)
        finally:
            await site.stop()
    return 0


def _tell(site: Site, taken: int | None, is_written: bool) -> None:
    """Where everything is."""
    if taken is not None:
        print(f"Port {taken} is taken: the page, LOCAL_CLOUD and the webhook have other ports than usual.")
    for name, value in about(site).items():
        print(f"  {name:<15} {value}")
    if is_written:
        print(f"\nFor the operator's commands: --env-file {env_file.NAME}, written now, for you alone.")
    else:
        print(f"\n{env_file.NAME} is a file of yours, and stays. For python -m handler --env-file …:")
        print("\n".join(site.world.variables()))
    print("\nOpen the page and upload something. Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
