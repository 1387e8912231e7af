"""Data, lists and pictures as people have them: for each case that people report, what a user gets.

The numbers are those of the cases; weights as people save them are in tests/featstore/backbone.
"""

import io
import json
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from featstore import FeatureStore
from featstore_scripts import options
from featstore_scripts.compare import compare
from featstore_scripts.extract import extract
from featstore_scripts.info import info
from featstore_scripts.train import train
from tests.support.pictures import encode, texture, write_tree

SMALL = ["--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", "32", "--engine", "eager", "-j", "0"]


@pytest.fixture
def run(capsys):
    def call(command, *arguments):
        with pytest.raises(SystemExit) as ended:
            options.run(command, [str(argument) for argument in arguments])
        output = capsys.readouterr()
        return ended.value.code, output.out, " ".join(output.err.split())

    return call


@pytest.fixture
def found(run, tmp_path):
    """Extract data; what was found, or the sentence that refuses them."""

    def read(data, *arguments, store="store"):
        status, out, err = run(extract, data, "-s", tmp_path / store, "-q", "--json", *SMALL, *arguments)
        return json.loads(out) if status == 0 else err

    return read


def pictures(folder, *names, start=0):
    """Small pictures, all different."""
    for number, name in enumerate(names, start):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".png": "PNG", ".avif": "AVIF", ".jp2": "JPEG2000"}.get(path.suffix.lower(), "JPEG")
        path.write_bytes(encode(texture(number), kind))
    return folder


def listed(folder, text, name="list.csv", each=4):
    """A list beside photos/a00.jpg, a01.jpg, ..."""
    pictures(folder, *(f"photos/a{i:02d}.jpg" for i in range(each)))
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def classes(document):
    """Images of each class and part."""
    return {part: {name: n for name, n in counts.items() if n} for part, counts in document["found"]["counts"].items()}


FOUR = "photos/a00.jpg,ant\nphotos/a01.jpg,ant\nphotos/a02.jpg,bee\nphotos/a03.jpg,bee\n"
TWO_CLASSES = {"": {"ant": 2, "bee": 2}}


@pytest.mark.parametrize("each", [1, 2, 3])
def test_1_very_few_images_a_class(run, found, tmp_path, each):
    write_tree(tmp_path / "photos", each=max(each, 2))
    found(tmp_path / "photos")
    status, _, err = run(
        train, tmp_path / "store", "--head", "mlp", "-o", tmp_path / "b", "--budget", "quick", "--allow-few"
    )
    assert status == 0, err


@pytest.mark.parametrize(
    ("first", "second"),
    [("training_set/training_set", "test_set/test_set"), ("seg_train/seg_train", "seg_test/seg_test"),
     ("Train", "Valid"), ("train", "holdout"), ("trainval", "test")],
)  # fmt: skip
def test_3_and_39_folders_of_parts_under_the_names_that_people_give_them(found, tmp_path, first, second):
    write_tree(tmp_path / "photos" / first, each=3)
    write_tree(tmp_path / "photos" / second, each=2, seed=50)
    document = found(tmp_path / "photos")
    assert sorted(len(counts) for counts in classes(document).values()) == [2, 2]
    assert "train" in classes(document) and "" not in classes(document)
    assert document["found"]["parts_from"] and document["found"]["labels_from"]


def test_3_folders_that_are_parts_and_nothing_else_are_refused(found, tmp_path):
    pictures(tmp_path / "photos", "train/1.jpg", "train/2.jpg", "test1/1.jpg", "test1/2.jpg")
    sentence = found(tmp_path / "photos")
    assert "lie in no class folder" in sentence and "--labels" in sentence


def test_4_deep_pictures_that_stay_dark_are_told_and_scaled_when_asked_for(run, found, tmp_path):
    for number in range(6):
        grey = texture(number)[..., 0].astype(np.uint16) << 4
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(path)
    document = found(tmp_path / "photos")
    assert document["found"]["formats"] == {"PNG 16-bit grey": 6}
    assert any("--bit-depth 12" in note for note in document["notes"])
    other = found(tmp_path / "photos", "--bit-depth", "12")
    assert other["features"][0]["key"] != document["features"][0]["key"] and not other["notes"]


def test_5_another_data_set_of_the_same_name_is_refused(found, tmp_path):
    for folder in "ab":
        write_tree(tmp_path / folder / "photos", each=3, seed=100 * ord(folder))
    found(tmp_path / "a" / "photos")
    sentence = found(tmp_path / "b" / "photos")
    assert "has a data set 'photos' of 6 images from" in sentence and "--dataset" in sentence
    assert found(tmp_path / "b" / "photos", "--dataset", "more")["dataset"] == "more"
    assert found(tmp_path / "b" / "photos", "--allow", "replaced-data-set")["dataset"] == "photos"
    assert FeatureStore(tmp_path / "store").datasets() == ["more", "photos"]


def test_5_names_are_not_cut_at_a_dot(found, tmp_path):
    for year in ("2024", "2025"):
        write_tree(tmp_path / f"birds.{year}", each=3, seed=int(year))
        assert found(tmp_path / f"birds.{year}")["dataset"] == f"birds.{year}"


@pytest.mark.parametrize(
    ("header", "cells"), [("is_valid", "False True False True"), ("set", "train test train test"),
                          ("Split", "Train dev train dev"), ("phase", "train eval train eval")],
)  # fmt: skip
def test_8_and_39_columns_of_parts(found, tmp_path, header, cells):
    rows = "".join(f"{row},{cell}\n" for row, cell in zip(FOUR.splitlines(), cells.split(), strict=True))
    document = found(listed(tmp_path, f"path,label,{header}\n{rows}"))
    assert {part: sum(counts.values()) for part, counts in classes(document).items()} in (
        {"train": 2, "val": 2},
        {"train": 2, "test": 2},
    )


def test_13_nested_classes_are_chosen_by_an_option(found, tmp_path):
    names = ("Hymenoptera/Formicidae/ants", "Hymenoptera/Apidae/bees", "Coleoptera/x/beetle")
    pictures(tmp_path / "bugs", *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    assert "--class-from top" in found(tmp_path / "bugs") and "--class-from leaf" in found(tmp_path / "bugs")
    assert classes(found(tmp_path / "bugs", "--class-from", "leaf")) == {"": {"ants": 2, "bees": 2, "beetle": 2}}
    assert len(classes(found(tmp_path / "bugs", "--class-from", "path"))[""]) == 3
    assert classes(found(tmp_path / "bugs", "--class-from", "top")) == {"": {"Coleoptera": 2, "Hymenoptera": 4}}


def test_14_labels_that_look_like_several(found, tmp_path):
    rows = "".join(f'photos/a{i:02d}.jpg,"{a},{b}"\n' for i, (a, b) in enumerate(
        [("ant", "red"), ("ant", "black"), ("bee", "red"), ("bee", "black")]
    ))  # fmt: skip
    sentence = found(listed(tmp_path, "path,label\n" + rows))
    assert "labels look like several" in sentence and "--allow several-labels" in sentence


@pytest.mark.parametrize(
    ("text", "options_"),
    [
        ("image,label\n" + FOUR, []),
        ("filename,class\n" + FOUR, []),
        ("file_name,label\n" + FOUR, []),
        ("id,breed\n" + FOUR.replace("photos/", "").replace(".jpg", ""), ["--root", "photos", "--suffix", ".jpg"]),
        ("id,breed\n" + FOUR.replace(".jpg", ""), []),
        ("path;label\n" + FOUR.replace(",", ";"), []),
        ("path\tlabel\n" + FOUR.replace(",", "\t"), []),
        ("sep=;\npath;label\n" + FOUR.replace(",", ";"), []),
        ("path,label\r\n" + FOUR.replace("/", "\\").replace("\n", "\r\n"), []),
        ("path, label\n" + FOUR.replace(",", ", "), []),
        (" path ,label \n" + FOUR.replace("\n", " \n"), []),
        (("path,label\n" + FOUR).encode("utf-16"), []),
        (b"\xef\xbb\xbf" + ("path,label\n" + FOUR).encode(), []),
        ("path,label\n" + FOUR + FOUR.splitlines()[0] + "\n", []),
        (",path,label\n" + "".join(f"{i},{row}\n" for i, row in enumerate(FOUR.splitlines())), []),
    ],
)
def test_26_to_35_lists_as_people_write_them(found, tmp_path, monkeypatch, text, options_):
    path = listed(tmp_path / "data", text)
    monkeypatch.chdir(tmp_path / "data")
    assert classes(found(path, *options_)) == TWO_CLASSES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.tsv", "path\tlabel\n" + FOUR.replace(",", "\t")),
        ("list.txt", FOUR.replace(",", " ")),
        (
            "list.jsonl",
            "".join(
                json.dumps(dict(zip(("file", "label"), row.split(","), strict=True))) + "\n" for row in FOUR.split()
            ),
        ),
    ],
)
def test_27_other_kinds_of_lists(found, tmp_path, name, text):
    assert classes(found(listed(tmp_path, text, name))) == TWO_CLASSES


def test_30_file_names_in_another_encoding(found, tmp_path):
    pictures(tmp_path, "umlaut/gr\u00fcn0.jpg", "umlaut/gr\u00fcn1.jpg", "umlaut/rot0.jpg", "umlaut/rot1.jpg")
    text = "path,label\n" + "".join(f"umlaut/{c}{i}.jpg,{c[0]}\n" for c in ("gr\u00fcn", "rot") for i in range(2))
    (tmp_path / "list.csv").write_bytes(text.encode("cp1252"))
    assert classes(found(tmp_path / "list.csv")) == {"": {"g": 2, "r": 2}}


def test_33_paths_from_the_working_directory(found, tmp_path, monkeypatch):
    listed(tmp_path / "data", "")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.csv").write_text("path,label\n" + FOUR)
    assert "--root" in found(tmp_path / "lists" / "all.csv")
    monkeypatch.chdir(tmp_path / "data")
    assert classes(found(tmp_path / "lists" / "all.csv")) == TWO_CLASSES


def test_34_one_missing_file_is_a_line_among_the_failed(found, tmp_path):
    document = found(listed(tmp_path, "path,label\n" + FOUR + "photos/gone.jpg,bee\n"))
    assert document["images"] == 5 and [entry["path"] for entry in document["failed"]] == ["photos/gone.jpg"]


def test_35_two_labels_of_one_image_are_refused_with_both_lines(found, tmp_path):
    sentence = found(listed(tmp_path, "path,label\n" + FOUR + "photos/a00.jpg,bee\n"))
    assert "line 2" in sentence and "line 6" in sentence


def test_36_rows_without_a_label(run, found, tmp_path):
    path = listed(tmp_path, "path,label\n" + FOUR + "photos/a04.jpg,\nphotos/a05.jpg,nan\n", each=6)
    document = found(path, "--unlabelled")
    assert document["images"] == 6 and document["found"]["unlabelled"] == 2 and classes(document) == TWO_CLASSES
    assert FeatureStore(tmp_path / "store").read().y.tolist() == [0, 0, 1, 1, -1, -1]
    left_out = found(path, store="other")
    assert left_out["images"] == 4 and any("2 rows" in note for note in left_out["found"]["notes"])


def test_37_groups_stay_together(run, found, tmp_path):
    rows = "".join(f"photos/a{i:02d}.jpg,{'ab'[i % 2]},p{i // 4}\n" for i in range(24))
    document = found(listed(tmp_path, "path,label,patient\n" + rows, each=24), "--group-column", "patient")
    assert document["found"]["groups"] == 6
    status, _, err = run(
        compare, tmp_path / "store", "-o", tmp_path / "r", "--heads", "centroid", "--budget", "quick", "-q"
    )
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert status == 0 and "group" in json.dumps(report["dataset"]), err


def test_41_tiny_imagenet(found, tmp_path):
    for i, wnid in enumerate(("n01", "n02")):
        pictures(tmp_path / "tiny", *(f"train/{wnid}/images/{wnid}_{j}.JPEG" for j in range(3)), start=10 * i)
    pictures(tmp_path / "tiny", "val/images/val_0.JPEG", "val/images/val_1.JPEG", "test/images/test_0.JPEG", start=40)
    (tmp_path / "tiny" / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n"
    )
    (tmp_path / "tiny" / "wnids.txt").write_text("n01\nn02\n")
    (tmp_path / "tiny" / "words.txt").write_text("n01\ttench\nn02\tgoldfish\n")
    document = found(tmp_path / "tiny")
    assert {part: sum(counts.values()) for part, counts in classes(document).items()} == {"train": 6, "val": 2}
    assert all(len(counts) == 2 for counts in classes(document).values())


def test_42_flat_folders(found, tmp_path):
    pictures(tmp_path / "flat", "cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg", "Abyssinian_1.jpg")
    sentence = found(tmp_path / "flat")
    assert "lie in no class folder" in sentence and "--unlabelled" in sentence and "--labels" in sentence
    assert found(tmp_path / "flat", "--unlabelled")["found"]["unlabelled"] == 5
    assert classes(found(tmp_path / "flat", "--labels", r"([A-Za-z]+)[._]\d+")) == {
        "": {"Abyssinian": 1, "cat": 2, "dog": 2}
    }


@pytest.mark.parametrize("pattern", ["cat|dog", "([a-z", "(zebra)"])
def test_42_a_bad_pattern_is_told(found, tmp_path, pattern):
    pictures(tmp_path / "flat", *(f"cat.{i}.jpg" for i in range(5)))
    sentence = found(tmp_path / "flat", "--labels", pattern)
    assert sentence.startswith("Error: ") and "defect" not in sentence
    if pattern == "(zebra)":
        assert "5" in sentence and "cat.0.jpg" in sentence


def test_46_avif_and_jpeg_2000(found, tmp_path):
    pictures(tmp_path / "new", "a/1.avif", "a/2.jpg", "b/1.jp2", "b/2.jpg")
    document = found(tmp_path / "new")
    assert document["failed"] == [] and document["found"]["formats"] == {"AVIF": 1, "JPEG": 2, "JPEG 2000": 1}


def test_47_what_a_file_is_instead(run, found, tmp_path):
    folder = pictures(tmp_path / "odd", "a/1.jpg", "b/1.jpg")
    (folder / "a" / "scan").write_bytes(bytes(128) + b"DICM" + bytes(64))
    (folder / "a" / "drawing").write_text("<!-- made by hand -->\n<svg xmlns='http://www.w3.org/2000/svg'/>")
    found(folder)
    _, out, _ = run(info, tmp_path / "store", "--json")
    reasons = {entry["path"]: entry["reason"] for entry in json.loads(out)["datasets"][0]["skipped_files"]}
    assert "DICOM" in reasons["a/scan"] and "SVG" in reasons["a/drawing"]


def test_48_truncated_pictures_are_taken_when_asked_for(found, tmp_path):
    folder = write_tree(tmp_path / "photos", each=3)
    path = folder / "ants" / "000.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    strict = found(folder)
    assert [entry["path"] for entry in strict["failed"]] == ["ants/000.jpg"]
    lenient = found(folder, "--allow-truncated")
    assert lenient["failed"] == [] and lenient["features"][0]["key"] != strict["features"][0]["key"]


def test_49_several_pages_are_told(found, tmp_path):
    folder = pictures(tmp_path / "scans", "a/1.jpg", "b/1.jpg")
    pages = [Image.fromarray(texture(i)) for i in range(3)]
    pages[0].save(folder / "a" / "2.tif", save_all=True, append_images=pages[1:])
    document = found(folder)
    assert document["failed"] == [] and any("first" in note for note in document["notes"])


def test_56_numbers_are_in_natural_order(found, tmp_path):
    pictures(tmp_path / "digits", *(f"{n}/{i}.jpg" for n in (1, 2, 10, 11) for i in range(1)))
    found(tmp_path / "digits")
    assert FeatureStore(tmp_path / "store").read().classes == ("1", "2", "10", "11")


def test_57_archives_are_read_in_place_and_compute_nothing_anew(found, tmp_path):
    folder = write_tree(tmp_path / "photos", each=3)
    first = found(folder, "--dataset", "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path))
    for ending, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
        with tarfile.open(tmp_path / f"photos{ending}", mode) as archive:
            archive.add(folder, "photos")
    for ending in (".zip", ".tar", ".tar.gz"):
        document = found(tmp_path / f"photos{ending}")
        assert (document["computed"], document["cached"]) == (0, 6) and classes(document) == classes(first), ending


def test_system_folders_are_no_classes(found, tmp_path):
    pictures(tmp_path / "photos", "cats/1.jpg", "dogs/1.jpg", "@eaDir/1.jpg", "__MACOSX/cats/1.jpg", "#recycle/1.jpg")
    (tmp_path / "photos" / "cats" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "photos" / "cats" / "._1.jpg").write_bytes(b"\0\5\x16\7")
    assert classes(found(tmp_path / "photos")) == {"": {"cats": 1, "dogs": 1}}


def test_one_name_in_two_unicode_forms_is_one_class(found, tmp_path):
    pictures(tmp_path / "photos", "train/caf\u00e9/1.jpg", "test/cafe\u0301/1.jpg", "train/tea/1.jpg", "test/tea/1.jpg")
    assert {part: len(counts) for part, counts in classes(found(tmp_path / "photos")).items()} == {
        "train": 2,
        "test": 2,
    }


@pytest.mark.parametrize("name", ["x" * 250, "one two  three", "-rf", "=1+1", "\u202eabc", "a'b\"c", "100%", "[red]"])
def test_odd_class_names(run, found, tmp_path, name):
    pictures(tmp_path / "photos", f"{name}/1.jpg", f"{name}/2.jpg", "plain/1.jpg", "plain/2.jpg")
    assert found(tmp_path / "photos")["images"] == 4
    assert run(info, tmp_path / "store")[0] == 0


def test_an_archive_of_nothing_or_of_archives_is_told(found, tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "Error: " in found(tmp_path / "empty.zip")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("cats/1.jpg", encode(texture(1)))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    sentence = found(tmp_path / "outer.zip")
    assert "archive" in sentence and "defect" not in sentence


def test_a_list_with_a_column_that_does_not_exist_names_close_ones(found, tmp_path):
    sentence = found(listed(tmp_path, "path,label\n" + FOUR), "--label-column", "lable")
    assert "label" in sentence and "lable" in sentence


def test_labels_of_another_data_set(found, tmp_path):
    pictures(tmp_path / "photos", *(f"{i}.jpg" for i in range(6)))
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"other{i}.jpg,x\n" for i in range(6)))
    sentence = found(tmp_path / "photos", "--labels", tmp_path / "labels.csv")
    assert "Error: " in sentence and "other0.jpg" in sentence and "0.jpg" in sentence


def test_the_same_bytes_in_two_classes(tmp_path):
    from featstore.discovery.scanning import scan

    folder = tmp_path / "photos"
    pictures(folder, "0.jpg")
    rows = "".join(f"0.jpg,class {i}\n" for i in range(2))
    (folder / "list.csv").write_text("path,label\n" + rows)
    with pytest.raises(Exception, match="line 2"):
        scan(folder / "list.csv")
    os.link(folder / "0.jpg", folder / "1.jpg")
    (folder / "list.csv").write_text("path,label\n0.jpg,a\n1.jpg,b\n")
    assert [d["name"] for d in scan(folder / "list.csv").about["doubts"]] == ["same-bytes-in-two-classes"]
