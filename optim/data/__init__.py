"""Data sets: built in, or of your own: images, sounds, arrays, tables.

Opening:

- :func:`open_data`: by name, file or folder; :func:`open_builtin`: by name only.
- :class:`DataOptions`: how files are read: target, axes, colours, size, names, parts.
- :data:`DATASETS`: the built-in ones, each a class whose fields say how it is made.
- :class:`Generated`: no data at all: inputs that are made for the model.

Using:

- :class:`Dataset`: named parts, a task and a content hash.
- :class:`Samples`: arrays of inputs, targets and ids.
- :class:`Classification`: the task, with the names of the classes; :class:`Regression`: with the
  names of the quantities; :class:`Detection`: with those of the objects that are to be found;
  :class:`Unlabelled`: none. :class:`Outputs`: of a model, when nobody knows what its outputs mean.

Splitting:

- :func:`with_validation`: gives train-and-test data a validation part; :data:`SplitPolicy` says
  where from. :func:`cut_parts`: gives data without any parts all three.
- :func:`overlap`: whether a part holds samples that a model was trained on; :func:`trained_on`
  and :func:`part_hash`: what a model declares for that.
- :func:`stratified_split`, :func:`stratified_order`: draws by class.

Nothing here imports torch; scikit-learn and pillow are imported when they are used.
"""

from optim.data.dataset import DataConfig, Dataset, Samples
from optim.data.generated import GENERATED, Generated
from optim.data.open import DATASETS, open_builtin, open_data
from optim.data.options import DataOptions
from optim.data.splits import (
    SplitPolicy,
    cut_parts,
    overlap,
    part_hash,
    stratified_order,
    stratified_split,
    trained_on,
    with_validation,
)
from optim.data.task import (
    Classification,
    Detection,
    ModelTask,
    Outputs,
    Regression,
    Task,
    Unlabelled,
)

__all__ = [
    "DATASETS",
    "GENERATED",
    "Classification",
    "DataConfig",
    "DataOptions",
    "Dataset",
    "Detection",
    "Generated",
    "ModelTask",
    "Outputs",
    "Regression",
    "Samples",
    "SplitPolicy",
    "Task",
    "Unlabelled",
    "cut_parts",
    "open_builtin",
    "open_data",
    "overlap",
    "part_hash",
    "stratified_order",
    "stratified_split",
    "trained_on",
    "with_validation",
]
