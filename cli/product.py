"""`khaywe product`: what is sold, and the systems it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from catalog.product_sync import ProductSyncService, ProductSystem, SyncReport
from catalog.products import Product, ProductCatalogService, ProductFilter
from cli import ui
from cli.source import json_option, read_sources
from config.settings import settings


@contextmanager
def _products() -> Iterator[ProductCatalogService]:
    service = ProductCatalogService(settings().database_url())
    try:
        service.migrate()
        yield service
    finally:
        service.close()


@contextmanager
def _syncs() -> Iterator[ProductSyncService]:
    config = settings()
    service = ProductSyncService(config.database_url(), config)
    try:
        service.migrate()
        yield service
    finally:
        service.close()


@click.group()
def product() -> None:
    """Products: what can be sold and recommended, of your own or of external systems."""


@product.command("list")
@click.option("--system", metavar="NAME", help="Of this external system; `own` are those made here.")
@click.option("--type", "product_type", metavar="TYPE", help="Of this type.")
@click.option("--category", help="Of this category.")
@click.option("--search", default="", metavar="WORDS", help="Words of name, description, id, type, category.")
@click.option("--active/--withdrawn", default=None, help="Only those in the catalog, or those taken out.")
@click.option("--customer-value", metavar="AMOUNT", help="Only what can be sold to a customer worth so much.")
@click.option("--segment", metavar="NAME", help="Only what customers of this segment may have.")
@click.option("--limit", default=50, show_default=True, help="So many at most.")
@click.option("--cursor", help="Those that follow: as the page before says.")
@json_option
def list_(
    system: str | None,
    product_type: str | None,
    category: str | None,
    search: str,
    active: bool | None,
    customer_value: str | None,
    segment: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Show products."""
    with _products() as service:
        if customer_value is not None:
            if system or category or search or active is not None:
                raise click.UsageError("--customer-value goes with --segment and --type alone")
            page = service.available(customer_value, segment or "", product_type, cursor, limit)
        else:
            chosen = ProductFilter(
                external_system=system,
                product_type=product_type,
                category=category,
                search=search,
                is_active=active,
                segment=segment,
            )
            page = service.page(chosen, cursor, limit)
    if as_json:
        ui.show_json(msgspec.to_builtins(page))
        return
    ui.show_table(
        ("id", "system", "external id", "name", "type", "price", "per", "sold"),
        [
            (
                str(each.id),
                each.external_system,
                each.external_product_id,
                each.name,
                each.product_type,
                f"{each.price} {each.currency}",
                each.billing_cycle,
                _sold(each),
            )
            for each in page.items
        ],
    )
    if page.next is not None:
        click.echo(f"there are more: --cursor {page.next}", err=True)


def _sold(each: Product) -> str:
    if each.withdrawn_at is not None:
        return "withdrawn"
    return "yes" if each.is_active and each.is_available else "no"


@product.command()
@click.argument("product_id", type=int, metavar="ID")
@json_option
def show(product_id: int, as_json: bool) -> None:
    """Show one product."""
    with _products() as service:
        found = msgspec.to_builtins(service.get(product_id))
    if as_json:
        ui.show_json(found)
        return
    ui.show_table(("field", "value"), [(name, _said(value)) for name, value in found.items()])


def _said(value: Any) -> Any:
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode() if value else None
    return value if value != "" else None


@product.command()
@json_option
def stats(as_json: bool) -> None:
    """Show the products in figures."""
    with _products() as service:
        found = service.stats()
    if as_json:
        ui.show_json(msgspec.to_builtins(found))
        return
    ui.show_table(
        ("products", "active", "sold", "withdrawn", "recurring", "last synced"),
        [
            (
                found.total,
                found.active,
                found.available,
                found.withdrawn,
                found.recurring,
                _time(found.last_synced),
            )
        ],
    )
    for title, counts in (
        ("system", found.by_system),
        ("type", found.by_type),
        ("category", found.by_category),
    ):
        if counts:
            click.echo()
            ui.show_table((title, "products"), [(name or None, count) for name, count in counts.items()])
    if found.prices:
        click.echo()
        ui.show_table(
            ("currency", "products", "lowest", "average", "highest"),
            [
                (currency, each.products, str(each.lowest), str(each.average), str(each.highest))
                for currency, each in found.prices.items()
            ],
        )


@product.command()
@click.argument("system")
@json_option
@click.pass_context
def sync(ctx: click.Context, system: str, as_json: bool) -> None:
    """Bring the products of an external system in line, now.

    Exit code 1 where a record was refused.
    """
    with _syncs() as service:
        report = service.sync(system)
    if as_json:
        ui.show_json(msgspec.to_builtins(report))
    else:
        _tell([report])
        if report.refusals:
            click.echo()
            ui.show_table(
                ("external id", "field", "why it was refused"),
                [(each.external_product_id or None, each.field, each.reason) for each in report.refusals],
            )
            if report.refused > len(report.refusals):
                click.echo(f"and {report.refused - len(report.refusals)} more")
    ctx.exit(1 if report.refused else 0)


def _tell(reports: list[SyncReport]) -> None:
    ui.show_table(
        ("system", "at", "status", "created", "updated", "unchanged", "withdrawn", "refused", "error"),
        [
            (
                each.external_system,
                _time(each.ended_at),
                each.status,
                each.created,
                each.updated,
                each.unchanged,
                each.withdrawn,
                each.refused,
                each.error or None,
            )
            for each in reports
        ],
    )


@product.command()
@click.argument("system", required=False)
@click.option("--limit", default=20, show_default=True, help="So many at most.")
@json_option
def history(system: str | None, limit: int, as_json: bool) -> None:
    """Show what the last syncs did."""
    with _syncs() as service:
        reports = service.history(system, limit)
    if as_json:
        ui.show_json(msgspec.to_builtins(reports))
    else:
        _tell(reports)


@product.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@json_option
def connect(file: str, as_json: bool) -> None:
    """Say how external systems are asked for products: those of a YAML FILE.

    docs/products.md explains every key.
    """
    with _syncs() as service:
        found = [service.connect(given) for given in read_sources(file)]
    _show_systems(found, as_json)


@product.command()
@json_option
def systems(as_json: bool) -> None:
    """Show the external systems that products come from."""
    with _syncs() as service:
        found = service.systems()
    _show_systems(found, as_json)


@product.command()
@click.argument("frequency")
@click.argument("system", required=False)
@json_option
def schedule(frequency: str, system: str | None, as_json: bool) -> None:
    """Have workers sync SYSTEM, or all, so often: hourly, daily, '15 minutes'; `never`: only when asked."""
    with _syncs() as service:
        found = service.schedule_sync(None if frequency == "never" else frequency, system)
    _show_systems(found, as_json)


def _show_systems(found: list[ProductSystem], as_json: bool) -> None:
    if as_json:
        ui.show_json(msgspec.to_builtins(found))
        return
    ui.show_table(
        ("system", "kind", "from", "synced", "last"),
        [
            (
                each.name,
                each.connection["kind"],
                each.connection.get("url")
                or each.connection.get("folder")
                or each.connection.get("database"),
                each.frequency or "when asked",
                _time(each.last_synced),
            )
            for each in found
        ],
    )


def _time(at: Any) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S %Z}"
