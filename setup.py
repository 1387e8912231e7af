"""What pyproject.toml cannot say: the rooms, found by looking, and the optional modules in C."""

import os

from setuptools import Extension, find_packages, setup

FLAGS = [] if os.name == "nt" else ["-O3", "-ffp-contract=off"]  # no fused multiply-add: the weights are Pillow's bits
LIBRARIES = [] if os.name == "nt" else ["m"]

setup(
    packages=[
        *find_packages(include=["featstore", "featstore.*", "classifiers", "classifiers.*"]),
        "featstore_scripts",
    ],
    package_dir={"featstore_scripts": "scripts"},
    ext_modules=[
        Extension(
            name,
            [f"{name.replace('.', '/')}.c"],
            depends=["featstore/_clones.h"],
            include_dirs=["featstore"],
            extra_compile_args=FLAGS,
            libraries=LIBRARIES,
            optional=True,  # an install without a compiler goes on
        )
        for name in ("featstore.decoding.pixels._resample", "featstore.store.format._sums")
    ],
)
