"""Runs in a pod: follows the builds of a config through the operator's Service.

    python - URL NAMESPACE CONFIG

As a program of anybody's would: the standard library, a projected token, the authority from the
ConfigMap `configbuild-ca`. It prints the events as they come, each behind the second at which it
came, and ends with the build; with 3 if it is refused.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

URL, NAMESPACE, CONFIG = sys.argv[1:]
CREDENTIALS = "/var/run/configbuild"
TRUST = ssl.create_default_context(cafile=f"{CREDENTIALS}/ca.crt")
TIMEOUT_S = 60


def ask(path: str) -> Any:
    """Open a path with the token that the volume has now."""
    with open(f"{CREDENTIALS}/token") as file:  # noqa: PTH123 - as short as a program can be
        token = file.read()
    request = urllib.request.Request(
        f"{URL}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )
    return urllib.request.urlopen(request, timeout=TIMEOUT_S, context=TRUST)


def newest() -> str:
    """Wait for the config, and for a build of it; returns its id."""
    while True:
        try:
            with ask(f"/workspaces/{NAMESPACE}/configs/{CONFIG}/builds") as answer:
                builds = json.load(answer)["builds"]
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            builds = []
        if builds:
            return str(builds[0]["id"])
        print("WAITING", flush=True)
        time.sleep(0.2)


def main() -> int:
    try:
        with ask(f"/builds/{newest()}/events?follow=true") as answer:
            for line in answer:
                if line.strip():
                    print(f"{time.time():.3f} {line.decode().strip()}", flush=True)
    except urllib.error.HTTPError as error:
        print(error.read().decode(), flush=True)
        return 3
    return 0


sys.exit(main())
