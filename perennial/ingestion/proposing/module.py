"""Proposed module: a proposal written down as a pipeline's module, with a comment wherever something was guessed.

It is laid out as `ruff format` would, so that it passes `make check` as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from perennial.ingestion.proposing.goal import rough_goal
from perennial.ingestion.proposing.proposal import ROW_NUMBER, Proposal
from perennial.ingestion.proposing.typed import Typed, quoted
from perennial.sources import Csv

WIDTH = 118
QUESTION = "QUESTION"
"""Stands where a person must answer; a declaration that still holds it does not load."""
NAMES = (
    *("BaseRate", "BinaryClassification", "Column", "Csv", "Daily", "Files", "GradientBoosting", "Label", "Linear"),
    *(
        "Median",
        "Monthly",
        "Pipeline",
        "Regression",
        "Schema",
        "ShareWithin",
        "Windows",
        "col",
        "days",
        "env",
        "expect",
    ),
)
"""What a module may import, in the order in which it does."""
MOST_CATEGORIES = 1_000
"""Texts of a column that is still proposed as a feature."""


def module_text(found: Proposal, *, name: str, owner: str = "team:unknown") -> str:
    """The module `pipelines/{name}.py` that declares what `found` suggests."""
    body = "\n".join(_pipeline(found, name, owner))
    code = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith("#"))
    used = [each for each in NAMES if re.search(rf"\b{each}[(.]", code)]
    head = f'"""{_title(name)}: proposed from {found.rows:,} rows of one file; edit it."""'
    return f"{head}\n\n{_imports(used)}\n\n{body}\n"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _imports(names: Sequence[str]) -> str:
    line = f"from perennial import {', '.join(names)}"
    return line if len(line) <= WIDTH + 2 else "from perennial import (\n" + "".join(f"    {n},\n" for n in names) + ")"


def _pipeline(found: Proposal, name: str, owner: str) -> Iterator[str]:
    yield from _notes(found)
    yield f"{name} = Pipeline("
    yield f'    name="{name}",'
    yield from _comment("who answers for it: a team, or an e-mail address")
    yield f'    owner="{owner}",'
    yield from _objective(found)
    yield from _source(found, name)
    yield from _time(found)
    yield from _key(found)
    yield from _schema(found)
    yield "    expectations=["
    for line in found.expectations:
        yield from _comment(line.why, indent=8)
        if line.text:
            yield f"        {line.text},"
    yield "    ],"
    yield from _features(found)
    yield from _label(found)
    yield from _learning(found)
    yield ")"


def _notes(found: Proposal) -> Iterator[str]:
    """What a person must look at first."""
    if found.label is None:
        yield from _comment(f"{QUESTION} 1: what is predicted? {QUESTION} stands where the answer belongs.", indent=0)
        yield from _comment(f"Candidates: {', '.join(found.labels) or 'none was found'}.", indent=0)
    yield from _comment(
        f'{QUESTION}: which columns does one know only with the outcome? They take known="with_label".', indent=0
    )
    if found.event_time is None:
        sounds = f"{', '.join(found.other_times)} sounds like an end." if found.other_times else "No column says so."
        answer = " Name a column by --event-time, or let" if found.other_times else " Let"
        yield from _comment(
            f"{QUESTION}: when did a row happen? {sounds}{answer} Column(source=...) of happened_at compute it"
            " from others; as it stands, the source must deliver that column, and the start is a guess.",
            indent=0,
        )
    for source in found.undeclared:
        yield from _comment(f"Column {source!r} is of a type that cannot be declared; it is dropped.", indent=0)


def _objective(found: Proposal) -> Iterator[str]:
    if found.label is None:
        yield from _comment(f"{QUESTION} 2: what is the model for, in which unit, and when is it good enough?")
        yield f'    objective=Regression(goal=1.0, unit="{QUESTION}", kpi=ShareWithin(1.0)),'
        return
    goal = rough_goal(found)
    yield from _comment(f"{QUESTION} 2: the goal is a guess: {goal.why}")
    if goal.is_binary:
        if found.positive is not None:
            yield from _comment("which of the two texts is asked for is a guess: the rarer one")
        positive = quoted(found.positive or found.label.removeprefix("is_"))
        yield f"    objective=BinaryClassification(goal={goal.value:g}, positive={positive}),"
    else:
        unit = "minutes" if " - " in found.label else "unknown"
        yield f'    objective=Regression(goal={goal.value:g}, unit="{unit}", kpi=ShareWithin({goal.value:g})),'


def _source(found: Proposal, name: str) -> Iterator[str]:
    if found.is_whole:
        yield from _comment(
            "one file that holds every partition; put a date such as {partition:%Y-%m} where it has one"
        )
    yield from _comment("QUESTION: under which licence may it be used?")
    yield "    source=Files("
    yield f"        {quoted('{root}/' + found.pattern)},"
    yield f'        root=env("{name.upper()}_SOURCE"),'
    yield '        licence="unknown",'
    if found.reading is not None:
        yield from _format(found.reading)
    if found.key == (ROW_NUMBER,):
        yield f'        row_number="{ROW_NUMBER}",'
    yield "    ),"


def _format(reading: Csv) -> Iterator[str]:
    """How text is read, where it is not as Csv() reads it."""
    plain = Csv()
    said = [f"separator={quoted(reading.separator)}"] if reading.separator != plain.separator else []
    said += [f"encoding={quoted(reading.encoding)}"] if reading.encoding != plain.encoding else []
    if reading.null_values != plain.null_values:
        yield from _comment("texts that seem to stand for no value", indent=8)
        said.append(f"null_values=({', '.join(map(quoted, reading.null_values))})")
    if said:
        yield f"        format=Csv({', '.join(said)}),"


def _time(found: Proposal) -> Iterator[str]:
    if found.event_time and found.other_times:
        yield from _comment(f"guessed from the names and values; other times: {', '.join(found.other_times)}")
    yield from _comment("guesses: the timezone of these times, and how long after its end a partition is known")
    yield f"    time={found.calendar}("
    yield f'        start="{found.start}",'
    yield f'        event_time="{_event_time(found)}",'
    yield '        timezone="UTC",'
    yield "        known_after=days(0),"
    yield "    ),"


def _event_time(found: Proposal) -> str:
    return found.event_time or "happened_at"


def _key(found: Proposal) -> Iterator[str]:
    if found.key == (ROW_NUMBER,):
        yield from _comment(
            "no few columns tell the rows apart: a row's number in its file, which a correction may move"
        )
    elif found.repeated:
        yield from _comment(f"the best of few columns; {found.repeated:,} rows share theirs with another")
    else:
        yield from _comment("tells every row of this file apart")
    yield f"    key=[{', '.join(quoted(name) for name in found.key)}],"


def _schema(found: Proposal) -> Iterator[str]:
    yield "    schema=Schema("
    yield "        {"
    for column in found.columns:
        if column.name in found.protected:
            yield from _comment("may be protected by law: bar it with Rules, or watch it as a slice", indent=12)
        if column.name in found.personal:
            yield from _comment(f"personal data, by {found.personal[column.name]}", indent=12)
        if found.late.get(column.name):
            yield from _comment(f"barred as a guess: {found.late[column.name]}", indent=12)
        if not column.values.drop_nulls().len():
            yield from _comment("no value in this file: its kind is a guess", indent=12)
        parts = _column(found, column)
        line = f"            {quoted(column.name)}: Column({', '.join(parts)}),"
        if len(line) <= WIDTH + 2:
            yield line
        else:
            yield f"            {quoted(column.name)}: Column("
            yield from (f"                {part}," for part in parts)
            yield "            ),"
    if found.key == (ROW_NUMBER,):
        yield f'            "{ROW_NUMBER}": Column("int64"),'
    if found.event_time is None:
        yield '            "happened_at": Column("datetime"),'
    yield "        }," if found.undeclared else "        }"
    if found.undeclared:
        yield "        allow_additional=True,"
    yield "    ),"


def _column(found: Proposal, column: Typed) -> list[str]:
    parts = [quoted(column.kind)]
    if column.time_format:
        parts.append(f"source=col({quoted(column.source)}).str.to_datetime({quoted(column.time_format)})")
    elif column.source != column.name:
        parts.append(f"source={quoted(column.source)}")
    parts += ["nullable=True"] if column.values.null_count() else []
    parts += ["pii=True"] if column.name in found.personal else []
    parts += ['known="with_label"'] if column.name in found.late else []
    return parts


def _features(found: Proposal) -> Iterator[str]:
    yield from _comment("all that is known at the event, as it is")
    yield "    features=["
    for text in feature_lines(found):
        yield f"        {text},"
    time = _event_time(found)
    if found.event_time is None or found.column(time).values.dt.hour().n_unique() > 1:
        yield f'        col("{time}").dt.hour().alias("hour"),'
    yield f'        col("{time}").dt.weekday().cast(str).alias("weekday"),'
    yield "    ],"


def feature_lines(found: Proposal) -> Iterator[str]:
    """A feature for each column that a request would carry."""
    names = {column.name for column in found.columns}
    for column in found.columns:
        text = column.kind == "string"
        barred = column.name in found.late or column.name in found.personal or column.kind == "datetime"
        single = column.name in found.key and (len(found.key) == 1 or text)
        empty = not column.values.drop_nulls().len()
        if barred or single or empty or (text and column.values.n_unique() > MOST_CATEGORIES):
            continue
        taken = column.name in found.key or column.name in ("hour", "weekday")
        alias = f"{column.name}_value" if f"{column.name}_value" not in names else f"{column.name}_feature"
        yield f"col({quoted(column.name)})" + (f".alias({quoted(alias)})" if taken else "")


def _label(found: Proposal) -> Iterator[str]:
    known_at = found.known_at or "happened_at"
    name, value = "outcome", f'col("{QUESTION}")'
    if found.label is not None:
        if not found.other_times:
            yield from _comment(f"{QUESTION} 3: since when is the outcome known? Hardly since the event itself")
        later, _, earlier = found.label.partition(" - ")
        name = "minutes" if earlier else f"{found.label}_outcome"
        span = f'(col("{later}") - col("{earlier}")).dt.total_seconds() / 60'
        chosen = "" if found.positive is None else f" == {quoted(found.positive)}"
        value = span if earlier else f'col("{found.label}"){chosen}'
    yield "    label=Label("
    yield f'        "{name}",'
    yield f"        value={value},"
    yield f'        known_at="{known_at}",'
    yield "    ),"


def _learning(found: Proposal) -> Iterator[str]:
    binary = found.label is not None and rough_goal(found).is_binary
    rule = "BaseRate" if binary else "Median"
    yield f'    candidates=[{rule}(by="{_group(found)}"), Linear(), GradientBoosting()],'
    sizes = "train=28, validation=7, test=7" if found.calendar == "Daily" else "train=6, validation=1, test=1"
    yield f"    windows=Windows({sizes}),"


def _group(found: Proposal) -> str:
    """The feature that the rule of thumb groups by: a text of few values, else the weekday."""
    texts = [c for c in found.columns if c.kind == "string" and f"col({quoted(c.name)})" in set(feature_lines(found))]
    few = [c.name for c in texts if 2 <= c.values.n_unique() <= 100]
    return few[0] if few and few[0] not in found.key else "weekday"


def _comment(text: str, indent: int = 4) -> Iterable[str]:
    """`text` as comment lines; nothing when there is none."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < WIDTH - indent - 2:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [f"{' ' * indent}# {line}" for line in lines]
