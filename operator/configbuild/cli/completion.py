"""The command ``completion``: what a shell needs to complete the words of the plugin itself.

For ``kubectl configbuild`` there is nothing to do but to load kubectl's own completion: it asks
``kubectl_complete-configbuild``. These scripts are for ``kubectl-configbuild``, called directly.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from configbuild.cli.progress import write_lines

# The hidden word before the words that are to be completed, as Cobra has it.
ASK = "__complete"

_PROGRAM = "kubectl-configbuild"

_BASH = f"""\
_kubectl_configbuild() {{
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :0) compopt -o default 2>/dev/null ;;
      :*) ;;
      *) COMPREPLY+=("${{line%%$'\\t'*}}") ;;
    esac
  done < <({_PROGRAM} {ASK} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)
}}
complete -F _kubectl_configbuild {_PROGRAM}"""

_ZSH = f"""\
#compdef {_PROGRAM}
_kubectl_configbuild() {{
  local -a lines candidates
  lines=("${{(@f)$({_PROGRAM} {ASK} "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if [[ ${{lines[-1]}} == :0 ]]; then
    _files
    return
  fi
  candidates=("${{(@)lines[1,-2]//:/\\\\:}}")
  candidates=("${{(@)candidates//$'\\t'/:}}")
  _describe configbuild candidates
}}
compdef _kubectl_configbuild {_PROGRAM}"""

_FISH = f"""\
function __kubectl_configbuild
    set -l current (commandline -ct)
    set -l words (commandline -opc)
    set -l lines ({_PROGRAM} {ASK} $words[2..-1] "$current" 2>/dev/null)
    if test "$lines[-1]" = :0
        __fish_complete_path "$current"
    else
        string match -v -r '^:' -- $lines
    end
end
complete -c {_PROGRAM} -f -a '(__kubectl_configbuild)'"""


class Shell(StrEnum):
    """A shell whose words can be completed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, or fish.")],
) -> None:
    """Print what a shell has to read to complete words behind kubectl-configbuild.

    \b
      source <(kubectl-configbuild completion bash)
      source <(kubectl-configbuild completion zsh)
      kubectl-configbuild completion fish | source

    Behind kubectl configbuild, kubectl's own completion does that, in each of these shells, where
    kubectl_complete-configbuild is on the PATH.
    """  # noqa: D301 - click's mark for lines that are to stay as they are
    write_lines(_SCRIPTS[shell])
