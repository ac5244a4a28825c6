"""An approved plan: it holds a run to the sheet and the settings it was approved with, and holds no key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from placing import named
from plans import make_plan
from pydantic import SecretStr

from batch_share.common import Order, Rate
from batch_share.errors import PlanChanged, SettingsError
from batch_share.planning.plan import Approval, Plan, SheetOptions, check_approval
from batch_share.settings import Settings
from batch_share.sheet.rows import Selection

if TYPE_CHECKING:
    from pathlib import Path

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEYS = {"access_key": SecretStr("the-access-key"), "secret_key": SecretStr("the-secret-key")}


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    file = tmp_path / "leads.csv"
    file.write_text(f"Lead Id,User Id\n{GUID},{GUID}\n", encoding="utf-8")
    return file


@pytest.fixture
def approved(sheet: Path) -> Path:
    """The saved plan of the sheet as it is."""
    file = sheet.with_name("plan.json")
    Approval.of(planned(sheet), settings()).save(named(file))
    return file


def settings(**changes: Any) -> Settings:
    values = {"host": "https://leads.example", "event": "201", "duration": "7d"}
    return Settings.model_construct(**KEYS | values | changes)


def planned(sheet: Path, **changes: Any) -> Plan:
    return make_plan(sheet, SheetOptions(), settings(**changes))


def check(approved: Path, sheet: Path, **changes: Any) -> None:
    check_approval(approved, planned(sheet, **changes), settings(**changes))


def test_what_was_approved_may_be_run(approved: Path, sheet: Path) -> None:
    check(approved, sheet)


@pytest.mark.parametrize("changes", [{"rate": Rate(5, 5.0)}, {"workers": 1}, {"wait": 0.0}, {"on_unknown": "park"}])
def test_how_fast_and_how_patiently_it_runs_may_change(
    approved: Path, sheet: Path, changes: dict[str, Any]
) -> None:
    check(approved, sheet, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "https://other.example"},
        {"account": "europe"},
        {"event": "202"},
        {"access": "write"},
        {"duration": "8d"},
        {"note": "Bye"},
        {"allow_duplicates": True},
        {"timezone": "Asia/Kolkata"},
        {"trust_owner": True},
        {"dates": Order.MDY},
    ],
    ids=str,
)
def test_a_setting_that_changes_what_a_run_does_is_named(
    approved: Path, sheet: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(PlanChanged) as caught:
        check(approved, sheet, **changes)
    assert caught.value.what == f"the setting {next(iter(changes))}"
    assert caught.value.plan == approved


def test_what_was_approved_before_there_was_a_setting_may_be_run(approved: Path, sheet: Path) -> None:
    older = json.loads(approved.read_text())
    del older["settings"]["dates"], older["settings"]["until"], older["settings"]["account"]
    approved.write_text(json.dumps(older))
    check(approved, sheet)
    with pytest.raises(PlanChanged, match="The setting dates"):
        check(approved, sheet, dates=Order.MDY)


def test_a_plan_of_one_account_is_none_of_another_at_the_same_host(sheet: Path) -> None:
    plan, asia = planned(sheet), settings(account="asia")
    approved = Approval.of(plan, asia)
    assert check_approval(approved, plan, asia) is approved
    for other in ("europe", None):
        with pytest.raises(PlanChanged, match="The setting account"):
            check_approval(approved, plan, settings(account=other))


def test_a_sheet_that_changed_is_named(approved: Path, sheet: Path) -> None:
    sheet.write_bytes(sheet.read_bytes() + b"\n")
    with pytest.raises(PlanChanged, match=r"The sheet leads\.csv, or how it is read, changed since plan\.json was"):
        check(approved, sheet)


def test_another_part_of_the_sheet_is_another_plan(approved: Path, sheet: Path) -> None:
    part = make_plan(sheet, SheetOptions(selection=Selection(limit=1)), settings())
    with pytest.raises(PlanChanged, match=r"The choice of rows changed since plan\.json was"):
        check_approval(approved, part, settings())


def test_no_key_is_saved(approved: Path) -> None:
    said = approved.read_text("utf-8")
    assert "the-access-key" not in said
    assert "the-secret-key" not in said
    assert json.loads(said)["settings"]["event"] == "201"


def test_a_plan_that_cannot_be_saved_is_reported(sheet: Path) -> None:
    with pytest.raises(SettingsError, match=r"save: .*plan\.json can't be written \(No such file or directory\)"):
        Approval.of(planned(sheet), settings()).save(named(sheet.parent / "gone" / "plan.json", "save"))


def test_a_plan_that_cannot_be_read_is_reported(sheet: Path) -> None:
    with pytest.raises(SettingsError, match=r"plan: .*plan\.json can't be read \(No such file or directory\)"):
        check(sheet.with_name("plan.json"), sheet)


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"[]", b"\xff", b'{"sheet": "x", "digest": "y", "settings": {"a": []}}']
)
def test_a_file_that_is_no_plan_is_reported(sheet: Path, said: bytes) -> None:
    file = sheet.with_name("plan.json")
    file.write_bytes(said)
    with pytest.raises(SettingsError, match="is not a plan that `batch-share plan --save` wrote"):
        check(file, sheet)
