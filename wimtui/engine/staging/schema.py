"""The staging database: the canonical description of what a staging folder holds.

A staging folder, ``<WIM's base name>.staging-<id>``, mode 0700, holds

``changes.db``
    The SQLite database below, with its ``-wal`` file. All integers are signed 64-bit; a tick count
    of 2**63 and more is stored less 2**64.
``<8 or more hex digits>``
    One staged file each: the bytes of one stream, named by its number in ``stream.file``. A file
    that ``stream`` mentions and that does not exist is empty. A file that nothing mentions is
    rubbish and goes at the next opening.

``reserve.bin``
    Room for deletions on a full disk; its bytes mean nothing.

The modification time of a staged file says when the stream was written last, unless it is one of
the two marks of ``staged_files``: then the node's own ``write_time`` holds.

Node numbers below 2**40 are those of the base image: inodes first, named streams after them, as
ImageView numbers them. Numbers from 2**40 on are new nodes and new named streams.

An operation is one transaction, committed before the operation is answered.
"""

from __future__ import annotations

from typing import Final

FORMAT_VERSION: Final = 1
"""Of this description; in ``PRAGMA user_version``. Another version is refused."""

APPLICATION_ID: Final = 0x57494D53
"""``WIMS``; in ``PRAGMA application_id``."""

SCHEMA: Final = """
-- Facts about the whole, values in JSON:
--   identity     the WIM: path, guid, size, mtime_ns, digest (see identity.WimIdentity)
--   image        1-based index of the image
--   created_ns   when, in nanoseconds since 1970
--   options      how the overlay behaves (see options.OverlayOptions)
--   mount        whatever the mount wants to find again
--   committing   identity that the WIM will have once the commit under way is complete, or null
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- A node that is new or differs from the base image in more than its names.
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,              -- S_IFDIR, S_IFREG or S_IFLNK
    attributes INTEGER NOT NULL,        -- FILE_ATTRIBUTE_*
    security_id INTEGER NOT NULL,       -- index in the base image's table, -1 for none
    descriptor BLOB,                    -- SECURITY_DESCRIPTOR instead, or NULL
    creation_time INTEGER NOT NULL,     -- ticks
    access_time INTEGER NOT NULL,
    write_time INTEGER NOT NULL,
    times_set INTEGER NOT NULL,         -- 1 where somebody set times explicitly
    reparse_tag INTEGER NOT NULL,
    reparse_reserved INTEGER NOT NULL,
    rp_flags INTEGER NOT NULL,
    tagged_items BLOB NOT NULL,         -- as a dentry stores them
    streams_staged INTEGER NOT NULL     -- 1: `stream` lists every stream; 0: those of the base
);

-- The streams of the nodes with streams_staged = 1, in stored order.
CREATE TABLE stream (
    node INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,                 -- data, named, reparse, efs
    name BLOB NOT NULL,                 -- WTF-8; empty but for named streams
    id INTEGER NOT NULL,                -- the stream's own number; 0 for what cannot be opened
    sha1 BLOB,                          -- exactly one of the three: a blob of the WIM,
    file INTEGER,                       -- a staged file,
    data BLOB,                          -- the bytes
    PRIMARY KEY (node, position)
) WITHOUT ROWID;

-- Names that differ from the base image.
CREATE TABLE entry (
    directory INTEGER NOT NULL,
    name BLOB NOT NULL,                 -- WTF-8
    node INTEGER,                       -- what it names; NULL hides the base image's name
    short_name BLOB NOT NULL,           -- WTF-8
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;
"""
