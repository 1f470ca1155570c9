from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops.dates import date_of, month_later

FOLDER = st.from_regex(r"(month_)?[0-9 ]{0,4}[-_.]?[0-9]{0,2}-?[0-9]{0,2}", fullmatch=True) | st.text(
    max_size=12
)
DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


@given(DAYS, st.integers(0, 120))
def test_month_ends_stay_month_ends_and_other_days_themselves(day, months):
    later = month_later(day, months)
    assert (later.year - day.year) * 12 + later.month - day.month == months
    if (day + timedelta(days=1)).day == 1:
        assert (later + timedelta(days=1)).day == 1
    else:
        assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


@given(name=FOLDER)
def test_a_folder_is_a_drop_under_its_exact_date_alone(name):
    when = date_of(name)
    assert when is None or when.isoformat() == name or name.startswith("month_")
