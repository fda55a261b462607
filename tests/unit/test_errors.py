"""The exceptions: one tree, all data on board, also in another process."""

from __future__ import annotations

import copy
import pickle

import pytest

from cozeloop_lite import errors

EVERY = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_is_a_loop_error(kind):
    assert issubclass(kind, errors.LoopError)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (errors.PropertyUnprovidedError, errors.InvalidParamError),
        (errors.AuthInfoRequiredError, errors.PropertyUnprovidedError),
        (errors.NetworkError, errors.HttpError),
        (errors.RequestTimeoutError, errors.NetworkError),
        (errors.RemoteServiceError, errors.HttpError),
        (errors.AuthenticationError, errors.RemoteServiceError),
        (errors.PermissionDeniedError, errors.RemoteServiceError),
        (errors.NotFoundError, errors.RemoteServiceError),
        (errors.RateLimitError, errors.RemoteServiceError),
        (errors.BadRequestError, errors.RemoteServiceError),
        (errors.InternalServerError, errors.RemoteServiceError),
    ],
)
def test_who_catches_the_general_catches_the_particular(kind, parent):
    assert issubclass(kind, parent)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if issubclass(kind, errors.HttpError)])
def test_a_failed_request_says_all_that_is_known(kind):
    if issubclass(kind, errors.RemoteServiceError):
        error = kind(429, 602000703, "slow down", "log-1", "wait a bit")
        assert (error.http_code, error.error_code, error.error_message) == (429, 602000703, "slow down")
        assert "wait a bit" in str(error)
    else:
        error = kind("slow down", 429, 602000703, "slow down", "log-1")
    assert (error.status, error.code, error.msg, error.log_id) == (429, 602000703, "slow down", "log-1")
    assert "slow down" in str(error)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(kind, again):
    if issubclass(kind, errors.RemoteServiceError):
        error = kind(500, 7, "words", "log-1", "hint")
        error.retry_after = 5.0
    elif issubclass(kind, errors.HttpError):
        error = kind("message", None, 7, "words", "log-1")
    else:
        error = kind("message")
    twin = again(error)
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if issubclass(kind, errors.HttpError)])
def test_no_message_is_empty(kind):
    assert str(kind())
    assert kind().msg


def test_the_official_names_are_there():
    assert errors.AuthError is errors.AuthenticationError
    assert issubclass(errors.HeaderParentError, errors.LoopError)
    assert issubclass(errors.ParsePrivateKeyError, errors.LoopError)
