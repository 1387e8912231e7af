"""The supported networks: every torchvision builder of the VGG, ResNet and MobileNet families.

A plain table, so that listing them needs no torch. A test compares it with torchvision.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featstore.errors import UnknownNameError

PENULTIMATE = "avgpool"
"""The node whose numbers the classifier of every family starts from: the last feature map, pooled."""


@dataclass(frozen=True)
class BackboneInfo:
    """What is known about a network without building it.

    Attributes
    ----------
    name : str
        torchvision's builder.
    family : {"vgg", "resnet", "mobilenet"}
    parameters : int
        Number of parameters with the 1000-class head.
    width : int
        Numbers an image at the node `avgpool`.
    files : mapping of str to str
        Name of each member of torchvision's weights enum -> name of its file, best last.
    input_size : int
        Side of the input that the weights were trained for, pixels.

    Examples
    --------
    >>> info = BACKBONES["resnet50"]
    >>> info.family, info.width, info.default_weights
    ('resnet', 2048, 'IMAGENET1K_V2')
    """

    name: str
    family: str
    parameters: int
    width: int
    files: Mapping[str, str]
    input_size: int = 224

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the pretrained weights, torchvision's default last."""
        return tuple(self.files)

    @property
    def default_weights(self) -> str:
        """The name that `--weights auto` means."""
        return self.weights[-1]

    def cached(self) -> tuple[str, ...]:
        """Names of the pretrained weights whose files are in torch's download folder."""
        folder = checkpoint_folder()
        return tuple(name for name, file in self.files.items() if (folder / file).is_file())


def _known(family: str, width: int, rows: Mapping[str, tuple[int, tuple[str, ...]]]) -> dict[str, BackboneInfo]:
    known = {}
    for name, (parameters, hashes) in rows.items():
        files = {f"IMAGENET1K_V{i}": f"{name}-{digits}.pth" for i, digits in enumerate(hashes, 1)}
        if name == "vgg16":
            files = {"IMAGENET1K_FEATURES": "vgg16_features-amdegroot-88682ab5.pth", **files}
        known[name] = BackboneInfo(name, family, parameters, width, files)
    return known


BACKBONES: dict[str, BackboneInfo] = {
    **_known("vgg", 512, {
        "vgg11": (132863336, ("8a719046",)),
        "vgg11_bn": (132868840, ("6002323d",)),
        "vgg13": (133047848, ("19584684",)),
        "vgg13_bn": (133053736, ("abd245e5",)),
        "vgg16": (138357544, ("397923af",)),
        "vgg16_bn": (138365992, ("6c64b313",)),
        "vgg19": (143667240, ("dcbb9e9d",)),
        "vgg19_bn": (143678248, ("c79401a0",)),
    }),
    **_known("resnet", 512, {
        "resnet18": (11689512, ("f37072fd",)),
        "resnet34": (21797672, ("b627a593",)),
    }),
    **_known("resnet", 2048, {
        "resnet50": (25557032, ("0676ba61", "11ad3fa6")),
        "resnet101": (44549160, ("63fe2227", "cd907fc2")),
        "resnet152": (60192808, ("394f9c45", "f82ba261")),
        "resnext50_32x4d": (25028904, ("7cdf4587", "1a0047aa")),
        "resnext101_32x8d": (88791336, ("8ba56ff5", "110c445d")),
        "resnext101_64x4d": (83455272, ("173b62eb",)),
        "wide_resnet50_2": (68883240, ("95faca4d", "9ba9bcbe")),
        "wide_resnet101_2": (126886696, ("32ee1156", "d733dc28")),
    }),
    **_known("mobilenet", 1280, {"mobilenet_v2": (3504872, ("b0353104", "7ebf99e0"))}),
    **_known("mobilenet", 576, {"mobilenet_v3_small": (2542856, ("047dcff4",))}),
    **_known("mobilenet", 960, {"mobilenet_v3_large": (5483032, ("8738ca79", "5c1a4163"))}),
}  # fmt: skip
"""Every supported network by torchvision's name, smallest first in each family."""


def lookup(name: str) -> BackboneInfo:
    """The entry of a network.

    Raises
    ------
    UnknownNameError
        With close matches.
    """
    try:
        return BACKBONES[name]
    except KeyError:
        raise UnknownNameError("backbone", str(name), BACKBONES, "`featstore backbones` lists them") from None


def aliases(info: BackboneInfo) -> dict[str, tuple[str, str]]:
    """Names that are no module paths (or mean something else) -> module path and note."""
    last_map = "layer4" if info.family == "resnet" else "features"
    known = {PENULTIMATE: (last_map, f"the last feature map ({last_map}), pooled")}
    if info.family == "vgg":
        known["fc6"] = ("classifier.1", "first 4096-wide layer, after its ReLU")
        known["fc7"] = ("classifier.4", "second 4096-wide layer, after its ReLU")
    return known


def checkpoint_folder() -> Path:
    """Where torch keeps downloaded weights: `torch.hub.get_dir()/checkpoints`, found without torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
