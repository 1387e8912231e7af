import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from featstore import FeatureStore
from featstore.errors import ImageSetError, StoreDamagedError, StoreNotFoundError
from featstore_scripts.verify import verify
from tests.support.pictures import encode, texture
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows, tree

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify.py"


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("abcd", failed="c"), PROVENANCE)
    return store


def flip_shard(store):
    (path,) = (store.path / "features" / fingerprint().key / "shards").iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return path


def test_a_sound_store(store):
    result = CliRunner().invoke(verify, [str(store.path)])
    assert result.exit_code == 0
    assert "(every byte): 1 data set, 1 feature set, 3 rows, 1 failed\nno problems" in result.stdout
    document = json.loads(CliRunner().invoke(verify, [str(store.path), "--json"]).stdout)
    assert document["format"] == 1 and document["ok"] and document["rows"] == 3 and document["problems"] == []


def test_damage_is_listed_and_the_work_has_failed(store):
    path = flip_shard(store)
    result = CliRunner().invoke(verify, [str(store.path), "--json"])
    document = json.loads(result.stdout)
    assert not document["ok"]
    what = "its bytes do not have the hash that it is named by"
    assert document["problems"] == [{"path": str(path.relative_to(store.path)), "what": what, "mendable": True}]
    assert isinstance(result.exception, StoreDamagedError)
    assert str(result.exception) == f"1 problem in {store.path}, listed above; run `featstore repair {store.path}`"


def test_fast_does_not_read_shards(store):
    flip_shard(store)
    result = CliRunner().invoke(verify, [str(store.path), "--fast"])
    assert result.exit_code == 0 and "of feature shards only the sizes" in result.stdout


def test_left_overs_are_explained(store):
    (store.path / "tmp" / "x.part").write_bytes(b"x")
    result = CliRunner().invoke(verify, [str(store.path)])
    assert result.exit_code == 0 and "0 shards that no manifest names and 1 temporary file" in result.stdout


def test_as_a_process_damage_is_exit_status_1_and_one_sentence(store):
    flip_shard(store)
    done = subprocess.run([sys.executable, SCRIPT, store.path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("Error: 1 problem in ") and done.stderr.count("\n") == 1


def test_no_store(tmp_path):
    assert isinstance(CliRunner().invoke(verify, [str(tmp_path / "none")]).exception, StoreNotFoundError)


def test_content_compares_the_images_themselves(tmp_path, monkeypatch):
    from featstore.discovery.scanning import scan
    from tests.featstore.extract.test_content_check import picture_folder

    folder = picture_folder(tmp_path / "pets")
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(scan(folder))
    before = tree(store.path)
    sound = CliRunner().invoke(verify, [str(store.path), "--content", str(folder)])
    assert sound.exit_code == 0 and "read 4 images of pets: 0 changed, 0 gone, 0 unreadable, 0 new" in sound.stdout
    (folder / "a" / "0.png").write_bytes((folder / "b" / "1.png").read_bytes())
    result = CliRunner().invoke(verify, [str(store.path), "--content", str(folder)])
    assert "changed: a/0.png" in result.stdout and isinstance(result.exception, ImageSetError)
    assert "of the images of 'pets', listed above: 1 changed; run `featstore extract" in str(result.exception)
    document = json.loads(CliRunner().invoke(verify, [str(store.path), "--content", str(folder), "--json"]).stdout)
    assert not document["ok"] and document["content"]["changed"] == ["a/0.png"] and tree(store.path) == before


def test_rows_that_only_unnamed_shards_hold_are_no_harmless_left_overs(store):
    for path in (store.path / "features" / fingerprint().key / "manifests").iterdir():
        path.unlink()
    result = CliRunner().invoke(verify, [str(store.path)])
    assert result.exit_code == 0 and "harmless" not in result.stdout
    assert "hold 4 rows that nothing else holds; `featstore repair` brings them back" in result.stdout


def test_what_repair_cannot_mend_is_told_apart(store, tmp_path):
    (store.path / "features" / "0123456789abcdef").symlink_to(tmp_path)
    result = CliRunner().invoke(verify, [str(store.path)])
    assert "is a symbolic link; a store holds no links: put the folder itself there" in result.stdout
    assert str(result.exception).endswith("1 of them cannot be repaired: do what they say")


def test_content_is_read_as_it_was_extracted_or_as_options_say(tmp_path):
    from featstore.discovery.scanning import scan
    from featstore.images.reading import Reading

    flat = tmp_path / "flat"
    flat.mkdir()
    for number, name in enumerate(("cat.0", "cat.1", "dog.0")):
        (flat / f"{name}.png").write_bytes(encode(texture(number), "PNG"))
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(scan(flat, reading=Reading(labels="([a-z]+)[.][0-9]")))
    sound = CliRunner().invoke(verify, [str(store.path), "--content", str(flat)])
    assert sound.exit_code == 0 and "read 3 images of flat: 0 changed, 0 gone" in sound.stdout
    (tmp_path / "two.csv").write_text("file;kind\nflat/cat.0.png;cat\nflat/dog.0.png;dog\n")
    words = ["--content", str(tmp_path / "two.csv"), "--dataset", "flat", "--path-column", "file",
             "--label-column", "kind", "--root", str(tmp_path)]  # fmt: skip
    listed = CliRunner().invoke(verify, [str(store.path), *words, "--json"])
    document = json.loads(listed.stdout)
    assert document["content"]["images"] == 2
