"""The few pages a resource shows itself: where a person arrives with a code, and where they end without a callback.

What is asked, and of whom, is shown on the application's own page; nothing of it stands here. No script, nothing from
elsewhere, and no frame around it.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final, Literal

from ..protocol.messages import Answer

Ending = Literal["authorized", "declined", "abandoned", "expired", "failed"]

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:0 auto;padding:2rem 1.25rem}"
    "h1{font-size:1.4rem;line-height:1.3}"
    "output,input{font:600 1.5rem/1.2 ui-monospace,monospace;letter-spacing:.08em}"
    "input{width:100%;box-sizing:border-box;padding:.6rem;min-height:44px;text-transform:uppercase}"
    "button{font:inherit;font-weight:600;padding:.7rem 1.4rem;min-height:44px;min-width:44px;margin-top:1.25rem}"
    "[role=alert]{border-left:.3rem solid;padding-left:.8rem}"
)
_POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self' https: http:; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
)
_ENDINGS: Final[dict[Ending, tuple[str, str]]] = {
    "authorized": ("Done", "The agent has been told and goes on. You can close this page."),
    "declined": ("Declined", "Nothing was given out, and the agent has been told. You can close this page."),
    "abandoned": ("Not finished", "Nothing was given out. Ask the agent to begin again if you want it to go on."),
    "expired": ("This took too long", "Nothing was given out. Ask the agent to begin again."),
    "failed": ("That did not work", "Nothing was given out. The fault is ours; ask the agent to try again later."),
}


def _page(status: int, title: str, inner: str) -> Answer:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{inner}</main></body></html>"
    )
    return Answer(status, _HEADERS, html.encode())


def arrival_page(name: str, code: str, callback: str, *, wrong: bool = False) -> Answer:
    """One button, whose POST alone uses the code: programs that fetch links change nothing (draft-11 §11.6.3.1)."""
    alert = '<p role="alert">That is not the code. After a few wrong ones the request ends.</p>' if wrong else ""
    if code:
        shown = (
            "<p>Is this the code that your agent shows?</p>"
            f'<p><output>{escape(code)}</output></p><input type="hidden" name="code" value="{escape(code)}">'
        )
    else:
        shown = (
            '<p><label for="code">Enter the code that your agent shows.</label></p>'
            '<p><input id="code" name="code" required maxlength="64" autocomplete="off" spellcheck="false"></p>'
        )
    kept = f'<input type="hidden" name="callback" value="{escape(callback)}">' if callback else ""
    form = f'{alert}<form method="post">{shown}{kept}<button>Continue</button></form>'
    return _page(410 if wrong else 200, f"An agent sent you to {name}", form)


def ending_page(ending: Ending, status: int = 200) -> Answer:
    """Where a person ends who is sent nowhere else (draft-11 §7.3)."""
    title, words = _ENDINGS[ending]
    return _page(status, title, f"<p>{escape(words)}</p>")


def refused_page(status: int, title: str, words: str) -> Answer:
    """A page that says what happened, what was not done, and what to do."""
    return _page(status, title, f'<p role="alert">{escape(words)}</p>')


def redirect(url: str) -> Answer:
    """On to the next page, by GET."""
    return Answer(303, (("location", url), ("cache-control", "no-store"), ("referrer-policy", "no-referrer")))
