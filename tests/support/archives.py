"""One set of pictures in every container."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("folder", "zip", "stored.zip", "tar", "tar.gz", "shards", "parquet")


def pictures(per_class: int = 4, classes: tuple[str, ...] = ("ants", "bees")) -> dict[str, bytes]:
    """Small JPEG files by their path."""
    rng = np.random.default_rng(0)
    files = {}
    for c, name in enumerate(classes):
        for number in range(per_class):
            pixels = rng.integers(0, 60, (24, 32, 3), dtype=np.uint8) + np.uint8(120 * (c % 2))
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
            files[f"{name}/{number}.jpg"] = buffer.getvalue()
    return files


def tar_of(files: Mapping[str, bytes], path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def zip_of(files: Mapping[str, bytes], path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def parquet_of(files: Mapping[str, bytes], path: Path, *, rows: int = 3) -> Path:
    """As the hub writes it: image{bytes,path}, label, class names in the schema's metadata."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    names = sorted({name.split("/")[0] for name in files})
    image = pa.array(
        [{"bytes": data, "path": name} for name, data in files.items()],
        type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    labels = pa.array([names.index(name.split("/")[0]) for name in files], type=pa.int64())
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table({"image": image, "label": labels}).replace_schema_metadata(about)
    pq.write_table(table, path, row_group_size=rows)
    return path


def written(files: Mapping[str, bytes], place: Path, kind: str) -> Path:
    """Write a set as one of `KINDS`; returns what names it."""
    place.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        for name, data in files.items():
            (place / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "pets" / name).write_bytes(data)
        return place / "pets"
    if kind == "zip":
        return zip_of(files, place / "pets.zip")
    if kind == "stored.zip":
        return zip_of(files, place / "pets.zip", zipfile.ZIP_STORED)
    if kind == "tar":
        return tar_of(files, place / "pets.tar")
    if kind == "tar.gz":
        return tar_of(files, place / "pets.tar.gz", "w:gz")
    if kind == "shards":
        names = list(files)
        for number in range(3):
            tar_of({name: files[name] for name in names[number::3]}, place / f"shard-{number:03d}.tar")
        return place / "shard-{000..002}.tar"
    if kind == "parquet":
        return parquet_of(files, place / "pets.parquet")
    raise ValueError(kind)
