"""New: adds a pipeline, which is one module and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.infer import (
    EncodingOption,
    EventTimeOption,
    KnownAtOption,
    LabelOption,
    SeparatorOption,
    Told,
    check_name,
    proposed,
    write_new,
)

TEMPLATE = '''"""{title}: what it predicts, for whom, and when it is known."""

from perennial import (
    Column,
    Daily,
    Files,
    GradientBoosting,
    Label,
    Linear,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Windows,
    col,
    days,
    env,
    expect,
)

# All of it is an example to replace; `perennial infer FILE` proposes it from a file of yours.
minutes = (col("ended_at") - col("started_at")).dt.total_seconds() / 60

{name} = Pipeline(
    name="{name}",
    owner="team:unknown",
    objective=Regression(goal=5.0, unit="minutes", kpi=ShareWithin(5.0, "told within 5 minutes")),
    source=Files(
        "{{root}}/{name}_{{partition:%Y-%m-%d}}.parquet",
        root=env("{variable}_SOURCE"),
    ),
    time=Daily(start="2024-01-01", event_time="started_at", timezone="UTC", known_after=days(0)),
    key=["row_id"],
    schema=Schema(
        {{
            "row_id": Column("string"),
            "place": Column("string"),
            "size": Column("float64", nullable=True),
            "started_at": Column("datetime"),
            "ended_at": Column("datetime", known="with_label"),
        }}
    ),
    expectations=[
        expect.in_partition("started_at"),
        expect.after("ended_at", "started_at"),
        expect.quarantined_share(0.05),
    ],
    features=[
        col("place"),
        col("size"),
        col("started_at").dt.hour().alias("hour"),
    ],
    label=Label("minutes", value=minutes, known_at="ended_at", unit="minutes"),
    candidates=[Median(by="place"), Linear(), GradientBoosting()],
    windows=Windows(train=28, validation=7, test=7),
)
'''


def new(  # noqa: PLR0917 - a parameter an option
    name: Annotated[str, typer.Argument(help="Name of the pipeline: lower-case letters, digits and underscores.")],
    source: Annotated[Path | None, typer.Option("--from", help="A file of the source, to infer it from.")] = None,
    label: LabelOption = None,
    known_at: KnownAtOption = None,
    event_time: EventTimeOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = "utf-8",
) -> None:
    """Add the pipeline NAME: one module in pipelines/, from an example or from a file of its source.

    Refuses to write over a module. Exit code 1 when it has questions that must be answered before it loads.
    """
    from pipelines.discovery import FOLDER, discover

    check_name(name)
    path = FOLDER / f"{name}.py"
    title, variable = name.replace("_", " ").capitalize(), name.upper()
    text = TEMPLATE.format(name=name, title=title, variable=variable)
    if source is not None and not path.exists():
        told = Told(label=label, known_at=known_at, event_time=event_time, separator=separator, encoding=encoding)
        text = proposed(source, name, told)
    write_new(path, text)
    broken = {module.name: module.error for module in discover().broken}
    if name in broken:
        typer.echo(f"it does not load yet: {broken[name]}")
        typer.echo("answer each QUESTION in it; until then its asset [name, declaration] says what is missing")
        raise typer.Exit(1)
    typer.echo(f"{name} loads: edit it, then `perennial backfill {name} FROM TO`")
