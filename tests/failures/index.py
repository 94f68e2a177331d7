"""A package index (PEP 503) on the loopback address that serves what a situation wants."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.packages import package_files

LOOPBACK = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the index; ``digest`` is what its page says, true unless a situation lies."""

    name: str
    content: bytes
    requires_python: str = ""
    digest: str | None = None
    yanked: bool = False

    @property
    def project(self) -> str:
        return self.name.split("-")[0].replace("_", "-")

    @property
    def link(self) -> str:
        """Its line on the page of its project."""
        digest = self.digest or hashlib.sha256(self.content).hexdigest()
        marks = f' data-requires-python="{self.requires_python}"' if self.requires_python else ""
        marks += ' data-yanked="broken"' if self.yanked else ""
        return f'<a href="/files/{self.name}#sha256={digest}"{marks}>{self.name}</a><br>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What an index answers: files, or the same status to everything.

    ``cut``: it breaks off in the middle of every file. ``silent``: it takes requests and says
    nothing, until it is closed.
    """

    files: tuple[File, ...] = ()
    status: int | None = None
    cut: bool = False
    silent: bool = False

    def page(self, project: str) -> bytes | None:
        links = [file.link for file in self.files if file.project == project]
        if not links:
            return None
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


def wheel(
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    requires_python: str = "",
    module_source: str = "",
) -> File:
    """Make a wheel of one module, the same bytes every time."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *([f"Requires-Python: {requires_python}"] if requires_python else []),
        *[f"Requires-Dist: {requirement}" for requirement in requires],
    ]
    files = {
        f"{name.replace('-', '_')}.py": module_source,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            # ZipInfo's own date, 1980, and not the clock's.
            archive.writestr(zipfile.ZipInfo(path), text)
    return File(
        name=f"{stem}-{tag}.whl", content=content.getvalue(), requires_python=requires_python
    )


def sdist(name: str, version: str, *, while_building: str = "pass") -> File:
    """Make a source distribution with a back end of its own."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = package_files(name, version=version, while_building=while_building)
    files["PKG-INFO"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return File(name=f"{stem}.tar.gz", content=content.getvalue())


@contextmanager
def serve(shelf: Shelf, *, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve until left; gives the URL. ``tls``: certificate and key, as PEM files."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if shelf.silent:
                closing.wait()
            status, content = _answer(shelf, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", _content_type(self.path))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            if shelf.cut and "/files/" in self.path:
                content = content[: len(content) // 2]
                self.close_connection = True
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Its threads may hang on a reader that is gone: they end with the process.
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.server_port}/simple"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for the loopback address that nobody signed but itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "index.crt", directory / "index.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def _content_type(path: str) -> str:
    return "application/octet-stream" if path.startswith("/files/") else "text/html"


def _answer(shelf: Shelf, path: str) -> tuple[int, bytes]:
    if shelf.status is not None:
        return shelf.status, b""
    found: bytes | None = None
    if path.startswith("/simple/"):
        found = shelf.page(path.removeprefix("/simple/").strip("/"))
    elif path.startswith("/files/"):
        name = path.removeprefix("/files/")
        found = next((file.content for file in shelf.files if file.name == name), None)
    return (404, b"") if found is None else (200, found)
