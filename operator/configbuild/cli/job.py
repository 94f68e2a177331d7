"""The Job that runs a command in the active environment of a ``ConfigBuild``. Pure.

It sees of the operator's volume the one venv, read-only, at the path at which it was built. It uses
the operator's image, since a venv links to the interpreter in there. Its pod wears the build's id:
so the venv stays while it lives, also when a newer build takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from configbuild.cli.documents import InputError
from configbuild.cli.told import Told

# As manifests/base labels the Deployment.
OPERATOR_LABELS = "app.kubernetes.io/name=configbuild,app.kubernetes.io/component=operator"
BUILD_LABEL = "ade.dev/build-id"

# Where manifests/base mounts the claim.
DEFAULT_ROOT = PurePosixPath("/var/lib/configbuild")

MOUNT_PATH = "ade.dev/mount-path"
"""The annotation of a claim that begins elsewhere, as those of workspaces do: where to mount it."""

# Should this program die before it has removed the Job: long enough to read what it said.
_KEPT_S = 3600

# Kubernetes adds five characters to a generateName, and a Job's name may have 63.
_LONGEST_PREFIX = 57

_CONTAINER = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Job can run: an image, and a claim whose folder ``within`` is mounted at ``root``.

    The rest is how the operator's own pod is set up.
    """

    image: str
    claim: str
    root: PurePosixPath = DEFAULT_ROOT
    within: str = ""
    pull_policy: str = "IfNotPresent"
    pod: Mapping[str, Any] = field(default_factory=dict)
    beside_operator: bool = False


def place_of(deployment: Mapping[str, Any], venv: PurePosixPath) -> Place | None:
    """Read it from the operator's Deployment; ``None`` if that mounts no claim above ``venv``."""
    pod = deployment["spec"]["template"]["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod.get("volumes") or ()
        if "persistentVolumeClaim" in volume
    }
    container = next(iter(pod["containers"]))
    mounts = [
        mount
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in claims and venv.is_relative_to(mount["mountPath"])
    ]
    if not mounts:
        return None
    mount = max(mounts, key=lambda it: len(it["mountPath"]))
    return Place(
        image=container["image"],
        claim=claims[mount["name"]],
        root=PurePosixPath(mount["mountPath"]),
        within=str(mount.get("subPath", "")),
        pull_policy=container.get("imagePullPolicy", "IfNotPresent"),
        pod={name: pod[name] for name in _LIKE_THE_OPERATOR if name in pod},
        beside_operator=True,
    )


def roots_of(claims: Iterable[Mapping[str, Any]], venv: PurePosixPath) -> dict[str, PurePosixPath]:
    """Tell where the claims begin that say so themselves, and have ``venv`` below that."""
    found = {}
    for claim in claims:
        metadata = claim["metadata"]
        path = (metadata.get("annotations") or {}).get(MOUNT_PATH)
        if path and venv.is_relative_to(path):
            found[str(metadata["name"])] = PurePosixPath(path)
    return found


_LIKE_THE_OPERATOR = ("securityContext", "imagePullSecrets", "nodeSelector", "tolerations")

# What the operator's own pod has in manifests/base, where that cannot be looked at.
_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


def choose_place(
    found: Place | None,
    *,
    image: str | None,
    claim: str | None,
    venv: PurePosixPath,
    roots: Mapping[str, PurePosixPath],
) -> Place:
    """Take what was found, or what the user says; :class:`InputError` if something is missing.

    ``roots`` are those of :func:`roots_of`; a claim that is not among them begins where the
    operator mounts its own.
    """
    if found is not None:
        chosen = replace(found, image=image or found.image)
        if claim is None or claim == found.claim:
            return chosen
        if claim in roots:
            chosen = replace(chosen, root=roots[claim], within="")
        return replace(chosen, claim=claim, beside_operator=False)
    claim = claim or next(iter(roots), None)
    missing = [
        option for option, value in (("--image", image), ("--claim", claim)) if value is None
    ]
    if missing:
        raise InputError(
            f"no Deployment with the labels {OPERATOR_LABELS} mounts a claim above {venv} here;"
            f" say {' and '.join(missing)}"
        )
    root = roots.get(claim or "", DEFAULT_ROOT)
    if not venv.is_relative_to(root):
        raise InputError(
            f"{venv} is not below {root}, so where the claim begins is not known; say so with the"
            f" claim's annotation {MOUNT_PATH}"
        )
    return Place(image=image or "", claim=claim or "", root=root)


def make_job(
    told: Told, place: Place, command: Sequence[str], *, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Write the Job; ``command`` is found in the venv first."""
    name, build_id = str(told.metadata["name"]), str(told.active["buildId"])
    venv = PurePosixPath(told.active["venvPath"])
    labels = {
        "app.kubernetes.io/name": "configbuild",
        "app.kubernetes.io/component": "run",
        "app.kubernetes.io/part-of": "configbuild",
        BUILD_LABEL: build_id,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": f"{name[: _LONGEST_PREFIX - 4].rstrip('-.')}-run-",
            "namespace": told.metadata["namespace"],
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_S,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": _SECURITY,
                    **place.pod,
                    **_affinity(place),
                    "containers": [_container(venv, place, command, environment)],
                    "volumes": [
                        {"name": "venvs", "persistentVolumeClaim": {"claimName": place.claim}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def _container(
    venv: PurePosixPath, place: Place, command: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": _CONTAINER,
        "image": place.image,
        "imagePullPolicy": place.pull_policy,
        "command": list(command),
        "workingDir": "/tmp",  # noqa: S108 - the pod's own
        "env": [
            {"name": name, "value": value}
            for name, value in _environment(venv, environment).items()
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {
                "name": "venvs",
                "mountPath": str(venv),
                "subPath": str(PurePosixPath(place.within) / venv.relative_to(place.root)),
                "readOnly": True,
            },
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        ],
    }


def _environment(venv: PurePosixPath, more: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(venv),
        "HOME": "/tmp",  # noqa: S108 - the pod's own
        # The venv is mounted read-only, and its bytecode is there already.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def _affinity(place: Place) -> dict[str, Any]:
    """Have it on the operator's node if that can be: a claim may be mounted on one node only."""
    if not place.beside_operator:
        return {}
    labels = dict(part.split("=") for part in OPERATOR_LABELS.split(","))
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    }


# Of a container that does not start; other reasons pass by themselves.
_HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """How far a pod is: ``words`` say why it has not begun; ``code`` is there once it has ended."""

    begun: bool = False
    hopeless: bool = False
    words: str = ""
    code: int | None = None


def state_of(pod: Mapping[str, Any]) -> PodState:
    """Read how far a Job's pod is."""
    status = pod.get("status") or {}
    containers: list[Mapping[str, Any]] = status.get("containerStatuses") or [{}]
    container = containers[0].get("state") or {}
    if ended := container.get("terminated"):
        reason = str(ended.get("reason") or "")
        words = "" if reason in ("Completed", "Error", "") else reason
        return PodState(begun=True, code=int(ended.get("exitCode", 1)), words=words)
    if "running" in container:
        return PodState(begun=True)
    if status.get("phase") in ("Failed", "Succeeded"):  # evicted, or its node went away
        return PodState(hopeless=True, words=": ".join(_words(status)) or "the pod has ended")
    waiting = container.get("waiting") or {}
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    unscheduled = [it for it in conditions if it.get("reason") == "Unschedulable"]
    words = ": ".join(_words(waiting)) or "".join(
        str(it.get("message", "")) for it in unscheduled[:1]
    )
    return PodState(hopeless=waiting.get("reason") in _HOPELESS, words=words)


def _words(row: Mapping[str, Any]) -> Iterator[str]:
    return (str(row[name]) for name in ("reason", "message") if row.get(name))
