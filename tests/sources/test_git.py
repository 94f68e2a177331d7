"""Git repositories by a real ``git http-backend`` behind real TLS, and a real git at this end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from configbuild.archives import Limits
from configbuild.builds.inquiry import inquire
from configbuild.cage import Limits as CageLimits
from configbuild.cage import Reach
from configbuild.errors import SourceError, SourceKindError
from configbuild.model import GitSource
from configbuild.sources import Git, HostRules, Ran, Workplace
from configbuild.sources import git as git_module
from configbuild.sources.git import GitTree
from configbuild.sources.git import Repository as Declared
from configbuild.sources.secrets import Credentials
from configbuild.urls import parse_patterns
from tests.packages import package_files
from tests.sources.repositories import Repository
from tests.sources.site import AUTHORIZATION, PASSWORD, USERNAME, Site, serving
from tests.waits import process_ended

FILES = package_files("ade-config")
PROGRAM = Path(shutil.which("git") or "/usr/bin/git")


@pytest.fixture
def repository(site: Site) -> Repository:
    made = Repository(site.repositories / "rules.git")
    made.commit(FILES)
    return made


@dataclass(slots=True, kw_only=True)
class Kept:
    """Runs commands, and keeps what was run and what it wrote; in a cage, if it has ``cage``."""

    commands: list[tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    cage: CageLimits | None = field(default_factory=CageLimits)

    async def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, reach: Reach
    ) -> Ran:
        self.commands.append((argv, environment))
        ran = await inquire(
            argv, environment=environment, directory=directory, reach=reach, limits=self.cage
        )
        self.said += ran.tail
        return ran


def declared(
    site: Site,
    ref: str = "refs/heads/main",
    *,
    path: str = ".",
    place: str = "git",
    allowed: str | None = None,
    credentials: Credentials | None = None,
    limits: Limits | None = None,
) -> Declared:
    """A repository as a spec names it, with the operator's rules for it."""
    patterns = parse_patterns(site.authority if allowed is None else allowed)
    return Declared(
        source=GitSource(url=site.url(f"/{place}/rules.git"), ref=ref, path=path),
        git=Git(program=PROGRAM, ca_file=site.ca),
        hosts=HostRules(allowed=patterns),
        limits=limits or Limits(),
        credentials=credentials,
    )


def login(
    site: Site,
    *,
    username: str | None = USERNAME,
    password: str = PASSWORD,
    ca: bytes | None = None,
) -> Credentials:
    return Credentials(
        name="login",
        username=username,
        password=password,
        ca=ca,
        allowed=parse_patterns(site.authority),
    )


def resolve(repository: Declared, directory: Path, kept: Kept | None = None) -> GitTree:
    directory.mkdir(parents=True)
    return asyncio.run(repository.resolve((kept or Kept()).run, directory))


def fetch(tree: GitTree, directory: Path, kept: Kept | None = None) -> dict[str, bytes]:
    """Fetch a tree and read what is there then."""
    scratch = directory / "scratch"
    scratch.mkdir(parents=True)
    target = directory / "tree"
    run = (kept or Kept()).run
    place = Workplace(tree=target, scratch=scratch, run=run, say=lambda line: None)
    asyncio.run(tree.fetch(place))
    return {
        found.relative_to(target).as_posix(): found.read_bytes()
        for found in target.rglob("*")
        if not found.is_dir()
    }


def as_bytes(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def test_branch_is_resolved_to_its_commit_and_fetched_alone(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit({**FILES, "more": "x"})

    tree = resolve(declared(site), tmp_path / "resolve")

    assert (tree.commit, tree.moving) == (commit, True)
    assert (tree.origin.commit, tree.origin.named) == (commit, "refs/heads/main")
    source = declared(site).source
    assert (tree.origin.url, tree.origin.path) == (source.url, source.path)
    assert fetch(tree, tmp_path) == as_bytes({**FILES, "more": "x"})


@pytest.mark.parametrize("annotated", [False, True])
def test_tag_is_resolved_to_the_commit_that_it_names(
    site: Site, repository: Repository, tmp_path: Path, *, annotated: bool
) -> None:
    commit = repository.commit({**FILES, "tagged": "x"}, branch="release")
    repository.tag("v1", commit, annotated=annotated)

    tree = resolve(declared(site, "refs/tags/v1"), tmp_path / "resolve")

    assert (tree.commit, tree.moving) == (commit, True)
    assert fetch(tree, tmp_path)["tagged"] == b"x"


def test_commit_needs_no_server_to_be_resolved(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit({**FILES, "first": "x"})
    repository.commit(FILES)

    tree = resolve(declared(site, commit), tmp_path / "resolve")

    assert (tree.commit, tree.moving) == (commit, False)
    assert site.requests == []
    assert fetch(tree, tmp_path)["first"] == b"x"


def test_branch_and_tag_of_one_name_are_two_things(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    branch = repository.commit({"a": "branch"}, branch="v1")
    tag = repository.commit({"a": "tag"}, branch="other")
    repository.tag("v1", tag)
    repository.commit({"a": "deeper"}, branch="deep/refs/heads/v1")

    found = [
        resolve(declared(site, ref), tmp_path / ref).commit
        for ref in ("refs/heads/v1", "refs/tags/v1")
    ]

    assert found == [branch, tag]


def test_repository_of_sha256_objects_is_fetched_too(site: Site, tmp_path: Path) -> None:
    made = Repository(site.repositories / "rules.git", object_format="sha256")
    commit = made.commit(FILES)
    assert len(commit) == 64

    tree = resolve(declared(site), tmp_path / "resolve")

    assert tree.commit == commit
    assert fetch(tree, tmp_path) == as_bytes(FILES)


def test_only_the_declared_folder_is_taken(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a/b/x": "1", "a/y": "2", "z": "3"}, links={"a/link": "/etc"})

    tree = resolve(declared(site, path="a/b"), tmp_path / "resolve")

    assert fetch(tree, tmp_path) == {"x": b"1"}


@pytest.mark.parametrize("path", ["absent", "a/y"])
def test_folder_that_the_commit_has_not_is_told(
    site: Site, repository: Repository, tmp_path: Path, path: str
) -> None:
    repository.commit({"a/b/x": "1", "a/y": "2"})
    tree = resolve(declared(site, path=path), tmp_path / "resolve")

    with pytest.raises(SourceError, match=f"has no folder '{path}'") as caught:
        fetch(tree, tmp_path)

    assert (caught.value.reason, caught.value.field) == ("SourceInvalid", "spec.config.git.path")


@pytest.mark.parametrize(
    ("ref", "words"),
    [("refs/heads/absent", "no branch 'absent'"), ("refs/tags/absent", "no tag 'absent'")],
)
def test_missing_reference_is_told(
    site: Site, repository: Repository, tmp_path: Path, ref: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        resolve(declared(site, ref), tmp_path / "resolve")

    assert (caught.value.reason, caught.value.missing) == ("SourceNotFound", True)


def test_missing_repository_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not found") as caught:
        resolve(declared(site), tmp_path / "resolve")

    assert caught.value.reason == "SourceNotFound"


def test_branch_that_moves_before_the_build_is_still_built_as_it_was_resolved(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({**FILES, "old": "x"})
    tree = resolve(declared(site), tmp_path / "resolve")
    repository.commit({**FILES, "new": "x"})

    assert fetch(tree, tmp_path) == as_bytes({**FILES, "old": "x"})


def test_commit_that_is_gone_when_the_branch_was_moved_is_a_source_that_changed(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({**FILES, "old": "x"})
    tree = resolve(declared(site), tmp_path / "resolve")
    repository.commit({**FILES, "new": "x"})
    repository.forget_unreachable()

    with pytest.raises(SourceError, match="branch 'main' was moved") as caught:
        fetch(tree, tmp_path)

    assert caught.value.reason == "SourceChanged"


def test_branch_that_is_deleted_before_the_build_is_a_source_that_changed(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    tree = resolve(declared(site), tmp_path / "resolve")
    repository.commit(FILES, branch="other")
    repository.commit({"a": ""}, branch="main")
    (repository.path / "refs" / "heads" / "main").unlink()
    (repository.path / "refs" / "heads" / "other").unlink()
    repository.forget_unreachable()

    with pytest.raises(SourceError) as caught:
        fetch(tree, tmp_path)

    assert caught.value.reason == "SourceChanged"


@pytest.mark.parametrize("annotated", [False, True])
def test_server_that_gives_no_commit_by_its_id_is_asked_for_the_reference(
    site: Site, repository: Repository, tmp_path: Path, *, annotated: bool
) -> None:
    """Protocol 2 gives every object; only a server that speaks version 0 has such rules."""
    site.protocols.clear()
    commit = repository.commit({**FILES, "old": "x"}, branch="release")
    repository.tag("v1", commit, annotated=annotated)
    ref = "refs/tags/v1" if annotated else "refs/heads/release"
    tree = resolve(declared(site, ref), tmp_path / "resolve")
    if annotated:
        # Nothing advertises the commit itself: only the tag, and what it peels to.
        (repository.path / "refs" / "heads" / "release").unlink()
    kept = Kept()

    assert fetch(tree, tmp_path, kept)["old"] == b"x"
    asked = [argv[-1] for argv, _ in kept.commands if "fetch" in argv]
    assert (f"+{ref}:refs/fetched" in asked) is annotated

    repository.tag("v1", repository.commit(FILES, branch="release"), annotated=annotated)
    with pytest.raises(SourceError) as caught:
        fetch(tree, tmp_path / "again")
    assert caught.value.reason == "SourceChanged"


def test_commit_that_the_server_does_not_give_is_told(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    tree = resolve(declared(site, "0" * 39 + "1"), tmp_path / "resolve")

    with pytest.raises(SourceError, match="does not give the commit") as caught:
        fetch(tree, tmp_path)

    assert caught.value.reason == "SourceNotFound"


CURSED = {
    ".gitattributes": "* text eol=crlf ident filter=evil export-subst\nhidden export-ignore\n",
    ".gitmodules": '[submodule "sub"]\npath = sub\nurl = https://127.0.0.1:1/sub.git\n',
    ".gitconfig": "[core]\nhooksPath = hooks\n",
    "hooks/post-checkout": "#!/bin/sh\ntouch /tmp/configbuild-hook-ran\n",
    "text": "one\ntwo $Id$ $Format:%H$\n",
    "hidden": "is here",
    "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


def test_attributes_filters_hooks_and_submodules_of_a_repository_take_no_effect(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    inner = repository.commit({"a": ""}, branch="inner")
    repository.commit(CURSED, submodules={"sub": inner})
    tree = resolve(declared(site), tmp_path / "resolve")

    assert fetch(tree, tmp_path) == as_bytes(CURSED)
    assert all("/sub" not in request.path for request in site.requests)


def test_attributes_would_take_effect_without_the_guard(
    site: Site, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(CURSED)
    monkeypatch.setattr(git_module, "_ATTRIBUTES", "")
    tree = resolve(declared(site), tmp_path / "resolve")

    found = fetch(tree, tmp_path)

    assert "hidden" not in found
    assert b"\r\n" in found["text"]


def test_configuration_of_the_machine_is_not_read(
    site: Site, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "https://127.0.0.1:1/"]\n\tinsteadOf = {site.url("/")}\n')
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(config))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    control = subprocess.run(
        ["git", "ls-remote", site.url("/git/rules.git")], capture_output=True, check=False
    )
    assert control.returncode != 0

    assert fetch(resolve(declared(site), tmp_path / "resolve"), tmp_path) == as_bytes(FILES)


@pytest.mark.parametrize("link", ["/etc/passwd", "../../../etc/passwd", "pyproject.toml"])
def test_link_in_a_repository_is_refused(
    site: Site, repository: Repository, tmp_path: Path, link: str
) -> None:
    repository.commit(FILES, links={"link": link})

    with pytest.raises(SourceError, match="'link' is neither a file nor a folder") as caught:
        fetch(resolve(declared(site), tmp_path / "resolve"), tmp_path)

    assert caught.value.reason == "SourceInvalid"


def test_modes_are_those_that_were_committed(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"run": "#!/bin/sh\n", "data": ""})
    tree = resolve(declared(site), tmp_path / "resolve")
    previous = os.umask(0o077)
    try:
        fetch(tree, tmp_path)
    finally:
        os.umask(previous)

    assert stat.S_IMODE((tmp_path / "tree" / "data").stat().st_mode) == 0o644


def test_pack_that_is_too_large_is_cut_off(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"noise": os.urandom(4 << 20)})
    tree = resolve(declared(site, limits=Limits(bytes=1 << 20)), tmp_path / "resolve")

    with pytest.raises(SourceError) as caught:
        fetch(tree, tmp_path)

    assert caught.value.reason == "SourceInvalid"
    assert all(
        file.stat().st_size <= (1 << 20) + 4096
        for file in tmp_path.rglob("*pack*")
        if "site" not in file.parts
    )


def test_small_pack_of_a_large_file_is_cut_off(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"zeros": bytes(8 << 20)})
    tree = resolve(declared(site, limits=Limits(bytes=1 << 20)), tmp_path / "resolve")

    with pytest.raises(SourceError) as caught:
        fetch(tree, tmp_path)

    assert caught.value.reason == "SourceInvalid"


def test_private_repository_is_fetched_with_credentials_that_stand_in_no_argument_and_no_file(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    kept = Kept()
    tree = resolve(
        declared(site, place="private", credentials=login(site)), tmp_path / "resolve", kept
    )

    assert fetch(tree, tmp_path, kept) == as_bytes(FILES)

    assert {request.authorization for request in site.requests} == {AUTHORIZATION}
    told = [text for argv, _ in kept.commands for text in argv]
    files = [file for file in tmp_path.rglob("*") if file.is_file() and "site" not in file.parts]
    for secret in tree.secrets:
        assert all(secret.decode() not in text for text in told)
        assert all(secret not in file.read_bytes() for file in files)
    assert PASSWORD not in repr(tree)
    local = [env for argv, env in kept.commands if {"init", "archive"} & set(argv)]
    assert local
    assert all(AUTHORIZATION not in text for env in local for text in env.values())


def test_credentials_are_in_no_command_line_while_git_runs(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    seen: list[bytes] = []
    site.on_request = lambda: seen.extend(_command_lines())
    tree = resolve(declared(site, place="private", credentials=login(site)), tmp_path / "resolve")
    fetch(tree, tmp_path)

    assert any(b"git-remote-https" in line or b"remote-https" in line for line in seen)
    assert all(secret not in line for line in seen for secret in tree.secrets)


def _command_lines() -> Iterator[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                yield (process / "cmdline").read_bytes()


def test_private_repository_is_denied_without_credentials_and_with_others(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    for number, credentials in enumerate((None, login(site, password="wrong-4712"))):
        with pytest.raises(SourceError) as caught:
            resolve(
                declared(site, place="private", credentials=credentials), tmp_path / f"{number}"
            )
        assert (caught.value.reason, caught.value.missing) == ("SourceDenied", True)
        assert "wrong-4712" not in caught.value.message


def test_token_is_sent_as_a_bearer_token(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    resolve(declared(site, credentials=login(site, username=None)), tmp_path / "resolve")

    assert site.requests[0].authorization == f"Bearer {PASSWORD}"


def test_authority_of_the_secret_is_what_the_server_is_checked_by(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    with serving(tmp_path / "other") as other:
        theirs = login(site, ca=other.ca.read_bytes())
        ours = login(site, ca=site.ca.read_bytes())

        with pytest.raises(SourceError, match="certificate"):
            resolve(declared(site, credentials=theirs), tmp_path / "theirs")
        assert site.requests == []

        untrusting = declared(site, credentials=ours)
        untrusting = dataclasses.replace(untrusting, git=Git(program=PROGRAM))
        assert resolve(untrusting, tmp_path / "ours").commit


def test_redirect_is_not_followed_and_takes_no_credentials_along(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    with serving(tmp_path / "inner", address="127.0.0.2") as inner:
        Repository(inner.repositories / "rules.git").commit(FILES)
        path = "/git/rules.git/info/refs"
        site.redirects[path] = inner.url("/git/rules.git/info/refs?service=git-upload-pack")

        with pytest.raises(SourceError, match="a redirect, which is not followed") as caught:
            resolve(declared(site, credentials=login(site)), tmp_path / "resolve")

        assert caught.value.reason == "SourceNotFound"
        assert inner.requests == []
        both = tmp_path / "both.crt"
        both.write_bytes(site.ca.read_bytes() + inner.ca.read_bytes())
        control = subprocess.run(
            ["git", "-c", f"http.sslCAInfo={both}", "ls-remote", site.url("/git/rules.git")],
            env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"},
            capture_output=True,
            check=False,
        )
        assert control.returncode == 0, control.stderr
        assert inner.requests != []


def test_host_that_is_not_public_is_refused_unless_the_settings_name_it(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    for number, ref in enumerate(("refs/heads/main", "0" * 40)):
        with pytest.raises(SourceError) as caught:
            resolve(declared(site, ref, allowed=""), tmp_path / f"refused-{number}")
        assert caught.value.reason == "HostNotAllowed"
    assert site.requests == []
    assert resolve(declared(site), tmp_path / "allowed")


def test_git_connects_to_the_address_that_was_checked_and_resolves_nothing_itself(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    """The name is one that resolves nowhere: only the pin can have led git to the server."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    named = declared(site)
    named = dataclasses.replace(
        named,
        source=dataclasses.replace(named.source, url=site.url("/git/rules.git", "git.test")),
        hosts=HostRules(allowed=parse_patterns(f"git.test:{site.port}"), look_up=look_up),
    )

    assert fetch(resolve(named, tmp_path / "resolve"), tmp_path) == as_bytes(FILES)


def test_old_git_is_refused_since_it_would_resolve_names_by_itself(
    site: Site, tmp_path: Path
) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.36.9\n")
    old.chmod(0o755)

    for program, words in ((old, "needs git 2.37 or later"), (tmp_path / "absent", "has no git")):
        wanted = dataclasses.replace(declared(site), git=Git(program=program))
        with pytest.raises(SourceKindError, match=words) as caught:
            resolve(wanted, tmp_path / words)
        assert caught.value.reason == "SourceKindUnavailable"


# What somebody does who has made git his own: he tries all, and then does what was asked for, so
# that nobody takes notice. `%s`: where his aims are; a port that nobody has allowed.
TAKEN_OVER = """\
#!/bin/bash
for verb in "$@"; do case $verb in version|ls-remote|init|fetch|archive) break; esac; done
try() {{ if (eval "$2") 2>/dev/null; then echo "$verb: $1" >&2; fi; }}
try "read outside" 'read -r line <{aims}/secret'
try "wrote outside" ': >{aims}/written'
try "wrote into temporary files of others" ': >/tmp/{token} && rm /tmp/{token}'
try "connected elsewhere" 'exec 3<>/dev/tcp/127.0.0.1/{port}'
try "saw the operator" 'read -r line </proc/{pid}/stat'
try "signalled the operator" 'kill -CONT {pid}'
exec {git} "$@"
"""
TRIED = (
    "read outside",
    "wrote outside",
    "wrote into temporary files of others",
    "connected elsewhere",
    "saw the operator",
    "signalled the operator",
)


@pytest.fixture
def taken_over(tmp_path: Path) -> Iterator[Path]:
    """A git that goes for what is not its own, and works all the same."""
    aims = tmp_path / "aims"
    aims.mkdir()
    (aims / "secret").write_text("secret\n")
    program = tmp_path / "git"
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        program.write_text(
            TAKEN_OVER.format(
                aims=aims,
                token=secrets.token_hex(8),
                port=elsewhere.getsockname()[1],
                pid=os.getpid(),
                git=PROGRAM,
            )
        )
        program.chmod(0o755)
        yield program


@pytest.mark.parametrize("caged", [True, False])
def test_git_that_was_taken_over_gets_at_its_own_folder_and_its_server_alone(
    site: Site, repository: Repository, taken_over: Path, tmp_path: Path, *, caged: bool
) -> None:
    kept = Kept(cage=CageLimits() if caged else None)
    wanted = declared(site, place="private", credentials=login(site))
    wanted = dataclasses.replace(wanted, git=Git(program=taken_over, ca_file=site.ca))

    tree = resolve(wanted, tmp_path / "resolve", kept)
    assert fetch(tree, tmp_path / "fetch", kept) == as_bytes(FILES)

    verbs = ("version", "ls-remote", "init", "fetch", "archive")
    every = [f"{verb}: {act}" for verb in verbs for act in TRIED]
    found = [line for line in kept.said if line in every]
    assert found == ([] if caged else every)


def test_git_reads_no_authority_but_the_one_that_it_was_given(
    site: Site, repository: Repository, tmp_path: Path
) -> None:
    """The folder of the operator's own authority holds more than that: its key, perhaps."""
    key = tmp_path / "site" / "secret.key"
    key.write_text("secret")
    program = tmp_path / "git"
    program.write_text(f'#!/bin/sh\ncat {site.ca} {key} >&2\nexec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    wanted = dataclasses.replace(declared(site), git=Git(program=program, ca_file=site.ca))

    for cage, seen in ((CageLimits(), False), (None, True)):
        kept = Kept(cage=cage)
        resolve(wanted, tmp_path / f"resolve-{seen}", kept)
        said = "\n".join(kept.said)
        assert "-----END CERTIFICATE-----" in said
        assert ("secret" in said.replace("secret.key", "")) is seen


def test_url_says_nothing_of_the_content(site: Site, tmp_path: Path) -> None:
    tree = resolve(declared(site, "1" * 40), tmp_path / "resolve")
    moved = dataclasses.replace(tree.repository.source, url="https://mirror.test/x.git")
    elsewhere = dataclasses.replace(tree.repository.source, path="a")

    def digest(source: GitSource, commit: str = tree.commit) -> str:
        repository = dataclasses.replace(tree.repository, source=source)
        return dataclasses.replace(tree, repository=repository, commit=commit).digest

    assert digest(moved) == tree.digest
    assert len({tree.digest, digest(elsewhere), digest(moved, "2" * 40)}) == 3


def test_question_to_a_server_that_is_silent_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    """The process is seen to end, through a pidfd of it."""
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    script = f"echo $$ > {reached}; exec sleep 1000"

    async def scenario() -> int:
        question = asyncio.create_task(
            inquire(
                ("/bin/sh", "-c", script),
                environment={},
                directory=tmp_path,
                reach=Reach(program=PROGRAM, writable=(tmp_path,)),
                limits=CageLimits(),
            )
        )
        pid = int(await asyncio.to_thread(reached.read_text))
        pidfd = os.pidfd_open(pid)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        return pidfd

    assert process_ended(asyncio.run(scenario()))
