"""Every file of the pack, as text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from . import (
    case_answers,
    case_bases,
    case_claims,
    case_coverage,
    case_discovery,
    case_edges,
    case_fields,
    case_freshness,
    case_headers,
    case_identifiers,
    case_jws,
    case_keys,
    case_metadata,
    case_missions,
    case_parameters,
    case_schemes,
)
from .keys import KEYS
from .rules import DECIDED, OTHERS
from .schema import SCHEMA
from .world import DOCUMENTS

DIRECTORY = Path(__file__).resolve().parents[2] / "vectors"
GROUPS = (
    case_fields.fields,
    case_coverage.coverage,
    case_freshness.freshness,
    case_schemes.schemes,
    case_edges.edges,
    case_jws.jws,
    case_claims.claims,
    case_discovery.discovery,
    case_discovery.access,
    case_parameters.parameters,
    case_parameters.minting,
    case_bases.bases,
    case_keys.digests,
    case_keys.keys,
    case_identifiers.identifiers,
    case_metadata.metadata,
    case_headers.signature_keys,
    case_headers.fields,
    case_answers.responses,
    case_answers.errors,
    case_answers.bodies,
    case_missions.missions,
)
ABOUT_KEYS = "Key pairs of these vectors, for whoever wants to sign cases of their own. Use them for nothing else."

ABOUT_RULES = (
    "Every sentence that binds, by draft (P11: protocol -11, SK9: Signature-Keys -09), section and running number: the "
    "vectors that decide it (* stands for any characters), or why no bytes decide it."
)


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
    rules = {"decided": {name: vectors.split() for name, vectors in DECIDED.items()}, "others": OTHERS}
    made["rules.json"] = json.dumps({"about": ABOUT_RULES, **rules}, indent=1) + "\n"
    made["schema.json"] = json.dumps(SCHEMA, indent=1) + "\n"
    made["documents.json"] = json.dumps({"documents": DOCUMENTS}, indent=1) + "\n"
    return made
