"""Texts fit their cells, and names do nothing to a terminal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App

from wimtui.widgets.cells import Cell, age_text, fit, plain, plain_text, size_text, spark_text
from wimtui.widgets.column_table import Column, lay_out
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from textual.app import ComposeResult


@given(st.text(max_size=40), st.integers(0, 30), st.sampled_from(["end", "start", "middle"]))
def test_fit_fills_exactly(text: str, width: int, elide: str) -> None:
    assert cell_len(fit(plain(text), width, elide=elide)) == width  # type: ignore[arg-type]


@given(st.binary(max_size=40))
def test_plain_leaves_nothing_that_moves_a_cursor(data: bytes) -> None:
    shown = plain(data.decode("utf-8", "surrogateescape"))
    shown.encode()
    assert all(sign >= " " and not "\x7f" <= sign <= "\x9f" for sign in shown)
    assert not set("\u202e\u2066\u200f") & set(shown)


def test_plain_text_keeps_lines() -> None:
    assert plain_text("a\tb\n\x1b[2Jc") == "a   b\n\ufffd[2Jc"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 K"), (101_000, "98.6 K"), (103_000, "101 K"),
     (1 << 30, "1.0 G"), (5 << 40, "5.0 T")],
)  # fmt: skip
def test_sizes(nbytes: int, text: str) -> None:
    assert size_text(nbytes) == text


def test_ages_and_bars() -> None:
    assert [age_text(one) for one in (5, 80, 3700, 90_000)] == ["5 s", "1 m 20", "1 h 01", "1 d"]
    assert spark_text([0, 5, 10], 5) == "  ▁▅█"
    assert spark_text([], 3) == "   "


@given(st.integers(0, 300))
def test_columns_fill_the_width_they_get(width: int) -> None:
    columns = (
        Column("a", "A", 5), Column("b", "B", 10, flex=2), Column("c", "C", 8, rank=1),
        Column("d", "D", 8, flex=1, most=12, rank=2),
    )  # fmt: skip
    laid = lay_out(columns, width)
    total = sum(size for _, size in laid) + 2 * (len(laid) - 1)
    assert [column.key for column, _ in laid][:2] == ["a", "b"]
    assert total == max(width, 17)


def test_sentences_take_the_lines_they_need() -> None:
    class Showing(App[None]):
        def compose(self) -> ComposeResult:
            yield TextView()

    async def scenario() -> None:
        app = Showing()
        async with app.run_test(size=(60, 10)) as pilot:
            view = app.query_one(TextView)
            view.show_sentences([Cell("the cause " * 9, "bad"), Cell(""), Cell("the next step")])
            await pilot.pause()
            lines = view.text.split("\n")
            assert [len(line) <= 58 for line in lines] == [True] * 3
            assert " ".join(lines) == "the cause " * 9 + "the next step"

    asyncio.run(scenario())
