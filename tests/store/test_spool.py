"""Only plain files of our own are requests; everything else that lies in a spool is left alone, and nothing is followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from canary_tui.errors import UsageError
from canary_tui.store.lock import acquire, held_by
from canary_tui.store.spool import answer_to, forget, open_spool, put_answer, put_request, requests

NAME = "0123456789abcdef.request"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "rollout").mkdir(mode=0o700)
    folder = tmp_path / "rollout" / "spool"
    assert open_spool(folder)
    return folder


def test_a_request_is_private_and_meets_its_answer(spool: Path) -> None:
    """Request and answer are for their owner alone, and are gone when they have served."""
    token = put_request(spool, "please\n")
    assert [(path.stat().st_mode & 0o777, path.suffix) for path in spool.iterdir()] == [(0o600, ".request")]
    assert spool.stat().st_mode & 0o777 == 0o700
    assert list(requests(spool)) == [(token, "please\n")]
    put_answer(spool, token, "yes\n")
    assert (list(requests(spool)), answer_to(spool, token)) == ([], "yes\n")
    forget(spool, token)
    assert list(spool.iterdir()) == []


def _link(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("please")
    other.chmod(0o600)
    path.symlink_to(other)


def _second_name(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("please")
    other.chmod(0o600)
    path.hardlink_to(other)


def _readable_by_others(path: Path) -> None:
    path.write_text("please")
    path.chmod(0o644)


def _too_long(path: Path) -> None:
    path.write_bytes(b"x" * ((1 << 16) + 1))
    path.chmod(0o600)


@pytest.mark.parametrize("strange", [_link, _second_name, _readable_by_others, _too_long, Path.mkdir, os.mkfifo])
def test_what_is_not_a_plain_file_of_ours_is_no_request(spool: Path, strange: Callable[[Path], None]) -> None:
    """A link, a pipe, a folder, a file that others can read or that is too long: none is read, and none holds it up."""
    strange(spool / NAME)
    assert list(requests(spool)) == []


def test_a_request_by_another_name_is_none(spool: Path) -> None:
    (spool / "x.request").write_text("please")
    (spool / ".0123456789abcdef.request.ab12").write_text("half of it")
    assert list(requests(spool)) == []


def test_a_spool_that_is_a_link_or_open_to_others_is_not_used(tmp_path: Path, spool: Path) -> None:
    """Nobody is asked through a folder that is not ours alone."""
    elsewhere = tmp_path / "rollout" / "elsewhere"
    elsewhere.symlink_to(spool)
    assert not open_spool(elsewhere)
    with pytest.raises(UsageError, match="symbolic link"):
        put_request(elsewhere, "please")
    spool.chmod(0o770)
    assert not open_spool(spool)
    with pytest.raises(UsageError, match="others may write"):
        put_request(spool, "please")


def test_an_engine_finds_nothing_that_was_asked_of_the_one_before(spool: Path) -> None:
    """What lies there when an engine begins was meant for another one."""
    put_request(spool, "please")
    assert open_spool(spool)
    assert list(spool.iterdir()) == []


@pytest.mark.found("M3")
def test_a_lock_is_held_only_while_its_process_lives_and_has_it(tmp_path: Path) -> None:
    """Whoever looks at a lock tells a holder that lives from one that was killed, and keeps nobody from acquiring it."""
    path = tmp_path / "lock"
    assert held_by(path) is None
    with acquire(path, "ann@desk"):
        named = held_by(path)
        assert named is not None
        assert (named.who, named.pid) == ("ann@desk", os.getpid())
    assert held_by(path) is None
    for pid in (os.getpid(), 2**22 + 1, 10**30):  # a number used again, one that is none, one that cannot be
        path.write_text(f'who = "ann@desk"\npid = {pid}\nsince = 1.0\n')
        assert held_by(path) is None
    acquire(path, "bob@desk").release()
