"""A device that is really the CPU and refuses to mix with it: mistakes with devices show without a GPU.

Every tensor of the device `twin` holds one of the CPU, on which its operators run. An operator that meets
tensors or generators of both raises, as on a GPU; whatever would make the CPU wait for a GPU is noted. The
hooks that this stands on are experimental ones of PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import twin_kernels
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

from data import device_names

NAME = "twin"
ROOT = str(Path(__file__).resolve().parents[1])
WAITS = {
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "equal",
    "nonzero",
    "masked_select",
    "multinomial",
    "bincount",
    "_unique2",
}
WAITS |= {"unique_dim", "unique_consecutive"}  # the CPU needs the result, or its size
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}  # it does with a mask among the indices
COPIES = {"copy_", "_to_copy"}
MOVES = {getattr(torch.ops.aten.to, name) for name in torch.ops.aten.to.overloads()}
COMPOSED = torch._C.DispatchKey.CompositeExplicitAutograd
SHAPED, UNSHARED = torch.ops.aten.as_strided_.default, COMPOSED.CompositeExplicitAutogradNonFunctional
OURS = 1 << 62  # in the seed of a generator of the device; no generator of the CPU draws by it
waits: list[str] = []
"""Where the CPU waited for the device: line of the project, and operator."""


class Backend(backend_registration._DummyBackendModule):
    """What torch asks about a device beside its operators."""

    free = 2**40

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        return self.free, self.free

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.empty(0, dtype=torch.uint8)  # it has no generator of its own

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        pass


class Generator(torch.Generator):
    """Of the device, or of the CPU; both draw the same by the same seed, each only on its own."""

    mark: int

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        made: Generator = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        made.mark = OURS if torch.device(device).type == NAME else 0
        return made.manual_seed(made.initial_seed())

    def manual_seed(self, seed: int) -> Generator:
        super().manual_seed(seed | self.mark)
        return self

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(NAME if self.initial_seed() & OURS else "cpu")


class Twin(torch.Tensor):
    """A tensor of the device; `held` is its like on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Twin:  # noqa: ANN001
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made: Twin = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=f"{NAME}:0", **layout)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(operator, args, kwargs or {})

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, values: Any, **options: Any) -> torch.Tensor:  # type: ignore[override]
        return torch.tensor(values, **{"dtype": self.dtype, "device": self.device, **options})

    def numpy(self, **options: Any) -> Any:
        raise TypeError(f"a tensor of {NAME} has no numpy array")


def computed(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operator of the device gives."""
    name = operator._schema.name.removeprefix("aten::")
    stays = torch.device(kwargs.get("device") or NAME).type == NAME
    known: dict[int, Twin] = {}

    def held(value: Any) -> Any:
        if isinstance(value, Twin):
            known[id(value.held)] = value
            return value.held
        if isinstance(value, torch.Tensor) and value.dim() and name not in COPIES:
            raise RuntimeError(f"{name}: a tensor of {value.device} among those of {NAME}")
        return value

    def twin(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not stays:
            return value
        found = known.get(id(value))
        if found is None:
            return Twin(value)
        if found.shape != value.shape:  # changed in place
            SHAPED._op_dk(UNSHARED, found, value.shape, value.stride(), value.storage_offset())
        return found

    inner = mapped(held, args)
    options = {key: mapped(held, value) for key, value in kwargs.items() if key != "pin_memory"}
    if kwargs.get("device") is not None:
        options["device"] = "cpu"
    if waiting(name, args, kwargs):
        waits.append(f"{line()} {name}")
    return mapped(twin, operator(*inner, **options))


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Values changed one by one, also those of lists and tuples."""
    if isinstance(value, list | tuple):
        return type(value)([mapped(change, each) for each in value])
    return change(value)


def waiting(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the CPU would wait for a GPU that computes this."""
    if name in INDEXED:
        return any(each is not None and each.dtype == torch.bool for each in args[1])
    if name == "repeat_interleave":  # by numbers of the device
        return isinstance(args[-1], Twin)
    if name == "copy_":
        return type(args[0]) is not type(args[1]) and not any(args[2:])
    if name == "_to_copy":
        target = torch.device(kwargs.get("device") or args[0].device).type
        return target != args[0].device.type and not kwargs.get("non_blocking")
    return name in WAITS


def line() -> str:
    """The line of the project that is being run."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and "/.venv/" not in name and "/tests/" not in name:
            return f"{name.removeprefix(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


class Machine(TorchDispatchMode):
    """Sees every operator first: so the device also makes tensors by itself, and draws by its generators."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # which would import it: nothing is compiled here

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        every = list[Any]()
        mapped(every.append, [*args, *named.values()])
        there = torch.device(named.get("device") or "cpu").type == NAME
        there = there or any(isinstance(value, Twin) for value in every)
        for value in every:
            if isinstance(value, torch._C.Generator) and there != bool(value.initial_seed() & OURS):
                raise RuntimeError(f"{operator}: a generator of another device")
        if not there:
            return operator(*args, **named)
        own = operator.namespace != "aten"
        if not own and operator not in MOVES:
            return computed(operator, args, named)
        with self:  # made of others
            return operator._op_dk(COMPOSED, *args, **named) if own else operator.decompose(*args, **named)


@cache
def registered() -> list[torch.library.Library]:
    """What makes the device known to torch, as long as it is kept."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    every = torch.library.Library("_", "IMPL")
    every.fallback(lambda operator, *args, **kwargs: computed(operator, args, kwargs), "PrivateUse1")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return [every, twin_kernels.registered()]


@contextmanager
def twin_machine() -> Iterator[None]:
    """A machine that has the device."""
    registered()
    tensor, as_tensor = torch.tensor, torch.as_tensor

    def arriving(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def made(values: Any, *args: Any, device: Any = None, **options: Any) -> torch.Tensor:
            here = make(values, *args, **options)
            return here if device is None else here.to(device)

        return made

    alone = torch.autograd.set_multithreading_enabled(False)  # no thread of the device's own
    with pytest.MonkeyPatch.context() as patch, alone, Machine():
        patch.setattr(torch.__future__, "get_swap_module_params_on_conversion", lambda: True)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "tensor", arriving(tensor))
        patch.setattr(torch, "as_tensor", arriving(as_tensor))
        patch.setattr(torch.Tensor, "pin_memory", lambda self: self)
        patch.setattr(device_names, "DEVICES", (*device_names.DEVICES, NAME))
        waits.clear()
        yield
