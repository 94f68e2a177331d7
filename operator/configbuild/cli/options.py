"""The options of ``kubectl configbuild``, and the connection that those for the server describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configbuild.cli.api import TIMEOUT_S, Api
from configbuild.cli.common import Output, Shape
from configbuild.cli.credentials import (
    Credentials,
    GivenToken,
    KubeconfigToken,
    Token,
    TokenFile,
    Trust,
)
from configbuild.kubeconfig import current_namespace

# What `kubectl port-forward service/configbuild-operator 8443` makes of it.
LOCAL_SERVER = "https://127.0.0.1:8443"

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="CONFIGBUILD_SERVER",
        metavar="URL",
        help="The operator's HTTP API.",
    ),
]
LogServer = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="CONFIGBUILD_SERVER",
        metavar="URL",
        help="The operator's HTTP API; otherwise the log is read from ConfigMaps, by kubectl.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="CONFIGBUILD_TOKEN",
        metavar="TOKEN",
        help="Shown to the operator; otherwise that of the kubeconfig's user.",
    ),
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--certificate-authority",
        envvar="CONFIGBUILD_CERTIFICATE_AUTHORITY",
        metavar="FILE",
        help="Who signs for the operator (PEM); otherwise whom its ConfigMap configbuild-ca names.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure-skip-tls-verify", help="Show the token to whoever answers."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NS",
        help="Otherwise that of the current kubectl context.",
    ),
]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A ConfigBuild.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="NAME|BUILD_ID",
        help="A ConfigBuild's newest build, or a build.",
    ),
]
Build = Annotated[
    str,
    typer.Argument(metavar="BUILD_ID", help="One of its builds."),
]
Events = Annotated[
    Output,
    typer.Option("--output", "-o", metavar="FORMAT", help="text, or ndjson: events as they are."),
]
ShapeOption = Annotated[
    Shape, typer.Option("--output", "-o", metavar="FORMAT", help="text, json, yaml, or name.")
]


def connect(
    server: str,
    namespace: str | None,
    token: str | None,
    token_file: Path | None,
    authority: Path | None,
    *,
    insecure: bool,
    timeout_s: float = TIMEOUT_S,
) -> Api:
    """Make the client that these options describe; nothing is sent yet."""
    source: Token = KubeconfigToken()
    if token_file:
        source = TokenFile(path=token_file)
    elif token:
        source = GivenToken(value=token)
    trust = Trust(file=authority, insecure=insecure, namespaces=(namespace or current_namespace(),))
    return Api(server=server, credentials=Credentials(source), trust=trust, timeout_s=timeout_s)
