"""What a command of a build sees and may do.

Today this is its environment. Everything a command may read, write and signal (Landlock, seccomp,
resource limits) is decided here as well and enforced by :mod:`configbuild.launcher` between fork
and exec; nothing else in the project knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from configbuild.layout import BuildPaths

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


def step_environment(paths: BuildPaths, inherited: Mapping[str, str]) -> dict[str, str]:
    """Make the whole environment of a command, from an allow-list.

    ``inherited`` is the operator's environment; only :data:`PASSED_ON` is taken from it.
    """
    passed = {name: inherited[name] for name in PASSED_ON if inherited.get(name)}
    if "SSL_CERT_FILE" in passed:
        passed["PIP_CERT"] = passed["SSL_CERT_FILE"]
    return {
        **_FIXED,
        **passed,
        "HOME": str(paths.home),
        "TMPDIR": str(paths.tmp),
        "XDG_CACHE_HOME": str(paths.home / ".cache"),
        "XDG_CONFIG_HOME": str(paths.home / ".config"),
        "XDG_DATA_HOME": str(paths.home / ".local" / "share"),
        "UV_CACHE_DIR": str(paths.uv_cache),
        "PIP_CACHE_DIR": str(paths.pip_cache),
    }
