"""The edge of a page goes: where else one can go on is said."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.conftest import OpenTab
from tests.page.driver import SOON_MS
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.page]


async def test_a_page_whose_edge_is_gone_links_to_the_others(tab: OpenTab, tmp_path: Path) -> None:
    peers = tmp_path / "edges.toml"
    peers.write_text(
        '[[edges]]\nname = "tokyo"\nregion = "asia"\naddress = "127.0.0.1:2"\nweb = "http://127.0.0.1:7861"\n'
        '[[edges]]\nname = "hidden"\naddress = "127.0.0.1:3"\n'
    )
    with Stack(with_node=False, edge_flags=("--peers", str(peers))) as stack:
        seen = await tab(stack.parts["edge"].ready.addresses["web"])
        async with seen.page.expect_response("**/edges", timeout=SOON_MS):
            pass
        others = seen.page.locator("#others")
        await expect(others).to_be_hidden()
        stack.kill("edge")
        link = others.locator("a")
        await expect(link).to_have_text("go on at tokyo (asia)", timeout=SOON_MS)
        assert await link.get_attribute("href") == "http://127.0.0.1:7861"
        await seen.check_access()
        stack.start("edge")
        await expect(others).to_be_hidden(timeout=SOON_MS)
