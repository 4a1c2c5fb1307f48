"""The files that others deploy with agree with the tree: nobody builds an image here."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"


@pytest.fixture
def image():
    """The instructions of the Dockerfile, one line each."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def services():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]


def copied(image):
    return [
        name.rstrip("/")
        for line in image
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
    ]


def test_what_the_image_copies_is_in_the_tree_and_let_in(image):
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert set(copied(image)) == let_in
    assert all((ROOT / name).exists() for name in let_in)


def test_the_image_has_everything_the_pages_import(image):
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert rooms <= set(copied(image))
    assert {"app.py", "pages", ".streamlit/config.toml"} <= set(copied(image))


def test_the_image_takes_the_pinned_torch(image):
    pin = r"^torch=="
    assert any(f"grep -E '{pin}' requirements.txt" in line for line in image)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert sum(bool(re.match(pin, line)) for line in lines) == 1


def test_nobody_is_root_in_the_image(image):
    users = [line.split()[1] for line in image if line.startswith("USER ")]
    assert users
    assert "root" not in users
    assert "0" not in users


def test_the_proxy_finds_the_program_and_passes_what_it_needs(services, image):
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    service, port = re.search(r"proxy_pass http://([\w-]+):(\d+);", text).groups()
    assert service in services
    assert f"EXPOSE {port}" in image
    for header in ("Host $http_host", "X-Forwarded-Proto $scheme", "Upgrade $http_upgrade"):
        assert f"proxy_set_header {header};" in text
    mounted = [volume.split(":")[0] for volume in services["proxy"]["volumes"]]
    assert "./nginx.conf" in mounted


def test_the_proxy_lets_through_what_the_program_itself_limits():
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    config = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    most = int(re.search(r"maxUploadSize\s*=\s*(\d+)", config)[1])
    assert int(re.search(r"client_max_body_size (\d+)m;", text)[1]) > most


def test_the_program_reaches_nobody_outside(services):
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["networks"]
    assert all(networks[name]["internal"] for name in services["studio"]["networks"])
    assert "ports" not in services["studio"]
