"""`backup-init`: initialise a backup directory, once and by hand."""

from __future__ import annotations

import argparse

from hesiod_watch.cli.common import config_of
from hesiod_watch.config import BackupPlaceSettings, Config
from hesiod_watch.core.errors import UsageError
from hesiod_watch.core.naming import display


def backup_init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes the marker hesiod-watch-backup.json with a random id into the directory. Refuses a"
        " directory that has a marker already, or that is on the same file system as `landing` or"
        " `output`."
    )
    parser.add_argument("backup", metavar="NAME", help="name of a backup in the configuration")
    parser.set_defaults(call=call_backup_init)


def call_backup_init(options: argparse.Namespace) -> int:
    from hesiod_watch.remote.backup.init import initialise_backup

    config = config_of(options)
    backup = backup_of(config, options.backup)
    identity = initialise_backup(backup, config)
    print(f"{backup.name}: {display(backup.location)} is a backup now, {identity}")
    return 0


def backup_of(config: Config, name: str) -> BackupPlaceSettings:
    """The configured backup of this name. Raises UsageError if none has it."""
    found = next((backup for backup in config.backups if backup.name == name), None)
    if found is None:
        names = ", ".join(backup.name for backup in config.backups) or "none"
        raise UsageError(f"{display(name)}: no such backup; there are: {names}")
    return found
