"""Git, run so that a repository is data and nothing else.

Nothing of the machine's or a person's configuration is read, and a repository's own counts for
nothing: no hook, filter, submodule or attribute of it takes effect, and files come out as they were
committed. The only protocol is https, to the addresses that were checked (``http.curloptResolve``),
and redirects are not followed, since Git would check none of them. Credentials go into the
environment of git alone, bound to the one URL; they stand in no argument and no file.

Should a server or a repository make git do something else all the same: each command says what it
needs (:class:`~configbuild.cage.Reach`), and is run where it gets nothing more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from configbuild.archives import Limits
from configbuild.cage import Reach
from configbuild.errors import SourceError, SourceKindError
from configbuild.failures import last_words
from configbuild.model import GitSource
from configbuild.origins import Repository as Origin
from configbuild.redaction import Redactor
from configbuild.sources.archive import unpack
from configbuild.sources.hosts import Admitted, HostRules
from configbuild.sources.remote import Ran, Run, Workplace
from configbuild.sources.secrets import Credentials

FIELD = "spec.config.git"

# The first with http.curloptResolve. An older one would ignore it and resolve names by itself.
_OLDEST = (2, 37)

# Half a minute below a kilobyte a second: that connection is dead.
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # one pack, which the limit on file sizes holds, not many objects
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "http.sslVerify": "true",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "tar.umask": "0022",
    "transfer.bundleURI": "false",
}

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",  # its messages are read
    "GIT_ALLOW_PROTOCOL": "https",
    "GIT_ASKPASS": "/bin/false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_DEFAULT_REF_FORMAT": "files",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_TERMINAL_PROMPT": "0",
}

# Of highest precedence of all attributes (gitattributes(5)): whatever a repository says, its bytes
# stay as they are, none of its files is left out, and no filter is looked for.
_ATTRIBUTES = (
    "* -text -eol -crlf -ident -filter -working-tree-encoding -export-ignore -export-subst\n"
)

# A pack may be small and unfold to anything; what git takes for that is bounded, so that it ends
# before the pod does.
_MEMORY_KIB = 2 * 1024 * 1024

# Limits for git and its children, in the units of POSIX: blocks of 512 bytes, and of most shells.
# One that is lower already stays.
_LIMITED = 'ulimit -f "$0" 2>/dev/null; ulimit -v "$1" 2>/dev/null; shift; exec "$@"'

_FETCHED = "refs/fetched"

_OBJECT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

# What git and servers say; LC_ALL keeps it in English.
_DENIED = re.compile(
    r"Authentication failed|could not read (Username|Password)|HTTP Basic: Access denied"
    r"|requested URL returned error: 40[13]"
)
_REDIRECTED = re.compile(r"requested URL returned error: 30[0-9]")
_NOT_FOUND = re.compile(r"repository .* not found|requested URL returned error: 4(04|10)")
_NOT_GIVEN = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")
_TOO_LARGE = re.compile(r"File too large|SIGXFSZ|signal 25")


@dataclass(slots=True, kw_only=True)
class Git:
    """The program, by its absolute path; its version is asked for once.

    ``ca_file`` holds the authorities that servers are checked by; ``None``: the system's.
    """

    program: Path
    ca_file: Path | None = None
    _checked: bool = False

    async def check(self, run: Run, directory: Path) -> None:
        """Refuse a version that cannot be held to our rules: :class:`SourceKindError`."""
        if self._checked:
            return
        if not self.program.is_file():
            raise SourceKindError(FIELD, f"the operator has no git at {self.program} (ADE_GIT_BIN)")
        ran = await run(
            (str(self.program), "version"),
            environment={},
            directory=directory,
            reach=self.reach(directory),
        )
        found = re.match(rb"git version (\d+)\.(\d+)", ran.output)
        if found is None or (int(found[1]), int(found[2])) < _OLDEST:
            told = ran.output.decode(errors="replace").strip() or "no version"
            oldest = ".".join(map(str, _OLDEST))
            raise SourceKindError(
                FIELD, f"the operator needs git {oldest} or later, and has: {told}"
            )
        self._checked = True

    def environment(
        self, admitted: Admitted, credentials: Credentials | None, directory: Path
    ) -> dict[str, str]:
        """Make the whole environment of a command that talks to an admitted host.

        ``directory`` is the command's own; certificates of the Secret are written there.
        """
        config = {**_CONFIG, **self._trust(credentials, directory)}
        if pin := _pin(admitted):
            config["http.curloptResolve"] = pin
        if credentials is not None and credentials.authorization is not None:
            key = f"http.{admitted.url.canonical}.extraHeader"
            config[key] = f"Authorization: {credentials.authorization}"
        return {**self.local_environment(directory), **_as_environment(config)}

    def local_environment(self, directory: Path) -> dict[str, str]:
        """Make the whole environment of a command that talks to nobody."""
        return {
            **_ENVIRONMENT,
            **_as_environment(_CONFIG),
            "GIT_CEILING_DIRECTORIES": str(directory.parent),
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory),
        }

    def reach(self, directory: Path, admitted: Admitted | None = None) -> Reach:
        """Tell what a command reaches that works in ``directory``, and talks to an admitted host.

        Names are resolved already, so no name server is asked.
        """
        if admitted is None:
            return Reach(program=self.program, writable=(directory,))
        return Reach(
            program=self.program,
            writable=(directory,),
            readable=() if self.ca_file is None else (self.ca_file,),
            ports=(admitted.url.port,),
        )

    def argv(self, *arguments: str, most_bytes: int) -> tuple[str, ...]:
        """Write a command whose files have at most ``most_bytes`` each."""
        limits = (str(most_bytes // 512 + 1), str(_MEMORY_KIB))
        return ("/bin/sh", "-c", _LIMITED, *limits, str(self.program), *arguments)

    def _trust(self, credentials: Credentials | None, directory: Path) -> dict[str, str]:
        if credentials is not None and credentials.ca is not None:
            file = directory / "ca.crt"
            file.write_bytes(credentials.ca)
            return {"http.sslCAInfo": str(file)}
        return {} if self.ca_file is None else {"http.sslCAInfo": str(self.ca_file)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository that a spec names, with what is needed to talk to its server."""

    source: GitSource
    git: Git
    hosts: HostRules
    limits: Limits
    credentials: Credentials | None = field(default=None, repr=False)

    async def resolve(self, run: Run, directory: Path) -> GitTree:
        """Ask the server for the commit of the declared reference, in an empty ``directory``.

        :class:`SourceError` if it cannot be told, :class:`SourceKindError` without a usable git.
        """
        await self.git.check(run, directory)
        if self.source.commit is not None:
            await self.hosts.refuse_early(self.source.url, f"{FIELD}.url")
            return GitTree(repository=self, named=self.source.commit, commit=self.source.commit)
        admitted = await self.hosts.admit(self.source.url, f"{FIELD}.url")
        ref, peeled = self.source.ref, f"{self.source.ref}^{{}}"
        url = admitted.url.canonical
        ran = await run(
            self.git.argv("ls-remote", "--", url, ref, peeled, most_bytes=self.limits.bytes),
            environment=self.git.environment(admitted, self.credentials, directory),
            directory=directory,
            reach=self.git.reach(directory, admitted),
        )
        if ran.status != 0:
            raise self.error(ran)
        refs = _refs(ran.output)
        if ref not in refs:
            raise SourceError(
                f"{FIELD}.ref",
                f"the repository has no {_words(ref)}",
                reason="SourceNotFound",
                missing=True,
            )
        # An annotated tag is an object of its own; the commit is what it points to.
        return GitTree(repository=self, named=refs[ref], commit=refs.get(peeled, refs[ref]))

    def error(self, ran: Ran) -> SourceError:
        """Make of a command that failed what an author can act on."""
        text = "\n".join(ran.tail)
        said = last_words(ran.tail) or f"git exited with {ran.status}"
        if self.credentials is not None:
            said = Redactor(self.credentials.values).redact(said.encode()).decode()
        if _REDIRECTED.search(text):
            said = f"{said} (a redirect, which is not followed: name the URL that it leads to)"
        for reason, pattern in (
            ("SourceDenied", _DENIED),
            ("SourceNotFound", _NOT_FOUND),
            ("SourceNotFound", _REDIRECTED),
            ("SourceInvalid", _TOO_LARGE),
        ):
            if pattern.search(text):
                return SourceError(f"{FIELD}.url", said, reason=reason, missing=True)
        return SourceError(f"{FIELD}.url", said)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitTree:
    """The tree of one commit; see :class:`~configbuild.sources.remote.RemoteTree`.

    ``named`` is the object that the reference itself pointed to: the commit, or a tag of it.
    """

    repository: Repository
    named: str
    commit: str

    @property
    def digest(self) -> str:
        """What identifies the content. Not the URL: a repository that moved starts no build."""
        return f"git:{self.commit}:{self.repository.source.path}"

    @property
    def origin(self) -> Origin:
        """See :class:`~configbuild.sources.remote.RemoteTree`."""
        source = self.repository.source
        return Origin(url=source.url, named=source.ref, commit=self.commit, path=source.path)

    @property
    def moving(self) -> bool:
        """Whether a branch or tag is named: either can be moved."""
        return self.repository.source.commit is None

    @property
    def secrets(self) -> Sequence[bytes]:
        """See :class:`~configbuild.sources.remote.RemoteTree`."""
        credentials = self.repository.credentials
        return () if credentials is None else credentials.values

    async def fetch(self, place: Workplace) -> None:
        """Fetch the commit alone, and write its files as they were committed."""
        fetching = _Fetching(tree=self, place=place)
        await fetching.make_repository()
        await fetching.fetch_commit()
        await fetching.write_tree()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetching:
    """One commit on its way into a build."""

    tree: GitTree
    place: Workplace

    @property
    def _repository(self) -> Repository:
        return self.tree.repository

    @property
    def _directory(self) -> Path:
        return self.place.scratch / "repository"

    async def make_repository(self) -> None:
        """Make an empty one, without a template, in which no attribute takes effect."""
        kind = "sha256" if len(self.tree.commit) == 64 else "sha1"
        made = await self._local(
            *("init", "--quiet", "--bare", "--template=", f"--object-format={kind}"),
            str(self._directory),
        )
        if made.status != 0:
            raise self._repository.error(made)
        (self._directory / "info").mkdir(exist_ok=True)
        (self._directory / "info" / "attributes").write_text(_ATTRIBUTES)

    async def fetch_commit(self) -> None:
        """Fetch by id; where the server does not give that, by reference, and compare."""
        commit, ref = self.tree.commit, self._repository.source.ref
        self.place.say(f"fetching commit {commit} of {self._repository.source.url}")
        fetched = await self._fetch(commit)
        if fetched.status == 0:
            return
        if not _NOT_GIVEN.search("\n".join(fetched.tail)):
            raise self._failed(fetched)
        if not self.tree.moving:
            raise SourceError(
                f"{FIELD}.ref.commit",
                f"the server does not give the commit {commit}; does a branch or tag lead to it?",
                reason="SourceNotFound",
                missing=True,
            )
        self.place.say(f"the server does not give commits by their id: fetching {ref}")
        fetched = await self._fetch(ref)
        if fetched.status != 0 and not _NOT_GIVEN.search("\n".join(fetched.tail)):
            raise self._failed(fetched)
        if fetched.status != 0 or self._fetched_id() != self.tree.named:
            raise SourceError(
                f"{FIELD}.ref",
                f"the {_words(ref)} was moved between its fingerprint and its build; the next"
                " ensure takes it as it is now",
                reason="SourceChanged",
            )

    async def write_tree(self) -> None:
        """Write what the commit holds below the declared path."""
        file = self.place.scratch / "tree.tar"
        path, limits = self._repository.source.path, self._repository.limits
        wanted = self.tree.commit if path == "." else f"{self.tree.commit}:{path}"
        packed = await self._local("archive", "--format=tar", f"--output={file}", wanted)
        if packed.status != 0 and _size(file) >= limits.bytes:
            raise self._too_large()
        if packed.status != 0:
            raise SourceError(
                f"{FIELD}.path",
                f"the commit has no folder {path!r}",
                reason="SourceInvalid",
                missing=True,
            )
        count = await asyncio.to_thread(
            unpack, file, self.place.tree, ".", limits=limits, field=FIELD
        )
        self.place.say(f"took {count} files of commit {self.tree.commit}")

    async def _fetch(self, what: str) -> Ran:
        admitted = await self._repository.hosts.admit(self._repository.source.url, f"{FIELD}.url")
        environment = self._repository.git.environment(
            admitted, self._repository.credentials, self.place.scratch
        )
        return await self._run(
            environment,
            self._repository.git.reach(self.place.scratch, admitted),
            *(
                "fetch",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
            ),
            *("--no-auto-maintenance", "--no-progress", "--", admitted.url.canonical),
            f"+{what}:{_FETCHED}",
        )

    async def _local(self, *arguments: str) -> Ran:
        git, scratch = self._repository.git, self.place.scratch
        return await self._run(git.local_environment(scratch), git.reach(scratch), *arguments)

    async def _run(self, environment: Mapping[str, str], reach: Reach, *arguments: str) -> Ran:
        git, limit = self._repository.git, self._repository.limits.bytes
        return await self.place.run(
            git.argv(*arguments, most_bytes=limit),
            environment={**environment, "GIT_DIR": str(self._directory)},
            directory=self.place.scratch,
            reach=reach,
        )

    def _fetched_id(self) -> str:
        return (self._directory / _FETCHED).read_text().strip()

    def _failed(self, ran: Ran) -> SourceError:
        packs = (self._directory / "objects").rglob("*pack*")
        largest = max((_size(pack) for pack in packs), default=0)
        if largest >= self._repository.limits.bytes:
            return self._too_large()
        return self._repository.error(ran)

    def _too_large(self) -> SourceError:
        return SourceError(
            f"{FIELD}.url",
            f"the commit is larger than {self._repository.limits.bytes} bytes"
            " (ADE_SOURCE_MAX_BYTES)",
            reason="SourceInvalid",
            missing=True,
        )


def _pin(admitted: Admitted) -> str | None:
    """Write CURLOPT_RESOLVE: from here on curl resolves nothing. An address needs none."""
    host = admitted.url.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        addresses = ",".join(f"[{it}]" if ":" in it else it for it in admitted.addresses)
        return f"{host}:{admitted.url.port}:{addresses}"
    return None


def _as_environment(config: Mapping[str, str]) -> dict[str, str]:
    """Write configuration as git-config(1) takes it from an environment."""
    pairs = list(config.items())
    return {
        "GIT_CONFIG_COUNT": str(len(pairs)),
        **{f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in enumerate(pairs)},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in enumerate(pairs)},
    }


def _refs(output: bytes) -> dict[str, str]:
    """Read the answer of ``ls-remote``: object ids by reference."""
    rows = (line.partition("\t") for line in output.decode(errors="replace").splitlines())
    return {ref: found for found, _, ref in rows if _OBJECT_ID.fullmatch(found)}


def _words(ref: str) -> str:
    kind, _, name = ref.removeprefix("refs/").partition("/")
    return f"{'branch' if kind == 'heads' else 'tag'} {name!r}"


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
