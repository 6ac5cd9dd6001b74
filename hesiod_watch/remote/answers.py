"""What came of a question that was asked of another host: its answer, or the error that says why
there is none.
"""

from __future__ import annotations

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import MalformedResponse, records
from hesiod_watch.host.command import CommandResult
from hesiod_watch.rules.exit_codes import judge_question


def answered(who: str, ended: CommandResult) -> tuple[list[bytes], int]:
    """The records of an answer, and the exit code of what gave them. `who` was asked, as messages
    are to call it.

    Raises TemporaryError where nothing came or a later answer may be better, PermanentError where
    it needs a person.
    """
    if ended.why:
        raise TemporaryError(f"{who} does not answer: {ended.why}")
    try:
        return records(ended.output)
    except MalformedResponse as error:
        ending = judge_question(ended.code, ended.errors)
        sentence = f"{who}: {error}{'; ' + ending.why if ending.why else ''}"
        raise (
            PermanentError(sentence) if ending.outcome == "failed" else TemporaryError(sentence)
        ) from error
