"""Decorator of values: a frozen dataclass with slots that costs a third of Python's to make.

Python compiles six methods for each frozen dataclass, also for those that a command never uses: a
third of the CPU time of `status`. Here only `__init__` is compiled, and the other methods are
shared. mypy refuses every assignment to a field. Python itself does not, so an object is made
five times as fast; a value that must refuse it while the program runs is a plain frozen dataclass
(`rules.deletion_proof`), as is one that has an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: _Class) -> _Class:
    """Make a dataclass of this class, with equality, hash and representation by its fields.

    It has slots, unless it has a `cached_property`. As in Python's, a field may say `compare=False`
    or `repr=False`, and a method of the class itself is kept.
    """
    own = vars(cls)
    caches = any(isinstance(each, cached_property) for each in own.values())
    made: Any = dataclass(cls, eq=False, repr=False, slots=not caches)
    compared = [each.name for each in fields(made) if each.compare]
    names = [each.name for each in fields(made) if each.repr]
    values = attrgetter(*compared or ["__class__"])

    def equal(self: object, other: object) -> bool:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def hashed(self: object) -> int:
        return hash(values(self))

    def shown(self: object) -> str:
        parts = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({', '.join(parts)})"

    for name, method in (("__eq__", equal), ("__hash__", hashed), ("__repr__", shown)):
        if name not in own:
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]
