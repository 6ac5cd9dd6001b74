"""The data path: read each FASTQ source once and write durable, verified outputs.

The entry point is `ingest.Ingest`. It takes `model.Output`s (a final name and its sources in order)
in several calls. At the end it returns `model.Written`s (bytes, md5, reads, bases, statistics, one
`model.Piece` per source). `verify.verify` reads a written file back. `qc.qc_groups` turns
statistics into the numbers of `qc.json`, with `joint_figures` for two values of a read together.

The modules, lowest first. Only `sources` and `durable` open files, through `host.files`.

- `model` · `sources`, `durable`: values; files that are read, files that are written
- `gunzip`, `bgzf`, `blocks`: the parts of a gzip file
- `coder` (in C: `scan.c`, `coder.c`): FASTQ to figures and to BGZF
- `records`, `headers`: the parts of a FASTQ file · `compress`: FASTQ to BGZF
- `statistics`, `measure`, `packed_statistics`, `md5`, `malloc`, `readback`
- `formats`: FASTQ and BAM, by the ending of a name; the package `bam` has the second
- `append` (to the end of one output), `batch` (of several outputs) · `pool`, `worker`
- `journal`, `journal_state`, `checkpoint`, `output_set`: the record of what is durable
- `backlog`, `ingest`

This package does not know flags, runs or cells.
"""
