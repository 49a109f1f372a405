"""Browsing an image: listings and searches agree with a walk over all paths."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from wimtui.engine.errors import CancelledError
from wimtui.service.browse import CancelToken, ImageSession
from wimtui.service.images import open_image

SAMPLE = Path(__file__).resolve().parents[2] / "tools" / "sample" / "sample.wim"


@pytest.mark.parametrize(
    "text",
    ["notepad", "NOTE", "*.inf", "oem?.inf", "net00[1-3].sys", "e", "справка", "*", ".", "zz"],
)
def test_finds_what_a_walk_finds(text: str) -> None:
    folded = text.casefold()
    is_glob = any(sign in text for sign in "*?[")
    with open_image(str(SAMPLE), "2") as image:
        paths = [path for _, path in image.walk()][1:]
    names = {path: path.rsplit("/", 1)[1].casefold() for path in paths}
    wanted = {
        path
        for path, name in names.items()
        if (fnmatchcase(name, folded) if is_glob else folded in name)
    }

    with ImageSession.open(str(SAMPLE), "2") as session:
        found = session.search(text)

    assert {one.path for one in found.found} == wanted
    assert not found.is_cut


def test_a_folder_before_the_name_narrows_the_search() -> None:
    with ImageSession.open(str(SAMPLE), "2") as session:
        everywhere = session.search("notepad.exe").found
        below = session.search("system32/notepad.exe").found
    assert len(everywhere) > len(below) == 1
    assert below[0].path == "/Windows/System32/notepad.exe"


def test_a_search_can_be_given_up() -> None:
    token = CancelToken()
    token.cancel()
    with ImageSession.open(str(SAMPLE), "2") as session, pytest.raises(CancelledError):
        session.search("e", token)


def test_entries_agree_with_the_listing() -> None:
    with ImageSession.open(str(SAMPLE), "2") as session, open_image(str(SAMPLE), "2") as image:
        for dentry, _ in image.walk():
            ours = {one.name: one for one in session.children(dentry)}
            for listed in image.entries(dentry):
                one = ours[listed.name]
                assert (one.dentry, one.is_directory, one.is_link) == (
                    listed.dentry, listed.is_directory, listed.is_link
                )  # fmt: skip
                assert (one.attributes, one.link_count, one.stream_count, one.write_time) == (
                    listed.attributes, listed.link_count, listed.stream_count, listed.write_time
                )  # fmt: skip
                if not one.is_link and not one.is_directory:
                    assert one.size == listed.size


def test_ancestors_lead_from_the_root() -> None:
    with ImageSession.open(str(SAMPLE), "2") as session:
        dentry = session.dentry_at("/Windows/System32/drivers/etc/hosts")
        assert dentry is not None
        path = session.ancestors(dentry)
        assert (path[0], path[-1], len(path)) == (0, dentry, 6)
