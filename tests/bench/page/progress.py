"""How old it is what a page shows 200 ms away: told by the edge, and if the page asked every 2 s instead."""

import asyncio
import json
import statistics
from pathlib import Path

from tests.bench.page.browser import chromium
from tests.bench.page.distance import distance
from tests.bench.transfer import table
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[3]
ROUND_TRIP_S = 0.2
JOBS = 10
POLL_S = 2.0
_WATCH = """
globalThis.delays = { told: [], asked: [] };
const waiting = [];
let answered = () => {};
globalThis.allAsked = () => new Promise((all) => { answered = () => waiting.length || all(); answered(); });
async function ask() {
  const begun = performance.now();
  for (const id of new Set(waiting.map((one) => one.job))) {
    const job = await (await fetch(`/jobs/${id}`)).json();
    await new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
    for (const one of waiting.filter((one) => one.job === id && one.sequence <= job.last_sequence)) {
      waiting.splice(waiting.indexOf(one), 1);
      delays.asked.push(Date.now() - one.happened);
    }
  }
  answered();
  setTimeout(ask, POLL_MS - (performance.now() - begun));
}
ask();
const add = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (kind, heard) {
  add.call(this, kind, (event) => {
    heard(event);
    if (this.url.includes('job=') || !['state', 'progress', 'notice'].includes(kind)) return;
    const { job_id: job, sequence, time } = JSON.parse(event.data);
    const happened = Date.parse(time);
    waiting.push({ job, sequence, happened });
    // What the event changed is on the screen with the next frame.
    requestAnimationFrame(() => setTimeout(() => delays.told.push(Date.now() - happened)));
  });
};
""".replace("POLL_MS", f"{POLL_S * 1000:.0f}")


async def measure(web: str) -> dict[str, list[float]]:
    """Run jobs in the page; gives the ages in milliseconds by how the page learned of the events."""
    async with chromium() as browser, distance(web, ROUND_TRIP_S) as far:
        context = await browser.new_context(locale="en-US")
        await context.add_init_script(_WATCH)
        page = await context.new_page()
        await page.goto(f"http://{far.address}/")
        for number in range(JOBS):
            photo = (ROOT / "deploy" / "demo" / "portrait.jpg").read_bytes() + bytes([number])
            await page.locator("#file-video").set_input_files(
                {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": photo}
            )
            await page.set_input_files("#file-speech", ROOT / "deploy" / "demo" / "speech.wav")
            await page.locator("#start:enabled").click()
            await page.locator(".actions a.primary:visible").wait_for(timeout=120_000)
            await page.locator("nav a[href='#new']").click()
            for remove in reversed(await page.locator(".slots .choice button").all()):
                await remove.click()
        await page.evaluate("allAsked()")
        ages: dict[str, list[float]] = json.loads(await page.evaluate("JSON.stringify(delays)"))
        await context.close()
    return ages


def show() -> None:
    """The figures."""
    with Stack(node_flags=("--engine-runtime", "local")) as stack:
        ages = asyncio.run(measure(stack.parts["edge"].ready.addresses["web"]))
    table.head("shown in the page", "round trip", "events", "mean", "p50", "p99", "longest")
    for way, name in (("told", "told by the edge"), ("asked", f"if it asked every {POLL_S:.0f} s")):
        told = sorted(ages[way])
        middle, p99 = statistics.median(told), told[min(len(told) - 1, round(0.99 * len(told)))]
        figures = [f"{age:.0f} ms" for age in (statistics.mean(told), middle, p99, told[-1])]
        table.row(name, f"{ROUND_TRIP_S * 1000:.0f} ms", str(len(told)), *figures)
