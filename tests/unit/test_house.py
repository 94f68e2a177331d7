"""What holds for the repository as a whole."""

from __future__ import annotations

from pathlib import Path

from tests.generated import GENERATED, ROOT, stale


def test_source_root_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_generated_files_are_up_to_date() -> None:
    assert stale() == []
    assert all((ROOT / name).exists() for name in GENERATED)


def test_locks_name_no_index_and_no_download() -> None:
    locks = sorted(Path(ROOT / "requirements").glob("*.txt"))
    assert len(locks) == 3
    for lock in locks:
        lines = lock.read_text().splitlines()
        assert not [line for line in lines if "://" in line or "index-url" in line]
        pins = [line for line in lines if "==" in line and not line.lstrip().startswith("#")]
        assert lines.count("") < len(pins)
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
