"""The page as a visitor sees it, in headless Chromium: a sample, two clicks, another mask, files to take home."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.browser

Served = Callable[..., str]
SECONDS = 1000  # Milliseconds, as Playwright counts.


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root, as which containers run, has no sandbox; the page is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens an address, and asserts in the end that the page has asked nobody else and told of no error."""
    hosts, errors, pages = set(), [], []

    def open_page(address: str, width: int = 1280) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
        page.set_default_timeout(60 * SECONDS)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#image img")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert hosts <= {"127.0.0.1", None, ""}
    assert errors == []


@pytest.fixture(scope="module")
def shipped(served: Served) -> str:
    """The page with the model that the package brings along."""
    return served()


def changed(page: Page, action: Callable[[], object]) -> None:
    """Does something and waits for another picture."""
    before = page.locator("#image img").get_attribute("src")
    action()
    expect(page.locator("#image img")).not_to_have_attribute("src", before or "", timeout=60 * SECONDS)


def click(page: Page, x: float, y: float) -> None:
    """Clicks on a place of the picture, in parts of its sides."""
    box = page.locator("#image img").bounding_box()
    assert box is not None
    place = {"x": x * box["width"], "y": y * box["height"]}
    changed(page, lambda: page.locator("#image img").click(position=place))


def downloaded(page: Page, name: str) -> Path:
    with page.expect_download() as download:
        page.locator(f"#{name}").click()
    return Path(download.value.path())


def mask_of(page: Page) -> np.ndarray:
    page.locator("#prepare").click()
    expect(page.locator("#mask")).to_be_enabled(timeout=60 * SECONDS)
    with Image.open(downloaded(page, "mask")) as mask:
        return np.array(mask)


def test_a_visit_from_sample_to_files(visit: Callable[[str], Page], shipped: str) -> None:
    page = visit(shipped)
    expect(page.locator("body")).to_contain_text("model that comes with the program")
    expect(page.locator("#summary")).to_contain_text("nuclei")
    changed(page, lambda: page.get_by_label("Tissue, H&E stain (drawn by the computer)").check())
    automatic = mask_of(page)
    assert automatic.shape == (384, 384)
    assert set(np.unique(automatic)) == {0, 255}
    click(page, 0.3, 0.4)
    expect(page.locator("#clicks")).to_contain_text("1 click so far")
    expect(page.locator("#mask")).to_be_disabled()
    click(page, 0.7, 0.6)
    expect(page.locator("#clicks")).to_contain_text("2 clicks so far")
    clicked = mask_of(page)
    assert not np.array_equal(clicked, automatic), "clicks change what is taken home"
    features = json.loads(downloaded(page, "geojson").read_text())["features"]
    rows = list(csv.DictReader(downloaded(page, "table").read_text().splitlines()))
    assert len(features) == len(rows) > 0
    assert sum(float(row["area"]) for row in rows) == (clicked > 0).sum()
    expect(page.locator("#summary")).to_contain_text(str(len(rows)))
    changed(page, lambda: page.locator("#undo").click())
    changed(page, lambda: page.locator("#clear").click())
    expect(page.locator("#clicks")).to_contain_text("No clicks yet")
    assert np.array_equal(mask_of(page), automatic)


def test_settings_and_looks(visit: Callable[[str], Page], shipped: str) -> None:
    page = visit(shipped)
    changed(page, lambda: page.get_by_label("one mask").check())
    changed(page, lambda: page.get_by_label("image only").check())
    page.locator("#automatic button").first.click()
    page.get_by_label("anywhere in it (R)").check()  # of no effect on a model of one point for each nucleus
    slider = page.locator("#points input[type=range]")
    slider.focus()
    changed(page, lambda: slider.press("Home"))
    expect(page.locator("#summary")).to_contain_text("Click on a nucleus to begin")
    click(page, 0.5, 0.5)
    expect(page.locator("#summary")).not_to_contain_text("to begin")


def test_uploads_are_shown_or_refused(visit: Callable[[str], Page], shipped: str, tmp_path: Path) -> None:
    page = visit(shipped)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "own.png")
    Image.fromarray(np.zeros((10, 4097), dtype=np.uint8)).save(tmp_path / "wide.png")
    upload = page.locator("input[type=file]").first
    changed(page, lambda: upload.set_input_files(tmp_path / "own.png"))
    assert mask_of(page).shape == (60, 80)
    before = page.locator("#image img").get_attribute("src")
    upload.set_input_files(tmp_path / "wide.png")
    expect(page.get_by_text("4,097 x 10 pixels, more than 4,096 a side")).to_be_visible(timeout=30 * SECONDS)
    assert page.locator("#image img").get_attribute("src") == before


def test_a_network_has_its_clicks_switched_off(
    visit: Callable[[str], Page], served: Served, network: Path
) -> None:
    page = visit(served(network))
    expect(page.locator("body")).to_contain_text("This model takes no points")
    expect(page.locator("#undo")).to_be_disabled()
    expect(page.locator("#sign input").first).to_be_disabled()


def test_nothing_sticks_out_on_a_phone(visit: Callable[..., Page], shipped: str) -> None:
    page = visit(shipped, width=390)
    expect(page.locator("#summary")).to_contain_text("nuclei")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    click(page, 0.5, 0.5)
