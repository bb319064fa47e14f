"""What the site needs beyond the Markdown that GitHub shows: mkdocs calls these functions (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
LIGHT_PICTURE = re.compile(r"!\[([^\]]*)\]\((\S+)-light\.png\)")


def on_config(config: Any, **_: Any) -> Any:
    """The configuration with the decisions at the end of the navigation, in their order."""
    config.nav.append({"Decisions": decisions(Path(config.docs_dir))})
    return config


def decisions(docs: Path) -> list[dict[str, str]]:
    """The pages of the decisions by their titles, the first line of each."""
    pages = sorted((docs / "decisions").glob("*.md"))
    return [{page.read_text(encoding="utf-8").splitlines()[0].lstrip("# "): f"decisions/{page.name}"} for page in pages]


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page as Python-Markdown and the site's two palettes need it."""
    return four_spaces(both_palettes(without_outside_links(markdown, posixpath.dirname(page.file.src_uri))))


def without_outside_links(markdown: str, folder: str) -> str:
    """Links to files of the project that are no documents become their text and path: the site does not hold them."""

    def shown(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        if target.startswith("docs/"):
            return link[0]
        text = link[1].strip("`")
        return f"`{target}`" if text in target else f"{text} (`{target}`)"

    return LINK.sub(shown, markdown)


def both_palettes(markdown: str) -> str:
    """A picture that ends in -light.png is shown in the light palette, the one in -dark.png in the dark one."""
    return LIGHT_PICTURE.sub(r"![\1](\2-light.png#only-light)![\1](\2-dark.png#only-dark)", markdown)


def four_spaces(markdown: str) -> str:
    """What belongs to a list item is indented by four spaces, which Python-Markdown asks for."""
    lines, fenced, shift = [], False, 0
    for line in markdown.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        if not fenced:
            shift = 4 - indent if indent in (2, 3) else 0
        if line.lstrip().startswith("```"):
            fenced = not fenced
        lines.append(" " * shift + line if line.strip() else line)
    return "\n".join(lines)
