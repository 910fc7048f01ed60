"""Examining a file of which nothing is known, in a sandbox: see :func:`shared.provenance.verify.verify`."""

import json
from pathlib import Path
from typing import Any, BinaryIO

import c2pa

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.sandbox import Channel
from shared.provenance.aigc import KEY, Aigc
from shared.provenance.boxes import BRANDS, boxes_in, find_manifest
from shared.provenance.finding import GENERATED, SELF_MADE, TAG, Finding, Signed, Trust
from shared.provenance.tags import read_tags

MOST_MANIFEST_BYTES = 16 << 20
"""Of a file's manifest, pictures in it included."""

_MP4 = "video/mp4"
_UNTRUSTED = "signingCredential.untrusted"
_SIGNED, _SAME = "claimSignature.validated", frozenset({"assertion.bmffHash.match", "assertion.dataHash.match"})
_SETTINGS: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
}
_WORDS = {
    "assertion.bmffHash.mismatch": "the film is not the one that was signed",
    "assertion.dataHash.mismatch": "the file is not the one that was signed",
    "assertion.hashedURI.mismatch": "the manifest was changed",
    "claimSignature.mismatch": "the signature does not fit",
    "claimSignature.outsideValidity": "the certificate does not hold at present, and no time stamp says that it did",
    "signingCredential.expired": "the certificate has run out",
    "signingCredential.invalid": "the certificate is none that C2PA allows",
}


def examine(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: find out what a file claims and whether it holds.

    Arguments: ``path``, and ``trust``, authorities in PEM, or nothing. Sends one message, :meth:`Finding.to_json`.
    """
    path = Path(arguments["path"])
    with path.open("rb") as file:
        size = path.stat().st_size
        _check_kind(file, size)
        tags, box = read_tags(file, size), find_manifest(file, size)
        signed: Signed | None = None
        faults: list[str] = []
        if box is not None:
            if box.size > MOST_MANIFEST_BYTES:
                raise LimitExceededError(
                    f"its manifest claims {box.size} bytes; {MOST_MANIFEST_BYTES} are read",
                    field="file",
                    limit="manifest",
                )
            signed, faults = _read_manifest(file, arguments.get("trust") or "")
    aigc, fault = _read_aigc(tags.get(KEY))
    finding = Finding(signed=signed, faults=tuple(faults), aigc=aigc, aigc_fault=fault, tag=_read_tag(tags.get(TAG)))
    channel.send(finding.to_json())


def _check_kind(file: BinaryIO, size: int) -> None:
    """Refuse what is no MP4.

    Raises:
        InvalidMediaError: it is none, or it is cut off.
    """
    file.seek(4)
    if file.read(4).decode("latin-1") not in BRANDS:
        raise InvalidMediaError("it is no MP4, as viseme's results are", field="file")
    kinds = {box.kind for box in boxes_in(file, 0, size)}
    if not kinds & {"moov", "moof"}:
        raise InvalidMediaError("there is no film in it", field="file")


def _read_manifest(file: BinaryIO, trust: str) -> tuple[Signed | None, list[str]]:
    settings = _SETTINGS | ({"trust": {"user_anchors": trust}} if trust else {})
    file.seek(0)
    try:
        with c2pa.Reader(_MP4, file, context=c2pa.Context.from_dict(settings)) as reader:
            told: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError as error:
        return None, [f"its manifest cannot be read ({error})"]
    signed = _signed(told)
    faults = list(dict.fromkeys(_WORDS.get(code, code) for code in signed.faults))
    if not faults and not signed.holds:
        faults.append("its manifest is not bound to the film by a signature")
    if trust and signed.trust is not Trust.TRUSTED:
        faults.append("it was signed by somebody for whom nobody vouches whom you trust")
    return signed, faults


def _signed(told: dict[str, Any]) -> Signed:
    manifest: dict[str, Any] = told["manifests"][told["active_manifest"]]
    info: dict[str, Any] = manifest.get("signature_info") or {}
    results: dict[str, Any] = told.get("validation_results") or {}
    active: dict[str, Any] = results.get("activeManifest") or {}
    passed = {one["code"] for one in active.get("success", ())}
    failed = [one["code"] for one in active.get("failure", ())]
    for delta in results.get("ingredientDeltas") or ():
        failed += [one["code"] for one in delta.get("validationDeltas", {}).get("failure", ())]
    organisation, serial = str(info.get("issuer") or "nobody"), str(info.get("cert_serial_number") or "0")
    vouched = Trust.SELF_MADE if organisation == SELF_MADE else Trust.UNKNOWN
    return Signed(
        signer=str(info.get("common_name") or "somebody without a name"),
        organisation=organisation,
        serial=f"{int(serial):x}" if serial.isdecimal() else serial,
        trust=Trust.TRUSTED if told.get("validation_state") == "Trusted" else vouched,
        generator=_generator(manifest),
        generated=_says_generated(manifest),
        signature_holds=_SIGNED in passed and not any(code.startswith("claimSignature.") for code in failed),
        content_holds=bool(_SAME & passed),
        faults=tuple(code for code in failed if code != _UNTRUSTED),
    )


def _generator(manifest: dict[str, Any]) -> str:
    programs = manifest.get("claim_generator_info") or [{}]
    return f"{programs[0].get('name', 'an unnamed program')} {programs[0].get('version', '')}".rstrip()


def _says_generated(manifest: dict[str, Any]) -> bool:
    for assertion in manifest.get("assertions", ()):
        if assertion.get("label", "").startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", ()):
                if str(action.get("digitalSourceType", "")).rpartition("/")[2] in GENERATED:
                    return True
    return False


def _read_aigc(text: str | None) -> tuple[dict[str, str] | None, str]:
    if text is None:
        return None, ""
    try:
        told: dict[str, str] = json.loads(Aigc.of(text).to_json())
    except InvalidMediaError as error:
        return None, error.message
    return told, ""


def _read_tag(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
