"""Probe whether Feast's server is ready: read an entity that does not exist, from the registry and the online store.

`/health` would answer from a cache while the database is down. Uses only the standard library, to start quickly.

    python -I probe_feast.py FEATURE_SERVICE JOIN_KEY [URL]
"""

import json
import sys
import urllib.request

service, key, *rest = sys.argv[1:]
url = rest[0] if rest else "http://127.0.0.1:6566"
body = json.dumps({"feature_service": service, "entities": {key: ["probe:nobody"]}}).encode()
request = urllib.request.Request(
    f"{url}/get-online-features", data=body, headers={"content-type": "application/json"}, method="POST"
)
with urllib.request.urlopen(request, timeout=4) as response:
    results = json.load(response)["results"]
sys.exit(0 if results else 1)
