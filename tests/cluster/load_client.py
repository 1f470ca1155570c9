"""Constant load on /predict over keep-alive and new connections, without retries; prints counts every second.

python load_client.py HOST PORT REQUESTS_PER_SECOND ENTITY...     0 requests per second: as many as possible
"""

import http.client
import itertools
import json
import sys
import threading
import time

WORKERS = 8
LOCK = threading.Lock()
COUNTS = {"requests": 0, "failed": 0, "fresh": 0, "kept": 0, "versions": {}, "errors": []}
LATENCIES = []


def main(host, port, rate, entities):
    """Send requests from WORKERS threads, half of which keep their connection alive."""
    pause = WORKERS / float(rate) if float(rate) else 0
    for number in range(WORKERS):
        work = (
            host,
            int(port),
            pause,
            itertools.cycle(entities[number % len(entities) :] + entities),
            number % 2 == 0,
        )
        threading.Thread(target=ask_forever, args=work, daemon=True).start()
    while True:
        time.sleep(1)
        with LOCK:
            ordered = sorted(LATENCIES[-20000:])
            worst = {
                f"p{p}_ms": round(1000 * ordered[int(len(ordered) * p / 100)], 1) for p in (50, 99) if ordered
            }
            print(json.dumps({**COUNTS, **worst}), flush=True)


def ask_forever(host, port, pause, entities, keeps):
    """Send requests forever, over the same connection if `keeps`, else each over a new one."""
    connection = None
    for entity in entities:
        began = time.monotonic()
        try:
            connection = connection or http.client.HTTPConnection(host, port, timeout=10)
            connection.request(
                "POST", "/predict", json.dumps({"user_id": entity}), {"content-type": "application/json"}
            )
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            error = None if response.status == 200 else f"{response.status} {text[:300]}"
            version = json.loads(text)["model"]["version"] if error is None else None
        except (OSError, http.client.HTTPException, ValueError, KeyError) as failure:
            error, version = f"{type(failure).__name__}: {failure}", None
        if connection is not None and (error or not keeps):
            connection.close()
            connection = None
        count(error, version, keeps, time.monotonic() - began)
        time.sleep(max(0, pause - (time.monotonic() - began)))


def count(error, version, keeps, seconds):
    """Count one request."""
    with LOCK:
        COUNTS["requests"] += 1
        COUNTS["kept" if keeps else "fresh"] += 1
        LATENCIES.append(seconds)
        if error:
            COUNTS["failed"] += 1
            COUNTS["errors"] = [*COUNTS["errors"], f"{time.strftime('%H:%M:%S')} {error}"][-10:]
        else:
            COUNTS["versions"][str(version)] = COUNTS["versions"].get(str(version), 0) + 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
