"""Words after -o, and how libfuse gets them."""

from __future__ import annotations

import pytest

from wimtui.engine.errors import UsageError
from wimtui.engine.fuse.options import FuseOptions, escape, split_words, unescape

FSTAB_WORDS = (
    "rw,ro,dev,suid,nosuid,nodev,noexec,exec,auto,noauto,user,users,nofail,_netdev,defaults,"
    "x-systemd.automount,X-mount.mkdir,comment=systemd,user=joe,relatime,nodiratime,nonempty"
)


def test_a_mount_is_read_only_and_private_unless_told_otherwise() -> None:
    assert FuseOptions.parse([]).for_pyfuse3() == {"ro", "default_permissions", "subtype=wim"}


def test_words_of_fstab_are_taken_by_whom_they_are_for() -> None:
    options = FuseOptions.parse([FSTAB_WORDS])

    assert options.read_only
    assert set(options.passed_on) == {
        "dev", "suid", "nosuid", "nodev", "noexec", "exec"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "read_only"), [(["ro", "rw"], False), (["rw,ro"], True), (["noatime"], True)]
)
def test_the_last_of_ro_and_rw_wins(words: list[str], read_only: bool) -> None:
    options = FuseOptions.parse(words)

    assert options.read_only is read_only
    assert len({"ro", "rw"} & options.for_pyfuse3()) == 1


def test_rw_holds_where_the_caller_asked_for_it() -> None:
    assert "rw" in FuseOptions.parse([], read_only=False).for_pyfuse3()


def test_our_own_words_are_understood() -> None:
    options = FuseOptions.parse(["allow_other,debug", r"fsname=/a\,b.wim,subtype=wimfs"])

    assert options.allow_other
    assert options.debug
    assert options.fsname == "/a,b.wim"
    assert options.for_pyfuse3() == {
        "ro", "allow_other", "debug", "default_permissions", r"fsname=/a\,b.wim", "subtype=wimfs"
    }  # fmt: skip


def test_default_permissions_can_be_left_out() -> None:
    words = FuseOptions.parse(["no_default_permissions"]).for_pyfuse3()

    assert "default_permissions" not in words
    assert "no_default_permissions" not in words


def test_unknown_words_go_on_to_libfuse() -> None:
    assert FuseOptions.parse(["auto_unmount", "frobnicate=3"]).passed_on == (
        "auto_unmount",
        "frobnicate=3",
    )


@pytest.mark.parametrize("word", ["max_read", "max_read=65536"])
def test_max_read_is_refused_because_it_kills_the_mount(word: str) -> None:
    with pytest.raises(UsageError, match="max_read cannot be used"):
        FuseOptions.parse(["ro", word])


@pytest.mark.parametrize("word", ["fsname", "fsname=", "subtype="])
def test_a_name_without_a_value_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="needs a value"):
        FuseOptions.parse([word])


def test_words_are_split_at_commas_that_nothing_protects() -> None:
    assert split_words(r"a,,b=1\,2\\,c ") == ["a", r"b=1\,2\\", "c"]


@pytest.mark.parametrize("value", ["plain", "a,b", "back\\slash", r"\,", "\\\\,"])
def test_escaping_is_undone_by_unescaping(value: str) -> None:
    assert unescape(escape(value)) == value
    assert len(split_words(f"fsname={escape(value)}")) == 1


def test_a_name_outside_ascii_is_written_as_bytes_in_octal() -> None:
    assert escape("ö \udcff") == r"\303\266\040\377"
