"""Pages as a browser reads them, and hostile texts for them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "col", "wbr"})
EVIL = (
    "\u202e\"'><script>alert(1)</script></style></title><img src=x onerror=alert(1)>"
    "\x1b[2J\u2028&\udc80"
)


class Page(HTMLParser):
    """Parsed page; fails at the first tag that is closed in the wrong order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, int] = {}
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says {names} twice"
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace(" ,", ",")

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def with_hostile_texts(value: Any) -> Any:
    """Replace every string of the document, and every key that is a name on disk.

    The replacement is a hostile text.
    """
    if isinstance(value, dict):
        return {key: with_hostile_texts(item) for key, item in value.items()} | {
            EVIL: with_hostile_texts(EVIL)
        }
    if isinstance(value, list):
        return [with_hostile_texts(item) for item in value]
    return EVIL if isinstance(value, str) else value
