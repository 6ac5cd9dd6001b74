"""Mail and chat by the library Apprise: a message is sent, and that is all that is ever known of
it.

There is no history in which a token could be looked for. So a message whose answer was lost is sent
again: it may come twice, never not at all. Its address holds passwords, therefore it comes from a
file that nobody else can read, and no part of it is ever in an error's text. The library is
optional: `pip install hesiod-watch[channels]`.
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
"""Characters; shorter parts of an address are words like `smtp`, or tell nobody anything."""
LONGEST_REASON = 300


class AppriseChannel:
    """One address. Keeps nothing between calls."""

    def __init__(self, name: str, url_file: Path) -> None:
        self.name = name
        self._url_file = url_file

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """See `Channel`. Every failure counts as temporary: the library does not tell them apart."""
        said = _Said()
        address = self._address()
        sender = self._sender(address)
        logger = logging.getLogger("apprise")
        logger.addHandler(said)
        try:
            sent = bool(
                sender.notify(
                    title=f"{ticket.subject}: {message.event}",
                    body=message.text,
                    body_format="text",
                )
            )
        finally:
            logger.removeHandler(said)
        if not sent:
            why = _without(address, "; ".join(said.sentences)) or "the library gives no reason"
            raise TemporaryError(f"{self.name}: not sent: {display(why[:LONGEST_REASON])}")
        return DeliveryReceipt(None)

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """See `Channel`. There is nothing to be kept."""
        return ""

    def check(self) -> tuple[bool | None, str]:
        """See `Channel`. Whether it arrives cannot be known without sending something."""
        try:
            self._sender(self._address())
        except PermanentError as error:
            return False, str(error)
        return None, f"{self.name}: its address is understood; nothing was sent to try it"

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
        # A message must not make it read files, expand escapes, or draw pictures.
        sender = apprise.Apprise(
            asset=apprise.AppriseAsset(app_id="hesiod-watch", interpret_emojis=False)
        )
        if not sender.add(address):
            raise PermanentError(
                f"{display(str(self._url_file))}: holds no address that Apprise understands"
            )
        return sender


class _Said(logging.Handler):
    """What the library says while it fails; it has no other way to give a reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


def _without(address: str, text: str) -> str:
    """`text` without anything that may be a secret of the address."""
    parts = sorted({address, *re.split(r"[/:@?&=#]+", address)}, key=len, reverse=True)
    for part in parts:
        if len(part) >= SHORTEST_SECRET:
            text = text.replace(part, "…")
    return text
