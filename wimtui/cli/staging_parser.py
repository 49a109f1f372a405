"""The grammar of read-write mounts and of what is staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Add = Callable[[str, str], argparse.ArgumentParser]
    """Makes the parser of a command from its name and one sentence."""

STAGING_COMMANDS = (
    *("mountrw", "remount", "status", "diff", "restore", "export", "commit", "watch", "holders"),
    *("cleanup", "switch"),
)

_TARGET = "where it is or was mounted, or a staging folder"


def add_staging_commands(
    add: Add, add_mount_options: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add all of them."""
    parser = add("mountrw", "mount an image read-write; the WIM is not touched until a commit")
    parser.usage = "wimtui mountrw [OPTION...] WIM [IMAGE] DIR"
    parser.add_argument("wim", metavar="WIM")
    parser.add_argument("where", nargs="+", metavar="[IMAGE] DIR")
    add_mount_options(parser)
    _add_remount(add)
    _add_status(add)
    _add_diff(add)
    _add_restore(add)
    _add_export(add)
    _add_commit(add)
    _add_watch(add)
    _add_holders(add)
    _add_cleanup(add)
    _add_switch(add)


def add_read_write_options(parser: argparse.ArgumentParser) -> None:
    """Add what only read-write mounts have."""
    parser.add_argument(
        "--staging-dir",
        metavar="DIR",
        help="where the folder with the changes is made (default: beside the WIM)",
    )


def add_disposition_options(parser: argparse.ArgumentParser) -> None:
    """Add what becomes of uncommitted changes."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--commit", action="store_true", help="write the changes to the WIM (none if read-only)"
    )
    chosen.add_argument(
        "--discard", action="store_true", help="drop uncommitted changes without asking"
    )
    chosen.add_argument(
        "--keep", action="store_true", help="leave uncommitted changes staged for a remount"
    )
    add_commit_options(parser)


def add_commit_options(parser: argparse.ArgumentParser) -> None:
    """Add how changes are committed."""
    add = parser.add_argument
    add("--rebuild", action="store_true", help="write the WIM anew, without dead bytes")
    add("--recompress", action="store_true", help="rebuild, and compress everything again")
    add("--check", action="store_true", help="write an integrity table")
    add("--solid", action="store_true", help="rebuild, with all data in one solid resource (ESD)")
    add(
        "--compress",
        metavar="TYPE[:LEVEL]",
        help="none, XPRESS, LZX or LZMS, and a level (20 fast, 50 default, 100 best); another "
        "type than the WIM has rebuilds it",
    )
    add("--new-image", action="store_true", help="append an image instead of changing this one")
    add("--name", default="", help="of the new image")
    add("--description", default="", help="of the new image")
    add("--boot", action="store_true", help="make the new image the bootable one")
    add(
        "--save-as",
        metavar="OTHER.wim",
        help="write the result to another file and leave the WIM as it is, also where somebody "
        "else has changed it meanwhile",
    )
    add("--force-write", action="store_true", help="write although nothing has changed")
    add_space_option(parser)


def add_space_option(parser: argparse.ArgumentParser) -> None:
    """Add what lets a write begin on a disk that may be too small."""
    parser.add_argument(
        "--no-space-check",
        dest="space_check",
        action="store_false",
        help="begin though the disk may be too small; a write that fails changes nothing",
    )


def _add_remount(add: Add) -> None:
    parser = add("remount", "mount again what lost its daemon, with every change")
    parser.add_argument("target", metavar="DIR|STAGING", help=_TARGET)
    parser.add_argument("directory", nargs="?", metavar="NEWDIR", help="mount it there instead")
    _json(parser)


def _add_status(add: Add) -> None:
    parser = add("status", "show how a mount stands and what has changed in it")
    parser.add_argument("target", metavar="DIR", help=_TARGET)
    _json(parser)


def _add_diff(add: Add) -> None:
    parser = add("diff", "compare what is staged with the image, as a unified diff")
    parser.add_argument("target", metavar="DIR", help=_TARGET)
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="only this, below DIR or from the image's root"
    )


def _add_restore(add: Add) -> None:
    parser = add("restore", "undo the staged changes of files and folders")
    parser.add_argument("target", metavar="DIR", help=_TARGET)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="below DIR or from the root")
    _json(parser)


def _add_export(add: Add) -> None:
    parser = add("export", "write staged changes out, as a tar archive or a folder")
    parser.add_argument("target", metavar="DIR", help=_TARGET)
    parser.add_argument(
        "output",
        metavar="OUT",
        help="a name with .tar, .tar.gz, .tar.xz or .tar.bz2 for an archive, else a folder",
    )
    parser.add_argument(
        "path", nargs="?", default="/", metavar="PATH", help="only this, below DIR or from the root"
    )
    _json(parser)


def _add_commit(add: Add) -> None:
    parser = add("commit", "write staged changes to the WIM; a mount goes on")
    parser.add_argument("target", metavar="DIR", help=_TARGET)
    add_commit_options(parser)
    json_lines(parser)


def json_lines(parser: argparse.ArgumentParser) -> None:
    """Add what makes progress and the result lines of JSON."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print lines of JSON: any number of type progress, then one of type result or error",
    )


def _add_watch(add: Add) -> None:
    parser = add("watch", "print what a mount's daemon does, until it ends")
    parser.add_argument("directory", metavar="DIR")
    _json(parser)


def _add_holders(add: Add) -> None:
    parser = add("holders", "list the processes that keep a mount busy")
    parser.add_argument("directory", metavar="DIR")
    _json(parser)


def _add_cleanup(add: Add) -> None:
    parser = add("cleanup", "remove dead mounts; staging folders only where named")
    parser.add_argument(
        "stagings",
        nargs="*",
        metavar="STAGING|WIM",
        help="staging folders to drop with the changes in them, never one in use; or WIMs in "
        "which a killed write left bytes",
    )
    _json(parser)


def _add_switch(add: Add) -> None:
    parser = add("switch", "mount another image, or the other way, at the same place")
    parser.add_argument("target", metavar="DIR", help="where it is mounted, or a mount id")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--rw", dest="read_write", action="store_true", default=None, help="make it writable"
    )
    mode.add_argument(
        "--ro", dest="read_write", action="store_false", help="make it read-only, if it is clean"
    )
    parser.add_argument("--image", metavar="IMAGE", help="1-based index or name of another image")
    _json(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
