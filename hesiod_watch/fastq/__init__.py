"""The data path: once over each FASTQ source, from reading to what a journal says is durable and
verified.

`ingest.Ingest` is the door: it takes `model.Output`s (a final name and its sources in order) in
rounds, and at the end gives `model.Written`s (bytes, md5, reads, bases, statistics, one
`model.Piece` per source). `write.write_outputs` is the same in one go. `verify.verify` reads a
written file back; `qc.qc_groups` turns statistics into the numbers of `qc.json`.

Inside, low to high: `model` · `files`, `durable` (what is read, what is written; the only modules
that open anything, and translate errors) · `records` and `headers` (what a FASTQ is) · `gunzip`,
`bgzf`, `blocks` (what a gzip file is) · `coder` (in C) and `compress` (of the one, the other) ·
`statistics`, `measure`, `compact` · `md5`, `memory` · `recheck` · `append` (to the end of one
output), `batch` (of several) · `pool`, `worker` · `journal`, `book`, `checkpoint`, `holdings` (what
is durable) · `backlog`, `ingest`. Nothing here knows flags, runs or cells.
"""
