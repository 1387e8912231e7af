import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.advice.domain_distance import StatisticsDistance, domain_distance, statistics_distance
from featstore.backbone.backbone import Backbone
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint

NETWORK = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "IMAGENET1K_V1")


def pictures(folder, kind, count=24):
    """Colourful blocks, or dim noise: files, and the features that a store would hold of them."""
    folder.mkdir()
    rng, digests, names = np.random.default_rng(0), [], []
    for number in range(count):
        blocks = rng.integers(0, 256, (4, 4, 3)).repeat(10, 0).repeat(10, 1)
        noise = rng.integers(0, 40, (40, 40, 1)).repeat(3, 2)
        name = f"{number}.png"
        Image.fromarray((blocks if kind == "blocks" else noise).astype(np.uint8)).save(folder / name)
        digests.append(np.frombuffer(hashlib.sha256((folder / name).read_bytes()).digest(), np.uint8))
        names.append(name)
    X, y = np.zeros((count, 512), np.float32), np.arange(count) % 2
    paths = tuple(name.encode() for name in names)
    root = str(folder).encode()
    return FeatureSet(
        X, y, tuple(names), ("a", "b"), np.full(count, ""), np.stack(digests), NETWORK, "made", root, paths
    )


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A network whose running statistics are those of blocks."""
    made = Backbone("resnet18", "none", input_size=32)
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (64, 4, 4, 3)).repeat(8, 1).repeat(8, 2) / 255
    mean, std = np.array(made.transform.mean), np.array(made.transform.std)
    batch = torch.from_numpy((blocks - mean) / std).float().permute(0, 3, 1, 2)
    for module in made.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    made.network.train()
    with torch.no_grad():
        made.network(batch)
    made.network.eval()
    return made


def measured(backbone, features, **options):
    return statistics_distance(backbone, features, np.arange(len(features)), workers=0, **options)


def test_images_like_those_of_the_running_statistics_are_near_and_others_are_far(backbone, tmp_path):
    near = measured(backbone, pictures(tmp_path / "near", "blocks"))
    far = measured(backbone, pictures(tmp_path / "far", "noise"))
    assert near.reference == far.reference == "running statistics"
    assert near.images == 24
    assert near.shift < 0.215 < far.shift
    assert domain_distance([], 0.5, far, None).distance >= 0.5


def test_the_same_seed_gives_the_same_answer_and_leaves_the_network_as_it_was(backbone, tmp_path):
    features, before = pictures(tmp_path / "near", "blocks"), backbone.state_sha256()
    assert measured(backbone, features, seed=3) == measured(backbone, features, seed=3)
    assert backbone.state_sha256() == before
    assert not any(module._forward_pre_hooks for module in backbone.network.modules())


def test_without_running_statistics_photographs_stand_for_imagenet(tmp_path):
    plain = Backbone("resnet18", "none", input_size=32)
    assert measured(plain, pictures(tmp_path / "far", "noise")).reference == "photographs"


def test_what_cannot_be_measured_says_why(backbone, tmp_path):
    features = pictures(tmp_path / "near", "blocks")
    (tmp_path / "near" / "3.png").unlink()
    gone = measured(backbone, features)
    assert gone.shift is None
    assert "gone or have changed" in gone.reason
    assert "fewer than two" in statistics_distance(backbone, features, np.arange(1), workers=0).reason
    found = domain_distance([], 0.5, gone, None)
    assert found.distance is None
    assert "gone" in found.text


def test_class_overlap_speaks_only_where_the_statistics_do_not():
    seen = StatisticsDistance(0.30, images=64, reference="running statistics")
    assert domain_distance([], 0.5, seen, 0.95).distance == domain_distance([], 0.5, seen, 0.1).distance
    weak = domain_distance([], 0.5, StatisticsDistance(None, reason="no files"), 0.3)
    assert weak.distance == 1.0
    assert "weak sign" in weak.text


def test_the_line_between_similar_and_different_is_said_to_be_close():
    found = domain_distance(
        [("layer4", 0.9), ("avgpool", 0.9)], 0.5, StatisticsDistance(0.25, images=64, reference="photographs"), None
    )
    assert found.close
    assert "close to the line" in found.text
    assert json.loads(json.dumps(found.to_json()))["distance"] == pytest.approx(0.5)
