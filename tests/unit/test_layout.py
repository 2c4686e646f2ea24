"""Layouts: what a file may say, what follows from it, and what is said about its mistakes."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from trunkline.errors import LayoutError, SettingsError, UsageError
from trunkline.layout.fields import FIELD_TYPES
from trunkline.layout.files import builtin_layouts, layout_text, load_layout, parse_layout

HEAD = 'grammar = 1\nname = "mine"\ntable = "mine"\n'
TEXT = '[[fields]]\ncolumn = "a"\nname = "a"\ntype = "text"\n'


def layout(text, head=HEAD):
    return parse_layout(head + dedent(text), origin="mine.toml")


def problems(text, head=HEAD):
    with pytest.raises(LayoutError) as caught:
        layout(text, head)
    assert caught.value.where == "mine.toml"
    return list(caught.value.problems)


def option(layout, name, option):
    return getattr(layout.field(name), option)


def columns_of(field, head=HEAD):
    made = layout(f"[[fields]]\n{dedent(field)}", head)
    return [(column.name, column.pg_type, column.arrow_type, column.not_null) for column in made.columns]


def test_the_reference_layout_says_what_its_file_does_not():
    """Zone and currency of the reference layout are stated by it."""
    reference = load_layout("customer_call_logs")

    assert (reference.zones, reference.currencies, reference.tz_source) == ("Africa/Nairobi", "USD", "stated")
    assert (reference.table, reference.event_time, reference.partition) == ("customer_call_logs", "started_at", "day")
    assert reference.key == ("customer_id", "started_at", "destination", "duration_s")
    assert [(column.name, column.pg_type, column.not_null) for column in reference.columns] == [
        ("customer_id", "bigint", True),
        ("cost", "numeric(18,6)", True),
        ("currency", "char(3)", False),
        ("destination", "text", True),
        ("started_at", "timestamptz", True),
        ("duration_s", "integer", True),
    ]


@pytest.mark.parametrize("name", [each.name for each in builtin_layouts()])
def test_every_layout_that_comes_along_says_how_sure_it_is(name):
    """A built-in layout has its file's name and a status."""
    found = load_layout(name)

    assert found.name == name
    assert found.status in ("verified", "from manual")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('column = 1\nname = "a"\ntype = "text"', [("a", "text", "string", False)]),
        (
            'column = 1\nname = "a"\ntype = "text"\nrequired = true\nmap = { "X" = "x" }',
            [("a", "text", "string", True), ("a_raw", "text", "string", True)],
        ),
        ('column = 1\nname = "a"\ntype = "integer"', [("a", "bigint", "int64", False)]),
        ('column = 1\nname = "a"\ntype = "decimal"', [("a", "numeric(18,6)", "decimal128(18, 6)", False)]),
        (
            'column = 1\nname = "cost"\ntype = "money"\nscale = 2\ncurrency = "KES"\nrequired = true',
            [("cost", "numeric(18,2)", "decimal128(18, 2)", True), ("currency", "char(3)", "string", False)],
        ),
        (
            'column = 1\nname = "tax"\ntype = "money"',
            [("tax", "numeric(18,6)", "decimal128(18, 6)", False), ("tax_currency", "char(3)", "string", False)],
        ),
        ('column = 1\nname = "a"\ntype = "duration"\nunit = "s"', [("a", "integer", "int32", False)]),
        (
            'column = 1\nname = "a"\ntype = "duration"\nunit = "ms"\nscale = 3',
            [("a", "numeric(18,3)", "decimal128(18, 3)", False)],
        ),
        ('column = 1\nname = "a"\ntype = "timestamp"', [("a", "timestamptz", "timestamp[us, tz=UTC]", False)]),
        ('column = 1\nname = "a"\ntype = "date"', [("a", "date", "date32[day]", False)]),
        ('column = 1\nname = "a"\ntype = "boolean"', [("a", "boolean", "bool", False)]),
        (
            'column = 1\nname = "caller"\ntype = "phone"\nrequired = true',
            [("caller", "text", "string", True), ("caller_e164", "text", "string", False)],
        ),
        ('column = 1\nname = "a"\ntype = "ip"', [("a", "inet", "string", False)]),
    ],
)
def test_a_field_fills_columns(field, expected):
    """Each type fills columns of its own types; only what every record has is not null."""
    assert columns_of(field) == expected


def test_columns_that_the_layout_does_not_know_can_be_kept():
    """`extra = "keep"` adds a jsonb column behind the others."""
    kept = layout(TEXT, HEAD + 'extra = "keep"\n').columns[-1]

    assert (kept.name, kept.pg_type, kept.not_null) == ("extra", "jsonb", False)


def test_a_layout_without_a_key_has_all_fields_as_key():
    """Two records are then the same call only if they are equal in every field."""
    two = layout(TEXT + '[[fields]]\ncolumn = 2\nname = "b"\ntype = "integer"\n')

    assert (two.key, two.event_time, two.partition) == (("a", "b"), None, "none")


def test_a_layout_with_an_event_time_is_partitioned_by_day_if_it_does_not_say():
    """The default length of a partition is a day, and none without an event time."""
    timed = layout(
        '[[fields]]\ncolumn = 1\nname = "t"\ntype = "timestamp"\nrequired = true\n', HEAD + 'event_time = "t"\n'
    )

    assert timed.partition == "day"


def test_all_mistakes_of_a_file_come_at_once():
    """Every problem has its key path, what was found and what was expected, also in several parts of the file."""
    found = problems(
        """
        event_tme = "a"
        [dialect]
        delimiter = ";;"
        encoding = "klingon"
        [defaults]
        timezone = "Nairobi"
        [[skip]]
        column = "a"
        [[fields]]
        column = 0
        name = "Cost"
        type = "mony"
        [[fields]]
        column = "b"
        name = "b"
        type = "money"
        curency = "USD"
        scale = "3"
        point = "x"
        [[fields]]
        column = "c"
        [[fields]]
        column = "d"
        name = "d"
        type = "timestamp"
        format = "%Q"
        """,
        'grammar = 2\nname = "mine"\n',
    )

    assert found == [
        "grammar: found 2, expected 1",
        "table: missing, expected a value",
        "dialect.delimiter: found ';;', expected one ASCII character",
        'dialect.encoding: found "klingon", expected an encoding such as utf-8, latin-1 or cp1252',
        'defaults.timezone: "Nairobi" is no time zone, did you mean "Africa/Nairobi"?',
        "skip #1: expected either in or not_in",
        'fields.Cost: type: found "mony", did you mean "money"?',
        'fields.b.scale: found "3", expected a valid integer',
        "fields.b.point: found \"x\", expected '.' or ','",
        'fields.b.curency: unknown key, did you mean "currency"?',
        f"fields #3: type is missing, expected one of {', '.join(FIELD_TYPES)}",
        "fields.d.format: format '%Q' has '%Q', expected one of %Y %y %m %d %H %I %M %S %-m %-d %-H %-I %b %B %a %A %p "
        "%f %N %z %% %e %T %F %R %D",
        'event_tme: unknown key, did you mean "event_time"?',
    ]


@pytest.mark.parametrize(
    ("head", "text", "expected"),
    [
        ("", "fields = []", ["fields: found none, expected at least one [[fields]]"]),
        ('key = ["b"]\n', TEXT, ['key: found "b", which is no field, expected one of a, system']),
        ('key = ["a", "a"]\n', TEXT, ['key: found "a" more than once, expected once']),
        ('key = ["system"]\n', TEXT, ["key: found only system, expected fields that tell one call from another"]),
        ('event_time = "b"\n', TEXT, ['event_time: found "b", which is no field, expected one of a']),
        (
            'event_time = "a"\nkey = ["b"]\n',
            TEXT + '[[fields]]\ncolumn = 2\nname = "b"\ntype = "text"\n',
            [
                'event_time: a is of type "text", expected timestamp',
                "event_time: a may be empty, expected required = true",
                "event_time: a is not in the key, expected it there (the unique index needs it)",
            ],
        ),
        ('partition = "day"\n', TEXT, ['partition: found "day" without event_time, expected none']),
        ("", TEXT + TEXT, ["fields.a: this name is there more than once, expected once"]),
        (
            "",
            TEXT.replace('name = "a"', 'name = "load_id"'),
            ['fields.load_id: every call table has its own "load_id", expected another name'],
        ),
        (
            "",
            '[[fields]]\ncolumn = 1\nname = "caller"\ntype = "phone"\n'
            '[[fields]]\ncolumn = 2\nname = "caller_e164"\ntype = "text"\n',
            ["fields: caller and caller_e164 both fill the column caller_e164, expected one"],
        ),
        (
            "",
            '[[fields]]\ncolumn = 1\nname = "started_at"\ntype = "text"\n',
            [
                'fields.started_at: found type "text", expected timestamp, as this name means the same in every layout',
            ],
        ),
        (
            "",
            "[dialect]\nheader = false\n" + TEXT,
            ['fields.a: found column "a", expected a position, as there is no header'],
        ),
    ],
)
def test_rules_between_the_parts(head, text, expected):
    """Names, key, event time and positions must fit each other."""
    assert problems(text, HEAD + head) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('type = "integer"\nmin = 2\nmax = 1', "min 2 is above max 1, expected it below"),
        (
            'type = "money"\ncurrency = "USD"\ncurrency_from = "c"',
            "found currency and currency_from, expected one of them",
        ),
        ('type = "money"\ncurrency = "usd"', 'found "usd", expected an ISO 4217 code such as USD'),
        ('type = "money"\npoint = ","\ngroup = ","', 'point and group are both ",", expected two characters'),
        ('type = "money"\nscale = 1\nimplied = 2', "implied is 2, expected at most the scale, 1"),
        ('type = "boolean"\ntrue = ["Y"]', "found one of true and false, expected both or none"),
        ('type = "boolean"\ntrue = ["Y"]\nfalse = ["Y"]', "Y means true and false, expected one of them"),
        ('type = "text"\npattern = "("', "expected a regular expression"),
        ('type = "text"\npattern = "(?=a)"', "expected a pattern without look-around and back-references (RE2)"),
        ('type = "phone"\nregion = "Kenya"', 'found "Kenya", expected an ISO 3166 country code such as KE'),
        ('type = "date"\nformat = "epoch_s"', "expected a strptime format (an epoch is a timestamp)"),
        ('type = "timestamp"\nformat = ["epoch_s", "%Y"]', "expected either an epoch or strptime formats"),
    ],
)
def test_options_of_a_field_fit_each_other(options, expected):
    """What contradicts itself is refused, with the field's name."""
    (found,) = problems(f'[[fields]]\ncolumn = "x"\nname = "x"\n{options}\n')

    assert found.startswith("fields.x")
    assert expected in found


@pytest.mark.parametrize(
    "table", ["trunkline.calls", "trunkline_staging.x", "pg_catalog.x", "Calls", "a.b.c", "x" * 64]
)
def test_a_table_that_cannot_hold_calls(table):
    """Schemas that are ours or PostgreSQL's, and names that would need quotes, are refused."""
    (found,) = problems(TEXT, f'grammar = 1\nname = "mine"\ntable = "{table}"\n')

    assert found.startswith("table: found")


@pytest.mark.parametrize("key", ["system", "_system", "overridden"])
def test_what_only_the_user_says_is_no_key_of_a_file(key):
    """The system that wrote a source is given for each source, not by a layout."""
    assert any(f"{key}: unknown key" in problem for problem in problems(f'{key} = "pbx-1"\n{TEXT}'))


def test_text_that_is_no_toml():
    """The message of the TOML reader has line and column."""
    with pytest.raises(LayoutError, match=r"^mine.toml: is no TOML: .*line 1, column"):
        parse_layout("grammar 1", origin="mine.toml")


def test_exact_numbers_stay_exact():
    """A limit is the decimal number that the file says."""
    field = layout('[[fields]]\ncolumn = 1\nname = "a"\ntype = "decimal"\nmax = 0.1\n').fields[0]

    assert str(field.max) == "0.1"


def test_a_layout_that_extends_another(tmp_path):
    """Its keys win, tables key by key, fields by name and in the place of their namesakes, new ones behind."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        dedent("""
        grammar = 1
        name = "mine"
        extends = "customer_call_logs"
        table = "billing.mine"
        [defaults]
        ambiguous_time = "later"
        [[fields]]
        column = "price"
        name = "cost"
        [[fields]]
        name = "destination"
        allowed = ["Kisumu"]
        [[fields]]
        column = "agent"
        name = "agent"
        type = "text"
        """),
        encoding="utf-8",
    )
    own = load_layout(str(mine))

    assert own.table == "billing.mine"
    assert own.zones == "Africa/Nairobi"
    assert own.defaults.ambiguous_time == "later"
    assert [field.name for field in own.fields] == [
        "customer_id", "cost", "destination", "started_at", "duration_s", "agent",
    ]  # fmt: skip
    assert (option(own, "cost", "column"), option(own, "cost", "currency")) == ("price", "USD")
    assert option(own, "destination", "required")


def test_a_field_that_gets_another_type():
    """Of a namesake of another type only the column, name and requirement are kept, not the type's own options."""
    own = parse_layout(
        'name = "own"\nextends = "customer_call_logs"\n[[fields]]\nname = "customer_id"\ntype = "text"\n', origin="own"
    )

    assert option(own, "customer_id", "type") == "text"
    assert (option(own, "customer_id", "column"), option(own, "customer_id", "required")) == ("customer_id", True)


def test_a_layout_extends_a_file_beside_it(tmp_path):
    """A path in `extends` is relative to the folder of the file that says it."""
    (tmp_path / "base.toml").write_text(HEAD + TEXT, encoding="utf-8")
    (tmp_path / "own.toml").write_text('name = "own"\nextends = "./base.toml"\n', encoding="utf-8")

    assert load_layout(str(tmp_path / "own.toml")).name == "own"


def test_layouts_that_extend_each_other(tmp_path):
    """A circle is an error, not an endless loop."""
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.toml").write_text(f'extends = "./{other}.toml"\n', encoding="utf-8")

    with pytest.raises(LayoutError, match="extends itself"):
        load_layout(str(tmp_path / "a.toml"))


def test_an_unknown_layout():
    """The message says what may have been meant."""
    with pytest.raises(LayoutError) as caught:
        load_layout("customer_cal_logs")

    assert str(caught.value) == (
        "found no layout 'customer_cal_logs', did you mean \"customer_call_logs\"?; "
        "name one of 'trunkline layouts', or a file by its path"
    )


def test_a_layout_file_that_is_not_there(tmp_path):
    """The message names the file."""
    with pytest.raises(LayoutError, match=r"none.toml: cannot be read: No such file"):
        load_layout(str(tmp_path / "none.toml"))


def test_the_text_of_a_layout_is_the_layout():
    """What `layouts show` prints can be loaded as a file of one's own."""
    assert parse_layout(layout_text("customer_call_logs"), origin="x") == load_layout("customer_call_logs")


def test_what_the_user_says_wins():
    """Zone, currency and system come in place of the layout's, which stays as it was."""
    reference = load_layout("customer_call_logs")
    own = reference.with_overrides(timezone="Africa/Lagos", currency="KES", system="portal-1")

    assert (own.zones, own.tz_source, own.currencies, own.system) == (
        "Africa/Lagos", "configured", "KES", "portal-1",
    )  # fmt: skip
    assert (reference.zones, reference.system) == ("Africa/Nairobi", None)


def test_a_zone_that_a_field_states_stays():
    """`--timezone` is for times without a zone; a column that is always in UTC says so itself."""
    own = layout(
        '[[fields]]\ncolumn = 1\nname = "a"\ntype = "timestamp"\ntimezone = "UTC"\n'
        '[[fields]]\ncolumn = 2\nname = "b"\ntype = "timestamp"\n'
    ).with_overrides(timezone="Africa/Nairobi")

    assert own.zones == "UTC, Africa/Nairobi"


def test_no_zone_is_stated_where_none_is_needed():
    """Epochs and times with their offset need no zone, whatever the user says."""
    own = layout(
        '[[fields]]\ncolumn = 1\nname = "a"\ntype = "timestamp"\nformat = "epoch_s"\n'
        '[[fields]]\ncolumn = 2\nname = "b"\ntype = "timestamp"\nformat = "%Y-%m-%d %H:%M:%S%z"\n'
    ).with_overrides(timezone="Africa/Nairobi")

    assert (own.zones, own.tz_source) == ("", "")


def test_a_currency_that_records_state_stays():
    """`--currency` is for amounts whose record does not say it."""
    own = layout(
        '[[fields]]\ncolumn = 1\nname = "cost"\ntype = "money"\ncurrency_from = 2\n'
        '[[fields]]\ncolumn = 3\nname = "tax"\ntype = "money"\n'
    ).with_overrides(currency="KES")

    assert (own.currencies, option(own, "cost", "currency")) == ("KES", None)


def test_one_currency_cannot_stand_for_several():
    """Two stated currencies cannot both become the one that the user says."""
    two = layout(
        '[[fields]]\ncolumn = 1\nname = "cost"\ntype = "money"\ncurrency = "EUR"\n'
        '[[fields]]\ncolumn = 3\nname = "tax"\ntype = "money"\ncurrency = "USD"\n'
    )

    with pytest.raises(SettingsError, match="amounts in EUR, USD, one currency cannot stand for all"):
        two.with_overrides(currency="KES")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"timezone": "Nairobi"}, 'timezone: "Nairobi" is no time zone, did you mean "Africa/Nairobi"?'),
        ({"currency": "shilling"}, 'currency: found "shilling", expected an ISO 4217 code such as USD'),
    ],
)
def test_what_the_user_says_is_checked(override, message):
    """A zone or currency that is none is an error of the setting."""
    with pytest.raises(SettingsError) as caught:
        load_layout("customer_call_logs").with_overrides(**override)

    assert str(caught.value) == message


def test_local_times_in_no_zone_cannot_be_read():
    """Where nobody says the zone, and the text cannot, the layout is not complete."""
    local = layout('[[fields]]\ncolumn = 1\nname = "a"\ntype = "timestamp"\nformat = "%Y-%m-%d %H:%M:%S"\n')

    with pytest.raises(UsageError, match=r"layout 'mine' has local times \(a\), and nobody says in which zone"):
        local.check_complete()
    local.with_overrides(timezone="UTC").check_complete()


def test_layouts_cost_no_imports():
    """Who lists layouts, or loads an unchanged source, does not wait for numpy, pyarrow or pandas."""
    code = (
        "import sys, trunkline.layout.files as l, trunkline.detect.recognition, trunkline.detect.proposal; "
        "import trunkline.settings.resolution; "
        "l.builtin_layouts(); print({'numpy', 'pyarrow', 'pandas', 'psycopg2', 'redis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
