import json

import pytest

from shared.errors import InvalidMediaError
from shared.provenance.aigc import Aigc, Generated


def test_it_stands_in_a_file_as_the_standard_names_it() -> None:
    aigc = Aigc(label=Generated.YES, producer="某公司", produce_id="42")
    assert list(json.loads(aigc.to_json()).items()) == [
        ("Label", "1"),
        ("ContentProducer", "某公司"),
        ("ProduceID", "42"),
        ("ReservedCode1", ""),
        ("ContentPropagator", ""),
        ("PropagateID", ""),
        ("ReservedCode2", ""),
    ]
    assert "某公司" in aigc.to_json()
    assert Aigc.of(aigc.to_json()) == aigc


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"Label":"9"}', '{"Label":1}', '{"Label":"1","ProduceID":7}', "[" * 100_000]
)
def test_what_is_not_as_it_should_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidMediaError, match="GB 45438"):
        Aigc.of(text)


def test_values_without_end_are_refused() -> None:
    with pytest.raises(InvalidMediaError):
        Aigc.of(json.dumps({"Label": "1", "ProduceID": "x" * 2000}))
