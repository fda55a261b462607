"""The sandbox that templates are rendered in: jinja2's own, and in it each operation pays from a budget.

jinja2's sandbox keeps a template from what it must not touch. It does not keep it from asking for a gigabyte, or for an
hour. Here every way from the template into Python is one that pays first: operators, calls, filters, tests, getting
items, and making text of something. ``jinja_compiler`` takes care of the code around them.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Callable, Iterable, Iterator, Mapping

import jinja2
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.lexer import Lexer, TokenStream
from jinja2.nodes import Template as Tree
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from . import jinja_compiler as compiler
from . import jinja_functions as functions
from . import jinja_operators as operators
from .jinja_budget import STEPS, Budget, OverBudget, bounded
from .jinja_filters import FILTERS
from .jinja_format import Format
from .jinja_methods import price_of

MAX_OUTPUT = 8 * 1024 * 1024  # characters
MAX_IDLE = 16  # environments that are kept for the next rendering
BYTES_OF_CODE = 4  # that a character of code becomes when it is compiled

_METHODS = (types.BuiltinMethodType, types.MethodType)
_DESCRIPTORS = (types.MethodDescriptorType, types.ClassMethodDescriptorType, types.WrapperDescriptorType)
_NAMES_OF_DICT = frozenset(dir(dict))
_COUNTS_OF_LOOP = frozenset(["depth", "depth0", "first", "index", "index0", "last", "length", "revindex", "revindex0"])
_FUNCTIONS = frozenset(functions.FUNCTIONS.values())


class Template:
    """A compiled template. Any number of threads can render it at once.

    Making one raises what compiling raises: ``TemplateSyntaxError``, ``SyntaxError``, ``RecursionError`` and others.

    Attributes:
        size: about how many bytes it takes.
        used: a mark for whoever keeps it.
    """

    used = False

    def __init__(self, source: str) -> None:
        if len(source) > compiler.MAX_SOURCE:
            raise OverBudget("it has more than %d characters" % compiler.MAX_SOURCE)
        text = _shared.compile(source, raw=True)
        code = compile(text, "<template>", "exec")
        self._compiled = jinja2.Template.from_code(_shared, code, _shared.globals)
        self.size = BYTES_OF_CODE * len(text)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text. Raises whatever the template raises, and ``OverBudget``."""
        sandbox = _shared.for_one_rendering()
        blocks = {name: sandbox.paying(block) for name, block in self._compiled.blocks.items()}
        context = sandbox.context = PayingContext(sandbox, {**sandbox.globals, **variables}, None, blocks)
        root: Any = self._compiled.root_render_func
        pieces = []
        room = MAX_OUTPUT
        try:
            rendering = root(context, environment=sandbox)
            for piece in rendering:
                room -= len(piece)
                if room < 0:  # an error of the line where it is now
                    rendering.throw(OverBudget("it becomes more than %d characters" % MAX_OUTPUT))
                pieces.append(piece)
        finally:
            del sandbox.context  # which refers back: the variables would wait for the garbage collector
        del context, blocks, rendering
        # Making one takes a third of the time of rendering a short template. But not one that anything else has hold
        # of, such as a macro that the program was given: only this name, and the question, may refer to it.
        if sys.getrefcount(sandbox) <= 2 and len(_idle) < MAX_IDLE:
            _idle.append(sandbox)
        return "".join(pieces)

    def line_of(self, problem: BaseException) -> int | None:
        """Where in the template ``problem`` came up."""
        line = None
        traceback = problem.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_globals is self._compiled.root_render_func.__globals__:
                line = self._compiled.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


class PayingContext(Context):
    """The variables of a template, while it is rendered."""

    environment: Environment

    def super(self, name: str, current: Any) -> Undefined:
        """There are no parents, since nothing can be extended."""
        return self.environment.undefined("there is no parent block called %r." % name, name="super")

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        self.environment.budget.charge(2 * (len(self.parent) + len(self.vars) + len(locals or ())))
        return super().derived(locals)


@pass_context  # which also keeps jinja2 from printing constants while it compiles
def _printable(context: PayingContext, value: Any) -> Any:
    if type(value) is not str:
        context.environment.budget.show(value)
    return value


class Environment(ImmutableSandboxedEnvironment):
    """What templates are compiled in; and, as a copy with a budget for each rendering, what they run in.

    Attributes:
        budget: of the rendering; nothing while templates are compiled.
        context: the variables of the rendering.
    """

    code_generator_class = compiler.Generator
    context_class = PayingContext
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    context: Context

    def __init__(self) -> None:
        super().__init__(optimized=False, finalize=_printable, cache_size=0)
        self.filters = dict(FILTERS)
        self.tests = dict(functions.TESTS)
        self.globals = dict(functions.FUNCTIONS)
        self.budget = Budget(0)
        self._lexer = Lexer(self)  # jinja2 keeps its lexers behind a lock, which a fork could leave locked

    def for_one_rendering(self) -> Environment:
        try:
            copy = _idle.pop()
        except IndexError:
            copy = object.__new__(Environment)
            copy.__dict__.update(self.__dict__)
        copy.budget = Budget(STEPS)
        return copy

    # While it compiles.

    def _tokenize(self, source: str, name: Any, filename: Any = None, state: Any = None) -> TokenStream:
        tokens = compiler.limited(self._lexer.tokeniter(source, name, filename, state))
        return TokenStream(self._lexer.wrap(tokens, name, filename), name, filename)

    def _parse(self, source: str, name: Any, filename: Any) -> Tree:
        return compiler.checked(compiler.LimitedParser(self, source, name, filename).parse())

    def handle_exception(self, source: str | None = None) -> Any:
        """jinja2 would rewrite the traceback, which costs more the longer the template is."""
        raise

    # What a template does to values.

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return operators.binary(self.budget, operator, left, right)

    def compare(self, left: Any, name: str, right: Any) -> Any:
        return operators.compare(self.budget, name, left, right)

    def compare_all(self, left: Any, *rest: Any) -> Any:
        """``a < b < c``: names and functions that give the next value take turns."""
        result = True
        for name, evaluate in zip(rest[::2], rest[1::2]):
            right = evaluate()
            result = operators.compare(self.budget, name, left, right)
            if not result:
                break
            left = right
        return result

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict and attribute not in _NAMES_OF_DICT:  # the usual cases, in short
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if kind is LoopContext and attribute in _COUNTS_OF_LOOP:
            return getattr(obj, attribute)
        return self._tamed(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(argument) is not int and not (type(argument) is str and len(argument) < 100):
            self.budget.show([argument])  # it is hashed, and shown in an error
        return self._tamed(super().getitem(obj, argument))

    def wrap_str_format(self, value: Any) -> None:
        """Newer versions of jinja2 ask this; all get what :meth:`_tamed` makes of it."""

    def _tamed(self, value: Any) -> Any:
        if type(value) not in _METHODS or not isinstance(value.__self__, str):
            return value
        return Format(self, value) if getattr(value, "__name__", "") in ("format", "format_map") else value

    def cut(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """``value[start:stop:step]``"""
        bounds = slice(start, stop, step)
        if isinstance(value, (str, bytes, bytearray, list, tuple)):
            size = len(range(*bounds.indices(len(value))))
            if isinstance(value, str):
                self.budget.make(size, value)
            else:
                self.budget.charge(1 + size)
        return value[bounds]

    key_of_dict = staticmethod(functions.key_of_dict)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __obj = __self._tamed(__obj)
        if not __self.is_safe_callable(__obj):
            raise SecurityError("%s is not safely callable" % type(__obj).__name__)
        kind = type(__obj)
        if kind in _DESCRIPTORS:
            raise SecurityError("%s is not safely callable" % kind.__name__)
        if kind in _METHODS:
            price = price_of(__obj, kind is types.BuiltinMethodType)
            if price is not None:
                for name in _LOCALS:
                    kwargs.pop(name, None)
                args = price(__self.budget, __obj.__self__, *args, **kwargs) or args
                return bounded(__obj(*args, **kwargs))
        if kind in _OWN or (kind is types.FunctionType and __obj in _FUNCTIONS):
            __self.budget.charge(len(args) + len(kwargs))
        elif args or kwargs:
            __self.budget.show([args, [kwargs[name] for name in kwargs if name not in _LOCALS]])
        __self.budget.enter()
        try:
            return bounded(__context.call(__obj, *args, **kwargs))
        finally:
            __self.budget.leave()

    # What the code of a template uses.

    def function(self, kind: str, name: str) -> Callable[..., Any]:
        """The filter or test of that name; if there is none, a function that says so when it is called."""

        def unknown(*args: Any, **kwargs: Any) -> Any:
            raise TemplateRuntimeError("No %s named %r." % (kind, name))

        known: Mapping[str, Any] = self.filters if kind == "filter" else self.tests
        return known.get(name, unknown)  # type: ignore[no-any-return]

    def join_texts(self, values: Iterable[Any]) -> str:
        """``a ~ b``"""
        return self.concat_pieces([str(operators.text_of(self.budget, value)) for value in values])

    def concat_pieces(self, pieces: list[str]) -> str:
        self.budget.make(sum(map(len, pieces)), *pieces)
        return "".join(pieces)

    def loop_context(self, iterable: Any, *args: Any) -> LoopContext:
        if not hasattr(iterable, "__len__"):
            iterable = self.budget.counted(iterable)  # loop.length takes all of it at once
        return LoopContext(iterable, *args)

    def paying(self, block: Callable[..., Iterator[str]]) -> Callable[[Context], Iterator[str]]:
        """A block, whose text jinja2 may put together before it is counted."""

        def render(context: Context) -> Iterator[str]:
            for piece in block(context, environment=self):
                self.budget.charge(1 + len(piece) // 8)
                yield piece

        return render


_LOCALS = ("_loop_vars", "_block_vars")  # what jinja2 adds to the keywords of a call
_OWN = (Macro, LoopContext, BlockReference, Format)

_idle: list[Environment] = []  # for the next rendering; append and pop are atomic
_shared = Environment()
