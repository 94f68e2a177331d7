"""The Helm chart: the objects of the kustomize manifests, for each option, and good ones."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from configbuild.settings import Settings
from tests.cluster.controlplane import Cluster, wait_until
from tests.cluster.helm import find_or_build_helm
from tests.cluster.operation import ROOT, START_TIMEOUT_S, install_crd
from tests.cluster.upstream import find_or_fetch

MANIFESTS = ROOT / "manifests"
CHART = ROOT / "charts" / "configbuild"

# It reads some files; the machine may do other things.
HELM_TIMEOUT_S = 120

# What Helm says of itself; everything else has to be the same.
HELMS_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
}
HELMS_ANNOTATIONS = {"helm.sh/resource-policy"}

# Not of the chart: Helm makes the namespace and reads crds/; a priority class is only named.
KUSTOMIZES_KINDS = {"CustomResourceDefinition", "Namespace", "PriorityClass"}

# The pod's own business: its directories, its port and its names.
FIXED_SETTINGS = {
    *("ADE_VENVS_DIR", "ADE_LOGS_DIR", "ADE_CACHE_DIR", "ADE_SOURCES_DIR"),
    *("ADE_HTTP_PORT", "ADE_POD_NAMESPACE", "ADE_POD_IP", "ADE_SERVICE_NAME", "ADE_AUTH"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A choice, as kustomize and as Helm have it."""

    name: str
    components: Sequence[str] = ()
    commented: Sequence[str] = ()
    """Components whose comment has patches for the overlay, which are applied."""
    without: Sequence[str] = ()
    """Kinds that a patch takes away."""
    values: Mapping[str, Any] = field(default_factory=dict)


CERT_MANAGER = {
    "enabled": True,
    "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "internal"},
}

OPTIONS = [
    Option(name="default"),
    Option(
        name="cluster-wide",
        components=["components/cluster-wide"],
        values={"clusterWide": True},
    ),
    Option(
        name="cluster-wide, without Secrets",
        components=["components/cluster-wide"],
        commented=["components/cluster-wide"],
        values={"clusterWide": True, "rbac": {"secrets": False}},
    ),
    Option(name="valkey", components=["valkey"], values={"valkey": {"enabled": True}}),
    Option(
        name="prometheus and grafana",
        components=["components/prometheus", "components/grafana"],
        values={"prometheus": {"enabled": True}, "grafana": {"enabled": True}},
    ),
    Option(
        name="cert-manager",
        components=["components/cert-manager"],
        commented=["components/cert-manager"],
        values={"certManager": CERT_MANAGER},
    ),
    Option(
        name="without NetworkPolicy",
        without=["NetworkPolicy"],
        values={"networkPolicy": {"enabled": False}},
    ),
    Option(
        name="priority",
        components=["components/priority"],
        values={"priorityClassName": "configbuild-operator"},
    ),
    Option(
        name="everything",
        components=[
            *("components/cluster-wide", "components/priority", "valkey"),
            *("components/prometheus", "components/cert-manager"),
        ],
        commented=["components/cert-manager"],
        values={
            "clusterWide": True,
            "priorityClassName": "configbuild-operator",
            "valkey": {"enabled": True},
            "prometheus": {"enabled": True},
            "certManager": CERT_MANAGER,
        },
    ),
]
WORKSPACES = "workspaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The objects of an option, by either tool."""

    kustomize: list[dict[str, Any]]
    helm: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where everything is installed to: namespaces that there are."""

    namespace: str
    workspaces: tuple[str, str]
    rendered: dict[str, Rendered]

    def objects(self) -> list[dict[str, Any]]:
        """List what either tool renders for any option, each once."""
        found = {
            json.dumps(doc, sort_keys=True): doc
            for option in self.rendered.values()
            for doc in (*option.kustomize, *option.helm)
        }
        return list(found.values())


@pytest.fixture(scope="module")
def helm() -> Path:
    return find_or_build_helm()


@pytest.fixture(scope="module")
def site(
    control_plane: Cluster, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Render each option once by each tool, for namespaces of the cluster."""
    names = [control_plane.create_namespace("chart") for _ in range(3)]
    namespace, one, other = names
    manifests = tmp_path_factory.mktemp("kustomize") / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    shutil.copytree(ROOT / "crds", manifests.parent / "crds")
    rendered = {
        option.name: Rendered(
            kustomize=kustomized(control_plane, manifests, option, namespace),
            helm=templated(helm, namespace, option.values),
        )
        for option in OPTIONS
    }
    place_workspaces(manifests / WORKSPACES, namespace, one, other)
    values = {
        "clusterWide": True,
        "workspaces": {
            "names": [one, other],
            "nfs": {"server": "nfs.example", "path": "/configbuild"},
        },
    }
    rendered[WORKSPACES] = Rendered(
        kustomize=render(control_plane, manifests / WORKSPACES),
        helm=templated(helm, namespace, values),
    )
    yield Site(namespace=namespace, workspaces=(one, other), rendered=rendered)
    for name in names:
        control_plane.delete_namespace(name)


def kustomized(
    cluster: Cluster, manifests: Path, option: Option, namespace: str
) -> list[dict[str, Any]]:
    patches = [patch for name in ("reviewer", *option.commented) for patch in patches_for(name)]
    patches += [
        {
            "target": {"kind": kind},
            "patch": f"{{$patch: delete, kind: {kind}, metadata: {{name: x}}}}",
        }
        for kind in option.without
    ]
    overlay = manifests.parent / "overlay"
    overlay.mkdir(exist_ok=True)
    content = {
        "resources": ["../manifests/cluster", "../manifests/base"],
        "components": [f"../manifests/{name}" for name in ("reviewer", *option.components)],
        "namespace": namespace,
        "patches": patches,
    }
    text = yaml.safe_dump(content).replace("team-a", namespace)
    (overlay / "kustomization.yaml").write_text(text)
    return render(cluster, overlay)


def place_workspaces(overlay: Path, namespace: str, one: str, other: str) -> None:
    """Write the namespaces that there are into the overlay, as somebody does who copies it."""
    for file in list(overlay.rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            text = file.read_text().replace("team-a", one).replace("team-b", other)
        else:
            text = file.read_text()
        file.write_text(text.replace("configbuild-system", namespace))


def patches_for(component: str) -> list[dict[str, Any]]:
    """Read the patches that the comment of a component tells an overlay to have."""
    comment = (MANIFESTS / component / "kustomization.yaml").read_text()
    lines = [line[4:] for line in comment.splitlines() if line.startswith("#   ")]
    overlay = [line for line in lines if not line.lstrip().startswith(("kubectl", "--clusterrole"))]
    patches: list[dict[str, Any]] = yaml.safe_load("\n".join(overlay))["patches"]
    return patches


def render(cluster: Cluster, directory: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(directory)).stdout))


def templated(helm: Path, namespace: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    # The tag of the manifests, which know no release.
    chosen = {"image": {"tag": "dev"}, **values}
    done = run_helm(helm, "template", "configbuild", str(CHART), "-n", namespace, values=chosen)
    assert done.returncode == 0, done.stderr
    return [doc for doc in yaml.safe_load_all(done.stdout) if doc]


def run_helm(
    helm: Path, verb: str, *arguments: str, values: Mapping[str, Any], home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    given = () if verb == "uninstall" else ("-f", "-")
    return subprocess.run(
        [str(helm), verb, *arguments, *given],
        input=yaml.safe_dump(dict(values)),
        # Nothing of the user's own Helm.
        env={"PATH": os.environ["PATH"], "HOME": str(home or "/nonexistent")},
        capture_output=True,
        text=True,
        timeout=HELM_TIMEOUT_S,
        check=False,
    )


def normalised(docs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out what is a tool's own, and bring lists that Kubernetes keys by name in one order."""
    objects = {}
    for original in docs:
        if original["kind"] in KUSTOMIZES_KINDS:
            continue
        doc = copy.deepcopy(original)
        metadata = doc["metadata"]
        drop(metadata, "labels", HELMS_LABELS)
        drop(metadata, "annotations", HELMS_ANNOTATIONS)
        if doc["kind"] == "Deployment":
            pod = doc["spec"]["template"]["spec"]
            pod["volumes"].sort(key=name_of)
            for container in pod["containers"]:
                container["env"].sort(key=name_of)
                container["volumeMounts"].sort(key=name_of)
        key = f"{doc['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        assert key not in objects
        objects[key] = doc
    return objects


def drop(metadata: dict[str, Any], name: str, keys: set[str]) -> None:
    kept = {key: value for key, value in metadata.pop(name, {}).items() if key not in keys}
    if kept:
        metadata[name] = kept


def name_of(item: dict[str, Any]) -> str:
    return str(item["name"])


@pytest.mark.parametrize("option", [*(option.name for option in OPTIONS), WORKSPACES])
def test_chart_renders_the_objects_of_kustomize(site: Site, option: str) -> None:
    rendered = site.rendered[option]
    by_helm, by_kustomize = normalised(rendered.helm), normalised(rendered.kustomize)
    assert sorted(by_helm) == sorted(by_kustomize)
    for key, expected in by_kustomize.items():
        assert by_helm[key] == expected


def test_api_server_takes_every_object_of_every_option(control_plane: Cluster, site: Site) -> None:
    install_crd(control_plane)
    definitions = find_or_fetch()
    control_plane.kubectl("apply", "--server-side", *(f"-f={file}" for file in definitions))
    served = wait_until(
        lambda: (
            {"certificates", "servicemonitors", "prometheusrules"}
            <= set(control_plane.kubectl("api-resources", "--no-headers").stdout.split())
        ),
        what="the definitions of others are served",
        timeout_s=START_TIMEOUT_S,
    )
    assert served
    objects = [
        doc
        for doc in site.objects()
        if doc["kind"] not in {"CustomResourceDefinition", "Namespace"}
    ]
    answer = control_plane.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("-f", "-"),
        stdin=yaml.safe_dump_all(objects),
        check=False,
    )
    assert answer.stderr == ""
    assert len(answer.stdout.splitlines()) == len(objects)


def test_every_pod_passes_restricted_pod_security(control_plane: Cluster, site: Site) -> None:
    objects = site.objects()
    pods = [
        pod_of(doc, number) for number, doc in enumerate(objects) if doc["kind"] == "Deployment"
    ]
    assert len(pods) >= len(OPTIONS)
    # What their admission looks up.
    needed = [doc for doc in objects if doc["kind"] in {"PriorityClass", "ServiceAccount"}]
    control_plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(needed)
    )
    level = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", site.namespace, level)
    # The guard is there: one that may be root is refused.
    lax = copy.deepcopy(pods[0])
    lax["metadata"]["name"] = "lax"
    del lax["spec"]["securityContext"]["runAsNonRoot"]
    answer = control_plane.kubectl(
        *("create", "--dry-run=server", "-f", "-"),
        stdin=yaml.safe_dump_all([*pods, lax]),
        check=False,
    )
    assert len(answer.stdout.splitlines()) == len(pods)
    (refusal,) = [line for line in answer.stderr.splitlines() if "Error" in line]
    assert '"lax" is forbidden: violates PodSecurity "restricted:latest"' in refusal


def pod_of(deployment: dict[str, Any], number: int) -> dict[str, Any]:
    template = deployment["spec"]["template"]
    name = {"name": f"pod-{number}", "namespace": deployment["metadata"]["namespace"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **name},
        "spec": template["spec"],
    }


def test_cluster_wide_rights_are_those_of_one_namespace(site: Site) -> None:
    (everywhere,) = [
        doc["rules"]
        for doc in site.rendered["cluster-wide"].kustomize
        if (doc["kind"], doc["metadata"]["name"]) == ("ClusterRole", "configbuild-operator")
    ]
    (here,) = [
        doc["rules"]
        for doc in site.rendered["default"].kustomize
        if (doc["kind"], doc["metadata"]["name"]) == ("Role", "configbuild-operator")
    ]
    assert everywhere == here


def test_without_secrets_no_rule_names_them(site: Site) -> None:
    docs = site.rendered["cluster-wide, without Secrets"].kustomize
    (role,) = [
        doc
        for doc in docs
        if (doc["kind"], doc["metadata"]["name"]) == ("ClusterRole", "configbuild-operator")
    ]
    assert [rule for rule in role["rules"] if "secrets" in rule["resources"]] == []


@pytest.mark.parametrize("option", ["default", "everything"])
def test_lint_finds_no_fault(helm: Path, option: str) -> None:
    (values,) = [it.values for it in OPTIONS if it.name == option]
    done = run_helm(helm, "lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"imagee": {"tag": "1"}}, "'imagee'"),
        ({"image": {"tag": 1}}, "/image/tag"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"settings": {"ADE_MAX_CONCURENCY": 4}}, "ADE_MAX_CONCURENCY"),
        ({"settings": {"ADE_VENVS_DIR": "/venvs"}}, "ADE_VENVS_DIR"),
        ({"env": [{"name": "ADE_LOG_LEVEL", "value": "DEBUG"}]}, "/env/0/name"),
        ({"persistence": {"size": "20GB"}}, "/persistence/size"),
        ({"networkPolicy": {"enabled": "yes"}}, "/networkPolicy/enabled"),
        ({"workspaces": {"names": ["team-a"]}}, "workspaces.names: for jobs of other namespaces"),
        (
            {"clusterWide": True, "workspaces": {"names": ["team-a"]}},
            "set workspaces.nfs.server and workspaces.nfs.path",
        ),
        (
            {"valkey": {"enabled": True}, "settings": {"ADE_LOG_STORE": "off"}},
            "settings.ADE_LOG_STORE: valkey.enabled sets it",
        ),
    ],
    ids=lambda it: it if isinstance(it, str) else None,
)
def test_wrong_value_is_refused_by_its_name(
    helm: Path, values: Mapping[str, Any], named: str
) -> None:
    done = run_helm(helm, "template", "configbuild", str(CHART), values=values)
    assert done.returncode != 0
    assert named in done.stderr


def test_settings_become_environment_that_the_operator_reads_as_it_was_meant(helm: Path) -> None:
    settings = {"ADE_LOG_LIMIT_BYTES": 134217728, "ADE_SAFE_MODE": True, "ADE_BUILD_TTL_DAYS": 0.5}
    docs = templated(helm, "team-a", {"settings": settings})
    (deployment,) = [doc for doc in docs if doc["kind"] == "Deployment"]
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    told = {item["name"]: item["value"] for item in env if item["name"] in settings}
    assert told["ADE_LOG_LIMIT_BYTES"] == "134217728"
    read = Settings.model_validate(
        {name.removeprefix("ADE_").lower(): value for name, value in told.items()}
    )
    assert (read.log_limit_bytes, read.safe_mode, read.build_ttl_days) == (134217728, True, 0.5)


def test_image_is_that_of_the_version_unless_a_digest_says_more(helm: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    digest = "sha256:" + 64 * "a"
    for image, expected in (
        ({"tag": ""}, f"configbuild-operator:{version}"),
        ({"digest": digest}, f"configbuild-operator@{digest}"),
    ):
        docs = templated(helm, "team-a", {"image": image})
        (deployment,) = [doc for doc in docs if doc["kind"] == "Deployment"]
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == expected


@pytest.mark.parametrize("before", ["nothing", "kustomize"])
def test_release_is_installed_and_upgraded_and_leaves_its_claim_behind(
    control_plane: Cluster, crd: None, namespace: str, helm: Path, tmp_path: Path, before: str
) -> None:
    if before == "kustomize":
        control_plane.kubectl("apply", "-n", namespace, "-k", str(MANIFESTS / "base"))
    # Roles for people are the cluster's: other tests have them.
    values = {"rbac": {"clusterRoles": False}}

    def release(verb: str, *arguments: str, **more: Any) -> str:
        where = ("--kubeconfig", str(control_plane.kubeconfig), "-n", namespace)
        done = run_helm(
            helm, verb, "configbuild", *arguments, *where, values={**values, **more}, home=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def there() -> set[str]:
        kinds = "deployment,pvc,role,rolebinding,service,networkpolicy,serviceaccount"
        label = "app.kubernetes.io/part-of=configbuild"
        found = control_plane.kubectl("get", kinds, "-n", namespace, "-l", label, "-o", "name")
        return set(found.stdout.split())

    # As the guide says for a cluster that has the resource, and for objects of kustomize's.
    taking_over = ("--take-ownership", "--force-conflicts") if before == "kustomize" else ()
    notes = release("install", str(CHART), "--skip-crds", *taking_over)
    assert f"serves the namespace {namespace}" in notes
    installed = there()
    assert {"deployment.apps/configbuild-operator", "persistentvolumeclaim/configbuild"} < installed
    release("upgrade", str(CHART), settings={"ADE_LOG_FORMAT": "json"})
    shown = control_plane.kubectl("get", "deployment", "-n", namespace, "-o", "yaml").stdout
    assert "name: ADE_LOG_FORMAT" in shown
    assert there() == installed
    release("uninstall")
    assert there() == {"persistentvolumeclaim/configbuild"}


def test_examples_of_the_guide_render(control_plane: Cluster, helm: Path, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "install.md").read_text()
    blocks = re.findall(r"^```yaml\n(# .*?)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    values = {head: yaml.safe_load(body) for head, body in blocks if head.startswith("# values")}
    assert len(values) >= 8
    for chosen in values.values():
        assert templated(helm, "team-a", chosen)
    overlays = [body for head, body in blocks if head == "# overlay/kustomization.yaml"]
    assert len(overlays) == 2
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    shutil.copytree(ROOT / "crds", tmp_path / "crds")
    (tmp_path / "overlay").mkdir()
    for body in overlays:
        (tmp_path / "overlay" / "kustomization.yaml").write_text(body)
        (deployment,) = [
            doc
            for doc in render(control_plane, tmp_path / "overlay")
            if doc["kind"] == "Deployment"
        ]
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image == "registry.example/configbuild-operator:0.1.0"


def test_schema_knows_every_value_and_every_setting_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    settings = {f"ADE_{name.upper()}" for name in Settings.model_fields}
    assert set(schema["properties"]["settings"]["propertyNames"]["enum"]) == (
        settings - FIXED_SETTINGS
    )
    assert list(lax_places(schema)) == []


def lax_places(schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Find objects with properties that take others as well, and what has no description."""
    if "properties" in schema and schema.get("additionalProperties") is not False:
        yield f"{where}: takes anything"
    for name, inner in schema.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{where}.{name}: not described"
        yield from lax_places(inner, f"{where}.{name}")
    if isinstance(items := schema.get("items"), dict):
        yield from lax_places(items, f"{where}[]")
