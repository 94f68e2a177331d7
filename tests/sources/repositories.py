"""Git repositories made for tests, with a real git that reads no configuration of anybody's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": text
        for who in ("AUTHOR", "COMMITTER")
        for what, text in {"NAME": "a", "EMAIL": "a@example", "DATE": "1700000000 +0000"}.items()
    },
}


class Repository:
    """A bare repository at ``path``, and the plumbing to commit to it without a work tree."""

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path = path
        git(path.parent, "init", "-q", "--bare", f"--object-format={object_format}", str(path))

    def commit(
        self,
        files: Mapping[str, str | bytes],
        *,
        branch: str = "main",
        links: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
    ) -> str:
        """Make a commit of exactly these files the tip of a branch, without parents; its id."""
        index = self.path / "index.new"
        index.unlink(missing_ok=True)
        rows = [(path, "100644", self._blob(content)) for path, content in files.items()]
        rows += [(path, "120000", self._blob(target)) for path, target in (links or {}).items()]
        rows += [(path, "160000", commit) for path, commit in (submodules or {}).items()]
        info = "".join(f"{mode} {oid}\t{path}\n" for path, mode, oid in rows)
        self._git("update-index", "--index-info", stdin=info, GIT_INDEX_FILE=str(index))
        tree = self._git("write-tree", GIT_INDEX_FILE=str(index))
        commit = self._git("commit-tree", "-m", "rules", tree)
        self._git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        kind = ("-a", "-m", "a tag") if annotated else ()
        self._git("tag", "-f", *kind, name, commit)

    def move(self, branch: str, commit: str) -> None:
        self._git("update-ref", f"refs/heads/{branch}", commit)

    def forget_unreachable(self) -> None:
        """Remove what no reference leads to."""
        self._git("reflog", "expire", "--expire=now", "--all")
        self._git("gc", "-q", "--prune=now")

    def configure(self, key: str, value: str) -> None:
        self._git("config", key, value)

    def _blob(self, content: str | bytes) -> str:
        data = content if isinstance(content, bytes) else content.encode()
        return self._git("hash-object", "-w", "--stdin", stdin=data)

    def _git(self, *arguments: str, stdin: str | bytes = b"", **environment: str) -> str:
        return git(self.path, *arguments, stdin=stdin, **environment)


def git(directory: Path, *arguments: str, stdin: str | bytes = b"", **environment: str) -> str:
    """Run git in a directory and give what it printed."""
    ran = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env={**_ENVIRONMENT, **environment},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()
