"""The one thing that pyproject.toml cannot say: a module in C, without which everything works as well, only slower."""

import os

from setuptools import Extension, setup

FLAGS = [] if os.name == "nt" else ["-O3", "-ffp-contract=off"]  # no fused multiply-add: the weights are Pillow's bits
LIBRARIES = [] if os.name == "nt" else ["m"]

setup(
    ext_modules=[
        Extension(
            "featstore._resample",
            ["featstore/_resample.c"],
            extra_compile_args=FLAGS,
            libraries=LIBRARIES,
            optional=True,  # an install without a compiler goes on
        )
    ]
)
