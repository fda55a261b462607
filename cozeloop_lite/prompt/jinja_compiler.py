"""From the text of a template to code in which every block, loop and operation pays for itself.

Compiling costs, too, and is limited: the characters and tokens of the text, how deep it is nested, the code that comes
of it. Nothing is evaluated meanwhile. jinja2 would do so with constants: ``{{ 'x'|center(1000000000) }}``.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, DependencyFinderVisitor, Frame
from jinja2.exceptions import TemplateAssertionError, TemplateSyntaxError
from jinja2.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator

MAX_SOURCE = 512 * 1024  # characters
MAX_TOKENS = 6000
MAX_NESTING = 50  # of the nodes of the syntax tree
MAX_PARSING = 120  # of what the parser is in the middle of: three for a bracket, one for a statement
MAX_NUMBER = 400  # characters of a number
MAX_CODE = 1024 * 1024  # characters, not counting the constant text

_TOO_DEEP = "it is nested more than %d deep" % MAX_NESTING

_UNAVAILABLE: dict[type, str] = {
    nodes.Extends: "extends",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.ScopedEvalContextModifier: "autoescape",
}

# What a node costs when it is evaluated, in steps, where it is not 1. It covers the memory of its result.
_NODE_STEPS: dict[type, int] = {
    nodes.Add: 3,
    nodes.Assign: 2,
    nodes.AssignBlock: 8,
    nodes.Block: 30,
    nodes.Call: 18,
    nodes.CallBlock: 30,
    nodes.Compare: 2,
    nodes.Concat: 4,
    nodes.Dict: 8,
    nodes.Div: 3,
    nodes.Filter: 8,
    nodes.FilterBlock: 8,
    nodes.FloorDiv: 3,
    nodes.For: 20,
    nodes.Getattr: 10,
    nodes.Getitem: 6,
    nodes.List: 5,
    nodes.Macro: 30,
    nodes.Mod: 3,
    nodes.Mul: 3,
    nodes.NSRef: 3,
    nodes.Output: 2,
    nodes.Pair: 3,
    nodes.Pow: 3,
    nodes.Sub: 3,
    nodes.Test: 6,
    nodes.Tuple: 2,
}

# The parts of a node that pay for themselves, each time they are run.
_PAID_APART: dict[type, tuple[str, ...]] = {
    nodes.AssignBlock: ("body",),
    nodes.Block: ("body",),
    nodes.CallBlock: ("body", "defaults"),
    nodes.FilterBlock: ("body",),
    nodes.For: ("body", "else_", "test"),
    nodes.If: ("body", "else_"),
    nodes.Macro: ("body", "defaults"),
    nodes.With: ("body",),
}

# Names of the generated code that get another meaning.
_PREAMBLE = (
    "charge = environment.budget.charge",
    "concat = environment.concat_pieces",
    "str_join = environment.join_texts",
    "LoopContext = environment.loop_context",
)


def limited(tokens: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """The tokens of a template, as long as they are not too many or too large."""
    count = 0
    for line, kind, text in tokens:
        count += kind != "whitespace"
        if count > MAX_TOKENS:
            raise TemplateSyntaxError("it has more than %d words and signs" % MAX_TOKENS, line)
        if kind in ("integer", "float") and len(text) > MAX_NUMBER:
            raise TemplateSyntaxError("it has a number of more than %d digits" % MAX_NUMBER, line)
        yield line, kind, text


class LimitedParser(Parser):
    """A parser that says so, before it runs out of stack."""

    _depth = 0

    def _deeper(self, parse: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_PARSING:
            self.fail(_TOO_DEEP)
        try:
            return parse(*args, **kwargs)
        finally:
            self._depth -= 1

    def parse_statement(self) -> Any:
        return self._deeper(super().parse_statement)

    def parse_condexpr(self) -> Any:
        return self._deeper(super().parse_condexpr)

    def parse_not(self) -> Any:
        return self._deeper(super().parse_not)

    def parse_unary(self, with_filter: bool = True) -> Any:
        return self._deeper(super().parse_unary, with_filter)


def checked(tree: nodes.Template) -> nodes.Template:
    """The tree, if it has nothing that is not available."""
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_NESTING + 1):
        for node in level:
            unavailable = _UNAVAILABLE.get(type(node))
            if unavailable is not None:
                raise TemplateAssertionError("%r is not available in a prompt" % unavailable, node.lineno)
            _limit_arguments(node)
        below = [child for node in level for child in node.iter_child_nodes()]
        if not below:
            return tree
        level = below
    raise TemplateAssertionError(_TOO_DEEP, level[0].lineno)


def _limit_arguments(node: Any) -> None:
    """``f(*items)``: Python would take all of them before anybody could count."""
    if isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)) and node.dyn_args is not None:
        node.dyn_args = nodes.Filter(node.dyn_args, "list", [], [], None, None, lineno=node.lineno)


def steps_of(body: Iterable[nodes.Node]) -> int:
    """What a body costs each time it is run, without the bodies that are in it."""
    steps = 2
    todo = list(body)
    while todo:
        node = todo.pop()
        steps += _NODE_STEPS.get(type(node), 1)
        if isinstance(node, nodes.Output):
            steps += 3 * len(node.nodes)  # each is made a text
        todo.extend(node.iter_child_nodes(_PAID_APART.get(type(node), ())))
    return steps


class Generator(CodeGenerator):
    """Generates code that pays. ``charge`` is :meth:`.jinja_budget.Budget.charge` there."""

    _size = 0

    def write(self, x: str) -> None:
        self._size += len(x)
        if self._size > MAX_CODE:
            raise TemplateAssertionError("it becomes more than %d characters of code" % MAX_CODE, self._last_line)
        super().write(x)

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        text = super()._output_const_repr(group)
        self._size -= len(text)
        return text

    def write_commons(self) -> None:
        super().write_commons()
        for line in _PREAMBLE:
            self.writeline(line)

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        body = list(nodes)
        self.writeline("charge(%d)" % steps_of(body))
        super().blockvisit(body, frame)

    def enter_frame(self, frame: Frame) -> None:
        """Here every name that is used anywhere inside is looked up, whether it will be needed or not."""
        if len(frame.symbols.loads) > 3:
            self.writeline("charge(%d)" % (2 * len(frame.symbols.loads)))
        super().enter_frame(frame)

    def pull_dependencies(self, nodes: Iterable[nodes.Node]) -> None:
        """The filters and tests that are used inside. jinja2 would remember the code for unknown ones for ever."""
        visitor = DependencyFinderVisitor()
        for node in nodes:
            visitor.visit(node)
        self.writeline("charge(%d)" % (6 * len(visitor.filters) + 6 * len(visitor.tests)))
        for kind, names, known in ("filter", visitor.filters, self.filters), ("test", visitor.tests, self.tests):
            for name in sorted(names):
                if name not in known:
                    known[name] = self.temporary_identifier()
                self.writeline("%s = environment.function(%r, %r)" % (known[name], kind, name))

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        steps = steps_of([node.target])
        if isinstance(node.target, nodes.Tuple):
            node.body.insert(0, nodes.ExprStmt(_payment(steps, node.lineno)))
        if node.test is not None:
            node.test = _paid(node.test, steps)
        super().visit_For(node, frame)

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        _pay_for_parameters(node)
        super().visit_Macro(node, frame)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:
        _pay_for_parameters(node)
        super().visit_CallBlock(node, frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        chained = len(node.ops) > 1
        self.write("environment.compare_all(" if chained else "environment.compare(")
        self.visit(node.expr, frame)
        for operand in node.ops:
            # Of a < b < c, the last is only evaluated if the first two are in order.
            self.write(", %r, %s" % (operand.op, "lambda: " if chained else ""))
            self.visit(operand.expr, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.cut(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            self.visit(nodes.Const(None) if bound is None else bound, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for pair in node.items:
            self.write("environment.key_of_dict(")
            self.visit(pair.key, frame)
            self.write("): ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")


def _payment(steps: int, line: int) -> nodes.Expr:
    """``charge(7)``, as an expression: a name that becomes code as it is, which jinja2 lets nobody make."""
    payment = object.__new__(nodes.InternalName)
    nodes.Node.__init__(payment, "charge(%d)" % steps, lineno=line)
    return payment


def _paid(expression: Any, more: int = 0) -> nodes.Expr:
    """An expression that may be evaluated many times, and pays each time: ``(charge(7) and expression)``."""
    line = expression.lineno
    return nodes.And(_payment(steps_of([expression]) + more, line), expression, lineno=line)


def _pay_for_parameters(node: nodes.Macro | nodes.CallBlock) -> None:
    node.defaults = [_paid(default) for default in node.defaults]
    node.body.insert(0, nodes.ExprStmt(_payment(1 + 4 * len(node.args), node.lineno)))
