"""What is done to a store as a whole: looked at, brought up to date, and given the ledgers of files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Boolean, DateTime, NullPool, create_engine, func, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from batch_share.errors import LedgerError, LedgerLocked, SettingsError, first_of
from batch_share.jobs.check_up import Finding, Level
from batch_share.ledger import postgres, schema
from batch_share.ledger.database import COPY_OF, MOVED_TO, prepare
from batch_share.ledger.database import explain as explain_any
from batch_share.ledger.files import LedgerName, open_ledger
from batch_share.ledger.known_in_store import StoreHistory
from batch_share.ledger.postgres import LOCKS, OLDEST, StoredName, explain, shared
from batch_share.results.wording import STORE_FOUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    "EXISTS (SELECT FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace "
    "WHERE nspname = 'batch_share' AND relname = 'store') AS has_tables"
)
_KEPT_FROM: Final = text(
    "SELECT relname FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace "
    "WHERE nspname IN ('batch_share', 'batch_share_ledger', 'batch_share_engine') AND relkind IN ('r', 'v') "
    "AND NOT (has_schema_privilege(space.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT') "
    "AND has_table_privilege(pg_class.oid, 'INSERT') AND has_table_privilege(pg_class.oid, 'UPDATE') "
    "AND has_table_privilege(pg_class.oid, 'DELETE')) ORDER BY relname"
)
_LEASE: Final = text("SELECT extract(epoch FROM current_setting('idle_session_timeout', true)::interval)")
_PID: Final = text("SELECT pg_backend_pid()")
_WORKING: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :locks AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_NOTED: Final = text("INSERT INTO batch_share.about (ledger, name, value) VALUES (:id, :name, :value)")
_AT_ONCE: Final = 1000  # rows that are read before they are written: little enough for any memory


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """What a store tells of itself, and the way there.

    `number` is its version as 150018; `tables` is that of its tables, None if it has none. The user is
    `kept_from` some of them. It `keeps` one connection for a session, and it has the lease that was asked for.
    """

    number: int
    version: str
    user: str
    is_superuser: bool = False
    tables: int | None = schema.VERSION
    kept_from: Sequence[str] = ()
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
    if seen.kept_from:
        tables = first_of([*dict.fromkeys(seen.kept_from)])
        found.append(_finding("user", Level.PROBLEM, "kept_from", user=seen.user, tables=tables))
    elif seen.tables != schema.VERSION:
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
        kept_from = connection.execute(_KEPT_FROM).scalars().all()
        may_look = seen["has_tables"] and not kept_from
        tables = connection.scalar(text("SELECT version FROM batch_share.store")) if may_look else None
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
        **given,
        tables=tables,
        kept_from=kept_from,
        keeps=keeps,
        has_lease=lease is not None and float(lease) == postgres.LEASE,
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


async def move_ledger(source: LedgerName, target: LedgerName) -> str:
    """Take a ledger over from a file into a store, or from there into a file, whole or not at all; its job.

    First all of it is copied; the copy is nobody's to work on until the ledger itself, by the connection that has
    its lock, says that it was moved there: so it can be worked on in one place only, wherever this is cut off.

    Raises LedgerError if the name is taken or nothing is there, LedgerMoved if it is elsewhere already,
    LedgerLocked while somebody works on it.
    """
    if source.in_store is target.in_store:
        raise SettingsError("ledger", "a ledger is moved from a file into a store, or from there into a file")
    source, target = source.resolved(), target.resolved()
    with ExitStack() as locks:
        database = locks.enter_context(source.working(make=False))
        try:
            await database.write(lambda connection: prepare(connection, source, None))
            if isinstance(source, StoredName) and (why := StoreHistory(source.store).needed_for(source)):
                raise LedgerError(source, f"it can't be moved: {why}", problem=f"The ledger can't be moved: {why}.")
            if isinstance(target, StoredName):
                await database.read(partial(_into_store, source, target))
            else:
                locks.enter_context(target.locked())
                with target.becoming() as file:
                    await database.read(partial(_into_file, source, file))
            note = schema.about.insert().values(name=MOVED_TO, value=str(target))
            await database.write(lambda connection: connection.execute(note))
        finally:
            await database.close()
    async with open_ledger(target) as ledger:  # as whoever comes next would, it sees that it is the ledger now
        return (await ledger.facts()).job


def _into_file(source: LedgerName, file: Path, stored: Connection) -> None:
    """Copy a ledger of a store into a file that is nobody's yet."""
    engine = create_engine(URL.create("sqlite", database=str(file)))
    try:
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            for table in schema.metadata.sorted_tables:
                count = select(func.count()).select_from(table)
                there, came = stored.scalar(count), 0
                # As a file has them: yes is 1, a time is a text of one length, and JSON is what it was.
                columns = [
                    f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"
                    if isinstance(each.type, DateTime)
                    else f"CAST({name} AS integer)"
                    if isinstance(each.type, Boolean)
                    else name
                    for each in table.columns
                    for name in [f'"{each.name}"']
                ]
                into = f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
                driver: Any = stored.connection.driver_connection
                out = f"COPY (SELECT {', '.join(columns)} FROM {table.name}) TO STDOUT"  # noqa: S608
                with driver.cursor() as cursor, cursor.copy(out) as copy:
                    rows = iter(copy.rows())
                    while page := [*islice(rows, _AT_ONCE)]:
                        connection.exec_driver_sql(into, page)
                        came += len(page)
                if not there == came == connection.scalar(count):
                    raise LedgerError(source, f"not all of its {table.name} came")  # noqa: TRY301 - rolls it back
            connection.execute(schema.about.insert().values(name=COPY_OF, value=str(source)))
    except SQLAlchemyError as error:
        raise explain_any(source, error) from None
    except Exception as error:
        raise _is_refused(source, error) from None
    finally:
        engine.dispose()


def _into_store(source: LedgerName, target: StoredName, file: Connection) -> None:
    """Copy a ledger of a file into a store in one transaction, where it is nobody's yet.

    In the place of what an earlier move from here left, or one of it to here.
    """
    try:
        with shared(target.store).begin() as connection:
            target.store.check_version(connection)
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            number = _number_for(connection, source, target, file)
            connection.exec_driver_sql(f"SET LOCAL bs.ledger = '{number:d}'")
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
                        values = [*row]
                        for place in yes_or_no:
                            values[place] = None if values[place] is None else bool(values[place])
                        copy.write_row(values)
                        count += 1
                here = text(f"SELECT count(*) FROM batch_share.{table.name} WHERE ledger = :number")  # noqa: S608
                if connection.scalar(here, {"number": number}) != count:
                    raise LedgerError(source, f"not all of its {table.name} came")  # noqa: TRY301 - rolls it back
            connection.execute(_NOTED, {"id": number, "name": COPY_OF, "value": str(source)})
    except IntegrityError:
        raise _is_taken(target) from None
    except SQLAlchemyError as error:
        raise explain(target.store, error) from None
    except Exception as error:
        raise _is_refused(source, error) from None


def _number_for(connection: Connection, source: LedgerName, target: StoredName, file: Connection) -> int:
    """The number of the new ledger, or of the empty place of one that was moved to this file, or half from it.

    Raises LedgerError if the name is another one's.
    """
    made = text("INSERT INTO batch_share.ledgers (name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING id")
    number: int | None = connection.scalar(made, {"name": target.name})
    if number is not None:
        return number
    there = "SELECT id FROM batch_share.ledgers WHERE name = :name AND purged_at IS NULL FOR UPDATE"
    number = connection.scalar(text(there), {"name": target.name})
    facts = "SELECT name, value FROM batch_share.about WHERE ledger = :id"
    theirs = {each.name: each.value for each in connection.execute(text(facts), {"id": number})}
    job = file.scalar(select(schema.about.c.value).where(schema.about.c.name == "job"))
    is_of_here = str(source) in {theirs.get(MOVED_TO), theirs.get(COPY_OF)}
    if number is None or not is_of_here or theirs.get("job") != job:
        raise _is_taken(target)
    for table in reversed(schema.metadata.sorted_tables):
        connection.execute(text(f"DELETE FROM batch_share.{table.name} WHERE ledger = :id"), {"id": number})  # noqa: S608
    connection.execute(text("UPDATE batch_share.ledgers SET written = written + 1 WHERE id = :id"), {"id": number})
    return number


def _is_taken(target: StoredName) -> LedgerError:
    return LedgerError(
        target,
        "there is a ledger of this name in the store: name another with --ledger",
        problem="There is a ledger of this name in the store already.",
        hint="Choose another name.",
    )


def _is_refused(source: LedgerName, error: Exception) -> Exception:
    """What is raised: the driver's own errors, of rows that it can't take or give, in a sentence."""
    if not type(error).__module__.startswith("psycopg"):
        return error
    return LedgerError(source, f"it can't be taken over ({str(error).splitlines()[0]})")
