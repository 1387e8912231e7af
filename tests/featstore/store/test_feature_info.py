import pytest

from featstore.errors import AmbiguousFeaturesError, StoreNotFoundError
from featstore.store.feature_info import FeatureInfo, select_feature_sets, single_feature_set
from tests.support.store_inputs import fingerprint


def info(**changes) -> FeatureInfo:
    return FeatureInfo(fingerprint(**changes), 8, 10, 1, 1000, ())


INFOS = [
    info(),
    info(node="layer3"),
    info(backbone="vgg16", weights="random (seed 0)", weights_sha256="ab" * 32),
    info(backbone="vgg16", weights="file mine.pth", weights_sha256="cd" * 32),
]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"backbone": "resnet18"}, [0, 1]),
        ({"backbone": "resnet18", "node": "layer3"}, [1]),
        ({"weights": "IMAGENET1K_V1"}, [0, 1]),
        ({"weights": "none"}, [2]),
        ({"weights": "auto"}, [0, 1, 2, 3]),
        ({"weights": "/some/where/mine.pth"}, [3]),
        ({"weights": "ABABABAB"}, [2]),
        ({"weights": "cd" * 32, "pool": None}, [3]),
        ({"key": INFOS[2].key[:6].upper()}, [2]),
    ],
    ids=str,
)
def test_choose(selectors, expected):
    assert select_feature_sets(INFOS, selectors, "store") == [INFOS[i] for i in expected]


def test_a_short_hash_is_no_hash():
    with pytest.raises(StoreNotFoundError):
        select_feature_sets(INFOS, {"weights": "ababa"}, "store")


def test_nothing_fits_says_what_there_is():
    with pytest.raises(
        StoreNotFoundError, match='store holds no features with `backbone="resnet50"` `pool="avg"`; it holds'
    ) as e:
        select_feature_sets(INFOS[:2], {"backbone": "resnet50", "pool": "avg"}, "store")
    assert '`backbone="resnet18"` `node="layer3"` `pool="avg"` `weights="IMAGENET1K_V1"` `precision="fp32"`' in str(
        e.value
    )


def test_an_empty_store_says_how_to_fill_it():
    with pytest.raises(
        StoreNotFoundError, match="holds no features yet; run `featstore extract DATA --store 'my store'`"
    ):
        select_feature_sets([], {"backbone": "resnet50"}, "my store")


def test_the_only_one():
    assert single_feature_set(INFOS[:1], "store") is INFOS[0]


def test_several_are_told_apart_by_the_options_in_which_they_differ():
    with pytest.raises(AmbiguousFeaturesError) as caught:
        single_feature_set(INFOS[:2], "store")
    assert str(caught.value) == (
        '2 feature sets of store fit, expected one; choose with `node="avgpool"`; `node="layer3"`'
    )


def test_several_that_differ_in_no_option_are_told_apart_by_key():
    small = info(transform={"crop": 96})
    scaled = info(transform={"crop": 96, "jpeg_scaling": True})
    told = rf'`key="{small.key}"` \(96 px\); `key="{scaled.key}"` \(96 px jpeg-scaling\)'
    with pytest.raises(AmbiguousFeaturesError, match=told):
        single_feature_set([small, scaled], "store")
    other = info(transform={"crop": 96, "resize": 300})
    with pytest.raises(AmbiguousFeaturesError, match=f'`key="{small.key}"`; `key="{other.key}"`'):
        single_feature_set([small, other], "store")


def test_names_with_spaces_are_quoted():
    assert INFOS[2].describe(["weights"]) == '`weights="random (seed 0)"`'
