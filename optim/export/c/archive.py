"""The zip of C sources: the model as constant arrays, the runner, one sample, a Makefile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from math import prod

import numpy as np

from optim.data.task import Classification
from optim.errors import ExportError
from optim.export.archive import zip_of
from optim.export.c.operations import integer_program
from optim.export.c.program import Operation, Program
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.runtime.deployed import deployed_dataflow, deployed_graph
from optim.runtime.session import InferenceSession, runtime_name

__all__ = ["c_archive", "program_of", "source"]

_PER_LINE = 16


def program_of(bundle: ModelBundle) -> Program:
    """Return the integer program of a model.

    Raises:
        ExportError: If the runner lacks an operation of the model; says which.
    """
    program = integer_program(deployed_graph(bundle), deployed_dataflow(bundle))
    if prod(program.input.shape) != prod(bundle.spec.shape):
        raise ExportError(
            f"The C runner takes one sample at a time, and this file is fixed to "
            f"{' x '.join(map(str, program.input.shape))}.",
            hint="Export it anew for one sample, or for any number of them.",
        )
    return program


def c_archive(bundle: ModelBundle, recipe: str, inputs: np.ndarray) -> bytes:
    """Return the zip of C sources of a model.

    Args:
        bundle: The model, quantized to integers of at most 8 bits everywhere.
        recipe: The recipe as YAML.
        inputs: ``(n, ...)`` normalised samples: the first goes into the archive, and the outputs of
            all tell their range.

    Raises:
        ExportError: If the runner lacks an operation of the model; says which.
    """
    program = program_of(bundle)
    session = InferenceSession.open(deployed_graph(bundle), 1, bundle.interface)
    return zip_of(
        {
            "README.md": _readme(bundle, program),
            "Makefile": source("Makefile"),
            "main.c": source("main.c"),
            "model.c": _model_source(program),
            "model.h": _model_header(bundle, program),
            "runner.c": source("runner.c"),
            "runner.h": source("runner.h"),
            "sample.h": _sample(program, inputs[:1], session.whole(inputs)),
            "recipe.yaml": recipe,
        }
    )


def source(name: str) -> str:
    """Return a file that is the same for every model."""
    return (resources.files("optim.export.c") / "sources" / name).read_text(encoding="utf-8")


# --- the model ------------------------------------------------------------------------------------


def _model_header(bundle: ModelBundle, program: Program) -> str:
    shape = " x ".join(map(str, bundle.spec.shape))
    assert program.input.grid is not None
    return f"""/* {_one_line(bundle.name)}, by optim: see README.md. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

/* One sample of {shape} signed bytes, channels first:
 * integer = round(value / MODEL_INPUT_SCALE) + MODEL_INPUT_ZERO, limited to
 * MODEL_INPUT_LOW..MODEL_INPUT_HIGH; value is the input after normalisation. */
#define MODEL_INPUT_COUNT {prod(program.input.shape)}
#define MODEL_INPUT_SCALE {_real(program.input.grid.scale)}
#define MODEL_INPUT_ZERO ({program.input_zero_point})
#define MODEL_INPUT_LOW ({program.input_limits[0]})
#define MODEL_INPUT_HIGH ({program.input_limits[1]})

/* The result: value = MODEL_OUTPUT_SCALE * integer. */
#define MODEL_OUTPUT_COUNT {program.output_count}
#define MODEL_OUTPUT_SCALE {_real(program.output_scale)}

/* RAM for activations, and constants in flash. */
#define MODEL_ARENA_BYTES {program.arena}
#define MODEL_CONSTANT_BYTES {program.constants}

/* Where the sample is put before model_run; its bytes are written over by it. */
int8_t *model_input(void);

void model_run(void);

/* One number of the result, 0 <= index < MODEL_OUTPUT_COUNT; valid until the next sample is put. */
int32_t model_output(int32_t index);

#endif
"""


def _model_source(program: Program) -> str:
    arrays = [line for i, op in enumerate(program.operations) for line in _arrays(i, op)]
    operations = [line for i, op in enumerate(program.operations) for line in _operation(i, op)]
    return "\n".join(
        [
            '#include "model.h"',
            "",
            '#include "runner.h"',
            "",
            "static int8_t arena[MODEL_ARENA_BYTES];",
            "",
            *arrays,
            "static const runner_operation operations[] = {",
            *operations,
            "};",
            "",
            "int8_t *model_input(void)",
            "{",
            f"    return arena + {program.input_offset};",
            "}",
            "",
            "void model_run(void)",
            "{",
            f"    runner_run(operations, {len(program.operations)}, arena);",
            "}",
            "",
            "int32_t model_output(int32_t index)",
            "{",
            f"    return runner_result(arena + {program.output_offset}, index);",
            "}",
            "",
        ]
    )


def _fields(op: Operation) -> dict[str, np.ndarray]:
    return {"multipliers": op.scaling.multipliers, "shifts": op.scaling.shifts, **op.arrays}


def _arrays(index: int, op: Operation) -> Iterator[str]:
    for field, values in _fields(op).items():
        yield f"static const {values.dtype.name}_t op{index}_{field}[{values.size}] = {{"
        yield from _lines(str(value) for value in values.reshape(-1).tolist())
        yield "};"
        yield ""


def _operation(index: int, op: Operation) -> Iterator[str]:
    names = {field: f"op{index}_{field}" for field in _fields(op)}
    numbers = {**op.numbers, "scales": len(op.scaling.shifts)}
    yield f"    /* {_one_line(op.name)} */"
    yield "    {"
    yield f"        .kind = RUNNER_{op.kind.upper()},"
    for field, value in {**numbers, **names}.items():
        yield f"        .{field} = {value},"
    yield "    },"


def _lines(values: Iterable[str]) -> Iterator[str]:
    every = list(values)
    for start in range(0, len(every), _PER_LINE):
        yield "    " + ", ".join(every[start : start + _PER_LINE]) + ","


def _one_line(name: str) -> str:
    """Return a name that ends no comment: it may come from a file of somebody else."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)[:80]


def _real(value: float) -> str:
    return f"{value:.9e}"


# --- the sample and the words ---------------------------------------------------------------------


def _sample(program: Program, inputs: np.ndarray, expected: np.ndarray) -> str:
    quantum = float(expected.max() - expected.min()) / 255
    values = program.quantized(inputs).reshape(-1)
    return "\n".join(
        [
            "#ifndef SAMPLE_H",
            "#define SAMPLE_H",
            "",
            "/* A step of 8 bits over the range of the outputs. */",
            f"#define SAMPLE_QUANTUM {_real(quantum)}",
            "",
            "static const signed char sample_input[] = {",
            *_lines(map(str, values.tolist())),
            "};",
            "",
            f"/* What {runtime_name()} gives for it. */",
            "static const double sample_output[] = {",
            *_lines(_real(value) for value in expected[0].tolist()),
            "};",
            "",
            "#endif",
            "",
        ]
    )


def _readme(bundle: ModelBundle, program: Program) -> str:
    kinds = ", ".join(sorted({op.kind for op in program.operations}))
    spec = bundle.spec
    normalised = f"divided by {spec.scale:g}"
    if spec.mean:
        normalised += f", minus {list(spec.mean)}, divided by {list(spec.std)}, by channel"
    classes = ""
    if isinstance(bundle.task, Classification):
        classes = "\n".join(f"{i}. {name}" for i, name in enumerate(bundle.task.class_names))
    ram = Quantity.exact(program.arena, "bytes")
    flash = Quantity.exact(program.constants, "bytes")
    return f"""# {_one_line(bundle.name)} in C

C99, no allocation, nothing of libc but `stdint.h`; integers only.

    make test

compiles the model with one sample and compares with what {runtime_name()} gave for it.

- RAM for activations: {ram} (`MODEL_ARENA_BYTES`), one static array. On the stack: no
  recursion, and no array beyond 64 bytes.
- Constants in flash: {flash} (`MODEL_CONSTANT_BYTES`), beside the code of `runner.c`.
- Operations: {len(program.operations)} ({kinds}).

## Use

Take `model.c`, `model.h`, `runner.c` and `runner.h`. Put a sample into `model_input()`, call
`model_run()`, read `model_output(i)`; `model.h` says how numbers become integers and back. A raw
value is {normalised}, and then quantized. The arena is one static array: one inference at a time.

Rounding is described in `runner.h`. Kernels are plain loops, meant to be read, checked and replaced
by those of a vendor (CMSIS-NN, ESP-NN), which take the same weights, multipliers and shifts.

`recipe.yaml` is how the model was made.

## Outputs

{classes or f"{program.output_count} numbers."}
"""
