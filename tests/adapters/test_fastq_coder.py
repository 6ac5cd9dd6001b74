"""The compiled coder: made if there is a compiler, optional, and confined to its own memory."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import hesiod_watch
from hesiod_watch.fastq import coder

PACKAGE = Path(hesiod_watch.__file__).parent
SOURCES = [PACKAGE / "fastq" / name for name in ("coder.c", "scan.c")]
COMPILER = shutil.which("gcc") or shutil.which("cc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")

# Packs and scans random records of many shapes, from memory that ends where the data end.
STORM = """
import ctypes, random, sys, zlib
from pathlib import Path
import numpy as np
from hesiod_watch.fastq.coder import FastqCoder
coder, rng = FastqCoder(Path(sys.argv[1])), random.Random(5)
kinds = [b"ACGT", bytes(range(35, 73)), bytes(range(256)), b"A", b"@key=value 0123456789abcdef"]
for turn in range(300):
    text, stops = b"", []
    longest = rng.choice([3, 60, 700, 9_000, 140_000])
    for _ in range(rng.randint(1, 40 if longest < 10_000 else 4)):
        lines = []
        for line in range(4):
            kind = rng.choice(kinds)
            size = rng.choice([0, 1, 3, 99, 100, rng.randint(0, longest)])
            lines.append(bytes(kind[byte % len(kind)] for byte in rng.randbytes(size)))
        if plain := turn % 2:
            lines[1] = bytes(b"ACGT"[byte & 3] for byte in lines[1])
        header = len(text) + len(lines[0]) + 1
        stops.append((header, header + len(lines[1]), header + sum(map(len, lines[1:])) + 2))
        text += b"\\n".join(lines) + b"\\n"
    exact = (ctypes.c_char * len(text)).from_buffer_copy(text)
    view = memoryview(exact).cast("B")
    packed, found = bytes(coder.pack(view, np.array(stops), plain=bool(plain))), b""
    while packed:
        inflater = zlib.decompressobj(31)
        found += inflater.decompress(packed)
        packed = inflater.unused_data
    assert found == text, turn
    fields = ["ch=7", "qs:f:1.5", "st:Z:2024-05-01T00:00:00Z", "RG:Z:a", "start_time=", "ch", "="]
    text = b""
    for _ in range(rng.randint(1, 40)):
        header = "@id " + " ".join(rng.choices(fields, k=rng.randint(0, 9)))
        size = rng.choice([0, 1, 15, 16, 17, 60, rng.randint(0, 9_000)])
        bases, symbols = rng.choice([b"ACGT", b"ACGTN"]) * size, bytes(range(33, 127)) * size
        text += b"%s\\n%s\\n+\\n%s\\n" % (header.encode(), bases[:size], symbols[:size])
    text = text[: rng.choice([len(text), rng.randint(1, len(text))])]
    exact = (ctypes.c_char * len(text)).from_buffer_copy(text)
    scan = coder.scan(memoryview(exact).cast("B"))
    assert scan is None or len(scan.ends) == text.count(b"\\n") // 4, turn
print("whole")
"""


@needs_compiler
def test_the_coder_is_compiled() -> None:
    """Installing compiled the coder, and it works.

    Without this test every other test would silently run without the coder.
    """
    assert coder.CODER is not None, "install the program again: pip install --editable ."


@needs_compiler
def test_the_compiled_library_passes_its_own_test() -> None:
    """The library is tested each time that it is loaded, and the right one passes."""
    assert coder.load() is not None


def test_without_a_coder_outputs_have_equal_content(tmp_path: Path) -> None:
    """A copy of the package without the library writes outputs of equal content."""
    shutil.copytree(
        PACKAGE, tmp_path / "hesiod_watch", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    text = b"".join(
        b"@read%d\n%s\n+\n%s\n" % (n, b"GATTACA" * n, b"5:;<=>?" * n) for n in range(500)
    )
    (tmp_path / "a.fastq").write_bytes(text)
    program = (
        "import sys; from pathlib import Path\n"
        "from hesiod_watch.fastq import coder, ingest, model, sources\n"
        "from hesiod_watch.host.files import OpenDirectory\n"
        "source = sources.look(Path('a.fastq'), 'a.fastq')\n"
        "outputs = [model.Output('out', None, 'pass', (source,))]\n"
        "place, cell = Path('.'), OpenDirectory(Path('.'))\n"
        "with ingest.Ingest.open(place, cell, model.Settings(), owner={}, check_all=0) as one:\n"
        "    one.finish(outputs)\n"
        "print(coder.CODER, coder.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", str(tmp_path / "hesiod_watch" / "fastq" / "coder.py")]
    assert gzip.decompress((tmp_path / "out").read_bytes()) == text


# Wrong libraries in the place of the coder: how the C code is changed before it is compiled.
STRANGE = {
    "another library": ("size_t hesiod_pack(", "size_t another_program("),
    "a library without scan": ("int64_t hesiod_scan(", "int64_t another_scan("),
    "a mistake in bases counted": ("gc += sum(of_gc);", "gc += sum(of_at);"),
    "a mistake in errors": ("i + 8 <= size; i += 8", "i + 8 <= size; i += 9"),
    "a mistake in good qualities": ("some >= 33 + 20", "some > 33 + 20"),
    "a mistake in times": ("past / 400 - 477", "past / 400 - 478"),
    "a mistake in scores": ("rint(score * 1e6)", "rint(score * 1e5)"),
    "a mistake in models": ("model[0] = name[0], model[1]", "model[0] = name[1], model[1]"),
    "a mistake in bases": ("0x40100401u", "0x40100400u"),
    "a mistake in qualities": (
        "put_code(writer, codes[data[at]]);",
        "put_code(writer, codes[data[0]]);",
    ),
    "a mistake in repeats": ("unsigned more = length - 3;", "unsigned more = length - 4;"),
    "a mistake in frames": (
        "HEAD_BYTES + packed + TRAILER_BYTES - 1",
        "HEAD_BYTES + packed + TRAILER_BYTES",
    ),
}


def build(place: Path, *options: str, right: str = "", wrong: str = "") -> Path:
    """Compile as `place` with the suffix of compiled modules, with `wrong` instead of `right`."""
    library = place.with_name(place.name + EXTENSION_SUFFIXES[0])
    texts = {source: source.read_text() for source in SOURCES}
    assert not right or sum(text.count(right) for text in texts.values()) == 1
    for source, text in texts.items():
        (place.parent / source.name).write_text(text.replace(right, wrong) if right else text)
    copies = [place.parent / source.name for source in SOURCES]
    assert COMPILER is not None
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", *options, "-o", library, *copies, "-lm"], check=True
    )
    return library


@needs_compiler
@pytest.mark.parametrize("what", STRANGE)
def test_a_wrong_library_is_not_used(what: str, tmp_path: Path) -> None:
    """A library that is another one, or does not restore its sample, is not used."""
    right, wrong = STRANGE[what]
    build(tmp_path / "strange", right=right, wrong=wrong)
    assert coder.load(tmp_path / "strange") is None


def test_missing_or_invalid_library(tmp_path: Path) -> None:
    """A missing library, and a file that is not a library, give no coder."""
    assert coder.load(tmp_path / "nothing") is None
    (tmp_path / f"text{EXTENSION_SUFFIXES[0]}").write_text("no library")
    assert coder.load(tmp_path / "text") is None


@needs_compiler
@pytest.mark.slow
def test_it_accesses_only_its_own_memory(tmp_path: Path) -> None:
    """Every access and every sum is checked: no foreign memory, no undefined behaviour."""
    library = build(tmp_path / "watched", "-g", "-O1", "-fsanitize=address,undefined")
    assert COMPILER is not None
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(runtime).exists():
        pytest.skip("the compiler has no address sanitizer")
    done = subprocess.run(
        [sys.executable, "-c", STORM, str(library)],
        env={
            **os.environ,
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "halt_on_error=1",
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")


@needs_compiler
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    """Compiles with strict warnings under the standard of 2011."""
    options = (
        "-std=gnu11",
        "-O3",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
        "-Wpedantic",
        "-Werror",
    )
    build(tmp_path / "strict", *options)
