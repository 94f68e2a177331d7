"""Specs that are refused and specs that are not: data for tests here and in a cluster.

``REFUSED_BY_SCHEMA``: the API server refuses each at ``kubectl apply``, and the models of
:mod:`configbuild.resource.schema` refuse it in a file, both at the same field. Where a rule of ours
speaks, both say the same words; where Kubernetes and pydantic each have words of their own (for a
wrong type, say), ``served_message`` holds those of Kubernetes.

``REFUSED_BY_OPERATOR``: the API server takes each (without fields that it does not know, and only
if it is not asked to be strict about those); only Python can tell what is wrong.

``GOOD_SPECS``: both take them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
Make = Callable[[str], Spec]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSpec:
    """A spec with one fault: the field that is named for it, and a fragment of the message."""

    name: str
    spec: Spec
    field: str
    message: str
    served_message: str | None = None

    @property
    def message_of_api_server(self) -> str:
        return self.served_message or self.message


def _with(**fields: Any) -> Spec:
    """A spec that is good but for these fields."""
    return {"config": {"requirement": "ade-config==2.1"}, **fields}


def _config(**fields: Any) -> Spec:
    return {"config": fields}


def _config_map(**fields: Any) -> Spec:
    return _config(configMap={"name": "invoices", **fields})


def _git(**fields: Any) -> Spec:
    good = {"url": "https://git.example/rules", "ref": {"branch": "main"}}
    return _config(git={**good, **fields})


def _archive(**fields: Any) -> Spec:
    return _config(archive={"url": "https://example/rules.tar.gz", "sha256": "0" * 64, **fields})


def _index(**fields: Any) -> Spec:
    return _with(install={"index": {"url": "https://index.example/simple", **fields}})


_BEGINS_WITH_NAME = "must be a PEP 508 requirement that begins with a package name"
_NO_REFERENCE = "must name a package from an index; direct references ('name @ URL')"
_RELATIVE = "must be a relative path with forward slashes and without '..'"
_OBJECT_NAME = "must be the name of a Kubernetes object"
_HTTPS = "must be an https:// URL without user name or password"
_ONE_CONFIG = "set exactly one of configMap, git, archive, requirement or path"
_ONE_ENGINE = "set exactly one of requirement or path"
_DURATION = "must be a duration: a number and its unit"
_PYTHON = 'must be a Python version as X.Y in quotes: "3.12"'
_IMPORTABLE = "must be a name that Python can import"
_NO_TREES = "install.onlyBinary refuses source trees"
_UV_ONLY = "index.extraUrls work with the installer uv only"


def _required(name: str, spec: Spec, field: str) -> BadSpec:
    return BadSpec(
        name=name, spec=spec, field=field, message="Field required", served_message="Required value"
    )


def _mistyped(name: str, spec: Spec, field: str, wanted: str) -> BadSpec:
    words = {"integer": "valid integer", "boolean": "valid boolean", "string": "valid string"}
    return BadSpec(
        name=name,
        spec=spec,
        field=field,
        message=f"should be a {words[wanted]}",
        served_message=f"must be of type {wanted}",
    )


def _bad(name: str, spec: Spec, field: str, message: str) -> BadSpec:
    return BadSpec(name=name, spec=spec, field=field, message=message)


def _requirement_fields() -> dict[str, Make]:
    return {
        "spec.engine.requirement": lambda text: _with(engine={"requirement": text}),
        "spec.config.requirement": lambda text: _config(requirement=text),
        "spec.install.constraints[1]": lambda text: _with(install={"constraints": ["a<3", text]}),
    }


def _bad_requirements() -> list[BadSpec]:
    texts = {
        "option": ("-r requirements.txt", _BEGINS_WITH_NAME),
        "long option": ("--index-url=https://index.example", _BEGINS_WITH_NAME),
        "absolute path": ("/srv/engine", _BEGINS_WITH_NAME),
        "relative path": ("./engine", _BEGINS_WITH_NAME),
        "leading space": (" ade", _BEGINS_WITH_NAME),
        "second line": ("ade\n--pre", _BEGINS_WITH_NAME),
        "newline at its end": ("ade\n", _BEGINS_WITH_NAME),
        "direct reference": ("ade @ https://example/ade.whl", _NO_REFERENCE),
        "git reference": ("git+https://u@example/ade", _NO_REFERENCE),
        "nothing in it": ("", "at least 1 char"),
        "too many characters": ("a" * 1025, "1024"),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, message)
        for field, make in _requirement_fields().items()
        for name, (text, message) in texts.items()
    ]


def _bad_paths() -> list[BadSpec]:
    texts = {
        "absolute": ("/etc", _RELATIVE),
        "parent": ("..", _RELATIVE),
        "parent at its end": ("rules/..", _RELATIVE),
        "parent within": ("rules/../../other", _RELATIVE),
        "backslash": (r"rules\..\other", _RELATIVE),
        "nothing in it": ("", "at least 1 char"),
        "too many characters": ("a" * 513, "512"),
    }
    fields: dict[str, Make] = {
        "spec.engine.path": lambda text: _with(engine={"path": text}),
        "spec.config.path": lambda text: _config(path=text),
        "spec.config.configMap.items[0].path": lambda text: _config_map(
            items=[{"key": "k", "path": text}]
        ),
        "spec.config.git.path": lambda text: _git(path=text),
        "spec.config.archive.path": lambda text: _archive(path=text),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, message)
        for field, make in fields.items()
        for name, (text, message) in texts.items()
    ]


def _bad_urls() -> list[BadSpec]:
    texts = {
        "http": "http://example/x",
        "file": "file:///etc",
        "ssh": "ssh://git@example/x",
        "user": "https://user@example/x",
        "password": "https://user:secret@example/x",
        "space": "https://example/a b",
        "no-break space": "https://example/a\u00a0b",
        "vertical tab": "https://example/a\u000bb",
        "line separator": "https://example/a\u2028b",
        "newline at its end": "https://example/x\n",
        "no host": "https:///x",
    }
    fields: dict[str, Make] = {
        "spec.config.git.url": lambda text: _git(url=text),
        "spec.config.archive.url": lambda text: _archive(url=text),
        "spec.install.index.url": lambda text: _index(url=text),
        "spec.install.index.extraUrls[0]": lambda text: _index(extraUrls=[text]),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, _HTTPS)
        for field, make in fields.items()
        for name, text in texts.items()
    ]


def _bad_names() -> list[BadSpec]:
    texts = {
        "capitals": "Invoices",
        "slash": "other/invoices",
        "dash first": "-invoices",
        "newline at its end": "invoices\n",
    }
    fields: dict[str, Make] = {
        "spec.config.configMap.name": lambda text: _config_map(name=text),
        "spec.config.git.secretRef.name": lambda text: _git(secretRef={"name": text}),
        "spec.install.index.secretRef.name": lambda text: _index(secretRef={"name": text}),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, _OBJECT_NAME)
        for field, make in fields.items()
        for name, text in texts.items()
    ]


def _bad_durations() -> list[BadSpec]:
    texts = {
        "no unit": "600",
        "days": "30d",
        "a space": "10 m",
        "sign": "-10m",
        "words": "ten minutes",
        "nothing in it": "",
        "newline at its end": "10m\n",
    }
    fields: dict[str, Make] = {
        "spec.timeout": lambda text: _with(timeout=text),
        "spec.interval": lambda text: _with(interval=text),
        "spec.ttl": lambda text: _with(ttl=text),
        "spec.history.retention": lambda text: _with(history={"retention": text}),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, _DURATION)
        for field, make in fields.items()
        for name, text in texts.items()
    ]


def _ambiguous_urls() -> list[BadSpec]:
    texts = {
        "backslash": "https://example\\x/y",
        "escape in its host": "https://loc%61lhost/x",
        "fragment": "https://example/x#sha256=0",
        "query before its path": "https://example?x/y",
        "port that is none": "https://example:x/y",
        "port too large": "https://example:65536/y",
        "dash first": "https://--upload-pack=x/y",
    }
    fields: dict[str, Make] = {
        "spec.config.git.url": lambda text: _git(url=text),
        "spec.config.archive.url": lambda text: _archive(url=text),
        "spec.install.index.url": lambda text: _index(url=text),
        "spec.install.index.extraUrls[0]": lambda text: _index(extraUrls=[text]),
    }
    return [
        _bad(f"{field} with {name}", make(text), field, "")
        for field, make in fields.items()
        for name, text in texts.items()
    ]


def _bad_refs() -> list[BadSpec]:
    """Names that git check-ref-format refuses, and some that it does not have to see."""
    texts = {
        "option": "--upload-pack=touch x",
        "dash": "-",
        "two dots": "a..b",
        "range": "main...other",
        "reflog": "main@{1}",
        "parent": "main^",
        "ancestor": "main~1",
        "path": "main:pyproject.toml",
        "pattern": "*",
        "question mark": "m?in",
        "bracket": "m[a]in",
        "backslash": "m\\ain",
        "space": "a b",
        "newline": "main\n",
        "escape": "main\u001b[0m",
        "slash first": "/main",
        "slash last": "main/",
        "two slashes": "a//b",
        "dot first": ".main",
        "dot first further in": "a/.main",
        "dot last": "main.",
        "lock": "main.lock",
        "lock further in": "main.lock/b",
        "parent folder": "../main",
    }
    return [
        _bad(
            f"{kind} with {name}",
            _git(ref={kind: text}),
            f"spec.config.git.ref.{kind}",
            "is no name that Git allows",
        )
        for kind in ("branch", "tag")
        for name, text in texts.items()
    ]


REFUSED_BY_SCHEMA: list[BadSpec] = [
    *_bad_requirements(),
    *_bad_paths(),
    *_bad_urls(),
    *_bad_names(),
    *_bad_durations(),
    # engine
    _bad("engine without a source", _with(engine={}), "spec.engine", _ONE_ENGINE),
    _bad(
        "engine with two sources",
        _with(engine={"requirement": "ade", "path": "engine"}),
        "spec.engine",
        _ONE_ENGINE,
    ),
    # config
    _required("no config", {}, "spec.config"),
    _bad("config without a source", _config(), "spec.config", _ONE_CONFIG),
    _bad("config with two sources", _config(path="a", requirement="b"), "spec.config", _ONE_CONFIG),
    _required("ConfigMap without a name", _config(configMap={}), "spec.config.configMap.name"),
    _bad(
        "ConfigMap with items and archiveKey",
        _config_map(items=[{"key": "a", "path": "a"}], archiveKey="b"),
        "spec.config.configMap",
        "set items or archiveKey, not both",
    ),
    _bad(
        "ConfigMap with an empty list of items",
        _config_map(items=[]),
        "spec.config.configMap.items",
        "at least 1 item",
    ),
    _bad(
        "ConfigMap with too many items",
        _config_map(items=[{"key": f"k{number}", "path": f"p{number}"} for number in range(257)]),
        "spec.config.configMap.items",
        "at most 256 items",
    ),
    _required(
        "item without a key",
        _config_map(items=[{"path": "a"}]),
        "spec.config.configMap.items[0].key",
    ),
    _required(
        "item without a path",
        _config_map(items=[{"key": "a", "path": "a"}, {"key": "b"}]),
        "spec.config.configMap.items[1].path",
    ),
    _required("Git without a ref", _config(git={"url": "https://a/b"}), "spec.config.git.ref"),
    _bad(
        "Git ref without anything",
        _git(ref={}),
        "spec.config.git.ref",
        "set exactly one of branch, tag or commit",
    ),
    _bad(
        "Git ref with two",
        _git(ref={"branch": "main", "tag": "v1"}),
        "spec.config.git.ref",
        "set exactly one of branch, tag or commit",
    ),
    _bad(
        "Git commit that is abbreviated",
        _git(ref={"commit": "0123abc"}),
        "spec.config.git.ref.commit",
        "must be a whole commit id: 40 or 64 hex digits",
    ),
    _required(
        "archive without a checksum",
        _config(archive={"url": "https://a/b.zip"}),
        "spec.config.archive.sha256",
    ),
    _bad(
        "archive with a checksum in capitals",
        _archive(sha256="A" * 64),
        "spec.config.archive.sha256",
        "must be 64 lower-case hex digits",
    ),
    _bad(
        "archive with a checksum that is too short",
        _archive(sha256="0" * 63),
        "spec.config.archive.sha256",
        "must be 64 lower-case hex digits",
    ),
    # python
    _bad("Python without a minor version", _with(python="3"), "spec.python", _PYTHON),
    _bad("Python with a patch version", _with(python="3.12.1"), "spec.python", _PYTHON),
    _bad("Python 2", _with(python="2.7"), "spec.python", _PYTHON),
    _bad("Python with a newline at its end", _with(python="3.12\n"), "spec.python", _PYTHON),
    _mistyped("Python without quotes", _with(python=3.12), "spec.python", "string"),
    # times
    _bad("timeout of nothing", _with(timeout="0s"), "spec.timeout", "must be at least 1s"),
    _bad("timeout below a second", _with(timeout="999ms"), "spec.timeout", "must be at least 1s"),
    _bad("interval too short", _with(interval="29.999s"), "spec.interval", "must be at least 30s"),
    _bad("ttl too short", _with(ttl="59s"), "spec.ttl", "must be at least 1m"),
    _bad(
        "retention too short",
        _with(history={"retention": "30s"}),
        "spec.history.retention",
        "must be at least 1m",
    ),
    _bad("ttl beyond what Kubernetes can hold", _with(ttl="2562048h"), "spec.ttl", "must be a"),
    _bad("timeout that is too long a text", _with(timeout="1s" * 17), "spec.timeout", "32"),
    _mistyped("timeout as a number", _with(timeout=600), "spec.timeout", "string"),
    # install
    BadSpec(
        name="installer that there is not",
        spec=_with(install={"installer": "poetry"}),
        field="spec.install.installer",
        message="should be 'uv' or 'pip'",
        served_message='supported values: "uv", "pip"',
    ),
    _bad(
        "too many constraints",
        _with(install={"constraints": ["a"] * 257}),
        "spec.install.constraints",
        "at most 256 items",
    ),
    _mistyped(
        "dependencies as a word",
        _with(install={"dependencies": "no"}),
        "spec.install.dependencies",
        "boolean",
    ),
    _mistyped(
        "compileBytecode as a number",
        _with(install={"compileBytecode": 1}),
        "spec.install.compileBytecode",
        "boolean",
    ),
    _bad(
        "more indexes without a first one",
        _with(install={"index": {"extraUrls": ["https://a/simple"]}}),
        "spec.install.index",
        "extraUrls come after url: set url too",
    ),
    _bad(
        "too many indexes",
        _index(extraUrls=["https://a/simple"] * 9),
        "spec.install.index.extraUrls",
        "at most 8 items",
    ),
    _bad(
        "more indexes with pip",
        _with(
            install={
                "installer": "pip",
                "index": {"url": "https://a/simple", "extraUrls": ["https://b/simple"]},
            }
        ),
        "spec.install",
        _UV_ONLY,
    ),
    _bad(
        "an empty list of more indexes with pip",
        _with(install={"installer": "pip", "index": {"url": "https://a/simple", "extraUrls": []}}),
        "spec.install",
        _UV_ONLY,
    ),
    _bad(
        "wheels only with a config from a path",
        {**_config(path="rules"), "install": {"onlyBinary": True}},
        "spec",
        _NO_TREES,
    ),
    _bad(
        "wheels only with a config from a ConfigMap",
        {**_config_map(), "install": {"onlyBinary": True}},
        "spec",
        _NO_TREES,
    ),
    _bad(
        "wheels only with an engine from a path",
        _with(engine={"path": "engine"}, install={"onlyBinary": True}),
        "spec",
        _NO_TREES,
    ),
    # verify
    _bad(
        "verification of nothing",
        _with(verify={"imports": []}),
        "spec.verify.imports",
        "at least 1 item",
    ),
    _bad(
        "import of a distribution's name",
        _with(verify={"imports": ["ade_engine", "ade-config"]}),
        "spec.verify.imports[1]",
        _IMPORTABLE,
    ),
    _bad(
        "import of an option",
        _with(verify={"imports": ["--help"]}),
        "spec.verify.imports[0]",
        _IMPORTABLE,
    ),
    _bad(
        "import with a newline at its end",
        _with(verify={"imports": ["ade_engine\n"]}),
        "spec.verify.imports[0]",
        _IMPORTABLE,
    ),
    _bad(
        "too many imports",
        _with(verify={"imports": ["a"] * 65}),
        "spec.verify.imports",
        "at most 64 items",
    ),
    # history and suspend
    _bad(
        "history below nothing",
        _with(history={"limit": -1}),
        "spec.history.limit",
        "greater than or equal to 0",
    ),
    _bad(
        "history without end",
        _with(history={"limit": 51}),
        "spec.history.limit",
        "less than or equal to 50",
    ),
    _mistyped("history as text", _with(history={"limit": "5"}), "spec.history.limit", "integer"),
    _mistyped("suspend as a word", _with(suspend="yes"), "spec.suspend", "boolean"),
]


REFUSED_BY_OPERATOR: list[BadSpec] = [
    _bad("field that there is not", _with(pyhton="3.12"), "spec.pyhton", "not permitted"),
    _bad(
        "field that there is not, further in",
        _config_map(item=[]),
        "spec.config.configMap.item",
        "not permitted",
    ),
    _bad(
        "engine with a version that is none",
        _with(engine={"requirement": "ade-engine>=one"}),
        "spec.engine.requirement",
        "not a requirement (PEP 508): 'ade-engine>=one'",
    ),
    _bad(
        "config with a comment",
        _config(requirement="ade-config # rules"),
        "spec.config.requirement",
        "not a requirement (PEP 508)",
    ),
    _bad(
        "config with an option behind it",
        _config(requirement="ade-config --pre"),
        "spec.config.requirement",
        "not a requirement (PEP 508)",
    ),
    _bad(
        "constraint with a marker that is none",
        _with(install={"constraints": ["a<3", "b; os = 'linux'"]}),
        "spec.install.constraints[1]",
        "not a requirement (PEP 508)",
    ),
    *(
        _bad(
            f"constraint that holds a {name}",
            _with(install={"constraints": [f'a; python_version == "3{separator}--pre"']}),
            "spec.install.constraints[0]",
            "not a requirement (PEP 508)",
        )
        # pip splits a file of constraints at each of these, and reads --pre as an option.
        for name, separator in {
            "form feed": "\u000c",
            "next line": "\u0085",
            "line separator": "\u2028",
        }.items()
    ),
    *(
        _bad(
            f"{field} that is {text}",
            make(text),
            field,
            "not a requirement (PEP 508)",
        )
        for field, make in _requirement_fields().items()
        for text in (
            "ade -r /etc/passwd",
            "ade --index-url=https://evil.example",
            "ade; --pre",
            "file:///srv/ade",
            "git+file:///srv/ade",
            "ade file:/srv/ade",
            "a/../../etc",
            "ade.whl/..",
            "https://evil.example/ade.whl",
            "ade\\evil",
            "ade #egg=evil",
            "ade --hash=sha256:00",
        )
    ),
    _bad(
        "item in the place of the whole tree",
        _config_map(items=[{"key": "a", "path": "./"}]),
        "spec.config.configMap.items[0].path",
        "'./'",
    ),
    _bad(
        "two items for one file",
        _config_map(items=[{"key": "a", "path": "x/y"}, {"key": "b", "path": "x//./y"}]),
        "spec.config.configMap.items[1].path",
        "'x/y' is the path of two items",
    ),
    _bad(
        "item below a file",
        _config_map(items=[{"key": "a", "path": "x/y/z"}, {"key": "b", "path": "x"}]),
        "spec.config.configMap.items[0].path",
        "'x/y/z' lies below 'x'",
    ),
    _bad(
        "path with a control character",
        _config(path="rules\u0007"),
        "spec.config.path",
        "control character",
    ),
    *_ambiguous_urls(),
    *_bad_refs(),
    _bad("timeout above the ceiling", _with(timeout="2h"), "spec.timeout", "2h is above"),
    _bad(
        "credentials for no index",
        _with(install={"index": {"secretRef": {"name": "index-login"}}}),
        "spec.install.index.secretRef",
        "set spec.install.index.url",
    ),
]


GOOD_SPECS: dict[str, Spec] = {
    "the least there is": {"config": {"path": "rules"}},
    "all fields": {
        "engine": {"requirement": "ade-engine==1.4.0"},
        "config": {
            "configMap": {
                "name": "invoices",
                "items": [{"key": "manifest", "path": "src/ade_config/manifest.json"}],
            }
        },
        "python": "3.12",
        "interval": "10m",
        "install": {
            "installer": "uv",
            "dependencies": True,
            "constraints": ["pandas<3", "numpy>=2; python_version >= '3.12'"],
            "index": {
                "url": "https://index.example/simple",
                "extraUrls": ["https://more.example/simple", "https://host:8443/simple?a=b"],
                "secretRef": {"name": "index.login"},
            },
            "compileBytecode": True,
            "onlyBinary": False,
        },
        "verify": {"imports": ["ade_engine", "ade_config.rules"]},
        "timeout": "10m",
        "ttl": "720h",
        "history": {"limit": 5, "retention": "168h"},
        "suspend": False,
    },
    "ConfigMap, all keys": _config_map(),
    "ConfigMap, archive": _config_map(archiveKey="tree.tar.gz"),
    "Git branch": _git(path=".", secretRef={"name": "git-login"}),
    "Git tag": _git(ref={"tag": "v1"}),
    "Git commit": _git(ref={"commit": "0123456789abcdef" * 4}),
    "archive": _archive(path="rules"),
    "requirement with extras and marker": _config(
        requirement="ade-config[xlsx,csv] >=2.1,<3 ; python_version < '4'"
    ),
    "engine from a path": _with(engine={"path": "engines/ade"}),
    "path with dots in its names": _config(path="rules..old/.hidden/v1.2"),
    "path of the whole namespace": _config(path="."),
    "pip with an index": _with(
        install={"installer": "pip", "index": {"url": "https://index.example/simple"}}
    ),
    "wheels only": _with(engine={"requirement": "ade-engine"}, install={"onlyBinary": True}),
    "trees where wheels only is off": {**_config(path="a"), "install": {"onlyBinary": False}},
    "shortest times": _with(
        timeout="1s", interval="30s", ttl="1m", history={"limit": 0, "retention": "60000ms"}
    ),
    "times in parts": _with(timeout="0h1m30.5s", ttl="1.5h"),
    "longest history": _with(history={"limit": 50}),
    "suspended": _with(suspend=True),
}
