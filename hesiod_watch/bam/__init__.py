"""The BAM format: read, check and measure sources, and write outputs of them.

BAM is BGZF around a header and binary records. An output grows like one of FASTQ: each source adds
whole BGZF blocks behind those of the source before it. `fastq` has the journal and the workers, and
calls this package for outputs whose name ends in `.bam`.

The modules, lowest first:

- `header`: the header's lines and references, and the union of several headers
- `records`: a stream of BAM in units of whole records; `tags`: the optional fields of a record
- `measure`: statistics of the reads, by the same code as for FASTQ
- `front`: the header of an output; `append`: sources to the end of one output
- `sorting`: the process that sorts and indexes; `complete`: the finished file, with the read groups
  of all sources, and sorted if its reads are aligned
"""
