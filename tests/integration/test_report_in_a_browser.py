"""The report in a browser: in light and dark, on a phone's width, and without anything loaded."""

import shutil

import pytest
from selenium import webdriver

import made_verdicts as made
from streamflow.monitoring.report.page import page

CASES = {
    "six months": made.verdicts(6),
    "24 months": made.verdicts(24, harms=(made.harm(23, "harmful", "realized"),)),
    "hostile names": made.verdicts(
        1,
        model="</title><script>document.title = 'run'</script>",
        features=(
            made.feature(
                "<img src=https://example.invalid/x.png onerror=\"document.title = 'run'\">" * 3, "drifted"
            ),
            made.feature("a_name_without_any_blank_" * 12, kind="category"),
        ),
    ),
    "empty": made.verdicts(
        1,
        drifts=(made.drift(1, "no_data", why="the month has no rows", rows=0),),
        features=(),
        qualities=(),
        harms=(),
    ),
}
# Every text against what is painted behind it, by WCAG 2: backgrounds here are opaque.
CONTRASTS = """
const channels = color => color.match(/[\\d.]+/g).map(Number);
const light = color => channels(color).slice(0, 3).map(c => c / 255).map(
  c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const painted = getComputedStyle(e).backgroundColor;
    if ((channels(painted)[3] ?? 1) > 0) return painted;
  }
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim()) continue;
  const style = getComputedStyle(element);
  const [one, two] = [light(element.namespaceURI.endsWith('svg') ? style.fill : style.color), light(behind(element))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  if (ratio < 4.5) found.push([element.tagName, element.className.baseVal ?? element.className, ratio]);
}
return found;
"""
# What reaches beyond the page, other than within a scroll box of its own.
TOO_WIDE = """
return [...document.querySelectorAll('body *')].filter(
  e => !e.parentElement.closest('.scroll, svg') && e.getBoundingClientRect().right > arguments[0] + 0.5
).map(e => e.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("Chromium or its driver is not on PATH; 'scripts/browser' installs them")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def show(browser, tmp_path_factory):
    """Open a page at a width and in a colour scheme."""
    folder = tmp_path_factory.mktemp("reports")

    def opened(case, width, scheme):
        file = folder / f"{case}.html"
        file.write_text(page(CASES[case], lambda number: f"{number:,} customers"), encoding="utf-8")
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(file.as_uri())
        return file.as_uri()

    return opened


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_fits_can_be_read_and_loads_nothing(show, browser, case, scheme, width):
    browser.get_log("performance")
    address = show(case, width, scheme)
    assert browser.get_log("browser") == []
    requested = [
        entry["message"]
        for entry in browser.get_log("performance")
        if "Network.requestWillBeSent" in entry["message"]
    ]
    assert [message for message in requested if address not in message and "data:," not in message] == []
    assert browser.title != "run"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(TOO_WIDE, width) == []
    assert browser.execute_script(CONTRASTS) == []
    (back,) = {browser.execute_script("return getComputedStyle(document.body).backgroundColor")}
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 20, 24)"}[scheme]


def test_wide_tables_scroll_in_boxes_that_the_keyboard_reaches(show, browser):
    show("six months", 360, "light")
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('table')].map(t => t.closest('.scroll')).map("
        "b => [b.tabIndex, b.getAttribute('role'), b.ariaLabel, b.scrollWidth > b.clientWidth])"
    )
    assert len(boxes) == 5
    assert all(index == 0 and role == "region" and label for index, role, label, _ in boxes)
    assert any(wider for *_, wider in boxes)


def test_a_script_would_not_run(show, browser):
    show("six months", 360, "light")
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = \"run\"'; document.body.append(s)"
    )
    assert browser.title != "run"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_paper_is_white_and_shows_whole_tables(show, browser):
    show("24 months", 1200, "dark")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    assert (
        browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert set(
        browser.execute_script(
            "return [...document.querySelectorAll('.scroll')].map(b => getComputedStyle(b).overflowX)"
        )
    ) == {"visible"}
