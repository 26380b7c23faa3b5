"""Texts that try to run, to call out, to hide or to break the page; and a trap for whatever gets out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ELSEWHERE = "elsewhere.example"

RUN = "top.brokenIn = document.title = 'broken in'"
"""What every script in them tries: it leaves its mark on the page, out of a frame too."""

SCRIPTS = {
    "script": f"<script>{RUN}</script> uno",
    "handler": f'<img src=x onerror="{RUN}"> dos',
    "svg": f'<svg onload="{RUN}"><script>{RUN}</script></svg> tres',
    "javascript link": f'[cuatro](javascript:top.brokenIn=1) <a href="javascript:{RUN}">cuatro</a>',
    "frame": f'<iframe srcdoc="<script>{RUN}</script>"></iframe> cinco',
    "data frame": f'<object data="data:text/html,<script>{RUN}</script>"></object> seis',
    "closed tags": f"</div></textarea></script></style></title><script>{RUN}</script> siete",
    "template": f'{{{{constructor.constructor("{RUN}")()}}}} ${{{RUN}}} ocho',
    "mutation": f'<form><math><mtext></form><form><mglyph><style></math><img src=x onerror="{RUN}"> 22',
    "attribute": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src onerror={RUN}&gt;"> 33',
    "namespaces": f"<svg></p><style><a id=\"</style><img src=x onerror='{RUN}'>\"></a></style></svg> 23",
    "no script": f"<noscript><p title=\"</noscript><img src=x onerror='{RUN}'>\"></noscript> 24",
    "comment": f'<!--><img src=x onerror="{RUN}">--> 25',
    "shadow": f'<div><template shadowrootmode="open"><img src=x onerror="{RUN}"></template></div> 26',
    "animation": f'<svg><a><animate attributeName="href" values="javascript:{RUN}"/><text y="9">27</text></a></svg> 27',
    "toggle": f'<details open ontoggle="{RUN}">28</details> 28',
    "clobbering": '<form><input name="attributes"><input name="nodeName"></form><img name="getElementById"> 29',
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
    "paint": f'<svg><rect width="9" height="9" fill="url(http://{ELSEWHERE}/paint.svg#a)"/></svg> 30',
    "escaped": f'<b style="background: \\75rl(http://{ELSEWHERE}/escaped.png)">31</b>',
}
OVERLAYS = {
    "overlay": '<div style="position:fixed;inset:0;z-index:99999;background:red">veinte</div>',
    "variable": '<div style="--p:fixed;position:var(--p);inset:0;background:red">32</div>',
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
