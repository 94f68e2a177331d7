"""``python -m configbuild.web.openapi`` prints the OpenAPI document, as in docs/openapi.json."""

from __future__ import annotations

import json
import sys

from configbuild.web.app import routed_app


def openapi_json() -> str:
    """Give the OpenAPI document of the HTTP API as it is checked in."""
    return json.dumps(routed_app().openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_json())
