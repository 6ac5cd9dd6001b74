"""Directory `pipeline/` of an open run, which may not exist yet."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hesiod_watch.core.errors import PermanentError
from hesiod_watch.core.system_errors import DirectoryExchanged, translate
from hesiod_watch.host.files import OpenDirectory
from hesiod_watch.runs.flags import names
from hesiod_watch.runs.flags.flag_files import FlagContent, read


class Pipeline(OpenDirectory):
    """`pipeline/` of a run: opened at its first use, relative to the open run, and then kept."""

    def __init__(self, run: OpenDirectory) -> None:
        super().__init__(run.path / names.PIPELINE, run)
        self.run = run

    def require_present(self) -> None:
        """Check that the run still has this directory. Raises PermanentError, OSError."""
        found = os.stat(names.PIPELINE, dir_fd=self.run.descriptor, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise PermanentError(
                f"{self}: is a symlink; flags are kept in a real directory of the run"
            )
        if not os.path.samestat(found, os.fstat(self.descriptor)):
            raise DirectoryExchanged(self.path)

    def read(self, name: str) -> FlagContent:
        """Read a file in it, as `flag_files.read` does. Raises OSError."""
        return read(self.descriptor, name)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name. Raises TemporaryError, PermanentError."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translate(error, f"cannot read {self / name}") from error
        return True

    def status(self, name: str = "") -> os.stat_result:
        """Status of a name in it, without following links. Raises OSError."""
        if not name:
            return super().status()
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)


class SitePipeline(Pipeline):
    """Directory `.hesiod-watch` of the output area: the messages of the site, as those of a run."""

    def __init__(self, output: Path) -> None:
        OpenDirectory.__init__(self, output / names.SITE, output)
        self.run = self

    def require_present(self) -> None:
        self.require_in_place()
