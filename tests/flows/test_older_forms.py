"""`aauthkit person serve --older-form`: said in the log, and refused where it would have no effect."""

from __future__ import annotations

import json

from tests.plugins.commands import Commands, own_ports

PERSON = "https://ps.example"
WORDS = ("--agent-provider", "https://agents.example", "--resource", "any")


def test_an_older_form_is_named_and_the_log_says_so(commands: Commands) -> None:
    place = ("--database", "person.db", "--keys", "person.jwks", "--listen", str(next(own_ports)))
    served = commands.start(
        "person", "serve", "--issuer", PERSON, *place, *WORDS, "--older-form", "base64url-signature"
    )
    served.wait_for("https://ps.example takes older forms from its peers: base64url-signature")
    served.wait_for("Application startup complete")


def test_an_older_form_that_would_have_no_effect_is_refused(commands: Commands) -> None:
    """F73."""
    for words, said in (
        (("--older-form", "base64url-signature"), "--older-form goes with --issuer"),
        (("--issuer", PERSON, "--older-form", "draft-10"), "base64url-signature"),
    ):
        refused = commands.run("person", "serve", *words)
        assert refused.code == 2 and said in refused.err, refused.err


def test_an_egress_file_with_a_form_that_does_not_exist_is_refused(commands: Commands) -> None:
    """F73."""
    file = commands.root / "egress.json"
    file.write_text(json.dumps({"older_forms": {"old.example": ["draft-10"]}}))
    place = ("--issuer", PERSON, "--database", "p.db", "--keys", "p.jwks", "--listen", str(next(own_ports)))
    refused = commands.run("person", "serve", *place, *WORDS, env={"AAUTHKIT_EGRESS": str(file)})
    assert refused.code != 0 and "there is no older form 'draft-10'" in refused.err, refused.err
