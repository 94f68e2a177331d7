"""``kubectl configbuild``: the plugin's commands, put together."""

from __future__ import annotations

import sys

import typer

from configbuild.cli.common import run_app
from configbuild.cli.completing import answer
from configbuild.cli.completion import ASK, completion
from configbuild.cli.object_commands import activate, describe_one, explain_one, list_them, top
from configbuild.cli.progress import write_lines
from configbuild.cli.run_command import run
from configbuild.cli.server_commands import build, cancel, logs

_COMMAND = "kubectl configbuild"

app = typer.Typer(
    name=_COMMAND,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def about() -> None:
    """Look at ConfigBuilds, ask for their builds, watch them, end them, and run what they made.

    What Kubernetes knows is read by kubectl, with your own rights and context: list, describe,
    explain, top, activate, run. logs, build, cancel and list NAME ask the operator through its HTTP
    API, for instance by

    \b
      kubectl port-forward service/configbuild-operator 8443

    It is shown the token that kubectl has, if the kubeconfig's user has one; with a client
    certificate, say --token "$(kubectl create token NAME)".

    \b
    Exit codes:
      0  well; where the end of a build is waited for or seen: it is active
      1  that build failed or was canceled; or kubectl failed, and said why
      2  the operator refused, or an option is wrong
      3  the operator cannot be reached, or cannot answer now
    run ends with the exit code of its command; 125: it could not be run.

    Whatever ends these commands, Ctrl-C or a closed pipe: builds go on.
    """  # noqa: D301 - click's mark for lines that are to stay as they are


app.command(name="list")(list_them)
app.command(name="describe")(describe_one)
app.command()(logs)
app.command()(build)
app.command()(cancel)
app.command()(activate)
app.command(name="explain")(explain_one)
app.command()(top)
app.command()(run)
app.command()(completion)


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == [ASK]:
        write_lines(*answer(app, sys.argv[2:]))
    else:
        run_app(app, name=_COMMAND)


def complete() -> None:
    """Be ``kubectl_complete-configbuild``, which kubectl asks."""
    write_lines(*answer(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
