"""Tensors of other libraries as inputs, and our memory lent to them, without a copy: DLPack without a library.

Source: the DLPack specification, https://dmlc.github.io/dlpack/latest/c_api.html (the unversioned
``dltensor`` capsules of NumPy, torch, CuPy and JAX).
"""

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError, first_line

CPU, CUDA = 1, 2
_NAME = b"dltensor"
_CODES = {(0, 8): "int8", (0, 16): "int16", (0, 32): "int32", (0, 64): "int64", (1, 8): "uint8", (2, 16): "float16",
          (2, 32): "float32", (2, 64): "float64", (6, 8): "bool"}  # fmt: skip
_TYPES = {name: code for code, name in _CODES.items()}


class _Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("index", ctypes.c_int32)]


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("manager", ctypes.c_void_p), ("deleter", _Deleter)]
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
# Separate prototypes, since every library shares the attributes of ctypes.pythonapi.
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_unused = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer_of_dying = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


@dataclass(frozen=True)
class Borrowed:
    """A tensor of another library. Keep ``holder`` until the work on the tensor is done: it owns the memory."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    holder: Any

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return bytes_of(self.shape, self.dtype)


def bytes_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The size of an array in bytes."""
    return math.prod(shape) * dtype.itemsize


def on_device(value: Any) -> bool:
    """Whether a value is a tensor on an NVIDIA GPU."""
    return not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__") and value.__dlpack_device__()[0] == CUDA


def borrow(name: str, value: Any, stream: int | None = None) -> Borrowed:
    """Return the address of a tensor. ``stream``: the stream that will read it; the tensor's library makes it wait for pending work.

    Raise InputError for a tensor that is not contiguous, has a type that NumPy lacks, or cannot be
    lent.
    """
    try:
        capsule = value.__dlpack__() if stream is None else value.__dlpack__(stream=stream)
    except Exception as error:  # each library raises its own: a gradient, a type that DLPack does not have
        raise InputError(f"input {name!r} cannot be shared: {first_line(error)}", "detach it") from error
    managed = ctypes.cast(_pointer(capsule, _NAME), ctypes.POINTER(_Managed)).contents
    tensor = managed.tensor
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    dtype = _CODES.get((tensor.dtype.code, tensor.dtype.bits)) if tensor.dtype.lanes == 1 else None
    if dtype is None:
        raise InputError(f"input {name!r} has a type that NumPy does not have", "give float32 or float16")
    strides = tuple(tensor.strides[i] for i in range(tensor.ndim)) if tensor.strides else None
    if strides is not None and not _contiguous(shape, strides):
        raise InputError(f"input {name!r} is not contiguous (strides {strides})", "give it with .contiguous()")
    return Borrowed((tensor.data or 0) + tensor.offset, shape, np.dtype(dtype), capsule)


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    if 0 in shape:
        return True
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


class DeviceArray:
    """An output that stays on the GPU: ``torch.from_dlpack(array)``, ``cupy.from_dlpack(array)``, or ``numpy()``.

    It is complete when a run returns, so no stream must wait for it. ``memory`` is kept while the
    array is in use; its ``download`` fills an array of the host.
    """

    def __init__(
        self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], memory: Any, device: int = CUDA
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._address, self._memory, self._device = address, memory, device

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return bytes_of(self.shape, self.dtype)

    def numpy(self) -> np.ndarray:
        """A copy in host memory."""
        array = np.empty(self.shape, self.dtype)
        self._memory.download(array)
        return array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        """A capsule over this memory, for one consumer. Arguments of newer versions of the protocol are ignored."""
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        code, bits = _TYPES[self.dtype.name]
        managed = _Managed()
        managed.tensor = _Tensor(
            self._address, _Device(self._device, 0), len(self.shape), _Type(code, bits, 1),
            ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)), None, 0,
        )  # fmt: skip
        managed.deleter = _delete_c
        address = ctypes.addressof(managed)
        _lent[address] = (managed, shape, self)
        return _new(address, _NAME, _destroy_c)


_lent: dict[int, tuple[Any, ...]] = {}
"""The memory in use by other libraries, by address."""


def _delete(managed: Any) -> None:
    _lent.pop(ctypes.addressof(managed.contents), None)


def _destroy(capsule: int) -> None:
    """Free the memory of a capsule that nobody has taken over."""
    if _is_unused(capsule, _NAME):
        _lent.pop(_pointer_of_dying(capsule, _NAME), None)


_delete_c, _destroy_c = _Deleter(_delete), _Destructor(_destroy)


HOST = (1, 3, 11)
"""DLPack's kDLCPU, kDLCUDAHost and kDLROCMHost: memory that NumPy can read."""


def host_array(name: str, value: Any) -> np.ndarray:
    """An input in host memory as a NumPy array over the same memory.

    Raise InputError for a value that is not an array, a tensor on a GPU, or one that needs its
    gradient.
    """
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not hasattr(value, "__dlpack__"):
        raise InputError(
            f"input {name!r} is a {type(value).__name__} and no array", "give NumPy arrays or tensors that speak DLPack"
        )
    device = int(value.__dlpack_device__()[0])
    if device not in HOST:
        raise InputError(
            f"input {name!r} lies on a GPU, and this session takes host memory",
            "give it with .cpu(), or open a TensorRT backend",
        )
    try:
        return np.from_dlpack(value)
    except Exception as error:  # each library raises its own: a gradient, a type that NumPy does not have
        raise InputError(
            f"input {name!r} cannot be read as an array: {first_line(error)}",
            "detach it; give float32 instead of bfloat16",
        ) from error
