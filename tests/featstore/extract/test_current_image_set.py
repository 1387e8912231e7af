"""The image set of a run: which images there are, which parts they are in, and what is said of the rest."""

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.extract.current_image_set import REPLACED, current_image_set, usual_name
from featstore.images.reading import Reading
from featstore.images.samples import write_textures


@pytest.fixture
def folder(tmp_path):
    return write_textures(tmp_path / "textures", per_class=4, seed=1)


def listed(folder, store=None, **options):
    how = {"dataset": None, "split": None, "split_seed": 0, "content": False, "report": lambda *now: None}
    return current_image_set(folder, store, **(how | options))


def test_images_are_named_like_their_folder_and_progress_is_a_scan(folder):
    told = []
    images, notes = listed(folder, report=lambda *now: told.append(now))
    assert (images.name, len(images), notes) == ("textures", 32, [])
    assert {stage for stage, *_ in told} == {"scan"} and told[-1][1] == told[-1][2] == 32
    assert listed(folder, dataset="other")[0].name == "other"


def test_a_held_out_part_is_kept_by_bytes_until_it_is_given_up(folder, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    held, _ = listed(folder, store, split={"test": 0.25})
    assert (held.splits == "test").sum() == 8 and (held.splits == "train").sum() == 24
    store.put_imageset(held)
    victim = sorted(folder.rglob("*.jpg"))[0]
    victim.rename(victim.with_name("zzz.jpg"))
    again, notes = listed(folder, store)
    assert notes == ["kept the parts held out by an earlier `split`; new images go to train"]
    part = {digest.tobytes(): split for digest, split in zip(held.digests, held.splits, strict=True)}
    assert [part[digest.tobytes()] for digest in again.digests] == again.splits.tolist()
    assert (listed(folder, store, split={})[0].splits == "").all()


def test_another_seed_draws_other_images(folder):
    first, second = (listed(folder, split={"val": 0.25}, split_seed=seed)[0].splits for seed in (0, 1))
    assert (first == "val").sum() == (second == "val").sum() and not np.array_equal(first, second)


def test_parts_that_the_data_brings_stay(folder, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    for part in ("train", "test"):
        write_textures(both / part, per_class=2, seed=len(part))
    images, notes = listed(both, split={"val": 0.5})
    assert set(images.splits) == {"train", "test"}
    assert notes == ["the data brings its own train/val/test parts; `split` changed nothing"]


def test_no_images_are_an_error(tmp_path):
    with pytest.raises(ImagesNotFoundError, match="nowhere"):
        listed(tmp_path / "nowhere")


@pytest.mark.parametrize("split", ["test=0.2", ["test", 0.2], {"test": "0.2"}, 0.2])
def test_a_split_that_is_no_mapping_of_parts_to_numbers_is_refused_with_one_that_is(folder, split):
    with pytest.raises(ImageSetError, match=r"`split` is .*expected a mapping .*`split=\{\"test\": 0\.2\}`"):
        listed(folder, split=split)


def test_other_images_do_not_take_the_place_of_a_data_set(folder, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(listed(folder)[0])
    moved = tmp_path / "elsewhere" / "textures"
    moved.parent.mkdir()
    folder.rename(moved)
    (note,) = listed(moved, store)[1]
    assert note == f"'textures' was read from {folder} and is read from {moved} now, 32 of 32 images as before"
    write_textures(tmp_path / "other" / "textures", per_class=4, seed=9)
    with pytest.raises(ImageSetError, match=r"has a data set 'textures' of 32 images from .*`dataset=\"NAME\"`"):
        listed(tmp_path / "other" / "textures", store)
    allowed = listed(tmp_path / "other" / "textures", store, reading=Reading(allow=[REPLACED]))
    assert allowed[1] == [f"'textures' was 32 images from {folder}; they are replaced"]
    assert listed(tmp_path / "other" / "textures", store, dataset="more")[1] == []


def test_pictures_in_memory_are_the_same_data_set_wherever_they_were_put(folder, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    pixels = [np.full((8, 8), grey, np.uint8) for grey in range(4)]
    for _ in range(2):
        with Pictures.of(pixels, ["a", "b", "a", "b"]) as pictures:
            images, notes = listed(pictures, store)
            store.put_imageset(images)
        assert (images.name, notes) == ("pictures", [])


def test_other_classes_than_in_the_last_run_are_told(folder, tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(listed(folder)[0])
    (folder / "dots").rename(folder / "points")
    assert "classes changed since the last run: 1 new, 1 gone, 8 now" in listed(folder, store)[1]


def test_a_name_that_an_earlier_version_cut_at_its_dot_stays(tmp_path):
    folder = write_textures(tmp_path / "birds.2024", per_class=1)
    store = FeatureStore(tmp_path / "s", create=True)
    assert usual_name(folder, store) == "birds.2024"
    store.put_imageset(listed(folder, dataset="birds")[0])
    assert usual_name(folder, store) == "birds"
    assert usual_name(write_textures(tmp_path / "birds.2025", per_class=1), store) == "birds.2025"
