"""The command predict, as a user runs it."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from featstore.extract import extract as run_extraction
from featstore_scripts import options
from featstore_scripts.extract import extract
from featstore_scripts.predict import predict
from featstore_scripts.train import train
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
SMALL = ("--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", "32")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    write_tree(root / "images", each=6, splits=("train", "test"))
    run_extraction(
        root / "images", root / "store", engine="eager", workers=0, nodes=("features.3", "avgpool"), **NETWORK
    )
    return root


def run(command, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(command, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture(scope="module")
def bundle(place):
    with pytest.raises(SystemExit) as ended:
        options.run(train, [str(place / "store"), "--node", "avgpool", "--budget", "quick", "-o", str(place / "b")])
    assert ended.value.code == 0
    return place / "b"


def test_predict_writes_csv(place, bundle, capsys):
    status, out, err = run(predict, [bundle, place / "images" / "test", "--engine", "eager", "--top", "2"], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and err == "" and len(rows) == 12
    assert set(rows[0]) == {"image", "class", "probability", "class_2", "probability_2"}
    assert all({row["class"], row["class_2"]} == {"ants", "bees"} for row in rows)
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in rows)


def test_predict_prints_one_json_document_with_failures(place, bundle, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    image = place / "images" / "test" / "ants" / "000.jpg"
    status, out, _ = run(predict, [bundle, image, tmp_path, "--engine", "eager", "-j", "0", "--json"], capsys)
    document = json.loads(out)
    assert status == 0 and document["format"] == 1
    assert [p["image"] for p in document["predictions"]] == [str(image)]
    assert document["failed"][0]["image"].endswith("bad.jpg") and document["failed"][0]["reason"]


def test_how_the_engine_started_is_for_those_who_ask(place, bundle, capsys, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = [bundle, place / "images" / "test", "--engine", "openvino", "--device", "cpu", "-j", "0"]
    status, first, err = run(predict, [*words, "-v"], capsys)
    (entry,) = (tmp_path / "featstore" / "prepared").iterdir()
    assert status == 0 and err == f"engine: kept for the next start in {entry}\n"
    assert run(predict, [*words, "-v"], capsys) == (
        0, first, f"engine: started with what an earlier start prepared in {entry}\n"
    )  # fmt: skip
    entry.write_bytes(b"damaged")
    status, again, err = run(predict, [*words, "-v"], capsys)
    assert status == 0 and again == first and f"prepared in {entry} is not used: it is damaged" in err
    assert run(predict, words, capsys) == (0, first, "")
    status, out, _ = run(extract, [place / "images", "-s", tmp_path / "s", *SMALL, "-v", *words[2:]], capsys)
    assert status == 0 and f"\nengine: started with what an earlier start prepared in {entry}\n" in out


def test_predict_writes_to_a_file_and_never_over_one(place, bundle, capsys, tmp_path):
    arguments = [bundle, place / "images" / "test", "--engine", "eager", "-j", "0", "-o", tmp_path / "out.csv"]
    status, out, _ = run(predict, arguments, capsys)
    assert status == 0 and out == ""
    before = (tmp_path / "out.csv").read_text()
    assert before.startswith("image,class,probability\n") and before.count("\n") == 13
    status, _, err = run(predict, arguments, capsys)
    assert status == 1 and "exists already" in err
    assert (tmp_path / "out.csv").read_text() == before
    assert run(predict, [*arguments, "--overwrite"], capsys)[0] == 0


def test_nothing_that_can_be_classified_is_a_failure_with_reasons(bundle, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    status, out, err = run(predict, [bundle, tmp_path, "--engine", "eager", "-j", "0"], capsys)
    assert status == 1 and out == "image,class,probability\n"
    assert "failed: " in err and "bad.jpg" in err and "none of 1 images could be classified" in err


def test_a_submission_is_written_as_it_is_wanted(place, bundle, capsys, tmp_path):
    images = place / "images" / "test" / "ants"
    machine = ["--engine", "eager", "-j", "0"]
    status, out, err = run(predict, [bundle, images, "--columns", "id,label", "--id", "stem", *machine], capsys)
    lines = out.splitlines()
    assert (status, err) == (0, "") and lines[0] == "id,label" and lines[1].split(",")[0] == "000"
    assert {line.split(",")[1] for line in lines[1:]} <= {"ants", "bees"} and len(lines) == 7
    arguments = [bundle, images, "--wide", "--id", "name", "-o", tmp_path / "wide.csv", *machine]
    assert run(predict, arguments, capsys)[0] == 0
    rows = list(csv.DictReader((tmp_path / "wide.csv").open(newline="")))
    assert list(rows[0]) == ["id", "ants", "bees"] and rows[0]["id"] == "000.jpg"
    assert all(abs(float(row["ants"]) + float(row["bees"]) - 1) < 1e-6 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--wide", "--json"], "--wide and --columns are about CSV"),
        (["--columns", "id,label", "--json"], "--wide and --columns are about CSV"),
        (["--wide", "--top", "2"], "--top lists more classes than --wide has columns for"),
        (["--columns", "id"], "--columns has 1 name; expected two names or three"),
        (["--columns", "a,b,c,d"], "--columns has 4 names; expected two names or three"),
        (["--columns", "a,b", "--wide"], "--columns has 2 names; expected one name"),
    ],
)
def test_tables_that_do_not_go_together_are_wrong_usage(arguments, sentence, bundle, place, capsys):
    status, out, err = run(predict, [bundle, place / "images", *arguments], capsys)
    assert status == 2 and out == "" and sentence in err


def test_every_other_file_is_named_at_most_twenty_of_them_and_the_json_has_all(place, bundle, capsys, tmp_path):
    (tmp_path / "a.jpg").write_bytes((place / "images" / "test" / "ants" / "000.jpg").read_bytes())
    for i in range(23):
        (tmp_path / f"{i:02d}.PSD").write_bytes(b"8BPS" + bytes(60))
    (tmp_path / ".hidden").write_bytes(b"x")
    status, out, err = run(predict, [bundle, tmp_path, "--engine", "eager", "-j", "0"], capsys)
    said = err.splitlines()
    assert status == 0 and out.count("\n") == 2 and len(said) == 21
    assert said[0] == f"skipped: {tmp_path}/00.PSD: not a supported image: PSD"
    assert said[-1] == "skipped: and 3 more, 23 in all; --json lists them"
    status, out, err = run(predict, [bundle, tmp_path, "--engine", "eager", "-j", "0", "--json"], capsys)
    document = json.loads(out)
    assert (status, err) == (0, "") and len(document["skipped"]) == 23 and document["failed"] == []
    assert document["skipped"][3] == {"path": f"{tmp_path}/03.PSD", "reason": "not a supported image: PSD"}
    (tmp_path / "a.jpg").unlink()
    status, out, err = run(predict, [bundle, tmp_path], capsys)
    assert status == 1 and "23 other files, such as" in err and "00.PSD: PSD" in err


def test_a_list_is_classified_in_its_order(place, bundle, capsys, tmp_path):
    (tmp_path / "test.csv").write_text("id;breed\nbees/003;\nants/001;\n")
    arguments = [bundle, tmp_path / "test.csv", "--root", place / "images" / "test", "--suffix", ".jpg",
                 "--path-column", "id", "--id", "id", "--columns", "id,breed", "--engine", "eager",
                 "-j", "0"]  # fmt: skip
    status, out, err = run(predict, arguments, capsys)
    assert status == 0, err
    assert [line.split(",")[0] for line in out.splitlines()] == ["id", "bees/003", "ants/001"]


def test_an_output_that_is_not_utf_8_gets_odd_names_escaped_and_a_file_gets_them_whole(place, bundle, tmp_path):
    data = (place / "images" / "test" / "ants" / "000.jpg").read_bytes()
    (tmp_path / "in").mkdir()
    for name in ("Käfer.jpg", "猫.jpg"):
        (tmp_path / "in" / name).write_bytes(data)
    command = [sys.executable, "-m", "featstore_scripts.main", "predict", str(bundle), str(tmp_path / "in")]
    command += ["--engine", "eager", "-j", "0", "--id", "name", "--columns", "id,label"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [line.split(b",")[0] for line in done.stdout.splitlines()] == [b"id", b"K\xe4fer.jpg", b"\\u732b.jpg"]
    done = subprocess.run([*command, "-o", str(tmp_path / "out.csv")], capture_output=True, env=environment)
    assert done.returncode == 0
    assert (tmp_path / "out.csv").read_text("utf-8").splitlines()[1].startswith("Käfer.jpg,")


def test_ctrl_c_says_that_nothing_was_written(place, bundle, capsys, monkeypatch, tmp_path):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("classifiers.models.prediction.predict_images", interrupted)
    status, out, err = run(predict, [bundle, place / "images", "-o", tmp_path / "out.csv"], capsys)
    assert status == 130 and out == "" and err.split() == ["Nothing", "was", "written.", "Interrupted."]
    assert not (tmp_path / "out.csv").exists()


def test_a_store_is_no_bundle(place, capsys):
    status, _, err = run(predict, [place / "store", place / "images"], capsys)
    assert status == 1 and f"`featstore train {place / 'store'} -o BUNDLE`" in err


def test_no_bundle_is_one_sentence(capsys, tmp_path):
    (tmp_path / "b").write_bytes(b"nothing")
    status, _, err = run(predict, [tmp_path / "b", tmp_path], capsys)
    assert status == 1 and "is no bundle" in err
    status, _, err = run(predict, [tmp_path / "none", tmp_path], capsys)
    assert status == 1 and "no bundle at" in err


def test_help_is_quick_and_complete():
    done = subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", "predict", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "Usage" in done.stdout and "--overwrite" in done.stdout


def test_a_text_among_images_is_a_failed_line_and_notes_of_lists_are_about_what_matters(
    place, bundle, capsys, tmp_path
):
    image = place / "images" / "test" / "ants" / "000.jpg"
    (tmp_path / "readme.txt").write_text("These pictures are of ants,\nand of bees.\n")
    status, out, err = run(predict, [bundle, image, tmp_path / "readme.txt", "--engine", "eager", "-j", "0"], capsys)
    assert status == 0 and out.count("\n") == 2 and f"failed: {tmp_path / 'readme.txt'}: " in err
    (tmp_path / "l.csv").write_text(f"path,patient,remark\n{image},p1,dark\n")
    status, out, err = run(predict, [bundle, tmp_path / "l.csv", "--engine", "eager", "-j", "0"], capsys)
    assert status == 0 and out.count("\n") == 2 and "column" not in err
    status, _, err = run(predict, [bundle, image, "--columns", "a"], capsys)
    assert status == 2 and "--columns has 1 name;" in err
