"""Ask the operator in this pod how it is: ``python -m configbuild.probe healthz|readyz``.

Standard library only, since a probe runs every few seconds. Exit code 0 if the answer is 200.
"""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_S = 5.0


def main(route: str) -> int:
    """Ask ``/route`` of the HTTP API on its loopback address."""
    host = os.environ.get("ADE_HTTP_HOST", "127.0.0.1")
    port = int(os.environ.get("ADE_HTTP_PORT", "8080"))
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/{route}")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except OSError as error:
        sys.stderr.write(f"no answer from {host}:{port}: {error}\n")
        return 1
    finally:
        connection.close()
    if answer.status != http.client.OK:
        sys.stderr.write(f"{answer.status}: {body}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
