"""Configured channels, ready for use; the only table of the kinds of channels.

Opening a channel reads secrets and may fail. A channel is therefore opened when it is used, and
that use raises the error. A channel that cannot be opened does not affect the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hesiod_watch.config import TRACKER, ChannelSettings, Config
from hesiod_watch.core.errors import HesiodError, PermanentError
from hesiod_watch.core.messages import Channel, Delivery, DeliveryReceipt, TicketRequest
from hesiod_watch.host.credentials import read_credentials
from hesiod_watch.notify.apprise_channel import AppriseChannel
from hesiod_watch.notify.rt_channel import RtChannel


@dataclass
class LazyChannel:
    """A channel that is opened at each use, so that an error is raised there."""

    name: str
    make: Callable[[], Channel]

    def deliver(
        self, ticket: TicketRequest, known: int | None, message: Delivery
    ) -> DeliveryReceipt:
        """See `Channel`; also raises PermanentError if its secrets cannot be read."""
        return self.make().deliver(ticket, known, message)

    def keep(self, ticket: TicketRequest, known: int) -> str:
        """See `Channel`."""
        return self.make().keep(ticket, known)

    def check(self) -> tuple[bool | None, str]:
        """See `Channel`."""
        try:
            return self.make().check()
        except HesiodError as error:
            return False, str(error)


def open_channels(config: Config) -> dict[str, Channel]:
    """The configured channels by name, in the order in which they are used."""
    channels: dict[str, Channel] = {}
    if config.notify.rt.url:
        channels[TRACKER] = LazyChannel(TRACKER, partial(_open_tracker, config))
    for settings in config.notify.channels:
        channels[settings.name] = LazyChannel(settings.name, partial(_open_chat, settings))
    return channels


def _open_tracker(config: Config) -> Channel:
    settings = config.notify.rt
    if settings.credentials is None:
        raise PermanentError("notify.rt.credentials is not configured")
    credentials = read_credentials(settings.credentials)
    queues = dict.fromkeys(
        [settings.queue, *(each.queue for each in config.types if each.queue and each.notify)]
    )
    return RtChannel(
        settings.url,
        token=credentials.token,
        user=credentials.user,
        password=credentials.password,
        ca_bundle=settings.ca_bundle,
        proxy=settings.proxy,
        timeout=settings.timeout,
        queues=tuple(queues),
    )


def _open_chat(settings: ChannelSettings) -> Channel:
    if settings.url_file is None:
        raise PermanentError(f"notify.channels.{settings.name}.url_file is not configured")
    return AppriseChannel(settings.name, settings.url_file)
