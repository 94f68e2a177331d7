"""Puts the HTTP application together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from prometheus_client import REGISTRY, CollectorRegistry

from configbuild.builds.copies import LogCopies
from configbuild.builds.records import BuildRecord
from configbuild.journal import Journals
from configbuild.version import operator_version
from configbuild.web import gone, operation, routes
from configbuild.web.access import Access
from configbuild.web.backend import Backend, BuildService, at_once, no_copy
from configbuild.web.doorkeeper import Doorkeeper
from configbuild.web.problems import add_problems, problems

_DESCRIPTION = """\
Asks for builds of configs, and watches them.

A *workspace* is a Kubernetes namespace, a *config* a ConfigBuild in it, a *build* one attempt at a
verified Python environment. Every error is a problem document (RFC 9457).

Callers show a bearer token of the cluster; what they may do is for its RBAC to say. An operator on
a loopback address may have been told to ask for none.
"""

# What tells only whether the operator is well is told to anybody: doorkeeper.py lists it.
_TOKEN = HTTPBearer(
    scheme_name="token",
    description="A token of the cluster, for its API server or for the audience of this API.",
    auto_error=False,
)


def create_app(
    service: BuildService,
    journals: Journals,
    *,
    access: Access | None = None,
    ready: Callable[[], list[str]] = list,
    recorded: Callable[[BuildRecord], Awaitable[None]] = at_once,
    copies: LogCopies | None = None,
    registry: CollectorRegistry = REGISTRY,
    ensure_wait_s: float = 30.0,
    heartbeat_s: float = 15.0,
    warnings: Callable[[], list[str]] = list,
) -> FastAPI:
    """Make the application; it owns nothing, and needs no start or end.

    ``access`` asks who callers are and what they may do; without it, everybody may do everything.
    ``ready`` lists what is still missing before builds can be made; ``warnings`` what is not as it
    should be though they can. ``recorded`` is awaited before a client is told of a new build: it
    returns once a restart would find it (status in the cluster). ``copies`` are read where a
    journal is gone. ``ensure_wait_s`` bounds
    ``options.wait``; a stream sends an empty line after ``heartbeat_s`` of silence.
    """
    app = routed_app()
    app.state.backend = Backend(
        service=service,
        journals=journals,
        access=access,
        ready=ready,
        recorded=recorded,
        copy=copies.read if copies is not None else no_copy,
        registry=registry,
        ensure_wait_s=ensure_wait_s,
        heartbeat_s=heartbeat_s,
        warnings=warnings,
    )
    return app


def routed_app() -> FastAPI:
    """Make an application that has all its routes and nothing behind them."""
    app = FastAPI(
        title="ConfigBuild",
        summary="Turns a declared configuration into a verified Python environment",
        description=_DESCRIPTION,
        version=operator_version(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    add_problems(app)
    app.add_middleware(Doorkeeper)
    for guarded in (routes.router, gone.router, operation.guarded):
        app.include_router(guarded, dependencies=[Security(_TOKEN)], responses=problems(401, 503))
    app.include_router(operation.router)
    return app
