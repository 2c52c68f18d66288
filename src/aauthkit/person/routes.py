"""The paths of a person server: ten for agents, one for servers, two for everybody, the rest for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.metadata import WELL_KNOWN
from ..protocol.tokens import PERSON_DWK
from ..revocation import Revocations
from ..serving import Route, Routes
from ..web import static_routes
from .errands import BACK
from .pages.arrival import Arrival
from .pages.before import Before
from .pages.decision import Decision
from .pages.desk import ALIVE_PATH
from .pages.governed import Governed
from .pages.home import Home
from .pages.signing import Signing

if TYPE_CHECKING:
    from .server import PersonServer


def routes(
    server: PersonServer,
    *,
    arrival: Arrival,
    decision: Decision,
    before: Before,
    home: Home,
    governed: Governed,
    signing: Signing,
    revocations: Revocations,
) -> Routes:
    """Every path and what answers there."""
    return Routes(
        Route("GET", f"{WELL_KNOWN}{PERSON_DWK}", server.metadata),
        Route("GET", f"{WELL_KNOWN}jwks.json", server.jwks),
        # Agents (draft-11 §7)
        Route("POST", "/person", server.person_token),
        Route("POST", "/token", server.auth_token),
        Route("POST", "/mission", server.propose),
        Route("POST", "/mission/{s256}", server.change_mission),
        Route("POST", "/permission", server.permission),
        Route("POST", "/audit", server.record),
        Route("POST", "/interaction", server.interaction),
        Route("GET", "/pending/{pending}", server.poll),
        Route("POST", "/pending/{pending}", server.act),
        Route("DELETE", "/pending/{pending}", server.cancel),
        # Servers (draft-11 §11.12)
        *revocations.routes,
        # People
        Route("GET", "/", home.look),
        Route("GET", "/allowed", home.allowed),
        Route("POST", "/allowed/{decision}", home.take_back),
        Route("GET", "/interaction/{page}", arrival.look),
        Route("POST", "/interaction/{page}", arrival.enter),
        Route("GET", "/decide/{page}", decision.look),
        Route("POST", "/decide/{page}", decision.decide),
        Route("POST", "/decide/{page}/ask", decision.ask),
        Route("POST", "/decide/{page}/account", before.choose),
        Route("POST", "/decide/{page}/errand", before.set_out),
        Route("GET", f"{BACK}/{{ticket}}", before.come_back),
        Route("GET", "/agents", governed.agents),
        Route("POST", "/agents/{act}", governed.govern_agent),
        Route("GET", "/missions", governed.missions),
        Route("GET", "/missions/{s256}", governed.mission),
        Route("POST", "/missions/{s256}", governed.end),
        Route("GET", "/signin", signing.sign_in_page),
        Route("POST", "/signin", signing.sign_in),
        Route("GET", "/signup", signing.sign_up_page),
        Route("POST", "/signup", signing.sign_up),
        Route("POST", "/signout", signing.sign_out),
        Route("POST", ALIVE_PATH, signing.alive),
        *static_routes(),
    )
