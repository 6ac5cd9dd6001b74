"""The data path: once over each FASTQ source, from reading to fsynced output.

`write.write_outputs` is the door: it takes `model.Output`s (a final name and its sources in order) and gives
`model.Written`s (bytes, md5, reads, bases, statistics, and one `model.Piece` per source). `verify.verify` reads a
written file back; `qc.qc_groups` turns statistics into the numbers of `qc.json`.

Inside, low to high: `model` · `files` (the only module that opens anything, and translates errors) · `records` and
`headers` (what a FASTQ is) · `gunzip`, `bgzf` (what a gzip file is) · `statistics`, `measure` · `append` (one source to
the end of one output) · `write`, `worker` · `verify`. Nothing here knows flags, runs or cells.
"""
