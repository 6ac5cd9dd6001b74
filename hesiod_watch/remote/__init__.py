"""Sequencers and backups: other hosts over ssh, and other mounts of this host.

Data on a sequencer are never changed. `sequencer.listing` lists its runs, `sequencer.copy_cell`
copies one cell and verifies that it is complete, `sequencer.checks` reports what prevents copying.
`sequencer.deletion_list` writes down which cells may be deleted there. `backup` copies cells to
backups and verifies the copies. All of them use a `directory.RemoteDirectory` at an
`endpoint.Endpoint`, which runs commands behind ssh or on this host. `rsync` makes and runs the
command that copies files, in any direction. `connection` shares one ssh connection per host.
Outside this package, `core.location` and `rules.run_names` name runs, `host.command` runs commands,
`rules.exit_codes` says what their exit codes mean, and `core.inventory` and `runs.cell_files` list
the files of a cell on either side.

Every name that comes from another host is hostile. Command lines contain only names that match the
grammar. File names are sent over standard input and output, separated by NUL.
"""
