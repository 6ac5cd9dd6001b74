"""Plausible qc documents from formulas, without real data; equal calls give equal documents.

Lengths are log-normal, qualities are normal, the yield decreases as pores die, and the flow cell
contains a bubble.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b, md5
from itertools import pairwise
from typing import Any

STARTED = datetime(2026, 11, 19, 14, 5, 33, 421000, tzinfo=UTC)
HOURS = 72
BIN_SECONDS = 600

Json = dict[str, Any]


@cache
def noise(*what: object) -> float:
    """A pseudo-random number from 0 to 1 that depends only on the arguments."""
    return int.from_bytes(blake2b(repr(what).encode(), digest_size=4).digest()) / 0xFFFFFFFF


def below(value: float, mean: float, spread: float) -> float:
    """The part of a normal distribution below a value."""
    return 0.5 * (1 + math.erf((value - mean) / (spread * math.sqrt(2))))


def edges_up_to(longest: int) -> list[int]:
    """Edges of length classes: 20 to a decade, whole numbers, each once."""
    edges, power = [1], 1
    while edges[-1] <= longest:
        edge = round(10 ** (power / 20))
        if edge > edges[-1]:
            edges.append(edge)
        power += 1
    return edges


def group(
    reads: int,
    *,
    length: float = 6000,
    spread: float = 0.9,
    quality: float = 18.5,
    name: str = "",
    channels: int = 3000,
) -> Json:
    """A GROUP of `reads` reads around a typical length and quality."""
    if not reads:
        return empty_group()
    mu = math.log(length)
    edges = edges_up_to(int(math.exp(mu + 4.2 * spread)))
    per_class = []
    for low, high in pairwise(edges):
        part = below(math.log(high), mu, spread) - below(math.log(low), mu, spread)
        per_class.append(round(reads * part * (0.94 + 0.12 * noise(name, low))))
    if not any(per_class):  # only a few reads: all of them in the middle
        per_class[len(per_class) // 2] = reads
    bases = [
        round(count * math.sqrt(low * high))
        for count, low, high in zip(per_class, edges, edges[1:], strict=False)
    ]
    used = [index for index, count in enumerate(per_class) if count]
    first, last = used[0], used[-1]
    qualities = []
    for index in range(100):
        part = below(index / 2 + 0.5, quality, 2.6) - below(index / 2, quality, 2.6)
        qualities.append(round(reads * part * (0.94 + 0.12 * noise(name, "q", index))))
    q_used = [index for index, count in enumerate(qualities) if count] or [0]
    total = sum(bases)
    return {
        "reads": reads,
        "bases": total,
        "n50": _n50(edges, bases),
        "mean_length": total / reads,
        "median_length": round(length),
        "shortest": edges[first],
        "longest": edges[last + 1] - 1,
        "gc": 0.41 + 0.02 * noise(name),
        "mean_q": quality,
        "median_q": quality + 0.2,
        "mean_q_whole": quality - 0.9,
        "mean_q_skip60": quality,
        "mean_q_qs": None,
        "reads_q10": round(reads * (1 - below(10, quality, 2.6))),
        "reads_q15": round(reads * (1 - below(15, quality, 2.6))),
        "reads_q20": round(reads * (1 - below(20, quality, 2.6))),
        "bases_q20": 0.71,
        "bases_q30": 0.32,
        "length_histogram": {
            "edges": edges[first : last + 2],
            "reads": per_class[first : last + 1],
            "bases": bases[first : last + 1],
        },
        "quality_histogram": {
            "start": q_used[0] * 0.5,
            "width": 0.5,
            "reads": qualities[q_used[0] : q_used[-1] + 1],
            "bases": [
                round(count * total / reads) for count in qualities[q_used[0] : q_used[-1] + 1]
            ],
        },
        "yield": yields(reads, total),
        "channels": activity(reads, channels),
    }


def empty_group() -> Json:
    """A GROUP without a read."""
    undefined = [
        "n50",
        "mean_length",
        "median_length",
        "shortest",
        "longest",
        "gc",
        "mean_q",
        "median_q",
    ]
    undefined += ["mean_q_whole", "mean_q_skip60", "mean_q_qs", "bases_q20", "bases_q30"]
    return {
        "reads": 0,
        "bases": 0,
        **dict.fromkeys(undefined),
        **dict.fromkeys(("reads_q10", "reads_q15", "reads_q20"), 0),
        "length_histogram": {"edges": [], "reads": [], "bases": []},
        "quality_histogram": {"start": 0.0, "width": 0.5, "reads": [], "bases": []},
        "yield": {"start": None, "bin_seconds": BIN_SECONDS, "reads": [], "bases": []},
        "channels": {"active": 0, "reads": {}},
    }


def one_read() -> Json:
    """A GROUP of a single read of 812 bases."""
    return group(0) | {
        "reads": 1,
        "bases": 812,
        **dict.fromkeys(("n50", "mean_length", "median_length", "shortest", "longest"), 812),
        "gc": 0.5,
        **dict.fromkeys(("mean_q", "median_q", "mean_q_whole", "mean_q_skip60"), 12.3),
        "length_histogram": {"edges": [794, 891], "reads": [1], "bases": [812]},
        "quality_histogram": {"start": 12.0, "width": 0.5, "reads": [1], "bases": [812]},
        "yield": {
            "start": STARTED.isoformat(),
            "bin_seconds": BIN_SECONDS,
            "reads": [1],
            "bases": [812],
        },
        "channels": {"active": 1, "reads": {"1203": 1}},
    }


def _n50(edges: list[int], bases: list[int]) -> int:
    so_far = 0
    for low, high, amount in zip(edges[-2::-1], edges[:0:-1], reversed(bases), strict=True):
        so_far += amount
        if so_far * 2 >= sum(bases):
            return round(math.sqrt(low * high))
    return edges[0]


def yields(reads: int, bases: int) -> Json:
    bins = HOURS * 3600 // BIN_SECONDS
    weights = [
        math.exp(-index / (0.55 * bins)) * (0.35 if index % 9 == 8 else 1.0)
        for index in range(bins)
    ]
    whole = sum(weights)
    return {
        "start": (STARTED + timedelta(minutes=6)).isoformat(),
        "bin_seconds": BIN_SECONDS,
        "reads": [round(reads * weight / whole) for weight in weights],
        "bases": [round(bases * weight / whole) for weight in weights],
    }


PERIOD_SECONDS = 1800


def cell_group(reads: int, **how: Any) -> Json:
    """A GROUP of a whole cell, with figures over time; quality and N50 fall during the run."""
    found = group(reads, **how)
    quality, width = found["mean_q"], PERIOD_SECONDS // BIN_SECONDS
    counts = found["yield"]["reads"]
    counts = [sum(counts[at : at + width]) for at in range(0, len(counts), width)]
    last = len(counts) - 1
    return found | {
        "over_time": {
            "start": STARTED.replace(minute=0, second=0, microsecond=0).isoformat(),
            "bin_seconds": PERIOD_SECONDS,
            "reads": counts,
            "mean_q": [
                round(quality + 0.6 - 2.2 * (at / last) ** 2 + 0.5 * noise("q", at), 3)
                for at in range(len(counts))
            ],
            "n50": [
                round(found["n50"] * (1.1 - 0.25 * at / last + 0.06 * noise("n50", at)))
                for at in range(len(counts))
            ],
        },
        "length_quality": length_quality(found),
    }


def length_quality(found: Json) -> Json:
    """Reads by length and whole Q: short reads are poorer."""
    histogram, rows = found["length_histogram"], []
    for low, reads in zip(histogram["edges"], histogram["reads"], strict=False):
        mean = found["mean_q"] - 3 * math.exp(-low / 1500)
        shares = [below(q + 1, mean, 2.6) - below(q, mean, 2.6) for q in range(3, 32)]
        rows.append([round(reads * share) for share in shares])
    return {"edges": histogram["edges"], "start": 3, "width": 1, "reads": rows}


def activity(reads: int, channels: int) -> Json:
    found = {}
    for channel in range(1, channels + 1):
        place, row = divmod(channel - 1, 250)
        bubble = (place - 8.2) ** 2 / 1.4 + ((row // 10) - 7) ** 2 / 40 < 1
        life = (
            0.0
            if noise("dead", channel) < 0.13 or (bubble and noise("b", channel) < 0.9)
            else noise("x", channel)
        )
        count = round(2.1 * reads / channels * life**0.6)
        if count:
            found[str(channel)] = count
    return {"active": len(found), "reads": found}


def barcode(
    label: str | None,
    reads: int,
    *,
    length: float = 6000,
    quality: float = 18.5,
    failed: float = 0.08,
) -> Json:
    """One entry of "barcodes", split into pass and fail.

    It has few channels, because pages show only those of the cell.
    """

    def part(count: int, typical: float, mean_q: float) -> Json:
        return group(count, length=typical, quality=mean_q, name=str(label), channels=126)

    rejected = round(reads * failed)
    return {
        "barcode": label,
        "total": part(reads, length, quality - 1),
        "pass": part(reads - rejected, length, quality),
        "fail": part(rejected, length / 2.4, 7.4) if rejected else None,
        "skip": None,
    }


def sorted_by_bases(barcodes: list[Json]) -> list[Json]:
    return sorted(barcodes, key=lambda entry: -int(entry["total"]["bases"]))


def plate(wells: int) -> list[Json]:
    """Barcodes of a plate with a weak row, one failed well, and unclassified reads."""
    found = []
    for well in range(1, wells + 1):
        strength = (
            0.35 if well % 8 == 3 else 0.001 if well == 17 else 0.6 + 0.7 * noise("well", well)
        )
        reads = round(7_000_000 / wells * strength)
        found.append(
            barcode(
                f"barcode{well:02d}",
                reads,
                length=3000 + 1800 * noise("l", well),
                quality=17 + noise(well),
            )
        )
    found.append(barcode("unclassified", 210_000, length=1900, quality=13.5, failed=0.5))
    return sorted_by_bases(found)


def few_barcodes() -> list[Json]:
    """Six libraries, unclassified reads, and two unused barcodes."""
    amounts = {
        "barcode01": 1_420_000,
        "barcode02": 1_310_000,
        "barcode03": 980_000,
        "barcode04": 1_150_000,
    }
    amounts |= {"barcode05": 640_000, "barcode06": 121_000, "barcode11": 118, "barcode24": 41}
    found = [
        barcode(label, reads, length=5200 + 900 * noise(label)) for label, reads in amounts.items()
    ]
    found.append(barcode("unclassified", 388_000, length=2100, quality=14, failed=0.46))
    return sorted_by_bases(found)


def qc_document(**changes: Any) -> Json:
    """A PromethION cell of three days with six barcodes; `changes` replace top-level keys."""
    document: Json = {
        "format": "hesiod-watch qc 1",
        "program": "hesiod-watch 0.1.0",
        "made_at": "2026-11-22T14:31:07Z",
        "run": "20261119_PCA100290_soil_metagenomes",
        "library": "pool_3_spring",
        "cell": "20261119_1405_2F_PAW48211_c6ded78b",
        "flow_cell_id": "PAW48211",
        "position": "2F",
        "short_id": "c6ded78b",
        "state": "complete",
        "facts": {
            "instrument": "PCA100290",
            "position": "2F",
            "flow_cell_id": "PAW48211",
            "flow_cell_type": "FLO-PRO114M",
            "kit": "SQK-NBD114-24",
            "sample_id": "pool_3_spring",
            "protocol_group_id": "soil_metagenomes",
            "protocol": "sequencing/sequencing_PRO114_DNA_e8_2_400K:FLO-PRO114M:SQK-NBD114-24:400",
            "started": STARTED.isoformat(),
            "acquisition_stopped": (STARTED + timedelta(hours=HOURS, seconds=41)).isoformat(),
            "processing_stopped": (
                STARTED + timedelta(hours=HOURS, minutes=10, seconds=63)
            ).isoformat(),
            "basecalling_enabled": "1",
            "run_hours": HOURS,
            "basecall_models": ["dna_r10.4.1_e8.2_400bps_hac@v5.0.0"],
        },
        "completeness": {
            "verdict": "proven",
            "why": "the final summary is here and all counts agree",
            "shortfalls": [],
            "fallback": {},
        },
        "counts": {
            "fastq": {"announced": 1184, "found": 1184},
            "pod5": {"announced": 592, "found": 592},
        },
        "mean_q": {
            "rule": "skip60",
            "meaning": "arithmetic mean over reads of each read's mean error, "
            "without its first 60 bases (dorado's)",
        },
        "total": cell_group(6_010_000, length=5400, quality=17.6, name="cell"),
        "pass": cell_group(5_420_000, length=5900, quality=18.7, name="cell"),
        "fail": cell_group(590_000, length=2300, quality=7.6, spread=1.0, name="cell"),
        "skip": None,
        "barcodes": few_barcodes(),
        "outputs": [],
        "pores": [
            {"seconds": 200 + 5400 * index, "available": round(6800 * 0.95**index), "pores": 12_000}
            for index in range(48)
        ],
        "links": {
            "ont_report": "/lustre/promethion/prom_runs/soil/"
            "report_PAW48211_20261119_1408_c6ded78b.html"
        },
        "notes": ["3 empty source files"],
    } | changes
    document["outputs"] = changes.get("outputs", outputs(document))
    return document


def outputs(document: Json) -> list[Json]:
    """Files for every barcode and part that has reads."""
    stem = (
        f"{document['run']}_{document['library']}_{document['flow_cell_id']}_{document['short_id']}"
    )
    found = []
    for entry in document["barcodes"]:
        for part in ("pass", "fail"):
            numbers = entry.get(part)
            if numbers and numbers["reads"]:
                label = f"_{entry['barcode']}" if entry["barcode"] else ""
                file = f"{stem}{label}_{part}.fastq.gz"
                found.append(
                    {
                        "file": file,
                        "barcode": entry["barcode"],
                        "part": part,
                        "reads": numbers["reads"],
                        "bases": numbers["bases"],
                        "bytes": round(numbers["bases"] * 0.97),
                        "md5": md5(
                            file.encode("utf-8", "surrogatepass"), usedforsecurity=False
                        ).hexdigest(),
                        "sources": 74,
                    }
                )
    return found


def without_fastq(**changes: Any) -> Json:
    """A cell sequenced with basecalling off."""
    facts = qc_document()["facts"] | {"basecalling_enabled": "0"}
    facts.pop("basecall_models")
    return qc_document(
        **{
            "facts": facts,
            "counts": {
                "fastq": {"announced": 0, "found": 0},
                "pod5": {"announced": 592, "found": 592},
            },
            "mean_q": {"rule": "none", "meaning": ""},
            "total": empty_group(),
            "pass": None,
            "fail": None,
            "barcodes": [],
            "notes": [],
        }
        | changes
    )


def not_barcoded(**changes: Any) -> Json:
    """One sample on the whole flow cell."""
    document = qc_document()
    entry = {key: document[key] for key in ("total", "pass", "fail", "skip")} | {"barcode": None}
    return qc_document(**{"barcodes": [entry], "notes": []} | changes)


def all_failed() -> Json:
    """A cell of which no read passed."""
    failed = group(90_000, quality=6, name="f")
    return qc_document(barcodes=[], total=failed, **{"pass": None, "fail": failed})


def run_document(**changes: Any) -> Json:
    """A run of five cells in different stages."""
    first, second = (
        qc_document(),
        not_barcoded(library="pool_4_autumn", cell="20261119_1411_2G_PAW48390_01ab34ff"),
    )
    running = qc_document(
        library="pool_5_winter",
        cell="20261122_0931_1A_PAW50102_77aa0e12",
        state="running",
        total=group(812_000, name="r"),
        **{
            "pass": group(760_000, name="r"),
            "fail": group(52_000, quality=7.5, length=2000, name="r"),
        },
    )

    def cell(document: Json, stage: str, why: str, **more: object) -> Json:
        library, name = document["library"], document["cell"]
        page = f"{library}/{name}/report.html"
        return {
            "library": library,
            "cell": name,
            "stage": stage,
            "why": why,
            "page": page,
            "qc": document,
        } | more

    return {
        "run": "20261119_PCA100290_soil_metagenomes",
        "status": "processing_sync_needed",
        "status_why": "one cell is being processed; "
        "one cell waits to be fetched from the sequencer",
        "made_at": "2026-11-22T14:31:07Z",
        "program": "hesiod-watch 0.1.0",
        "covers": "0123456789abcdef",
        "cells": [
            cell(first, "processed", ""),
            cell(second, "processed", ""),
            cell(running, "incomplete", "still being written: no final summary yet"),
            cell(qc_document(library="pool_6", cell="20261122_0940_1B_PAW50177_99bb0e13"), "failed",
                 "3 of 69 FASTQ files missing since 2 h", page=None, qc=None),
            cell(qc_document(library="pool_1", cell="20261118_1802_2F_PAW40001_5500aa13"),
                 "aborted", "disregarded by K. Miller: wrong sample loaded", page=None, qc=None),
        ],
        "quarantined": [
            {
                "name": "pool 7;rm -rf",
                "why": 'the name contains ";"; allowed are letters and digits',
            }
        ],
    } | changes  # fmt: skip
