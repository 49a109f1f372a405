"""The grammar of the commands that write WIM files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wimtui.cli.staging_parser import add_space_option, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[[str, str], argparse.ArgumentParser]
    """Makes the parser of a command from its name and one sentence."""

EDIT_COMMANDS = ("new", "capture", "set", "delete", "optimize")


def add_edit_commands(add: Add) -> None:
    """Add all of them."""
    _add_new(add)
    _add_capture(add)
    _add_set(add)
    _add_delete(add)
    _add_optimize(add)


def name_and_value(text: str) -> tuple[str, str]:
    """Parse ``NAME=VALUE``; an empty value removes the property."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def add_write_options(parser: argparse.ArgumentParser, *, rebuilds: bool = True) -> None:
    """Add the options that say how to write."""
    add = parser.add_argument
    add(
        "--compress",
        metavar="TYPE[:LEVEL]",
        help="none, XPRESS, LZX or LZMS, and a level from 1 (20 fast, 50 default, 100 best)",
    )
    add("--check", action="store_true", default=None, help="write an integrity table")
    add("--no-check", dest="check", action="store_false", help="write no integrity table")
    if rebuilds:
        add("--rebuild", action="store_true", help="write the file anew, without dead bytes")
        add("--ignore-readonly", action="store_true", help="write though the header says READONLY")
    add_space_option(parser)
    json_lines(parser)


def add_description_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe an image."""
    add = parser.add_argument
    add("--name", help="the image's name")
    add("--description", help="the image's description")
    add("--boot", action="store_true", default=None, help="make it the bootable image")
    add(
        "--property",
        dest="properties",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a property such as WINDOWS/EDITIONID=Professional; repeatable",
    )


def _add_new(add: Add) -> None:
    parser = add("new", "make a WIM with one empty image")
    parser.add_argument("wim", metavar="OUT.wim")
    add_description_options(parser)
    add_write_options(parser, rebuilds=False)


def _add_capture(add: Add) -> None:
    parser = add("capture", "append an image of a directory; the WIM is made if there is none")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument(
        "--unix-data",
        action="store_true",
        help="keep owners, modes, extended attributes, devices, fifos and sockets",
    )
    parser.add_argument(
        "--xattrs",
        action="store_true",
        help="keep user.* extended attributes as named streams",
    )
    parser.add_argument(
        "--norpfix",
        action="store_true",
        help="leave absolute links into the directory as they are",
    )
    parser.add_argument("--solid", action="store_true", help="all data in one solid resource")
    add_description_options(parser)
    add_write_options(parser)


def _add_set(add: Add) -> None:
    parser = add("set", "change name, description and properties of an image")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="1-based index or name")
    add_description_options(parser)
    parser.add_argument(
        "--no-boot", dest="boot", action="store_false", help="make no image bootable"
    )
    add_write_options(parser)


def _add_delete(add: Add) -> None:
    parser = add("delete", "delete an image")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", metavar="IMAGE", help="1-based index or name")
    parser.add_argument(
        "--soft", action="store_true", help="only forget it; optimize reclaims the space later"
    )
    add_write_options(parser)


def _add_optimize(add: Add) -> None:
    parser = add("optimize", "rebuild a WIM without dead bytes")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument(
        "--recompress",
        action="store_true",
        help="compress again what could be copied; solid data as LZMS, whatever it was",
    )
    parser.add_argument(
        "--solid", action="store_true", help="all data in one solid resource, always LZMS"
    )
    parser.add_argument("--save-as", metavar="OTHER.wim", help="write the result to another file")
    add_write_options(parser)
