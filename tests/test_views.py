import numpy as np
import torch

from classifiers.frame import to_tensor
from classifiers.views import Views
from tests.pictures import texture

PICTURE = to_tensor(texture(0, 40, 40)[None])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_view_that_does_not_move_is_the_centre():
    still = Views(32, jitter=0, zoom=0.0, degrees=0.0)
    drawn = still.draw(PICTURE, 2, generator())
    assert torch.allclose(drawn, PICTURE[..., 4:36, 4:36].expand(2, -1, -1, -1), atol=1e-5)
    assert torch.equal(still.plain(PICTURE), PICTURE[..., 4:36, 4:36])


def test_views_are_repeatable_and_differ():
    views = Views(32, jitter=4)
    first, again = views.draw(PICTURE, 3, generator()), views.draw(PICTURE, 3, generator())
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1], atol=1e-2)


def test_jitter_moves_by_so_many_pixels_and_no_more():
    ramp = torch.arange(40.0).expand(1, 3, 40, 40) / 40
    views = Views(20, jitter=5, zoom=0.0, degrees=0.0)
    drawn = views.draw(ramp, 64, generator())
    shifts = (drawn.mean((1, 2, 3)) - views.plain(ramp).mean()) * 40
    assert shifts.abs().max() <= 5 + 1e-3
    assert shifts.max() > 3 and shifts.min() < -3


def test_zoom_and_rotation_keep_the_centre():
    y, x = np.mgrid[-20:20, -20:20] + 0.5
    disc = torch.from_numpy(((x**2 + y**2) < 64).astype(np.float32)).expand(1, 3, 40, 40)
    drawn = Views(32, jitter=0, zoom=0.3, degrees=45).draw(disc, 16, generator())
    area = drawn.mean((1, 2, 3)) * 32 * 32 / (np.pi * 64)  # of a disc: the square of the zoom, whatever the rotation
    assert 0.45 < area.min() < 0.8 and 1.3 < area.max() < 1.8
    centre = (drawn[:, 0].flatten(1) @ torch.from_numpy(np.mgrid[0:32, 0:32][1].ravel()).float()) / drawn[:, 0].sum(
        (1, 2)
    )
    assert torch.allclose(centre, torch.full((16,), 15.5), atol=0.3)


def test_gradients_reach_the_whole_picture():
    picture = PICTURE.clone().requires_grad_(True)
    Views(32, jitter=8).draw(picture, 16, generator()).sum().backward()
    assert (picture.grad > 0).float().mean() > 0.95
