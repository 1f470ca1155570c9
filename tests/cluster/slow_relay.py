"""Relay TCP connections to a port of this machine and hold every piece of data for a while, in both directions.

python slow_relay.py LISTEN_PORT TARGET_PORT SECONDS

This file imports the standard library only, because it runs in a pod.
"""

import asyncio
import contextlib
import sys


async def copy(reader, writer, seconds):
    """Write what is read, in order, each piece `seconds` after it was read."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue()

    async def write():
        while (piece := await pieces.get()) is not None:
            due, data = piece
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    writing = asyncio.ensure_future(write())
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            pieces.put_nowait((loop.time() + seconds, data))
    pieces.put_nowait(None)
    with contextlib.suppress(OSError):
        await writing


async def main(listen, target, seconds):
    """Relay until the process is ended."""

    async def relay(reader, writer):
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", int(target))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, forth, float(seconds)), copy(back, writer, float(seconds)))

    async with await asyncio.start_server(relay, "0.0.0.0", int(listen)) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
