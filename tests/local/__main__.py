"""`make local`: start the local cloud, say where everything is, and stay until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.local.forward import Forwarder, check_target
from tests.local.server import Site, about
from tests.local.world import World

PORT = 8787


def main() -> int:
    """Exits 0 when it was asked to end, 2 where a setting is wrong."""
    try:
        text = os.environ.get("PORT", "").strip() or str(PORT)
        if not text.isdigit() or not 1 <= int(text) <= 65_000:
            raise ValueError(f"PORT is {text!r}, but it must be a number from 1 to 65000")
        target = os.environ.get("FORWARD_TO", "").strip()
        forward_to = check_target(target) if target else None
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(serve(int(text), forward_to))


async def serve(port: int, forward_to: str | None) -> int:
    """Serve until a signal comes, then end everything."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("Starting the local cloud …", flush=True)
    with TemporaryDirectory(prefix="livepair-local-") as folder:
        world = await asyncio.to_thread(World, Path(folder), port + 1)
        site = Site(
            world,
            Forwarder(forward_to, world.cloud.secret, world.cloud.clock),
            lambda line: print(line, flush=True),
        )
        try:
            try:
                await site.start(port)
            except OSError as error:
                print(f"The page cannot be served: {error}. Give another port: PORT=8787 make local")
                return 2
            if site.port != port:
                print(f"Port {port} is taken; the page is at {site.port}.")
            for name, value in about(site).items():
                print(f"  {name:<15} {value}")
            print("\nFor python -m handler --env-file local.env:")
            print("\n".join(world.variables()))
            print("\nOpen the page and upload something. Ctrl-C ends it.", flush=True)
            await stop.wait()
            print("Ending …", flush=True)
        finally:
            await site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
