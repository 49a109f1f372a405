"""What is shown of two versions of a file: lines, bytes, and how much of large files."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wimtui.service.changes import StreamComparison
from wimtui.service.comparisons import (
    MAX_LINES,
    HexRow,
    StreamDiff,
    StreamDiffKind,
    stream_diff,
    unified,
)


def compared(before: bytes | None, after: bytes | None) -> StreamDiff:
    old, new = before or b"", after or b""
    shortest = min(len(old), len(new))
    difference = next((n for n in range(shortest) if old[n] != new[n]), None)
    if difference is None and len(old) != len(new) and None not in (before, after):
        difference = shortest
    return stream_diff(
        StreamComparison(
            "", None if before is None else len(old), None if after is None else len(new),
            difference, shortest, 0, old, new, b"", b"",
        )
    )  # fmt: skip


def patched(before: list[str], lines: list[str]) -> list[str]:
    """Apply a unified diff as patch(1) does."""
    result: list[str] = []
    at = 0
    for line in lines:
        if line.startswith("@@"):
            old = line.split(" ")[1].lstrip("-").split(",")
            start = int(old[0]) - (1 if len(old) == 1 or int(old[1]) else 0)
            result += before[at:start]
            at = start
        elif line[0] in " -":
            assert before[at] == line[1:]
            if line[0] == " ":
                result.append(line[1:])
            at += 1
        else:
            result.append(line[1:])
    return result + before[at:]


_lines = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


@settings(max_examples=200, deadline=None)
@given(_lines, _lines)
def test_a_diff_makes_one_text_of_the_other(before: list[str], after: list[str]) -> None:
    lines, is_cut = unified(before, after)
    assert not is_cut
    assert patched(before, lines) == after
    assert bool(lines) == (before != after)


def test_a_line_in_a_large_text_is_found_and_numbered() -> None:
    before = [f"line {number}" for number in range(100_000)]
    after = [*before[:70_000], "inserted", *before[70_000:]]
    lines, is_cut = unified(before, after)
    assert not is_cut
    assert lines == [
        "@@ -69998,6 +69998,7 @@",
        *(f" line {number}" for number in (69_997, 69_998, 69_999)),
        "+inserted",
        *(f" line {number}" for number in (70_000, 70_001, 70_002)),
    ]


def test_too_many_lines_are_cut_and_that_is_said() -> None:
    old = "".join(f"{number}\n" for number in range(MAX_LINES + 5)).encode()
    new = "".join(f"new {number}\n" for number in range(MAX_LINES + 5)).encode()
    diff = compared(old, new)
    assert f"only {MAX_LINES:,} lines" in diff.note
    assert len(diff.lines) == 2 * MAX_LINES + 1


def test_utf_16_is_text_with_and_without_a_mark() -> None:
    before, after = "eins\r\nzwei\r\n", "eins\r\ndrei ä\r\n"
    for encoding in ("utf-16", "utf-16-le"):
        diff = compared(before.encode(encoding), after.encode(encoding))
        assert (diff.kind, diff.encoding) == (StreamDiffKind.TEXT, "UTF-16-LE")
        assert diff.lines == ("@@ -1,2 +1,2 @@", " eins", "-zwei", "+drei ä")


def test_another_encoding_of_the_same_text_is_said() -> None:
    diff = compared(b"one\n", "one\n".encode("utf-16"))
    assert diff.encoding == "UTF-8 → UTF-16-LE"
    assert "encoding" in diff.note
    assert diff.lines == ()
    assert "newline at the end" in compared(b"one\n", b"one").note


def test_added_and_deleted_texts() -> None:
    assert compared(None, b"one\ntwo\n").lines == ("@@ -0,0 +1,2 @@", "+one", "+two")
    assert compared(b"one\n", None).lines == ("@@ -1 +0,0 @@", "-one")
    empty = compared(None, b"")
    assert (empty.kind, empty.note) == (StreamDiffKind.TEXT, "empty")


def test_bytes_are_shown_from_before_the_first_difference() -> None:
    before = bytes(range(256)) * 8
    after = before[:1000] + b"!" + before[1001:]
    diff = compared(before, after)
    assert diff.kind is StreamDiffKind.HEX
    assert "offset 1,000 (0x3e8)" in diff.note
    assert diff.rows[0] == HexRow(976, before[976:992], before[976:992])
    assert diff.rows[1] == HexRow(992, before[992:1008], after[992:1008])
    assert len(diff.rows) == 32


def test_the_end_of_a_longer_binary_has_one_side() -> None:
    diff = compared(b"\0" * 32, b"\0" * 33)
    assert diff.rows[-1] == HexRow(32, None, b"\0")
    added = compared(None, b"\xff" * 20)
    assert added.rows == (HexRow(0, None, b"\xff" * 16), HexRow(16, None, b"\xff" * 4))
    assert added.note == ""


def test_what_was_not_read_is_said() -> None:
    large = 1 << 30
    same = stream_diff(
        StreamComparison("", large, large, None, 1000, 0, b"x", b"x", b"", b"")
    )  # fmt: skip
    assert same.kind is StreamDiffKind.SAME
    assert "the first 1,000 bytes are the same" in same.note
    lead = b"text\n" * 10
    middle = stream_diff(
        StreamComparison(
            "", large, large, 5_000_100, 5_000_100, 5_000_000,
            b"cut\nsame\nold\n", b"cut\nsame\nnew\n", lead, lead,
        )
    )  # fmt: skip
    assert middle.lines == ("@@ -1,2 +1,2 @@", " same", "-old", "+new")
    assert "shown from offset 5,000,000 on" in middle.note
    assert "up to offset 5,000,013" in middle.note
    broken = stream_diff(StreamComparison("s", 1, 1, None, 0, 0, b"", b"", b"", b"", "no blob"))
    assert (broken.kind, broken.note) == (StreamDiffKind.PROBLEM, "no blob")
