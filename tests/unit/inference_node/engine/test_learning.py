from concurrent.futures import ThreadPoolExecutor

import numpy as np

from inference_node.engine.learning import solve
from inference_node.engine.painter import HEAD_OUTPUTS, VARIABLES


def sums() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    noise = np.random.default_rng(3)
    variables = noise.normal(size=(2000, VARIABLES))
    truth = noise.normal(size=(VARIABLES, HEAD_OUTPUTS))
    return variables.T @ variables, variables.T @ (variables @ truth), truth


def test_what_explains_everything_is_found() -> None:
    gram, right, truth = sums()
    head = solve(gram, right)
    assert head.shape == (HEAD_OUTPUTS, VARIABLES)
    np.testing.assert_allclose(head, truth.T, atol=0.05)
    ridge = 3e-3 * np.trace(gram) / VARIABLES * np.eye(VARIABLES)
    np.testing.assert_allclose(head, np.linalg.solve(gram + ridge, right).T, atol=1e-5)


def test_it_is_the_same_whatever_else_is_done_at_the_same_time() -> None:
    gram, right, _ = sums()
    alone = solve(gram, right)
    with ThreadPoolExecutor(6) as threads:
        busy = [threads.submit(np.linalg.solve, gram, right) for _ in range(8)]
        beside = list(threads.map(lambda _: solve(gram, right), range(6)))
        for one in busy:
            one.result()
    for head in beside:
        np.testing.assert_array_equal(head, alone)


def test_nothing_to_explain_is_no_head() -> None:
    head = solve(np.zeros((VARIABLES, VARIABLES)), np.zeros((VARIABLES, HEAD_OUTPUTS)))
    assert not head.any()
