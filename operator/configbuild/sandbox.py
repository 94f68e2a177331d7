"""What a command of a build, or of a source, sees and may do: its environment and its cage.

Both are made here, from allow-lists, and nothing else in the project knows what is on them. The
cage is enforced by :mod:`configbuild.confinement`, in the launcher's child between fork and exec.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

from configbuild.cage import Cage, Limits, Reach
from configbuild.installers import Access, PlannedCommand, Toolchain
from configbuild.layout import BuildPaths, Caches
from configbuild.steps import (
    COLLECT_METADATA,
    COMPILE_BYTECODE,
    COMPILE_TOOLS,
    UNSHARE_FILES,
    VERIFY_IMPORTS,
)

# From the operator's own environment, because they belong to the cluster and not to a person:
# proxies and trusted certificates. All else stays out: tokens, service addresses, settings.
PASSED_ON = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)

_FIXED = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
    # A build's output depends on what is declared, never on files of whoever runs the operator.
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_COLOR": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_KEYRING_PROVIDER": "disabled",
    "NETRC": "/dev/null",
    "NO_COLOR": "1",
    "UV_NO_CONFIG": "1",
    "UV_NO_PROGRESS": "1",
    "UV_NO_ENV_FILE": "1",
    "UV_KEYRING_PROVIDER": "disabled",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_PYTHON_PREFERENCE": "only-system",
    "GIT_ALLOW_PROTOCOL": "https",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
}


# The system, which holds nobody's secrets: programs, libraries, compilers and what these read. In
# an image they are the same for everybody. Where a file is denied, programs fail that do well
# without it (pip and openpyxl open /etc/mime.types if it is there), so this list is not the
# shortest that works.
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/debian_version",
    "/etc/os-release",
    "/etc/mime.types",
    # Debian's pip reads it when it is imported, also where it asks nobody: so `venv` would fail.
    "/etc/ssl/certs",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/group",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
)

# How names become addresses, and who is trusted by TLS.
_NETWORK = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
)

_ASK_AN_INDEX = (Access.BUILD, Access.FETCH, Access.INSTALL, Access.INSTALL_OWN)

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

# Indexes and the hosts of their files, by HTTPS; and name servers, whose long answers come by TCP.
_USUAL_PORTS = (53, 443)
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}


def step_environment(paths: BuildPaths, inherited: Mapping[str, str]) -> dict[str, str]:
    """Make the whole environment of a command, from an allow-list.

    ``inherited`` is the operator's environment; only :data:`PASSED_ON` is taken from it. The caches
    are those of the namespace; see :func:`environment_for`.
    """
    passed = {name: inherited[name] for name in PASSED_ON if inherited.get(name)}
    if "SSL_CERT_FILE" in passed:
        passed["PIP_CERT"] = passed["SSL_CERT_FILE"]
    return {
        **_FIXED,
        **passed,
        **_home_variables(paths.home, paths.tmp),
        **_cache_variables(paths.caches),
    }


def environment_for(
    access: Access, paths: BuildPaths, environment: Mapping[str, str]
) -> dict[str, str]:
    """Give a step's environment (:func:`step_environment`) the places that a command may use."""
    places = _cache_variables(_caches(access, paths))
    if access is Access.FETCH:
        places |= _home_variables(paths.index.home, paths.index.tmp)
    return {**environment, **places}


def make_cage(
    command: PlannedCommand,
    *,
    paths: BuildPaths,
    tools: Toolchain,
    index_urls: Iterable[str],
    environment: Mapping[str, str],
    limits: Limits,
) -> Cage:
    """Decide what a command may do: what it needs for what it does, and nothing that others have.

    Of other builds no venv, scratch or cache; of the operator no token, journal, source or process.
    """
    return Cage(
        readable=(*_readable(command.access, paths, tools), *_certificates(environment)),
        writable=(Path("/dev/null"), *_writable(command.access, paths), *command.writes),
        ports=_ports(command.access, tools, index_urls, environment),
        limits=limits,
    )


def source_cage(reach: Reach, limits: Limits) -> Cage:
    """Decide what a command may do that fetches a source: what it says it needs, and the system.

    It resolves no names: where it connects to was looked up and checked before.
    """
    system = [*_SYSTEM, *(_NETWORK if reach.ports else ())]
    return Cage(
        readable=(*map(Path, system), *_program(reach.program), *reach.readable),
        writable=(Path("/dev/null"), *reach.writable),
        ports=reach.ports,
        limits=limits,
    )


def _program(path: Path) -> tuple[Path, ...]:
    """Give a program and what it is installed with: the prefix, where it lies in a ``bin``."""
    found = {path, Path(os.path.realpath(path))}
    return tuple({_home(each) if each.parent.name == "bin" else each for each in found})


def _readable(access: Access, paths: BuildPaths, tools: Toolchain) -> tuple[Path, ...]:
    interpreter = tools.interpreter
    system = (
        *map(Path, _SYSTEM),
        *_homes(interpreter.path),
        # Debian keeps its sitecustomize.py there, and links to it from below /usr.
        Path(f"/etc/python{interpreter.minor}"),
    )
    own = (paths.scratch, paths.venv)
    more: tuple[Path, ...]
    match access:
        case Access.CREATE | Access.INSPECT:
            more = (tools.uv, VERIFY_IMPORTS, *own)
        case Access.INSTALL_FETCHED:
            more = (tools.uv, *own)
        case Access.LOOK_UP | Access.LOOK_UP_FETCHED:
            more = (tools.uv, *_wheelhouse(tools), paths.scratch)
        case Access.BUILD | Access.FETCH | Access.INSTALL | Access.INSTALL_OWN:
            more = (*map(Path, _NETWORK), tools.uv, *_wheelhouse(tools), *own)
        case Access.REWORK:
            more = (COMPILE_BYTECODE, UNSHARE_FILES, paths.venv)
        case Access.REWORK_OWN:
            more = (COMPILE_TOOLS,)
        case Access.COLLECT:
            # The interpreter is the operator's own, and so is the program.
            more = (*_homes(tools.operator_python), COLLECT_METADATA, *own)
        case _:
            assert_never(access)
    return (*system, *more)


def _wheelhouse(tools: Toolchain) -> tuple[Path, ...]:
    return () if tools.wheelhouse is None else (tools.wheelhouse,)


def _writable(access: Access, paths: BuildPaths) -> tuple[Path, ...]:
    caches = _caches(access, paths)
    passing = (paths.home, paths.tmp, caches.uv, caches.pip)
    match access:
        case Access.FETCH:
            return (paths.index.root, caches.uv, caches.pip)
        case Access.CREATE | Access.INSTALL | Access.INSTALL_FETCHED | Access.INSTALL_OWN:
            return (*passing, paths.venv)
        case Access.REWORK:
            return (paths.venv,)
        case Access.REWORK_OWN:
            return (caches.uv,)
        case Access.BUILD | Access.INSPECT | Access.LOOK_UP | Access.LOOK_UP_FETCHED:
            return passing
        case Access.COLLECT:
            return ()
        case _:
            assert_never(access)


def _caches(access: Access, paths: BuildPaths) -> Caches:
    match access:
        case Access.CREATE | Access.INSTALL | Access.LOOK_UP:
            return paths.caches
        case Access.FETCH | Access.INSTALL_FETCHED | Access.LOOK_UP_FETCHED:
            return paths.index_caches
        case Access.BUILD | Access.INSTALL_OWN | Access.REWORK_OWN:
            return paths.own_caches
        case Access.INSPECT | Access.REWORK | Access.COLLECT:
            return paths.passing_caches
        case _:
            assert_never(access)


def _home_variables(home: Path, tmp: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
    }


def _cache_variables(caches: Caches) -> dict[str, str]:
    return {"UV_CACHE_DIR": str(caches.uv), "PIP_CACHE_DIR": str(caches.pip)}


def _homes(python: Path) -> tuple[Path, ...]:
    """Find the folders that an interpreter lives in, by its path and by where that leads."""
    return tuple({_home(python), _home(Path(os.path.realpath(python)))})


def _home(python: Path) -> Path:
    """Give an interpreter's prefix where it lies in a ``bin``, else its folder or itself.

    Never the root, to which /bin/python and /python would lead.
    """
    folder = python.parent
    for home in (folder.parent,) * (folder.name == "bin") + (folder,):
        if home != home.parent:
            return home
    return python


def _certificates(environment: Mapping[str, str]) -> list[Path]:
    named = [environment.get("SSL_CERT_FILE", ""), *environment.get("SSL_CERT_DIR", "").split(":")]
    return [Path(path) for path in named if path.startswith("/") and path != "/"]


def _ports(
    access: Access, tools: Toolchain, index_urls: Iterable[str], environment: Mapping[str, str]
) -> tuple[int, ...]:
    if access not in _ASK_AN_INDEX or tools.wheelhouse is not None:
        return ()
    proxies = [environment[name] for name in _PROXIES if environment.get(name)]
    asked = {_port(url) for url in (*index_urls, *proxies)}
    return tuple(sorted({*_USUAL_PORTS, *asked} - {0}))


def _port(url: str) -> int:
    """Take the port from a URL, or from a ``host:port``; 0 if there is none to be had."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:  # no URL; whoever uses it will say so
        return 0
