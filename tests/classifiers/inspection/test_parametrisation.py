import numpy as np
import pytest
import torch

from classifiers.inspection.lossless_crop import to_tensor
from classifiers.inspection.parametrisation import FourierPicture, PixelPicture, RandomViews
from tests.support.pictures import texture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("side", [31, 32])
@pytest.mark.parametrize("decorrelated", [True, False])
def test_a_picture_survives_the_way_into_the_spectrum_and_back(side, decorrelated):
    start = to_tensor(texture(0, side, side)[None]).clamp(0.03, 0.97)
    model = FourierPicture(side, generator(), start=start, decorrelated=decorrelated)
    assert torch.allclose(model(), start, atol=1e-4)


def test_the_picture_is_numpys_inverse_transform_of_the_weighted_spectrum():
    model = FourierPicture(16, generator(), decorrelated=False, contrast=0.5)
    spectrum = model.spectrum.detach().numpy()
    complex_ = spectrum[..., 0] + 1j * spectrum[..., 1]
    radius = np.sqrt(np.fft.fftfreq(16)[:, None] ** 2 + np.fft.rfftfreq(16)[None] ** 2)
    weighted = complex_ / np.maximum(radius, 1 / 16) / 16
    channels = np.fft.irfft2(weighted, s=(16, 16), norm="forward") / np.sqrt(1)
    expected = 1 / (1 + np.exp(-channels))
    np.testing.assert_allclose(model().detach().numpy()[0], expected, atol=1e-5)


def test_noise_is_grey_repeatable_and_of_the_seed():
    first, again, other = (FourierPicture(32, generator(seed))().detach() for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert abs(float(first.mean()) - 0.5) < 0.02 and 0 < float(first.std()) < 0.05


def test_a_step_on_the_spectrum_favours_low_frequencies_over_one_on_pixels():
    target = to_tensor(texture(0, 32, 32)[None])

    def roughness(model: torch.nn.Module) -> float:
        before = model().detach()
        (model() - target).square().sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01 * parameter.grad.sign()  # what Adam's first step does
        moved = (model().detach() - before)[0, 0].numpy()
        power = np.abs(np.fft.fft2(moved)) ** 2
        high = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32))) > 0.25
        return float(power[high].sum() / power.sum())

    assert roughness(FourierPicture(32, generator())) < 0.5 * roughness(PixelPicture(32, generator()))


def test_pixels_start_as_noise_or_as_the_picture():
    start = to_tensor(texture(0, 16, 16)[None]).clamp(0.03, 0.97)
    assert torch.allclose(PixelPicture(16, generator(), start=start)(), start, atol=1e-5)
    noise = PixelPicture(16, generator())().detach()
    assert float(noise.std()) > 0.2 and noise.min() >= 0 and noise.max() <= 1


def test_every_parameter_has_a_gradient():
    for model in (FourierPicture(16, generator()), PixelPicture(16, generator())):
        model().square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


PICTURE = to_tensor(texture(0, 40, 40)[None])


def generator_views(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_view_that_does_not_move_is_the_centre():
    still = RandomViews(32, jitter=0, zoom=0.0, degrees=0.0)
    drawn = still.draw(PICTURE, 2, generator_views())
    assert torch.allclose(drawn, PICTURE[..., 4:36, 4:36].expand(2, -1, -1, -1), atol=1e-5)
    assert torch.equal(still.plain(PICTURE), PICTURE[..., 4:36, 4:36])


def test_views_are_repeatable_and_differ():
    views = RandomViews(32, jitter=4)
    first, again = views.draw(PICTURE, 3, generator_views()), views.draw(PICTURE, 3, generator_views())
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1], atol=1e-2)


def test_jitter_moves_by_so_many_pixels_and_no_more():
    ramp = torch.arange(40.0).expand(1, 3, 40, 40) / 40
    views = RandomViews(20, jitter=5, zoom=0.0, degrees=0.0)
    drawn = views.draw(ramp, 64, generator_views())
    shifts = (drawn.mean((1, 2, 3)) - views.plain(ramp).mean()) * 40
    assert shifts.abs().max() <= 5 + 1e-3
    assert shifts.max() > 3 and shifts.min() < -3


def test_zoom_and_rotation_keep_the_centre():
    y, x = np.mgrid[-20:20, -20:20] + 0.5
    disc = torch.from_numpy(((x**2 + y**2) < 64).astype(np.float32)).expand(1, 3, 40, 40)
    drawn = RandomViews(32, jitter=0, zoom=0.3, degrees=45).draw(disc, 16, generator_views())
    area = drawn.mean((1, 2, 3)) * 32 * 32 / (np.pi * 64)  # of a disc: the square of the zoom, whatever the rotation
    assert 0.45 < area.min() < 0.8 and 1.3 < area.max() < 1.8
    centre = (drawn[:, 0].flatten(1) @ torch.from_numpy(np.mgrid[0:32, 0:32][1].ravel()).float()) / drawn[:, 0].sum(
        (1, 2)
    )
    assert torch.allclose(centre, torch.full((16,), 15.5), atol=0.3)


def test_gradients_reach_the_whole_picture():
    picture = PICTURE.clone().requires_grad_(True)
    RandomViews(32, jitter=8).draw(picture, 16, generator_views()).sum().backward()
    assert (picture.grad > 0).float().mean() > 0.95
