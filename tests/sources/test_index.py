"""A private package index: real uv and real pip, and no package's code near the credentials."""

from __future__ import annotations

import asyncio
import base64
import ensurepip
import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from configbuild.builds.attempt import Attempt
from configbuild.errors import ConfigBuildError
from configbuild.events import BuildLog
from configbuild.outcome import Outcome
from configbuild.sources import SecretContent
from tests.engine.support import Bench
from tests.packages import write_package
from tests.sources.site import AUTHORIZATION, PASSWORD, USERNAME, Site

INSTALLERS = ("uv", "pip")

# Runs at every start of an interpreter that has the package: a way to look for what is not its own.
# In digits, so that no log can take out of it what it should not show.
SPY = "import os, sys; print('seen', repr(dict(os.environ)).encode().hex(), file=sys.stderr)"


class OneSecret:
    def __init__(self, site: Site, **data: bytes) -> None:
        login = {"username": USERNAME.encode(), "password": PASSWORD.encode()}
        self.content = SecretContent(
            data=data or login, annotations={"ade.dev/allowed-hosts": site.authority}
        )

    async def secret(self, namespace: str, name: str) -> SecretContent | None:
        return self.content if name == "index-login" else None


def wheel(
    name: str, *, requires: Sequence[str] = (), pth: str | None = None, version: str = "1.0.0"
) -> tuple[str, bytes]:
    """A wheel with one empty module, by its file name."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": "",
        f"{info}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {it}" for it in requires),
                "",
            ]
        ),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    if pth is not None:
        files[f"{module}.pth"] = pth + "\n"
    rows = [f"{path},{_hash(text.encode())},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "".join(f"{row}\n" for row in [*rows, f"{info}/RECORD,,"])
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{module}-{version}-py3-none-any.whl", buffer.getvalue()


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}"


def publish(site: Site, *wheels: tuple[str, bytes], place: str = "/private") -> str:
    """Put wheels on an index (PEP 503); gives its URL."""
    for file, data in wheels:
        name = file.split("-")[0].replace("_", "-")
        digest = hashlib.sha256(data).hexdigest()
        link = f'<a href="../../files/{file}#sha256={digest}">{file}</a>'
        site.files[f"{place}/files/{file}"] = data
        site.files[f"{place}/simple/{name}/"] = f"<!DOCTYPE html><body>{link}</body>".encode()
    return site.url(f"{place}/simple")


def pips_own_wheel() -> tuple[str, bytes]:
    """The one that comes with Python: pip upgrades itself, and goes on with what it got."""
    (bundled,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    return bundled.name, bundled.read_bytes()


async def bench_of(site: Site, directory: Path, **data: bytes) -> Bench:
    bench = await Bench.at(directory)
    resolver = replace(bench.reader.resolver, secrets=OneSecret(site, **data))
    return replace(bench, reader=replace(bench.reader, resolver=resolver))


def install(url: str, installer: str, **more: Any) -> dict[str, Any]:
    return {
        "installer": installer,
        "index": {"url": url, "secretRef": {"name": "index-login"}},
        **more,
    }


def build(bench: Bench, **spec: Any) -> tuple[Attempt, Outcome]:
    async def run() -> tuple[Attempt, Outcome]:
        attempt = await bench.attempt(**spec)
        return attempt, await attempt.run()

    return asyncio.run(run())


def seen_by_packages(bench: Bench, attempt: Attempt) -> list[str]:
    """What their code found in its environment, by :data:`SPY`."""
    logs = [event.body for event in bench.events(attempt) if isinstance(event.body, BuildLog)]
    seen = [log.message.split()[1] for log in logs if log.message.startswith("seen ")]
    return [bytes.fromhex(digits).decode() for digits in seen]


@pytest.fixture
def allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_ALLOWED_HOSTS", site.authority)


def everything(attempt: Attempt, directory: Path) -> dict[str, bytes]:
    """What is on disk after a build: venv, journal, caches."""
    files = {
        str(file): file.read_bytes()
        for root in ("venvs", "logs", "cache")
        for file in (directory / root).rglob("*")
        if file.is_file() and not file.is_symlink()
    }
    assert any(name.endswith(".ndjson") for name in files)
    return files


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("installer", INSTALLERS)
def test_private_index_is_read_by_the_installer_and_by_no_code_of_a_package(
    site: Site, tmp_path: Path, installer: str
) -> None:
    url = publish(
        site,
        pips_own_wheel(),
        *(wheel(name, version="99.0") for name in ("setuptools", "wheel")),
        wheel("ade-engine", pth=SPY),
        dependency := wheel("dependency"),
        wheel("ade-config", requires=["dependency", "ade-engine"]),
    )
    bench = asyncio.run(bench_of(site, tmp_path))

    attempt, outcome = build(
        bench,
        engine={"requirement": "ade-engine==1.0.0"},
        config={"requirement": "ade-config"},
        install=install(url, installer),
    )

    assert outcome.venv is not None, (outcome, [e.body for e in bench.events(attempt)])
    assert list(outcome.venv.path.rglob("dependency/__init__.py"))
    bill = json.loads(attempt.request.paths.bom.read_text())["components"]
    (hashed,) = [each["hashes"] for each in bill if each["name"] == "dependency"]
    assert hashed == [{"alg": "SHA-256", "content": hashlib.sha256(dependency[1]).hexdigest()}]
    fetched = [request for request in site.requests if "/files/" in request.path]
    assert {request.authorization for request in fetched} == {AUTHORIZATION}
    seen = "".join(seen_by_packages(bench, attempt))
    assert seen  # the package's code did run
    for secret in (PASSWORD.encode(), AUTHORIZATION.split()[1].encode(), b"p%40ss"):
        assert secret.decode() not in seen
        for place, data in everything(attempt, tmp_path).items():
            assert secret not in data, place


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("installer", ["uv"])
def test_config_from_a_tree_has_its_dependencies_from_a_private_index(
    site: Site, tmp_path: Path, installer: str
) -> None:
    url = publish(site, wheel("ade-engine"))
    bench = asyncio.run(bench_of(site, tmp_path))
    write_package(bench.sources / "spy", "ade-config", while_building=SPY)

    attempt, outcome = build(
        bench,
        engine={"requirement": "ade-engine"},
        config={"path": "spy"},
        install=install(url, installer),
    )

    assert outcome.venv is not None, outcome.message
    assert seen_by_packages(bench, attempt)
    assert PASSWORD not in "".join(seen_by_packages(bench, attempt))


@pytest.mark.usefixtures("allowed")
def test_index_that_wants_nothing_kept_is_installed_from_all_the_same(
    site: Site, tmp_path: Path
) -> None:
    site.headers["Cache-Control"] = "no-store, no-cache, max-age=0, private"
    url = publish(site, wheel("ade-engine"), wheel("ade-config"))
    bench = asyncio.run(bench_of(site, tmp_path))

    _, outcome = build(
        bench,
        engine={"requirement": "ade-engine"},
        config={"requirement": "ade-config"},
        install=install(url, "uv"),
    )

    assert outcome.venv is not None, outcome.message


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("installer", INSTALLERS)
def test_distribution_that_would_have_to_be_built_is_not_built_beside_credentials(
    site: Site, tmp_path: Path, installer: str
) -> None:
    url = publish(
        site,
        pips_own_wheel(),
        *(wheel(name) for name in ("ade-engine", "setuptools", "wheel")),
        ("ade_config-1.0.0.tar.gz", b"never looked into"),
    )
    bench = asyncio.run(bench_of(site, tmp_path))

    _, outcome = build(
        bench,
        engine={"requirement": "ade-engine"},
        config={"requirement": "ade-config"},
        install=install(url, installer),
    )

    assert outcome.reason == {"uv": "NoWheel", "pip": "NoMatchingDistribution"}[installer]
    assert all(".tar.gz" not in request.path for request in site.requests)


@pytest.mark.usefixtures("allowed")
def test_token_is_given_as_package_indexes_take_it(site: Site, tmp_path: Path) -> None:
    private = publish(site, wheel("ade-engine"))
    bench = asyncio.run(bench_of(site, tmp_path, token=b"tok-4711"))
    attempt = asyncio.run(bench.attempt(install=install(private, "uv")))

    login = attempt.request.sources.index.environment(
        attempt.request.spec.install.installer, tmp_path / "ca"
    )

    assert login == {
        "UV_NO_CONFIG": "0",
        "UV_INDEX_ADE0_USERNAME": "__token__",
        "UV_INDEX_ADE0_PASSWORD": "tok-4711",
    }


@pytest.mark.parametrize(
    ("allowed_hosts", "annotation", "reason"),
    [("", "{site}", "HostNotAllowed"), ("{site}", "other.example", "SecretNotAllowed")],
)
def test_index_that_may_not_be_asked_or_not_with_this_secret_is_told_before_a_build(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    allowed_hosts: str,
    annotation: str,
    reason: str,
) -> None:
    monkeypatch.setenv("ADE_ALLOWED_HOSTS", allowed_hosts.format(site=site.authority))
    secret = OneSecret(site)
    named = {"ade.dev/allowed-hosts": annotation.format(site=site.authority)}
    secret.content = replace(secret.content, annotations=named)
    bench = asyncio.run(Bench.at(tmp_path))
    resolver = replace(bench.reader.resolver, secrets=secret)
    bench = replace(bench, reader=replace(bench.reader, resolver=resolver))

    with pytest.raises(ConfigBuildError) as caught:
        asyncio.run(bench.attempt(install=install(site.url("/private/simple"), "uv")))

    assert caught.value.reason == reason
    assert site.requests == []


def test_index_of_the_settings_is_trusted(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = publish(site, wheel("ade-engine"), place="/open")
    monkeypatch.setenv("ADE_INDEX_URL", url)
    bench = asyncio.run(Bench.at(tmp_path))

    _, outcome = build(bench, engine={"requirement": "ade-engine"})

    assert outcome.venv is not None, outcome.message
    with pytest.raises(ConfigBuildError) as caught:
        asyncio.run(bench.attempt(install={"index": {"url": url + "/"}}))
    assert caught.value.reason == "HostNotAllowed"
