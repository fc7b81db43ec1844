"""Opening a backend from plain data; secrets; what can go wrong when a class is loaded."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import (
    BackendError,
    NotFoundError,
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
    SettingsError,
)
from dovetail.plugins.opening import SecretLookup, open_backend
from dovetail.plugins.secrets import parse_secret

SOURCE = """
@hookimpl
def dovetail_environment_builders():
    return [
        EnvironmentBuilderSpec(name="shop", factory="dovetail_x.shop:Shop", settings="dovetail_x.shop:ShopSettings"),
        EnvironmentBuilderSpec(name="typo", factory="dovetail_x.shop:Shopp"),
        EnvironmentBuilderSpec(name="gone", factory="dovetail_x.gone:Shop"),
        EnvironmentBuilderSpec(name="odd", factory="dovetail_x.shop:Odd"),
        EnvironmentBuilderSpec(name="bare", factory="dovetail_x.shop:Shop", guard=False),
        EnvironmentBuilderSpec(
            name="near", factory="dovetail_x.shop:Shop", settings="dovetail_x.shop:ShopSettings", guard=False
        ),
    ]

@hookimpl
def dovetail_secrets_providers():
    return [SecretsProviderSpec(name="vault", factory="dovetail_x.shop:Vault")]
"""
SHOP = """
from dataclasses import dataclass
from typing import Annotated
from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.environment import EnvironmentBuilder
from dovetail.plugins import SecretsProvider

@dataclass(frozen=True, slots=True, kw_only=True)
class ShopSettings:
    index: Annotated[str, "where packages come from"] = "main"
    token: SecretRef | None = None

class Odd: pass

class Vault(SecretsProvider):
    @classmethod
    def open(cls, target, settings, ctx): return cls()
    def get(self, id): return f"value-of-{id}"

class Shop(EnvironmentBuilder):
    @classmethod
    def open(cls, target, settings, ctx):
        if target == "full": raise ValueError("no room")
        self = cls()
        self.opened = (target, settings, ctx)
        return self
    def lock(self, spec, *, platform):
        _, settings, ctx = self.opened
        raise RuntimeError("refused: " + ctx.secret(settings.token))
    def build(self, source, *, into, cache=None): ...
    def ship(self, locked, store, *, platform): ...
    def list_built(self): return []
    def remove(self, id): ...
"""


@pytest.fixture
def registry(site, load):
    site.add("dovetail-x", SOURCE, files={"shop.py": SHOP})
    return load()


def test_settings_target_and_context(registry, tmp_path):
    pinned = {"backend": "shop", "instance": "mine", "target": "t", "settings": {"index": "other"}}
    builder = open_backend("environment", pinned, home=tmp_path, known=registry)
    target, settings, ctx = builder.opened
    assert (target, settings.index, settings.token) == ("t", "other", None)
    assert (ctx.instance, ctx.home) == ("mine", tmp_path)
    assert type(builder).__name__ == "GuardedShop"
    bare = open_backend("environment", pinned, home=tmp_path, known=registry, bare=True)
    assert type(bare).__name__ == "Shop"


def test_backends_of_this_machine_are_handed_out_bare(registry, tmp_path):
    assert type(open_backend("environment", {"backend": "bare"}, home=tmp_path, known=registry)).__name__ == "Shop"


def test_what_opening_one_of_this_machine_raises_names_it(registry, tmp_path):
    with pytest.raises(BackendError, match="environment 'bare': open failed: ValueError: no room"):
        open_backend("environment", {"backend": "bare", "target": "full"}, home=tmp_path, known=registry)


def test_a_backend_of_this_machine_with_a_secret_is_guarded(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-value")
    assert type(open_backend("environment", {"backend": "near"}, home=tmp_path, known=registry)).__name__ == "Shop"
    pinned = {"backend": "near", "settings": {"token": {"secret": "env:SHOP_TOKEN"}}}
    builder = open_backend("environment", pinned, home=tmp_path, known=registry)
    with pytest.raises(BackendError, match=r"refused: \*\*\*$"):
        builder.lock(None, platform="linux-64")


def test_pinned_settings_that_no_longer_fit(registry, tmp_path):
    with pytest.raises(SettingsError, match=r"environment 'shop' has no setting 'indx'\. Did you mean 'index'\?"):
        open_backend("environment", {"backend": "shop", "settings": {"indx": 1}}, home=tmp_path, known=registry)
    with pytest.raises(SettingsError, match="It has no settings"):
        open_backend("environment", {"backend": "bare", "settings": {"indx": 1}}, home=tmp_path, known=registry)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("typo", PluginContractError, "there is no dovetail_x.shop:Shopp"),
        ("gone", PluginLoadError, "No module named 'dovetail_x.gone'"),
        ("odd", PluginContractError, "is not a subclass of dovetail.interfaces.environment:EnvironmentBuilder"),
        ("shopp", PluginNotFoundError, "Did you mean 'shop'?"),
    ],
)
def test_classes_that_cannot_be_loaded(registry, tmp_path, name, error, message):
    with pytest.raises(error) as caught:
        open_backend("environment", {"backend": name}, home=tmp_path, known=registry)
    assert message in str(caught.value)


def test_secrets_are_resolved_in_the_process_and_cut_out_of_errors(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-value")
    pinned = {"backend": "shop", "settings": {"token": {"secret": "env:SHOP_TOKEN"}}}
    builder = open_backend("environment", pinned, home=tmp_path, known=registry)
    with pytest.raises(BackendError) as caught:
        builder.lock(None, platform="linux-64")
    assert str(caught.value).endswith("RuntimeError: refused: ***")
    assert caught.value.__cause__ is None
    assert "s3cr3t" not in repr(builder.opened)


@pytest.mark.parametrize(
    "spell", [str, lambda text: repr(text)[1:-1], json.dumps, quote, lambda text: quote(text, safe=""), quote_plus]
)
def test_a_secret_is_cut_out_however_it_is_spelt(registry, tmp_path, monkeypatch, spell):
    secret = "p w/ö='\\\n"
    monkeypatch.setenv("A", secret)
    lookup = SecretLookup(registry, tmp_path)
    lookup(SecretRef(provider="env", id="A"))
    inner = spell(secret).strip('"')
    assert lookup.redact(f"refused: {inner}.") == "refused: ***."


def test_providers(registry, tmp_path, monkeypatch):
    lookup = SecretLookup(registry, tmp_path)
    monkeypatch.setenv("A", "one")
    (tmp_path / "b").write_text("two\n")
    assert lookup(SecretRef(provider="env", id="A")) == "one"
    assert lookup(SecretRef(provider="file", id=str(tmp_path / "b"))) == "two"
    assert lookup(SecretRef(provider="vault", id="c")) == "value-of-c"
    monkeypatch.delenv("A")
    with pytest.raises(NotFoundError, match="env:A is not there"):
        lookup(SecretRef(provider="env", id="A"))
    with pytest.raises(NotFoundError, match="can't be read"):
        lookup(SecretRef(provider="file", id=str(tmp_path / "none")))


def test_a_value_pasted_for_a_reference_is_not_shown(registry, tmp_path):
    lookup = SecretLookup(registry, tmp_path)
    with pytest.raises(PluginNotFoundError) as caught:
        lookup(parse_secret("abc:hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError) as refused:
        parse_secret("hunter2")
    assert "hunter2" not in str(refused.value)
