"""Append sources, one by one, to the end of one output: the unit of work that a journal can record.

Two ways, one per output. Where all sources are gzipped their members are kept byte for byte and inflated once, for the
statistics and as the check of their integrity. Anything else becomes BGZF throughout: a plain gzip member behind BGZF
breaks `bgzip -@2`. A gzipped source whose text must be repaired (no newline at its end, Windows line ends) cannot be
kept either; it becomes a plain gzip member. And where the first source happens to be BGZF itself, those that are not
are made so.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from isal import isal_zlib

from hesiod_watch.fastq import bgzf
from hesiod_watch.fastq.files import OutputFile, SourceFile
from hesiod_watch.fastq.gunzip import Inflater
from hesiod_watch.fastq.measure import Measure
from hesiod_watch.fastq.model import Output, Piece, Settings, Source, Written
from hesiod_watch.fastq.records import RecordReader, Unit
from hesiod_watch.fastq.statistics import Statistics

OnUnit = Callable[[int, int, int], None]
"""Called after each unit with what it added: bytes of source data as on disk, reads, bases."""

_GZIP_MEMBER = 31  # zlib's wbits: a gzip header and trailer around deflate with a window of 32 KiB


class _How(Enum):
    """How a source goes into an output."""

    BGZF = auto()
    VERBATIM = auto()  # its own gzip members
    REWRITE = auto()  # one gzip member made by us


class Appender:
    """An output being written from its start. `append` each source in order, then `finish`; `close` in any case.

    After an error the file holds whatever was written; it is not to be gone on with.
    """

    def __init__(self, output: Output, path: Path, settings: Settings) -> None:
        self._output = output
        self._path = path
        self._level = settings.level
        self._verbatim = keeps_members(output, settings)
        self._blocks = not self._verbatim  # the output is BGZF
        self._file = OutputFile(path)
        self._hash = hashlib.md5(usedforsecurity=False)
        self._size = 0
        self._crc = 0  # of the piece being written
        self._pieces: list[Piece] = []
        self._notes: list[str] = []
        self._statistics = Statistics()

    def append(self, source: Source, on_unit: OnUnit | None = None) -> tuple[Piece, Statistics]:
        """Put the reads of `source` behind what is there; the record of it, and the statistics of these reads.

        Raises `BadSource`, `TemporaryError` or `PermanentError`, naming the file. Nothing is fsynced.
        """
        offset, digest = self._size, self._hash.copy()
        how = self._how(source)
        measure, repaired = self._copy(source, how, on_unit)
        if how is _How.VERBATIM and repaired:
            # Found out at the end only, and rare: once more, this time not verbatim.
            self._file.rewind(offset)
            self._size, self._hash = offset, digest
            measure, repaired = self._copy(source, _How.BGZF if self._blocks else _How.REWRITE, None)
        statistics = measure.result()
        piece = Piece(
            source=source.name,
            size=source.size,
            mtime_ns=source.mtime_ns,
            output=self._output.name,
            offset=offset,
            length=self._size - offset,
            crc32=self._crc,
            reads=statistics.reads,
            bases=statistics.bases,
        )
        if repaired:
            self._notes.append(f"{source.name}: {repaired}; put right in the output")
        if not statistics.reads:
            self._notes.append(f"{source.name}: empty file")
        self._pieces.append(piece)
        self._statistics.merge(statistics)
        return piece, statistics

    def finish(self) -> Written:
        """End the output and make it durable; its name in the directory is the caller's to fsync."""
        if self._blocks or not self._size:
            # Also the whole of an output without any data: an empty file would not be gzip.
            self._write(bgzf.END_OF_FILE)
        self._file.sync()
        return Written(
            output=self._output,
            path=self._path,
            bytes=self._size,
            md5=self._hash.hexdigest(),
            reads=self._statistics.reads,
            bases=self._statistics.bases,
            statistics=self._statistics,
            pieces=tuple(self._pieces),
            notes=tuple(self._notes),
        )

    def close(self) -> None:
        self._file.close()

    def _how(self, source: Source) -> _How:
        if not self._verbatim:
            return _How.BGZF
        with SourceFile(source) as file:
            is_block = bgzf.is_block(file.head(bgzf.HEAD_BYTES))
        if not self._size:
            self._blocks = is_block
        return _How.BGZF if self._blocks and not is_block else _How.VERBATIM

    def _copy(self, source: Source, how: _How, on_unit: OnUnit | None) -> tuple[Measure, str]:
        """Write one source `how`; its measure, and what had to be repaired at its end."""
        self._crc = 0
        measure = Measure(source.path)
        rewriting = isal_zlib.compressobj(2, isal_zlib.DEFLATED, _GZIP_MEMBER) if how is _How.REWRITE else None
        with SourceFile(source) as file:
            readinto = file.readinto
            if source.gzipped and source.size:  # an empty file is no gzip, and legal
                readinto = Inflater(readinto, source.path, self._write if how is _How.VERBATIM else None).readinto
            reader = RecordReader(readinto, source.path)
            reported = 0
            for unit in reader:
                measure.add(unit)
                if rewriting is not None:
                    self._write(rewriting.compress(unit.data))
                elif how is _How.BGZF:
                    self._write(b"".join(bgzf.compress(unit.data, self._splits(unit), self._level)))
                if on_unit is not None:
                    on_unit(file.consumed - reported, unit.reads, int(unit.lengths.sum()))
                    reported = file.consumed
            if on_unit is not None:
                on_unit(source.size - reported, 0, 0)
            file.check_unchanged()
        if rewriting is not None:
            self._write(rewriting.flush(zlib.Z_FINISH))
        return measure, reader.repaired

    def _splits(self, unit: Unit) -> list[int]:
        """Where to start a new deflate block: before and after each long quality line."""
        if self._level == "fast":
            return []
        long = unit.lengths >= bgzf.SPLIT_LENGTH
        splits: list[int] = unit.starts[long, 3:4].repeat(2, axis=1).reshape(-1).tolist()
        splits[1::2] = unit.ends[long, 3].tolist()
        return splits

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)


def write_output(output: Output, directory: Path, settings: Settings, on_unit: OnUnit, suffix: str) -> Written:
    """Write one output in this process. The directory is not fsynced."""
    appender = Appender(output, directory / (output.name + suffix), settings)
    try:
        for source in output.sources:
            appender.append(source, on_unit)
        return appender.finish()
    finally:
        appender.close()


def keeps_members(output: Output, settings: Settings) -> bool:
    """Whether an output is made of its sources' own gzip members."""
    return not settings.recompress and bool(output.sources) and all(source.gzipped for source in output.sources)
