"""The few calls that the operator makes to the API server, and what their failures mean."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple, Self

from configbuild.errors import ClusterError, SourceError
from configbuild.kube.connection import Connection
from configbuild.kube.rest import (
    FAILURES,
    ApiError,
    Asked,
    ConflictError,
    ForbiddenError,
    Heard,
    NotFoundError,
    Rest,
    hear_nothing,
    tell_nobody,
    words_of,
)
from configbuild.model import BuildId, ConfigKey
from configbuild.resource import GROUP, PLURAL, VERSION
from configbuild.sources import ConfigMapContent, SecretContent

logger = logging.getLogger(__name__)

# Worn by pods that use a build's environment, which stays while they live.
BUILD_LABEL = "ade.dev/build-id"

FIELD_MANAGER = "configbuild-operator"

_PAGE = 500

_ALL = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
_OF_NAMESPACE = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{PLURAL}"
_ONE = f"{_OF_NAMESPACE}/{{name}}"
_CONFIG_MAP = "/api/v1/namespaces/{namespace}/configmaps/{name}"
_SECRET = "/api/v1/namespaces/{namespace}/secrets/{name}"  # noqa: S105 - a path
_PODS = "/api/v1/namespaces/{namespace}/pods"
_EVENTS = "/api/v1/namespaces/{namespace}/events"
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Right(NamedTuple):
    """What somebody may be allowed to do; with a ``name``, to that one only."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""

    @property
    def words(self) -> str:
        """Say it as in a Role."""
        whole = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {whole} {self.name}".rstrip()


# Without these nothing works.
NEEDED = (
    Right("get", GROUP, PLURAL),
    Right("list", GROUP, PLURAL),
    Right("watch", GROUP, PLURAL),
    Right("patch", GROUP, PLURAL, "status"),
    Right("get", "", "configmaps"),
)


class PermissionMissingError(ClusterError):
    """The operator's role lacks a permission; the message names verb, resource and namespace."""

    reason = "PermissionMissing"


class CrdMissingError(ClusterError):
    """The cluster does not know the resource (yet)."""

    reason = "CrdMissing"


class Cluster:
    """A client for one API server; also where ConfigMaps and Secrets of sources come from."""

    def __init__(
        self,
        connection: Connection,
        *,
        asked: Asked = tell_nobody,
        heard: Heard = hear_nothing,
    ) -> None:
        self._rest = Rest(connection, asked=asked, heard=heard)
        self._validation = "Strict"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._rest.close()

    @property
    def rest(self) -> Rest:
        """The requests themselves, for who asks for something else."""
        return self._rest

    async def check_permissions(
        self, namespace: str | None, rights: Iterable[Right] = NEEDED
    ) -> None:
        """Ask whether the operator may do what it has to, in a namespace (``None``: in all).

        :class:`PermissionMissingError` names the first thing that it may not.
        """
        for right in rights:
            attributes = {**right._asdict(), "namespace": namespace or ""}
            try:
                review = await self._rest.post(
                    _ACCESS_REVIEWS, {}, {"spec": {"resourceAttributes": attributes}}
                )
            except FAILURES as error:
                raise ClusterError(f"asking for permissions failed: {words_of(error)}") from error
            if not review["status"]["allowed"]:
                raise _permission(right.words, namespace)

    async def list_configbuilds(self, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield every ConfigBuild of a namespace (``None``: of all), page by page."""
        token = ""
        while True:
            try:
                page = await self._list_page(namespace, token)
            except ForbiddenError as error:
                raise _permission(f"list {PLURAL}", namespace) from error
            except NotFoundError as error:
                raise CrdMissingError(
                    f"the API server does not know {PLURAL}.{GROUP}; apply crds/ first"
                ) from error
            except FAILURES as error:
                raise ClusterError(f"listing {PLURAL} failed: {words_of(error)}") from error
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def get_configbuild(self, key: ConfigKey) -> dict[str, Any] | None:
        """Read one ConfigBuild as it is now; ``None`` if there is none."""
        try:
            body: dict[str, Any] = await self._rest.get(_ONE, _variables(key))
        except NotFoundError:
            return None
        except ForbiddenError as error:
            raise _permission(f"get {PLURAL}", key.namespace) from error
        except FAILURES as error:
            raise ClusterError(f"reading ConfigBuild {key} failed: {words_of(error)}") from error
        return body

    async def patch_status(
        self, key: ConfigKey, patch: Mapping[str, Any], *, resource_version: str
    ) -> dict[str, Any] | None:
        """Merge ``patch`` into the status of exactly that version of an object.

        ``None`` if the object has moved on or is gone: read it again. The version is the only guard
        against writing to a deleted and recreated object. What an older CRD does not know is lost.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        try:
            answer = await self._patch_status(key, body)
        except (ConflictError, NotFoundError):
            return None
        except ForbiddenError as error:
            raise _permission(f"patch {PLURAL}/status", key.namespace) from error
        except FAILURES as error:
            raise ClusterError(f"writing status of {key} failed: {words_of(error)}") from error
        return answer

    async def get(self, namespace: str, name: str) -> ConfigMapContent | None:
        """Read a ConfigMap; see :class:`configbuild.sources.ConfigMaps`."""
        try:
            found = await self._rest.get(_CONFIG_MAP, {"namespace": namespace, "name": name})
        except NotFoundError:
            return None
        except ForbiddenError as error:
            raise SourceError(
                "spec.config.configMap", _permission("get configmaps", namespace).message
            ) from error
        except FAILURES as error:
            raise SourceError(
                "spec.config.configMap.name", f"{name!r} could not be read: {words_of(error)}"
            ) from error
        return ConfigMapContent(
            data=found.get("data") or {},
            binary_data={
                key: base64.b64decode(value)
                for key, value in (found.get("binaryData") or {}).items()
            },
        )

    async def secret(self, namespace: str, name: str) -> SecretContent | None:
        """Read a Secret; see :class:`configbuild.sources.Secrets`. Nothing of it is kept here."""
        try:
            found = await self._rest.get(_SECRET, {"namespace": namespace, "name": name})
        except NotFoundError:
            return None
        except ForbiddenError as error:
            raise _permission("get secrets", namespace) from error
        except FAILURES as error:
            raise ClusterError(f"Secret {name!r} could not be read: {words_of(error)}") from error
        return SecretContent(
            data={key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()},
            annotations=found["metadata"].get("annotations") or {},
        )

    async def worn(self, namespace: str) -> set[BuildId] | None:
        """List the builds that living pods of a namespace wear; see :class:`.Wearers`.

        ``None`` if that cannot be known: then nothing may be removed.
        """
        try:
            pods = await self._rest.get(
                _PODS, {"namespace": namespace}, {"labelSelector": BUILD_LABEL}
            )
        except FAILURES as error:
            logger.warning("pods of %s cannot be listed (%s): no venv is removed", namespace, error)
            return None
        alive = [pod for pod in pods["items"] if not _has_ended(pod)]
        return {BuildId(pod["metadata"]["labels"][BUILD_LABEL]) for pod in alive}

    async def _patch_status(self, key: ConfigKey, body: Mapping[str, Any]) -> dict[str, Any]:
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": self._validation}
        path, variables = f"{_ONE}/status", _variables(key)
        answer: dict[str, Any]
        try:
            answer = await self._rest.merge_patch(path, variables, body, query)
        except ApiError as error:
            if self._validation == "Ignore" or "unknown field" not in error.body:
                raise
            # An older CRD; CrdAge warns of it. A status without some fields is better than none.
            self._validation = "Ignore"
            answer = await self._patch_status(key, body)
        return answer

    async def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Create a Kubernetes Event; one that cannot be created is logged and let go."""
        try:
            await self._rest.post(
                _EVENTS, {"namespace": namespace}, event, {"fieldManager": FIELD_MANAGER}
            )
        except FAILURES as error:
            logger.warning("Event %s in %s not written: %s", event["reason"], namespace, error)

    async def _list_page(self, namespace: str | None, token: str) -> dict[str, Any]:
        query = {"limit": str(_PAGE)}
        if token:
            query["continue"] = token
        page: dict[str, Any]
        if namespace is None:
            page = await self._rest.get(_ALL, {}, query)
        else:
            page = await self._rest.get(_OF_NAMESPACE, {"namespace": namespace}, query)
        return page


def _variables(key: ConfigKey) -> dict[str, str]:
    return {"namespace": key.namespace, "name": key.name}


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _permission(right: str, namespace: str | None) -> PermissionMissingError:
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    role = "Role" if namespace else "ClusterRole"
    return PermissionMissingError(f"the operator may not {right} {where}; its {role} must allow it")
