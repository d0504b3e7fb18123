"""Drives our Toxiproxy API by a client library that others have written, and says what becomes of a connection's bytes.

    drive.py HOST:PORT LISTENER HOST:PORT     of the API, and of a listener behind which an echo is
"""

import contextlib
import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

# In seconds: far more than it takes, and less than what the toxic adds.
AT_ONCE = 1.8


def main(api, name, address):
    host, port = api.rsplit(":", 1)
    server = Toxiproxy()
    server.update_api_consumer(host, int(port))
    assert server.running()
    assert b"2.12.0" in server.version(), server.version()

    assert set(server.proxies()) == {name}, server.proxies()
    proxy = server.get_proxy(name)
    assert (proxy.listen, proxy.enabled) == (address, True), vars(proxy)
    # It is there already.
    described = {"name": name, "listen": proxy.listen, "upstream": proxy.upstream}
    assert server.populate([described]) == []
    assert refused(ProxyExists, lambda: server.create(proxy.upstream, name))
    assert refused(InvalidToxic, lambda: server.create("127.0.0.1:1", "another"))
    assert refused(InvalidToxic, proxy.destroy)

    with connected(address) as connection:
        assert echoed(connection) < AT_ONCE
        # One that is open is hit at once, and spared at once.
        proxy.add_toxic(type="latency", attributes={"latency": 2000, "jitter": 0})
        assert echoed(connection) >= 2
        toxic = proxy.get_toxic("latency_downstream")
        assert (toxic.stream, toxic.toxicity, toxic.attributes["latency"]) == ("downstream", 1.0, 2000), vars(toxic)
        assert refused(ProxyExists, lambda: proxy.add_toxic(type="latency"))
        proxy.destroy_toxic("latency_downstream")
        assert refused(NotFound, lambda: proxy.destroy_toxic("latency_downstream"))
        assert echoed(connection) < AT_ONCE
        assert refused(InvalidToxic, lambda: proxy.add_toxic(type="gremlins"))
        assert refused(InvalidToxic, lambda: proxy.add_toxic(type="latency", stream="sideways"))

        proxy.add_toxic(name="slow", type="bandwidth", stream="upstream", attributes={"rate": 10})
        assert echoed(connection, 8000) >= 0.8
        proxy.add_toxic(name="cut", type="limit_data", attributes={"bytes": 3})
        assert list(proxy.toxics()) == ["slow", "cut"], proxy.toxics()
        connection.sendall(b"12345")
        assert everything(connection) == b"123"
        server.reset()
        assert proxy.toxics() == {}

    with connected(address) as connection:
        assert echoed(connection) < AT_ONCE
        with proxy.down():
            assert not server.get_proxy(name).enabled
            assert everything(connection) == b""
            # It may be reset before it knows that it is connected.
            with contextlib.suppress(ConnectionResetError), connected(address) as other:
                assert everything(other) == b""
        assert server.get_proxy(name).enabled
    with connected(address) as connection:
        assert echoed(connection) < AT_ONCE
    print("driven")


@contextlib.contextmanager
def connected(address):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def echoed(connection, count=4):
    """How long it takes until so many bytes are back, in seconds."""
    began = time.monotonic()
    connection.sendall(b"x" * count)
    while count > 0:
        count -= len(connection.recv(count)) or sys.exit("the connection has ended")
    return time.monotonic() - began


def everything(connection):
    """What comes until the end, whichever it is."""
    got = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while more := connection.recv(4096):
            got += more
    return got


def refused(error, do):
    try:
        do()
    except error:
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
