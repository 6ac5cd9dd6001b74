"""Directory of a sequencer or a backup: query, list and checksum files below it.

Queries are fixed scripts; only their arguments and their standard input vary. Checksums are
computed where the data are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

from hesiod_watch.core import inventory
from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import HostileName, Inventory, MalformedResponse
from hesiod_watch.core.location import Location
from hesiod_watch.remote.endpoint import Endpoint
from hesiod_watch.rules.exit_codes import error_of, judge_query, last_line

_Answer = TypeVar("_Answer")


class QueryResponse(NamedTuple):
    """Complete response of a query: its records, its exit code and its error output."""

    records: Sequence[bytes]
    code: int
    errors: str


@dataclass
class RemoteDirectory:
    """Directory at an endpoint.

    Every method raises TemporaryError if a retry may help, PermanentError if it needs a person.
    """

    CHECKSUMS: ClassVar[str] = inventory.CHECKSUMS

    endpoint: Endpoint
    location: Location

    def query(
        self,
        script: str,
        directory: str = "",
        *arguments: str,
        given: bytes = b"",
        patience: float = 0.0,
    ) -> QueryResponse:
        """Run a script in `directory`, which is relative to this one."""
        where = "/".join(filter(None, (self.location.path, directory)))
        ended = self.endpoint.run(
            (*inventory.question(script, where), *arguments), given=given, patience=patience
        )
        if ended.why:
            raise TemporaryError(
                f"{self} does not answer: {ended.why}{self.endpoint.advice(ended)}"
            )
        try:
            return QueryResponse(*inventory.records(ended.output), ended.errors)
        except MalformedResponse as error:
            judgement = judge_query(ended.code, ended.errors)
            why = judgement.why or "the command ended without an error"
            raise error_of(
                judgement, f"{self}: {error}; {why}{self.endpoint.advice(ended)}"
            ) from error

    def inventory(self, directory: str) -> Inventory:
        """All entries of a directory at this moment."""
        response = self.query(inventory.FILES, directory)
        # An entry that disappears during this listing is missing in the next one.
        bad = [
            line
            for line in response.errors.splitlines()
            if not line.endswith("No such file or directory")
        ]
        if bad or not response.records:
            part = " in full" if response.records else ""
            said = last_line("\n".join(bad) or response.errors)
            raise TemporaryError(f"{self}/{directory} cannot be read{part}: {said}")
        return self.read(inventory.read_files, response.records)

    def checksums(self, directory: str, sizes: Mapping[str, int]) -> dict[str, str]:
        """MD5 of files by name, read from their disk; an unreadable file has none.

        `sizes` has the size of each file, in bytes. Only regular files may be named.
        """
        if not sizes:
            return {}
        response = self.query(
            self.CHECKSUMS,
            directory,
            given=inventory.names_given(sizes),
            patience=inventory.longest_silence(list(sizes.values())),
        )
        return self.read(inventory.read_checksums, response.records)

    def read(
        self, reader: Callable[[Sequence[bytes]], _Answer], records: Sequence[bytes]
    ) -> _Answer:
        """Read records; the errors of `reader`, also MalformedResponse, get this place's name."""
        try:
            return reader(records)
        except (HostileName, PermanentError) as error:
            raise PermanentError(f"{self}: {error}") from error
        except (MalformedResponse, TemporaryError) as error:
            raise TemporaryError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"{self.endpoint.prefix}{self.location}"
