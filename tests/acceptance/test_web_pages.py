"""The pages in a real browser: from an alert to its cause, actions of users, no request to other servers,
accessibility.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import Project
from tests.web import CATEGORY, PASSWORD, SCRIPT, SECRET, Served, chromium, launch, served


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    with served(history) as service:
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


class Watched:
    """A tab that records the errors of its console and the addresses that it requests."""

    def __init__(self, browser: Any, site: Served, **options: Any) -> None:
        self.context = browser.new_context(base_url=site.url, viewport={"width": 1200, "height": 900}, **options)
        self.page, self.console_messages, self.requested_urls = self.context.new_page(), [], []
        self.page.on(
            "console",
            lambda message: (
                self.console_messages.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        self.page.on("pageerror", lambda error: self.console_messages.append(str(error)))
        self.page.on("request", lambda request: self.requested_urls.append(request.url))
        self.site = site

    def is_clean(self) -> None:
        """The console shows no error, and no other server was requested."""
        assert self.console_messages == []
        outside = [
            url for url in self.requested_urls if not url.startswith((self.site.url, "data:", "blob:", "about:"))
        ]
        assert outside == []
        assert self.page.title() != "taken"


@pytest.fixture
def tab(browser: Any, site: Served) -> Iterator[Watched]:
    opened = Watched(browser, site)
    yield opened
    opened.context.close()


@pytest.mark.long
def test_from_an_alert_to_its_cause_and_back_to_taking_it_on(tab: Watched) -> None:
    page = tab.page
    page.goto("/")
    page.get_by_role("link", name="churn").first.click()
    page.wait_for_selector(".js-plotly-plot")
    page.go_back()
    page.get_by_role("link", name="Alerts", exact=True).click()
    page.get_by_role("link", name="performance: ").first.click()
    assert "worse" in page.inner_text("main")
    page.get_by_role("link", name="The window that triggered it").click()
    assert "Findings" in page.inner_text("main")
    page.get_by_role("button", name="Show the report here").click()
    frame = page.wait_for_selector("iframe")
    inside = frame.content_frame()
    inside.wait_for_load_state("load", timeout=90_000)
    assert len(inside.content()) > 100_000
    page.go_back()
    page.fill("input[name=note]", f"on it {SCRIPT}")
    page.fill("input[name=for]", "2d")
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    assert "acknowledged" in page.inner_text("main .facts >> nth=0")
    assert f"on it {SCRIPT}" in page.inner_text("main")
    page.get_by_role("button", name="Unacknowledge").click()
    tab.is_clean()


def test_the_first_screen_says_what_is_wrong_since_when_why_and_what_to_do(tab: Watched) -> None:
    page, alert = tab.page, tab.site.ids()["alert"]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/")
    first = page.locator("h2:has-text('Needs attention') + ul li").first
    assert "churn: ROC AUC is" in first.inner_text()
    assert "not acknowledged" in first.inner_text()
    page.goto(f"/alerts/{alert}")
    page.wait_for_selector("[data-plot=curve].js-plotly-plot")
    page.wait_for_selector(".causes .js-plotly-plot")
    parts = [
        "h1:has-text('ROC AUC is')",
        ".facts:has-text('since')",
        "h2:has-text('Next step')",
        "a:has-text('Acknowledge')",
        "[data-plot=curve]",
        ".causes .finding >> nth=0",
        ".causes .plot >> nth=0",
    ]
    for part in parts:
        box = page.locator(part).first.bounding_box()
        assert box["y"] + min(box["height"], 200) <= 900, (part, box)
    tab.is_clean()


def test_plots_over_time_show_the_same_span(tab: Watched) -> None:
    page = tab.page
    page.goto("/monitors/churn")
    assert page.locator("a.tile", has_text="30 d").get_attribute("href").startswith("?start=20")
    page.locator("a.tile", has_text="all").click()
    for plot in ("performance", "drift", "volume"):
        page.locator(f"[data-plot={plot}]").scroll_into_view_if_needed()
        page.wait_for_selector(f"[data-plot={plot}].js-plotly-plot")
    shown = (
        "name => document.querySelector(`[data-plot=${name}]`).layout.xaxis.range.map(each => String(each).slice(0,"
        " 10))"
    )
    wanted = ["2025-01-02", "2025-01-05"]
    page.evaluate(
        "span => Plotly.relayout(document.querySelector('[data-plot=performance]'), { 'xaxis.range[0]': span[0],"
        " 'xaxis.range[1]': span[1] })",
        wanted,
    )
    page.wait_for_timeout(300)
    assert [page.evaluate(shown, plot) for plot in ("performance", "drift", "volume")] == [wanted] * 3
    tab.is_clean()


def test_sliders_show_what_other_settings_would_have_paged(tab: Watched) -> None:
    page = tab.page
    page.goto("/monitors/churn")
    page.locator("[data-plot=sensitivity]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-outcome]:has-text('As configured: ')")
    configured = page.inner_text("[data-outcome]")
    assert "0 alerts" not in configured
    assert "Labels showed none to be false" in configured
    harm = page.locator("input[name=harm]")
    harm.focus()
    page.keyboard.press("End")
    page.wait_for_selector("[data-outcome]:has-text('With these settings: 0 alerts')")
    assert page.inner_text("output[name=harm_text]") == "0.63"
    page.get_by_role("button", name="As configured").click()
    page.wait_for_selector("[data-outcome]:has-text('As configured: ')")
    assert page.inner_text("[data-outcome]") == configured
    tab.is_clean()


def test_the_sliders_show_their_own_metric_whatever_is_chosen_and_say_when_there_is_no_answer(tab: Watched) -> None:
    page = tab.page
    page.goto("/monitors/churn?metric=f1")
    page.locator("[data-plot=sensitivity]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-plot=sensitivity].js-plotly-plot .ytitle")
    assert page.text_content("[data-plot=performance] .ytitle") == "F1"
    assert page.text_content("[data-plot=sensitivity] .ytitle") == "ROC AUC"
    page.wait_for_selector("[data-outcome]:has-text('As configured: ')")
    tab.is_clean()
    page.route("**/sensitivity?*", lambda route: route.abort())
    page.locator("input[name=harm]").focus()
    page.keyboard.press("End")
    page.wait_for_selector("[data-outcome]:has-text('could not work this out')")


def test_from_a_monitor_down_to_a_column_and_a_segment(tab: Watched) -> None:
    page = tab.page
    page.goto("/monitors/churn")
    page.get_by_text("As a table").click()
    page.get_by_role("link", name="income").click()
    assert page.inner_text("h1") == "income"
    page.wait_for_selector("[data-column=income].js-plotly-plot")
    page.locator("[data-plot=curve]").first.scroll_into_view_if_needed()
    page.wait_for_selector("[data-plot=curve].js-plotly-plot")
    first = page.locator("ol.strip a").first
    first.click()
    assert page.locator("ol.strip a[aria-current]").count() == 1
    page.get_by_role("link", name="All findings of this window").click()
    assert "Findings" in page.inner_text("main")
    tab.is_clean()


def test_two_windows_are_compared(tab: Watched) -> None:
    page = tab.page
    page.goto("/monitors/churn")
    page.get_by_role("link", name="Compare two windows").click()
    page.locator("[data-pair]").first.scroll_into_view_if_needed()
    page.wait_for_selector("[data-pair].js-plotly-plot")
    chosen = page.locator("select[name=first] option[selected]").inner_text()
    assert "healthy" in chosen
    assert "ROC AUC" in page.inner_text("main table >> nth=0")
    page.select_option("select[name=second]", index=0)
    page.get_by_role("button", name="Compare").click()
    assert page.locator("select[name=second] option").first.get_attribute("selected") is not None
    tab.is_clean()


def test_alerts_that_began_together_are_one_incident(tab: Watched) -> None:
    page, alert = tab.page, tab.site.ids()["alert"]
    page.goto(f"/incidents/{alert}")
    page.wait_for_selector("[data-plot=timeline].js-plotly-plot")
    assert page.locator("tbody tr").count() >= 1
    assert alert in page.inner_html("tbody")
    page.goto("/incidents")
    assert "Incidents" in page.inner_text("h1")
    tab.is_clean()


def test_an_alert_is_silenced_after_a_look_at_what_that_mutes(tab: Watched) -> None:
    page, alert = tab.page, tab.site.ids()["alert"]
    page.goto(f"/alerts/{alert}")
    page.get_by_role("button", name="Preview").click()
    assert alert[:8] in page.inner_text("main")
    page.get_by_role("button", name="Silence for 4h").click()
    assert "active" in page.inner_text("table")
    page.goto(f"/alerts/{alert}")
    assert "No message is sent now: silenced until" in page.inner_text("main")
    page.goto("/silences")
    page.get_by_role("button", name="Expire").first.click()
    assert "ended" in page.inner_text("table")
    tab.is_clean()


def test_a_retraining_is_approved(tab: Watched) -> None:
    page = tab.page
    page.goto("/retraining")
    page.locator("tbody a").first.click()
    page.get_by_role("button", name="Approve").click()
    assert "approved by web" in page.inner_text("main")
    page.get_by_role("button", name="Cancel").click()
    assert "cancelled" in page.inner_text("h1")
    page.goto("/settings")
    assert "retraining approved" in page.inner_text("main")
    tab.is_clean()


# Texts of more than 24 letters in a column that holds less than twelve of them in a line.
NARROW = """() => {
    const found = [], walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim()
        let box = walker.currentNode.parentElement
        if (text.length <= 24 || box.closest("script, style, svg, .hidden, details:not([open])")) continue
        while (getComputedStyle(box).display === "inline") box = box.parentElement
        const style = getComputedStyle(box), size = parseFloat(style.fontSize)
        const width = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
        if (width > 0 && width < 12 * 0.5 * size) found.push(`${Math.round(width)} px: ${text.slice(0, 40)}`)
    }
    return found
}"""


def all_pages(site: Served) -> list[str]:
    ids = site.ids()
    return [
        "/",
        "/monitors/churn",
        "/monitors/churn/column?column=income",
        f"/monitors/churn/column?{urlencode({'column': SCRIPT})}",
        "/monitors/churn/compare",
        "/incidents",
        f"/incidents/{ids['alert']}",
        f"/runs/{ids['run']}",
        "/alerts",
        "/alerts?shown=all",
        f"/alerts/{ids['alert']}",
        "/silences",
        "/notifications",
        "/retraining",
        f"/retraining/{ids['request']}",
        "/settings",
        "/nothing-here",
        "/monitors/nobody",
    ]


def test_names_are_shown_as_text_and_sensitive_values_nowhere(tab: Watched) -> None:
    shown = ""
    for path in all_pages(tab.site):
        tab.page.goto(path)
        tab.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        shown += tab.page.content()
        assert SECRET not in tab.page.content(), path
        assert tab.page.title() != "taken", path
    assert SCRIPT not in shown
    assert CATEGORY not in shown
    assert "&lt;script&gt;" in shown
    report = tab.site.get(f"/runs/{tab.site.ids()['run']}/report")
    assert SECRET not in report.text
    assert "sandbox" in report.headers["content-security-policy"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1200, "light"),
        (390, "dark"),
        pytest.param(1200, "dark", marks=pytest.mark.long),
        pytest.param(390, "light", marks=pytest.mark.long),
    ],
)
def test_every_page_is_usable_by_everybody(browser: Any, site: Served, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = Watched(browser, site, color_scheme=scheme, bypass_csp=True)  # axe is a script that the policy does not allow
    tab.page.set_viewport_size({"width": width, "height": 800})
    faults = []
    for path in all_pages(site):
        tab.page.goto(path)
        tab.page.wait_for_timeout(200)
        for fault in Axe().run(tab.page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                faults.append((path, fault["id"], [node["html"][:120] for node in fault["nodes"]][:3]))
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width + 1, f"{path} is {wide} px wide at {width}"
        narrow = tab.page.evaluate(NARROW)
        assert not narrow, f"{path} has text in columns of less than 12 letters at {width}: {narrow}"
    tab.context.close()
    assert faults == []


def test_one_logs_in_and_sees_what_the_role_allows(browser: Any, history: Project) -> None:
    with served(history, users=("viewer", "operator"), login=True) as site:
        tab = Watched(browser, site)
        page, alert = tab.page, site.ids()["alert"]
        page.goto(f"/alerts/{alert}")
        page.fill("input[name=name]", "viewer")
        page.fill("input[name=password]", "wrong password")
        page.get_by_role("button", name="Log in").click()
        assert "Name or password is wrong" in page.inner_text("main")
        page.fill("input[name=name]", "viewer")
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button", name="Log in").click()
        assert page.url.endswith(f"/alerts/{alert}")
        assert page.get_by_role("button", name="Acknowledge", exact=True).count() == 0
        page.get_by_role("button", name="Log out").click()
        page.fill("input[name=name]", "operator")
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("text=operator (operator)")
        page.goto(f"/alerts/{alert}")
        page.get_by_role("button", name="Acknowledge", exact=True).click()
        assert "by operator" in page.inner_text("main")
        page.goto("/settings")
        assert "Audit log" not in page.inner_text("main")
        tab.context.close()
