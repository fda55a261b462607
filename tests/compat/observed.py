"""What a program written for the official package decorates with ``observe``: each way of it in a trace of its own.

It knows nothing of this library. Run with COZELOOP_API_BASE_URL, COZELOOP_API_TOKEN and COZELOOP_WORKSPACE_ID set. The
root span of each trace has the name of the case.
"""

import asyncio
import dataclasses
import functools

import cozeloop
from cozeloop.decorator import coze_loop_decorator, observe

CASES = []


def case(run):
    """Run it once, within a span of its name; what it raises has been seen by then."""
    CASES.append(run)
    return run


def failing(run, *args, **kwargs):
    try:
        return run(*args, **kwargs)
    except (Exception, KeyboardInterrupt):
        return None


class Thing:
    def __repr__(self):
        return "<a thing>"


@dataclasses.dataclass
class Point:
    x: int = 1
    y: str = "two"


# -- functions ------------------------------------------------------------------------------------------------------


@observe
def bare(question, limit=3):
    return {"answer": question, "limit": limit}


@case
def arguments_by_place_and_by_name():
    bare("a")
    bare("b", 4)
    bare("c", limit=5)
    bare(question="d")


@case
def any_number_of_arguments():
    @observe()
    def anything(first, *rest, key=1, **more):
        return [first, rest, key, more]

    anything(1, 2, 3, key=4, other=5)
    anything(1)


@case
def no_arguments_and_no_result():
    @observe()
    def nothing():
        pass

    nothing()


@case
def results():
    for result in ("text", "", 0, False, True, 1.5, [], {}, [1, {"a": None}], Point(), (1, 2)):
        observe(name="result")(lambda result=result: result)()


@case
def a_lambda():
    observe(lambda x: x * 2)(3)


@case
def a_nested_function():
    def outer():
        @observe(span_type="tool")
        def inner(x):
            return bare(x)

        return inner("deep")

    observe(outer)()


@case
def recursion():
    @observe()
    def countdown(n):
        return countdown(n - 1) if n else "done"

    countdown(2)


@case
def a_decorated_function():
    def decorated(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)

        return wrapper

    @observe()
    @decorated
    def inside(x):
        return x

    inside(1)


@case
def values_without_a_form_in_json():
    observe(name="thing")(lambda *args: "done")(Thing())
    observe(name="point")(lambda *args: "done")(Point())


@case
def an_argument_that_is_changed():
    @observe()
    def spoil(messages):
        messages.append("spoilt")
        return "done"

    spoil(["good"])


# -- methods --------------------------------------------------------------------------------------------------------


class Service:
    @observe()
    def method(self, question, limit=3):
        return question

    @staticmethod
    @observe(span_type="tool")
    def static(question):
        return question

    @classmethod
    @observe()
    def of_class(cls, question):
        return question

    @observe()
    def __call__(self, question):
        return question

    @observe(process_inputs=lambda given: [list(given["args"]), given["kwargs"]])
    def hooked(self, question, limit=3):
        return question

    @observe()
    async def awaited(self, question):
        return question

    @observe()
    def items(self, count):
        yield from range(count)

    @coze_loop_decorator.observe(name="by an object")
    def of_an_object(self, question):
        return question


@case
def methods():
    service = Service()
    service.method("a", limit=4)
    Service.method(service, "b")
    service("c")
    service.hooked("d", limit=5)
    service.of_an_object("e")
    list(service.items(2))
    asyncio.run(service.awaited("f"))


@case
def static_and_class_methods():
    Service.static("a")
    Service().static("b")
    Service.of_class("c")


# -- what is told to observe ----------------------------------------------------------------------------------------


@case
def a_name_a_type_tags_and_baggage():
    @observe(name="named", span_type="model", tags={"n": 1, "text": "t", "ok": True}, baggage={"user_id": "u1"})
    def told(x):
        return bare(x)

    told(1)


@case
def tags_of_the_function_and_of_the_decorator():
    @observe(tags={"who": "decorator"})
    def tagged():
        cozeloop.get_span_from_context().set_tags({"who": "function", "more": 1})

    tagged()


@case
def input_and_output_that_the_function_sets():
    @observe()
    def setting():
        span = cozeloop.get_span_from_context()
        span.set_input("its input")
        span.set_output("its output")
        return "its result"

    setting()


@case
def hooks():
    observe(name="input", process_inputs=lambda given: {**given, "more": 1})(lambda a, b=2: a)(1, b=3)
    observe(name="output", process_outputs=lambda output: {"value": output})(lambda: 5)()
    tokens = {"text": "hi", "_inner_tokens_dict": {"input_tokens": 3, "output_tokens": 4}}
    observe(name="tokens", span_type="model", process_outputs=lambda output: tokens)(lambda: 5)()


@case
def a_client_of_its_own():
    observe(name="own", client=cozeloop.new_client())(lambda: 1)()


# -- failures -------------------------------------------------------------------------------------------------------


@case
def exceptions():
    def fail(kind):
        raise {"value": ValueError, "key": KeyError, "interrupt": KeyboardInterrupt}[kind]("it went wrong")

    for kind in ("value", "key", "interrupt"):
        failing(observe(name="fails")(fail), kind)


@case
def an_exception_from_inside():
    @observe()
    def inside():
        raise ValueError("it went wrong")

    @observe()
    def outside():
        inside()

    failing(outside)


@case
def an_exception_that_is_caught():
    @observe()
    def catches():
        cozeloop.get_span_from_context().set_error(ValueError("caught"))
        return "fine"

    catches()


# -- generators and streams -----------------------------------------------------------------------------------------


def letters(text):
    for letter in text:
        if letter == "!":
            raise ValueError("no letter")
        yield letter


@case
def generators():
    list(observe(name="whole")(letters)("abc"))
    list(observe(name="empty")(letters)(""))
    list(observe(name="of a model", span_type="model")(letters)("abc"))
    list(observe(name="hooked", process_outputs="".join)(letters)("abc"))
    list(observe(name="for iterators", process_iterator_outputs="".join)(letters)("abc"))
    counts = {"_inner_tokens_dict": {"input_tokens": 3}}
    list(observe(name="counted", process_outputs=lambda items: counts)(letters)("a"))


@case
def a_generator_that_is_closed():
    items = observe(letters)("abc")
    next(items)
    items.close()


@case
def a_generator_that_fails():
    failing(list, observe(letters)("ab!"))


@case
def a_generator_within_a_function():
    observe(lambda: list(observe(letters)("ab")), name="around")()


@case
def iterators():
    def stream(text):
        return letters(text)

    list(observe(name="whole", process_iterator_outputs="".join)(stream)("abc"))
    list(observe(name="listed", process_iterator_outputs=list)(stream)("abc"))
    tokens = {"text": "hi", "_inner_tokens_dict": {"input_tokens": 3, "output_tokens": 4}}
    list(observe(name="of a model", span_type="model", process_iterator_outputs=lambda items: tokens)(stream)("abc"))
    observe(name="no iterator", process_iterator_outputs="".join, process_outputs=str)(lambda: 5)()


@case
def an_iterator_that_is_asked_for_one_item_after_the_other():
    items = observe(name="by next", process_iterator_outputs="".join)(lambda: letters("ab"))()
    next(items), next(items), next(items, None)


@case
def an_iterator_that_fails():
    failing(list, observe(name="fails", process_iterator_outputs=list)(lambda: letters("ab!"))())


@case
def an_iterator_that_is_left():
    for _ in observe(name="left", process_iterator_outputs=list)(lambda: letters("abc"))():
        break


# -- async ----------------------------------------------------------------------------------------------------------


async def double(number):
    await asyncio.sleep(0)
    return number * 2


async def numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


@case
def coroutines():
    asyncio.run(observe(double)(2))
    asyncio.run(observe(name="hooked", process_outputs=lambda output: {"value": output})(double)(2))

    @observe()
    async def around():
        return await observe(double)(3)

    asyncio.run(around())


@case
def a_coroutine_that_fails():
    @observe()
    async def fails(text):
        raise ValueError(text)

    failing(asyncio.run, fails("it went wrong"))


@case
def async_generators():
    async def whole(items):
        return [item async for item in items]

    asyncio.run(whole(observe(numbers)(3)))
    asyncio.run(whole(observe(name="hooked", process_outputs=sum)(numbers)(3)))


@case
def async_iterators():
    async def stream(count):
        return numbers(count)

    async def whole(awaitable):
        return [item async for item in await awaitable]

    asyncio.run(whole(observe(name="whole", process_iterator_outputs=sum)(stream)(3)))


def main():
    client = cozeloop.new_client()
    cozeloop.set_default_client(client)
    for run in CASES:
        with client.start_span(run.__name__, "custom", start_new_trace=True):
            run()
        cozeloop.flush()
    cozeloop.close()


if __name__ == "__main__":
    main()
