from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from classifiers.inspection.ideal import IdealSettings, search_ideal, total_variation
from classifiers.inspection.lossless_crop import to_tensor
from featstore.errors import TrainingError
from tests.support.pictures import texture
from tests.support.small_classifiers import small_classifier

torch.set_num_threads(1)
QUICK = IdealSettings(steps=40, views=2, jitter=3)


def find(settings=QUICK, target=1, **options):
    return search_ideal(small_classifier(side=32), target, side=36, size=32, settings=settings, **options)


def probability(picture: np.ndarray, target: int = 1) -> float:
    with torch.no_grad():
        return float(small_classifier(side=32)(to_tensor(picture[None, 2:34, 2:34])).softmax(1)[0, target])


def test_total_variation_is_the_sum_of_neighbours_differences():
    picture = texture(0, 9, 7).astype(float)
    expected = np.abs(np.diff(picture, axis=0)).sum() + np.abs(np.diff(picture, axis=1)).sum()
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None]
    assert float(total_variation(tensor)) == pytest.approx(expected)


def test_grey_noise_is_not_yet_every_class():
    starts = [find(replace(QUICK, steps=1), target=target).strip[0][2] for target in range(3)]
    assert sum(starts) == pytest.approx(1, abs=1e-4) and sorted(starts)[1] < 0.1


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_classifier_is_sure_of_the_picture_as_it_would_be_saved(target):
    found = find(target=target)
    assert found.picture.dtype == np.uint8 and found.picture.shape == (36, 36, 3)
    assert found.probability == pytest.approx(probability(found.picture, target), abs=1e-5)
    assert found.probability > 0.95


def test_the_variation_loss_calms_the_picture():
    calm, wild = find(), find(replace(QUICK, variation_weight=0.0))
    expected = np.abs(np.diff(calm.picture / 255, axis=0)).sum() + np.abs(np.diff(calm.picture / 255, axis=1)).sum()
    assert calm.total_variation == pytest.approx(expected, rel=1e-5)
    assert calm.total_variation < 0.7 * wild.total_variation
    assert max(wild.losses["variation"]) == 0


def test_the_loss_is_the_weighted_sum_of_its_parts_and_falls():
    losses = find().losses
    assert all(len(values) == 40 for values in losses.values())
    total = np.sum([losses[name] for name in ("cross-entropy", "variation", "l2")], axis=0)
    np.testing.assert_allclose(losses["loss"], total, rtol=1e-5)
    assert losses["loss"][-1] < losses["loss"][0]
    assert losses["cross-entropy"][-1] < 0.5 * losses["cross-entropy"][0]


def test_weights_mean_the_same_at_every_size():
    # a flat picture's only cost is l2: per pixel of a 224x224 picture, whatever its own size
    settings = replace(QUICK, steps=1, l2=1.0, variation_weight=0.0, class_weight=0.0)
    start = np.full((36, 36, 3), 51, dtype=np.uint8)  # logit(0.2) = -1.386
    found = find(settings, start=start)
    assert found.losses["l2"][0] == pytest.approx(3 * 224**2 * np.log(4) ** 2, rel=1e-3)


def test_softness_keeps_asking_when_the_class_is_nearly_certain():
    hard, soft = (find(replace(QUICK, softness=s, variation_weight=0.02)).losses["cross-entropy"] for s in (1.0, 4.0))
    assert soft[-1] > hard[-1]


def test_the_same_seed_gives_the_same_picture():
    first, again, other = find(seed=1), find(seed=1), find(seed=2)
    np.testing.assert_array_equal(first.picture, again.picture)
    assert (first.picture != other.picture).any()


@pytest.mark.parametrize("parameters", ["fourier", "pixels"])
def test_it_starts_from_an_image(parameters):
    start = texture(3, 36, 36)
    found = find(replace(QUICK, steps=32, parameters=parameters), start=start)
    step, picture, _ = found.strip[0]
    assert step == 0
    assert np.abs(picture.astype(int) - start).max() <= 6  # a spectrum of logits has no room for pure black and white
    assert found.strip[-1][0] == 32 and found.probability > found.strip[0][2]


def test_the_strip_goes_from_the_start_to_the_end():
    found = find()
    steps = [step for step, _, _ in found.strip]
    assert steps[0] == 0 and steps[-1] == 40 and steps == sorted(set(steps)) and len(steps) >= 5
    np.testing.assert_array_equal(found.strip[-1][1], found.picture)
    for _, picture, p in found.strip:
        assert p == pytest.approx(probability(picture), abs=1e-5)


class Broken(nn.Module):
    def forward(self, x):
        return torch.stack([x.sum((1, 2, 3)), x.sum((1, 2, 3)) / 0], 1)


def test_logits_that_are_not_finite_stop_the_search():
    with pytest.raises(TrainingError, match="the loss became nan at step 1; .* check its weights"):
        search_ideal(Broken(), 0, side=8, size=8, settings=QUICK)


def test_progress_counts_steps():
    calls = []
    find(replace(QUICK, steps=3), stage="cats", progress=lambda *call: calls.append(call))
    assert [call[:3] for call in calls] == [("cats", 1, 3), ("cats", 2, 3), ("cats", 3, 3)]


def test_fewer_classes_weigh_variation_less_and_ask_on_for_longer():
    assert IdealSettings.usual(1000) == IdealSettings()
    two, ten = IdealSettings.usual(2), IdealSettings.usual(10)
    assert two.variation_weight == pytest.approx(0.02 / 4.63, rel=1e-2) and two.softness == pytest.approx(
        18.5, rel=1e-2
    )
    assert two.variation_weight < ten.variation_weight < 0.02 and two.softness > ten.softness > 4
