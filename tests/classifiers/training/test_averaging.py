"""The moving average of weights."""

import numpy as np
import torch
from torch import nn

from classifiers.training.averaging import Averaging, live_tensors, put


def test_the_average_follows_the_formula_and_counts_buffers_too():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = Averaging(module, 0.9)
    expected = {name: tensor.detach().clone().numpy() for name, tensor in live_tensors(module).items()}
    assert "1.running_mean" in expected and "1.num_batches_tracked" not in expected
    for step in range(30):
        with torch.no_grad():
            for tensor in live_tensors(module).values():
                tensor.add_(torch.randn_like(tensor))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in live_tensors(module).items():
            expected[name] = expected[name] * decay + tensor.detach().numpy() * (1 - decay)
    for name, value in expected.items():
        np.testing.assert_allclose(average.tensors[name].numpy(), value, rtol=1e-4, atol=1e-5)


def test_in_place_the_module_computes_with_the_average_and_gets_its_own_bits_back():
    module = nn.Linear(3, 2)
    average = Averaging(module, 0.5)
    with torch.no_grad():
        module.weight.add_(1.0)
    own = module.weight.detach().clone()
    x = torch.randn(4, 3)
    with average.in_place():
        torch.testing.assert_close(module(x), x @ average.tensors["weight"].T + average.tensors["bias"])
        assert not torch.equal(module.weight, own)
    assert torch.equal(module.weight, own)


def test_own_weights_come_back_after_an_error():
    module = nn.Linear(2, 2)
    average = Averaging(module, 0.5)
    put(live_tensors(module), {name: tensor + 1 for name, tensor in average.tensors.items()})
    own = module.weight.detach().clone()
    try:
        with average.in_place():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert torch.equal(module.weight, own)
