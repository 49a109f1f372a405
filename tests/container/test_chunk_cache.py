"""The chunk cache: one decode a chunk, a bound in bytes, errors for all who wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container.chunk_cache import ChunkCache, PendingChunk
from wimtui.engine.container.chunk_loader import ChunkLoader
from wimtui.engine.container.read_ahead import ReadAhead
from wimtui.engine.errors import CorruptResourceError, ReadFailedError, WimError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 15
KEY = (1, 208)


class CountingResource:
    """A resource whose chunks are their number, counted and held back on demand."""

    codec = CodecId.XPRESS
    chunk_size = CHUNK
    chunk_shift = 15
    chunk_count = 1000
    key = KEY

    def __init__(self) -> None:
        self.decoded: list[int] = []
        self.bad: set[int] = set()
        self.error: type[WimError] = CorruptResourceError
        self.inside = 0
        self.most_inside = 0
        self._lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()

    def chunks(self, first: int, last: int, decompressors: DecompressorPool) -> Iterator[bytes]:
        for chunk in range(first, last + 1):
            self._enter(1)
            assert self.gate.wait(20)
            self._enter(-1)
            self.decoded.append(chunk)
            if chunk in self.bad:
                raise self.error(f"chunk {chunk}", structure="here", offset_in_file=7)
            yield chunk.to_bytes(4, "little") * (CHUNK // 4)

    def _enter(self, count: int) -> None:
        with self._lock:
            self.inside += count
            self.most_inside = max(self.inside, self.most_inside)


def number_of(data: bytes) -> int:
    return int.from_bytes(data[:4], "little")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


@pytest.fixture
def resource() -> CountingResource:
    return CountingResource()


@pytest.fixture
def loader() -> Iterator[ChunkLoader]:
    with ChunkLoader(ChunkCache(10 * CHUNK), worker_count=2) as loader:
        yield loader


def load(loader: ChunkLoader, resource: CountingResource, first: int, last: int) -> list[int]:
    return [number_of(data) for data in loader.load(resource, first, last)]  # type: ignore[arg-type]


def test_a_chunk_is_decoded_once(loader: ChunkLoader, resource: CountingResource) -> None:
    resource.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        tasks = [threads.submit(load, loader, resource, 0, 7) for _ in range(8)]
        wait_until(lambda: loader.cache.is_pending(KEY, 7))
        resource.gate.set()
        assert all(task.result(20) == list(range(8)) for task in tasks)
    assert sorted(resource.decoded) == list(range(8))


def test_overlapping_ranges_do_not_wait_for_each_other_in_a_circle(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    with ThreadPoolExecutor(8) as threads:
        tasks = [
            threads.submit(load, loader, resource, start % 9, start % 9 + start % 5)
            for start in range(300)
        ]
        for start, task in enumerate(tasks):
            assert task.result(20) == list(range(start % 9, start % 9 + start % 5 + 1))


def test_errors_reach_all_who_wait_and_are_not_kept(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    resource.bad.add(3)
    resource.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        tasks = [threads.submit(load, loader, resource, 2, 5) for _ in range(4)]
        wait_until(lambda: loader.cache.is_pending(KEY, 2))
        resource.gate.set()
        for task in tasks:
            with pytest.raises(CorruptResourceError, match="chunk 3"):
                task.result(20)
    assert not any(loader.cache.is_pending(KEY, chunk) for chunk in range(2, 6))
    resource.bad.clear()
    assert load(loader, resource, 2, 5) == [2, 3, 4, 5]


def test_a_large_corrupt_chunk_is_decoded_once(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    resource.chunk_size = 1 << 18
    resource.bad = {3}
    for _ in range(3):
        with pytest.raises(CorruptResourceError, match="chunk 3") as raised:
            load(loader, resource, 3, 3)
        assert (raised.value.structure, raised.value.offset_in_file) == ("here", 7)
    assert resource.decoded == [3]
    with pytest.raises(CorruptResourceError, match="chunk 3"):
        load(loader, resource, 2, 4)
    assert load(loader, resource, 4, 4) == [4]
    assert sorted(resource.decoded) == [2, 3, 4]
    loader.cache.forget_file(KEY[0])
    resource.bad.clear()
    assert load(loader, resource, 3, 3) == [3]


def test_few_errors_are_kept(loader: ChunkLoader, resource: CountingResource) -> None:
    resource.chunk_size = 1 << 18
    resource.bad = set(range(300))
    for chunk in [*range(300), 299, 0]:
        with pytest.raises(CorruptResourceError, match=f"chunk {chunk}"):
            load(loader, resource, chunk, chunk)
    assert resource.decoded == [*range(300), 0]


def test_what_the_disk_reports_is_not_kept(loader: ChunkLoader, resource: CountingResource) -> None:
    resource.chunk_size = 1 << 18
    resource.bad = {3}
    resource.error = ReadFailedError
    for _ in range(2):
        with pytest.raises(ReadFailedError):
            load(loader, resource, 3, 3)
    assert resource.decoded == [3, 3]


@pytest.mark.parametrize(("file_size", "most"), [(1 << 20, 2), (256 << 20, 4), (1 << 40, 6)])
def test_few_large_chunks_are_decoded_at_once(
    resource: CountingResource, file_size: int, most: int
) -> None:
    resource.chunk_size = 1 << 26
    resource.gate.clear()
    with ChunkLoader(worker_count=6) as loader, ThreadPoolExecutor(8) as threads:
        loader.allow_big_chunks(file_size)
        tasks = [threads.submit(load, loader, resource, chunk, chunk) for chunk in range(8)]
        wait_until(lambda: all(loader.cache.is_pending(KEY, chunk) for chunk in range(8)))
        wait_until(lambda: resource.inside >= most)
        has_room = loader._slots.acquire(blocking=False)
        resource.gate.set()
        assert [task.result(20) for task in tasks] == [[chunk] for chunk in range(8)]
    assert not has_room
    assert resource.most_inside == most


def test_chunks_behind_a_bad_one_are_tried_by_those_who_want_them(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    resource.bad.add(0)
    with pytest.raises(CorruptResourceError):
        load(loader, resource, 0, 4)
    assert load(loader, resource, 1, 4) == [1, 2, 3, 4]


def test_least_recently_used_goes_first() -> None:
    cache = ChunkCache(300)
    for chunk in range(3):
        _put(cache, chunk, 100)
    assert cache.get(KEY, 0) is not None
    _put(cache, 3, 100)
    assert [cache.get(KEY, chunk) is not None for chunk in range(4)] == [True, False, True, True]
    assert cache.get_run(KEY, 2, 3) is not None
    assert cache.get_run(KEY, 1, 3) is None
    status = cache.status()
    assert (status.chunks, status.nbytes, status.capacity) == (3, 300, 300)
    assert (status.hits, status.misses) == (6, 4)


def test_a_claim_is_a_use() -> None:
    cache = ChunkCache(300)
    for chunk in range(3):
        _put(cache, chunk, 100)
    assert cache.claim(KEY, 0, 0).mine == []
    _put(cache, 3, 100)
    assert [cache.has(KEY, chunk) for chunk in range(4)] == [True, False, True, True]


def test_a_chunk_over_the_capacity_is_kept_alone() -> None:
    cache = ChunkCache(300)
    _put(cache, 0, 100)
    _put(cache, 1, 5000)
    assert cache.get(KEY, 0) is None
    assert cache.get(KEY, 1) is not None
    _put(cache, 2, 100)
    assert cache.get(KEY, 1) is None
    assert cache.status().nbytes == 100


def test_forgetting_a_file() -> None:
    cache = ChunkCache(300)
    _put(cache, 0, 100)
    cache.forget_file(2)
    assert cache.status().chunks == 1
    cache.forget_file(1)
    assert (cache.status().chunks, cache.status().nbytes) == (0, 0)


def test_sequential_reads_are_decoded_ahead(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    ahead = ReadAhead(loader, resource, 0, 999)  # type: ignore[arg-type]
    ahead.note(0, CHUNK)
    assert not ahead.is_scheduled(1)
    ahead.note(CHUNK, 2 * CHUNK)
    assert ahead.is_scheduled(60)
    wait_until(lambda: 65 in resource.decoded or 66 in resource.decoded)
    assert 0 not in resource.decoded
    assert max(resource.decoded) < 2 + (2 << 20) // CHUNK + 8


def test_a_seek_drops_what_was_scheduled(loader: ChunkLoader, resource: CountingResource) -> None:
    resource.gate.clear()
    ahead = ReadAhead(loader, resource, 0, 999)  # type: ignore[arg-type]
    ahead.note(0, CHUNK)
    ahead.note(CHUNK, 2 * CHUNK)
    wait_until(lambda: loader.cache.is_pending(KEY, 2))
    ahead.note(900 * CHUNK, 901 * CHUNK)
    assert not ahead.is_scheduled(2)
    resource.gate.set()
    last = loader.submit(lambda: None)
    assert last is not None
    last.result(20)
    wait_until(lambda: not any(loader.cache.is_pending(KEY, chunk) for chunk in range(100)))
    assert len(resource.decoded) <= 2 * 8


def test_the_next_large_chunk_is_decoded_once_the_reader_is_near_the_end(
    loader: ChunkLoader, resource: CountingResource
) -> None:
    resource.chunk_shift = 24
    resource.chunk_size = chunk_size = 1 << 24
    ahead = ReadAhead(loader, resource, 0, 9)  # type: ignore[arg-type]
    step = 1 << 19
    for offset in range(0, chunk_size * 3 // 4 - step, step):
        ahead.note(offset, offset + step)
    assert not ahead.is_scheduled(1)
    ahead.note(chunk_size * 3 // 4 - step, chunk_size * 3 // 4)
    assert ahead.is_scheduled(1)
    assert not ahead.is_scheduled(2)
    wait_until(lambda: loader.cache.get(KEY, 1) is not None)
    assert resource.decoded == [1]


def test_a_closed_loader_still_loads(resource: CountingResource) -> None:
    loader = ChunkLoader()
    loader.close()
    loader.prefetch(resource, 5, 9, lambda: 0)  # type: ignore[arg-type]
    assert loader.submit(print) is None
    assert load(loader, resource, 0, 1) == [0, 1]


def test_decompressors_are_handed_out_to_one_thread_at_a_time() -> None:
    pool = DecompressorPool(idle_per_kind=1)
    one = pool.take(CodecId.XPRESS, CHUNK)
    two = pool.take(CodecId.XPRESS, CHUNK)
    assert one is not two
    pool.give_back(CodecId.XPRESS, CHUNK, one)
    pool.give_back(CodecId.XPRESS, CHUNK, two)
    assert pool.take(CodecId.XPRESS, CHUNK) is one
    assert pool.take(CodecId.XPRESS, CHUNK) is not two


def _put(cache: ChunkCache, chunk: int, size: int) -> None:
    claim = cache.claim(KEY, chunk, chunk)
    pending = claim.chunks[0]
    assert isinstance(pending, PendingChunk)
    assert claim.mine == [0]
    cache.fulfil(KEY, chunk, pending, bytes(size))
