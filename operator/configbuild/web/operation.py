"""For those who operate it: is it alive, is it ready, what does it count."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import choose_encoder

from configbuild.callers import Act
from configbuild.web.access import CallerOf
from configbuild.web.backend import BackendOf
from configbuild.web.models import Health, Readiness
from configbuild.web.problems import problem, problems

router = APIRouter(tags=["operation"])
guarded = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """Answer, which shows that the event loop turns."""
    return Health()


@router.get("/readyz", response_model=Readiness, responses=problems(503))
async def readyz(request: Request, backend: BackendOf) -> Readiness | Response:
    """Tell whether builds can be made, and if not, what is missing."""
    missing = backend.ready()
    if not missing:
        return Readiness(warnings=backend.warnings())
    return problem(
        request,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        kind="not-ready",
        title="Not ready",
        detail=f"not ready yet: {', '.join(missing)}",
        reason="NotReady",
        missing=missing,
    )


@guarded.get(
    "/metrics",
    response_class=PlainTextResponse,
    response_description="Prometheus metrics.",
    responses=problems(403),
)
async def metrics(request: Request, backend: BackendOf, caller: CallerOf) -> Response:
    """Give all metrics in the format that is asked for (Prometheus or OpenMetrics text)."""
    await caller.require(Act.READ_METRICS, None)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(backend.registry), headers={"Content-Type": content_type})
