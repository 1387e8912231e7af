import re

import numpy as np

from classifiers.report.figures import scatter_map


def test_64_classes_have_64_signs_and_neighbours_differ_in_both():
    signs = [scatter_map.sign(c) for c in range(64)]
    assert len(set(signs)) == 64
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in zip(signs, signs[1:], strict=False))


def places(n: int = 50):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, n)
    return {"x": (100 * rng.normal(size=n)).tolist(), "y": rng.normal(size=n).tolist(), "true": true.tolist(),
            "predicted": np.where(rng.random(n) < 0.2, (true + 1) % 5, true).tolist()}  # fmt: skip


def test_every_image_has_its_mark_inside_the_frame():
    data = places()
    svg = str(scatter_map.svg(data, "a map"))
    marks = re.findall(r'<use href="#shape(\d)" class="k(\d)" data-i="(\d+)" data-c="(\d)" x="(\S+)" y="(\S+)"/>', svg)
    assert [int(m[2]) for m in marks] == list(range(50))
    assert [int(m[3]) for m in marks] == data["true"]
    assert all((int(m[0]), int(m[1])) == scatter_map.sign(int(m[3])) for m in marks)
    xy = np.array([[float(m[4]), float(m[5])] for m in marks])
    assert (xy >= scatter_map.EDGE - 0.1).all()
    assert (xy <= np.array([scatter_map.WIDTH, scatter_map.HEIGHT]) - scatter_map.EDGE + 0.1).all()


def test_distances_keep_their_proportions():
    data = places()
    svg = str(scatter_map.svg(data, ""))
    found = np.array(re.findall(r' x="(\S+)" y="(\S+)"/>', svg), dtype=float)
    given = np.array([data["x"], data["y"]]).T
    ratio = np.linalg.norm(found[1:] - found[0], axis=1) / np.linalg.norm(given[1:] - given[0], axis=1)
    assert np.allclose(ratio, ratio[0], rtol=0.02)
    assert np.corrcoef(found[:, 1], given[:, 1])[0, 1] < 0, "up is up"


def test_mistakes_have_a_ring():
    data = places()
    wrong = sum(t != p for t, p in zip(data["true"], data["predicted"], strict=True))
    assert str(scatter_map.svg(data, "")).count('class="ring"') == wrong > 0


def test_one_image_and_many_at_one_place_do_not_divide_by_zero():
    one = {"x": [3.0, 3.0], "y": [1.0, 1.0], "true": [0, 1], "predicted": [0, None]}
    svg = str(scatter_map.svg(one, ""))
    assert f'x="{scatter_map.WIDTH / 2}"' in svg and "ring" not in svg
