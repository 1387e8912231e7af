"""The one thing that pyproject.toml cannot say: modules in C, without which everything works as well, only slower."""

import os

from setuptools import Extension, setup

FLAGS = [] if os.name == "nt" else ["-O3", "-ffp-contract=off"]  # no fused multiply-add: the weights are Pillow's bits
LIBRARIES = [] if os.name == "nt" else ["m"]

setup(
    ext_modules=[
        Extension(
            f"featstore.{name}",
            [f"featstore/{name}.c"],
            depends=["featstore/_clones.h"],
            extra_compile_args=FLAGS,
            libraries=LIBRARIES,
            optional=True,  # an install without a compiler goes on
        )
        for name in ("_resample", "_sums")
    ]
)
