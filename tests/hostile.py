"""Texts that try to run, to call out, to hide or to break the page; and a trap for whatever gets out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ELSEWHERE = "elsewhere.example"

SCRIPTS = {
    "script": "<script>document.title = 'broken in'</script> uno",
    "handler": "<img src=x onerror=\"document.title = 'broken in'\"> dos",
    "svg": "<svg onload=\"document.title = 'broken in'\"><script>document.title = 'broken in'</script></svg> tres",
    "javascript link": "[cuatro](javascript:document.title='broken'+'in') <a href=\"javascript:alert(1)\">cuatro</a>",
    "frame": "<iframe srcdoc=\"<script>parent.document.title = 'broken in'</script>\"></iframe> cinco",
    "data frame": "<object data=\"data:text/html,<script>top.document.title='broken in'</script>\"></object> seis",
    "closed tags": "</div></textarea></script></style></title><script>document.title = 'broken in'</script> siete",
    "template": "{{constructor.constructor(\"document.title = 'broken in'\")()}} ${document.title='broken in'} ocho",
}
CALLS = {
    "markdown picture": f"![nueve](http://{ELSEWHERE}/picture.png)",
    "picture": f'<img src="http://{ELSEWHERE}/picture.png" srcset="http://{ELSEWHERE}/2.png 2x"> diez',
    "style": f"<style>@import url(http://{ELSEWHERE}/style.css); body {{ display: none }}</style> once",
    "background": f'<b style="background: url(http://{ELSEWHERE}/background.png)">doce</b>',
    "refresh": f'<meta http-equiv="refresh" content="0; url=http://{ELSEWHERE}/refresh"> trece',
    "preconnect": f'<link rel="preconnect" href="http://{ELSEWHERE}"><link rel="dns-prefetch" href="//{ELSEWHERE}"> 14',
    "frame": f'<iframe src="http://{ELSEWHERE}/frame"></iframe><embed src="http://{ELSEWHERE}/embed"> quince',
    "media": f'<video autoplay src="http://{ELSEWHERE}/v"></video><audio autoplay src="//{ELSEWHERE}/a"></audio> 16',
    "form": f'<form action="http://{ELSEWHERE}/form"><input name="password" autofocus><button>Ok</button></form> 17',
    "base": f'<base href="http://{ELSEWHERE}/"><img src="relative.png"> dieciocho',
    "svg": f'<svg><image href="http://{ELSEWHERE}/a.png"/><use href="http://{ELSEWHERE}/b.svg#a"/></svg> diecinueve',
}
OVERLAYS = {
    "overlay": '<div style="position:fixed;inset:0;z-index:99999;background:red">veinte</div>',
    "huge": '<h1 style="font-size:900px;margin:-500px">veintiuno</h1>',
}
HIDDEN = {
    "bidi": "La respuesta es \u202enóicnuf al sárt\u202c y \u2066nada\u2069 más",
    "zero width": "Se lla\u200bma\u2060 ma\ufefftz\u00adah",
}
LONG = "maíz " * 200_000
"""One million characters."""

ALL = [*SCRIPTS.values(), *CALLS.values(), *OVERLAYS.values(), *HIDDEN.values()]


@contextmanager
def trap() -> Iterator[tuple[int, list[bytes]]]:
    """A port on which all other hosts lie: the first bytes of every connection are kept."""
    caught: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # closed: the test is over
                with connection:
                    connection.settimeout(1)
                    try:
                        caught.append(connection.recv(300))
                    except OSError as error:
                        caught.append(repr(error).encode())

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], caught
