"""Settings: what counts, where it came from, and what is said about mistakes, without secrets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import SettingsError
from trunkline.settings.limits import MaxRejects
from trunkline.settings.masking import mask_url
from trunkline.settings.resolution import Settings, choose_database, choose_redis, resolve_settings, user_config_folder

CANARY = "c4n4ry"
FILE = """
timezone = "Africa/Nairobi"
max_rejects = 5
layout = "layouts/own.toml"
[feeds.pbx]
paths = ["in/*.csv", "s3://bucket/calls", "/var/calls"]
timezone = "UTC"
max_rejects = "1%"
"""


@pytest.fixture
def folder(tmp_path):
    """Return a working folder with a configuration."""
    (tmp_path / "trunkline.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def problems(flags, environ, cwd):
    with pytest.raises(SettingsError) as caught:
        resolve_settings(flags, environ, cwd)
    return list(caught.value.problems)


def test_what_is_given_counts_before_what_is_written(folder):
    """A flag comes before the environment, that before the file, and that before the default."""
    environ = {"TRUNKLINE_TIMEZONE": "Europe/Berlin", "TRUNKLINE_CURRENCY": "EUR"}
    resolved = resolve_settings({"currency": "KES", "system": None}, environ, folder)
    file = str(folder / "trunkline.toml")

    shown = {name: (value, origin) for name, value, origin in resolved.shown()}
    assert shown["currency"] == ("KES", "flag --currency")
    assert shown["timezone"] == ("Europe/Berlin", "environment TRUNKLINE_TIMEZONE")
    assert shown["max_rejects"] == ("5", file)
    assert shown["system"] == (None, "default")
    assert resolved.config == folder / "trunkline.toml"


def test_a_feed_counts_before_the_environment(folder):
    """Who names a feed means what it says; only a flag comes before it."""
    resolved = resolve_settings(
        {"feed": "pbx", "max_rejects": "3"}, {"TRUNKLINE_TIMEZONE": "Europe/Berlin", "TRUNKLINE_SYSTEM": "x"}, folder
    )

    assert (resolved.settings.timezone, resolved.settings.system) == ("UTC", "x")
    assert resolved.settings.max_rejects == MaxRejects(records=3)
    assert resolved.origins["timezone"] == f"feed pbx of {folder / 'trunkline.toml'}"


def test_paths_of_the_configuration_are_relative_to_it(folder, tmp_path):
    """A configuration means the same wherever it is used from; URLs and absolute paths stay."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    resolved = resolve_settings({"feed": "pbx", "config": str(folder / "trunkline.toml")}, {}, elsewhere)

    assert resolved.paths == (str(folder / "in/*.csv"), "s3://bucket/calls", "/var/calls")
    assert resolved.settings.layout == str(folder / "layouts/own.toml")


def test_the_name_of_a_layout_is_no_path(folder):
    """A built-in layout is named in a configuration as on the command line."""
    (folder / "trunkline.toml").write_text('layout = "customer_call_logs"\n', encoding="utf-8")

    assert resolve_settings({}, {}, folder).settings.layout == "customer_call_logs"


def test_the_first_configuration_that_is_found_is_read(tmp_path):
    """The flag, the variable, the working folder and the user's own folder, in this order."""
    places = {name: tmp_path / name for name in ("flag", "variable", "cwd", "home")}
    files = {
        "flag": places["flag"] / "a.toml",
        "variable": places["variable"] / "b.toml",
        "cwd": places["cwd"] / "trunkline.toml",
        "home": places["home"] / ".config" / "trunkline" / "trunkline.toml",
    }
    for name, file in files.items():
        file.parent.mkdir(parents=True)
        file.write_text(f'system = "{name}"\n', encoding="utf-8")
    flags = {"config": str(files["flag"])}
    environ = {"TRUNKLINE_CONFIG": str(files["variable"]), "XDG_CONFIG_HOME": str(places["home"] / ".config")}

    found = [resolve_settings(flags, environ, places["cwd"]).settings.system]
    found.append(resolve_settings({}, environ, places["cwd"]).settings.system)
    del environ["TRUNKLINE_CONFIG"]
    found.append(resolve_settings({}, environ, places["cwd"]).settings.system)
    files["cwd"].unlink()
    found.append(resolve_settings({}, environ, places["cwd"]).settings.system)
    assert found == ["flag", "variable", "cwd", "home"]


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.config/trunkline"),
        ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/trunkline"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/trunkline"),
        ("win32", {"APPDATA": "/a"}, "/a/trunkline"),
        ("linux", {}, None),
        ("win32", {}, None),
    ],
)
def test_where_the_user_keeps_the_configuration(platform, environ, expected):
    """Each system has its own place; a user without a home has none."""
    assert user_config_folder(environ, platform) == (Path(expected) if expected else None)


def test_all_mistakes_come_at_once_and_name_their_place(folder):
    """Flag, variable and key of the file are called what the user calls them."""
    with (folder / "trunkline.toml").open("a", encoding="utf-8") as file:
        file.write('[feeds.other]\npath = "x"\ntimezone = "Mars"\n[feeds."with: colon"]\npaths = []\n')
    (folder / "trunkline.toml").write_text(
        'reload = true\ndatabas_url = "x"\n' + (folder / "trunkline.toml").read_text("utf-8"), encoding="utf-8"
    )
    environ = {
        "TRUNKLINE_WORKERS": "0",
        "TRUNKLINE_MAX_REJECTS": "101%",
        "TRUNKLINE_REDIS_ULR": "x",
        "TRUNKLINE_RELOAD": "1",
        "TRUNKLINE_FEEDS": "{}",
    }
    file_name = folder / "trunkline.toml"

    assert sorted(problems({"timezone": "Nairobi"}, environ, folder)) == sorted(
        [
            f"{file_name}: reload: cannot be set in a file, expected --reload for each run that needs it",
            'TRUNKLINE_REDIS_ULR: unknown variable, did you mean "TRUNKLINE_REDIS_URL"?',
            "TRUNKLINE_RELOAD: cannot be set in the environment, expected --reload for each run that needs it",
            "TRUNKLINE_FEEDS: cannot be set in the environment, expected [feeds] in trunkline.toml",
            '--timezone: "Nairobi" is no time zone, did you mean "Africa/Nairobi"?',
            'TRUNKLINE_MAX_REJECTS: found "101%", expected a number of records such as 100, or a share such as 0.5%',
            'TRUNKLINE_WORKERS: found "0", expected greater than or equal to 1',
            f"{file_name}: feeds.other.paths: missing, expected a value",
            f'{file_name}: feeds.other.path: unknown key, did you mean "paths"?',
            f'{file_name}: feeds.other.timezone: "Mars" is no time zone, expected a name such as Africa/Nairobi or UTC',
            f"{file_name}: feeds.with: colon.paths: found none, expected at least one",
            f'{file_name}: databas_url: unknown key, did you mean "database_url"?',
        ]
    )


def test_variables_of_others_are_none_of_ours(tmp_path):
    """Kubernetes sets such variables for a service that is called trunkline."""
    environ = {
        "TRUNKLINE_PORT": "tcp://10.0.0.1:80",
        "TRUNKLINE_SERVICE_HOST": "10.0.0.1",
        "TRUNKLINE_PORT_80_TCP_ADDR": "10.0.0.1",
        "TRUNKLINE_CURRENCY": "",
    }

    assert resolve_settings({}, environ, tmp_path).settings == Settings()


def test_a_feed_that_is_not_there(folder):
    """The message says which feeds there are."""
    assert problems({"feed": "pxb"}, {}, folder) == ['found no feed "pxb", did you mean "pbx"?']
    (folder / "trunkline.toml").unlink()
    assert problems({"feed": "pbx"}, {}, folder) == ['found no feed "pbx", expected [feeds.pbx] in trunkline.toml']


@pytest.mark.parametrize(("flags", "environ"), [({"config": "no.toml"}, {}), ({}, {"TRUNKLINE_CONFIG": "no.toml"})])
def test_a_configuration_that_is_named_must_be_there(flags, environ, tmp_path):
    """A mistyped name does not fall back to other settings."""
    assert problems(flags, environ, tmp_path) == ["found no file no.toml, expected a configuration"]


def test_a_configuration_that_is_no_toml(folder):
    """The message has the file, the line and the column."""
    (folder / "trunkline.toml").write_text("timezone: UTC\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"trunkline.toml: is no TOML: .*line 1, column"):
        resolve_settings({}, {}, folder)


def test_settings_in_python_read_no_environment(monkeypatch):
    """What counts is what is given; the rest is the default."""
    monkeypatch.setenv("TRUNKLINE_TIMEZONE", "UTC")
    settings = Settings(database_url="postgresql:///calls", redis_url="none", layout="customer_call_logs")

    assert (settings.timezone, settings.redis_url, settings.layout) == (None, "none", "customer_call_logs")


def test_mistakes_in_python_are_ours():
    """A wrong setting raises SettingsError, whose message repeats no secret."""
    with pytest.raises(SettingsError) as caught:
        Settings(databas_url="x", redis_url=CANARY, database_url=f"mysql://{CANARY}", max_rejects=-1)

    assert list(caught.value.problems) == [
        'database_url: expected postgresql://USER@HOST:PORT/DATABASE, keywords such as "host=... dbname=...", '
        "or embedded",
        "redis_url: expected redis://HOST:PORT/DB, rediss:// for TLS, unix:///PATH, or none",
        'max_rejects: found "-1", expected a number of records such as 100, or a share such as 0.5%',
        'databas_url: unknown key, did you mean "database_url"?',
    ]


def test_a_folder_in_the_home_directory(monkeypatch, tmp_path):
    """`~` is the user's home, in the environment too, where no shell has replaced it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    assert resolve_settings({}, {"TRUNKLINE_HOME": "~/state"}, tmp_path).settings.home == tmp_path / "state"


def test_settings_are_frozen():
    """Nobody changes them for others who share them."""
    with pytest.raises(Exception, match="frozen"):
        Settings().layout = "x"


def test_no_secret_is_shown(tmp_path):
    """Neither `repr`, nor the table of `trunkline config`, nor what a choice is called has a password."""
    environ = {
        "TRUNKLINE_DATABASE_URL": f"postgresql://calls:{CANARY}@db.example/cdr",
        "TRUNKLINE_REDIS_URL": f"rediss://default:{CANARY}@cache.example:6380/0",
        "TRUNKLINE_CACHE_SECRET": CANARY,
    }
    resolved = resolve_settings({}, environ, tmp_path)
    database = choose_database(resolved.settings, environ)
    redis = choose_redis(resolved.settings, database)

    everything = f"{resolved!r} {resolved.settings} {resolved.shown()} {database.described} {redis.described}"
    assert CANARY not in everything
    assert "postgresql://calls:***@db.example/cdr" in everything
    assert resolved.settings.cache_secret is not None
    assert resolved.settings.cache_secret.get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded", "embedded"),
        ("none", "none"),
        ("postgresql:///calls", "postgresql:///calls"),
        ("postgresql://u:p%40@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u:a@b@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:a/b@h/d", "postgresql://***"),
        ("postgresql://u:a?b@h/d", "postgresql://***"),
        ("postgresql://u:a#b@h/d", "postgresql://***"),
        ("postgresql://u:a#b", "postgresql://***"),
        ("postgresql://h/d?user=u&password=p", "postgresql://h/d?***"),
        ("postgresql://[h", "***"),
        ("redis://token@h", "redis://***@h"),
        ("redis://:p@h:6379/0", "redis://:***@h:6379/0"),
        ("unix:///run/redis.sock?password=p", "unix:///run/redis.sock?***"),
        ("host=h user=u password=p dbname=d", "host=h user=u dbname=d ***"),
        ("host=h password = 'a b' user=u", "***"),
        ("host=h dbname=d", "host=h dbname=d"),
    ],
)
def test_urls_are_shown_without_what_may_be_secret(url, shown):
    """Host, port, database and user of a well-formed URL are shown; what may be part of a password is not."""
    assert mask_url(url) == shown


@given(
    secret=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="*"), min_size=6, max_size=12
    ).filter(lambda secret: secret not in "postgresql://user:")
)
def test_no_password_in_its_place_is_ever_shown(secret):
    """Whatever is between the colon and the host of a URL is not in what is shown."""
    place = mask_url(f"postgresql://user:{secret}@host.example/calls").removesuffix("@host.example/calls")

    assert secret not in place


@pytest.mark.parametrize(
    ("url", "environ", "kind", "described"),
    [
        (None, {}, "embedded", "embedded PostgreSQL"),
        (None, {"PGUSER": "u", "PGPASSWORD": CANARY, "PGPORT": "1"}, "embedded", "embedded PostgreSQL"),
        (None, {"PGHOST": ""}, "embedded", "embedded PostgreSQL"),
        (None, {"PGHOST": "h", "PGPASSWORD": CANARY}, "libpq", "PostgreSQL of PGHOST=h"),
        (None, {"PGSERVICE": "s"}, "libpq", "PostgreSQL of PGSERVICE=s"),
        (None, {"PGDATABASE": "d", "PGHOST": "h"}, "libpq", "PostgreSQL of PGHOST=h, PGDATABASE=d"),
        (
            None,
            {"PGDATABASE": f"postgresql://u:{CANARY}@h/d"},
            "libpq",
            "PostgreSQL of PGDATABASE=postgresql://u:***@h/d",
        ),
        ("embedded", {"PGHOST": "h"}, "embedded", "embedded PostgreSQL"),
        ("postgresql://u:p@h/d", {"PGHOST": "other"}, "url", "postgresql://u:***@h/d"),
        ("host=h dbname=d", {}, "url", "host=h dbname=d"),
    ],
)
def test_which_database_is_used(url, environ, kind, described):
    """The settings, else libpq's own environment if it names a database, else the embedded one."""
    choice = choose_database(Settings(database_url=url), environ)

    assert (choice.kind, choice.described) == (kind, described)
    assert choice.url == (url if kind == "url" else None)


@pytest.mark.parametrize(
    ("redis_url", "environ", "kind"),
    [
        (None, {}, "embedded"),
        (None, {"PGHOST": "h"}, "unnamed"),
        ("none", {}, "none"),
        ("none", {"PGHOST": "h"}, "none"),
        ("redis://h", {}, "url"),
        ("redis://h", {"PGHOST": "h"}, "url"),
    ],
)
def test_which_redis_is_used(redis_url, environ, kind):
    """The settings, else the embedded one beside the embedded database, else none."""
    settings = Settings(redis_url=redis_url)
    choice = choose_redis(settings, choose_database(settings, environ))

    assert choice.kind == kind
    assert choice.url == (redis_url if kind == "url" else None)


@pytest.mark.parametrize(
    ("text", "rejected", "read", "allowed"),
    [
        ("0", 0, 10, True),
        ("0", 1, 10, False),
        ("2", 2, 10, True),
        ("2", 3, 10, False),
        ("0%", 1, 10**12, False),
        ("33.333333%", 333_333, 10**6, True),
        ("33.333333%", 333_334, 10**6, False),
        ("1%", 0, 0, True),
        ("100%", 10, 10, True),
    ],
)
def test_how_many_rejects_are_too_many(text, rejected, read, allowed):
    """A limit is exact: what is equal to it is accepted."""
    assert MaxRejects.parse(text).allows(rejected, read) is allowed


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "100.1%", "%", "one", "1 000", "١%", "1e3", "NaN%"])
def test_limits_that_are_none(text):
    """A limit is a whole number of records, or a share from 0 to 100."""
    with pytest.raises(ValueError, match="expected a number of records such as 100, or a share such as"):
        MaxRejects.parse(text)


@given(
    limit=st.one_of(
        st.builds(MaxRejects, records=st.integers(0, 10**9)),
        st.builds(MaxRejects, percent=st.decimals(0, 100, places=4, allow_nan=False).map(Decimal)),
    )
)
def test_a_limit_is_shown_as_it_is_read(limit):
    """`str` and `parse` are each other's inverse."""
    assert MaxRejects.parse(str(limit)) == limit
