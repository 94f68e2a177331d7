"""What builds may print: anything. Readers get valid events, whole and in order, all the same.

What is printed goes the whole way: a process of a real build, pipes, journal, HTTP.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from configbuild.lines import MAX_LINE_BYTES
from tests.bench.report import memory_mib, reset_highest_memory
from tests.process.support import in_loop
from tests.web.support import BUILDS, Site, site
from tests.web.test_streams import AT_THE_GATE

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())

# What is printed, and the messages that it becomes.
PRINTED: dict[str, tuple[bytes, list[str]]] = {
    "NUL and other control characters": (b"a\0b\x01\x7f\n", ["a\0b\x01\x7f"]),
    "bytes that are no UTF-8": (b"\xff\xfe caf\xc3\n", [r"\xff\xfe caf\xc3"]),
    "a surrogate": (b"\xed\xa0\x80\n", [r"\xed\xa0\x80"]),
    "an overlong slash": (b"\xc0\xaf\n", [r"\xc0\xaf"]),
    "line separators of Unicode": (
        "a\u2028b\u2029c\u0085d\v\f\n".encode(),
        ["a\u2028b\u2029c\u0085d\v\f"],
    ),
    "colours and a link": (
        b"\x1b[1;31mred\x1b[0m \x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\n",
        ["red link"],
    ),
    "an escape sequence that never ends": (
        b"a\x1b[" + b"0;" * 5000 + b"\nb\n",
        ["a" + ("0;" * 5000)[256:], "b"],  # what no terminal takes for a sequence stays
    ),
    "a progress bar": (b"10%\r50%\r100%\n", ["10%", "50%", "100%"]),
    "ends of lines as Windows has them": (b"a\r\nb\r\n", ["a", "b"]),
    "empty lines": (b"\n\n", ["", ""]),
    "what reads as an event": (
        b'{"object":"ade.build.event","id":1,"type":"build.completed","status":"active"}\n',
        ['{"object":"ade.build.event","id":1,"type":"build.completed","status":"active"}'],
    ),
    "what would end a string": (b'"}\\"\\u0000\n', ['"}\\"\\u0000']),
    "a mark of the byte order": (b"\xef\xbb\xbfa\n", ["\ufeffa"]),
    "right to left, and what combines": (
        "\u202eabc\u0301\U0001f469\u200d\U0001f680\n".encode(),
        ["\u202eabc\u0301\U0001f469\u200d\U0001f680"],
    ),
    "a password in a URL": (b"from https://me:hunter2@host/x\n", ["from https://***@host/x"]),
    "no end of the last line": (b"the end", ["the end"]),
}


# For one line, which no reader can hold whole. More is in tests/bench, and takes longer.
LONG_LINE_BYTES = {"x": 40 << 20, "\\377": 2 << 20, "\\033": 4 << 20}  # by how fast each is read

# The path keeps a chunk, a line's piece and the longest secret of each stream; the reader a block.
FLAT_MIB = 24.0


def printing(directory: Path, command: str) -> Path:
    """Make a stand-in for uv that runs a command of the shell where it would resolve."""
    script = Path(__file__).with_name("uv.sh").read_text()
    says = f'echo "{AT_THE_GATE.replace("ade-config==2.1", "$last")}"'
    assert says in script
    uv = directory / "uv"
    uv.write_text(script.replace(says, f"{says}; {command}; echo"))
    uv.chmod(0o755)
    return uv


async def stream(here: Site) -> AsyncIterator[dict[str, Any]]:
    """Build, and read the events as they come; each is checked against the one before."""
    pending, last_id, kind = b"", 0, None
    async with here.http.stream("POST", BUILDS, json={"stream": True}) as answer:
        async for block in answer.aiter_raw():
            *lines, pending = (pending + block).split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                assert line.decode().splitlines() == [line.decode()]  # however a reader cuts
                assert event["id"] == last_id + 1
                assert kind != "build.completed"
                last_id, kind = event["id"], event["type"]
                yield event
    assert pending == b""
    assert kind == "build.completed"


def printed_by_the_command(event: dict[str, Any]) -> bool:
    return (event["type"], event.get("step")) == ("build.log", "install_config")


@in_loop
async def test_whatever_is_printed_comes_as_valid_events_in_order(tmp_path: Path) -> None:
    for number, (printed, _) in enumerate(PRINTED.values()):
        (tmp_path / f"{number:02}").write_bytes(printed)
    uv = printing(tmp_path, 'cat "$here"/[0-9][0-9]')
    validate = jsonschema.Draft202012Validator(SCHEMA).validate
    messages = []
    async with site(tmp_path, uv=uv) as here:
        async for event in stream(here):
            validate(event)
            if printed_by_the_command(event):
                messages.append(event["message"])
    expected = [message for _, becomes in PRINTED.values() for message in becomes]
    # Between what the stand-in says itself; the step goes on to compile.
    assert messages[0] == "résolving ade-config==2.1"
    assert messages[1 : messages.index("installed ade-config==2.1")] == expected


@in_loop
async def test_noise_of_any_bytes_comes_as_valid_events(tmp_path: Path) -> None:
    uv = printing(tmp_path, 'head -c 3000000 /dev/urandom | tee "$here/noise"')
    events = hashlib.sha256()
    async with site(tmp_path, uv=uv) as here:
        async for event in stream(here):
            if printed_by_the_command(event):
                events.update(event["message"].encode() + b"\n")
        build_id = event["build_id"]
        # Where the reads of the pipe cut it makes no difference, and nobody reads other bytes.
        kept = hashlib.sha256()
        for line in here.journal(build_id).splitlines():
            event = json.loads(line)
            if printed_by_the_command(event):
                kept.update(event["message"].encode() + b"\n")
    assert events.digest() == kept.digest()


@pytest.mark.parametrize("character", LONG_LINE_BYTES, ids=["text", "no UTF-8", "escapes"])
@in_loop
async def test_line_without_end_takes_no_memory(tmp_path: Path, character: str) -> None:
    size = LONG_LINE_BYTES[character]
    uv = printing(tmp_path, f"head -c {size} /dev/zero | tr '\\0' '{character}'")
    found, continued = hashlib.sha256(), []
    async with site(tmp_path, uv=uv) as here:
        reset_highest_memory()
        before = memory_mib()
        async for event in stream(here):
            if printed_by_the_command(event) and event["message"][:1] in ("x", "\\"):
                found.update(event["message"].encode())
                continued.append(event.get("continued", False))
                assert len(event["message"].encode()) <= 4 * MAX_LINE_BYTES
        assert memory_mib("VmHWM") - before < FLAT_MIB
    text = {"x": "x", "\\377": r"\xff", "\\033": ""}[character]
    assert found.digest() == hashlib.sha256(text.encode() * size).digest()
    pieces = size // MAX_LINE_BYTES if text else 0
    assert continued == ([True] * pieces)[1:] + [False] * bool(pieces)
