"""Print the events of a build, from the first to the last: ``python follow.py BUILD_ID``."""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx

token = os.environ.get("TOKEN")
http = httpx.Client(
    base_url=os.environ["URL"] + "/api/v1",
    headers={"Authorization": f"Bearer {token}"} if token else {},
    timeout=httpx.Timeout(
        10, read=45
    ),  # three heartbeats that did not come: the connection is dead
)


# region: follow
def follow(build_id: str, after_id: int = 0) -> Iterator[dict[str, Any]]:
    """Give every event above ``after_id`` once, to the end of the build."""
    while True:
        query = {"follow": "true", "after_id": after_id}
        try:
            with http.stream("GET", f"/builds/{build_id}/events", params=query) as answer:
                if not answer.is_server_error:  # that passes; the rest is a refusal
                    answer.raise_for_status()
                    for line in whole_lines(answer):
                        if not line:  # a heartbeat
                            continue
                        event = json.loads(line)
                        after_id = event["id"]
                        yield event
                        if event["type"] == "build.completed":
                            return
        except httpx.TransportError:
            pass  # cut
        time.sleep(1)


def whole_lines(answer: httpx.Response) -> Iterator[bytes]:
    """Give lines that have their end; what a cut left of one comes again."""
    pending = b""
    for block in answer.iter_bytes():
        *lines, pending = (pending + block).split(b"\n")
        yield from lines


# endregion


for event in follow(sys.argv[1]):
    print(json.dumps(event, separators=(",", ":"), ensure_ascii=False), flush=True)
