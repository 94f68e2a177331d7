"""Write the samples' spreadsheets: ``python make_data.py [DIRECTORY]`` (default: beside this file).

The cells are the same every time; the files' bytes are not, since a workbook holds the time at
which it was saved. Each sheet is as people send them: a title above the table, headers in
somebody's own spelling, some numbers typed as text, and a few rows that are wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from openpyxl import Workbook  # type: ignore[import-untyped]
from openpyxl.styles import Font  # type: ignore[import-untyped]

SUPPLIERS = [
    ("Albers Papier GmbH", "DE 811 234 567", "€", 19, 4100),
    ("Brunner & Cie", "CHE123456789", "CHF", 8, 4200),
    ("Calder Freight Ltd", "GB 987 6543 21", "GBP", 20, 4300),
    ("Dorn Elektro", "de298765432", "Euro", 19, None),
    ("École Marchand SARL", "FR40303265045", "EUR", 20, 4200),
]
EMPLOYEES = ["AB1001", "CD1002", "EF1003"]
ACTIVITIES = ["dev", "Meeting", "support", "Coding"]


def invoices() -> Iterator[list[Any]]:
    """Rows of 36 invoices, two of them wrong."""
    yield ["Invoices received, first quarter 2026"]
    yield []
    yield ["Rechnungsnummer", "Date", "Payable until", "Vendor", "VAT No.",
           "Curr.", "Net amount", "VAT", "Total", "Cost centre"]  # fmt: skip
    for i in range(36):
        supplier, vat_id, currency, percent, cost_center = SUPPLIERS[i % len(SUPPLIERS)]
        day = date(2026, 1, 5) + timedelta(days=2 * i)
        net = 4950 + 12345 * i  # in cents, as all that follows
        tax = round(net * percent / 100)
        gross: Any = (net + tax) / 100
        if i == 13:
            gross += 10  # does not add up
        typed: Any = net / 100
        if i % 9 == 4:
            typed = f"{net // 100:,}".replace(",", ".") + f",{net % 100:02}"  # 1.234,50
        if i == 26:
            typed = "1.2O4,50"  # the letter O
        due = day + timedelta(days=14) if i % 4 == 0 else None
        number = f"INV-2026-{i + 1:04}"
        yield [number, day, due, supplier, vat_id, currency, typed, tax / 100, gross, cost_center]


def timesheets() -> Iterator[list[Any]]:
    """Rows of 42 days of work around Easter 2026 (5 April), three of them wrong."""
    yield ["Hours, March and April 2026"]
    yield ["Employee ID", "Date", "Project No.", "Kind of work",
           "Time spent (h)", "Break", "Remark"]  # fmt: skip
    for i in range(42):
        day = date(2026, 3, 24) + timedelta(days=i // 3)
        employee = EMPLOYEES[i % 3]
        activity, hours, note = ACTIVITIES[i % len(ACTIVITIES)], 7.5 + i % 3 / 4, None
        if day.isoweekday() == 7 or day == date(2026, 4, 6):
            note = "on call"
        if day == date(2026, 4, 3) and i % 3:  # Good Friday: one of three gave no reason
            note = "release"
        if i == 8:
            activity = "gardening"
        if i == 37:
            hours = 75  # meant 7.5
        yield [employee, day, 4711 + i % 2, activity, hours, 30 if i % 5 else None, note]


def save(rows: Iterator[list[Any]], *, title: str, path: Path) -> None:
    """Write one sheet, dates shown as dates, the first row in bold."""
    workbook = Workbook()
    sheet = workbook.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    sheet["A1"].font = Font(bold=True)
    for column in sheet.iter_cols(min_row=2):
        sheet.column_dimensions[column[0].column_letter].width = 16
        for cell in column:
            if cell.is_date:
                cell.number_format = "DD.MM.YYYY"
    workbook.save(path)


def main(directory: Path) -> None:
    """Write both spreadsheets into ``directory``."""
    save(invoices(), title="Invoices", path=directory / "invoices.xlsx")
    save(timesheets(), title="Hours", path=directory / "timesheets.xlsx")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
