"""Settings and feeds as frozen values.  Nothing is read from the environment or from files here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)

from trunkline.errors import SettingsError
from trunkline.fields.clocks import check_zone
from trunkline.layout.fields import IN_WORDS, WrongZone, check_currency, check_encoding
from trunkline.problems import Place, problems_of
from trunkline.settings.engines import check_engine
from trunkline.settings.limits import MaxRejects
from trunkline.settings.masking import MASK, mask_url

ENV_PREFIX: Final = "TRUNKLINE_"
URLS: Final = ("database_url", "redis_url")
SECRETS: Final = (*URLS, "cache_secret")
"""Settings whose values are never repeated as they are."""


def _check_database_url(url: str) -> str:
    scheme, has_scheme, _ = url.partition("://")
    if url == "embedded" or (not has_scheme and "=" in url) or (has_scheme and scheme in ("postgresql", "postgres")):
        return url
    raise ValueError(
        'expected postgresql://USER@HOST:PORT/DATABASE, keywords such as "host=... dbname=...", or embedded'
    )


def _check_redis_url(url: str) -> str:
    if url == "none" or url.startswith(("redis://", "rediss://", "unix://")):
        return url
    raise ValueError("expected redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH, or none")


def _check_system(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError(f"found {name!r}, expected a name without blanks around it")
    return name


def _in_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ValueError(f'found "{path}", but this user has no home directory') from exc


def _parse_max_rejects(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return MaxRejects.parse(value) if isinstance(value, str) else value


Zone = Annotated[StrictStr, AfterValidator(check_zone)]
CurrencyCode = Annotated[StrictStr, AfterValidator(check_currency)]
Encoding = Annotated[StrictStr, AfterValidator(check_encoding)]
SystemName = Annotated[StrictStr, AfterValidator(_check_system)]
RejectLimit = Annotated[
    MaxRejects,
    BeforeValidator(_parse_max_rejects),
    PlainSerializer(str),
    WithJsonSchema({IN_WORDS: "`N` or `N%`"}),
]


class Feed(BaseModel):
    """Sources that belong together.  What a feed says holds for them in place of the settings of the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    paths: tuple[StrictStr, ...] = Field(
        min_length=1, description="Files, folders, globs or URLs; relative to the folder of the configuration."
    )
    layout: StrictStr | None = Field(default=None, description="Name or file of the layout.")
    system: SystemName | None = Field(default=None, description="Switch, PBX or portal that writes the sources.")
    timezone: Zone | None = Field(default=None, description="Zone of times without one.")
    currency: CurrencyCode | None = Field(default=None, description="Currency of amounts without one.")
    encoding: Encoding | None = Field(default=None, description="Encoding of sources without a byte order mark.")
    max_rejects: RejectLimit | None = Field(default=None, description="Refuse a source with more rejects than this.")
    wrong_zone: WrongZone | None = Field(default=None, description="What becomes of a source in a wrong zone.")
    allow_empty: bool | None = Field(default=None, description="Accept a glob that matches nothing.")


class Settings(BaseModel):
    """
    Where calls go, what the sources are, and what is accepted.

    Made with what is given, and defaults: ``Settings(database_url="postgresql:///calls", redis_url="none")``.
    `resolve_settings` also reads the environment and a configuration file.

    Raises:
        SettingsError: With everything that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    database_url: Annotated[StrictStr, AfterValidator(_check_database_url)] | None = Field(
        default=None,
        description=(
            "PostgreSQL to load into: a URL, libpq's keywords, or `embedded`. Without one: libpq's own environment if "
            "PGHOST, PGSERVICE or PGDATABASE is set, else the embedded PostgreSQL."
        ),
    )
    redis_url: Annotated[StrictStr, AfterValidator(_check_redis_url)] | None = Field(
        default=None,
        description=(
            "Redis that caches: `redis://`, `rediss://` (TLS), `unix://`, or `none`. Without one: the embedded Valkey "
            "beside the embedded PostgreSQL, no cache beside any other."
        ),
    )
    home: Annotated[Path, AfterValidator(_in_home)] | None = Field(
        default=None, description="Where the embedded servers keep their data; by default the user's data folder."
    )
    layout: StrictStr | None = Field(
        default=None, description="Layout of the sources, by name or file; detected if not given."
    )
    system: SystemName | None = Field(default=None, description="Switch, PBX or portal that wrote the sources.")
    timezone: Zone | None = Field(default=None, description="Zone of times without one, in place of the layout's.")
    currency: CurrencyCode | None = Field(
        default=None, description="ISO 4217 currency of amounts without one, in place of the layout's."
    )
    encoding: Encoding | None = Field(
        default=None,
        description="Encoding of sources without a byte order mark, such as `cp1252`, in place of the layout's.",
    )
    max_rejects: RejectLimit | None = Field(
        default=None, description="Refuse a source with more rejects than this, `N` or `N%`; no limit without it."
    )
    wrong_zone: WrongZone | None = Field(
        default=None,
        description="What becomes of a source whose second clocks show a wrong zone, `refuse` or `report`, in place of "
        "what the layout says.",
    )
    reload: bool = Field(
        default=False, description="Replace what the same content brought under another key, zone or currency."
    )
    allow_empty: bool = Field(default=False, description="Accept a glob that matches nothing.")
    workers: int | None = Field(
        default=None, ge=1, le=64, description="Blocks worked on at once; by default one more than cores, at most four."
    )
    engine: Annotated[StrictStr, AfterValidator(check_engine)] = Field(
        default="threads",
        description="Where blocks are worked on: `threads` of the run, `dask` for worker processes on this machine, or "
        "the scheduler of a Dask cluster, `dask://HOST:PORT` or `dask+tls://HOST:PORT`.",
    )
    cache_ttl_s: int = Field(default=7 * 24 * 3_600, ge=1, description="Seconds after which Redis forgets a value.")
    cache_secret: SecretStr | None = Field(
        default=None, description="Whoever does not know it cannot plant values in the cache."
    )
    feeds: dict[StrictStr, Feed] = Field(default={}, description="Sources that belong together, by name.")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = problems_of(
                error, known_at=_known_at, path_of=lambda place: ".".join(map(str, place)), secrets=SECRETS
            )
            raise SettingsError.of(problems) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Yield what `repr` shows: no secrets."""
        return [(name, shown_value(name, getattr(self, name))) for name in type(self).model_fields]


def shown_value(name: str, value: object) -> object:
    """Return *value* as it may be shown."""
    if value is None or isinstance(value, bool | int):
        return value
    if name in URLS:
        return mask_url(str(value))
    if name in SECRETS:
        return MASK
    return ", ".join(value) if isinstance(value, dict) else str(value)


def _known_at(place: Place) -> Iterable[str]:
    return Feed.model_fields if place[:1] == ("feeds",) else Settings.model_fields
