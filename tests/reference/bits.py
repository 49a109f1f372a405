"""Bit streams of 16-bit little-endian units, and match copying."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reference.huffman import DecodeTable


class Malformed(Exception):
    """The stream breaks a rule of its format."""


class BitsLE16:
    """Forward reader; missing units read as zero.

    Attributes:
        position: Byte position of the next unit to fetch.
        in_hand: Bits fetched and not yet consumed.
        invented: Zero bits handed out past the end of the data.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.buffer = 0
        self.in_hand = 0
        self.invented = 0

    def need(self, count: int) -> None:
        while self.in_hand < count:
            if self.position + 2 <= len(self.data):
                unit = self.data[self.position] | self.data[self.position + 1] << 8
                self.position += 2
            else:
                unit = 0
                self.invented += 16
            self.buffer = self.buffer << 16 | unit
            self.in_hand += 16

    def peek(self, count: int) -> int:
        self.need(count)
        return self.buffer >> (self.in_hand - count) & (1 << count) - 1

    def drop(self, count: int) -> None:
        self.in_hand -= count
        self.buffer &= (1 << self.in_hand) - 1

    def read(self, count: int) -> int:
        value = self.peek(count)
        self.drop(count)
        return value

    def symbol(self, table: DecodeTable, max_length: int) -> int:
        """Read one codeword of the code that ``table`` decodes."""
        if table is None:
            raise Malformed("symbol wanted from an empty code")
        symbol, length = table[self.peek(max_length)]
        self.drop(length)
        return symbol

    def byte(self) -> int:
        """Read a whole byte that lies between the units (XPRESS)."""
        if self.position >= len(self.data):
            return 0
        self.position += 1
        return self.data[self.position - 1]


class BitsBack16(BitsLE16):
    """Reader that takes its units from the end of the data towards the front (LZMS)."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, len(data))

    def need(self, count: int) -> None:
        while self.in_hand < count:
            unit = 0
            if self.position >= 2:
                self.position -= 2
                unit = self.data[self.position] | self.data[self.position + 1] << 8
            self.buffer = self.buffer << 16 | unit
            self.in_hand += 16


class BitsOut16:
    """Forward writer."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.buffer = 0
        self.pending = 0

    def bits(self, value: int, count: int) -> None:
        self.buffer = self.buffer << count | value
        self.pending += count
        while self.pending >= 16:
            self.pending -= 16
            self.out += (self.buffer >> self.pending & 0xFFFF).to_bytes(2, "little")
        self.buffer &= (1 << self.pending) - 1

    def finish(self) -> bytes:
        if self.pending:
            self.bits(0, 16 - self.pending)
        return bytes(self.out)


def copy_match(out: bytearray, offset: int, length: int, limit: int) -> None:
    """Repeat ``length`` bytes from ``offset`` bytes back; ``limit`` is where the output must end.

    Raises:
        Malformed: The match reaches before the start of ``out`` or past ``limit``.
    """
    if not 1 <= offset <= len(out):
        raise Malformed("match reaches before the start")
    if length > limit - len(out):
        raise Malformed("match reaches past the end")
    for _ in range(length):
        out.append(out[-offset])
