"""Completions and manual pages, as a shell and man(1) take them."""

import re
import shutil
import subprocess

import pytest

from ringway import run


def test_bash_completes_commands_and_options(tmp_path):
    script = tmp_path / "ringway.bash"
    script.write_text(run("completions", "bash").stdout)

    def completed(*words):
        line = f'source {script}; COMP_WORDS=(ringway {" ".join(words)}); COMP_CWORD={len(words)}; '
        line += f'_ringway ringway "{words[-1]}" "{words[-2] if len(words) > 1 else "ringway"}"; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.split()

    assert completed("doc") == ["doctor"]
    assert completed("doctor", "--js") == ["--json"]
    assert completed("config", "eff") == ["effective"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_what_their_shell_can_read(shell, tmp_path):
    script = run("completions", shell)
    assert script.returncode == 0 and "doctor" in script.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script.stdout, capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0, checked.stderr


def test_every_command_has_a_page_that_groff_finds_no_fault_with():
    whole = run("man").stdout
    names = re.findall(r"^ringway\\-(\w+)\(1\)", whole, re.M)
    assert {"check", "doctor", "man"} <= set(names)
    for words in [[], ["acl", "test"], *([name] for name in names if name != "help")]:
        page = run("man", *words)
        assert page.returncode == 0 and ".SH NAME" in page.stdout
        if shutil.which("groff"):
            checked = subprocess.run(["groff", "-man", "-Tutf8", "-wall", "-z"], input=page.stdout, capture_output=True, text=True, timeout=20)
            assert checked.returncode == 0 and not checked.stderr, checked.stderr


def test_a_page_that_does_not_exist_is_told():
    done = run("man", "nothing")
    assert done.returncode == 2 and "doctor" in done.stderr and not done.stdout
