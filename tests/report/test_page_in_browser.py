"""The page in headless Chromium: it opens without an error, a click on a heading sorts, and a phone need not pan it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from landslide.report import Comparison, compare
from tests.report.conftest import Store

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so nobody has clicked the page")

CLICKS = """
<script>
const table = document.querySelector("table"), told = [];
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim()).join(">");
const heading = (text) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent.trim().startsWith(text));
for (const text of ["Model", "F1", "F1", "Time"]) {
  heading(text).querySelector("button").click();
  told.push(`${text} ${heading(text).getAttribute("aria-sort")} ${names()}`);
}
told.push(`without a link ${document.querySelectorAll("td a:not([href])").length}`);
told.push(`links ${document.querySelectorAll("td a").length > 50}`);
told.push(`overflow ${document.documentElement.scrollWidth > window.innerWidth}`);
document.body.append(Object.assign(document.createElement("pre"), {id: "told", textContent: told.join("|")}));
</script>
"""


@pytest.fixture(scope="module")
def seeded(store: Store) -> Comparison:
    """Three architectures of two seeds; the best by F1 is neither first by name nor by time."""
    levels = {"unet": 0.8, "fpn": 0.7, "pan": 0.9}
    runs = [
        store.tested(level, seed, params={"arch.name": arch}) for arch, level in levels.items() for seed in range(2)
    ]
    return compare(store.client, runs)


def opened(page: Path, folder: Path, width: int) -> tuple[list[str], str]:
    """What the clicks told, and what the browser's console said."""
    assert CHROMIUM
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [f"--user-data-dir={folder}", f"--window-size={width},900", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [CHROMIUM, *flags, "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout)
    return told.replace("&gt;", ">").split("|"), "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


@pytest.mark.parametrize("width", [500, 1400])
def test_a_click_on_a_heading_sorts_and_the_console_stays_silent(
    seeded: Comparison, tmp_path: Path, width: int
) -> None:
    # Given
    page = tmp_path / "comparison.html"
    page.write_text(seeded.html().replace("</body>", f"{CLICKS}</body>"), encoding="utf-8")
    # When
    told, console = opened(page, tmp_path / "profile", width)
    # Then
    assert console == ""
    assert told == [
        "Model ascending FPN>PAN>U-Net",
        "F1 descending PAN>U-Net>FPN",
        "F1 ascending FPN>U-Net>PAN",
        "Time descending FPN>U-Net>PAN",
        "without a link 0",
        "links true",
        "overflow false",
    ]


def test_the_console_of_a_page_that_is_wrong_would_be_heard(tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    page.write_text('<pre id="told"></pre><script>nothing.there()</script>')
    assert "nothing is not defined" in opened(page, tmp_path / "profile", 500)[1]
