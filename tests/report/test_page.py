"""The HTML page and the files: they stand alone, hold every run, and execute nothing that a run is called."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image
from rich.console import Console

from landslide.report import Comparison, compare
from landslide.report.pairs import columns
from landslide.report.table import MISSING
from tests.report.conftest import Store


class Tags(HTMLParser):
    """All start tags with their attributes, all text, and where each link leads once the page's script has run."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.links: list[str | None] = []
        self._row: str | None = None
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self._row = dict(attrs).get("data-href")
        elif tag == "a":
            self.links.append(dict(attrs).get("href") or self._row)

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def test_the_page_loads_nothing(html: str) -> None:
    for tag, attributes in Tags(html).tags:
        if tag == "a":
            continue  # followed by a click alone
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    assert not re.search(r"@import|url\((?!#)", html)
    assert "default-src 'none'" in html


def test_the_page_holds_every_run_and_number(store: Store, comparison: Comparison, html: str) -> None:
    page = Tags(html)
    for run_id in store.children.values():
        assert run_id in page.text
    for row in comparison.rows:
        for name in ("f1", "iou"):
            assert not row.run.finished or f"{row.numbers[name]:.4f}" in page.text


def test_every_figure_has_words_for_those_who_cannot_see_it(comparison: Comparison, html: str) -> None:
    page = Tags(html)
    described = {image.get("alt") for image in page.named("img")}
    described |= {part.get("aria-label") for part in page.named("div") if part.get("role") == "img"}
    assert described == {picture.description for picture in comparison.pictures}


def test_the_footer_says_where_the_numbers_come_from(html: str) -> None:
    text = Tags(html).text
    for fact in ("0123456789abcdef", "d" * 64, "kind random, seed 0, 9 train, 2 val", "2.14.1", " UTC"):
        assert fact in text


def test_a_run_named_like_a_script_is_text(store: Store) -> None:
    # Given
    name = "<script>alert(1)</script>"
    failure = {"landslide.failure": "<img src=x onerror=alert(1)>", "landslide.device": "\"><b onclick='x'>"}
    runs = [
        store.score(0.9, name=name, params={"arch.name": name, "encoder.name": name}, tags=failure),
        store.log(name=name, params={"arch.name": "</title>" + name}, tags=failure, status="FAILED"),
    ]
    # When
    page = Tags(compare(store.client, runs).html())
    # Then
    assert len(list(page.named("script"))) == 1
    assert not [tag for tag, attributes in page.tags if {"onerror", "onclick"} & attributes.keys()]
    assert name in page.text


def test_every_number_links_to_its_run_where_a_server_or_landslide_ui_shows_it(
    store: Store, comparison: Comparison, html: str
) -> None:
    served = dataclasses.replace(comparison, tracking_uri="https://me:secret@host/mlflow/").html()
    links = Tags(served).links
    assert f"https://host/mlflow/#/experiments/{store.experiment}/runs/{store.children['unet']}" in links
    assert "secret" not in served
    local = Tags(html).links
    assert None not in local
    address = f"http://127.0.0.1:5000/#/experiments/{store.experiment}/runs/{store.children['unet']}"
    numbers = [column.cells[0].text for column in comparison.columns if column.numeric]
    assert local.count(address) == len(numbers) + 1  # and its name
    assert MISSING not in numbers
    assert "open while landslide ui runs" in Tags(html).text


def test_a_mean_links_to_the_comparison_of_its_seeds_and_a_difference_to_that_of_both_strata(store: Store) -> None:
    # Given: two seeds of two architectures
    runs = {
        arch: [store.tested(f1, seed, params={"arch.name": arch}) for seed in range(2)]
        for arch, f1 in (("unet", 0.8), ("fpn", 0.9))
    }
    # When
    compared = compare(store.client, [*runs["unet"], *runs["fpn"]])
    links = Tags(compared.html()).links

    # Then
    def address(*ids: str) -> str:
        quoted = ",".join(f"%22{each}%22" for each in ids)
        return f"http://127.0.0.1:5000/#/compare-runs?runs=[{quoted}]&experiments=[%22{store.experiment}%22]"

    numbers = sum(column.cells[0].text != MISSING for column in compared.columns if column.numeric)
    assert links.count(address(*runs["fpn"])) >= numbers
    tested = sum(len(columns(question)) - 2 for question in compared.questions)
    missing = sum(column.cells[0].text == MISSING for question in compared.questions for column in columns(question))
    assert links.count(address(*runs["fpn"], *runs["unet"])) == tested - missing


def test_the_files_are_written_and_figures_are_for_print(comparison: Comparison, tmp_path: Path) -> None:
    # When
    written = comparison.write(tmp_path / "new" / "folder")
    # Then
    figures = [path for path in written if path.suffix == ".png"]
    assert {path.stem for path in figures} == {
        *("estimates", "tiles", "confusion_matrices", "precision_recall", "reliability"),
        *("loss_curves", "f1_against_time", "agreement"),
    }
    assert {path.suffix for path in written} == {".html", ".md", ".csv", ".tex", ".png"}
    assert tmp_path / "new/folder/tiles.csv" in written
    for path in figures:
        assert round(Image.open(path).info["dpi"][0]) == 300
    assert (tmp_path / "new/folder/comparison.md").read_text(encoding="utf-8") == comparison.markdown()


def test_two_processes_write_what_one_does(comparison: Comparison, tmp_path: Path) -> None:
    # When
    alone = comparison.write(tmp_path / "alone")
    by_two = comparison.print_and_write(tmp_path / "two", Console(quiet=True))
    # Then
    names = [path.relative_to(tmp_path / "alone") for path in alone]
    assert [path.relative_to(tmp_path / "two") for path in by_two] == names
    for name in names:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_figures_show_the_best_runs_and_say_so(store: Store) -> None:
    runs = [store.score(0.5 + 0.01 * step, params={"optimizer.lr": f"{step}e-3"}) for step in range(10)]
    compared = compare(store.client, runs)
    assert len(compared.artifacts) == 8
    assert runs[0] not in compared.artifacts
    assert all(picture.caption.endswith("The best 8 of 10.") for picture in compared.pictures)
