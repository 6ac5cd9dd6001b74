"""Hints: something may have happened in this run, so look at it.

    inotify     events of this host's kernel
    sweep       modification times of directories, read again and again
    watcher     both together, and the decision which of them can be trusted
    listings    runs that the upstreams list
    counters    numbers of events and sweeps

A hint never says what happened. A lost hint costs time, never a cell, because its receiver reads
the disk itself. No module here reads a data file, and no directory that contains data files is
watched.
"""
