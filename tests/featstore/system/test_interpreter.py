import os
import subprocess
import sys

import pytest

from featstore.system.interpreter import anonymous_file, complaints, start


def speak(settings):
    print(settings["word"], sys.path[-1] == settings["path"])


def fail(settings):
    raise RuntimeError(f"no {settings['word']}\nto be had")


def test_a_function_is_called_with_this_ones_module_path():
    process = start(f"{__name__}:speak", {"word": "Grüße", "path": sys.path[-1]}, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    assert out.startswith("Grüße") and process.returncode == 0


def test_the_last_line_of_a_failure_is_kept():
    file = anonymous_file()
    assert complaints(file) == ""
    process = start(f"{__name__}:fail", {"word": "luck"}, stderr=file)
    assert process.wait(60) == 1 and complaints(file) == "to be had"
    os.close(file)


def test_a_missing_interpreter_is_an_os_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError, match="nowhere"):
        start(f"{__name__}:speak", {})
