"""A function behaves the same with ``observe`` and without: each test is run on both, and expects the same of both.

Async functions are in test_observe_async.py.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import inspect
import io
import itertools
import pickle
import subprocess
import sys
import threading
import traceback
import types
import weakref
from abc import ABC, abstractmethod

import pytest

from cozeloop_lite import observe

recent = pytest.mark.skipif(sys.version_info < (3, 8), reason="syntax of CPython 3.8")


def bare(fn=None, **options):
    return fn if fn is not None else bare


@pytest.fixture(params=["bare", "observed", "observed, in detail", "observed, without a client"])
def decorator(request):
    """``observe``, or what leaves the function as it is."""
    if request.param == "bare":
        return bare
    if request.param != "observed, without a client":
        request.getfixturevalue("client")
    else:
        observe(len)("")  # says once that nothing is traced; pytest keeps what was logged, exceptions included
    if request.param == "observed, in detail":
        options = {"span_type": "model", "tags": {"tag": 1}, "baggage": {"item": "1"}}
        return functools.partial(observe, process_inputs=repr, process_outputs=repr, name="named", **options)
    return observe


# -- results and exceptions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, False, 0, "", [], object(), NotImplemented, StopIteration, len])
def test_the_result_is_the_very_object(decorator, value):
    assert decorator(lambda: value)() is value


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1]),
        lambda: (n for n in range(2)),
        lambda: map(str, [1]),
        lambda: io.StringIO("text"),
        lambda: {}.items(),
        lambda: range(3),
    ],
)
def test_an_iterator_that_is_returned_is_the_very_object(decorator, make):
    value = make()
    assert decorator(lambda: value)() is value


@pytest.mark.parametrize(
    "kind",
    [ValueError, StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt, SystemExit, RecursionError],
)
def test_the_exception_is_the_very_object_with_what_it_has(decorator, kind):
    cause, context = KeyError("cause"), LookupError("context")
    error = kind("message", 2)
    error.__cause__, error.__context__, error.attribute = cause, context, 3

    @decorator
    def fail():
        raise error

    with pytest.raises(kind) as caught:
        fail()
    assert caught.value is error
    assert (error.args, error.attribute) == (("message", 2), 3)
    assert error.__cause__ is cause and error.__context__ is context
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"


def test_an_exception_while_another_is_handled_has_it_as_context(decorator):
    @decorator
    def fail():
        raise ValueError("inner")

    with pytest.raises(ValueError) as caught:
        try:
            raise KeyError("outer")
        except KeyError as outer:
            first = outer
            fail()
    assert caught.value.__context__ is first
    assert caught.value.__cause__ is None and not caught.value.__suppress_context__


def test_raise_from_none_stays_so(decorator):
    @decorator
    def fail():
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None

    with pytest.raises(ValueError) as caught:
        fail()
    assert caught.value.__suppress_context__ and isinstance(caught.value.__context__, KeyError)


def test_the_function_sees_the_exception_that_its_caller_handles(decorator):
    @decorator
    def handled():
        return sys.exc_info()[1]

    assert handled() is None
    try:
        raise KeyError("outer")
    except KeyError as error:
        assert handled() is error


@pytest.mark.parametrize("arguments, words", [((1, 2, 3), {}), ((), {}), ((1,), {"a": 1}), ((1,), {"z": 1})])
def test_a_wrong_call_fails_as_it_does(decorator, arguments, words):
    def two(a, b=0):
        return a

    with pytest.raises(TypeError) as expected:
        two(*arguments, **words)
    with pytest.raises(TypeError) as caught:
        decorator(two)(*arguments, **words)
    assert str(caught.value) == str(expected.value)


class Hostile:
    """Fails, or lies, whatever is asked of it."""

    def _fail(self, *args, **kwargs):
        raise RuntimeError("do not touch")

    __repr__ = __str__ = __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __next__ = __format__ = _fail
    __lt__ = __contains__ = __getitem__ = __enter__ = __exit__ = __int__ = __float__ = __index__ = __call__ = _fail
    __fspath__ = __reduce_ex__ = __copy__ = __deepcopy__ = __dir__ = _fail

    def __getattr__(self, name):
        raise RuntimeError("do not touch")

    @property
    def __class__(self):
        raise RuntimeError("do not touch")


class HostileDict(dict):
    def _fail(self, *args, **kwargs):
        raise RuntimeError("do not touch")

    items = keys = values = get = copy = __iter__ = __len__ = __contains__ = __getitem__ = __repr__ = __bool__ = _fail


class Mirror:
    """Has any attribute."""

    def __getattr__(self, name):
        return Mirror()


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("do not touch")

    __repr__ = __str__


def cyclic():
    value = {}
    value["list"] = [value]
    return value


HOSTILE = {
    "an object that fails": Hostile,
    "a dict that fails": HostileDict,
    "an object that has any attribute": Mirror,
    "a cycle": cyclic,
    "a number of a million digits": lambda: 1 << 3_321_928,
    "a lone surrogate": lambda: "\ud800",
    "an iterator without end": itertools.count,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arguments_and_results(decorator, make):
    value = make()

    @decorator
    def through(first, *rest, key):
        return key

    assert through(value, value, key=value) is value


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_items_of_a_generator(decorator, make):
    value = make()

    @decorator
    def through(value):
        got = yield value
        return got

    generator = through(value)
    assert next(generator) is value
    with pytest.raises(StopIteration) as stop:
        generator.send(value)
    assert stop.value.value is value


def test_an_exception_that_cannot_be_shown(decorator):
    error = HostileError()

    @decorator
    def fail():
        raise error

    with pytest.raises(HostileError) as caught:
        fail()
    assert caught.value is error


def test_arguments_are_untouched(decorator):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [image]}]
    numbers, iterator = {3, 1, 2}, iter([1, 2, 3])
    before = copy.deepcopy(messages)

    @decorator
    def look(messages, numbers, iterator, **options):
        return (messages, numbers, iterator, options)

    result = look(messages, numbers, iterator=iterator, self=1, args=2, kwargs=3, span=4, fn=5)
    assert result[0] is messages and result[1] is numbers and result[2] is iterator
    assert messages == before
    assert list(iterator) == [1, 2, 3]
    assert result[3] == {"self": 1, "args": 2, "kwargs": 3, "span": 4, "fn": 5}


@pytest.mark.parametrize("hook", [lambda given: given["kwargs"].clear(), lambda given: given.clear()])
def test_a_hook_cannot_change_the_call(client, hook):
    assert observe(lambda **words: words, process_inputs=hook)(a=1) == {"a": 1}


# -- what the function is ---------------------------------------------------------------------------------------------


def annotated(a: int, b: str = "b", *rest: float, key: bool = True, **others: bytes) -> list:
    """What it does."""
    return [a, b, rest, key, others]


annotated.attribute = ["mutable"]


def generator_function():
    yield 1


async def coroutine_function():
    return 1


async def async_generator_function():
    yield 1


@types.coroutine
def iterable_coroutine_function():
    yield 1


KINDS = [annotated, generator_function, coroutine_function, async_generator_function, iterable_coroutine_function]


@pytest.mark.parametrize("fn", KINDS)
@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__"])
def test_metadata(decorator, fn, name):
    assert getattr(decorator(fn), name) == getattr(fn, name)


def test_attributes_of_the_function(decorator):
    assert decorator(annotated).attribute is annotated.attribute


@pytest.mark.parametrize("fn", KINDS)
def test_signature(decorator, fn):
    assert inspect.signature(decorator(fn)) == inspect.signature(fn)


def test_what_is_wrapped_can_be_reached(client):
    assert observe(annotated).__wrapped__ is annotated
    assert inspect.unwrap(observe(observe(annotated))) is annotated


PREDICATES = [
    inspect.isfunction,
    inspect.isroutine,
    inspect.isgeneratorfunction,
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isclass,
    inspect.ismethod,
    inspect.isbuiltin,
    callable,
]
BOUND = types.SimpleNamespace(method=annotated.__get__("object"))


@pytest.mark.parametrize("fn", [*KINDS, BOUND.method, len, functools.partial(annotated, 1)])
@pytest.mark.parametrize("predicate", PREDICATES)
def test_predicates_of_the_function(decorator, predicate, fn):
    assert predicate(decorator(fn)) == predicate(fn)


RESULT_PREDICATES = [inspect.isgenerator, inspect.iscoroutine, inspect.isasyncgen, inspect.isawaitable]


@pytest.mark.parametrize("fn", KINDS[1:])
def test_predicates_of_what_it_returns(decorator, fn):
    made, expected = decorator(fn)(), fn()
    assert [is_so(made) for is_so in RESULT_PREDICATES] == [is_so(expected) for is_so in RESULT_PREDICATES]
    assert type(made) is type(expected)
    assert (made.__name__, made.__qualname__) == (expected.__name__, expected.__qualname__)
    for each in (made, expected):
        if hasattr(each, "close"):
            each.close()


# -- methods ----------------------------------------------------------------------------------------------------------


def shapes(decorator):
    class Shapes:
        def __init__(self):
            self.seen = []

        @decorator
        def method(self, a, b=2):
            self.seen.append((a, b))
            return (self, a, b)

        @staticmethod
        @decorator
        def static_outside(a):
            return a

        @decorator
        @staticmethod
        def static_inside(a):
            return a

        @classmethod
        @decorator
        def class_outside(cls, a):
            return (cls, a)

        @decorator
        @classmethod
        def class_inside(cls, a):
            return (cls, a)

        @property
        @decorator
        def size(self):
            return 3

        @decorator
        def generator(self, n):
            yield from range(n)

        @decorator
        def __call__(self, a):
            return (self, a)

        @decorator
        @functools.lru_cache(maxsize=None)  # noqa: B019
        def cached(self, a):
            return (self, a)

        partial = decorator(functools.partial(divmod, 7))
        builtin = decorator(len)
        bound = decorator([1, 2].count)
        method_of_another = decorator(BOUND.method)

    return Shapes


def test_methods(decorator):
    cls = shapes(decorator)
    shape = cls()
    assert shape.method(1, b=3) == (shape, 1, 3)
    assert shape.method(1)[0] is shape and cls.method(shape, 1) == (shape, 1, 2)
    assert shape.method.__self__ is shape and inspect.ismethod(shape.method)
    assert shape.static_outside(1) == cls.static_outside(1) == shape.static_inside(1) == cls.static_inside(1) == 1
    assert shape.class_outside(1) == cls.class_outside(1) == shape.class_inside(1) == cls.class_inside(1) == (cls, 1)
    assert isinstance(vars(cls)["static_inside"], staticmethod) and isinstance(vars(cls)["class_inside"], classmethod)
    assert shape.size == 3
    assert list(shape.generator(3)) == [0, 1, 2]
    assert shape(1) == (shape, 1)


def test_what_is_no_method_in_a_class_stays_none(decorator):
    shape = shapes(decorator)()
    assert shape.builtin([1, 2]) == 2
    assert shape.bound(2) == 1 and shape.bound is shape.bound
    assert shape.method_of_another(2)[:2] == ["object", 2]
    assert shape.method_of_another is vars(type(shape))["method_of_another"]
    if sys.version_info < (3, 13):  # which warns of a change to come
        assert shape.partial(2) == (3, 1)


def test_a_cached_method_stays_one(decorator):
    cls = shapes(decorator)
    shape = cls()
    assert shape.cached(1) is shape.cached(1) and cls.cached(shape, 1) is shape.cached(1)
    assert shape.cached.__self__ is shape
    assert cls.cached.cache_info().hits == 3
    cls.cached.cache_clear()
    assert cls.cached.cache_info().hits == 0


def test_super_and_inheritance(decorator):
    class Base:
        @decorator
        def who(self):
            return ["base"]

        @decorator
        @classmethod
        def make(cls):
            return cls()

    class Derived(Base):
        @decorator
        def who(self):
            return [*super().who(), "derived"]

        @decorator
        @classmethod
        def make(cls):
            return super().make()

    assert Derived().who() == ["base", "derived"]
    assert type(Derived.make()) is Derived


def test_a_class_has_children(decorator):
    @decorator
    class Base:
        kind = "base"

        def __init__(self, name):
            self.name = name

    class Child(Base):
        def __init__(self):
            super().__init__("child")

    child = Child()
    assert (child.kind, child.name, type(child)) == ("base", "child", Child)
    assert isinstance(child, Base) and issubclass(Child, Base)
    assert [cls.__name__ for cls in Child.__mro__] == ["Child", "Base", "object"]


def test_abstract_methods_stay_abstract(decorator):
    class Base(ABC):
        @decorator
        @abstractmethod
        def work(self):
            """To be written."""

    with pytest.raises(TypeError):
        Base()


def test_two_in_one(decorator):
    assert decorator(decorator(annotated))(1) == [1, "b", (), True, {}]


class Model:
    """Something to call, with more to it."""

    def __init__(self):
        self.temperature = 0.5

    def __call__(self, question, *, n=1):
        """Ask."""
        return (self, question, n)

    def tokens(self):
        return 7

    def __len__(self):
        return 3

    def __getitem__(self, key):
        return key

    def __or__(self, other):
        return ("or", other)

    def __eq__(self, other):
        return isinstance(other, Model)

    __hash__ = None


def test_a_callable_object_keeps_all_it_has(decorator):
    model = Model()
    seen = decorator(model)
    assert seen("q", n=2) == (model, "q", 2) and seen("q")[0] is model
    assert seen.tokens() == 7 and seen.__doc__ == model.__doc__ and vars(seen) == vars(model)
    assert isinstance(seen, Model) and callable(seen) and not hasattr(seen, "__name__")
    assert len(seen) == 3 and seen["k"] == "k" and (seen | 1) == ("or", 1) and seen == model
    assert inspect.signature(seen) == inspect.signature(model)
    with pytest.raises(TypeError):
        hash(seen)
    with pytest.raises(TypeError):
        iter(decorator(len))
    seen.temperature = 0.7
    assert model.temperature == 0.7
    del seen.temperature
    assert not hasattr(model, "temperature")
    assert copy.copy(seen).tokens() == 7
    assert repr(seen) == repr(model)
    weakref.ref(seen)


def test_a_callable_object_may_take_an_argument_named_self(decorator):
    assert decorator(functools.partial(dict, a=1))(self=2) == {"a": 1, "self": 2}


def test_a_wrapper_need_not_be_of_the_kind_that_it_wraps(decorator):
    def as_list(fn):
        @functools.wraps(fn)
        def wrapper():
            return list(fn())

        return wrapper

    assert decorator(as_list(generator_function))() == [1]


@pytest.mark.parametrize(
    "fn, arguments, result",
    [
        (len, ([1, 2],), 2),
        (int, ("7",), 7),
        (dict, (), {}),
        ("text".upper, (), "TEXT"),
        (str.upper, ("text",), "TEXT"),
        (functools.partial(annotated, 1, key=2), ("x",), [1, "x", (), 2, {}]),
        (BOUND.method, (1,), ["object", 1, (), True, {}]),
        (functools.lru_cache()(lambda a: [a]), (1,), [1]),
        (functools.singledispatch(lambda a: [a]), (1,), [1]),
        (Model.__call__, (1, 2), (1, 2, 1)),
    ],
)
def test_builtins_and_other_callables(decorator, fn, arguments, result):
    assert decorator(fn)(*arguments) == result
    assert repr(type(decorator(fn)(*arguments))) == repr(type(fn(*arguments)))


def test_a_hostile_callable(decorator):
    class Call(Hostile):
        def __call__(self, a):
            return a

    assert decorator(Call())(1) == 1


@pytest.mark.parametrize("thing", [property(lambda self: 3), 3, None, "text"])
def test_what_cannot_be_called_is_left_alone(thing, client):
    assert observe()(thing) is thing


def test_default_arguments_are_evaluated_once(decorator):
    @decorator
    def collect(item, to=[]):  # noqa: B006
        to.append(item)
        return to

    assert collect(1) is collect(2)
    assert collect(3) == [1, 2, 3]


def test_recursion(decorator):
    @decorator
    def factorial(n):
        return 1 if n == 0 else n * factorial(n - 1)

    assert factorial(50) == 30414093201713378043612608166064768844377641568960512000000000000


def test_recursion_without_end(decorator):
    @decorator
    def down(n):
        return down(n + 1)

    for _ in range(3):
        with pytest.raises(RecursionError):
            down(0)


def test_recursion_without_end_wherever_the_limit_falls():
    # In a process of its own, which CPython before 3.10 aborts when an error at the limit is swallowed.
    script = """
import sys
from cozeloop_lite import new_client, observe, set_default_client

class Nowhere:
    def export_spans(self, spans):
        pass

client = new_client(workspace_id="7", api_token="t", exporter=Nowhere())

@observe(client=client)
def down(n):
    return down(n + 1)

@observe
def without_a_client(n):
    return without_a_client(n + 1)

set_default_client(None)
for limit in range(300, 340):
    sys.setrecursionlimit(limit)
    for fn in (down, without_a_client):
        try:
            fn(0)
        except RecursionError:
            pass
sys.setrecursionlimit(1000)
print("survived")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.stdout.strip() == b"survived", done.stderr[-2000:]


@recent
def test_positional_only_parameters(decorator):
    names = {"decorator": decorator}
    exec("@decorator\ndef fn(a, b=2, /, **others): return (a, b, others)", names)
    assert names["fn"](1, a=3, b=4) == (1, 2, {"a": 3, "b": 4})


# -- generators -------------------------------------------------------------------------------------------------------


def test_a_generator_is_lazy(decorator):
    log = []

    @decorator
    def numbers():
        log.append("started")
        yield 1
        log.append("went on")

    generator = numbers()
    assert log == []
    next(generator)
    assert log == ["started"]
    assert list(generator) == [] and log == ["started", "went on"]


def echo(log):
    """Takes note of all that is done to it."""
    answer = "first"
    while True:
        try:
            got = yield answer
        except ValueError as error:
            log.append(error)
            answer = "caught"
        else:
            log.append(got)
            if got == "return":
                return "returned"
            answer = got


def test_send_and_the_return_value(decorator):
    log = []
    generator = decorator(echo)(log)
    assert next(generator) == "first"
    assert generator.send(1) == 1
    assert generator.send(None) is None
    with pytest.raises(StopIteration) as stop:
        generator.send("return")
    assert stop.value.value == "returned"
    assert log == [1, None, "return"]
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value is None


def test_send_to_a_generator_that_has_not_started(decorator):
    generator = decorator(echo)([])
    with pytest.raises(TypeError, match="can't send non-None value to a just-started generator"):
        generator.send(1)
    assert next(generator) == "first"


class Silent(ValueError):
    pass


@pytest.mark.filterwarnings("ignore:.*signature of throw.*:DeprecationWarning")
def test_throw_in_all_its_forms(decorator):
    log = []
    generator = decorator(echo)(log)
    next(generator)
    error = ValueError("an object")
    assert generator.throw(error) == "caught" and log[-1] is error
    assert generator.throw(Silent) == "caught" and type(log[-1]) is Silent and log[-1].args == ()
    assert generator.throw(Silent, "a value") == "caught" and log[-1].args == ("a value",)
    assert generator.throw(Silent, Silent("both")) == "caught" and log[-1].args == ("both",)
    try:
        raise KeyError
    except KeyError as other:
        frames = other.__traceback__
    assert generator.throw(Silent, Silent(), frames) == "caught"
    names = [frame.name for frame in traceback.extract_tb(log[-1].__traceback__)]
    assert names[-1] == "test_throw_in_all_its_forms" and "echo" in names
    with pytest.raises(TypeError):
        generator.throw("no exception")
    assert generator.send("go on") == "go on"
    uncaught = KeyError("uncaught")
    with pytest.raises(KeyError) as caught:
        generator.throw(uncaught)
    assert caught.value is uncaught and uncaught.__context__ is None
    assert traceback.extract_tb(uncaught.__traceback__)[-1].name == "echo"


@pytest.mark.parametrize("kind", [GeneratorExit, StopIteration, KeyboardInterrupt, SystemExit])
def test_throw_what_ends_things(decorator, kind):
    log = []

    @decorator
    def survive():
        while True:
            try:
                yield len(log)
            except BaseException as error:
                log.append(error)
                if len(log) > 2:
                    return

    generator = survive()
    next(generator)
    error = kind()
    assert generator.throw(error) == 1
    assert log == [error]
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()


@pytest.mark.parametrize("kind", [GeneratorExit, KeyboardInterrupt, ValueError])
def test_throw_what_nobody_catches(decorator, kind):
    @decorator
    def one():
        yield 1

    generator, error = one(), kind()
    next(generator)
    with pytest.raises(kind) as caught:
        generator.throw(error)
    assert caught.value is error
    assert list(generator) == []


def test_throw_a_stop_iteration_that_nobody_catches(decorator):
    @decorator
    def one():
        yield 1

    generator, error = one(), StopIteration("thrown")
    next(generator)
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        generator.throw(error)
    assert caught.value.__cause__ is error


def test_throw_into_a_generator_that_has_not_started(decorator):
    generator = decorator(echo)([])
    with pytest.raises(ValueError):
        generator.throw(ValueError())
    assert list(generator) == []


def test_a_stop_iteration_in_the_body(decorator):
    @decorator
    def leaks():
        yield next(iter(()))

    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        list(leaks())
    assert isinstance(caught.value.__cause__, StopIteration)


def test_what_is_raised_after_a_throw_has_the_thrown_as_context(decorator):
    @decorator
    def turns():
        try:
            yield
        except ValueError:
            raise KeyError("new")  # noqa: B904

    generator, error = turns(), ValueError("thrown")
    next(generator)
    with pytest.raises(KeyError) as caught:
        generator.throw(error)
    assert caught.value.__context__ is error and error.__context__ is None


def test_what_a_later_step_raises_has_no_context_of_an_earlier_one(decorator):
    @decorator
    def recovers():
        try:
            yield 1
        except ValueError:
            pass
        yield 2
        raise KeyError("later")

    generator = recovers()
    next(generator)
    assert generator.throw(ValueError()) == 2
    with pytest.raises(KeyError) as caught:
        next(generator)
    assert caught.value.__context__ is None


def test_no_exception_is_being_handled_in_a_step(decorator):
    seen = []

    @decorator
    def looks():
        try:
            yield
        except ValueError:
            pass
        seen.append(sys.exc_info()[1])
        yield
        seen.append(sys.exc_info()[1])

    generator = looks()
    next(generator)
    generator.throw(ValueError())
    list(generator)
    assert seen == [None, None]


def test_close(decorator):
    log = []

    @decorator
    def careful():
        try:
            yield 1
            yield 2
        except GeneratorExit as error:
            log.append(type(error))
            raise
        finally:
            log.append("cleaned up")

    generator = careful()
    generator.close()
    assert log == [] and list(generator) == []
    generator = careful()
    next(generator)
    assert generator.close() is None
    assert log == [GeneratorExit, "cleaned up"]
    assert generator.close() is None and list(generator) == []


def test_close_of_a_generator_that_ignores_it(decorator):
    @decorator
    def stubborn():
        for n in range(3):
            try:
                yield n
            except GeneratorExit:
                pass

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()
    assert next(generator) == 2
    assert list(generator) == []


def test_close_of_a_generator_that_returns(decorator):
    @decorator
    def returns():
        try:
            yield 1
        except GeneratorExit:
            return "value"

    generator = returns()
    next(generator)
    assert generator.close() == ("value" if sys.version_info >= (3, 13) else None)


def test_close_of_a_generator_that_fails(decorator):
    error = KeyError("on the way out")

    @decorator
    def fails():
        try:
            yield 1
        finally:
            raise error

    generator = fails()
    next(generator)
    with pytest.raises(KeyError) as caught:
        generator.close()
    assert caught.value is error and isinstance(error.__context__, GeneratorExit)


def test_yield_from(decorator):
    log = []

    @decorator
    def outer():
        result = yield from decorator(echo)(log)
        return ("outer", result)

    generator = outer()
    assert next(generator) == "first"
    assert generator.send(1) == 1
    assert generator.throw(ValueError("in")) == "caught"
    with pytest.raises(StopIteration) as stop:
        generator.send("return")
    assert stop.value.value == ("outer", "returned")
    assert [log[0], str(log[1]), log[2]] == [1, "in", "return"]


def test_a_generator_that_steps_itself(decorator):
    @decorator
    def itself():
        yield next(generator)

    generator = itself()
    with pytest.raises(ValueError, match="generator already executing"):
        next(generator)


def test_a_recursive_generator(decorator):
    @decorator
    def walk(tree):
        for node in tree:
            if isinstance(node, list):
                yield from walk(node)
            else:
                yield node

    assert list(walk([1, [2, [3, [4]], 5], 6])) == [1, 2, 3, 4, 5, 6]


def test_generators_in_other_hands(decorator):
    numbers = decorator(lambda n: (yield from range(n)))
    assert list(zip(numbers(3), numbers(5))) == [(0, 0), (1, 1), (2, 2)]
    assert dict.fromkeys(numbers(2)) == {0: None, 1: None}
    first, *rest = numbers(3)
    assert (first, rest) == (0, [1, 2])
    assert list(itertools.islice(numbers(10), 2)) == [0, 1]
    assert sum(itertools.chain.from_iterable([numbers(3), numbers(4)])) == 9


def test_a_context_manager(decorator):
    import contextlib

    log = []

    @contextlib.contextmanager
    @decorator
    def managed():
        log.append("in")
        try:
            yield "value"
        except ValueError as error:
            log.append(error)
        finally:
            log.append("out")

    error = ValueError()
    with managed() as value:
        log.append(value)
        raise error
    assert log == ["in", "value", error, "out"]
    with pytest.raises(KeyError), managed():
        raise KeyError


def test_the_state_of_a_generator(decorator):
    generator = decorator(generator_function)()
    assert inspect.getgeneratorstate(generator) == "GEN_CREATED"
    next(generator)
    assert inspect.getgeneratorstate(generator) == "GEN_SUSPENDED"
    generator.close()
    assert inspect.getgeneratorstate(generator) == "GEN_CLOSED"


variable = contextvars.ContextVar("variable", default="unset")


def test_context_variables(decorator):
    @decorator
    def sets(value):
        token = variable.set(value)
        yield variable.get()
        yield variable.get()
        variable.reset(token)

    def run():
        generator = sets("inside")
        assert next(generator) == "inside"
        assert variable.get() == "inside"  # as it is with generators, for better or worse
        variable.set("outside")
        assert next(generator) == "outside"
        next(generator, None)
        assert variable.get() == "unset"

    contextvars.copy_context().run(run)


def test_context_variables_that_a_function_sets(decorator):
    def run():
        decorator(variable.set)("plain")
        assert variable.get() == "plain"

    contextvars.copy_context().run(run)


def test_a_generator_from_thread_to_thread(decorator):
    generator = decorator(echo)([])
    got = []
    for value in (None, 1, 2):
        thread = threading.Thread(target=lambda value=value: got.append(generator.send(value)))
        thread.start()
        thread.join()
    assert got == ["first", 1, 2]


# -- what lives how long ----------------------------------------------------------------------------------------------


class Thing:
    pass


@pytest.fixture
def quick(decorator):
    """Hooks are given the items of a generator themselves, so those live until its end."""
    return observe if isinstance(decorator, functools.partial) else decorator


def test_arguments_and_results_die_with_the_last_reference(decorator, no_gc):
    @decorator
    def use(thing):
        return Thing()

    thing = Thing()
    argument = weakref.ref(thing)
    result = weakref.ref(use(thing))
    del thing
    assert argument() is None and result() is None


def test_an_exception_dies_with_the_last_reference(decorator, no_gc):
    @decorator
    def fail(thing):
        raise Silent(thing)

    thing = Thing()
    argument = weakref.ref(thing)
    try:
        fail(thing)
    except Silent as error:
        raised = weakref.ref(error)
    del thing
    assert raised() is None and argument() is None


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "thrown into", "failed"])
def test_what_a_generator_was_given_dies_with_it(quick, no_gc, end):
    @quick
    def use(thing):
        yield 1
        if end == "failed":
            raise Silent(thing)

    thing = Thing()
    argument = weakref.ref(thing)
    generator = use(thing)
    del thing
    next(generator)
    if end == "exhausted":
        list(generator)
    elif end == "closed":
        generator.close()
    elif end == "thrown into":
        with pytest.raises(KeyError):
            generator.throw(KeyError())
    elif end == "failed":
        try:
            next(generator)
        except Silent as error:
            raised = weakref.ref(error)
        assert raised() is None
    del generator
    assert argument() is None


def test_a_generator_may_drop_its_argument(quick, no_gc):
    @quick
    def use(thing):
        del thing
        yield 1

    thing = Thing()
    argument = weakref.ref(thing)
    generator = use(thing)
    del thing
    next(generator)
    assert argument() is None


def test_a_generator_does_not_hold_its_item(quick, no_gc):
    @quick
    def make():
        yield Thing()
        yield Thing()

    generator = make()
    item = weakref.ref(next(generator))
    assert item() is None
    item = weakref.ref(next(generator))
    assert item() is None


def test_what_was_sent_or_thrown_into_a_generator_is_not_kept(quick, no_gc):
    @quick
    def swallow():
        while True:
            try:
                yield
            except Silent:
                pass

    generator = swallow()
    next(generator)
    thing = Thing()
    sent = weakref.ref(thing)
    generator.send(thing)
    del thing
    assert sent() is None
    error = Silent()
    thrown = weakref.ref(error)
    generator.throw(error)
    del error
    assert thrown() is None


def test_a_generator_that_is_dropped_cleans_up_at_once(decorator, no_gc):
    log = []

    @decorator
    def careful():
        try:
            yield 1
        finally:
            log.append("cleaned up")

    generator = careful()
    next(generator)
    del generator
    assert log == ["cleaned up"]


# -- pickles ----------------------------------------------------------------------------------------------------------


@observe
def observed_at_the_top(a):
    return a


@observe(name="generator")
def observed_generator_at_the_top(a):
    yield a


@observe
@functools.lru_cache(maxsize=None)
def cached_at_the_top(a):
    return a


@pytest.mark.parametrize("fn", [observed_at_the_top, observed_generator_at_the_top, cached_at_the_top])
def test_functions_of_a_module_are_pickled_by_name(fn):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(fn, protocol)) is fn
    assert copy.deepcopy(observed_at_the_top) is observed_at_the_top


def test_a_partial_can_be_pickled(decorator):
    assert pickle.loads(pickle.dumps(decorator(functools.partial(divmod, 7))))(2) == (3, 1)


# -- programs that are broken in the middle ---------------------------------------------------------------------------


def test_a_closed_client(client, sent):
    client.close()
    assert observe(annotated)(1) == [1, "b", (), True, {}]
    assert list(observe(generator_function)()) == [1]


@pytest.mark.parametrize("options", [{"tags": 3}, {"baggage": 3}, {"name": 3}, {"span_type": 3}, {"client": 3}])
def test_options_that_are_wrong(client, options, logged):
    assert observe(annotated, **options)(1) == [1, "b", (), True, {}]
    assert list(observe(generator_function, **options)()) == [1]
