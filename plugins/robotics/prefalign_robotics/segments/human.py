"""Files of human comparisons: NumPy archives of paired segments, as Preference Transformer's annotators left them.

Keys: `obs_1`, `obs_2` (P, T, O), `action_1`, `action_2` (P, T, A), and `label` (P,): 1 where the second segment is
preferred, 0 where the first is, 0.5 where neither is. `label` may be absent in a target task.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from prefalign.interfaces import unknown_name
from prefalign_robotics.segments.errors import SegmentError
from prefalign_robotics.segments.segments import Comparisons, Segments

_KEYS = ("obs_1", "obs_2", "action_1", "action_2")


#: Behind this word stands the name of a file that the plugin brings along: `shipped:can`, `shipped:square`.
SHIPPED = "shipped:"


def read_comparisons(path: Path | str) -> tuple[Segments, Comparisons]:
    """The segments of a file, first ones before second ones, and its comparisons; those without label are ties.

    Args:
        path: of the file, or `shipped:` and the name of one of the plugin's.

    Raises:
        SegmentError: for a file that is absent, damaged, pickled, or holds other keys or shapes.
        PrefalignError: for a shipped file that there is none of.
    """
    path = _file(str(path))
    arrays = _arrays(path)
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise SegmentError(
            f"{path}: no array {missing[0]!r}; expected {', '.join(_KEYS)} and label, got {list(arrays)}"
        )
    for first, second in (("obs_1", "obs_2"), ("action_1", "action_2")):
        if arrays[first].shape != arrays[second].shape or arrays[first].ndim != 3:
            shapes = f"{arrays[first].shape} and {arrays[second].shape}"
            raise SegmentError(
                f"{path}: expected {first} and {second} of one shape (pairs, steps, numbers), got {shapes}"
            )
    count = len(arrays["obs_1"])
    labels = arrays.get("label", np.full(count, 0.5))
    if labels.shape != (count,):
        raise SegmentError(f"{path}: expected a label for each of {count} pairs, got shape {labels.shape}")
    segments = Segments(
        np.concatenate([arrays["obs_1"], arrays["obs_2"]]).astype(np.float32),
        np.concatenate([arrays["action_1"], arrays["action_2"]]).astype(np.float32),
        Path(path).stem,
    )
    pairs = np.stack([np.arange(count), np.arange(count) + count], 1)
    try:
        return segments, Comparisons(pairs, labels.astype(np.float64))
    except SegmentError as error:
        raise SegmentError(f"{path}: {error}") from None


def _file(path: str) -> Path:
    if not path.startswith(SHIPPED):
        return Path(path)
    folder, name = Path(__file__).parents[1] / "data", path.removeprefix(SHIPPED)
    known = sorted(file.stem for file in folder.glob("*.npz"))
    if name not in known:
        raise unknown_name("file of shipped comparisons", name, known)
    return folder / f"{name}.npz"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise SegmentError(f"{path}: a single array; expected an archive (.npz) of {', '.join(_KEYS)}")
            return {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise SegmentError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
        raise SegmentError(f"{path}: damaged, or no NumPy archive ({error})") from None
    except ValueError as error:
        raise SegmentError(f"{path}: not readable without pickle, which is refused ({error})") from None
