"""What the column rules of timesheets cannot say: paid time, and days that nobody works."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from dateutil.easter import easter

MINUTES_PER_HOUR = 60
SUNDAY = 7
# Days from Easter Sunday, which moves from year to year.
HOLIDAYS = {-2: "Good Friday", 1: "Easter Monday", 39: "Ascension Day", 50: "Whit Monday"}


def transform_row(row: dict[str, Any]) -> dict[str, Any]:
    """Work out the ISO week and the hours that are paid."""
    year, week, _ = row["day"].isocalendar()
    rest = row["break_minutes"] or 0
    paid = row["hours"] - Decimal(rest) / MINUTES_PER_HOUR
    return {
        "week": f"{year}-W{week:02}",
        "break_minutes": rest,
        "paid_hours": paid.quantize(Decimal("0.01")),
    }


def check_row(row: dict[str, Any]) -> Iterator[str]:
    """Ask for a reason where somebody worked on a day off."""
    off = day_off(row["day"])
    if off and not row["note"]:
        yield f"note: {row['day']} is {off}; say why there was work"
    if row["paid_hours"] <= 0:
        yield f"break_minutes: {row['break_minutes']} leave nothing of {row['hours']} hours"


def day_off(day: date) -> str | None:
    """Name the reason why nobody works on ``day``; ``None`` on a day of work."""
    if day.isoweekday() == SUNDAY:
        return "a Sunday"
    days = day - easter(day.year)
    return HOLIDAYS.get(days // timedelta(days=1))
