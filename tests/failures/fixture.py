"""What a command that failed wrote, as a file: a head that says how it was made, and the lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configbuild.model import Step

FIXTURES = Path(__file__).parents[1] / "fixtures" / "failures"
_BORDER = "---"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A failed command; ``under`` are variables set besides the usual environment."""

    tool: str
    command: str
    step: Step
    exit_code: int
    signal: int | None
    engine: str
    lines: tuple[str, ...]
    under: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        return tuple(self.command.split())

    def render(self) -> str:
        """Write it as its file."""
        head = [
            f"tool: {self.tool}",
            f"command: {self.command}",
            *([f"under: {' '.join(self.under)}"] if self.under else []),
            f"step: {self.step}",
            f"exit: {self.exit_code}",
            *([f"signal: {self.signal}"] if self.signal is not None else []),
            *([f"engine: {self.engine}"] if self.engine else []),
        ]
        body = [line.rstrip() for line in self.lines]
        return "\n".join([*(f"# {line}" for line in head), _BORDER, *body]) + "\n"


def read_fixture(path: Path) -> Fixture:
    """Read such a file."""
    head, _, body = path.read_text().partition(f"\n{_BORDER}\n")
    fields = dict(line.removeprefix("# ").split(": ", 1) for line in head.splitlines())
    return Fixture(
        tool=fields["tool"],
        command=fields["command"],
        under=tuple(fields.get("under", "").split()),
        step=Step(fields["step"]),
        exit_code=int(fields["exit"]),
        signal=int(fields["signal"]) if "signal" in fields else None,
        engine=fields.get("engine", ""),
        lines=tuple(body.splitlines()),
    )
