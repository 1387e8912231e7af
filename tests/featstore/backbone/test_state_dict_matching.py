"""State dicts as tools write them, made here from one network: each gives its tensors, or a true sentence."""

import argparse
import datetime
import pathlib
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

from featstore.backbone.architecture import build_network, random_state_dict
from featstore.backbone.backbone import Backbone
from featstore.backbone.state_dict_matching import NetworkTensors, find_copies
from featstore.backbone.weights import load_weights, state_dict_sha256
from featstore.errors import WeightsError

NAME = "resnet18"
STATE = random_state_dict(NAME, 7)
OTHER = random_state_dict(NAME, 8)
TRUNK = {key: value for key, value in STATE.items() if not key.startswith("fc.")}
MOBILE = random_state_dict("mobilenet_v2", 7)


PARAMETERS = {key: value for key, value in OTHER.items() if "running" not in key and "num_b" not in key}


def put(prefix, state):
    return {f"{prefix}{key}": value for key, value in state.items()}


def network(state=STATE):
    made = models.resnet18()
    made.load_state_dict(state)
    return made


def rename(state, old, new):
    return {key.replace(old, new, 1) if key.startswith(old) else key: value for key, value in state.items()}


def optimizer():
    made = torch.optim.Adam([nn.Parameter(torch.ones(3, 3))])
    made.param_groups[0]["params"][0].grad = torch.ones(3, 3)
    made.step()
    return made.state_dict()


def averaged():
    made = AveragedModel(network())
    return made.state_dict()


def thop():
    found = dict(STATE)
    for module in ["", *(name + "." for name, _ in network().named_modules() if name)]:
        found |= {f"{module}total_ops": torch.zeros(1).double(), f"{module}total_params": torch.zeros(1).double()}
    return found


def fully_sharded():
    found = {}
    for key, value in STATE.items():
        parts = key.split(".")
        at = 2 if parts[0].startswith("layer") else 0
        found[".".join(["_fsdp_wrapped_module", *parts[:at], "_fsdp_wrapped_module", *parts[at:]])] = value
    return found


def compiled_layers():
    return {
        key.replace("layer1.", "layer1._orig_mod.").replace("layer2.", "layer2._orig_mod."): v
        for key, v in STATE.items()
    }


def skipping():
    """A Sequential that lacks the pooling and the activation, whose numbers are others than torchvision's."""
    made = network()
    return nn.Sequential(made.conv1, made.bn1, made.layer1, made.layer2, made.layer3, made.layer4).state_dict()


def in_lists():
    """All blocks in one row of numbers, one level deeper than the network's own."""
    made = network()
    stem = nn.Sequential(made.conv1, made.bn1, nn.ReLU(), nn.MaxPool2d(3))
    return nn.Sequential(stem, *made.layer1, *made.layer2, *made.layer3, *made.layer4).state_dict()


SYNC = nn.SyncBatchNorm.convert_sync_batchnorm(network()).state_dict()

# What is written; what the short note says, "" for nothing; whether the whole network is there, and not only its trunk.
ZOO = {
    "plain": (STATE, "", True),
    "torchvision reference": (
        {"model": STATE, "optimizer": optimizer(), "lr_scheduler": {"last_epoch": 3}, "epoch": 3,
         "args": argparse.Namespace(lr=0.1, output_dir=pathlib.Path("out"), device=torch.device("cuda"))},
        "", True),
    "torchvision reference with EMA": (
        {"model": OTHER, "model_ema": averaged(), "args": argparse.Namespace()}, "took the averaged tensors", True),
    "DataParallel": (put("module.", STATE), "", True),
    "DistributedDataParallel of a compiled network": (put("module._orig_mod.", STATE), "", True),
    "torch.compile of layers": (compiled_layers(), "", True),
    "FSDP": (fully_sharded(), "", True),
    "opacus": (put("_module.", STATE), "", True),
    "SyncBatchNorm": (SYNC, "", True),
    "Lightning": (
        {"epoch": 1, "global_step": 5, "pytorch-lightning_version": "2.5.0", "state_dict": put("model.", STATE),
         "loops": {"fit_loop": {}}, "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.9)}},
         "optimizer_states": [optimizer()], "hyper_parameters": {"lr": 0.1, "path": pathlib.PurePosixPath("a")}},
        "", True),
    "Lightning with a loss weight": (
        {"state_dict": {**put("model.", STATE), "criterion.weight": torch.ones(10)}},
        "left out: criterion.weight", True),
    "Lightning with an EMA module": (
        {"state_dict": {**put("net.", OTHER), **put("ema_net.module.", STATE)}}, "took the averaged tensors", True),
    "Lightning WeightAveraging": (
        {"state_dict": put("model.", STATE), "current_model_state": put("model.", OTHER)},
        "Lightning puts them there before it saves, and leaves the others under 'current_model_state/model'", True),
    "mmengine with EMAHook": (
        {"meta": {}, "message_hub": {}, "state_dict": put("backbone.", STATE),
         "ema_state_dict": {"steps": torch.tensor(5), **put("module.backbone.", OTHER)}},
        "mmengine puts them there before it saves, and leaves the others under 'ema_state_dict/backbone'", True),
    "mmcv with EMAHook": (
        {"state_dict": {**put("backbone.", STATE),
                        **{f"ema_backbone_{k.replace('.', '_')}": v for k, v in OTHER.items() if "running" not in k}}},
        "took the averaged tensors, under 'state_dict/backbone': mmcv puts them there", True),
    "Adam by name": ({"model": STATE, "optimizer": {"exp_avg": PARAMETERS, "exp_avg_sq": PARAMETERS}}, "", True),
    "averages of an optimizer": ({"model": STATE, "opt": {"avg": PARAMETERS}}, "", True),
    "averages of gradients": ({"model": STATE, "avg_grads": PARAMETERS, "teacher_grad": OTHER}, "'teacher_grad', which "
        "are of training", True),
    "averages of no known kind": ({"model": STATE, "avg": PARAMETERS}, "", True),
    "counters in floating point": ({k: v.float() for k, v in STATE.items()}, "", True),
    "counters with one axis": ({k: v.reshape(1) if "num_b" in k else v for k, v in STATE.items()}, "", True),
    "solo-learn": (
        {"state_dict": {**put("backbone.", TRUNK), **put("momentum_backbone.", OTHER)}},
        "no classifier of torchvision's form", False),
    "a critic beside the encoder": (
        put("encoder.", TRUNK) | {"discriminator.fc.weight": torch.ones(1000, 512),
                                  "discriminator.fc.bias": torch.ones(1000)},
        "no classifier of torchvision's form; left out: discriminator.fc.weight", False),
    "timm checkpoint": (
        {"epoch": 2, "arch": "resnet18", "state_dict": OTHER, "state_dict_ema": STATE, "args": argparse.Namespace()},
        "took the averaged tensors", True),
    "AveragedModel": (averaged(), "n_averaged", True),
    "SWA beside the network": ({"model_state_dict": OTHER, "swa": averaged()}, "took the averaged tensors", True),
    "EMA of parameters by hand": (
        {"model": {**OTHER, **{k: v for k, v in STATE.items() if k.endswith(("running_mean", "running_var"))}},
         "ema": {"decay": 0.99, "shadow": {k: v for k, v in STATE.items() if "running" not in k and "num_b" not in k}}},
        "BatchNorm layers are those of 'model'", True),
    "thop": (thop(), "", True),
    "Cadene": (rename(STATE, "fc.", "last_linear."), "its classifier is called last_linear", True),
    "head.fc": (put("backbone.", TRUNK) | put("head.", {k: v for k, v in STATE.items() if k[:3] == "fc."}),
                "its classifier is called head.fc", True),
    "mmpretrain": (
        {"meta": {"epoch": 1, "time": "now", "CLASSES": ["a"]},
         "state_dict": put("backbone.", TRUNK) | {"head.fc.weight": torch.ones(5, 512), "head.fc.bias": torch.ones(5)}},
        "its classifier is called head.fc", False),
    "MoCo": (
        {"arch": "resnet18", "state_dict": {**put("module.encoder_q.", STATE), **put("module.encoder_k.", OTHER),
         "module.queue": torch.ones(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}},
        "under 'state_dict/encoder_q', and not 'state_dict/encoder_k', which only follow", True),
    "SimCLR": (
        put("encoder.", TRUNK) | {"projector.0.weight": torch.ones(512, 512), "projector.2.bias": torch.ones(9)},
        "left out: projector.0.weight", False),
    "SimCLR with the projector as fc": (
        {**TRUNK, "fc.0.weight": torch.ones(512, 512), "fc.0.bias": torch.ones(512), "fc.2.weight": torch.ones(9, 512),
         "fc.2.bias": torch.ones(9)}, "no classifier of torchvision's form", False),
    "BYOL": (
        {**put("net.", STATE), **put("online_encoder.net.", STATE), **put("target_encoder.net.", OTHER)},
        "which only follow", True),
    "DINO": (
        {"student": put("module.backbone.", OTHER),
         "teacher": {**put("backbone.", STATE), "head.mlp.0.weight": torch.ones(9, 512)}, "epoch": 3,
         "args": argparse.Namespace()}, "took the tensors of the teacher", True),
    "fastai learner.save": (
        {"model": {**put("0.", nn.Sequential(*list(network().children())[:-2]).state_dict()),
                   "1.2.weight": torch.ones(1024), "1.4.weight": torch.ones(512, 1024)}, "opt": optimizer()},
        "numbers stand for the outermost modules", False),
    "a network cut by Sequential": (
        nn.Sequential(*list(network().children())[:-1]).state_dict(), "numbers stand for the outermost modules", False),
    "a wrapped Sequential with an own head": (
        {**put("features.", nn.Sequential(*list(network().children())[:-1]).state_dict()),
         "out.weight": torch.ones(3, 512), "out.bias": torch.ones(3)}, "its classifier is called out", False),
    "a Sequential without pooling": (skipping(), "matched by order and shape", False),
    "blocks in one row": (in_lists(), "matched by order and shape", False),
    "HF Trainer": ({**put("model.base.", STATE), "loss_fct.weight": torch.ones(2)}, "left out: loss_fct.weight", True),
    "HF timm wrapper": (put("timm_model.", STATE), "", True),
    "accelerate": (put("module.", STATE), "", True),
    "ignite": ({"model": STATE, "trainer": {"iteration": 1}, "optimizer": optimizer()}, "", True),
    "catalyst": (
        {"model_state_dict": STATE, "epoch_metrics": defaultdict(dict, {"train": {"loss": np.float64(1)}})}, "", True),
    "detection": (
        {**put("backbone.body.", TRUNK), "backbone.fpn.inner_blocks.0.0.weight": torch.ones(2, 2, 1, 1),
         "rpn.head.conv.0.0.weight": torch.ones(2, 2, 3, 3)}, "left out: backbone.fpn.", False),
    "any other words": ({"net_state_dict": put("a.b_c.d1.", STATE), "stats": [1, None, "x"]}, "", True),
    "a tuple": ((3, STATE, optimizer()), "", True),
    "PEFT with a whole head": (
        {**put("base_model.model.", TRUNK), "base_model.model.fc.original_module.weight": torch.ones(2, 512),
         "base_model.model.fc.modules_to_save.default.weight": torch.ones(2, 512)},
        "no classifier of torchvision's form", False),
    "NumPy arrays": ({k: v.numpy() for k, v in STATE.items()}, "", True),
    "double precision": ({k: v.double() if v.is_floating_point() else v for k, v in STATE.items()}, "", True),
    "Parameters": ({k: nn.Parameter(v) if v.is_floating_point() else v for k, v in STATE.items()}, "", True),
    "plain things beside it": (
        {"weights": OrderedDict(STATE), "best": np.float32(0.5), "when": datetime.datetime.now(),
         "shape": torch.Size([1]), "dtype": torch.float16, "history": np.arange(3), "version": torch.__version__,
         "seen": {1, 2}, "range": range(3)}, "", True),
}  # fmt: skip


@pytest.mark.parametrize("tool", ZOO)
def test_a_file_of_a_tool_gives_the_tensors_of_the_plain_file(tmp_path, tool):
    content, note, whole = ZOO[tool]
    torch.save(content, tmp_path / "w.pth")
    found = load_weights(NAME, tmp_path / "w.pth")
    assert all(torch.equal(found.state[key], value) for key, value in TRUNK.items())
    assert {key.split(".")[0] for key in found.state if key not in TRUNK} <= {"fc"}
    assert (found.sha256 == state_dict_sha256(STATE)) is whole
    assert note in found.note if note else found.note == ""
    assert not note or note in found.record


def test_there_are_forty_of_them():
    assert len(ZOO) >= 40


@pytest.mark.parametrize("tool", ["MoCo", "fastai learner.save", "blocks in one row", "FSDP"])
def test_features_of_such_a_file_are_bit_equal(tmp_path, tool):
    torch.save(ZOO[tool][0], tmp_path / "w.pth")
    made = Backbone(NAME, tmp_path / "w.pth", input_size=64)
    reference = network().eval()
    reference.fc = nn.Identity()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(made.trunk(x)[0], reference(x), rtol=0, atol=1e-5)
        torch.save(STATE, tmp_path / "plain.pth")
        assert torch.equal(made.trunk(x)[0], Backbone(NAME, tmp_path / "plain.pth", input_size=64).trunk(x)[0])


def test_counters_that_half_precision_cannot_hold_are_none(tmp_path):
    torch.save({k: torch.tensor(1e6).half() if "num_b" in k else v for k, v in STATE.items()}, tmp_path / "w.pth")
    assert load_weights(NAME, tmp_path / "w.pth").sha256 == state_dict_sha256(
        {k: torch.tensor(0) if "num_b" in k else v for k, v in STATE.items()}
    )


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_rounded_tensors(tmp_path, half):
    torch.save(
        put("model.", {k: v.to(half) if v.is_floating_point() else v for k, v in STATE.items()}), tmp_path / "w.pth"
    )
    found = load_weights(NAME, tmp_path / "w.pth")
    assert all(
        torch.equal(found.state[k], v.to(half).to(v.dtype) if v.is_floating_point() else v) for k, v in STATE.items()
    )


@pytest.mark.parametrize("case", [
    (put("0.", {k.removeprefix("features."): v for k, v in MOBILE.items() if k[0] == "f"}),
     "numbers stand for the outermost modules"),
    (put("encoder.", {k.removeprefix("features."): v for k, v in MOBILE.items() if k[0] == "f"}), "lack 'features.'"),
    ({k.removeprefix("features."): v for k, v in MOBILE.items() if k[0] == "f"}, "lack 'features.'"),
    (put("base.", {k: v for k, v in MOBILE.items() if k[0] == "f"})
     | {"fc.weight": torch.ones(4, 1280), "fc.bias": torch.ones(4)}, "its classifier is called fc"),
    (put("features.module.", {k.removeprefix("features."): v for k, v in MOBILE.items() if k[0] == "f"})
     | {k: v for k, v in MOBILE.items() if k[0] == "c"}, ""),
])  # fmt: skip
@pytest.mark.parametrize("save", [torch.save, save_file])
def test_a_trunk_in_one_module_may_stand_behind_another_name(tmp_path, case, save):
    content, note = case
    save(content, tmp_path / "w.pth")
    found = load_weights("mobilenet_v2", tmp_path / "w.pth")
    assert all(torch.equal(found.state[k], v) for k, v in MOBILE.items() if k.startswith("features."))
    assert note in found.note if note else found.note == ""


def test_all_of_a_flat_sequential_but_its_own_head_is_taken(tmp_path):
    layers = models.mobilenet_v2().features
    layers.load_state_dict({k.removeprefix("features."): v for k, v in MOBILE.items() if k[0] == "f"})
    made = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 4))
    torch.save(made.state_dict(), tmp_path / "w")
    found = load_weights("mobilenet_v2", tmp_path / "w")
    assert all(torch.equal(found.state[k], v) for k, v in MOBILE.items() if k.startswith("features."))
    assert found.note.endswith("left out: 21.weight, 21.bias")


def changed(key, value, state=STATE):
    return {**state, key: value}


DEEPER = random_state_dict("resnet34", 1)
WRONG = {
    "a deeper network": (DEEPER, r"tensors are not expected \(layer1.2.conv1.weight, .*it fits resnet34: use"),
    "a wrapped deeper network": (put("module.model.", DEEPER), "it fits resnet34: use"),
    "squeeze and excitation": (
        changed("layer1.0.se.fc.weight", torch.ones(4, 64, 1, 1)), r"tensor is not expected \(layer1.0.se.fc.weight"),
    "LoRA beside the convolutions": (
        changed("layer1.0.conv1.lora_A.default.weight", torch.ones(4, 64, 3, 3)), "expected .layer1.0.conv1.lora_A"),
    "biases of convolutions": (changed("conv1.bias", torch.ones(64)), r"not expected \(conv1.bias\)"),
    "another shape": (changed("conv1.weight", torch.ones(64, 3, 3, 3)), r"conv1.weight is \(64, 3, 3, 3\), not"),
    "a tensor is missing": (
        {"encoder": {k: v for k, v in STATE.items() if k != "bn1.bias"}},
        r"behind 'encoder/' 1 tensor is missing \(bn1.bias\)"),
    "pruned": (rename(STATE, "conv1.weight", "conv1.weight_orig"), r"1 tensor is missing \(conv1.weight\)"),
    "quantised": (
        changed("conv1.weight", torch.quantize_per_tensor(STATE["conv1.weight"], 0.1, 0, torch.qint8)), "quantised"),
    "sparse": (changed("conv1.weight", STATE["conv1.weight"].to_sparse()), "torch.sparse_coo under 'conv1.weight'"),
    "without numbers": (changed("conv1.weight", torch.empty(64, 3, 7, 7, device="meta")), "without its numbers"),
    "whole numbers": (changed("conv1.weight", torch.ones(64, 3, 7, 7, dtype=torch.int8)), "conv1.weight is int8"),
    "Keras-like names": ({"conv1_conv/kernel:0": torch.ones(7, 7, 3, 64)}, "100 tensors are missing"),
    "two networks": ({**put("left.", STATE), **put("right.", OTHER)}, "under 'left' and under 'right', and nothing"),
    "student and teacher": (
        {**put("student.", STATE), **put("teacher.", OTHER)}, "under 'student' and under 'teacher', and nothing"),
    "best and current": ({"best": STATE, "current": OTHER}, "under 'best' and under 'current', and nothing"),
    "before and after": ({"pretrained": OTHER, "finetuned": TRUNK}, "under 'pretrained' and under 'finetuned', and"),
    "only gradients": ({"grads": STATE}, "only under 'grads', whose name speaks of an optimizer, of gradients"),
    "a Sequential of a smaller network": (
        nn.Sequential(*list(network().children())[:-3]).state_dict(), "tensors are missing .layer4.0.conv1.weight"),
    "the same shapes in another order": (
        {f"{i}.weight": v for i, v in enumerate(reversed(list(TRUNK.values())))}, "tensors are missing"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_the_network_is_refused_with_what_differs(tmp_path, kind):
    content, match = WRONG[kind]
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=match):
        load_weights(NAME, tmp_path / "w.pth")


def test_of_equal_trunks_the_one_with_more_of_the_network_is_taken(tmp_path):
    torch.save({"encoder": put("x.", TRUNK), "whole": {k: v.clone() for k, v in STATE.items()}}, tmp_path / "w.pth")
    assert load_weights(NAME, tmp_path / "w.pth").sha256 == state_dict_sha256(STATE)


def test_copies_with_equal_tensors_are_no_question(tmp_path):
    torch.save({"a": STATE, "b": dict(STATE)}, tmp_path / "w.pth")
    assert load_weights(NAME, tmp_path / "w.pth").note == ""


def test_averages_that_make_no_network_are_told(tmp_path):
    torch.save({"model": STATE, "ema": {"shadow_params": list(STATE.values())}, "opt": optimizer()}, tmp_path / "w.pth")
    found = load_weights(NAME, tmp_path / "w.pth")
    assert found.sha256 == state_dict_sha256(STATE)
    assert "averaged tensors under 'ema' have no names and were left" in found.note


def test_the_record_tells_prefix_counters_and_places(tmp_path):
    torch.save({"state_dict": put("module.net.", thop()), "optimizer": optimizer()}, tmp_path / "w.pth")
    found = load_weights(NAME, tmp_path / "w.pth")
    assert found.note == ""
    assert "stand behind 'state_dict/module.net.'" in found.record and "counters were left out" in found.record
    assert "tensors were left out, under 'optimizer'" in found.record


def test_every_network_finds_itself_and_no_other_in_its_own_state():
    built = {}
    for name in ("resnet18", "resnet34", "resnet50", "wide_resnet50_2", "vgg11", "vgg13_bn", "mobilenet_v3_small"):
        made = build_network(name)
        state = made.state_dict()
        head = "fc." if "fc.weight" in state else "classifier."
        built[name] = (
            state,
            NetworkTensors(
                {k: v for k, v in state.items() if not k.startswith(head)},
                {k: v for k, v in state.items() if k.startswith(head)},
                tuple(child for child, _ in made.named_children()),
            ),
        )
    for name, (state, _) in built.items():
        fitting = [other for other, (_, wanted) in built.items() if find_copies(wanted, put("x.", state))[0]]
        assert fitting == [name]
