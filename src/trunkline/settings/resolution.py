"""Settings from flags, the environment and trunkline.toml, read once, with where each came from.

What counts, first to last: a flag; the feed that is named; an environment variable; the configuration file; the
default.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from trunkline.errors import SettingsError
from trunkline.layout.files import is_path
from trunkline.problems import suggestion
from trunkline.settings.limits import MaxRejects
from trunkline.settings.model import ENV_PREFIX, Feed, Settings, shown_value
from trunkline.settings.server_choice import DatabaseChoice, RedisChoice, choose_database, choose_redis

__all__ = [
    "NOT_IN_ENVIRONMENT",
    "DatabaseChoice",
    "Feed",
    "MaxRejects",
    "RedisChoice",
    "Resolved",
    "Settings",
    "choose_database",
    "choose_redis",
    "resolve_settings",
]

FILE_NAME: Final = "trunkline.toml"
_CONFIG_VARIABLE: Final = f"{ENV_PREFIX}CONFIG"
_PER_RUN: Final = ("reload",)  # what would do harm if it stood somewhere and was forgotten
NOT_IN_ENVIRONMENT: Final = (*_PER_RUN, "feeds")
_OF_A_FEED: Final = tuple(name for name in Feed.model_fields if name != "paths")
_LIKE_A_SETTING: Final = 0.85  # DATABSE_URL is meant; SERVICE_HOST, which Kubernetes sets for a service, is not


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """
    Settings and where they came from.

    Attributes:
        settings: What counts.
        origins: Name of a setting to where its value came from, for people.
        config: The configuration file that was read, or None.
        paths: The sources of the feed that was named, else none.
    """

    settings: Settings
    origins: Mapping[str, str]
    config: Path | None
    paths: tuple[str, ...] = ()

    def shown(self) -> list[tuple[str, object, str]]:
        """Return name, value and origin of every setting; secrets masked."""
        return [
            (name, shown_value(name, getattr(self.settings, name)), self.origins[name])
            for name in Settings.model_fields
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """Values from one place, and what a user calls each of them there."""

    values: Mapping[str, Any]
    origin: str
    names: Mapping[str, str]


def resolve_settings(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> Resolved:
    """
    Return the settings that *flags*, *environ* and the configuration file give together.

    Args:
        flags: Settings by name, as given on the command line; also ``config`` (a file to read instead) and ``feed``
            (the name of one).  None means: not given.
        environ: The process's environment.
        cwd: The working folder.

    Raises:
        SettingsError: With everything that is wrong, each naming where it came from.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    named_feed = given.pop("feed", None)
    config = _find_config(given.pop("config", None), environ, cwd)
    file, problems = _file_layer(config)
    layers = [_flag_layer(given), _environment_layer(environ, problems), file]
    if named_feed is not None:
        layers.insert(1, _feed_layer(str(named_feed), file, config))
    values, origins, names = _merged(layers)
    try:
        settings = _validated(values, names)
    except SettingsError as error:
        raise SettingsError.of([*problems, *error.problems]) from None
    if problems:
        raise SettingsError.of(problems)
    paths = settings.feeds[str(named_feed)].paths if named_feed is not None else ()
    return Resolved(settings=settings, origins=origins, config=config, paths=paths)


def user_config_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path | None:
    """
    Return the folder of the user's own configuration, or None if the user has no home.

    Source: XDG Base Directory Specification, "Environment variables", and the customs of macOS and Windows.
    """
    if platform == "win32":
        return Path(environ["APPDATA"]) / "trunkline" if environ.get("APPDATA") else None
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "trunkline"
    if not environ.get("HOME"):
        return None
    home = Path(environ["HOME"])
    return home / ("Library/Application Support" if platform == "darwin" else ".config") / "trunkline"


def _find_config(named: object, environ: Mapping[str, str], cwd: Path) -> Path | None:
    for wanted, where in ((named, "--config"), (environ.get(_CONFIG_VARIABLE), _CONFIG_VARIABLE)):
        if wanted:
            path = cwd / Path(str(wanted)).expanduser()
            if not path.is_file():
                raise SettingsError(f"found no file {wanted}, expected a configuration", where=where)
            return path
    folders = (cwd, user_config_folder(environ))
    candidates = (folder / FILE_NAME for folder in folders if folder is not None)
    return next((path for path in candidates if path.is_file()), None)


def _flag_layer(given: Mapping[str, Any]) -> _Layer:
    names = {name: f"--{name.replace('_', '-')}" for name in given}
    return _Layer(values=given, origin="flag", names=names)


def _environment_layer(environ: Mapping[str, str], problems: list[str]) -> _Layer:
    """Return the settings of the environment; an empty variable counts as not set."""
    known = {f"{ENV_PREFIX}{name.upper()}": name for name in Settings.model_fields}
    for variable in sorted(environ):
        if variable in known or variable == _CONFIG_VARIABLE or not variable.startswith(ENV_PREFIX):
            continue
        if close := get_close_matches(variable, known, n=1, cutoff=_LIKE_A_SETTING):
            problems.append(f'{variable}: unknown variable, did you mean "{close[0]}"?')
    misplaced = {f"{ENV_PREFIX}{name.upper()}": name for name in NOT_IN_ENVIRONMENT}
    problems += [
        f"{variable}: cannot be set in the environment, {_instead(name)}"
        for variable, name in misplaced.items()
        if environ.get(variable)
    ]
    values = {
        name: environ[variable]
        for variable, name in known.items()
        if name not in NOT_IN_ENVIRONMENT and environ.get(variable)
    }
    names = {name: variable for variable, name in known.items()}
    return _Layer(values=values, origin="environment", names=names)


def _instead(name: str) -> str:
    return "expected --reload for each run that needs it" if name in _PER_RUN else f"expected [feeds] in {FILE_NAME}"


def _file_layer(config: Path | None) -> tuple[_Layer, list[str]]:
    if config is None:
        return _Layer(values={}, origin="", names={}), []
    try:
        values = tomllib.loads(config.read_text("utf-8-sig"))
    except OSError as exc:
        raise SettingsError(f"cannot be read: {exc.strerror or exc}", where=str(config)) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError("is not UTF-8, expected a TOML file", where=str(config)) from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"is no TOML: {exc}", where=str(config)) from exc
    problems = [f"{config}: {name}: cannot be set in a file, {_instead(name)}" for name in _PER_RUN if name in values]
    kept = {name: value for name, value in values.items() if name not in _PER_RUN}
    placed = _relative_to(config.parent, kept)
    return _Layer(values=placed, origin=str(config), names={name: f"{config}: {name}" for name in placed}), problems


def _relative_to(folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* with their paths seen from *folder*, the configuration's own."""
    placed = dict(values)
    if isinstance(home := values.get("home"), str):
        placed["home"] = str(folder / Path(home).expanduser())
    if isinstance(layout := values.get("layout"), str) and is_path(layout):
        placed["layout"] = str(folder / Path(layout).expanduser())
    if isinstance(paths := values.get("paths"), list):
        placed["paths"] = [_source_from(folder, path) for path in paths]
    if isinstance(feeds := values.get("feeds"), dict):
        placed["feeds"] = {
            name: _relative_to(folder, feed) if isinstance(feed, dict) else feed for name, feed in feeds.items()
        }
    return placed


def _source_from(folder: Path, source: object) -> object:
    if not isinstance(source, str) or "://" in source or source in ("", "-"):
        return source
    return str(folder / Path(source).expanduser())


def _feed_layer(name: str, file: _Layer, config: Path | None) -> _Layer:
    feeds = file.values.get("feeds")
    if not isinstance(feeds, dict) or name not in feeds:
        known = list(feeds) if isinstance(feeds, dict) else []
        expected = suggestion(name, known) if known else f"expected [feeds.{name}] in {config or FILE_NAME}"
        raise SettingsError(f'found no feed "{name}", {expected}', where="--feed")
    feed = feeds[name]
    values = {key: feed[key] for key in _OF_A_FEED if key in feed} if isinstance(feed, dict) else {}
    return _Layer(
        values=values,
        origin=f"feed {name} of {config}",
        names={key: f"{config}: feeds.{name}.{key}" for key in values},
    )


def _merged(layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Return values, origins and names of what counts: the first layer that has a setting."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    names: dict[str, str] = {}
    for layer in reversed(layers):
        values |= layer.values
        for name in layer.values:
            names[name] = layer.names[name]
            origins[name] = _origin(layer, name)
    return values, origins, names


def _origin(layer: _Layer, name: str) -> str:
    return f"{layer.origin} {layer.names[name]}" if layer.origin in ("flag", "environment") else layer.origin


def _validated(values: Mapping[str, Any], names: Mapping[str, str]) -> Settings:
    try:
        return Settings(**values)
    except SettingsError as error:
        raise SettingsError.of([_named(problem, names) for problem in error.problems]) from None


def _named(problem: str, names: Mapping[str, str]) -> str:
    """Return *problem* with the setting's name as the user wrote it: ``TRUNKLINE_TIMEZONE`` for ``timezone``."""
    path, colon, text = problem.partition(": ")
    setting, dot, rest = path.partition(".")
    return f"{names.get(setting, setting)}{dot}{rest}{colon}{text}"
