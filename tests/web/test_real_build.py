"""One build as users have it: the sample's ConfigMap and engine, real uv, the real index."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml
from uv import find_uv_bin

from configbuild.sources import ConfigMapContent
from tests.process.support import in_loop
from tests.web.support import INVOICES, events_of, site

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"

STEPS = [
    ("create_venv", "succeeded"),
    ("upgrade_pip", "skipped"),
    ("install_engine", "succeeded"),
    ("install_config", "succeeded"),
    ("verify_imports", "succeeded"),
    ("collect_metadata", "succeeded"),
]


@in_loop
async def test_sample_is_built_streamed_and_runs(tmp_path: Path) -> None:
    manifests = yaml.safe_load_all((SAMPLES / "local.yaml").read_text(encoding="utf-8"))
    found = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
    shutil.copytree(SAMPLES / "sources", tmp_path / "sources" / INVOICES.namespace)
    async with site(tmp_path, uv=Path(find_uv_bin())) as here:
        here.declarations.specs[INVOICES] = found["ConfigBuild", "invoices"]["spec"]
        here.declarations.config_maps[INVOICES.namespace, "invoices-config"] = ConfigMapContent(
            data=found["ConfigMap", "invoices-config"]["data"], binary_data={}
        )
        answer = await here.post(stream=True)

        events = events_of(answer.content)
        assert events[-1]["summary"] == "Build succeeded", answer.text
        build_id = events[0]["build_id"]
        assert answer.content == here.journal(build_id)
        ended = [event for event in events if event["type"] == "build.step"]
        assert [
            (event["step"], event["status"]) for event in ended if event["status"] != "running"
        ] == STEPS
        assert any("openpyxl" in event["message"] for event in events if "stream" in event)

        again = await here.post()
        assert (again.status_code, again.json()["id"]) == (200, build_id)
        state = here.builds.state(INVOICES)
        assert state is not None
        assert state.active is not None
        ran = subprocess.run(  # noqa: ASYNC221 - nothing else is to go on meanwhile
            [f"{state.active.venv_path}/bin/python", "-I", "-B", "-m", "ade_engine", "--help"],
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert "run" in ran.stdout
