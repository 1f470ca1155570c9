"""Open-loop load on /predict: requests begin at a fixed rate, whatever becomes of those before.

python open_loop.py HOST PORT REQUESTS_PER_SECOND SECONDS ENTITY...

None is sent again; with RETRY=1 in the environment, each that fails is sent once more, over a new connection.
Every other request goes over a new connection, the others over kept ones. One line a request, when it has ended:

    id start end code kind controlled what

Times are seconds since 1970; `code` is 0 without an answer; `kind` is kept or fresh; `controlled` is 1 for a 503 with
Retry-After and a problem document; `what` is the model version of a prediction, or the error. This file imports the
standard library only, because it also runs in pods.
"""

import asyncio
import json
import os
import sys
import time

TIMEOUT_SECONDS = 10.0
RETRY = bool(os.environ.get("RETRY"))


class Client:
    """Sends requests to one address."""

    def __init__(self, host, port, entities):
        self.address = (host, int(port))
        self.entities = entities
        self.free = []

    async def send(self, number):
        """Send one request and print its line."""
        fresh = number % 2 == 1
        began = time.time()
        code, controlled, what = await self._tried(number, fresh)
        if RETRY and not 0 < code < 500:
            code, controlled, what = await self._tried(number, True)
        kind = "fresh" if fresh else "kept"
        print(number, f"{began:.6f}", f"{time.time():.6f}", code, kind, controlled, what, flush=False)

    async def _tried(self, number, fresh):
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._ask(self.entities[number % len(self.entities)], fresh)
        except Exception as error:
            return 0, 0, f"{type(error).__name__}:{error}".replace(" ", "_")[:200]

    def _kept(self):
        """The connection used last that the server has not closed, as it may after a while; None without one."""
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _ask(self, entity, fresh):
        kept = None if fresh else self._kept()
        reader, writer = kept or await asyncio.open_connection(*self.address)
        keeps = False
        try:
            body = json.dumps({"user_id": entity}).encode()
            head = (
                f"POST /predict HTTP/1.1\r\nhost: {self.address[0]}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n{'connection: close' if fresh else 'connection: keep-alive'}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            text = await reader.readexactly(int(headers.get("content-length", "0")))
            keeps = not fresh and headers.get("connection") != "close"
        finally:
            if keeps:
                self.free.append((reader, writer))
            else:
                writer.close()
        code = int(lines[0].split()[1])
        answer = json.loads(text)
        if code == 200:
            return code, 0, f"version={answer['model']['version']}"
        problem = headers.get("content-type", "").startswith("application/problem+json")
        return code, int(code == 503 and problem and "retry-after" in headers), answer.get("code", "-")


async def main(host, port, rate, seconds, entities):
    """Send `rate` requests a second for `seconds` seconds."""
    client, tasks = Client(host, port, entities), set()
    began, rate = time.monotonic(), float(rate)
    for number in range(int(rate * float(seconds))):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        task = asyncio.ensure_future(client.send(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if number % rate == 0:
            sys.stdout.flush()
    await asyncio.gather(*tasks)
    print("end", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], sys.argv[5:]))
