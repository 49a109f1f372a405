"""Canonical prefix codes: lengths from frequencies, codewords from lengths, decode tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.reference.bits import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

DecodeTable = list[tuple[int, int]] | None


def build_decode(lengths: Sequence[int], max_length: int) -> DecodeTable:
    """None for the empty code, else 2**max_length entries (symbol, length).

    Raises:
        Malformed: The code is over-subscribed or incomplete.
    """
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not used:
        return None
    kraft = sum(1 << (max_length - length) for length, _ in used if length <= max_length)
    if used[-1][0] > max_length or kraft != 1 << max_length:
        raise Malformed("invalid prefix code")
    table: list[tuple[int, int]] = []
    for length, symbol in used:
        table += [(symbol, length)] * (1 << (max_length - length))
    return table


def codewords(lengths: Sequence[int]) -> list[int]:
    words = [0] * len(lengths)
    code = 0
    for wanted in range(1, max(lengths, default=0) + 1):
        code <<= 1
        for symbol, length in enumerate(lengths):
            if length == wanted:
                words[symbol] = code
                code += 1
    return words


def _depths(frequencies: Sequence[int]) -> tuple[list[int], list[int]]:
    """Merge sorted leaf frequencies; depth of each inner node, and of each leaf's parent.

    Inner nodes come in creation order, the root last. On a tie the leaf is taken first.
    """
    count = len(frequencies)
    node_frequency: list[int] = []
    node_parent = [0] * (count - 1)
    leaf_parent: list[int] = []
    leaf = node = 0
    for merged in range(count - 1):
        total = 0
        for _ in (0, 1):
            leaf_is_next = leaf < count and (
                node >= len(node_frequency) or frequencies[leaf] <= node_frequency[node]
            )
            if leaf_is_next:
                total += frequencies[leaf]
                leaf_parent.append(merged)
                leaf += 1
            else:
                total += node_frequency[node]
                node_parent[node] = merged
                node += 1
        node_frequency.append(total)
    depth = [0] * (count - 1)
    for node in range(count - 3, -1, -1):
        depth[node] = depth[node_parent[node]] + 1
    return depth, leaf_parent


def _used_symbols(frequencies: Sequence[int]) -> list[int]:
    return sorted(
        (symbol for symbol, frequency in enumerate(frequencies) if frequency),
        key=lambda symbol: (frequencies[symbol], symbol),
    )


def _lengths_of_few(nsymbols: int, order: list[int]) -> list[int]:
    """Lengths where at most one symbol is used: a lone symbol gets a dummy beside it."""
    lengths = [0] * nsymbols
    if order:
        lengths[0] = 1
        lengths[order[0] or 1] = 1
    return lengths


def huffman_lengths(frequencies: Sequence[int]) -> list[int]:
    """Codeword lengths exactly as LZMS wants them; no limit."""
    order = _used_symbols(frequencies)
    if len(order) < 2:
        return _lengths_of_few(len(frequencies), order)
    depth, leaf_parent = _depths([frequencies[symbol] for symbol in order])
    longest_first = sorted((depth[parent] + 1 for parent in leaf_parent), reverse=True)
    lengths = [0] * len(frequencies)
    for symbol, length in zip(order, longest_first, strict=True):
        lengths[symbol] = length
    return lengths


def limited_lengths(frequencies: Sequence[int], limit: int) -> list[int]:
    """Near-optimal lengths up to ``limit``; ``huffman_lengths`` where that does not bind."""
    order = _used_symbols(frequencies)
    if len(order) < 2:
        return _lengths_of_few(len(frequencies), order)
    depth, _ = _depths([frequencies[symbol] for symbol in order])
    leaves_at = [0] * (limit + 1)
    leaves_at[1] = 2  # as if both children of the root were leaves
    for node in range(len(order) - 3, -1, -1):
        level = depth[node]
        if level >= limit:  # too deep: split the deepest leaf that still may be split
            level = limit - 1
            while leaves_at[level] == 0:
                level -= 1
        leaves_at[level] -= 1
        leaves_at[level + 1] += 2
    lengths = [0] * len(frequencies)
    position = 0
    for length in range(limit, 0, -1):
        for symbol in order[position : position + leaves_at[length]]:
            lengths[symbol] = length
        position += leaves_at[length]
    return lengths
