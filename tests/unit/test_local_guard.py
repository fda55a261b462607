"""Who may read from a stand-in server: no web page from elsewhere, and nobody on the network without the token."""

from __future__ import annotations

import socket
from email.message import Message

import pytest

from cozeloop_lite.local.guard import HEADERS, Guard
from cozeloop_lite.local.page_files import read_files

LOCAL = ("127.0.0.1", 8888)
OPEN = ("0.0.0.0", 8888)


def headers(*pairs):
    message = Message()
    for name, value in pairs:
        message[name] = value
    return message


def of_host(host):
    return headers(("Host", host))


# --- the name of the server ---


@pytest.mark.parametrize("host", ["localhost:8888", "LOCALHOST", "127.0.0.1:8888", "[::1]:8888", "localhost:"])
@pytest.mark.parametrize("address", [LOCAL, OPEN, ("::1", 8888)])
def test_a_server_goes_by_the_names_of_this_machine(address, host):
    assert Guard(address, None).is_host(of_host(host))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:8888", "localhost.evil.example", "evil.example:localhost", "127.0.0.1.evil.example:8888"),
        *("", "localhost:8888:8888", "127.1", "0177.0.0.1", "user@localhost", "localhost,evil.example", "10.0.0.7"),
        *("[::1", "::1]:1", "localhost\x00", "ｌocalhost", "localhost:123456"),
    ],
)
def test_it_goes_by_no_other_name(host):
    assert not Guard(LOCAL, None).is_host(of_host(host))


def test_two_names_are_none():
    assert not Guard(LOCAL, None).is_host(headers(("Host", "localhost"), ("Host", "evil.example")))


def test_programs_that_send_no_name_are_no_browsers():
    assert Guard(LOCAL, None).is_host(headers())


def test_the_address_it_is_bound_to_is_a_name():
    assert Guard(("10.0.0.7", 80), "t").is_host(of_host("10.0.0.7:80"))
    assert not Guard(("10.0.0.7", 80), "t").is_host(of_host("10.0.0.8:80"))


@pytest.mark.parametrize("host", ["10.0.0.7:8888", "[fe80::1]:8888", socket.gethostname() + ":8888"])
def test_bound_to_all_addresses_it_goes_by_any_address_and_the_name_of_the_machine(host):
    assert Guard(OPEN, None).is_host(of_host(host))
    assert not Guard(OPEN, None).is_host(of_host("evil.example:8888"))


# --- the token ---


def test_on_the_network_an_empty_token_is_replaced_as_if_none_were_given():
    assert len(Guard(OPEN, "").token) > 20
    assert Guard(LOCAL, "").token is None
    assert Guard(OPEN, "t").token == "t"


# --- pages ---


@pytest.mark.parametrize(
    "origin, host, fine",
    [
        (None, "localhost:8888", True),
        ("http://localhost:8888", "localhost:8888", True),
        ("https://localhost:8888", "localhost:8888", True),
        ("http://localhost:3000", "localhost:8888", False),
        ("http://evil.example:8888", "evil.example:8888", False),
        ("http://evil.example", "localhost:8888", False),
        ("null", "localhost:8888", False),
        ("", "localhost:8888", False),
    ],
)
def test_a_page_of_another_origin_is_told_from_its_own(origin, host, fine):
    sent = headers(("Host", host), *([("Origin", origin)] if origin is not None else []))

    assert Guard(LOCAL, None).is_origin(sent) is fine


def test_the_headers_of_every_answer_let_a_page_do_little():
    sent = dict(HEADERS)

    assert sent["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert (sent["X-Content-Type-Options"], sent["Referrer-Policy"]) == ("nosniff", "no-referrer")


# --- the token ---


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_no_token_is_needed(host):
    guard = Guard((host, 80), None)

    assert guard.token is None
    assert guard.may_read(headers())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "devbox"])
def test_where_others_can_reach_it_a_token_is_made(host):
    one, other = Guard((host, 80), None), Guard((host, 80), None)

    assert len(one.token) >= 32
    assert one.token != other.token
    assert not one.may_read(headers())
    assert one.may_read(headers(("Authorization", f"Bearer {one.token}")))
    assert not one.is_token(other.token)


@pytest.mark.parametrize("value", ["s3cret", "bearer s3cret", "Bearer s3cre", "Bearer s3cret ", "Bearer ", "Bearer é"])
def test_reading_needs_the_token_to_the_letter(value):
    assert not Guard(LOCAL, "s3cret").may_read(headers(("Authorization", value)))


def cookie_of(answer):
    return dict(answer.headers)["Set-Cookie"].partition(";")[0]


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address():
    guard = Guard(LOCAL, "s3cret")

    answer = guard.enter("a=1&token=s3cret&b=%0d%0aX:y")

    assert answer.status == 303
    assert dict(answer.headers)["Location"] == "/?a=1&b=%0D%0AX%3Ay"
    assert dict(answer.headers)["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert "s3cret" not in repr(answer)
    assert guard.may_read(headers(("Cookie", f"x=y; {cookie_of(answer)}; z")))
    assert Guard(LOCAL, "s3cret").may_read(headers(("Cookie", cookie_of(answer)))), "it survives a restart"


def test_the_cookie_of_one_server_does_not_open_another():
    cookie = cookie_of(Guard(LOCAL, "s3cret").enter("token=s3cret"))

    assert not Guard(LOCAL, "other").may_read(headers(("Cookie", cookie)))
    assert not Guard(("127.0.0.1", 9999), "s3cret").may_read(headers(("Cookie", cookie)))
    assert not Guard(LOCAL, "s3cret").may_read(headers(("Cookie", "cozeloop_8888=s3cret")))
    assert not Guard(LOCAL, "s3cret").may_read(headers(("Cookie", "a" * 10000 + "; " + cookie)))


def test_a_wrong_token_in_an_address_sets_nothing():
    answer = Guard(LOCAL, "s3cret").enter("token=other")

    assert (answer.status, answer.headers) == (403, ())


def test_without_a_token_in_the_address_there_is_nothing_to_do():
    assert Guard(LOCAL, "s3cret").enter("q=1") is None


# --- the files of the pages ---


def test_pages_are_the_files_of_a_folder_with_their_types(tmp_path):
    for name in ("index.html", "app.js", "app.css", "notes.txt", ".hidden", "a.py"):
        (tmp_path / name).write_text(name)

    files = read_files(str(tmp_path))

    assert {path: (answer.content_type, answer.body) for path, answer in files.items()} == {
        "/": ("text/html; charset=utf-8", b"index.html"),
        "/app.js": ("text/javascript; charset=utf-8", b"app.js"),
        "/app.css": ("text/css; charset=utf-8", b"app.css"),
    }


def test_without_pages_the_first_one_says_so(tmp_path):
    files = read_files(str(tmp_path / "none"))

    assert list(files) == ["/"]
    assert b"no pages" in files["/"].body
