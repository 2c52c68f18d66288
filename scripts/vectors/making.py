"""Every file of the pack, as text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from . import case_bases, case_fields, case_forms, case_parameters, case_schemes, case_tokens
from .keys import KEYS
from .world import DOCUMENTS

DIRECTORY = Path(__file__).resolve().parents[2] / "vectors"
GROUPS = (
    case_fields.fields,
    case_fields.coverage,
    case_fields.freshness,
    case_schemes.schemes,
    case_tokens.jws,
    case_tokens.claims,
    case_tokens.discovery,
    case_tokens.access,
    case_parameters.parameters,
    case_parameters.minting,
    case_bases.bases,
    case_bases.digests,
    case_bases.keys,
    case_forms.identifiers,
    case_forms.metadata,
    case_forms.signature_keys,
    case_forms.fields,
    case_forms.responses,
    case_forms.errors,
    case_forms.bodies,
)
ABOUT_KEYS = "Key pairs of these vectors, for whoever wants to sign cases of their own. Use them for nothing else."


def files() -> dict[str, str]:
    """Name and text of every file that is made."""
    packs = [group() for group in GROUPS]
    ids = Counter(vector["id"] for pack in packs for vector in pack.vectors)
    twice = [id for id, count in ids.items() if count > 1]
    if twice:
        raise ValueError(f"an id stands twice: {', '.join(twice)}")
    made = {f"{pack.group}.json": pack.text() for pack in packs}
    keys = {"about": ABOUT_KEYS, "keys": [key.private for key in KEYS.values()]}
    made["keys.json"] = json.dumps(keys, indent=1) + "\n"
    made["documents.json"] = json.dumps({"documents": DOCUMENTS}, indent=1) + "\n"
    return made
