"""The few calls that the operator makes to the API server, and what their failures mean."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    Configuration,
    CoreV1Api,
    CustomObjectsApi,
)
from kubernetes.aio.client.exceptions import (
    ApiException,
    ConflictException,
    ForbiddenException,
    NotFoundException,
)

from configbuild.errors import ClusterError, SourceError
from configbuild.model import BuildId, ConfigKey
from configbuild.resource import GROUP, PLURAL, VERSION
from configbuild.sources import ConfigMapContent

logger = logging.getLogger(__name__)

# Worn by pods that use a build's environment, which stays while they live.
BUILD_LABEL = "ade.dev/build-id"

FIELD_MANAGER = "configbuild-operator"

# Answers come in milliseconds; what takes longer is asked again rather than waited for.
_REQUEST_TIMEOUT_S = 30.0

_PAGE = 500

# What a request can end with: an answer that says no, a connection that is cut, no answer in time.
_FAILURES = (ApiException, aiohttp.ClientError, OSError, TimeoutError)

# Group, resource, subresource, verb: without these nothing works.
_NEEDED = (
    (GROUP, PLURAL, "", "get"),
    (GROUP, PLURAL, "", "list"),
    (GROUP, PLURAL, "", "watch"),
    (GROUP, PLURAL, "status", "patch"),
    ("", "configmaps", "", "get"),
)


class PermissionMissingError(ClusterError):
    """The operator's role lacks a permission; the message names verb, resource and namespace."""

    reason = "PermissionMissing"


class CrdMissingError(ClusterError):
    """The cluster does not know the resource (yet)."""

    reason = "CrdMissing"


async def load_configuration() -> Configuration:
    """Read how to reach the API server: ``KUBECONFIG``, or the pod's service account."""
    configuration = Configuration()
    if os.environ.get("KUBECONFIG"):
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration, persist_config=False
        )
        first = Path(os.environ["KUBECONFIG"].split(os.pathsep)[0])
        configuration.refresh_api_key_hook = _token_of_file(first)  # type: ignore[assignment]
    else:
        config.load_incluster_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    # The name of a resource is all that a log line needs; retries are the callers' matter.
    configuration.retries = None
    return configuration


def _changed_at(file: Path) -> int:
    return file.stat().st_mtime_ns


def _token_of_file(kubeconfig: Path) -> Callable[[Configuration], Awaitable[None]]:
    """Make a hook that takes up a token that was rotated, by the file's time of change."""
    seen = _changed_at(kubeconfig)

    async def refresh(configuration: Configuration) -> None:
        nonlocal seen
        changed = _changed_at(kubeconfig)
        if changed == seen:
            return
        fresh = Configuration()
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            client_configuration=fresh, persist_config=False
        )
        configuration.api_key = fresh.api_key
        seen = changed

    return refresh


class Cluster:
    """A client for one API server; also where the ConfigMaps of sources come from."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = ApiClient(configuration)
        self._objects = CustomObjectsApi(self._client)
        self._core = CoreV1Api(self._client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def check_permissions(self, namespace: str | None) -> None:
        """Ask whether the operator may do what it has to, in a namespace (``None``: in all).

        :class:`PermissionMissingError` names the first thing that it may not.
        """
        reviews = AuthorizationV1Api(self._client)
        for group, resource, subresource, verb in _NEEDED:
            attributes = {
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "namespace": namespace or "",
            }
            try:
                review: Any = await reviews.create_self_subject_access_review(
                    {"spec": {"resourceAttributes": attributes}},  # type: ignore[arg-type]
                    _request_timeout=_REQUEST_TIMEOUT_S,
                )
            except _FAILURES as error:
                raise ClusterError(f"asking for permissions failed: {_words(error)}") from error
            if not review.status.allowed:
                whole = f"{resource}/{subresource}" if subresource else resource
                raise _permission(verb, whole, namespace)

    async def list_configbuilds(self, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield every ConfigBuild of a namespace (``None``: of all), page by page."""
        token = ""
        while True:
            try:
                page = await self._list_page(namespace, token)
            except ForbiddenException as error:
                raise _permission("list", PLURAL, namespace) from error
            except NotFoundException as error:
                raise CrdMissingError(
                    f"the API server does not know {PLURAL}.{GROUP}; apply crds/ first"
                ) from error
            except _FAILURES as error:
                raise ClusterError(f"listing {PLURAL} failed: {_words(error)}") from error
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def get_configbuild(self, key: ConfigKey) -> dict[str, Any] | None:
        """Read one ConfigBuild as it is now; ``None`` if there is none."""
        try:
            body: Any = await self._objects.get_namespaced_custom_object(
                GROUP, VERSION, key.namespace, PLURAL, key.name, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except NotFoundException:
            return None
        except ForbiddenException as error:
            raise _permission("get", PLURAL, key.namespace) from error
        except _FAILURES as error:
            raise ClusterError(f"reading ConfigBuild {key} failed: {_words(error)}") from error
        return dict(body)

    async def patch_status(
        self, key: ConfigKey, patch: Mapping[str, Any], *, resource_version: str
    ) -> dict[str, Any] | None:
        """Merge ``patch`` into the status of exactly that version of an object.

        ``None`` if the object has moved on or is gone: read it again. The version is the only guard
        against writing to a deleted and recreated object.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        try:
            answer: Any = await self._objects.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                key.namespace,
                PLURAL,
                key.name,
                body,
                field_manager=FIELD_MANAGER,
                field_validation="Strict",
                _request_timeout=_REQUEST_TIMEOUT_S,
            )
        except (ConflictException, NotFoundException):
            return None
        except ForbiddenException as error:
            raise _permission("patch", f"{PLURAL}/status", key.namespace) from error
        except _FAILURES as error:
            raise ClusterError(f"writing status of {key} failed: {_words(error)}") from error
        return dict(answer)

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        """Read a ConfigMap; see :class:`configbuild.sources.ConfigMaps`."""
        try:
            found = await self._core.read_namespaced_config_map(
                name, namespace, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except NotFoundException:
            return None
        except ForbiddenException as error:
            raise SourceError(
                "spec.config.configMap", _permission("get", "configmaps", namespace).message
            ) from error
        except _FAILURES as error:
            raise SourceError(
                "spec.config.configMap.name", f"{name!r} could not be read: {_words(error)}"
            ) from error
        return ConfigMapContent(
            data=found.data or {},
            binary_data={
                key: base64.b64decode(value) for key, value in (found.binary_data or {}).items()
            },
        )

    async def worn(self, namespace: str) -> set[BuildId] | None:
        """List the builds that living pods of a namespace wear; see :class:`.Wearers`.

        ``None`` if that cannot be known: then nothing may be removed.
        """
        try:
            pods: Any = await self._core.list_namespaced_pod(
                namespace, label_selector=BUILD_LABEL, _request_timeout=_REQUEST_TIMEOUT_S
            )
        except _FAILURES as error:
            logger.warning("pods of %s cannot be listed (%s): no venv is removed", namespace, error)
            return None
        alive = [pod for pod in pods.items if pod.status.phase not in ("Succeeded", "Failed")]
        return {BuildId(pod.metadata.labels[BUILD_LABEL]) for pod in alive}

    async def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Create a Kubernetes Event; one that cannot be created is logged and let go."""
        try:
            await self._core.create_namespaced_event(
                namespace,
                event,  # type: ignore[arg-type] # the client takes JSON data for a model
                field_manager=FIELD_MANAGER,
                _request_timeout=_REQUEST_TIMEOUT_S,
            )
        except _FAILURES as error:
            logger.warning("Event %s in %s not written: %s", event["reason"], namespace, error)

    async def _list_page(self, namespace: str | None, token: str) -> dict[str, Any]:
        options: dict[str, Any] = {"limit": _PAGE, "_request_timeout": _REQUEST_TIMEOUT_S}
        if token:
            options["_continue"] = token
        page: Any
        if namespace is None:
            page = await self._objects.list_cluster_custom_object(GROUP, VERSION, PLURAL, **options)
        else:
            page = await self._objects.list_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, **options
            )
        return dict(page)


def _permission(verb: str, resource: str, namespace: str | None) -> PermissionMissingError:
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    return PermissionMissingError(
        f"the operator may not {verb} {resource} {where}; its Role must allow that"
    )


def _words(error: BaseException) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return f"{type(error).__name__} {error}".strip()
