"""The YAML documents of a file, read as Kubernetes reads them, and where each of them stands.

Unlike plain PyYAML: a key that is given twice is refused, since one of the two would be lost
without a word; and what looks like a date stays text, since JSON knows no dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, ScalarNode

from configbuild.errors import ConfigBuildError

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class InputError(ConfigBuildError):
    """What a person gave a command cannot be worked with."""

    reason = "InvalidInput"
    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file; ``number`` and ``line`` (its first) count from 1."""

    file: str
    number: int
    line: int
    content: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its kind and name, as far as it has them."""
        kind, metadata = self.content.get("kind"), self.content.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return " ".join(word for word in (kind, name) if isinstance(word, str))

    def error(self, *problems: str) -> InputError:
        """Make the error that says what is wrong in here."""
        what = f"document {self.number}" + (f" ({self.title})" if self.title else "")
        where = f"{self.file}:{self.line}: {what}:"
        return InputError(
            "\n  ".join([where, *problems]) if problems[1:] else f"{where} {problems[0]}"
        )


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and type are PyYAML's
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                raise ComposerError(None, None, f"{key.value!r} stands here twice", key.start_mark)
            seen.add(key.value if isinstance(key, ScalarNode) else id(key))
        return node


def read_documents(content: bytes, file: str) -> list[Document]:
    """Read all documents that hold something; :class:`InputError` if one is no object.

    ``file`` is what errors call it.
    """
    try:
        return list(_documents(_Loader(content), file))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InputError(f"{where}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{file}: this is not YAML: {error}") from None
    except RecursionError:
        raise InputError(f"{file}: is nested too deeply") from None


def _documents(loader: _Loader, file: str) -> Iterator[Document]:
    number = 0
    while loader.check_node():
        number += 1
        node = loader.get_node()
        assert node is not None
        data = loader.construct_document(node)
        if data is None:
            continue
        content = data if isinstance(data, dict) else {}
        document = Document(
            file=file, number=number, line=node.start_mark.line + 1, content=content
        )
        if not isinstance(data, dict):
            raise document.error("must be an object with apiVersion, kind, metadata and spec")
        for field in ("apiVersion", "kind"):
            if field not in content:
                raise document.error(f"{field}: is missing; every object has apiVersion and kind")
            if not isinstance(content[field], str):
                raise document.error(f"{field}: must be a string")
        yield document
