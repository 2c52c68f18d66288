"""Templates to answers, with the headers that every page carries (draft-11 §13.13)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..accounts import CSRF_FIELD, Session
from ..protocol.identifiers import origin_of
from ..protocol.messages import Answer
from ..protocol.problems import WireError
from .assets import assets
from .text import ago, ascii_host, harmless_markdown, plain, until
from .words import Words, words_for

if TYPE_CHECKING:
    from jinja2 import Environment

_FIXED_HEADERS: Final = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not `no-referrer`: under that, browsers give a form's origin as `null`, which a foreign page can do too.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=()"),
)
_HSTS: Final = ("strict-transport-security", "max-age=31536000")


def content_security_policy(form_origins: Sequence[str] = ()) -> str:
    """The policy of a page. A form may lead to this server, and to `form_origins` by a redirect.

    Raises `InvalidIdentifier` or `ValueError` where one of them is no origin.
    """
    for origin in form_origins:
        if origin_of(origin) != origin or not origin.isascii() or any(each in origin for each in " ;,'\"*"):
            raise ValueError(f"{origin!r} is not an origin")
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            " ".join(("form-action", "'self'", *form_origins)),
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


class Pages:
    """The pages of one role: the templates in `folder` of the package `package`, in the layout that all share.

    A template extends `web/layout.html` and may import `web/parts.html`. Autoescape is always on, a misspelt name is an
    error, and a stranger's text goes through one of the filters `plain`, `markdown` and `host`. `home` is where the
    name of the product leads, `sign_out` where the form in the head of each page posts to.
    """

    def __init__(
        self,
        package: str | None,
        product_name: str,
        *,
        folder: str = "pages",
        loopback: bool = False,
        home: str = "/",
        sign_out: str = "/signout",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._package = package
        self._folder = folder
        self._headers = _FIXED_HEADERS if loopback else (*_FIXED_HEADERS, _HSTS)
        self._clock = clock
        self._environment_: Environment | None = None
        self._globals: dict[str, Any] = {
            "product": product_name,
            "home": home,
            "sign_out": sign_out,
            "csrf_field": CSRF_FIELD,
        }

    def page(
        self,
        template: str,
        status: int = 200,
        *,
        session: Session | None = None,
        form_origins: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        **context: Any,
    ) -> Answer:
        """`template` as an answer; the template sees `context`, and `session` for its forms.

        With `alive="/alive"` the page posts a form with the session's token to that path every five seconds while it is
        in front of the person. Its `live` regions stay up to date by themselves; with `refresh=10` a browser without
        JavaScript loads the page anew that often. Set the session's cookie yourself: `Accounts.with_session`.
        """
        values = {"session": session, "alive": None, "refresh": None, **context}
        body = self._environment.get_template(template).render(values).encode("utf-8", "replace")
        return Answer(status, (*self._page_headers(form_origins), *headers), body)

    def problem(
        self, error: WireError, words: Words | None = None, *, session: Session | None = None, **context: Any
    ) -> Answer:
        """The page for a refusal, of its status: what happened, what was not done, what to do. `words` replace ours."""
        said = words or words_for(error)
        answer = self.page("web/problem.html", error.status, session=session, words=said, **context)
        kept = {"retry-after", "allow"}
        return answer.with_headers(*((name, value) for name, value in error.answer().headers if name in kept))

    def see_other(self, path: str, *headers: tuple[str, str]) -> Answer:
        """303 to a page of this server, after a form. Raises `ValueError` for any other address (no open redirect)."""
        if not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isascii() or not path.isprintable():
            raise ValueError("a redirect after a form leads to a path of this server")
        return Answer(303, (("location", path), *self._headers, *headers))

    def _page_headers(self, form_origins: Sequence[str]) -> tuple[tuple[str, str], ...]:
        return (
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", content_security_policy(form_origins)),
            *self._headers,
        )

    @property
    def _environment(self) -> Environment:
        if self._environment_ is None:
            self._environment_ = self._make_environment()
        return self._environment_

    def _make_environment(self) -> Environment:
        try:
            import jinja2
        except ImportError as error:
            raise ImportError("pages need jinja2: install aauthkit[server]") from error
        shared = jinja2.PrefixLoader({"web": jinja2.PackageLoader("aauthkit.web", "templates")})
        own = [jinja2.PackageLoader(self._package, self._folder)] if self._package is not None else []
        environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([shared, *own]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            plain=plain,
            markdown=harmless_markdown,
            host=ascii_host,
            ago=lambda then: ago(then, self._clock()),
            until=lambda then: until(then, self._clock()),
            moment=_moment,
        )
        environment.globals.update(self._globals, assets={name: asset.path for name, asset in assets().items()})
        return environment


def _moment(then: float) -> str:
    """A time as machines read it, for `<time datetime>`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
