"""The configuration: found, read, checked and turned into frozen values before anything else
happens.

`values` says what can be configured, `reading` how one kind of value is written in YAML, `loading`
where the file is looked for. Nothing here asks whether a directory exists: a mount that is away for
a minute is no mistake in the configuration. There are no secrets in the file and no values that are
code.
"""

from hesiod_watch.config.loading import SYSTEM_FILE, load, parse, sample
from hesiod_watch.config.notify import TRACKER, ChannelSettings, NotifySettings, TrackerSettings
from hesiod_watch.config.values import (
    BackupPlaceSettings,
    BackupSettings,
    Config,
    ProcessingSettings,
    ReportSettings,
    RunTypeSettings,
    StripSettings,
    UpstreamSettings,
    WatchSettings,
)

__all__ = [
    "SYSTEM_FILE",
    "TRACKER",
    "BackupPlaceSettings",
    "BackupSettings",
    "ChannelSettings",
    "Config",
    "NotifySettings",
    "ProcessingSettings",
    "ReportSettings",
    "RunTypeSettings",
    "StripSettings",
    "TrackerSettings",
    "UpstreamSettings",
    "WatchSettings",
    "load",
    "parse",
    "sample",
]
