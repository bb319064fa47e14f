"""The site of the documents is built strictly, holds every page, loads nothing from elsewhere and is searched without a
server.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.web import chromium, launch

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src"} | {
    "embed": "src",
    "object": "data",
    "link": "href",
    "use": "href",
    "image": "href",
}
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
OF_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//[^)'\"\s;]*", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    if importlib.util.find_spec("material") is None:
        if os.environ.get("CI"):
            pytest.fail("mkdocs-material is not installed; .ci/run installs it")
        pytest.skip("needs mkdocs-material (constraints-docs.txt; `make docs` installs it)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """What a page loads: addresses of scripts, styles, fonts, pictures and frames."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "link" or given.get("rel") not in ("canonical", "next", "prev"):
            self.addresses += [value for name, value in attrs if name == LOADED.get(tag) and value]
        self.addresses += [part.strip() for part in (given.get("srcset") or "").split(",") if part.strip()]
        self.addresses += OF_STYLES.findall(given.get("style") or "")


def test_no_page_and_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    outside = {str(page.name): Loads(page.read_text()).addresses for page in pages}
    assert all(outside.values())
    assert not [(page, address) for page, loaded in outside.items() for address in loaded if ELSEWHERE.match(address)]
    styles = [*site.rglob("*.css"), *pages]
    assert not [
        (style.name, OF_STYLES.findall(style.read_text())) for style in styles if OF_STYLES.search(style.read_text())
    ]


def test_a_load_from_elsewhere_would_be_seen() -> None:
    page = (
        '<link rel="stylesheet" href="https://x.example/a.css"><img src="//x.example/i.png"><a'
        ' href="https://x.example">'
    )
    assert [bool(ELSEWHERE.match(address)) for address in Loads(page).addresses] == [True, True]
    assert OF_STYLES.search("@font-face{src:url(https://x.example/f.woff2)}")


def pages_of(entry: Any) -> Iterator[str]:
    """The pages that an entry of the navigation names."""
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(below)


def test_every_page_is_in_the_navigation_once() -> None:
    written = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    navigation = [*pages_of(written), *pages_of(hooks().decisions(DOCS))]
    assert sorted(navigation) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_blocks_and_lists_are_rendered_and_not_left_as_text(site: Path) -> None:
    for page in site.rglob("*.html"):
        shown = re.sub(r"<code.*?</code>", "", page.read_text(), flags=re.DOTALL)
        assert "```" not in shown, page
        assert not re.search(r"<p>[^<]*\n(?:- |\|)", shown), page


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("keep_firing_for", "reference/configuration.html"),
        ("interquartile", "reference/glossary.html"),
        ("systemd", "how-to/deploy.html"),
    ],
)
def test_the_search_index_knows_the_words_of_the_pages(site: Path, word: str, page: str) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert page in {entry["location"].split("#")[0] for entry in entries if word in entry["text"]}


def test_a_word_is_found_in_a_browser_without_a_server(site: Path) -> None:
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        page, requested_urls, page_errors = browser.new_page(), [], []
        page.on("request", lambda request: requested_urls.append(request.url))
        page.on("pageerror", lambda error: page_errors.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").click()
        page.get_by_role("textbox", name="Search").press_sequentially("interquartile")
        page.locator(".md-search-result__link[href*='glossary']").first.wait_for(timeout=20_000)
        browser.close()
    assert page_errors == []
    assert not [url for url in requested_urls if not url.startswith(("file:", "data:", "blob:", "about:"))]


def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_to_files_that_are_no_documents_become_their_paths() -> None:
    shown = hooks().without_outside_links
    assert shown("[the daemon](../../monitor/daemon.py#L3)", "how-to") == "the daemon (`monitor/daemon.py`)"
    assert shown("[README](../README.md) [here](be-told.md#channels)", "") == "`README.md` [here](be-told.md#channels)"


def test_what_belongs_to_a_list_item_is_indented_by_four_spaces() -> None:
    text = "1. one\n\n   ```\n   a\n     b\n   ```\n\n   more\n\n```\n  as it is\n```"
    assert hooks().four_spaces(text) == "1. one\n\n    ```\n    a\n      b\n    ```\n\n    more\n\n```\n  as it is\n```"
