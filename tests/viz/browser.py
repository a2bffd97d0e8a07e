"""Headless Chromium, driven through the DevTools protocol over two pipes, with the standard library alone."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = (
    "--headless --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --hide-scrollbars --remote-debugging-pipe --window-size=1200,900"
)
START = """import fcntl, os, sys  # the pipes of the protocol have the numbers 3 and 4
out, into = (fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3])
os.dup2(out, 3)
os.dup2(into, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {  # of those that write nothing: their code on the keyboard
    "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27, "Tab": 9, "Home": 36, "End": 35,
}  # fmt: skip


class Browser:
    """A Chromium with one page open at a time; `told` is what the page wrote to the console and threw."""

    def __init__(self, folder):
        out, self.commands = os.pipe()
        self.answers, into = os.pipe()
        command = [PROGRAM, *QUIET.split(), f"--user-data-dir={folder}", "about:blank"]
        command += ["--no-sandbox"] * (os.geteuid() == 0)
        command = [sys.executable, "-c", START, str(out), str(into), *command]
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(command, pass_fds=(out, into), stdin=null, stdout=null, stderr=null)
        os.close(out)
        os.close(into)
        self.number, self.buffer, self.session, self.events = 0, b"", None, []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        with contextlib.suppress(OSError):
            self.session = None
            self.call("Browser.close")
        self.process.wait(timeout=20)
        os.close(self.commands)
        os.close(self.answers)

    def call(self, method, **params):
        """The result of a command; events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data) :]
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self.buffer:
            data = os.read(self.answers, 1 << 16)
            assert data, "the browser has ended"
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(line)

    # ----- a page -----

    def open(self, url):
        """Opens a page and waits until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression):
        """The value of an expression of JavaScript, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, seconds=20):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def press(self, *keys):
        """Presses keys one after the other: 'Enter', 'ArrowUp', or a character."""
        for key in keys:
            given = {"key": key}
            if key in KEYS:
                given |= {"windowsVirtualKeyCode": KEYS[key]}
            else:
                given |= {"text": {"Enter": "\r"}.get(key, key), "windowsVirtualKeyCode": 13 if key == "Enter" else 0}
            self.call("Input.dispatchKeyEvent", type="keyDown", **given)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind, x, y, **given):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **given)

    def click(self, selector):
        """Clicks on the middle of the first element that a CSS selector finds."""
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    @property
    def told(self):
        """What the page wrote to the console, what it threw, and what the browser logs of it."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in kinds]

    @property
    def requests(self):
        """The addresses that were asked for."""
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]
