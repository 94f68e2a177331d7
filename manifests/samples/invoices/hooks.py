"""What the column rules of invoices cannot say: terms of payment, and that the sums add up."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

DAYS_TO_PAY = 30  # our terms, where the invoice names no day


def transform_row(row: dict[str, Any]) -> dict[str, Any]:
    """Write VAT ids in one way, and fill in the day by which to pay."""
    vat_id = (row["vat_id"] or "").upper().replace(" ", "")
    due = row["due_date"] or row["invoice_date"] + timedelta(days=DAYS_TO_PAY)
    return {"vat_id": vat_id or None, "due_date": due}


def check_row(row: dict[str, Any]) -> Iterator[str]:
    """Say what does not fit together."""
    if row["net"] + row["tax"] != row["gross"]:
        yield f"gross: {row['gross']} is not net {row['net']} plus tax {row['tax']}"
    if row["due_date"] < row["invoice_date"]:
        yield f"due_date: {row['due_date']} is before the invoice's {row['invoice_date']}"
