"""The command line's grammar. Words and options are wimlib-imagex's where it has them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wimtui import __version__
from wimtui.cli.edit_parser import EDIT_COMMANDS, add_edit_commands
from wimtui.cli.staging_parser import (
    STAGING_COMMANDS,
    add_disposition_options,
    add_read_write_options,
    add_staging_commands,
    json_lines,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    *("app", "info", "dir", "verify", "cat", "extract", "mount", "mounts", "unmount"),
    *STAGING_COMMANDS,
    *EDIT_COMMANDS,
)
COMMANDS_BY_ALIAS = {"umount": "unmount", "list": "mounts"}

USAGE_EXIT = 255
"""What wimlib-imagex exits with after a usage error; argparse's own 2 means corrupt data there."""

_EPILOG = "Exit codes: 0 success; one number per cause otherwise, see docs/EXIT_CODES.md."


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors exit as wimlib-imagex's do."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(USAGE_EXIT, f"wimtui: {message}; try: {self.prog} --help\n")


def with_command(arguments: Sequence[str]) -> list[str]:
    """Put ``app`` before arguments that start with no command: WIMs, or nothing at all."""
    first = next(iter(arguments), "")
    if first in COMMANDS or first in COMMANDS_BY_ALIAS or first in {"-h", "--help", "--version"}:
        return list(arguments)
    # A bare word that is no file is a command mistyped.
    if first.isalpha() and not Path(first).exists():
        return list(arguments)
    return ["app", *arguments]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program; ``command`` names the command chosen."""
    parser = Parser(
        prog="wimtui",
        description="Mount, inspect and edit Windows Imaging (WIM) archives.",
        epilog="Without a command the app opens: wimtui [WIM...]. " + _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"wimtui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_app(commands)
    _add_info(commands)
    _add_dir(commands)
    _add_verify(commands)
    _add_cat(commands)
    _add_extract(commands)
    _add_mount(commands)
    _add_mounts(commands)
    _add_unmount(commands)
    add_staging_commands(lambda name, text: _command(commands, name, text), add_mount_options)
    add_edit_commands(lambda name, text: _command(commands, name, text))
    return parser


_Commands = argparse._SubParsersAction  # add_subparsers returns it; it has no public name


def _command(commands: _Commands[Parser], name: str, text: str) -> argparse.ArgumentParser:
    aliases = [alias for alias, command in COMMANDS_BY_ALIAS.items() if command == name]
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        aliases=aliases,
        epilog=_EPILOG,
        allow_abbrev=False,
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _refs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ref",
        action="append",
        default=[],
        metavar="GLOB",
        help="other parts of a split WIM, or WIMs a delta WIM refers to; repeatable",
    )
    parser.add_argument(
        "--max-chunk-size",
        dest="max_chunk",
        type=size,
        default=64 << 20,
        metavar="SIZE",
        help="agree to decode chunks up to SIZE bytes (default 64M; wimlib can make 1G)",
    )
    parser.add_argument(
        "--max-metadata-size",
        dest="max_metadata",
        type=size,
        metavar="SIZE",
        help="agree to hold an image's metadata up to SIZE bytes (default: by the file's size)",
    )


def size(text: str) -> int:
    """Parse ``256M``, ``1G`` or plain bytes."""
    units = {"k": 10, "m": 20, "g": 30}
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    try:
        nbytes = int(number) << units[unit] if unit else int(number)
    except (KeyError, ValueError):
        nbytes = -1
    if not 0 <= nbytes < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 256M")
    return nbytes


def numeric_id(text: str) -> int:
    """Parse a user or group number; the highest one means "none" to the kernel."""
    if not (text.isascii() and text.isdecimal() and int(text) < (1 << 32) - 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a user or group")
    return int(text)


def octal(text: str) -> int:
    """Parse a umask."""
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is no octal mask such as 022")
    return value


def _add_app(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "app", "open the app")
    parser.add_argument("wims", nargs="*", metavar="WIM")
    parser.add_argument("--readonly", action="store_true", help="allow no change")


def _add_info(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "info", "show a WIM's header, images and blobs")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="1-based index or name")
    parser.add_argument("--header", action="store_true", help="every field of the header")
    parser.add_argument("--blobs", action="store_true", help="every entry of the blob table")
    parser.add_argument("--xml", action="store_true", help="the XML data, as UTF-8 text")
    _refs(parser)
    _json(parser)


def _add_dir(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "dir", "list the files of an image")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="1-based index or name")
    parser.add_argument("--path", default="/", metavar="P", help="list only what is under P")
    parser.add_argument("--detailed", action="store_true", help="everything known of each file")
    parser.add_argument("--one-file-only", action="store_true", help="only P itself")
    _refs(parser)
    _json(parser)


def _add_verify(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "verify", "check the integrity table and every blob's SHA-1")
    parser.add_argument("wim", metavar="WIM")
    _refs(parser)
    _json(parser)


def _add_cat(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "cat", "write a file of an image to standard output")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", metavar="IMAGE", help="1-based index or name")
    parser.add_argument("path", metavar="PATH", help="a file, or file:stream")
    _refs(parser)


def _add_extract(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "extract", "write files and folders of an image to a folder")
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("image", metavar="IMAGE", help="1-based index or name")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="what (default: the whole image)")
    parser.add_argument("--dest-dir", metavar="DIR", default=".", help="where (default: here)")
    parser.add_argument(
        "--ref", action="append", default=[], metavar="GLOB", help="as of mount; repeatable"
    )
    json_lines(parser)


def _add_mount(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "mount", "mount an image read-only, or read-write with --rw")
    parser.usage = "wimtui mount [OPTION...] WIM [IMAGE] DIR"
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument(
        "where",
        nargs="+",
        metavar="[IMAGE] DIR",
        help="1-based index or name, needed if there are several; and an empty folder",
    )
    parser.add_argument("--rw", action="store_true", help="as mountrw")
    add_mount_options(parser)


def add_mount_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that read-only and read-write mounts share."""
    add = parser.add_argument
    add("--check", action="store_true", help="verify the integrity table first")
    add(
        "--streams-interface",
        choices=["none", "xattr", "windows"],
        default="xattr",
        help="named streams as user.* attributes (default), as file:stream, or not at all",
    )
    _refs(parser)
    add("--unix-data", action="store_true", help="show stored owners, modes and device nodes")
    add("--allow-other", action="store_true", help="let other users in")
    add("--ignore-case", action="store_true", help="find names whatever their case")
    add("--uid", type=numeric_id, help="owner of all files (default: you)")
    add("--gid", type=numeric_id, help="group of all files (default: yours)")
    add("--umask", type=octal, default=0, help="permission bits to take away (default 000)")
    add("--cache-size", type=size, default=256 << 20, metavar="SIZE",
        help="decoded data to keep in memory (default 256M)")  # fmt: skip
    add("-o", dest="fuse_options", action="append", default=[], metavar="OPT[,OPT...]",
        help="FUSE options, such as nosuid or nonempty; words of fstab are let pass")  # fmt: skip
    add_read_write_options(parser)
    add("--log-file", metavar="FILE", help="where the daemon logs (default: in the state folder)")
    add("--debug", action="store_true", help="stay in the foreground and print FUSE messages")
    add("-f", "--foreground", action="store_true", help="stay in the foreground")
    _json(parser)


def _add_mounts(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "mounts", "list the mounts of this machine")
    _json(parser)


def _add_unmount(commands: _Commands[Parser]) -> None:
    parser = _command(commands, "unmount", "unmount an image")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument(
        "--force",
        "--lazy",
        action="store_true",
        help="unmount even while files are open; reading and writing them fails from then on",
    )
    add_disposition_options(parser)
    json_lines(parser)
