"""What was found out about a file: what it claims, and whether that holds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

TAG: Final = "viseme"
"""The key of a file's metadata under which viseme tells, as JSON, of its result."""
SELF_MADE: Final = "viseme, self-made"
"""The organisation in certificates that edges make for themselves; anybody may write the same into theirs."""
_MOST_CHARACTERS: Final = 500
"""Of a line."""
GENERATED: Final = frozenset(
    {
        "algorithmicMedia",
        "compositeSynthetic",
        "compositeWithTrainedAlgorithmicMedia",
        "trainedAlgorithmicMedia",
    }
)
"""IPTC's words for pictures that a machine has made, at least in part."""


class Standing(StrEnum):
    """How a file stands to its claims."""

    HOLDS = "holds"
    """A signed manifest, and the file is as it was when that was signed."""
    BROKEN = "broken"
    """A manifest that does not hold: the file or the manifest was changed, or nobody can tell who signed."""
    UNSIGNED = "unsigned"
    """Nothing in it can be checked: there never was a manifest, or somebody has removed it."""


class Trust(StrEnum):
    """Who vouches for the signer."""

    TRUSTED = "trusted"
    """An authority that the asker has named."""
    SELF_MADE = "self-made"
    """Nobody: an edge has made the certificate for itself, or says so."""
    UNKNOWN = "unknown"
    """Nobody whom the asker has named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a file's C2PA manifest says."""

    signer: str
    organisation: str
    serial: str
    """Of the signer's certificate."""
    trust: Trust
    generator: str
    """The program that claims."""
    generated: bool
    """Whether it says that a machine has made the pictures, at least in part."""
    signature_holds: bool
    content_holds: bool
    """Whether the file's bytes are those that were signed."""
    faults: tuple[str, ...]
    """What does not hold, in C2PA's words."""

    @property
    def holds(self) -> bool:
        """Whether all of it does."""
        return self.signature_holds and self.content_holds and not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out about a file."""

    signed: Signed | None
    faults: tuple[str, ...]
    """Why its claims do not hold, in words; empty where they do."""
    aigc: dict[str, str] | None
    """The metadata of GB 45438-2025, as it stands there."""
    aigc_fault: str
    """Why that is not as it should be; empty where it is."""
    tag: dict[str, Any] | None
    """What viseme tells of its result."""

    @property
    def standing(self) -> Standing:
        """How the file stands to its claims."""
        if self.faults:
            return Standing.BROKEN
        return Standing.UNSIGNED if self.signed is None else Standing.HOLDS

    @property
    def says_generated(self) -> bool:
        """Whether anything in it says that it was generated, be it signed or not."""
        return (self.signed is not None and self.signed.generated) or self.aigc is not None or self.tag is not None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"standing": self.standing.value, "says_generated": self.says_generated, **asdict(self)}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Undo :meth:`to_json`."""
        signed = told["signed"]
        if signed is not None:
            signed = Signed(**signed | {"trust": Trust(signed["trust"]), "faults": tuple(signed["faults"])})
        return cls(
            signed=signed,
            faults=tuple(told["faults"]),
            aigc=told["aigc"],
            aigc_fault=told["aigc_fault"],
            tag=told["tag"],
        )


def in_words(finding: Finding, name: str) -> Sequence[str]:
    """A finding for people, a line each; what the file says is cut and made harmless for their terminals."""
    lines = [_standing_words(finding, name), *_signed_words(finding.signed), *_metadata_words(finding)]
    return ["".join(one if one.isprintable() else "?" for one in line[:_MOST_CHARACTERS]) for line in lines]


def _standing_words(finding: Finding, name: str) -> str:
    match finding.standing:
        case Standing.HOLDS:
            return f"{name}: holds. It is as it was when it was signed."
        case Standing.BROKEN:
            return f"{name}: DOES NOT HOLD: {'; '.join(finding.faults)}."
        case Standing.UNSIGNED:
            return f"{name}: nothing to check. It has no C2PA manifest: it never had one, or somebody has removed it."


def _signed_words(signed: Signed | None) -> Sequence[str]:
    if signed is None:
        return []
    vouched = {
        Trust.TRUSTED: "trusted: an authority that you named vouches for it",
        Trust.SELF_MADE: "self-made: nobody vouches for it; compare its serial number with the operator's",
        Trust.UNKNOWN: "unknown: nobody whom you named vouches for it (--trust FILE.pem names authorities)",
    }[signed.trust]
    return [
        f"  signed by   {signed.signer} ({signed.organisation}), certificate {signed.serial}",
        f"              {vouched}",
        f"  made with   {signed.generator}",
        f"  generated   {'yes, says the manifest' if signed.generated else 'the manifest does not say so'}",
    ]


def _metadata_words(finding: Finding) -> Sequence[str]:
    lines = []
    if finding.aigc is not None:
        about = ", ".join(f"{key} {value}" for key, value in finding.aigc.items() if value)
        lines.append(f"  AIGC        {about}")
    elif finding.aigc_fault:
        lines.append(f"  AIGC        {finding.aigc_fault}")
    if finding.tag is not None:
        lines.append(f"  viseme      {finding.tag.get('generator', '?')}, engine {finding.tag.get('engine', '?')}")
    if lines and finding.signed is None:
        lines.append("  Whoever has the file can have written these two: they are not signed.")
    return lines
