"""The HTML page in a real Chromium."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifiers.report.report import Report
from tests.support.chromium import Chromium
from tests.support.report_example import planted

ARTEFACTS = Path(__file__).resolve().parents[3] / "test-artifacts"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with everything: 37 classes, three feature sets, pictures, warnings, random weights, a layer curve."""
    folder = tmp_path_factory.mktemp("report")
    sets = ({}, {"node": "features.12", "feature_key": "1" * 16},
            {"backbone": "vgg16", "feature_key": "2" * 16, "weights": "random (seed 0)"})  # fmt: skip
    classes = tuple(f"breed_number_{i:02d}" for i in range(36)) + ("<script>console.log('hostile')</script>",)
    data = planted(37, 370, classes=classes, sets=sets)
    rng = np.random.default_rng(0)
    data["dataset"]["root"] = str(folder)
    data["images"]["paths"] = [f"{i:03d}.png" for i in range(370)]
    for i in range(370):
        Image.fromarray(np.kron(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))).save(
            folder / f"{i:03d}.png"
        )
    data["warnings"] = [{"kind": "leak", "text": "12 test images have a near copy in the training part."}]
    paths = data["images"]["paths"]
    data["images"]["ids"] = paths
    data["leaks"]["examples"] = [{"kind": "near", "a": paths[0], "b": paths[1], "cosine": 0.99}]
    data["layer_curve"] = [
        {"backbone": "mobilenet_v2", "node": node, "pool": "avg", "dim": 96, "head": "logistic", "accuracy": share,
         "accuracy_ci": [share - 0.05, share + 0.05], "cv_accuracy": share}
        for node, share in (("features.4", 0.5), ("features.12", 0.8), ("avgpool", 0.7))
    ]  # fmt: skip
    Report(data).write(folder)
    return folder / "report.html"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {}),
        ("dark", {"dark": True}),
        ("phone", {"width": 390, "height": 844, "mobile": True}),
    ],
)
def test_it_opens_without_a_complaint_and_without_the_network(browser, page, name, options):
    browser.console.clear()
    browser.requests.clear()
    browser.open(page, **options)
    ARTEFACTS.mkdir(exist_ok=True)
    shot = browser.screenshot(ARTEFACTS / f"report-{name}.png")
    assert browser.console == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == options.get("width", 1280), (
        "the page scrolls sideways"
    )
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape[0] > 3000
    assert (pixels.mean() < 100) == (name == "dark")


def test_it_prints(browser, page):
    browser.open(page)
    pdf = browser.pdf(ARTEFACTS / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and 4 <= pdf.count(b"/Type /Page\n") <= 25


def test_the_theme_button_goes_round(browser, page):
    browser.open(page)
    background = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(background)
    seen = []
    for _ in range(3):
        browser.run("document.querySelector('.theme').click()")
        seen.append((browser.run("document.querySelector('.theme').textContent"), browser.run(background)))
    assert [text for text, _ in seen] == ["Theme: dark", "Theme: light", "Theme: auto"]
    assert seen[0][1] != light and seen[1][1] == seen[2][1] == light
    assert browser.console == []


def test_pointing_at_a_mark_shows_its_picture_and_names(browser, page):
    browser.open(page)
    assert browser.run("getComputedStyle(document.querySelector('.readout')).visibility") == "hidden"
    browser.point("svg.map use[data-i='7']")
    text = browser.run("document.querySelector('.readout p').innerText")
    assert "true breed_number_00" in text and "answer " in text and "confidence " in text and "007.png" in text
    assert browser.run("getComputedStyle(document.querySelector('.readout')).visibility") == "visible"
    assert browser.run("getComputedStyle(document.querySelector('.readout .pic')).backgroundImage").startswith(
        'url("data:'
    )


def test_the_map_can_be_walked_with_the_keyboard(browser, page):
    browser.open(page)
    browser.run("document.querySelector('.legend').previousElementSibling.querySelector('svg.map').focus()")
    names = []
    for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        browser.press(key)
        names.append(browser.run("document.querySelector('.readout .file').textContent"))
    assert all(name.endswith(".png") for name in names) and len(set(names)) >= 2
    at = "document.querySelector('svg.map use.now').x.baseVal.value"
    before = browser.run(at)
    browser.press("ArrowRight")
    assert browser.run(at) > before


def test_pressing_a_class_dims_the_others(browser, page):
    browser.open(page)
    browser.run("document.querySelector('.legend button[data-c=\"3\"]').click()")
    opacity = "getComputedStyle(document.querySelector('svg.map use[data-c=\"{}\"]')).opacity"
    assert float(browser.run(opacity.format(3))) == 1.0
    assert float(browser.run(opacity.format(4))) < 0.5
    assert browser.run("document.querySelector('.legend button[data-c=\"3\"]').ariaPressed") == "true"


def test_choosing_a_head_shows_its_panels_everywhere(browser, page):
    browser.open(page)
    visible = (
        "[...document.querySelectorAll('#classes [data-run]')].filter(e => !e.hidden).map(e => e.dataset.run).join()"
    )
    first = browser.run(visible)
    other = browser.run("document.querySelector('#confusions select').options[1].value")
    browser.run(
        f"(() => {{ const s = document.querySelector('#confusions select'); s.value = '{other}';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    assert browser.run(visible) == other != first
    assert browser.run("document.querySelector('#calibration select').value") == other


def test_tables_sort_by_any_column(browser, page):
    browser.open(page)
    column = "[...document.querySelector('#classes table').tBodies[0].rows].map(r => r.cells[2].textContent)"
    browser.run("document.querySelectorAll('#classes thead button')[2].click()")
    rising = [float(text) for text in browser.run(column)]
    browser.run("document.querySelectorAll('#classes thead button')[2].click()")
    falling = [float(text) for text in browser.run(column)]
    assert rising == sorted(rising) and falling == rising[::-1] and len(set(rising)) > 2
    assert browser.run("document.querySelectorAll('#classes thead th')[2].ariaSort") == "descending"


def test_every_label_of_the_matrix_can_be_read_at_37_classes(browser, page):
    browser.open(page)
    heights = browser.run(
        "[...document.querySelectorAll('[data-run]:not([hidden]) svg.confusion .label')].map(e => {"
        " const b = e.getBoundingClientRect(); return Math.min(b.width, b.height); })"
    )
    assert len(heights) == 2 * 37
    assert round(min(heights), 3) >= 11  # the browser computes in float32


def test_a_reader_without_eyes_or_mouse_gets_everything(browser, page):
    browser.open(page)
    nameless = browser.run(
        "[...document.querySelectorAll('img')].filter(e => !e.alt).length"
        " + [...document.querySelectorAll('svg')].filter(e => !e.closest('[aria-hidden=true]') && !e.ariaLabel).length"
        " + [...document.querySelectorAll('table')].filter(t => !t.caption || !t.caption.textContent.trim()).length"
        " + [...document.querySelectorAll('th')].filter(h => !h.scope).length"
        " + [...document.querySelectorAll('section')]"
        ".filter(s => !document.getElementById(s.getAttribute('aria-labelledby'))).length"
    )
    assert nameless == 0
    assert browser.run("document.documentElement.lang") == "en"
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    buttons = [n for n in tree if n.get("role", {}).get("value") in ("button", "combobox", "link") and not n["ignored"]]
    assert len(buttons) > 20 and all(n.get("name", {}).get("value") for n in buttons)
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3')].map(e => Number(e.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_ids_are_unique_and_links_lead_somewhere(browser, page):
    browser.open(page)
    ids = browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    anchors = browser.run("[...document.querySelectorAll('a[href^=\"#\"]')].map(e => e.getAttribute('href').slice(1))")
    assert set(anchors) <= set(ids)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_enough_contrast(browser, page, dark):
    browser.open(page, dark=dark)
    ratios = browser.run("""(() => {
      const light = (rgb) => {
        const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
      const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
      const texts = 'main p, main li, main th, main td, main h2, main dd, main dt, main a, nav a, caption, summary';
      return [...document.querySelectorAll(texts)]
        .filter(e => e.innerText && e.innerText.trim() && e.offsetParent)
        .map(e => { const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
          return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + ' ' + e.innerText.slice(0, 30)]; })
        .filter(([ratio]) => ratio < 4.5);
    })()""")
    assert ratios == []


def test_the_verdict_stands_first(page):
    text = page.read_text(encoding="utf-8")
    places = [text.index(f'id="{anchor}"') for anchor in
              ("verdict", "warnings", "heads", "pairs", "classes", "confusions", "calibration", "curves", "time", "map",
               "mistakes", "labels", "search", "provenance")]  # fmt: skip
    assert places == sorted(places)


def test_a_long_class_name_leaves_the_numbers_in_view(browser, tmp_path):
    Report(planted(3, 60, classes=("a", "b", "long_name_" * 20))).write(tmp_path)
    browser.open(tmp_path / "report.html")
    wide = "[...document.querySelectorAll('#classes .scroll')].map(e => e.scrollWidth > e.clientWidth)"
    assert not any(browser.run(wide))
    assert browser.run("document.documentElement.scrollWidth") == 1280


def test_a_matrix_of_many_classes_can_be_enlarged(browser, tmp_path):
    Report(planted(200, 1000)).write(tmp_path)
    browser.console.clear()
    browser.open(tmp_path / "report.html")
    label = "getComputedStyle(document.querySelector('svg.confusion .label')).display"
    assert browser.run(label) == "none"
    before = browser.run("document.querySelector('svg.confusion').clientWidth")
    browser.run("document.querySelector('.zoom button').click()")
    browser.run("document.querySelector('.zoom button').click()")
    assert browser.run("document.querySelector('svg.confusion').clientWidth") > 3 * before
    assert browser.run(label) != "none"
    assert browser.run("document.documentElement.scrollWidth") == 1280
    assert browser.console == []
