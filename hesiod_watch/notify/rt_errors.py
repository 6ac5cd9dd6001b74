"""What an answer of Request Tracker means, or its absence: again later, or a person is needed; and
what to do.

The package `rt` tells failures by exceptions of four families: `RtError`; `OSError`, with what the
connection said as its cause; `ValueError`, where the answer is no JSON; and where it is JSON of
another shape, whatever taking it apart raises. To be imported late.
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
"""HTTP statuses below 500 that go away by themselves."""
SAID_LENGTH = 200


@contextmanager
def translated(asked: str, *, forbidden: str = "", missing: str = "") -> Iterator[None]:
    """Make TemporaryError or PermanentError of what a call of `rt` raises.

    `asked` says what was attempted. `forbidden` and `missing` say what 403 and 404 mean for it,
    where that is known.
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
        raise PermanentError(f'{asked}: it refuses: "{said(str(error))}"') from error
    except rt.exceptions.UnexpectedResponseError as error:
        raise _of_status(asked, error, forbidden) from error
    except (OSError, httpx2.HTTPError) as error:
        raise _of_connection(asked, error) from error
    except (rt.exceptions.RtError, ValueError, LookupError, TypeError, AttributeError) as error:
        told = "the answer is none of RT's: a page of a proxy, or of maintenance?"
        raise TemporaryError(f"{asked}: {told}") from error


def said(words: str) -> str:
    """What RT said, made safe and short."""
    words = display(" ".join(words.split()))
    return words if len(words) <= SAID_LENGTH else words[:SAID_LENGTH] + "…"


def _of_status(
    asked: str, error: rt.exceptions.UnexpectedResponseError, forbidden: str
) -> HesiodError:
    status = error.status_code
    if status is None:
        return TemporaryError(f"{asked}: the answer is not what it should be: {said(str(error))}")
    if status >= 500 or status in AGAIN:
        return TemporaryError(f"{asked}: it fails ({status}); its own log says why")
    if 300 <= status < 400:
        return PermanentError(
            f"{asked}: it sends us elsewhere ({status}); check the url, http or https, and any login before it"
        )
    if status == 407:
        return PermanentError(
            f"{asked}: the proxy wants to know who we are (407); put user and password into its url"
        )
    if status == 413:
        return PermanentError(
            f"{asked}: the text is too long for what stands before RT (413); allow requests of 2 MB"
        )
    if status == 403 and forbidden:
        return PermanentError(f"{asked}: {forbidden} (403)")
    return PermanentError(f'{asked}: it refuses ({status}): "{said(error.response_message or "")}"')


def _of_connection(asked: str, error: Exception) -> HesiodError:
    chain = list(_causes(error))
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            told = f"its certificate is not trusted: {said(each.verify_message)}; renew it, or set ca_bundle"
            return PermanentError(f"{asked}: {told}")
    if any(isinstance(each, httpx2.TimeoutException) for each in chain):
        return TemporaryError(f"{asked}: no answer in time")
    if any(isinstance(each, httpx2.UnsupportedProtocol) for each in chain):
        return PermanentError(f"{asked}: the url should begin with https:// or http://")
    last = said(str(chain[-1])) or type(chain[-1]).__name__
    if any(isinstance(each, httpx2.ProxyError) for each in chain):
        return TemporaryError(f"{asked}: the proxy does not let us through: {last}")
    return TemporaryError(f"{asked}: the connection fails: {last}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, the cause of all last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
