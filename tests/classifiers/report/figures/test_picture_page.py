import base64
import io
import re

import numpy as np
from PIL import Image

from classifiers.report.figures.picture_page import Figure, PicturePage, Section
from tests.support.pictures import texture


def page(**options) -> str:
    section = {"heading": "First", "text": "Some words.", **options}
    return PicturePage("A title", "A lead", [Section(**section)]).html()


def test_the_pictures_are_inside_without_loss():
    picture = texture(0, 30, 20)
    html = page(figures=[Figure(picture, "What it shows")])
    data = re.search(r'src="data:image/png;base64,([^"]+)" width="30" height="20" alt="What it shows"', html)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1])))), picture)


def test_nothing_is_fetched():
    html = page(figures=[Figure(texture(0), "x")], table=(["a"], [["1"]]))
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)=["'](?!data:)""", html) and "<script" not in html


def test_names_are_only_text():
    evil = '<script>alert("1")</script>'
    html = PicturePage(
        evil, evil, [Section(evil, evil, [Figure(texture(0), evil + '" onload="x')], ([evil], [[evil]]))]
    )
    text = html.html()
    assert "<script>" not in text and 'onload="x' not in text
    assert text.count("&lt;script&gt;") >= 6


def test_tables_have_their_rows():
    html = page(table=(["epsilon", "right"], [["4/255", "3 of 9"]]))
    assert '<th scope="col">epsilon</th>' in html and "<td>3 of 9</td>" in html
    assert "<table" not in page()
