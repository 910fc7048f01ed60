import pytest

from shared.errors import InvalidInputError
from shared.webhook import check_secret, is_signed, new_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the specification's own


def test_a_signature_is_that_of_the_specification() -> None:
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_of_several_signatures_is_enough_and_none_of_another_message() -> None:
    signatures = f"v1a,other {sign(new_secret(), 'm', 1, b'x')} {sign(SECRET, 'm', 1, b'x')}"
    assert is_signed(SECRET, "m", 1, b"x", signatures)
    assert not is_signed(SECRET, "m", 2, b"x", signatures)
    assert not is_signed(SECRET, "n", 1, b"x", signatures)
    assert not is_signed(SECRET, "m", 1, b"y", signatures)
    assert not is_signed(SECRET, "m", 1, b"x", "")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", "whsec_c2hvcnQ=", "whsec_" + "A" * 400])
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_secret(secret)
    assert refused.value.field == "webhook_secret"
    assert len(secret) < 8 or secret not in refused.value.message


def test_a_new_secret_is_one() -> None:
    assert check_secret(new_secret()) != new_secret()
