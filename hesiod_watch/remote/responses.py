"""Responses of fixed scripts that run on another host, or the error that explains a failure."""

from __future__ import annotations

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.inventory import MalformedResponse, records
from hesiod_watch.host.command import CommandResult
from hesiod_watch.rules.exit_codes import judge_query


def read_response(who: str, ended: CommandResult) -> tuple[list[bytes], int]:
    """Records of a response, and the exit code of the script; `who` names the host in errors.

    Raises TemporaryError if there is no response or a retry may help, PermanentError if it needs a
    person.
    """
    if ended.why:
        raise TemporaryError(f"{who} does not answer: {ended.why}")
    try:
        return records(ended.output)
    except MalformedResponse as error:
        judgement = judge_query(ended.code, ended.errors)
        sentence = f"{who}: {error}{'; ' + judgement.why if judgement.why else ''}"
        raise (
            PermanentError(sentence) if judgement.outcome == "failed" else TemporaryError(sentence)
        ) from error
