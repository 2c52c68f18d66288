"""Every page: its headers, its forms, and whose words stand where (draft-11 §7.4, §13.13)."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files

import jinja2
import pytest

from aauthkit.accounts import Account
from aauthkit.protocol.identifiers import InvalidIdentifier
from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import PROBLEMS, Problem, SignatureFailure
from aauthkit.serving import Request, Routes
from aauthkit.web import Words, qr_svg, qr_terminal, static_routes, words_for
from aauthkit.web.assets import assets
from tests.unit.web.markup import Markup
from tests.unit.web.sample import HOSTILE, KIND, SESSION, TRICKS, pages

STATIC = files("aauthkit.web").joinpath("static")
TEMPLATES = files("aauthkit.web").joinpath("templates")


def policy(answer: Answer) -> dict[str, list[str]]:
    (value,) = answer.values("content-security-policy")
    return {name: sources for name, *sources in (part.split() for part in value.split(";"))}


# Headers


@pytest.mark.parametrize(
    "answer",
    [
        pages().page("decision.html", session=SESSION, **KIND),
        pages().page("signin.html", session=SESSION, error=None, name=""),
        pages().problem(Problem("gone")),
    ],
    ids=["decision", "sign-in", "refusal"],
)
def test_every_page_carries_the_headers_that_keep_it_ours(answer: Answer) -> None:
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert policy(answer) == {
        "default-src": ["'none'"],
        "style-src": ["'self'"],
        "script-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
    expected = {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "strict-transport-security": "max-age=31536000",
    }
    assert {name: answer.header(name) for name in expected} == expected
    assert "camera=()" in (answer.header("permissions-policy") or "")
    names = [name for name, _ in answer.headers]
    assert len(names) == len(set(names))


def test_in_the_loopback_profile_no_browser_is_told_to_insist_on_https() -> None:
    answer = pages(loopback=True).problem(Problem("gone"))
    assert answer.header("strict-transport-security") is None
    assert answer.header("x-frame-options") == "DENY"


def test_a_form_may_lead_to_a_validated_callback_and_nowhere_else() -> None:
    answer = pages().page(
        "decision.html", session=SESSION, form_origins=["https://agents.example", "http://127.0.0.1:9000"], **KIND
    )
    assert policy(answer)["form-action"] == ["'self'", "https://agents.example", "http://127.0.0.1:9000"]


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/path", "https://a.example; script-src *", "*", "https:", "'unsafe-inline'", "", "https://a b"],
)
def test_what_is_no_origin_does_not_get_into_the_policy(origin: str) -> None:
    with pytest.raises((ValueError, InvalidIdentifier)):
        pages().page("decision.html", session=SESSION, form_origins=[origin], **KIND)


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/x\r\nset-cookie: a=b", "/\u202e"],
)
def test_a_redirect_after_a_form_stays_here(path: str) -> None:
    """F79."""
    with pytest.raises(ValueError, match="path of this server"):
        pages().see_other(path)


def test_a_redirect_after_a_form_is_a_303() -> None:
    answer = pages().see_other("/decide/abc?x=1", ("set-cookie", "a=b"))
    assert (answer.status, answer.header("location"), answer.header("set-cookie")) == (303, "/decide/abc?x=1", "a=b")
    assert answer.header("cache-control") == "no-store"
    assert answer.header("referrer-policy") == "same-origin"


# Forms without a script


def test_forms_are_plain_posts_with_the_sessions_token() -> None:
    page = Markup(pages().page("decision.html", session=SESSION, **KIND).body.decode())
    forms = page.all("form")
    assert len(forms) == 2, "signing out, and the decision"
    assert all(form.attributes["method"] == "post" for form in forms)
    assert all(str(form.attributes["action"]).startswith("/") for form in forms)
    tokens = [each.attributes["value"] for each in page.all("input") if each.attributes.get("name") == "csrf"]
    assert tokens == [SESSION.csrf] * 2
    assert {button.attributes["type"] for button in page.all("button") if "data-copy" not in button.attributes} == {
        "submit"
    }
    ticks = [each.attributes for each in page.all("input") if each.attributes.get("type") == "checkbox"]
    assert [(each["value"], "checked" in each) for each in ticks] == [("orders.read", True), ("orders.place", False)]
    memory = [each.attributes for each in page.all("input") if each.attributes.get("type") == "radio"]
    assert [each["value"] for each in memory if "checked" in each] == ["once"]
    decisions = [each.attributes["value"] for each in page.all("button") if each.attributes.get("name") == "decision"]
    assert decisions == ["approve", "deny"]


def test_every_field_has_a_label_and_password_managers_know_what_it_is() -> None:
    page = Markup(pages().page("signin.html", session=SESSION, error="Wrong.", name="Ada").body.decode())
    fields = [each.attributes for each in page.all("input") if each.attributes["type"] != "hidden"]
    labels = {label.attributes["for"] for label in page.all("label")}
    assert {each["id"] for each in fields} == labels
    assert [each["autocomplete"] for each in fields] == ["username", "current-password"]
    described = {each["aria-describedby"] for each in fields if "aria-describedby" in each}
    assert described <= {each.attributes.get("id") for each in page.elements}
    assert {"role": "alert", "class": "notice alarm"} in [each.attributes for each in page.all("p")]


def test_without_a_script_a_waiting_page_is_loaded_anew() -> None:
    html = pages().page("waiting.html", session=SESSION, count=0, alive="/alive", refresh=10).body.decode()
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in html
    assert "refresh" not in pages().page("waiting.html", session=SESSION, count=0).body.decode()


def test_a_page_says_where_its_sign_of_life_goes() -> None:
    (body,) = Markup(pages().page("waiting.html", session=SESSION, count=0, alive="/alive").body.decode()).all("body")
    assert body.attributes == {"data-alive": "/alive", "data-field": "csrf", "data-token": SESSION.csrf}
    (body,) = Markup(pages().page("waiting.html", count=0, alive="/alive").body.decode()).all("body")
    assert body.attributes == {}, "a page without a session has no life to tell of"


def test_no_page_holds_the_sessions_identifier() -> None:
    assert SESSION.id not in pages().page("decision.html", session=SESSION, alive="/alive", **KIND).body.decode()


@pytest.mark.parametrize("session", [None, replace(SESSION, account=None)])
def test_who_is_not_signed_in_cannot_sign_out(session: object) -> None:
    assert "Sign out" not in pages().problem(Problem("gone"), session=session).body.decode()


# A stranger's words


def test_whatever_a_stranger_writes_the_page_has_the_same_elements_of_ours() -> None:
    """Script, links, images, headings, forms and direction: in the name, the reason, a scope's words and the host."""
    kind = Markup(pages().page("decision.html", session=SESSION, **KIND).body.decode())
    hostile = Markup(pages().page("decision.html", session=SESSION, **HOSTILE).body.decode())
    for tag in (
        "script",
        "a",
        "img",
        "form",
        "button",
        "input",
        "h1",
        "h2",
        "section",
        "svg",
        "iframe",
        "link",
        "meta",
    ):
        assert len(hostile.all(tag)) == len(kind.all(tag)), tag
    for element in hostile.elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert str(element.attributes.get(name, "/")).startswith(("/", "#"))
    assert not {each for each in hostile.text if each in "\u202e\u2066\u200b\u200d\ufeff"}
    assert "xn--pple-43d.example" in hostile.text
    assert "\u0430pple" not in "".join(re.findall(r"https?://\S+", hostile.text.partition("claims")[2]))
    assert not hostile.comments


def test_a_strangers_words_are_isolated_in_direction() -> None:
    html = (
        pages()
        .page("decision.html", session=SESSION, **{**KIND, "scopes": [("a", "\u05d0\u05d1 scope")]})
        .body.decode()
    )
    assert "<bdi>\u05d0\u05d1 scope</bdi>" in html
    assert "<bdi>Planner</bdi>" in html
    assert '<div class="prose" dir="auto">' in html


def test_what_the_resource_says_and_what_the_agent_claims_are_two_blocks() -> None:
    """F80, draft-11 §7.4: two elements, never the same class, and the agent's words only in a quotation."""
    html = pages().page("decision.html", session=SESSION, **KIND).body.decode()
    resource = html[html.index('class="says resource"') : html.index('class="says agent"')]
    agent = html[html.index('class="says agent"') :].partition("</section>")[0]
    assert "<bdi>Orders</bdi> says" in resource
    assert "orders.example" in resource
    assert "See your orders" in resource
    assert "last month" not in resource
    assert "<bdi>Planner</bdi> claims" in agent
    assert "last month" in agent.partition("<blockquote>")[2].partition("</blockquote>")[0]
    assert "checked by nobody" in agent


def test_a_person_cannot_dress_up_their_name_either() -> None:
    session = replace(SESSION, account=Account("a1", TRICKS[0] + TRICKS[5], 0))
    page = Markup(pages().page("waiting.html", session=session, count=0).body.decode())
    assert len(page.all("script")) == 1
    assert "\u202e" not in page.text


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages().page("decision.html", session=SESSION, **{**KIND, "agent": {}})


def test_our_templates_need_no_exception_from_the_policy() -> None:
    for template in TEMPLATES.iterdir():
        source = template.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src)|javascript:|https?://|\|\s*safe\b", source)


# Refusals


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_each_refusal_says_what_happened_what_was_not_done_and_what_to_do(code: str) -> None:
    answer = pages().problem(Problem(code, "detail for developers"))
    text = Markup(answer.body.decode()).text
    assert answer.status == PROBLEMS[code].status
    for part in ("What happened", "What was not done", "What you can do"):
        assert part in text
    assert "detail for developers" not in text
    words = words_for(Problem(code))
    assert all(sentence.endswith(".") for sentence in (words.happened, words.not_done, words.to_do))
    assert not {"scope", "token", "jkt", "CSRF"} & set(" ".join((words.happened, words.not_done, words.to_do)).split())


def test_a_refusal_keeps_what_a_client_needs_and_may_use_other_words() -> None:
    answer = pages().problem(Problem("rate_limited", retry_after=90))
    assert answer.header("retry-after") == "90"
    assert "Try again in 2 minutes." in answer.body.decode()
    own = Words("Not yours", "This request belongs to somebody else.", "Nothing was shown.", "Sign in as them.")
    body = pages().problem(Problem("not_found"), own, session=SESSION).body.decode()
    assert "This request belongs to somebody else." in body
    assert "Sign out" in body
    assert pages().problem(SignatureFailure("invalid_signature")).header("signature-error") is None


# Files


@pytest.mark.anyio
async def test_files_are_served_under_the_hash_of_what_they_hold() -> None:
    routes = Routes(*static_routes())
    for name in ("aauthkit.css", "aauthkit.js", "icon.svg"):
        path = assets()[name].path
        assert re.fullmatch(r"/static/[a-z]+\.[0-9a-f]{16}\.(css|js|svg)", path)
        answer = await routes.answer(Request("GET", path, ()))
        assert answer.status == 200
        assert answer.body == STATIC.joinpath(name).read_bytes()
        assert answer.header("cache-control") == "public, max-age=31536000, immutable"
        assert answer.header("x-content-type-options") == "nosniff"
    assert (await routes.answer(Request("GET", "/static/aauthkit.css", ()))).status == 404
    assert (await routes.answer(Request("GET", "/static/../pages.py", ()))).status == 404


def test_a_page_names_the_files_that_are_served() -> None:
    page = Markup(pages().problem(Problem("gone")).body.decode())
    served = {route.path for route in static_routes()}
    assert {each.attributes["src"] for each in page.all("script")} <= served
    assert {each.attributes["href"] for each in page.all("link")} <= served


def test_the_script_needs_no_exception_from_the_policy_and_names_no_foreign_place() -> None:
    script = STATIC.joinpath("aauthkit.js").read_text()
    assert not re.search(
        r"\beval\b|new Function|innerHTML\s*=[^=]|insertAdjacentHTML|document\.write|https?://", script
    )
    assert "url(" not in STATIC.joinpath("aauthkit.css").read_text()
    assert "@import" not in STATIC.joinpath("aauthkit.css").read_text()


# QR codes


def test_a_url_becomes_a_picture_without_style_and_script_and_text_for_a_terminal() -> None:
    url = "https://person.example/interaction/abcdefghijklmnop?code=A1B2-C3D4"
    read = Markup(str(qr_svg(url)))
    assert {element.tag for element in read.elements} == {"svg", "title", "g", "path"}
    assert not [name for element in read.elements for name in element.attributes if name in ("style", "onload", "href")]
    assert len(qr_terminal(url).splitlines()) > 10


@pytest.mark.parametrize("url", ["", "x" * 1001, "https://\u0430pple.example", "https://x\n"])
def test_a_qr_code_is_made_of_a_bounded_ascii_url(url: str) -> None:
    for draw in (qr_svg, qr_terminal):
        with pytest.raises(ValueError, match="ASCII"):
            draw(url)


# Imports


def test_the_libraries_are_imported_on_first_use() -> None:
    program = (
        "import sys, aauthkit.web, aauthkit.accounts\n"
        "found = {'jinja2', 'markupsafe', 'markdown_it', 'nh3', 'segno', 'argon2', 'asyncpg'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("jinja2", "from aauthkit.web import Pages; Pages(None, 'x').page('web/problem.html')"),
        ("nh3", "from aauthkit.web import harmless_markdown; harmless_markdown('x')"),
        ("markdown_it", "from aauthkit.web import harmless_markdown; harmless_markdown('x')"),
        ("segno", "from aauthkit.web import qr_terminal; qr_terminal('https://x.example')"),
        ("argon2", "from aauthkit.accounts.passwords import Argon2id; Argon2id()"),
    ],
)
def test_a_missing_library_is_an_error_that_names_the_extra(missing: str, call: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; {call}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "aauthkit[server]" in ran.stderr.splitlines()[-1]
