"""Runs a program under a seccomp filter that answers given system calls with an error.

    python3 refusing.py io_uring_setup=EPERM -- ringway …

A call that has no name below is given by its number.

Needs no privilege, changes nothing on the host.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBERS = {
    "x86_64": {"connect": 42, "io_uring_setup": 425},
    "aarch64": {"connect": 203, "io_uring_setup": 425},
}[platform.machine()]


def instruction(code, value, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, value)


def program(refused):
    """Compares the call's number, the first word of seccomp_data, with each refused one."""
    lines = [instruction(LOAD_WORD, 0)]
    for call, error in refused:
        lines.append(instruction(JUMP_IF_EQUAL, NUMBERS.get(call) or int(call), 0, 1))
        lines.append(instruction(RETURN, SECCOMP_RET_ERRNO | getattr(errno, error)))
    lines.append(instruction(RETURN, SECCOMP_RET_ALLOW))
    return b"".join(lines), len(lines)


def install(refused):
    libc = ctypes.CDLL(None, use_errno=True)
    code, length = program(refused)
    buffer = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", length, ctypes.addressof(buffer)))
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, zero, zero
    ):
        raise OSError(ctypes.get_errno(), "cannot install the filter")


if __name__ == "__main__":
    end = sys.argv.index("--")
    install([argument.split("=") for argument in sys.argv[1:end]])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
