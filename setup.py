"""Builds the kernels (engine/oncue_engine/kernels): plain C, once for each level of x86-64. The rest: pyproject.toml.

Without a compiler, or on another machine, they are left out, and PyTorch's own operations do the work.
"""

import platform
from pathlib import Path

from setuptools import Extension, setup

_SOURCES = Path("engine/oncue_engine/kernels/csrc")
_FLAGS = (
    *("-std=gnu11", "-O3", "-g0", "-fvisibility=hidden"),
    # Sums may be reordered, so that loops vectorise. Infinities and NaN keep their meaning.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
)
_LEVELS = {"_v3": ("-march=x86-64-v3",), "_v4": ("-march=x86-64-v4", "-mprefer-vector-width=512")}

setup(
    ext_modules=[
        Extension(
            f"oncue_engine.kernels.{name}",
            sources=sorted(str(path) for path in _SOURCES.glob("*.c")),
            depends=sorted(str(path) for path in _SOURCES.glob("*.h")),
            extra_compile_args=[*_FLAGS, *level],
            extra_link_args=["-lm"],
            optional=True,
        )
        for name, level in _LEVELS.items()
        if platform.machine() == "x86_64"
    ]
)
