import json
import time

import pytest

import viseme
from shared.webhook import new_secret, sign

SECRET = new_secret()
BODY = json.dumps({"type": "job.succeeded", "data": {"job_id": "job-1", "state": "succeeded"}}).encode()


def headers(body: bytes = BODY, *, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    now = int(time.time()) if at is None else at
    return {
        "Webhook-Id": "msg_1",
        "WEBHOOK-TIMESTAMP": str(now),
        "webhook-signature": f"v1,other {sign(secret, 'msg_1', now, body)}",
    }


def test_what_was_signed_is_read_however_headers_and_body_come() -> None:
    for body in (BODY, BODY.decode()):
        told = viseme.verify_webhook(headers(), body, SECRET)
        assert (told.id, told.type, told.job_id) == ("msg_1", "job.succeeded", "job-1")
        assert told.state is viseme.JobState.SUCCEEDED


def test_a_state_of_a_newer_edge_is_unknown() -> None:
    body = BODY.replace(b'"succeeded"}', b'"pondering"}')
    assert viseme.verify_webhook(headers(body), body, SECRET).state is viseme.JobState.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type": 1, "data": 2}', b"\xff"])
def test_what_was_signed_and_tells_of_no_job_is_refused(body: bytes) -> None:
    with pytest.raises(viseme.InvalidInputError) as refused:
        viseme.verify_webhook(headers(body), body, SECRET)
    assert refused.value.field == "body"


def test_what_was_not_signed_or_long_ago_is_refused() -> None:
    now = int(time.time())
    for given, field in (
        (headers(secret=new_secret()), "webhook-signature"),
        ({**headers(), "Webhook-Id": "msg_2"}, "webhook-signature"),
        (headers(at=now - 3600), "webhook-timestamp"),
        (headers(at=now + 3600), "webhook-timestamp"),
        ({}, "webhook-timestamp"),
        ({**headers(), "WEBHOOK-TIMESTAMP": "\u0661"}, "webhook-timestamp"),
    ):
        with pytest.raises(viseme.InvalidInputError) as refused:
            viseme.verify_webhook(given, BODY, SECRET)
        assert refused.value.field == field
    with pytest.raises(viseme.InvalidInputError) as no_secret:
        viseme.verify_webhook(headers(), BODY, "hello")
    assert no_secret.value.field == "secret"
