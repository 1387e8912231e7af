"""Plain things in checkpoints are let in and forgotten; what could run code is not, whatever it hides behind."""

import argparse
import builtins
import collections
import datetime
import decimal
import functools
import os
import pathlib
import pickle
import types
import uuid

import numpy as np
import pytest
import torch
from torch.serialization import get_safe_globals

from featstore.backbone.plain_objects import STAND_INS, Ignored, IgnoredList, PlainMapping, StoredArray, StoredType
from featstore.backbone.weights_file import read_state
from featstore.errors import WeightsError

PLAIN = {
    "Namespace": argparse.Namespace(lr=0.1, sizes=[1, 2], path=pathlib.Path("x"), inner=argparse.Namespace()),
    "SimpleNamespace": types.SimpleNamespace(a=1),
    "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("C:/x"), pathlib.Path("/tmp")],
    "scalars": [np.float64(1.5), np.float32(1), np.int64(3), np.bool_(True), np.str_("x")],
    "arrays": [np.zeros((2, 3)), np.array(["a"]), np.array([None, {}], dtype=object), np.zeros(3, "datetime64[s]")],
    "dtypes": [np.dtype("float32"), np.float32, torch.float16, torch.device("cpu"), torch.Size([1, 2])],
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "nested": collections.defaultdict(int, {"a": collections.OrderedDict(b=1)}),
    "others": [collections.deque([1, 2], maxlen=4), collections.Counter("aab"), {1, 2}, frozenset([1]), range(3)],
    "times": [datetime.datetime(2024, 1, 2), datetime.date(2024, 1, 2), datetime.timedelta(1), datetime.UTC],
    "numbers": [decimal.Decimal("1.5"), 1j, 2**80, uuid.UUID(int=3), slice(1)],
    "version": torch.__version__,
    "types": [list, dict, int, float, str],
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("new", [True, False])
def test_plain_things_beside_tensors_are_let_in(tmp_path, kind, new):
    torch.save({"w": torch.ones(2), "beside": PLAIN[kind]}, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    state = read_state(tmp_path / "w.pth")
    assert torch.equal(state["w"], torch.ones(2))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_arrays_are_kept(tmp_path, dtype, order):
    array = np.array(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    torch.save({"state": {"a": array, "gone": array[:0]}}, tmp_path / "w.pth")
    state = read_state(tmp_path / "w.pth")
    assert np.array_equal(state["state/a"].numpy(), array) and state["state/a"].is_contiguous()
    assert list(state) == ["state/a"]  # nothing is left of an array without numbers


class Run:
    """A pickle that calls something."""

    def __init__(self, function, *arguments, state=None):
        self.all = (function, arguments, *([] if state is None else [state]))

    def __reduce__(self):
        return self.all


def hidden(inner):
    """Places in which a call may lie."""
    return {
        "beside": {"w": torch.ones(2), "x": inner},
        "in a namespace": {"w": torch.ones(2), "args": argparse.Namespace(x=inner)},
        "in an array": {"w": torch.ones(2), "x": np.array([inner], dtype=object)},
        "as a key": {"w": torch.ones(2), "x": [{"y": (inner,)}]},
    }


@pytest.mark.parametrize("place", hidden(None))
@pytest.mark.parametrize(
    "call",
    [
        lambda target: Run(os.system, f"touch {target}"),
        lambda target: Run(os.mkdir, target),
        lambda target: Run(eval, f"__import__('os').mkdir({target!r})"),
        lambda target: Run(exec, f"import os; os.mkdir({target!r})"),
        lambda target: Run(getattr, Run(__import__, "os"), "mkdir"),
        lambda target: Run(functools.partial, os.mkdir, target),
        lambda target: Run(builtins.open, target, "w"),
        lambda target: Run(pickle.loads, pickle.dumps(Run(os.mkdir, target))),
        lambda target: Run(torch.load, target),
        lambda target: Run(pathlib.Path.touch, pathlib.Path(target)),
        lambda target: Run(np.lib.npyio.NpzFile, target),
    ],
    ids=["system", "mkdir", "eval", "exec", "getattr", "partial", "open", "loads", "load", "touch", "numpy"],
)
def test_what_runs_code_is_refused_wherever_it_lies_and_is_not_run(tmp_path, place, call):
    target = tmp_path / "made"
    torch.save(hidden(call(str(target)))[place], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"pickle that would run code when loaded.*(it refers to [\w.]+|\()"):
        read_state(tmp_path / "w.pth")
    assert not target.exists()


def test_arguments_and_states_of_what_is_let_in_do_nothing(tmp_path):
    """Calls of allowed names with what their own code would act on: nothing is made, opened or set."""
    reconstruct = np.zeros(1).__reduce__()[0]
    abused = [
        Run(argparse.Namespace, state={"__class__": int, "__setstate__": 3}),
        Run(pathlib.PosixPath, "/etc/passwd", state={"_raw_paths": ["/"]}),
        Run(collections.defaultdict, list),
        Run(datetime.datetime, b"x" * 10, "no time zone"),
        Run(np.dtype, "O8", False, True, state=(3, "|", None, None, None, -1, -1, 63)),
        Run(reconstruct, np.ndarray, (1 << 60,), b"b", state=(1, (1 << 40,), np.dtype("f8"), False, b"")),
        Run(reconstruct, np.ndarray, (0,), b"b", state=(1, (-1, -1), np.dtype("f8"), False, bytes(8))),
        Run(reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), np.dtype("O"), False, [1])),
        Run(reconstruct, np.ndarray, (0,), b"b", state="nothing of the kind"),
        Run(uuid.UUID, "no uuid"),
    ]
    torch.save({"w": torch.ones(2), "x": abused}, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth")) == ["w"]


def test_the_list_holds_only_while_a_file_is_read(tmp_path):
    before = set(get_safe_globals())
    torch.save({"w": torch.ones(2), "x": argparse.Namespace()}, tmp_path / "w.pth")
    read_state(tmp_path / "w.pth")
    assert set(get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


def test_every_stand_in_is_of_this_project_and_no_name_stands_for_two():
    assert {kind.__module__ for kind, _ in STAND_INS} == {"featstore.backbone.plain_objects"}
    names = [name for _, name in STAND_INS]
    assert len(names) == len(set(names))
    dangerous = {"eval", "exec", "getattr", "open", "compile", "__import__", "type", "partial", "setattr", "system"}
    assert not [name for name in names if name.rpartition(".")[2] in dangerous]


def test_stand_ins_keep_nothing():
    assert vars(Ignored(1, x=2)) == {} and list(IgnoredList([1, 2])) == []
    assert type(PlainMapping(list)) is collections.OrderedDict and StoredType(3).code == ""
    assert StoredArray().tensor() is None


def test_a_mapping_that_holds_itself_ends(tmp_path):
    circle = {"w": torch.ones(2)}
    circle["again"] = [circle]
    torch.save(circle, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth")) == ["w"]
