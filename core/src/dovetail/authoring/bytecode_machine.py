"""Executes single instructions of bytecode on what is known of the stack."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from dovetail.authoring.bytecode_next import read_next
from dovetail.authoring.bytecode_values import NULL, SELF, UNKNOWN, Attribute, Constant, Global, Keywords, Map
from dovetail.authoring.reading import DYNAMIC_NEXT, Unreadable
from dovetail.interfaces.flow import Transition

__all__ = ["BytecodeReading", "Machine", "stack_effect"]


class BytecodeReading:
    """What a function's bytecode does to its instance."""

    def __init__(self) -> None:
        self.steps: list[Transition | str] = []
        """Transitions, and names of methods called on the instance or on `super()`, in order."""
        self.unreadable: list[tuple[Unreadable, int]] = []
        """What is wrong, and its line."""
        self.assigned: list[tuple[str, int]] = []
        """(name, line) of every `self.name = ...`."""


class Machine:
    """Knows the stack before one instruction, and says what is known after it.

    Args:
        code: What the instructions are from.
        resolve: See `read_bytecode`.
    """

    def __init__(self, code: CodeType, resolve: Callable[[str, bool], Any]) -> None:
        self.reading = BytecodeReading()
        self._code = code
        self._me = code.co_varnames[0] if code.co_argcount else ""
        self._resolve = resolve
        self._stack: list[Any] = []
        self._line = code.co_firstlineno

    def run(self, instruction: dis.Instruction, stack: list[Any]) -> list[Any]:
        """Execute one instruction on what is known; what is known afterwards."""
        self._stack = stack
        self._line = _line_of(instruction) or self._line
        handler = getattr(self, f"_{instruction.opname.lower()}", self._other)
        handler(instruction)
        return self._stack

    def _other(self, instruction: dis.Instruction) -> None:
        """An instruction that nothing is known of: it takes what it may, and leaves unknown values."""
        effect = stack_effect(instruction)
        if instruction.opname in _NEUTRAL:
            return
        takes = -effect if instruction.opname.startswith(_TAKING) else max(1 - effect, 0)
        depth = len(self._stack) + effect
        del self._stack[max(len(self._stack) - takes, 0) :]
        self._stack += [UNKNOWN] * max(depth - len(self._stack), 0)

    def _pop(self, count: int) -> list[Any]:
        if count == 0:
            return []
        missing = count - len(self._stack)
        taken = [UNKNOWN] * max(missing, 0) + self._stack[-count:]
        del self._stack[-count:]
        return taken

    # ------------------------------------------------------------------ loads

    def _local(self, name: str) -> Any:
        return SELF if name == self._me else UNKNOWN

    def _load_fast(self, instruction: dis.Instruction) -> None:
        self._stack.append(self._local(str(instruction.argval)))

    _load_fast_check = _load_fast_borrow = _load_deref = _load_closure = _load_fast

    def _load_fast_load_fast(self, instruction: dis.Instruction) -> None:
        self._stack += [self._local(name) for name in instruction.argval]

    _load_fast_borrow_load_fast_borrow = _load_fast_load_fast

    def _load_const(self, instruction: dis.Instruction) -> None:
        self._stack.append(Constant(instruction.argval, type(instruction.argval)))

    _load_small_int = _load_const_immortal = _load_const_mortal = _load_const

    def _load_global(self, instruction: dis.Instruction) -> None:
        # From 3.11 on the lowest bit of the argument asks for a NULL next to the callable.
        pushes_null = stack_effect(instruction) == 2
        found = Global(str(instruction.argval))
        self._stack += ([found, NULL] if _NULL_ABOVE else [NULL, found]) if pushes_null else [found]

    _load_name = _load_global

    def _load_attr(self, instruction: dis.Instruction) -> None:
        (owner,) = self._pop(1)
        name = str(instruction.argval)
        found = Attribute(owner, name)
        if stack_effect(instruction) == 1:  # as a method, from 3.12 on
            self._stack += [found, SELF]
        else:
            self._stack.append(found)

    def _load_method(self, instruction: dis.Instruction) -> None:
        (owner,) = self._pop(1)
        self._stack += [Attribute(owner, str(instruction.argval)), SELF]

    def _load_super_attr(self, instruction: dis.Instruction) -> None:
        self._pop(3)
        found = Attribute(SELF, str(instruction.argval))
        self._stack += [found, SELF] if stack_effect(instruction) == -1 else [found]

    def _push_null(self, instruction: dis.Instruction) -> None:
        self._stack.append(NULL)

    def _copy(self, instruction: dis.Instruction) -> None:
        depth = int(instruction.arg or 1)
        self._stack.append(self._stack[-depth] if depth <= len(self._stack) else UNKNOWN)

    def _dup_top(self, instruction: dis.Instruction) -> None:
        self._stack.append(self._stack[-1] if self._stack else UNKNOWN)

    def _pop_top(self, instruction: dis.Instruction) -> None:
        self._pop(1)

    def _swap(self, instruction: dis.Instruction) -> None:
        depth = int(instruction.arg or 1)
        if depth <= len(self._stack):
            self._stack[-1], self._stack[-depth] = self._stack[-depth], self._stack[-1]

    def _rot_two(self, instruction: dis.Instruction) -> None:
        # 3.10: the top goes below the others.
        depth = {"ROT_TWO": 2, "ROT_THREE": 3, "ROT_FOUR": 4}.get(instruction.opname, int(instruction.arg or 0))
        taken = self._pop(depth)
        self._stack += [*taken[-1:], *taken[:-1]]

    _rot_three = _rot_four = _rot_n = _rot_two

    # ------------------------------------------------------------------ values

    def _build_map(self, instruction: dis.Instruction) -> None:
        items = self._pop(2 * int(instruction.arg or 0))
        self._stack.append(Map(tuple(zip(items[::2], items[1::2], strict=True))))

    def _build_const_key_map(self, instruction: dis.Instruction) -> None:
        (keys,) = self._pop(1)
        values = self._pop(int(instruction.arg or 0))
        known = keys.value if isinstance(keys, Constant) else [None] * len(values)
        pairs = zip([Constant(key, type(key)) for key in known], values, strict=False)
        self._stack.append(Map(tuple(pairs)))

    def _map_add(self, instruction: dis.Instruction) -> None:
        key, value = self._pop(2)
        depth = int(instruction.arg or 1)
        if depth <= len(self._stack) and isinstance(known := self._stack[-depth], Map):
            self._stack[-depth] = Map((*known.pairs, (key, value)))

    def _dict_update(self, instruction: dis.Instruction) -> None:
        self._pop(1)
        depth = int(instruction.arg or 1)
        if depth <= len(self._stack):
            self._stack[-depth] = UNKNOWN

    _dict_merge = _dict_update

    def _build_list(self, instruction: dis.Instruction) -> None:
        self._pop(int(instruction.arg or 0))
        self._stack.append(UNKNOWN)

    _build_tuple = _build_set = _build_string = _build_slice = _build_list

    def _store_attr(self, instruction: dis.Instruction) -> None:
        _, owner = self._pop(2)
        if owner is SELF:
            self.reading.assigned.append((str(instruction.argval), self._line))

    def _store_fast_load_fast(self, instruction: dis.Instruction) -> None:
        self._pop(1)
        self._stack.append(self._local(instruction.argval[1]))

    # ------------------------------------------------------------------ calls

    def _kw_names(self, instruction: dis.Instruction) -> None:
        names = self._code.co_consts[int(instruction.arg or 0)]
        self._stack.append(Keywords(names))

    def _precall(self, instruction: dis.Instruction) -> None:
        pass

    def _call(self, instruction: dis.Instruction) -> None:
        keywords: tuple[str, ...] = ()
        if self._stack and isinstance(self._stack[-1], Keywords):
            keywords = self._stack.pop().names
        self._called(self._pop(int(instruction.arg or 0)), keywords, slots=2)

    def _call_kw(self, instruction: dis.Instruction) -> None:
        (names,) = self._pop(1)
        self._called(self._pop(int(instruction.arg or 0)), names.value, slots=2)

    def _call_method(self, instruction: dis.Instruction) -> None:
        self._called(self._pop(int(instruction.arg or 0)), (), slots=2)

    def _call_function(self, instruction: dis.Instruction) -> None:
        self._called(self._pop(int(instruction.arg or 0)), (), slots=1)

    def _call_function_kw(self, instruction: dis.Instruction) -> None:
        (names,) = self._pop(1)
        self._called(self._pop(int(instruction.arg or 0)), names.value, slots=1)

    def _call_function_ex(self, instruction: dis.Instruction) -> None:
        taken = self._pop(1 - stack_effect(instruction))
        if any(isinstance(item, Attribute) and _is_next(item) for item in taken):
            self._unreadable(*DYNAMIC_NEXT)
        self._stack.append(UNKNOWN)

    def _called(self, arguments: list[Any], keywords: tuple[str, ...], *, slots: int) -> None:
        below = self._pop(slots)
        function = next((item for item in below if isinstance(item, (Attribute, Global))), UNKNOWN)
        result: Any = UNKNOWN
        if isinstance(function, Attribute) and _is_next(function):
            split = len(arguments) - len(keywords)
            self._next(arguments[:split], dict(zip(keywords, arguments[split:], strict=True)))
        elif isinstance(function, Attribute) and (function.owner is SELF or SELF in arguments[:1]):
            self.reading.steps.append(function.name)
        elif isinstance(function, Global) and function.name == "getattr" and len(arguments) == 2:
            owner, name = arguments
            if owner is SELF and isinstance(name, Constant) and isinstance(name.value, str):
                result = Attribute(SELF, name.value)
        elif isinstance(function, Global) and function.name == "super":
            result = SELF
        self._stack.append(result)

    def _next(self, targets: list[Any], keywords: dict[str, Any]) -> None:
        try:
            self.reading.steps.append(read_next(targets, keywords, self._resolve, self._line))
        except Unreadable as wrong:
            self.reading.unreadable.append((wrong, self._line))

    def _unreadable(self, code: str, message: str, fix: str) -> None:
        self.reading.unreadable.append((Unreadable(code, message, fix), self._line))


_NEUTRAL = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "RESUME", "NOT_TAKEN", "COPY_FREE_VARS", "MAKE_CELL"})
_TAKING = ("STORE_", "DELETE_", "POP_", "LIST_", "SET_", "DICT_", "JUMP_IF")
"""Instructions that leave nothing for what they take."""
_NULL_ABOVE = sys.version_info >= (3, 13)
"""Whether the NULL of a call is pushed above the callable, or (3.11, 3.12) below it."""


def _is_next(value: Attribute) -> bool:
    return value.owner is SELF and value.name == "next"


def stack_effect(instruction: dis.Instruction, *, jump: bool = False) -> int:
    """By how much an instruction changes the depth of the stack."""
    argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
    try:
        return dis.stack_effect(instruction.opcode, argument, jump=jump)
    except ValueError:  # one that only the interpreter itself makes
        return 0


def _line_of(instruction: dis.Instruction) -> int | None:
    line = getattr(instruction, "line_number", None)  # 3.13
    if line is not None:
        return int(line)
    starts = instruction.starts_line
    return starts if isinstance(starts, int) and not isinstance(starts, bool) else None
