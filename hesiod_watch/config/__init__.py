"""Configuration: found, read, checked and converted to frozen values before any other work.

`values` defines what can be configured, `reading` how each kind of value is written in YAML,
`loading` where the file is searched. This package does not check whether a directory exists: a
mount that is missing for a minute is not an error in the configuration. The file contains no
secrets and no code.
"""

from hesiod_watch.config.loading import load, parse, sample, working_directory
from hesiod_watch.config.notify import TRACKER, ChannelSettings, TrackerSettings
from hesiod_watch.config.take_up_settings import TakeUpSettings
from hesiod_watch.config.values import (
    BackupPlaceSettings,
    Config,
    EndpointSettings,
    ProcessingSettings,
    RunTypeSettings,
    UpstreamSettings,
)
