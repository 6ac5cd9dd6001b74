"""Errors of Request Tracker, translated: retry later, or a person is needed, and what to do.

The package `rt` reports failures with four kinds of exceptions:

- `RtError`;
- `OSError`, with the error of the connection as its cause;
- `ValueError`, if the answer is not JSON;
- any error raised while parsing it, if the answer is JSON of another shape.

Import this module late.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import rt.exceptions

from hesiod_watch.core.errors import HesiodError, PermanentError, TemporaryError
from hesiod_watch.core.naming import display

AGAIN = {408, 425, 429}
"""HTTP statuses below 500 that pass without help."""
LONGEST_QUOTE = 200
"""Characters of RT's own text that an error shows."""


@contextmanager
def translated(asked: str, *, forbidden: str = "", missing: str = "") -> Iterator[None]:
    """Translate the exceptions of a call of `rt` to TemporaryError or PermanentError.

    `asked` says what was attempted. `forbidden` and `missing` say what 403 and 404 mean for it, if
    that is known.
    """
    try:
        yield
    except HesiodError:
        raise
    except rt.exceptions.AuthorizationError as error:
        raise PermanentError(
            f"{asked}: it refuses our credentials (401); check the token, or user and password"
        ) from error
    except rt.exceptions.NotFoundError as error:
        nothing = (
            "nothing is there (404); check the url: https://host/REST/2.0/, with RT 5 behind it"
        )
        raise PermanentError(f"{asked}: {missing or nothing}") from error
    except rt.exceptions.BadRequestError as error:
        raise PermanentError(f'{asked}: it refuses: "{_quote(str(error))}"') from error
    except rt.exceptions.UnexpectedResponseError as error:
        raise _status_error(asked, error, forbidden) from error
    except (OSError, httpx2.HTTPError) as error:
        raise _connection_error(asked, error) from error
    except (rt.exceptions.RtError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = "not an RT response (proxy or maintenance page?)"
        raise TemporaryError(f"{asked}: {reason}") from error


def _quote(text: str) -> str:
    """RT's own text on one line, safe to show and shortened."""
    text = display(" ".join(text.split()))
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def _status_error(
    asked: str, error: rt.exceptions.UnexpectedResponseError, forbidden: str
) -> HesiodError:
    status = error.status_code
    if status is None:
        return TemporaryError(f"{asked}: the answer is not as expected: {_quote(str(error))}")
    if status >= 500 or status in AGAIN:
        return TemporaryError(f"{asked}: it fails ({status}); see its own log")
    if 300 <= status < 400:
        return PermanentError(
            f"{asked}: it redirects us ({status});"
            " check the url, http or https, and any login before RT"
        )
    if status == 407:
        return PermanentError(
            f"{asked}: the proxy wants to know who we are (407); put user and password into its url"
        )
    if status == 413:
        return PermanentError(
            f"{asked}: the text is too long for the server before RT (413); allow requests of 2 MB"
        )
    if status == 403 and forbidden:
        return PermanentError(f"{asked}: {forbidden} (403)")
    return PermanentError(
        f'{asked}: it refuses ({status}): "{_quote(error.response_message or "")}"'
    )


def _connection_error(asked: str, error: Exception) -> HesiodError:
    chain = list(_causes(error))
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return PermanentError(
                f"{asked}: its certificate is not trusted: {_quote(each.verify_message)};"
                " renew it, or set ca_bundle"
            )
    if any(isinstance(each, httpx2.TimeoutException) for each in chain):
        return TemporaryError(f"{asked}: no answer in time")
    if any(isinstance(each, httpx2.UnsupportedProtocol) for each in chain):
        return PermanentError(f"{asked}: the url should begin with https:// or http://")
    last = _quote(str(chain[-1])) or type(chain[-1]).__name__
    if any(isinstance(each, httpx2.ProxyError) for each in chain):
        return TemporaryError(f"{asked}: the proxy does not let us through: {last}")
    return TemporaryError(f"{asked}: the connection fails: {last}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
