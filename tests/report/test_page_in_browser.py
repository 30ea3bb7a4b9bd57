"""The pages in headless Chromium: silent, sorted by a click, and read on a phone, at night and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from landslide.report import compare
from landslide.report.sweep import report_sweep
from tests.report.conftest import Store
from tests.report.reproductions import EPOCHS, four, reproduction
from tests.report.sweeps import two_strata

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so nobody has clicked the page")

PHONE, DESK, PAPER = 375, 1400, 1031  # CSS pixels; paper is A4 across, less the margins of the page's style

SORTED = {
    "comparison": {
        "Model": ["ascending FPN>PAN>U-Net"],
        "F1": ["descending PAN>U-Net>FPN", "ascending FPN>U-Net>PAN"],
        "Time": ["descending FPN>U-Net>PAN"],
    },
    "sweep": {"Tuned": ["descending U-Net>FPN", "ascending FPN>U-Net"], "Model": ["ascending FPN>U-Net"]},
    "reproduction": {
        "Model": ["ascending FPN>LinkNet>PSPNet>U-Net"],
        "Ours": ["descending FPN>U-Net>LinkNet>PSPNet", "ascending PSPNet>LinkNet>U-Net>FPN"],
    },
}
"""By page and heading, the first column of a table after each click."""

TABLE = {"comparison": "Table of results", "sweep": "Table of results", "reproduction": "Training time as a ratio"}
"""By page, how the name of the table begins that is sorted."""

TELL = """
<script>
window.addEventListener("load", () => {
  const told = {sorted: {}}, table = document.querySelector(`[aria-label^="${TABLE}"] table`);
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim()).join(">");
  const heading = (text) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent.trim().startsWith(text));
  for (const [text, clicks] of Object.entries(SORTED))
    told.sorted[text] = clicks.map(() => {
      heading(text).querySelector("button").click();
      return `${heading(text).getAttribute("aria-sort")} ${names()}`;
    });
  told.arrow = getComputedStyle(document.querySelector("[aria-sort] button"), "::after").content;
  told.unlinked = document.querySelectorAll("td a:not([href])").length;
  told.links = document.querySelectorAll("td a").length;
  told.wide = document.documentElement.scrollWidth - innerWidth;
  told.cut = [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth + 1).length;
  told.asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  told.split = [...document.querySelectorAll("tr")]
    .filter((row) => getComputedStyle(row).breakInside !== "avoid").length;

  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3)
    .map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
  };
  const contrast = (element) => {
    const pair = [getComputedStyle(element).color, behind(element)].map(light).sort();
    return (pair[1] + 0.05) / (pair[0] + 0.05);
  };
  const words = [...document.querySelectorAll("body *:not(script, svg, svg *)")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  told.read = words.length;
  told.faint = words.filter((element) => contrast(element) < 4.5)
    .map((element) => `${element.tagName} ${element.className}: ${contrast(element).toFixed(2)}`);
  told.page = light(behind(document.body));
  const text = Object.assign(parent.document.createElement("pre"), {id: "told", textContent: JSON.stringify(told)});
  parent.document.body.append(text);
});
</script>
"""


@pytest.fixture(scope="module")
def pages(store: Store) -> dict[str, str]:
    """Of three architectures, the best by F1 first neither by name nor by time; of a search; of the paper's models."""
    levels = {"unet": 0.8, "fpn": 0.7, "pan": 0.9}
    runs = [
        store.tested(level, seed, params={"arch.name": arch}) for arch, level in levels.items() for seed in range(2)
    ]
    return {
        "comparison": compare(store.client, runs).html(),
        "sweep": report_sweep(two_strata(), tracking_uri="sqlite:///mlflow.db", command="landslide sweep").html(),
        "reproduction": reproduction(*four(), changes=(EPOCHS,)).html(),
    }


def opened(html: str, folder: Path, width: int, *, dark: bool = False) -> tuple[str, str]:
    """What the page told, and what the browser's console said.

    The page is opened in a frame, because Chromium's windows are never as narrow as a phone.
    """
    assert CHROMIUM
    frame = f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{escape(html)}"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f'<!doctype html><meta name="color-scheme" content="light dark"><body>{frame}', encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-quic", "--disable-component-update", "--disable-sync", *(["--force-dark-mode"] * dark)]
    flags += [f"--user-data-dir={folder / 'profile'}", "--window-size=1500,1000", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [CHROMIUM, *flags, "--enable-logging=stderr", "--dump-dom", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout)
    return unescape(told[1]) if told else "", "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


def telling(html: str, name: str) -> str:
    """The page with a script that clicks, looks and tells."""
    script = TELL.replace("${TABLE}", TABLE[name]).replace("SORTED", json.dumps(SORTED[name]))
    return html.replace("</body>", f"{script}</body>")


def look(html: str, name: str, folder: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """What is seen of a page whose console stays silent."""
    told, console = opened(telling(html, name), folder, width, dark=dark)
    assert console == ""
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.mark.parametrize("name", SORTED)
@pytest.mark.parametrize(("width", "dark"), [(PHONE, False), (DESK, False), (PHONE, True)])
def test_a_page_opens_in_silence_and_sorts_and_can_be_read(
    pages: dict[str, str], tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    # When
    told = look(pages[name], name, tmp_path, width, dark=dark)
    # Then
    assert told["sorted"] == SORTED[name]
    assert told["unlinked"] == 0
    assert told["links"] > 50
    assert told["wide"] <= 0  # a phone need not pan it
    assert told["asked"] == []  # of no host, its own neither
    assert told["faint"] == []
    assert told["read"] > 100
    assert (told["page"] < 0.05) if dark else (told["page"] > 0.95)


@pytest.mark.parametrize("name", SORTED)
def test_paper_cuts_no_table_off_and_no_row_in_two_and_shows_no_arrow(
    pages: dict[str, str], tmp_path: Path, name: str
) -> None:
    # Given what the style says of paper, for the screen
    assert pages[name].count("@media print") == 1
    html = pages[name].replace("@media print", "@media all")
    # When
    told = look(html, name, tmp_path, PAPER, dark=True)
    # Then
    assert told["wide"] <= 0
    assert told["cut"] == 0
    assert told["split"] == 0
    assert told["arrow"] == "none"
    assert told["faint"] == []
    assert told["page"] == 1  # paper is white at night too


def test_the_console_of_a_page_that_is_wrong_would_be_heard(tmp_path: Path) -> None:
    assert "nothing is not defined" in opened("<script>nothing.there()</script>", tmp_path, DESK)[1]


def test_a_page_that_asks_another_host_would_be_noticed(pages: dict[str, str], tmp_path: Path) -> None:
    # Given
    html = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", pages["sweep"])
    html = html.replace("</main>", '<img src="http://127.0.0.1:9/picture.png" alt=""></main>')
    # When
    told, _ = opened(telling(html, "sweep"), tmp_path, DESK)
    # Then
    assert json.loads(told)["asked"] == ["http://127.0.0.1:9/picture.png"]
