"""viseme: make the face in a video or photo speak a recording.

::

    async with viseme.connect("127.0.0.1:50051") as edge:
        job = await edge.dub("clip.mp4", "speech.wav", fit="loop")
        async for event in job.events():
            print(event)
        await job.save("out.mp4")
"""

from shared.sdk.public import *  # noqa: F403 - the names stand in shared/sdk/public.py
from shared.sdk.public import __all__ as __all__  # noqa: PLC0414 - how a re-export is said
