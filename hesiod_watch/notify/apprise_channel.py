"""Mail and chat channel through the library Apprise; it cannot look up sent messages.

Mail and chat have no history that can be searched for a token. A message whose answer was lost is
therefore sent again: it may arrive twice, but it is never lost. The address contains passwords, so
it comes from a file that no other user can read, and no error text contains any part of it. The
library is optional: `pip install hesiod-watch[channels]`.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from hesiod_watch.core.errors import PermanentError, TemporaryError
from hesiod_watch.core.messages import Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.core.naming import display
from hesiod_watch.host.credentials import private_text

SHORTEST_SECRET = 4
"""Characters. Shorter parts of an address are words like `smtp`, or reveal nothing."""
LONGEST_REASON = 300
"""Characters of the library's own reason that an error shows."""


class AppriseChannel:
    """A channel for one address. It keeps no state between calls."""

    def __init__(self, name: str, url_file: Path) -> None:
        self.name = name
        self._url_file = url_file

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """See `Channel`. Every failure is temporary: the library does not distinguish them."""
        warnings = _WarningHandler()
        address = self._address()
        sender = self._sender(address)
        logger = logging.getLogger("apprise")
        logger.addHandler(warnings)
        try:
            sent = bool(
                sender.notify(
                    title=f"{ticket.subject}: {message.event}",
                    body=message.text,
                    body_format="text",
                )
            )
        finally:
            logger.removeHandler(warnings)
        if not sent:
            reason = _redact(address, "; ".join(warnings.texts)) or "the library gives no reason"
            raise TemporaryError(f"{self.name}: not sent: {display(reason[:LONGEST_REASON])}")
        return DeliveryReceipt(None)

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """See `Channel`. Mail and chat have no ticket to update."""
        return ""

    def check(self) -> tuple[bool | None, str]:
        """See `Channel`. Only sending a message could show whether one arrives."""
        try:
            self._sender(self._address())
        except PermanentError as error:
            return False, str(error)
        return None, f"{self.name}: Apprise understands its address; nothing was sent to test it"

    def _address(self) -> str:
        try:
            text = private_text(self._url_file)
        except OSError as error:
            raise PermanentError(
                f"{display(str(self._url_file))}: cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:
            raise PermanentError(f"{display(str(self._url_file))}: {error}") from None
        lines = [line.strip() for line in text.splitlines()]
        addresses = [line for line in lines if line and not line.startswith("#")]
        if len(addresses) != 1:
            raise PermanentError(
                f"{display(str(self._url_file))}: should hold one address, on one line"
            )
        return addresses[0]

    def _sender(self, address: str) -> Any:
        try:
            import apprise
        except ImportError:
            wanted = "pip install 'hesiod-watch[channels]'"
            raise PermanentError(
                f"{self.name}: the library Apprise is not installed: {wanted}"
            ) from None
        # A message must not make Apprise read files, expand escapes or draw pictures.
        sender = apprise.Apprise(
            asset=apprise.AppriseAsset(app_id="hesiod-watch", interpret_emojis=False)
        )
        if not sender.add(address):
            raise PermanentError(
                f"{display(str(self._url_file))}: holds no address that Apprise understands"
            )
        return sender


class _WarningHandler(logging.Handler):
    """Collects the library's warnings, its only way to give the reason of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _redact(address: str, text: str) -> str:
    """Replace every part of `text` that may be a secret of the address."""
    parts = sorted({address, *re.split(r"[/:@?&=#]+", address)}, key=len, reverse=True)
    for part in parts:
        if len(part) >= SHORTEST_SECRET:
            text = text.replace(part, "…")
    return text
