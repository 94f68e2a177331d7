"""The few API requests this package makes by itself: JSON over HTTPS, standard library only."""

from __future__ import annotations

import http.client
import json
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .certs import KeyPair
from .errors import ApiError

# Longer than any answer of a healthy API server on a busy machine.
TIMEOUT_S = 20.0
# The question is asked again anyway, and while it waits nobody looks whether the server lives.
READY_TIMEOUT_S = 2.0

JSON = "application/json"
# JSON is YAML.
APPLY = "application/apply-patch+yaml"


class ApiClient:
    """Requests as the owner of a client certificate, each over a connection of its own."""

    def __init__(self, url: str, *, ca: Path, user: KeyPair) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port)
        self._tls = ssl.create_default_context(cafile=ca)
        self._tls.load_cert_chain(user.certificate, user.key)

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: object) -> Any:
        return self._request("POST", path, body)

    def apply(self, path: str, body: object, *, manager: str) -> Any:
        """Apply an object on the server (KEP-555), as the owner of whatever it declares."""
        return self._request("PATCH", f"{path}?fieldManager={manager}&force=true", body, APPLY)

    def delete(self, path: str) -> Any:
        return self._request("DELETE", path)

    def ready(self) -> bool:
        """Tell whether the server says of itself that it is ready; False if it says nothing."""
        try:
            return bool(self._text("GET", "/readyz", timeout_s=READY_TIMEOUT_S) == "ok")
        except (OSError, http.client.HTTPException, ApiError):
            return False

    def _request(self, method: str, path: str, body: object = None, kind: str = JSON) -> Any:
        text = None if body is None else json.dumps(body)
        return json.loads(self._text(method, path, text, kind=kind))

    def _text(
        self,
        method: str,
        path: str,
        body: str | None = None,
        *,
        kind: str = JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> str:
        """Return the body of the answer.

        Raises:
            ApiError: the server answered with an error status.
            OSError: it could not be reached, or did not answer in time.
        """
        host, port = self._address
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)
        try:
            headers = {} if body is None else {"Content-Type": kind}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(f"{method} {path}", answer.status, text)
        return text
