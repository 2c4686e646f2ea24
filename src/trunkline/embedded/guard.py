"""The program between trunkline and a server it starts: gives it an identity, and ends it with its last user.

`pair` runs this file as a script with the standard library alone (``python -I -S guard.py ORDER``)
and nothing imports it.  ORDER is a JSON object:

    argv          the program to run and its arguments
    unprivileged  true if the program refuses to run as root or without an account
    hand_over     directories that must belong to whoever the program runs as; may be absent
    users         descriptor of the lock that every user of the server holds shared; absent: run to completion
    stop          name of the signal that ends the server cleanly; with *users* only
    sockets       directory to remove after the server's end, if nothing is in it; with *users* only
"""

import ctypes
import fcntl
import json
import os
import pwd
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

POLL_S = 0.2
STOP_PATIENCE_S = 120.0  # a fast shutdown writes a checkpoint of all shared buffers first
QUIT_PATIENCE_S = 10.0

# linux/sched.h, linux/prctl.h, linux/capability.h
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def main(order: dict[str, Any]) -> NoReturn:
    """Do what the order says; see the module's docstring."""
    if order["unprivileged"]:
        become_unprivileged(order.get("hand_over", []))
    if "users" not in order:
        end_with_parent(signal.SIGKILL)
        os.execv(order["argv"][0], order["argv"])  # noqa: S606  # no shell is the point
    detach()
    serve(order["argv"], users=order["users"], stop=signal.Signals[order["stop"]])
    with suppress(OSError):  # the other server may have its socket there
        os.rmdir(order["sockets"])  # noqa: PTH106
    os._exit(0)


# Identity -------------------------------------------------------------------------------------------------


def become_unprivileged(hand_over: list[str]) -> None:
    """
    Become someone whom PostgreSQL accepts: not root, and with a passwd entry.

    A user namespace is tried first: there this process has another number, while outside it, and on every
    file, it stays who it is.  Where namespaces are forbidden (the default of container engines), root becomes
    another account and gives it *hand_over*.
    """
    uid = os.geteuid()
    if uid != 0 and has_account(uid):
        return
    if sys.platform == "linux" and can_enter_namespace():
        enter_namespace()
    elif uid == 0:
        drop_to(other_account(), hand_over)
    else:
        sys.exit(f"uid {uid} has no passwd entry and user namespaces are forbidden here")


def has_account(uid: int) -> bool:
    """Tell whether *uid* has a passwd entry, which initdb and libpq look up."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def other_account() -> pwd.struct_passwd:
    """Return the account to run as instead of root."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    for account in pwd.getpwall():
        if account.pw_uid != 0:
            return account
    sys.exit("PostgreSQL refuses to run as root, and there is no other account here")


def can_enter_namespace() -> bool:
    """Tell whether `enter_namespace` works, in a child: a failure half-way cannot be undone."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def enter_namespace() -> None:
    """Enter a user namespace in which this process is another account (user_namespaces(7))."""
    inside, uid, gid = other_account(), os.geteuid(), os.getegid()
    checked(libc().unshare(CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside.pw_uid} {uid} 1"),
        ("gid_map", f"{inside.pw_gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  # pathlib costs the start 10 ms
            file.write(text)


def drop_to(account: pwd.struct_passwd, hand_over: list[str]) -> None:
    """Become *account* for good, after giving it the directories *hand_over*."""
    for directory in hand_over:
        os.chown(directory, account.pw_uid, account.pw_gid)
    keep_capabilities = sys.platform == "linux"
    if keep_capabilities:
        libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if keep_capabilities:
        keep_reach()


def keep_reach() -> None:
    """
    Let the server reach its own program and data below directories that are closed to others, such as /root.

    Nothing is given away: who asked for this server is root, and nobody else may connect to it.  Where the
    capability is not ours to keep, the server starts only if the directories are open.
    """
    bit = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; high words
    if libc().capset(header, sets) == 0:
        libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


# Lifetime -------------------------------------------------------------------------------------------------


def detach() -> None:
    """Leave whoever asked for the server, who may end; let no terminal or service manager reach us by accident."""
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def serve(argv: list[str], *, users: int, stop: signal.Signals) -> None:
    """
    Run a server and end it when nobody holds the lock *users* any more, or on SIGTERM.

    The kernel drops the lock of a user that is killed.  Here the lock is kept until this process ends, so that
    the next user waits for a clean end instead of meeting a server that is going down.
    """
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    os.set_inheritable(users, False)
    server = start(argv, stop)
    while not ended(server):
        if asked_to_end or nobody_holds(users):
            end(server, stop)
            return
        time.sleep(POLL_S)


def start(argv: list[str], stop: signal.Signals) -> int:
    """Start the server as a child and return its process number."""
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent(stop)
        os.execv(argv[0], argv)  # noqa: S606
    return child


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process *number* when its parent dies; Linux only."""
    if sys.platform == "linux":
        libc().prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def nobody_holds(lock: int) -> bool:
    """Take *lock* for us alone, if no one else has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def end(server: int, stop: signal.Signals) -> None:
    """End the server: cleanly, else quickly, else by force."""
    for number, patience_s in ((stop, STOP_PATIENCE_S), (signal.SIGQUIT, QUIT_PATIENCE_S)):
        os.kill(server, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if ended(server):
                return
            time.sleep(0.01)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)


def ended(server: int) -> bool:
    """Tell whether the server has ended, and collect it."""
    return os.waitpid(server, os.WNOHANG)[0] != 0


def libc() -> ctypes.CDLL:
    """Return the C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> None:
    """Raise the OSError of a C call that returned *result*."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
