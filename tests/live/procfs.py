# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the kernel knows about processes and sockets, read from /proc."""
import os
import signal
import socket
import struct

from waiting import until


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat(pid):
    """(state, parent's pid), or None if there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


def is_alive(pid):
    """A zombie has ended: only its parent's wait() is missing."""
    found = stat(pid)
    return found is not None and found[0] not in "ZX"


def children_of(parent):
    found = []
    for pid in pids():
        s = stat(pid)
        if s and s[1] == parent and s[0] not in "ZX":
            found.append(pid)
    return sorted(found)


def marked(marker):
    """Live processes whose environment contains the given bytes."""
    found = []
    for pid in pids():
        try:
            with open("/proc/%d/environ" % pid, "rb") as f:
                if marker in f.read() and is_alive(pid):
                    found.append(pid)
        except OSError:
            pass
    return sorted(found)


def socket_inodes(pid):
    """The inodes of all sockets a process has open."""
    found = set()
    try:
        names = os.listdir("/proc/%d/fd" % pid)
    except OSError:
        return found
    for name in names:
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def fd_count(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def threads(pid):
    try:
        return len(os.listdir("/proc/%d/task" % pid))
    except OSError:
        return 0


def seen_by(pid, path):
    """A file as that process sees it, in its own mount namespace."""
    return os.path.join("/proc", str(pid), "root", path)


def stop(*pids):
    """SIGSTOP, and waits until no thread of theirs runs any more."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: all(map(_has_stopped, pids)), 10, "the processes to stop", every=0.001)


def _has_stopped(pid):
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, thread)) as f:
            if f.read().rsplit(")", 1)[1].split()[0] not in "TZX":
                return False
    return True


def rss_kib(pid, which="VmRSS"):
    """RssAnon: without files and shared memory."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(which + ":"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    """What a process has used of a processor since it began."""
    with open("/proc/%d/stat" % pid, "rb") as f:
        fields = f.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ESTABLISHED, CLOSE_WAIT, LISTEN = 0x01, 0x08, 0x0A


def tcp_sockets():
    """Rows (local port, remote port, state, inode) of all IPv4 TCP sockets."""
    rows = []
    with open("/proc/net/tcp") as f:
        next(f)
        for line in f:
            fields = line.split()
            rows.append((int(fields[1].rpartition(":")[2], 16),
                         int(fields[2].rpartition(":")[2], 16),
                         int(fields[3], 16), int(fields[9])))
    return rows


def listeners(port):
    return [row for row in tcp_sockets() if row[0] == port and row[2] == LISTEN]


def server_side(server_port, client_port):
    """The row of the accepted end of a loopback connection; None if gone. An
    end in TIME_WAIT or the like belongs to no process (inode 0) and is gone."""
    for row in tcp_sockets():
        if row[0] == server_port and row[1] == client_port and row[3] != 0:
            return row
    return None


def has_read_all(server_port, client_port):
    """The accepted end of a loopback connection has nothing left to read."""
    with open("/proc/net/tcp") as f:
        next(f)
        for line in f:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == server_port \
                    and int(fields[2].rpartition(":")[2], 16) == client_port:
                return fields[9] != "0" and int(fields[4].partition(":")[2], 16) == 0
    return False


def unread(server_port):
    """Bytes that clients of this machine have not read yet of what came from that port."""
    found = 0
    with open("/proc/net/tcp") as f:
        next(f)
        for line in f:
            fields = line.split()
            if int(fields[2].rpartition(":")[2], 16) == server_port and fields[9] != "0":
                found += int(fields[4].partition(":")[2], 16)
    return found


def owner(server_port, client_port, candidates):
    """Which of the processes accepted this connection; None: none yet."""
    row = server_side(server_port, client_port)
    if row is None:
        return None
    for pid in candidates:
        if row[3] in socket_inodes(pid):
            return pid
    return None


def named_memory(pid):
    """Shared memory that a process has mapped and that would outlive it: System V
    segments ("sysv", id) and POSIX objects ("posix", path)."""
    found = set()
    try:
        with open("/proc/%d/maps" % pid) as f:
            for line in f:
                fields = line.split(None, 5)
                if len(fields) == 6 and fields[5].startswith("/SYSV"):
                    found.add(("sysv", int(fields[4])))
                elif len(fields) == 6 and fields[5].startswith("/dev/shm/"):
                    found.add(("posix", fields[5].strip()))
    except OSError:
        pass
    return found


def still_there(memory):
    """Those of named_memory() that exist now."""
    with open("/proc/sysvipc/shm") as f:
        next(f)
        ids = {int(line.split()[1]) for line in f}
    return sorted((kind, what) for kind, what in memory
                  if (what in ids if kind == "sysv" else os.path.exists(what)))


def reset(sock):
    """Closes a socket so that the peer gets RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def comm(pid):
    """The name the process gave itself; "" if it is gone."""
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return ""
