"""The operator, wired together: the only place that knows all rooms of the house.

Start: one process at a time per volume (the lock), interpreters, a first complete list (which also
shows missing permissions), then everything at once. Stop: everything at once, streams and builds
with their last words, then the last status of each.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from prometheus_client import REGISTRY

from configbuild.builds.retention import Rules
from configbuild.builds.service import Builds
from configbuild.builds.workshop import make_reader, make_workshop
from configbuild.caches import keep_trimmed
from configbuild.confinement import gaps, problem
from configbuild.errors import ClusterError, ConfigBuildError
from configbuild.files import file_lock, remove_tree
from configbuild.interpreters import Interpreters, probe
from configbuild.journal import Journals
from configbuild.kube import log_maps
from configbuild.kube.client import (
    NEEDED,
    Cluster,
    PermissionMissingError,
    Right,
)
from configbuild.kube.clock import ServerClock
from configbuild.kube.connection import load_connection
from configbuild.kube.crd_age import CrdAge
from configbuild.kube.reconciler import Reconciler
from configbuild.kube.watch import Watcher
from configbuild.logstore import LogStore
from configbuild.metrics import Metrics, measure
from configbuild.metrics.words import SandboxState
from configbuild.notices import Notices
from configbuild.serving import make_access, make_certificate
from configbuild.settings import Settings
from configbuild.tuning import tune
from configbuild.version import operator_version
from configbuild.volume import check_volume, watch_volume
from configbuild.web.app import create_app
from configbuild.web.counted import CountedStreams
from configbuild.web.server import serve

logger = logging.getLogger(__name__)

# A CRD that is applied after the operator is noticed within this time.
_START_RETRY_S = 2.0

# How long the last status may take to reach the API server; a pod gets 30 s in all.
_FLUSH_TIMEOUT_S = 5.0


class LockedError(ConfigBuildError):
    """Another operator uses the same volume."""

    reason = "VolumeLocked"


async def run_operator(settings: Settings, *, namespaces: Sequence[str]) -> None:
    """Run the operator until SIGTERM or SIGINT; raises what ended it otherwise.

    ``namespaces`` empty means the whole cluster.
    """
    tune()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    check_volume(settings.layout)
    with volume_lock(settings.layout.venvs):
        # Scratch belongs to builds that run, and under the lock none does.
        await asyncio.to_thread(remove_tree, settings.layout.scratch_root)
        interpreters = await probe([settings.python_bin, *settings.python_bins])
        metrics = _metrics(settings)
        notices = Notices()
        clock = ServerClock(notices, told=metrics.clock_is_ahead)
        async with (
            Cluster(await load_connection(), asked=metrics.asked, heard=clock.heard) as cluster,
            _log_store(settings, cluster) as log_store,
        ):
            await _operate(
                settings, namespaces, interpreters, cluster, log_store, metrics, notices, stop
            )


async def _operate(
    settings: Settings,
    namespaces: Sequence[str],
    interpreters: Interpreters,
    cluster: Cluster,
    log_store: LogStore | None,
    metrics: Metrics,
    notices: Notices,
    stop: asyncio.Event,
) -> None:
    for number, warning in enumerate(sandbox_warnings(settings)):
        notices.begin(f"sandbox {number}", warning)
    reconciler = Reconciler(
        cluster=cluster, namespaces=namespaces, relist_s=settings.relist_seconds
    )
    journals = Journals(settings.layout.logs, limit_bytes=settings.log_limit_bytes)
    builds = Builds(
        catalog=reconciler,
        reader=make_reader(settings, interpreters, cluster, cluster),
        workshop=make_workshop(settings),
        journals=journals,
        listener=reconciler,
        max_concurrency=settings.max_concurrency,
        queue_limit=settings.queue_limit,
        retention=Rules(
            keep_replaced_s=settings.replaced_keep_seconds,
            orphan_grace_s=settings.orphan_grace_seconds,
        ),
        log_store=log_store,
        ended=metrics.ended,
    )
    reconciler.builds = builds
    metrics.look_at(builds.load, layout=settings.layout, phases=reconciler.phases)
    watcher = Watcher(
        namespaces=namespaces,
        observe=lambda body, deleted: reconciler.observe(body, deleted=deleted),
    )
    await _first_list(cluster, reconciler, namespaces, _rights(settings), stop)
    if stop.is_set():
        return
    crd = CrdAge(cluster, notices, told=metrics.crd_is_outdated)
    access = await make_access(settings, cluster)
    certificate = await make_certificate(settings, cluster)
    app = create_app(
        builds,
        journals,
        access=access,
        ensure_wait_s=settings.build_ensure_wait_seconds,
        ready=lambda: [] if watcher.ready.is_set() else ["watch of ConfigBuilds"],
        recorded=reconciler.status_writer.wait_until_written,
        copies=builds.copies,
        warnings=notices.texts,
    )
    app.add_middleware(CountedStreams, began=metrics.stream_began, ended=metrics.stream_ended)
    async with _stopping_when(stop) as group:
        group.create_task(builds.run(), name="builds")
        group.create_task(reconciler.run(), name="reconciler")
        group.create_task(watcher.run(), name="watch")
        group.create_task(crd.watch(interval_s=settings.relist_seconds), name="age of the CRD")
        group.create_task(
            keep_trimmed(
                settings.layout.cache,
                limit_bytes=settings.cache_limit_bytes,
                interval_s=settings.relist_seconds,
            ),
            name="caches",
        )
        group.create_task(
            serve(
                app,
                host=settings.http_host,
                port=settings.http_port,
                tls=certificate.context,
                on_started=lambda url: logger.info("HTTP API at %s", url),
            ),
            name="http",
        )
        group.create_task(watch_volume(settings.layout, notices), name="volume")
        group.create_task(measure(settings.layout.cache, metrics.cache_takes), name="cache size")
        for keep in certificate.upkeep:
            group.create_task(keep(), name="certificate")
    async with asyncio.timeout(_FLUSH_TIMEOUT_S):
        await reconciler.status_writer.flush()


@asynccontextmanager
async def _log_store(settings: Settings, cluster: Cluster) -> AsyncIterator[LogStore | None]:
    """Choose where copies of logs are, and let go of it in the end."""
    match settings.log_store:
        case "configmap":
            yield log_maps.LogMaps(cluster.rest)
        case "valkey":
            # Late: most operators never talk to Valkey, and need not import its client.
            from configbuild.valkey_store import make_valkey_store  # noqa: PLC0415

            store = make_valkey_store(settings)
            try:
                yield store
            finally:
                await store.close()
        case "off":
            yield None


def _rights(settings: Settings) -> Sequence[Right]:
    """List what the operator has to be allowed where it builds."""
    return [*NEEDED, *(log_maps.NEEDED if settings.log_store == "configmap" else ())]


def _metrics(settings: Settings) -> Metrics:
    """Make what counts, and have it say what does not change."""
    metrics = Metrics(REGISTRY)
    metrics.describe(
        version=operator_version(),
        safe_mode=settings.safe_mode,
        limits={"running": settings.max_concurrency, "waiting": settings.queue_limit},
    )
    metrics.guarded_by(_sandbox_state(settings))
    return metrics


def _sandbox_state(settings: Settings) -> SandboxState:
    if settings.sandbox == "off":
        return SandboxState.OFF
    return SandboxState.UNAVAILABLE if problem() is not None else SandboxState.ENFORCED


def sandbox_warnings(settings: Settings) -> list[str]:
    """Say what of the sandbox is not as it should be: in the log, and at ``/readyz``."""
    if settings.sandbox == "off":
        return [
            "ADE_SANDBOX=off: code of packages may do what the operator may, and read its token"
        ]
    if (missing := problem()) is not None:
        return [f"no build is run (SandboxUnavailable): {missing}"]
    return [f"this kernel's sandbox does not deny {gap}" for gap in gaps()]


@contextmanager
def volume_lock(directory: Path) -> Iterator[None]:
    """Hold the volume of venvs; :class:`LockedError` if another process does."""

    def busy() -> None:
        raise LockedError(f"another operator uses {directory}; there can be one per volume")

    with file_lock(directory / ".operator.lock", busy=busy):
        yield


async def _first_list(
    cluster: Cluster,
    reconciler: Reconciler,
    namespaces: Sequence[str],
    rights: Sequence[Right],
    stop: asyncio.Event,
) -> None:
    """List everything once; wait for a CRD or an API server that is not there yet.

    :class:`PermissionMissingError` at once: that does not come by waiting.
    """
    while not stop.is_set():
        try:
            for namespace in namespaces or (None,):
                await cluster.check_permissions(namespace, rights)
            await reconciler.list_all()
            return
        except PermissionMissingError:
            raise
        except ClusterError as error:
            logger.warning("%s; waiting for it", error)
            await asyncio.sleep(_START_RETRY_S)


@asynccontextmanager
async def _stopping_when(stop: asyncio.Event) -> AsyncIterator[asyncio.TaskGroup]:
    """Give a task group whose tasks are cancelled once ``stop`` is set."""

    class _Stopped(Exception):  # noqa: N818 - a signal, not an error
        pass

    async def watch_for_stop() -> None:
        await stop.wait()
        raise _Stopped

    try:
        async with asyncio.TaskGroup() as group:
            yield group
            group.create_task(watch_for_stop(), name="stop")
    except* _Stopped:
        logger.info("stopping")
