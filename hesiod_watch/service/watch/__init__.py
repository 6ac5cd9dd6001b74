"""Hints: something may have happened in this run, look at it.

    landing     the shape of the landing area: which directories are runs, libraries and cells
    mounts      the kind of file system it lies on, which decides whether events can be believed
    inotify     events of this host's kernel
    sweep       modification times of directories, looked at again and again
    watching    both together, and the judgement which of them is to be trusted

A hint never says what happened. Losing one costs time, never a cell: whoever gets it looks for
himself. Nothing in here reads a data file, and no directory that holds data files is watched.
"""
