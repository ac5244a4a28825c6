"""What is done to a store as a whole: looked at, brought up to date, and given the ledgers of files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Boolean, NullPool, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from batch_share.errors import LedgerError, LedgerLocked, SettingsError
from batch_share.jobs.check_up import Finding, Level
from batch_share.ledger import postgres, schema
from batch_share.ledger.database import MOVED_TO
from batch_share.ledger.files import LedgerName, open_ledger, read_ledger
from batch_share.ledger.postgres import LOCKS, OLDEST, StoredName, explain, shared
from batch_share.results.wording import STORE_FOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from batch_share.ledger.postgres import Store

UPGRADES: Final[dict[int, Sequence[str]]] = {}
"""By the version that it starts from: what makes the tables of all ledgers those of the next. None was before.

The views are made anew after it, so that they show the columns there are then."""

_SEEN: Final = text(
    "SELECT current_setting('server_version_num')::integer AS number, "
    "current_setting('server_version') AS version, "
    "current_user AS user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser, "
    "current_setting('synchronous_commit') AS commit, "
    "current_setting('synchronous_standby_names', true) AS waited_for, "
    "(SELECT count(*) FROM pg_stat_replication) AS standbys, "
    "to_regclass('batch_share.store') IS NOT NULL AS has_tables"
)
_LEASE: Final = text("SELECT extract(epoch FROM current_setting('idle_session_timeout', true)::interval)")
_PID: Final = text("SELECT pg_backend_pid()")
_WORKING: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :locks AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_MOVED: Final = select(schema.about.c.value).where(schema.about.c.name == MOVED_TO)


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """What a store tells of itself, and the way there.

    `number` is its version as 150018; `tables` is that of its tables, None if it has none. It `keeps` one
    connection for a session, and it has the lease that was asked for.
    """

    number: int
    version: str
    user: str
    is_superuser: bool = False
    tables: int | None = schema.VERSION
    commit: str = "on"
    waited_for: str = ""
    standbys: int = 0
    keeps: bool = True
    has_lease: bool = True


def check_store(store: Store, *, allow_async: bool = False) -> list[Finding]:
    """Whether ledgers can be kept there: findings, the first to fix first. Raises nothing foreseeable."""
    try:
        return judge(_look(store), allow_async=allow_async)
    except SQLAlchemyError as error:
        said, why = str(getattr(error, "orig", None) or error), explain(store, error).wrong
        if "unsupported startup parameter" in said:
            return [_finding("way there", Level.PROBLEM, "pooled")]
        if "password authentication failed" in said or "no password supplied" in said:
            return [_finding("user", Level.PROBLEM, "password")]
        return [_finding("way there", Level.PROBLEM, "unreachable", why=f"{why[:1].upper()}{why[1:]}")]


def judge(seen: StoreSeen, *, allow_async: bool = False) -> list[Finding]:
    """What follows from what was seen."""
    found = []
    if not seen.keeps:
        found.append(_finding("way there", Level.PROBLEM, "pooled"))
    if seen.number // 10_000 < OLDEST:
        found.append(_finding("version", Level.PROBLEM, "old", version=seen.version, oldest=OLDEST))
    elif seen.keeps and not seen.has_lease:
        found.append(_finding("lease", Level.PROBLEM, "lease"))
    if seen.tables != schema.VERSION:
        is_later = seen.tables is not None and seen.tables > schema.VERSION
        kind = "no_tables" if seen.tables is None else "later" if is_later else "earlier"
        found.append(_finding("tables", Level.PROBLEM, kind))
    if seen.commit == "off":
        found.append(_finding("commits", Level.PROBLEM, "unsynced", commit=seen.commit))
    if seen.standbys and (not seen.waited_for.strip() or seen.commit == "local"):
        level = Level.WARNING if allow_async else Level.PROBLEM
        found.append(_finding("standby", level, "asynchronous"))
    if seen.is_superuser:
        found.append(_finding("user", Level.WARNING, "superuser", user=seen.user))
    return found or [_finding("store", Level.OK, "well", version=seen.version, user=seen.user)]


def _finding(check: str, level: Level, kind: str, **said: object) -> Finding:
    words, then = STORE_FOUND[kind]
    return Finding(check, level, words.format(**said), then.format(**said))


def _look(store: Store) -> StoreSeen:
    """Raises SQLAlchemyError, SettingsError."""
    engine = store.connect(lease=True, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        seen = connection.execute(_SEEN).mappings().one()
        tables = connection.scalar(text("SELECT version FROM batch_share.store")) if seen["has_tables"] else None
        lease = connection.scalar(_LEASE)
        connection.execute(text("SET bs.probe = 'kept'"))
        # Whoever hands out connections for a transaction gives the one that was used last to the next who asks.
        before = connection.scalar(_PID)
        with engine.connect() as other:
            other.exec_driver_sql("BEGIN")
            other.scalar(_PID)
            after = connection.scalar(_PID)
            kept = connection.scalar(text("SELECT current_setting('bs.probe', true)"))
            other.exec_driver_sql("ROLLBACK")
    given = {name: seen[name] for name in seen if name != "has_tables"}
    keeps = before == after and kept == "kept"
    return StoreSeen(
        **given, tables=tables, keeps=keeps, has_lease=lease is not None and float(lease) == postgres.LEASE
    )


def upgrade_store(store: Store) -> int:
    """Bring the tables of all ledgers up to this version; the version that they were of.

    Raises LedgerError, LedgerLocked while somebody works on a ledger of it, LedgerTooNew.
    """
    with store.looking() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCKS})"))  # of two that do it at once
        has_tables = connection.scalar(text("SELECT to_regclass('batch_share.store')")) is not None
        since = connection.scalar(text("SELECT version FROM batch_share.store FOR UPDATE")) if has_tables else None
        if since is None or since >= schema.VERSION:
            store.check_version(connection)
            store.upgrade_engine(connection)
            return schema.VERSION
        if connection.scalar(_WORKING, {"locks": LOCKS}):
            raise LedgerLocked(
                store,
                "somebody works on a ledger of it: stop that first",
                problem="Somebody works on a ledger of the store: its tables can't be changed now.",
            )
        for version in range(since, schema.VERSION):
            if version not in UPGRADES:
                raise LedgerError(store, f"its tables are of version {version}, which can't be upgraded")
            for statement in UPGRADES[version]:
                connection.exec_driver_sql(statement)
        for table in schema.metadata.sorted_tables:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            shown = f"SELECT {columns} FROM batch_share.{table.name} "  # noqa: S608
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS batch_share_ledger.{table.name}")
            connection.exec_driver_sql(
                f"CREATE VIEW batch_share_ledger.{table.name} AS {shown}"
                "WHERE ledger = current_setting('bs.ledger')::integer"
            )
        now = {"version": schema.VERSION}
        connection.execute(text("UPDATE batch_share.store SET version = :version"), now)
        # Of each ledger too, or it would be brought up to date as a file is.
        of_ledgers = "UPDATE batch_share.about SET value = CAST(:version AS text) WHERE name = 'schema_version'"
        connection.execute(text(of_ledgers), now)
        store.upgrade_engine(connection)
        return int(since)


async def move_ledger(source: LedgerName, target: LedgerName) -> dict[str, int]:
    """Take a file's ledger over into a store, whole or not at all; how many rows of each table came.

    Afterwards nobody can work on the file. Raises LedgerError if the name is taken or nothing is there,
    LedgerLocked while somebody works on it.
    """
    if not isinstance(target, StoredName):
        raise SettingsError("ledger", "a ledger is moved into a store", problem="No store was named.")
    if target.exists():
        raise LedgerError(
            target,
            "there is a ledger of this name in the store: name another with --ledger",
            problem="There is a ledger of this name in the store already.",
            hint="Choose another name.",
        )
    async with read_ledger(source):  # it is a ledger
        pass
    with source.working(make=False) as database:
        try:
            moved = await database.read(lambda file: file.scalar(_MOVED))
            if moved is not None:
                if LedgerName.of(moved).exists():
                    raise LedgerError(source, f"it was moved to {moved}: name that")
                await database.write(_forget_move)  # it was cut off before anything arrived there
        finally:
            await database.close()
    async with open_ledger(source):  # nobody works on it, and it is of this version
        pass
    with source.working(make=False) as database:
        try:
            # First: cut off in between, there may be no two that can be worked on.
            note = schema.about.insert().values(name=MOVED_TO, value=str(target))
            await database.write(lambda file: file.execute(note))
            try:
                return await database.read(partial(_take_over, source, target))
            except BaseException:
                # In the thread that still takes it over where this was cut off: only then it is known.
                await database.write(partial(_forget_move, target=target), alone=True)
                raise
        finally:
            await database.close()


def _forget_move(connection: Connection, target: StoredName | None = None) -> None:
    """Let the file be worked on, unless all of it is at the `target`. Raises LedgerError if nobody can tell."""
    if target is not None:
        with target.store.looking() as there:
            # Also where its commit was not answered: the name is waited for that may yet be taken.
            made = text("INSERT INTO batch_share.ledgers (name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING id")
            number = there.scalar(made, {"name": target.name})
            if number is None:
                return
            there.execute(text("DELETE FROM batch_share.ledgers WHERE id = :id"), {"id": number})
    connection.execute(schema.about.delete().where(schema.about.c.name == MOVED_TO))


def _take_over(source: LedgerName, target: StoredName, file: Connection) -> dict[str, int]:
    """In one transaction, which is committed once all rows are there."""
    moved = dict[str, int]()
    try:
        with shared(target.store).begin() as connection:
            target.store.check_version(connection)
            made = text("INSERT INTO batch_share.ledgers (name) VALUES (:name) RETURNING id")
            number = connection.scalar(made, {"name": target.name})
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = 0; SET LOCAL bs.ledger = '{number:d}'")
            driver: Any = connection.connection.driver_connection
            for table in schema.metadata.sorted_tables:
                columns = ", ".join(f'"{each.name}"' for each in table.columns)
                yes_or_no = [place for place, each in enumerate(table.columns) if isinstance(each.type, Boolean)]
                # As the file has them: what is JSON there is the same text here, and nothing is not null.
                rows = file.exec_driver_sql(f"SELECT {columns} FROM {table.name}")  # noqa: S608
                count = 0
                into = f"COPY batch_share.{table.name} ({columns}) FROM STDIN"
                with driver.cursor() as cursor, cursor.copy(into) as copy:
                    for row in rows:
                        if (values := [*row])[0] == MOVED_TO and table is schema.about:
                            continue
                        for place in yes_or_no:
                            values[place] = None if values[place] is None else bool(values[place])
                        copy.write_row(values)
                        count += 1
                here = text(f"SELECT count(*) FROM batch_share.{table.name} WHERE ledger = :number")  # noqa: S608
                if connection.scalar(here, {"number": number}) != count:
                    raise LedgerError(source, f"not all of its {table.name} came")  # noqa: TRY301 - rolls it back
                moved[table.name] = count
    except IntegrityError:
        raise LedgerError(target, "there is a ledger of this name in the store: name another") from None
    except SQLAlchemyError as error:
        raise explain(target.store, error) from None
    except Exception as error:
        if not type(error).__module__.startswith("psycopg"):  # its own, of rows that it can't take
            raise
        raise LedgerError(source, f"it can't be taken over ({str(error).splitlines()[0]})") from None
    return moved
