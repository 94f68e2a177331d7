"""What the service before the former one had: answered, so that a client's author finds the way."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from configbuild.web.problems import Problem, ProblemResponse, problem, problems
from configbuild.web.routes import PREFIX

router = APIRouter(
    prefix=f"{PREFIX}/workspaces/{{workspace_id}}/configurations/{{configuration_id}}",
    tags=["gone"],
    deprecated=True,
    default_response_class=ProblemResponse,
    responses=problems(422),  # FastAPI would tell of another kind, though none can come
)

_MEANING = "The former service had this; `detail` says what to use."


@router.put(
    "/build", status_code=HTTPStatus.GONE, response_model=Problem, response_description=_MEANING
)
async def put_configuration_build(
    workspace_id: str, configuration_id: str, request: Request
) -> Response:
    """Gone: ensured a build and blocked until it had ended."""
    builds = _builds(workspace_id, configuration_id)
    return _gone(request, f"POST {builds} with options.wait ensures a build")


@router.get(
    "/build", status_code=HTTPStatus.GONE, response_model=Problem, response_description=_MEANING
)
async def get_configuration_build(
    workspace_id: str, configuration_id: str, request: Request
) -> Response:
    """Gone: showed the active build."""
    return _gone(request, f"GET {_builds(workspace_id, configuration_id)} lists the builds")


@router.delete(
    "/build", status_code=HTTPStatus.GONE, response_model=Problem, response_description=_MEANING
)
async def delete_configuration_build(
    workspace_id: str, configuration_id: str, request: Request
) -> Response:
    """Gone: deleted the active build."""
    builds = _builds(workspace_id, configuration_id)
    return _gone(
        request,
        f"a build goes with its ConfigBuild; POST {builds} with options.force replaces it",
    )


def _builds(workspace_id: str, config_id: str) -> str:
    return f"{PREFIX}/workspaces/{workspace_id}/configs/{config_id}/builds"


def _gone(request: Request, instead: str) -> Response:
    return problem(
        request,
        status=HTTPStatus.GONE,
        kind="gone",
        title="Gone",
        detail=f"this is gone: {instead}; see docs/migration.md",
        reason="Gone",
    )
