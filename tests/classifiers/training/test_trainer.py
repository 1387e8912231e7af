"""The training loop: seeded, resumable to the bit, and safe where something goes wrong."""

import dataclasses
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training import learner as learner_file
from classifiers.training.augment import Augmentation
from classifiers.training.checkpoint import CheckpointFolder
from classifiers.training.collapse_watch import HALVINGS
from classifiers.training.learner import Learner, NotFiniteError
from classifiers.training.loaders import PixelLoader
from classifiers.training.optim import put
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.trainer import Trainer
from classifiers.training.unfreezing import UnfrozenNetwork
from classifiers.training.validation_answers import ValidationAnswers
from featstore.backbone import Backbone
from featstore.errors import DeviceError, TrainingError
from tests.support.pictures import texture
from tests.support.rates import take_rates_as_asked

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


SETTINGS = FineTuneSettings(
    reopen="features.9", epochs=3, batch_size=8, learning_rate=1e-3, head_rate=1e-2, ema=0.8, patience=9,
    augmentation=Augmentation(mixup=0.2), keep_any=True, warmup=0.05,
)  # fmt: skip


def pictures(count, side, seed):
    y = np.arange(count) % 2
    images = np.stack([texture(seed + i, side, side) // (1 + 2 * int(label)) for i, label in enumerate(y)])
    return images, y.astype(np.int64)


def pretrained():
    """Random weights whose batch norms know the data, so that the features tell images apart."""
    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    for module in backbone.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    backbone.network.train()
    with torch.no_grad():
        backbone.trunk(torch.from_numpy(pictures(26, 32, 0)[0]).permute(0, 3, 1, 2).float() / 128 - 1)
    backbone.network.eval()
    return backbone


def trainer(folder, settings=SETTINGS, identity=None, **changes):
    torch.manual_seed(0)
    backbone = pretrained()
    head = nn.Sequential(nn.LayerNorm(576), nn.Dropout(0.2), nn.Linear(576, 2))
    unfrozen = UnfrozenNetwork(ImageClassifier(backbone, head, ("bright", "dark")), settings.reopen)
    images, y = pictures(26, 46, 0)
    valid, y_valid = pictures(10, 32, 100)
    loader = PixelLoader(unfrozen, images, valid, settings.augmentation, 32, seed=settings.seed, device=CPU)
    learner = Learner(unfrozen, loader, y, settings, CPU)
    checkpoints = CheckpointFolder(folder)
    return Trainer(learner, y_valid, settings, identity=identity or {}, checkpoints=checkpoints, **changes), learner


def answering(right, largest=0.5):
    return ValidationAnswers(right, np.where(right, 0.2, 2.0), 0.5, largest)


def weights(learner):
    return {name: tensor.detach().clone() for name, tensor in learner.live.items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    run, learner = trainer(tmp_path_factory.mktemp("reference"))
    state = run.run()
    return state, weights(learner)


def test_it_learns_what_can_be_learnt(reference):
    state, _ = reference
    assert [entry["epoch"] for entry in state.history] == [0, 1, 2, 3]
    assert state.history[state.best]["valid_accuracy"] >= 0.9 > state.history[0]["valid_accuracy"]
    assert state.history[3]["valid_log_loss"] < state.history[0]["valid_log_loss"]
    assert state.step == 9 and state.epochs == 3  # 26 images are three batches of 8


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path, reference):
    run, learner = trainer(tmp_path / "a")
    run.run()
    assert_same_bits(weights(learner), reference[1])
    run, learner = trainer(tmp_path / "b", dataclasses.replace(SETTINGS, seed=1))
    run.run()
    assert not all(torch.equal(tensor, reference[1][name]) for name, tensor in weights(learner).items())


class Stop(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 3, 5, 8])
def test_a_run_that_is_broken_off_ends_with_the_same_bits(tmp_path, reference, monkeypatch, steps):
    monkeypatch.setattr("classifiers.training.trainer.SECONDS_A_CHECKPOINT", 0.0)  # a checkpoint at every step
    count = 0

    def break_off(stage, done, total, note):
        nonlocal count
        count += 1
        if count == steps:
            raise Stop

    run, _ = trainer(tmp_path, progress=break_off)
    with pytest.raises(Stop):
        run.run()
    run, learner = trainer(tmp_path)
    assert run.resume()
    assert run.state.step == steps
    state = run.run()
    assert_same_bits(weights(learner), reference[1])
    assert [e["loss"] for e in state.history] == [e["loss"] for e in reference[0].history]


def test_a_run_killed_with_sigkill_ends_with_the_same_bits(tmp_path, reference):
    program = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})
        import torch
        torch.set_num_threads(1)
        from tests.classifiers.training.test_trainer import trainer
        count = 0
        def kill(*report):
            global count
            count += 1
            if count == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        trainer({str(tmp_path)!r}, progress=kill)[0].run()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    run, learner = trainer(tmp_path)
    assert run.resume()
    assert run.state.step == 3  # the end of the first epoch
    run.run()
    assert_same_bits(weights(learner), reference[1])


def test_a_finished_run_is_not_run_again(tmp_path, reference):
    run, _ = trainer(tmp_path)
    run.run()
    again, learner = trainer(tmp_path)
    assert again.resume()
    before = again.state.step
    assert again.run().step == before
    assert_same_bits(weights(learner), reference[1])


def test_resuming_with_other_settings_is_refused_and_the_difference_named(tmp_path):
    run, _ = trainer(tmp_path, identity={"data": "one"})
    run.run()
    other = dataclasses.replace(SETTINGS, epochs=5, augmentation=Augmentation(mixup=0.5))
    run, _ = trainer(tmp_path, other, identity={"data": "one"})
    with pytest.raises(TrainingError, match=r"mixup was 0\.2, now 0\.5; epochs was 3, now 5.*`restart=True`"):
        run.resume()
    run, _ = trainer(tmp_path, identity={"data": "two"})
    with pytest.raises(TrainingError, match="data was one, now two"):
        run.resume()


def test_nothing_to_resume(tmp_path):
    run, _ = trainer(tmp_path)
    assert not run.resume()


def test_a_loss_that_becomes_nan_stops_names_the_step_and_leaves_the_best_weights(tmp_path, reference, monkeypatch):
    run, learner = trainer(tmp_path)
    inner = learner._loader.training

    def poisoned(rows, epoch):
        values = inner(rows, epoch)
        return values * float("nan") if epoch == 1 else values

    monkeypatch.setattr(learner._loader, "training", poisoned)
    with pytest.raises(NotFiniteError, match=r"loss became nan at step 4 \(epoch 2\)"):
        run.run()
    assert run.state.epochs == 1
    assert all(torch.isfinite(tensor).all() for tensor in weights(learner).values())
    run, learner = trainer(tmp_path)  # and the checkpoint is sound
    assert run.resume()
    run.run()
    assert_same_bits(weights(learner), reference[1])


def test_too_little_memory_halves_the_batch_and_changes_the_result_by_rounding_only(tmp_path, reference, monkeypatch):
    settings = dataclasses.replace(SETTINGS, augmentation=Augmentation())
    plain, plain_learner = trainer(tmp_path / "plain", settings)
    plain_learner.unfrozen.head[1].p = 0.0  # dropout draws differ between whole batches and parts
    plain.run()
    run, learner = trainer(tmp_path / "tight", settings)
    learner.unfrozen.head[1].p = 0.0
    inner = learner.unfrozen.forward

    def tight(value):
        if torch.is_grad_enabled() and len(value) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(value)

    monkeypatch.setattr(learner.unfrozen, "forward", tight)
    state = run.run()
    assert state.part == learner.part == 2
    for entry, other in zip(state.history, plain.state.history, strict=True):
        assert entry["valid_log_loss"] == pytest.approx(other["valid_log_loss"], rel=1e-2)
    monkeypatch.undo()
    again, learner = trainer(tmp_path / "tight", settings)
    again.resume()
    assert learner.part == 2


def test_no_memory_for_a_single_image_is_said(tmp_path, monkeypatch):
    run, learner = trainer(tmp_path)

    def none(value):
        if torch.is_grad_enabled():
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory")
        return torch.zeros(len(value), 2)

    monkeypatch.setattr(learner.unfrozen, "forward", none)
    with pytest.raises(DeviceError, match='not even one image fits.*`reopen="NODE"`'):
        run.run()


def test_an_error_that_is_not_about_memory_is_not_swallowed(tmp_path, monkeypatch):
    run, learner = trainer(tmp_path)

    def broken(value):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(learner.unfrozen, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run.run()


def test_it_stops_early_where_the_validation_gets_no_better(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=50, patience=2, learning_rate=1e-12, head_rate=1e-12)
    run, learner = trainer(tmp_path, settings)
    state = run.run()
    assert "no better validation for" in state.stopped
    assert state.epochs < 10


def test_the_best_epoch_is_kept_not_the_last(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=4, head_rate=30.0, warmup=0.9, ema=0.0, clip=1e9, keep_any=True)
    run, learner = trainer(tmp_path, settings)
    state = run.run()
    best = state.history[state.best]
    assert best["valid_accuracy"] == max(entry["valid_accuracy"] for entry in state.history)
    right, log_loss = learner_file.Learner.judge(_with_live_average(learner), pictures(10, 32, 100)[1])
    assert right.mean() == best["valid_accuracy"]
    assert log_loss == pytest.approx(best["valid_log_loss"])


def test_an_epoch_that_the_validation_cannot_tell_from_the_first_is_not_kept(tmp_path, monkeypatch):
    for gained, kept in (([0], 0), ([0, 1, 2, 3, 4], 1)):  # one more image right is luck, five are not
        answers = iter([set(), set(gained)])
        run, learner = trainer(tmp_path / str(kept), dataclasses.replace(SETTINGS, epochs=1, keep_any=False))
        before = weights(learner)
        monkeypatch.setattr(
            learner, "answers", lambda y, a=answers: answering(np.isin(np.arange(len(y)), list(next(a))))
        )
        assert run.run().best == kept
        assert all(torch.equal(t, before[name]) for name, t in weights(learner).items()) == (kept == 0)


COLLAPSING = dataclasses.replace(
    SETTINGS, epochs=6, learning_rate=1.0, head_rate=1.0, warmup=0.0, clip=1e9, keep_any=False, ema=0.0
)


@pytest.fixture
def untried(monkeypatch):
    """A collapse can be seen only where the rates are not tried first."""
    take_rates_as_asked(monkeypatch)


def knowing(folder, reference, settings=COLLAPSING, **changes):
    """A run that begins with weights that know the classes."""
    run, learner = trainer(folder, settings, **changes)
    put(run._best, reference[1])
    learner.begin_again(run._best, 1.0)
    return run, learner


def test_a_start_that_loses_what_it_knew_begins_again_with_half_of_the_rates(tmp_path, reference, untried):
    seen, notes = [], []
    run, learner = knowing(tmp_path, reference, log=seen.append, progress=lambda *now: notes.append(now[-1]))
    state = run.run()
    assert 1 <= len(state.collapses) <= HALVINGS + 1
    assert [c["rate_factor"] for c in state.collapses] == [0.5**i for i in range(len(state.collapses))]
    first = state.history[0]["valid_accuracy"]
    for collapse in state.collapses:
        assert collapse["valid_accuracy"] < first and collapse["step"] <= 9  # the first half of 18
    assert {entry["rate_factor"] for entry in seen} >= {1.0, 0.5}  # the log got every attempt
    assert any(note.startswith("rates x 0.5 after a collapse") for note in notes)
    if state.best == 0:  # and what is kept is what it began with
        assert_same_bits(weights(learner), {name: reference[1][name] for name in weights(learner)})
    assert run.seconds_per_epoch == pytest.approx(state.seconds / (state.steps_in_all / 3))


@pytest.mark.parametrize("steps", [2, 3])
def test_a_run_that_collapsed_and_was_broken_off_ends_with_the_same_bits(
    tmp_path, reference, monkeypatch, steps, untried
):
    monkeypatch.setattr("classifiers.training.trainer.SECONDS_A_CHECKPOINT", 0.0)
    whole, learner = knowing(tmp_path / "whole", reference)
    expected, expected_state = (whole.run(), weights(learner))[1], whole.state
    count = 0

    def break_off(stage, done, total, note):
        nonlocal count
        count += 1
        if count % steps == 0:
            raise Stop

    for _ in range(200):
        run, learner = knowing(tmp_path / "broken", reference, progress=break_off)
        run.resume()
        try:
            state = run.run()
            break
        except Stop:
            pass
    assert_same_bits(weights(learner), expected)
    assert state.collapses == expected_state.collapses and state.history == expected_state.history
    assert state.collapses


def test_a_loss_that_becomes_nan_at_the_start_is_a_collapse_too(tmp_path, reference, monkeypatch, untried):
    run, learner = knowing(tmp_path, reference, SETTINGS)
    inner, count = learner._loader.training, 0

    def poisoned(rows, epoch):
        nonlocal count
        count += 1
        return inner(rows, epoch) * (float("nan") if count == 2 else 1)

    monkeypatch.setattr(learner._loader, "training", poisoned)
    state = run.run()
    assert "the loss became nan at step 2" in state.collapses[0]["what"] and state.epochs == 3


def poison(learner, monkeypatch, first):
    """The loss is NaN from the so-manieth batch on."""
    inner, count = learner._loader.training, 0

    def poisoned(rows, epoch):
        nonlocal count
        count += 1
        return inner(rows, epoch) * (float("nan") if count >= first else 1)

    monkeypatch.setattr(learner._loader, "training", poisoned)


def test_nan_that_outlasts_every_halving_stops_with_what_it_began_with(tmp_path, reference, monkeypatch, untried):
    settings = dataclasses.replace(SETTINGS, keep_any=False)
    run, learner = knowing(tmp_path, reference, settings)
    poison(learner, monkeypatch, first=2)
    state = run.run()
    assert state.diverged and state.best == 0 and len(state.collapses) == HALVINGS + 1
    assert state.stopped == "the loss became nan at step 1 (epoch 1), even at 1/64 of the rates"
    assert_same_bits(weights(learner), {name: reference[1][name] for name in weights(learner)})
    again, _ = trainer(tmp_path, settings)
    assert again.resume() and again.run().stopped == state.stopped and again.state.diverged


def test_nan_in_the_second_half_stops_with_what_it_began_with_where_no_epoch_was_of_use(
    tmp_path, reference, monkeypatch, untried
):
    settings = dataclasses.replace(SETTINGS, keep_any=False, learning_rate=1e-9, head_rate=1e-9)
    run, learner = knowing(tmp_path, reference, settings)
    poison(learner, monkeypatch, first=8)
    state = run.run()
    assert state.diverged and state.best == 0 and state.collapses == [] and state.epochs == 2
    assert state.stopped == "the loss became nan at step 8 (epoch 3)"
    assert_same_bits(weights(learner), {name: reference[1][name] for name in weights(learner)})


def test_statistics_that_adapt_leave_no_count_of_batches(tmp_path):
    run, learner = trainer(tmp_path, dataclasses.replace(SETTINGS, adapt_statistics=True, epochs=1))
    norms = learner.unfrozen.batch_norms()
    before = [(norm.num_batches_tracked.clone(), norm.running_mean.clone()) for norm in norms]
    run.run()
    assert all(torch.equal(norm.num_batches_tracked, count) for norm, (count, _) in zip(norms, before, strict=True))
    assert not any(torch.equal(norm.running_mean, mean) for norm, (_, mean) in zip(norms, before, strict=True))


def test_rates_that_harm_the_training_images_are_not_begun_with(tmp_path, reference):
    run, _ = knowing(tmp_path, reference, dataclasses.replace(COLLAPSING, learning_rate=0.05, head_rate=0.05))
    state = run.run()
    assert [trial["worse"] for trial in state.trials[:-1]] == [True] * (len(state.trials) - 1) != []
    assert state.rate_factor == state.trials[-1]["factor"] * 0.5 ** len(state.collapses)
    assert state.history[1]["rate_factor"] == state.rate_factor


def test_the_training_starts_from_the_head_that_is_given_and_epoch_0_is_the_cached_one(tmp_path, reference):
    def start_head():
        calls.append(1)
        head = nn.Sequential(nn.LayerNorm(576), nn.Dropout(0.2), nn.Linear(576, 2))
        nn.init.zeros_(head[2].weight)
        nn.init.constant_(head[2].bias, 3.0)
        return head

    calls, still = [], dataclasses.replace(SETTINGS, learning_rate=1e-12, head_rate=1e-12, epochs=1, keep_any=False)
    run, learner = trainer(tmp_path, still, start_head=start_head)
    before = weights(learner)
    state = run.run()
    assert state.best == 0 and state.history[0]["valid_log_loss"] != pytest.approx(np.log(2), abs=1e-3)
    assert state.history[1]["valid_log_loss"] == pytest.approx(np.log(2), abs=1e-5)  # zeros tell nothing apart
    assert_same_bits(weights(learner), before)
    again, _ = trainer(tmp_path, still, start_head=start_head)
    assert again.resume() and torch.equal(again._head["head.2.bias"], torch.full((2,), 3.0))
    again.run()
    assert calls == [1]


def test_a_head_to_start_from_that_the_validation_finds_worse_is_no_collapse(tmp_path, reference):
    def start_head():
        head = nn.Sequential(nn.LayerNorm(576), nn.Dropout(0.2), nn.Linear(576, 2))
        nn.init.zeros_(head[2].weight)
        head[2].bias.data = torch.tensor([3.0, 0.0])  # one class for all images
        return head

    still = dataclasses.replace(COLLAPSING, learning_rate=1e-12, head_rate=1e-12, epochs=2)
    run, _ = knowing(tmp_path, reference, still, start_head=start_head)
    state = run.run()
    first, *later = state.history
    assert not state.collapses and all(entry["valid_accuracy"] == 0.5 for entry in later)
    assert first["valid_accuracy"] > 0.5 and run._begun.accuracy == 0.5
    again, _ = trainer(tmp_path, still, start_head=start_head)
    assert again.resume()
    for name in ("right", "losses", "log_loss", "largest"):
        assert np.array_equal(getattr(again._begun, name), getattr(run._begun, name))


def test_what_collapses_at_every_rate_stops_with_what_it_began_with(tmp_path, reference, monkeypatch):
    run, learner = knowing(tmp_path, reference, dataclasses.replace(COLLAPSING, learning_rate=1e-9, head_rate=1e-9))
    answers, calls = learner.answers, []

    def stuck(y, *, average=True):
        calls.append(average)
        found = answers(y, average=average)
        return found if len(calls) == 1 else answering(y == 0, largest=1.0)

    monkeypatch.setattr(learner, "answers", stuck)
    state = run.run()
    assert len(state.collapses) == HALVINGS + 1 and state.best == 0 and state.epochs == 0
    assert state.stopped == "the network lost what it began with, even at 1/64 of the rates"
    assert_same_bits(weights(learner), {name: reference[1][name] for name in weights(learner)})
    again, _ = trainer(tmp_path, dataclasses.replace(COLLAPSING, learning_rate=1e-9, head_rate=1e-9))
    assert again.resume() and again.run().stopped == state.stopped


def test_the_averaged_weights_alone_or_the_last_ones_alone_are_no_collapse(tmp_path, reference, monkeypatch):
    for bad in (True, False):
        settings = dataclasses.replace(COLLAPSING, learning_rate=1e-9, head_rate=1e-9, epochs=2)
        run, learner = knowing(tmp_path / str(bad), reference, settings)
        answers, calls = learner.answers, []

        def half(y, *, average=True, bad=bad, answers=answers, calls=calls):
            calls.append(average)
            found = answers(y, average=average)
            return answering(y == 0, largest=1.0) if len(calls) > 1 and average is bad else found

        monkeypatch.setattr(learner, "answers", half)
        assert not run.run().collapses


def test_a_training_from_scratch_has_nothing_to_lose(tmp_path, reference):
    run, _ = knowing(tmp_path, reference, dataclasses.replace(COLLAPSING, from_scratch=True, epochs=1))
    assert not run.run().collapses


def _with_live_average(learner):
    put(learner.average, weights(learner))
    return learner


def test_layers_behind_the_cut_move_and_those_before_it_do_not(tmp_path):
    run, learner = trainer(tmp_path)
    network = learner.unfrozen.classifier.backbone.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run.run()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved and all(int(name.split(".")[1]) >= 9 for name in moved)
    assert not any("running" in name for name in moved)


def test_class_weights_and_the_log_of_epochs(tmp_path):
    seen = []
    run, _ = trainer(tmp_path, dataclasses.replace(SETTINGS, class_weight="balanced", epochs=1), log=seen.append)
    run.run()
    assert [entry["epoch"] for entry in seen] == [0, 1]
    assert seen[1]["loss"] > 0 and 0 <= seen[1]["train_accuracy"] <= 1
