"""Runs that are reached by rsync: on a sequencer over ssh, or on another mount of this host.

What lies there is never changed. `location` and `run_names` are the words: where, and what a run is
called here. `listing` asks what there is, `copying` brings one cell and proves that it has come
whole, `doctor` says what stands in the way. Below these: `ssh` and `transfer` make commands, as
tuples; `running` runs them; `exit_codes` says what their ends mean; `inventory` and `landed` see a
cell's files on either side.

Every name that comes from there is hostile. On a command line are only names that match the
grammar; names of files travel NUL-separated over standard input and output.
"""
