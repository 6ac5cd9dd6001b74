"""The configuration: found, read, checked and turned into frozen values before anything else happens.

`values` says what can be configured, `reading` how one kind of value is written in YAML, `loading` where the file
is looked for. Nothing here asks whether a directory exists: a mount that is away for a minute is no mistake in the
configuration. There are no secrets in the file and no values that are code.
"""

from hesiod_watch.config.loading import SYSTEM_FILE, load, parse, sample
from hesiod_watch.config.notify import TRACKER, ChannelSettings, Notify, TrackerSettings
from hesiod_watch.config.values import (
    Backup,
    BackupSettings,
    Config,
    Processing,
    Reports,
    RunType,
    Strip,
    Upstream,
    WatchSettings,
)

__all__ = [
    "SYSTEM_FILE",
    "TRACKER",
    "Backup",
    "BackupSettings",
    "ChannelSettings",
    "Config",
    "Notify",
    "Processing",
    "Reports",
    "RunType",
    "Strip",
    "TrackerSettings",
    "Upstream",
    "WatchSettings",
    "load",
    "parse",
    "sample",
]
