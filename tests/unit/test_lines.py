"""Bytes → redacted lines: the same whatever the reads, no secret in them, bounded memory."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from configbuild.lines import Lines, LineSplitter
from configbuild.redaction import Redactor
from configbuild.terminal import plain

KEY = b"-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


def split(
    chunks: Iterable[bytes], secrets: Iterable[bytes] = (), *, max_line_bytes: int = 64 * 1024
) -> list[tuple[str, bool]]:
    """All lines of a stream, each with whether it goes on in the next."""
    splitter = LineSplitter(Redactor(secrets), max_line_bytes=max_line_bytes)
    found: list[Lines] = []
    for chunk in chunks:
        found += splitter.feed(chunk)
    found += splitter.finish()
    return [(text, continued) for texts, continued in found for text in texts]


def texts(data: bytes, secrets: Iterable[bytes] = (), *, max_line_bytes: int = 65536) -> list[str]:
    return [text for text, _ in split([data], secrets, max_line_bytes=max_line_bytes)]


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    begin = 0
    for place in sorted(place % (len(data) + 1) for place in places):
        yield data[begin:place]
        begin = place
    yield data[begin:]


# Streams made of what matters, so that cuts, secrets and sequences meet often.
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\n", b"\r", b"\r\n", b"\x1b", b"\x1b[31m", b"\x1b]8;;u\x1b\\", b"\x1b]0;t"]
        ),
        st.sampled_from([b"\x07", b"\x00", b"\xff", b"\xe2\x80\xa8", "é€😀".encode(), b"\x80\x80"]),
        st.sampled_from([b"https://", b"://", b":", b"/", b"user:pw@", b"@", b"host/p", b" "]),
        st.sampled_from([b"abcab", b"abc", b"ab", b"c", b"one\ntwo", b"one", b"two", b"two\none"]),
        st.binary(max_size=4),
    ),
    max_size=24,
).map(b"".join)
SECRETS = st.lists(
    st.one_of(
        st.sampled_from([b"abcab", b"abc", b"bc\na", b"one\ntwo", b"two\none\n", b"aba", KEY]),
        st.binary(min_size=1, max_size=5),
    ),
    max_size=4,
)
PLACES = st.lists(st.integers(min_value=0, max_value=1 << 16), max_size=12)


@settings(deadline=None)  # machines may be busy
@given(data=HOSTILE, secrets=SECRETS, places=PLACES, limit=st.sampled_from([4, 7, 16, 65536]))
def test_lines_do_not_depend_on_how_the_reads_cut_them(
    data: bytes, secrets: list[bytes], places: list[int], limit: int
) -> None:
    whole = split([data], secrets, max_line_bytes=limit)

    assert split(cut(data, places), secrets, max_line_bytes=limit) == whole
    assert split((bytes([byte]) for byte in data), secrets, max_line_bytes=limit) == whole


@settings(deadline=None)  # machines may be busy
@given(data=HOSTILE, secrets=SECRETS, places=PLACES, limit=st.sampled_from([4, 9, 65536]))
@example(data=b"ab\x1b[0mc", secrets=[b"abc"], places=[], limit=65536)
@example(data=b"on\x1b]0;xe\rtwo", secrets=[b"one\ntwo"], places=[], limit=65536)
def test_no_secret_is_in_the_output_whatever_the_reads(
    data: bytes, secrets: list[bytes], places: list[int], limit: int
) -> None:
    assume(b"\\" not in data)
    found = split(cut(data, places), secrets, max_line_bytes=limit)
    output = "".join(text + ("" if continued else "\n") for text, continued in found).encode()
    output = re.sub(rb"\\x(..)", lambda match: bytes.fromhex(match[1].decode()), output)

    for secret in (plain(secret).strip() for secret in secrets):
        if secret and b"*" not in secret:  # the mask is made of these
            assert secret not in output


@settings(deadline=None)  # machines may be busy
@given(
    st.text(st.characters(exclude_characters="\r\x1b", exclude_categories=["Cs"]), max_size=80),
    st.sampled_from([4, 5, 64]),
    PLACES,
)
def test_plain_text_comes_through_unchanged(text: str, limit: int, places: list[int]) -> None:
    data = re.sub("://", ":/ /", text).encode()

    found = split(cut(data, places), [], max_line_bytes=limit)

    output = "".join(text + ("" if continued else "\n") for text, continued in found)
    assert output.encode() == (data if data.endswith(b"\n") or not data else data + b"\n")
    assert all(len(text.encode()) <= limit for text, _ in found)


@settings(deadline=None)  # machines may be busy
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"\\", b"\\udc", b"\\udcff", b"\\ud800", b"\\xff", b"\xed\xa0\x80"]),
            st.sampled_from([b"\xff", b"\x80", b"\xe2\x82", b"\xc0\xaf", "é€😀".encode()]),
            st.binary(max_size=4),
        ),
        max_size=12,
    ).map(b"".join)
)
def test_bytes_that_are_no_utf8_are_what_python_makes_of_them(data: bytes) -> None:
    data = re.sub(rb"[\r\x1b]|://", b"", data)
    expected = data.decode(errors="backslashreplace").split("\n")

    assert texts(data) == (expected if expected[-1] else expected[:-1])


@settings(deadline=None)  # machines may be busy
@given(HOSTILE)
def test_lone_escapes_change_nothing_of_what_follows(data: bytes) -> None:
    data = data.replace(b"\x1b\\", b"\x07")  # the one end of a sequence that begins with ESC

    assert plain(data.replace(b"\x1b", b"\x1b\x1b")) == plain(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\ntwo\n", ["one", "", "two"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"one\r\r\ntwo", ["one", "two"]),
        (b" 10%\r 20%\r 30%\n", [" 10%", " 20%", " 30%"]),
        (b"head\n\r 10%\r\r 20%\r", ["head", " 10%", " 20%"]),
        (b"\r\n", [""]),
        (b"a\xe2\x80\xa8b\x0b\x0c\xc2\x85\n", ["a\u2028b\x0b\x0c\x85"]),
        (b"nul\x00 stays\n", ["nul\x00 stays"]),
        (b"latin-1: caf\xe9\n", [r"latin-1: caf\xe9"]),
        (b"cut \xe2\x82\nnext\n", [r"cut \xe2\x82", "next"]),
        (b"surrogate \xed\xa0\x80\n", [r"surrogate \xed\xa0\x80"]),
        (b"\x1b[1;31mred\x1b[0m \x1b[2K\x1b[Gx\n", ["red x"]),
        (b"\x1b]8;;https://h/\x1b\\link\x1b]8;;\x07 \x1bPq#0\x1b\\\x1b(B\x1b7.\n", ["link ."]),
        (b"\x1b]0;title without an end\nnext\n", ["", "next"]),
        (b"\x1b\x1b[0mx\x1b\n", ["x"]),
        (b"last \x1b[3", ["last "]),
    ],
)
def test_lines_of(data: bytes, expected: list[str]) -> None:
    assert texts(data) == expected


@pytest.mark.parametrize(
    ("data", "secrets", "expected"),
    [
        (b"token=hunter2;\n", [b"hunter2"], ["token=***;"]),
        (b"token=hunter2;\n", [b" hunter2\n"], ["token=***;"]),  # as Secrets often end
        (b"hunter2hunter2 hunter\n", [b"hunter2"], ["****** hunter"]),
        (b"hunter22\n", [b"hunter2", b"hunter22"], ["***"]),
        (b"abcdef\n", [b"abcd", b"cdef"], ["***"]),  # no half of an overlap stays
        (b"ababab.\n", [b"abab"], ["***."]),
        (b"hun\x1b[0mter2\n", [b"hunter2"], ["***"]),
        (KEY + b"next\n", [KEY], ["***", "next"]),
        (b"key: " + KEY.replace(b"\n", b"\r\n") + b"next", [KEY], ["key: ***", "next"]),
        (KEY.replace(b"\n", b"\n  "), [KEY], ["***", "  ***", "  ***", "  ***", "  "]),
        (b"{\n}\n", [b"{\nkey\n}"], ["{", "}"]),
        (b"anything\n", [b"", b"\n", b"*"], ["anything"]),
        (b"https://user:pw@host/a https://host/@b\n", [], ["https://***@host/a https://host/@b"]),
        (b"git+https://tok@github.com/x@v1\n", [], ["git+https://***@github.com/x@v1"]),
        (b"https://u:p@ss@host pkg@1\n", [], ["https://***@host pkg@1"]),
        (b'{"url":"https://h","by":"a@b"}\n', [], ['{"url":"https://h","by":"a@b"}']),
        (b"see https://u:p", [], ["see https://u:p"]),
    ],
)
def test_redacts(data: bytes, secrets: list[bytes], expected: list[str]) -> None:
    assert texts(data, secrets) == expected
    assert [text for text, _ in split((bytes([byte]) for byte in data), secrets)] == expected


def test_a_line_that_is_too_long_comes_in_pieces_marked_as_continued() -> None:
    assert split([b"before\nabcdefghijk\nafter\n"], max_line_bytes=5) == [
        ("befor", True),
        ("e", False),
        ("abcde", True),
        ("fghij", True),
        ("k", False),
        ("after", False),
    ]


def test_a_piece_ends_between_characters() -> None:
    assert split(["aaa€€".encode()], max_line_bytes=5) == [("aaa", True), ("€", True), ("€", False)]
    assert split([b"\x80" * 6], max_line_bytes=4) == [(r"\x80" * 4, True), (r"\x80" * 2, False)]


def test_a_forced_cut_never_lets_a_secret_through() -> None:
    for padding in range(40):
        data = b"x" * padding + b"hunter2" + b"\x1b[31m" + b"y" * 40
        for width in (1, 3, 64):
            chunks = [data[at : at + width] for at in range(0, len(data), width)]
            found = split(chunks, [b"hunter2"], max_line_bytes=16)
            assert "".join(text for text, _ in found) == "x" * padding + "***" + "y" * 40


def test_a_line_is_given_as_soon_as_its_end_was_read() -> None:
    splitter = LineSplitter(Redactor([b"one\ntwo"]))

    assert splitter.feed(b"first\n 10%\r") == [Lines(["first", " 10%"], continued=False)]
    assert splitter.feed(b"one\n") == []  # it may be the secret's beginning
    assert splitter.feed(b"other\n") == [Lines(["one", "other"], continued=False)]


def test_a_splitter_can_be_used_for_one_stream_after_another() -> None:
    splitter = LineSplitter(Redactor([b"secret"]))
    for _ in range(2):
        assert splitter.feed(b"end: \x1b[0msecr\r\x1b") == [Lines(["end: secr"], continued=False)]
        assert splitter.feed(b"\r\nsec") == []
        assert splitter.finish() == [Lines(["sec"], continued=False)]


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"x" * 65536, id="no newline"),
        pytest.param(b"\x1b]0;" + b"x" * 65532, id="an escape sequence without end"),
        pytest.param(b"\x1b[" + b"1;" * 32767, id="a colour without end"),
        pytest.param(b"ab" * 32768, id="nothing but the beginnings of a secret"),
        pytest.param(b"://" + b"u" * 65533, id="a URL without end"),
        pytest.param(b"\r" * 65536, id="nothing but carriage returns"),
        pytest.param(b"\x80" * 65536, id="invalid UTF-8"),
        pytest.param(b"\x00" * 65536, id="NUL"),
    ],
)
def test_an_endless_line_takes_bounded_memory(chunk: bytes) -> None:
    splitter = LineSplitter(Redactor([b"ab" * 1000 + b"!", b"aba"]))
    kept, peak = [], []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(6):  # 384 KiB a round
                splitter.feed(chunk)
            now, highest = tracemalloc.get_traced_memory()
            kept.append(now)
            peak.append(highest)
    finally:
        tracemalloc.stop()

    assert max(kept) < 256 * 1024
    assert peak[1] < peak[0] + 128 * 1024
