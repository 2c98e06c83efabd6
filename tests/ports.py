"""Free ports for servers that tests start."""

import random
import socket


def free_port() -> int:
    """A port of this machine that nothing listens on.

    Not one that the system chooses: until the test uses it, the system may hand it to a server of another test worker
    or to one of Ray's processes. Neither uses these ports by chance: they are above Ray's and below the system's.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)  # whatever seed a test has set
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
