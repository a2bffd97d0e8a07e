"""gradcheck: what is right passes, and what is wrong by little fails with the two numbers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rows import ROWS
from sabotage import SABOTAGE, cases, harmful, random_row, spoiled

import mytorch as mt
from mytorch.autograd import defvjp, primitive
from mytorch.autograd.gradcheck import blame
from mytorch.autograd.gradcheck.__main__ import main

pytest_plugins = ["mytorch.autograd.gradcheck.plugin"]
CASES = list(cases())

X = np.array([0.7, -1.3, 2.1, 0.2])


def cube(rule):
    """x**3 with a rule of one's own."""

    @primitive
    def cube(x):
        return x**3

    defvjp(cube, rule)
    return cube


RIGHT = {
    "a primitive": (mt.tanh, X),
    "numpy's": (np.sin, X),
    "a number": (lambda x: x**3, 2.0),
    "two arguments": (lambda x, y: x * y, X, X[::-1].copy()),
    "broadcasting": (lambda x, y: x * y, X, np.array([[2.0], [3.0]])),
    "an integer beside": (lambda x, n: x**n, X, 3),
    "nested": (lambda p: {"y": p["w"] * p["b"], "z": [p["b"] ** 2]}, {"w": X, "b": 0.5}),
    "a Tensor": (mt.exp, mt.tensor(X)),
    "float32, checked in float64": (mt.exp, X.astype(np.float32)),
    "zero slope": (lambda x: x * 0.0, X),
    "a slope of 1e-5": (lambda x: x * 1e-5, X),
    "constant": (lambda x: np.ones(2), X),
    "an empty array": (lambda x: x * x, np.ones((0, 3))),
    "a custom op": (cube(lambda g, ans, x: g * 3 * x**2), X),
    "a matrix": (lambda x: x @ x.T, np.arange(6.0).reshape(2, 3)),
    "cancellation": (lambda x: (x + 1e4) ** 2 - 1e8, X),
}


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("order", [1, 2])
def test_right_rules_pass(case, order):
    """To the second order."""
    assert mt.gradcheck(*case, order=order)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("outer", [1e-6, 1.0, 1e6])
def test_right_rules_pass_at_every_scale(scale, outer):
    """Of the inputs and of the answers."""
    assert mt.gradcheck(lambda x: outer * x**3, X * scale)
    assert mt.gradcheck(lambda x: outer * mt.sin(x / scale), X * scale)


def _zero_where_small(g, ans, x):
    slope = 3 * x**2
    return g * slope * (slope > 1e-4)


WRONG = {
    "scaled by 1.001": lambda g, ans, x: g * 3 * x**2 * 1.001,
    "scaled by 0.999": lambda g, ans, x: g * 3 * x**2 * 0.999,
    "negated": lambda g, ans, x: -g * 3 * x**2,
    "zero": lambda g, ans, x: g * 0,
    "offset by a constant": lambda g, ans, x: g * (3 * x**2 + 0.01),
    "wrong power": lambda g, ans, x: g * 3 * x**3,
    "wrong at one element": lambda g, ans, x: g * 3 * x**2 * np.array([1.0, 1, 1.001, 1]),
    "ignores the cotangent": lambda g, ans, x: 3 * x**2 + 0 * g,
    "nan": lambda g, ans, x: g * np.nan,
    "infinite": lambda g, ans, x: g * np.inf,
    "another element's": lambda g, ans, x: g * 3 * x[::-1] ** 2,
}


@pytest.mark.filterwarnings("ignore:backward of cube")  # the infinite one
@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_wrong_rules_fail(rule, scale):
    """By one part in a thousand, at one element, in sign, at every scale of the answer."""
    with pytest.raises(mt.GradcheckError):
        mt.gradcheck(lambda x: cube(rule)(x) * scale, X)


def test_a_zero_where_the_slope_is_small_fails():
    """The tolerance is relative to the derivative itself: 0 for 1e-5 is wrong, though other slopes are large."""
    x = np.array([np.sqrt(1e-5 / 3), 1.0, 50.0])
    assert mt.gradcheck(cube(lambda g, ans, x: g * 3 * x**2), x)
    with pytest.raises(mt.GradcheckError):
        mt.gradcheck(cube(_zero_where_small), x)


def test_a_missing_term_of_one_part_in_a_thousand_fails():
    """Of two arguments, the one that is wrong is found."""

    @primitive
    def product(x, y):
        return x * y

    defvjp(product, lambda g, ans, x, y: g * y, lambda g, ans, x, y: g * x * 1.001)
    with pytest.raises(mt.GradcheckError, match=r"by input 1\["):
        mt.gradcheck(product, X, X + 1)


def test_a_wrong_second_derivative_fails_at_order_two():
    """A rule that closes over an array instead of its argument is right once and wrong twice."""
    saved = cube(lambda g, ans, x: g * (3 * np.asarray(getattr(x, "data", x)) ** 2))
    assert mt.gradcheck(saved, X)
    with pytest.raises(mt.GradcheckError, match="order 2"):
        mt.gradcheck(saved, X, order=2)


def test_a_wrong_third_derivative_fails_at_order_three():
    """And not before."""
    assert mt.gradcheck(lambda x: x**4, np.array([0.7, 1.2]), order=3)

    @primitive
    def half(x):
        return 6 * x**2

    defvjp(half, lambda g, ans, x: g * 12 * x.detach() if isinstance(x, mt.Tensor) else g * 12 * x)
    wrong = cube(lambda g, ans, x: g * half(x) / 2)
    assert mt.gradcheck(wrong, X, order=2)
    with pytest.raises(mt.GradcheckError, match="order 3"):
        mt.gradcheck(wrong, X, order=3)


def test_the_message_shows_both_numbers():
    """What the rule gave, what the differences gave with their error, and where."""
    with pytest.raises(mt.GradcheckError) as caught:
        mt.gradcheck(cube(WRONG["wrong at one element"]), X)
    message = str(caught.value)
    number = lambda name: float(re.search(rf"{name} +([-+.e\d]+)", message)[1])
    rule, differences = number("rule says"), number("differences say")

    assert rule == pytest.approx(3 * X[2] ** 2 * 1.001, rel=1e-9)
    assert differences == pytest.approx(3 * X[2] ** 2, rel=1e-7)
    assert "cube" in message and "answer[2] by input[2]" in message
    assert "1 wrong, 15 correct" in message


def test_a_failed_check_is_an_assertion():
    """So test runners show it as one."""
    assert issubclass(mt.GradcheckError, AssertionError)


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (mt.relu, [-1.0, 0.0, 1.0]),
        (mt.abs, [-1.0, 0.0, 1.0]),
        (lambda x: mt.maximum(x, 1.0), [0.5, 1.0, 1.5]),
        (lambda x: x.max(), [1.0, 3.0, 3.0]),
        (lambda x: mt.clip(x, -1, 1), [-1.0, 0.0, 1.0]),
        (mt.norm, [0.0, 0.0]),
        (lambda x: mt.relu(x - 1e-7), [-1.0, 1e-7, 2.0]),
    ],
)
def test_kinks_are_judged_fairly(f, at):
    """Between the slopes on both sides any answer is right."""
    assert mt.gradcheck(f, np.array(at))


def test_beside_a_kink_a_wrong_rule_fails():
    """relu's kink at 0 is no excuse for a slope of 2 at 0, or of 1.001 beside it."""

    @primitive
    def relu(x):
        return np.maximum(x, 0)

    for wrong in (lambda g, ans, x: g * ((x > 0) + 2.0 * (x == 0)), lambda g, ans, x: g * (x > 0) * 1.001):
        defvjp(relu, wrong)
        with pytest.raises(mt.GradcheckError):
            mt.gradcheck(relu, np.array([-1.0, 0.0, 1.0]))


def test_inputs_are_left_alone():
    """Neither values nor gradients of what is passed in change."""
    x, p = X.copy(), mt.tensor(X, requires_grad=True)
    mt.gradcheck(lambda x, p: x * p, x, p)

    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(p.numpy(), X)
    assert p.grad is None


def test_it_works_under_no_grad():
    """And leaves the mode as it was."""
    with mt.no_grad():
        assert mt.gradcheck(mt.tanh, X)
        assert not mt.is_grad_enabled()


@pytest.mark.parametrize(
    ("f", "x", "words"),
    [
        (mt.tanh, np.arange(3), r"\(int64\); write 1\.0 for 1"),
        (lambda x: None, X, "gives no real floating answer, but None"),
        (lambda x: mt.astype(x, np.float32), X, "answers in float32 where its inputs are float64"),
    ],
)
def test_nothing_to_compare_is_an_error(f, x, words):
    """Rather than a check of nothing that passes."""
    with pytest.raises(TypeError, match=words):
        mt.gradcheck(f, x)


def test_outside_the_domain_is_said():
    """Where the answer is nan no step is to blame."""
    with pytest.raises(mt.GradcheckError, match=r"answer\[1\] is not finite here"):
        mt.gradcheck(mt.log, np.array([1.0, -1.0]))


# ----- sabotage -----


@pytest.mark.parametrize("spoiling", SABOTAGE)
def test_every_sabotaged_rule_is_caught(spoiling, monkeypatch):
    """Every rule of every operation, spoiled in this way, is called wrong; what does no harm is not."""
    monkeypatch.setattr(blame, "causes", lambda *_: [])  # to explain them all takes a minute
    order, spoil = SABOTAGE[spoiling]
    missed = []
    for op, i, row in CASES[:: 4 if spoiling.startswith("second") else 1]:  # sabotage.py spoils them all
        if harmful(op, i, row, order, spoil):
            with spoiled(op, i, spoil):
                verdict = mt.gradcheck(row, *row.inputs, order=order, raise_error=False).verdict
            if verdict != "wrong":
                missed.append((op.name, i, verdict))

    assert missed == []


@pytest.mark.parametrize("order", [1, 2])
def test_no_right_rule_is_flagged(order):
    """On random inputs, with inputs, values and derivatives of scales from 1e-12 to 1e12."""
    rng, flagged = np.random.default_rng(0), []
    for row in {row.name: row for row in reversed(ROWS)}.values():
        f, inputs = random_row(row, rng)
        report = mt.gradcheck(f, *inputs, order=order, raise_error=False)
        if not report:
            flagged.append((row.name, str(report)))

    assert flagged == []


def test_one_element_in_100_000_off_by_1_percent_is_found():
    """By probes, and then by halving: the report names the element."""
    factor = np.ones(100_000)
    factor[77_777] = 1.01
    off = cube(lambda g, ans, x: g * 3 * x**2 * factor)
    report = mt.gradcheck(off, np.linspace(1, 2, 100_000), raise_error=False)

    assert not report
    assert "answer[77777] by input[77777]" in str(report)


def test_probes_say_what_could_be_missed():
    """A large Jacobian passes, and the report says what was compared."""
    assert "One element off by 1 % would have been found" in str(mt.gradcheck(mt.tanh, np.linspace(-2, 2, 3000)))


# ----- what the report says -----


def says(f, *inputs, **options):
    """The report on something wrong, on one line."""
    report = mt.gradcheck(f, *inputs, raise_error=False, **options)
    assert report.verdict == "wrong"
    assert max(map(len, str(report).splitlines())) <= 80
    return " ".join(str(report).split())


def square(g, ans, x):
    return g * 3 * x**2


RATIOS = {
    "2.0000 times too large": (cube(lambda g, ans, x: 2 * square(g, ans, x)), X),
    "1.0001 times too small": (cube(lambda g, ans, x: square(g, ans, x) / 1.0001), X),
    "of the wrong sign": (cube(lambda g, ans, x: -square(g, ans, x)), X),
    "0 where the slope is not": (cube(lambda g, ans, x: 0 * g), X),
    "not a number": (cube(lambda g, ans, x: g * np.nan), X),
    "transposed": (cube(lambda g, ans, x: square(g, ans, x).T), X.reshape(2, 2)),
    "off by the batch size 32": (cube(lambda g, ans, x: square(g, ans, x) / 32), np.linspace(1, 2, 64).reshape(32, 2)),
}


@pytest.mark.parametrize("words", RATIOS)
def test_the_ratio_is_put_into_words(words):
    """Where it says something."""
    assert words in says(*RATIOS[words])


def test_where_a_rule_raises_is_named():
    """The file and the line of the user's code, not the engine's."""
    rule = lambda g, ans, x: g @ np.ones(7)
    told = says(cube(rule), X)
    assert "the backward pass fails" in told and f"test_gradcheck.py:{rule.__code__.co_firstlineno}" in told


def test_a_missing_sum_is_named():
    """The rule of a bias that takes one row of the cotangent for their sum."""

    @primitive
    def shift(x, b):
        return x + b

    defvjp(shift, lambda g, ans, x, b: g, lambda g, ans, x, b: g[0])
    assert "missing a sum over the broadcast axis 0" in says(shift, np.ones((5, 3)), np.ones(3))


def test_the_rule_at_fault_is_named_with_file_and_line():
    """In a composition, and the input is shrunk to one element."""
    rule = lambda g, ans, x: g * 3 * x**2 * 1.001
    line = rule.__code__.co_firstlineno
    wrong = cube(rule)
    told = says(lambda x, w: mt.tanh(wrong(x @ w)).sum(), np.full((4, 3), 0.3), np.full((3, 2), 0.4))

    assert "the rule at fault: cube, argument 0" in told
    assert f"test_gradcheck.py:{line}" in told
    assert "smallest input" in told


def test_a_gradient_lost_between_rules_is_named():
    """detach in the middle of a composition is nobody's rule."""
    assert "lost or added between them" in says(lambda x: x * x.detach(), X)


def test_a_saved_intermediate_is_named():
    """Right once, wrong twice."""
    saved = cube(lambda g, ans, x: g * 3 * (x.detach() if isinstance(x, mt.Tensor) else x) ** 2)
    assert "saved intermediate" in says(saved, X, order=2)


def _in_place(g, ans, x):
    g *= 3 * x**2
    return g


def _changes_x(g, ans, x):
    x *= 1
    x += 1
    return g


BEHAVIOUR = {
    "changes g in place": _in_place,
    "changes an argument or the answer in place": _changes_x,
    "returned None": lambda g, ans, x: None,
    "returned shape (2,)": lambda g, ans, x: g[:2],
    "returns float32 for an argument of float64": lambda g, ans, x: (g * 3 * x**2).astype(np.float32),
    "does not depend on g": lambda g, ans, x: 3 * x**2,
    "is not linear in g": lambda g, ans, x: g * g * 3 * x**2,
    "when g is strided in memory": lambda g, ans, x: (
        np.frombuffer(g.base if g.base is not None else g, count=g.size).reshape(g.shape) * 3 * x**2
    ),
}


@pytest.mark.parametrize("words", BEHAVIOUR)
def test_misbehaving_rules_are_named(words):
    """Whatever their numbers are."""
    assert words in says(cube(BEHAVIOUR[words]), X.copy())


def test_a_function_that_changes_its_input_is_named():
    """Or that gives another answer when asked again."""

    def careless(x):
        x.data[0] = 5.0
        return x * x

    rng = np.random.default_rng(0)
    assert "careless changes input in place" in says(careless, X)
    assert "is not deterministic" in says(lambda x: x * rng.uniform(), X)


def test_relus_kink():
    """Both slopes and the convention are told; 123 is wrong."""
    told = str(mt.gradcheck(mt.relu, np.array([-1.0, 0.0])))
    assert "slope 0 from the left, 1 from the" in told and "the rule says 0" in told

    @primitive
    def relu(x):
        return np.maximum(x, 0)

    defvjp(relu, lambda g, ans, x: g * mt.where(x == 0, 123, x > 0))
    assert "123" in says(relu, np.array([-1.0, 0.0, 2.0]))


def test_inconclusive_is_no_pass():
    """At the end of the domain there are no differences to judge by."""
    report = mt.gradcheck(mt.sqrt, np.array([0.0, 1.0]), raise_error=False)
    assert not report
    assert report.verdict == "inconclusive"


def test_the_complex_step_sees_what_rounding_hides():
    """Where the function takes complex input; where it does not, the report says what was not seen."""
    report = mt.gradcheck(lambda x: x**2 * 1e-9 + 1e6, np.array([2.0]))
    assert report.levels[0].complex[0] == pytest.approx(4e-9, rel=1e-14, abs=0)

    report = mt.gradcheck(lambda x: mt.abs(x * 1e-9 + 1e6), np.array([2.0]))
    assert "1 of them are too small to be told from 0" in " ".join(str(report).split())


def test_float32_loss_is_reported_and_no_failure():
    """Of a rule that takes a small number from a large one."""
    report = mt.gradcheck(lambda x: ((x + 1e4) ** 2 - 1e8) * x, np.array([1e-3, 2e-3]))
    assert "in float32 the gradient loses precision" in str(report)


# ----- what is checked -----


def test_modules_parameters_are_inputs():
    """Under their own names; a layer is left as it was."""
    layer = mt.nn.Linear(3, 2, rng=0)
    before = layer.state_dict()
    report = mt.gradcheck(layer, np.ones((4, 3)), order=2)

    assert report
    assert {"weight", "bias"} <= set(report.levels[0].problem.labels)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
        assert value.dtype == np.float32


def test_functions_of_values():
    """To any order."""
    assert mt.gradcheck(lambda v, w: v * w.tanh() + v**3, mt.Value(0.5), mt.Value(2.0), order=3)


def test_to_dict_is_plain():
    """JSON takes it."""
    report = mt.gradcheck(cube(lambda g, ans, x: g), X, raise_error=False)
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))

    assert told["verdict"] == "wrong"
    assert told["levels"][0]["elements"][0]["of"] == "answer[0]"


# ----- the command and the plugin -----


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        (["mytorch:tanh", "--shape", "3,4"], 0, "tanh is right"),
        (["mytorch:log", "--shape", "2", "--domain", "0.1,5", "--order", "2"], 0, "order 2"),
        (["mytorch:add", "--shape", "2,3", "--shape", "3", "--json"], 0, '"verdict": "correct"'),
        (["test_gradcheck:doubled"], 1, "2.0000 times too large"),
        (["mytorch:nothing"], 2, "cannot be checked"),
        (["mytorch"], 2, "write package.module:op"),
    ],
)
def test_the_command(arguments, status, printed, capsys, monkeypatch):
    """Its exit status says it all: 0 right, 1 wrong, 2 not checked."""
    monkeypatch.syspath_prepend(Path(__file__).parent)

    assert main(arguments) == status
    told = capsys.readouterr()
    assert printed in told.out + told.err


doubled = cube(lambda g, ans, x: g * 6 * x**2)

GRADCHECKS = {"tanh": (mt.tanh, X), "a product, twice": (lambda x, y: x * y, X, X, {"order": 2})}


def test_a_table_becomes_tests(gradchecked):
    """The fixture runs a row of GRADCHECKS and gives its report."""
    assert gradchecked()


def test_the_fixture(gradcheck):
    """`gradcheck` is the function."""
    assert gradcheck is mt.gradcheck


def test_the_plugin_shows_the_report(tmp_path):
    """As the text of the failure, without a traceback."""
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np, mytorch as mt\n"
        "from mytorch.autograd import primitive, defvjp\n"
        "twice = primitive(lambda x: 2 * x)\n"
        "defvjp(twice, lambda g, ans, x: g)\n"
        "GRADCHECKS = {'twice': (twice, np.ones(2)), 'tanh': (mt.tanh, np.ones(2))}\n"
        "def test_gradients(gradchecked):\n    gradchecked()\n"
    )
    command = [sys.executable, "-m", "pytest"]
    command += ["-p", "mytorch.autograd.gradcheck.plugin", "-q", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert "1 failed, 1 passed" in run.stdout
    assert "2.0000 times too small" in run.stdout
    assert "Traceback" not in run.stdout
