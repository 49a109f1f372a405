"""The fields of the commit dialog: which way, how, and what each way wants to know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on
from textual.containers import Grid, Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label, OptionList, Select, Static

from wimtui.screens.commit_ways import (
    MANY_FILES,
    Way,
    explanation_of,
    label_of,
    loss_lines,
    loss_text,
    lost_files,
    name_to_type,
    ways_of,
)
from wimtui.service.commits import CommitSettings
from wimtui.service.mounts import MountStatus
from wimtui.widgets.cells import plain
from wimtui.widgets.check import Check
from wimtui.widgets.choice_list import ChoiceList
from wimtui.widgets.path_suggester import PathSuggester
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from textual.app import ComposeResult

    from wimtui.service.changes import MountReport
    from wimtui.service.mounts import MountSummary

_COMPRESSIONS = (
    ("as the WIM is", ""), ("none", "none"), ("XPRESS", "XPRESS"), ("LZX", "LZX"),
    ("LZMS", "LZMS"),
)  # fmt: skip


class CommitForm(Vertical):
    """Ways left, what the chosen one means right, options below.

    Attributes:
        report: What is staged, once that is known.
        taken: Image names of the WIM, with their numbers.
    """

    class Changed(Message):
        """Something else was chosen or typed."""

    class Completed(Message):
        """Enter was pressed: that is it."""

    def __init__(
        self,
        mount: MountSummary,
        list_wims: Callable[[str], Coroutine[Any, Any, list[str]]],
        *,
        stays: bool,
        way: Way = Way.COMMIT,
    ) -> None:
        """Ask about a mount, or about what it left staged.

        Args:
            mount: The mount.
            list_wims: Returns the names of folders and WIMs in a folder.
            stays: Whether it is to stay mounted, unless the user wants otherwise.
            way: What is chosen at first.
        """
        super().__init__(id="commit-form")
        self.report: MountReport | None = None
        self._loss = ""
        self._lost_count = 0
        self.taken: dict[str, int] = {}
        self._mount = mount
        self._list_wims = list_wims
        self._can_stay = mount.alive
        self._stays = stays and mount.alive
        self._first_way = way

    def compose(self) -> ComposeResult:
        """Lay out everything; what a way does not need is hidden."""
        with Horizontal(id="choice"):
            yield ChoiceList(id="ways", compact=True, markup=False)
            with Vertical(id="details"):
                yield Static("", id="explanation", markup=False)
                yield from self._compose_details()
        with Grid(id="options"):
            yield Check("integrity table", id="check", compact=True)
            yield Check("recompress", id="recompress", compact=True)
            yield Check("solid", id="solid", compact=True)
            yield Check(
                "stay mounted", self._stays, id="stays", compact=True, disabled=not self._can_stay
            )
        with Horizontal(id="compression"):
            yield Label("compression")
            yield Select(_COMPRESSIONS, id="compress", compact=True, allow_blank=False)

    def _compose_details(self) -> ComposeResult:
        with Grid(classes="form", id="image-form"):
            yield Label("Name")
            yield Input(id="name", compact=True, placeholder="none")
            yield Label("Description")
            yield Input(id="description", compact=True, placeholder="none")
            yield Label("")
            yield Check("make it the bootable one", id="boot", compact=True)
            yield Label("")
            yield Static("", id="name-note", markup=False)
        with Grid(classes="form", id="path-form"):
            yield Label("File")
            suggester = PathSuggester(self._list_wims)
            yield Input(id="path", compact=True, placeholder="another .wim", suggester=suggester)
        yield TextView(id="losses")
        yield Input(id="confirm", compact=True)

    def on_mount(self) -> None:
        """Offer the ways."""
        ways = [(way.value, label_of(way, self._mount)) for way in ways_of(self._mount)]
        choices = self.query_one(ChoiceList)
        choices.offer(ways)
        choices.choose(self._first_way.value)
        self.show()

    # What is chosen

    @property
    def way(self) -> Way:
        """The way under the cursor."""
        chosen = self.query_one(ChoiceList).chosen
        return Way(chosen) if chosen else Way.COMMIT

    @property
    def unmounts(self) -> bool:
        """Whether the mount is to end."""
        if self._mount.status is MountStatus.DETACHED:
            return False
        if not self._can_stay or not self.way.writes:
            return True
        return not self._is_set("stays")

    def _is_set(self, name: str) -> bool:
        return self.query_one(f"#{name}", Check).value

    def _typed(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def settings(self) -> CommitSettings:
        """Return how to commit."""
        way = self.way
        if not way.writes:
            return CommitSettings()
        compress = self.query_one("#compress", Select).value
        asked = CommitSettings(
            rebuild=way is Way.REBUILD,
            recompress=self._is_set("recompress"),
            solid=self._is_set("solid"),
            check=self._is_set("check"),
            compress=str(compress) if compress else None,
        )
        if way is Way.NEW_IMAGE:
            return replace(
                asked, new_image=True, name=self._typed("name"),
                description=self._typed("description"), boot=self._is_set("boot"),
            )  # fmt: skip
        return replace(asked, save_as=self._typed("path")) if way is Way.SAVE_AS else asked

    def problem(self) -> str:
        """Return what is missing before it can be done; empty for nothing."""
        way = self.way
        if way is Way.SAVE_AS and not self._typed("path"):
            return "say which file to write"
        if way is Way.NEW_IMAGE and (index := self.taken.get(self._typed("name"))):
            return f"image {index} has that name"
        if way is not Way.DISCARD:
            return ""
        if self.report is None:
            return "looking at what is staged…"
        if self._wants_name:
            wanted, whose = name_to_type(self._mount)
            if self._typed("confirm") != wanted:
                return f"type {plain(wanted)}, the name of the {whose}"
        return ""

    @property
    def _wants_name(self) -> bool:
        return self._lost_count > MANY_FILES

    # Showing

    @on(OptionList.OptionHighlighted)
    @on(Check.Changed)
    @on(Select.Changed)
    @on(Input.Changed)
    def changed(self, event: Message) -> None:
        """Show what follows."""
        event.stop()
        self.show()
        self.post_message(self.Changed())

    def show(self) -> None:
        """Show what the chosen way is about."""
        way = self.way
        explanation = explanation_of(way, self._mount, unmounts=self.unmounts)
        if way is Way.DISCARD:
            explanation = self._loss
        self.query_one("#explanation", Static).update(explanation)
        self.query_one("#image-form").display = way is Way.NEW_IMAGE
        self.query_one("#path-form").display = way is Way.SAVE_AS
        self.query_one("#losses").display = way is Way.DISCARD
        # What takes their place has their height: a dialog that jumps is hard to read.
        self.set_class(not way.writes, "-long")
        for name in ("options", "compression"):
            self.query_one(f"#{name}").display = way.writes
        confirm = self.query_one("#confirm", Input)
        confirm.display = way is Way.DISCARD and self._wants_name
        wanted, whose = name_to_type(self._mount)
        confirm.placeholder = f"type {plain(wanted)}, the name of the {whose}"
        problem = self.problem() if way is Way.NEW_IMAGE else ""
        self.query_one("#name-note", Static).update(f"✗ {problem}" if problem else "")

    def take_report(self, report: MountReport) -> None:
        """Show another state of what is staged."""
        self.report = report
        self._loss, self._lost_count = loss_text(report), lost_files(report)
        self.query_one(TextView).show(loss_lines(report), keep_place=True)
        self.show()

    # Enter

    @on(OptionList.OptionSelected)
    def chosen(self, event: Message) -> None:
        """Go on to what has to be filled in; a way that needs nothing is complete."""
        event.stop()
        needed = {Way.NEW_IMAGE: "#name", Way.SAVE_AS: "#path"}.get(self.way)
        if self.way is Way.DISCARD and self._wants_name:
            needed = "#confirm"
        if needed is None:
            self.post_message(self.Completed())
        else:
            self.query_one(needed).focus()

    @on(Input.Submitted)
    def submitted(self, event: Message) -> None:
        """Enter in a field."""
        event.stop()
        self.post_message(self.Completed())
