"""What is known of an installed distribution, and of where it came from. Pure data.

What a distribution says of itself is in :class:`Distribution`, and is no proof of anything. An
:class:`Origin` is what the operator or an installer saw: an address, and the hash of a whole file
(of a wheel, of an archive), never one that a package wrote down itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution, by its own metadata.

    ``name`` is normalised (PEP 503). ``record_sha256`` hashes its RECORD, the list of the hashes of
    its files. ``tags`` and ``build`` are what its WHEEL file says of the wheel it came in;
    ``elsewhere`` says why no index has that wheel.
    """

    name: str
    version: str
    installer: str = ""
    summary: str = ""
    license_expression: str = ""
    licenses: tuple[str, ...] = ()
    record_sha256: str = ""
    tags: tuple[str, ...] = ()
    build: str = ""
    elsewhere: str = ""

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """Take it from what ``collect_metadata`` has written."""
        several = {name: tuple(entry.get(name, ())) for name in ("licenses", "tags")}
        return cls(**{**entry, **several})


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A wheel: its file name and hash, and where it can be had again, if that is known.

    ``url`` holds no credentials (:func:`public_url`); ``path`` is absolute.
    """

    name: str
    sha256: str
    url: str | None = None
    path: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FromIndex:
    """One of these wheels, by the index or the folder that was asked: mostly there is but one."""

    wheels: tuple[WheelFile, ...]

    @property
    def wheel(self) -> WheelFile | None:
        """The wheel, if it is known which."""
        return self.wheels[0] if len(self.wheels) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The tree at ``path`` of a commit; ``named`` is the reference that the spec has."""

    url: str
    named: str
    commit: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The tree at ``path`` in an archive, or a wheel (then ``path`` is ``.``)."""

    url: str
    sha256: str
    path: str = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTree:
    """A source tree that has no address elsewhere; ``digest`` is over all its files."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A wheel that this build, or an earlier one, made of a source tree."""

    source: Repository | Archive | LocalTree
    wheel: WheelFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody saw where it came from; ``why`` says so in a few words."""

    why: str


Origin = FromIndex | Built | Archive | Unknown


def whole_hash(origin: Origin) -> str | None:
    """Give the SHA-256 of the file that was installed, if it is known which file that was."""
    match origin:
        case FromIndex(wheel=WheelFile(sha256=sha256)) | Built(wheel=WheelFile(sha256=sha256)):
            return sha256
        case Archive(sha256=sha256):
            return sha256
        case _:
            return None


def public_url(url: str) -> str | None:
    """Take from a URL what may be a secret: login, query (signatures) and fragment.

    ``None`` if it is no http(s) URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or not url.isascii():
        return None
    if not url.isprintable() or " " in url:
        return None
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(
        (parts.scheme, place if port is None else f"{place}:{port}", parts.path, "", "")
    )


def those_of(wheels: Iterable[WheelFile], distribution: Distribution) -> tuple[WheelFile, ...]:
    """Choose the wheel that a distribution came in, by the tags in its WHEEL file.

    All of them, if these do not decide; a package that lies about its tags names another wheel of
    the same version, which the same project has uploaded.
    """
    found = tuple(wheels)
    if len(found) < 2:
        return found
    wanted = {tag for text in distribution.tags for tag in _tags(text)}
    chosen = tuple(
        wheel for wheel in found if _named(wheel.name) == (frozenset(wanted), distribution.build)
    )
    return chosen if len(chosen) == 1 else found


def _tags(text: str) -> frozenset[Tag]:
    return parse_tag(text) if text.count("-") == 2 else frozenset()


def _named(wheel: str) -> tuple[frozenset[Tag], str] | None:
    try:
        _, _, build, tags = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return None
    return tags, "".join(map(str, build))
