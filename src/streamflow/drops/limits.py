"""Limits on what a drop may contain. They are checked while bytes are read, before anything is parsed."""

from __future__ import annotations

HEADER_BYTES = 64 * 1024
"""Longest header: the first line of a file, and the record in it."""

RECORD_BYTES = 1024 * 1024
"""Longest line, and longest record in characters; quoted fields may spread a record over several lines."""

FIELD_CHARACTERS = 131_072
"""Longest field. This is the default of Python's csv module, which refuses longer ones."""

COLUMNS = 1_600
"""Most fields in a record; a table of PostgreSQL has no more columns."""

CHUNK_CELLS = 1_000_000
"""Most fields that are held in memory at a time; wide tables are read fewer rows at a time."""

CHUNK_CHARACTERS = 16 * 1024 * 1024
"""Most text that is held in memory at a time."""

CHECKSUM_BYTES = 1024 * 1024
"""Largest checksum file."""

ENTRIES = 10_000
"""Most files in the folder of a drop."""

SHOWN_CHARACTERS = 80
"""Longest name or value that a message quotes."""

SHOWN_PATH_CHARACTERS = 400
"""Longest path that a message or the ledger quotes."""

SHOWN_REASON_CHARACTERS = 500
"""Longest reason for the rejection of a row that a message quotes."""

SHOWN_NAMES = 20
"""Most names that a message lists."""
