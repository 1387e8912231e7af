import numpy as np
import pytest
import torch
from torch import nn

from classifiers.heads import mlp_training
from classifiers.heads.mlp_training import MANY, BatchedMLP, steps_an_epoch, train_together, two_layers


def clouds(n, seed, d=12, k=3):
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    X = random.standard_normal((n, d)) + 2.0 * np.random.default_rng(9).standard_normal((k, d))[y]
    return torch.from_numpy(X).float(), torch.from_numpy(y)


def trained(sets, *, seeds, epochs=6, dropout=0.0, weights=None):
    weights = weights or [torch.ones(len(X)) for X, _ in sets]
    rows, codes = [X for X, _ in sets], [y for _, y in sets]
    *_, (epoch, networks) = train_together(
        rows, codes, weights, classes=3, hidden=16, dropout=dropout, weight_decay=0.1, epochs=epochs, seeds=seeds
    )
    assert epoch == epochs
    return networks


def test_networks_trained_together_are_those_trained_alone():
    sets = [clouds(150, 0), clouds(150, 1)]
    together = trained(sets, seeds=(3, 4))
    for i, seed in enumerate((3, 4)):
        alone = trained([sets[i]], seeds=(seed,))
        for whole, own in zip(together.tensors, alone.tensors, strict=True):
            torch.testing.assert_close(whole[i], own[0], rtol=1e-3, atol=1e-4)


def test_they_learn_what_torchs_own_optimiser_learns():
    """The same network, trained step by step by torch.optim.AdamW and torch's cross-entropy."""
    X, y = clouds(64, 0)  # one step an epoch: the order within it does not matter
    epochs, generator = 20, torch.Generator().manual_seed(5)
    start = BatchedMLP(12, 16, 3, [generator])
    network = start.network([0]).requires_grad_(True)
    averaged = [torch.zeros_like(p) for p in network.parameters()]
    decays = [{"params": [p], "weight_decay": 0.1 if p.ndim == 2 else 0.0} for p in network.parameters()]
    optimiser = torch.optim.AdamW(decays, lr=mlp_training.LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
    for step in range(1, epochs + 1):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(X), y, label_smoothing=mlp_training.SMOOTHING).backward()
        optimiser.step()
        schedule.step()
        for kept, p in zip(averaged, network.parameters(), strict=True):
            kept.lerp_(p.detach(), 1 - min(mlp_training.DECAY, step / (step + 10)))
    got = trained([(X, y)], seeds=(5,), epochs=epochs).network([0])
    for mine, theirs in zip(got.parameters(), averaged, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_every_row_is_seen_once_an_epoch_also_where_sets_differ_in_size():
    sizes = (130, 57)
    rows = [torch.arange(n, dtype=torch.float32)[:, None] for n in sizes]
    codes = [torch.arange(n) for n in sizes]
    weights = [torch.ones(n) for n in sizes]
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    seen = [[], []]
    for x, y, share in mlp_training._batches(rows, codes, weights, 3, generators):
        torch.testing.assert_close(share.sum(dim=1), torch.ones(2))
        for i in range(2):
            real = share[i] > 0
            assert torch.equal(x[i, :, 0][real].long(), y[i][real])
            seen[i] += y[i][real].tolist()
    assert [sorted(one) for one in seen] == [list(range(n)) for n in sizes]
    assert seen[0] != sorted(seen[0])


def test_a_weight_counts_as_often_as_the_row_would():
    X, y = clouds(60, 2)
    wrong = torch.where(torch.arange(60) < 20, (y + 1) % 3, y)
    heavy = torch.where(torch.arange(60) < 20, 0.01, 1.0)
    networks = trained([(X, wrong)], seeds=(0,), epochs=60, weights=[heavy])
    answers = networks.mean_logits([0], X).argmax(dim=1)
    assert (answers == y).float().mean() > 0.9


def test_the_mean_of_networks_is_one_network():
    X, _ = clouds(30, 0)
    networks = BatchedMLP(12, 16, 3, [torch.Generator().manual_seed(i) for i in range(3)])
    one = networks.network((0, 2))
    assert one[0].out_features == 32
    torch.testing.assert_close(one(X), networks.mean_logits((0, 2), X))
    torch.testing.assert_close(networks.mean_logits((1,), X), networks.logits(X.expand(3, -1, -1))[1])


def test_dropped_values_are_made_up_for():
    factors = mlp_training._dropped((100, 1000), 0.6, torch.Generator().manual_seed(0))
    assert factors.unique().tolist() == [0.0, pytest.approx(1 / 0.4, rel=0.01)]
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.02)
    assert mlp_training._dropped((7, 9), 0.0, torch.Generator()).unique().tolist() == [1.0]


def test_layers_are_copies_without_gradients():
    weight = torch.ones(4, 2)
    network = two_layers(weight, torch.zeros(4), torch.ones(3, 4), torch.zeros(3))
    weight.zero_()
    assert network(torch.ones(1, 2)).tolist() == [[8.0, 8.0, 8.0]]
    assert not any(p.requires_grad for p in network.parameters())


def test_many_rows_take_larger_batches():
    assert (steps_an_epoch(1), steps_an_epoch(65), steps_an_epoch(MANY - 1), steps_an_epoch(MANY)) == (1, 2, 32, 16)
