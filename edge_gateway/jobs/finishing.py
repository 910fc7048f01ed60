"""The end of a job: composited segments become one file that says what it is."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from edge_gateway.jobs.children import Children
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.plan import Plan
from edge_gateway.jobs.verdict import Jury, Verdict
from edge_gateway.jobs.work import Work
from edge_gateway.provenance.certificate import Certificate, now
from edge_gateway.provenance.manifest import Claim
from edge_gateway.provenance.marks import Marks
from shared.telemetry.logging import get_logger
from shared.version import version

_LOG = get_logger(__name__)


class Finisher:
    """Makes results.

    Args:
        children: The sandboxed children.
        marks: What results bear.
    """

    def __init__(self, children: Children, marks: Marks) -> None:
        self._children = children
        self._marks = marks

    async def make(self, work: Work, plan: Plan, verdict: Verdict, engine: str) -> None:
        """Write a job's result.

        Raises:
            VisemeError: it cannot be made.
        """
        files, certificate = work.files, self._marks.certificate
        if certificate is not None:
            certificate.check(now())
        joined = files.result() if certificate is None else files.unsigned()
        produce_id = await self._children.finish(
            segments=[files.composited(index) for index in range(plan.segment_count)],
            starts_us=plan.starts_us,
            speeches=list(await work.sound.paths()),
            length_us=plan.length_us,
            output=joined,
            tag=verdict.tag(engine, version()),
            producer=self._marks.producer,
        )
        if certificate is not None:
            await self._sign(joined, files.result(), certificate, engine)
        signer = "" if certificate is None else certificate.name
        _LOG.info("result made", job_id=work.job.job_id, produce_id=produce_id, signer=signer)

    async def _sign(self, joined: Path, result: Path, certificate: Certificate, engine: str) -> None:
        claim = Claim(
            title="Dubbed video",
            version=version(),
            description=f"The lips were generated to follow a recording, by the engine {engine}.",
        )
        await self._children.sign(joined, result, certificate, claim)
        await asyncio.to_thread(joined.unlink)


def judge(plan: Plan, files: Sequence[JobFiles]) -> Verdict:
    """What is to be told of a result, from what is on disk of each who speaks; blocks."""
    jury = Jury(voices=len(files))
    for segment in plan.planned:
        jury.hear(segment, [(plan.fates(segment, voice), one.lips(segment.index)) for voice, one in enumerate(files)])
    return jury.judge()
