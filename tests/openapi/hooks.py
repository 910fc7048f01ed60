"""What schemathesis must be told to speak tus (loaded by the variable ``SCHEMATHESIS_HOOKS``)."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")  # type: ignore[untyped-decorator,unused-ignore]
def bytes_of_upload(ctx: Any, value: Any) -> Any:
    del ctx
    return value if isinstance(value, bytes) else str(value).encode()
