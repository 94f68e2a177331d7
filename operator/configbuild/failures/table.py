r"""What real tools write when they fail, and what that means: one table. Pure.

The first rule that fits decides, so what is more precise stands before what is more general, and
what may follow from something else stands after it. Each pattern is for one line, and was made from
the recordings in ``tests/fixtures/failures``.

In a hint, ``{source}`` is the field that names what is being installed; ``{package}`` and the like
are groups of the rule's patterns, where ``package_1`` is the ``package`` of another alternative. A
group ``quote`` is quoted instead of the whole line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from configbuild.model import Step

# Failures that say nothing of the spec and may pass by themselves.
TRANSIENT = frozenset({"IndexUnreachable", "DiskFull"})

_INSTALLS = frozenset({Step.UPGRADE_PIP, Step.INSTALL_ENGINE, Step.INSTALL_CONFIG})
_WRITES = _INSTALLS | {Step.CREATE_VENV, Step.COLLECT_METADATA}
_VERIFIES = frozenset({Step.VERIFY_IMPORTS})
_ALL = frozenset(Step)


class Quote(Enum):
    """Which line a rule quotes, where its pattern fits several."""

    FIRST = auto()
    """Compilers and meson: what comes later follows from it."""
    LAST = auto()
    """Installers and tracebacks: they end with what counts."""
    BEFORE = auto()
    """The line before the first: a back end's last word, before the installer's summary."""
    BELOW = auto()
    """The lines below the first, up to an empty one: where pip writes a title over what counts."""
    CHAIN = auto()
    """The first, and the last cause that uv gives: what failed, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """If a line fits ``pattern`` (and another ``also``), this is what happened.

    ``building``: only while a source tree is built by a command of its own (true), or only while
    requirements are installed (false). ``engine``: only if the line asks for the engine that is
    installed. ``confirm`` is asked last, with both matches.
    """

    reason: str
    pattern: re.Pattern[str]
    hint: str
    also: re.Pattern[str] | None = None
    steps: frozenset[Step] = _INSTALLS
    quote: Quote = Quote.LAST
    building: bool | None = None
    engine: bool = False
    confirm: Callable[[re.Match[str], re.Match[str]], bool] | None = None


def _line(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


def _were_wanted(ignored: re.Match[str], wanted: re.Match[str]) -> bool:
    """Tell whether one of the versions that pip ignored would have been taken.

    pip names them whenever it finds nothing, whatever the reason.
    """
    try:
        specifier = Requirement(wanted["requirement"]).specifier
        versions = [Version(entry.split()[0]) for entry in ignored["ignored"].split(";")]
    except (InvalidRequirement, InvalidVersion, IndexError):
        return True
    return any(specifier.contains(version, prereleases=True) for version in versions)


# pip: `Could not find a version …`, whatever kept it from finding one.
_PIP_FOUND_NONE = _line(
    r"\(from versions: none\)",
    r"Could not install packages due to an OSError",
    r"Could not fetch URL",
)
# uv and pip of a back end that ended badly; uv and pip name the package, uv also the tree.
_BUILD_FAILED = _line(
    r"^error: Failed to build `(?P<package>[^`]+)`",
    r"^error: subprocess-exited-with-error",
    r"^ERROR: Failed building wheel for (?P<package_1>\S+)",
    r"^ERROR: Failed to build (?:installable wheels for some pyproject.toml based projects \()?"
    r"'?(?P<package_2>[^\s')]+)",
    # pip, below "Encountered error while generating package metadata".
    r"^╰─> (?P<package_3>[A-Za-z0-9._-]+)$",
)
_EXCEPTION = r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit)(?::.*)?$"

# Programs that builds start; other names in the same words are files that are missing.
_TOOLS = (
    r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|gfortran|nvcc|ld|ar|make|cmake|ninja|meson"
    r"|swig|cython|cargo|rustc|go|node|npm|git|m4|autoconf|pkg-config|config)(?:-\d+)?"
)

_MEND_TREE = "mend the source tree that {source} names"
_OTHER_VERSION = (
    "take another version of {package} by spec.install.constraints, best one that has a wheel"
    " (spec.install.onlyBinary: true takes no other)"
)
_LOOSEN = (
    "loosen what excludes each other: spec.install.constraints, or the versions that {source} asks"
    " for"
)
_OTHER_FILE = (
    "the index sent another file than its page says: ask whoever runs spec.install.index.url (or a"
    " proxy before it), or take another version by spec.install.constraints"
)
_IMAGE = "the operator's image builds the venv, so it has to be added there"

_OUT_OF_ROOM = (
    Rule(
        reason="DiskFull",
        pattern=_line(r"No space left on device", r"Disk quota exceeded", r"\[Errno 28\]"),
        steps=_WRITES,
        hint="nothing to change in the spec: the operator's volume (ADE_VENVS_DIR, ADE_CACHE_DIR)"
        " needs room; it is tried again",
    ),
    Rule(
        reason="OutOfMemory",
        pattern=_line(
            r"^MemoryError\b",
            r"[Cc]annot allocate memory",
            r"\[Errno 12\]",
            r"std::bad_alloc",
            r"memory allocation of \d+ bytes failed",
            r"out of memory allocating",
            r"Killed signal terminated program",
            r"\(signal: 9 \(SIGKILL\)\)",
            r"(?P<quote>exit code: -9)$",
            r"died with <Signals\.SIGKILL: 9>",
        ),
        steps=_ALL,
        hint="a source build may need more memory than the operator's pod has: raise its limit, or"
        " take a version that has a wheel (spec.install.constraints)",
    ),
)

_DENIED = (
    Rule(
        reason="SandboxDenied",
        pattern=_line(
            r"^PermissionError: ",
            r"Permission denied \(os error 13\)",
            r"Operation not permitted \(os error 1\)",
            r"Read-only file system",
            r"\[Errno (?:1|13|30)\] (?:Permission denied|Operation not permitted|Read-only)",
            r"cannot create .*: Permission denied",
        ),
        steps=_WRITES,
        hint="a build may write below its working directory, HOME and TMPDIR and nowhere else:"
        " change what {source} names so that it stays there",
    ),
)

_INDEX = (
    Rule(
        reason="IndexUntrusted",
        pattern=_line(
            r"invalid peer certificate: \w+",
            r"CERTIFICATE_VERIFY_FAILED",
            r"certificate verify failed",
        ),
        hint="the operator does not trust the certificate of spec.install.index.url: use an index"
        " that it trusts, or give the operator its authority (SSL_CERT_FILE)",
    ),
    Rule(
        reason="IndexUnauthorized",
        pattern=_line(
            r"lack of valid authentication credentials",
            r"returned a 403 Forbidden error",
            r"HTTP status client error \((?:401|403|407) ",
            r"WARNING: 401 Error, Credentials not correct",
            r"(?:401|403|407) Client Error",
            r"HTTP error 40[137]",
            r"Tunnel connection failed: 407",
            r"User for \S+: ",
        ),
        hint="use an index that needs no credentials: spec.install.index.url; or name the package"
        " as it is called there, since some indexes refuse what they do not have",
    ),
    Rule(
        reason="HashMismatch",
        pattern=_line(
            r"Hash mismatch for `(?P<package>[^`]+)`",
        ),
        hint=_OTHER_FILE,
    ),
    Rule(
        reason="HashMismatch",
        pattern=_line(r"THESE PACKAGES DO NOT MATCH THE HASHES"),
        quote=Quote.BELOW,
        hint=_OTHER_FILE,
    ),
    Rule(
        reason="InvalidDistribution",
        pattern=_line(
            r"(?P<package>\S+) has (?:an invalid package format|invalid metadata)",
            r"Metadata for `(?P<package_1>[^`]+)` \([^)]*\) could not be parsed",
            r"ERROR: Wheel '(?P<package_2>[^']+)' located at \S+ is invalid",
            r"Requested (?P<package_3>\S+) from \S+ .*has invalid metadata",
            r"Failed to read from zip file|BadZipFile",
        ),
        quote=Quote.FIRST,
        hint="the index holds a broken file: take another version of {package} by"
        " spec.install.constraints",
    ),
)

_VERSIONS = (
    Rule(
        reason="EngineConflict",
        pattern=_line(r"depends? on "),
        also=_line(r"ResolutionImpossible", r"^error: No solution found"),
        steps=frozenset({Step.INSTALL_CONFIG}),
        quote=Quote.FIRST,
        engine=True,
        hint="the config needs another engine: change spec.engine to a version that it accepts, or"
        " take a config that accepts this engine (spec.config)",
    ),
    Rule(
        reason="RequiresPython",
        pattern=_line(
            r"current Python version \(\S+\) does not satisfy Python(?P<bound>[^\s,]+)",
            r"requires a different Python: \S+ not in '(?P<bound_1>[^']+)'",
        ),
        quote=Quote.FIRST,
        hint="set spec.python to a version that fits {bound}, or take an older version of the"
        " package (spec.install.constraints)",
    ),
    Rule(
        reason="RequiresPython",
        pattern=_line(
            r"Ignored the following versions that require a different python version:"
            r" (?P<ignored>.*Requires-Python (?P<bound>[^;]+))"
        ),
        also=_line(r"Could not find a version that satisfies the requirement (?P<requirement>\S+)"),
        confirm=_were_wanted,
        hint="set spec.python to a version that fits {bound}, or take an older version of the"
        " package (spec.install.constraints)",
    ),
    Rule(
        reason="NoWheel",
        pattern=_line(
            r"(?P<package>\S+) has no usable wheels",
            r"Wheels are required for `(?P<package_1>[^`]+)`",
        ),
        quote=Quote.FIRST,
        hint="{package} has no wheel: take a version that has one (spec.install.constraints), or"
        " set spec.install.onlyBinary to false so that it may be built",
    ),
    Rule(
        reason="NoWheel",
        pattern=_line(
            r"(?P<package>\S+) has no wheels with a matching (?P<what>[^(]+?) (?:tag|\()",
            r"ERROR: (?P<package_1>\S+) is not a supported wheel on this platform",
        ),
        quote=Quote.FIRST,
        hint="{package} has no wheel for this Python and platform: change spec.python, or take"
        " another version by spec.install.constraints",
    ),
    Rule(
        reason="ResolutionImpossible",
        pattern=_line(r"^The conflict is caused by:"),
        quote=Quote.BELOW,
        hint=_LOOSEN,
    ),
    Rule(
        # Where the lists of what excludes what are too long to be kept.
        reason="ResolutionImpossible",
        pattern=_line(r"^ERROR: Cannot install "),
        also=_line(r"ResolutionImpossible"),
        hint=_LOOSEN,
    ),
)

_NETWORK = (
    Rule(
        reason="IndexUnreachable",
        pattern=_line(
            r"error sending request for url",
            r"client error \(Connect\)",
            r"dns error",
            r"operation timed out",
            r"error reading a body from connection",
            r"Download failed after \d+ attempts",
            r"request or response body error",
            r"HTTP status (?:server error \(5\d\d|client error \((?:408|425|429))",
        ),
        quote=Quote.CHAIN,
        hint="nothing to change if spec.install.index.url is right: it is tried again",
    ),
    Rule(
        reason="IndexUnreachable",
        pattern=_line(
            r"after connection broken by (?P<quote>.+)",
            r"(?P<quote_1>(?:NewConnection|ConnectTimeout|ReadTimeout|Proxy|Protocol)Error.*)",
            r"RemoteDisconnected|IncompleteRead",
            r"too many (?:429|5\d\d) error responses",
            r"HTTP error (?:429|5\d\d)",
            r"(?:429|5\d\d) (?:Server|Client) Error",
            r"[Cc]onnection (?:refused|reset|timed out)",
        ),
        also=_PIP_FOUND_NONE,
        hint="nothing to change if spec.install.index.url is right: it is tried again",
    ),
)

_RESOLUTION = (
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(r"(?P<package>\S+) was not found in the (?:package registry|cache|provided)"),
        also=_line(r"Failed to resolve requirements from `build-system.requires`"),
        quote=Quote.FIRST,
        hint="the index has no {package}, which build-system.requires asks for in the"
        " pyproject.toml that {source} names: mend its name, or use an index that has it"
        " (spec.install.index.url)",
    ),
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(r"(?P<package>\S+) was not found in the (?:package registry|cache|provided)"),
        quote=Quote.FIRST,
        hint="the index has no {package}: mend its name where it is asked for ({source}, or the"
        " dependencies there), or use an index that has it (spec.install.index.url)",
    ),
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(r"there (?:is|are) no versions? of (?P<package>[^\s,]+)", r"was yanked"),
        quote=Quote.FIRST,
        hint="ask for a version that the index has: {source}, or spec.install.constraints",
    ),
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(r"Because only (?P<package>\S+) (?:is|are) available and"),
        quote=Quote.FIRST,
        hint="ask for a version that the index has: {source}, or spec.install.constraints",
    ),
    Rule(
        reason="ResolutionImpossible",
        pattern=_line(r"^cause: Because ", r"╰─▶ Because "),
        also=_line(r"No solution found"),
        hint=_LOOSEN,
    ),
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(
            r"ERROR: Could not find a version that satisfies the requirement"
            r" (?P<package>[A-Za-z0-9._-]+)\S* .*\(from versions: none\)"
        ),
        hint="mend the name {package} where it is asked for ({source}, or the dependencies there),"
        " or use an index that has it (spec.install.index.url); pip says the same where the index"
        " refuses or fails, and where spec.install.onlyBinary or the platform leaves no wheel",
    ),
    Rule(
        reason="NoMatchingDistribution",
        pattern=_line(
            r"ERROR: Could not find a version that satisfies the requirement (?P<package>\S+)",
            r"ERROR: No matching distribution found for (?P<package_1>\S+)",
        ),
        hint="ask for a version that the index has: {source}, or spec.install.constraints",
    ),
)

_BUILDS = (
    Rule(
        reason="MissingSystemLibrary",
        pattern=_line(r"fatal error: (?P<name>\S+\.(?:h|hpp|hh|hxx)): No such file or directory"),
        quote=Quote.FIRST,
        hint=f"the header {{name}} is missing, and {_IMAGE}; or take a version that has a wheel"
        " (spec.install.constraints)",
    ),
    Rule(
        reason="MissingSystemLibrary",
        pattern=_line(
            r"ld: cannot find -l(?P<name>[^\s:]+)",
            r"^Package (?P<name_1>\S+) was not found in the pkg-config search path",
            r"No package '(?P<name_2>[^']+)' found",
            r"ERROR: Dependency \"(?P<name_3>[^\"]+)\" not found",
            r"^Could NOT find (?P<name_4>\w+) \(missing",
        ),
        quote=Quote.FIRST,
        hint=f"the library {{name}} is missing, and {_IMAGE}; or take a version that has a wheel"
        " (spec.install.constraints)",
    ),
    Rule(
        reason="MissingBuildTool",
        pattern=_line(
            rf"^error: \[Errno 2\] No such file or directory: '(?P<name>{_TOOLS})'",
            r"command '(?P<name_2>[^']+)' failed: No such file or directory",
            r"^(?:/bin/)?\w*sh: (?:line )?\d+: (?P<name_3>[^\s:]+): (?:command )?not found",
            r"can't find (?P<name_4>Rust compiler)",
            r"(?P<name_5>[Cc]argo|rustc|[Rr]ust)\b.{0,40} (?:is not installed|not found)",
            r"ERROR: Unknown compiler\(s\): \[\['?(?P<name_6>\w+)",
            r"No (?P<name_7>CMAKE_\w+_COMPILER) could be found",
            r"Program '?(?P<name_8>[\w+.-]+)'? not found or not executable",
        ),
        quote=Quote.FIRST,
        hint=f"the program {{name}} is missing, and {_IMAGE}; or take a version that has a wheel"
        " (spec.install.constraints)",
    ),
    Rule(
        reason="MissingBuildTool",
        pattern=_line(
            r"^FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<name>[^']+)'"
        ),
        # How subprocess raises it; open() raises the same of a file.
        also=_line(r"raise child_exception_type"),
        hint=f"the program {{name}} is missing, and {_IMAGE}; or take a version that has a wheel"
        " (spec.install.constraints)",
    ),
    Rule(
        reason="InvalidProject",
        pattern=_line(
            r"does not appear to be a Python project",
            r"[Nn]either 'setup.py' nor 'pyproject.toml' found",
        ),
        building=True,
        hint="have {source} name a folder that holds a pyproject.toml",
    ),
    Rule(
        reason="InvalidProject",
        pattern=_line(
            r"(?:Invalid|Failed to parse) `?pyproject.toml",
            r"pyproject.toml` does not match the required schema",
            r"TOML parse error",
        ),
        quote=Quote.CHAIN,
        building=True,
        hint="mend pyproject.toml in the source tree that {source} names",
    ),
    Rule(
        reason="InvalidProject",
        pattern=_line(
            r"TOMLDecodeError",
            r"ERROR: .*pyproject.toml",
            r"invalid pyproject.toml config",
            r"configuration error: `",
        ),
        building=True,
        hint="mend pyproject.toml in the source tree that {source} names",
    ),
    Rule(
        reason="BuildBackendFailed",
        pattern=_line(
            r"^(?:╰─> )?ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        ),
        also=_line(_BUILD_FAILED.pattern, r"\bBackendUnavailable\b"),
        building=True,
        hint="the back end needs {name}: name the package that has it in build-system.requires, in"
        " the pyproject.toml that {source} names",
    ),
    *(
        Rule(
            reason="BuildBackendFailed",
            pattern=pattern,
            also=_BUILD_FAILED,
            quote=quote,
            building=building,
            hint=hint,
        )
        for building, hint in (
            (True, f"{_MEND_TREE}: its build back end says what is wrong"),
            (False, _OTHER_VERSION),
        )
        for pattern, quote in (
            (_line(r"^\S+:\d+:(?:\d+:)? (?:fatal )?(?:error|ERROR): "), Quote.FIRST),
            (_line(r"^\S+\.pyx:\d+:\d+: "), Quote.FIRST),
            (_line(_EXCEPTION), Quote.LAST),
            (_line(r"^error: (?!Failed to build|subprocess-exited|metadata-gen)"), Quote.LAST),
            (_line(r"^\[end of output\]$"), Quote.BEFORE),
            (_BUILD_FAILED, Quote.BEFORE),
        )
    ),
)

_IMPORTS = (
    Rule(
        reason="EngineConflict",
        pattern=_line(
            r"^error: the engine \S+ (?:is gone|was installed as|\S+ was replaced)",
        ),
        steps=_VERIFIES,
        hint="the config brings an engine of its own: take it out of what spec.config names, or"
        " have spec.engine name that one",
    ),
    Rule(
        reason="MissingSystemLibrary",
        pattern=_line(
            r"^error: import .*?(?P<name>[\w.+-]+\.so[\w.]*): cannot open shared object file",
            r"^error: import .*version `(?P<name_1>\w+)' not found",
        ),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="the library {name} is missing in the operator's image, and so it may be where jobs"
        " run: add it to both",
    ),
    Rule(
        reason="ImportFailed",
        pattern=_line(
            r"^error: import (?P<module>\S+) failed: ModuleNotFoundError: No module named"
            r" '(?P=module)'"
        ),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="no package holds {module}: mend spec.verify.imports, or have what spec.config names"
        " hold such a module",
    ),
    Rule(
        reason="ImportFailed",
        pattern=_line(
            r"^error: import (?P<module>\S+) failed: ModuleNotFoundError: No module named"
            r" '(?P<name>[^']+)'"
        ),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="add the package that holds {name} to the dependencies of what spec.config names (with"
        " spec.install.dependencies: false none is installed)",
    ),
    Rule(
        reason="ImportFailed",
        pattern=_line(r"^error: import (?P<module>\S+) came from .* which is not inside"),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="{module} belongs to Python itself: take it out of spec.verify.imports",
    ),
    Rule(
        reason="ImportFailed",
        pattern=_line(
            r"^error: import (?P<module>\S+) failed: (?P<name>\w*(?:SyntaxError|IndentationError))"
        ),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="mend the code of {module}, or set spec.python to a version that knows its syntax",
    ),
    Rule(
        reason="ImportFailed",
        pattern=_line(r"^error: import (?P<module>\S+) failed: "),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="mend the code of {module}: importing it must not fail",
    ),
    Rule(
        reason="EngineConflict",
        pattern=_line(r" requires ", r" has requirement "),
        steps=_VERIFIES,
        engine=True,
        hint="change spec.engine to a version that the config accepts, or take a config that"
        " accepts this engine (spec.config)",
    ),
    Rule(
        reason="DependencyConflict",
        pattern=_line(
            r"^The package `(?P<package>[^`]+)` requires `(?P<name>[^`]+)`, but",
            r"^(?P<package_1>\S+) \S+ (?:requires (?P<name_1>[^,]+), which is not installed"
            r"|has requirement (?P<name_2>.+?), but you have)",
        ),
        steps=_VERIFIES,
        quote=Quote.FIRST,
        hint="{package} needs {name}: name a version of it in spec.install.constraints that fits;"
        " with spec.install.dependencies: false this is only reported",
    ),
)

RULES: tuple[Rule, ...] = (
    *_OUT_OF_ROOM,
    *_DENIED,
    *_INDEX,
    *_VERSIONS,
    *_NETWORK,
    *_RESOLUTION,
    *_BUILDS,
    *_IMPORTS,
)
