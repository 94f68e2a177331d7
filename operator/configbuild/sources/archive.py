"""A source tree in an archive that is downloaded.

Its SHA-256 stands in the spec, so there is nothing to resolve: what is fetched is what was
declared, wherever it comes from, or the build fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from configbuild.archives import ArchiveError, Limits, archive_files
from configbuild.errors import SourceError
from configbuild.model import ArchiveSource
from configbuild.origins import Archive as Origin
from configbuild.sources.hosts import HostRules
from configbuild.sources.remote import Workplace
from configbuild.trees import write_files

_FIELD = "spec.config.archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTree:
    """The tree in an archive; see :class:`~configbuild.sources.remote.RemoteTree`."""

    source: ArchiveSource
    hosts: HostRules
    limits: Limits
    moving: bool = False
    secrets: tuple[bytes, ...] = ()

    @property
    def digest(self) -> str:
        """What identifies the content. Not the URL: another mirror of it is no reason to build."""
        return f"archive:{self.source.sha256}:{self.source.path}"

    @property
    def origin(self) -> Origin:
        """See :class:`~configbuild.sources.remote.RemoteTree`."""
        return Origin(url=self.source.url, sha256=self.source.sha256, path=self.source.path)

    async def fetch(self, place: Workplace) -> None:
        """Download, compare, unpack; see :class:`~configbuild.sources.remote.RemoteTree`."""
        # Late: few builds download an archive, and every local one would import an HTTP client.
        from configbuild.sources.download import Download  # noqa: PLC0415

        file = place.scratch / "archive"
        place.say(f"downloading {self.source.url}")
        found = await Download(
            url=self.source.url,
            field=f"{_FIELD}.url",
            hosts=self.hosts,
            limit_bytes=self.limits.bytes,
        ).to(file)
        if found != self.source.sha256:
            raise SourceError(
                f"{_FIELD}.sha256",
                f"the archive has another SHA-256: {found}; mend the field if that is the archive"
                " that you mean",
                reason="ChecksumMismatch",
                missing=True,
            )
        place.say(f"its SHA-256 is {found}")
        count = await asyncio.to_thread(
            unpack, file, place.tree, self.source.path, limits=self.limits, field=_FIELD
        )
        place.say(f"unpacked {count} files")


def unpack(file: Path, tree: Path, path: str, *, limits: Limits, field: str) -> int:
    """Write what an archive holds below ``path`` to ``tree`` (made); returns the count of files.

    :class:`SourceError` if the archive or something in it cannot be built from.
    """
    try:
        with file.open("rb") as archive:
            count = write_files(tree, archive_files(archive, limits, below=path))
    except ArchiveError as error:
        raise SourceError(field, str(error), reason="SourceInvalid", missing=True) from error
    if not count:
        raise SourceError(
            f"{field}.path",
            f"there are no files in {path!r}" if path != "." else "it holds no files",
            reason="SourceInvalid",
            missing=True,
        )
    return count
