"""One ConfigBuild here, without a cluster: what ``configbuild build`` does.

Engine, journal and events are the operator's. In place of the API server there is a file, in place
of the reconciler one decision, and in place of HTTP a display that follows the journal.
"""

from __future__ import annotations

import asyncio
import platform
import signal
import sysconfig
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import reduce
from typing import ParamSpec

from configbuild.builds.attempt import Attempt
from configbuild.builds.state import Declared
from configbuild.builds.workshop import Wanted, make_reader, make_workshop
from configbuild.cli.documents import InputError
from configbuild.cli.interrupts import Interrupts
from configbuild.cli.manifests import DeclaredBuild, Manifests
from configbuild.cli.preview import remake, reuse, suspended
from configbuild.cli.progress import BuiltFacts, Display, ReaderGoneError, leave_quietly, say
from configbuild.cli.workdir import Cause, Workdir, cause_of_build, reusable
from configbuild.errors import ConfigBuildError, SourceError, SpecError
from configbuild.events import encode_line
from configbuild.interpreters import Interpreter, Interpreters, probe
from configbuild.model import BuildId, BuildStatus
from configbuild.receipt import read_receipt
from configbuild.settings import Settings, base_python

# How often a display hears that there is nothing new: its clock shows tenths of a second.
_IDLE_S = 0.1

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBuild:
    """The build of one config out of a file. To be run under the lock of its workdir."""

    manifests: Manifests
    declared: DeclaredBuild
    workdir: Workdir
    settings: Settings
    display: Display
    force: bool

    async def run(self) -> int:
        """Reuse or build. The exit code: 0, 1, or 128 plus a signal where it was cut short.

        :class:`InputError` if nothing can be built from what is declared. Cancelled before the
        build has begun, it leaves nothing behind; from then on signals end it in order.
        """
        audience = _Audience()
        try:
            await asyncio.to_thread(self.workdir.heal)
            wanted = await self._read()
            verified = await asyncio.to_thread(self.workdir.verified)
            found = None if self.force else reusable(wanted, verified, usable=self.workdir.stands)
            if found is not None:
                facts = self._facts(wanted, found.build_id)
                await audience.tell(self.display.reused, found.build_id, facts)
                return 128 + signal.SIGPIPE if audience.gone else 0
            cause = cause_of_build(wanted, verified, force=self.force)
            attempt = await self._attempt(wanted, cause)
        except ConfigBuildError as error:
            raise InputError(error.message, reason=error.reason) from error
        code = await self._carry_out(attempt, wanted, cause, audience)
        await asyncio.to_thread(self.workdir.trim, keep=1 + wanted.spec.history_limit)
        return code

    async def explain(self) -> list[str]:
        """Say what :meth:`run` would do now, and why. Writes nothing, and needs no lock."""
        if self.declared.spec.get("suspend") is True:
            return suspended(self.declared.key)
        try:
            wanted = await self._read()
        except ConfigBuildError as error:
            raise InputError(error.message, reason=error.reason) from error
        verified = await asyncio.to_thread(self.workdir.verified)
        found = None if self.force else reusable(wanted, verified, usable=self.workdir.stands)
        if found is not None:
            return reuse(wanted, found)
        return remake(wanted, cause_of_build(wanted, verified, force=self.force))

    async def _read(self) -> Wanted:
        if self.declared.spec.get("suspend") is True:
            raise self.declared.document.error("spec.suspend: is true, so no build is started")
        reader = make_reader(self.settings, await _interpreters(self.settings), self.manifests)
        resolver = replace(reader.resolver, layout=self.workdir.layout)
        reader = replace(reader, resolver=resolver)
        declared = Declared(key=self.declared.key, uid="", generation=1, spec=self.declared.spec)
        try:
            return await reader.read(declared)
        except (SpecError, SourceError) as error:
            raise self.declared.document.error(self._words(error)) from error

    def _words(self, error: SpecError | SourceError) -> str:
        if error.reason != "SourceNotFound":
            return error.message
        path = reduce(lambda part, name: part[name], error.field.split(".")[1:], self.declared.spec)
        sources = self.workdir.layout.sources
        return f"{error.field}: there is no folder {str(path)!r} below {sources} (see --sources)"

    async def _attempt(self, wanted: Wanted, cause: Cause) -> Attempt:
        workshop = replace(make_workshop(self.settings), layout=self.workdir.layout)
        build_id = BuildId.new()
        request = workshop.request(wanted, build_id, cause.trigger)
        journal = await asyncio.to_thread(self.workdir.journals.create, build_id)
        return Attempt(request, journal, changed_inputs=cause.changed)

    async def _carry_out(
        self, attempt: Attempt, wanted: Wanted, cause: Cause, audience: _Audience
    ) -> int:
        with Interrupts(attempt, self.display.stopping) as interrupts:
            running = asyncio.create_task(attempt.run(), name="build")
            try:
                await audience.tell(self.display.begin, str(self.declared.key), cause.words)
                await self._show(attempt, audience, until=running.done)
                outcome = await running
            finally:
                running.cancel()
                await asyncio.wait({running})
        if not attempt.journal.completed:  # a full disk: told all the same
            assert attempt.end is not None
            await audience.tell(self.display.feed, encode_line(attempt.end))
        built = outcome.status is BuildStatus.ACTIVE
        facts = self._facts(wanted, attempt.record.id) if built else None
        await audience.tell(self.display.end, attempt.journal.path, facts)
        if outcome.status is BuildStatus.CANCELED:
            return 128 + (interrupts.received or signal.SIGPIPE)
        return 0 if built else 1

    async def _show(
        self, attempt: Attempt, audience: _Audience, *, until: Callable[[], bool]
    ) -> None:
        """Follow a build to its end, or until nobody looks any more: then it is to end."""
        journals = self.workdir.journals
        blocks = journals.follow(attempt.record.id, follow=True, idle_s=_IDLE_S)
        async with aclosing(blocks):
            async for block in blocks:
                await audience.tell(self.display.feed, block)
                if audience.gone:
                    attempt.cancel("nobody reads its output any more", reason="Canceled")
                    break
                if not block and until():  # it ended, and its journal cannot say so
                    break

    def _facts(self, wanted: Wanted, build_id: BuildId) -> BuiltFacts:
        paths = self.workdir.layout.build(self.declared.key, build_id)
        receipt = read_receipt(paths.receipt)
        assert receipt is not None
        module = wanted.spec.verify_imports[0]
        main = paths.site_packages(wanted.interpreter.minor).joinpath(
            *module.split("."), "__main__.py"
        )
        return BuiltFacts(
            venv=paths.venv,
            python=receipt["python"]["version"],
            engine=f"{receipt['engine']['name']} {receipt['engine']['version']}",
            packages=len(receipt["packages"]),
            journal=self.workdir.journals.path(build_id),
            command=(str(paths.python), "-I", "-B", *(("-m", module) if main.exists() else ())),
        )


class _Audience:
    """Those who look at a display; ``gone`` once they can be shown nothing more."""

    def __init__(self) -> None:
        self.gone = False

    async def tell(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a method of the display, in a thread, unless they are gone."""
        if self.gone:
            return
        try:
            await asyncio.to_thread(act, *args, **kwargs)
        except OSError as error:
            self.gone = True
            leave_quietly()
            if not isinstance(error, ReaderGoneError):
                say(f"standard output cannot be written: {error.strerror}")


async def _interpreters(settings: Settings) -> Interpreters:
    """Ask each interpreter what it is, save our own: a build that is reused starts no process."""
    known = []
    for path in (settings.python_bin, *settings.python_bins):
        if path == base_python():
            version, name = platform.python_version(), sysconfig.get_platform()
            known.append(Interpreter(path=path, version=version, platform=name))
        else:
            known.extend((await probe([path])).known)
    return Interpreters(known=tuple(known))
