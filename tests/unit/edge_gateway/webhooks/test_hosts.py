import pytest

from edge_gateway.settings import EdgeSettings
from edge_gateway.webhooks.hosts import WebhookHosts, may_reach
from shared.errors import InvalidInputError, LimitExceededError
from shared.settings import load

HOSTS = WebhookHosts(["hooks.example.org", "*.example.com", "127.0.0.1:9000", "[::1]:9000", "plain.example.net:8080"])


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://hooks.example.org/in?a=b", "hooks.example.org", "/in?a=b"),
        ("http://HOOKS.example.org", "hooks.example.org", "/"),
        ("https://a.b.example.com/x", "a.b.example.com", "/x"),
        ("http://127.0.0.1:9000/", "127.0.0.1:9000", "/"),
        ("http://[::1]:9000/", "[::1]:9000", "/"),
        ("https://plain.example.net:8080/", "plain.example.net:8080", "/"),
    ],
)
def test_hosts_that_were_named_are_reached(url: str, authority: str, path: str) -> None:
    target = HOSTS.check(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://evilexample.com/",
        "https://hooks.example.org.evil.net/",
        "https://hooks.example.org:8443/",
        "https://plain.example.net/",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:9000/",
        "http://2130706433:9000/",
    ],
)
def test_others_are_refused_with_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        HOSTS.check(url)
    assert refused.value.field == "webhook"
    assert refused.value.limit == "webhook_hosts"
    assert "webhook_hosts" in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example.org/",
        "https://user@hooks.example.org/",
        "https://hooks.example.org/#there",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nX: y",
        "https://hooks.example.org:99999/",
        "https://[::1/",
        "hooks.example.org",
        "https:///x",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        HOSTS.check(url)
    assert refused.value.field == "webhook"


def test_a_url_has_a_limit() -> None:
    with pytest.raises(LimitExceededError) as refused:
        HOSTS.check("https://hooks.example.org/" + "a" * 2000)
    assert refused.value.limit == "webhook_url"


def test_a_name_does_not_lead_to_this_machine_but_an_address_may() -> None:
    named, address = HOSTS.check("https://hooks.example.org/"), HOSTS.check("http://127.0.0.1:9000/")
    for here in ("127.0.0.1", "::1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::ffff:127.0.0.1"):  # noqa: S104
        assert not may_reach(named, here)
        assert may_reach(address, here)
    assert may_reach(named, "10.0.0.7")
    assert may_reach(named, "2001:db8::7")


def test_faults_in_the_settings_are_told_at_the_start_without_secrets() -> None:
    argv = ["--webhook-hosts", "https://x.org/", "--webhook-secret", "whsec_hush"]
    with pytest.raises(InvalidInputError) as refused:
        load(EdgeSettings, program="viseme-edge", prefix="VISEME_EDGE_", argv=argv, environ={})
    assert "--webhook-hosts" in refused.value.message
    assert "--webhook-secret" in refused.value.message
    assert "hush" not in refused.value.message
