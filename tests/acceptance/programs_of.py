"""Programs that the shipped applications start, installed once from PyPI and npm where other accounts can run them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from lab.processes import PYTHON

from tests.acceptance import jupyterlab
from tests.acceptance.lab_of import Lab

# Where every Jupyter of the machine looks for kernels.
OCTAVE_KERNEL = Path("/usr/local/share/jupyter/kernels/supercloud-tests-octave")

# code-server's last npm release for Node.js 20, which the registry has as a package.
_CODE_SERVER = "code-server@4.100.3"
_NODE = f"node-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}@20.20.2"
_EDITOR = Path("/var/tmp/supercloud-editor")
_TENSORBOARD = Path("/var/tmp/supercloud-tensorboard")
_OCTAVE = Path("/var/tmp/supercloud-octave")
# What of Visual Studio Code is compiled for this machine. Others (kerberos) it does without.
_COMPILED = ("@parcel/watcher", "@vscode/spdlog", "native-watchdog", "node-pty")


def jupyter() -> Path:
    """An environment with JupyterLab and Jupyter Notebook."""
    jupyterlab.prepare()
    return _environment(jupyterlab.VENV, "jupyter-notebook", "notebook")


def tensorboard() -> Path:
    """An environment with TensorBoard, without TensorFlow."""
    return _environment(_TENSORBOARD, "tensorboard", "tensorboard", "setuptools<81")


def octave() -> Path:
    """An environment with Octave's kernel for Jupyter; Octave itself is Debian's."""
    return _environment(_OCTAVE, "jupyter-kernelspec", "octave_kernel")


def add_octave_kernel(lab: Lab) -> None:
    """Offer it to everybody's Jupyter until the test ends, as conf/apps/README.md says."""
    environment = octave()
    spec = json.loads((environment / "share/jupyter/kernels/octave/kernel.json").read_text())
    made = [folder for folder in (OCTAVE_KERNEL, *OCTAVE_KERNEL.parents) if not folder.exists()]
    OCTAVE_KERNEL.mkdir(parents=True, exist_ok=True)
    argv = [str(environment / "bin" / "python"), *spec["argv"][1:]]
    (OCTAVE_KERNEL / "kernel.json").write_text(json.dumps({**spec, "argv": argv}))

    def remove() -> None:
        shutil.rmtree(OCTAVE_KERNEL)
        for folder in made[1:]:
            folder.rmdir()

    lab.at_end(remove)


def editor() -> Path:
    """An environment with code-server.

    Its own installation would download programs from elsewhere, so each of its steps is taken here; what it searches
    files with is Debian's ripgrep.
    """
    program = _EDITOR / "bin" / "code-server"
    if program.exists():
        return _EDITOR
    shutil.rmtree(_EDITOR, ignore_errors=True)
    program.parent.mkdir(parents=True)
    node = _EDITOR / "node_modules" / _NODE.partition("@")[0]
    env = {**os.environ, "PATH": f"{node}/bin:{os.environ['PATH']}", "npm_config_nodedir": str(node)}
    plain = {**env, "npm_config_ignore_scripts": "true", "npm_config_yes": "true", "npm_config_unsafe_perm": "true"}
    _run(["npm", "install", "--prefix", str(_EDITOR), _NODE, _CODE_SERVER], _EDITOR, plain)
    package = _EDITOR / "node_modules" / "code-server"
    _run(["sh", "postinstall.sh"], package, {**plain, "npm_config_user_agent": "npm node/v20"})
    code = package / "lib" / "vscode"
    compiling = {**env, "npm_config_yes": "true"}
    _run(["npm", "rebuild", "argon2"], _EDITOR, compiling)
    _run(["npm", "rebuild", *_COMPILED], code, compiling)
    search = code / "node_modules/@vscode/ripgrep/bin"
    search.mkdir()
    (search / "rg").symlink_to("/usr/bin/rg")
    (_EDITOR / "bin" / "node").symlink_to(node / "bin" / "node")
    program.symlink_to(package / "out" / "node" / "entry.js")  # last: it says that all of it is there
    return _EDITOR


def _environment(folder: Path, program: str, *packages: str) -> Path:
    if not (folder / "bin" / program).exists():
        if not (folder / "bin" / "pip").exists():
            _run([PYTHON, "-m", "venv", str(folder)], Path("/"))
        pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "--quiet", "install"]
        _run([*pip, *packages], Path("/"))
    return folder


def _run(argv: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
