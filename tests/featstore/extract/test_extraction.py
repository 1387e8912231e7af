"""The document of one run."""

import json

from featstore.extract.extraction import Extraction
from tests.support.store_inputs import fingerprint


def test_it_becomes_plain_json_with_the_stable_keys():
    run = Extraction(
        dataset="pets", images=5, computed=3, cached=1, failed=(("a/b.jpg", "truncated"),), seconds=1.23456,
        images_per_second=2.345678, waiting=0.5, preparation_seconds=0.25, features=((fingerprint(), 512),),
        provenance={"engine": "eager"}, notes=("a note",), remarks=(("a/c.tif", "the first of 2 pages"),),
    )  # fmt: skip
    document = json.loads(json.dumps(run.to_json(), allow_nan=False))
    assert document["format"] == 1 and document["dataset"] == "pets"
    assert (document["images"], document["computed"], document["cached"]) == (5, 3, 1)
    assert document["failed"] == [{"path": "a/b.jpg", "reason": "truncated"}]
    assert (document["seconds"], document["images_per_second"]) == (1.235, 2.35)
    assert document["features"][0]["key"] == fingerprint().key and document["features"][0]["dim"] == 512
    assert document["remarks"] == [{"path": "a/c.tif", "text": "the first of 2 pages"}]
    assert document["notes"] == ["a note"] and document["provenance"] == {"engine": "eager"}
